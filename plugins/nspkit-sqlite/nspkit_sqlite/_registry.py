"""The registry: one statement to read, one transaction to write, each error translated."""

from __future__ import annotations

import sqlite3
from time import monotonic, time
from typing import TYPE_CHECKING, TypeVar

from nspkit import Cancellation
from nspkit.errors import NspError
from nspkit_sqlite import _failures, _schema
from nspkit_sqlite._connections import Connections
from nspkit_sqlite._opening import Loan
from nspkit_sqlite._turn import Turn

if TYPE_CHECKING:
    from collections.abc import Callable

    from nspkit_sqlite._opening import Connection
    from nspkit_sqlite._settings import Settings
    from nspkit_sqlite._values import Row

T = TypeVar("T")

_SHORTEST, _LONGEST = 0.001, 0.01
"""Seconds between two tries, the first and the last ones, while others have the file locked."""

_TIDY = 1.0
"""Seconds after which who writes takes away again what has ended."""


class Registry:
    """The file of one started provider; all methods may be called from any thread."""

    def __init__(self, settings: Settings) -> None:
        """Open nothing yet."""
        self.path = settings.path
        self.interval = settings.interval
        self._busy_timeout = settings.busy_timeout
        self._connections = Connections(settings.path)
        self._turn = Turn(settings.path, settings.busy_timeout)
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
        """Close all connections; who waits for the file ends with NotInitialisedError (10093)."""
        self._connections.close()

    def read(
        self, work: Callable[[Connection], T], cancellation: Cancellation | None = None
    ) -> T | None:
        """Return what ``work`` returns, which executes one statement; None without a registry.

        Raises:
            TryAgainError: The file was locked too long, or nobody waits any more (11002).
            NspError: It cannot be read.
        """
        return self._patiently(lambda: self._read(work), cancellation)

    def row(
        self, statement: str, key: tuple[object, ...], cancellation: Cancellation | None = None
    ) -> Row | None:
        """Return the one row that ``statement`` finds; None if there is none, or no registry.

        Raises:
            TryAgainError: The file was locked too long, or nobody waits any more (11002).
            NspError: It cannot be read.
        """
        rows = self._connections.rows_at_once(statement, key)
        if rows is None:
            rows = self.read(lambda other: other.execute(statement, key).fetchall(), cancellation)
        return rows[0] if rows else None

    def write(self, work: Callable[[Connection, float], None], *, create: bool = False) -> bool:
        """Run ``work`` in a transaction, with the time; False if there is no registry.

        It is committed, on the disk, when this returns, and has not happened if this raises.
        Where others have the file locked, ``work`` may run more than once.

        Raises:
            TryAgainError: The file was locked too long (WSATRY_AGAIN 11002).
            InProgressError: This thread is writing, and was interrupted (WSAEINPROGRESS 10036).
            NotInitialisedError: The provider was stopped meanwhile (WSANOTINITIALISED 10093).
            NspError: It cannot be written, or what ``work`` raised.
        """
        until = monotonic() + self._busy_timeout
        with self._turn:
            return self._patiently(lambda: self._write(work, create=create), None, until=until)

    def state(self, cancellation: Cancellation) -> object:
        """Return what is another one after every change of the registry; None if there is none.

        Raises:
            NspError: It cannot be read.
        """
        return self.read(_state, cancellation)

    def _patiently(
        self,
        attempt: Callable[[], T],
        cancellation: Cancellation | None,
        *,
        until: float | None = None,
    ) -> T:
        """Try again while others have the file locked; every other error is translated."""
        pause = _SHORTEST
        while True:
            try:
                return attempt()
            except NspError:
                raise
            except (sqlite3.Error, OSError) as error:
                if isinstance(error, OSError) or not _failures.is_busy(error):
                    raise self._translated(error) from error
                now = monotonic()
                until = now + self._busy_timeout if until is None else until
                if now >= until:
                    raise _failures.busy(self.path, self._busy_timeout) from error
                # Where the provider was stopped meanwhile, it is the next try that says so.
                cancellation = cancellation or Cancellation()
                if cancellation.wait(min(pause, until - now)):
                    raise _failures.given_up(self.path) from error
            pause = min(2 * pause, _LONGEST)

    def _read(self, work: Callable[[Connection], T]) -> T | None:
        connections = self._connections
        while True:
            loan = Loan()
            with loan.held:
                try:
                    connection = connections.reader(loan)
                    if connection is None:
                        return None
                    found = work(connection)
                    loan.broken = False
                except sqlite3.Error:
                    if not connections.has_changed(loan):
                        raise
                    continue
                finally:
                    connections.take_back(loan)
            if not connections.has_changed(loan):
                return found

    def _write(self, work: Callable[[Connection, float], None], *, create: bool) -> bool:
        loan = Loan()
        with loan.held:
            try:
                connection = self._connections.writer(loan, create=create)
                if connection is None:
                    return False
                try:
                    self._transact(connection, work)
                    loan.broken = False
                except NspError:
                    loan.broken = False  # it was refused, nothing failed
                    raise
                except sqlite3.Error as error:
                    loan.broken = not _failures.is_busy(error)
                    raise
            finally:
                self._connections.take_back(loan)
        return True

    def _transact(self, connection: Connection, work: Callable[[Connection, float], None]) -> None:
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

    def _translated(self, error: sqlite3.Error | OSError) -> NspError:
        if isinstance(error, OSError):
            return _failures.of_the_file(error, self.path)
        return _failures.of_sqlite(error, self.path)


def _state(connection: Connection) -> object:
    if connection.frozen is not None:
        return connection.frozen
    # The number counts the commits of others that this connection has seen, and no reader commits.
    [version] = connection.execute("PRAGMA data_version").fetchone()
    return connection.identity, connection.number, version
