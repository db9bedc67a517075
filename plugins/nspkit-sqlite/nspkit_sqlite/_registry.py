"""The registry: one statement to read, one transaction to write, each error translated."""

from __future__ import annotations

import sqlite3
import threading
from time import monotonic, time
from typing import TYPE_CHECKING, TypeVar

from nspkit import Cancellation
from nspkit.errors import NspError
from nspkit_sqlite import _failures, _schema
from nspkit_sqlite._connections import Connections

if TYPE_CHECKING:
    from collections.abc import Callable

    from nspkit_sqlite._opening import Connection
    from nspkit_sqlite._settings import Settings
    from nspkit_sqlite._values import Row

T = TypeVar("T")

_PAUSE = 0.01
"""Seconds between two tries to read a file that is locked, which in WAL mode is rare."""

_TIDY = 1.0
"""Seconds after which who writes takes away again what has ended."""


class Registry:
    """The file of one started provider; all methods may be called from any thread."""

    def __init__(self, settings: Settings) -> None:
        """Open nothing yet."""
        self.path = settings.path
        self.interval = settings.interval
        self._busy_timeout = settings.busy_timeout
        self._connections = Connections(settings.path, settings.busy_timeout)
        # Between processes SQLite waits by trying again; threads have something better.
        self._turn = threading.Lock()
        self._tidied = -_TIDY

    def check(self) -> None:
        """See whether what is there can be a registry; that nothing is there is right.

        Raises:
            NotReadyError: It is something else (WSASYSNOTREADY 10091).
            NspError: It cannot be read.
        """
        try:
            self._connections.look()
        except NspError:
            raise
        except (sqlite3.Error, OSError) as error:
            raise self._translated(error) from error

    def close(self) -> None:
        """Close all connections."""
        self._connections.close()

    def read(
        self, work: Callable[[Connection], T], cancellation: Cancellation | None = None
    ) -> T | None:
        """Return what ``work`` returns, which executes one statement; None without a registry.

        Raises:
            TryAgainError: The file was locked too long, or nobody waits any more (11002).
            NspError: It cannot be read.
        """
        until = 0.0
        while True:
            try:
                return self._read(work)
            except NspError:
                raise
            except (sqlite3.Error, OSError) as error:
                if not isinstance(error, sqlite3.Error) or not _failures.is_busy(error):
                    raise self._translated(error) from error
                now = monotonic()
                until = until or now + self._busy_timeout
                cancellation = cancellation or Cancellation()
                if now >= until or cancellation.wait(_PAUSE):
                    raise self._translated(error) from error

    def row(
        self, statement: str, key: tuple[object, ...], cancellation: Cancellation | None = None
    ) -> Row | None:
        """Return the one row that ``statement`` finds; None if there is none, or no registry.

        Raises:
            TryAgainError: The file was locked too long, or nobody waits any more (11002).
            NspError: It cannot be read.
        """
        connection = self._connections.idle_reader()
        if connection is not None:
            broken = True
            try:
                row: Row | None = connection.execute(statement, key).fetchone()
                broken = False
                return row
            except sqlite3.Error:
                pass  # what can be waited for is waited for below
            finally:
                self._connections.take_back(connection, broken=broken)
        return self.read(lambda other: other.execute(statement, key).fetchone(), cancellation)

    def write(self, work: Callable[[Connection, float], None], *, create: bool = False) -> bool:
        """Run ``work`` in a transaction, with the time; False if there is no registry.

        It is committed, on the disk, when this returns, and has not happened if this raises.

        Raises:
            TryAgainError: The file was locked too long (WSATRY_AGAIN 11002).
            NspError: It cannot be written, or what ``work`` raised.
        """
        if not self._turn.acquire(timeout=self._busy_timeout):
            raise _failures.busy(self.path, self._busy_timeout)
        try:
            return self._write(work, create=create)
        except NspError:
            raise
        except (sqlite3.Error, OSError) as error:
            raise self._translated(error) from error
        finally:
            self._turn.release()

    def state(self, cancellation: Cancellation) -> object:
        """Return what is another one after every change of the registry; None if there is none.

        Raises:
            NspError: It cannot be read.
        """
        return self.read(_state, cancellation)

    def _read(self, work: Callable[[Connection], T]) -> T | None:
        connections = self._connections
        while True:
            connection = connections.reader()
            if connection is None:
                return None
            broken = True
            try:
                found = work(connection)
                broken = False
            except sqlite3.Error:
                if connection.frozen is None or not connections.has_changed(connection.frozen):
                    raise
                continue
            finally:
                connections.take_back(connection, broken=broken)
            if connection.frozen is None or not connections.has_changed(connection.frozen):
                return found

    def _write(self, work: Callable[[Connection, float], None], *, create: bool) -> bool:
        connection = self._connections.writer(create=create)
        if connection is None:
            return False
        broken = True
        try:
            connection.execute("BEGIN IMMEDIATE")
            try:
                _schema.refuse_newer(connection, self.path)
                now = time()
                work(connection, now)
                if abs(now - self._tidied) >= _TIDY:
                    self._tidied = now if _schema.tidy(connection, now) else -_TIDY
                connection.execute("COMMIT")
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
            broken = False
        except NspError:
            broken = False  # it was refused, nothing failed
            raise
        finally:
            self._connections.take_back(connection, broken=broken)
        return True

    def _translated(self, error: sqlite3.Error | OSError) -> NspError:
        if isinstance(error, OSError):
            return _failures.of_the_file(error, self.path)
        if _failures.is_busy(error):
            return _failures.busy(self.path, self._busy_timeout)
        return _failures.of_sqlite(error, self.path)


def _state(connection: Connection) -> object:
    if connection.frozen is not None:
        return connection.frozen
    # The number counts the commits of others that this connection has seen, and no reader commits.
    [version] = connection.execute("PRAGMA data_version").fetchone()
    return connection.identity, connection.number, version
