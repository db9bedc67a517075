"""What is kept in Redis, and how; `redis-cli` is asked too."""

from __future__ import annotations

import threading
import uuid
from typing import Any

import pytest
from nspkit_redis import _pages
from nspkit_redis._caller import Caller
from nspkit_redis._layout import range_of

from nspkit.errors import ErrorCode, InvalidArgumentError, NspError, TryAgainError
from nspkit.registry import Key, Scope

CLASS = uuid.UUID(int=7)


def put_all(store: Any, *keys: Key) -> None:
    """Put an entry under each key."""
    for key in keys:
        assert store.put(key, key.name.encode(), ttl=None)


def paths(store: Any, scope: Scope) -> list[str]:
    """The paths of what the store has in a scope."""
    return [one.key.path() for one in store.entries(scope) if scope.covers(one.key)]


def test_what_was_put_is_there(store: Any, key: Any) -> None:
    """Bytes come back as they were, spaces and all, and nothing says that it ends."""
    assert store.get(key("x")) is None
    assert store.put(key("x"), b"a b\0\xff c", ttl=None)
    entry = store.get(key("x"))
    assert (entry.key, entry.value, entry.left) == (key("x"), b"a b\0\xff c", None)


def test_an_entry_ends(server: Any, store: Any, key: Any, settings: Any) -> None:
    """At the server, which tells how much is left; its places in the indexes go later."""
    assert store.put(key("x"), b"x", ttl=20.0)
    assert 10.0 < store.get(key("x")).left <= 20.0
    place = f"{{{settings['prefix']}}}:1:service:{key('x').path()}"
    assert 10_000 < int(server.cli("PTTL", place)) <= 20_000
    server.cli("PEXPIRE", place, "0")  # as if it were over
    assert store.get(key("x")) is None
    assert list(store.entries(Scope())) == []
    assert server.cli("EXISTS", f"{{{settings['prefix']}}}:1:paths") == "0"
    assert server.cli("EXISTS", f"{{{settings['prefix']}}}:1:names") == "0"


def test_everything_is_in_one_slot(server: Any, store: Any, key: Any, settings: Any) -> None:
    """A cluster has all keys of a registry at one of its nodes."""
    store.put(key("x"), b"x", ttl=None)
    store.put_class(CLASS, b"schema")
    keys = server.cli("--scan", "--pattern", f"{{{settings['prefix']}}}:*").split()
    assert len(keys) == 6
    assert len({one.partition("}")[0] for one in keys}) == 1


def test_the_same_again_renews(store: Any, key: Any) -> None:
    """It is the same version, with all of its lease before it."""
    store.put(key("x"), b"x", ttl=5.0)
    before = store.get(key("x"))
    store.put(key("x"), b"x", ttl=500.0, expected=before.version)
    after = store.get(key("x"))
    assert after.version == before.version
    assert after.left > 400
    store.put(key("x"), b"x", ttl=None)
    assert store.get(key("x")).left is None


def test_another_value_is_another_version(store: Any, key: Any) -> None:
    """Also one that was there before."""
    versions = set()
    for value in (b"a", b"b", b"a"):
        store.put(key("x"), value, ttl=None)
        versions.add(store.get(key("x")).version)
    assert len(versions) == 3


def test_a_put_compares(store: Any, key: Any) -> None:
    """With the version that is there, or with nothing."""
    assert store.put(key("x"), b"a", ttl=None, expected=None)
    assert not store.put(key("x"), b"b", ttl=None, expected=None)
    version = store.get(key("x")).version
    assert store.put(key("x"), b"b", ttl=None, expected=version)
    assert not store.put(key("x"), b"c", ttl=None, expected=version)
    assert not store.put(key("y"), b"c", ttl=None, expected=version)
    assert store.get(key("x")).value == b"b"
    assert store.get(key("y")) is None


def test_a_removal_compares(server: Any, store: Any, key: Any, settings: Any) -> None:
    """And takes the places in the indexes along."""
    store.put(key("x"), b"a", ttl=None)
    version = store.get(key("x")).version
    store.put(key("x"), b"b", ttl=None)
    assert not store.remove(key("x"), version)
    assert store.remove(key("x"), store.get(key("x")).version)
    assert not store.remove(key("x"), version)
    for index in ("paths", "names"):
        assert server.cli("EXISTS", f"{{{settings['prefix']}}}:1:{index}") == "0"


