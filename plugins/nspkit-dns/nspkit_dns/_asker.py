"""Who waits for answers: one for each lookup, working in the thread that waits."""

from __future__ import annotations

from threading import get_ident
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar

from nspkit.errors import CancelledError, NspError, OperationTimeoutError
from nspkit_dns._wait import READ, ready

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

    from nspkit import Cancellation
    from nspkit_dns._flight import Flight, Outcome
    from nspkit_dns._resolver import Resolver
    from nspkit_dns._wait import Waker
    from nspkit_dns._wire import Question

    T = TypeVar("T")
    Task = Generator[list[Question], list[Outcome], T]
    """What asks some questions at a time, is sent what came of them, and returns a result."""

_PATIENCE = 1.0
"""Seconds after which who waits for another's work looks again: a ring may have been cut short."""


class Asker:
    """One who waits for the answers to questions, and works for those that nobody works for.

    Attributes:
        thread: The one that it works in just now; None while it does not.
    """

    __slots__ = ("__weakref__", "_cancellation", "_is_cancelled", "_resolver", "_waker", "thread")

    def __init__(self, resolver: Resolver, cancellation: Cancellation) -> None:
        """Have a cancellation wake it."""
        self._resolver = resolver
        self._cancellation = cancellation
        self._is_cancelled = False
        self._waker: Waker | None = None
        self.thread: int | None = None
        cancellation.on_cancel(self._cancel)

    def run(self, task: Task[T]) -> T:
        """Return the result of one task; the errors are those of `results`."""
        flights: list[Flight] = []
        outcomes: Any = None
        try:
            while True:
                try:
                    questions = task.send(outcomes)
                except StopIteration as stop:
                    result: T = stop.value
                    return result
                for question in questions:
                    flights.append(self._resolver.join(question, self))  # noqa: PERF401
                self._work([flights])
                outcomes = [flight.outcome for flight in flights]
                self._leave(flights)
        finally:
            self._leave(flights)

    def wait(self, flight: Flight) -> Outcome:
        """Return the outcome of a flight that nobody else waits for."""
        flight.waiters.append(self)
        try:
            self._work([[flight]])
        finally:
            self._leave([flight])
        assert flight.outcome is not None
        return flight.outcome

    def results(self, tasks: Iterable[Task[T]], *, width: int = 1) -> Iterator[T]:
        """Yield the results of tasks, of which so many are under way at the same time.

        Raises:
            CancelledError: Nobody waits any more (WSA_E_CANCELLED 10111).
            OperationTimeoutError: The time is over (WSAETIMEDOUT 10060).
            NspError: What a task raises.
        """
        coming = iter(tasks)
        running: dict[Task[T], list[Flight]] = {}
        try:
            while True:
                while len(running) < width and (task := next(coming, None)) is not None:
                    yield from self._step(running, task, None)
                if not running:
                    return
                self._work(list(running.values()))
                done = [task for task, flights in running.items() if _is_done(flights)]
                for task in done:
                    outcomes: list[Any] = [flight.outcome for flight in running[task]]
                    self._leave(running.pop(task))
                    yield from self._step(running, task, outcomes)
        finally:
            for flights in running.values():
                self._leave(flights)

    def _step(
        self, running: dict[Task[T], list[Flight]], task: Task[T], outcomes: Any
    ) -> Iterator[T]:
        """Have a task go on; yield its result if that is its end."""
        try:
            questions = task.send(outcomes)
        except StopIteration as stop:
            yield stop.value
            return
        flights = running[task] = []
        for question in questions:
            flights.append(self._resolver.join(question, self))  # noqa: PERF401 - one by one

    # -- working ---------------------------------------------------------------------------------

    def wake(self) -> None:
        """Have it look again, from another thread."""
        waker = self._waker
        if waker is not None:
            waker.ring()

    def _cancel(self) -> None:
        self._is_cancelled = True
        self.wake()

    def _work(self, groups: list[list[Flight]]) -> None:
        """Work until all of one group have their outcomes, whoever brings them about."""
        flights = list(dict.fromkeys(flight for group in groups for flight in group))
        waker = self._waker = self._resolver.waker()
        self.thread = get_ident()
        try:
            while not any(map(_is_done, groups)):
                if self._is_cancelled or self._cancellation.cancelled:
                    raise self._ended(flights)
                self._turn(waker, flights)
        finally:
            for flight in flights:
                self._let_go(flight)
            self.thread = None
            self._waker = None
            self._resolver.give_back(waker)

    def _turn(self, waker: Waker, flights: list[Flight]) -> None:
        mine = [
            flight
            for flight in flights
            if flight.outcome is None and flight.pilot.setdefault("pilot", self) is self
        ]
        begun = [flight for flight in mine if flight.is_begun]
        if len(begun) < len(mine):
            numbers: set[int] = set()
        else:
            watched = [(waker.near, READ)]
            for flight in mine:
                watched += flight.watched()
            numbers = ready(watched, self._patience(mine))
            if waker.near.fileno() in numbers:
                waker.quiet()
        for flight in mine:
            flight.go_on(numbers)
            if flight.outcome is not None:
                self._wake_others(flight)
                self._resolver.retire(flight)  # the last step, which says that all is done

    def _patience(self, mine: list[Flight]) -> float:
        limits = [flight.due() - monotonic() for flight in mine]
        remaining = self._cancellation.remaining()
        if remaining is not None:
            limits.append(remaining)
        return max(0.0, min(_PATIENCE, *limits)) if limits else _PATIENCE

    def _wake_others(self, flight: Flight) -> None:
        for waiter in list(flight.waiters):
            if waiter is not self:
                waiter.wake()

    def _let_go(self, flight: Flight) -> None:
        """Leave the work to another one."""
        if flight.pilot.get("pilot") is self:
            del flight.pilot["pilot"]
            if not flight.is_over:  # an interrupt may have come before the others were woken
                self._wake_others(flight)

    def _leave(self, flights: list[Flight]) -> None:
        """Wait for them no longer; the last one closes what is open."""
        self.thread = None
        while flights:
            flight = flights[-1]
            self._let_go(flight)  # once more: an interrupt may have been quicker than `_work`
            if self in flight.waiters:
                flight.waiters.remove(self)
            self.close_if_last(flight)
            flights.pop()

    def close_if_last(self, flight: Flight) -> None:
        """Close what is open if nobody waits for it."""
        while not flight.waiters and flight.pilot.setdefault("pilot", self) is self:
            self._resolver.retire(flight)
            if not flight.waiters:
                flight.close()
                return
            # One came just now, and may not have seen that it is over; if that one has left
            # again by now, this one is the last once more.
            self._let_go(flight)

    def _ended(self, flights: list[Flight]) -> NspError:
        asked = ", ".join(
            f"{one.shown} ({one.report() or 'not asked yet'})"
            for one in flights
            if one.outcome is None
        )
        if self._is_cancelled:
            return CancelledError(f"nobody waits any more for {asked:.300}")
        return OperationTimeoutError(f"no answer came in time to {asked:.600}")


def _is_done(flights: list[Flight]) -> bool:
    return all(flight.outcome is not None for flight in flights)
