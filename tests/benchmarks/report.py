"""From what was measured to tables: those that are printed, and those of the page.

The page, ``docs/explanation/performance.md``, has its text by hand and its tables from here; each
stands between two comments. What was measured is kept beside it as JSON, a file for each part, so
that a test can tell whether page and measurement are of one run.
"""

from __future__ import annotations

import json
import re
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from goals import GOALS, Goal

NOTHING = "nothing"
PAGE = Path(__file__).resolve().parents[2] / "docs/explanation/performance.md"
DATA = PAGE.with_suffix("")
_PLACE = re.compile(r"(<!-- measured: ([\w.-]+) -->\n).*?(<!-- end -->)", re.DOTALL)

Data = dict[str, Any]


def load() -> dict[str, Data]:
    """Return what is kept of each part, by its name."""
    files = sorted(DATA.glob("*.json"))
    return {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in files}


# -- ratios --------------------------------------------------------------------------------------


def ratio(cases: dict[str, list[float]], case: str, base: str | float) -> float | None:
    """Return the middle of the ratios that the turns give; None where a case is missing."""
    if case not in cases or (isinstance(base, str) and base not in cases):
        return None
    ours = cases[case]
    nothing = cases.get(NOTHING, [0.0] * len(ours))
    # Seconds that are given, not measured, have no cost of measuring in them.
    theirs = cases[base] if isinstance(base, str) else [base + cost for cost in nothing]
    return median(
        (one - cost) / (other - cost)
        for one, other, cost in zip(ours, theirs, nothing, strict=True)
    )


def is_met(goal: Goal, cases: dict[str, list[float]]) -> bool | None:
    """Whether a goal is met; None where it was not measured."""
    measured = ratio(cases, goal.case, goal.base)
    if measured is None:
        return None
    others = [ratio(cases, peer, goal.base) for peer in goal.below]
    return (
        (goal.most is None or measured <= goal.most)
        and (goal.least is None or measured >= goal.least)
        and all(other is None or measured < other for other in others)
    )


def missed(data: Data) -> list[str]:
    """Return what missed its goal."""
    groups = data.get("seconds", {})
    ratios = [goal.what for goal in GOALS if is_met(goal, groups.get(goal.group, {})) is False]
    figures = [one["what"] for one in data.get("figures", ()) if one["measured"] > one["goal"]]
    return ratios + figures


# -- tables --------------------------------------------------------------------------------------


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    marks = ("---", *("---:" if name else "---" for name in head[1:]))
    lines = [head, marks, *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _number(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _mark(met: bool | None) -> str:
    return {True: "met", False: "**missed**", None: "not measured"}[met]


def goals_table(data: Data) -> str:
    """All goals that are ratios, with the limit and the peers."""
    rows = []
    for goal in GOALS:
        cases = data["seconds"].get(goal.group, {})
        limit = goal.limit if isinstance(goal.limit, float) else ratio(cases, goal.limit, goal.base)
        apart = (goal.case, goal.base, goal.limit, NOTHING, *goal.hidden)
        peers = [
            f"{name} {_number(ratio(cases, name, goal.base))}"
            for name in cases
            if name not in apart
        ]
        measured = _number(ratio(cases, goal.case, goal.base))
        met = _mark(is_met(goal, cases))
        shown = ", ".join(peers) or "–"
        rows.append((goal.what, goal.unit, _number(limit), shown, measured, goal.text, met))
    return _table(("what", "in units of", "limit", "others", "nspkit", "goal", ""), rows)


def figures_table(data: Data) -> str:
    """The goals that are numbers."""
    rows = [
        (
            one["what"],
            f"{_number(one['measured'])} {one['unit']}".strip(),
            f"≤ {one['goal']:g}",
            _mark(one["measured"] <= one["goal"]),
        )
        for one in data["figures"]
    ]
    return _table(("what", "nspkit", "goal", ""), rows)


def instructions_table(data: Data) -> str:
    """What callgrind counted."""
    counted = data["instructions"]
    if isinstance(counted, str):
        return f"{counted[0].upper()}{counted[1:]}.\n"
    bases = {goal.group: goal.base for goal in GOALS}
    rows = []
    for group, cases in counted.items():
        base = bases[group]
        for case, count in cases.items():
            rows.append((group, case, f"{count:,}", _number(count / cases[base])))
    return _table(("group", "case", "instructions", "in units of the goal's base"), rows)


def times_table(data: Data) -> str:
    """How long each case took: the middle of its turns."""
    rows = []
    for group, cases in data["seconds"].items():
        for case, seconds in cases.items():
            rows.append((group, case, _time(median(seconds))))
    return _table(("group", "case", "time"), rows)


def _time(seconds: float) -> str:
    for factor, unit in ((1, "s"), (1e3, "ms"), (1e6, "µs")):
        if seconds * factor >= 1:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"


def soak_table(data: Data) -> str:
    """What a soak did, and what it left."""
    rows = [("seconds", f"{data['samples'][-1]['seconds']:,.0f}")]
    rows += [(what, f"{count:,}") for what, count in data["done"].items()]
    quarters = "the middle of the second quarter, and of the last"
    rows += [(f"{what}: {quarters}", text) for what, text in data["kept"].items()]
    rows += [("**wrong**", text) for text in data["wrong"]]
    return _table(("what", "count"), rows)


def machine_text(data: Data) -> str:
    """Where it was measured."""
    taken = data["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in taken["versions"].items())
    return (
        f"Measured on {taken['day']} with Python {taken['python']} on {taken['system']}, "
        f"{taken['cores']} cores, load {taken['load']} before the run; {versions}.\n"
    )


_BLOCKS = {
    "goals": goals_table,
    "figures": figures_table,
    "instructions": instructions_table,
    "times": times_table,
    "soak": soak_table,
    "machine": machine_text,
}


def block(name: str, parts: dict[str, Data]) -> str:
    """Return a block of the page: ``part.kind``, or the figures of all ``others``."""
    part, _, kind = name.partition(".")
    if part == "others":
        others = [one for one in parts if one not in ("core", "soak")]
        return "\n".join(map(partial(_other, parts), others)) or "None was measured yet.\n"
    return _BLOCKS[kind](parts[part]) if part in parts else "Not measured yet.\n"


def _other(parts: dict[str, Data], part: str) -> str:
    data = parts[part]
    return f"### {part}\n\n{machine_text(data)}\n{figures_table(data)}"


def filled(text: str, parts: dict[str, Data]) -> str:
    """Return the page with its tables as they follow from what was measured."""
    return _PLACE.sub(lambda found: f"{found[1]}\n{block(found[2], parts)}\n{found[3]}", text)


def one_line_lists(text: str) -> str:
    """Return JSON in which a list of numbers stands on one line."""
    return re.sub(r"\[[\d\s.,e+-]*\]", lambda found: re.sub(r"\s+", " ", found[0]), text)
