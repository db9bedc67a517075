"""Watches: what is there, then what changes, by comparing what an engine tells."""

from __future__ import annotations

from contextlib import ExitStack
from heapq import heapify, heappop, heappush
from itertools import count
from time import time
from typing import TYPE_CHECKING, Any, NamedTuple

from nspkit import Change, ChangeKind
from nspkit.errors import NspError
from nspkit.registry._record import content_text, decoded, service_of
from nspkit.registry._restrictions import Restrictions
from nspkit.registry._search import ttl_of
from nspkit.registry._store import Entry, Gone, Mark

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nspkit import Cancellation, Query, Service
    from nspkit.registry._keys import Key
    from nspkit.registry._record import Record
    from nspkit.registry._store import Store

_PATIENCE = 60.0
"""Seconds that an engine may wait for something to happen, where no lease of an address ends."""


class _Known(NamedTuple):
    """What a watch knows of an entry, and what it has told of it."""

    record: Record
    told: Record | None


class Watch:
    """One watch; its iterator is used by one thread at a time."""

    def __init__(self, store: Store, query: Query, cancellation: Cancellation) -> None:
        """Watch what ``query`` asks for.

        Raises:
            NoDataError: It asks for containers (WSANO_DATA 11004).
            InvalidArgumentError: Its query string is malformed (WSAEINVAL 10022).
        """
        self._store = store
        self._restrictions = Restrictions(query)
        self._cancellation = cancellation
        self._known: dict[Key, _Known] = {}
        self._missing: set[Key] = set()
        # With a number, because keys have no order: some have no class.
        self._ends: list[tuple[float, int, Key]] = []
        self._number = count()
        self._shared: dict[str, Any] = {}

    def changes(self) -> Iterator[Change | None]:
        """Yield what is there as ADDED, None as the end of that, then each change.

        It goes on until nobody waits any more.

        Raises:
            TryAgainError: The engine is lost, or silent (WSATRY_AGAIN 11002).
            NspError: It refuses.
        """
        told = False
        follow = self._store.follow(self._restrictions.scope, self._cancellation, self._patience)
        with ExitStack() as stack:
            if hasattr(follow, "close"):  # a generator is an iterator with one; others need none
                stack.callback(follow.close)
            for item in follow:
                yield from self._news(item)
                if item is Mark.LISTED and not told and not self._cancellation.cancelled:
                    told = True
                    yield None
                yield from self._ended()

    def _news(self, item: Entry | Gone | Mark) -> Iterator[Change]:
        if item is Mark.BEGIN:
            self._missing = set(self._known)
        elif item is Mark.LISTED:
            missing, self._missing = self._missing, set()
            for key in missing:
                yield from self._compare(key, None)
        elif isinstance(item, Gone):
            yield from self._compare(item.key, None)
        elif isinstance(item, Entry) and self._restrictions.scope.covers(item.key):
            self._missing.discard(item.key)
            yield from self._compare(item.key, _record(item), item.left)

    def _compare(
        self, key: Key, record: Record | None, left: float | None = None
    ) -> Iterator[Change]:
        now = time()
        before = self._known.pop(key, None)
        told = None if before is None else before.told
        seen = None if record is None else self._visible(key, record, now)
        same = seen is not None and told is not None and _is_same(seen, told)
        service = None
        if seen is not None and not same:
            service = self._service(key, seen, ttl_of(seen, left, now))
            if service is None:
                seen = None
        if record is not None:
            self._known[key] = _Known(record, seen)
            self._note_end(key, record, now)
        if service is not None:
            yield Change(ChangeKind.ADDED if told is None else ChangeKind.CHANGED, service)
        elif seen is None and told is not None:
            gone = self._service(key, told, None)
            if gone is not None:
                yield Change(ChangeKind.REMOVED, gone)

    def _visible(self, key: Key, record: Record, now: float) -> Record | None:
        """Return what is to be seen of a record; None of one that is damaged: it is not there."""
        try:
            return self._restrictions.visible(key, record, now)
        except NspError:
            return None

    def _service(self, key: Key, record: Record, ttl: float | None) -> Service | None:
        """Make the service of a record; None of one that is damaged: it is not there."""
        try:
            return service_of(key, record, ttl, self._shared)
        except NspError:
            return None

    def _note_end(self, key: Key, record: Record, now: float) -> None:
        end = record.next_end(now)
        if end is not None:
            heappush(self._ends, (end, next(self._number), key))
            # Each renewal leaves its old end there.
            if len(self._ends) > 4 * len(self._known) + 1000:
                ends = ((known.record.next_end(now), key) for key, known in self._known.items())
                self._ends = [
                    (end, next(self._number), key) for end, key in ends if end is not None
                ]
                heapify(self._ends)

    def _ended(self) -> Iterator[Change]:
        """Yield what has changed because leases of addresses have ended."""
        now = time()
        while self._ends and self._ends[0][0] <= now:
            _end, _number, key = heappop(self._ends)
            known = self._known.get(key)
            record = None if known is None else known.record.alive(now)
            # Of one that was renewed meanwhile the later end is noted already.
            if known is not None and record is not known.record:
                yield from self._compare(key, record)

    def _patience(self) -> float:
        """Return for how long nothing can happen that the engine does not tell."""
        return min(_PATIENCE, max(0.0, self._ends[0][0] - time())) if self._ends else _PATIENCE


def _record(entry: Entry) -> Record | None:
    """Return the record of an entry; a damaged one is not there."""
    try:
        return decoded(entry.key, entry.value)
    except NspError:
        return None


def _is_same(one: Record, other: Record) -> bool:
    """Say whether two records say the same; a lease that goes on is no change."""
    one, other = (record._replace(ttl=None, ends=None) for record in (one, other))
    # Most are equal, and to be so as text too costs more: to Python, 1 and true are equal.
    return one == other and content_text(one) == content_text(other)
