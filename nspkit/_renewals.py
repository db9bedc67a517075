"""When registrations are due to be renewed: one thread for a host, while there is something to do.

The thread only looks at the clock. Renewing itself is work for the pool of `_workers`, and so is
telling who subscribed to events, so that a back end or a subscriber that hangs holds up nobody
but itself.
"""

from __future__ import annotations

import threading
from _queue import Empty, SimpleQueue
from itertools import count
from time import monotonic
from typing import TYPE_CHECKING, Protocol

from nspkit._lock import OwnedLock
from nspkit._starting import start
from nspkit.errors import ErrorCode, InProgressError, NspError

if TYPE_CHECKING:
    from collections.abc import Callable

NEVER = float("inf")
"""The time at which nothing is due."""

_LOOK_AGAIN = 3600.0  # what a wait takes at most, in seconds


class Renewable(Protocol):
    """What is renewed, as far as the clock is concerned."""

    due: float

    def attend(self) -> None:
        """Do what is due, without waiting for it; never raises."""

    def strand(self, because: NspError) -> None:
        """End it if it waits for a provider that is not started."""

    def forget(self, error: NspError) -> object:
        """Void it in a forked child."""


class Renewals:
    """Everything that one host has to renew, and the thread that tells when.

    Attributes:
        clock: The time in seconds, by `time.monotonic` unless a test has another.
        jitter: A random number from 0.0 to 1.0, so that a thousand hosts that were started
            together do not come together for ever.
    """

    __slots__ = ("_bell", "_leaves", "_thread", "clock", "jitter", "lock", "pending")

    def __init__(self) -> None:
        """Make one without a thread; that comes with the first thing to renew."""
        self.clock: Callable[[], float] = monotonic
        self.jitter: Callable[[], float] = _random
        self._begin_afresh()

    def _begin_afresh(self) -> None:
        self.lock = OwnedLock("the list of registrations")
        self.pending: dict[Renewable, None] = {}
        # A queue of this kind takes something from anywhere, even from a finaliser.
        self._bell: SimpleQueue[Renewable | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._leaves = False

    def refuse_reentry(self) -> None:
        """Raise InProgressError (WSAEINPROGRESS 10036) for a call that interrupted this list."""
        if self.lock._is_owned():  # type: ignore[attr-defined]
            raise InProgressError(
                "a registration was interrupted on this thread by a call that ends one; it is "
                "ended after that"
            )

    def add(self, one: Renewable) -> None:
        """Call its ``attend`` whenever it is due, from now on.

        Raises:
            NspError: no thread is to be had (WSAENOBUFS 10055).
        """
        self.pending[one] = None
        with self.lock:
            if self._leaves or self._thread is None or not self._thread.is_alive():
                thread = threading.Thread(target=self._run, name="nspkit-renewals", daemon=True)
                try:
                    start(thread)  # it waits for the lock before it does anything
                except RuntimeError as error:
                    raise NspError(
                        f"no thread to be had that would renew a registration ({error}); let "
                        "others end first, or raise the limit of threads",
                        code=ErrorCode.WSAENOBUFS,
                    ) from error
                self._thread, self._leaves = thread, False
        self.ring(one)

    def ring(self, one: Renewable) -> None:
        """Have a look at when it is due, which has changed; safe in a finaliser."""
        if one in self.pending:
            self._bell.put(one)

    def wake(self) -> None:
        """Have a look at the clock."""
        self._bell.put(None)

    def discard(self, one: Renewable) -> None:
        """Do not renew it any more; with the last one the thread ends, and is waited for."""
        self.pending.pop(one, None)
        thread = self._thread
        if self.pending or thread is None or not thread.is_alive():
            return
        self.wake()
        if thread is not threading.current_thread():
            thread.join(1.0)

    def close(self, because: NspError) -> None:
        """End what waits for a provider to start; all the rest ends with its provider."""
        for one in list(self.pending):
            one.strand(because)

    def forget(self, error: NspError) -> object:
        """Start afresh in a forked child, where there is no thread and the lock may be held."""
        left = list(self.pending)
        pinned = [one.forget(error) for one in left]
        bell = self._bell
        self._begin_afresh()
        return (left, pinned, bell)

    # -- on the thread -------------------------------------------------------------------------

    def _run(self) -> None:
        from heapq import heappop, heappush

        heap: list[tuple[float, int, Renewable]] = []
        numbers = count()
        while self._goes_on():
            left = min(heap[0][0] - self.clock(), _LOOK_AGAIN) if heap else _LOOK_AGAIN
            try:
                one = self._bell.get(timeout=max(0.0, left))
            except Empty:
                one = None
            if one is not None and one.due < NEVER:
                heappush(heap, (one.due, next(numbers), one))
            while heap and heap[0][0] <= self.clock():
                due, _, one = heappop(heap)
                # What has ended, or is due at another time by now, has no other trace in here.
                if one in self.pending and one.due == due:
                    one.attend()
            one = None

    def _goes_on(self) -> bool:
        """Whether this thread is still the one that is wanted."""
        with self.lock:
            if self._thread is not threading.current_thread():
                return False
            # Who adds something after this look finds that another thread is needed.
            self._leaves = not self.pending
            return not self._leaves


def _random() -> float:
    from random import random

    return random()
