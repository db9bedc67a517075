"""A value that is made once, when it is first needed, whoever asks and however many at a time.

No lock is held while it is made, because making it runs foreign code: the import of a provider.
"""

from __future__ import annotations

from _thread import get_ident
from typing import TYPE_CHECKING, Generic, TypeVar

from nspkit._bell import Bell

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

PATIENCE = 60.0
"""Seconds that a thread waits for another one that makes the value."""


class Once(Generic[T]):
    """A value, made by the first thread that asks, while the others wait for it.

    What the maker raises, an interrupt for instance, passes through to its thread, and one of
    those who wait makes the value afresh. No lock is taken, so a signal handler may ask too.

    Attributes:
        known: The value, or ``None`` before it is made.
    """

    __slots__ = ("_attempts", "_make", "known")

    def __init__(self, make: Callable[[], T], known: T | None = None) -> None:
        """Keep how the value is made, or the value itself; it must not be ``None``."""
        self.known = known
        self._make = make
        # Whoever is first in the list makes the value; then a new list takes its place.
        self._attempts: list[_Attempt] = []

    def get(self) -> T | None:
        """Return the value, and make it where it is not known.

        It is ``None`` where there is nothing to wait for: this very thread is making it further
        up its stack, or another one has been making it for `PATIENCE` seconds, which may well be
        two threads that wait for each other.
        """
        while self.known is None:
            attempts = self._attempts
            mine = _Attempt()
            try:
                attempts.append(mine)
                first = attempts[0]
                if first is not mine:
                    if not first.is_worth_waiting_for():
                        return self.known
                # The one before may have made it between our look and our turn.
                elif self.known is None:
                    self.known = self._make()
            finally:
                if attempts[:1] == [mine]:
                    self._attempts = []
                    mine.over.ring()
        return self.known


class _Attempt:
    """One thread's turn to make the value, and what the others wait on."""

    __slots__ = ("over", "owner")

    def __init__(self) -> None:
        self.owner = get_ident()
        self.over = Bell()

    def is_worth_waiting_for(self) -> bool:
        """Wait until the attempt is over; False where that is, or may be, in vain."""
        return self.owner != get_ident() and self.over.wait(PATIENCE)
