"""Lists: what a scope covers, however many, whatever is beside it."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from nspkit.registry import EVERYTHING, Key, Scope

CLASS = uuid.UUID("6f1c9f0e-3c7a-4d4e-9a43-5c6f2f1f0a01")
WEB = Key(CLASS, "", "web")
DEEP = Key(CLASS, "a\\b\\", "web")
PATIENCE = 30.0


def names(store: Any, *scope: Any, **more: Any) -> list[str]:
    """The names of what a scope covers."""
    asked = Scope(*scope, **more)
    return [entry.key.name for entry in store.entries(asked) if asked.covers(entry.key)]


def fill(store: Any, count: int) -> None:
    """Put many, without waiting for each."""
    pending = []
    first = Key(CLASS, "", "n000")
    store.put(first, b"0", ttl=None)
    for number in range(1, count):
        transaction = store._connection.client.transaction()
        key = Key(CLASS, "", f"n{number:03}")
        store._writing.make(key, b"%d" % number, lasting=True, transaction=transaction)
        pending.append(transaction.commit_async())
    for one in pending:
        assert not any(isinstance(result, Exception) for result in one.get(timeout=PATIENCE))


def test_scopes_cover_what_they_should(store: Any) -> None:
    """By class, name and context."""
    other = Key(None, "", "mail")
    for key in (WEB, DEEP, other):
        store.put(key, b"value", ttl=None)
    assert sorted(names(store)) == ["mail", "web", "web"]
    assert names(store, CLASS, deep=False) == ["web"]
    assert names(store, CLASS) == ["web", "web"]
    assert names(store, CLASS, None, "a\\") == ["web"]
    assert names(store, None, "mail") == ["mail"]
    assert names(store, None, "web") == ["web", "web"]
    assert names(store, CLASS, "web", "a\\b\\", deep=False) == ["web"]
    assert names(store, uuid.uuid4()) == []


@pytest.mark.parametrize("name", ["a/b", ".", "..", "zookeeper", "Ä ö", "a,b", "%2F", "-", "\n"])
def test_any_name_can_be_registered(store: Any, name: str) -> None:
    """ZooKeeper's own rules for names of nodes are nobody's concern."""
    key = Key(CLASS, "Ü/,\\", name)
    assert store.put(key, b"value", ttl=None)
    assert [entry.key for entry in store.entries(EVERYTHING)] == [key]
    assert [entry.key for entry in store.entries(Scope(None, name))] == [key]


def test_many_are_listed_each_once(store: Any) -> None:
    """More than are asked for at a time."""
    fill(store, 450)
    found = list(store.entries(Scope(CLASS)))
    assert [entry.value for entry in found] == [b"%d" % number for number in range(450)]


def test_what_vanishes_while_it_is_listed_is_left_out(store: Any) -> None:
    """The others come all the same."""
    for number in range(5):
        store.put(Key(CLASS, "", f"n{number}"), b"value", ttl=None)
    ask_all = store._connection.ask_all

    def asked(begins: Any, waiter: Any = None) -> Any:
        begins = list(begins)
        if len(begins) == 5:
            store._connection.ask_all = ask_all
            key = Key(CLASS, "", "n3")
            store.remove(key, store.get(key).version)
        return ask_all(begins, waiter)

    store._connection.ask_all = asked
    assert names(store) == ["n0", "n1", "n2", "n4"]


def test_foreign_nodes_are_no_entries(store: Any, bare: Any, prefix: str) -> None:
    """Neither in the tree nor in the index."""
    store.put(WEB, b"value", ttl=None)
    bare.create(f"/{prefix}/1/service/{CLASS}/-/%ff", b"")
    bare.create(f"/{prefix}/1/service/x/-/web", b"", makepath=True)
    bare.create(f"{store._nodes.bucket('web')}/web", b"")
    assert names(store) == ["web"]
    assert names(store, CLASS) == ["web"]
    assert names(store, None, "web") == ["web"]
