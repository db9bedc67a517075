"""etcd's JSON gateway: one call, at the first of the servers that can answer it, in its time.

Every call may be carried out twice: a server that is lost before it has answered may have done
what it was asked for, and the next one is asked for the same. Who calls has to see to it that this
does no harm; `Answer.doubtful` says that it may have happened.
"""

from __future__ import annotations

import json
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from nspkit_etcd import _failures
from nspkit_etcd._exchange import Exchange, FailedError, Kind

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    import httpx

    from nspkit_etcd._lanes import Lane
    from nspkit_etcd._waiter import Waiter

T = TypeVar("T")

_PAUSE = 0.05
"""Seconds before servers are asked again that are there, but cannot do it at the moment."""


class Answer(NamedTuple):
    """What etcd answered.

    Attributes:
        body: The message.
        doubtful: Whether an earlier attempt may have been carried out too.
    """

    body: dict[str, Any]
    doubtful: bool

    @property
    def revision(self) -> int:
        """The revision of the whole store that it was answered at."""
        return int(self.body.get("header", {}).get("revision", 0))

    @property
    def succeeded(self) -> bool:
        """Whether what a transaction compared was so."""
        return bool(self.body.get("succeeded"))


class Client:
    """The servers of one started provider; any thread may call."""

    def __init__(
        self,
        endpoints: tuple[str, ...],
        *,
        timeout: float = 5.0,
        user: str | None = None,
        password: str | None = None,
        context: ssl.SSLContext | None = None,
    ) -> None:
        """Connect to nothing yet.

        Args:
            endpoints: The servers, each as ``host:port``.
            timeout: How long a call may take, in seconds.
            user: Whose rights to use; None: nobody's.
            password: The user's password.
            context: How to make sure of the servers; None speaks in clear text.
        """
        self.location = f"etcd at {', '.join(endpoints)}"
        self._timeout = timeout
        self._endpoints = endpoints
        self._first = 0  # the place of the server that answered last
        self._exchange = Exchange(
            self.location, endpoints, user=user, password=password, context=context
        )

    def close(self) -> None:
        """Close the idle connections; no server is asked or told anything."""
        self._exchange.close()

    def heard(self, endpoint: str) -> float:
        """Return when that server answered last, on the monotonic clock."""
        return self._exchange.heard[endpoint]

    def forget_token(self) -> None:
        """Log in again for the next call."""
        self._exchange.forget()

    def call(
        self, path: str, body: dict[str, Any], waiter: Waiter, *, at: str | None = None
    ) -> Answer:
        """Send one request and return its answer.

        Args:
            path: What is called, such as ``kv/range``.
            body: The message.
            waiter: Who waits, and until when.
            at: The one server to ask; None asks whichever can answer.

        Raises:
            TryAgainError: No server can answer now, or in time (WSATRY_AGAIN 11002).
            NspError: It is refused.
            CompactedError: It asks for a revision that is not kept.
            LeaseGoneError: It names a lease that is not there.
            LeaseThereError: It makes a lease that is there.
        """
        content = json.dumps(body).encode()
        answer, doubtful = self._somewhere(
            lambda endpoint, until: self._exchange.call(
                endpoint, f"/v3/{path}", content, waiter, until
            ),
            waiter,
            self._order() if at is None else [at],
        )
        return Answer(answer, doubtful)

    def open(self, path: str, body: dict[str, Any], waiter: Waiter) -> tuple[Lane, httpx.Response]:
        """Send one request and return its connection and the response, whose body goes on.

        The waiter waits there until the caller has it leave; then both are to be closed.

        Raises:
            TryAgainError: No server can answer now, or in time (WSATRY_AGAIN 11002).
            NspError: It is refused.
        """
        content = json.dumps(body).encode()
        opened, _ = self._somewhere(
            lambda endpoint, until: self._exchange.open(
                endpoint, f"/v3/{path}", content, waiter, until
            ),
            waiter,
            self._order(),
        )
        return opened

    def _order(self) -> list[str]:
        first = self._first
        return [*self._endpoints[first:], *self._endpoints[:first]]

    def _somewhere(
        self, work: Callable[[str, float], T], waiter: Waiter, order: list[str]
    ) -> tuple[T, bool]:
        """Do it at one server after the other, and once more where it may go better then."""
        if waiter.is_over():
            raise _failures.too_slow(self.location, "")
        until = waiter.until(self._timeout)
        failures: dict[str, FailedError] = {}
        left = list(order)
        doubtful = False
        while left:
            for endpoint in tuple(left):
                # What one that hangs takes must leave something for the others.
                share = monotonic() + max(0.0, until - monotonic()) / len(left)
                try:
                    done = work(endpoint, share)
                except FailedError as failure:
                    doubtful = doubtful or failure.sent
                    before = failures.get(endpoint)
                    over = waiter.is_over() or monotonic() >= until
                    if before is None or not over:  # else what it said before is worth more
                        failures[endpoint] = failure
                    if over:
                        raise _failures.too_slow(self.location, _reasons(failures)) from failure
                    if self._is_lost(endpoint, before, failure):
                        left.remove(endpoint)
                else:
                    self._note(endpoint, order)
                    return done, doubtful
            if left:
                waiter.wait(min(_PAUSE, max(0.0, until - monotonic())))
        raise _failures.away(self.location, _reasons(failures))

    def _is_lost(self, endpoint: str, before: FailedError | None, now: FailedError) -> bool:
        """Say whether a server need not be asked once more."""
        if now.kind is not Kind.BROKEN:
            return now.kind is Kind.LOST
        self._exchange.renew(endpoint)
        return before is not None and before.kind is Kind.BROKEN

    def _note(self, endpoint: str, order: list[str]) -> None:
        """Ask this server first from now on, unless only this one could be asked."""
        if len(order) > 1:
            self._first = self._endpoints.index(endpoint)


def _reasons(failures: dict[str, FailedError]) -> str:
    if len(failures) == 1:
        return str(*failures.values())
    return "; ".join(f"{endpoint}: {failure}" for endpoint, failure in failures.items())
