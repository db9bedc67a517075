"""Lists: what a scope covers, in pages of one revision."""

from __future__ import annotations

import json
import uuid
from itertools import product
from typing import Any

import pytest
from nspkit_etcd import _pages

from nspkit import Cancellation
from nspkit.errors import TryAgainError
from nspkit.registry import EVERYTHING, Key, Scope

ONE = Key(None, "", "one")
WEB = uuid.UUID("12345678-1234-5678-1234-567812345678")


def keys(store: Any, scope: Scope = EVERYTHING) -> list[Key]:
    """The keys of a listing, without those that the scope does not cover."""
    return [entry.key for entry in store.entries(scope) if scope.covers(entry.key)]


_ALL = [
    Key(None, "", "one"),
    Key(None, "a\\", "two"),
    Key(WEB, "", "one"),
    Key(WEB, "a\\", "one"),
    Key(WEB, "a\\", "three"),
    Key(WEB, "a\\b\\", "one"),
    Key(WEB, "ab\\", "one"),
]


@pytest.fixture
def filled(store: Any) -> Any:
    """The store with instances of several classes, contexts and names."""
    for key in _ALL:
        store.put(key, key.path().encode(), ttl=None)
    return store


def test_a_list_has_all_that_its_scope_covers(filled: Any) -> None:
    """Each once, with its record, whatever is asked for."""
    classes = (None, WEB, uuid.UUID(int=1))
    names = (None, "one", "two", "nobody")
    for parts in product(classes, names, ("", "a\\", "a\\b\\", "x\\"), (False, True)):
        scope = Scope(*parts)
        entries = list(filled.entries(scope))
        assert len({entry.key for entry in entries}) == len(entries), scope
        assert all(entry.value == entry.key.path().encode() for entry in entries), scope
        covered = {entry.key for entry in entries if scope.covers(entry.key)}
        assert covered == {key for key in _ALL if scope.covers(key)}, scope


def test_a_list_takes_little_more_than_its_scope(filled: Any) -> None:
    """Of a class, a context or a name only its own is asked for."""
    for scope in (Scope(WEB), Scope(WEB, None, "a\\"), Scope(None, "two"), Scope(WEB, "three")):
        assert all(scope.covers(entry.key) for entry in filled.entries(scope))


@pytest.mark.parametrize("scope", [EVERYTHING, Scope(None, "same")])
def test_a_list_comes_in_pages_of_one_revision(
    store: Any, scope: Scope, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is put or removed meanwhile is not in it."""
    monkeypatch.setattr(_pages, "PAGE", 3)
    all_keys = [Key(uuid.UUID(int=number), "", "same") for number in range(1, 11)]
    for key in all_keys:
        store.put(key, b"old", ttl=None)
    entries = store.entries(scope)
    seen = [next(entries)]
    store.put(all_keys[-1], b"new", ttl=None)
    store.remove(all_keys[-2], store.get(all_keys[-2]).version)
    store.put(Key(uuid.UUID(int=99), "", "same"), b"new", ttl=None)
    seen += entries
    assert [(entry.key, entry.value) for entry in seen] == [(key, b"old") for key in all_keys]


@pytest.mark.parametrize("scope", [EVERYTHING, Scope(None, "same")])
def test_a_list_goes_on_where_its_revision_is_compacted(
    store: Any, etcd: Any, scope: Scope, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At a newer one, and tells no key twice."""
    monkeypatch.setattr(_pages, "PAGE", 3)
    monkeypatch.setattr(_pages, "_TOGETHER", 2)
    all_keys = [Key(uuid.UUID(int=number), "", "same") for number in range(1, 11)]
    for key in all_keys:
        store.put(key, b"old", ttl=None)
    entries = store.entries(scope)
    seen = [next(entries)]
    store.remove(all_keys[-1], store.get(all_keys[-1]).version)
    revision = json.loads(etcd.ctl("get", "any", "-w", "json"))["header"]["revision"]
    etcd.ctl("compact", str(revision))
    seen += entries
    assert [entry.key for entry in seen] == all_keys[:-1]


def test_keys_of_others_below_the_prefix_are_passed_over(
    store: Any, etcd: Any, prefix: str
) -> None:
    """They are no instances."""
    store.put(ONE, b"1", ttl=None)
    for place in ("service/what", "service/-/%ff/x", "service/nonsense/-/x", "name/one"):
        etcd.ctl("put", f"{prefix}/1/{place}", "strange")
    assert keys(store) == [ONE]
    assert keys(store, Scope(None, "one")) == [ONE]


def test_a_list_that_nobody_waits_for_ends(filled: Any) -> None:
    """With the error for what took too long."""
    cancellation = Cancellation()
    entries = filled.entries(EVERYTHING, cancellation)
    cancellation.cancel()
    with pytest.raises(TryAgainError):
        next(entries)
