"""Providers that break the rules about registrations, service classes and changes."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping
from typing import Any
from uuid import UUID

from broken_common import LONG, Good, breaks

from nspkit import (
    Cancellation,
    Change,
    ChangeKind,
    Query,
    Resources,
    Service,
    ServiceClass,
    ServiceOperation,
    hookimpl,
)
from nspkit.errors import (
    AlreadyExistsError,
    ServiceNotFoundError,
    TooManyReferencesError,
    TypeNotFoundError,
)
from nspkit.testing import MemoryStore

REGISTER, DEREGISTER, DELETE = ServiceOperation


class _Spoilt(Good):
    """Does something else with registrations."""

    @hookimpl
    def nsp_set_service(
        self, service: Service, operation: ServiceOperation, multiple: bool
    ) -> None:
        """Do it as `_set` says."""
        self._set(service, operation, multiple=multiple)

    def _set(self, service: Service, operation: ServiceOperation, *, multiple: bool) -> None:
        self.store.set_service(service, operation, multiple=multiple)

    def _has(self, service: Service) -> bool:
        return service.name in [one.name for one in self.store.services()]


@breaks("registration.registered_is_found", "registration.one_address_of_several")
class ForgetsAddresses(_Spoilt):
    """Stores the name only."""

    def _set(self, service: Service, operation: ServiceOperation, *, multiple: bool) -> None:
        super()._set(service.replace(addresses=()), operation, multiple=multiple)


@breaks("registration.registered_twice_is_there_once")
class Doubles(_Spoilt):
    """Adds an entry with each registration."""

    def _set(self, service: Service, operation: ServiceOperation, *, multiple: bool) -> None:
        again = operation is REGISTER and not multiple and self._has(service)
        super()._set(service, operation, multiple=multiple)
        self._double = service.name if again else None

    def _results(self, query: Query, cancellation: Cancellation) -> Iterator[Service]:
        for service in super()._results(query, cancellation):
            yield service
            if service.name == getattr(self, "_double", None):
                yield service


@breaks("registration.deregistered_has_no_addresses")
class KeepsAddresses(_Spoilt):
    """Takes DEREGISTER for a wish."""

    def _set(self, service: Service, operation: ServiceOperation, *, multiple: bool) -> None:
        if operation is not DEREGISTER or not self._has(service):
            super()._set(service, operation, multiple=multiple)


@breaks(
    "registration.deleted_is_gone",
    "registration.one_address_of_several",
    "changes.tells_of_registrations",
)
class KeepsServices(_Spoilt):
    """Takes DELETE for a wish."""

    def _set(self, service: Service, operation: ServiceOperation, *, multiple: bool) -> None:
        if operation is not DELETE or not self._has(service):
            super()._set(service, operation, multiple=multiple)


@breaks("registration.unknown_is_refused")
class DeletesAnything(_Spoilt):
    """Says nothing where there was nothing to delete."""

    def _set(self, service: Service, operation: ServiceOperation, *, multiple: bool) -> None:
        with contextlib.suppress(ServiceNotFoundError):
            super()._set(service, operation, multiple=multiple)


@breaks("registration.one_address_of_several")
class IgnoresMultiple(_Spoilt):
    """Replaces the whole instance each time."""

    def _set(self, service: Service, operation: ServiceOperation, *, multiple: bool) -> None:
        super()._set(service, operation, multiple=False)


_DISK = MemoryStore([Service("kept on a disk")])


@breaks("registration.ends_with_the_host")
class WritesItBack(_Spoilt):
    """Writes at its cleanup what it had in its cache, deleted or not."""

    @hookimpl
    def nsp_startup(self, settings: Mapping[str, Any], resources: Resources) -> None:
        """Begin with an empty cache."""
        super().nsp_startup({"store": _DISK}, resources)
        self._cache: dict[str, Service] = {}

    def _set(self, service: Service, operation: ServiceOperation, *, multiple: bool) -> None:
        super()._set(service, operation, multiple=multiple)
        if operation is REGISTER and service.name == "nspkit-conformance" and not multiple:
            self._cache[service.name] = service

    @hookimpl
    def nsp_cleanup(self) -> None:
        """Write the cache."""
        for service in self._cache.values():
            self.store.set_service(service, REGISTER)


@breaks("classes.comes_back_as_it_was")
class RenamesClasses(Good):
    """Stores half of a class."""

    @hookimpl
    def nsp_get_service_class_info(self, class_id: UUID) -> ServiceClass:
        """Return what is left of it."""
        return super().nsp_get_service_class_info(class_id).replace(name="a class")


@breaks("classes.installed_once")
class InstallsTwice(Good):
    """Says nothing where the class is there."""

    @hookimpl
    def nsp_install_service_class(self, service_class: ServiceClass) -> None:
        """Install it, if it is not there."""
        with contextlib.suppress(AlreadyExistsError):
            super().nsp_install_service_class(service_class)


@breaks("classes.removed_is_unknown")
class KeepsClasses(Good):
    """Takes a removal for a wish."""

    @hookimpl
    def nsp_remove_service_class(self, class_id: UUID) -> None:
        """Look whether it is there, and whether it is used."""
        kind = self.store.service_class(class_id)
        self.store.remove(class_id)
        self.store.install(kind)


@breaks("classes.unknown_class", "classes.removed_is_unknown")
class RaisesForUnknownClasses(Good):
    """Lets a KeyError out."""

    @hookimpl
    def nsp_get_service_class_info(self, class_id: UUID) -> ServiceClass:
        """Return it, or fail as a dict does."""
        try:
            return super().nsp_get_service_class_info(class_id)
        except TypeNotFoundError as error:
            raise KeyError(class_id) from error


@breaks("classes.in_use_stays")
class RemovesWhatIsUsed(Good):
    """Does not look who uses a class."""

    @hookimpl
    def nsp_remove_service_class(self, class_id: UUID) -> None:
        """Remove it whatever happens."""
        with contextlib.suppress(TooManyReferencesError):
            super().nsp_remove_service_class(class_id)


@breaks("changes.begins_with_what_is_there", "changes.tells_of_registrations")
class TellsNewsOnly(Good):
    """Does not tell what is there."""

    def _changes(self, query: Query, cancellation: Cancellation) -> Iterator[Change | None]:
        new = False
        for change in super()._changes(query, cancellation):
            if new or change is None:
                yield change
            new = new or change is None


@breaks(
    "changes.yields_changes",
    "changes.begins_with_what_is_there",
    "changes.tells_of_registrations",
)
class YieldsServices(Good):
    """Yields services where changes belong."""

    def _changes(self, query: Query, cancellation: Cancellation) -> Iterator[Any]:
        for change in super()._changes(query, cancellation):
            yield change and change.service


@breaks("changes.tells_of_registrations")
class TellsNoNews(Good):
    """Tells what is there, and that is all."""

    def _changes(self, query: Query, cancellation: Cancellation) -> Iterator[Change | None]:
        for service in self.store.find(query):
            yield Change(ChangeKind.ADDED, service)
        cancellation.wait()


@breaks(
    "changes.ends_when_cancelled",
    "changes.",
    "concurrency.cleanup_while_a_watch_waits",
    "concurrency.watch_steps_on_any_thread",
    "concurrency.no_context_across_a_watch_step",
)
class WatchesOn(Good):
    """Does not see that nobody watches any more."""

    def _changes(self, query: Query, cancellation: Cancellation) -> Iterator[Change | None]:
        yield from super()._changes(query, cancellation)
        threading.Event().wait(LONG)


class _Unstepped:
    """A stream whose end waits for its beginning."""

    def __init__(self, changes: Iterator[Change | None]) -> None:
        self._changes = changes
        self._begun = False

    def __iter__(self) -> _Unstepped:
        return self

    def __next__(self) -> Change | None:
        self._begun = True
        return next(self._changes)

    def close(self) -> None:
        """End it."""
        if not self._begun:
            threading.Event().wait(LONG)
        self._changes.close()  # type: ignore[attr-defined]


@breaks("changes.ends_early")
class WaitsForItsBeginning(Good):
    """Cannot be ended before it has begun."""

    def _changes(self, query: Query, cancellation: Cancellation) -> Any:
        return _Unstepped(super()._changes(query, cancellation))
