"""What a `MemoryProvider` keeps: services, service classes, and who wants to know of changes."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from nspkit import Change, ChangeKind, ServiceOperation
from nspkit.errors import (
    AlreadyExistsError,
    ServiceNotFoundError,
    TooManyReferencesError,
    TypeNotFoundError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from uuid import UUID

    from nspkit import Address, Query, Service, ServiceClass

    Key = tuple[str, UUID | None, str]
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
        self._services: dict[Key, Service] = {_key(service): service for service in services}
        self._classes: dict[UUID, ServiceClass] = {}
        self._listeners: list[Listener] = []

    def services(self) -> list[Service]:
        """Return all that is registered, in the order of registration."""
        with self._lock:
            return list(self._services.values())

    def find(self, query: Query) -> list[Service]:
        """Return the services that a query asks for, with the addresses that it asks for."""
        return [found for service in self.services() if (found := matched(service, query))]

    def set_service(
        self, service: Service, operation: ServiceOperation, *, multiple: bool = False
    ) -> None:
        """Register, deregister or delete an instance, as Winsock's matrix says.

        Raises:
            ServiceNotFoundError: it is not there and not registered (WSASERVICE_NOT_FOUND 10108).
        """
        with self._lock:
            old = self._services.get(_key(service))
            new = _changed(old, service, operation, multiple=multiple)
            if new is None:
                del self._services[_key(service)]
            else:
                self._services[_key(service)] = new
            self._tell(old, new)

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
            if any(service.service_class == class_id for service in self._services.values()):
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
            return list(self._services.values())

    def unsubscribe(self, listener: Listener) -> None:
        """Tell ``listener`` no more; a second call does nothing."""
        with self._lock:
            # Not the same but equal: a bound method is another object each time it is named.
            self._listeners = [one for one in self._listeners if one != listener]

    def _tell(self, old: Service | None, new: Service | None) -> None:
        if old == new:
            return
        kind = ChangeKind.ADDED if old is None else ChangeKind.CHANGED
        change = Change(kind, new) if new else Change(ChangeKind.REMOVED, old or _nobody())
        for listener in self._listeners:
            listener(change)


def matched(service: Service, query: Query) -> Service | None:
    """Return what a query gets of a service, or None if it does not ask for it."""
    if query.name is not None and query.name.casefold() != service.name.casefold():
        return None
    if query.service_class not in (None, service.service_class):
        return None
    if query.context not in ("", "\\", service.context):
        return None
    if not query.protocols:
        return service
    addresses = tuple(one for one in service.addresses if _is_asked(one, query))
    return service.replace(addresses=addresses) if addresses else None


def _is_asked(address: Address, query: Query) -> bool:
    return any(
        family in (0, address.family) and protocol in (0, address.proto)
        for family, protocol in query.protocols
    )


def _key(service: Service) -> Key:
    return service.name.casefold(), service.service_class, service.context


def _changed(
    old: Service | None, given: Service, operation: ServiceOperation, *, multiple: bool
) -> Service | None:
    """Return what is registered after an operation; None for nothing."""
    register = operation is ServiceOperation.REGISTER
    if old is None and not register:
        raise ServiceNotFoundError(
            f"there is no service {given.name!r} that could be {operation.name.lower()}d"
        )
    if register:
        before = old.addresses if old is not None and multiple else ()
        return given.replace(addresses=tuple(dict.fromkeys((*before, *given.addresses))))
    assert old is not None
    left = tuple(one for one in old.addresses if multiple and one not in given.addresses)
    if not left and operation is ServiceOperation.DELETE:
        return None
    return old.replace(addresses=left)


def _nobody() -> Service:
    raise AssertionError("nothing was there and nothing is there: no change")
