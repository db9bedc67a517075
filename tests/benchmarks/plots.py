"""The plots of the page, as SVG; the same data give the same files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
from goals import GOALS, Goal
from report import NOTHING, ratio

mpl.use("svg")

from matplotlib import pyplot as plt

OURS, OTHERS, LINE = "#1f6fb2", "#b9c3cd", "#c0392b"


def draw(parts: dict[str, dict[str, Any]], folder: Path) -> list[Path]:
    """Draw what can be drawn of what was measured; returns the files."""
    plt.rcParams.update(
        {"svg.hashsalt": "nspkit", "svg.fonttype": "none", "font.size": 9, "axes.axisbelow": True}
    )
    written = []
    if "core" in parts:
        groups = parts["core"]["seconds"]
        written += [
            _bars(folder / "calls.svg", groups, ("routed call", "nested pair")),
            _bars(folder / "starting.svg", groups, ("discovery", "import")),
            _growth(folder / "growth.svg", groups),
        ]
    if "soak" in parts:
        written.append(_soak(folder / "soak.svg", parts["soak"]["samples"]))
    return written


def _save(figure: Any, path: Path) -> Path:
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None, "Creator": None}, facecolor="white")
    plt.close(figure)
    # What matplotlib writes has spaces at the ends of lines.
    lines = path.read_text(encoding="utf-8").splitlines()
    path.write_text("".join(f"{line.rstrip()}\n" for line in lines), encoding="utf-8")
    return path


def _bars(path: Path, groups: dict[str, Any], names: tuple[str, ...]) -> Path:
    """One panel for each group: every case in units of the goal's base, and the goal."""
    figure, axes = plt.subplots(1, len(names), figsize=(9, 3))
    for axis, name in zip(axes, names, strict=True):
        goal = next(goal for goal in GOALS if goal.group == name)
        _panel(axis, goal, groups.get(name, {}))
    return _save(figure, path)


def _panel(axis: Any, goal: Goal, cases: dict[str, list[float]]) -> None:
    named = [case for case in cases if case != NOTHING]
    values = [ratio(cases, case, goal.base) or 0.0 for case in named]
    colours = [OURS if case == goal.case else OTHERS for case in named]
    bars = axis.barh(named, values, color=colours)
    for label in axis.bar_label(bars, [f"{value:.2g}" for value in values], padding=3):
        label.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 1})
    axis.invert_yaxis()
    axis.margins(x=0.15)
    axis.axvline(goal.most, color=LINE, linestyle="--", linewidth=1, zorder=0.5)
    axis.set_title(goal.what.replace("`", ""))
    axis.set_xlabel(f"in units of {goal.unit.replace('`', '')}\ndashed: the goal")
    axis.spines[["top", "right"]].set_visible(False)


def _growth(path: Path, groups: dict[str, Any]) -> Path:
    figure, axis = plt.subplots(figsize=(6, 3))
    for name, label in (("routed call, growth", "routed call"), ("nested pair, growth", "pair")):
        cases = groups.get(name, {})
        named = [case for case in cases if case != NOTHING]
        counts = [int(case.split()[0].replace(",", "")) for case in named]
        values = [ratio(cases, case, "10 installed") for case in named]
        axis.plot(counts, values, marker="o", label=label)
    axis.set_xscale("log")
    axis.set_ylim(0, 2)
    axis.axhline(1.5, color=LINE, linestyle="--", linewidth=1, label="goal")
    axis.set_xlabel("providers installed")
    axis.set_ylabel("in units of 10 installed")
    axis.legend(loc="lower right")
    axis.spines[["top", "right"]].set_visible(False)
    return _save(figure, path)


def _soak(path: Path, samples: list[dict[str, float]]) -> Path:
    kinds = ("memory", "threads", "descriptors", "objects")
    figure, axes = plt.subplots(1, len(kinds), figsize=(10, 2.6))
    seconds = [sample["seconds"] for sample in samples]
    units = {"memory": "resident memory, MiB"}
    for axis, kind in zip(axes, kinds, strict=True):
        axis.plot(seconds, [sample[kind] for sample in samples], color=OURS)
        axis.set_ylim(0, 1.3 * max(sample[kind] for sample in samples))
        axis.set_title(units.get(kind, kind))
        axis.set_xlabel("s")
        axis.spines[["top", "right"]].set_visible(False)
    return _save(figure, path)
