"""Servers that end, come back, come back empty, freeze and thaw: nothing is lost by it."""

from __future__ import annotations

import contextlib
import threading
import time
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

import nspkit
from nspkit import Address, Cancellation, Service, ServiceOperation
from nspkit.errors import (
    CleanupTimeoutError,
    NotInitialisedError,
    NotReadyError,
    NspError,
    TryAgainError,
)
from nspkit.registry import Scope

LONG = 60.0
REGISTER = ServiceOperation.REGISTER
TTL = 0.5
WEB = Service("web", service_class="_http._tcp", addresses=[Address.inet("192.0.2.1", 80)])
ANCHOR = Service("anchor", service_class="_http._tcp", addresses=[Address.inet("192.0.2.2", 80)])

PERSISTENT = {"appendonly": "yes", "appendfsync": "always"}

REGISTRANT = """
import sys
import nspkit
from nspkit_redis import RedisProvider

catalog = nspkit.Catalog()
catalog.install(RedisProvider)
settings = {"redis": {"endpoints": sys.argv[1]}}
web = nspkit.Service(
    "web", service_class="_http._tcp", addresses=[nspkit.Address.inet("192.0.2.1", 80)]
)
with nspkit.Host(catalog=catalog, settings=settings) as host, host.register(web, ttl=0.5):
    print("registered", flush=True)
    sys.stdin.readline()
print("over", flush=True)
"""


@pytest.fixture
def settings() -> dict[str, Any]:
    """The prefix is the default; each test has servers of its own, and says where."""
    return {"interval": 0.1}


@pytest.fixture
def pause() -> Any:
    """What the tests have to wait for is the servers' own clock: how long a lease lasts."""
    return threading.Event().wait


def names(host: nspkit.Host) -> list[str]:
    """What is found, sorted; nothing where the server is away."""
    try:
        return sorted(one.name for one in host.lookup(service_class="_http._tcp", timeout=LONG))
    except NspError:
        return []


@pytest.mark.parametrize("options", [{}, PERSISTENT], ids=["forgetful", "persistent"])
def test_a_registration_is_back_after_three_ttls(
    servers: Any, host: Any, until: Any, pause: Any, options: Any
) -> None:
    """Without help, whether the server remembers anything or not; a watch tells how it stands."""
    server = servers(**options).start()
    mine, other = host(endpoints=server.address), host(endpoints=server.address)
    expected = ["anchor", "web"] if options else ["web"]
    if options:
        other.set_service(ANCHOR, REGISTER)
    with mine.register(WEB, ttl=TTL) as registration, other.watch(provider="redis") as watch:
        until(lambda: sorted(one.name for one in watch.snapshot()) == expected)
        server.kill()
        until(lambda: watch.state == "stale")
        pause(3 * TTL)
        server.start()
        until(lambda: "web" in names(other))
        until(lambda: watch.state == "live")
        until(lambda: sorted(one.name for one in watch.snapshot()) == expected)
        until(lambda: names(other) == expected)
        until(lambda: registration.state == "active")


def test_a_watch_tells_that_it_went_and_came(
    servers: Any, host: Any, until: Any, pause: Any, process: Any
) -> None:
    """The process that holds the registration was stopped as long, and does nothing about it."""
    server = servers(**PERSISTENT).start()
    other = host(endpoints=server.address)
    other.set_service(ANCHOR, REGISTER)
    child = process(REGISTRANT, server.address)
    assert child.stdout.readline() == "registered\n"
    with other.watch(provider="redis") as watch:
        told = {next(watch).service.name, next(watch).service.name}
        assert told == {"anchor", "web"}
        child.send_signal(19)  # SIGSTOP
        server.kill()
        pause(3 * TTL)
        server.start()
        change = next(watch)
        assert (change.kind.value, change.service.name) == ("removed", "web")
        child.send_signal(18)  # SIGCONT
        change = next(watch)
        assert (change.kind.value, change.service.name) == ("added", "web")
    child.stdin.write("go\n")
    child.stdin.flush()
    assert child.stdout.readline() == "over\n"
    assert names(other) == ["anchor"]


def test_an_empty_server_is_filled_again(servers: Any, host: Any, until: Any) -> None:
    """What is renewed comes back after a restart that forgot all; a watch keeps it meanwhile."""
    server = servers().start()
    mine, other = host(endpoints=server.address), host(endpoints=server.address)
    with mine.register(WEB, ttl=3 * TTL), other.watch(provider="redis") as watch:
        assert next(watch).service.name == "web"
        server.kill()
        server.start()
        until(lambda: names(other) == ["web"])
        until(lambda: watch.state == "live")
        assert [one.name for one in watch.snapshot()] == ["web"]


def test_a_frozen_server_keeps_no_lookup(servers: Any, host: Any, until: Any) -> None:
    """Beyond its deadline, whatever the provider would wait; thawed, it answers again."""
    server = servers().start()
    patient = host(endpoints=server.address, timeout=10 * LONG)
    patient.set_service(WEB, REGISTER)
    assert names(patient) == ["web"]
    server.freeze()
    began = time.monotonic()
    for name in ("web", None):
        with pytest.raises(NspError):
            list(patient.lookup(name, service_class="_http._tcp", timeout=0.2))
    assert time.monotonic() - began < LONG  # the provider alone would wait ten times as long
    server.thaw()
    until(lambda: names(patient) == ["web"])


