"""What is not the registry's: members and messages of others, and servers that can do less."""

from __future__ import annotations

from typing import Any

import pytest
from nspkit_redis import _wire

from nspkit import Cancellation
from nspkit.errors import NspError
from nspkit.registry import Gone, Mark, Scope

LONG = 600.0


def test_a_member_that_is_no_name_path_is_passed_over(
    server: Any, store: Any, key: Any, settings: Any
) -> None:
    """A lookup by name finds what is there, whatever somebody has put into the index beside it."""
    index = f"{{{settings['prefix']}}}:1:names"
    assert store.put(key("x"), b"1", ttl=None)
    for member in ("x/no path", "x/", "x//", "x/a/b/c"):
        server.cli("ZADD", index, "0", member)
    assert [one.key for one in store.entries(Scope(None, "x"))] == [key("x")]


def test_another_database_is_another_registry(
    server: Any, stores: Any, key: Any, following: Any
) -> None:
    """What is told of changes there is not heard here: channels know of no databases."""
    here, there = stores(interval=LONG), stores(interval=LONG, database=1)
    assert here.put(key("x"), b"1", ttl=None)
    with following(here) as feed:
        assert len(feed.listed()) == 1
        assert there.put(key("y"), b"1", ttl=None)
        assert here.put(key("z"), b"1", ttl=None)
        assert feed.change().key == key("z")
        assert next(feed.feed) is Mark.NOTHING  # and no list


def test_a_change_of_another_database_is_told_there(stores: Any, key: Any, following: Any) -> None:
    """By a message, long before the watch would ask."""
    store = stores(interval=LONG, database=1)
    with following(store) as feed:
        assert feed.listed() == []
        assert store.put(key("x"), b"1", ttl=30.0)
        assert feed.change().key == key("x")


@pytest.mark.parametrize("command", ["SUBSCRIBE", "PSUBSCRIBE"])
def test_a_server_without_subscriptions_is_asked(
    servers: Any, stores: Any, key: Any, following: Any, command: str
) -> None:
    """As one where the user may not listen; no connection that listens is used for a request."""
    server = servers(rename_command=f'{command} ""').start()
    store = stores(endpoints=server.address, interval=0.05)
    with following(store) as feed:
        assert feed.listed() == []
        assert store.put(key("x"), b"1", ttl=None)
        while (change := next(feed.feed)) in (Mark.BEGIN, Mark.LISTED, Mark.NOTHING):
            pass
        assert change.key == key("x")
    assert store.get(key("x")).value == b"1"


def test_a_connection_that_listens_is_not_asked(
    servers: Any, stores: Any, key: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the server refused the second half of it, for whatever reason."""
    server = servers().start()
    store = stores(endpoints=server.address)
    ask = _wire.Wire.ask

    def refused(wire: Any, *command: Any) -> Any:
        return ask(wire, *(("PSUBSCRIBE",) if command[0] == "PSUBSCRIBE" else command))

    monkeypatch.setattr(_wire.Wire, "ask", refused)
    with pytest.raises(NspError, match="wrong number of arguments"):
        next(store.follow(Scope(), Cancellation(), lambda: LONG))
    assert not store._pool._open
    assert store.get(key("x")) is None


def test_what_is_told_while_a_watch_begins_is_no_refusal(
    server: Any,
    stores: Any,
    key: Any,
    settings: Any,
    following: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Who may hear of changes, but not of the server's events, hears a change in between."""
    channel = f"{{{settings['prefix']}}}:1:changes"
    server.cli("ACL", "SETUSER", "half", "on", ">half", "~*", "+@all", "resetchannels",
               f"&{channel}")  # fmt: skip
    store = stores(interval=LONG, user="half", password="half")
    ask = _wire.Wire.ask

    def busy(wire: Any, *command: Any) -> Any:
        if command[0] == "PSUBSCRIBE":
            assert server.cli("PUBLISH", channel, "1 2 x") == "1"
        return ask(wire, *command)

    monkeypatch.setattr(_wire.Wire, "ask", busy)
    with following(store) as feed:
        assert feed.listed() == []
        assert store.put(key("x"), b"1", ttl=None)
        assert feed.change().key == key("x")
    server.cli("ACL", "DELUSER", "half")


@pytest.mark.parametrize("number", ["abc", "-5", "1.5", "9007199254740993", "9223372036854775807"])
def test_a_number_that_is_none_begins_anew(
    server: Any, store: Any, key: Any, settings: Any, number: str
) -> None:
    """At the server's time, as where there is none: each put is a version of its own."""
    server.cli("SET", f"{{{settings['prefix']}}}:1:changes", number)
    versions = []
    for value in (b"1", b"2", b"3"):
        assert store.put(key("x"), value, ttl=None)
        versions.append(int(store.get(key("x")).version))
    assert versions == [versions[0], versions[0] + 1, versions[0] + 2]
    assert 10**15 < versions[0] < 2**53 - 10**6


def test_a_removal_without_a_number_is_none(
    server: Any, store: Any, key: Any, settings: Any
) -> None:
    """Where something else is in its place: what is refused has not been done."""
    counter = f"{{{settings['prefix']}}}:1:changes"
    assert store.put(key("x"), b"1", ttl=None)
    server.cli("DEL", counter)
    server.cli("LPUSH", counter, "x")
    entry = store.get(key("x"))
    with pytest.raises(NspError, match="something else where the registry is"):
        store.remove(key("x"), entry.version)
    assert store.get(key("x")) == entry


def test_a_full_server_lets_go(servers: Any, stores: Any, key: Any, following: Any) -> None:
    """What is removed is gone, and who watches is told, though nothing new can be written."""
    server = servers(maxmemory_policy="noeviction").start()
    store = stores(endpoints=server.address, interval=0.05)
    assert store.put(key("x"), b"1", ttl=None)
    assert store.put(key("y"), b"1", ttl=None)
    version = store.get(key("x")).version
    with following(store) as feed:
        assert len(feed.listed()) == 2
        server.cli("CONFIG", "SET", "maxmemory", "1")
        with pytest.raises(NspError, match="takes nothing more"):
            store.put(key("z"), b"1", ttl=None)
        assert store.remove(key("x"), version)
        assert feed.change() == Gone(key("x"))
        server.cli("CONFIG", "SET", "maxmemory", "0")
        assert store.put(key("z"), b"1", ttl=None)
        assert feed.change().key == key("z")
