"""The catalog: which providers are installed, in which order, and which of them may be used.

An application changes a `Catalog`; a host works on a snapshot of it, taken when the host is made.

Winsock: the namespace catalog of ``WSCInstallNameSpace``, ``WSCUnInstallNameSpace``,
``WSCEnableNSProvider``, ``WSCWriteNameSpaceOrder`` and ``WSAProviderConfigChange``.
"""

from __future__ import annotations

from enum import Enum
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING

from nspkit._contract import check, check_version, static_hooks, static_info
from nspkit._discovery import find_entry_points, load
from nspkit._entry import CatalogEntry, EntryState, Verdict
from nspkit._once import Once
from nspkit._schema import short_name
from nspkit._view import CatalogView
from nspkit.errors import AlreadyInstalledError, InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from uuid import UUID

    from nspkit._discovery import Found
    from nspkit._view import Provider

    Listener = Callable[["CatalogChange", CatalogEntry | None], object]

PROVIDERS = "nspkit.providers"
"""The entry-point group of providers."""


class CatalogChange(Enum):
    """What happened to a catalog."""

    INSTALLED = "installed"
    UNINSTALLED = "uninstalled"
    ENABLED = "enabled"
    DISABLED = "disabled"
    REORDERED = "reordered"


class Catalog(CatalogView):
    """The installed providers, as an application arranges them; thread-safe.

    ``Catalog()`` is empty, ``Catalog.discover()`` reads what is installed. A provider that is
    broken, or disabled, stays listed and harms no other. Changes count for hosts made later.
    """

    __slots__ = ("_listeners",)

    _reaches_disabled = True

    def __init__(self) -> None:
        """Make an empty one."""
        super().__init__()
        self._listeners: tuple[list[Listener], ...] = ()

    @classmethod
    def discover(cls, *, group: str = PROVIDERS, path: Sequence[str] | None = None) -> Catalog:
        """Return a catalog of the providers that have an entry point; none is imported.

        Args:
            group: The entry-point group.
            path: Folders to search for metadata, instead of what Python imports from.
        """
        catalog = cls()
        entries = []
        for found in find_entry_points(group, path):
            if found.error is None:
                try:
                    short_name("the name of the entry point", found.name)
                except InvalidArgumentError as error:
                    found.error = error.message
            verdict = Once(partial(_examined, found))
            entries.append(CatalogEntry(found.name, verdict, found=found, catalog=catalog))
        catalog._arrange(entries)
        return catalog

    def copy(self) -> Catalog:
        """Return a catalog of its own with the same providers, order and states."""
        copy = Catalog()
        copy._arrange(entry.copy_for(copy) for entry in self._entries)
        return copy

    def install(self, provider_class: type, *, name: str | None = None) -> CatalogEntry:
        """Add a provider class at the end of the order.

        Args:
            provider_class: The class, as an entry point would name it.
            name: Its short name; by default that of its ``info``.

        Raises:
            InvalidProcedureTableError: The class is no provider (WSAEINVALIDPROCTABLE 10104).
            VersionNotSupportedError: It speaks another version (WSAVERNOTSUPPORTED 10092).
            AlreadyInstalledError: A provider has its GUID already (WSANO_RECOVERY 11003).
            InvalidArgumentError: The name is not acceptable (WSAEINVAL 10022).
        """
        verdict = _judged(provider_class)
        info = verdict.info
        if info is None or verdict.state is not EntryState.OK:
            raise verdict.failure(f"'{getattr(provider_class, '__qualname__', provider_class)}'")
        chosen = info.name if name is None else short_name("name", name)
        added = CatalogEntry(chosen, Once(lambda: verdict, verdict), found=None, catalog=self)
        while True:
            entries = self._entries
            for holder in self._holders(info.guid):
                raise AlreadyInstalledError(
                    f"the GUID {info.guid} is installed already, as {holder.description}; "
                    "uninstall that one first",
                    guid=info.guid,
                )
            with self._lock:
                # What another thread installed in between has to be looked at too.
                if self._entries is entries:
                    self._append(added, info.guid)
                    break
        self._tell(CatalogChange.INSTALLED, added)
        return added

    def uninstall(self, provider: Provider) -> None:
        """Take a provider out of the catalog; hosts that are there already keep it.

        Raises:
            InvalidProviderError: There is no such provider (WSAEINVAL 10022).
        """
        entry = self[provider]
        with self._lock:
            self._require(entry)
            entry.forsake()
            self._arrange(other for other in self._entries if other is not entry)
        self._tell(CatalogChange.UNINSTALLED, entry)

    # Winsock's order; the boolean is what the function is about.
    def enable(self, provider: Provider, enabled: bool = True) -> None:  # noqa: FBT001, FBT002
        """Say whether hosts that are made from now on may use a provider.

        Raises:
            InvalidProviderError: There is no such provider (WSAEINVAL 10022).
        """
        entry = self[provider]
        with self._lock:
            self._require(entry)
            if entry.enabled is enabled:
                return
            entry.enabled = enabled
            self._arrange(self._entries)
        self._tell(CatalogChange.ENABLED if enabled else CatalogChange.DISABLED, entry)

    def reorder(self, guids: Iterable[Provider]) -> None:
        """Give all providers a new order; a list that is not complete changes nothing.

        Those whose GUID cannot be told, because they are broken, come last, by short name.

        Args:
            guids: Every GUID, each once.

        Raises:
            InvalidProviderError: One is unknown (WSAEINVAL 10022).
            InvalidArgumentError: One is missing or given twice (WSAEINVAL 10022).
        """
        wanted: dict[UUID, CatalogEntry] = {}
        for entry in self._resolved(guids):
            guid = entry.guid
            if guid is None or guid in wanted:
                fault = "has no GUID that is known" if guid is None else "is given twice"
                raise InvalidArgumentError(f"provider '{entry.name}' {fault}; leave it out")
            wanted[guid] = entry
        while True:
            entries = self._entries
            ordered = _ordered(entries, wanted)
            with self._lock:
                if self._entries is entries:
                    self._arrange(ordered)
                    break
        self._tell(CatalogChange.REORDERED, None)

    def arrange(self, providers: Iterable[Provider]) -> None:
        """Put some providers first, in this order; the others follow by short name.

        Raises:
            InvalidProviderError: One is unknown (WSAEINVAL 10022).
            InvalidArgumentError: One is given twice (WSAEINVAL 10022).
        """
        first = self._resolved(providers)
        with self._lock:
            for entry in first:
                self._require(entry)
            rest = set(self._entries).difference(first)
            self._arrange(first + sorted(rest, key=attrgetter("name")))
        self._tell(CatalogChange.REORDERED, None)

    def subscribe(self, callback: Listener) -> Callable[[], None]:
        """Call back after every change, on the thread that made it and under no lock.

        What a callback raises is logged (logger ``nspkit``) and kept from the others and from the
        one who changed the catalog.

        Args:
            callback: Takes the `CatalogChange`, and the entry or ``None`` for a new order.

        Returns:
            A function that ends the subscription; a second call does nothing.
        """
        subscription = [callback]
        with self._lock:
            self._listeners = (*self._listeners, subscription)

        def end() -> None:
            with self._lock:
                self._listeners = tuple(s for s in self._listeners if s is not subscription)

        return end

    def _require(self, entry: CatalogEntry) -> None:
        """Refuse, under the lock, an entry that another thread has just uninstalled."""
        if entry not in self._entries:
            raise entry.refusal()

    def _append(self, entry: CatalogEntry, guid: UUID) -> None:
        """Add an entry under the lock, without asking all the others for their GUIDs again."""
        self._entries = (*self._entries, entry)
        self._index[entry.name] = entry if entry.name not in self._index else None
        if self._is_whole:
            self._index[guid] = self._index[str(guid)] = entry
        self._selections = {}

    def _tell(self, change: CatalogChange, entry: CatalogEntry | None) -> None:
        for (callback,) in self._listeners:
            try:
                callback(change, entry)
            except Exception:
                from logging import getLogger

                getLogger("nspkit").exception(
                    "a subscriber of the catalog failed at the change %r", change.value
                )


