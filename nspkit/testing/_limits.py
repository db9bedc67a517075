"""Time limits: what does not come back is left behind, and shown where it hangs."""

from __future__ import annotations

import sys
import threading
import traceback
from contextvars import ContextVar, copy_context
from queue import SimpleQueue
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar

from nspkit.testing._rule import RuleBrokenError, broken

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

T = TypeVar("T")

_LIMITED: ContextVar[bool] = ContextVar("nspkit.testing: somebody waits with a limit")


class HangsError(RuleBrokenError):
    """Something of the provider's did not come back in its time."""


def is_limited() -> bool:
    """Whether somebody waits with a limit for what runs here."""
    return _LIMITED.get(False)


class Errand:
    """A call on a thread of its own, which somebody may stop waiting for."""

    def __init__(
        self,
        what: str,
        function: Callable[[], Any],
        *,
        thread: threading.Thread | None = None,
        limits: bool = True,
    ) -> None:
        """Begin it, unless it is given the thread that will; ``what`` names it in messages.

        ``limits`` says whether the provider may be called in it: who waits has a short limit.
        """
        self._what = what
        self._outcome: list[Any] = []
        self._error: list[BaseException] = []
        self._context = copy_context()
        self._context.run(_LIMITED.set, limits)
        self._function = function
        self._over = threading.Event()
        self._own = thread is None
        self._thread = thread or threading.Thread(target=self.run, name=f"kit: {what}", daemon=True)
        if self._own:
            self._thread.start()

    def run(self) -> None:
        """Do it, on this thread."""
        try:
            self._outcome.append(self._context.run(self._function))
        except BaseException as error:
            self._error.append(error)
        finally:
            del self._function  # it may keep what is to be gone
            self._over.set()

    @property
    def is_over(self) -> bool:
        """Whether it has come back."""
        return self._over.is_set()

    def wait(self, seconds: float) -> None:
        """Wait for its end, at most so many seconds."""
        self._over.wait(max(0.0, seconds))
        if self._own and self._over.is_set():
            self._thread.join()

    def result(self, seconds: float, *, said: float | None = None) -> Any:
        """Return what it returns, or raise what it raises.

        ``said`` is the limit for the message, where most of it was waited for before.

        Raises:
            HangsError: it has not come back by then; the message shows where it is.
        """
        __tracebackhide__ = True
        self.wait(seconds)
        if not self.is_over:
            raise HangsError(
                f"{self._what} did not come back within {seconds if said is None else said:g} s; "
                f"{_way(self._what)}. It hangs at:\n{self._stack()}"
            )
        try:
            if self._error:
                raise self._error[0]
            return self._outcome[0]
        finally:
            self._error = []  # a raised error refers to this frame

    def _stack(self) -> str:
        frame = sys._current_frames().get(self._thread.ident or 0)
        return "".join(traceback.format_stack(frame)[-6:]) if frame else "(nowhere)"


def _way(what: str) -> str:
    """Return what is to be changed where something hangs."""
    if what.endswith("()"):
        return "take the work out of __init__: nsp_startup is for what takes time"
    ends = any(part in what for part in ("lookup", "watch", "notify", "rule"))
    return "bound what it waits for" + (", and have it end when it is cancelled" if ends else "")


class Hand:
    """A thread that does one thing after another, and lives in between.

    Two of them that live at the same time are different threads; threads that come one after
    another may have the same identifier.
    """

    def __init__(self, seconds: float) -> None:
        """Begin; each thing may take so many seconds."""
        self._seconds = seconds
        self._things: SimpleQueue[Errand | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="kit: a hand", daemon=True)
        self._thread.start()

    def __call__(self, what: str, function: Callable[[], T]) -> T:
        """Have it do something, and return what that returns.

        Raises:
            RuleBrokenError: it has not come back in its time.
        """
        __tracebackhide__ = True
        outcome: T = self.begin(what, function).result(self._seconds)
        return outcome

    def begin(self, what: str, function: Callable[[], Any]) -> Errand:
        """Have it do something, and wait for nothing."""
        errand = Errand(what, function, thread=self._thread)
        self._things.put(errand)
        return errand

    def _work(self) -> None:
        while (errand := self._things.get()) is not None:
            errand.run()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._things.put(None)


def within(seconds: float, what: str, function: Callable[[], T]) -> T:
    """Call a function, and wait for it no longer than so many seconds.

    Raises:
        HangsError: it has not come back in that time.
    """
    __tracebackhide__ = True
    outcome: T = Errand(what, function).result(seconds)
    return outcome


def at_once(count: int, what: str, function: Callable[[int], T], seconds: float) -> list[T]:
    """Call a function on so many threads at the same moment; return what they returned.

    Raises:
        RuleBrokenError: one has not come back in that time.
        Exception: what one of them raised.
    """
    __tracebackhide__ = True
    together = threading.Barrier(count)

    def begin(number: int) -> T:
        together.wait(seconds)
        return function(number)

    errands = [
        Errand(f"{what} on thread {number + 1} of {count}", lambda number=number: begin(number))  # type: ignore[misc]
        for number in range(count)
    ]
    until = monotonic() + 2 * seconds
    for errand in errands:  # all of them, so that none disturbs what is looked at next
        errand.wait(until - monotonic())
    return [errand.result(0.0, said=2 * seconds) for errand in errands]


def eventually(
    condition: Callable[[], bool], seconds: float, message: str | Callable[[], str]
) -> None:
    """Wait until a condition holds; a back end may need a moment.

    Where the message tells what was there last, it is a function.

    Raises:
        RuleBrokenError: it does not hold after so many seconds.
    """
    __tracebackhide__ = True
    until, pause, waiting = monotonic() + seconds, 0.002, threading.Event()
    while not condition():
        if monotonic() > until:
            broken(message if isinstance(message, str) else message())
        waiting.wait(pause)
        pause = min(0.1, 2 * pause)
