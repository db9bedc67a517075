"""States, the count of references, and the guard; it knows neither pluggy nor GUIDs.

One `Lifetime` belongs to one provider of one host and lives as long as the host. It walks
``stopped → starting → started → stopping → stopped``; each time round is a `Generation`. State
and count change only here, under one lock that is held for nothing else: starting and stopping
themselves run without it.

Who is inside the provider is kept by thread, in `Occupied`: that is what the final cleanup waits
for, and how a call back from inside is recognised.
"""

from __future__ import annotations

from _thread import RLock, get_ident
from itertools import count as counter
from typing import Any

from nspkit._generation import (
    CLOSED,
    QUARANTINED,
    STARTED,
    STARTING,
    STARTING_IN,
    STOPPED,
    STOPPING,
    Generation,
    Occupied,
    Reference,
    Round,
)
from nspkit.errors import NotInitialisedError, NotReadyError, NspError

_starts = counter(1)


class Lifetime(Occupied):
    """The account of one provider: its state, its references, and who is inside."""

    __slots__ = ("closed_because", "count", "generation", "state")

    def __init__(self, name: str, key: Any) -> None:
        """Make a stopped one; ``name`` and ``key`` (its GUID) are for messages only."""
        super().__init__(name, key)
        self.count = 0
        self.state = STOPPED
        self.closed_because: str | None = None
        self.generation = Generation(self, 0)

    # -- taking a reference --------------------------------------------------------------------

    def acquire(self, reference: Reference, starter: Any, *, once: bool = False) -> Generation:
        """Take a reference, starting the provider if nobody holds one.

        ``starter.start(generation)`` runs with no lock held, on this thread; when it raises it has
        left nothing behind. Who comes meanwhile waits and shares the outcome. With ``once`` a
        reference is counted only by the one who starts: so the host starts a provider for itself.

        Raises:
            InProgressError: called from inside the provider (WSAEINPROGRESS 10036).
            NotReadyError: the provider is quarantined (WSASYSNOTREADY 10091).
            NotInitialisedError: the host is closed (WSANOTINITIALISED 10093).
            NspError: what the start raised; for those who waited, a new error each.
        """
        ident = get_ident()
        if ident in self.inside or ident in self.barred:
            raise self.reentry("startup")
        # What is called most. A signal handler that strikes while this thread holds the lock may
        # come this far too: nothing is called in here, so it finds all as it should be.
        with self._lock:
            if self.state is STARTED and self.closed_because is None:
                self.count += 0 if once else 1
                generation = reference.generation = self.generation
                return generation
        return self._acquire_at_length(reference, starter, once=once)

    def _acquire_at_length(self, reference: Reference, starter: Any, *, once: bool) -> Generation:
        self.refuse_reentry("startup")
        round = None
        try:
            while reference.generation is None:
                with self._lock:
                    round, mine = self._enter(reference, once=once)
                if mine:
                    assert round is not None
                    self._start(round, reference, starter)
                elif round is not None:
                    self._share(round, reference)
            return reference.generation
        except BaseException as caught:
            self._start_after_all(reference, starter, caught)
            raise
        finally:
            del round  # an error of the start refers to this frame: no cycle

    def _enter(self, reference: Reference, *, once: bool) -> tuple[Round | None, bool]:
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
        self, round: Round, reference: Reference, starter: Any, error: BaseException | None = None
    ) -> None:
        """Run the start once and account for it, whatever interrupts: others wait for that."""
        generation, ident, token = round.generation, get_ident(), STARTING_IN.set(round.waits)
        try:
            while not round.over.rung:
                try:
                    self.inside[ident] = "nsp_startup"
                    if not round.tried:
                        round.tried = True
                        starter.start(generation)
                    elif generation.payload is not None and self.closed_because is not None:
                        # The host was closed meanwhile: what started is stopped right here.
                        raise generation.payload.undo(generation)
                    self._settle(round, reference)
                except BaseException as caught:
                    if isinstance(caught, NspError):
                        round.error = round.error or caught
                    # Of an error and an interrupt the interrupt is raised.
                    if error is None or not isinstance(caught, Exception):
                        caught.__cause__, error = caught.__cause__ or error, caught
            if error is not None:
                raise error
        finally:
            self.inside.pop(ident, None)
            STARTING_IN.reset(token)
            del error, round  # the error refers to this frame: no cycle

    def _start_after_all(self, reference: Reference, starter: Any, caught: BaseException) -> None:
        """Account for a start that was interrupted on its way, or stop waiting for another's."""
        round = self._round
        try:
            if round is None or round.over.rung:
                return
            if round.owner == get_ident():
                round.tried = True
                self._start(round, reference, starter, caught)
            with self._lock:
                if reference in round.waiting:
                    round.waiting.remove(reference)
        finally:
            del round, caught  # the error refers to this frame: no cycle

    def _settle(self, round: Round, reference: Reference) -> None:
        """Leave the state STARTING, to whichever side; the only place that does."""
        generation = round.generation
        with self._lock:
            if self._round is round:
                failed, closed = generation.payload is None, self.closed_because is not None
                if closed and not failed:
                    return
                # Who waited gets the reference here and now: otherwise a quick user could stop
                # the provider again before they have woken up.
                granted = [] if failed else [reference, *round.waiting]
                for other in granted:
                    other.generation = generation
                held = len(granted)
                generation.started_at = next(_starts)
                # Nothing is called from here on: it happens as one, or, interrupted, once more.
                if not failed:
                    self.generation = generation
                    generation.open = True
                self.count = held
                self.state = (CLOSED if closed else STOPPED) if failed else STARTED
                self._round = None
        round.over.ring()

    def _share(self, round: Round, reference: Reference) -> None:
        """Wait for a start or a stop that another thread runs, and share a start's outcome."""
        try:
            self.wait(round, None)
            if round.error is not None:
                from copy import copy

                raise copy(round.error) from round.error
        finally:
            del round

    # -- giving a reference back ---------------------------------------------------------------

    def release(self, reference: Reference | None, stopper: Any, timeout: float | None) -> bool:
        """Give one reference back, that one or whichever; True when it was the last.

        For the last, ``stopper.stop(timeout, round)`` runs with no lock held. It ends the round
        with `stopped` or `quarantine`; interrupted before, it is called again, with the interrupt.

        Raises:
            InProgressError: called from inside the provider (WSAEINPROGRESS 10036).
            NotInitialisedError: there is no reference (WSANOTINITIALISED 10093).
            NspError: what the stop raised.
        """
        ident = get_ident()
        if ident in self.inside or ident in self.barred:
            raise self.reentry("cleanup")
        with self._lock:  # as in `acquire`, nothing is called in here
            if self.state is STARTED and self.count > 1:
                if reference is not None:
                    generation, reference.generation = reference.generation, None
                    if generation is not self.generation:
                        return False
                self.count -= 1
                return False
        self.refuse_reentry("cleanup")
        try:
            with self._lock:
                round = self._give_back(reference)
            if round is None:
                return False
            stopper.stop(timeout, round)
        except BaseException as caught:
            self._stop_after_all(stopper, timeout, caught)
            raise
        return True

    def _give_back(self, reference: Reference | None) -> Round | None:
        """Give a reference back, under the lock; the round of the stop if it was the last."""
        round = Round(self.generation)
        # Looked at after the last call in here: a signal handler may have taken a reference, and
        # an interrupt must not lose the one that is given back.
        if reference is not None:
            generation, reference.generation = reference.generation, None
            if generation is not self.generation or self.state is not STARTED:
                return None
        elif self.state is not STARTED:
            raise self._surplus()
        if self.count > 1:
            self.count -= 1
            return None
        self._round = round
        self.count = 0
        self.state = STOPPING
        self.generation.open = False
        return round

    def _surplus(self) -> NotInitialisedError:
        surplus = "is not started: no reference is left; match each startup with one cleanup"
        why = self.closed_because or surplus
        return NotInitialisedError(f"provider {self.name!r} {why}", guid=self.key)

    def refuse_starts(self, because: str) -> None:
        """Refuse all starts from now on; one that is under way is undone by its own thread."""
        with self._lock:
            self.closed_because = because
            if self.state is STOPPED:
                self.state = CLOSED

    def settled(self, seconds: float) -> bool:
        """Wait, at most that long, for a start or stop under way; False if it still is."""
        round = self._round
        return round is None or self.state is QUARANTINED or self.wait(round, seconds)

    def close(self, because: str, stopper: Any, timeout: float | None) -> None:
        """Refuse all starts and, if the provider is started, stop it, whoever holds it."""
        self.refuse_starts(because)
        try:
            with self._lock:
                if self.state is not STARTED:
                    return
                self.count = 1  # whoever holds the others
                round = self._give_back(None)
            stopper.stop(timeout, round)
        except BaseException as caught:
            self._stop_after_all(stopper, timeout, caught)
            raise

    def _stop_after_all(self, stopper: Any, timeout: float | None, caught: BaseException) -> None:
        """Run a stop that was decided on and then interrupted before it was under way."""
        round = self._round
        if round is not None and round.owner == get_ident() and not round.over.rung:
            stopper.stop(timeout, round, caught)

    def stopped(self, round: Round) -> bool:
        """End a round of stopping; True if it was quarantined meanwhile."""
        with self._lock:
            quarantined = self._round is round and self.state is QUARANTINED
            if self._round is round:
                self._round = None
                self.state = STOPPED if self.closed_because is None else CLOSED
        round.over.ring()
        return quarantined

    def quarantine(self, round: Round) -> bool:
        """Let go of a stop that hangs, until it has come back; False if it just has."""
        with self._lock:
            if self._round is not round:
                return False
            self.state = QUARANTINED
        round.over.ring()
        return True

    def forget(self, because: str) -> object:
        """Void everything in a forked child; the lock is replaced, never taken.

        Returns what was under way, for the child to keep.
        """
        self._lock = RLock()
        self.closed_because = because
        self.state = CLOSED
        self.count = 0
        self.generation.open = False
        self.inside.clear()
        self.barred.clear()
        round, self._round = self._round, None
        return round
