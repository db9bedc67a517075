"""Measures, prints the table of goals, and writes the page: ``python tests/benchmarks [PART ...]``.

``core`` is the host against what it could cost and against its peers, some four minutes; ``soak``
is mixed work for a chosen time; every folder here is a part too, a provider against what it stands
on. Each writes ``docs/explanation/performance/PART.json``; then the tables of the page and its
plots are made anew from all that is there. The exit status is 1 if a goal was missed.
"""

from __future__ import annotations

import argparse
import datetime as dt
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import report

HERE = Path(__file__).resolve().parent
PEERS = ("nspkit", "pluggy", "stevedore", "plux", "iPOPO", "svcs", "dishka", "npe2")


def main() -> int:
    """Measure the parts that are asked for."""
    folders = sorted(path.parent.name for path in HERE.glob("*/test_*.py"))
    parser = argparse.ArgumentParser("python tests/benchmarks", description=__doc__)
    known = ["core", "soak", *folders]
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(known)}")
    parser.add_argument("--seconds", type=float, default=300.0, help="how long the soak is")
    parser.add_argument("--print-only", action="store_true", help="write nothing")
    parser.add_argument("--page-only", action="store_true", help="measure nothing, make the page")
    chosen = parser.parse_args()
    parts = chosen.parts or ["core"]
    if unknown := set(parts) - set(known):
        parser.error(f"no part {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    if missing := [name for name in ("matplotlib", "pytest_benchmark") if not find_spec(name)]:
        parser.error(f"{' and '.join(missing)} is not installed: pip install '.[bench]'")
    if chosen.page_only:
        _make_page()
        return 0
    kept, missed = report.load(), []
    for part in parts:
        machine = _machine()
        if part == "soak":
            import soak

            data = soak.run(chosen.seconds)
            missed += data["wrong"]
        else:
            data = _measured(part)
            missed += report.missed(data)
        kept[part] = {"machine": machine, **data}
        _print(part, kept)
        if not chosen.print_only:
            _write(part, kept)
    print(f"missed: {'; '.join(missed)}" if missed else "every goal is met")
    return bool(missed)


def _measured(part: str) -> dict[str, Any]:
    """Run the benchmarks of a part by pytest."""
    files = sorted(HERE.glob("test_*.py")) if part == "core" else [HERE / part]
    options = ["-p", "no:cacheprovider", "-q"]
    options += ["--benchmark-disable-gc", "--benchmark-quiet", "-W", "ignore:Not saving anything"]
    with tempfile.TemporaryDirectory() as folder:
        raw, figures = Path(folder, "raw.json"), Path(folder, "figures.json")
        options += [f"--benchmark-json={raw}", f"--figures={figures}"]
        command = [sys.executable, "-m", "pytest", *options, *map(str, files)]
        status = subprocess.run(command, check=False).returncode
        if status not in (0, 1):  # 1: a figure missed its goal, or a case failed
            sys.exit(f"pytest ended with {status}, so {part} was not measured; nothing is written")
        data: dict[str, Any] = {"figures": json.loads(figures.read_text(encoding="utf-8"))}
        if raw.exists() and raw.stat().st_size:
            data["seconds"] = _seconds(json.loads(raw.read_text(encoding="utf-8")))
    if part == "core":
        import instructions

        data["instructions"] = instructions.counted()
    return data


def _seconds(raw: dict[str, Any]) -> dict[str, dict[str, list[float]]]:
    """Return the best round of each turn, by group and case, in the order of the turns."""
    groups: dict[str, dict[str, list[float]]] = {}
    for one in raw["benchmarks"]:
        turns = groups.setdefault(one["group"], {}).setdefault(one["extra_info"]["case"], [])
        turns.append(float(f"{one['stats']['min']:.4g}"))
    return groups


def _machine() -> dict[str, Any]:
    """Return what a reader has to know of where it was measured."""
    installed = {name.lower() for name in map(_name_of, importlib.metadata.distributions())}
    found = [name for name in PEERS if name.lower() in installed]
    return {
        "day": dt.date.today().isoformat(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "load": f"{os.getloadavg()[0]:.1f}",
        "versions": {name: importlib.metadata.version(name) for name in found},
    }


def _name_of(distribution: importlib.metadata.Distribution) -> str:
    return distribution.metadata["Name"] or ""


def _print(part: str, kept: dict[str, report.Data]) -> None:
    kinds = ["soak"] if part == "soak" else ["goals", "figures", "instructions"]
    has = {"goals": "seconds", "soak": "done"}
    for kind in ["machine", *kinds]:
        if has.get(kind, kind) in kept[part]:
            print(report.block(f"{part}.{kind}", kept))


def _write(part: str, kept: dict[str, report.Data]) -> None:
    report.DATA.mkdir(exist_ok=True)
    text = report.one_line_lists(json.dumps(kept[part], indent=1, ensure_ascii=False))
    (report.DATA / f"{part}.json").write_text(f"{text}\n", encoding="utf-8")
    _make_page()


def _make_page() -> None:
    """Make the tables and plots from all that was measured, in this run and in others."""
    import plots

    kept = report.load()
    page = report.PAGE.read_text(encoding="utf-8")
    report.PAGE.write_text(report.filled(page, kept), encoding="utf-8")
    plots.draw(kept, report.DATA)


if __name__ == "__main__":
    sys.exit(main())
