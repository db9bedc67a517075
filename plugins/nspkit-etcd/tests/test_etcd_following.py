"""Following: what is there, then each change, through compaction too."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from nspkit_etcd import _pages

from nspkit.registry import EVERYTHING, Gone, Key, Mark, Scope

PATIENCE = 30.0
ONE, TWO = Key(None, "", "one"), Key(None, "", "two")
WEB = uuid.UUID("12345678-1234-5678-1234-567812345678")


def compact(etcd: Any) -> None:
    """Have it forget all but the newest revision."""
    status = json.loads(etcd.ctl("get", "any", "-w", "json"))
    etcd.ctl("compact", str(status["header"]["revision"]))


def test_what_is_there_comes_first_and_then_each_change(store: Any, follow: Any) -> None:
    """Puts with what was put, and removals."""
    store.put(ONE, b"1", ttl=None)
    feed = follow()
    assert feed.listed() == [Mark.BEGIN, (ONE, b"1")]
    store.put(TWO, b"2", ttl=30)
    assert feed.next() == (TWO, b"2")
    store.put(TWO, b"3", ttl=30)
    assert feed.next() == (TWO, b"3")
    store.remove(ONE, store.get(ONE).version)
    assert feed.next() == Gone(ONE)


def test_an_entry_that_is_told_has_its_version(store: Any, follow: Any) -> None:
    """The one that a removal asks for."""
    feed = follow()
    feed.listed()
    store.put(ONE, b"1", ttl=None)
    entry = next(feed.items)
    assert store.remove(ONE, entry.version)


def test_a_change_between_the_list_and_the_watch_is_told(store: Any, follow: Any) -> None:
    """The watch begins where the list was made."""
    feed = follow()
    assert feed.next() is Mark.BEGIN
    assert feed.next() is Mark.LISTED
    store.put(ONE, b"1", ttl=None)
    assert feed.next() == (ONE, b"1")


def test_a_renewal_is_no_change(store: Any, follow: Any) -> None:
    """Nobody is told."""
    store.put(ONE, b"1", ttl=30)
    feed = follow()
    feed.listed()
    store.put(ONE, b"1", ttl=30)
    store.put(TWO, b"2", ttl=30)
    assert feed.next() == (TWO, b"2")


def test_the_end_of_a_lease_is_told(store: Any, follow: Any, etcd: Any, prefix: str) -> None:
    """As a removal."""
    store.put(ONE, b"1", ttl=30)
    feed = follow()
    feed.listed()
    [record] = json.loads(etcd.ctl("get", f"{prefix}/1/service/-/-/one", "-w", "json"))["kvs"]
    etcd.ctl("lease", "revoke", f"{record['lease']:x}")
    assert feed.next() == Gone(ONE)


def test_a_name_is_followed_in_all_classes(store: Any, follow: Any) -> None:
    """By the index of names, whose records are read."""
    store.put(Key(WEB, "a\\", "one"), b"1", ttl=None)
    feed = follow(Scope(None, "one"))
    assert feed.listed() == [Mark.BEGIN, (Key(WEB, "a\\", "one"), b"1")]
    store.put(TWO, b"another", ttl=None)
    store.put(ONE, b"2", ttl=None)
    assert feed.next() == (ONE, b"2")
    store.remove(ONE, store.get(ONE).version)
    assert feed.next() == Gone(ONE)


@pytest.mark.parametrize(
    "scope", [Scope(WEB), Scope(WEB, "one"), Scope(WEB, None, "a\\", deep=False)]
)
def test_only_the_scope_is_followed(store: Any, follow: Any, scope: Scope) -> None:
    """Of the rest nothing is sent."""
    feed = follow(scope)
    feed.listed()
    store.put(ONE, b"1", ttl=None)
    store.put(Key(WEB, "a\\", "one"), b"2", ttl=None)
    assert feed.next() == (Key(WEB, "a\\", "one"), b"2")


def test_one_key_is_followed(store: Any, follow: Any) -> None:
    """And none that begins like it."""
    key = Key(WEB, "", "one")
    feed = follow(Scope(WEB, "one", "", deep=False))
    feed.listed()
    store.put(Key(WEB, "", "one more"), b"1", ttl=None)
    store.put(key, b"2", ttl=None)
    assert feed.next() == (key, b"2")


def test_what_others_put_below_the_prefix_is_passed_over(
    store: Any, follow: Any, etcd: Any, prefix: str
) -> None:
    """It is no instance."""
    feed = follow()
    feed.listed()
    etcd.ctl("put", f"{prefix}/1/service/what", "strange")
    store.put(ONE, b"1", ttl=None)
    assert feed.next() == (ONE, b"1")


def test_nothing_is_told_when_the_patience_is_over(follow: Any) -> None:
    """So that who reads can do other work."""
    feed = follow(EVERYTHING, lambda: 0.001)
    feed.listed()
    assert [feed.next() for _ in range(3)] == [Mark.NOTHING] * 3


def test_many_changes_are_told_in_order(store: Any, follow: Any) -> None:
    """More than are read before somebody asks."""
    feed = follow()
    feed.listed()
    for number in range(250):
        store.put(Key(None, "", f"n{number % 7}"), b"%d" % number, ttl=None)
    assert [int(feed.next()[1]) for _ in range(250)] == list(range(250))


# -- compaction ------------------------------------------------------------------------------------


def test_compaction_before_the_watch_begins_has_it_list_again(
    store: Any, follow: Any, etcd: Any
) -> None:
    """What came and went meanwhile cannot be told; what is there is."""
    store.put(ONE, b"1", ttl=None)
    feed = follow()
    feed.listed()
    store.put(TWO, b"2", ttl=None)
    store.remove(ONE, store.get(ONE).version)
    compact(etcd)
    assert feed.listed() == [Mark.BEGIN, (TWO, b"2")]
    store.put(ONE, b"3", ttl=None)
    assert feed.next() == (ONE, b"3")


def test_compaction_in_the_midst_of_the_list_has_it_list_again(
    store: Any, follow: Any, etcd: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A list of two revisions is none that a watch could go on from."""
    monkeypatch.setattr(_pages, "PAGE", 1)
    store.put(ONE, b"1", ttl=None)
    store.put(TWO, b"2", ttl=None)
    feed = follow()
    assert [feed.next(), feed.next()] == [Mark.BEGIN, (ONE, b"1")]
    store.put(ONE, b"3", ttl=None)
    store.put(ONE, b"4", ttl=None)
    compact(etcd)
    assert feed.listed() == [Mark.BEGIN, (ONE, b"4"), (TWO, b"2")]


def test_compaction_during_a_watch_loses_nothing(store: Any, follow: Any, etcd: Any) -> None:
    """A watch that keeps up need not list again."""
    feed = follow()
    feed.listed()
    store.put(ONE, b"1", ttl=None)
    assert feed.next() == (ONE, b"1")
    store.put(ONE, b"2", ttl=None)
    compact(etcd)
    assert feed.next() == (ONE, b"2")
    store.put(ONE, b"3", ttl=None)
    assert feed.next() == (ONE, b"3")
