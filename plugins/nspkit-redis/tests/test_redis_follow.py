"""What a watch of the store tells, with and without the server's own events."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from nspkit_redis import _feed, _follow

from nspkit import Cancellation
from nspkit.errors import TryAgainError
from nspkit.registry import Gone, Mark, Scope

LONG = 600.0
TTLS = (0.3, 1.5, 8.0)
"""Leases that are tried one after the other: on a busy machine the first may end too soon."""


@pytest.fixture(params=["silent", "telling"])
def telling(request: Any, server: Any) -> Iterator[str]:
    """A server that tells of itself, or does not."""
    if request.param == "telling":
        server.cli("CONFIG", "SET", "notify-keyspace-events", "KA")
    yield request.param
    server.cli("CONFIG", "SET", "notify-keyspace-events", "")


def place(settings: Any, key: Any) -> str:
    """Where an entry is."""
    return f"{{{settings['prefix']}}}:1:service:{key.path()}"


def test_a_watch_lists_and_tells(telling: str, store: Any, key: Any, following: Any) -> None:
    """Puts and removals, each once, and nothing of renewals."""
    store.put(key("a"), b"1", ttl=None)
    with following(store) as feed:
        assert [(one.key, one.value) for one in feed.listed()] == [(key("a"), b"1")]
        store.put(key("b"), b"2", ttl=30.0)
        assert feed.change()[:2] == (key("b"), b"2")
        store.put(key("b"), b"2", ttl=60.0)
        store.put(key("b"), b"3", ttl=60.0)
        assert feed.change()[:2] == (key("b"), b"3")
        store.remove(key("a"), store.get(key("a")).version)
        assert feed.change() == Gone(key("a"))
        assert next(feed.feed) is Mark.NOTHING


def test_what_ends_is_told(telling: str, store: Any, key: Any, following: Any) -> None:
    """Where the server does not tell, who watches looks when it should have ended."""
    for ttl in TTLS:
        name = key(f"n{ttl}")
        store.put(name, b"", ttl=ttl)
        with following(store) as feed:
            if [one.key for one in feed.listed()] == [name]:
                assert feed.change() == Gone(name)
                return
    pytest.fail("nothing was listed while it was there")


def test_what_is_put_and_ends_is_told(telling: str, store: Any, key: Any, following: Any) -> None:
    """The same for what was not there when the watch began."""
    with following(store) as feed:
        feed.listed()
        for ttl in TTLS:
            name, last = key(f"n{ttl}"), key(f"last{ttl}")
            store.put(name, b"", ttl=ttl)
            store.put(last, b"", ttl=None)
            first = feed.change()
            if first.key == name:
                assert {feed.change().key, feed.change().key} == {name, last}
                return
    pytest.fail("nothing was told while it was there")


def test_what_is_renewed_does_not_end(store: Any, key: Any, following: Any) -> None:
    """Though nobody is told of it."""
    with following(store) as feed:
        feed.listed()
        for ttl in TTLS:
            renewed, ends = key(f"a{ttl}"), key(f"b{ttl}")
            store.put(renewed, b"", ttl=ttl)
            before = store.get(renewed)
            told = feed.change()
            store.put(renewed, b"", ttl=LONG)
            if before and told.key == renewed and before.version == store.get(renewed).version:
                store.put(ends, b"", ttl=2 * ttl)
                changes = [feed.change(), feed.change()]
                assert [change.key for change in changes] == [ends, ends]
                assert isinstance(changes[1], Gone)
                assert next(feed.feed) is Mark.NOTHING
                return
    pytest.fail("nothing was renewed in time")


def test_who_watches_a_class_hears_of_no_other(store: Any, key: Any, following: Any) -> None:
    """Or of another context."""
    with following(store, Scope(uuid.UUID(int=7), None, "a\\", deep=False)) as feed:
        assert feed.listed() == []
        for other in (key("x"), key("x", kind=8, context="a\\"), key("x", context="a\\b\\")):
            store.put(other, b"", ttl=None)
        store.put(key("x", context="a\\"), b"", ttl=None)
        assert feed.change().key == key("x", context="a\\")


def test_what_others_do_is_told_where_the_server_tells(
    server: Any, store: Any, key: Any, settings: Any, following: Any
) -> None:
    """A key deleted by hand is nothing that a script would tell."""
    server.cli("CONFIG", "SET", "notify-keyspace-events", "KA")
    store.put(key("x"), b"", ttl=None)
    with following(store) as feed:
        feed.listed()
        server.cli("DEL", place(settings, key("x")))
        assert feed.change() == Gone(key("x"))
    server.cli("CONFIG", "SET", "notify-keyspace-events", "")


def test_the_settings_of_the_server_stay(server: Any, store: Any, following: Any) -> None:
    """Nobody who watches switches its events on."""
    with following(store) as feed:
        feed.listed()
    assert server.cli("CONFIG", "GET", "notify-keyspace-events").split() == [
        "notify-keyspace-events"
    ]


def test_messages_that_are_lost_are_made_up_for(
    store: Any, key: Any, following: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the number of the last change, and a list."""
    with following(store) as feed:
        assert feed.listed() == []
        monkeypatch.setattr(_feed.Feed, "_take_change", lambda *_: None)
        store.put(key("x"), b"", ttl=None)
        assert [one.key for one in feed.listed()] == [key("x")]