def test_a_scope_has_its_entries(store: Any) -> None:
    """By class, name and context, in the order of their paths, and none of another."""
    other = uuid.UUID(int=8)
    keys = [
        Key(kind, context, name)
        for kind in (None, CLASS, other)
        for context in ("", "a\\", "a\\b\\", "ab\\")
        for name in ("n", "nn", "ü/%2F \\")
    ]
    put_all(store, *keys)
    for kind in (None, CLASS, other):
        for name in (None, "n", "nn", "ü/%2F \\", "absent"):
            for context in ("", "a\\", "a\\b\\", "nowhere\\"):
                for deep in (False, True):
                    scope = Scope(kind, name, context, deep)
                    right = sorted(key.path() for key in keys if scope.covers(key))
                    assert sorted(paths(store, scope)) == right
    everything = paths(store, Scope())
    assert everything == sorted(everything)


def test_only_what_may_be_meant_is_read() -> None:
    """Not what is in the contexts below, where nobody asks for that."""
    top = str(CLASS).encode()
    flat, deep = Scope(CLASS, None, "a\\", deep=False), Scope(CLASS, None, "a\\", deep=True)
    assert range_of(flat) == ("paths", b"[%b/a%%5C/" % top, b"[%b/a%%5C/\xff" % top)
    assert range_of(deep) == ("paths", b"[%b/a%%5C" % top, b"[%b/a%%5C\xff" % top)
    assert range_of(Scope(CLASS, "n")) == ("names", b"[n/%b/" % top, b"[n/%b/\xff" % top)


