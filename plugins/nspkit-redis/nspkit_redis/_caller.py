"""Who asks: one request after the other, each at whichever endpoint is the primary."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar

import redis
from redis.exceptions import NoScriptError

from nspkit_redis import _failures

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from nspkit import Cancellation
    from nspkit.errors import NspError
    from nspkit.registry import Endpoint
    from nspkit_redis._pool import Pool
    from nspkit_redis._scripts import Script
    from nspkit_redis._wire import Wire

T = TypeVar("T")

_NEARLY = 0.9
"""What part of its time a server must have had before it counts as silent."""


def run(wire: Wire, script: Script, keys: Sequence[Any], arguments: Sequence[Any] = ()) -> Any:
    """Run a script on a connection; a server that does not know it is told it.

    Raises:
        redis.RedisError: The server is away, too slow, or refuses.
    """
    try:
        return wire.ask("EVALSHA", script.sha, len(keys), *keys, *arguments)
    except NoScriptError:
        return wire.ask("EVAL", script.text, len(keys), *keys, *arguments)


class Caller:
    """The requests of one call of the store, used by one thread at a time.

    Attributes:
        is_repeated: Whether the last request may have been carried out before it was answered.
    """

    def __init__(self, pool: Pool, cancellation: Cancellation | None = None) -> None:
        """Ask for somebody who may not wait for it any longer some time."""
        self._pool = pool
        self._cancellation = cancellation
        self._wire: Wire | None = None
        self.is_repeated = False
        if cancellation is not None:
            cancellation.on_cancel(self._interrupt)

    def run(self, script: Script, keys: Sequence[Any], arguments: Sequence[Any] = ()) -> Any:
        """Run a script.

        Raises:
            TryAgainError: No endpoint answers in time, or nobody waits any more (11002).
            NspError: The server refuses.
        """
        return self.use(lambda wire: run(wire, script, keys, arguments))

    def ask(self, *command: Any) -> Any:
        """Send a command and return the answer.

        Raises:
            TryAgainError: No endpoint answers in time, or nobody waits any more (11002).
            NspError: The server refuses.
        """
        return self.use(lambda wire: wire.ask(*command))

    def use(self, work: Callable[[Wire], T], *, new: bool = False) -> T:
        """Return what ``work`` returns, with a connection to a primary; it may run several times.

        Args:
            work: Asks on the connection, and keeps it if it says so.
            new: Whether it has to be a connection that nobody had before.

        Raises:
            TryAgainError: No endpoint answers in time, or nobody waits any more (11002).
            NotInitialisedError: The provider was stopped meanwhile (WSANOTINITIALISED 10093).
            NspError: The server refuses, or what ``work`` raised.
        """
        self.is_repeated = False
        until = monotonic() + self._time()
        failure: redis.RedisError = redis.ConnectionError("there was no time")
        endpoints = self._pool.order()
        try:
            for number, endpoint in enumerate(endpoints):
                if self._pool.is_shunned(endpoint):
                    failure = redis.TimeoutError(f"{endpoint} did not answer a moment ago")
                    continue
                now = monotonic()
                share = (until - now) / (len(endpoints) - number)
                try:
                    return self._at(endpoint, work, now + share, new=new)
                except redis.RedisError as error:
                    failure = error
                if not _failures.is_passing(failure):
                    raise self._translated(failure, endpoint) from failure
                full = self._pool.timeout / len(endpoints) * _NEARLY
                if isinstance(failure, redis.TimeoutError) and monotonic() - now >= full:
                    self._pool.shun(endpoint)
            raise self._translated(failure, None) from failure
        finally:
            del failure  # it refers to this frame: no cycle

    def _at(self, endpoint: Endpoint, work: Callable[[Wire], T], until: float, *, new: bool) -> T:
        """Do it at one server, over an idle connection or a new one."""
        for wire in self._wires(endpoint, new=new):
            try:
                done = self._use(wire, work, until)
            except redis.RedisError as error:
                self.is_repeated = self.is_repeated or wire.is_used
                # One that had its time would have it once more; one that was idle for long may
                # be of a server that has ended since.
                is_last = not wire.was_idle or isinstance(error, redis.TimeoutError)
                if is_last or not _failures.is_passing(error):
                    raise
            else:
                self._pool.prefer(endpoint)
                return done
        raise AssertionError("a new connection is the last")

    def _wires(self, endpoint: Endpoint, *, new: bool) -> Iterator[Wire]:
        """Yield an idle connection to try, if there is one, and then a new one."""
        idle = None if new else self._pool.idle(endpoint)
        if idle is not None:
            yield idle
            # It failed, so the others will; to try them all would be to write as often.
            while (idle := self._pool.idle(endpoint)) is not None:
                self._pool.drop(idle)
        yield self._pool.new(endpoint)

    def _use(self, wire: Wire, work: Callable[[Wire], T], until: float) -> T:
        self._wire, is_good = wire, False
        try:
            if self._cancellation is not None and self._cancellation.cancelled:
                raise redis.TimeoutError("nobody waits any more")
            wire.ready(until)
            done = work(wire)
            is_good = True
            return done
        except redis.ResponseError as error:
            # An answer as good as any, but for one who is no primary any more.
            is_good = not _failures.is_passing(error) and not wire.is_kept
            wire.is_used = False
            raise
        finally:
            self._wire = None
            if not is_good:
                self._pool.drop(wire)
            elif not wire.is_kept:
                self._pool.take_back(wire)

    def _time(self) -> float:
        left = None if self._cancellation is None else self._cancellation.remaining()
        return self._pool.timeout if left is None else min(left, self._pool.timeout)

    def _translated(self, error: redis.RedisError, endpoint: Endpoint | None) -> NspError:
        location = self._pool.location if endpoint is None else f"Redis at {endpoint}"
        if self._pool.is_closed:
            return _failures.stopped(location)
        if self._cancellation is not None and self._cancellation.cancelled:
            return _failures.given_up(location)
        return _failures.of_server(error, location)

    def _interrupt(self) -> None:
        wire = self._wire
        if wire is not None:
            wire.interrupt()
