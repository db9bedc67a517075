"""The leases of one registration: begun together, ended together, side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nspkit._calls import (
    LACKING,
    PATIENCE,
    Call,
    alone,
    errors_of,
    failure_of,
    side_by_side,
)
from nspkit._jobs import UPKEEP
from nspkit._lease import Lease
from nspkit._tenure import PENDING
from nspkit._upkeep import HOOK
from nspkit.errors import InProgressError, NspError

if TYPE_CHECKING:
    from collections.abc import Callable

    from nspkit._account import Account
    from nspkit._constants import Namespace
    from nspkit._model import Service
    from nspkit._tenure import Terms


class Leases:
    """The state of a registration, one lease a provider; the `Registration` is its face."""

    __slots__ = ("_directed", "_terms", "all")

    def __init__(self, terms: Terms, *, directed: bool) -> None:
        """Make one without leases; ``directed`` at one provider, its own error is raised."""
        self._terms = terms
        self._directed = directed
        self.all: list[Lease] = []

    @property
    def service(self) -> Service:
        """What is registered."""
        return self._terms.service

    @property
    def over(self) -> bool:
        """Whether nothing is left to be done."""
        return all(lease.over for lease in self.all)

    # -- the begin -----------------------------------------------------------------------------

    def begin(self, accounts: list[Account], namespace: Namespace, seconds: float | None) -> None:
        """Register at these providers; what could not be is tried again, where that is of use.

        Raises:
            NspError: no provider has it; nothing is left of it anywhere.
            KeyboardInterrupt: as it came, after the same.
        """
        meant = None if self._directed else namespace
        self.all = [Lease(account, self._terms, meant) for account in accounts]
        try:
            if self._terms.ttl is not None:
                for lease in self.all:
                    self._terms.renewals.add(lease)
            if not self._directed:
                self._begin_everywhere(seconds)
            elif seconds is None:
                self.all[0].register()
            else:
                turn = Turn(self.all[0], lambda lease, _turn: lease.register())
                alone(self._terms.workers, turn, seconds)
        except BaseException as error:
            self._roll_back(error)
            raise

    def _begin_everywhere(self, seconds: float | None) -> None:
        def begin(lease: Lease, _turn: Call) -> Any:
            if not lease.is_asked():
                return LACKING
            held = lease.account.held_back()
            if held is not None:
                lease.fail(held)
                raise held
            lease.register()
            return None

        for lease in self.all:
            if lease.account.lifetime.reentered():
                lease.drop(lease.account.lifetime.reentry("a registration"))
        outcomes: list[Any] = [lease.error for lease in self.all if lease.over]
        turns = [Turn(lease, begin) for lease in self.all if not lease.over]
        for turn in turns:
            turn.lease.job = turn
        answers = side_by_side(self._terms.workers, turns, seconds)
        for turn, outcome in zip(turns, answers, strict=True):
            self._take_note(turn, outcome)
            outcomes.append(outcome)
        errors_of("register it", HOOK, outcomes)

    def _take_note(self, turn: Turn, outcome: Any) -> None:
        lease = turn.lease
        if isinstance(outcome, NspError):
            if self._terms.ttl is None:
                lease.drop(outcome)
            elif lease.state is PENDING and lease.error is None:
                # It got no turn, or is not back yet; then it says itself how it ends.
                lease.fail(outcome, late=turn if turn.expired and turn.started else None)

    def _roll_back(self, error: BaseException) -> None:
        """Take back what is there, waiting for no worker; what that raises goes with ``error``."""
        self._mark()
        for lease in reversed(self.all):
            failure = lease.release(lambda: False)
            if failure is not None:
                error.add_note(f"and while taking it back: {failure}")

    # -- the end -------------------------------------------------------------------------------

    def take_back(self, seconds: float | None) -> None:
        """End it everywhere, newest first, and wait for that.

        Raises:
            InProgressError: it came from inside a provider (WSAEINPROGRESS 10036); it will be
                taken back as soon as somebody comes by.
            NspError: it could not be taken back, or not in time; all errors are in ``errors``.
        """
        left = [lease for lease in reversed(self.all) if not lease.over]
        self._mark()
        try:
            self._terms.renewals.refuse_reentry()
            for lease in left:
                lease.account.lifetime.refuse_reentry("the end of a registration")
        except InProgressError:
            self.abandon()
            raise
        if self._directed and seconds is None:
            failures: list[Any] = [lease.release(lambda: True) for lease in left]
        else:
            failures = self._release_side_by_side(left, seconds)
        try:
            if any(failures):
                raise failure_of("take it back", HOOK, failures)
        finally:
            failures.clear()  # an error that is raised refers to this frame: no cycle

    def _release_side_by_side(self, left: list[Lease], seconds: float | None) -> list[Any]:
        def release(lease: Lease, turn: Call) -> NspError | None:
            return lease.release(lambda: not turn.stopped)

        turns = [LastTurn(lease, release) for lease in left]
        failures = list(side_by_side(self._terms.workers, turns, seconds))
        for place, turn in enumerate(turns):
            if not turn.started and not turn.expired:
                # No thread was to be had: the end is worth more than its time limit.
                failures[place] = turn.lease.release(lambda: False)
        return failures

    def close(self) -> None:
        """Do what was left to be done later; see `take_back`."""
        self.take_back(PATIENCE)

    def _mark(self) -> None:
        """End all of them before any is taken back, so that nothing is renewed meanwhile."""
        for lease in self.all:
            lease.ended = True

    def abandon(self) -> None:
        """Let it go: whoever comes by takes it back; called by a finaliser, so it only rings."""
        for lease in self.all:
            lease.abandon()


class Turn(Call):
    """One lease's turn on a worker."""

    __slots__ = ("lease",)

    def __init__(self, lease: Lease, function: Callable[[Lease, Call], Any]) -> None:
        """Make one for that lease."""
        super().__init__(lease.account, HOOK, lambda turn: function(lease, turn))
        self.lease = lease

    @property
    def generation(self) -> Any:
        """The round of the provider's life that it is in; None before it was begun."""
        return self.lease.generation if self.started else None


class LastTurn(Turn):
    """The turn of a lease at its end, which must not wait for lookups that nobody reads."""

    __slots__ = ()

    lane = UPKEEP
