"""The registries beyond one machine, beside the bare clients of their engines at the same servers.

Not part of the suite: ``pytest tests/benchmarks/registries`` runs them, on a machine that does
nothing else. Whatever is compared takes turns; the median of the turns' quotients counts.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import sys
from collections.abc import Callable, Iterator
from itertools import count, cycle
from pathlib import Path
from queue import SimpleQueue
from statistics import median
from time import perf_counter
from typing import Any, NamedTuple

import pytest

import nspkit
from nspkit import Address, Service, ServiceOperation

sys.path.insert(0, str(Path(__file__).parent))

import engines

MANY = 10_000
PROVIDERS = {
    "etcd": ("nspkit_etcd", "EtcdProvider"),
    "zookeeper": ("nspkit_zookeeper", "ZookeeperProvider"),
    "redis": ("nspkit_redis", "RedisProvider"),
}


class Sides(NamedTuple):
    """What is measured, and what it is measured against."""

    name: str
    bare: Any
    session: nspkit.Session
    host: nspkit.Host
    start: Callable[[], nspkit.Session]


@pytest.fixture(scope="module", params=engines.ENGINES, ids=lambda engine: engine.name)
def sides(request: pytest.FixtureRequest, tmp_path_factory: Any) -> Iterator[Sides]:
    """A server, and both clients of it."""
    engine = request.param
    module, provider = PROVIDERS[engine.name]
    pytest.importorskip(module)
    catalog = nspkit.Catalog()
    catalog.install(getattr(importlib.import_module(module), provider))
    with (
        engine.server(tmp_path_factory.mktemp(engine.name)) as port,
        contextlib.ExitStack() as stack,
    ):
        settings = {engine.name: {"endpoints": f"127.0.0.1:{port}", "timeout": 30}}

        def host() -> nspkit.Host:
            return stack.enter_context(nspkit.Host(catalog=catalog, settings=settings))

        first = host()
        yield Sides(
            engine.name,
            engine(port),
            first.startup(engine.name),
            first,
            lambda: host().startup(engine.name),
        )


@pytest.fixture(scope="module")
def full(sides: Sides) -> Sides:
    """The same, with 10,000 instances of one class on both sides."""
    for number in range(MANY):
        registered(sides.session, f"many-{number:05}", kind=engines.MANY, ttl=3000)
        sides.bare.register(f"many-{number:05}", engines.MANY)
    return sides


def registered(
    session: nspkit.Session, name: str, *, kind: str = engines.CLASS, **members: Any
) -> None:
    """Register as the bare client does."""
    session.set_service(
        Service(
            name,
            service_class=kind,
            addresses=[Address.inet("192.0.2.1", 8080, type=1, proto=6)],
            attributes={"path": "/", "zone": "a"},
            **members,
        ),
        ServiceOperation.REGISTER,
    )


def quotient(
    ours: Callable[[], object], theirs: Callable[[], object], turns: int, number: int
) -> float:
    """How many times as long one takes as the other; which is first changes with each turn."""
    quotients = []
    gc.collect()
    gc.disable()
    try:
        for turn in range(turns):
            seconds: dict[int, float] = {}
            for which in (0, 1) if turn % 2 else (1, 0):
                function = (ours, theirs)[which]
                began = perf_counter()
                for _ in range(number):
                    function()
                seconds[which] = perf_counter() - began
            quotients.append(seconds[0] / seconds[1])
    finally:
        gc.enable()
    return median(quotients)


def test_a_registration(sides: Sides, figure: Callable[..., None]) -> None:
    """Of a name that was not there, with a lease."""
    mine, others = count(), count()
    measured = quotient(
        lambda: registered(sides.session, f"new-{next(mine)}", ttl=60),
        lambda: sides.bare.register(f"new-{next(others)}"),
        turns=60,
        number=10,
    )
    figure(f"{sides.name}: a registration : the bare client", measured, 1.15)


def test_a_lookup(sides: Sides, figure: Callable[..., None]) -> None:
    """Of one instance by class and name, directed at the provider."""
    registered(sides.session, "one", ttl=600)
    sides.bare.register("one")

    def by_nspkit() -> None:
        [service] = sides.session.lookup("one", service_class=engines.CLASS)
        assert service.addresses

    by_nspkit()
    measured = quotient(by_nspkit, lambda: sides.bare.lookup("one"), turns=60, number=20)
    figure(f"{sides.name}: a lookup : the bare client", measured, 1.15)


def test_a_change_is_seen(sides: Sides, figure: Callable[..., None]) -> None:
    """From before it is put to when the watcher has it, both put by their own clients."""
    seen: SimpleQueue[str] = SimpleQueue()
    sides.bare.watch(seen)
    assert seen.get(timeout=30) == "live"
    ours, theirs = [], []
    with sides.host.watch(service_class=engines.CLASS, provider=sides.name) as watch:
        changes = iter(watch)
        registered(sides.session, "first")
        while next(changes).service.name != "first":
            pass
        for number in range(100):
            name = f"seen-{number}"
            began = perf_counter()
            registered(sides.session, name, ttl=60)
            while next(changes).service.name != name:
                pass
            ours.append(perf_counter() - began)
            began = perf_counter()
            sides.bare.register(name)
            while seen.get(timeout=30) != name:
                pass
            theirs.append(perf_counter() - began)
    later = (median(ours) - median(theirs)) * 1000
    figure(f"{sides.name}: a change is seen so much later", later, 20, unit="ms")


@pytest.mark.parametrize("way", ["for the first time", "again"])
def test_a_browse(full: Sides, figure: Callable[..., None], way: str) -> None:
    """Of 10,000 instances, all of one class: by a provider that was just started, or has done so.

    The second is the usual one: who balances load, or shows what there is, lists it again.
    """
    turns = 7
    again = way == "again"
    sessions = cycle([full.session]) if again else iter([full.start() for _ in range(turns + 1)])

    def by_nspkit() -> None:
        found = next(sessions).lookup(service_class=engines.MANY)
        assert sum(1 for _ in found) == MANY

    def by_the_bare_client() -> None:
        assert len(full.bare.browse(engines.MANY)) == MANY

    by_nspkit()
    by_the_bare_client()
    measured = quotient(by_nspkit, by_the_bare_client, turns=turns, number=1)
    figure(f"{full.name}: a browse of 10,000, {way} : the bare client", measured, 1.3)
