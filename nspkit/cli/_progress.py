"""How far a long operation is, in one line on a terminal."""

from __future__ import annotations

import sys
import threading
from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

PAUSE = 0.5
"""How often the line is written, in seconds; what is over sooner needs none."""


class Progress:
    """A line on the error output: how many are done, how fast, and how long it takes.

    It is there only on a terminal, and gone at the end.

    Attributes:
        count: How many are done; whoever does them counts.
    """

    def __init__(self, doing: str, total: int | None = None) -> None:
        """Say what is being done, such as ``registering``, and to how many if that is known."""
        self.count = 0
        self._doing = doing
        self._total = total
        self._began = monotonic()
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        """Begin to look, if there is a terminal to look at."""
        self._began = monotonic()
        if sys.stderr is not None and sys.stderr.isatty():
            self._thread = threading.Thread(target=self._look, name="nspkit-progress", daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Take the line away, however it ended."""
        self._over.set()
        if self._thread is not None:
            self._thread.join(PAUSE)  # a terminal that takes nothing does not hold up the end

    def text(self, seconds: float) -> str:
        """Return the line, after so many seconds."""
        count = self.count
        rate = count / seconds
        told = f"{self._doing} {count:,}"
        told += "" if self._total is None else f" of {self._total:,}"
        told += f", {rate:,.0f} a second"
        if self._total is not None and count:
            told += f", {_duration((self._total - count) / rate)} left"
        return f"{told}; Ctrl-C interrupts it"

    def _look(self) -> None:
        from rich.console import Console

        status = None
        while not self._over.wait(PAUSE):
            text = self.text(monotonic() - self._began)
            if status is None:
                status = Console(stderr=True).status(text)
                status.start()
            else:
                status.update(text)
        if status is not None:
            status.stop()


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


def counted(count: int, noun: str) -> str:
    """Return a number of things, in words such as ``2,000 services``."""
    ending = "" if count == 1 else "es" if noun.endswith("s") else "s"
    return f"{count:,} {noun}{ending}"
