"""One result of a lookup: as rows for a person, or as a record for a program."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nspkit import ResultFlags
from nspkit.cli._output import Cell, as_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nspkit import Address, Service

_TCP, _UDP = 6, 17
_PROTOCOLS = {(1, 0): "tcp", (2, 0): "udp", (1, _TCP): "tcp", (2, _UDP): "udp"}
"""By socket type and protocol number."""


def rows(service: Service, provider: str) -> Iterator[list[Cell]]:
    """Yield a row for each address: name, address, provider, remarks."""
    remarks = Cell(", ".join(_remarks(service)), "dim")
    addresses = [Cell(_shown(address), "bold") for address in service.addresses]
    for address in addresses or [Cell("-", "dim")]:
        yield [Cell(service.name), address, Cell(provider, "cyan"), remarks]


def details(service: Service) -> Iterator[tuple[Cell, ...]]:
    """Yield what else is known of it, a line each."""
    if service.comment:
        yield (Cell(service.comment),)
    for key, value in service.attributes.items():
        text = value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value
        yield (Cell(key, "dim"), *(() if value is None else (Cell("="), Cell(text))))


def record(service: Service, provider: str) -> dict[str, Any]:
    """Return everything that a result says, by name; every name is always there."""
    return {
        "name": service.name,
        "provider": provider,
        "guid": str(service.provider),
        "namespace": service.namespace.name if service.namespace is not None else None,
        "service_class": None if service.service_class is None else str(service.service_class),
        "service_type": service.service_type,
        "addresses": [_address(address) for address in service.addresses],
        "attributes": {key: as_json(value) for key, value in service.attributes.items()},
        "ttl": service.ttl,
        "comment": service.comment,
        "context": service.context,
        "version": service.version,
        "blob": as_json(service.blob),
        "flags": list(_flags(service)),
    }


def _remarks(service: Service) -> Iterator[str]:
    yield from _flags(service)
    if service.service_type is not None:
        yield service.service_type
    if service.version is not None:
        yield f"version {service.version}"
    if service.ttl is not None:
        yield f"ttl {service.ttl:g} s"
    if service.context:
        yield f"in {service.context}"
    if service.blob is not None:
        yield f"{len(service.blob)} bytes of data"


def _flags(service: Service) -> Iterator[str]:
    for flag in ResultFlags:
        if flag in service.flags:
            yield str(flag.name).removeprefix("IS_").lower()


def _shown(address: Address) -> str:
    """Return an address as one writes it: host, port and protocol as far as they are known."""
    host, port = address.host, address.port
    if not host:
        return f"{_family(address)} {_foreign(address.sockaddr)}"
    protocol = _PROTOCOLS.get((address.type, address.proto), "")
    if not port:
        return host
    shown = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return f"{shown}/{protocol}" if protocol else shown


def _foreign(sockaddr: Any) -> str:
    if isinstance(sockaddr, bytes):
        return sockaddr.decode("utf-8", "backslashreplace")
    return sockaddr if isinstance(sockaddr, str) else ", ".join(map(str, sockaddr))


def _address(address: Address) -> dict[str, Any]:
    return {
        "host": address.host,
        "port": address.port,
        "family": _family(address),
        "type": address.type,
        "protocol": address.proto,
        "sockaddr": as_json(address.sockaddr),
    }


def _family(address: Address) -> str:
    """Return the name of the address family; its number differs between platforms."""
    import socket

    try:
        return socket.AddressFamily(address.family).name
    except ValueError:
        return f"AF_{address.family}"
