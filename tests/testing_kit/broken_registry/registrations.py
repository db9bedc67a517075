"""Registries that break the rules about registrations, and about what comes back."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from fnmatch import fnmatchcase

from broken_registry_common import DELETE, DEREGISTER, REGISTER, LooksUp, Registers, breaks

from nspkit import Address, Query, Service, ServiceOperation


@breaks("register_replaces", r"second REGISTER.*\{'a': 1\}.*, right is")
class KeepsAttributes(Registers):
    """Adds to the attributes that are there."""

    def register(self, service: Service, operation: ServiceOperation, *, multiple: bool) -> None:
        """Merge them."""
        old = self.there(service)
        if old is not None and operation is REGISTER:
            service = service.replace(attributes={**old.attributes, **service.attributes})
        super().register(service, operation, multiple=multiple)


@breaks("register_adds_addresses", r"attributes after REGISTER with multiple: found is \[\{'a': 1")
class KeepsTheFirstAttributes(Registers):
    """Takes nothing but addresses with ``multiple``."""

    def register(self, service: Service, operation: ServiceOperation, *, multiple: bool) -> None:
        """Leave the attributes as they are."""
        old = self.there(service)
        if old is not None and operation is REGISTER and multiple:
            service = service.replace(attributes=old.attributes)
        super().register(service, operation, multiple=multiple)


@breaks("deregister_keeps_the_name", "after DEREGISTER: found is 'unknown .*right is 'known")
class DeletesForDeregister(Registers):
    """Knows two operations only."""

    def register(self, service: Service, operation: ServiceOperation, *, multiple: bool) -> None:
        """Delete for DEREGISTER, too."""
        operation = DELETE if operation is DEREGISTER else operation
        super().register(service, operation, multiple=multiple)


@breaks("deregister_drops_addresses", "after DEREGISTER of the last.*'unknown .*right is 'known")
class DeletesWithTheLastAddress(Registers):
    """Knows no instance without an address."""

    def register(self, service: Service, operation: ServiceOperation, *, multiple: bool) -> None:
        """Delete for DEREGISTER with multiple."""
        operation = DELETE if operation is DEREGISTER and multiple else operation
        super().register(service, operation, multiple=multiple)


@breaks("delete_removes", "after DELETE: found is 'known.*right is 'unknown")
class DeregistersForDelete(Registers):
    """Keeps the name of what was deleted."""

    def register(self, service: Service, operation: ServiceOperation, *, multiple: bool) -> None:
        """Deregister for DELETE."""
        operation = DEREGISTER if operation is DELETE else operation
        super().register(service, operation, multiple=multiple)


@breaks("delete_drops_addresses", "after DELETE of the last.*found is 'known.*right is 'unknown")
class KeepsTheNameWithTheLastAddress(Registers):
    """Keeps an instance whose last address was deleted."""

    def register(self, service: Service, operation: ServiceOperation, *, multiple: bool) -> None:
        """Deregister for DELETE with multiple."""
        operation = DEREGISTER if operation is DELETE and multiple else operation
        super().register(service, operation, multiple=multiple)


@breaks("only_equal_addresses_are_dropped", r"after DELETE of another, .* 81.*: found is 'unknown")
class ComparesHosts(Registers):
    """Takes a host for an address."""

    def register(self, service: Service, operation: ServiceOperation, *, multiple: bool) -> None:
        """Delete every address with a host that is given."""
        old = self.there(service)
        if old is not None and operation is DELETE and multiple:
            hosts = [address.host for address in service.addresses]
            alike = [address for address in old.addresses if address.host in hosts]
            service = service.replace(addresses=alike)
        super().register(service, operation, multiple=multiple)


@breaks(
    "content_comes_back", r"other than it was registered.*x: true is \('int', 1\), not \('bool', T"
)
class StoresBoolsAsNumbers(Registers):
    """Has a table with numbers, and none with truths."""

    def register(self, service: Service, operation: ServiceOperation, *, multiple: bool) -> None:
        """Make them numbers."""
        numbers = {
            name: int(value) if isinstance(value, bool) else value
            for name, value in service.attributes.items()
        }
        super().register(service.replace(attributes=numbers), operation, multiple=multiple)


@breaks("addresses_come_back", "addresses did not come back")
class StoresHostAndPort(Registers):
    """Has no place for a scope."""

    def register(self, service: Service, operation: ServiceOperation, *, multiple: bool) -> None:
        """Leave it out."""
        addresses = [
            Address(one.family, one.type, one.proto, one.sockaddr[:2])
            if one.family == socket.AF_INET6
            else one
            for one in service.addresses
        ]
        super().register(service.replace(addresses=addresses), operation, multiple=multiple)


@breaks("names_are_told_apart", r"a lookup of '\*': found is \[.*, right is")
class TakesNamesForPatterns(LooksUp):
    """Looks up as its engine does, where a star is anything."""

    def look_up(self, query: Query) -> Iterable[Service]:
        """Find what matches."""
        if query.name is None:
            return self.store.find(query)
        found = self.store.find(query.replace(name=None))
        return [one for one in found if fnmatchcase(one.name, query.name)]


@breaks("class_and_context_tell_apart", "is in several places, looked up in .*: found is ")
class HasNoContexts(Registers):
    """Stores everything at the top."""

    def register(self, service: Service, operation: ServiceOperation, *, multiple: bool) -> None:
        """Leave the context out."""
        super().register(service.replace(context=""), operation, multiple=multiple)
