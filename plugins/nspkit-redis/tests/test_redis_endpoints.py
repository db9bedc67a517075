"""Several endpoints: one is down, one is a replica, and one takes over from another."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest

from nspkit import Address, Service, ServiceOperation
from nspkit.errors import NotReadyError, TryAgainError
from nspkit.registry import Mark, Scope

WEB = Service("web", service_class="_http._tcp", addresses=[Address.inet("192.0.2.1", 80)])


@pytest.fixture
def nobody() -> Iterator[str]:
    """An address where nobody accepts connections."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{bound.getsockname()[1]}"


@pytest.fixture
def pair(servers: Any, until: Any) -> Any:
    """A primary, and a replica that follows it."""
    primary = servers(repl_diskless_sync_delay="0").start()
    replica = servers(replicaof=f"127.0.0.1 {primary.port}").start()
    until(lambda: "master_link_status:up" in replica.cli("INFO", "replication"))
    return primary, replica


def test_the_next_is_asked_where_one_is_down(
    server: Any, stores: Any, key: Any, nobody: str, following: Any
) -> None:
    """And is the first from then on."""
    store = stores(endpoints=[nobody, server.address], interval=0.05)
    assert store.put(key("x"), b"1", ttl=None)
    assert str(store._pool.order()[0]) == server.address
    assert [one.value for one in store.entries(Scope())] == [b"1"]
    with following(stores(endpoints=[nobody, server.address])) as feed:
        assert [one.value for one in feed.listed()] == [b"1"]


def test_the_next_is_asked_where_one_is_silent(servers: Any, stores: Any, server: Any) -> None:
    """Each gets its part of the time."""
    silent = servers().start()
    store = stores(endpoints=[silent.address, server.address], timeout=2.0)
    silent.freeze()
    assert list(store.entries(Scope())) == []
    assert str(store._pool.order()[0]) == server.address


def test_nobody_is_an_error_that_passes(stores: Any, clients: Any, nobody: str, key: Any) -> None:
    """At the start it is one of the start."""
    with pytest.raises(TryAgainError, match=f"Redis at {nobody} is away"):
        stores(endpoints=nobody).get(key("x"))
    with pytest.raises(NotReadyError, match="no primary answers at Redis at"):
        clients(endpoints=nobody)


def test_a_replica_is_passed_over(pair: Any, stores: Any, clients: Any, key: Any) -> None:
    """Also where it is the first, and by lookups, which would find what is old."""
    primary, replica = pair
    store = stores(endpoints=[replica.address, primary.address])
    assert store.get(key("x")) is None
    assert str(store._pool.order()[0]) == primary.address
    assert store.put(key("x"), b"1", ttl=None)
    with pytest.raises(TryAgainError, match="is a replica"):
        stores(endpoints=replica.address).get(key("x"))
    with pytest.raises(NotReadyError, match="is a replica"):
        clients(endpoints=replica.address)


def test_a_replica_that_takes_over_is_asked(
    pair: Any, host: Any, until: Any, stores: Any, settings: Any
) -> None:
    """The primary ends; what the replica had is found there, and what is renewed is renewed."""
    primary, replica = pair
    both = {"endpoints": [primary.address, replica.address], "interval": 0.1}
    mine = host(**both)
    store, index = stores(**both), f"{{{settings['prefix']}}}:1:paths"
    mine.set_service(WEB.replace(name="anchor"), ServiceOperation.REGISTER)
    with mine.register(WEB, ttl=3.0) as registration, mine.watch(provider="redis") as watch:
        until(lambda: len(watch.snapshot()) == 2)
        until(lambda: replica.cli("ZCARD", index) == "2")
        primary.kill()
        until(lambda: watch.state == "stale")
        replica.cli("REPLICAOF", "NO", "ONE")
        until(lambda: watch.state == "live")
        until(lambda: registration.state == "active")
        until(lambda: sorted(one.name for one in watch.snapshot()) == ["anchor", "web"])
        until(lambda: len(list(store.entries(Scope()))) == 2)


def test_a_primary_that_becomes_a_replica_is_left(pair: Any, stores: Any, key: Any) -> None:
    """Though the connections to it stand: what is written there is refused."""
    first, second = pair
    store = stores(endpoints=[first.address, second.address])
    assert store.put(key("x"), b"1", ttl=None)
    second.cli("REPLICAOF", "NO", "ONE")
    first.cli("REPLICAOF", "127.0.0.1", str(second.port))
    assert store.put(key("x"), b"2", ttl=None)
    assert str(store._pool.order()[0]) == second.address
    assert store.get(key("x")).value == b"2"


def test_a_watch_leaves_a_primary_that_becomes_a_replica(
    pair: Any, stores: Any, following: Any, key: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends, and its next one is at the other."""
    from nspkit_redis import _wire

    monkeypatch.setattr(_wire, "_RECENTLY", 0.1)
    first, second = pair
    store = stores(endpoints=[first.address, second.address], interval=0.05)
    with following(store) as feed:
        assert feed.listed() == []
        second.cli("REPLICAOF", "NO", "ONE")
        first.cli("REPLICAOF", "127.0.0.1", str(second.port))
        with pytest.raises(TryAgainError):
            while next(feed.feed) is Mark.NOTHING:
                pass
    with following(store) as feed:
        assert feed.listed() == []
        assert str(store._pool.order()[0]) == second.address


def test_a_node_of_a_cluster_that_has_it_is_asked(
    servers: Any, stores: Any, key: Any, until: Any, following: Any
) -> None:
    """All keys of a registry are at one node; the others say so, and are passed over."""
    nodes = [servers(cluster_enabled="yes", cluster_node_timeout="5000").start() for _ in range(2)]
    nodes[0].cli("CLUSTER", "ADDSLOTSRANGE", "0", "8000")
    nodes[1].cli("CLUSTER", "ADDSLOTSRANGE", "8001", "16383")
    nodes[0].cli("CLUSTER", "MEET", "127.0.0.1", str(nodes[1].port))
    slot = int(nodes[0].cli("CLUSTER", "KEYSLOT", "{here}"))
    right, wrong = nodes if slot <= 8000 else nodes[::-1]
    for node in nodes:
        until(lambda node=node: "cluster_state:ok" in node.cli("CLUSTER", "INFO"))
    store = stores(endpoints=[wrong.address, right.address], prefix="here")
    assert store.put(key("x"), b"1", ttl=None)
    assert [one.value for one in store.entries(Scope())] == [b"1"]
    with following(stores(endpoints=[wrong.address, right.address], prefix="here")) as feed:
        assert len(feed.listed()) == 1
        store.put(key("y"), b"2", ttl=None)
        assert feed.change().key == key("y")
    assert store.put_class(key("x").class_id, b"schema")
    assert store.remove_class(key("x").class_id, lambda: None)
    assert str(store._pool.order()[0]) == right.address


def test_a_server_that_does_not_tell_its_role_is_a_primary(
    servers: Any, stores: Any, key: Any
) -> None:
    """Until it refuses what is written: it is too old to tell, or may not."""
    primary = servers(rename_command='HELLO ""', repl_diskless_sync_delay="0").start()
    replica = servers(rename_command='HELLO ""', replicaof=f"127.0.0.1 {primary.port}").start()
    store = stores(endpoints=[replica.address, primary.address])
    assert store.put(key("x"), b"1", ttl=None)
    assert str(store._pool.order()[0]) == primary.address
