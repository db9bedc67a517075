"""What a query asks a `MemoryStore` for: which services, and which addresses of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nspkit import LookupFlags
from nspkit.registry import Conditions, fits
from nspkit.testing._records import context_of

if TYPE_CHECKING:
    from nspkit import Query, Service


def covers(query: Query, service: Service) -> bool:
    """Say whether a service is one of those that a query means, by name, class and context."""
    if query.name not in (None, service.name):
        return False
    if query.service_class not in (None, service.service_class):
        return False
    asked, has = context_of(query.context), service.context
    if LookupFlags.DEEP not in query.flags:
        return has == asked
    return not asked or has == asked or has.startswith(asked + "\\")


def matched(service: Service, query: Query) -> Service | None:
    """Return what a query gets of a service, or None if it does not ask for it.

    Raises:
        InvalidArgumentError: its query string is malformed (WSAEINVAL 10022).
    """
    wanted = Conditions(query.query_string).hold(service.attributes)
    version = service.version
    if query.version and version is not None and not query.version.matches(version):
        wanted = False
    if not wanted or not covers(query, service):
        return None
    if not query.protocols:
        return service
    addresses = tuple(
        one for one in service.addresses if fits(query.protocols, one.family, one.type, one.proto)
    )
    return service.replace(addresses=addresses) if addresses else None
