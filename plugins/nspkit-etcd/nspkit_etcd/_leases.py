"""The leases that this provider has made: of which key each is, and since which revision."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from nspkit.registry import Key

_FEW = 64
"""Of so many nobody asks whether they are over."""


class Held(NamedTuple):
    """A lease, and what was put with it last.

    Attributes:
        lease: Its number.
        seconds: For how long it was asked for.
        value: The value.
        revision: Since when the key has it.
        ends: When it is over unless it is renewed, on the monotonic clock.
        doubtful: Whether something may have been put with it since, by a request whose end is
            unknown; then the key may have it although another has the higher revision.
    """

    lease: int
    seconds: int
    value: bytes
    revision: int
    ends: float
    doubtful: bool = False


class Leases:
    """Who puts a key takes its lease, and gives back the one that the key has then.

    So no lease is used by two threads, and none that a key still has is thought to be free: of two
    leases for one key that came later which has the higher revision, and the other has lost it;
    unless that is in doubt: then it is left to end by itself. No lock is taken; each step is one
    operation of a dictionary.
    """

    def __init__(self) -> None:
        """Hold none."""
        self._held: dict[Key, Held] = {}
        self._enough = _FEW

    def take(self, key: Key) -> Held | None:
        """Return the lease of a key, which is nobody else's then."""
        return self._held.pop(key, None)

    def keep(self, key: Key, held: Held) -> list[int]:
        """Hold a lease for a key; return the leases which that key does not have any more."""
        lost: list[int] = []
        while True:
            other = self._held.pop(key, None)
            if other is not None:
                newer, older = sorted((held, other), key=lambda one: one.revision, reverse=True)
                if newer.lease != older.lease and not older.doubtful:
                    lost.append(older.lease)
                held = newer
            if self._held.setdefault(key, held) is held:
                break  # else somebody was quicker
        self._forget()
        return lost

    def _forget(self) -> None:
        """Forget those that are long over, once there are twice as many as there were."""
        if len(self._held) < self._enough:
            return
        now = monotonic()
        for key, held in tuple(self._held.items()):
            if held.ends < now:
                self._held.pop(key, None)
        self._enough = max(_FEW, 2 * len(self._held))
