"""One provider of one host: its catalog entry, its lifetime, its settings, its errors of late.

This is where a start is put together: `_lifetime` decides when, `_provider` knows how. How it ends
is in `_stopping`.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from nspkit._constants import Namespace
from nspkit._entry import EntryState
from nspkit._events import EventKind
from nspkit._generation import QUARANTINED, Generation, Reference
from nspkit._lifetime import Lifetime
from nspkit._provider import Provider
from nspkit._routines import declared_hooks
from nspkit._stopping import Stopping
from nspkit.errors import NspError, error_for

if TYPE_CHECKING:
    from uuid import UUID

    from nspkit._entry import CatalogEntry
    from nspkit._stopping import House


FIRST_DELAY, LONGEST_DELAY = 1.0, 60.0
"""How long a provider that could not start is held back from fan-outs, in seconds."""


class Account(Stopping):
    """What a host knows of one of its providers."""

    __slots__ = (
        "_delay",
        "_events",
        "_house",
        "_starting",
        "_workers",
        "entry",
        "failure",
        "held_until",
        "lifetime",
    )

    def __init__(self, entry: CatalogEntry, house: House) -> None:
        """Make one for a catalog entry; ``house`` is what the accounts of a host share."""
        self.entry = entry
        self.lifetime = Lifetime(entry.name, None)
        self.lifetime.interrupted = house.interrupted
        self.failure: tuple[int, str] | None = None
        self.held_until = 0.0
        self._delay = 0.0
        self._starting: Provider | None = None  # for a fork in between
        self._house = house
        self._events = house.events
        self._workers = house.workers

    def __repr__(self) -> str:
        return f"<Account of {self.entry.name!r}: {self.lifetime.state}>"

    @property
    def guid(self) -> UUID | None:
        """The provider's GUID, or None before it was imported."""
        known = self.entry.known
        return None if known is None or known.info is None else known.info.guid

    # -- starting ------------------------------------------------------------------------------

    def take_back(self, reference: Reference, error: BaseException) -> None:
        """Give back what was counted before ``error`` interrupted who was to get it."""
        if reference.generation is not None:
            try:
                self.release(reference)
            except NspError as failed:
                error.add_note(f"and while stopping the provider again: {failed}")

    def ensure_started(self) -> Generation:
        """Return the running generation; the first to come starts it for the host."""
        return self.lifetime.acquire(Reference(), self, once=True)

    def start(self, generation: Generation) -> None:
        """Load, make and start the provider; what `Lifetime.acquire` calls."""
        provider: Provider | None = None
        asked, began = False, monotonic()
        try:
            provider_class = self.entry.load()
            info = self.entry.info
            assert info is not None  # what could be loaded has one
            self.lifetime.key = info.guid
            provider = Provider(
                provider_class,
                info,
                name=self.entry.name,
                events=self._events,
                carrying=self._own,
                middleware=self._house.middleware,
            )
            self._starting = provider
            asked = True  # and from here on it tells by itself
            provider.start(generation, self._house.settings_of(self.entry))
        except BaseException as error:
            if provider is not None and provider.is_loaded and generation.payload is None:
                provider.roll_back(generation, error)  # interrupted on the way to its own
            if not asked:
                seconds, name = monotonic() - began, self.entry.name
                self._events.emit(EventKind.START_FAILED, self.guid, name, seconds, error)
            if isinstance(error, NspError):
                # Text only: an exception would keep the frames, and so the instance, alive.
                self.failure = (int(error.code), error.message)
                self._delay = min(max(FIRST_DELAY, self._delay * 2), LONGEST_DELAY)
                self.held_until = monotonic() + self._delay
            raise
        finally:
            self._starting = None
        self.failure = None
        self._delay = self.held_until = 0.0

    def lacks(self, hook: str, namespace: Namespace) -> bool:
        """Whether the provider has no such hook, or serves another namespace.

        Its module is imported for that, unless it runs: what runs goes on, even if another one
        with its GUID has been found since.

        Raises:
            NspError: it cannot be loaded, with the code that says why.
        """
        if namespace != Namespace.ALL and not self.entry.serves(namespace):
            return True
        running = self.lifetime.generation.payload
        hooks = declared_hooks(self.entry.load()) if running is None else running.hooks
        return hook not in hooks

    def held_back(self) -> NspError | None:
        """Return the error of the last start while fan-outs pass this provider over, else None."""
        left = self.held_until - monotonic()
        if self.failure is None or left <= 0.0:
            return None
        code, message = self.failure
        return error_for(
            code,
            f"{message}; not tried again for {left:.1f} s, unless by a startup of its own",
            guid=self.lifetime.key,
        )

    def marked(self) -> CatalogEntry:
        """Return the entry, showing a failed start or a quarantine."""
        if self.lifetime.state is QUARANTINED:
            return self.entry.marked(EntryState.QUARANTINED, "its last cleanup still hangs")
        if self.failure is not None:
            return self.entry.marked(EntryState.FAILED_START, self.failure[1])
        return self.entry
