"""What a query asks for beside names: which addresses are seen."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nspkit import Address, Query, Service

_ANY = 0  # AF_UNSPEC, and no certain protocol


def narrowed(service: Service, query: Query) -> Service | None:
    """Return a service with the addresses that are asked for; None if it has none of them."""
    if not query.protocols:
        return service
    addresses = [one for one in service.addresses if _is_asked(one, query)]
    return service.replace(addresses=addresses) if addresses else None


def _is_asked(address: Address, query: Query) -> bool:
    return any(
        family in (_ANY, address.family) and (protocol == _ANY or address.proto in (_ANY, protocol))
        for family, protocol in query.protocols
    )
