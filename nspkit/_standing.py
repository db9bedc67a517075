"""How one provider's part of a watch stands: fresh, stale since when, or over.

No thread and no clock is in here. Whoever calls holds the lock of the watch and says what time it
is; what falls due by time alone happens in `Standing.due`, when somebody looks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nspkit._constants import ChangeKind
from nspkit.errors import NspError, OperationTimeoutError

if TYPE_CHECKING:
    from nspkit._known import Identity, Known
    from nspkit._model import Service

GRACE = 10.0
"""Seconds for which an empty answer right after a failure is not believed."""

PATIENCE = 30.0
"""Seconds after which a poll that has not come back counts as failed."""

_LONGEST_LIST = 6
"""After how many times the quiet that ends a list it ends without, unless anything new comes."""


class WatchState:
    """How a watch stands; plain strings, so that a log shows them as they are."""

    STARTING = "starting"
    LIVE = "live"
    STALE = "stale"
    FAILED = "failed"
    CLOSED = "closed"


class Standing:
    """What one provider has found, and whether that can be relied upon.

    Attributes:
        state: STARTING, LIVE or STALE.
        since: When it went stale, in the caller's seconds; None while it has not.
        error: What went wrong last; None if nothing is wrong.
        over: Whether nothing comes from this provider any more.
        has_told: Whether it has ever said anything about what is there.
    """

    __slots__ = (
        "_answered",
        "_empty_since",
        "_interval",
        "_known",
        "_limit",
        "_listed",
        "_name",
        "_quiet",
        "_settles",
        "_silent",
        "_unconfirmed",
        "error",
        "has_told",
        "over",
        "since",
        "state",
    )

    def __init__(self, known: Known, name: str, interval: float) -> None:
        """Make one that has found nothing; its place in ``known`` is the next."""
        self.state = WatchState.STARTING
        self.since: float | None = None
        self.error: NspError | None = None
        self.over = False
        self.has_told = False
        self._known = known
        self._name = name
        self._interval = interval
        self._silent: float | None = None
        self._settles: float | None = None
        self._empty_since: float | None = None
        self._unconfirmed: dict[Identity, None] = {}
        self._answered = False
        self._listed: set[Identity] = set()
        self._quiet = self._limit = 0.0
        known.of(self)

    @property
    def found(self) -> dict[Identity, Service]:
        """What is there, as far as this provider has said."""
        return self._known.of(self)

    @property
    def deadline(self) -> float | None:
        """When something falls due, if nothing comes before."""
        times = [time for time in (self._silent, self._settles) if time is not None]
        return min(times, default=None)

    def due(self, now: float) -> bool:
        """Do what has fallen due; True if a poll has not come back in its time."""
        late = self._silent is not None and now >= self._silent
        if late:
            self._fail(
                OperationTimeoutError(
                    f"provider {self._name!r} has not answered a poll within {PATIENCE:g} s"
                ),
                now,
            )
        elif self._settles is not None and now >= self._settles:
            if self._unconfirmed and not self._answered:
                self._settles = None  # it has not come back yet, and has not said that all is gone
            else:
                self._sweep()
        return late

    # -- polls ---------------------------------------------------------------------------------

    def asked(self, now: float) -> None:
        """Take note that a poll has begun."""
        self._silent = now + PATIENCE
        if not self._answered:
            self._settles = None  # of a stream that was not to be had

    def listed(self, services: dict[Identity, Service], now: float) -> None:
        """Take over the whole list of what is there."""
        self.has_told = True
        self._silent = None
        if not services and self.found and self.state is WatchState.STALE:
            self._hold(now)
            return
        for identity in [one for one in self.found if one not in services]:
            self._known.drop(self, identity)
        for identity, service in services.items():
            self._known.put(self, identity, service)
        self._settle()

    def _hold(self, now: float) -> None:
        """Believe an empty answer only if it still holds after a while, counted from the first.

        A back end that has just come back often knows nothing yet, and who acts on that loses
        everything; who never believes it keeps what is long gone.
        """
        if self._empty_since is None:
            self._empty_since = now
        self._answered = True
        self._unconfirmed = dict.fromkeys(self.found)
        self._settles = self._empty_since + GRACE

    # -- a stream of changes -------------------------------------------------------------------

    def begun(self, now: float) -> None:
        """Take note that the provider begins to tell what is there, and then what changes."""
        self._unconfirmed = dict.fromkeys(self.found)
        self._answered = False
        self._listed = set()
        self._quiet = GRACE if self._unconfirmed else self._interval
        self._settles = now + self._quiet
        self._limit = now + self._quiet * _LONGEST_LIST

    def changed(
        self, kind: ChangeKind, identity: Identity, service: Service | None, now: float
    ) -> None:
        """Take over one change; added without a service it is none of those that are asked for."""
        self._answered = self.has_told = True
        if self._settles is not None or self._unconfirmed:
            self._go_on(kind, identity, now)
        if kind is ChangeKind.REMOVED:
            self._known.drop(self, identity)
        elif service is not None:
            self._known.put(self, identity, service)
        else:
            return
        if identity in self._unconfirmed:
            del self._unconfirmed[identity]
            if not self._unconfirmed:
                self._settle()

    def _go_on(self, kind: ChangeKind, identity: Identity, now: float) -> None:
        """Wait for the quiet after the list; without end only as long as new ones come."""
        if kind is ChangeKind.ADDED and identity not in self._listed:
            self._limit = now + self._quiet * _LONGEST_LIST
        self._listed.add(identity)
        self._settles = min(now + self._quiet, self._limit)

    def told(self, now: float) -> None:
        """Take note that the provider has told all that is there."""
        self.has_told = True
        if self._unconfirmed and not self._listed:
            self._hold(now)
        else:
            self._sweep()

    # -- the ends ------------------------------------------------------------------------------

    def failed(self, error: NspError, now: float) -> bool:
        """Be stale from now on, unless it was already; True if it was live."""
        self.due(now)
        live = self.state is WatchState.LIVE
        self._fail(error, now)
        return live

    def noted(self, error: NspError, _now: float) -> None:
        """Take note of an error that changes nothing about what is there."""
        self.error = error

    def ended(self, error: NspError | None, now: float) -> None:
        """Be over; None for an error means that this provider cannot be watched."""
        self._fail(error, now)
        self.over = True

    def _fail(self, error: NspError | None, now: float) -> None:
        self._silent = self._settles = None
        self._unconfirmed = {}
        self.error = error
        self.since = now if self.since is None else self.since
        self.state = WatchState.STALE

    def _sweep(self) -> None:
        """Drop what was not told again, and be live."""
        for identity in list(self._unconfirmed):
            self._known.drop(self, identity)
        self._settle()

    def _settle(self) -> None:
        self._settles = self._empty_since = None
        self._unconfirmed = {}
        self._listed = set()
        self.state, self.since, self.error = WatchState.LIVE, None, None
