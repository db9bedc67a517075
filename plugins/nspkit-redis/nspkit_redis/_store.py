"""The engine of a registry: entries that expire, two indexes of them, and scripts that write."""

from __future__ import annotations

from math import ceil
from os import urandom
from time import monotonic
from typing import TYPE_CHECKING

from nspkit.errors import NotReadyError, TryAgainError
from nspkit.registry import ANYTHING
from nspkit_redis._caller import Caller
from nspkit_redis._failures import shown
from nspkit_redis._follow import Follower
from nspkit_redis._layout import Layout, entry_of, path_of
from nspkit_redis._pages import pages
from nspkit_redis._pool import Pool
from nspkit_redis._scripts import CLASS, LOOK, PUT, PUT_CLASS, REMOVE, REMOVE_CLASS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from uuid import UUID

    from nspkit import Cancellation
    from nspkit.registry import Entry, Gone, Key, Mark, Scope
    from nspkit_redis._settings import RedisSettings

_LONGEST = 10**14
"""Milliseconds, three thousand years: a server adds them to its time."""

_REMOVED = 2

_GET_AND_PTTL = b"*2\r\n$3\r\nGET\r\n$%d\r\n%b\r\n*2\r\n$4\r\nPTTL\r\n$%d\r\n%b\r\n"
"""As the protocol has it: nothing is asked as often, and nothing of it has to be found out."""

_GONE = -2


class RedisStore:
    """A `nspkit.registry.Store` in Redis.

    Attributes:
        location: Where the servers are.
    """

    def __init__(self, settings: RedisSettings) -> None:
        """Connect to nothing yet.

        Raises:
            NotReadyError: A certificate cannot be read (WSASYSNOTREADY 10091).
        """
        self._settings = settings
        self._pool = Pool(settings)
        self._layout = Layout(settings.common.prefix, settings.database)
        self.location = self._pool.location

    def check(self) -> None:
        """See whether a primary answers.

        Raises:
            NotReadyError: None does (WSASYSNOTREADY 10091).
            AccessDeniedError: It wants another user or password (WSAEACCES 10013).
        """
        try:
            Caller(self._pool).run(LOOK, [self._layout.counter])
        except TryAgainError as error:
            raise NotReadyError(
                f"no primary answers at {self.location} ({shown(error.__cause__ or error)}): start "
                "one, or correct the setting 'endpoints'"
            ) from error

    def close(self) -> None:
        """Close all connections; who waits for an answer ends with NotInitialisedError (10093)."""
        self._pool.close()

    def get(self, key: Key, cancellation: Cancellation | None = None) -> Entry | None:
        """Return the newest entry under a key; None if there is none."""
        path = path_of(key)
        if path is None:
            return None
        place = self._layout.entry(path)
        commands = _GET_AND_PTTL % (len(place), place, len(place), place)
        caller = Caller(self._pool, cancellation)
        found, left = caller.use(lambda wire: wire.ask_all(commands, 2))
        return None if found is None or left == _GONE else entry_of(key, found, left)

    def entries(self, scope: Scope, cancellation: Cancellation | None = None) -> Iterator[Entry]:
        """Yield what is there, a page at a time, each key once."""
        caller = Caller(self._pool, cancellation)
        for page in pages(caller.run, self._layout, scope):
            yield from page

    def put(
        self, key: Key, value: bytes, *, ttl: float | None, expected: object = ANYTHING
    ) -> bool:
        """Put a value, in one script with its places in the indexes; False if not as expected."""
        layout, path = self._layout, key.path().encode()
        if expected is ANYTHING:
            version = b"*"
        else:
            version = expected if isinstance(expected, bytes) else b"-"
        milliseconds = "" if ttl is None else max(1, ceil(min(ttl * 1000, _LONGEST)))
        caller = Caller(self._pool)
        done = caller.run(
            PUT,
            [layout.entry(path), layout.paths, layout.names, layout.counter, layout.puts,
             layout.channel],
            [layout.stem, path, path.partition(b"/")[0], key.name_path(), value, milliseconds,
             version],
        )  # fmt: skip
        if not done and caller.is_repeated:
            # The first try may have come through, and so have made the second one come too late.
            there = self.get(key)
            return there is not None and there.value == value
        return bool(done)

    def remove(self, key: Key, version: object) -> bool:
        """Remove an entry and its places in the indexes; False if it is not that version now."""
        layout, path = self._layout, key.path().encode()
        caller = Caller(self._pool)
        done = caller.run(
            REMOVE,
            [layout.entry(path), layout.paths, layout.names, layout.counter, layout.channel],
            [path, version],
        )
        if not done and caller.is_repeated:
            return self.get(key) is None
        return bool(done)

    def follow(
        self, scope: Scope, cancellation: Cancellation, patience: Callable[[], float]
    ) -> Iterator[Entry | Gone | Mark]:
        """Yield what is there, between BEGIN and LISTED, then each change."""
        follower = Follower(self._pool, self._layout, scope, cancellation, self._settings)
        return follower.changes(patience)

    def get_class(self, class_id: UUID) -> bytes | None:
        """Return a schema; None if there is none."""
        found: bytes | None = Caller(self._pool).ask("GET", self._layout.schema(class_id))
        return found

    def put_class(self, class_id: UUID, value: bytes) -> bool:
        """Put a schema that never ends; False, and nothing done, if there is one."""
        keys = [self._layout.schema(class_id), self._layout.puts]
        # Where the answer to the first try is lost, the second one knows it by this.
        who = urandom(16).hex()
        return bool(Caller(self._pool).run(PUT_CLASS, keys, [_by(class_id), who, value]))

    def remove_class(self, class_id: UUID, check_unused: Callable[[], None]) -> bool:
        """Remove a schema; False if there is none."""
        keys = [self._layout.schema(class_id), self._layout.puts]
        until = monotonic() + self._pool.timeout
        caller, text, is_unheard = Caller(self._pool), str(class_id), False
        while monotonic() < until:
            is_there, last = caller.run(CLASS, keys, [text])
            if is_unheard and not is_there:
                return True  # the first try took the number of the last put along
            check_unused()
            if not is_there:
                return False
            done = caller.run(REMOVE_CLASS, keys, [text, last, _by(class_id)])
            if done:
                return done == _REMOVED or caller.is_repeated
            is_unheard = caller.is_repeated
        raise TryAgainError(
            f"services of the class {class_id} are registered all the time; try again later"
        )


def _by(class_id: UUID) -> str:
    return f"{class_id} by"
