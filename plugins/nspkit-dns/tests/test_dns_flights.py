"""What several threads do to one question, step by step where an interrupt may fall."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from threading import get_ident
from typing import Any

import dns.name
import pytest
from nspkit_dns._asker import Asker
from nspkit_dns._flight import Flight
from nspkit_dns._resolver import Resolver
from nspkit_dns._settings import settings_in
from nspkit_dns._wire import Question

from nspkit import Cancellation

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
