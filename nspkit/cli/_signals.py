"""How a command that stays in the foreground is ended: by Ctrl-C, by SIGTERM, by a hang-up."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING, Any

from nspkit.cli._status import Status

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
"""Those that ask for an end; a platform has some of them."""


class Stop:
    """Takes the signals that ask for an end, while it is entered.

    What the one who started the program has told it to ignore, as ``nohup`` does, stays ignored.

    Attributes:
        count: How often an end was asked for.
    """

    def __init__(
        self, tell: Callable[[], object] = lambda: None, *, interrupts: bool = False
    ) -> None:
        """Have ``tell`` called at each signal, in between whatever the main thread does.

        With ``interrupts`` the second one raises KeyboardInterrupt there, as long as nobody has
        heeded the first: the main thread hangs, in writing to who does not read for instance. The
        first does not, since whatever it strikes, a lock of foreign code above all, is left as
        it was at that moment.
        """
        self.count = 0
        self._first: int | None = None
        self._tell = tell
        self._interrupts = interrupts
        self._before: dict[int, Any] = {}

    @property
    def status(self) -> Status:
        """The exit status of a command that has ended in order, as it was asked to."""
        is_ctrl_c = self._first in (signal.SIGINT, None)
        return Status.INTERRUPTED if is_ctrl_c else Status.DONE

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]:
                if signal.getsignal(number) not in (signal.SIG_IGN, None):
                    self._before[number] = signal.signal(number, self._take)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        while self._before:
            signal.signal(*self._before.popitem())

    def heed(self) -> None:
        """Raise KeyboardInterrupt if an end was asked for; from then on no signal does."""
        if self.count:
            self._interrupts = False
            raise KeyboardInterrupt

    def _take(self, number: int, _frame: object) -> None:
        self.count += 1
        if self._first is None:
            self._first = number
        self._tell()
        if self._interrupts and self.count > 1:
            self._interrupts = False
            raise KeyboardInterrupt
