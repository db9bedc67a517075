"""Gives these tests a network of their own: a loopback interface that nothing else is on.

Multicast DNS has one port and one group. On the machine's own interfaces two runs side by side, or
a daemon that the machine has, would answer each other; and the loopback interface is not meant for
multicast there. So each run makes a network namespace, and each test of this folder runs in it:
this thread, the threads and the processes that it starts; the tests of other folders, in the same
process, run where they would without. It needs a Linux, the right to make a namespace and the
program `ip`; without them these tests are skipped on a developer's machine, and fail where CI is
set.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

_HERE = Path(__file__).parent
_NET = Path("/proc/thread-self/ns/net")
_CLONE_NEWNET = 0x40000000
_SET_UP = (
    ("link", "set", "lo", "up", "multicast", "on"),
    ("route", "add", "224.0.0.0/4", "dev", "lo"),
)


class Namespace:
    """A network namespace, made when it is first needed; one thread goes in and out."""

    def __init__(self) -> None:
        self.missing = ""
        self._inside: int | None = None

    def enter(self) -> int | None:
        """Take this thread there; return the descriptor of where it was, or None if it stays."""
        self.missing = self.missing or self._why_not()
        if self.missing:
            return None
        outside = os.open(_NET, os.O_RDONLY)
        try:
            if self._inside is None:
                self._inside = self._made()
            else:
                self._set(self._inside)
        except (OSError, subprocess.SubprocessError) as error:
            self.missing = f"no network namespace can be made here: {error}"
            self.leave(outside)  # it may have been made, and not be of use
            return None
        return outside

    def leave(self, outside: int) -> None:
        """Take this thread back."""
        try:
            # Nobody may leave who has not come: it takes the same right.
            if os.fstat(outside).st_ino != _NET.stat().st_ino:
                self._set(outside)
        finally:
            os.close(outside)

    def close(self) -> None:
        """Give it back; it ends with the last process that is in it."""
        if self._inside is not None:
            os.close(self._inside)

    @staticmethod
    def _why_not() -> str:
        if not _NET.exists():
            return "this system has no network namespaces"
        if shutil.which("ip") is None:
            return "ip is not installed, which sets a network namespace up"
        if os.geteuid() != 0:
            return "only root may make a network namespace: run it with `unshare -rn`, or as root"
        return ""

    @staticmethod
    def _made() -> int:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.unshare(_CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        for command in _SET_UP:
            subprocess.run(["ip", *command], check=True, timeout=60)
        return os.open(_NET, os.O_RDONLY)

    @staticmethod
    def _set(number: int) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.setns(number, _CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


_KEY = pytest.StashKey[Namespace]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Run a test, its fixtures included, in the namespace of this run.

    pytest asks for this one about the tests of all folders, once it has seen this file.
    """
    if _HERE not in item.path.parents:
        return (yield)
    namespace = item.config.stash.setdefault(_KEY, Namespace())
    outside = namespace.enter()
    try:
        return (yield)
    finally:
        if outside is not None:
            namespace.leave(outside)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Do not run a test that would speak to the machine's own network."""
    missing = item.config.stash[_KEY].missing
    if missing and os.environ.get("CI"):
        pytest.fail(missing)
    if missing:
        pytest.skip(missing)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Give the namespace back."""
    namespace = config.stash.get(_KEY, None)
    if namespace is not None:
        namespace.close()