def _ordered(entries: Iterable[CatalogEntry], guids: Iterable[UUID]) -> list[CatalogEntry]:
    """Return entries in a new order; two with one GUID stay together."""
    groups: dict[UUID | None, list[CatalogEntry]] = {guid: [] for guid in guids}
    complete = len(groups)
    for entry in entries:
        groups.setdefault(entry.guid, []).append(entry)
    unknown = sorted(groups.pop(None, ()), key=attrgetter("name"))
    missing = [group[0].name for group in list(groups.values())[complete:]]
    if missing:
        raise InvalidArgumentError(
            f"the new order lacks {', '.join(missing)}; give every provider once"
        )
    return [entry for group in groups.values() for entry in group] + unknown


def _examined(found: Found) -> Verdict:
    """Import a provider and judge it; whatever goes wrong becomes text."""
    if found.error is not None:
        return Verdict(EntryState.BROKEN_IMPORT, problems=(found.error,))
    try:
        return _judged(load(found))
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        # SystemExit too: a module that exits must not end the program that lists it.
        text, trace = _texts(error)
        reason = f"importing '{found.value}' failed with {text}; mend, reinstall or uninstall it"
        return Verdict(EntryState.BROKEN_IMPORT, problems=(reason,), traceback=trace)


def _judged(provider_class: object) -> Verdict:
    info, hooks = static_info(provider_class), static_hooks(provider_class)
    # First: a class for another version may well have hooks that this one does not know.
    mismatch = check_version(info) if info is not None else None
    if mismatch is not None:
        return Verdict(EntryState.INCOMPATIBLE, info=info, hooks=hooks, problems=(mismatch,))
    problems = check(provider_class)
    if problems:
        return Verdict(EntryState.INVALID_CONTRACT, info=info, hooks=hooks, problems=problems)
    return Verdict(EntryState.OK, info=info, hooks=hooks, provider_class=provider_class)


def _texts(error: BaseException) -> tuple[str, str]:
    """Return an exception in one line, and its traceback; both are foreign code's to spoil."""
    from traceback import TracebackException

    kind = type(error).__name__
    try:
        summary = TracebackException.from_exception(error)
        text = str(summary)
        return f"{kind}: {text}" if text else kind, "".join(summary.format())
    except Exception as failure:
        return kind, f"{kind}, whose traceback cannot be shown: {type(failure).__name__}"
