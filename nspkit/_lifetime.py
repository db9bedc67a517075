"""States, the count of references, and the guard; it knows neither pluggy nor GUIDs.

One `Lifetime` belongs to one provider of one host and lives as long as the host. It walks
``stopped → starting → started → stopping → stopped``; each time round is a `Generation`. State
and count change only here, under one lock that is held for nothing else: starting and stopping
themselves run without it.

Which thread is inside the provider is kept in one dictionary, by thread: that is the guard that
the final cleanup waits for, and the way a call back from inside is recognised.
"""

from __future__ import annotations

import threading
from _thread import get_ident
from contextvars import ContextVar
from itertools import count as counter
from typing import TYPE_CHECKING, Any, TypeVar

from nspkit.errors import InProgressError, NotInitialisedError, NotReadyError, NspError

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

INHERITED: ContextVar[tuple[Lifetime, ...]] = ContextVar("nspkit_inherited", default=())
"""The lifetimes that the call which started this worker or thread was inside."""

STOPPED, STARTING, STARTED = "stopped", "starting", "started"
STOPPING, QUARANTINED, CLOSED = "stopping", "quarantined", "closed"

_starts = counter(1)


class Generation:
    """One round of a lifetime, from a startup to its cleanup.

    ``open`` is what the guard looks at: false before the startup came back and from the moment
    the final cleanup began. ``users`` are what was opened and has to be ended then, oldest first:
    lookups, watches, registrations. ``payload`` is the started provider; the layer above puts it
    there as the last act of a start and takes it away as the last act of a stop. ``table`` is its
    routine table, which stays and refuses.
    """

    __slots__ = ("__weakref__", "lifetime", "number", "open", "payload", "started_at", "table", "users")

    def __init__(self, lifetime: Lifetime, number: int) -> None:
        self.lifetime = lifetime
        self.number = number
        self.open = False
        self.started_at = 0
        self.users: dict[Any, None] = {}
        self.payload: Any = None
        self.table: Any = None

    def run(self, what: str, function: Callable[..., T], *args: Any) -> T:
        """Call ``function`` under the guard; ``what`` names the call where it hangs.

        Raises:
            NotInitialisedError: the generation is over, or ends (WSANOTINITIALISED 10093).
        """
        inside, ident = self.lifetime.inside, get_ident()
        outer = ident in inside
        try:
            # No lock: this thread's entry first, the look at the state after. The final cleanup
            # does it the other way round, so one of the two sees the other. An entry is not a
            # number: it cannot be lost or counted twice, wherever an interrupt strikes.
            inside[ident] = what
            if not self.open:
                raise self.refusal()
            return function(*args)
        finally:
            if not outer:
                inside.pop(ident, None)

    def refusal(self) -> NotInitialisedError:
        """Return the error for work that comes before the start or after the end."""
        lifetime = self.lifetime
        ending = lifetime.generation is self and lifetime.state is STOPPING
        why = "is stopping" if ending else "was stopped since; start it again"
        return NotInitialisedError(
            f"provider {lifetime.name!r} {lifetime.closed_because or why}", guid=lifetime.key
        )


class Reference:
    """One reference: `Lifetime.acquire` fills it, `Lifetime.release` empties it."""

    __slots__ = ("generation",)

    def __init__(self) -> None:
        self.generation: Generation | None = None


class Round:
    """A start or a stop in progress, run by the thread ``owner``; others wait for ``over``."""

    __slots__ = ("error", "generation", "over", "owner", "teardown", "waiting")

    def __init__(self, generation: Generation) -> None:
        self.generation = generation
        self.over = threading.Event()
        self.owner = get_ident()
        self.error: NspError | None = None
        self.waiting: list[Reference] = []
        self.teardown: Any = None


