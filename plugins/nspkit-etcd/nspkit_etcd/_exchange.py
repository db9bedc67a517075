"""One request at one server: sent with a token, answered, or failed in a way that says how."""

from __future__ import annotations

import json
from enum import Enum
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar

import httpx

from nspkit.registry import Secret
from nspkit_etcd import _failures
from nspkit_etcd._answers import message_in, refusal_in
from nspkit_etcd._failures import NoAuthError, Refusal
from nspkit_etcd._lanes import Lanes, SlowError

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from nspkit_etcd._lanes import Lane
    from nspkit_etcd._waiter import Waiter

T = TypeVar("T")

_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


_TURN = 0.02
"""Seconds after which who waits for another to log in looks again."""


class Kind(Enum):
    """How an attempt failed."""

    LOST = "lost"
    """The server is not there, or too slow: ask another."""

    BROKEN = "broken"
    """The connection was closed: the server may have ended, or have found it idle for too long."""

    PASSING = "passing"
    """The server is there, but cannot do it now: it has no leader, perhaps."""


class FailedError(Exception):
    """An attempt failed; another server, or this one later, may do better."""

    def __init__(self, reason: str, kind: Kind, *, sent: bool) -> None:
        """Say why, how, and whether what was asked for may have been done."""
        super().__init__(reason)
        self.kind = kind
        self.sent = sent


class _Hidden(bytes):
    """What no traceback shows, not even one with the values of variables."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "b'…'"


class Exchange:
    """The connections to all servers, and the token that they know the user by."""

    def __init__(
        self,
        location: str,
        endpoints: tuple[str, ...],
        *,
        user: str | None,
        password: str | None,
        context: ssl.SSLContext | None,
    ) -> None:
        """Connect to nothing yet."""
        self._location = location
        self._lanes = Lanes(endpoints, context)
        self._user, self._password = user, password
        self._token: str | None = None if user else ""
        self._turn: dict[str, object] = {}
        self.heard = dict.fromkeys(endpoints, 0.0)
        """When each server has answered last, on the monotonic clock."""

    def renew(self, endpoint: str) -> None:
        """Close the idle connections to a server that has broken one: it may have been restarted.

        Each of them would break too, and a server that breaks all of them counts as away.
        """
        self._lanes.drop(endpoint)

    def close(self) -> None:
        """Close the idle connections; no server is asked or told anything."""
        self._lanes.close()

    def call(
        self, endpoint: str, path: str, content: bytes, waiter: Waiter, until: float
    ) -> dict[str, Any]:
        """Send one request, and return the message of its answer.

        Raises:
            FailedError: There was none, or none for now.
            NspError: It is refused.
        """

        def post(token: str) -> dict[str, Any] | Refusal:
            return self._post(endpoint, path, content, token, waiter, until)

        return self._with_token(endpoint, post, waiter, until)

    def open(
        self, endpoint: str, path: str, content: bytes, waiter: Waiter, until: float
    ) -> tuple[Lane, httpx.Response]:
        """Send one request, and return its connection and the response, whose body goes on.

        The waiter waits there until the caller has it leave; then both are to be closed.

        Raises:
            FailedError: There was none, or none for now.
            NspError: It is refused.
        """

        def send(token: str) -> tuple[Lane, httpx.Response] | Refusal:
            lane = self._lanes.take(endpoint)
            opened = False
            waiter.enter(lane)
            try:
                response = _translated(lambda: lane.send(path, content, token, until))
                if response.status_code != httpx.codes.OK:
                    text = _translated(response.read)
                    return refusal_in(response.status_code, text, self._location)
                self.heard[endpoint] = monotonic()
                opened = True
                return lane, response
            finally:
                if not opened:
                    waiter.leave(lane)
                    lane.close()

        return self._with_token(endpoint, send, waiter, until)

    def _with_token(
        self, endpoint: str, work: Callable[[str], T | Refusal], waiter: Waiter, until: float
    ) -> T:
        """Do it, once more with a new token if the server does not know the old one."""
        self._lanes.check()  # before the turn, which a forked child may find to be nobody's
        token = self._token_at(endpoint, waiter, until)
        outcome = work(token)
        if isinstance(outcome, Refusal) and outcome.wants_login() and self._user:
            self.forget(token)
            outcome = work(self._token_at(endpoint, waiter, until))
        if not isinstance(outcome, Refusal):
            return outcome
        if outcome.is_passing():
            raise FailedError(outcome.message, Kind.PASSING, sent=True)
        raise _failures.refused(outcome, self._location)

    def forget(self, token: str | None = None) -> None:
        """Log in again for the next request, unless somebody has done so since that token."""
        if self._user and token in (None, self._token):
            self._token = None

    def _token_at(self, endpoint: str, waiter: Waiter, until: float) -> str:
        token = self._token
        if token is not None:
            return token
        # One logs in for all: it costs the server a tenth of a second of its processor. No lock:
        # who waits for one cannot be cancelled, and an interrupt may leave it held for ever.
        own = object()
        try:
            while self._turn.setdefault("login", own) is not own:
                if waiter.is_over() or monotonic() >= until:
                    raise FailedError("it takes too long to log in", Kind.LOST, sent=False)
                waiter.wait(min(_TURN, max(0.0, until - monotonic())))
            token = self._token
            if token is None:
                token = self._token = self._log_in(endpoint, waiter, until)
            return token
        finally:
            if self._turn.get("login") is own:
                del self._turn["login"]

    def _log_in(self, endpoint: str, waiter: Waiter, until: float) -> str:
        content = _Hidden(json.dumps({"name": self._user, "password": self._password}).encode())
        outcome: dict[str, Any] | Refusal | FailedError
        try:
            outcome = self._post(endpoint, "/v3/auth/authenticate", content, "", waiter, until)
        except FailedError as failure:
            outcome = FailedError(str(failure), failure.kind, sent=False)
        if isinstance(outcome, FailedError):
            raise outcome  # here: below are frames that have the password
        if not isinstance(outcome, Refusal):
            return Secret(outcome.get("token", ""))
        if outcome.is_passing():
            raise FailedError(outcome.message, Kind.PASSING, sent=False)
        error = _failures.refused(outcome, self._location)
        if isinstance(error, NoAuthError):
            return ""  # whoever asks may do everything; if that changes, it says so
        raise error

    def _post(
        self, endpoint: str, path: str, content: bytes, token: str, waiter: Waiter, until: float
    ) -> dict[str, Any] | Refusal:
        lane = self._lanes.take(endpoint)
        done = False
        waiter.enter(lane)
        try:
            status, text = _translated(lambda: lane.post(path, content, token, until))
            done = True
        finally:
            if waiter.leave(lane) and done:
                self._lanes.give(lane)
            else:
                lane.close()
        self.heard[endpoint] = monotonic()
        return message_in(status, text, self._location)


def _translated(work: Callable[[], T]) -> T:
    """Do something with a connection; say how it failed."""
    try:
        return work()
    except _NOT_SENT as error:
        raise FailedError(str(error) or "no connection", Kind.LOST, sent=False) from error
    except UnicodeError as error:  # of a name that is none, by who resolves it
        raise FailedError(f"no such name: {error}", Kind.LOST, sent=False) from error
    except (httpx.TimeoutException, SlowError) as error:
        raise FailedError("no answer in time", Kind.LOST, sent=True) from error
    except httpx.TransportError as error:
        reason = str(error) or "the connection broke"
        raise FailedError(reason, Kind.BROKEN, sent=True) from error
