"""The network namespace of these tests: theirs alone, and where there can be none they say so."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

OURS = Path(__file__).parents[1] / "conftest.py"
NET = Path("/proc/thread-self/ns/net")
_INSIDE = """
from pathlib import Path
def test_inside():
    assert Path("/proc/thread-self/ns/net").readlink() != Path({outside!r})
"""
_OUTSIDE = """
from pathlib import Path
def test_outside():
    assert Path("/proc/thread-self/ns/net").readlink() == Path({outside!r})
"""


def outcome(folder: Path, *before: str, **environment: str) -> str:
    """What pytest says of a test of the folder that has the namespace, and of those beside it."""
    outside = str(NET.readlink())
    for own in ("a", "with", "z"):
        (folder / own).mkdir()
        source = _INSIDE if own == "with" else _OUTSIDE
        (folder / own / f"test_{own}.py").write_text(source.format(outside=outside))
    shutil.copy(OURS, folder / "with")
    done = subprocess.run(
        [*before, sys.executable, "-m", "pytest", "-rsfE", "-p", "no:cacheprovider", folder],
        cwd=folder,
        env={**{k: v for k, v in os.environ.items() if k != "CI"}, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.stdout + done.stderr


def test_others_in_the_same_process_run_outside(tmp_path: Path) -> None:
    """Those before and those after, though pytest has seen the file by then."""
    said = outcome(tmp_path)
    assert " 3 passed" in said, said


@pytest.mark.parametrize(
    ("ci", "expected"), [("", "2 passed, 1 skipped"), ("1", "2 passed, 1 error")]
)
def test_where_none_can_be_made_only_these_tests_say_so(
    tmp_path: Path, ci: str, expected: str
) -> None:
    """Root in a container, for one, may not: skipped, or failed where CI is set."""
    if shutil.which("setpriv") is None:
        pytest.skip("setpriv is not installed")
    right = "-sys_admin"
    said = outcome(tmp_path, "setpriv", "--bounding-set", right, "--inh-caps", right, CI=ci)
    assert expected in said, said
    assert "no network namespace can be made here: [Errno 1]" in said, said
