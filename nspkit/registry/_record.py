"""How a service is kept: a record in JSON, which any engine can hold and a person can read.

What JSON does not have: ``bytes`` are ``{"bytes": "00ff"}``, a tuple is an array, and the Internet
families are written by name, because their numbers are not the same everywhere. A member that
says nothing is left out. The key is not repeated in the record.
"""

from __future__ import annotations

import socket
from json import JSONDecoder, JSONEncoder
from sys import float_info
from typing import TYPE_CHECKING, Any, NamedTuple

from nspkit import Address, Service, ServiceClass
from nspkit.errors import ErrorCode, InvalidArgumentError, NspError, error_for
from nspkit.registry._conditions import proto_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from nspkit.registry._keys import Key

_FAMILIES: Mapping[Any, int] = {"inet": socket.AF_INET, "inet6": socket.AF_INET6}
_NAMES: Mapping[int, str] = {int(number): name for name, number in _FAMILIES.items()}
_ANY = -1  # of a protocol, at a registration: that of the type

_LATEST = float_info.max

DAMAGE = (ValueError, TypeError, LookupError, AttributeError, RecursionError)
"""What may be raised where an entry is not what a registration puts."""

_SHARED = 256
_SHARED_LENGTH = 1024
"""So many attributes are shared at most, each up to so long as text."""


class Record(NamedTuple):
    """What is kept of an instance beside its key.

    Attributes:
        registered: Whether it is; else it was deregistered, and is known only.
        kind: Its DNS-SD type, if it was registered by one.
        addresses: Each as family, type, protocol and sockaddr, as JSON has them.
        attributes: Its attributes, as JSON has them.
        comment: Its comment.
        version: Its version, if it has one.
        blob: Its blob as hexadecimal digits, if it has one.
        ttl: How many seconds it was registered for; None: without an end.
        ends: When each address ends, in seconds since 1970, where they end on their own.
    """

    registered: bool
    kind: str | None
    addresses: list[list[Any]]
    attributes: dict[str, Any]
    comment: str = ""
    version: int | None = None
    blob: str | None = None
    ttl: float | None = None
    ends: list[float | None] | None = None

    def alive(self, now: float) -> Record | None:
        """Return it without the addresses that have ended; None if all have."""
        if self.ends is None:
            return self
        pairs = zip(self.addresses, self.ends, strict=True)
        left = [(address, end) for address, end in pairs if end is None or end > now]
        if len(left) == len(self.ends):
            return self
        if not left:
            return None
        return self._replace(
            addresses=[address for address, _end in left], ends=[end for _address, end in left]
        )

    def next_end(self, now: float) -> float | None:
        """Return when the next of its addresses ends; None if none does."""
        ends = (end for end in self.ends or () if end is not None and end > now)
        return min(ends, default=None)


def record_of(service: Service) -> Record:
    """Return the record that a registration puts.

    Raises:
        InvalidArgumentError: Something of it cannot be stored (WSAEINVAL 10022).
    """
    blob = service.blob
    addresses = {_encode(parts): parts for parts in map(_parts, service.addresses)}
    return Record(
        registered=True,
        kind=service.service_type,
        addresses=list(addresses.values()),
        attributes=dict(service.attributes),
        comment=service.comment,
        version=service.version,
        blob=None if blob is None else blob.hex(),
        ttl=_seconds(service.ttl),
    )


def encoded(record: Record) -> bytes:
    """Return a record as it is stored; the same content is the same bytes.

    Raises:
        InvalidArgumentError: Something of it cannot be stored (WSAEINVAL 10022).
    """
    members = {
        "type": record.kind,
        "addresses": record.addresses or None,
        "attributes": record.attributes or None,
        "comment": record.comment or None,
        "version": record.version,
        "blob": record.blob,
        "ttl": record.ttl,
        "ends": record.ends,
        "deregistered": None if record.registered else True,
    }
    return _stored({name: value for name, value in members.items() if value is not None})


def decoded(key: Key, value: bytes) -> Record:
    """Return the record that is stored under a key.

    Raises:
        NspError: It is damaged (WSANO_RECOVERY 11003).
    """
    try:
        found = _decode(value.decode())[0]
        get = found.get
        record = Record(
            not get("deregistered"),
            get("type"),
            get("addresses") or [],
            get("attributes") or {},
            get("comment", ""),
            get("version"),
            get("blob"),
            get("ttl"),
            get("ends"),
        )
    except DAMAGE as error:
        raise damaged(key, error) from error
    if not _is_sound(record):
        raise damaged(key, "it has not the form of a record")
    return record


def _is_sound(record: Record) -> bool:
    """Say whether that of a record is right which is used before a service is made of it."""
    _registered, _kind, addresses, attributes, _comment, version, _blob, ttl, ends = record
    if type(addresses) is not list or type(attributes) is not dict:
        return False
    for address in addresses:
        if type(address) is not list or len(address) != 4:
            return False
    if not _is_time(ttl) or (version is not None and type(version) is not int):
        return False
    if ends is None:
        return True
    return type(ends) is list and len(ends) == len(addresses) and all(map(_is_time, ends))


