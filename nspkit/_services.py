"""What a host does with registrations and service classes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nspkit._calls import (
    Call,
    alone,
    ask_all,
    call_at,
    errors_of,
    failure_of,
)
from nspkit._constants import Namespace, ServiceOperation
from nspkit._leases import Leases
from nspkit._model import Service, ServiceClass, as_guid
from nspkit._registration import Registration, leased
from nspkit._session import operation_in
from nspkit._setup import seconds_in
from nspkit._tenure import Terms
from nspkit._value import namespace_in
from nspkit.errors import InvalidArgumentError, NspError, ServiceNotFoundError

if TYPE_CHECKING:
    from collections.abc import Generator
    from uuid import UUID

    from nspkit._account import Account
    from nspkit._accounts import Accounts
    from nspkit._events import Events
    from nspkit._late import Later
    from nspkit._model import ProviderInfo

    ProviderKey = UUID | str | ProviderInfo

SET, INSTALL, REMOVE, INFO = (
    "nsp_set_service",
    "nsp_install_service_class",
    "nsp_remove_service_class",
    "nsp_get_service_class_info",
)


class Services:
    """The operations of a host on registrations and service classes."""

    _accounts: Accounts
    _later: Later
    events: Events

    def set_service(
        self,
        service: Service,
        operation: ServiceOperation | int,
        *,
        multiple: bool = False,
        provider: ProviderKey | None = None,
        namespace: Namespace | int = Namespace.ALL,
        timeout: float | None = None,
    ) -> tuple[NspError, ...]:
        """Register, deregister or delete an instance (WSASetService).

        What it registers stays when a provider is cleaned up; `register` is for the other case.

        One provider that is named is asked in this thread, on a worker if there is a ``timeout``,
        and its own error is raised. Otherwise all that have the hook are asked side by side, on
        workers. One that has not come back in its time is recorded with OperationTimeoutError and
        left alone; what it was asked may happen later all the same. If all fail, the most
        specific error is raised, with all of them in its ``errors``: 10045 counts less than 10108
        and 10109, and these less than any other; of equals it is the last in catalog order.

        Args:
            service: The instance. Its own ``provider`` and ``namespace``, which a result has, say
                where it belongs, unless the arguments of these names do.
            operation: `ServiceOperation.REGISTER`, ``DEREGISTER`` or ``DELETE``.
            multiple: Whether only the given addresses are meant (SERVICE_MULTIPLE).
            provider: The only provider to ask.
            namespace: The namespace whose providers are asked.
            timeout: How many seconds each provider has, its start included; None for 30, and for
                no limit where one is named.

        Returns:
            The errors of providers that failed although another one succeeded, in catalog order.

        Raises:
            InvalidArgumentError: an argument is not acceptable (WSAEINVAL 10022).
            InvalidProviderError: no such provider, or it is disabled (WSAEINVAL 10022).
            ServiceNotFoundError: deregistering or deleting what is not there, or there is nobody
                to ask (WSASERVICE_NOT_FOUND 10108).
            OperationNotSupportedError: nobody can register anything (WSAEOPNOTSUPP 10045).
            OperationTimeoutError: nobody came back in time (WSAETIMEDOUT 10060).
            InProgressError: directed at a provider from inside it (WSAEINPROGRESS 10036).
            NotInitialisedError: the host is closed (WSANOTINITIALISED 10093).
            NspError: what a provider raised, translated.
        """
        service, seconds = _service(service), _seconds(timeout)
        if type(operation) is not ServiceOperation:
            operation = operation_in(operation)
        args = (service, operation, multiple is True or bool(multiple))
        account, place = self._place(service, provider, namespace)
        if account is not None:
            self._at(account, seconds, SET, *args)
            return ()
        return self._everywhere(f"{operation.name.lower()} it", place, seconds, SET, *args)

    def register(
        self,
        service: Service,
        *,
        ttl: float | None = None,
        provider: ProviderKey | None = None,
        namespace: Namespace | int = Namespace.ALL,
        multiple: bool = False,
        timeout: float | None = None,
    ) -> Registration:
        """Register an instance and keep it registered until the registration is closed.

        One provider at least has it when this returns. Others that failed are seen in
        `Registration.errors`; with a time to live they are tried again, for ever, unless they do
        not support it at all. Closing deletes the instance, which needs a name of its own then,
        or, with ``multiple``, only the addresses of this service.

        Args:
            service: The instance.
            ttl: How long an entry lasts if it is not renewed, in seconds, 0.1 at least; it is
                renewed every third of that. None: as the service says; if that is None too, it is
                not renewed.
            provider: The only provider to register it at.
            namespace: The namespace whose providers are asked.
            multiple: Whether others register addresses under the same name (SERVICE_MULTIPLE).
            timeout: How many seconds each provider has for the beginning, its start included.

        Raises:
            NspError: as `set_service`; then nothing is registered.
        """
        service, seconds = leased(_service(service), ttl), _seconds(timeout)
        account, place = self._place(service, provider, namespace)
        if account is not None:
            account.lifetime.refuse_reentry("a registration")
            self._accounts.closing.refuse()
        accounts = self._selected(place) if account is None else [account]
        terms = Terms(
            service,
            multiple=multiple is True or bool(multiple),
            renewals=self._accounts.renewals,
            workers=self._accounts.workers,
            events=self.events,
        )
        # First the face, then the work: interrupted between two, it ends what was begun.
        registration = Registration(Leases(terms, directed=account is not None), self._later, self)
        return registration._begin(accounts, place, seconds)

    def install_service_class(
        self, service_class: ServiceClass, *, timeout: float | None = None
    ) -> tuple[NspError, ...]:
        """Store the schema of a service class at every provider (WSAInstallServiceClass).

        Args:
            service_class: The class, whole; each provider keeps what concerns it.
            timeout: How many seconds each provider has, its start included.

        Returns:
            The errors of providers that failed although another one succeeded, in catalog order.

        Raises:
            AlreadyExistsError: the class is there everywhere (WSAEALREADY 10037).
            NspError: as `set_service`.
        """
        if not isinstance(service_class, ServiceClass):
            raise InvalidArgumentError(
                f"service_class is {service_class!r}; give a nspkit.ServiceClass"
            )
        return self._everywhere(
            "install it", Namespace.ALL, _seconds(timeout), INSTALL, service_class
        )

    def remove_service_class(
        self, class_id: UUID | str, *, timeout: float | None = None
    ) -> tuple[NspError, ...]:
        """Forget the schema of a service class at every provider (WSARemoveServiceClass).

        Args:
            class_id: The GUID of the class.
            timeout: How many seconds each provider has, its start included.

        Returns:
            The errors of providers that failed although another one succeeded, in catalog order.

        Raises:
            TypeNotFoundError: no provider has such a class (WSATYPE_NOT_FOUND 10109).
            TooManyReferencesError: instances of it live (WSAETOOMANYREFS 10059).
            NspError: as `set_service`.
        """
        return self._everywhere(
            "remove it", Namespace.ALL, _seconds(timeout), REMOVE, as_guid(class_id)
        )

    def service_class(
        self,
        class_id: UUID | str,
        provider: ProviderKey | None = None,
        *,
        timeout: float | None = None,
    ) -> ServiceClass:
        """Return the schema of a service class (WSAGetServiceClassInfo).

        Without ``provider`` those are asked first that store all classes, see ``ProviderInfo``,
        and where none of them has it the others; the first in catalog order that has it answers.

        Args:
            class_id: The GUID of the class.
            provider: The only provider to ask.
            timeout: How many seconds each provider has, its start included.

        Raises:
            TypeNotFoundError: nobody knows the class (WSATYPE_NOT_FOUND 10109).
            NspError: as `set_service`.
        """
        guid, seconds = as_guid(class_id), _seconds(timeout)
        if provider is not None:
            found: ServiceClass = self._at(self._account(provider), seconds, INFO, guid)
            return found
        outcomes: list[Any] = []
        for stores in (True, False):
            answers = self._ask(Namespace.ALL, seconds, INFO, guid, stores=stores)
            try:
                for outcome in answers:
                    if isinstance(outcome, ServiceClass):
                        return outcome
                    outcomes.append(outcome)
            finally:
                answers.close()  # who was asked in vain is not waited for
        try:
            raise failure_of("describe it", INFO, outcomes)
        finally:
            outcomes.clear()  # an error that is raised refers to this frame: no cycle

    def service_class_name(
        self,
        class_id: UUID | str,
        provider: ProviderKey | None = None,
        *,
        timeout: float | None = None,
    ) -> str:
        """Return the name of a service class (WSAGetServiceClassNameByClassId).

        It is that of its schema; the arguments and errors are those of `service_class`.
        """
        return self.service_class(class_id, provider, timeout=timeout).name

    # -- who is asked, and how -----------------------------------------------------------------

    def _place(
        self, service: Service, provider: ProviderKey | None, namespace: Namespace | int
    ) -> tuple[Account | None, Namespace]:
        """Return the one provider that is meant, or None and the namespace of all that are."""
        place = namespace_in("namespace", namespace)
        if provider is None and place == Namespace.ALL:
            provider, place = service.provider, service.namespace or Namespace.ALL
        return (None if provider is None else self._account(provider)), place

    def _selected(self, namespace: Namespace) -> list[Account]:
        self._later.settle()
        accounts = self._accounts.selected(namespace)
        if not accounts:
            raise ServiceNotFoundError("there is no provider to ask; install or enable one")
        return accounts

    def _at(self, account: Account, seconds: float | None, hook: str, *args: Any) -> Any:
        """Call a hook of one provider, in this thread, or on a worker that has so long."""
        account.lifetime.refuse_reentry(hook)
        if seconds is None:
            return call_at(account, hook, *args)
        self._accounts.closing.refuse()
        turn = Call(account, hook, lambda turn: call_at(account, hook, *args, turn=turn))
        return alone(self._accounts.workers, turn, seconds)

    def _everywhere(
        self, what: str, namespace: Namespace, seconds: float | None, hook: str, *args: Any
    ) -> tuple[NspError, ...]:
        return errors_of(what, hook, list(self._ask(namespace, seconds, hook, *args)))

    def _ask(
        self, namespace: Namespace, seconds: float | None, hook: str, *args: Any, **which: bool
    ) -> Generator[Any]:
        accounts = self._selected(namespace)
        workers = self._accounts.workers
        return ask_all(workers, accounts, namespace, seconds, hook, *args, **which)

    if TYPE_CHECKING:

        def _account(self, provider: ProviderKey) -> Account: ...


def _service(service: object) -> Service:
    if type(service) is not Service:
        raise InvalidArgumentError(f"service is {service!r}; give a nspkit.Service")
    return service


def _seconds(timeout: object) -> float | None:
    return seconds_in("timeout", timeout, optional=True)
