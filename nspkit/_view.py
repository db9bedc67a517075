"""What can be asked of a catalog: order, lookup, selection.

A `CatalogView` is what a host works on: a snapshot that never changes. Looking a provider up by its
short name imports that provider only. Its GUID is known when the enabled ones have all been
imported, each once and shielded from the others; from then on a GUID is one look into a dict.

Readers take no lock: what they read is replaced, never taken apart. The lock is held only while
the parts are exchanged, never while a provider is imported.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nspkit import _process
from nspkit._constants import Namespace
from nspkit._entry import CatalogEntry, EntryState
from nspkit._lock import OwnedLock
from nspkit._model import ProviderInfo, as_guid
from nspkit._value import guid_in, namespace_in
from nspkit.errors import InvalidArgumentError, InvalidProviderError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import Any
    from uuid import UUID

    from nspkit._entry import Verdict

    Provider = UUID | str | ProviderInfo | CatalogEntry

_SHOWN = 20


class CatalogView:
    """A snapshot of a catalog: its order, and what was enabled, do not change.

    A disabled provider is listed, and cannot be reached by name, GUID or namespace.
    """

    __slots__ = (
        "__weakref__",
        "_claims",
        "_disabled",
        "_entries",
        "_index",
        "_is_whole",
        "_lock",
        "_selections",
    )

    # Whether disabled providers are reached too, to be enabled for instance.
    _reaches_disabled = False

    def __init__(self) -> None:
        """Make an empty one."""
        self.replace_lock()
        _process.catalogs.add(self)
        self._arrange(())

    def replace_lock(self) -> None:
        """Take a new lock: in a forked child the old one may be held by a thread that is gone."""
        self._lock = OwnedLock("the catalog")

    def __getitem__(self, provider: Provider) -> CatalogEntry:
        """Return the entry of a provider.

        Args:
            provider: A UUID, a GUID string, a short name, a ``ProviderInfo``, or an entry.

        Raises:
            InvalidProviderError: There is none, it is disabled, or two have the short name; the
                message tells what is installed (WSAEINVAL 10022).
        """
        try:
            entry = self._index.get(provider)
        except TypeError:
            entry = None
        return entry if entry is not None else self._find(provider)

    def __contains__(self, provider: Provider) -> bool:
        try:
            self[provider]
        except InvalidProviderError:
            return False
        return True

    def __iter__(self) -> Iterator[CatalogEntry]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self._listed()}>"

    def select(
        self, *, namespace: Namespace | int = Namespace.ALL, provider: Provider | None = None
    ) -> list[CatalogEntry]:
        """Return the entries that a query goes to, in order.

        ``Namespace.ALL`` selects every enabled provider, a broken one included, whose ``load``
        tells why; another namespace selects those that are known to serve it.

        Args:
            namespace: The namespace asked for; of no account when a provider is named.
            provider: Select this one only.

        Raises:
            InvalidProviderError: There is no such provider, or it is disabled (WSAEINVAL 10022).
            InvalidArgumentError: The namespace is none (WSAEINVAL 10022).
        """
        if provider is not None:
            return [self[provider]]
        wanted = namespace_in("namespace", namespace)
        selections = self._selections
        selected = selections.get(wanted)
        if selected is None:
            entries = self._entries
            is_whole = self._examine()
            serving = wanted == Namespace.ALL
            selected = tuple(e for e in entries if e.enabled and (serving or e.serves(wanted)))
            # Kept beside the index that it belongs to: a change of the catalog drops both.
            if is_whole:
                selections[wanted] = selected
        return list(selected)

    def snapshot(self) -> CatalogView:
        """Return a copy for one host; later changes of this catalog do not show in it."""
        return _copy(self._entries)

    def restricted(self, providers: Iterable[Provider]) -> CatalogView:
        """Return a copy with these providers only, in this order; it never imports the others.

        Raises:
            InvalidProviderError: One is unknown or disabled (WSAEINVAL 10022).
            InvalidArgumentError: One is named twice (WSAEINVAL 10022).
        """
        # In a snapshot a disabled one is refused, and takes its short name from no other.
        return _copy(self.snapshot()._resolved(providers))

    def claim(self, entry: CatalogEntry, guid: UUID) -> Sequence[CatalogEntry]:
        """Return all that have the GUID, the entry included, as far as known."""
        with self._lock:
            claimants = self._claims.get(guid, ())
            # Not one that another thread has just disabled or uninstalled.
            if entry not in claimants and entry.enabled and entry.is_in(self):
                claimants = self._claims[guid] = (*claimants, entry)
            return claimants

    def claimants(self, guid: UUID) -> Sequence[CatalogEntry]:
        """Return all that have the GUID; every enabled provider is imported for that."""
        self._examine()
        return self._claims.get(guid, ())

    def _resolved(self, providers: Iterable[Provider]) -> list[CatalogEntry]:
        entries: dict[CatalogEntry, None] = {}
        for provider in providers:
            entry = self[provider]
            if entry in entries:
                raise InvalidArgumentError(f"provider '{entry.name}' is named twice; name it once")
            entries[entry] = None
        return list(entries)

    def _arrange(self, entries: Iterable[CatalogEntry]) -> None:
        """Take over a new list of entries; GUIDs will be asked for again.

        Called under the lock, except where nobody else has the catalog yet.
        """
        # A new tuple even for the same entries: it tells others that something changed.
        arranged = (*entries,)
        # None stands for a short name that two have.
        index: dict[Any, CatalogEntry | None] = {}
        for entry in arranged:
            if self._is_reachable(entry):
                index[entry.name] = entry if entry.name not in index else None
        self._entries = arranged
        self._disabled = tuple(entry for entry in arranged if not entry.enabled)
        self._is_whole = False
        self._index = index
        self._claims: dict[UUID, tuple[CatalogEntry, ...]] = {}
        # Last: `select` reads this first, and so never keeps old entries beside new ones.
        self._selections: dict[Namespace, tuple[CatalogEntry, ...]] = {}

    def _is_reachable(self, entry: CatalogEntry) -> bool:
        return entry.enabled or self._reaches_disabled

    def _examine(self) -> bool:
        """Import every enabled provider, and return whether all are known and indexed by GUID."""
        while not self._is_whole:
            entries = self._entries
            known = [(entry, entry.examined()) for entry in entries if entry.enabled]
            is_whole = all(verdict is not None for _, verdict in known)
            with self._lock:
                if self._entries is not entries:
                    continue
                self._take(known, is_whole=is_whole)
            # A provider that asks from inside its own import gets what is known of the others.
            if not is_whole:
                return False
        return True

    def _take(self, known: list[tuple[CatalogEntry, Verdict | None]], *, is_whole: bool) -> None:
        """Take over, under the lock, what was found out."""
        claims: dict[UUID, tuple[CatalogEntry, ...]] = {}
        spoilt: dict[UUID, CatalogEntry] = {}
        for entry, verdict in known:
            if verdict is not None and verdict.info is not None:
                guid = verdict.info.guid
                if verdict.state is EntryState.OK:
                    claims[guid] = (*claims.get(guid, ()), entry)
                else:
                    spoilt.setdefault(guid, entry)
        self._claims = claims
        if is_whole:
            # One that is good hides one that is not.
            guids = spoilt | {guid: claimants[0] for guid, claimants in claims.items()}
            self._index = {**self._index, **{str(g): e for g, e in guids.items()}, **guids}
            self._is_whole = True

    def _find(self, provider: object) -> CatalogEntry:
        """Find what the index does not have, or say why it cannot be had."""
        if isinstance(provider, CatalogEntry):
            same = [entry for entry in self._entries if entry.is_same_provider(provider)]
            return self._one_of(same, f"provider {provider.description}")
        if isinstance(provider, str):
            named = [entry for entry in self._entries if entry.name == provider]
            guid = guid_in(provider)
            if named or guid is None:
                return self._named(named, provider)
        else:
            given: Any = provider.guid if isinstance(provider, ProviderInfo) else provider
            try:
                guid = as_guid(given)
            except InvalidArgumentError as error:
                raise InvalidProviderError(error.message) from None
        return self._one_of(self._holders(guid), f"provider with the GUID {guid}", guid=guid)

    def _holders(self, guid: UUID) -> list[CatalogEntry]:
        """Return who has a GUID, the one that a lookup means first."""
        is_whole = self._examine()
        best = self._index.get(guid)
        if best is not None:
            return [best]
        entries = self._disabled if is_whole else self._entries
        return [e for e in entries if (info := self._info(e)) is not None and info.guid == guid]

    def _info(self, entry: CatalogEntry) -> ProviderInfo | None:
        """Return the info of an entry; what is disabled is not imported to be refused."""
        verdict = entry.examined() if self._is_reachable(entry) else entry.known
        return verdict.info if verdict is not None else None

    def _named(self, entries: list[CatalogEntry], name: str) -> CatalogEntry:
        reachable = [e for e in entries if self._is_reachable(e) and not e.has_broken_metadata]
        if len(reachable) > 1:
            names = " and ".join(entry.description for entry in reachable)
            raise InvalidProviderError(
                f"the short name '{name}' belongs to {names}; use the GUID of the one that is meant"
            )
        shown = name if len(name) <= 80 else f"{name[:80]}..."
        return self._one_of(reachable or entries, f"provider '{shown}'", name=name)

    def _one_of(
        self,
        entries: list[CatalogEntry],
        wanted: str,
        *,
        name: str | None = None,
        guid: UUID | None = None,
    ) -> CatalogEntry:
        """Return the first entry that can be reached."""
        for entry in entries:
            if self._is_reachable(entry):
                return entry
        if entries:
            raise entries[0].refusal()
        hint = ""
        if name is not None:
            from difflib import get_close_matches

            near = get_close_matches(name, [entry.name for entry in self._entries], 1)
            hint = f" (did you mean '{near[0]}'?)" if near else ""
        raise InvalidProviderError(
            f"no {wanted} is installed{hint}; installed: {self._listed()}", guid=guid
        )

    def _listed(self) -> str:
        shown = [
            entry.name if entry.enabled else f"{entry.name} (disabled)"
            for entry in self._entries[:_SHOWN]
        ]
        more = len(self._entries) - len(shown)
        return ", ".join((*shown, f"and {more} more") if more else shown) or "none"


def _copy(entries: Iterable[CatalogEntry]) -> CatalogView:
    view = CatalogView()
    view._arrange(entry.copy_for(view) for entry in entries)
    return view
