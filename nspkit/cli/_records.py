"""What an export consists of: a line of JSON for each thing, and back.

A line is an object with one key, which says what it is: ``export`` the first, ``end`` the last,
``class`` and ``service`` between them. Everything is there that the interface tells of a service,
so that two lines are alike only if the services are. What JSON does not have is an object with one
key: ``base64`` bytes, ``float`` a number that is not finite, ``int`` one of very many digits.
Address families have names, because their numbers are not the same everywhere.
"""

from __future__ import annotations

import json
import math
import socket
from typing import TYPE_CHECKING, Any

from nspkit import Address, Service, ServiceClass

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

FORMAT = 1
"""The version of the format that is written, and the newest that is read."""

_LONG = 10_000
"""An integer of more bits is written in hexadecimal: Python limits decimal ones."""

_ANY_PROTOCOL = -1
_USUAL = {
    int(socket.SOCK_STREAM): int(socket.IPPROTO_TCP),
    int(socket.SOCK_DGRAM): int(socket.IPPROTO_UDP),
}
"""What a registry puts in the place of any protocol."""

_CONTENT = ("service_class", "addresses", "attributes", "comment", "version", "blob")

_SERVICE = frozenset(("name", "context", "ttl", *_CONTENT))
_CLASS = frozenset(("id", "name", "attributes"))

_encode = json.JSONEncoder(sort_keys=True, allow_nan=False).encode


def line(kind: str, content: Mapping[str, Any]) -> str:
    """Return a line of an export, without its end.

    Raises:
        TypeError: A part of an address is of a type that cannot be written.
    """
    return _encode({kind: content})


def parsed(text: bytes) -> tuple[str, dict[str, Any]]:
    """Return what a line is, and its content.

    Raises:
        ValueError: It is none.
    """
    try:
        found = json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if type(found) is not dict or len(found) != 1:
        raise ValueError("it is no object with one key")
    [(kind, content)] = found.items()
    if type(content) is not dict:
        raise ValueError(f"its '{kind}' is no object")
    return kind, content


def service_record(service: Service) -> dict[str, Any]:
    """Return all that is told of a service, but not by whom."""
    return {
        "name": service.name,
        "service_class": service.service_type or _text(service.service_class),
        "context": service.context,
        "addresses": [_address_record(address) for address in service.addresses],
        "attributes": _written_all(service.attributes),
        "comment": service.comment,
        "version": service.version,
        "blob": _written(service.blob),
        "ttl": service.ttl,
    }


def service_of(record: Mapping[str, Any]) -> Service:
    """Return the service of a record; what is missing has its default.

    Raises:
        ValueError, TypeError, LookupError: It is none; InvalidArgumentError is a ValueError.
    """
    given = _known(record, _SERVICE)
    if not given.get("name"):
        raise ValueError("it has no name")
    for key, read in (("addresses", _addresses), ("attributes", _read_all), ("blob", _read)):
        if key in given:
            given[key] = read(given[key])
    return Service(given.pop("name"), **given)


def class_record(known: ServiceClass) -> dict[str, Any]:
    """Return all that is told of a service class."""
    return {
        "id": str(known.id),
        "name": known.name,
        "attributes": _written_all(known.attributes),
    }


def class_of(record: Mapping[str, Any]) -> ServiceClass:
    """Return the service class of a record.

    Raises:
        ValueError, TypeError, LookupError: It is none.
    """
    given = _known(record, _CLASS)
    return ServiceClass(given["id"], given["name"], _read_all(given.get("attributes", {})))


def are_alike(one: ServiceClass, other: ServiceClass) -> bool:
    """Whether two service classes say the same; numbers and booleans are told apart."""
    return _encode(class_record(one)) == _encode(class_record(other))


def is_same_instance(one: Service, other: Service) -> bool:
    """Whether two results of one name are the same instance: one class, one context."""
    return one.service_class == other.service_class and one.context.strip("\\") == (
        other.context.strip("\\")
    )


def differences(wanted: Service, there: Service) -> list[str]:
    """Return the fields in which a service is not as it should be.

    How long a lease has left is none of them, but it matters that it is one.
    """
    one, other = (service_record(_as_registered(service)) for service in (wanted, there))
    found = [field for field in _CONTENT if _encode(one[field]) != _encode(other[field])]
    return [*found, "ttl"] if wanted.ttl is None and there.ttl is not None else found


def _known(record: Mapping[str, Any], keys: frozenset[str]) -> dict[str, Any]:
    """Return a copy of a record; what would be lost is refused."""
    for key in record:
        if key not in keys:
            raise ValueError(f"there is no key {key!r:.60}; there are {', '.join(sorted(keys))}")
    return dict(record)


def _as_registered(service: Service) -> Service:
    """Return a service with its addresses as a registry keeps them: each once, of a protocol."""
    addresses = dict.fromkeys(
        one if one.proto != _ANY_PROTOCOL else one.replace(proto=_USUAL.get(one.type, 0))
        for one in service.addresses
    )
    if len(addresses) == len(service.addresses) and all(
        one.proto != _ANY_PROTOCOL for one in service.addresses
    ):
        return service
    return service.replace(addresses=addresses)


def _address_record(address: Address) -> dict[str, Any]:
    try:
        family: str | int = socket.AddressFamily(address.family).name
    except ValueError:
        family = address.family
    return {
        "family": family,
        "type": address.type,
        "protocol": address.proto,
        "sockaddr": _written(address.sockaddr),
    }


def _addresses(records: Iterable[Mapping[str, Any]]) -> list[Address]:
    return [
        Address(_family(one["family"]), one["type"], one["protocol"], _read(one["sockaddr"]))
        for one in records
    ]


def _family(named: str | int) -> int:
    if isinstance(named, int):
        return named
    try:
        return int(socket.AddressFamily[named])
    except KeyError:
        raise ValueError(f"this system has no address family {named!r:.60}") from None


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _written_all(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _written(value) for name, value in values.items()}


def _read_all(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _read(value) for name, value in values.items()}


def _written(value: Any) -> Any:
    """Return a plain value as JSON has it."""
    if isinstance(value, bytes):
        from base64 import b64encode

        return {"base64": b64encode(value).decode()}
    if isinstance(value, tuple):
        return [_written(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": str(value)}
    if isinstance(value, int) and value.bit_length() > _LONG:
        return {"int": hex(value)}
    return value


def _read(value: Any) -> Any:
    """Return the plain value that JSON stands for."""
    if type(value) is list:
        return tuple([_read(one) for one in value])
    if type(value) is not dict:
        return value
    [(kind, text)] = value.items()
    if kind == "base64":
        from base64 import b64decode

        return b64decode(text, validate=True)
    if kind in ("float", "int"):
        return float(text) if kind == "float" else int(text, 16)
    raise ValueError(f"there is no kind of value {kind!r:.60}")
