"""One round of a provider's life, the references to it, and the guard around its calls."""

from __future__ import annotations

from _thread import RLock, get_ident
from contextvars import ContextVar, copy_context
from typing import TYPE_CHECKING, Any, TypeVar

from nspkit._bell import Bell
from nspkit.errors import InProgressError, NotInitialisedError, NspError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = TypeVar("T")

STOPPED, STARTING, STARTED = "stopped", "starting", "started"
STOPPING, QUARANTINED, CLOSED = "stopping", "quarantined", "closed"


class Occupied:
    """Who is inside a provider, and who must not come back to it.

    ``inside`` says by thread which hook it is in: the final cleanup waits for those. ``barred``
    are threads that a call from inside would come back on: they wait here for a start or a stop,
    or work for somebody who is inside. ``interrupted`` tells of what it shares with others whether
    this thread was changing it when the call came.
    """

    __slots__ = ("_lock", "_round", "barred", "inside", "interrupted", "key", "name")

    def __init__(self, name: str, key: Any) -> None:
        self.name = name
        self.key = key
        self.inside: dict[int, str] = {}
        self.barred: dict[int, None] = {}
        self.interrupted: Callable[[], bool] = bool
        # Reentrant only because such a lock knows its owner: who comes twice is refused.
        self._lock = RLock()
        self._round: Round | None = None

    def reentered(self) -> bool:
        """Whether this call comes from inside the provider, or interrupted this account."""
        ident, round = get_ident(), self._round
        return (
            ident in self.inside
            or ident in self.barred
            or (round is not None and round.owner == ident and not round.over.rung)
            or self._lock._is_owned()  # type: ignore[attr-defined]
            # Whom this call would wait for may need the very lock that this thread holds.
            or self.interrupted()
        )

    def refuse_reentry(self, what: str) -> None:
        """Raise InProgressError (WSAEINPROGRESS 10036) for a call from inside."""
        if self.reentered():
            raise self.reentry(what)

    def reentry(self, what: str) -> InProgressError:
        """Return the error for a call from inside."""
        return InProgressError(
            f"{what} of provider {self.name!r} came from inside one of its own calls, or "
            "interrupted one on this thread; do it after that call has come back",
            guid=self.key,
        )

    def wait(self, round: Round, seconds: float | None) -> bool:
        """Wait for the end of a round; who comes on this thread meanwhile (a signal) is refused.

        Raises:
            InProgressError: the round is a start, and waits for one that waits for this (10036).
        """
        ident, starting = get_ident(), STARTING_IN.get()
        try:
            self.barred[ident] = None
            if starting is not None:
                # The own wait is written down first: of two that look, one sees the other.
                starting.on[ident] = round.waits
                if round.waits.lead_to(starting):
                    raise self.reentry("startup")
            return round.over.wait(seconds)
        finally:
            self.barred.pop(ident, None)
            if starting is not None:
                starting.on.pop(ident, None)


class Generation:
    """One round of a lifetime, from a startup to its cleanup.

    ``open`` is what the guard looks at: false before the startup came back and from the moment
    the final cleanup began. ``users`` are what was opened and has to be ended then, oldest first:
    lookups, watches, registrations. ``payload`` is the started provider; the layer above puts it
    there as the last act of a start and takes it away as the last act of a stop. ``table`` is
    its routine table, which stays and refuses.
    """

    __slots__ = (
        "__weakref__",
        "lifetime",
        "number",
        "open",
        "payload",
        "started_at",
        "table",
        "users",
    )

    def __init__(self, lifetime: Any, number: int) -> None:
        self.lifetime = lifetime
        self.number = number
        self.open = False
        self.started_at = 0
        self.users: dict[Any, None] = {}
        self.payload: Any = None
        self.table: Any = None

    def run(self, what: str, function: Callable[..., T], argument: Any = None) -> T:
        """Call ``function`` under the guard; ``what`` names the call where it hangs.

        An ``argument`` that is None is not passed. It is no ``*args`` because each step of each
        lookup comes through here, and Python packs and unpacks those outside of its own loop.

        Raises:
            NotInitialisedError: the generation is over, or ends (WSANOTINITIALISED 10093).
        """
        inside, ident = self.lifetime.inside, get_ident()
        outer = ident in inside
        try:
            # No lock: this thread's entry first, the look at the state after. The final cleanup
            # does it the other way round, so one of the two sees the other. An entry is not a
            # number: it cannot be lost or counted twice, wherever an interrupt strikes.
            inside[ident] = what
            if not self.open:
                raise self.refusal()
            return function() if argument is None else function(argument)
        finally:
            if not outer:
                inside.pop(ident, None)

    def refusal(self) -> NotInitialisedError:
        """Return the error for work that comes before the start or after the end."""
        lifetime = self.lifetime
        ending = lifetime.generation is self and lifetime.state is STOPPING
        why = "is stopping" if ending else "was stopped since; start it again"
        return NotInitialisedError(
            f"provider {lifetime.name!r} {lifetime.closed_because or why}", guid=lifetime.key
        )


class Reference:
    """One reference: `Lifetime.acquire` fills it, `Lifetime.release` empties it."""

    __slots__ = ("generation",)

    def __init__(self) -> None:
        self.generation: Generation | None = None


class Round:
    """A start or a stop in progress, run by the thread ``owner``; others wait for ``over``."""

    __slots__ = (
        "error",
        "generation",
        "over",
        "owner",
        "teardown",
        "tried",
        "waiting",
        "waits",
    )

    def __init__(self, generation: Generation) -> None:
        self.generation = generation
        self.over = Bell()
        self.owner = get_ident()
        self.error: NspError | None = None
        self.tried = False
        self.waiting: list[Reference] = []
        self.waits = Waits()
        self.teardown: Any = None


class Waits:
    """Which other rounds a start waits for, by the threads that do; it refers to no provider."""

    __slots__ = ("on",)

    def __init__(self) -> None:
        self.on: dict[int, Waits] = {}

    def lead_to(self, other: Waits) -> bool:
        """Whether this one waits, directly or not, for the other: two that need each other."""
        found = [self]
        for waits in found:
            found += [one for one in list(waits.on.values()) if one not in found]
        return other in found


STARTING_IN: ContextVar[Waits | None] = ContextVar("nspkit_starting_in", default=None)
"""The start that this thread, or a worker that goes on for it, is part of."""


def carrying(chain: Sequence[Any], function: Callable[..., T]) -> Callable[..., T]:
    """Return ``function`` for another thread, which goes on inside the lifetimes of ``chain``.

    It runs in a copy of the context of the thread that calls this, and while it runs its thread is
    barred from those lifetimes, as this one is.
    """
    context = copy_context()

    def carried(*args: Any) -> T:
        ident = get_ident()
        entered = [lifetime for lifetime in chain if ident not in lifetime.barred]
        try:
            for lifetime in entered:
                lifetime.barred[ident] = None
            return context.run(function, *args)
        finally:
            for lifetime in entered:
                lifetime.barred.pop(ident, None)

    return carried
