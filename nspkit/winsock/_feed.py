"""What has changed since a query was answered: a watch, read for the sake of one handle."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from nspkit import WatchState
from nspkit.errors import CancelledError, ErrorCode, NotInitialisedError, NspError

if TYPE_CHECKING:
    from collections.abc import Callable

    from nspkit import Change, Watch

    Completion = Callable[[int], object]

MOMENT = 0.05
"""Seconds between two looks whether all that is there has been told."""

LAST_MOMENT = 1.0
"""Seconds for which the end of a query waits for the completions that it causes."""


class Feed:
    """The changes of one query: polled, waited for, taken one by one."""

    __slots__ = (
        "_completions",
        "_lock",
        "_pending",
        "_seen",
        "_thread",
        "_waiting",
        "_watch",
    )

    def __init__(self, watch: Watch) -> None:
        """Make one of a watch that nobody else reads."""
        self._watch = watch
        self._seen = -1  # a generation, once it is settled
        self._pending: Change | None = None
        self._completions: list[Completion] = []
        self._lock = threading.RLock()
        self._thread: threading.Thread | None = None
        self._waiting = False

    def settle(self) -> None:
        """Wait until it is known what is there: what comes after that is a change.

        Raises:
            NspError: it cannot be known, for the reason that the watch gives.
        """
        if self._seen < 0:
            while self._watch.state == WatchState.STARTING:
                self._watch.wait(MOMENT)
            self._refuse()
            # In this order nothing is missed: what changes in between is told twice.
            generation = self._watch.generation
            self._watch.snapshot()
            self._seen = generation

    def poll(self) -> None:
        """Return if there is a change that was not taken.

        Raises:
            NspError: there is none (WSAEWOULDBLOCK 10035), or that cannot be told.
        """
        if self._watch.changed_since(self._seen):
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
        """Return the next change, None if there is none at the moment."""
        with self._lock:
            change, self._pending = self._pending, None
            # A watch has one reader: while a completion waits, the change that it waits for is
            # the next one, and comes through it.
            if change is None and self._seen >= 0 and not self._waiting:
                generation = self._watch.generation
                change = self._watch.wait(0.0)
                if change is None:
                    self._seen = generation
            return change

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
                self._waiting = self._pending is None
            code = self._await_change() if self._waiting else 0
            with self._lock:
                completions, self._completions = self._completions, []
            for completion in completions:
                complete(completion, code)

    def _await_change(self) -> int:
        """Wait for the next change and keep it; returns 0, or the code of what came instead."""
        try:
            self._pending = next(self._watch)
        except (CancelledError, NotInitialisedError):
            return int(ErrorCode.WSA_OPERATION_ABORTED)
        except NspError as error:
            return int(error.code)
        finally:
            self._waiting = False
        return 0

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
