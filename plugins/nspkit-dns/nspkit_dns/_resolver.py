"""Everything of one started provider: routes, and the questions that are under way."""

from __future__ import annotations

import os
from threading import get_ident
from typing import TYPE_CHECKING

from nspkit_dns._flight import Flight
from nspkit_dns._routes import Routes
from nspkit_dns._wait import Waker

if TYPE_CHECKING:
    from nspkit_dns._asker import Asker
    from nspkit_dns._routes import Route
    from nspkit_dns._settings import Settings
    from nspkit_dns._wire import Question

    Key = tuple[tuple[bytes, ...], int, int]

_MOST_IDLE = 8


class Resolver:
    """The table of what is under way, without a lock.

    Each step is one that a dictionary or a list makes whole; who takes part appends first and
    looks after, and so sees what another one has done. Thus no signal and no finaliser that looks
    something up can meet a lock of the thread that it interrupts.
    """

    def __init__(self, settings: Settings) -> None:
        """Open nothing."""
        self.settings = settings
        self.routes = Routes(settings)
        self._flights: dict[Key, Flight] = {}
        self._idle: list[Waker] = []
        self._is_closed = False
        self._process = os.getpid()

    def join(self, question: Question, waiter: Asker) -> Flight:
        """Return the flight of a question, with one who waits for it more."""
        self._leave_the_parent()
        route = self.routes.to(question.name)
        key = _key(question, route)
        while True:
            flight = self._flights.get(key)
            if flight is None:
                flight = self._flights.setdefault(key, Flight(question, route))
            flight.waiters.append(waiter)
            pilot = flight.pilot.get("pilot")
            if pilot is not None and pilot.thread == get_ident():
                # This is a signal handler or finaliser in the midst of the pilot's own work, who
                # goes on when this one has come back: it asks for itself.
                flight.waiters.remove(waiter)
                flight = Flight(question, route)
                flight.waiters.append(waiter)
                return flight
            # A pilot that does not work is one that leaves, or that an interrupt has torn out of
            # leaving and who would be waited for in vain.
            is_at_work = pilot is None or pilot.thread is not None
            if not flight.is_over and flight.outcome is None and is_at_work:
                return flight
            flight.waiters.remove(waiter)
            self._remove(key, flight)
            waiter.close_if_last(flight)

    def retire(self, flight: Flight) -> None:
        """Have nobody join a flight any more."""
        flight.is_over = True
        self._remove(_key(flight.question, flight.route), flight)

    def _remove(self, key: Key, flight: Flight) -> None:
        if self._flights.get(key) is flight:
            self._flights.pop(key, None)

    def waker(self) -> Waker:
        """Return a waker that nobody uses."""
        self._leave_the_parent()
        try:
            waker = self._idle.pop()
        except IndexError:
            return Waker()
        waker.quiet()
        return waker

    def give_back(self, waker: Waker) -> None:
        """Keep a waker for the next one."""
        if len(self._idle) < _MOST_IDLE:
            self._idle.append(waker)
        else:
            waker.close()
        if self._is_closed:  # by another thread, which may not have seen this one
            self._close_idle()

    def _leave_the_parent(self) -> None:
        """Close, in a forked child, its copies of what the parent's threads work at."""
        if self._process != os.getpid():
            self._process = os.getpid()
            self._close_all()

    def close(self) -> None:
        """Close what is left."""
        self._is_closed = True
        self._close_all()

    def _close_all(self) -> None:
        flights = list(self._flights.values())
        self._flights.clear()
        for flight in flights:
            flight.close()
        self._close_idle()

    def _close_idle(self) -> None:
        while True:
            try:
                waker = self._idle.pop()
            except IndexError:
                return
            waker.close()


def _key(question: Question, route: Route) -> Key:
    # The hash of a dnspython name is computed anew each time, byte by byte. The flight keeps the
    # route, so that its address means nothing else as long as it is in the table.
    return tuple(map(bytes.lower, question.name.labels)), question.type, id(route)
