"""What a query asks for, and who answers it: hosts, addresses, records or services."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from nspkit import (
    SVCID_HOSTNAME,
    SVCID_INET_HOSTADDRBYINETSTRING,
    SVCID_INET_HOSTADDRBYNAME,
    Address,
    LookupFlags,
    svcid_parts,
)
from nspkit.errors import InvalidArgumentError, NoDataError, ServiceNotFoundError
from nspkit_dns import _browse, _hosts, _records
from nspkit_dns._asker import Asker
from nspkit_dns._names import name_in, refuse_others

if TYPE_CHECKING:
    from collections.abc import Iterator

    import dns.name

    from nspkit import Cancellation, Query, Service
    from nspkit_dns._resolver import Resolver

_PLAIN = (SVCID_HOSTNAME, SVCID_INET_HOSTADDRBYNAME, SVCID_INET_HOSTADDRBYINETSTRING)
_NUMERIC = (None, SVCID_HOSTNAME, SVCID_INET_HOSTADDRBYINETSTRING)
_TRANSPORTS = {"tcp": socket.IPPROTO_TCP, "udp": socket.IPPROTO_UDP}
_DNS_PORT = 53


def search(resolver: Resolver, query: Query, cancellation: Cancellation) -> Iterator[Service]:
    """Check a query, and return what finds the answers; nothing is sent yet.

    Raises:
        InvalidArgumentError: A name or type is not acceptable (WSAEINVAL 10022).
        ServiceNotFoundError: It is about something that is not in the DNS (10108).
        NoDataError: It asks for containers (WSANO_DATA 11004).
    """
    if LookupFlags.CONTAINERS in query.flags:
        raise NoDataError("the DNS has no containers; look up without CONTAINERS")
    if query.service_type is not None:
        return _services(resolver, query, query.service_type, cancellation)
    if query.name is None:
        return _types(resolver, query, cancellation)
    port, protocol, record = _port_of(query)
    if record:
        return _records.find(resolver, query, query.name, record, cancellation)
    address = _numeric(query, query.name)
    if address is not None:
        name = _hosts.reverse(address)
        refuse_others(name)
        return _hosts.names(Asker(resolver, cancellation), query, name, address)
    plan = _hosts.Plan(resolver, query, query.name, port, protocol)
    return _hosts.addresses(Asker(resolver, cancellation), plan)


def _port_of(query: Query) -> tuple[int, int, int]:
    """Return the port, the protocol and the type of records that a class stands for."""
    class_id = query.service_class
    if class_id is None or class_id in _PLAIN:
        return 0, 0, 0
    transport, port, record = svcid_parts(class_id) or ("", 0, 0)
    if transport == "tcp" and port == _DNS_PORT and record:
        return 0, 0, record
    if transport not in _TRANSPORTS or record:
        raise ServiceNotFoundError(
            "the DNS knows hosts, ports, records (SVCID_DNS) and DNS-SD types such as "
            f"'_http._tcp', nothing of the class {class_id}"
        )
    return port, _TRANSPORTS[transport], 0


def _numeric(query: Query, name: str) -> Address | None:
    """Return the address whose name is asked for; None where a name's addresses are."""
    text_only = query.service_class == SVCID_INET_HOSTADDRBYINETSTRING
    if not text_only and ":" not in name and not name[-1].isdigit():
        return None  # nothing else can be numeric
    try:
        address = Address.inet(name)
    except InvalidArgumentError as error:
        if text_only:
            raise InvalidArgumentError(
                f"{name!r:.80} is no numeric address, which SVCID_INET_HOSTADDRBYINETSTRING asks "
                "for; look a name up without it"
            ) from error
        return None
    if query.service_class not in _NUMERIC:
        raise ServiceNotFoundError(
            f"{name!r} is an address, of which the DNS knows names only; look it up without a class"
        )
    return address


def _services(
    resolver: Resolver, query: Query, service_type: str, cancellation: Cancellation
) -> Iterator[Service]:
    domains = domains_of(resolver, query.context)
    asker = Asker(resolver, cancellation)
    if query.name is None:
        return _browse.browse(asker, query, service_type, domains)
    return _browse.resolve(asker, query, query.name, service_type, domains)


def _types(resolver: Resolver, query: Query, cancellation: Cancellation) -> Iterator[Service]:
    if query.service_class is not None:
        raise ServiceNotFoundError(
            f"the DNS cannot list names of the class {query.service_class}; give a name, or a "
            "DNS-SD type such as '_http._tcp'"
        )
    if not query.context.strip("\\") and resolver.settings.domain is None:
        raise ServiceNotFoundError(
            "the DNS cannot list names; give a name, a DNS-SD type such as '_http._tcp', or a "
            "domain as the context, whose types are listed"
        )
    domains = domains_of(resolver, query.context)
    return _browse.types(Asker(resolver, cancellation), domains)


def domains_of(resolver: Resolver, context: str) -> list[dns.name.Name]:
    r"""Return the domains that a context means: itself, or for ``""`` and ``"\"`` the default.

    Raises:
        InvalidArgumentError: It is no domain (WSAEINVAL 10022).
        ServiceNotFoundError: There is no default, or it is not in the DNS (10108).
    """
    text = context.strip("\\")
    if text:
        domain = name_in(text)
        refuse_others(domain)
        return [domain]
    own = resolver.settings.domain
    domains = list(resolver.routes.search) if own is None else [own]
    if not domains:
        raise ServiceNotFoundError(
            "services of the DNS are in a domain: give one as the context, or set 'domain', "
            "because there is no search list either"
        )
    for domain in domains[:1]:
        refuse_others(domain)
    return domains
