"""What the benchmarks share: figures, and the rule that cases of a group take turns.

Two kinds of figures: a ratio of two cases that `pytest-benchmark` times side by side, whose goals
are in `goals`; and a number that is noted by the fixture `figure`, with its goal beside it. The
folders below use the second kind. ``python tests/benchmarks`` runs them and reports; pytest alone
runs them too, on a machine that does nothing else.
"""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

import pytest

# The modules beside this one: pytest leaves sys.path alone in this repository.
sys.path.insert(0, str(Path(__file__).parent))


class Figure(NamedTuple):
    """What was measured, and what it may be at most."""

    what: str
    measured: float
    goal: float
    unit: str


FIGURES = pytest.StashKey[list[Figure]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Take the file that the figures are written to."""
    parser.addoption("--figures", metavar="FILE", help="write the figures to a file, as JSON")


def pytest_configure(config: pytest.Config) -> None:
    """Make room for the figures."""
    config.stash[FIGURES] = []


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table, and write it down if that was asked for."""
    config = terminalreporter.config
    figures = config.stash.get(FIGURES, [])
    path = config.getoption("--figures")
    if path:
        text = json.dumps([figure._asdict() for figure in figures])
        Path(path).write_text(text, encoding="utf-8")
    if not figures:
        return
    width = max(len(figure.what) for figure in figures)
    terminalreporter.section("figures")
    for figure in figures:
        mark = "" if figure.measured <= figure.goal else "  missed"
        terminalreporter.line(
            f"{figure.what:{width}}  {figure.measured:8.3f} {figure.unit:5} "
            f"goal {figure.goal:g}{mark}"
        )


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Callable[..., None]:
    """A function that notes a figure and fails where it is over its goal."""

    def note(what: str, measured: float, goal: float, *, unit: str = "times") -> None:
        request.config.stash[FIGURES].append(Figure(what, measured, goal, unit))
        assert measured <= goal, f"{what}: {measured:.3f} {unit}, goal {goal:g}"

    return note


@pytest.fixture
def ratio() -> Callable[..., float]:
    """A function that tells how many times as long one thing takes as another.

    Both are run ``number`` times in each of ``rounds`` rounds, in turn, so that a machine that
    gets slower does so for both; the best round of each counts, without the cost of the loop.
    """

    def seconds(function: Callable[[], object], number: int) -> float:
        numbers = range(number)
        began = perf_counter()
        for _ in numbers:
            function()
        return perf_counter() - began

    def measure(
        ours: Callable[[], object], theirs: Callable[[], object], *, number: int, rounds: int = 15
    ) -> float:
        functions = (ours, theirs, lambda: None)
        best = [float("inf")] * 3
        gc.collect()
        gc.disable()
        try:
            for _ in range(rounds):
                for which, function in enumerate(functions):
                    best[which] = min(best[which], seconds(function, number))
        finally:
            gc.enable()
        return (best[0] - best[2]) / (best[1] - best[2])

    return measure
