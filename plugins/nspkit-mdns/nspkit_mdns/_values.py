"""How a service is records, and records are a service."""

from __future__ import annotations

import socket
from math import ceil
from typing import TYPE_CHECKING, Any

from nspkit import Address, Service
from nspkit.errors import InvalidArgumentError, OperationNotSupportedError
from nspkit_mdns._names import base_type, dotted, label_in
from nspkit_mdns._wire import AAAA, IN, SRV, TXT, A, ServiceInfo, current_time_millis

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from nspkit_mdns._names import Instance
    from nspkit_mdns._wire import DNSRecord, Zeroconf

_ITEM = 255  # bytes of one attribute with its name
_ALL_ITEMS = 8000  # what fits into one packet, beside the other records
_ADDRESSES = 100
HOST_TTL, OTHER_TTL = 120, 4500  # RFC 6762 section 10

_SOCKETS: Mapping[str, tuple[int, int]] = {
    "_tcp": (socket.SOCK_STREAM, socket.IPPROTO_TCP),
    "_udp": (socket.SOCK_DGRAM, socket.IPPROTO_UDP),
}


# -- what is found ---------------------------------------------------------------------------------


def service_of(zeroconf: Zeroconf, info: ServiceInfo, asked_type: str) -> Service | None:
    """Return the service of an instance that was resolved; None if nobody could name it."""
    service_type = base_type(asked_type)
    label = label_in(info.name, service_type)
    if label is None or info.port is None:
        return None
    kind, proto = _SOCKETS[service_type.rpartition(".")[2]]
    try:
        return Service(
            label,
            service_class=asked_type,
            addresses=[
                Address.inet(host, info.port, type=kind, proto=proto)
                for host in info.parsed_scoped_addresses()
            ],
            attributes=attributes_of(info.properties),
            ttl=_left(_records_of(zeroconf, info)),
        )
    except InvalidArgumentError:
        # Whatever a stranger sends: a name with NUL, an address on an interface that is not here.
        return None


def host_service(name: str, service_class: Any, records: Iterable[Any]) -> Service | None:
    """Return the service of a host with its addresses; None if there are none."""
    found = list(records)
    hosts = dict.fromkeys(host for record in found if (host := _host_of(record)))
    try:
        addresses = [Address.inet(host) for host in hosts]
        if addresses:
            return Service(name, service_class=service_class, addresses=addresses, ttl=_left(found))
    except InvalidArgumentError:
        pass
    return None


def attributes_of(properties: Mapping[bytes, bytes | None]) -> dict[str, str | bytes | None]:
    """Return a TXT record's properties: text where it is UTF-8, bytes otherwise.

    What has no name, or none in printable ASCII, is ignored (RFC 6763 section 6.4).
    """
    found: dict[str, str | bytes | None] = {}
    for key, value in properties.items():
        if _is_name(key):
            found[key.decode()] = None if value is None else _text(value)
    return found


def _text(value: bytes) -> str | bytes:
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return value
    return value if "\0" in text else text


def _is_name(key: bytes) -> bool:
    return bool(key) and all(0x20 <= byte <= 0x7E and byte != 0x3D for byte in key)


def _host_of(record: Any) -> str:
    family = socket.AF_INET if record.type == A else socket.AF_INET6
    try:
        host = socket.inet_ntop(family, record.address)
    except (ValueError, OSError):
        return ""  # of another length than an address has
    return f"{host}%{record.scope_id}" if record.scope_id else host


def _records_of(zeroconf: Zeroconf, info: ServiceInfo) -> list[DNSRecord]:
    cached = zeroconf.cache.get_all_by_details
    found = [*cached(info.name, SRV, IN), *cached(info.name, TXT, IN)]
    if info.server:
        found += [*cached(info.server, A, IN), *cached(info.server, AAAA, IN)]
    return found


def _left(records: Iterable[DNSRecord]) -> float | None:
    """Return how long all of the records hold, in seconds."""
    now = current_time_millis()
    ends = [(record.get_expiration_time(100) - now) / 1000 for record in records]
    return max(0.0, round(min(ends), 3)) if ends else None


# -- what is registered ----------------------------------------------------------------------------


def info_of(
    question: Instance, service: Service, server: Callable[[tuple[bytes, ...]], str]
) -> ServiceInfo:
    """Return the records of a service that was checked; ``server`` names the host."""
    packed = tuple(_packed(address) for address in service.addresses)
    longest = None if service.ttl is None else max(1, ceil(service.ttl))
    return ServiceInfo(
        f"{question.type}.local.",
        dotted(question),
        port=service.addresses[0].port,
        properties=text_of(service.attributes),
        server=server(packed),
        host_ttl=min(HOST_TTL, longest or HOST_TTL),
        other_ttl=min(OTHER_TTL, longest or OTHER_TTL),
        addresses=packed,
    )


def check(service: Service) -> None:
    """See whether multicast DNS has a place for all of a service.

    Raises:
        InvalidArgumentError: It has none for something of it (WSAEINVAL 10022).
        OperationNotSupportedError: The addresses have several ports (WSAEOPNOTSUPP 10045).
    """
    for member in ("comment", "version", "blob", "context"):
        if getattr(service, member):
            raise InvalidArgumentError(
                f"multicast DNS has no place for the {member} of {service.name!r:.80}: put it into "
                "the attributes, or leave it out"
            )
    if len(service.addresses) > _ADDRESSES:
        raise InvalidArgumentError(
            f"{service.name!r:.80} has {len(service.addresses)} addresses: {_ADDRESSES} is the most"
        )
    for address in service.addresses:
        packed = _packed(address)
        multicast = packed[0] >= (0xE0 if len(packed) == 4 else 0xFF)
        if not address.port or not any(packed) or multicast:
            raise InvalidArgumentError(
                f"{address} cannot be told to others: give an address of this machine with a port, "
                "not a wildcard"
            )
    if len({address.port for address in service.addresses}) > 1:
        raise OperationNotSupportedError(
            f"multicast DNS has one port for a service, and {service.name!r:.80} has several: "
            "register each under a name of its own"
        )
    text_of(service.attributes)


def text_of(attributes: Mapping[str, Any]) -> bytes:
    """Return attributes as a TXT record (RFC 6763 section 6).

    Raises:
        InvalidArgumentError: One cannot be part of it (WSAEINVAL 10022).
    """
    items = []
    for name, value in attributes.items():
        key = name.encode()
        if not _is_name(key):
            raise InvalidArgumentError(
                f"the attribute {name!r:.80} has a name that a TXT record cannot have: give "
                "printable ASCII without '='"
            )
        item = key if value is None else key + b"=" + _encoded(value)
        if len(item) > _ITEM:
            raise InvalidArgumentError(
                f"the attribute {name!r:.80} has {len(item)} bytes with its value: {_ITEM} is the "
                "most in a TXT record"
            )
        items.append(bytes((len(item),)) + item)
    text = b"".join(items)
    if len(text) > _ALL_ITEMS:
        raise InvalidArgumentError(
            f"the attributes have {len(text)} bytes: {_ALL_ITEMS} is the most in one packet"
        )
    return text or b"\0"  # an empty record is not allowed, one empty item is


def _encoded(value: object) -> bytes:
    if isinstance(value, bytes):
        return value
    return (str(value).lower() if isinstance(value, bool) else str(value)).encode()


def _packed(address: Address) -> bytes:
    if address.family not in (socket.AF_INET, socket.AF_INET6):
        raise InvalidArgumentError(
            f"{address} is no Internet address, and multicast DNS knows no other: leave it out"
        )
    host = str(address.sockaddr[0])
    return socket.inet_pton(address.family, host)
