"""Waiting for something that happens once, safe from signals that strike on the way.

`threading.Event` takes a lock in Python code: Ctrl-C can strike after the lock was taken and before
the block that gives it back has begun, and whoever sets the event then waits for ever.
"""

from __future__ import annotations

from _thread import allocate_lock
from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _thread import LockType

PATIENCE = 1.0
"""Seconds after which who waits looks again: an interrupt may have cut the ringing short."""


class Bell:
    """Rung once; who waits for it, then or later, goes on.

    Attributes:
        rung: Whether it was.
    """

    __slots__ = ("_waiting", "rung")

    def __init__(self) -> None:
        """Make one that has not been rung."""
        self.rung = False
        self._waiting: list[LockType] = []

    def ring(self) -> None:
        """Ring it; a second time does nothing."""
        self.rung = True
        # No lock: who waits joins the list first and looks after, so one of the two sees the other.
        try:
            while True:
                self._waiting.pop().release()
        except IndexError:
            pass  # nobody waits any more; another thread may be ringing too

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until it is rung, at most ``seconds`` (None: for as long as it takes)."""
        until = None if seconds is None else monotonic() + seconds
        mine = allocate_lock()
        mine.acquire()
        self._waiting.append(mine)
        while not self.rung:
            left = PATIENCE if until is None else min(PATIENCE, until - monotonic())
            if left <= 0.0:
                break
            mine.acquire(timeout=left)
        return self.rung
