"""Opening the file: to read, to write, or as a file that nobody changes."""

from __future__ import annotations

import sqlite3
from threading import Lock
from typing import TYPE_CHECKING, Any, NamedTuple

from nspkit.errors import NotReadyError
from nspkit_sqlite import _schema
from nspkit_sqlite._failures import is_no_room, primary

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
    logged: int


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

    def __init__(self, loan: Loan, database: str, **options: Any) -> None:
        """Open it; the loan has it before there is anything to close."""
        loan.connection = self
        super().__init__(database, **options)
        self.identity = self.frozen = None
        self.writes = False
        self.finder = self.cursor()

    def close(self) -> None:
        """Close it, and part it from its cursor: they refer to each other."""
        vars(self).pop("finder", None)
        try:
            super().close()
        except sqlite3.ProgrammingError:
            pass  # it could not be opened


class Loan:
    """What one call has of the file, for as long as it holds ``held``, in a ``with`` block.

    Ctrl-C may strike wherever something is given back. That the block ends is the work of
    Python's own lock, which cannot be interrupted there: so who has lent can see that it did.

    Attributes:
        held: Its lock, which nobody else takes.
        connection: What was lent, noted as soon as there is something that has to be closed.
        broken: Whether it is not to be used again; so as long as nobody has said otherwise.
    """

    __slots__ = ("broken", "connection", "held")

    def __init__(self) -> None:
        self.held = Lock()
        self.connection: Connection | None = None
        self.broken = True


def state_of(path: Path) -> State:
    """Return what tells whether a file that nobody changes was changed.

    Raises:
        OSError: It is not there.
    """
    real = path.resolve()
    found = real.stat()
    identity = (found.st_dev, found.st_ino)
    return State(identity, found.st_size, found.st_mtime_ns, _logged(real))


def to_read(path: Path, loan: Loan) -> Connection | None:
    """Open it for lookups; None where there are no tables.

    What was opened is closed with the loan, also where this fails.

    Raises:
        sqlite3.Error, OSError: It cannot be opened.
    """
    # Once, for all of this: SQLite has its files beside the registry, not beside a link to it.
    path = path.resolve()
    # Not mode=ro: a connection that may not write leaves its files beside the registry.
    connection = _connect(path, "mode=rw", loan)
    try:
        connection.execute("PRAGMA query_only = ON")
        return connection if _schema.version_of(connection) else None
    except sqlite3.OperationalError as error:
        # The files beside the registry cannot be made, or hold nothing: so nobody writes.
        unwritable = primary(error) in _UNWRITABLE or is_no_room(error)
        if not unwritable or _logged(path):
            raise
    connection.close()
    state = state_of(path)
    connection = _connect(path, "mode=ro&immutable=1", loan)
    connection.frozen = state
    return connection


def to_write(path: Path, loan: Loan, *, create: bool) -> Connection | None:
    """Open it for transactions; None where there are no tables and none are made.

    What was opened is closed with the loan, also where this fails.

    Raises:
        NspError: It is newer, no registry, or where no registry can be.
        sqlite3.Error, OSError: It cannot be opened.
    """
    connection = _connect(path, "mode=rwc" if create else "mode=rw", loan)
    if not _schema.version_of(connection):
        if not create:
            return None
        _schema.make(connection, path)
    _schema.refuse_newer(connection, path)
    _use_log(connection, path)
    # What was acknowledged outlives the machine too: registrations are few, and not all of
    # them have a lease after which they would be made again.
    connection.execute("PRAGMA synchronous = FULL")
    connection.writes = True
    return connection


def _connect(path: Path, how: str, loan: Loan) -> Connection:
    # Any thread may use it, one at a time; and each statement is on its own, unless BEGIN is said.
    options: dict[str, Any] = {"isolation_level": None, "check_same_thread": False}
    # It never waits by itself: SQLite could not be told that nobody waits any more, and does not
    # wait at all where two processes make one file.
    connection = Connection(loan, f"{path.as_uri()}?{how}", uri=True, timeout=0.0, **options)
    # What a file brings with it, views for instance, must not do more than it shows.
    connection.execute("PRAGMA trusted_schema = OFF")
    return connection


def _use_log(connection: Connection, path: Path) -> None:
    """Have the file in WAL mode, in which who reads does not wait for who writes."""
    [mode] = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise NotReadyError(
            f"{path} is on a file system where processes cannot share memory, such as one of "
            "a network: give a 'path' on this machine"
        )


def _logged(path: Path) -> int:
    """Return how long the log is, in bytes; 0 if there is none."""
    try:
        return path.with_name(path.name + "-wal").stat().st_size
    except FileNotFoundError:
        return 0
