"""The host: loads, routes, counts, releases. One short method per operation."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from nspkit import _process
from nspkit._accounts import Accounts
from nspkit._closing import in_reverse_order
from nspkit._constants import LookupFlags, Namespace
from nspkit._events import Events
from nspkit._fanout import Fanout
from nspkit._lookup import Direct, Lookup
from nspkit._model import ProviderInfo, Query
from nspkit._session import Session
from nspkit._setup import checked_middleware, checked_settings, seconds_in
from nspkit.errors import InProgressError, InvalidArgumentError, ServiceNotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from types import TracebackType
    from uuid import UUID

    from typing_extensions import Self

    from nspkit._account import Account
    from nspkit._catalog import Catalog
    from nspkit._entry import CatalogEntry
    from nspkit._generation import Generation
    from nspkit._model import Version

    ProviderKey = UUID | str | ProviderInfo

LOOKUP = "nsp_lookup_service"


class Host:
    """The place that providers plug into; ws2_32 in Winsock.

    It starts providers when they are needed, counts who uses them, routes lookups to them, and
    releases them in order. Use it as a context manager, or call `close`. Two hosts of one process
    share nothing. All methods may be called from any thread.
    """

    def __init__(
        self,
        *,
        catalog: Catalog | None = None,
        providers: Iterable[ProviderKey] | None = None,
        settings: Mapping[str | UUID, Mapping[str, Any]] | None = None,
        middleware: Iterable[object] = (),
        cleanup_timeout: float = 30.0,
    ) -> None:
        """Make a host; no provider is imported or started yet.

        Args:
            catalog: The providers to choose from; a snapshot is taken now. None: those that are
                installed, discovered at the first use.
            providers: Load only these, in this order; None for all of the catalog.
            settings: By short name or GUID, what each provider is given at its startup.
            middleware: Wrapper objects, or names from the group ``nspkit.middleware``; the first
                is the outermost.
            cleanup_timeout: How long the final cleanup of a provider may take, in seconds.

        Raises:
            InvalidArgumentError: an argument is not acceptable (WSAEINVAL 10022).
            InvalidProviderError: ``providers`` names one that is not there (WSAEINVAL 10022).
        """
        budget = seconds_in("cleanup_timeout", cleanup_timeout)
        if isinstance(providers, str):
            raise InvalidArgumentError(f"providers is {providers!r}; give a list of names or GUIDs")
        self.events = Events()
        """Tells what happens to providers; see `Events.subscribe`."""
        self._later: deque[Any] = deque()
        self._accounts = Accounts(
            catalog,
            providers,
            settings=checked_settings(settings),
            middleware=checked_middleware(middleware),
            budget=budget or 0.0,
            events=self.events,
        )
        self._known = self._accounts.by_key
        self._closing = self._accounts.closing
        _process.hosts.add(self)

    def __repr__(self) -> str:
        if self._closing.because is not None:
            return "<Host: closed>"
        started = [one.entry.name for one in in_reverse_order(list(self._accounts.all.values()))]
        return f"<Host: {', '.join(reversed(started)) or 'nothing'} started>"

    # -- lifetimes -----------------------------------------------------------------------------

    def startup(self, provider: ProviderKey) -> Session:
        """Take a reference to a provider, starting it if nobody has (NSPStartup).

        Args:
            provider: A UUID, a GUID string, a short name or a ``ProviderInfo``.

        Returns:
            The session; close it, or give the reference back with `cleanup`.

        Raises:
            InvalidProviderError: no such provider, or it is disabled (WSAEINVAL 10022).
            ProviderLoadError: it cannot be imported, or its start failed (10106).
            InvalidProcedureTableError: its hooks do not fit (WSAEINVALIDPROCTABLE 10104).
            VersionNotSupportedError: it speaks another version (WSAVERNOTSUPPORTED 10092).
            DuplicateProviderError: another one has its GUID (WSAEINVALIDPROVIDER 10105).
            OperationNotSupportedError: it has no ``nsp_startup`` (WSAEOPNOTSUPP 10045).
            NotReadyError: its back end is away, or it is quarantined (WSASYSNOTREADY 10091).
            InProgressError: called from inside the provider (WSAEINPROGRESS 10036).
            NotInitialisedError: the host is closed (WSANOTINITIALISED 10093).
            NspError: what else its ``nsp_startup`` raised.
        """
        if self._later or _process.orphans:
            self._settle_later()
        try:
            account = self._known[provider]
        except (KeyError, TypeError):
            account = self._accounts.of(provider)
        session = Session(self, account)
        try:
            session._table = account.lifetime.acquire(session, account).table
        except BaseException as error:
            account.take_back(session, error)
            raise
        return session

    def cleanup(self, provider: ProviderKey, *, timeout: float | None = None) -> bool:
        """Give one reference back, whoever took it; True when it was the last (NSPCleanup).

        Args:
            provider: As for `startup`.
            timeout: How long a final cleanup may take, in seconds; the host's own limit if None.

        Raises:
            InvalidProviderError: no such provider (WSAEINVAL 10022).
            NotInitialisedError: there is no reference, or the host is closed (10093).
            InProgressError: called from inside the provider (WSAEINPROGRESS 10036).
            CleanupTimeoutError: it hangs (WSAETIMEDOUT 10060); the provider is quarantined.
            CleanupError: several errors, or a foreign one; all of them are in ``errors``.
            NspError: the one error of the cleanup.
        """
        seconds = seconds_in("timeout", timeout, optional=True)
        return self._account(provider).release(None, seconds)

    def references(self, provider: ProviderKey) -> int:
        """Return how many references there are, one that the host took for a lookup included.

        Raises:
            InvalidProviderError: no such provider (WSAEINVAL 10022).
        """
        return self._account(provider).lifetime.count

    def close(self, *, timeout: float | None = None) -> None:
        """Stop every provider, in reverse order of their start; a second call does nothing.

        Starts in progress are waited for. Afterwards every call answers NotInitialisedError.

        Args:
            timeout: How long each final cleanup may take, in seconds; the host's own if None.

        Raises:
            InProgressError: called from inside a provider (WSAEINPROGRESS 10036).
            CleanupTimeoutError: a provider hangs (WSAETIMEDOUT 10060); the others are stopped.
            CleanupError: several errors, or a foreign one; all of them are in ``errors``.
            NspError: the one error there was.
        """
        seconds = seconds_in("timeout", timeout, optional=True)
        if self._closing.because is None:
            self._settle_later()
        self._closing.close(seconds)

    def __enter__(self) -> Self:
        self._closing.refuse()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    # -- lookups -------------------------------------------------------------------------------

    def lookup(
        self,
        name: str | Query | None = None,
        *,
        service_class: UUID | str | None = None,
        namespace: Namespace | int = Namespace.ALL,
        provider: UUID | str | None = None,
        context: str = "",
        version: Version | int | None = None,
        protocols: Iterable[tuple[int, int]] = (),
        query_string: str = "",
        flags: LookupFlags | int = LookupFlags.RETURN_ALL,
        blob: bytes | None = None,
        timeout: float | None = None,
        order: str = "catalog",
    ) -> Lookup:
        """Look a name up: at one provider, at those of a namespace, or at all (WSALookupService…).

        Providers are started as they are needed and stay started until the host is closed. They
        are asked side by side; one that fails does not end the others, see `Lookup.errors`.
        Directed at one provider and without a time-out, the lookup runs in this thread.

        Args:
            name: What is looked for, or a whole `Query`; None for anything.
            service_class: Only services of this class: a GUID or a DNS-SD type.
            namespace: Only providers of this namespace.
            provider: Only this provider: a UUID, a GUID string or a short name.
            context: Where to start, in a namespace that has levels.
            version: Only this version of a service, or what a `Version` says.
            protocols: Only these, as pairs of address family and protocol.
            query_string: A filter in a provider's own language.
            flags: What to return, and how to search.
            blob: Data of a provider's own.
            timeout: How many seconds each provider has, from now, its start included.
            order: ``"catalog"``, or ``"arrival"`` for results as they come.

        Raises:
            InvalidArgumentError: an argument is not acceptable (WSAEINVAL 10022).
            InvalidProviderError: no such provider, or it is disabled (WSAEINVAL 10022).
            ServiceNotFoundError: there is nobody to ask (WSASERVICE_NOT_FOUND 10108).
            InProgressError: directed at a provider from inside it (WSAEINPROGRESS 10036).
            NotInitialisedError: the host is closed (WSANOTINITIALISED 10093).
            NspError: directed at one provider: what it raised.
        """
        if isinstance(name, Query):
            query = name
        else:
            query = Query(
                name,
                service_class=service_class,
                namespace=namespace,
                provider=provider.guid if isinstance(provider, ProviderInfo) else provider,
                context=context,
                version=version,
                protocols=protocols,
                query_string=query_string,
                flags=flags,
                blob=blob,
            )
        if order not in ("catalog", "arrival"):
            raise InvalidArgumentError(f"order is {order!r}; give 'catalog' or 'arrival'")
        if query.provider is not None:
            return self._lookup_at(self._account(query.provider), query, timeout)
        seconds = seconds_in("timeout", timeout, optional=True)
        self._settle_later()
        accounts = self._accounts.selected(query.namespace)
        if not accounts:
            raise ServiceNotFoundError("there is no provider to ask; install or enable one")
        fanout = Fanout(self._accounts.workers, single=False, arrival=order == "arrival")
        # First the face, then the questions: interrupted between two, it ends what was begun.
        lookup = Lookup(fanout, self._later, self)
        for account in accounts:
            if account.lifetime.reentered():
                fanout.pass_over(account.lifetime.reentry("a lookup"))
            else:
                fanout.ask(account, query, LOOKUP, seconds=seconds)
        return lookup

    def _lookup_at(
        self,
        account: Account,
        query: Query,
        timeout: float | None,
        generation: Generation | None = None,
    ) -> Lookup:
        seconds = seconds_in("timeout", timeout, optional=True)
        account.lifetime.refuse_reentry("a lookup")
        if seconds is None:
            return Lookup(Direct(account, query, LOOKUP, generation), self._later, self)
        fanout = Fanout(self._accounts.workers, single=True, arrival=False)
        fanout.ask(account, query, LOOKUP, seconds=seconds, generation=generation)
        return Lookup(fanout, self._later, self)

    # -- the catalog ---------------------------------------------------------------------------

    def providers(self) -> list[CatalogEntry]:
        """Return the entries of this host, in order, with what only the host knows.

        A provider whose last start failed, or that is quarantined, says so in its ``state``.
        """
        entries = []
        for entry in self._accounts.view():
            account = self._accounts.all.get(entry)
            entries.append(entry if account is None else account.marked())
        return entries

    # -- what finalisers, exit and fork leave ---------------------------------------------------

    def _account(self, provider: ProviderKey) -> Account:
        if self._later or _process.orphans:
            self._settle_later()
        return self._accounts.of(provider)

    def _settle_later(self) -> None:
        """Do what finalisers and interrupted calls left to be done."""
        _process.close_orphans()
        while self._later:
            try:
                left = self._later.popleft()
            except IndexError:
                return  # another thread was quicker
            try:
                left.close()
            except InProgressError:
                self._later.append(left)
                return  # still inside: the next operation after that does it
            except Exception as error:
                self._report(error)

    def _report(self, error: Exception) -> None:
        """Tell an error that nobody is there to be raised to."""
        import logging

        logging.getLogger("nspkit").error("%s", error, exc_info=error)

    def _close_late(self) -> None:
        try:
            self.close()
        except Exception as error:
            self._report(error)

    def _close_at_exit(self) -> None:
        self._closing.close_at_exit()

    def _forget(self) -> object:
        later = list(self._later)
        self._later.clear()
        return (later, self._closing.forget())

    def __del__(self) -> None:
        accounts = getattr(self, "_accounts", None)
        if accounts is None or accounts.closing.because is not None:
            return
        if in_reverse_order(list(accounts.all.values())):
            # A finaliser takes no lock, waits for nothing and calls no provider: it leaves the
            # host to the next operation of any host, or to the exit.
            _process.orphans.append(self)
            import warnings

            warnings.warn(f"{self!r} was dropped open; close it, or use it in a with block",
                          ResourceWarning, source=self)
