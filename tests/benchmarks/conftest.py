"""Figures: two things timed side by side in one run, and a table of them at its end."""

from __future__ import annotations

import gc
from collections.abc import Callable
from time import perf_counter
from typing import NamedTuple

import pytest


class Figure(NamedTuple):
    """What was measured, and what it may be at most."""

    what: str
    measured: float
    goal: float
    unit: str


FIGURES = pytest.StashKey[list[Figure]]()


def pytest_configure(config: pytest.Config) -> None:
    """Make room for the figures."""
    config.stash[FIGURES] = []


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table."""
    figures = terminalreporter.config.stash.get(FIGURES, [])
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
