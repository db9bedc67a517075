"""Cancellation: how a provider learns that nobody waits for its answer any more.

No lock is taken here: a cancellation may come from any thread, from a signal handler too. What
looks unusual (append first, look at the flag after) is what makes that safe: whoever comes second
sees what the first has done.
"""

from __future__ import annotations

from _thread import allocate_lock
from time import monotonic
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from _thread import LockType
    from collections.abc import Callable

T = TypeVar("T")

PATIENCE = 1.0
"""Seconds after which who waits looks again: an interrupt may have cut the ringing short."""


class Cancellation:
    """Tells a provider that nobody waits any more, and how much time remains.

    The host makes one for every lookup and watch. A provider looks at `cancelled` between steps,
    passes `remaining` to what takes a time-out, waits with `wait`, and interrupts what blocks from
    a callback given to `on_cancel`.
    """

    __slots__ = (
        "__weakref__",
        "_callbacks",
        "_cancelled",
        "_deadline",
        "_errors",
        "_left",
        "_waiting",
    )

    def __init__(self, deadline: float | None = None) -> None:
        """Make one that nobody has cancelled; ``deadline`` is in `time.monotonic` seconds."""
        self._cancelled = False
        self._deadline = deadline
        self._left: float | None = None
        self._callbacks: list[tuple[Callable[[], object]]] = []
        self._waiting: list[LockType] = []
        self._errors: list[BaseException] = []

    def __repr__(self) -> str:
        remaining = self.remaining()
        time = "" if remaining is None else f", {remaining:.3f} s remaining"
        return f"<Cancellation: {'cancelled' if self.cancelled else 'not cancelled'}{time}>"

    @property
    def cancelled(self) -> bool:
        """Whether nobody waits any more: cancelled, or the time is over."""
        deadline = self._deadline  # once: another thread may take it away
        return self._cancelled or (deadline is not None and monotonic() >= deadline)

    def remaining(self) -> float | None:
        """Return the seconds that remain, 0.0 when there are none, None without a limit."""
        if self._cancelled:
            return 0.0
        deadline = self._deadline
        return None if deadline is None else max(0.0, deadline - monotonic())

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until cancelled, at most ``seconds`` (None: as long as it takes); True if it was.

        Use it instead of `time.sleep`. The time limit of the lookup counts as cancellation.
        """
        until = None if seconds is None else monotonic() + max(0.0, seconds)
        bell = allocate_lock()
        bell.acquire()
        self._waiting.append(bell)
        try:
            while not self.cancelled:
                limits = [limit for limit in (until, self._deadline) if limit is not None]
                left = min(limits) - monotonic() if limits else PATIENCE
                if left <= 0.0:
                    break
                bell.acquire(timeout=min(left, PATIENCE))
        finally:
            _take(self._waiting, bell)
        return self.cancelled

    def on_cancel(self, callback: Callable[[], object]) -> None:
        """Have ``callback`` called once, on the cancelling thread, under no lock.

        If it is cancelled already, it is called at once, on this thread. What it raises is kept
        with the errors of the lookup and harms no other callback. That the time is over calls it
        when the host notices, which is at once where a reader waits.
        """
        ticket = (callback,)
        self._callbacks.append(ticket)
        if self._cancelled:
            self._call_back()

    def cancel(self) -> None:
        """Cancel: wake who waits and run the callbacks; a second call does nothing."""
        self._cancelled = True
        while (bell := _take(self._waiting)) is not None:
            bell.release()
        self._call_back()

    def failure(self) -> BaseException | None:
        """Take out what a callback raised, the oldest first; None when there is no more."""
        return _take(self._errors)

    def pause(self) -> None:
        """Stop the clock: that a full buffer waits for its reader is not the provider's time."""
        self._left = self.remaining()
        self._deadline = None

    def resume(self) -> None:
        """Let the clock run again; there is as much time left as when it was stopped."""
        self._deadline = None if self._left is None else monotonic() + self._left

    def release(self) -> None:
        """Drop the callbacks: it is over, and what they refer to may go."""
        if not self._cancelled:  # else who has cancelled is calling them
            self._callbacks = []

    def forget(self) -> None:
        """Be cancelled without calling anybody: in a forked child nothing of it is the child's."""
        self._callbacks = []
        self._waiting = []
        self._cancelled = True

    def _call_back(self) -> None:
        interrupt: BaseException | None = None
        while (ticket := _take(self._callbacks)) is not None:
            try:
                ticket[0]()
            except (Exception, SystemExit, GeneratorExit) as error:
                self._errors.append(error)
            except BaseException as error:
                interrupt = interrupt or error
        try:
            if interrupt is not None:
                raise interrupt
        finally:
            del interrupt  # it refers to this frame: no cycle


def _take(items: list[T], item: T | None = None) -> T | None:
    """Take out one item (the oldest, or that one); None if another thread was quicker."""
    try:
        if item is None:
            return items.pop(0)
        items.remove(item)
    except (IndexError, ValueError):
        return None
    return item
