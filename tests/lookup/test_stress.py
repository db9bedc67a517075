"""Lookups of all kinds by many threads, closed, dropped, timed out and stopped by each other."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from nspkit import Service
from nspkit.errors import NotReadyError, NspError

THREADS = 8
ROUNDS = 80
PROVIDERS = ("a", "b", "c", "d")

EXPECTED = {10060, 10091, 10093, 10107, 10111}


class Watched:
    """An iterator that sees whether it is stepped or closed at the wrong time."""

    def __init__(self, results: int, wrong: list[str]) -> None:
        self.closed = 0
        self._left = results
        self._wrong = wrong
        self._busy = False

    def __iter__(self) -> Iterator[Service]:
        return self

    def __next__(self) -> Service:
        if self._busy or self.closed:
            self._wrong.append("stepped while it was busy or closed")
        self._busy = True
        try:
            self._left -= 1
            if self._left < 0:
                raise StopIteration
            if self._left == 13:
                raise ValueError("thirteen")
            return Service("x")
        finally:
            self._busy = False

    def close(self) -> None:
        """Note it."""
        if self._busy:
            self._wrong.append("closed while it was busy")
        self.closed += 1


class Crowd:
    """Eight users of one host who do not care for each other."""

    def __init__(self, stage: Any) -> None:
        self.opened: list[Watched] = []
        self.wrong: list[str] = []
        self.codes: set[int] = set()
        self._starts = 0
        self.host = stage.host(
            *(stage.provider(name, self._lookup, startup=self._start) for name in PROVIDERS)
        )

    def _start(self) -> None:
        self._starts += 1
        if self._starts % 50 == 0:
            raise NotReadyError("every fiftieth start")

    def _lookup(self, query: Any, cancellation: Any) -> Watched:
        self.opened.append(Watched(int(query.name), self.wrong))
        return self.opened[-1]

    def use(self, seed: int) -> None:
        """Be one of them."""
        chance = random.Random(seed)
        for _ in range(ROUNDS):
            try:
                self._round(chance)
            except NspError as error:
                self.codes.add(int(error.code))

    def _round(self, chance: random.Random) -> None:
        provider = chance.choice(PROVIDERS)
        what = chance.random()
        if what < 0.1:
            self.host.cleanup(provider)
            return
        if what < 0.2:
            with self.host.startup(provider) as session:
                list(session.lookup("3"))
            return
        lookup = self.host.lookup(
            chance.choice(["0", "1", "5", "70", "300"]),
            provider=provider if what < 0.6 else None,
            timeout=chance.choice([None, 0, 0.001, 1]),
            order=chance.choice(["catalog", "arrival"]),
        )
        end = chance.choice(["read", "close", "close elsewhere", "drop"])
        closer = threading.Thread(target=lookup.close)
        if end == "close elsewhere":
            closer.start()
        try:
            for taken, _ in enumerate(lookup):
                if end in ("close", "drop") and taken == 3:
                    break
        finally:
            if end == "close":
                lookup.close()
            elif end == "close elsewhere":
                closer.join(30)


@pytest.mark.parametrize("seed", [1, 2])
def test_nothing_is_lost_closed_twice_or_left(stage: Any, nspkit_threads: Any, seed: int) -> None:
    """After hundreds of rounds each iterator was closed once and never while it was busy."""
    crowd = Crowd(stage)
    users = [stage.task(lambda n=n: crowd.use(seed * 100 + n)) for n in range(THREADS)]
    for user in users:
        user.result()
    crowd.host.close()
    assert crowd.wrong == []
    assert [one.closed for one in crowd.opened] == [1] * len(crowd.opened)
    assert crowd.codes <= EXPECTED
    assert nspkit_threads() == []
    workers = crowd.host._accounts.workers
    for lane in workers._lanes.values():
        assert (lane.working, lane.taken, lane.waiting) == ({}, {}, {})
    for account in crowd.host._accounts.all.values():
        assert (account.lifetime.count, account.lifetime.inside) == (0, {})
