"""Gives these tests a network of their own: a loopback interface that nothing else is on.

Multicast DNS has one port and one group. On the machine's own interfaces two runs side by side, or
a daemon that the machine has, would answer each other; and the loopback interface is not meant for
multicast there. So each run makes a network namespace, and each test runs in it: this thread, the
threads and the processes that it starts. It needs a Linux, root and the program `ip`; without them
these tests are skipped on a developer's machine, and fail where CI is set.
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

    def enter(self) -> int:
        """Take this thread there; return the descriptor of where it was."""
        outside = os.open(_NET, os.O_RDONLY)
        if self._inside is None:
            self._make()
        else:
            self._set(self._inside)
        return outside

    def leave(self, outside: int) -> None:
        """Take this thread back."""
        self._set(outside)
        os.close(outside)

    def why_not(self) -> str:
        """Say why there can be none; nothing if there can."""
        if not _NET.exists():
            return "this system has no network namespaces"
        if shutil.which("ip") is None:
            return "ip is not installed, which sets a network namespace up"
        if os.geteuid() != 0:
            return "only root may make a network namespace: run it with `unshare -rn`, or as root"
        return ""

    def close(self) -> None:
        """Give it back; it ends with the last process that is in it."""
        if self._inside is not None:
            os.close(self._inside)

    def _make(self) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.unshare(_CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "no network namespace can be made")
        for command in _SET_UP:
            subprocess.run(["ip", *command], check=True, timeout=60)
        self._inside = os.open(_NET, os.O_RDONLY)

    @staticmethod
    def _set(number: int) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.setns(number, _CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "the network namespace cannot be entered")


_KEY = pytest.StashKey[Namespace]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Run a test, its fixtures included, in the namespace of this run."""
    stash = item.config.stash
    namespace = stash.setdefault(_KEY, Namespace())
    namespace.missing = namespace.missing or namespace.why_not()
    if namespace.missing:
        return (yield)
    outside = namespace.enter()
    try:
        return (yield)
    finally:
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
