"""Registries that break the rules about leases, and about what all who use one share."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from broken_common import Good
from broken_registry_common import DELETE, REGISTER, LooksUp, Registers, breaks

from nspkit import Query, Resources, Service, ServiceClass, ServiceOperation, hookimpl
from nspkit.errors import AlreadyExistsError, TooManyReferencesError, TypeNotFoundError
from nspkit.testing import MemoryStore


@breaks("hosts_see_each_other", "another host has registered it: found is 'unknown")
class HasACacheOfItsOwn(Good):
    """Never looks at the store again."""

    @hookimpl
    def nsp_startup(self, settings: Mapping[str, Any], resources: Resources) -> None:
        """Begin with what is there now."""
        super().nsp_startup({"services": settings["store"].services()}, resources)


@breaks("stays_when_its_host_goes", "the host that registered it was closed: found is 'unknown")
class DeletesAtItsCleanup(Registers):
    """Holds all registrations by its session."""

    def register(self, service: Service, operation: ServiceOperation, *, multiple: bool) -> None:
        """Note it."""
        super().register(service, operation, multiple=multiple)
        self.__dict__.setdefault("made", []).append(service)

    @hookimpl
    def nsp_cleanup(self) -> None:
        """Delete what is noted."""
        for service in self.__dict__.get("made", ()):
            with contextlib.suppress(Exception):
                self.store.set_service(service, DELETE)


class _Meeting:
    """Has two threads of a test meet, wherever they are; one alone waits a moment."""

    def __init__(self) -> None:
        self._both = threading.Barrier(2)

    def __call__(self) -> None:
        try:
            self._both.wait(0.2)
        except threading.BrokenBarrierError:
            self._both.reset()


@breaks("nothing_is_lost_at_once", "have each added an address at once.*found is .*right is")
class ReadsAndWrites(Registers):
    """Has no transactions."""

    between = _Meeting()

    def register(self, service: Service, operation: ServiceOperation, *, multiple: bool) -> None:
        """Read, wait until another one has read, and write."""
        if operation is REGISTER and multiple:
            old = self.there(service)
            self.between()
            addresses = {*(old.addresses if old else ()), *service.addresses}
            service = service.replace(addresses=addresses)
        super().register(service, operation, multiple=False)


@breaks("ttl_is_what_is_left", "with a ttl of 1000 it is found with [0-9.]{9,}; tell what is left")
class TellsWhenItEnds(LooksUp):
    """Tells a time of day."""

    def look_up(self, query: Query) -> Iterable[Service]:
        """Tell when each ends."""
        return [
            one if one.ttl is None else one.replace(ttl=one.ttl + time.time())
            for one in self.store.find(query)
        ]


@breaks("a_lease_ends", r"with a ttl of 1 s, which is over: found is \['192\.0\.2\.1'\]")
class KeepsForEver(Registers):
    """Has no leases."""

    def register(self, service: Service, operation: ServiceOperation, *, multiple: bool) -> None:
        """Leave the lease out."""
        super().register(service.replace(ttl=None), operation, multiple=multiple)


@breaks("a_renewal_keeps_it", "registered again in time, with a ttl of 1 s, and is not found later")
class WritesChangesOnly(Registers):
    """Spares itself what is there already."""

    def register(self, service: Service, operation: ServiceOperation, *, multiple: bool) -> None:
        """Do nothing where nothing would change."""
        old = self.there(service)
        if (
            operation is not REGISTER
            or not old
            or old.replace(ttl=None) != service.replace(ttl=None, service_class=old.service_type)
        ):
            super().register(service, operation, multiple=multiple)


@breaks("addresses_end_by_themselves", r"found is \['192\.0\.2\.1', '192\.0\.2\.2'\], right is")
class HasOneLeaseForAll(Registers):
    """Lets the last who registers say how long all hold."""

    def register(self, service: Service, operation: ServiceOperation, *, multiple: bool) -> None:
        """Register all addresses anew."""
        old = self.there(service)
        if operation is REGISTER and multiple and old:
            service = service.replace(addresses=(*old.addresses, *service.addresses))
        super().register(service, operation, multiple=multiple)


@breaks("classes_are_everybodys", r"ServiceClass\(.*'Brünnen'.* is None to another host")
class HasClassesOfItsOwn(Good):
    """Keeps classes in the process."""

    @hookimpl
    def nsp_startup(self, settings: Mapping[str, Any], resources: Resources) -> None:
        """Begin without any."""
        super().nsp_startup(settings, resources)
        self._own = MemoryStore()

    @hookimpl
    def nsp_install_service_class(self, service_class: ServiceClass) -> None:
        """Keep it."""
        self._own.install(service_class)

    @hookimpl
    def nsp_remove_service_class(self, class_id: UUID) -> None:
        """Forget it."""
        self._own.remove(class_id)

    @hookimpl
    def nsp_get_service_class_info(self, class_id: UUID) -> ServiceClass:
        """Return it."""
        return self._own.service_class(class_id)


@breaks("installed_once_by_many", "of 8 threads that installed one class at once [2-8] succeeded")
class LooksBeforeItInstalls(Good):
    """Looks first, and installs then."""

    between = _Meeting()

    @hookimpl
    def nsp_install_service_class(self, service_class: ServiceClass) -> None:
        """Look, wait until another one has looked, and install."""
        try:
            self.store.service_class(service_class.id)
        except TypeNotFoundError:
            self.between()
            with contextlib.suppress(AlreadyExistsError):
                self.store.install(service_class)
        else:
            raise AlreadyExistsError("it is there already")


@breaks("in_use_by_another_stays", "the removal of a class that another host uses succeeded")
class KnowsItsOwnServices(Registers):
    """Asks nobody else whether a class is used."""

    @hookimpl
    def nsp_remove_service_class(self, class_id: UUID) -> None:
        """Look at what this one has registered: nothing."""
        with contextlib.suppress(TooManyReferencesError):
            self.store.remove(class_id)
