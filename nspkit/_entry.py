"""One installed provider: what is known of it, found out when it is needed.

A verdict is shared by a catalog and all its snapshots, so that a provider is imported once; an
entry is its place in one of them, where it is enabled or not and may meet another with its GUID.
Of errors only text is kept: an exception would keep the frames of a failed import alive, and two
threads must not raise the same object.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from nspkit.errors import (
    DuplicateProviderError,
    InProgressError,
    InvalidProcedureTableError,
    InvalidProviderError,
    NspError,
    ProviderLoadError,
    VersionNotSupportedError,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, Protocol
    from uuid import UUID

    from nspkit._discovery import Found
    from nspkit._model import ProviderInfo
    from nspkit._once import Once

    class Claims(Protocol):
        """What an entry asks of the catalog that it is in."""

        def claim(self, entry: CatalogEntry, guid: UUID) -> Sequence[CatalogEntry]:
            """Return all that have the GUID, the entry included, as far as known."""

        def claimants(self, guid: UUID) -> Sequence[CatalogEntry]:
            """Return all that have the GUID; every enabled provider is imported for that."""


class EntryState(Enum):
    """What can be said of an installed provider."""

    OK = "ok"
    DISABLED = "disabled"
    BROKEN_IMPORT = "broken import"
    INVALID_CONTRACT = "invalid contract"
    INCOMPATIBLE = "incompatible"
    DUPLICATE = "duplicate"
    FAILED_START = "failed start"
    QUARANTINED = "quarantined"


_ERRORS: dict[EntryState, type[NspError]] = {
    EntryState.BROKEN_IMPORT: ProviderLoadError,
    EntryState.INVALID_CONTRACT: InvalidProcedureTableError,
    EntryState.INCOMPATIBLE: VersionNotSupportedError,
}


class Verdict:
    """What the examination of a provider came to: its class, or texts that say why not."""

    __slots__ = ("hooks", "info", "problems", "provider_class", "state", "traceback")

    def __init__(
        self,
        state: EntryState,
        *,
        provider_class: Any = None,
        info: ProviderInfo | None = None,
        hooks: frozenset[str] | None = None,
        problems: tuple[str, ...] = (),
        traceback: str | None = None,
    ) -> None:
        """Keep what was found out."""
        self.state = state
        self.provider_class = provider_class
        self.info = info
        self.hooks = hooks
        self.problems = problems
        self.traceback = traceback

    @property
    def error(self) -> str | None:
        """All problems as one text."""
        return "; ".join(self.problems) or None

    def failure(self, description: str) -> NspError:
        """Return a new error for a provider that cannot be used, with the cause as text."""
        error = _ERRORS[self.state](
            f"provider {description} cannot be used: {self.error}",
            guid=self.info.guid if self.info is not None else None,
        )
        if self.traceback is not None:
            cause = ImportError(self.error)
            cause.add_note(self.traceback)
            error.__cause__ = cause
        return error


class CatalogEntry:
    """An installed provider in a catalog; it imports the provider when it is asked about it.

    ``name``, ``distribution``, ``version``, ``enabled`` and ``repr`` import nothing. ``info``,
    ``guid``, ``hooks``, ``problems``, ``traceback`` and ``load`` import this provider. ``state``
    and ``error`` import every enabled one, since only then is it known whether two have the same
    GUID. No attribute raises what an import raises; `load` does.

    Attributes:
        name: The short name.
        enabled: Whether the provider may be used.
    """

    __slots__ = ("_catalog", "_found", "_overlay", "_verdict", "enabled", "name")

    def __init__(
        self, name: str, verdict: Once[Verdict], *, found: Found | None, catalog: Claims
    ) -> None:
        """Put an installed provider into a catalog; without ``found`` it has no distribution."""
        self.name = name
        self.enabled = True
        self._verdict = verdict
        self._found = found
        self._catalog: Claims | None = catalog
        self._overlay: tuple[EntryState, str] | None = None

    @property
    def distribution(self) -> str | None:
        """The name of its distribution, or ``None`` if the application installed the class."""
        return self._found.distribution if self._found is not None else None

    @property
    def version(self) -> str | None:
        """The version of its distribution, or ``None`` if the application installed the class."""
        return self._found.version if self._found is not None else None

    @property
    def info(self) -> ProviderInfo | None:
        """The provider's ``info``, or ``None`` if it cannot be told."""
        verdict = self._verdict.get()
        return verdict.info if verdict is not None else None

    @property
    def guid(self) -> UUID | None:
        """The provider's GUID, or ``None`` if it cannot be told."""
        info = self.info
        return info.guid if info is not None else None

    @property
    def hooks(self) -> frozenset[str] | None:
        """The names of the hooks that the provider has, or ``None`` if they cannot be told."""
        verdict = self._verdict.get()
        return verdict.hooks if verdict is not None else None

    @property
    def problems(self) -> tuple[str, ...]:
        """Everything that is wrong with the provider by itself, a sentence for each problem."""
        verdict = self._verdict.get()
        return verdict.problems if verdict is not None else ()

    @property
    def state(self) -> EntryState:
        """What can be said of the provider."""
        return self._judged()[0]

    @property
    def error(self) -> str | None:
        """Why the provider cannot be used, or ``None``."""
        return self._judged()[1]

    @property
    def traceback(self) -> str | None:
        """The text of the traceback of a failed import, or ``None``."""
        verdict = self._verdict.get()
        return verdict.traceback if verdict is not None else None

    def load(self) -> type:
        """Import the provider, where that was not done yet, and return its class.

        Raises:
            InvalidProviderError: It is disabled or was uninstalled (WSAEINVAL 10022).
            ProviderLoadError: It cannot be imported (WSAEPROVIDERFAILEDINIT 10106).
            InvalidProcedureTableError: Its class is no provider (WSAEINVALIDPROCTABLE 10104).
            VersionNotSupportedError: It speaks another version (WSAVERNOTSUPPORTED 10092).
            DuplicateProviderError: Another one has its GUID (WSAEINVALIDPROVIDER 10105).
            InProgressError: It is loaded from inside its own import (WSAEINPROGRESS 10036).
        """
        catalog = self._catalog
        if catalog is None or not self.enabled:
            raise self.refusal()
        verdict = self._verdict.get()
        if verdict is None:
            raise InProgressError(
                f"provider {self.description} is still being imported, by this very thread or for "
                "very long by another; a module must not use its own provider while it is "
                "imported, and must not wait"
            )
        if verdict.info is None or verdict.state is not EntryState.OK:
            raise verdict.failure(self.description)
        guid = verdict.info.guid
        claimants = catalog.claim(self, guid)
        if len(claimants) > 1:
            raise DuplicateProviderError(_conflict(guid, claimants), guid=guid)
        provider_class: type = verdict.provider_class
        return provider_class

    def marked(self, state: EntryState, error: str) -> CatalogEntry:
        """Return a copy that shows what only a host knows: a failed start, a quarantine."""
        entry = self.copy_for(self._catalog)
        entry._overlay = (state, error)
        return entry

    def __repr__(self) -> str:
        return f"<CatalogEntry {self.name!r}{'' if self.enabled else ', disabled'}>"

    # What catalogs use, beside the above -----------------------------------------------------

    @property
    def description(self) -> str:
        """Name and origin of the provider, for messages."""
        if self._found is None:
            return f"'{self.name}' (installed by the application)"
        return f"'{self.name}' ({f'{self.distribution} {self.version}'.rstrip()})"

    @property
    def has_broken_metadata(self) -> bool:
        """Whether the entry point itself is malformed; it never takes a name from a good one."""
        return self._found is not None and self._found.error is not None

    @property
    def known(self) -> Verdict | None:
        """The verdict, where the provider was examined already."""
        return self._verdict.known

    def examined(self) -> Verdict | None:
        """Return the verdict, or ``None`` while it cannot be had; the provider is imported."""
        return self._verdict.get()

    def serves(self, namespace: int) -> bool:
        """Tell whether the provider is known to serve a namespace; it is imported for that."""
        info = self.info
        return info is not None and info.namespace == namespace

    def is_same_provider(self, other: CatalogEntry) -> bool:
        """Tell whether an entry of another catalog is about the same installed provider."""
        return self._verdict is other._verdict

    def copy_for(self, catalog: Claims | None) -> CatalogEntry:
        """Return an entry for the same provider in another catalog."""
        entry = CatalogEntry.__new__(CatalogEntry)
        entry.name = self.name
        entry.enabled = self.enabled
        entry._verdict = self._verdict
        entry._found = self._found
        entry._catalog = catalog
        entry._overlay = None
        return entry

    def is_in(self, catalog: Claims) -> bool:
        """Tell whether the catalog still has this entry."""
        return self._catalog is catalog

    def forsake(self) -> None:
        """Take the entry out of its catalog: it cannot be loaded any more."""
        self._catalog = None

    def refusal(self) -> InvalidProviderError:
        """Return the error for a provider that is disabled or was uninstalled."""
        known = self._verdict.known
        guid = known.info.guid if known is not None and known.info is not None else None
        reason = "was uninstalled"
        if self._catalog is not None:
            reason = (
                f"is disabled; catalog.enable('{self.name}'), or taking it out of 'disabled' in "
                "nspkit.toml, enables it for hosts made after that"
            )
        return InvalidProviderError(f"provider {self.description} {reason}", guid=guid)

    def _judged(self) -> tuple[EntryState, str | None]:
        if self._overlay is not None:
            return self._overlay
        if not self.enabled:
            return EntryState.DISABLED, None
        verdict = self._verdict.get()
        if verdict is None:
            return EntryState.OK, None
        catalog = self._catalog
        if catalog is not None and verdict.info is not None and verdict.state is EntryState.OK:
            claimants = catalog.claimants(verdict.info.guid)
            if len(claimants) > 1:
                return EntryState.DUPLICATE, _conflict(verdict.info.guid, claimants)
        return verdict.state, verdict.error


def _conflict(guid: UUID, claimants: Sequence[CatalogEntry]) -> str:
    names = " and ".join(sorted(entry.description for entry in claimants))
    return f"the GUID {guid} belongs to {names}; uninstall or disable all but one of them"
