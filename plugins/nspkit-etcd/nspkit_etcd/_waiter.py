"""Who waits for an answer: until when, and what to strike when nobody waits any more."""

from __future__ import annotations

import math
from time import monotonic, sleep
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nspkit import Cancellation
    from nspkit_etcd._lanes import Lane


class Waiter:
    """One operation, of one request or of many; a cancelled one has its connections shut down.

    Nothing here is locked: who cancels says so first and looks for connections then, and who gives
    a connection back takes it off first and looks then whether that was said. So a connection that
    was struck is never given to somebody else.
    """

    __slots__ = ("_cancellation", "_lanes", "_longest", "cancelled")

    def __init__(
        self, cancellation: Cancellation | None = None, *, longest: float = math.inf
    ) -> None:
        """Be told when it is cancelled; without a cancellation it never is.

        Args:
            cancellation: What tells it.
            longest: How many seconds each of its requests may take at most.
        """
        self._cancellation = cancellation
        self._longest = longest
        self._lanes: list[Lane] = []
        self.cancelled = False
        if cancellation is not None:
            cancellation.on_cancel(self._cancel)

    def until(self, seconds: float) -> float:
        """Return when its next request has to be over, on the monotonic clock."""
        left = None if self._cancellation is None else self._cancellation.remaining()
        return monotonic() + min(seconds, self._longest, math.inf if left is None else left)

    def is_over(self) -> bool:
        """Say whether nobody waits any more."""
        return self.cancelled or (self._cancellation is not None and self._cancellation.cancelled)

    def at_most(self, seconds: float) -> float:
        """Return the seconds, or what is left where that is less."""
        return self.until(seconds) - monotonic()

    def wait(self, seconds: float) -> None:
        """Wait, or until it is cancelled."""
        if self._cancellation is not None:
            self._cancellation.wait(seconds)
        else:
            sleep(seconds)

    def enter(self, lane: Lane) -> None:
        """Note that it waits for an answer there."""
        self._lanes.append(lane)
        if self.cancelled:
            lane.shut()

    def leave(self, lane: Lane) -> bool:
        """Note that it waits there no more; False if the connection may have been shut down."""
        if lane in self._lanes:  # not after an interrupted close, which is done once more
            self._lanes.remove(lane)
        return not self.cancelled

    def _cancel(self) -> None:
        self.cancelled = True
        for lane in tuple(self._lanes):
            lane.shut()
