"""The one session with ZooKeeper: it is kept up, asked, and given up in time.

kazoo keeps requests that it cannot send for later, which may be long after whoever made them has
given up. So nothing is asked before there is a connection, and everything has a time limit.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from contextlib import suppress
from functools import partial
from itertools import islice
from time import monotonic
from typing import TYPE_CHECKING, Any

from kazoo.exceptions import CancelledError as Interrupted
from kazoo.exceptions import KazooException
from kazoo.handlers.threading import KazooTimeoutError
from kazoo.protocol.states import KazooState, KeeperState

from nspkit.errors import AccessDeniedError, NotInitialisedError, NotReadyError, TryAgainError
from nspkit_zookeeper._client import client_of
from nspkit_zookeeper._failures import LOST, reason_of, translated
from nspkit_zookeeper._handler import Handler

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from nspkit import Cancellation
    from nspkit.registry import Settings

    Begin = Callable[[], Any]

CLOSING = 1.0
"""Seconds that the session's end may take; a server that is away learns of it by its own clock."""

_BATCH = 200
"""So many requests are sent before the first answer is waited for."""


class Connection:
    """A session with one of several servers, from any thread.

    Attributes:
        location: Where it is, for messages.
        client: kazoo's client, for making requests.
    """

    def __init__(self, settings: Settings, session_timeout: float) -> None:
        """Make one that is not connected; what does the work is made by `open`.

        Raises:
            NotReadyError: A file for TLS cannot be read (WSASYSNOTREADY 10091).
        """
        self.location = f"zookeeper at {settings.shown}"
        self._timeout = settings.timeout
        self._pid = os.getpid()
        self._closed = self._refused = False
        self._lost_at: float | None = monotonic()
        self._waiting: deque[Any] = deque()
        self._reviving = threading.Lock()
        self.listeners: set[Callable[[], object]] = set()
        context = settings.ssl_context() if settings.tls else None
        attempt = session_timeout / len(settings.endpoints)
        self._handler = Handler(f"nspkit-zookeeper {settings.shown}", context, attempt)
        self._handler.on_end = self._release  # who waits has to start it again
        self.client = client_of(settings, session_timeout, self._handler)
        self._handler.has_requests = lambda: bool(self.client._queue)
        self.client.add_listener(self._heard)

    # -- the session -----------------------------------------------------------------------------

    def open(self) -> None:
        """Connect.

        Raises:
            NotReadyError: No server can be reached within the time limit (WSASYSNOTREADY 10091).
            AccessDeniedError: The server does not take the user (WSAEACCES 10013).
        """
        live = self.client.start_async()
        if live.wait(self._timeout):
            try:
                # A connection comes before the user is looked at.
                self.ask(partial(self.client.exists_async, "/"))
                return
            except TryAgainError:
                pass
            except KazooException as error:
                raise self.translated(error) from error
        self._check_taken()
        failure = self._handler.failure
        why = "nobody answers" if failure is None else reason_of(failure)
        raise NotReadyError(
            f"{self.location} cannot be reached within {self._timeout:g} s ({why}): start the "
            "server, or correct the setting 'endpoints'"
        )

    def close(self) -> None:
        """End the session, in about a second whatever the server does; a child leaves it alone."""
        if os.getpid() != self._pid:
            return
        self._closed = True
        self._handler.cut(CLOSING)
        try:
            with suppress(AttributeError):  # of a client whose start was interrupted
                self.client.stop()
        finally:
            self._handler.dispose(CLOSING)
            self.client.close()
            self.client.remove_listener(self._heard)
            self.listeners.clear()

    @property
    def session(self) -> int | None:
        """The number of the session; None while there is none."""
        known = self.client.client_id
        return None if known is None else known[0]

    def _heard(self, state: str) -> None:
        """Take note of a change; called on the client's own thread."""
        if state == KazooState.CONNECTED:
            self._lost_at, self._refused = None, False
            self._release()
            return
        if self.client.client_state == KeeperState.AUTH_FAILED:
            self._refused = True
        if self._lost_at is None:
            self._lost_at = monotonic()
        for listener in tuple(self.listeners):
            listener()

    def _release(self) -> None:
        """Have all who wait for a connection look again."""
        while self._waiting:
            self._waiting.popleft().set(True)

    # -- requests --------------------------------------------------------------------------------

    def until(self, waiter: Waiter | None = None) -> float:
        """Return until when a request that begins now may take."""
        left = None if waiter is None else waiter.remaining()
        return monotonic() + (self._timeout if left is None else min(left, self._timeout))

    def ask(self, begin: Begin, waiter: Waiter | None = None) -> Any:
        """Return the answer to a request that changes nothing; it may be made again.

        Raises:
            KazooException: What ZooKeeper says of the nodes.
            NspError: Anything else; see `translated`.
        """
        [(answer, error)] = self.ask_all((begin,), waiter)
        if error is not None:
            raise error
        return answer

    def ask_all(
        self, begins: Iterable[Begin], waiter: Waiter | None = None
    ) -> Iterator[tuple[Any, KazooException | None]]:
        """Yield the answer or the error of each of many requests, in their order.

        The next ones are under way while the answers to the last ones are read.
        """
        rest, waiter = iter(begins), waiter or Waiter()
        sent: list[tuple[Begin, Any]] = []
        while True:
            fresh = []
            if batch := list(islice(rest, _BATCH)):
                self.await_connected(self.until(waiter), waiter)
                fresh = [(begin, begin()) for begin in batch]
            until = self.until(waiter)
            for begin, pending in sent:
                yield self._answer(begin, pending, until, waiter)
            if not batch:
                return
            sent = fresh

    def _answer(
        self, begin: Begin, pending: Any, until: float, waiter: Waiter
    ) -> tuple[Any, KazooException | None]:
        while True:
            try:
                return self.wait(pending, until, waiter), None
            except LOST:
                # Another server may know: it is asked as soon as there is one.
                self.await_connected(until, waiter)
                pending = begin()
            except KazooException as error:
                return None, error

    def wait(self, pending: Any, until: float, waiter: Waiter | None = None) -> Any:
        """Return an answer when it is there.

        Raises:
            KazooException: What ZooKeeper says.
            TryAgainError: It does not come in time, or nobody waits any more (11002).
        """
        try:
            if waiter is not None:
                waiter.begin(pending)
            return pending.get(timeout=max(0.0, until - monotonic()))
        except (KazooTimeoutError, Interrupted) as error:
            raise self.translated(error) from error

    def await_connected(self, until: float, waiter: Waiter | None = None) -> None:
        """Come back when there is a connection.

        Raises:
            TryAgainError: There is none by then, or has been none for too long (11002).
            AccessDeniedError: The server does not take the user (WSAEACCES 10013).
            NotInitialisedError: This process is a forked child, or it is closed (10093).
        """
        self.check_here()
        while not self.client.connected:
            # Who has been away for long is not waited for by each one anew.
            lost_at = self._lost_at
            until = until if lost_at is None else min(until, lost_at + self._timeout)
            self._revive(until)
            pending = self._handler.async_result()
            self._waiting.append(pending)
            if self.client.connected or self._handler.ended:
                pending.set(True)  # it came between the two
            try:
                self.wait(pending, until, waiter)
            finally:
                with suppress(ValueError):  # it was released
                    self._waiting.remove(pending)
            self.check_here()

    def check_here(self) -> None:
        """See that it is this process's, and not closed.

        Raises:
            NotInitialisedError: It is not (WSANOTINITIALISED 10093).
        """
        if os.getpid() != self._pid:
            raise NotInitialisedError(
                f"the session with {self.location} is another process's, which this one was "
                "forked from: start a host of its own"
            )
        if self._closed:
            raise NotInitialisedError(f"the session with {self.location} is closed")

    def _revive(self, until: float) -> None:
        """Start a client again that has given up, as it does when the server refuses the user."""
        self._check_taken()
        if self._handler.ended and self._reviving.acquire(timeout=max(0.0, until - monotonic())):
            try:
                self._start_again()
            finally:
                self._reviving.release()

    def _start_again(self) -> None:
        # Another thread may have done it meanwhile: a second time, kazoo would wait for its end.
        if self._handler.ended and not self._closed:
            self.client.start_async()

    def _check_taken(self) -> None:
        if self._refused:
            self._refused = False  # it is tried again with the next request
            raise AccessDeniedError(
                f"{self.location} does not take the user: correct the settings 'user' and "
                "'password'"
            )

    def translated(self, error: Exception) -> Any:
        """Return the error of nspkit for one of the client's."""
        return translated(error, self.location, self._handler.failure)


class Waiter:
    """Who waits for one answer after another, and may be told that nobody needs them any more."""

    __slots__ = ("_cancellation", "_pending")

    def __init__(self, cancellation: Cancellation | None = None) -> None:
        self._cancellation = cancellation
        self._pending: Any = None
        if cancellation is not None:
            cancellation.on_cancel(self._interrupt)

    def remaining(self) -> float | None:
        """Return how many seconds there are left; None without a limit."""
        return None if self._cancellation is None else self._cancellation.remaining()

    def begin(self, pending: Any) -> None:
        """Wait for this one now; it raises CancelledError of kazoo if that is of no use."""
        self._pending = pending
        # Looked at after it can be found: who cancels later interrupts it.
        if self._cancellation is not None and self._cancellation.cancelled:
            raise Interrupted("nobody waits any more")

    def _interrupt(self) -> None:
        if self._pending is not None:
            self._pending.set_exception(Interrupted("nobody waits any more"))
