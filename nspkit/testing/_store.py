"""What a `MemoryProvider` keeps: services, service classes, and who wants to know of changes."""

from __future__ import annotations

import threading
from math import inf
from time import monotonic
from typing import TYPE_CHECKING

from nspkit import Change, ChangeKind, ServiceOperation
from nspkit.errors import (
    AlreadyExistsError,
    NoDataError,
    TooManyReferencesError,
    TypeNotFoundError,
)
from nspkit.registry import Conditions
from nspkit.testing._matching import covers, matched
from nspkit.testing._records import changed, key_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from uuid import UUID

    from nspkit import Query, Service, ServiceClass
    from nspkit.testing._records import Key, Record

    Listener = Callable[[Change], None]


class MemoryStore:
    """A back end in memory, for `MemoryProvider` and for tests that look behind its back.

    Give one to several providers, as their setting ``store``, and they share what is registered;
    it then also outlives their cleanups. All methods may be called from any thread.

    Args:
        services: What is registered from the beginning.
    """

    def __init__(self, services: Iterable[Service] = ()) -> None:
        self._lock = threading.Lock()
        self._records: dict[Key, Record] = {}
        self._classes: dict[UUID, ServiceClass] = {}
        self._listeners: list[Listener] = []
        self._due = inf  # no lease ends before
        for service in services:
            self.set_service(service, ServiceOperation.REGISTER)

    def services(self) -> list[Service]:
        """Return all that is registered, in the order of registration."""
        with self._lock:
            return self._living()

    def find(self, query: Query) -> list[Service]:
        """Return the services that a query asks for, with the addresses that it asks for.

        Raises:
            NoDataError: what it names is there, but deregistered, or not as it asks for it
                (WSANO_DATA 11004).
            InvalidArgumentError: its query string is malformed (WSAEINVAL 10022).
        """
        Conditions(query.query_string)
        with self._lock:
            living = self._living()
            known = [record.service for record in self._records.values()]
        found = [one for service in living if (one := matched(service, query))]
        if not found and query.name is not None and any(covers(query, one) for one in known):
            raise NoDataError(
                f"{query.name!r:.100} is there, but deregistered, or not as it is asked for"
            )
        return found

    def set_service(
        self, service: Service, operation: ServiceOperation, *, multiple: bool = False
    ) -> None:
        """Register, deregister or delete an instance, as Winsock's matrix says.

        Its ``ttl`` is a lease, that of each address with ``multiple``: it ends without a renewal.

        Raises:
            ServiceNotFoundError: it is not there and not registered (WSASERVICE_NOT_FOUND 10108).
        """
        with self._lock:
            now = self._sweep()
            key = key_of(service)
            old = self._records.get(key)
            self._put(key, changed(old, service, operation, multiple=multiple, now=now), now)

    def sweep(self) -> float | None:
        """Forget what has ended, and tell; return in how many seconds something ends next."""
        with self._lock:
            now = self._sweep()
            return None if self._due == inf else max(0.0, self._due - now)

    def install(self, service_class: ServiceClass) -> None:
        """Store a service class.

        Raises:
            AlreadyExistsError: it is there already (WSAEALREADY 10037).
        """
        with self._lock:
            if service_class.id in self._classes:
                raise AlreadyExistsError(
                    f"the class {service_class.id} is installed already; remove it first"
                )
            self._classes[service_class.id] = service_class

    def remove(self, class_id: UUID) -> None:
        """Forget a service class.

        Raises:
            TypeNotFoundError: it is not there (WSATYPE_NOT_FOUND 10109).
            TooManyReferencesError: services of it are registered (WSAETOOMANYREFS 10059).
        """
        with self._lock:
            if class_id not in self._classes:
                raise TypeNotFoundError(f"there is no class {class_id} that could be removed")
            if any(service.service_class == class_id for service in self._living()):
                raise TooManyReferencesError(
                    f"services of the class {class_id} are registered; delete them first"
                )
            del self._classes[class_id]

    def service_class(self, class_id: UUID) -> ServiceClass:
        """Return a service class.

        Raises:
            TypeNotFoundError: it is not there (WSATYPE_NOT_FOUND 10109).
        """
        with self._lock:
            if class_id not in self._classes:
                raise TypeNotFoundError(f"there is no class {class_id}; install it first")
            return self._classes[class_id]

    def subscribe(self, listener: Listener) -> list[Service]:
        """Have ``listener`` told every change from now on; return what is there now.

        It is called under the lock of the store, so it may only put the change somewhere.
        """
        with self._lock:
            self._listeners.append(listener)
            return self._living()

    def unsubscribe(self, listener: Listener) -> None:
        """Tell ``listener`` no more; a second call does nothing."""
        with self._lock:
            # Not the same but equal: a bound method is another object each time it is named.
            self._listeners = [one for one in self._listeners if one != listener]

    def _living(self) -> list[Service]:
        now = self._sweep()
        found = [record.content(now) for record in self._records.values()]
        return [service for service in found if service is not None]

    def _sweep(self) -> float:
        """Forget what has ended; return the time at which that was so."""
        now = monotonic()
        if now < self._due:
            return now
        self._due = inf
        for key, record in list(self._records.items()):
            left = record.alive(now)
            if left is not record:
                self._put(key, left, now)
            elif left is not None:
                self._due = min(self._due, left.next_end())
        return now

    def _put(self, key: Key, new: Record | None, now: float) -> None:
        """Keep a record, or forget it, and tell."""
        old = self._records.pop(key, None) if new is None else self._records.get(key)
        if new is not None:
            self._records[key] = new
            self._due = min(self._due, new.next_end())
        was, there = old and old.content(), new and new.content()
        if was == there and not _ends_sooner(old, new):
            return
        if there is not None and new is not None:
            kind = ChangeKind.ADDED if was is None else ChangeKind.CHANGED
            self._tell(Change(kind, new.content(now) or there))
        elif was is not None:
            self._tell(Change(ChangeKind.REMOVED, was))

    def _tell(self, change: Change) -> None:
        for listener in self._listeners:
            listener(change)


def _ends_sooner(old: Record | None, new: Record | None) -> bool:
    """Say whether who waits for the end of a record would be late."""
    before = inf if old is None else old.next_end()
    return new is not None and new.next_end() < before
