"""What describes services and providers: classes, DNS-SD types, versions, provider info."""

from __future__ import annotations

import uuid
from functools import lru_cache
from typing import TYPE_CHECKING, final

from nspkit._constants import Comparison, Namespace, svcid_tcp, svcid_udp
from nspkit._value import (
    INT_MAX,
    NO_ATTRIBUTES,
    Attributes,
    Value,
    attributes_in,
    filled,
    guid,
    guid_in,
    integer,
    namespace_in,
    refuse,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nspkit._value import AttributeValue

#: The UUID namespace in which the class id of a DNS-SD type is the UUIDv5 of the type in
#: lower case. It never changes: class ids made anywhere are the same.
DNS_SD_NAMESPACE = uuid.UUID("8f1c52f1-2f0e-4b8b-9c55-6f3d2f0a7d61")

_LABEL = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-_")
_NAME = _LABEL | frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ.")


@final
class ServiceClass(Value):
    """A kind of service: its class id, its name, and what is known of every such service.

    Args:
        id: The class id, a GUID.
        name: The name to show; need not be unique.
        attributes: What holds for all services of the class, such as ``{"TcpPort": 80}``.

    Raises:
        InvalidArgumentError: A field is not acceptable (WSAEINVAL 10022).

    Source: ``WSASERVICECLASSINFO`` in ``winsock2.h``; the attribute names of the port classes
    are those of ``nspapi.h``.
    """

    __slots__ = ("attributes", "id", "name")

    id: uuid.UUID
    name: str
    attributes: Attributes

    def __init__(
        self,
        id: uuid.UUID | str,
        name: str,
        attributes: Mapping[str, AttributeValue] = NO_ATTRIBUTES,
    ) -> None:
        self._fill(
            id=guid("ServiceClass.id", id),
            name=filled("ServiceClass.name", name),
            attributes=attributes_in("ServiceClass.attributes", attributes),
        )

    @classmethod
    def tcp(cls, port: int) -> ServiceClass:
        """Make the class of the services on a TCP port, 0 to 65535 (``SVCID_TCP``)."""
        return cls(svcid_tcp(port), f"{port}/tcp", {"TcpPort": int(port)})

    @classmethod
    def udp(cls, port: int) -> ServiceClass:
        """Make the class of the services on a UDP port, 0 to 65535 (``SVCID_UDP``)."""
        return cls(svcid_udp(port), f"{port}/udp", {"UdpPort": int(port)})

    @classmethod
    def dns_sd(cls, service_type: str) -> ServiceClass:
        """Make the class of a DNS-SD type, such as ``"_http._tcp"`` (RFC 6763 section 7).

        The id is the UUIDv5 of the type, in lower case, in ``DNS_SD_NAMESPACE``.
        """
        service_type = dns_sd_type("ServiceClass.dns_sd", service_type)
        return cls(dns_sd_id(service_type), service_type)

    @property
    def service_type(self) -> str | None:
        """The DNS-SD type that this is the class of, or ``None``."""
        return self.name if self.id == dns_sd_id(self.name) else None


@final
class Version(Value):
    """A version that is asked for.

    Args:
        number: 0 to 2**32 - 1.
        comparison: ``EQUAL`` (this number) or ``NOTLESS`` (this or a greater one).

    Raises:
        InvalidArgumentError: A field is not acceptable (WSAEINVAL 10022).

    Source: ``WSAVERSION`` in ``winsock2.h``.
    """

    __slots__ = ("comparison", "number")

    number: int
    comparison: Comparison

    def __init__(self, number: int, comparison: Comparison = Comparison.EQUAL) -> None:
        self._fill(
            number=integer("Version.number", number),
            comparison=Comparison(integer("Version.comparison", comparison, 0, 1)),
        )

    def matches(self, number: int) -> bool:
        """Say whether a service of this version is one that is asked for."""
        if self.comparison is Comparison.NOTLESS:
            return number >= self.number
        return number == self.number


@final
class ProviderInfo(Value):
    """What a provider says about itself, as its class attribute ``info``.

    Args:
        guid: The provider's GUID: a literal, the same on every machine and in every release;
            not the nil GUID.
        name: The short name, as for entry points: ASCII letters, digits, ``-``, ``_``, ``.``.
        namespace: The namespace that it serves; not ``ALL``.
        version: The version of the provider, such as ``"1.2"``.
        stores_service_classes: It keeps the schemas of all service classes for the host.
        spi_version: The version of the provider contract that it was written for.

    Raises:
        InvalidArgumentError: A field is not acceptable (WSAEINVAL 10022).

    Source: ``WSANAMESPACE_INFO`` in ``winsock2.h``; ``WSCInstallNameSpace``.
    """

    __slots__ = (
        "guid",
        "name",
        "namespace",
        "spi_version",
        "stores_service_classes",
        "version",
    )

    guid: uuid.UUID
    name: str
    namespace: Namespace
    version: str
    stores_service_classes: bool
    spi_version: int

    def __init__(
        self,
        guid: uuid.UUID | str,
        name: str,
        namespace: Namespace | int,
        version: str,
        *,
        stores_service_classes: bool = False,
        spi_version: int = 1,
    ) -> None:
        if type(stores_service_classes) is not bool:
            raise refuse(
                "ProviderInfo.stores_service_classes", stores_service_classes, "give True or False"
            )
        self._fill(
            guid=_provider_guid(guid),
            name=short_name("ProviderInfo.name", name),
            namespace=_served(namespace),
            version=filled("ProviderInfo.version", version),
            stores_service_classes=stores_service_classes,
            spi_version=integer("ProviderInfo.spi_version", spi_version, 1, INT_MAX),
        )


def short_name(where: str, value: object) -> str:
    """Return the short name of a provider, which is never mistaken for a GUID."""
    if isinstance(value, str) and value and _NAME.issuperset(value) and not guid_in(value):
        return value
    raise refuse(where, value, "give a name of ASCII letters, digits, '-', '_' and '.'")


def dns_sd_type(where: str, value: object) -> str:
    """Return a DNS-SD type in lower case, as RFC 6763 sections 4.1.2 and 7.1 write it.

    Longer service names than the 15 characters of RFC 6335, and underscores in them, are in
    use, and accepted.
    """
    if isinstance(value, str) and value.isascii():
        labels = value.lower().split(".")
        name, protocol = labels[-2:] if len(labels) in (2, 4) else ("", "")
        if (
            protocol in ("_tcp", "_udp")
            and name[:1] == "_"
            and len(name) > 1
            and all(0 < len(label) <= 63 and _LABEL.issuperset(label) for label in labels)
            and labels[1] in ("_sub", protocol)
        ):
            return ".".join(labels)
    raise refuse(
        where,
        value,
        "give a type such as '_http._tcp' or '_printer._sub._http._tcp', without a domain",
    )


def dns_sd_id(service_type: str) -> uuid.UUID:
    """Return the class id of a DNS-SD type that is in lower case."""
    return uuid.uuid5(DNS_SD_NAMESPACE, service_type)


def service_class_in(where: str, value: object) -> tuple[uuid.UUID | None, str | None]:
    """Return the class id that a GUID or a DNS-SD type means, and the type if it was one."""
    if value is None or type(value) is uuid.UUID:
        return value, None
    if not isinstance(value, str):
        return guid(where, value), None
    return _class_in(where, str.__str__(value))  # what an enumeration says may be another text


@lru_cache(maxsize=256)
def _class_in(where: str, value: str) -> tuple[uuid.UUID, str | None]:
    """Remember what was asked last: thousands of services share a type, and its id is a hash."""
    class_id = guid_in(value)
    if class_id is not None:
        return class_id, None
    if "." not in value:
        raise refuse(where, value, "give a GUID, or a DNS-SD type such as '_http._tcp'")
    service_type = dns_sd_type(where, value)
    return dns_sd_id(service_type), service_type


def _provider_guid(value: object) -> uuid.UUID:
    found = guid("ProviderInfo.guid", value)
    if not found.int:
        raise refuse("ProviderInfo.guid", value, "the nil GUID names no provider: make a new one")
    return found


def _served(value: object) -> Namespace:
    served = namespace_in("ProviderInfo.namespace", value)
    if served is Namespace.ALL:
        raise refuse(
            "ProviderInfo.namespace",
            "ALL",
            "a provider serves one namespace: give that one, or a number of your own",
        )
    return served
