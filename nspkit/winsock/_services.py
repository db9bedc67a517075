"""Registrations and service classes: WSASetService, and the class calls."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nspkit import SERVICE_MULTIPLE, ServiceClass, as_guid
from nspkit.errors import InvalidArgumentError
from nspkit.winsock._answer import c_shaped, required
from nspkit.winsock._process import process

if TYPE_CHECKING:
    from uuid import UUID

    from nspkit import Service, ServiceOperation


@c_shaped
def WSASetService(service: Service, operation: ServiceOperation | int, flags: int = 0) -> int:
    """Register, deregister or delete an instance: at one provider, of a namespace, or at all.

    Args:
        service: The instance; its ``provider`` and ``namespace`` say who is asked.
        operation: REGISTER (0), DEREGISTER (1) or DELETE (2).
        flags: SERVICE_MULTIPLE (1) if only the given addresses are meant, else 0.

    Returns:
        0 if one provider at least has done it, or -1: WSAEFAULT (10014) for None, WSAEINVAL
        (10022), WSASERVICE_NOT_FOUND (10108) for the end of what is not there,
        WSAEOPNOTSUPP (10045) if nobody registers anything, WSANOTINITIALISED (10093), or what the
        providers failed with, the most specific code of all.
    """
    host = process.running().host
    host.set_service(required("service", service), operation, multiple=multiple_in(flags))
    return 0


@c_shaped
def WSAInstallServiceClass(service_class: ServiceClass) -> int:
    """Store the schema of a service class at every active provider.

    Returns:
        0 if one provider at least has stored it, or -1: WSAEINVAL (10022) for None or no class,
        WSAEALREADY (10037) if it is there, WSAEOPNOTSUPP (10045) if nobody stores any,
        WSANOTINITIALISED (10093), or what the providers failed with.
    """
    process.running().host.install_service_class(service_class)
    return 0


@c_shaped
def WSARemoveServiceClass(class_id: UUID | str) -> int:
    """Forget the schema of a service class at every active provider.

    Returns:
        0 if one provider at least has removed it, or -1: WSAEINVAL (10022) for no GUID,
        WSATYPE_NOT_FOUND (10109) if there is no such class, WSAETOOMANYREFS (10059) while
        instances of it live, WSANOTINITIALISED (10093), or what the providers failed with.
    """
    process.running().host.remove_service_class(class_id)
    return 0


@c_shaped
def WSAGetServiceClassInfo(provider: UUID | str, class_id: UUID | str) -> ServiceClass | int:
    """Return the schema of a service class as one provider has it.

    Returns:
        A `ServiceClass`, or -1: WSAEINVAL (10022) for None or an unknown provider,
        WSATYPE_NOT_FOUND (10109) if it has no such class, WSAEOPNOTSUPP (10045) if it stores none,
        WSANOTINITIALISED (10093), or what the provider failed with.
    """
    host = process.running().host
    return host.service_class(as_guid(class_id), as_guid(provider))


@c_shaped
def WSAGetServiceClassNameByClassId(class_id: UUID | str) -> str | int:
    """Return the name of a service class, from the first provider that knows it.

    Returns:
        The name, or -1: WSAEFAULT (10014) for None, WSAEINVAL (10022) for no GUID,
        WSATYPE_NOT_FOUND (10109) if nobody knows it, WSAEOPNOTSUPP (10045) if nobody stores any,
        WSANOTINITIALISED (10093).
    """
    host = process.running().host
    return host.service_class(required("class_id", class_id)).name


def multiple_in(flags: int) -> bool:
    """Return whether the flags of a registration say SERVICE_MULTIPLE."""
    if flags not in (0, SERVICE_MULTIPLE):
        raise InvalidArgumentError(f"flags is {flags!r}; give SERVICE_MULTIPLE (1) or 0")
    return flags == SERVICE_MULTIPLE