def test_pages_tell_each_once(store: Any, key: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many entries and bytes are in one, and whatever comes and goes meanwhile."""
    keys = [key(f"n{number:03}") for number in range(50)]
    put_all(store, *keys)
    monkeypatch.setattr(_pages, "_MEMBERS", 7)
    assert [one.key for one in store.entries(Scope(CLASS))] == keys
    feed = store.entries(Scope(CLASS))
    found = [next(feed).key for _ in range(10)]
    for one in (keys[2], keys[3], keys[40]):
        assert store.remove(one, store.get(one).version)
    put_all(store, key("n001-new"), keys[2])
    found += [one.key for one in feed]
    assert found == [one for one in keys if one != keys[40]]
    monkeypatch.setattr(_pages, "_BYTES", 50)
    put_all(store, *keys)
    lengths = [len(page) for page in _pages.pages(Caller(store._pool).run, store._layout, Scope())]
    assert lengths == [3] * 17  # each has a version of 16 digits
    assert [one.key.name for one in store.entries(Scope())] == sorted(
        [one.name for one in keys] + ["n001-new"]
    )


def test_a_page_of_what_has_ended_is_not_the_last(
    server: Any, store: Any, key: Any, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What comes after it is found."""
    put_all(store, *(key(f"n{number}") for number in range(9)))
    for number in range(6):
        server.cli("DEL", f"{{{settings['prefix']}}}:1:service:{key(f'n{number}').path()}")
    monkeypatch.setattr(_pages, "_MEMBERS", 2)
    assert [one.key.name for one in store.entries(Scope(CLASS))] == ["n6", "n7", "n8"]


def test_who_registers_takes_away_what_has_ended(
    server: Any, store: Any, key: Any, settings: Any
) -> None:
    """Where nobody browses, new names do not add up for ever."""
    put_all(store, *(key(f"old{number}") for number in range(20)))
    for number in range(20):
        server.cli("DEL", f"{{{settings['prefix']}}}:1:service:{key(f'old{number}').path()}")
    put_all(store, *(key(f"new{number}") for number in range(40)))
    assert int(server.cli("ZCARD", f"{{{settings['prefix']}}}:1:paths")) < 60


def test_an_index_that_was_lost_fills_again(
    server: Any, store: Any, key: Any, settings: Any, following: Any
) -> None:
    """By renewals, and who watches is told that there is something."""
    put_all(store, key("x"), key("y"))
    with following(store) as feed:
        assert len(feed.listed()) == 2
        server.cli(
            "DEL", *(f"{{{settings['prefix']}}}:1:{name}" for name in ("paths", "names", "changes"))
        )
        assert feed.listed() == []
        put_all(store, key("x"))
        assert feed.change().key == key("x")
    assert [one.key for one in store.entries(Scope(None, "x"))] == [key("x")]
    assert [one.key for one in store.entries(Scope())] == [key("x")]


def test_a_class_is_put_once(store: Any) -> None:
    """And stays as it is."""
    assert store.get_class(CLASS) is None
    assert store.put_class(CLASS, b"a b")
    assert not store.put_class(CLASS, b"c")
    assert store.get_class(CLASS) == b"a b"
    assert store.remove_class(CLASS, lambda: None)
    assert not store.remove_class(CLASS, lambda: None)
    assert store.get_class(CLASS) is None


def test_a_class_goes_only_when_it_was_looked_at(store: Any, key: Any) -> None:
    """Who puts an entry of it meanwhile has it looked at again."""
    store.put_class(CLASS, b"schema")
    looks = []

    def check() -> None:
        looks.append(len(list(store.entries(Scope(CLASS)))))
        if len(looks) < 3:
            store.put(key(f"n{len(looks)}"), b"x", ttl=None)
            store.put(key(f"n{len(looks)}", kind=8), b"x", ttl=None)

    assert store.remove_class(CLASS, check)
    assert looks == [0, 1, 2]


def test_a_class_in_use_stays(stores: Any, key: Any) -> None:
    """What the look raises goes through; who puts all the time wins."""
    store = stores(timeout=1.0)
    store.put_class(CLASS, b"schema")

    def refuse() -> None:
        raise NspError("in use", code=10059)

    with pytest.raises(NspError, match="in use"):
        store.remove_class(CLASS, refuse)
    values = iter(range(1_000_000))
    with pytest.raises(TryAgainError, match="registered all the time"):
        store.remove_class(CLASS, lambda: store.put(key("x"), b"%d" % next(values), ttl=None))
    assert store.get_class(CLASS) == b"schema"


def test_of_many_that_compare_one_wins(stores: Any, key: Any) -> None:
    """Each number is put once, by whoever has seen the one before."""
    store = stores()
    store.put(key("x"), b"0", ttl=None)
    gate = threading.Barrier(8)

    def count() -> None:
        gate.wait(30)
        done = 0
        while done < 10:
            entry = store.get(key("x"))
            value = b"%d" % (int(entry.value) + 1)
            done += store.put(key("x"), value, ttl=None, expected=entry.version)

    threads = [threading.Thread(target=count) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert store.get(key("x")).value == b"80"


def test_a_name_that_is_no_unicode_is_not_there(store: Any, key: Any) -> None:
    """It cannot have been put."""
    assert store.get(key("\udcff")) is None
    assert list(store.entries(Scope(None, "\udcff"))) == []


def test_something_else_there_is_told(server: Any, store: Any, key: Any, settings: Any) -> None:
    """Of another type: that is damage. A member that is no path is passed over."""
    top = f"{{{settings['prefix']}}}:1:"
    put_all(store, key("x"))
    server.cli("ZADD", f"{top}paths", "0", "no path")
    server.cli("SET", f"{top}service:no path", "1 x")
    assert [one.key for one in store.entries(Scope())] == [key("x")]
    server.cli("DEL", f"{top}service:{key('x').path()}")
    server.cli("LPUSH", f"{top}service:{key('x').path()}", "x")
    with pytest.raises(NspError, match="something else where the registry is") as caught:
        store.put(key("x"), b"x", ttl=None)
    assert caught.value.code == ErrorCode.WSANO_RECOVERY


def test_a_damaged_entry_can_be_deleted(server: Any, client: Any, settings: Any) -> None:
    """Whatever somebody has put in its place."""
    client.register("x", "192.0.2.1", service_class="_http._tcp", context="a")
    [place] = server.cli("--scan", "--pattern", f"{{{settings['prefix']}}}:1:service:*").split()
    server.cli("SET", place, "garbage")
    with pytest.raises(NspError, match="damaged"):
        client.find("x", service_class="_http._tcp", context="a")
    client.delete("x", service_class="_http._tcp", context="a")
    assert server.cli("EXISTS", place) == "0"


@pytest.mark.parametrize("ttl", [1e-9, 1e300, 1.7e308])
def test_any_ttl_is_one_that_the_server_takes(store: Any, key: Any, ttl: float) -> None:
    """The shortest is a millisecond, the longest three thousand years."""
    assert store.put(key("x"), b"x", ttl=ttl)


def test_what_cannot_be_stored_is_refused(client: Any) -> None:
    """Before the server is asked."""
    for bad in ({"name": "\udcff"}, {"name": "x", "attributes": {"a": 10**5000}}):
        with pytest.raises(InvalidArgumentError):
            client.register(bad.pop("name"), "192.0.2.1", **bad)


def test_a_server_that_forgets_its_scripts_is_told_again(server: Any, store: Any, key: Any) -> None:
    """It costs one more question."""
    assert store.put(key("x"), b"x", ttl=None)
    server.cli("SCRIPT", "FLUSH")
    assert store.put(key("y"), b"y", ttl=None)
    assert [one.key.name for one in store.entries(Scope())] == ["x", "y"]
