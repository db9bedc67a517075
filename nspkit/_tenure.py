"""How a registration stands at one provider: its state, its last error, when it is due again.

Nothing here calls a provider. What changes together changes under the lock of the renewals, because
the thread that looks at the clock may find a renewal late at the moment in which it comes back.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from nspkit._events import EventKind
from nspkit._renewals import NEVER
from nspkit._results import again
from nspkit._upkeep import Telling
from nspkit.errors import NspError

if TYPE_CHECKING:
    from nspkit._account import Account
    from nspkit._events import Events
    from nspkit._model import Service
    from nspkit._renewals import Renewals
    from nspkit._workers import Workers

PENDING, ACTIVE, LOST, RELEASED = "pending", "active", "lost", "released"

FIRST_DELAY, LONGEST_DELAY = 1.0, 60.0
"""How long a registration that failed waits at first, and at most, in seconds."""


class Terms:
    """What the leases of one registration share."""

    __slots__ = ("events", "multiple", "renewals", "service", "ttl", "workers")

    def __init__(
        self,
        service: Service,
        *,
        multiple: bool,
        renewals: Renewals,
        workers: Workers,
        events: Events,
    ) -> None:
        """Make them; it is renewed if the service has a time to live."""
        self.service = service
        self.ttl = service.ttl
        self.multiple = multiple
        self.renewals = renewals
        self.workers = workers
        self.events = events


class Tenure:
    """What is known of an entry at one provider.

    Attributes:
        state: One of the four.
        error: What went wrong last; None once all is well again.
        failed_at: When that was, by the clock of the renewals.
        expires: Until when the back end keeps it, by the same clock; None if that is not known,
            or for ever.
        due: When it has to be attended to, by the same clock.
        ended: Whether it is to be taken back.
        over: Whether nothing is left to be done.
        job: The renewal that is under way.
    """

    __slots__ = (
        "_failures",
        "account",
        "due",
        "ended",
        "error",
        "expires",
        "failed_at",
        "job",
        "over",
        "state",
        "terms",
    )

    def __init__(self, account: Account, terms: Terms) -> None:
        """Make one that was not tried yet."""
        self.account = account
        self.terms = terms
        self.state = PENDING
        self.error: NspError | None = None
        self.failed_at = 0.0
        self.expires: float | None = None
        self.due = NEVER
        self.ended = False
        self.over = False
        self.job: Any = None
        self._failures = 0

    def succeed(self, began: float) -> None:
        """Take down that the back end has it, by a call that ``began`` then."""
        renewals, ttl = self.terms.renewals, self.terms.ttl
        with renewals.lock:
            if self.ended:
                return  # it is taken back in a moment
            before, self.state = self.state, ACTIVE
            self.job = self.error = None
            self._failures = 0
            now = renewals.clock()
            if ttl is not None:
                # The back end may count from the begin of the call, or from its end.
                self.expires = began + ttl
                self.due = now + ttl / 3.0 * (1.0 - renewals.jitter() / 10.0)
        renewals.ring(self)
        if before is not ACTIVE:
            self.tell(EventKind.REGISTERED, now - began)

    def fail(self, error: NspError, late: object = None, *, aside: bool = False) -> None:
        """Take a failed try down, and be due again, each time later.

        ``late`` is a renewal that still is at it, and says itself how it ends, if it ever does.
        ``aside`` is for threads that must not wait for whoever is told.
        """
        renewals = self.terms.renewals
        with renewals.lock:
            if self.ended or (late is not None and self.job is not late):
                return
            self.state = PENDING if self.state is PENDING else LOST
            self.error = again(error)
            self.failed_at = renewals.clock()
            if late is None:
                self.job = None
                self.due = self.failed_at + self._patience()
                self._failures += 1
            else:
                self.due = NEVER
        renewals.ring(self)
        self.tell(EventKind.REGISTRATION_FAILED, 0.0, error, aside=aside)

    def _patience(self) -> float:
        """Return how long to wait now; never longer than a minute, or than the time to live."""
        ttl = self.terms.ttl
        if ttl is None:
            return NEVER
        longest = min(max(FIRST_DELAY, ttl), LONGEST_DELAY)
        delay = min(FIRST_DELAY, ttl / 10.0) * 2.0 ** min(self._failures, 30)
        return min(delay, longest) * (1.0 - self.terms.renewals.jitter() / 2.0)

    if TYPE_CHECKING:  # what the renewals call, of the class below

        def attend(self) -> None: ...
        def strand(self, because: NspError) -> None: ...
        def forget(self, error: NspError) -> object: ...

    def finish(self, error: NspError | None) -> None:
        """Take down that it is over; ``error`` says why, None if its user ended it."""
        with self.terms.renewals.lock:
            self.error = error
            self.expires = None
            self.state = RELEASED
            self.over = True

    @property
    def name(self) -> str:
        """The short name of the provider."""
        return str(self.account.entry.name)

    @property
    def key(self) -> Any:
        """The GUID of the provider, for errors and events; None while that is not known."""
        return self.account.lifetime.key

    def tell(
        self, kind: str, seconds: float, error: NspError | None = None, *, aside: bool = False
    ) -> None:
        """Tell who subscribed to the events of the host, here or ``aside``, on another thread."""
        name = f"{self.name}: {self.terms.service.name}"
        emit = partial(self.terms.events.emit, kind, self.key, name, seconds, error)
        if not aside:
            emit()
            return
        try:
            self.terms.workers.submit(Telling(self.terms.events, emit))
        except NspError:
            pass  # it stays untold, as without a thread; the registration shows it
