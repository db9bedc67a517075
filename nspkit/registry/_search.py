"""Lookups: one entry, or pages of them, and what of them is to be seen."""

from __future__ import annotations

from time import time
from typing import TYPE_CHECKING, Any

from nspkit.errors import NoDataError, NspError, ServiceNotFoundError
from nspkit.registry._record import decoded, service_of
from nspkit.registry._restrictions import Restrictions

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from nspkit import Cancellation, Query, Service
    from nspkit.registry._record import Record
    from nspkit.registry._store import Entry, Store


class Search:
    """Finds what is registered."""

    def __init__(self, store: Store) -> None:
        """Search in ``store``."""
        self._store = store
        self.shared: dict[str, Any] = {}

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
        record, now = decoded(entry.key, entry.value), time()
        seen = restrictions.visible(record, now)
        if seen is None:
            gone = record.alive(now) is None
            raise self._not_found(query) if gone else self._no_data(query)
        return service_of(entry.key, seen, _ttl(seen, entry, now), self.shared, query.service_class)

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
        scope, shared, asked = restrictions.scope, self.shared, restrictions.scope.class_id
        damage: NspError | None = None
        for entry in self._store.entries(scope, cancellation):
            if not scope.covers(entry.key):
                continue
            try:
                record, now = decoded(entry.key, entry.value), time()
                seen = restrictions.visible(record, now)
                service = None
                if seen is not None:
                    service = service_of(entry.key, seen, _ttl(seen, entry, now), shared, asked)
            except NspError as error:
                damage = damage or error
                continue
            if service is not None or record.alive(now) is not None:
                yield service
        if damage is not None:
            raise damage

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


def _ttl(record: Record, entry: Entry, now: float) -> float | None:
    return None if record.ttl is None else ttl_of(record, entry.left, now)
