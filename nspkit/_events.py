"""Events: what happened to a provider, told to whoever subscribed."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID


class EventKind:
    """What an event tells; plain strings, so that a log shows them as they are."""

    STARTED = "started"
    START_FAILED = "start failed"
    STOPPED = "stopped"
    STEP = "step"
    FAILED = "failed"
    QUARANTINED = "quarantined"
    QUARANTINE_ENDED = "quarantine ended"
    REGISTERED = "registered"
    REGISTRATION_FAILED = "registration failed"
    DEREGISTERED = "deregistered"


class Event:
    """Something that happened to a provider.

    Attributes:
        kind: One of the strings of `EventKind`.
        guid: The provider's GUID; None where it is not known, since the import failed.
        name: The provider's short name; for `EventKind.STEP` and failures of a step, the name of
            the step or resource after it, as in ``"hosts: nsp_cleanup"``; for registrations the
            name of the service.
        seconds: How long it took, in seconds; 0.0 where nothing was measured.
        error: What went wrong, or None.
    """

    __slots__ = ("error", "guid", "kind", "name", "seconds")

    def __init__(
        self,
        kind: str,
        guid: UUID | None,
        name: str,
        seconds: float = 0.0,
        error: BaseException | None = None,
    ) -> None:
        """Make an event; the host does."""
        self.kind = kind
        self.guid = guid
        self.name = name
        self.seconds = seconds
        self.error = error

    def __repr__(self) -> str:
        error = "" if self.error is None else f", {self.error!r}"
        return f"<Event {self.kind}: {self.name}, {self.seconds:.6f} s{error}>"


class Events:
    """Who wants to know; with nobody subscribed an event is not even made."""

    __slots__ = ("_subscribers",)

    def __init__(self) -> None:
        """Make one without subscribers."""
        # By the entry itself, so that one callback may subscribe twice; a change of one entry is
        # never lost to another that comes at the same time.
        self._subscribers: dict[object, Callable[[Event], object]] = {}

    def subscribe(self, callback: Callable[[Event], object]) -> Callable[[], None]:
        """Have ``callback`` called with every `Event`; returns a function that ends it.

        It is called on the thread where things happen, or, where that one must not wait as for a
        renewal that is late, on a worker; under no lock. What it raises is logged to the logger
        ``nspkit`` and harms nobody.
        """
        entry = object()
        self._subscribers[entry] = callback

        def unsubscribe() -> None:
            self._subscribers.pop(entry, None)

        return unsubscribe

    def emit(
        self,
        kind: str,
        guid: UUID | None,
        name: str,
        seconds: float = 0.0,
        error: BaseException | None = None,
    ) -> None:
        """Tell every subscriber; the host does."""
        if not self._subscribers:
            return
        event = Event(kind, guid, name, seconds, error)
        for callback in list(self._subscribers.values()):
            try:
                callback(event)
            except (Exception, SystemExit, GeneratorExit):
                import logging

                logging.getLogger("nspkit").exception("a subscriber failed on %r", event)
