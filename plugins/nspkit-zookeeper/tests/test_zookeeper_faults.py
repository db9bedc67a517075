"""Servers that are away, frozen or lost, and sessions that expire: nothing is lost with them."""

from __future__ import annotations

import contextlib
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from kazoo.client import KazooClient

import nspkit
from nspkit import Address, ChangeKind, Service
from nspkit.errors import NotReadyError, TryAgainError
from nspkit.registry import EVERYTHING, Key, Mark

CLASS = uuid.UUID("6f1c9f0e-3c7a-4d4e-9a43-5c6f2f1f0a01")
WEB = Key(CLASS, "", "web")
HTTP = "_http._tcp"
PATIENCE = 30.0


def eventually(is_so: Callable[[], object]) -> None:
    """Wait until something is so."""
    until, pause = time.monotonic() + PATIENCE, threading.Event()
    while not is_so():
        assert time.monotonic() < until, "it has not become so"
        pause.wait(0.01)


def service(name: str = "web", ttl: float | None = 1.0) -> Service:
    """A service that is to be renewed."""
    return Service(name, service_class=HTTP, addresses=[Address.inet("127.0.0.1", 80)], ttl=ttl)


def is_found(host: nspkit.Host) -> bool:
    """Whether a lookup finds it now."""
    with contextlib.suppress(nspkit.NspError):
        return [one.name for one in host.lookup("web", service_class=HTTP)] == ["web"]
    return False


def until_change(watch: nspkit.Watch, kind: ChangeKind) -> str:
    """The name in the next change of a kind."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        change = watch.wait(1.0)
        if change is not None and change.kind is kind:
            return change.service.name
    pytest.fail(f"nothing was {kind}")


@pytest.fixture
def own(server: Any, settings: dict[str, Any]) -> dict[str, Any]:
    """Settings for a server of the test's own, which may be away: nobody waits long for it."""
    return {**settings, "endpoints": server.address, "timeout": 4.0, "session_timeout": 4.0}


@pytest.fixture
def host(hosts: Any, own: dict[str, Any]) -> Callable[[], nspkit.Host]:
    """A function that makes a host with those."""
    return lambda **more: hosts(**{**own, **more})  # type: ignore[misc]


def expire(store: Any, server: Any) -> None:
    """End a session from elsewhere, as its server would."""
    connection = store._connection
    other = KazooClient(server.address, client_id=connection.client.client_id)
    other.start(PATIENCE)
    other.stop()
    other.close()


def test_a_registration_is_back_after_a_server_was_away(server: Any, host: Any) -> None:
    """Three of its times long; a watch is stale meanwhile, and goes on without help."""
    registering, watching = host(), host()
    with (
        registering.register(service(ttl=0.5), provider="zookeeper"),
        watching.watch(service_class=HTTP, provider="zookeeper") as watch,
    ):
        assert until_change(watch, ChangeKind.ADDED) == "web"
        server.stop()
        began = time.monotonic()
        eventually(lambda: watch.state == "stale" and time.monotonic() > began + 1.5)
        server.start()
        eventually(lambda: is_found(watching))
        eventually(lambda: watch.state == "live" and watch.snapshot())


def test_a_session_that_expires_loses_nothing(server: Any, stores: Any, own: Any) -> None:
    """What it had registered goes, and is put anew by the next renewal."""
    store, other = stores(**own), stores(**own)
    news = other.follow(EVERYTHING, nspkit.Cancellation(), lambda: PATIENCE)
    store.put(WEB, b"value", ttl=PATIENCE)
    assert [next(news) for _ in range(3)][2] is Mark.LISTED
    before = store._connection.session
    expire(store, server)
    assert next(news).key == WEB
    eventually(lambda: store._connection.session not in (None, before))
    assert store.put(WEB, b"value", ttl=PATIENCE)
    entry = next(news)
    assert (entry.key, entry.value) == (WEB, b"value")
    news.close()


def test_a_watch_tells_of_a_registration_whose_session_expires(
    server: Any, host: Any, hosts: Any
) -> None:
    """It is removed, and added again without help."""
    registering, watching = host(), host()
    with (
        registering.register(service(), provider="zookeeper"),
        watching.watch(service_class=HTTP, provider="zookeeper") as watch,
    ):
        assert until_change(watch, ChangeKind.ADDED) == "web"
        expire(hosts.stores[0], server)
        assert until_change(watch, ChangeKind.REMOVED) == "web"
        assert until_change(watch, ChangeKind.ADDED) == "web"


def test_who_follows_lists_again_when_the_connection_broke(
    server: Any, stores: Any, own: dict[str, Any]
) -> None:
    """If it comes back at once, nobody need hear that it was away."""
    store = stores(**own)
    store.put(WEB, b"value", ttl=None)
    news = store.follow(EVERYTHING, nspkit.Cancellation(), lambda: PATIENCE)
    first = [next(news) for _ in range(3)]
    store._connection.client._connection._socket.shutdown(2)
    again = [next(news) for _ in range(3)]
    assert again == first
    news.close()


