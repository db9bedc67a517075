"""A lock that refuses to be taken twice by one thread, instead of waiting for ever."""

from __future__ import annotations

from _thread import RLock

from nspkit.errors import InProgressError


class OwnedLock(RLock):  # type: ignore[misc]  # not final, whatever its stub says
    """A lock for the host's own state; a re-entry on one thread is an error, not a deadlock.

    A signal handler, or the finaliser of a foreign object, may run on any thread at any moment,
    also while that thread holds this lock. It may also raise there, as Ctrl-C does: that the lock
    is given back all the same is why this is a subclass of Python's own lock, whose ``__exit__``
    cannot be interrupted before it has begun, and not an object that has one.
    """

    __slots__ = ("_what",)

    def __init__(self, what: str) -> None:
        """Make one; ``what`` names in the error what is being changed."""
        self._what = what

    def __enter__(self) -> bool:  # type: ignore[override]
        if self._is_owned():  # type: ignore[attr-defined]
            raise InProgressError(
                f"{self._what} was interrupted on this thread by a call that needs it; do it "
                "outside of signal handlers and finalisers"
            )
        try:
            return self.acquire()
        except BaseException:
            # Struck between the taking of the lock and the block that would give it back.
            if self._is_owned():  # type: ignore[attr-defined]
                self.release()
            raise
