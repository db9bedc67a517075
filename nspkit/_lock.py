"""A lock that refuses to be taken twice by one thread, instead of waiting for ever."""

from __future__ import annotations

import threading

from nspkit.errors import InProgressError


class OwnedLock:
    """A lock for the host's own state; a re-entry on one thread is an error, not a deadlock.

    A signal handler, or the finaliser of a foreign object, may run on any thread at any moment,
    also while that thread holds this lock.
    """

    __slots__ = ("_lock", "_what")

    def __init__(self, what: str) -> None:
        """Make one; ``what`` names in the error what is being changed."""
        self._what = what
        self._lock = threading.RLock()

    def __enter__(self) -> None:
        if self._lock._is_owned():  # type: ignore[attr-defined]
            raise InProgressError(
                f"{self._what} was interrupted on this thread by a call that needs it; do it "
                "outside of signal handlers and finalisers"
            )
        self._lock.acquire()

    def __exit__(self, *_details: object) -> None:
        self._lock.release()
