"""What was left behind: threads, descriptors, child processes, and instances that still live."""

from __future__ import annotations

import gc
import sys
import threading
from time import monotonic
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from nspkit.testing import _system
from nspkit.testing._referrers import holders

if TYPE_CHECKING:
    from types import FrameType, TracebackType
    from typing import Self

PATIENCE = 2.0
"""Seconds that what is about to end is given: a thread that was told to stop needs a moment."""


class LeakReport:
    """Compares before and after: what was left behind in between.

    A context manager. After the block the four attributes say what is there that was not there
    before, one text for each thing; the report is false when all are empty, and its text names
    all.

    ::

        with LeakReport(MyProvider) as leaks:
            with nspkit.Host() as host:
                ...
        assert not leaks, str(leaks)

    Descriptors are seen where the system lists them (Linux, macOS), children on Linux; elsewhere
    those two stay empty. While the block runs, `threading.Thread.start` notes who called it. Do
    not run two at once on different threads: each would see what the other does.

    Args:
        *classes: The classes whose instances are counted, subclasses included.
        patience: How many seconds what is about to end is given.

    Attributes:
        threads: Threads that still run, and where they were started.
        descriptors: Open files and sockets, and what they are.
        children: Child processes, ended ones that nobody has waited for included.
        instances: Instances of the classes, and what refers to them.
    """

    def __init__(self, *classes: type, patience: float = PATIENCE) -> None:
        self.threads: tuple[str, ...] = ()
        self.descriptors: tuple[str, ...] = ()
        self.children: tuple[str, ...] = ()
        self.instances: tuple[str, ...] = ()
        self._classes = classes
        self._patience = patience
        self._starts = _Starts()

    def __enter__(self) -> Self:
        self._before = Picture(self._classes)
        self._before.instances = []  # their identities are enough, and keep nothing alive
        self._starts.begin()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._starts.end()
        until, pause, waiting = monotonic() + self._patience, 0.001, threading.Event()
        after = Picture(self._classes)
        while after.adds_to(self._before) and monotonic() < until:
            after.instances = []  # else it would be what keeps them alive
            gc.collect()
            waiting.wait(pause)
            pause = min(0.05, 2 * pause)
            after = Picture(self._classes)
        self._tell(after)

    def __bool__(self) -> bool:
        return bool(self.threads or self.descriptors or self.children or self.instances)

    def __str__(self) -> str:
        if not self:
            return "nothing was left behind"
        lines = ["left behind:"]
        for name in ("threads", "descriptors", "children", "instances"):
            lines += [f"  {name}: {text}" for text in getattr(self, name)]
        return "\n".join(lines)

    def __repr__(self) -> str:
        names = ("threads", "descriptors", "children", "instances")
        counts = ", ".join(f"{len(getattr(self, name))} {name}" for name in names)
        return f"<LeakReport: {counts}>"

    def _tell(self, after: Picture) -> None:
        before = self._before
        self.threads = tuple(
            self._told_of_thread(thread)
            for ident, thread in after.threads.items()
            if before.threads.get(ident) is not thread
        ) + tuple(
            f"a thread that Python's threading does not know, inside {_place(ident)}"
            for ident in after.foreign - before.foreign - before.threads.keys()
        )
        self.descriptors = tuple(
            self._told_of_descriptor(number, what)
            for number, what in after.descriptors.items()
            if before.descriptors.get(number) != what
        )
        self.children = tuple(
            self._told_of_child(pid, what)
            for pid, what in after.children.items()
            if pid not in before.children
        )
        found = [one for one in after.instances if id(one) not in before.identities]
        after.instances = []
        told = []
        for one in found:  # no comprehension: it would be among what refers to them
            told.append(f"a {type(one).__qualname__}, held by {holders(one, ignored=found)}")  # noqa: PERF401
        self.instances = tuple(told)
        found.clear()

    def _told_of_thread(self, thread: threading.Thread) -> str:
        return self._starts.described(thread)

    def _told_of_descriptor(self, number: int, what: str) -> str:
        return _system.described(number, what)

    def _told_of_child(self, pid: int, what: str) -> str:
        return f"process {pid}: {what}"


class Picture:
    """What there is at one moment."""

    def __init__(self, classes: tuple[type, ...]) -> None:
        self.threads = {thread.ident: thread for thread in threading.enumerate()}
        self.foreign = set(sys._current_frames()) - set(self.threads)
        self.descriptors = _system.descriptors()
        self.children = _system.children()
        kinds = _kinds(classes)
        # By type, not by isinstance: a proxy would be asked what it is, and that is foreign code.
        self.instances = [one for one in gc.get_objects() if type(one) in kinds] if kinds else []
        self.identities = frozenset(map(id, self.instances))

    def adds_to(self, before: Picture) -> bool:
        """Whether there is anything that was not there before."""
        return bool(
            set(self.threads.values()) - set(before.threads.values())
            or self.foreign - before.foreign - before.threads.keys()
            or self.descriptors.items() - before.descriptors.items()
            or self.children.keys() - before.children.keys()
            or self.identities - before.identities
        )


def _kinds(classes: tuple[type, ...]) -> set[type]:
    """Return classes and all their subclasses."""
    found: set[type] = set()
    waiting = list(classes)
    while waiting:
        kind = waiting.pop()
        if kind not in found:
            found.add(kind)
            waiting.extend(type.__subclasses__(kind))
    return found


class _Starts:
    """Where threads are started, for as long as somebody wants to know it."""

    def __init__(self) -> None:
        self._places: WeakKeyDictionary[threading.Thread, str] = WeakKeyDictionary()
        self._original: Any = None
        self._mine: Any = None

    def begin(self) -> None:
        """Note it from now on."""
        places, original = self._places, threading.Thread.start

        def start(self: threading.Thread) -> None:
            places[self] = _caller()
            original(self)

        self._original, self._mine = original, start
        threading.Thread.start = start  # type: ignore[method-assign]

    def end(self) -> None:
        """Note it no more; what somebody else has put over it meanwhile stays, and is harmless."""
        if threading.Thread.start is self._mine:
            threading.Thread.start = self._original  # type: ignore[method-assign]

    def described(self, thread: threading.Thread) -> str:
        """Return a thread as a text: its name, and where it was started."""
        return f"{thread.name!r}, started at {self._places.get(thread, 'a place nobody noted')}"


_PASSED_OVER = (
    "/threading.py",
    "/nspkit/_",
    "/nspkit/testing/_leaks.py",
    "/nspkit/testing/_faults.py",
    "/concurrent/futures/",
)


def _caller() -> str:
    """Return who started a thread: the innermost frame that is neither threading's nor nspkit's."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        path = frame.f_code.co_filename.replace("\\", "/")
        if not any(part in path for part in _PASSED_OVER):
            return f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_name}"
        frame = frame.f_back
    return "a place inside nspkit"


def _place(ident: int) -> str:
    frame = sys._current_frames().get(ident)
    if frame is None:
        return "nothing any more"
    return f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_name}"
