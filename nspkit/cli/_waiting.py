"""What a person sees on the terminal while nothing comes."""

from __future__ import annotations

import sys
import threading
from time import monotonic
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

SILENCE = 1.0
"""Seconds without a result after which it says that it still waits, and how often it does."""


class Waiting:
    """A line on the error output that says how long it has waited, and for how many results.

    It is there only on a terminal, only while nothing comes, and gone before the next result.
    """

    def __init__(self) -> None:
        """Make one that does nothing before the block begins."""
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._status: Any = None
        self._is_shown = False
        self._found = 0
        self._began = self._last = monotonic()

    def __enter__(self) -> Self:
        """Begin to look, if there is a terminal to look at."""
        if sys.stderr is not None and sys.stderr.isatty():
            threading.Thread(target=self._look, name="nspkit-waiting", daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Take the line away, however it ended."""
        self._over.set()
        self._hide()

    def came(self) -> None:
        """Take the line away: a result has come, and is going to be written."""
        self._found += 1
        self._last = monotonic()
        self._hide()

    def _hide(self) -> None:
        # An interrupt may have left it taken for ever; the line matters less than the end.
        taken = self._lock.acquire(timeout=SILENCE)
        try:
            if self._is_shown:
                self._is_shown = False
                self._status.stop()
        finally:
            if taken:
                self._lock.release()

    def _look(self) -> None:
        from rich.console import Console

        console = Console(stderr=True)
        while not self._over.wait(SILENCE):
            with self._lock:
                now = monotonic()
                if self._over.is_set() or now - self._last < SILENCE:
                    continue
                found = f"{self._found} found, " if self._found else ""
                told = f"{found}waiting for {now - self._began:.0f} s; Ctrl-C ends it"
                if self._is_shown:
                    self._status.update(told)
                else:
                    self._status = console.status(told)
                    self._status.start()
                    self._is_shown = True
