"""Following what changes: lists, changes, and what happens between two looks."""

from __future__ import annotations

import threading
import uuid
from typing import Any

import pytest

from nspkit import Cancellation
from nspkit.registry import EVERYTHING, Entry, Key, Mark, Scope

CLASS = uuid.UUID("6f1c9f0e-3c7a-4d4e-9a43-5c6f2f1f0a01")
WEB = Key(CLASS, "", "web")
MAIL = Key(None, "a\\", "mail")
PATIENCE = 30.0


def remove(store: Any, key: Key) -> None:
    """Remove what is there under a key."""
    assert store.remove(key, store.get(key).version)


def test_what_is_there_is_listed_first(store: Any, follow: Any) -> None:
    """Between the two marks."""
    store.put(WEB, b"value", ttl=None)
    store.put(MAIL, b"other", ttl=30.0)
    feed = follow()
    assert feed.listed() == {WEB: b"value", MAIL: b"other"}


SCOPES = {
    "everything": EVERYTHING,
    "class": Scope(CLASS),
    "class and context": Scope(CLASS, deep=False),
    "name": Scope(None, "web"),
    "one": Scope(CLASS, "web", "", deep=False),
    "class and name": Scope(CLASS, "web"),
}


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("before", [False, True], ids=["new", "known"])
def test_each_scope_tells_what_comes_changes_and_goes(
    store: Any, follow: Any, scope: str, before: bool
) -> None:
    """Also where there was nothing of it before, not even nodes above it."""
    if before:
        store.put(WEB, b"before", ttl=None)
    feed = follow(SCOPES[scope])
    assert feed.listed() == ({WEB: b"before"} if before else {})
    for turn in range(2):
        store.put(WEB, b"%d" % turn, ttl=None)
        assert feed.next() == ("web", b"%d" % turn)
        store.put(WEB, b"other", ttl=30.0)
        assert feed.next() == ("web", b"other")
        remove(store, WEB)
        assert feed.next() == ("web", None)


def test_another_session_is_told_as_well(store: Any, stores: Any, follow: Any) -> None:
    """Of what comes, and of what goes with a session."""
    feed, other = follow(), stores()
    feed.listed()
    other.put(WEB, b"value", ttl=30.0)
    assert feed.next() == ("web", b"value")
    other.close_all()
    assert feed.next() == ("web", None)


def test_renewals_are_no_changes(store: Any, follow: Any) -> None:
    """What is told after them is the next change."""
    store.put(WEB, b"value", ttl=30.0)
    feed = follow()
    feed.listed()
    store.put(WEB, b"value", ttl=30.0)
    store.put(WEB, b"other", ttl=30.0)
    assert feed.next() == ("web", b"other")


def test_others_are_not_told(store: Any, follow: Any) -> None:
    """Who follows a name or a class hears of that only."""
    named, classed = follow(Scope(None, "web")), follow(Scope(CLASS))
    named.listed()
    classed.listed()
    store.put(MAIL, b"mail", ttl=None)
    store.put(WEB, b"value", ttl=None)
    assert named.next() == ("web", b"value")
    assert classed.next() == ("web", b"value")


def test_what_comes_while_it_is_listed_is_told(store: Any, follow: Any) -> None:
    """In the list or after it."""
    for number in range(20):
        store.put(Key(CLASS, f"c{number % 5}\\", f"n{number}"), b"value", ttl=None)
    feed = follow()
    news = iter(feed)
    assert next(news) is Mark.BEGIN
    told = {next(news).key.name}
    store.put(Key(CLASS, "c9\\", "n20"), b"value", ttl=None)
    store.put(Key(CLASS, "c1\\", "n21"), b"value", ttl=None)
    while len(told) < 22:
        item = next(news)
        if isinstance(item, Entry):
            told.add(item.key.name)
    assert told == {f"n{number}" for number in range(22)}


def test_a_context_that_vanishes_takes_all_that_was_in_it(
    store: Any, bare: Any, follow: Any, prefix: str
) -> None:
    """And what comes in its place is told."""
    keys = [Key(CLASS, "x\\", f"n{number}") for number in range(3)]
    for key in keys:
        store.put(key, b"value", ttl=None)
    feed = follow()
    feed.listed()
    bare.delete(f"/{prefix}", recursive=True)
    assert {feed.next() for _ in keys} == {(key.name, None) for key in keys}
    store.put(keys[0], b"again", ttl=None)
    assert feed.next() == ("n0", b"again")


def test_after_many_changes_the_last_is_known(store: Any, stores: Any, follow: Any) -> None:
    """Whatever was missed in between."""
    feed, other = follow(), stores()
    feed.listed()

    def change() -> None:
        for number in range(30):
            one = other if number % 2 else store
            one.put(WEB, b"%d" % number, ttl=30.0)
            if number % 7 == 6:
                remove(one, WEB)
        store.put(WEB, b"last", ttl=30.0)

    thread = threading.Thread(target=change)
    thread.start()
    while feed.next() != ("web", b"last"):
        pass
    thread.join(PATIENCE)


def test_where_nothing_happens_the_reader_is_asked(store: Any) -> None:
    """As often as it has said."""
    news = store.follow(EVERYTHING, Cancellation(), lambda: 0.01)
    assert [next(news) for _ in range(4)] == [Mark.BEGIN, Mark.LISTED, Mark.NOTHING, Mark.NOTHING]
    news.close()


def test_who_is_cancelled_comes_back_at_once(store: Any) -> None:
    """In the midst of waiting."""
    cancellation = Cancellation()
    news = store.follow(EVERYTHING, cancellation, lambda: PATIENCE)
    assert [next(news), next(news)] == [Mark.BEGIN, Mark.LISTED]
    timer = threading.Timer(0.05, cancellation.cancel)
    timer.start()
    assert list(news) == []
    timer.join()


def test_a_watch_leaves_no_more_functions_than_nodes(store: Any, follow: Any) -> None:
    """However often it is begun: kazoo cannot take a watch back."""
    store.put(WEB, b"value", ttl=None)
    for _ in range(5):
        feed = follow()
        feed.listed()
        feed.close()
    client = store._connection.client
    kept = [*client._child_watchers.values(), *client._data_watchers.values()]
    assert {len(functions) for functions in kept} == {1}
    assert store._hub._queues == set()
