"""Lookups: one entry, or pages of them, and what of them is to be seen."""

from __future__ import annotations

from contextlib import suppress
from time import time
from typing import TYPE_CHECKING, Any, NamedTuple

from nspkit.errors import NoDataError, NspError, ServiceNotFoundError
from nspkit.registry._record import decoded, service_of
from nspkit.registry._restrictions import Restrictions

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from nspkit import Cancellation, Query, Service
    from nspkit.registry._keys import Key
    from nspkit.registry._record import Record
    from nspkit.registry._store import Entry, Store


_REMEMBERED = 16_384
_REMEMBERED_LENGTH = 1024
"""Of so many entries, each of up to so many bytes, what was made of them is kept."""


class _Made(NamedTuple):
    """What was made of an entry's bytes."""

    value: bytes
    record: Record
    service: Service


class Search:
    """Finds what is registered."""

    def __init__(self, store: Store) -> None:
        """Search in ``store``."""
        self._store = store
        self._shared: dict[str, Any] = {}
        self._made: dict[Key, _Made] = {}
        self._replaced = 0

    def find(self, query: Query, cancellation: Cancellation) -> Iterable[Service]:
        """Find what a query asks for.

        Raises:
            ServiceNotFoundError: There is nothing of that name (10108).
            NoDataError: There is, but it is not registered now, or not so (WSANO_DATA 11004).
            InvalidArgumentError: The query string is malformed (WSAEINVAL 10022).
            TryAgainError: The engine is away, or too slow (WSATRY_AGAIN 11002).
            NspError: An entry is damaged (WSANO_RECOVERY 11003); all others are told first.
        """
        restrictions = Restrictions(query)
        key = restrictions.scope.exact()
        if key is None:
            return self._all(query, restrictions, cancellation)
        entry = self._store.get(key, cancellation)
        if entry is None:
            raise self._not_found(query)
        return (self._one(query, restrictions, entry),)

    def _one(self, query: Query, restrictions: Restrictions, entry: Entry) -> Service:
        record, service = self._made_of(entry, restrictions)
        if service is None:
            gone = record.alive(time()) is None
            raise self._not_found(query) if gone else self._no_data(query)
        return service

    def _all(
        self, query: Query, restrictions: Restrictions, cancellation: Cancellation
    ) -> Iterator[Service]:
        known = visible = False
        for service in self._services(restrictions, cancellation):
            known = True
            if service is not None:
                visible = True
                yield service
        if query.name is not None and not visible and not cancellation.cancelled:
            raise self._no_data(query) if known else self._not_found(query)

    def _services(
        self, restrictions: Restrictions, cancellation: Cancellation
    ) -> Iterator[Service | None]:
        """Yield what is to be seen of each entry that is alive; None where nothing is.

        A damaged entry keeps nobody from finding the others: its error comes last.
        """
        scope = restrictions.scope
        damage: NspError | None = None
        for entry in self._store.entries(scope, cancellation):
            if not scope.covers(entry.key):
                continue
            try:
                record, service = self._made_of(entry, restrictions)
            except NspError as error:
                damage = damage or error
                continue
            if service is not None or record.alive(time()) is not None:
                yield service
        if damage is not None:
            raise damage

    def _made_of(self, entry: Entry, restrictions: Restrictions) -> tuple[Record, Service | None]:
        """Return the record of an entry, and the service that is to be seen of it, if any.

        What was made of the same bytes before is taken again: who browses a registry does so
        more than once, and to make a service costs more than to read it.
        """
        key, value, left = entry.key, entry.value, entry.left
        made = self._made.get(key)
        if made is not None and made.value == value:
            record, service = made.record, made.service
        else:
            record, service = decoded(key, value), None
        now = 0.0 if record.ends is None else time()
        seen = restrictions.visible(key, record, now)
        if seen is None:
            return record, None
        ttl = ttl_of(seen, left, now)
        if seen is not record:
            return record, service_of(key, seen, ttl, self._shared)
        if service is None:
            service = service_of(key, record, record.ttl, self._shared)
            if record.ends is None and len(value) <= _REMEMBERED_LENGTH:
                self._remember(key, _Made(value, record, service))
        return record, service if ttl == service.ttl else service.replace(ttl=ttl)

    def _remember(self, key: Key, made: _Made) -> None:
        """Keep what was made of an entry.

        Where there is no room the newest goes: a browse of more than that finds most of the others
        again the next time, and would find none if the oldest went. What is kept of entries that
        are not there any more goes with all others, now and then.
        """
        if len(self._made) >= _REMEMBERED:
            self._replaced += 1
            if self._replaced % (4 * _REMEMBERED):
                with suppress(KeyError):  # another thread was quicker
                    self._made.popitem()
            else:
                self._made.clear()
        self._made[key] = made

    def _not_found(self, query: Query) -> ServiceNotFoundError:
        shown = query.service_type or query.service_class
        return ServiceNotFoundError(
            f"{self._store.location} has no service {query.name!r:.100}"
            + ("" if shown is None else f" of the class {shown}")
        )

    def _no_data(self, query: Query) -> NoDataError:
        return NoDataError(
            f"{self._store.location} has {query.name!r:.100}, but deregistered, or with nothing of "
            "the version, the protocols and the attributes asked for"
        )


def ttl_of(record: Record, left: float | None, now: float) -> float | None:
    """Return how long a record is good for, in seconds: what is left, where that is known.

    Else it is for how long it was registered, which is what it is renewed for.
    """
    if record.ends is not None:
        if None in record.ends:
            return None
        return round(max(end for end in record.ends if end is not None) - now, 3)
    if left is None or record.ttl is None:
        return record.ttl
    return round(min(max(left, 0.0), record.ttl), 3)
