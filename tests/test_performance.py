"""The page on performance shows what was measured, and its goals are those of the benchmarks.

Nothing is measured here: ``python tests/benchmarks`` does that, and writes both the data and the
tables. So who changes one by hand, or a goal without measuring again, is told.
"""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).resolve().parent / "benchmarks"


@pytest.fixture
def report(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The module that makes the tables; it needs nothing but Python."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    yield importlib.import_module("report")
    for name in ("report", "goals"):
        sys.modules.pop(name, None)


@pytest.fixture
def page(report: ModuleType) -> str:
    """The page as it stands."""
    text: str = report.PAGE.read_text(encoding="utf-8")
    return text


def test_the_tables_of_the_page_are_those_of_the_data(report: ModuleType, page: str) -> None:
    """Else: ``python tests/benchmarks`` makes them anew."""
    assert report.filled(page, report.load()) == page


def test_a_table_that_was_changed_by_hand_is_noticed(report: ModuleType, page: str) -> None:
    """One figure of it, for instance."""
    changed = re.sub(r"\| ≤ 0\.35 \|", "| ≤ 0.36 |", page, count=1)
    assert changed != page
    assert report.filled(changed, report.load()) == page


def test_every_goal_was_measured(report: ModuleType) -> None:
    """None is without its figures."""
    groups = report.load()["core"]["seconds"]
    unmeasured = [
        goal.what
        for goal in report.GOALS
        if report.is_met(goal, groups.get(goal.group, {})) is None
    ]
    assert unmeasured == []


def test_every_plot_is_shown(report: ModuleType, page: str) -> None:
    """And the page shows none that is not drawn; test_docs holds that they are there."""
    drawn = {path.name for path in report.DATA.glob("*.svg")}
    assert drawn == set(re.findall(r"\]\(performance/([\w.-]+\.svg)\)", page))


def test_a_goal_that_is_missed_is_spoken_of(report: ModuleType, page: str) -> None:
    """The part that is written by hand names it."""
    spoken = page.partition("## What falls short")[2].partition("\n## ")[0]
    missed = [what for part in report.load().values() for what in report.missed(part)]
    assert [what for what in missed if what not in spoken] == []


def test_ratios_are_taken_turn_by_turn(report: ModuleType) -> None:
    """A machine that is slow for one turn does not move the middle; nothing is subtracted twice."""
    cases = {"nothing": [1.0, 1.0, 1.0], "ours": [3.0, 30.0, 3.0], "theirs": [5.0, 59.0, 5.0]}
    assert report.ratio(cases, "ours", "theirs") == 0.5
    assert report.ratio(cases, "ours", 2.0) == 1.0
    assert report.ratio(cases, "ours", "absent") is None


def test_a_goal_is_missed_by_a_peer_that_is_below(report: ModuleType) -> None:
    """Not by its number only."""
    goal = report.Goal("it", "group", "base", "the base", case="ours", most=2.0, below=("peer",))
    cases = {"ours": [1.5], "base": [1.0], "peer": [1.4]}
    assert report.is_met(goal, cases) is False
    assert report.is_met(goal, {**cases, "peer": [1.6]}) is True
    assert report.is_met(goal, {**cases, "ours": [2.1], "peer": [3.0]}) is False
