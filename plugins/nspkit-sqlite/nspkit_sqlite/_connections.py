"""Connections to the file: lent for one statement or transaction, taken back, kept for the next.

None is lent while somebody looks at a result, so none keeps a view of the file for longer than a
statement takes, and any thread may have any of them.
"""

from __future__ import annotations

import sqlite3
import stat
import threading
from itertools import count
from time import monotonic
from typing import TYPE_CHECKING

from nspkit.errors import InProgressError, NotInitialisedError, NotReadyError
from nspkit_sqlite import _fork, _opening, _schema
from nspkit_sqlite._opening import Loan

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from nspkit_sqlite._opening import Connection, Identity
    from nspkit_sqlite._values import Row

_KEPT = 8
_GLANCE = 0.5
"""Seconds for which a lookup trusts that the path still leads to the same file."""
_PATIENCE = 5.0
"""Seconds for which a fork waits for connections that are lent."""


class Connections:
    """The connections of one started provider."""

    def __init__(self, path: Path) -> None:
        """Make none yet; nothing is opened before it is asked for."""
        self._path = path
        self._numbers = count()
        # Reentrant: a signal handler may look something up, or fork, between two lines here.
        self._lock = threading.RLock()
        self._returned = threading.Condition(self._lock)
        self._readers: list[Connection] = []
        self._writers: list[Connection] = []
        self._loans: set[Loan] = set()
        self._forking: set[int] = set()
        self._shared: set[Identity] = set()
        self._closed = ""
        self._identity: Identity | None = None
        self._trusted_until = 0.0
        _fork.join(self)

    def reader(self, loan: Loan) -> Connection | None:
        """Lend a connection for reading; None where there is no registry.

        It is for `take_back` to end the loan, also where this fails.

        Raises:
            NotReadyError: The file is no registry (WSASYSNOTREADY 10091).
            NotInitialisedError: The provider was stopped, or this is a forked child (10093).
            sqlite3.Error, OSError: It cannot be opened.
        """
        if monotonic() >= self._trusted_until and not self.look():
            return None
        return self._lend(loan, self._readers, lambda: _opening.to_read(self._path, loan))

    def rows_at_once(self, statement: str, key: tuple[object, ...]) -> list[Row] | None:
        """Return what a statement finds, the quick way; None where it has to go the long one.

        That is where no connection is idle, or where anything fails.
        """
        idle = self._readers
        if not idle or monotonic() >= self._trusted_until:
            return None
        loan, rows = Loan(), None
        with loan.held:
            try:
                with self._lock:
                    if self._forking or not self._has_idle(idle):
                        return None
                    connection = self._take(loan, idle)
                # All, though it is one at most: a statement read to its end holds no view.
                rows = connection.finder.execute(statement, key).fetchall()
                loan.broken = False
            except sqlite3.Error:
                pass  # told, or waited for, on the long way
            finally:
                self.take_back(loan)
        return rows

    def writer(self, loan: Loan, *, create: bool) -> Connection | None:
        """Lend a connection for a transaction; None where there is no registry and none is made.

        It is for `take_back` to end the loan, also where this fails.

        Raises:
            NspError, sqlite3.Error, OSError: As `reader`.
        """
        if not self.look():
            if not create:
                return None
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return self._lend(
            loan, self._writers, lambda: _opening.to_write(self._path, loan, create=create)
        )

    def take_back(self, loan: Loan) -> None:
        """Take a connection back; one that failed, or whose file is another now, is closed."""
        connection = loan.connection
        if connection is not None and not loan.broken and connection.frozen is None:
            idle = self._writers if connection.writes else self._readers
            with self._lock:
                current = connection.identity == self._identity and not self._closed
                if current and len(idle) < _KEPT:
                    idle.append(connection)
                    self._end(loan)
                    return
        # Not ended where this is struck: then it is lost, and closed by who finds it.
        if connection is not None:
            connection.close()
        with self._lock:
            self._end(loan)

    def look(self) -> bool:
        """See which file is there now, and say whether it is a registry.

        Raises:
            NotReadyError: It is something else (WSASYSNOTREADY 10091).
            sqlite3.Error, OSError: It cannot be read.
        """
        identity = None
        try:
            found = self._path.stat()
            if not stat.S_ISREG(found.st_mode):  # opening a pipe would wait for its writer
                raise _schema.foreign(self._path, "is no regular file")
            identity = (found.st_dev, found.st_ino)
        except (FileNotFoundError, NotADirectoryError):
            pass
        if identity is None or identity != self._identity:
            self._forget_file()
            if identity is None or not _schema.is_registry(self._path):
                return False
            if _fork.is_shared(identity):
                raise NotReadyError(
                    f"{self._path} was in use while this process was forked, and would be damaged "
                    "by it: start processes in another way than by a fork, or fork earlier"
                )
            self._identity = identity
        self._trusted_until = monotonic() + _GLANCE
        return True

    def has_changed(self, loan: Loan) -> bool:
        """Say whether a file that was taken for one that nobody changes is another one now."""
        if loan.connection is None or loan.connection.frozen is None:
            return False
        try:
            return _opening.state_of(self._path) != loan.connection.frozen
        except OSError:
            return True

    def close(self) -> None:
        """Close what is idle, and lend nothing more; what is lent is closed when it comes back."""
        with self._lock:
            self._closed = self._closed or f"{self._path} is closed: the provider was stopped"
        _fork.leave(self)
        self._forget_file()

    def _lend(
        self, loan: Loan, idle: list[Connection], make: Callable[[], Connection | None]
    ) -> Connection | None:
        with self._lock:
            if self._forking or self._closed:
                self._wait_or_refuse()
            if self._loans:
                self._end_lost()
            if self._has_idle(idle):
                return self._take(loan, idle)
            self._loans.add(loan)
        # Seen before it is opened: a file that comes in between counts as another one.
        identity = self._identity
        connection = make()
        if connection is not None:
            if identity is None and self.look():  # it was made
                identity = self._identity
            connection.identity = identity
            connection.number = next(self._numbers)
        return connection

    def _has_idle(self, idle: list[Connection]) -> bool:
        # Those to a file that was replaced may not all be closed yet.
        return bool(idle) and idle[-1].identity == self._identity

    def _take(self, loan: Loan, idle: list[Connection]) -> Connection:
        self._loans.add(loan)
        # In both for a moment: an interrupt must not strike while it is in neither.
        connection = loan.connection = idle[-1]  # the last one: its cache is warm
        del idle[-1]
        return connection

    def _end(self, loan: Loan) -> None:
        self._loans.discard(loan)
        if self._forking:
            self._returned.notify_all()

    def _end_lost(self) -> None:
        """End the loans that an interrupt has kept from being given back, and close what they had.

        Unless that was idle again already, and perhaps has been lent again.
        """
        loans = tuple(self._loans)
        for lost in (loan for loan in loans if not loan.held.locked()):
            others = {loan.connection for loan in loans if loan is not lost}
            others.update(self._readers, self._writers)
            if lost.connection is not None and lost.connection not in others:
                lost.connection.close()
            self._loans.discard(lost)

    def _forget_file(self) -> None:
        with self._lock:
            self._end_lost()
            self._identity = None
            self._trusted_until = 0.0
        for idle in (self._readers, self._writers):
            for _ in range(len(idle)):
                loan = Loan()  # what is not closed yet counts as lent: a fork has to know of it
                with loan.held:
                    with self._lock:
                        if idle:
                            self._take(loan, idle)
                    self.take_back(loan)

    # -- fork -----------------------------------------------------------------------------------

    def hold(self) -> None:
        """Close everything before a fork, on the forking thread; `resume` ends it there."""
        with self._lock:
            self._forking.add(threading.get_ident())
            identity = self._identity
            until = monotonic() + _PATIENCE
            self._end_lost()
            while self._loans and (left := until - monotonic()) > 0:
                self._returned.wait(left)
                self._end_lost()
            self._shared = {identity} if self._loans and identity is not None else set()
            self._forget_file()

    def resume(self) -> None:
        """Go on in the parent."""
        with self._lock:
            self._forking.discard(threading.get_ident())
            self._returned.notify_all()

    def forget(self) -> set[Identity]:
        """Be of no use in the child; tells the files that are still open there."""
        self._lock = threading.RLock()
        self._returned = threading.Condition(self._lock)
        self._forking.clear()
        self._closed = (
            f"{self._path} is used by a provider of the parent process, which a forked child must "
            "not use; make a host of its own in the child"
        )
        return self._shared

    def _wait_or_refuse(self) -> None:
        while self._forking:
            if threading.get_ident() in self._forking:
                raise InProgressError(f"{self._path} waits for this thread's fork")
            self._returned.wait()
        if self._closed:
            raise NotInitialisedError(self._closed)
