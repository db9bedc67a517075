"""The host: loads, routes, counts, releases. One short method per operation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nspkit import _process
from nspkit._accounts import Accounts
from nspkit._closing import in_reverse_order
from nspkit._constants import LookupFlags, Namespace
from nspkit._events import Events
from nspkit._fanout import Fanout
from nspkit._late import Later, Unclosed
from nspkit._lookup import Direct, Lookup
from nspkit._model import ProviderInfo
from nspkit._services import Services
from nspkit._session import Session
from nspkit._setup import (
    checked_catalog,
    checked_middleware,
    checked_providers,
    checked_settings,
    seconds_in,
)
from nspkit._watching import Watching, query_of
from nspkit.errors import InvalidArgumentError, ServiceNotFoundError

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping
    from types import TracebackType
    from typing import Self
    from uuid import UUID

    from nspkit._account import Account
    from nspkit._catalog import Catalog
    from nspkit._entry import CatalogEntry
    from nspkit._generation import Generation
    from nspkit._model import Query, Version

    ProviderKey = UUID | str | ProviderInfo

LOOKUP = "nsp_lookup_service"


class Host(Services, Watching, Unclosed):
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
        settings: Mapping[Any, Mapping[str, Any]] | None = None,
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
        self.events = Events()
        """Tells what happens to providers; see `Events.subscribe`."""
        self._later = Later()
        self._accounts: Accounts = Accounts(
            checked_catalog(catalog),
            checked_providers(providers),
            settings=checked_settings(settings),
            middleware=checked_middleware(middleware),
            budget=budget or 0.0,
            events=self.events,
        )
        self._known = self._accounts.by_key
        self._closing = self._accounts.closing
        _process.hosts.add(self)

    @classmethod
    def from_file(
        cls,
        path: str | os.PathLike[str],
        *,
        catalog: Catalog | None = None,
        middleware: Iterable[object] = (),
        cleanup_timeout: float = 30.0,
    ) -> Self:
        """Make a host as a file says, ``nspkit.toml`` for instance: whole, or not at all.

        Args:
            path: The file, with ``order``, ``disabled`` and ``[providers.NAME]`` tables.
            catalog: What is installed; it is not changed. None: what is discovered.
            middleware: As for `Host`.
            cleanup_timeout: As for `Host`, in seconds.

        Raises:
            ConfigurationError: the file is missing or wrong; the message has the file, the line
                and the key (WSAEINVAL 10022).
        """
        from nspkit._config import configured

        arranged, settings = configured(path, catalog)
        return cls(
            catalog=arranged,
            settings=settings,
            middleware=middleware,
            cleanup_timeout=cleanup_timeout,
        )

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
            self._later.settle()
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
            NotInitialisedError: the host is closed (WSANOTINITIALISED 10093).
        """
        self._closing.refuse()
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
            self._later.settle()
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
        provider: ProviderKey | None = None,
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
            name: What is looked for, or a whole `Query`; None for anything. This and what follows
                down to ``blob`` are the restrictions of a `Query`, which tells them one by one.
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
        query = query_of(
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
        self._later.settle()
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
        if self._later:
            self._later.settle()  # a session comes here by itself
        if seconds is None:
            direct = Direct(account, query, LOOKUP)
            lookup = Lookup(direct, self._later, self)  # first, as above
            direct.begin(generation)
            return lookup
        self._closing.refuse()
        fanout = Fanout(self._accounts.workers, single=True, arrival=False)
        lookup = Lookup(fanout, self._later, self)
        fanout.ask(account, query, LOOKUP, seconds=seconds, generation=generation)
        return lookup

    # -- the catalog ---------------------------------------------------------------------------

    def providers(self) -> list[CatalogEntry]:
        """Return the entries of this host, in order, with what only the host knows.

        A provider whose last start failed, or that is quarantined, says so in its ``state``.

        Raises:
            NotInitialisedError: the host is closed (WSANOTINITIALISED 10093).
        """
        self._closing.refuse()
        entries = []
        for entry in self._accounts.view():
            account = self._accounts.all.get(entry)
            entries.append(entry if account is None else account.marked())
        return entries

    # -- what finalisers, exit and fork leave ---------------------------------------------------

    def _account(self, provider: ProviderKey) -> Account:
        if self._later or _process.orphans:
            self._later.settle()
        return self._accounts.of(provider)