def test_a_frozen_server_is_not_ready(servers: Any, host: Any) -> None:
    """A start ends when the time for a request is over."""
    server = servers().start()
    server.freeze()
    with pytest.raises(NotReadyError, match="no primary answers at Redis at"):
        host(endpoints=server.address, timeout=0.2).startup("redis")


def test_a_deadline_alone_ends_a_request(servers: Any, stores: Any, key: Any) -> None:
    """Where nobody is there to cancel it."""
    server = servers().start()
    store = stores(endpoints=server.address, timeout=10 * LONG)
    store.check()
    server.freeze()
    ends: list[str] = []

    def ask() -> None:
        with pytest.raises(TryAgainError, match="nobody waited"):
            store.get(key("x"), Cancellation(time.monotonic() + 0.2))
        with pytest.raises(TryAgainError, match="nobody waited"):
            list(store.entries(Scope(), Cancellation(time.monotonic() + 0.2)))
        ends.append("both")

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join(LONG)
    assert ends == ["both"]


def test_a_watch_of_a_frozen_server_is_stale(servers: Any, host: Any, until: Any) -> None:
    """And live again when it is thawed; what has changed meanwhile is told."""
    server = servers().start()
    mine, other = host(endpoints=server.address, timeout=1.0), host(endpoints=server.address)
    other.set_service(WEB, REGISTER)
    with mine.watch(provider="redis") as watch:
        assert next(watch).service.name == "web"
        until(lambda: watch.state == "live")
        server.freeze()
        until(lambda: watch.state == "stale")
        assert isinstance(watch.error, TryAgainError)
        server.thaw()
        other.set_service(ANCHOR, REGISTER)
        assert next(watch).service.name == "anchor"
        until(lambda: watch.state == "live")


def test_a_registration_survives_the_frost(servers: Any, host: Any, until: Any) -> None:
    """It is lost while the server does not answer, and back when it does."""
    server = servers().start()
    mine, other = host(endpoints=server.address, timeout=1.0), host(endpoints=server.address)
    with mine.register(WEB, ttl=TTL) as registration:
        server.freeze()
        until(lambda: registration.state == "lost")
        server.thaw()
        until(lambda: registration.state == "active")
        until(lambda: names(other) == ["web"])


def threads() -> set[threading.Thread]:
    """Those that run."""
    return set(threading.enumerate())


def sockets() -> set[str]:
    """Those that are open."""
    links = set()
    for path in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):  # that of the listing itself
            links.add(str(path.readlink()))
    return {link for link in links if link.startswith("socket:")}


@pytest.mark.parametrize("how", ["frozen", "dead"])
def test_the_end_waits_for_no_server(servers: Any, host: Any, until: Any, how: str) -> None:
    """Whatever is under way: a lookup, a watch, renewals. No connection and no thread is left."""
    server = servers().start()
    before = threads(), sockets()
    mine = host(endpoints=server.address, timeout=2.0)
    watch = mine.watch(provider="redis")
    webs = [WEB.replace(name=f"web{number}") for number in range(20)]
    registrations = [mine.register(web, ttl=LONG) for web in webs]
    until(lambda: len(watch.snapshot()) == 20)
    server.freeze() if how == "frozen" else server.kill()
    asked = threading.Event()

    def look() -> None:
        asked.set()
        with contextlib.suppress(NspError):
            list(mine.lookup(service_class="_http._tcp"))

    thread = threading.Thread(target=look)
    thread.start()
    assert asked.wait(LONG)
    # That what was registered could not be taken back is told; that would take the twenty of them
    # twice the limit if each waited for its own answer.
    with pytest.raises(NspError) as caught:
        mine.close(timeout=20.0)
    assert not isinstance(caught.value, CleanupTimeoutError)
    assert {registration.state for registration in registrations} == {"released"}
    thread.join(LONG)
    assert not thread.is_alive()
    until(lambda: threads() <= before[0])
    assert sockets() <= before[1]


def test_connections_end_though_nobody_gives_them_back(
    servers: Any, stores: Any, until: Any
) -> None:
    """Who waits for an answer is told, and goes."""
    server = servers().start()
    before = sockets()
    store = stores(endpoints=server.address, timeout=10 * LONG)
    feed = store.follow(Scope(), Cancellation(), lambda: LONG)
    next(feed)
    server.freeze()
    failures: list[BaseException] = []

    def look() -> None:
        try:
            store.get_class(UUID(int=1))
        except NotInitialisedError as error:
            failures.append(error)

    thread = threading.Thread(target=look)
    thread.start()
    until(lambda: len(store._pool._open) == 3 and not store._pool._idle)
    store.close()
    thread.join(LONG)
    assert len(failures) == 1
    assert sockets() <= before
    with pytest.raises(NotInitialisedError, match="stopped meanwhile"):
        next(feed)
        next(feed)
    with pytest.raises(NotInitialisedError, match="stopped meanwhile"):
        store.get_class(UUID(int=1))


def test_registrations_stay_at_the_end(servers: Any, host: Any) -> None:
    """What `set_service` registered is there for the next; a lease ends by itself."""
    server = servers().start()
    mine = host(endpoints=server.address)
    mine.set_service(WEB, REGISTER)
    mine.close()
    assert names(host(endpoints=server.address)) == ["web"]
    assert int(server.cli("CLIENT", "LIST").count("cmd=")) <= 3
