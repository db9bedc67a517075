"""What has changed since a query was answered: a watch, read for the sake of one handle.

What counts is the difference between what the reader of the query was told, by its results and by
changes, and what is there now.
"""

from __future__ import annotations

import threading
from time import sleep
from typing import TYPE_CHECKING

from nspkit import Change, ChangeKind, ResultFlags, WatchState
from nspkit.errors import CancelledError, ErrorCode, NotInitialisedError, NspError

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from nspkit import Address, Service, Watch

    Identity = tuple[UUID | None, str, str]
    Completion = Callable[[int], object]

MOMENT = 0.05
"""Seconds between two looks whether all that is there has been told."""

LAST_MOMENT = 1.0
"""Seconds for which the end of a query waits for the completions that it causes."""


class Told:
    """What the reader of a query at one provider was told is there.

    Attributes:
        services: By what makes it the same service, all results for it, or its newest change.
        complete: Whether the results have come to their end.
    """

    __slots__ = ("complete", "services")

    def __init__(self) -> None:
        """Make one of a query that has told nothing."""
        self.services: dict[Identity, list[Service]] = {}
        self.complete = False

    def add(self, service: Service) -> None:
        """Take note of a result."""
        self.services.setdefault(identity_of(service), []).append(service)

    def agrees(self, identity: Identity, now: Service | None) -> bool:
        """Whether what was told of a service is what is there now."""
        told = self.services.get(identity)
        if told is None or now is None:
            return told is None and now is None
        # Of several results a poll makes one, the first at all addresses; where a provider tells
        # changes, each takes the place of the one before.
        at_all = frozenset(address for one in told for address in one.addresses)
        return content_of(now) in ((content_of(told[0])[0], at_all), content_of(told[-1]))

    def change(self, identity: Identity, now: Service | None) -> Change:
        """Take note that the reader gets what is there now, as the change that this is to it."""
        told = self.services.pop(identity, None)
        if now is None:
            assert told is not None  # else it agrees
            return Change(ChangeKind.REMOVED, told[0])
        self.services[identity] = [now]
        return Change(ChangeKind.CHANGED if told else ChangeKind.ADDED, now)


def identity_of(service: Service) -> Identity:
    """Return what makes a service the same one to a watch, whatever is changed about it."""
    return service.service_class, service.name, service.context


def content_of(service: Service) -> tuple[Service, frozenset[Address]]:
    """Return what a watch compares: not how long it holds, nor the order of addresses."""
    flags = service.flags & ~(
        ResultFlags.IS_ADDED | ResultFlags.IS_CHANGED | ResultFlags.IS_DELETED
    )
    return service.replace(ttl=None, addresses=(), flags=flags), frozenset(service.addresses)


class Feed:
    """The changes of one query: polled, waited for, taken one by one."""

    __slots__ = (
        "_compared",
        "_completions",
        "_lock",
        "_news",
        "_settled",
        "_there",
        "_thread",
        "_told",
        "_waiting",
        "_watch",
    )

    def __init__(self, watch: Watch, told: Told) -> None:
        """Make one of a watch that nobody else reads, and of what the query tells its reader."""
        self._watch = watch
        self._told = told
        self._there: dict[Identity, Service] = {}
        self._news: dict[Identity, None] = {}  # what may be another than was told
        self._settled = self._compared = False
        self._completions: list[Completion] = []
        self._lock = threading.RLock()
        self._thread: threading.Thread | None = None
        self._waiting = False

    def settle(self) -> None:
        """Wait until it is known what is there: what comes after that is a change.

        Raises:
            NspError: it cannot be known, for the reason that the watch gives.
        """
        while not self._settled:
            while self._watch.state == WatchState.STARTING:
                sleep(MOMENT)  # not in the watch: another thread may settle, too
            self._refuse()
            with self._lock:
                if not self._settled:
                    self._there = {identity_of(one): one for one in self._watch.snapshot()}
                    self._settled = True

    def poll(self) -> None:
        """Return if there is a change that was not taken.

        Raises:
            NspError: there is none (WSAEWOULDBLOCK 10035), or that cannot be told.
        """
        with self._lock:
            if self._look():
                return
        self._refuse()
        raise NspError("the results have not changed", code=ErrorCode.WSAEWOULDBLOCK)

    def _refuse(self) -> None:
        """Raise what keeps the watch from telling what there is."""
        if self._watch.state == WatchState.CLOSED:
            raise CancelledError("this query is being ended")
        if self._watch.error is not None:
            raise self._watch.error

    def take(self) -> Change | None:
        """Return the next change, None if there is none at the moment; all results are read.

        Raises:
            NspError: there will be none.
        """
        with self._lock:
            if not self._settled or not self._look():
                return None
            identity = next(iter(self._news))
            del self._news[identity]
            return self._told.change(identity, self._there.get(identity))

    def _look(self) -> bool:
        """Tell whether there is a change that was not taken, under the lock.

        Raises:
            NspError: there is none, and there will be none.
        """
        ended: NspError | None = None
        # A watch has one reader: while a completion waits, what comes next comes through it.
        try:
            while not self._waiting and (change := self._watch.wait(0.0)) is not None:
                self._note(change)
        except NspError as error:
            ended = error
        if self._told.complete and not self._compared:
            self._compared = True
            self._news = dict.fromkeys((*self._told.services, *self._there))
        while self._news:
            identity = next(iter(self._news))
            if not self._told.agrees(identity, self._there.get(identity)):
                return True
            del self._news[identity]
        if ended is not None:
            raise ended
        return False

    def _note(self, change: Change) -> None:
        """Take over a change of what is there."""
        identity = identity_of(change.service)
        if change.kind is ChangeKind.REMOVED:
            self._there.pop(identity, None)
        else:
            self._there[identity] = change.service
        self._news[identity] = None

    def notify(self, completion: Completion) -> None:
        """Call ``completion`` once there is a change that was not taken, on a thread of its own.

        Raises:
            NspError: there will be none.
        """
        if self._watch.state in (WatchState.CLOSED, WatchState.FAILED):
            self._refuse()
        with self._lock:
            self._completions.append(completion)
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="nspkit winsock change", daemon=True
                )
                self._thread.start()

    def _run(self) -> None:
        while True:
            with self._lock:
                if not self._completions:
                    self._thread = None
                    return
            code = self._await_change()
            with self._lock:
                completions, self._completions = self._completions, []
            for completion in completions:
                complete(completion, code)

    def _await_change(self) -> int:
        """Wait until there is a change; returns 0, or the code of what came instead."""
        try:
            while True:
                with self._lock:
                    self._waiting = False
                    if self._look():
                        return 0
                    self._waiting = True
                change = next(self._watch)
                with self._lock:
                    self._note(change)
        except (CancelledError, NotInitialisedError):
            return int(ErrorCode.WSA_OPERATION_ABORTED)
        except NspError as error:
            return int(error.code)
        finally:
            self._waiting = False

    def close(self) -> None:
        """End the watch: who waits is told that it was aborted."""
        self._watch.close()

    def join(self) -> None:
        """Wait a moment for the thread that tells so, unless this is it."""
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(LAST_MOMENT)


def complete(completion: Completion, code: int) -> None:
    """Call a completion; what it raises is logged, since nobody is there to be raised to."""
    try:
        completion(code)
    except Exception:
        import logging

        logging.getLogger("nspkit").exception("a completion failed on code %d", code)
