"""The end of a host: closed by its user, by the exit of the interpreter, or void after a fork."""

from __future__ import annotations

from _thread import get_ident
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any

from nspkit._bell import Bell
from nspkit._generation import STARTED, STARTING, STOPPING
from nspkit._lock import OwnedLock
from nspkit._teardown import combine, run_all
from nspkit.errors import CleanupTimeoutError, InProgressError, NotInitialisedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nspkit._account import Account
    from nspkit._renewals import Renewals
    from nspkit._workers import Workers

CLOSED = "belongs to a host that was closed; make another host"
FORKED = (
    "belongs to a host of the parent process, which a forked child must not use; make a host "
    "of its own in the child"
)


class Closing:
    """Whether a host is open, and how it is closed, once."""

    __slots__ = (
        "_accounts",
        "_budget",
        "_lock",
        "_over",
        "_renewals",
        "_workers",
        "because",
        "owner",
    )

    def __init__(
        self, accounts: Mapping[Any, Account], workers: Workers, renewals: Renewals, budget: float
    ) -> None:
        """Make one for an open host with these accounts."""
        self._accounts = accounts
        self._workers = workers
        self._renewals = renewals
        self._budget = budget
        self._lock = OwnedLock("the closing of a host")
        self._over: Bell | None = None
        self.owner = 0
        self.because: str | None = None

    def refuse(self) -> None:
        """Raise NotInitialisedError (10093) if the host is not open any more."""
        if self.because is not None:
            raise NotInitialisedError(f"this call {self.because}")

    def close(self, timeout: float | None) -> None:
        """Close it, or wait for who does.

        Raises:
            InProgressError: called from inside a provider (WSAEINPROGRESS 10036).
            CleanupTimeoutError: a start or a cleanup did not come back (WSAETIMEDOUT 10060).
            NspError: the one error of the cleanups; CleanupError for several.
        """
        ident = get_ident()
        if self.owner == ident or any(
            account.lifetime.reentered() for account in list(self._accounts.values())
        ):
            raise InProgressError(
                "host.close() came from inside a call of one of its providers, or interrupted "
                "one; close the host after that has come back"
            )
        budget = self._budget if timeout is None else timeout
        stop = partial(self._stop_all, monotonic() + budget, budget, timeout)
        errors: list[BaseException] = []
        over, done = Bell(), False
        while not done:
            try:
                with self._lock:
                    if self._over is None:
                        self.owner, self._over = ident, over
                if self._over is not over:
                    self._over.wait()
                    return
                # Each step may be done twice, so an interrupt is kept, and then all goes on.
                stop(errors)
                self._workers.dismiss(monotonic() + 1.0)
                self._workers.join(monotonic() + 1.0)
                over.ring()
                done = True
            except BaseException as caught:
                if self._over is not over:
                    raise
                errors.append(caught)
        self.owner = 0
        raise_combined(errors)

    def _stop_all(
        self, until: float, budget: float, timeout: float | None, errors: list[BaseException]
    ) -> None:
        """Stop all in reverse order of their start, those that are just starting first."""
        accounts = self._refuse_starts(errors)
        late = self._await_all(accounts, until, budget, errors)
        while started := in_reverse_order(accounts):  # again if an interrupt came before a stop
            run_all([partial(one.close, CLOSED, timeout) for one in started], errors)
        # Another thread may have begun to stop one before it was its turn here.
        rest = [one for one in accounts if one not in late]
        self._await_all(rest, monotonic() + budget, budget, errors)

    def _refuse_starts(self, errors: list[BaseException]) -> list[Account]:
        self.because = self.because or CLOSED
        accounts = list(self._accounts.values())
        run_all([partial(one.lifetime.refuse_starts, CLOSED) for one in accounts], errors)
        refusal = NotInitialisedError(f"this registration {self.because}")
        run_all([partial(self._renewals.close, refusal)], errors)
        run_all([partial(self._workers.close, self.because)], errors)
        return accounts

    def _await_all(
        self, accounts: list[Account], until: float, budget: float, errors: list[BaseException]
    ) -> list[Account]:
        """Wait for the starts and stops under way; returns those that did not come back."""
        run_all([partial(self._await, one, until, budget) for one in accounts], errors)
        return [one for one in accounts if one.lifetime.state in (STARTING, STOPPING)]

    def _await(self, account: Account, until: float, budget: float) -> None:
        """Wait for a start, or a stop, that another thread is running."""
        lifetime = account.lifetime
        if not lifetime.settled(max(0.0, until - monotonic())):
            then = "stopped by the thread that started it" if lifetime.state is STARTING else "left"
            raise CleanupTimeoutError(
                f"provider {account.entry.name!r} was still {lifetime.state} after {budget:g} s; "
                f"it is {then} when that comes back",
                guid=lifetime.key,
            )

    def close_at_exit(self) -> None:
        """Close it on the exiting thread, where no other can be started.

        Raises:
            NspError: as `close`.
        """
        if self._over is not None and self._over.rung:
            return  # what did not come back then has been told, and had its time
        errors: list[BaseException] = []
        until = monotonic() + self._budget
        # Another thread may be closing it at this moment, and would end with the process.
        accounts = self._refuse_starts(errors)
        late = self._await_all(accounts, until, self._budget, errors)
        while started := in_reverse_order(accounts):
            run_all([partial(one.close_at_exit, CLOSED) for one in started], errors)
        rest = [one for one in accounts if one not in late]
        self._await_all(rest, monotonic() + self._budget, self._budget, errors)
        raise_combined(errors)

    def forget(self) -> list[Any]:
        """Void everything in a forked child; returns what must never be dropped there."""
        self.because = FORKED
        self._lock = OwnedLock("the closing of a host")
        self._over = Bell()
        self._over.ring()
        self.owner = 0
        self._workers.forget(FORKED)
        pinned = self._renewals.forget(NotInitialisedError(f"this registration {FORKED}"))
        return [pinned, *(account.forget(FORKED) for account in list(self._accounts.values()))]


def in_reverse_order(accounts: list[Account]) -> list[Account]:
    """Return the started ones, last started first."""
    started = [account for account in accounts if account.lifetime.state is STARTED]
    return sorted(started, key=lambda account: account.lifetime.generation.started_at, reverse=True)


def raise_combined(errors: list[BaseException]) -> None:
    """Raise one error for all, if there are any."""
    error = combine("closing the host", errors, None)
    try:
        if error is not None:
            raise error
    finally:
        del error, errors