def test_who_follows_is_told_when_the_server_stays_away(
    server: Any, stores: Any, own: dict[str, Any]
) -> None:
    """Within a bounded time."""
    store = stores(**own)
    news = store.follow(EVERYTHING, nspkit.Cancellation(), lambda: PATIENCE)
    assert [next(news), next(news)] == [Mark.BEGIN, Mark.LISTED]
    server.stop()
    began = time.monotonic()
    with pytest.raises(TryAgainError, match="refused"):
        next(news)
    assert time.monotonic() - began < 10.0  # the bound is a second after the connection broke


def test_a_frozen_server_delays_no_lookup_past_its_time(server: Any, host: Any) -> None:
    """A watch is stale while it is frozen, and live after it; what was registered is there."""
    frozen = host()
    with (
        frozen.register(service(ttl=None), provider="zookeeper"),
        frozen.watch(service_class=HTTP, provider="zookeeper") as watch,
    ):
        assert until_change(watch, ChangeKind.ADDED) == "web"
        server.freeze()
        began = time.monotonic()
        with pytest.raises(TryAgainError):
            list(frozen.lookup("web", service_class=HTTP, provider="zookeeper"))
        assert time.monotonic() - began < 10.0  # four seconds are its limit
        eventually(lambda: watch.state == "stale")
        server.thaw()
        eventually(lambda: watch.state == "live")
        assert [one.name for one in watch.snapshot()] == ["web"]
        [found] = frozen.lookup("web", service_class=HTTP, provider="zookeeper")
        assert found.name == "web"


@pytest.mark.parametrize("how", ["stop", "freeze"])
def test_a_dead_server_delays_no_cleanup(
    server: Any, stores: Any, own: dict[str, Any], how: str
) -> None:
    """And leaves no thread and no socket."""
    before = set(threading.enumerate())
    store = stores(**own)
    store.put(WEB, b"value", ttl=PATIENCE)
    getattr(server, how)()
    connection = store._connection
    began = time.monotonic()
    store.close_all()
    assert time.monotonic() - began < 5.0  # the limits are one second each for its two parts
    assert set(threading.enumerate()) == before
    assert connection._handler._waker.fileno() == -1
    assert connection.client._connection._write_sock is None


def test_a_server_that_is_not_there_is_said_at_the_start(
    server: Any, stores: Any, own: dict[str, Any]
) -> None:
    """With the reason, and nothing is left."""
    before = set(threading.enumerate())
    server.stop()
    with pytest.raises(NotReadyError, match="Connection refused"):
        stores(**{**own, "timeout": 0.5})
    assert set(threading.enumerate()) == before


def test_a_frozen_server_is_said_at_the_start(
    server: Any, stores: Any, own: dict[str, Any]
) -> None:
    """It has a port that can be connected to, and says nothing."""
    server.freeze()
    with pytest.raises(NotReadyError, match="cannot be reached within"):
        stores(**{**own, "timeout": 0.5})


def test_of_several_servers_one_is_enough(shared: Any, server: Any, stores: Any) -> None:
    """Whichever it is."""
    server.stop()
    for endpoints in ([server.address, shared.address], [shared.address, server.address]):
        store = stores(endpoints=endpoints)
        assert store.put(WEB, b"value", ttl=None)
        assert store.get(WEB).value == b"value"


def test_requests_do_not_wait_for_who_is_away_for_long(
    server: Any, stores: Any, own: dict[str, Any]
) -> None:
    """The first finds out; the others are told at once."""
    store = stores(**own)
    store._connection._timeout = 1.0
    server.stop()
    with pytest.raises(TryAgainError):
        store.get(WEB)
    began = time.monotonic()
    for _ in range(20):
        with pytest.raises(TryAgainError, match="refused"):
            store.get(WEB)
    assert time.monotonic() - began < 10.0  # 20 times the limit would be 20


def test_a_put_that_broke_off_is_done_once(server: Any, stores: Any, own: dict[str, Any]) -> None:
    """The answer was lost, and the value is there."""
    store = stores(**{**own, "timeout": 20.0})
    commit, broken = store._writing.commit, []

    def breaking(transaction: Any, until: float) -> Any:
        conflict = commit(transaction, until)
        if conflict is None and not broken:
            from kazoo.exceptions import ConnectionLoss

            broken.append(ConnectionLoss())
            return broken[0]
        return conflict

    store._writing.commit = breaking
    assert store.put(WEB, b"value", ttl=PATIENCE, expected=None)
    assert broken
    assert store.get(WEB).version.number == 0
    broken.clear()
    assert store.put_class(CLASS, b"schema")
    broken.clear()
    assert store.remove_class(CLASS, lambda: None)
    broken.clear()
    assert store.remove(WEB, store.get(WEB).version)
    assert store.get(WEB) is None


def test_what_was_put_without_an_answer_ends(server: Any, stores: Any, own: dict[str, Any]) -> None:
    """Nobody renews what nobody knows of, and its session lives on."""
    patient = {**own, "timeout": 20.0, "session_timeout": 30.0}
    store, other = stores(**patient), stores(**patient)
    store.put(Key(CLASS, "", "other"), b"", ttl=None)
    store._connection._timeout = 0.3
    server.freeze()
    with pytest.raises(TryAgainError):
        store.put(WEB, b"value", ttl=0.1)
    server.thaw()
    eventually(lambda: store.leases._leases == {} and store.leases._ending == [])
    assert other.get(WEB) is None
