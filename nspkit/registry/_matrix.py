"""Registrations: Winsock's matrix of operations, each one transaction of the engine."""

from __future__ import annotations

from random import uniform
from time import monotonic, sleep, time
from typing import TYPE_CHECKING, Any, NamedTuple

from nspkit import ServiceOperation
from nspkit.errors import NspError, ServiceNotFoundError, TryAgainError
from nspkit.registry._keys import key_of
from nspkit.registry._record import address_text, decoded, encoded, record_of

if TYPE_CHECKING:
    from nspkit import Service
    from nspkit.registry._record import Record
    from nspkit.registry._store import Entry, Store

    Ends = dict[str, tuple[list[Any], float | None]]  # an address and its end, by its text

_PATIENCE = 10.0
"""For how many seconds a change is tried again while others change the same instance."""

_LONGEST_PAUSE = 0.05
"""Seconds between two tries at most."""

_SHORTEST_LEASE = 0.001
"""Seconds of a lease at least: no engine knows one of nothing, to some it is one without an end."""


def set_service(
    store: Store, service: Service, operation: ServiceOperation, *, multiple: bool = False
) -> None:
    """Register, deregister or delete an instance.

    Raises:
        ServiceNotFoundError: It is to be deregistered or deleted and is not there (10108).
        InvalidArgumentError: Something of it cannot be stored (WSAEINVAL 10022).
        TryAgainError: The engine is away, or others change the same all the time (11002).
        NspError: The engine refuses it.
    """
    change = _Change(service, operation, multiple=multiple)
    if change.replaces:
        # Whatever is there is replaced, so nobody has to look.
        store.put(change.key, encoded(change.given), ttl=_lease(change.given.ttl))
        return
    until, pause = monotonic() + _PATIENCE, 0.001
    while not change.tried(store):
        if monotonic() > until:
            raise TryAgainError(
                f"{service.name!r:.100} is being changed by others all the time; try again later"
            )
        sleep(uniform(0, pause))
        pause = min(2 * pause, _LONGEST_PAUSE)


class _Put(NamedTuple):
    """A record to be put, and for how many seconds."""

    record: Record
    ttl: float | None


class _Change:
    """One operation, checked and encoded before the engine is asked."""

    def __init__(self, service: Service, operation: ServiceOperation, *, multiple: bool) -> None:
        self.key = key_of(service)
        self.given = record_of(service)
        encoded(self.given)  # what cannot be stored is refused whatever the operation
        self.replaces = operation is ServiceOperation.REGISTER and not multiple
        self._service = service
        self._operation = operation
        self._multiple = multiple

    def tried(self, store: Store) -> bool:
        """Do it with what is there now; False if somebody has changed that meanwhile."""
        entry, now = store.get(self.key), time()
        if self._operation is ServiceOperation.DELETE and not self._multiple:
            return self._deleted(store, entry, now)
        record = None if entry is None else decoded(self.key, entry.value).alive(now)
        if self._operation is ServiceOperation.REGISTER:
            changed: _Put | None = self._added(record, entry, now)
        elif record is None or entry is None:
            raise self._not_found()
        elif not record.registered and self._operation is ServiceOperation.DEREGISTER:
            return True  # to put it anew would begin its lease anew
        else:
            changed = self._withdrawn(record, entry, now)
        if changed is None:
            return entry is not None and store.remove(self.key, entry.version)
        expected = None if entry is None else entry.version
        return store.put(self.key, encoded(changed.record), ttl=changed.ttl, expected=expected)

    def _deleted(self, store: Store, entry: Entry | None, now: float) -> bool:
        if entry is None:
            raise self._not_found()
        try:
            alive = decoded(self.key, entry.value).alive(now)
        except NspError:
            pass  # a damaged one can be deleted: that is how to mend it
        else:
            if alive is None:
                raise self._not_found()
        return store.remove(self.key, entry.version)

    def _added(self, record: Record | None, entry: Entry | None, now: float) -> _Put:
        ends: Ends = {}
        if record is not None and record.registered:
            ends = _ends_of(record, entry, now)
        ttl = self.given.ttl
        end = None if ttl is None else now + ttl
        ends |= {address_text(parts): (parts, end) for parts in self.given.addresses}
        if not ends:
            return _Put(self.given, _lease(ttl))
        return _with(self.given, ends, now)

    def _withdrawn(self, record: Record, entry: Entry, now: float) -> _Put | None:
        if self._multiple:
            gone = set(map(address_text, self.given.addresses))
            ends = _ends_of(record, entry, now)
            left = {text: pair for text, pair in ends.items() if text not in gone}
            if left:
                return _with(record, left, now)
        if self._operation is ServiceOperation.DELETE:
            return None
        ends = _ends_of(record, entry, now)
        lease = _with(record, ends, now).ttl if ends else _left(record, entry)
        known = record._replace(registered=False, addresses=[], ends=None, ttl=lease)
        return _Put(known, _lease(lease))

    def _not_found(self) -> ServiceNotFoundError:
        done = "deregistered" if self._operation is ServiceOperation.DEREGISTER else "deleted"
        kind = self._service.service_type or self._service.service_class
        of_class = f" of the class {kind}" if kind else ""
        return ServiceNotFoundError(
            f"there is no service {self._service.name!r:.100}{of_class} that could be {done}"
        )


def _ends_of(record: Record, entry: Entry | None, now: float) -> Ends:
    """Return each address of a record and when it ends, as far as that is known."""
    ends = record.ends
    if ends is None:
        left = _left(record, entry)
        ends = [None if left is None else now + left] * len(record.addresses)
    return {
        address_text(parts): (parts, end) for parts, end in zip(record.addresses, ends, strict=True)
    }


def _left(record: Record, entry: Entry | None) -> float | None:
    """Return how many seconds are left of a record's lease, at most; None if it has none."""
    if record.ttl is None or entry is None or entry.left is None:
        return record.ttl
    return entry.left


def _lease(ttl: float | None) -> float | None:
    return None if ttl is None else max(ttl, _SHORTEST_LEASE)


def _with(record: Record, ends: Ends, now: float) -> _Put:
    """Return a record with these addresses, and the lease of all: as long as that of any."""
    pairs = list(ends.values())
    record = record._replace(addresses=[parts for parts, _end in pairs], ends=None)
    found = [end for _parts, end in pairs]
    known = [end for end in found if end is not None]
    if not known:
        # What was given last may have had an end, and be gone.
        return _Put(record._replace(ttl=None), None)
    lease = _lease(max(known) - now) if len(known) == len(found) else None
    return _Put(record._replace(ends=found), lease)
