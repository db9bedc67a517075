"""Answers that are lost: what was carried out all the same, and what was not."""

from __future__ import annotations

import time
from typing import Any
from uuid import UUID

import pytest
import redis
from nspkit_redis import _caller, _pool, _wire
from nspkit_redis._scripts import REMOVE_CLASS

from nspkit import Cancellation
from nspkit.errors import TryAgainError
from nspkit.registry import Mark, Scope

LONG = 60.0
PERSISTENT = {"appendonly": "yes", "appendfsync": "always"}


@pytest.fixture
def settings() -> dict[str, Any]:
    """The prefix is the default; each test has servers of its own, and says where."""
    return {"interval": 0.1}


def test_a_write_that_is_interrupted_is_whole(servers: Any, stores: Any, key: Any) -> None:
    """A server that was frozen in the midst carries it out later, or never."""
    server = servers().start()
    store, hasty = stores(endpoints=server.address), stores(endpoints=server.address, timeout=0.2)
    assert store.put(key("x"), b"1", ttl=None)
    server.freeze()
    with pytest.raises(TryAgainError, match="away or not ready"):
        hasty.put(key("x"), b"2", ttl=None)
    server.thaw()
    assert store.get(key("x")).value in (b"1", b"2")
    assert [one.key for one in store.entries(Scope())] == [key("x")]


def test_what_was_carried_out_unheard_is_no_refusal(
    servers: Any, stores: Any, key: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer is lost, the second try finds what the first has put, and that is right."""
    server = servers().start()
    store = stores(endpoints=server.address)
    assert store.put(key("y"), b"1", ttl=None)
    version = store.get(key("y")).version
    run, lose = _caller.run, [True]

    def unheard(wire: Any, script: Any, keys: Any, arguments: Any = ()) -> Any:
        done = run(wire, script, keys, arguments)
        if lose:
            lose.clear()
            wire.close()
            raise redis.ConnectionError("lost")
        return done

    monkeypatch.setattr(_caller, "run", unheard)
    assert store.put(key("x"), b"1", ttl=None, expected=None)
    lose.append(True)
    assert store.put(key("y"), b"2", ttl=None, expected=version)
    version = store.get(key("y")).version
    lose.append(True)
    assert store.remove(key("y"), version)
    lose.append(True)
    assert not store.put(key("x"), b"2", ttl=None, expected=None)
    lose.append(True)
    assert not store.remove(key("x"), version)
    monkeypatch.setattr(_caller, "run", run)
    assert store.get(key("x")).value == b"1"
    assert store.get(key("y")) is None


def test_a_class_that_was_put_unheard_is_put(servers: Any, stores: Any, monkeypatch: Any) -> None:
    """And one that somebody else has put is not, though it says the same."""
    server = servers().start()
    store = stores(endpoints=server.address)
    store.check()  # from then on a connection is idle, after which another is tried
    ask, lose = _wire.Wire.ask, [True]

    def unheard(wire: Any, *command: Any) -> Any:
        done = ask(wire, *command)
        if lose and command[0] in ("SET", "EVAL", "EVALSHA"):
            lose.clear()
            wire.close()
            raise redis.ConnectionError("lost")
        return done

    monkeypatch.setattr(_wire.Wire, "ask", unheard)
    assert store.put_class(UUID(int=1), b"schema")
    lose.append(True)
    assert not store.put_class(UUID(int=1), b"another")
    lose.append(True)
    assert not store.put_class(UUID(int=1), b"schema")
    assert not lose
    assert store.get_class(UUID(int=1)) == b"schema"


def test_a_class_that_was_removed_unheard_is_removed(
    servers: Any, stores: Any, key: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also one of which there were instances, whose number goes with it."""
    server = servers().start()
    store = stores(endpoints=server.address)
    used = key("x")
    store.put(used, b"1", ttl=None)
    store.remove(used, store.get(used).version)
    run, lose = _caller.run, [True]

    def unheard(wire: Any, script: Any, keys: Any, arguments: Any = ()) -> Any:
        done = run(wire, script, keys, arguments)
        if lose and script is REMOVE_CLASS:
            lose.clear()
            wire.close()
            raise redis.ConnectionError("lost")
        return done

    monkeypatch.setattr(_caller, "run", unheard)
    for kind in (used.class_id, UUID(int=9)):
        assert store.put_class(kind, b"schema")
        lose.append(True)
        assert store.remove_class(kind, lambda: None)
        assert not lose
        assert store.get_class(kind) is None


def test_a_write_is_repeated_once(servers: Any, stores: Any, key: Any, monkeypatch: Any) -> None:
    """However many connections are idle: what others write meanwhile is not replaced for ever."""
    server = servers().start()
    store = stores(endpoints=server.address)
    pool = store._pool
    wires = [pool.new(pool.order()[0]) for _ in range(5)]
    for wire in wires:
        wire.ready(time.monotonic() + LONG)
    for wire in wires:
        pool.take_back(wire)
    run, runs = _caller.run, []

    def unheard(wire: Any, script: Any, keys: Any, arguments: Any = ()) -> Any:
        runs.append(run(wire, script, keys, arguments))
        raise redis.ConnectionError("lost")

    monkeypatch.setattr(_caller, "run", unheard)
    with pytest.raises(TryAgainError, match="lost"):
        store.put(key("x"), b"1", ttl=None)
    assert len(runs) == 2
    assert not pool._idle
    assert not pool._open


def test_a_server_that_comes_back_is_asked_at_once(servers: Any, stores: Any, key: Any) -> None:
    """Idle connections to the one before are no failure."""
    server = servers(**PERSISTENT).start()
    store = stores(endpoints=server.address)
    store.put(key("x"), b"1", ttl=None)
    server.kill()
    with pytest.raises(TryAgainError):
        store.get(key("x"))
    server.start()
    assert store.get(key("x")).value == b"1"
    server.kill()
    server.start()
    assert store.put(key("x"), b"1", ttl=None, expected=store.get(key("x")).version)


@pytest.mark.parametrize("interval", [0.1, 3600.0])
def test_a_watch_ends_where_the_server_is_silent(
    servers: Any, stores: Any, interval: float
) -> None:
    """Though both connections stand, and however seldom it asks."""
    server = servers().start()
    store = stores(endpoints=server.address, timeout=1.0, interval=interval)
    # Without an error it would end here, when nobody waits any more.
    cancellation = Cancellation(time.monotonic() + LONG / 2)
    feed = store.follow(Scope(), cancellation, lambda: 2 * LONG)
    assert [next(feed), next(feed)] == [Mark.BEGIN, Mark.LISTED]
    server.freeze()
    with pytest.raises(TryAgainError):
        next(feed)


def test_idle_connections_are_not_without_number(servers: Any, stores: Any) -> None:
    """What a crowd has left is closed, but for what a host has calls at once."""
    server = servers().start()
    pool = stores(endpoints=server.address)._pool
    wires = [pool.new(pool.order()[0]) for _ in range(_pool._IDLE + 5)]
    for wire in wires:
        wire.ready(time.monotonic() + LONG)
    for wire in wires:
        pool.take_back(wire)
    assert len(pool._idle) == len(pool._open) == _pool._IDLE
    assert sum(wire.is_connected for wire in wires) == _pool._IDLE
