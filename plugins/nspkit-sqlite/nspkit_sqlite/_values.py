"""How a service is a row: addresses and attributes as JSON, everything else as it is.

JSON is what a person with the `sqlite3` command can read, and two addresses are equal if their
texts are. What JSON does not have: ``bytes`` are ``{"bytes": "00ff"}``, a tuple is an array, and
the Internet families are written by name, because their numbers are not the same everywhere.
"""

from __future__ import annotations

import socket
from json import JSONDecoder, JSONEncoder
from typing import TYPE_CHECKING, Any
from uuid import UUID

from nspkit import Address, Service, ServiceClass
from nspkit.errors import ErrorCode, InvalidArgumentError, NspError, error_for
from nspkit.registry import context_key, proto_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    Key = tuple[bytes, str, str]
    Row = tuple[Any, ...]
    Content = tuple[Any, ...]
    Shared = dict[str, Mapping[str, Any]]  # attributes, by their column

COLUMNS = (
    "class, context, name, type, registered, addresses, attributes, comment, version, blob, "
    "expires_at, leases"
)
# Their places in a row.
CLASS, CONTEXT, NAME, TYPE, REGISTERED, ADDRESSES = range(6)
ATTRIBUTES, COMMENT, VERSION, BLOB, ENDS_AT, LEASES = range(6, 12)

_FAMILIES: Mapping[Any, int] = {"inet": socket.AF_INET, "inet6": socket.AF_INET6}
_NAMES: Mapping[int, str] = {int(number): name for name, number in _FAMILIES.items()}


def _encoded(value: object) -> object:
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    raise InvalidArgumentError(
        f"a value of type {type(value).__name__} cannot be stored in a registry: give a str, "
        "bytes, int, float, bool, None, or a tuple of these"
    )


_SHARED = 256
_SHARED_LENGTH = 1024
"""So many attributes are shared at most, each up to so long."""


# Sorted: the order of attributes is no content.
_encode = JSONEncoder(separators=(",", ":"), sort_keys=True, default=_encoded).encode
_decode = JSONDecoder().raw_decode


def text_of(value: object) -> str:
    """Return plain values as JSON.

    Raises:
        InvalidArgumentError: A value cannot be stored (WSAEINVAL 10022).
    """
    try:
        return _encode(value)
    except InvalidArgumentError:
        raise
    except ValueError as error:  # Python writes no numbers of thousands of digits
        raise InvalidArgumentError(f"a value cannot be stored in a registry: {error}") from error


def value_of(text: str) -> Any:
    """Return what a text of JSON says; `bytes` and tuples are not restored."""
    return _decode(text)[0]


def key_of(service: Service) -> Key:
    """Return what tells one instance from another: class, context and name.

    Raises:
        InvalidArgumentError: It has no name (WSAEINVAL 10022).
    """
    if not service.name:
        raise InvalidArgumentError("a service without a name cannot be registered: give it one")
    return id_of(service.service_class), context_key(service.context), service.name


def id_of(class_id: UUID | None) -> bytes:
    """Return a class as it is stored."""
    return class_id.bytes if class_id is not None else b""


def addresses_in(addresses: Iterable[Address]) -> list[str]:
    """Return each address as a text, once.

    Raises:
        InvalidArgumentError: One cannot be stored (WSAEINVAL 10022).
    """
    return list(dict.fromkeys(map(_address_text, addresses)))


def joined(addresses: list[str]) -> str | None:
    """Return texts of addresses as one column."""
    return f"[{','.join(addresses)}]" if addresses else None


def split(column: str | None) -> list[str]:
    """Return a column of addresses as their texts."""
    return [_encode(address) for address in value_of(column)] if column else []


def attributes_in(attributes: Mapping[str, Any]) -> str | None:
    """Return attributes as a column.

    Raises:
        InvalidArgumentError: One cannot be stored (WSAEINVAL 10022).
    """
    return text_of(dict(attributes)) if attributes else None


def attributes_of(column: str | None) -> dict[str, Any]:
    """Return the attributes of a column."""
    if not column:
        return {}
    found: dict[str, Any] = value_of(column)
    return {name: _plain(value) for name, value in found.items()}


def service_of(
    content: Content, ttl: float | None, shared: Shared, asked: UUID | None = None
) -> Service:
    """Make the service of what is visible of a row; ``asked`` is its class, where that is known.

    Rows with the same attributes share them: those of many services are the same, and what was
    made of them once need not be read and checked again.

    Raises:
        NspError: The row is damaged (WSANO_RECOVERY 11003).
    """
    class_id, context, name, kind, addresses, attributes, comment, version, blob = content
    try:
        given: dict[str, Any] = {}
        if attributes:
            given["attributes"] = shared.get(attributes) or attributes_of(attributes)
        service = Service(
            name,
            service_class=kind or asked or (UUID(bytes=class_id) if class_id else None),
            addresses=[_address(*parts) for parts in value_of(addresses)] if addresses else (),
            ttl=ttl,
            comment=comment,
            context=context[:-1],
            version=version,
            blob=blob,
            **given,
        )
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise _damaged(name, error) from error
    if attributes and attributes not in shared and len(attributes) <= _SHARED_LENGTH:
        if len(shared) >= _SHARED:
            shared.clear()
        shared[attributes] = service.attributes
    return service


def class_of(row: Row) -> ServiceClass:
    """Make the service class of a row.

    Raises:
        NspError: The row is damaged (WSANO_RECOVERY 11003).
    """
    class_id, name, attributes = row
    try:
        return ServiceClass(UUID(bytes=class_id), name, attributes_of(attributes))
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise _damaged(name, error) from error


def family_of(stored: object) -> int:
    """Return the family that is meant by a stored name or number."""
    return _FAMILIES.get(stored, stored)  # type: ignore[arg-type]


def _address_text(address: Address) -> str:
    kind, proto = address.type, address.proto
    if proto == -1:  # any, on registration: the registry puts in the one that the type has
        proto = proto_of(kind, proto)
    family: str | int = _NAMES.get(address.family, address.family)
    return text_of([family, kind, proto, address.sockaddr])


def _address(family: Any, kind: int, proto: int, sockaddr: Any) -> Address:
    number = _FAMILIES.get(family)
    if number is None:
        return Address(family, kind, proto, _plain(sockaddr))
    return Address(number, kind, proto, tuple(sockaddr))  # which has nothing but plain values


def _plain(value: Any) -> Any:
    if type(value) is list:
        return tuple(map(_plain, value))
    return bytes.fromhex(value["bytes"]) if type(value) is dict else value


def _damaged(name: object, error: Exception) -> NspError:
    return error_for(
        ErrorCode.WSANO_RECOVERY,
        f"the registry's entry {name!r:.80} is damaged ({error}): delete it and register it again",
    )
