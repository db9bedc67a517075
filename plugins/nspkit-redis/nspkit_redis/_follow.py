"""Watches: a list, then what the server tells, and a question from time to time.

What a server tells may be lost with the connection, and is nothing at all where the user may not
listen; that an entry expires is told only where the server's events are switched on. So a watch
asks for the number of the last change, and looks again at what should have ended. When it loses
one of its two connections it ends: whoever follows begins anew, with a list.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from time import monotonic
from typing import TYPE_CHECKING, Any

import redis

from nspkit.errors import NspError
from nspkit.registry import Gone, Mark
from nspkit_redis import _failures
from nspkit_redis._caller import Caller, run
from nspkit_redis._feed import Feed
from nspkit_redis._layout import entry_of, key_of
from nspkit_redis._pages import pages
from nspkit_redis._scripts import LOOK

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from nspkit import Cancellation
    from nspkit.registry import Entry, Key, Scope
    from nspkit_redis._layout import Layout
    from nspkit_redis._pool import Pool
    from nspkit_redis._scripts import Script
    from nspkit_redis._settings import RedisSettings
    from nspkit_redis._wire import Wire

_BATCH = 500
_MOST_OLD_ENDS = 1000
_LATER = 0.05
"""Seconds between two looks at what should have ended: it does not end one by one."""


class Follower:
    """One watch; used by one thread at a time."""

    def __init__(
        self,
        pool: Pool,
        layout: Layout,
        scope: Scope,
        cancellation: Cancellation,
        settings: RedisSettings,
    ) -> None:
        """Follow what is in a scope; nothing is asked yet."""
        self._pool = pool
        self._layout = layout
        self._scope = scope
        self._cancellation = cancellation
        self._interval = settings.interval
        self._pattern = layout.pattern(scope)
        self._wires: list[Wire] = []
        self._known: dict[bytes, bytes] = {}
        self._ends: dict[bytes, float] = {}
        self._due: list[tuple[float, bytes]] = []
        self._looked = self._asked = 0.0

    def changes(self, patience: Callable[[], float]) -> Iterator[Entry | Gone | Mark]:
        """Yield what is there, then each change, until nobody waits any more.

        Raises:
            TryAgainError: The server is lost, or silent (WSATRY_AGAIN 11002).
            NspError: It refuses.
        """
        self._cancellation.on_cancel(self._interrupt)
        try:
            feed = Caller(self._pool, self._cancellation).use(self._listen, new=True)
            self._keep(self._pool.new(self._wires[0].endpoint)).ready(self._until())
            while not self._cancellation.cancelled:
                yield from self._list(feed)
                yield from self._tell(feed, patience)
        except redis.RedisError as error:
            if not self._cancellation.cancelled:
                raise self._translated(error) from error
        except NspError:
            if not self._cancellation.cancelled:
                raise
        finally:
            for wire in self._wires:
                self._pool.drop(wire)

    def _listen(self, wire: Wire) -> Feed:
        # Any node of a cluster lets one subscribe, but only one has the registry.
        wire.ask("GET", self._layout.counter)
        wire.is_kept = True  # whatever comes: nobody can ask anything else where one listens
        feed = Feed(wire, self._layout, self._pattern, self._cancellation, self._pool.timeout)
        self._keep(wire)
        return feed

    def _keep(self, wire: Wire) -> Wire:
        wire.is_kept = True
        self._wires.append(wire)
        if self._cancellation.cancelled:
            wire.interrupt()
        return wire

    def _list(self, feed: Feed) -> Iterator[Entry | Mark]:
        # What changes while the list is read is told after it, so the number comes first.
        feed.begin(self._number())
        self._known.clear()
        self._ends.clear()
        self._due.clear()
        yield Mark.BEGIN
        for page in pages(self._run, self._layout, self._scope):
            for entry in page:
                self._note(entry.key.path().encode(), entry)
                yield entry
            if self._cancellation.cancelled:
                return
        yield Mark.LISTED

    def _tell(self, feed: Feed, patience: Callable[[], float]) -> Iterator[Entry | Gone | Mark]:
        """Yield changes until some were missed, or nobody waits any more."""
        until = monotonic() + patience()
        while not self._cancellation.cancelled:
            changed = dict.fromkeys(feed.changed) | dict.fromkeys(self._ended())
            feed.changed.clear()
            if changed:
                yield from self._look(changed)
                until = monotonic() + patience()
            if self._has_missed(feed):
                return
            if not feed.changed:
                feed.hear(self._pause(min(until, feed.due)))
            if not feed.changed and monotonic() >= until:
                yield Mark.NOTHING
                until = monotonic() + patience()

    def _has_missed(self, feed: Feed) -> bool:
        """Say whether there are changes that nothing was heard of; asked now and then."""
        if feed.has_missed:
            return True
        if monotonic() < self._asked + self._interval:
            return False
        number = self._number()
        if number > feed.number:
            feed.catch_up()  # what tells of it may be on its way
            return feed.number < number
        return number < feed.number  # else somebody has emptied it

    def _number(self) -> int:
        """Return the number of the last change."""
        wire = self._wires[1]
        wire.ready(self._until())
        found = wire.ask("GET", self._layout.counter) or b""
        self._asked = monotonic()
        return int(found) if found.isdigit() else 0

    def _look(self, paths: Iterable[bytes]) -> Iterator[Entry | Gone]:
        keys = {path: key_of(path) for path in paths}
        meant = [(path, key) for path, key in keys.items() if key and self._scope.covers(key)]
        for first in range(0, len(meant), _BATCH):
            batch = meant[first : first + _BATCH]
            found = self._run(LOOK, [self._layout.entry(path) for path, _ in batch])
            for (path, key), value, left in zip(batch, found[::2], found[1::2], strict=True):
                yield from self._compare(path, key, value, left)

    def _compare(
        self, path: bytes, key: Key, value: bytes | None, left: int
    ) -> Iterator[Entry | Gone]:
        version = self._known.get(path)
        if value is not None:
            entry = entry_of(key, value, left)
            self._note(path, entry)
            if version != entry.version:
                yield entry
        elif version is not None:
            del self._known[path]
            self._ends.pop(path, None)
            yield Gone(key)

    def _note(self, path: bytes, entry: Entry) -> None:
        """Remember what was told, and when it ends."""
        assert isinstance(entry.version, bytes)
        self._known[path] = entry.version
        self._ends.pop(path, None)
        if entry.left is None:
            return
        end = self._ends[path] = monotonic() + entry.left
        heappush(self._due, (end, path))
        # What is renewed leaves its old end there.
        if len(self._due) > 4 * len(self._ends) + _MOST_OLD_ENDS:
            self._due = [(end, path) for path, end in self._ends.items()]
            heapify(self._due)

    def _ended(self) -> list[bytes]:
        """Return the paths of what has ended, if it was not renewed."""
        found: list[bytes] = []
        now = monotonic()
        if now < self._looked + _LATER:
            return found
        while self._due and self._due[0][0] < now:
            end, path = heappop(self._due)
            if self._ends.get(path) == end:
                found.append(path)
        if found:
            self._looked = now
        return found

    def _pause(self, until: float) -> float:
        """Return for how long nothing can happen that the server does not tell."""
        ends = [until, self._asked + self._interval]
        if self._due:
            ends.append(max(self._due[0][0], self._looked + _LATER) + 0.001)
        remaining = self._cancellation.remaining()
        pause = max(0.0, min(ends) - monotonic())
        return pause if remaining is None else min(pause, remaining)

    def _run(self, script: Script, keys: list[Any], arguments: list[Any] | tuple[()] = ()) -> Any:
        self._wires[1].give(self._until())
        return run(self._wires[1], script, keys, arguments)

    def _until(self) -> float:
        return monotonic() + self._pool.timeout

    def _translated(self, error: redis.RedisError) -> NspError:
        if self._pool.is_closed:
            return _failures.stopped(self._pool.location)
        return _failures.of_server(error, self._pool.location)

    def _interrupt(self) -> None:
        for wire in tuple(self._wires):
            wire.interrupt()
