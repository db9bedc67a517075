"""Time limits: what does not come back is left behind, and shown where it hangs."""

from __future__ import annotations

import sys
import threading
import traceback
from contextvars import copy_context
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar

from nspkit.testing._rule import RuleBrokenError, broken

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class Errand:
    """A call on a thread of its own, which somebody may stop waiting for."""

    def __init__(self, what: str, function: Callable[[], Any]) -> None:
        """Begin it; ``what`` names it in messages."""
        self._what = what
        self._outcome: list[Any] = []
        self._error: list[BaseException] = []
        context = copy_context()

        def run() -> None:
            try:
                self._outcome.append(context.run(function))
            except BaseException as error:
                self._error.append(error)

        self._thread = threading.Thread(target=run, name=f"kit: {what}", daemon=True)
        self._thread.start()

    @property
    def is_over(self) -> bool:
        """Whether it has come back."""
        return not self._thread.is_alive()

    def result(self, seconds: float) -> Any:
        """Return what it returns, or raise what it raises.

        Raises:
            RuleBrokenError: it has not come back by then; the message shows where it is.
        """
        __tracebackhide__ = True
        self._thread.join(seconds)
        if self._thread.is_alive():
            raise RuleBrokenError(
                f"{self._what} did not come back within {seconds:g} s; bound what it waits for, "
                f"and have it end when it is cancelled. It hangs at:\n{self._stack()}"
            )
        try:
            if self._error:
                raise self._error[0]
            return self._outcome[0]
        finally:
            self._error = []  # a raised error refers to this frame

    def _stack(self) -> str:
        frame = sys._current_frames().get(self._thread.ident or 0)
        return "".join(traceback.format_stack(frame)[-4:]) if frame else "(nowhere)"


def within(seconds: float, what: str, function: Callable[[], T]) -> T:
    """Call a function, and wait for it no longer than so many seconds.

    Raises:
        RuleBrokenError: it has not come back in that time.
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
    return [errand.result(max(0.1, until - monotonic())) for errand in errands]


def eventually(condition: Callable[[], bool], seconds: float, message: str) -> None:
    """Wait until a condition holds; a back end may need a moment.

    Raises:
        RuleBrokenError: it does not hold after so many seconds.
    """
    __tracebackhide__ = True
    until, pause, waiting = monotonic() + seconds, 0.002, threading.Event()
    while not condition():
        if monotonic() > until:
            broken(message)
        waiting.wait(pause)
        pause = min(0.1, 2 * pause)