def test_a_number_that_is_left_out_is_noticed_at_once(
    stores: Any, server: Any, key: Any, settings: Any, following: Any
) -> None:
    """Not only when the watch asks."""
    store = stores(interval=LONG)
    store.put(key("x"), b"", ttl=None)
    with following(store) as feed:
        assert len(feed.listed()) == 1
        server.cli("INCR", f"{{{settings['prefix']}}}:1:changes")
        store.put(key("y"), b"", ttl=None)
        assert [one.key.name for one in feed.listed()] == ["x", "y"]


def test_messages_alone_do(stores: Any, key: Any, following: Any) -> None:
    """A change is told long before the watch would ask."""
    store = stores(interval=LONG)
    store.put(key("x"), b"", ttl=None)
    with following(store) as feed:
        feed.listed()
        for number in range(20):
            store.put(key(f"n{number}"), b"", ttl=None)
            assert feed.change().key == key(f"n{number}")


def test_an_emptied_server_is_listed_again(
    server: Any, store: Any, key: Any, settings: Any, following: Any
) -> None:
    """The number of the last change went back."""
    store.put(key("x"), b"", ttl=None)
    top = f"{{{settings['prefix']}}}:1:"
    with following(store) as feed:
        assert len(feed.listed()) == 1
        server.cli("DEL", place(settings, key("x")), f"{top}paths", f"{top}names", f"{top}changes")
        assert feed.listed() == []


def test_a_server_that_is_filled_again_is_listed_again(
    stores: Any, server: Any, key: Any, settings: Any, following: Any
) -> None:
    """However much was put since: numbers do not begin where they began before."""
    store = stores(interval=LONG)
    store.put(key("x"), b"", ttl=None)
    top = f"{{{settings['prefix']}}}:1:"
    with following(store) as feed:
        assert len(feed.listed()) == 1
        server.cli("DEL", place(settings, key("x")), f"{top}paths", f"{top}names", f"{top}changes")
        store.put(key("y"), b"", ttl=None)
        assert [one.key.name for one in feed.listed()] == ["y"]


def test_a_server_that_has_lost_what_it_counted_is_listed_again(
    stores: Any, server: Any, key: Any, settings: Any, following: Any
) -> None:
    """Also where it has counted as far again, so that its number says nothing."""
    store = stores(interval=LONG)
    with following(store) as feed:
        assert feed.listed() == []
        store.put(key("x"), b"", ttl=None)
        assert feed.change().key == key("x")
        server.cli("DECR", f"{{{settings['prefix']}}}:1:changes")
        store.put(key("y"), b"", ttl=None)
        assert [one.key.name for one in feed.listed()] == ["x", "y"]


def test_what_others_tell_on_the_channel_is_passed_over(
    store: Any, server: Any, key: Any, settings: Any, following: Any
) -> None:
    """It is no change, and no harm."""
    store.put(key("x"), b"", ttl=None)
    with following(store) as feed:
        feed.listed()
        for text in ("", "x", "1 2", "a b c"):
            server.cli("PUBLISH", f"{{{settings['prefix']}}}:1:changes", text)
        store.put(key("y"), b"", ttl=None)
        assert feed.change().key == key("y")


