"""What several threads do to one question, step by step where an interrupt may fall."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from threading import get_ident
from typing import Any

import dns.name
import dns.update
import pytest
from nspkit_dns._asker import Asker
from nspkit_dns._flight import Flight
from nspkit_dns._resolver import Resolver
from nspkit_dns._settings import settings_in
from nspkit_dns._update import UpdateFlight
from nspkit_dns._wait import READ, ready
from nspkit_dns._wire import Question

from nspkit import Cancellation
from nspkit.errors import NspError

V4 = [(int(socket.AF_INET), 0)]
PATIENCE = 30.0
QUESTION = Question(dns.name.from_text("x.test."), 1)


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    """A socket that takes questions, and answers none."""
    with socket.socket(type=socket.SOCK_DGRAM) as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound


@pytest.fixture
def resolver(silent: socket.socket) -> Iterator[Resolver]:
    """One that asks there."""
    address = f"127.0.0.1:{silent.getsockname()[1]}"
    resolver = Resolver(settings_in({"nameservers": [address], "search": []}))
    yield resolver
    resolver.close()


class Landing(list[Any]):
    """Attempts, of which none is left when they have been looked at once."""

    def __iter__(self) -> Iterator[Any]:
        seen = list(super().__iter__())
        self.clear()
        return iter(seen)


def test_a_report_may_meet_another_thread_at_work(resolver: Resolver) -> None:
    """An attempt that ends in between is reported as it was."""
    flight = Flight(QUESTION, resolver.routes.to(QUESTION.name))
    flight.go_on(set())
    attempts = list(flight._attempts)
    flight._attempts = Landing(attempts)
    assert flight.report().endswith(": does not answer")
    flight._attempts = attempts
    flight.close()


def test_who_is_torn_out_of_leaving_is_not_waited_for(resolver: Resolver) -> None:
    """An interrupt may leave behind a pilot that works no more: the next one asks anew."""
    gone, next_one = Asker(resolver, Cancellation()), Asker(resolver, Cancellation())
    flight = resolver.join(QUESTION, gone)
    flight.pilot["pilot"] = gone
    flight.waiters.clear()
    other = resolver.join(QUESTION, next_one)
    assert other is not flight
    assert resolver.join(QUESTION, Asker(resolver, Cancellation())) is other


def test_who_was_interrupted_while_letting_go_does_so_when_leaving(resolver: Resolver) -> None:
    """Others wait, and one of them has to work."""
    gone, other = Asker(resolver, Cancellation()), Asker(resolver, Cancellation())
    flight = resolver.join(QUESTION, gone)
    resolver.join(QUESTION, other)
    flight.pilot["pilot"] = gone
    gone.thread = get_ident()
    gone._leave([flight])
    assert flight.pilot == {}
    assert flight.waiters == [other]


class Visited(list[Any]):
    """Waiters, among whom is one just when the last one looks for the second time."""

    def __init__(self) -> None:
        super().__init__()
        self.looks = 0

    def __len__(self) -> int:
        self.looks += 1
        return 1 if self.looks == 2 else super().__len__()


def test_the_last_one_closes_though_another_one_comes_and_goes(resolver: Resolver) -> None:
    """The visitor finds that it is over, while the last one finds a visitor."""
    last = Asker(resolver, Cancellation())
    flight = resolver.join(QUESTION, last)
    flight.go_on(set())
    [attempt] = flight._attempts
    flight.waiters = Visited()
    last._leave([flight])
    assert attempt.socket.fileno() == -1


def test_what_is_given_back_after_the_end_is_closed(resolver: Resolver) -> None:
    """By a lookup that ends after its provider."""
    waker = resolver.waker()
    resolver.close()
    resolver.give_back(waker)
    assert waker.near.fileno() == -1


class Closed(list[Any]):
    """Attempts that another thread closes just when they are looked at."""

    def __len__(self) -> int:
        there = super().__len__()
        while super().__len__():
            self.pop().socket.close()
        return there


def test_two_may_close_a_flight_at_once(resolver: Resolver) -> None:
    """Its pilot, and the end of the provider."""
    flight = resolver.join(QUESTION, Asker(resolver, Cancellation()))
    flight.go_on(set())
    [attempt] = flight._attempts
    flight._attempts = Closed([attempt])
    resolver.close()
    assert attempt.socket.fileno() == -1


def test_an_update_is_under_way_once(resolver: Resolver) -> None:
    """However slow the server is: it may be carrying it out."""
    route = resolver.routes.to(QUESTION.name)._replace(retry=0.0)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        server = route.servers[0]._replace(sockaddr=listening.getsockname())
        others = server._replace(name="another")
        message = dns.update.UpdateMessage("x.test.")
        flight = UpdateFlight(message, route._replace(servers=(server, others)), None)
        for _ in range(4):
            flight.go_on(set())
            assert len(flight._attempts) == 1
        flight.close()


def test_an_answer_that_is_there_is_not_joined(resolver: Resolver) -> None:
    """Though its pilot was interrupted before it was taken out of the table."""
    flight = resolver.join(QUESTION, Asker(resolver, Cancellation()))
    flight.end(NspError("something", code=11002))
    assert resolver.join(QUESTION, Asker(resolver, Cancellation())) is not flight


def test_who_is_interrupted_with_the_answer_wakes_the_others(resolver: Resolver) -> None:
    """At once, and not when their patience is over."""
    gone, other = Asker(resolver, Cancellation()), Asker(resolver, Cancellation())
    flight = resolver.join(QUESTION, gone)
    resolver.join(QUESTION, other)
    flight.pilot["pilot"] = gone
    waker = other._waker = resolver.waker()
    flight.end(NspError("something", code=11002))
    gone._leave([flight])
    assert ready([(waker.near, READ)], 0) == {waker.near.fileno()}
    resolver.give_back(waker)


def test_a_lookup_that_pauses_holds_nobody_up(named: Any, make_host: Any) -> None:
    """One that was read half, and is left so, has its questions gone on with by others."""
    host = make_host(nameservers=[named.address])
    restrictions: Any = {"service_class": "_many._tcp", "context": "main.test", "provider": "dns"}
    with host.lookup(**restrictions) as paused:
        next(paused)
        assert len(list(host.lookup(**restrictions))) == 100
        assert len(list(paused)) == 99


def test_a_failure_is_shared_as_errors_of_their_own(make_host: Any, fake: Any, tools: Any) -> None:
    """Each thread raises an object that no other one has."""
    begun = threading.Barrier(4)
    answered = threading.Event()

    def answer(query: Any, _transport: str) -> Any:
        assert answered.wait(PATIENCE)
        return tools.reply_to(query, rcode=2)

    host = make_host(nameservers=[fake(answer).address], timeout=PATIENCE)
    session = host.startup("dns")
    errors: list[NspError] = []

    def look_up() -> None:
        begun.wait(PATIENCE)
        with pytest.raises(NspError) as caught:
            list(session.lookup("x.test", protocols=V4))
        errors.append(caught.value)

    threads = [threading.Thread(target=look_up) for _ in range(4)]
    for thread in threads:
        thread.start()
    answered.set()
    for thread in threads:
        thread.join(PATIENCE)
    assert len({id(error) for error in errors}) == 4
