"""News from the engine's thread for a thread that waits, the latest of each name and no queue."""

from __future__ import annotations

from queue import Empty, SimpleQueue
from time import monotonic
from typing import TYPE_CHECKING

from nspkit_mdns._bell import PATIENCE

if TYPE_CHECKING:
    from nspkit import Cancellation, Service
    from nspkit_mdns._engine import Engine

_MOST = 10_000
"""So many names at most: a stranger can send any number of them."""


class Mailbox:
    """What is known of each name, and which names have news.

    One thread puts in, another one takes out; neither ever waits for a lock.
    """

    def __init__(self, engine: Engine, cancellation: Cancellation) -> None:
        """Make an empty one, whose reader is woken when nobody waits for it any more."""
        self.latest: dict[str, Service | None] = {}
        self._engine = engine
        self._cancellation = cancellation
        self._news: SimpleQueue[str | None] = SimpleQueue()
        self._noted: set[str | None] = set()
        cancellation.on_cancel(self.wake)

    def put(self, key: str, service: Service | None) -> None:
        """Tell what is known of a name now; None if it is gone."""
        if key not in self.latest and (service is None or len(self.latest) >= _MOST):
            return
        self.latest[key] = service
        if key not in self._noted:
            self._noted.add(key)
            self._news.put(key)

    def wake(self) -> None:
        """Have the reader look again; once, however often it is called meanwhile."""
        if None not in self._noted:
            self._noted.add(None)
            self._news.put(None)

    def next(self, seconds: float | None) -> str | None:
        """Wait for a name that has news, at most ``seconds``; None if there is none.

        Raises:
            NotInitialisedError: The engine was closed, or this is a forked child (10093).
        """
        until = None if seconds is None else monotonic() + seconds
        while not self._cancellation.cancelled:
            self._engine.check()
            limits = [PATIENCE, self._cancellation.remaining()]
            limits.append(None if until is None else until - monotonic())
            left = min(limit for limit in limits if limit is not None)
            if left <= 0.0:
                return None
            try:
                key = self._news.get(timeout=left)
            except Empty:
                continue
            self._noted.discard(key)  # before it is read: what comes after is news again
            if key is not None:
                return key
        return None

    def rest(self, seconds: float) -> bool:
        """Wait until somebody wakes the reader, at most ``seconds``; say whether somebody did.

        Raises:
            NotInitialisedError: The engine was closed, or this is a forked child (10093).
        """
        until = monotonic() + seconds
        while not self._cancellation.cancelled:
            self._engine.check()
            limits = [PATIENCE, until - monotonic(), self._cancellation.remaining()]
            left = min(limit for limit in limits if limit is not None)
            if left <= 0.0:
                return False
            try:
                self._noted.discard(self._news.get(timeout=left))
            except Empty:
                continue
            return True
        return True

    def forget(self, key: str) -> None:
        """Keep nothing of a name that is gone, unless it has come back meanwhile.

        On the thread that puts in: it could come back between the look and the removal.
        """
        self._engine.soon(self._forget, key)

    def _forget(self, key: str) -> None:
        if key not in self._noted and self.latest.get(key) is None:
            self.latest.pop(key, None)
