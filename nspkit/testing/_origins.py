"""Where threads, descriptors and child processes come from, for as long as somebody looks."""

from __future__ import annotations

import builtins
import contextlib
import io
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from nspkit.testing import _system
from nspkit.testing._places import is_authors

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

# Whether it makes a process; to look for those takes longer.
_WAYS = (
    (socket.socket, "__init__", False),
    (subprocess.Popen, "__init__", True),
    (builtins, "open", False),
    (io, "open", False),
    (os, "open", False),
    (os, "pipe", False),
    (os, "dup", False),
    (os, "fork", True),
    (os, "posix_spawn", True),
)
# From here on outwards nothing is the provider's.
_CALLERS = tuple(
    str(Path(__file__).with_name(f"_{name}.py")) for name in ("case", "limits", "first")
)


class Origins:
    """Notes by whose lines things come into being; those of a provider or of anybody else.

    Args:
        own: The folder of the provider's package, or the file of its module.
    """

    def __init__(self, own: str) -> None:
        self.threads: WeakKeyDictionary[threading.Thread, Origin] = WeakKeyDictionary()
        self.descriptors: dict[int, Origin] = {}
        self.children: dict[int, Origin] = {}
        self._own = own
        self._stack = contextlib.ExitStack()

    def begin(self) -> None:
        """Note it from now on."""
        self._replace(threading.Thread, "start", self._starting(threading.Thread.start))
        for holder, name, forks in _WAYS:
            if hasattr(holder, name):
                original = getattr(holder, name)
                self._replace(holder, name, self._acquiring(original, forks=forks))
        with contextlib.suppress(ImportError):
            import sqlite3  # what opens files without Python's knowing

            self._replace(sqlite3, "connect", self._acquiring(sqlite3.connect, forks=False))

    def end(self) -> None:
        """Note it no more."""
        self._stack.close()

    def _replace(self, holder: Any, name: str, stand_in: Any) -> None:
        self._stack.callback(setattr, holder, name, getattr(holder, name))
        setattr(holder, name, stand_in)

    def _starting(self, original: Callable[[threading.Thread], None]) -> Callable[..., None]:
        def start(thread: threading.Thread) -> None:
            self.threads[thread] = Origin(sys._getframe(1), self._own)
            original(thread)

        return start

    def _acquiring(self, original: Callable[..., Any], *, forks: bool) -> Callable[..., Any]:
        def acquire(*args: Any, **kwargs: Any) -> Any:
            before = _there(forks=forks)
            try:
                return original(*args, **kwargs)
            finally:
                descriptors, children = _there(forks=forks)
                origin = Origin(sys._getframe(1), self._own)
                self.descriptors.update(dict.fromkeys(descriptors - before[0], origin))
                self.children.update(dict.fromkeys(children - before[1], origin))

        return acquire


def _there(*, forks: bool) -> tuple[set[int], set[int]]:
    return set(_system.descriptors()), set(_system.children()) if forks else set()


class Origin:
    """By whose lines something came into being.

    Attributes:
        place: The innermost line of the provider, else of any package; empty if there is none.
        is_a_librarys: Whether it came as a package of others was imported, once in a process.
    """

    def __init__(self, frame: FrameType | None, own: str) -> None:
        self.place = ""
        self.is_a_librarys = False
        while frame is not None and frame.f_code.co_filename not in _CALLERS:
            file, name = frame.f_code.co_filename, frame.f_code.co_name
            is_own = bool(own) and file.startswith(own)
            if is_own or (is_authors(file) and not self.place):
                self.place = f"{file}:{frame.f_lineno} in {name}"
            if is_own:
                return
            if name == "<module>" and is_authors(file):
                self.is_a_librarys = True
                return
            frame = frame.f_back
