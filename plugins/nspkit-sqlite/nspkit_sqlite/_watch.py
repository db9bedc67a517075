"""Watches: what is there, then what changes, read from the registry's own list of changes."""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from time import time
from typing import TYPE_CHECKING, NamedTuple

from nspkit import Change, ChangeKind
from nspkit_sqlite import _values
from nspkit_sqlite._restrictions import Restrictions, left, next_end
from nspkit_sqlite._values import CLASS, NAME

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nspkit import Cancellation, Query
    from nspkit_sqlite._opening import Connection
    from nspkit_sqlite._registry import Registry
    from nspkit_sqlite._search import Search
    from nspkit_sqlite._values import Content, Key, Row

_CHANGES = "SELECT revision, class, context, name FROM change WHERE revision > ? ORDER BY revision"
_EDGES = "SELECT min(revision), max(revision) FROM change"


class _Known(NamedTuple):
    """What a watch has told of an instance."""

    row: Row
    content: Content | None


class _Listed(NamedTuple):
    """What the list of changes says since the last time, and how far it goes."""

    file: object = None
    oldest: int = 1
    newest: int = 0
    last: int = 0
    keys: tuple[Key, ...] = ()


class Watch:
    """One watch; its iterator is used by one thread at a time."""

    def __init__(
        self, registry: Registry, search: Search, query: Query, cancellation: Cancellation
    ) -> None:
        """Watch what ``query`` asks for.

        Raises:
            NoDataError: It asks for containers (WSANO_DATA 11004).
            InvalidArgumentError: Its query string is malformed (WSAEINVAL 10022).
        """
        self._registry = registry
        self._search = search
        self._restrictions = Restrictions(query)
        self._asked = query.service_class
        self._cancellation = cancellation
        self._known: dict[Key, _Known] = {}
        self._ends: list[tuple[float, Key]] = []
        self._state: object = None
        self._file: object = None
        self._revision = 0

    def changes(self) -> Iterator[Change | None]:
        """Yield what is there as ADDED, None as the end of that, then each change.

        It goes on until nobody waits any more.

        Raises:
            NspError: The file cannot be read.
        """
        told = False
        while not self._cancellation.cancelled:
            state = self._registry.state(self._cancellation)
            if state is None or state != self._state:
                yield from self._news()
                self._state = state
            if not told and not self._cancellation.cancelled:  # else it was not all
                told = True
                yield None
            yield from self._ended()
            if self._cancellation.wait(self._pause()):
                return

    def _news(self) -> Iterator[Change]:
        """Yield what the list of changes says, or compare everything where it does not reach."""
        while not self._cancellation.cancelled:
            found = self._registry.read(self._listed, self._cancellation) or _Listed()
            reaches = found.oldest <= self._revision + 1 <= found.newest + 1
            if reaches and found.file == self._file:
                self._revision = found.last or self._revision
                for key in found.keys:
                    yield from self._compare(key, self._search.row(key, self._cancellation))
                return
            # Noted before the rows are read: what changes meanwhile is on the list after that.
            self._file, self._revision = found.file, found.newest
            yield from self._everything()

    def _listed(self, connection: Connection) -> _Listed:
        rows = connection.execute(_CHANGES, (self._revision,)).fetchall()
        # Read after the list: what was cut off before is known by then.
        oldest, newest = connection.execute(_EDGES).fetchone()
        keys = dict.fromkeys(
            (class_id, context, name)
            for _revision, class_id, context, name in rows
            if self._restrictions.covers(class_id, context, name)
        )
        return _Listed(
            file=(connection.identity, connection.frozen),
            oldest=oldest or 1,
            newest=newest or 0,
            last=rows[-1][0] if rows else 0,
            keys=tuple(keys),
        )

    def _everything(self) -> Iterator[Change]:
        gone = dict.fromkeys(self._known)
        for row in self._search.rows(self._restrictions, self._cancellation):
            key = row[CLASS : NAME + 1]
            gone.pop(key, None)
            yield from self._compare(key, row)
        if not self._cancellation.cancelled:
            for key in gone:
                yield from self._compare(key, None)

    def _compare(self, key: Key, row: Row | None) -> Iterator[Change]:
        now = time()
        before = self._known.get(key)
        told = before and before.content
        content = None if row is None else self._restrictions.content(row, now)
        if row is None or content is None:
            self._known.pop(key, None)
        else:
            self._known[key] = _Known(row, content)
            self._note_end(key, row, now)
        if row is not None and content is not None and content != told:
            kind = ChangeKind.ADDED if told is None else ChangeKind.CHANGED
            ttl = left(row, content, now)
            yield Change(kind, _values.service_of(content, ttl, self._search.shared, self._asked))
        elif content is None and told is not None:
            yield Change(
                ChangeKind.REMOVED, _values.service_of(told, None, self._search.shared, self._asked)
            )

    def _ended(self) -> Iterator[Change]:
        """Yield what has changed because leases have ended."""
        now = time()
        while self._ends and self._ends[0][0] <= now:
            _end, key = heappop(self._ends)
            if key in self._known:
                # It may have been renewed a moment ago.
                yield from self._compare(key, self._search.row(key, self._cancellation))

    def _note_end(self, key: Key, row: Row, now: float) -> None:
        end = next_end(row, now)
        if end is not None:
            heappush(self._ends, (end, key))
            # Each renewal leaves its old end there.
            if len(self._ends) > 4 * len(self._known) + 1000:
                ends = ((next_end(known.row, now), key) for key, known in self._known.items())
                self._ends = [(end, key) for end, key in ends if end is not None]
                heapify(self._ends)

    def _pause(self) -> float:
        """Return for how long nothing can happen that is not in the file."""
        interval = self._registry.interval
        return min(interval, self._ends[0][0] - time()) if self._ends else interval
