"""A session: one reference to a started provider, and what can be asked of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nspkit._constants import LookupFlags, ServiceOperation
from nspkit._generation import Reference
from nspkit._model import ProviderInfo, Query, Service, ServiceClass, Version, as_guid
from nspkit._setup import seconds_in
from nspkit._watching import query_of
from nspkit.errors import InProgressError, InvalidArgumentError, NotInitialisedError
from nspkit.hookspecs import HOOKS

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType
    from typing import Self
    from uuid import UUID

    from nspkit._account import Account
    from nspkit._lookup import Lookup
    from nspkit._watch import Watch


class _ClosedTable:
    """The routine table of a closed session: every routine refuses."""

    def __getattr__(self, hook: str) -> Any:
        raise NotInitialisedError("this session is closed; take another with host.startup()")


_CLOSED: Any = _ClosedTable()


class Session(Reference):
    """One reference to a started provider, given back in `close`, at most once.

    `Host.startup` makes it; ``with`` closes it. It is good until it is closed and for the
    generation that it was taken in: after that every call answers NotInitialisedError (10093)
    and `close` does nothing. All methods may be called from any thread. What a provider does not
    have answers OperationNotSupportedError (WSAEOPNOTSUPP 10045); `supports` tells beforehand.

    Winsock: one NSPStartup, the routine table that it filled, and its NSPCleanup.
    """

    __slots__ = ("_account", "_host", "_table")

    def __init__(self, host: Any, account: Account) -> None:
        """Make one without a reference; `Host.startup` takes it."""
        self.generation = None
        self._host = host
        self._account = account
        self._table: Any = None  # `Host.startup` knows it

    def __repr__(self) -> str:
        good = self._table is not _CLOSED and self.generation is not None and self.generation.open
        state = "open" if good else "closed"
        return f"<Session of provider {self._account.entry.name!r}: {state}>"

    @property
    def info(self) -> ProviderInfo:
        """The provider's info; also after the session was closed."""
        info = self._account.entry.info
        assert info is not None  # it was started
        return info

    def supports(self, hook: str) -> bool:
        """Whether the provider has a hook, by its name, such as ``"nsp_ioctl"``; calls nothing.

        Raises:
            InvalidArgumentError: there is no hook of that name (WSAEINVAL 10022).
            NotInitialisedError: the session is over (WSANOTINITIALISED 10093).
        """
        if hook not in HOOKS:
            raise InvalidArgumentError(f"no hook {hook!r}; there are {', '.join(HOOKS)}")
        generation = self._running()
        payload = generation.payload
        if payload is None:
            raise generation.refusal()
        return hook in payload.hooks

    def _running(self) -> Any:
        generation = self.generation
        if generation is None or self._table is _CLOSED:  # closed, or about to be
            raise NotInitialisedError(
                f"this session of provider {self._account.entry.name!r} is closed; take another "
                "with host.startup()",
                guid=self._account.lifetime.key,
            )
        return generation

    def lookup(
        self,
        name: str | Query | None = None,
        *,
        service_class: UUID | str | None = None,
        context: str = "",
        version: Version | int | None = None,
        protocols: Iterable[tuple[int, int]] = (),
        query_string: str = "",
        flags: LookupFlags | int = LookupFlags.RETURN_ALL,
        blob: bytes | None = None,
        timeout: float | None = None,
    ) -> Lookup:
        """Look a name up at this provider; see `Host.lookup` (NSPLookupServiceBegin)."""
        query = query_of(
            name,
            service_class=service_class,
            context=context,
            version=version,
            protocols=protocols,
            query_string=query_string,
            flags=flags,
            blob=blob,
        )
        self._check_asked(query)
        found: Lookup = self._host._lookup_at(self._account, query, timeout, self._running())
        return found

    def _check_asked(self, query: Query) -> None:
        """Refuse a query for another provider; it would be answered by the wrong one."""
        asked = query.provider
        if asked is not None and asked not in (self._account.entry.name, self.info.guid):
            raise InvalidArgumentError(
                f"the query is for provider {str(asked)!r}, and this session is one of "
                f"{self._account.entry.name!r}; ask the host, or leave the provider out"
            )

    def watch(
        self,
        query: str | Query | None = None,
        *,
        interval: float = 1.0,
        service_class: UUID | str | None = None,
        context: str = "",
        version: Version | int | None = None,
        protocols: Iterable[tuple[int, int]] = (),
        query_string: str = "",
        flags: LookupFlags | int = LookupFlags.RETURN_ALL,
        blob: bytes | None = None,
    ) -> Watch:
        """Watch what is there at this provider; see `Host.watch` (SIO_NSP_NOTIFY_CHANGE)."""
        asked = query_of(
            query,
            service_class=service_class,
            context=context,
            version=version,
            protocols=protocols,
            query_string=query_string,
            flags=flags,
            blob=blob,
        )
        self._check_asked(asked)
        seen: Watch = self._host._watch_at(self._account, asked, interval, self._running())
        return seen

    def set_service(
        self, service: Service, operation: ServiceOperation | int, *, multiple: bool = False
    ) -> None:
        """Register, deregister or delete an instance (NSPSetService).

        Args:
            service: The instance.
            operation: `ServiceOperation.REGISTER`, ``DEREGISTER`` or ``DELETE``.
            multiple: Whether only the given addresses are meant (SERVICE_MULTIPLE).

        Raises:
            ServiceNotFoundError: deregistering or deleting what is not there (10108).
            NspError: what the provider raised, translated.
        """
        if type(service) is not Service:
            raise InvalidArgumentError(f"service is {service!r}; give a nspkit.Service")
        if type(operation) is not ServiceOperation:
            operation = operation_in(operation)
        self._table.nsp_set_service(service, operation, multiple is True or bool(multiple))

    def install_service_class(self, service_class: ServiceClass) -> None:
        """Store the schema of a service class (NSPInstallServiceClass).

        Raises:
            AlreadyExistsError: the class is there (WSAEALREADY 10037).
            NspError: what the provider raised, translated.
        """
        if not isinstance(service_class, ServiceClass):
            raise InvalidArgumentError(
                f"service_class is {service_class!r}; give a nspkit.ServiceClass"
            )
        self._table.nsp_install_service_class(service_class)

    def remove_service_class(self, class_id: UUID | str) -> None:
        """Forget the schema of a service class (NSPRemoveServiceClass).

        Raises:
            TypeNotFoundError: there is no such class (WSATYPE_NOT_FOUND 10109).
            TooManyReferencesError: instances of it live (WSAETOOMANYREFS 10059).
            NspError: what the provider raised, translated.
        """
        self._table.nsp_remove_service_class(as_guid(class_id))

    def service_class(self, class_id: UUID | str) -> ServiceClass:
        """Return the schema of a service class (NSPGetServiceClassInfo).

        Raises:
            TypeNotFoundError: there is no such class (WSATYPE_NOT_FOUND 10109).
            NspError: what the provider raised, translated.
        """
        found: ServiceClass = self._table.nsp_get_service_class_info(as_guid(class_id))
        return found

    def ioctl(self, code: int, data: bytes = b"") -> bytes | None:
        """Make a control request of the provider's own (NSPIoctl).

        Args:
            code: The number of the request, 0 to 2**32 - 1.
            data: Its input, in bytes.

        Returns:
            The output, in bytes, or None where there is none.

        Raises:
            OperationNotSupportedError: the provider has no such request (WSAEOPNOTSUPP 10045).
            NspError: what the provider raised, translated.
        """
        if type(code) is not int or not 0 <= code <= 0xFFFFFFFF or type(data) is not bytes:
            code, data = _request(code, data)
        output: bytes | None = self._table.nsp_ioctl(code, data)
        return output

    def close(self, *, timeout: float | None = None) -> None:
        """Give the reference back; the last one runs the final cleanup (NSPCleanup).

        Called from inside the provider, or interrupting the host on this thread (a signal
        handler, a finaliser), it is queued: the next operation of the host gives it back.

        Args:
            timeout: How long a final cleanup may take, in seconds; the host's own limit if None.

        Raises:
            InvalidArgumentError: the timeout is not acceptable (WSAEINVAL 10022).
            NspError: what the final cleanup raised; see `Host.cleanup`.
        """
        if timeout is not None:
            timeout = seconds_in("timeout", timeout)
        if self.generation is None:
            return
        self._table = _CLOSED
        try:
            account = self._account
            account.lifetime.release(self, account, timeout)
        except InProgressError:
            if self.generation is None:
                raise  # the cleanup itself has met it
            self._host._later.append(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def operation_in(operation: Any) -> ServiceOperation:
    """Accept the number of an operation, or say which there are."""
    try:
        return ServiceOperation(operation)
    except ValueError:
        raise InvalidArgumentError(
            f"operation is {operation!r}; give a nspkit.ServiceOperation: REGISTER (0), "
            "DEREGISTER (1) or DELETE (2)"
        ) from None


def _request(code: object, data: object) -> tuple[int, bytes]:
    """Accept what can be taken as a request's number and input, or say what can."""
    if not isinstance(code, int) or isinstance(code, bool) or not 0 <= code <= 0xFFFFFFFF:
        raise InvalidArgumentError(f"code is {code!r}; give a number from 0 to 4294967295")
    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise InvalidArgumentError(f"data is {type(data).__name__}; give bytes")
    return int(code), bytes(data)
