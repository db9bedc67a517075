"""Opening the file: to read, to write, or as a file that nobody changes."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any, NamedTuple

from nspkit.errors import NotReadyError
from nspkit_sqlite import _schema
from nspkit_sqlite._failures import primary

if TYPE_CHECKING:
    from pathlib import Path

_UNWRITABLE = (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN)

Identity = tuple[int, int]
"""Device and inode of a file: others when it was replaced."""


class State(NamedTuple):
    """What is another one when a file that nobody changes was changed after all."""

    identity: Identity
    size: int
    changed: int
    has_log: bool


class Connection(sqlite3.Connection):
    """A connection that knows its file.

    Attributes:
        identity: The file; None as long as it is not known.
        number: Its own, never given again.
        writes: Whether it is for transactions.
        frozen: The state that it relies on, if it reads the file as one that nobody changes.
        finder: A cursor for the lookups of one row, which is kept: each has to be made.
    """

    identity: Identity | None
    number: int
    writes: bool
    frozen: State | None
    finder: sqlite3.Cursor

    def close(self) -> None:
        """Close it, and part it from its cursor: they refer to each other."""
        vars(self).pop("finder", None)
        super().close()


def state_of(path: Path) -> State:
    """Return what tells whether a file that nobody changes was changed.

    Raises:
        OSError: It is not there.
    """
    found = path.stat()
    identity = (found.st_dev, found.st_ino)
    return State(identity, found.st_size, found.st_mtime_ns, _log_of(path).exists())


def to_read(path: Path) -> Connection | None:
    """Open it for lookups; None where there are no tables.

    Raises:
        sqlite3.Error, OSError: It cannot be opened.
    """
    # Not mode=ro: a connection that may not write leaves its files beside the registry.
    connection = _connect(path, "mode=rw")
    try:
        connection.execute("PRAGMA query_only = ON")
        if _schema.version_of(connection):
            return connection
    except sqlite3.OperationalError as error:
        connection.close()
        # The files beside the registry are missing and cannot be made: so nobody writes.
        if primary(error) in _UNWRITABLE and not _log_of(path).exists():
            return _frozen(path)
        raise
    except BaseException:
        connection.close()
        raise
    connection.close()
    return None


def to_write(path: Path, *, create: bool) -> Connection | None:
    """Open it for transactions; None where there are no tables and none are made.

    Raises:
        NspError: It is newer, no registry, or where no registry can be.
        sqlite3.Error, OSError: It cannot be opened.
    """
    connection = _connect(path, "mode=rwc" if create else "mode=rw")
    try:
        if not _schema.version_of(connection):
            if not create:
                connection.close()
                return None
            _schema.make(connection, path)
        _schema.refuse_newer(connection, path)
        _use_log(connection, path)
        # What was acknowledged outlives the machine too: registrations are few, and not all of
        # them have a lease after which they would be made again.
        connection.execute("PRAGMA synchronous = FULL")
    except BaseException:
        connection.close()
        raise
    connection.writes = True
    return connection


def _frozen(path: Path) -> Connection:
    state = state_of(path)
    connection = _connect(path, "mode=ro&immutable=1")
    connection.frozen = state
    return connection


def _connect(path: Path, how: str) -> Connection:
    # Any thread may use it, one at a time; and each statement is on its own, unless BEGIN is said.
    options: dict[str, Any] = {"isolation_level": None, "check_same_thread": False}
    # It never waits by itself: SQLite could not be told that nobody waits any more, and does not
    # wait at all where two processes make one file.
    connection = sqlite3.connect(
        f"{path.as_uri()}?{how}", uri=True, timeout=0.0, factory=Connection, **options
    )
    connection.writes = False
    connection.frozen = None
    connection.finder = connection.cursor()
    try:
        # What a file brings with it, views for instance, must not do more than it shows.
        connection.execute("PRAGMA trusted_schema = OFF")
    except BaseException:
        connection.close()
        raise
    return connection


def _use_log(connection: Connection, path: Path) -> None:
    """Have the file in WAL mode, in which who reads does not wait for who writes."""
    [mode] = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise NotReadyError(
            f"{path} is on a file system where processes cannot share memory, such as one of "
            "a network: give a 'path' on this machine"
        )


def _log_of(path: Path) -> Path:
    return path.with_name(path.name + "-wal")
