"""NSPStartup, and the routine table of one provider that it returns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nspkit import Namespace, as_guid
from nspkit.errors import InvalidArgumentError, NotInitialisedError
from nspkit.winsock._answer import c_shaped, required
from nspkit.winsock._lookup import (
    WSALookupServiceEnd,
    WSALookupServiceNext,
    WSANSPIoctl,
    opened,
    restrictions,
)
from nspkit.winsock._process import process
from nspkit.winsock._search import Search
from nspkit.winsock._services import multiple_in

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from nspkit import LookupFlags, Query, Service, ServiceClass, ServiceOperation, Session
    from nspkit.winsock._process import Period


class NspRoutine:
    """The routine table of a started provider; `NSP_ROUTINE` in Winsock.

    `NSPStartup` makes it. As in C every routine takes the provider's GUID first, and answers
    WSAEINVAL (10022) for that of another one; one that the provider does not have answers
    WSAEOPNOTSUPP (10045). After the last `NSPCleanup`, or the last `WSACleanup`, all answer
    WSANOTINITIALISED (10093). A handle of `NSPLookupServiceBegin` is one of
    `WSALookupServiceBegin` too.

    Attributes:
        major_version: The version of the provider interface that the provider speaks.
        minor_version: 0; the interface has no minor versions.
    """

    __slots__ = ("_period", "_session", "major_version", "minor_version")

    def __init__(self, period: Period, session: Session) -> None:
        """Make the table of a session; the reference is given back by `NSPCleanup` only."""
        self._period = period
        self._session = session
        self.major_version = session.info.spi_version
        self.minor_version = 0

    def __repr__(self) -> str:
        return f"<NspRoutine of {self._session.info.name!r}>"

    @c_shaped
    def NSPCleanup(self, provider: UUID | str) -> int:
        """Give one reference back, see `nspkit.winsock.NSPCleanup`; 0 or -1."""
        self._of(provider)
        self._period.host.cleanup(self._session.info.guid)
        return 0

    @c_shaped
    def NSPLookupServiceBegin(
        self, provider: UUID | str, query: Query, flags: LookupFlags | int
    ) -> int:
        """Begin a query at this provider, whatever the query says; a handle or -1."""
        session = self._of(provider)
        asked = restrictions(query, flags).replace(
            provider=session.info.guid, namespace=Namespace.ALL
        )
        search = Search(self._period.host, asked, session.lookup(asked), session)
        return opened(self._period, search)

    @staticmethod
    def NSPLookupServiceNext(handle: int, flags: LookupFlags | int = 0) -> Service | int:
        """Return the next result of a query, as `WSALookupServiceNext`, or -1."""
        return WSALookupServiceNext(handle, flags)

    @staticmethod
    def NSPLookupServiceEnd(handle: int) -> int:
        """End a query, as `WSALookupServiceEnd`; 0 or -1."""
        return WSALookupServiceEnd(handle)

    @c_shaped
    def NSPSetService(
        self,
        provider: UUID | str,
        service: Service,
        operation: ServiceOperation | int,
        flags: int = 0,
    ) -> int:
        """Register, deregister or delete an instance, as `WSASetService`; 0 or -1."""
        session = self._of(provider)
        session.set_service(required("service", service), operation, multiple=multiple_in(flags))
        return 0

    @c_shaped
    def NSPInstallServiceClass(self, provider: UUID | str, service_class: ServiceClass) -> int:
        """Store the schema of a service class, as `WSAInstallServiceClass`; 0 or -1."""
        self._of(provider).install_service_class(service_class)
        return 0

    @c_shaped
    def NSPRemoveServiceClass(self, provider: UUID | str, class_id: UUID | str) -> int:
        """Forget the schema of a service class, as `WSARemoveServiceClass`; 0 or -1."""
        self._of(provider).remove_service_class(class_id)
        return 0

    @c_shaped
    def NSPGetServiceClassInfo(
        self, provider: UUID | str, class_id: UUID | str
    ) -> ServiceClass | int:
        """Return the schema of a service class, as `WSAGetServiceClassInfo`, or -1."""
        return self._of(provider).service_class(class_id)

    @staticmethod
    def NSPIoctl(
        handle: int,
        code: int,
        data: bytes = b"",
        completion: Callable[[int], object] | None = None,
    ) -> bytes | int:
        """Make a control request on a query, as `WSANSPIoctl`."""
        return WSANSPIoctl(handle, code, data, completion)

    def _of(self, provider: UUID | str) -> Session:
        """Return the session, if this table is still good and the provider's."""
        if process.running() is not self._period:
            raise NotInitialisedError("this table is of a time before WSACleanup; get another")
        guid = as_guid(required("provider", provider))
        if guid != self._session.info.guid:
            raise InvalidArgumentError(
                f"this table is that of provider {self._session.info.guid}, not of {guid}"
            )
        return self._session


@c_shaped
def NSPStartup(provider: UUID | str) -> NspRoutine | int:
    """Take a reference to one provider, starting it if nobody has, and return its routine table.

    Winsock's host calls it; here an application may, to speak to one provider. Each call wants
    its `NSPCleanup`; a second one calls nothing and returns a table that is as good.

    Args:
        provider: The GUID of the provider.

    Returns:
        A table, or -1: WSAEFAULT (10014) for None, WSAEINVAL (10022) for an unknown or inactive
        provider, WSAEPROVIDERFAILEDINIT (10106) if it cannot be loaded or its start failed without
        a code, WSAEINVALIDPROCTABLE (10104) if its hooks do not fit, WSASYSNOTREADY (10091) if
        its back end is away, WSANOTINITIALISED (10093) without a `WSAStartup`, or what the start
        failed with.
    """
    period = process.running()
    return NspRoutine(period, period.host.startup(required("provider", provider)))


@c_shaped
def NSPCleanup(provider: UUID | str) -> int:
    """Give one reference to a provider back, whoever took it; the last one ends it.

    Args:
        provider: The GUID of the provider.

    Returns:
        0, or -1: WSAEFAULT (10014) for None, WSAEINVAL (10022) for an unknown provider,
        WSANOTINITIALISED (10093) if there is no reference, or what the cleanup failed with: then
        too the provider has been ended.
    """
    process.running().host.cleanup(required("provider", provider))
    return 0
