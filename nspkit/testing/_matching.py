"""What a query asks a `MemoryStore` for: which services, and which addresses of them."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote

from nspkit import LookupFlags
from nspkit.errors import InvalidArgumentError
from nspkit.testing._records import context_of, protocol_of

if TYPE_CHECKING:
    from nspkit import Address, Query, Service


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
    wanted = all(_holds(service, *one) for one in conditions(query.query_string))
    version = service.version
    if query.version and version is not None and not query.version.matches(version):
        wanted = False
    if not wanted or not covers(query, service):
        return None
    if not query.protocols:
        return service
    addresses = tuple(one for one in service.addresses if _is_asked(one, query))
    return service.replace(addresses=addresses) if addresses else None


def conditions(query_string: str) -> list[tuple[str, str | None]]:
    """Return the conditions of a query string; no value where it is enough to be there.

    Raises:
        InvalidArgumentError: one has no name (WSAEINVAL 10022).
    """
    found: list[tuple[str, str | None]] = []
    for condition in query_string.split("&") if query_string else ():
        name, equals, value = condition.partition("=")
        if not name:
            raise InvalidArgumentError(
                f"the query string {query_string!r:.80} has a condition without a name: give "
                "attributes such as 'path=/&secure', joined with '&'"
            )
        found.append((unquote(name), unquote(value) if equals else None))
    return found


def _holds(service: Service, name: str, value: str | None) -> bool:
    if name not in service.attributes:
        return False
    found = service.attributes[name]
    if value is None:
        return True
    if isinstance(found, bytes):
        return found == value.encode()
    if isinstance(found, bool):
        return value == str(found).lower()
    return found is not None and str(found) == value


def _is_asked(address: Address, query: Query) -> bool:
    return any(
        family in (0, address.family) and (not protocol or protocol_of(address) in (0, protocol))
        for family, protocol in query.protocols
    )
