"""Waiting for what another thread does, safe from signals that strike on the way.

The locks of `threading.Event` are taken in Python code: Ctrl-C can strike just after, and whoever
sets the event then waits for ever. Here that one is the thread that answers the network.
"""

from __future__ import annotations

from _thread import allocate_lock
from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _thread import LockType
    from queue import SimpleQueue
    from typing import Any

    from nspkit import Cancellation

PATIENCE = 1.0
"""Seconds after which who waits looks again: an interrupt may have cut the ringing short."""


class Bell:
    """Rung once; who waits for it, then or later, goes on."""

    __slots__ = ("_waiting", "rung")

    def __init__(self) -> None:
        """Make one that has not been rung."""
        self.rung = False
        self._waiting: list[LockType] = []

    def ring(self) -> None:
        """Ring it; a second time does nothing."""
        self.rung = True
        # No lock: who waits joins the list first and looks after, so one of the two sees the other.
        while self._waiting:
            try:
                self._waiting.pop().release()
            except IndexError:  # another thread rings too
                return

    def wait(self, seconds: float) -> bool:
        """Wait until it is rung, at most ``seconds``; say whether it was."""
        until = monotonic() + seconds
        mine = allocate_lock()
        mine.acquire()
        self._waiting.append(mine)
        while not self.rung:
            left = min(PATIENCE, until - monotonic())
            if left <= 0.0:
                break
            mine.acquire(timeout=left)
        return self.rung


class Alarm:
    """Wakes who waits at a queue when nobody waits for the answer any more, by None.

    A cancellation keeps all that it was given to call: a watch that asks again and again has one
    alarm, so that it does not grow.
    """

    __slots__ = ("_queue",)

    def __init__(self, cancellation: Cancellation) -> None:
        """Make the one of a cancellation."""
        self._queue: SimpleQueue[Any] | None = None
        cancellation.on_cancel(self._ring)

    def wakes(self, queue: SimpleQueue[Any]) -> None:
        """Wake who waits there; who does so looks first whether it was cancelled before."""
        self._queue = queue

    def _ring(self) -> None:
        if self._queue is not None:
            self._queue.put(None)