def test_many_changes_are_told_in_the_end(stores: Any, key: Any, following: Any) -> None:
    """By four threads, while the watch reads: what it knows is what is there."""
    store = stores(interval=0.05)
    known = {}
    with following(store) as feed:
        feed.listed()
        gate = threading.Barrier(5)

        def work(number: int) -> None:
            gate.wait(30)
            for value in range(60):
                one = key(f"n{number}-{value % 7}")
                if value % 5 == 4:
                    entry = store.get(one)
                    assert entry is None or store.remove(one, entry.version)
                else:
                    store.put(one, b"%d" % value, ttl=None)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        gate.wait(30)
        for thread in threads:
            thread.join(30)
        store.put(key("last"), b"", ttl=None)
        while key("last") not in known:
            change = feed.change()
            if isinstance(change, Gone):
                del known[change.key]
            else:
                known[change.key] = change.value
    assert known == {one.key: one.value for one in store.entries(Scope())}


def test_a_watch_ends_when_it_is_cancelled(stores: Any) -> None:
    """From another thread, while it waits, at once and without an error."""
    store = stores(interval=LONG)
    cancellation = Cancellation()
    feed = store.follow(Scope(), cancellation, lambda: LONG)
    assert [next(feed), next(feed)] == [Mark.BEGIN, Mark.LISTED]
    threading.Timer(0.1, cancellation.cancel).start()
    assert list(feed) == []


def test_a_watch_that_is_cancelled_already_begins_nothing(store: Any) -> None:
    """It just ends."""
    cancellation = Cancellation()
    cancellation.cancel()
    assert list(store.follow(Scope(), cancellation, lambda: LONG)) == []


def test_a_watch_leaves_no_connection(stores: Any) -> None:
    """When nobody reads on."""
    store = stores(interval=LONG)
    cancellation = Cancellation()
    feed = store.follow(Scope(), cancellation, lambda: LONG)
    next(feed)
    assert len(store._pool._open) >= 2
    feed.close()
    assert not store._pool._open


def test_a_lost_connection_is_told(server: Any, stores: Any) -> None:
    """Of the two that a watch has, either."""
    store = stores(interval=0.05)
    for kind in ("pubsub", "normal"):
        feed = store.follow(Scope(), Cancellation(), lambda: LONG)
        assert [next(feed), next(feed)] == [Mark.BEGIN, Mark.LISTED]
        server.cli("CLIENT", "KILL", "TYPE", kind)
        with pytest.raises(TryAgainError, match="away or not ready"):
            next(feed)


def test_what_is_renewed_for_ever_is_remembered_once(
    store: Any, key: Any, following: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not each of the ends that it had."""
    monkeypatch.setattr(_follow, "_MOST_OLD_ENDS", 10)
    with following(store) as feed:
        feed.listed()
        for number in range(60):
            store.put(key("x"), b"%d" % number, ttl=600.0 + number)
            assert feed.change().key == key("x")
        assert len(feed.feed.gi_frame.f_locals["self"]._due) <= 14


def test_a_reader_without_patience_hears_all_the_same(store: Any, key: Any) -> None:
    """Between the marks that nothing has happened."""
    cancellation = Cancellation(time.monotonic() + 30)
    feed = store.follow(Scope(), cancellation, lambda: 0.0)
    assert [next(feed), next(feed), next(feed)] == [Mark.BEGIN, Mark.LISTED, Mark.NOTHING]
    store.put(key("x"), b"", ttl=None)
    assert next(one for one in feed if one is not Mark.NOTHING).key == key("x")
    cancellation.cancel()


def test_a_list_that_is_cancelled_is_not_one(store: Any, key: Any) -> None:
    """It has no end, so that nothing counts as gone."""
    store.put(key("x"), b"", ttl=None)
    cancellation = Cancellation()
    feed = store.follow(Scope(), cancellation, lambda: LONG)
    assert next(feed) is Mark.BEGIN
    next(feed)
    cancellation.cancel()
    assert Mark.LISTED not in list(feed)
