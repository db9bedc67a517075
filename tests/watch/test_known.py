"""What a watch knows, and what of it its reader is told: the latest state, and no queue."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from nspkit import SVCID_HOSTNAME, Address, ChangeKind, ResultFlags, Service
from nspkit._known import Known, identity_of, merged, same

ADDED, CHANGED, REMOVED = ChangeKind.ADDED, ChangeKind.CHANGED, ChangeKind.REMOVED
A, B = Address.inet("192.0.2.1"), Address.inet("192.0.2.2")


def of(comment: str, name: str = "x") -> Service:
    """A service whose content is its comment."""
    return Service(name, comment=comment)


def put(known: Known, service: Service, owner: str = "p") -> None:
    """Have a service there."""
    known.put(owner, identity_of(service), service)


def drop(known: Known, name: str = "x", owner: str = "p") -> None:
    """Have it gone."""
    known.drop(owner, identity_of(Service(name)))


def taken(known: Known) -> list[tuple[ChangeKind, str]]:
    """Take all changes: their kinds and comments."""
    found = []
    while (change := known.take()) is not None:
        found.append((change.kind, change.service.comment))
    return found


def test_what_comes_changes_and_goes_is_told_as_that() -> None:
    """A reader that keeps up gets every change."""
    known = Known()
    put(known, of("one"))
    assert taken(known) == [(ADDED, "one")]
    put(known, of("two"))
    assert taken(known) == [(CHANGED, "two")]
    drop(known)
    assert taken(known) == [(REMOVED, "two")]


Step = Callable[[Known], None]


@pytest.mark.parametrize(
    ("steps", "news"),
    [
        ([lambda k: put(k, of("2")), lambda k: put(k, of("3"))], [(CHANGED, "3")]),
        ([lambda k: put(k, of("2")), lambda k: put(k, of("1"))], []),
        ([lambda k: put(k, of("2")), drop], [(REMOVED, "1")]),
        ([drop, lambda k: put(k, of("1"))], []),
        ([drop, lambda k: put(k, of("2"))], [(CHANGED, "2")]),
        ([drop, lambda k: put(k, of("2")), drop], [(REMOVED, "1")]),
    ],
    ids=["newest", "back", "gone", "back-again", "other", "gone-again"],
)
def test_of_one_service_only_the_newest_state_is_told(
    steps: list[Step], news: list[tuple[ChangeKind, str]]
) -> None:
    """A reader that knows it as 1 and is slow gets one change at most."""
    known = Known()
    put(known, of("1"))
    assert taken(known) == [(ADDED, "1")]
    for step in steps:
        step(known)
    assert taken(known) == news


@pytest.mark.parametrize(
    ("steps", "news"),
    [
        ([lambda k: put(k, of("2"))], [(ADDED, "2")]),
        ([drop], []),
        ([drop, lambda k: put(k, of("2"))], [(ADDED, "2")]),
    ],
    ids=["newest", "gone", "other"],
)
def test_what_was_not_told_yet_is_told_as_new(
    steps: list[Step], news: list[tuple[ChangeKind, str]]
) -> None:
    """What came and went before it was told is not told at all."""
    known = Known()
    put(known, of("1"))
    for step in steps:
        step(known)
    assert taken(known) == news


def test_what_waits_is_bounded_by_what_is_there() -> None:
    """A thousand that come and go leave nothing behind."""
    known = Known()
    for number in range(1000):
        put(known, of("", name=f"name-{number}"))
        drop(known, f"name-{number}")
    assert known._untold == {}
    assert known.generation == 2000


def test_the_change_that_waits_longest_comes_first() -> None:
    """No service keeps the others from being told."""
    known = Known()
    for name in "abc":
        put(known, of(name, name=name))
    put(known, of("again", name="a"))
    assert taken(known) == [(ADDED, "again"), (ADDED, "b"), (ADDED, "c")]


def test_everything_counts_as_told() -> None:
    """By whose it is, in the order in which they came."""
    known = Known()
    known.of("p")
    put(known, of("q", name="b"), owner="q")
    put(known, of("p", name="a"), owner="p")
    assert [service.comment for service in known.everything()] == ["p", "q"]
    assert taken(known) == []
    drop(known, "a")
    assert taken(known) == [(REMOVED, "p")]


def test_providers_do_not_share_services() -> None:
    """The same name at two providers is two services."""
    known = Known()
    put(known, of("p"), owner="p")
    put(known, of("q"), owner="q")
    drop(known, owner="p")
    assert taken(known) == [(ADDED, "q")]


def test_what_was_never_there_cannot_go() -> None:
    """It is no change."""
    known = Known()
    drop(known)
    assert (taken(known), known.generation) == ([], 0)


def test_what_is_no_news_is_kept_all_the_same() -> None:
    """The newest time to live is shown, and nothing told."""
    known = Known()
    put(known, Service("x", ttl=60.0))
    known.everything()
    put(known, Service("x", ttl=59.0))
    assert (taken(known), known.generation) == ([], 1)
    assert [service.ttl for service in known.everything()] == [59.0]


@pytest.mark.parametrize(
    ("fields", "alike"),
    [
        ({"ttl": 5.0}, True),
        ({"flags": ResultFlags.IS_ADDED | ResultFlags.IS_CHANGED | ResultFlags.IS_DELETED}, True),
        ({"flags": ResultFlags.IS_ALIAS}, False),
        ({"comment": "other"}, False),
        ({"attributes": {"path": "/"}}, False),
        ({"version": 2}, False),
        ({"blob": b"other"}, False),
        ({"addresses": [A]}, False),
    ],
)
def test_content_is_what_counts(fields: dict[str, Any], alike: bool) -> None:
    """How long it holds, and that it has changed, is no content."""
    assert same(Service("x"), Service("x", **fields)) is alike


def test_the_order_of_addresses_is_no_content() -> None:
    """Name servers turn it with every answer."""
    assert same(Service("x", addresses=[A, B]), Service("x", addresses=[B, A]))


def test_nothing_is_like_nothing_only() -> None:
    """None stands for what is not there."""
    assert same(None, None)
    assert not same(None, Service("x"))
    assert not same(Service("x"), None)


def test_an_identity_is_class_name_and_context() -> None:
    """Whatever else differs, it is the same service."""
    one = Service("x", service_class=SVCID_HOSTNAME, context="there", comment="a", version=1)
    assert identity_of(one) == identity_of(one.replace(comment="b", version=2, addresses=[A]))
    for other in (one.replace(name="y"), one.replace(context=""), one.replace(service_class=None)):
        assert identity_of(one) != identity_of(other)


def test_two_of_one_identity_are_put_together() -> None:
    """The first one, at the addresses of both."""
    one, other = Service("x", comment="1", addresses=[A]), Service("x", addresses=[B, A])
    assert merged(None, one) is one
    assert merged(one, other) == one.replace(addresses=[A, B])
