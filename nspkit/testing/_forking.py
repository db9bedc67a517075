"""Running something in a forked child, and learning how it went."""

from __future__ import annotations

import os
import signal
import threading
import warnings
from time import monotonic
from traceback import extract_tb
from typing import TYPE_CHECKING

from nspkit.testing._places import chain, is_authors
from nspkit.testing._rule import told

if TYPE_CHECKING:
    from collections.abc import Callable


_MOST_SAID = 10_000
"""How many characters an error may have; a pipe that nobody reads yet takes some more bytes."""


def in_a_child(function: Callable[[], object], seconds: float) -> str:
    """Call a function in a forked child; return what went wrong there, or ``""``.

    Where the system has no fork there is nothing that could go wrong.
    """
    if not hasattr(os, "fork"):
        return ""
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        # Python warns of a fork with threads: that is what is looked at.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        _run(function, writing)
    os.close(writing)
    try:
        hangs = not _wait(pid, seconds)
        said = _read(reading)
    finally:
        os.close(reading)
    return f"it did not come back within {seconds:g} s" if hangs else said


def _run(function: Callable[[], object], writing: int) -> None:
    """Do it, say what went wrong, and end at once: nothing of the parent's is the child's."""
    try:
        function()
    except BaseException as error:
        os.write(writing, _shown(error)[:_MOST_SAID].encode(errors="replace"))
    finally:
        os._exit(0)


def _read(reading: int) -> str:
    """Return what was said, by now: what the child has left may hold the pipe for ever."""
    os.set_blocking(reading, False)
    try:
        with open(reading, "rb", closefd=False) as pipe:  # a descriptor, no path
            return (pipe.read() or b"").decode(errors="replace").strip()
    except BlockingIOError:
        return ""


def _shown(error: BaseException) -> str:
    """Return an error in a line, and in which lines of the author it came up."""
    lines = [
        f"\n  {frame.filename}:{frame.lineno} in {frame.name}"
        for one in chain(error)
        for frame in extract_tb(one.__traceback__)
        if is_authors(frame.filename)
    ]
    return f"{told(error)}{''.join(lines)}"


def _wait(pid: int, seconds: float) -> bool:
    """Wait for the child; one that hangs is ended."""
    until, pause = monotonic() + seconds, threading.Event()
    while os.waitpid(pid, os.WNOHANG)[0] == 0:
        if monotonic() > until:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return False
        pause.wait(0.005)
    return True
