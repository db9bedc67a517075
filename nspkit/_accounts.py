"""The accounts of one host: made as providers are needed, found by whatever names them."""

from __future__ import annotations

from _thread import get_ident
from typing import TYPE_CHECKING, Any

from nspkit import _process
from nspkit._account import Account
from nspkit._catalog import Catalog
from nspkit._closing import Closing
from nspkit._constants import Namespace
from nspkit._renewals import Renewals
from nspkit._value import guid_in
from nspkit._workers import Workers
from nspkit.errors import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from uuid import UUID

    from nspkit._entry import CatalogEntry
    from nspkit._events import Events
    from nspkit._lifetime import Lifetime
    from nspkit._view import CatalogView, Provider


class Accounts:
    """The providers of a host, each with its account once it was asked for."""

    __slots__ = (
        "_catalog",
        "_view",
        "_wanted",
        "all",
        "budget",
        "by_key",
        "closing",
        "events",
        "middleware",
        "renewals",
        "settings",
        "workers",
    )

    def __init__(
        self,
        catalog: Catalog | None,
        wanted: Iterable[Provider] | None,
        *,
        settings: Mapping[Any, Mapping[str, Any]],
        middleware: tuple[object, ...],
        budget: float,
        events: Events,
    ) -> None:
        """Take a snapshot of the catalog; with None it is discovered at the first use."""
        self._wanted = None if wanted is None else tuple(wanted)
        self._view: CatalogView | None = None
        self.by_key: dict[Any, Account] = {}
        self.all: dict[CatalogEntry, Account] = {}
        self.settings = settings
        self.middleware = middleware
        self.budget = budget
        self.events = events
        self.workers = Workers("nspkit")
        self.renewals = Renewals()
        self.closing = Closing(self.all, self.workers, self.renewals, budget)
        if catalog is not None:
            self._view = self._snapshot(catalog)

    def view(self) -> CatalogView:
        """Return the host's own snapshot of the catalog."""
        if self._view is None:
            # Two threads may both discover; they find the same, and one snapshot stays.
            view = self._snapshot(Catalog.discover())
            if self._view is None:
                self._view = view
        return self._view

    def _snapshot(self, catalog: Catalog) -> CatalogView:
        view = catalog.snapshot()
        self._check_settings(view)
        return view if self._wanted is None else view.restricted(self._wanted)

    def _check_settings(self, view: CatalogView) -> None:
        """Refuse settings for who is not there, or given to one provider twice (10022)."""
        names = [entry.name for entry in view]
        given: dict[str, Any] = {}
        for provider in self.settings:
            is_name = isinstance(provider, str) and names.count(provider) == 1
            name = provider if is_name else view[provider].name
            if name in given:
                raise InvalidArgumentError(
                    f"settings are given to provider {name!r} twice, as {given[name]!r} and as "
                    f"{provider!r}; give them once"
                )
            given[name] = provider

    def of(self, provider: Provider) -> Account:
        """Return the account of a provider.

        Raises:
            InvalidProviderError: no such provider, or it is disabled (WSAEINVAL 10022).
            NotInitialisedError: the host is closed (WSANOTINITIALISED 10093).
        """
        try:
            return self.by_key[provider]
        except (KeyError, TypeError):
            pass
        self.closing.refuse()
        account = self.by_key[provider] = self._made(self.view()[provider])
        return account

    def selected(self, namespace: Namespace) -> list[Account]:
        """Return the accounts of all enabled providers of a namespace, in catalog order.

        One that was not imported yet is among them: its import may hang, so it is left to a
        thread that may; see `Account.lacks`.
        """
        self.closing.refuse()
        view = self.view()
        entries = [entry for entry in view if entry.enabled]
        if all(entry.known is not None for entry in entries):
            entries = view.select(namespace=namespace)
        elif namespace != Namespace.ALL:
            entries = [one for one in entries if one.known is None or one.serves(namespace)]
        return [self._made(entry) for entry in entries]

    def _made(self, entry: CatalogEntry) -> Account:
        account = self.all.get(entry)
        if account is None:
            account = self.all.setdefault(entry, Account(entry, self))
            if self.closing.because is not None:  # closed meanwhile, and perhaps not seen there
                account.lifetime.refuse_starts(self.closing.because)
        return account

    def settings_of(self, entry: CatalogEntry) -> Mapping[str, Any]:
        """Return what the application gave a provider, by its name or its GUID."""
        for provider, own in self.settings.items():
            if provider == entry.name or _guid_of(provider) == entry.guid:
                return dict(own)
        return {}

    def interrupted(self) -> bool:
        """Whether this thread was changing something of the host when the call came."""
        assert self._view is not None  # who asks is an account, and those come from there
        # One by one, as every call asks this.
        return (
            self.closing.owner == get_ident()
            or self.workers._lock._is_owned()  # type: ignore[attr-defined]
            or self.closing._lock._is_owned()  # type: ignore[attr-defined]
            or self._view._lock._is_owned()  # type: ignore[attr-defined]
        )

    def chain(self) -> tuple[Lifetime, ...]:
        """Return the lifetimes, of any host, that this thread is inside."""
        ident = get_ident()
        chain: list[Lifetime] = []
        for host in list(_process.hosts):
            for account in list(host._accounts.all.values()):
                lifetime = account.lifetime
                if ident in lifetime.inside or ident in lifetime.barred:
                    chain.append(lifetime)
        return tuple(chain)


def _guid_of(provider: Any) -> UUID | None:
    """Return the GUID that a key of the settings is or has, or None: it is a short name."""
    if isinstance(provider, str):
        return guid_in(provider)
    found: UUID = getattr(provider, "guid", provider)
    return found
