"""What the C shapes share in one process: the catalog, and the host between startup and cleanup.

No lock is held while the host is closed, a provider imported or a completion called: all of these
run foreign code.
"""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import count
from typing import TYPE_CHECKING, Any

from nspkit import Catalog, Host
from nspkit.errors import (
    ErrorCode,
    InProgressError,
    InvalidHandleError,
    NotInitialisedError,
    NspError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from uuid import UUID

    from nspkit.winsock._search import Search


class Period:
    """What there is from the first WSAStartup to the last WSACleanup."""

    __slots__ = ("blobs", "count", "host", "searches", "waiters")

    def __init__(self, host: Host, blobs: dict[UUID, bytes]) -> None:
        """Make one with the reference of the first WSAStartup; it starts nothing."""
        self.host = host
        self.blobs = blobs
        self.count = 1
        self.searches: dict[int, Search] = {}
        self.waiters: list[Callable[[int], None]] = []

    def search(self, handle: object) -> Search:
        """Return the query of a handle.

        Raises:
            InvalidHandleError: there is none, or it was ended (WSA_INVALID_HANDLE 6).
        """
        found = self.searches.get(handle) if type(handle) is int else None
        if found is None:
            raise InvalidHandleError(f"{handle!r} is no handle of a query, or was ended")
        return found

    def close(self) -> None:
        """Close the host, then tell everybody who waits that it is over."""
        try:
            self.host.close()
        finally:
            if not is_open(self.host):
                for waiter in self.waiters:
                    waiter(int(ErrorCode.WSA_OPERATION_ABORTED))
                for search in list(self.searches.values()):
                    search.join()


class Process:
    """The state behind all functions; there is one, `process`."""

    def __init__(self) -> None:
        """Make one that has not been started."""
        self.period: Period | None = None
        self.blobs: dict[UUID, bytes] = {}
        self.changes = 0
        self.handles = count(1)  # never one twice, so that an old handle is no new one's
        self.ordering: dict[None, object] = {}  # who writes an order; one at a time
        self._catalog: Catalog | None = None
        self._unsubscribe: Callable[[], None] = lambda: None
        self._ending: threading.Event | None = None
        self._lock = threading.RLock()
        self._busy = False
        self._inherited: list[Any] = []

    # -- the catalog ---------------------------------------------------------------------------

    @property
    def catalog(self) -> Catalog:
        """The catalog that WSC… functions change; what is installed, until something is changed."""
        found = self._catalog
        return self.use(Catalog.discover(), initial=True) if found is None else found

    def use(self, catalog: Catalog, *, initial: bool = False) -> Catalog:
        """Work on a catalog from the next period on, and return it; an ``initial`` one yields."""
        with self.alone():
            if self._catalog is None or not initial:
                self._unsubscribe()
                self._catalog = catalog
                self._unsubscribe = catalog.subscribe(self._changed)
            return self._catalog

    def _changed(self, _change: object, _entry: object) -> None:
        with self.alone():
            self.changes += 1
            period = self.period
            waiters = [] if period is None else period.waiters[:]
            if period is not None:
                period.waiters.clear()
        for waiter in waiters:
            waiter(0)

    # -- startup and cleanup -------------------------------------------------------------------

    def running(self) -> Period:
        """Return what there is after WSAStartup.

        Raises:
            NotInitialisedError: there was none, or as many WSACleanup (WSANOTINITIALISED 10093).
        """
        period = self.period
        if period is None:
            raise NotInitialisedError("there was no WSAStartup, or its WSACleanup; call it first")
        return period

    def startup(self) -> None:
        """Take a reference; the first makes the host, after a cleanup in progress has ended.

        Raises:
            InProgressError: called from inside that cleanup (WSAEINPROGRESS 10036).
        """
        while True:
            ending = self._ending
            if ending is not None:
                if _ENDING_IN.get() is ending:
                    raise InProgressError(
                        "WSAStartup came from inside the last WSACleanup; do it after that"
                    )
                ending.wait()
            fresh = None
            if self.period is None:
                fresh = Period(Host(catalog=self.catalog), dict(self.blobs))
            with self.alone():
                if self.period is not None:
                    self.period.count += 1
                    return
                if fresh is not None and self._ending is None:
                    self.period = fresh
                    return

    def cleanup(self) -> None:
        """Give a reference back; the last closes the host, whose errors are logged.

        Raises:
            NotInitialisedError: there is none (WSANOTINITIALISED 10093).
            InProgressError: the last one came from inside a provider (WSAEINPROGRESS 10036).
        """
        ending = threading.Event()
        token = _ENDING_IN.set(ending)
        try:
            with self.alone():
                period = self.running()
                if period.count > 1:
                    period.count -= 1
                    return
                # First: who calls from inside a cleanup is answered as after it.
                self.period, self._ending = None, ending
            self._close(period)
        finally:
            _ENDING_IN.reset(token)
            if self._ending is ending:
                self._ending = None
                ending.set()

    def _close(self, period: Period) -> None:
        try:
            period.close()
        except NspError as error:
            if is_open(period.host):
                self.period = period
                raise
            import logging

            logging.getLogger("nspkit").error("WSACleanup: %s", error, exc_info=error)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other threads out, and refuse a signal handler that interrupts this one there.

        Raises:
            InProgressError: it does (WSAEINPROGRESS 10036).
        """
        with self._lock:
            if self._busy:
                raise InProgressError(
                    "this call interrupted another one on this thread; do it outside of signal "
                    "handlers and finalisers"
                )
            try:
                self._busy = True
                yield
            finally:
                self._busy = False

    def forget(self) -> None:
        """In a forked child: keep what is the parent's, call nothing, be not started."""
        # Never dropped: that would finalise what the parent uses.
        self._inherited.append((self.period, self._ending))
        self.period = self._ending = None
        self.ordering = {}
        self._lock = threading.RLock()
        self._busy = False


def is_open(host: Host) -> bool:
    """Whether a host can still be used."""
    try:
        host.__enter__()
    except NotInitialisedError:
        return False
    return True


_ENDING_IN: ContextVar[threading.Event | None] = ContextVar("nspkit_winsock_ending", default=None)
"""The cleanup that this thread is inside; the host's threads take over the context."""

process = Process()
"""The only state of a process that is not in a `Host` that somebody has made."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=process.forget)
