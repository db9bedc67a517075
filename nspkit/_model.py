"""The values that pass between an application, the host and its providers.

All are frozen, and checked once, when they are made: what holds one need not check it again.
A field that is wrong raises ``InvalidArgumentError`` (WSAEINVAL 10022), which names the field,
what was given and what is right. A text is a ``str`` of at most 65,535 characters without NUL
and lone surrogates; a GUID is a ``uuid.UUID`` or its string.

``Address``, ``Query``, ``ServiceClass``, ``Version`` and ``ProviderInfo`` are written in files of
their own; take them from here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from nspkit._address import Address
from nspkit._constants import ChangeKind, LookupFlags, Namespace, ResultFlags
from nspkit._query import Query, with_type
from nspkit._schema import DNS_SD_NAMESPACE, ProviderInfo, ServiceClass, Version, service_class_in
from nspkit._value import (
    NO_ATTRIBUTES,
    Attributes,
    Value,
    as_guid,
    attributes_in,
    blob_in,
    flags_in,
    guid,
    integer,
    items_in,
    namespace_in,
    refuse,
    seconds_in,
    text,
)

if TYPE_CHECKING:
    import uuid
    from collections.abc import Iterable, Mapping
    from typing import Any, Self

    from nspkit._value import AttributeValue

__all__ = [
    "DNS_SD_NAMESPACE",
    "Address",
    "Attributes",
    "Change",
    "ProviderInfo",
    "Query",
    "Service",
    "ServiceClass",
    "Version",
    "as_guid",
]

_EMPTY = ""
_NONE: tuple[Any, ...] = ()
_NO_CLASS = (None, None)
_NO_FLAGS = ResultFlags(0)

_RETURN_ALL = int(LookupFlags.RETURN_ALL)
# Plain integers: an operation on an IntFlag takes as long as the rest of a stamp.
_MEMBERS: tuple[tuple[int, str, object], ...] = (
    (int(LookupFlags.RETURN_NAME), "name", ""),
    (int(LookupFlags.RETURN_TYPE), "service_class", None),
    (int(LookupFlags.RETURN_TYPE), "service_type", None),
    (int(LookupFlags.RETURN_VERSION), "version", None),
    (int(LookupFlags.RETURN_COMMENT), "comment", ""),
    (int(LookupFlags.RETURN_ADDR), "addresses", ()),
    (int(LookupFlags.RETURN_BLOB), "blob", None),
    (_RETURN_ALL, "attributes", NO_ATTRIBUTES),
)


class _ServiceDraft:
    """A service while its fields are being filled in.

    Setting the slots of a class without ``__setattr__`` and changing the class of the object at
    the end takes a third of the time that ``object.__setattr__`` takes for each frozen slot.
    Results come by the ten thousand.
    """

    __slots__ = (
        "addresses",
        "attributes",
        "blob",
        "comment",
        "context",
        "flags",
        "name",
        "namespace",
        "provider",
        "service_class",
        "service_type",
        "ttl",
        "version",
    )

    name: str
    service_class: uuid.UUID | None
    service_type: str | None
    addresses: tuple[Address, ...]
    attributes: Attributes
    ttl: float | None
    comment: str
    context: str
    version: int | None
    blob: bytes | None
    namespace: Namespace | None
    provider: uuid.UUID | None
    flags: ResultFlags


@final
class Service(Value, _ServiceDraft):
    """What is found, or what is registered.

    Args:
        name: The name of the service, host or whatever the namespace names.
        service_class: The class, a GUID or a DNS-SD type such as ``"_http._tcp"``.
        addresses: Where it can be reached, the best first.
        attributes: What else is known, by name: ``str``, ``bytes``, ``int``, ``float``, ``bool``
            or ``None`` (there, but without a value). DNS-SD's TXT record goes here.
        ttl: How long it holds, in seconds; ``None`` if that is not known.
        comment: A remark for people.
        context: Where in a hierarchy it is.
        version: Its version, an integer; of a ``Version`` the number is taken.
        blob: Private data of the provider.
        namespace: The namespace that it came from; the host fills it in.
        provider: The GUID of the provider that it came from; the host fills it in.
        flags: What it is, beside being found.

    Attributes:
        service_class: The class id as a UUID, that of the DNS-SD type where one was given.
        service_type: The DNS-SD type, in lower case, if one was given; ``None`` otherwise.
        attributes: A read-only ``dict``.

    Raises:
        InvalidArgumentError: A field is not acceptable (WSAEINVAL 10022).

    Source: ``WSAQUERYSET`` in ``winsock2.h``; ``NSPLookupServiceNext``, ``NSPSetService``.
    """

    __slots__ = ()

    def __new__(
        cls,
        name: str,
        *,
        service_class: uuid.UUID | str | None = None,
        addresses: Iterable[Address] = _NONE,
        attributes: Mapping[str, AttributeValue] = NO_ATTRIBUTES,
        ttl: float | None = None,
        comment: str = _EMPTY,
        context: str = _EMPTY,
        version: Version | int | None = None,
        blob: bytes | None = None,
        namespace: Namespace | int | None = None,
        provider: uuid.UUID | str | None = None,
        flags: ResultFlags | int = _NO_FLAGS,
    ) -> Self:
        new: Self = _ServiceDraft()  # type: ignore[assignment]  # until the end
        new.name = text("Service.name", name)
        new.service_class, new.service_type = (
            _NO_CLASS
            if service_class is None
            else service_class_in("Service.service_class", service_class)
        )
        # Most fields are left out; a default is recognised by identity and not checked.
        new.addresses = addresses if addresses is _NONE else _addresses(addresses)
        new.attributes = (
            attributes
            if attributes is NO_ATTRIBUTES
            else attributes_in("Service.attributes", attributes)
        )
        new.ttl = ttl if ttl is None else seconds_in("Service.ttl", ttl)
        new.comment = comment if comment is _EMPTY else text("Service.comment", comment)
        new.context = context if context is _EMPTY else text("Service.context", context)
        new.version = version if version is None else _number(version)
        new.blob = blob if blob is None else blob_in("Service.blob", blob)
        new.namespace = (
            namespace if namespace is None else namespace_in("Service.namespace", namespace)
        )
        new.provider = provider if provider is None else guid("Service.provider", provider)
        new.flags = flags if flags is _NO_FLAGS else flags_in("Service.flags", flags, ResultFlags)
        new.__class__ = cls
        return new

    def _arguments(self) -> dict[str, Any]:
        return with_type(super()._arguments(), self.service_type)

    def _stamped(self, namespace: Namespace, provider: uuid.UUID) -> Service:
        """Return the service with the namespace and the GUID that it came from; unchecked."""
        if self.provider is provider and self.namespace is namespace:
            return self
        new = self._draft()
        new.namespace = namespace
        new.provider = provider
        new.__class__ = Service
        return new

    def _narrowed(self, flags: LookupFlags) -> Service:
        """Return the service with those members only that the flags ask for.

        NAME, TYPE, VERSION, COMMENT, ADDR and BLOB each stand for one; the attributes, which
        Winsock does not have, stay while any RETURN flag is set. Where the result came from,
        its flags, its context and its time to live always stay. Aliases are results of their
        own, so the flag for them is the business of whoever routes results.
        """
        asked = flags._value_ & _RETURN_ALL
        if asked == _RETURN_ALL:
            return self
        new = self._draft()
        for bits, member, empty in _MEMBERS:
            if not asked & bits:
                setattr(new, member, empty)
        new.__class__ = Service
        return new

    def _draft(self) -> Service:
        new: Service = _ServiceDraft()  # type: ignore[assignment]  # until the caller ends it
        new.name = self.name
        new.service_class = self.service_class
        new.service_type = self.service_type
        new.addresses = self.addresses
        new.attributes = self.attributes
        new.ttl = self.ttl
        new.comment = self.comment
        new.context = self.context
        new.version = self.version
        new.blob = self.blob
        new.namespace = self.namespace
        new.provider = self.provider
        new.flags = self.flags
        return new


@final
class Change(Value):
    """A change of a service that is watched.

    Args:
        kind: What happened.
        service: The service as it is now; as it was last if it was removed.

    Raises:
        InvalidArgumentError: A field is not acceptable (WSAEINVAL 10022).

    Source: ``SIO_NSP_NOTIFY_CHANGE``; ``RESULT_IS_ADDED``, ``…CHANGED``, ``…DELETED``.
    """

    __slots__ = ("kind", "service")

    kind: ChangeKind
    service: Service

    def __init__(self, kind: ChangeKind, service: Service) -> None:
        if not isinstance(kind, ChangeKind):
            raise refuse("Change.kind", kind, "give ChangeKind.ADDED, CHANGED or REMOVED")
        if not isinstance(service, Service):
            raise refuse("Change.service", service, "give a Service")
        self._fill(kind=kind, service=service)


def _number(value: object) -> int:
    return value.number if isinstance(value, Version) else integer("Service.version", value)


def _addresses(value: object) -> tuple[Address, ...]:
    right = "give Address values, such as [Address.inet('192.0.2.1', 80)]"
    found = []
    for address in items_in("Service.addresses", value, right):
        if type(address) is not Address:
            raise refuse("Service.addresses", address, right)
        found.append(address)
    return tuple(found)