def _is_time(value: object) -> bool:
    # One that a clock can add: no infinity, and no integer that is more than any float.
    return value is None or (type(value) in (float, int) and -_LATEST <= value <= _LATEST)  # type: ignore[operator]


def service_of(key: Key, record: Record, ttl: float | None, shared: dict[str, Any]) -> Service:
    """Make the service of a record.

    Services with the same attributes share them: those of many are the same, and what was made of
    them once need not be checked again.

    Raises:
        NspError: The record is damaged (WSANO_RECOVERY 11003).
    """
    try:
        given: dict[str, Any] = {}
        text = repr(record.attributes) if record.attributes else ""
        if text:
            given["attributes"] = shared.get(text) or plain_attributes(record.attributes)
        if record.comment:
            given["comment"] = record.comment
        if record.version is not None:
            given["version"] = record.version
        if record.blob is not None:
            given["blob"] = bytes.fromhex(record.blob)
        service = Service(
            key.name,
            service_class=record.kind or key.class_id,
            addresses=[_address(*parts) for parts in record.addresses],
            ttl=ttl,
            context=key.context[:-1],
            **given,
        )
        if record.kind and service.service_class != key.class_id:
            raise ValueError(f"it is under another class than its type, {record.kind}")
    except DAMAGE as error:
        raise damaged(key, error) from error
    if text and text not in shared and len(text) <= _SHARED_LENGTH:
        if len(shared) >= _SHARED:
            shared.clear()
        shared[text] = service.attributes
    return service


def schema_of(service_class: ServiceClass) -> bytes:
    """Return a service class as it is stored.

    Raises:
        InvalidArgumentError: Something of it cannot be stored (WSAEINVAL 10022).
    """
    return _stored({"name": service_class.name, "attributes": dict(service_class.attributes)})


def class_of(class_id: UUID, value: bytes) -> ServiceClass:
    """Return the service class that is stored under a GUID.

    Raises:
        NspError: It is damaged (WSANO_RECOVERY 11003).
    """
    try:
        found = _decode(value.decode())[0]
        return ServiceClass(class_id, found["name"], plain_attributes(found["attributes"]))
    except DAMAGE as error:
        raise damaged(class_id, error) from error


def damaged(what: object, why: object) -> NspError:
    """Return the error for an entry that nobody could have registered."""
    name = getattr(what, "name", what)
    return error_for(
        ErrorCode.WSANO_RECOVERY,
        f"the registry's entry {str(name)!r:.80} is damaged ({why}): delete it and register it "
        "again",
    )


def address_text(parts: list[Any]) -> str:
    """Return an address of a record as text: two are equal if their texts are."""
    return _encode(parts)


def content_text(record: Record) -> str:
    """Return what of a record may hold values that are equal and not the same, as text."""
    return _encode([record.addresses, record.attributes])


def family_of(stored: object) -> Any:
    """Return the family that is meant by a stored name or number."""
    return _FAMILIES.get(stored, stored)


def plain(value: Any) -> Any:
    """Return a value of JSON as it was before: tuples, and bytes."""
    if type(value) is list:
        return tuple(map(plain, value))
    return bytes.fromhex(value["bytes"]) if type(value) is dict else value


def plain_attributes(stored: dict[str, Any]) -> dict[str, Any]:
    """Return attributes of JSON as they were before."""
    return {name: plain(value) for name, value in stored.items()}


def _as_json(value: object) -> object:
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    raise InvalidArgumentError(
        f"a value of type {type(value).__name__} cannot be stored in a registry: give a str, "
        "bytes, int, float, bool, None, or a tuple of these"
    )


# Sorted: the order of attributes is no content.
_encode = JSONEncoder(separators=(",", ":"), sort_keys=True, default=_as_json).encode
_decode = JSONDecoder().raw_decode


def _stored(members: dict[str, Any]) -> bytes:
    try:
        return _encode(members).encode()
    except InvalidArgumentError:
        raise
    except ValueError as error:  # Python writes no numbers of thousands of digits
        raise InvalidArgumentError(f"a value cannot be stored in a registry: {error}") from error


def _seconds(ttl: float | None) -> float | None:
    try:
        return None if ttl is None else float(ttl)
    except OverflowError as error:
        raise InvalidArgumentError(
            "the service's ttl is no number of seconds that a clock can add: leave it out for a "
            "registration without an end"
        ) from error


def _parts(address: Address) -> list[Any]:
    kind, proto = address.type, address.proto
    if proto == _ANY:  # the registry puts in the one that the type has
        proto = proto_of(kind, proto)
    # Through JSON, so that it is the same as one that was read.
    text = _stored(
        {"": [_NAMES.get(address.family, address.family), kind, proto, address.sockaddr]}
    )
    parts: list[Any] = _decode(text.decode())[0][""]
    return parts


def _address(family: Any, kind: int, proto: int, sockaddr: Any) -> Address:
    number = _FAMILIES.get(family)
    if number is None:
        return Address(family, kind, proto, plain(sockaddr))
    return Address(number, kind, proto, tuple(sockaddr))  # which has nothing but plain values
