"""The state of a watch: what is known, how each provider stands, and who waits for news.

Between the threads of the providers and the reader stands no queue, only the latest state. A
thread that has told something rings if the reader waits; the reader then looks.
"""

from __future__ import annotations

from _queue import Empty, SimpleQueue
from time import monotonic
from typing import TYPE_CHECKING, Any

from nspkit._bell import PATIENCE
from nspkit._known import Known
from nspkit._lock import OwnedLock
from nspkit._results import again, together
from nspkit._standing import WatchState
from nspkit._watcher import Watcher
from nspkit.errors import (
    CancelledError,
    InProgressError,
    LookupFailedError,
    NotInitialisedError,
    NspError,
    ServiceNotFoundError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from nspkit._account import Account
    from nspkit._generation import Generation
    from nspkit._model import Change, Query, Service
    from nspkit._workers import Workers


class Picture:
    """The state of a watch; the `Watch` is only its face."""

    __slots__ = (
        "_asked",
        "_bell",
        "_closed",
        "_interval",
        "_known",
        "_lock",
        "_query",
        "_reader",
        "_single",
        "_waiting",
        "_workers",
    )

    def __init__(self, workers: Workers, query: Query, *, interval: float, single: bool) -> None:
        """Make one that watches nobody yet; with ``single`` its one provider's error is raised."""
        self._workers = workers
        self._query = query
        self._interval = interval
        self._single = single
        self._known = Known()
        self._asked: list[Watcher | NspError] = []
        self._lock = OwnedLock("a watch")
        self._bell: SimpleQueue[None] = SimpleQueue()
        self._waiting = False
        self._reader: dict[None, object] = {}
        self._closed = False

    def pass_over(self, error: NspError) -> None:
        """Record a provider that is not watched, in its place."""
        self._asked.append(error)

    def add(self, account: Account, generation: Generation | None = None) -> None:
        """Watch one more provider.

        Raises:
            NspError: it is the only one, and could not be started or has nothing to watch.
        """
        watcher = Watcher(
            account, self._query, self._known, self._interval, tell=self.tell, ring=self.ring
        )
        if self._single:
            watcher.join(generation)
        self._asked.append(watcher)
        self._workers.lend(watcher)

    @property
    def _watchers(self) -> list[Watcher]:
        return [one for one in self._asked if isinstance(one, Watcher)]

    # -- on the threads of the providers -------------------------------------------------------

    def tell(self, what: Callable[..., Any], *args: Any) -> Any:
        """Call ``what`` with the time, under the lock, and wake the reader."""
        with self._lock:
            told = what(*args, monotonic())
            if self._waiting:
                self._waiting = False
                self.ring()
        return told

    def ring(self) -> None:
        """Have the reader look, from any thread, without a lock."""
        self._bell.put(None)

    # -- on the reader -------------------------------------------------------------------------

    def next(self, seconds: float | None) -> Change | None:
        """Return the next change, or None if there is none within ``seconds``.

        Raises:
            NspError: as the watch does.
        """
        token, reader = object(), self._reader
        try:
            if reader.setdefault(None, token) is not token:
                raise InProgressError(
                    "this watch is being asked for its next change already, by another thread or "
                    "further up the stack of this one; make a watch for each"
                )
            return self._next(None if seconds is None else monotonic() + seconds)
        finally:
            # One look, since another thread may come or go; and no call: at one a signal could
            # strike, and the place be taken for ever.
            if reader == {None: token}:
                del reader[None]

    def _next(self, until: float | None) -> Change | None:
        while True:
            self.refuse()
            if self._closed:
                raise CancelledError("the watch was closed")
            change, deadline, over = self._look(take=True)
            if change is not None:
                return change
            if over:
                raise self._end()
            now = monotonic()
            if until is not None and now >= until:
                return None
            times = [time for time in (until, deadline) if time is not None]
            # A signal that comes right before a thread blocks does not wake it.
            left = max(0.0, min([PATIENCE, *(time - now for time in times)]))
            try:
                self._bell.get(timeout=left)
            except Empty:
                pass

    def _look(self, *, take: bool = False) -> tuple[Change | None, float | None, bool]:
        """Do what has fallen due; returns the next change, when to look again, whether it is over.

        All at one time: what was told right before the end must be told.
        """
        change = None
        with self._lock:
            now = monotonic()
            for watcher in self._watchers:
                if watcher.ended is not None and not watcher.standing.over:
                    watcher.standing.ended(watcher.ended, now)
            late = [watcher for watcher in self._watchers if watcher.standing.due(now)]
            times = [watcher.standing.deadline for watcher in self._watchers]
            deadline = min([time for time in times if time is not None], default=None)
            over = not [one for one in self._watchers if not one.standing.over]
            if take:
                change = self._known.take()
                self._waiting = change is None
        for watcher in late:
            watcher.expire()
        return change, deadline, over

    def refuse(self) -> None:
        """Raise NotInitialisedError (10093) in a forked child."""
        if self._workers.gone is not None:
            raise NotInitialisedError(f"this watch {self._workers.gone}")

    def _end(self) -> NspError:
        """Return the error that says why nothing will come any more."""
        errors = self.errors
        alike = (CancelledError, ServiceNotFoundError)
        if self._single or any(all(type(one) is kind for one in errors) for kind in alike):
            return errors[-1]
        return LookupFailedError(f"no provider can be watched: {together(errors)}", errors=errors)

    # -- on anybody ----------------------------------------------------------------------------

    @property
    def generation(self) -> int:
        """How many changes there were."""
        self._refresh()
        return self._known.generation

    def everything(self) -> tuple[Service, ...]:
        """Return all that is there, and count it as told."""
        self.refuse()
        self._refresh()
        with self._lock:
            return self._known.everything()

    def _refresh(self) -> None:
        """Do what has fallen due, unless it is over, or in a forked child."""
        if not self.over and self._workers.gone is None:
            self._look()

    @property
    def state(self) -> str:
        """One of the strings of `WatchState`."""
        self._refresh()
        if self._closed or self._workers.gone is not None:
            return WatchState.CLOSED
        if self.over:
            return WatchState.FAILED
        if self.stale_since is not None:
            return WatchState.STALE
        states = {watcher.standing.state for watcher in self._watchers}
        return WatchState.STARTING if WatchState.STARTING in states else WatchState.LIVE

    @property
    def stale_since(self) -> float | None:
        """Since when what one of the providers has found may have changed unseen."""
        self._refresh()
        standings = [watcher.standing for watcher in self._watchers]
        going_on = [one for one in standings if not one.over]
        # Who has never told anything is passed over, as in a lookup; and whoever is over and has
        # found nothing leaves nothing behind that could be stale.
        counted = [one for one in standings if one.found or (one.has_told and not one.over)]
        if not counted and all(one.state != WatchState.STARTING for one in going_on):
            counted = going_on
        return min([one.since for one in counted if one.since is not None], default=None)

    @property
    def errors(self) -> tuple[NspError, ...]:
        """What is wrong now, in the order of the providers."""
        if self._workers.gone is not None:
            return (NotInitialisedError(f"this watch {self._workers.gone}"),)
        self._refresh()
        found = [one if isinstance(one, NspError) else one.standing.error for one in self._asked]
        errors = tuple([again(error) for error in found if error is not None])
        if not errors and not self._closed and self.over:
            return (ServiceNotFoundError("no provider that is installed can be watched"),)
        return errors

    @property
    def over(self) -> bool:
        """Whether it was closed, or nothing can come any more."""
        return self._closed or not [one for one in self._watchers if not one.standing.over]

    def close(self) -> None:
        """End it, from any thread; who waits in `next` gets CancelledError (10111)."""
        if self._closed:
            return
        self._closed = True
        self.ring()  # the reader first: what is cancelled may take long
        for watcher in reversed(self._watchers):
            if not watcher.standing.over:
                watcher.give_up()

    def abandon(self) -> None:
        """Let the threads end by themselves; called by a finaliser, so it only rings."""
        for watcher in self._watchers:
            watcher.abandon()
