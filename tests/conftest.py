"""What many tests share: where things are, programs of the system, fresh interpreters."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True, scope="session")
def ctrl_c_counts() -> Iterator[None]:
    """Have Ctrl-C raise KeyboardInterrupt; a shell that runs the suite beside itself ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session")
def checkout() -> Path:
    """The folder that holds pyproject.toml, docs/, plugins/ and tests/.

    It need not hold nspkit/: the suite is run against an installed wheel too.
    """
    return CHECKOUT


@pytest.fixture(scope="session")
def program() -> Callable[[str], str]:
    """A function that tells the path of a program, for tests that ask a real one.

    Where the program is missing the test is skipped and says so; with CI set it fails, because CI
    installs every program that the tests need.
    """

    def find(name: str) -> str:
        path = shutil.which(name)
        if path is None:
            reason = f"{name} is not installed"
            if os.environ.get("CI"):
                pytest.fail(f"{reason}; add its package to the list at the top of .ci/run")
            pytest.skip(reason)
        return path

    return find


@pytest.fixture
def fresh_python(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """A function that runs code in an interpreter of its own and returns what it printed.

    For everything that is about a process: what importing does, how it ends, what it leaves. The
    interpreter finds the nspkit that this one found, starts in an empty folder, and is ended with
    a failure after `timeout` seconds. With `bare=True` nothing measures its coverage, so that only
    the code itself has imported anything.
    """

    def run(
        code: str, *arguments: str, timeout: float = 60, check: bool = True, bare: bool = False
    ) -> subprocess.CompletedProcess[str]:
        environment = {
            name: value
            for name, value in os.environ.items()
            if not (bare and name.startswith(("COV_", "COVERAGE_")))
        }
        # An empty entry would mean the current folder, which is another one over there.
        path = [str(Path(entry).resolve()) for entry in sys.path if entry]
        environment["PYTHONPATH"] = os.pathsep.join(path)
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            cwd=tmp_path,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if check and done.returncode != 0:
            pytest.fail(f"exit status {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    return run
