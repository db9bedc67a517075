"""The turn to write: one thread of a process at a time, in the order in which they came."""

from __future__ import annotations

from _thread import RLock
from typing import TYPE_CHECKING

from nspkit.errors import InProgressError
from nspkit_sqlite import _failures

if TYPE_CHECKING:
    from pathlib import Path


class Turn(RLock):  # type: ignore[misc]  # not final, whatever its stub says
    """What who writes holds meanwhile; between processes waiting is trying again.

    Ctrl-C may strike at any moment, also between the taking of a lock and the ``try`` that would
    give it back. This one is given back all the same, because the ``__exit__`` of Python's own
    lock cannot be interrupted before it has begun.
    """

    __slots__ = ("_path", "_seconds")

    def __init__(self, path: Path, seconds: float) -> None:
        """Make one for a file, of which nobody waits longer than ``seconds``."""
        self._path = path
        self._seconds = seconds

    def __enter__(self) -> bool:  # type: ignore[override]
        if self._is_owned():  # type: ignore[attr-defined]
            raise InProgressError(
                f"{self._path} is being written by this thread, which was interrupted by a call "
                "that writes too: do it outside of signal handlers and finalisers"
            )
        try:
            if self.acquire(timeout=self._seconds):
                return True
        except BaseException:
            # Struck when it had been taken, and before the block that would give it back.
            if self._is_owned():  # type: ignore[attr-defined]
                self.release()
            raise
        raise _failures.busy(self._path, self._seconds)
