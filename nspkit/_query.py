"""The query: what is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from nspkit._constants import LookupFlags, Namespace
from nspkit._schema import Version, service_class_in, short_name
from nspkit._value import (
    INT_MAX,
    INT_MIN,
    Value,
    blob_in,
    filled,
    flags_in,
    guid,
    guid_in,
    integer,
    items_in,
    namespace_in,
    refuse,
    text,
)

if TYPE_CHECKING:
    import uuid
    from collections.abc import Iterable
    from typing import Any, Self

_EMPTY = ""
_NONE: tuple[Any, ...] = ()
_NO_CLASS = (None, None)
_ALL = LookupFlags.RETURN_ALL


class _QueryDraft:
    """A query while its fields are being filled in; see the draft of a service."""

    __slots__ = (
        "blob",
        "context",
        "flags",
        "name",
        "namespace",
        "protocols",
        "provider",
        "query_string",
        "service_class",
        "service_type",
        "version",
    )

    name: str | None
    service_class: uuid.UUID | None
    service_type: str | None
    namespace: Namespace
    provider: uuid.UUID | str | None
    context: str
    version: Version | None
    protocols: tuple[tuple[int, int], ...]
    query_string: str
    flags: LookupFlags
    blob: bytes | None


@final
class Query(Value, _QueryDraft):
    r"""What is asked for: the restrictions that a result has to meet.

    Args:
        name: The name of the service, host or whatever the namespace names; ``None`` for any,
            not ``""``.
        service_class: The class, a GUID or a DNS-SD type such as ``"_http._tcp"``.
        namespace: Ask the providers of this namespace; ``Namespace.ALL`` for every one.
        provider: Ask this provider only: its GUID or its short name.
        context: Where a hierarchical search starts: ``""`` for the default, ``"\"`` for the top.
        version: The version asked for; an integer means exactly this one.
        protocols: Pairs (family, protocol number): addresses for one of them only.
        query_string: Further conditions in a language of the provider's.
        flags: What to do, and which members of a result to return.
        blob: Private data for the provider.

    Attributes:
        service_class: The class id as a UUID, that of the DNS-SD type where one was given.
        service_type: The DNS-SD type, in lower case, if one was given; ``None`` otherwise.
        version: A ``Version``, or ``None``.
        provider: A UUID, a short name, or ``None``.

    Raises:
        InvalidArgumentError: A field is not acceptable (WSAEINVAL 10022).

    Source: ``WSAQUERYSET`` in ``winsock2.h``; ``NSPLookupServiceBegin``.
    """

    __slots__ = ()

    def __new__(
        cls,
        name: str | None = None,
        *,
        service_class: uuid.UUID | str | None = None,
        namespace: Namespace | int = Namespace.ALL,
        provider: uuid.UUID | str | None = None,
        context: str = _EMPTY,
        version: Version | int | None = None,
        protocols: Iterable[tuple[int, int]] = _NONE,
        query_string: str = _EMPTY,
        flags: LookupFlags | int = _ALL,
        blob: bytes | None = None,
    ) -> Self:
        new: Any = _QueryDraft()
        new.name = name if name is None else filled("Query.name", name)
        # Most fields are left out; a default is recognised by identity and not checked.
        new.service_class, new.service_type = (
            _NO_CLASS
            if service_class is None
            else service_class_in("Query.service_class", service_class)
        )
        new.namespace = (
            namespace if namespace is Namespace.ALL else namespace_in("Query.namespace", namespace)
        )
        new.provider = provider if provider is None else _asked_provider(provider)
        new.context = context if context is _EMPTY else text("Query.context", context)
        new.version = version if version is None else _asked_version(version)
        new.protocols = protocols if protocols is _NONE else _protocols(protocols)
        new.query_string = (
            query_string if query_string is _EMPTY else text("Query.query_string", query_string)
        )
        new.flags = flags if flags is _ALL else flags_in("Query.flags", flags, LookupFlags)
        new.blob = blob if blob is None else blob_in("Query.blob", blob)
        new.__class__ = cls
        made: Self = new
        return made

    def _arguments(self) -> dict[str, Any]:
        return with_type(super()._arguments(), self.service_type)


def with_type(arguments: dict[str, Any], service_type: str | None) -> dict[str, Any]:
    # The class id follows from the type, the type not from the class id.
    if service_type is not None:
        arguments["service_class"] = service_type
    return arguments


def _asked_provider(value: object) -> uuid.UUID | str:
    if isinstance(value, str):
        return guid_in(value) or short_name("Query.provider", value)
    return guid("Query.provider", value)


def _asked_version(value: object) -> Version | None:
    if value is None or isinstance(value, Version):
        return value
    return Version(integer("Query.version", value))


def _protocols(value: object) -> tuple[tuple[int, int], ...]:
    right = "give pairs (family, protocol number), such as [(socket.AF_INET, 6)]"
    pairs = []
    for pair in items_in("Query.protocols", value, right):
        if not isinstance(pair, tuple) or len(pair) != 2:
            raise refuse("Query.protocols", pair, right)
        numbers = [integer("Query.protocols", number, INT_MIN, INT_MAX) for number in pair]
        pairs.append((numbers[0], numbers[1]))
    return tuple(pairs)
