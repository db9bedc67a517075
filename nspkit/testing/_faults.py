"""Faults that the kit puts in: what cannot be acquired, and interrupts at every line."""

from __future__ import annotations

import builtins
import contextlib
import errno
import inspect
import io
import os
import socket
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any, TypeVar

from nspkit import Resources
from nspkit.testing._rule import RuleBrokenError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from types import CodeType, FrameType

    from nspkit.testing._case import Case

T = TypeVar("T")

MOST_POINTS = 60
"""How many acquisitions of one startup are made to fail, the first ones."""

Fault = type[BaseException]


class Points:
    """The moments of one thread at which something is acquired; one of them is made to fail.

    Args:
        failing: Which one fails, from 1; 0 for none.
        fault: What is raised there; None for what the system would raise.
    """

    def __init__(self, failing: int, fault: Fault | None = None) -> None:
        self.failing = failing
        self.fault = fault
        self.passed = 0
        self.where = ""
        self._thread: int | None = None

    def begin(self) -> None:
        """Count what this thread does from now on."""
        self._thread = threading.get_ident()

    def end(self) -> None:
        """Count no more."""
        self._thread = None

    def cross(self, what: str) -> None:
        """Tell that something is acquired, and fail if it is its turn."""
        if threading.get_ident() != self._thread:
            return
        self.passed += 1
        if self.passed != self.failing:
            return
        self.where = what
        note = f"put in by the kit, at acquisition {self.failing}: {what}"
        if self.fault is not None:
            raise self.fault(note)
        if what.startswith("thread"):
            raise RuntimeError(f"can't start new thread ({note})")
        raise OSError(errno.EMFILE, f"too many open files ({note})")


class FailingResources(Resources):
    """A release stack whose points are crossed as things are added to it."""

    __slots__ = ("_points",)

    def __init__(self, points: Points) -> None:
        super().__init__("kit, with faults")
        self._points = points

    # What was added stays: it is as if the next step of the startup had failed.

    def enter_context(self, manager: AbstractContextManager[T], *, name: str | None = None) -> T:
        """Enter it, and perhaps fail after that."""
        value = super().enter_context(manager, name=name)
        self._points.cross(f"after resources.enter_context({manager!r:.80})")
        return value

    def push(self, exit: T, *, name: str | None = None) -> T:
        """Add it, and perhaps fail after that."""
        added = super().push(exit, name=name)
        self._points.cross(f"after resources.push({exit!r:.80})")
        return added

    def callback(
        self, function: Callable[..., T], *args: Any, name: str | None = None, **kwargs: Any
    ) -> Callable[..., T]:
        """Add it, and perhaps fail after that."""
        added = super().callback(function, *args, name=name, **kwargs)
        self._points.cross(f"after resources.callback({function!r:.80})")
        return added

    def thread(
        self, target: Callable[..., object], *args: Any, name: str | None = None
    ) -> threading.Thread:
        """Start it, and perhaps fail after that."""
        started = super().thread(target, *args, name=name)
        self._points.cross(f"after resources.thread({target!r:.80})")
        return started


@contextlib.contextmanager
def acquisitions(points: Points) -> Iterator[None]:
    """Cross a point whenever this thread opens a file or socket, or starts a thread or process."""

    def watched(original: Callable[..., Any], what: str) -> Callable[..., Any]:
        def acquire(*args: Any, **kwargs: Any) -> Any:
            # A socket that is made of a descriptor acquires nothing.
            if not (what == "socket" and (kwargs.get("fileno") or len(args) > 4)) and _is_theirs():
                points.cross(what)
            return original(*args, **kwargs)

        return acquire

    with contextlib.ExitStack() as stack:
        for holder, name, what in _ways():
            original = getattr(holder, name)
            stack.callback(setattr, holder, name, original)
            setattr(holder, name, watched(original, what))
        points.begin()
        stack.callback(points.end)
        yield


def _ways() -> Iterator[tuple[Any, str, str]]:
    yield threading.Thread, "start", "thread start"
    yield socket.socket, "__init__", "socket"
    yield builtins, "open", "open"
    yield io, "open", "open"
    yield os, "open", "os.open"
    yield subprocess.Popen, "__init__", "subprocess.Popen"
    sqlite = sys.modules.get("sqlite3")
    if sqlite is not None:
        yield sqlite, "connect", "sqlite3.connect"


def start_with_fault(case: Case, points: Points) -> None:
    """Start an instance, with a fault at one of the points, and stop it if it came through.

    Raises:
        RuleBrokenError: it does not come back, or its resources cannot be released.
    """
    instance = case.instance(FailingResources(points))

    def start() -> None:
        points.begin()
        try:
            instance.call("nsp_startup", settings=dict(case.settings), resources=instance.resources)
        finally:
            points.end()

    try:
        with acquisitions(points):  # here: it ends also when the startup never does
            points.end()  # what the kit does is none of the provider's
            case.within("nsp_startup with a fault", start)
        case.within("nsp_cleanup", lambda: instance.call("nsp_cleanup"))
    except RuleBrokenError:
        raise
    except (Exception, KeyboardInterrupt):
        pass  # what the provider makes of a fault is its own affair
    finally:
        instance.give_back()


_STANDARD = os.path.dirname(os.__file__)  # noqa: PTH120  # as frames have it
# What these open for somebody, they close when it fails.
_CLEAN = ("/socket.py", "/pathlib", "/tempfile.py", "/nspkit/_resources.py")


def _is_theirs() -> bool:
    """Whether it is the author's code that acquires, and not the standard library on its own.

    What the standard library leaves when it fails half-way is not the provider's fault.
    """
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        file = frame.f_code.co_filename
        path = file.replace("\\", "/")
        if not any(part in path for part in _CLEAN):
            return "-packages" in file or not file.startswith((_STANDARD, "<frozen"))
        frame = frame.f_back
    return False


class Lines:
    """Acts at one line of a function, while the function runs on this thread.

    Args:
        code: The function's code.
        turn: At which line that is reached, from 1; 0 for none.
        action: What is done there; what it raises is raised there.
    """

    def __init__(self, code: CodeType, turn: int, action: Callable[[], object]) -> None:
        self.reached = 0
        self._code = code
        self._turn = turn
        self._action = action

    def run(self, function: Callable[[], object]) -> None:
        """Call ``function``, which leads to the function that is acted in."""
        before = sys.gettrace()
        sys.settrace(self._called)
        try:
            function()
        finally:
            sys.settrace(before)

    def _called(self, frame: FrameType, event: str, _argument: object) -> Any:
        return self._line if event == "call" and frame.f_code is self._code else None

    def _line(self, _frame: FrameType, event: str, _argument: object) -> Any:
        if event == "line":
            self.reached += 1
            if self.reached == self._turn:
                self._action()
        return self._line


def code_of(method: Any) -> CodeType:
    """Return the code of what an author wrote, below any decorators."""
    function = inspect.unwrap(getattr(method, "__func__", method))
    code: CodeType = function.__code__
    return code


def interrupt() -> None:
    """Raise what Ctrl-C raises."""
    raise KeyboardInterrupt("put in by the kit")