class Lifetime:
    """The account of one provider: its state, its references, and who is inside."""

    __slots__ = (
        "_lock",
        "_round",
        "closed_because",
        "count",
        "generation",
        "inside",
        "key",
        "name",
        "state",
        "waiting",
    )

    def __init__(self, name: str, key: Any) -> None:
        """Make a stopped one; ``name`` and ``key`` (its GUID) are for messages only."""
        self.name = name
        self.key = key
        self.count = 0
        self.state = STOPPED
        self.closed_because: str | None = None
        self.generation = Generation(self, 0)
        self.inside: dict[int, str] = {}
        self.waiting: dict[int, None] = {}
        self._round: Round | None = None
        # Reentrant only because such a lock knows its owner: who comes twice is refused.
        self._lock = threading.RLock()

    def reentered(self) -> bool:
        """Whether this call comes from inside the provider, or interrupted this account."""
        ident = get_ident()
        return (
            ident in self.inside
            or ident in self.waiting
            or self._lock._is_owned()  # type: ignore[attr-defined]
            or self in INHERITED.get()
        )

    def refuse_reentry(self, what: str) -> None:
        """Raise InProgressError (WSAEINPROGRESS 10036) for a call from inside."""
        if self.reentered():
            raise self.reentry(what)

    def reentry(self, what: str) -> InProgressError:
        """Return the error for a call from inside."""
        return InProgressError(
            f"{what} of provider {self.name!r} came from inside one of its own calls, or "
            "interrupted one on this thread; do it after that call has come back",
            guid=self.key,
        )

    # -- taking a reference --------------------------------------------------------------------

    def acquire(
        self, reference: Reference, start: Callable[[Generation], None], *, once: bool = False
    ) -> None:
        """Take a reference, starting the provider if nobody holds one.

        ``start`` runs with no lock held, on this thread; when it raises it has left nothing
        behind. Who comes meanwhile waits and shares the outcome. With ``once`` a reference is
        counted only by the one who starts: so the host starts a provider for itself.

        Raises:
            InProgressError: called from inside the provider (WSAEINPROGRESS 10036).
            NotReadyError: the provider is quarantined (WSASYSNOTREADY 10091).
            NotInitialisedError: the host is closed (WSANOTINITIALISED 10093).
            NspError: what ``start`` raised; for those who waited, a new error each.
        """
        self.refuse_reentry("startup")
        round = None
        try:
            while reference.generation is None:
                with self._lock:
                    round, mine = self._enter(reference, once)
                if mine:
                    assert round is not None
                    self._start(round, reference, start)
                elif round is not None:
                    self._share(round, reference)
        finally:
            del round  # an error of the start refers to this frame: no cycle

    def _enter(self, reference: Reference, once: bool) -> tuple[Round | None, bool]:
        """Look, under the lock, at what is to be done: nothing, wait, or start."""
        if self.closed_because is not None:
            raise NotInitialisedError(
                f"provider {self.name!r} {self.closed_because}", guid=self.key
            )
        if self.state is STARTED:
            self.count += 0 if once else 1
            reference.generation = self.generation
            return None, False
        if self.state is QUARANTINED:
            raise NotReadyError(
                f"provider {self.name!r} is quarantined because its last cleanup still hangs; it "
                "can be started again as soon as that has come back",
                guid=self.key,
            )
        if self.state is not STOPPED:
            assert self._round is not None
            if self.state is STARTING and not once:
                self._round.waiting.append(reference)
            return self._round, False
        self._round = Round(Generation(self, self.generation.number + 1))
        self.state = STARTING
        return self._round, True

    def _start(
        self, round: Round, reference: Reference, start: Callable[[Generation], None]
    ) -> None:
        """Run ``start`` once and account for it, whatever interrupts: others wait for that."""
        generation, ident = round.generation, get_ident()
        error: BaseException | None = None
        tried = False
        try:
            while not round.over.is_set():
                try:
                    if not tried:
                        tried = True
                        self.inside[ident] = "nsp_startup"
                        start(generation)
                    elif generation.payload is not None and self.closed_because is not None:
                        # The host was closed meanwhile: what started is stopped right here.
                        raise generation.payload.undo(generation)
                    self._settle(round, reference)
                except BaseException as caught:
                    error = error or caught
                    if isinstance(error, NspError):
                        round.error = error
            if error is not None:
                raise error
        finally:
            self.inside.pop(ident, None)
            del error, round  # the error refers to this frame: no cycle

    def _settle(self, round: Round, reference: Reference) -> None:
        """Leave the state STARTING, to whichever side; the only place that does."""
        generation = round.generation
        with self._lock:
            if generation.payload is not None and self.closed_because is not None:
                return
            if self._round is round:
                self._round = None
                if generation.payload is None:
                    self.state = STOPPED if self.closed_because is None else CLOSED
                else:
                    # Who waited gets the reference here and now: otherwise a quick user could
                    # stop the provider again before they have woken up.
                    for other in (reference, *round.waiting):
                        other.generation = generation
                        self.count += 1
                    generation.started_at = next(_starts)
                    self.generation = generation
                    self.state = STARTED
                    generation.open = True
        round.over.set()

    def _share(self, round: Round, reference: Reference) -> None:
        """Wait for a start or a stop that another thread runs, and share a start's outcome."""
        try:
            self.wait(round.over, None)
            if round.error is not None:
                from copy import copy

                raise copy(round.error) from round.error
        finally:
            with self._lock:
                if reference in round.waiting:
                    round.waiting.remove(reference)
            del round

    def wait(self, event: threading.Event, seconds: float | None) -> bool:
        """Wait for ``event``; who comes on this thread meanwhile (a signal) is refused."""
        ident = get_ident()
        try:
            self.waiting[ident] = None
            return event.wait(seconds)
        finally:
            self.waiting.pop(ident, None)

    # -- giving a reference back ---------------------------------------------------------------

    def release(self, reference: Reference | None, stop: Callable[..., None]) -> bool:
        """Give one reference back, that one or whichever; True when it was the last.

        For the last, ``stop(round)`` runs with no lock held. It ends the round with `stopped` or
        `quarantine`; when it is interrupted before, it is called once more, with the interrupt.

        Raises:
            InProgressError: called from inside the provider (WSAEINPROGRESS 10036).
            NotInitialisedError: there is no reference (WSANOTINITIALISED 10093).
            NspError: what ``stop`` raised.
        """
        self.refuse_reentry("cleanup")
        try:
            with self._lock:
                if reference is not None:
                    generation, reference.generation = reference.generation, None
                    if generation is not self.generation or self.state is not STARTED:
                        return False
                elif self.state is not STARTED:
                    why = self.closed_because or (
                        "is not started: there is no reference to give back; match each startup "
                        "with one cleanup"
                    )
                    raise NotInitialisedError(f"provider {self.name!r} {why}", guid=self.key)
                if self.count > 1:
                    self.count -= 1
                    return False
                round = self._stopping()
            stop(round)
        except BaseException as caught:
            self._stop_after_all(stop, caught)
            raise
        return True

    def refuse_starts(self, because: str) -> None:
        """Refuse all starts from now on; one that is under way is undone by its own thread."""
        with self._lock:
            self.closed_because = because
            if self.state is STOPPED:
                self.state = CLOSED

    def settled(self, seconds: float) -> bool:
        """Wait, at most that long, for a start or stop under way; False if it still is."""
        round = self._round
        return round is None or self.state is QUARANTINED or self.wait(round.over, seconds)

    def close(self, because: str, stop: Callable[..., None]) -> None:
        """Refuse all starts and, if the provider is started, stop it, whoever holds it.

        Raises:
            NspError: what ``stop`` raised.
        """
        self.refuse_starts(because)
        try:
            with self._lock:
                if self.state is not STARTED:
                    return
                round = self._stopping()
            stop(round)
        except BaseException as caught:
            self._stop_after_all(stop, caught)
            raise

    def _stopping(self) -> Round:
        round = Round(self.generation)
        self._round = round
        self.count = 0
        self.state = STOPPING
        self.generation.open = False
        return round

    def _stop_after_all(self, stop: Callable[..., None], caught: BaseException) -> None:
        """Run a stop that was decided on and then interrupted before it was under way."""
        round = self._round
        if round is not None and round.owner == get_ident() and not round.over.is_set():
            stop(round, caught)

    def stopped(self, round: Round) -> None:
        """End a round of stopping; also of one that was quarantined."""
        with self._lock:
            if self._round is round:
                self._round = None
                self.state = STOPPED if self.closed_because is None else CLOSED
        round.over.set()

    def quarantine(self, round: Round) -> bool:
        """Let go of a stop that hangs, until it has come back; False if it just has."""
        with self._lock:
            if self._round is not round:
                return False
            self.state = QUARANTINED
        round.over.set()
        return True

    def forget(self, because: str) -> object:
        """Void everything in a forked child; the lock is replaced, never taken.

        Returns what was under way, for the child to keep.
        """
        self._lock = threading.RLock()
        self.closed_because = because
        self.state = CLOSED
        self.count = 0
        self.generation.open = False
        round, self._round = self._round, None
        self.inside.clear()
        self.waiting.clear()
        return round
