"""What broken providers share: a good one to spoil, and a note of which rule each breaks."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from nspkit.testing import MemoryProvider

T = TypeVar("T", bound=type)

LONG = 0.8
"""How long a broken provider hangs, in seconds: twice what the tests have patience for."""

SHARES = "contract.state_is_not_shared"
"""What follows where a provider keeps in its module what it leaves."""

EVERYTHING = ("",)
"""What follows where a provider cannot even be started."""


class Good(MemoryProvider):
    """Keeps every rule."""


def breaks(rule: str, *follows: str) -> Callable[[T], T]:
    """Mark a provider as one that breaks a rule.

    ``follows`` are the beginnings of the ids of those rules that are then broken too.
    """

    def mark(provider: T) -> T:
        provider.breaks = rule  # type: ignore[attr-defined]
        provider.follows = (rule, *follows)  # type: ignore[attr-defined]
        return provider

    return mark
