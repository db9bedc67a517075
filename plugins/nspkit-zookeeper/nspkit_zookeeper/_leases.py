"""What this session has registered for a time, and until when.

ZooKeeper knows sessions, not leases: a node stays for as long as the process does. What nobody puts
again in its time is removed here.
"""

from __future__ import annotations

import threading
from time import monotonic
from typing import TYPE_CHECKING, Any

from kazoo.exceptions import KazooException

from nspkit_zookeeper._failures import LOST

if TYPE_CHECKING:
    from collections.abc import Callable

    from nspkit.registry import Key
    from nspkit_zookeeper._nodes import Version

    Remove = Callable[[Key, Version], Any]

_LONGEST_PAUSE = 0.5
"""Seconds by which a lease may end late."""

_MOST = 64
"""So many puts of one key are known; more can only be those of broken connections, long ago."""


class Leases:
    """The leases of one session."""

    def __init__(self, is_connected: Callable[[], bool], remove: Remove) -> None:
        """Have ``remove`` begin to remove what has ended, while ``is_connected()`` says so."""
        self._is_connected = is_connected
        self._remove = remove
        self._lock = threading.Lock()
        # Of a key, each put that may have been done, and when it ends in `time.monotonic` seconds.
        self._leases: dict[Key, dict[Version, float]] = {}
        self._ending: list[tuple[Key, Version, Any]] = []

    def touch(self, key: Key, ttl: float) -> bool | None:
        """Have it end later, before somebody looks whether it is still there.

        Returns None if there is no lease, else whether it was over.
        """
        now = monotonic()
        with self._lock:
            puts = self._leases.get(key)
            if puts is None:
                return None
            last = max(puts.values())
            for version, end in puts.items():
                puts[version] = max(end, now + ttl)
        return last <= now

    def expect(self, key: Key, version: Version, ttl: float) -> None:
        """Have a put that is about to be done end after ``ttl`` seconds from now."""
        with self._lock:
            self._leases.setdefault(key, {})[version] = monotonic() + ttl

    def settle(
        self, key: Key, version: Version, ttl: float, replaced: Version | None = None
    ) -> None:
        """Have a put that was done, in the place of ``replaced``, end after ``ttl`` seconds.

        The others of its key stay: another thread's may have been done after it, and be known of
        before it. To end one that is not there does nothing.
        """
        with self._lock:
            puts = self._leases.setdefault(key, {})
            for one in tuple(puts):
                is_before = one.incarnation == version.incarnation and one.number <= version.number
                if is_before or one == replaced:
                    del puts[one]
            puts[version] = monotonic() + ttl
            while len(puts) > _MOST:
                del puts[next(iter(puts))]

    def discard(self, key: Key, version: Version) -> None:
        """Forget a put that was not done, or is not there any more."""
        with self._lock:
            puts = self._leases.get(key)
            if puts is not None:
                puts.pop(version, None)
                if not puts:
                    del self._leases[key]

    def keep(self, stop: threading.Event) -> None:
        """Be the thread: remove what has ended, until ``stop`` is set."""
        while not stop.wait(self._pause()):
            self._sweep()

    def _expect_again(self, key: Key, version: Version) -> None:
        with self._lock:
            # Who has put it again meanwhile has found it there: then it ends when that one says.
            self._leases.setdefault(key, {}).setdefault(version, monotonic())

    def _pause(self) -> float:
        with self._lock:
            ends = (end for puts in self._leases.values() for end in puts.values())
            first = min(ends, default=None)
        if first is None or not self._is_connected():
            return _LONGEST_PAUSE
        return min(_LONGEST_PAUSE, max(0.02, first - monotonic()))

    def _sweep(self) -> None:
        if not self._is_connected():
            return
        now, ending, self._ending = monotonic(), self._ending, []
        for key, version, pending in ending:
            if not pending.ready():
                self._ending.append((key, version, pending))
            elif not _was_answered(pending):
                self._expect_again(key, version)
        with self._lock:
            over = [
                (key, version)
                for key, puts in self._leases.items()
                for version, end in puts.items()
                if end <= now
            ]
            for key, version in over:
                del self._leases[key][version]
                if not self._leases[key]:
                    del self._leases[key]
                # Sent while the lock is held: who touches the lease after this finds none, and
                # what it then asks is answered after the node is gone.
                self._ending.append((key, version, self._remove(key, version)))


def _was_answered(pending: Any) -> bool:
    """Say whether a removal has come to an end: it is gone, or another put has taken its place."""
    try:
        pending.get_nowait()
    except LOST:
        return False
    except KazooException:
        return True
    return True
