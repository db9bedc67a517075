"""Classes: kept once, and removed only when nothing is of them."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from nspkit.errors import TooManyReferencesError
from nspkit.registry import Key

CLASS = uuid.UUID("6f1c9f0e-3c7a-4d4e-9a43-5c6f2f1f0a01")
WEB = Key(CLASS, "", "web")
DEEP = Key(CLASS, "a\\b\\", "web")


def test_a_class_is_kept_once(store: Any) -> None:
    """The second put does nothing."""
    assert store.get_class(CLASS) is None
    assert store.put_class(CLASS, b"schema")
    assert not store.put_class(CLASS, b"other")
    assert store.get_class(CLASS) == b"schema"


def test_a_class_that_nothing_is_of_is_removed(store: Any) -> None:
    """Nor anything of another."""
    store.put_class(CLASS, b"schema")
    assert store.remove_class(CLASS, lambda: None)
    assert store.get_class(CLASS) is None


def test_a_class_is_removed(store: Any) -> None:
    """Once."""
    store.put_class(CLASS, b"schema")
    store.put(WEB, b"value", ttl=None)
    store.remove(WEB, store.get(WEB).version)
    assert store.remove_class(CLASS, lambda: None)
    assert not store.remove_class(CLASS, lambda: None)


def test_a_class_in_use_is_not_removed(store: Any) -> None:
    """What the check raises comes out."""

    def used() -> None:
        raise TooManyReferencesError("in use")

    store.put_class(CLASS, b"schema")
    with pytest.raises(TooManyReferencesError):
        store.remove_class(CLASS, used)
    assert store.get_class(CLASS) == b"schema"


@pytest.mark.parametrize("before", [[], [DEEP], [WEB]], ids=["new", "empty", "beside"])
def test_what_is_put_while_a_class_is_removed_is_noticed(store: Any, before: list[Key]) -> None:
    """The check is made again."""
    store.put_class(CLASS, b"schema")
    for key in before:
        store.put(key, b"value", ttl=None)
    if before == [DEEP]:
        store._writing.tidy = lambda _key: None  # the empty node of its context stays
        store.remove(DEEP, store.get(DEEP).version)
    calls = []

    def check() -> None:
        calls.append(1)
        if len(calls) == 1:
            store.put(DEEP if before != [WEB] else WEB, b"changed", ttl=None)
        else:
            raise TooManyReferencesError("in use")

    with pytest.raises(TooManyReferencesError):
        store.remove_class(CLASS, check)
    assert store.get_class(CLASS) == b"schema"
