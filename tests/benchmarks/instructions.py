"""Instructions of the processor that a call costs, counted by callgrind (valgrind).

They do not depend on what else the machine does, so a change shows that a time would hide. Each
group of `COUNTED` runs in an interpreter of its own under callgrind, which is told where a case
begins by a call of a function of the C library that nothing else calls, the cube root: it writes
down what it has counted, and begins anew.
"""

from __future__ import annotations

import gc
import os
import re
import shutil
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from math import cbrt as mark
from pathlib import Path

import subjects
from groups import GROUPS

MARK = "cbrt"
COUNTED = (
    "routed call",
    "routed call with a value",
    "wrapped call",
    "nested pair",
    "one result",
)
TIMES = 300
_SUMMARY = re.compile(r"^(?:summary|totals): (\d+)", re.MULTILINE)


def counted() -> dict[str, dict[str, int]] | str:
    """Return the instructions of one run of each case, by group; or why they are not known."""
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        return "valgrind is not installed, so instructions were not counted"
    found = {}
    for group in COUNTED:
        with tempfile.TemporaryDirectory() as folder:
            found[group] = _counted(valgrind, group, Path(folder))
    return found


def _counted(valgrind: str, group: str, folder: Path) -> dict[str, int]:
    command = [
        *(valgrind, "--tool=callgrind", f"--callgrind-out-file={folder}/out"),
        *(f"--dump-before={MARK}", "--quiet"),
        *(sys.executable, __file__, group),
    ]
    environment = os.environ | {
        "PYTHONHASHSEED": "0",
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    names = done.stdout.splitlines()
    totals = []
    for number in range(2, len(names) + 2):  # the first is the interpreter's start
        summary = _SUMMARY.search((folder / f"out.{number}").read_text(encoding="utf-8"))
        assert summary is not None
        totals.append(int(summary[1]))
    per_call = {name: total / TIMES for name, total in zip(names, totals, strict=True)}
    nothing = per_call.pop(subjects.NOTHING, 0.0)
    return {name: round(total - nothing) for name, total in per_call.items()}


def run(group: str) -> None:
    """Run every case of a group, under callgrind, with a mark before each and after the last."""
    with ExitStack() as stack:
        cases = GROUPS[group].make(stack)
        for function in cases.values():
            for _ in range(30):  # until the interpreter has specialised its instructions
                function()
        gc.collect()
        gc.disable()
        for function in cases.values():
            mark(8.0)
            for _ in range(TIMES):
                function()
        mark(8.0)
    print("\n".join(cases))


if __name__ == "__main__":
    run(sys.argv[1])
