"""Watches of a registry: what is there, then what changes, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from nspkit import Cancellation, Change, ChangeKind, LookupFlags, Query
from nspkit.errors import InvalidArgumentError, NoDataError, TryAgainError
from nspkit.registry import Entry, Gone, Key, Mark, _watch

A, B = "192.0.2.1", "192.0.2.2"
Told = tuple[ChangeKind, str] | None
Watching = Callable[..., Callable[[int], list[Told]]]
ADDED, CHANGED, REMOVED = ChangeKind


@pytest.fixture
def watching(engine: Any) -> Iterator[Watching]:
    """A function that begins a watch and returns one that takes so many items of it."""
    with ExitStack() as stack:

        def begin(query: Query | None = None) -> Callable[[int], list[Told]]:
            cancellation = Cancellation()
            changes = _watch.Watch(engine, query or Query(), cancellation).changes()
            stack.callback(changes.close)  # type: ignore[attr-defined]
            stack.callback(cancellation.cancel)

            def take(count: int) -> list[Told]:
                return [shown(next(changes)) for _ in range(count)]

            return take

        yield begin


def shown(change: Change | None) -> Told:
    """What tests compare."""
    return change and (change.kind, change.service.name)


def test_what_is_there_comes_first(client: Any, watching: Watching) -> None:
    """Then None, then what changes: put, put with other content, removed."""
    client.register("there", A)
    take = watching()
    assert take(2) == [(ADDED, "there"), None]
    client.register("x", A)
    client.register("x", A, ttl=5)  # the lease is no content
    client.register("x", B)
    client.delete("x")
    assert take(3) == [(ADDED, "x"), (CHANGED, "x"), (REMOVED, "x")]


def test_what_lapses_is_removed(client: Any, engine: Any, watching: Watching) -> None:
    """As the engine tells; what is deregistered too."""
    client.register("x", A, ttl=5)
    client.register("y", A)
    take = watching()
    take(3)
    engine.pass_time(5)
    client.deregister("y")
    assert take(2) == [(REMOVED, "x"), (REMOVED, "y")]
    client.register("y", A)
    assert take(1) == [(ADDED, "y")]


def test_a_watch_is_told_of_what_it_asks_for_only(client: Any, watching: Watching) -> None:
    """By name, class, context and what the record says."""
    by_name = watching(Query("x"))
    by_class = watching(Query(service_class="_a._tcp"))
    by_path = watching(Query(query_string="path=/"))
    below = watching(Query(context="c", flags=LookupFlags.DEEP))
    for take in (by_name, by_class, by_path, below):
        assert take(1) == [None]
    client.register("z", A)
    client.register("x", A)
    client.register("a", A, service_class="_a._tcp")
    client.register("p", A, attributes={"path": "/"})
    client.register("d", A, context="c\\d")
    client.register("p", A, attributes={"path": "/x"})
    client.delete("x")
    assert by_name(2) == [(ADDED, "x"), (REMOVED, "x")]
    assert by_class(1) == [(ADDED, "a")]
    assert by_path(2) == [(ADDED, "p"), (REMOVED, "p")]
    assert below(1) == [(ADDED, "d")]


def test_addresses_end_by_the_clock(
    client: Any, engine: Any, watching: Watching, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where they end on their own; the engine is asked to come back by then."""
    now = 1000.0
    for module in ("_matrix", "_search", "_watch"):
        monkeypatch.setattr(f"nspkit.registry.{module}.time", lambda: now)
    client.register("x", A, ttl=5, multiple=True)
    client.register("x", B, ttl=50, multiple=True)
    take = watching()
    assert take(2) == [(ADDED, "x"), None]
    now = 1005.0
    assert take(1) == [(CHANGED, "x")]
    now = 1050.0
    assert take(1) == [(REMOVED, "x")]
    client.register("x", A, multiple=True)
    assert take(1) == [(ADDED, "x")]


def test_a_new_list_is_compared_with_what_was_told(
    client: Any, engine: Any, watching: Watching
) -> None:
    """Where an engine may have missed changes; None is told once only."""
    for name in ("gone", "kept", "changed"):
        client.register(name, A)
    take = watching()
    take(4)
    kept = engine.get(Key(None, "", "kept"))
    changed = Entry(Key(None, "", "changed"), b"{}", 99)
    new = Entry(Key(None, "", "new"), b"{}", 99)
    for item in (Mark.BEGIN, changed, kept, new, Mark.LISTED, Mark.NOTHING, Gone(new.key)):
        engine.tell(item)
    assert take(4) == [(CHANGED, "changed"), (ADDED, "new"), (REMOVED, "gone"), (REMOVED, "new")]


def test_a_damaged_entry_is_not_there(client: Any, engine: Any, watching: Watching) -> None:
    """It ends no watch; one that is told and becomes damaged is removed."""
    key = Key(None, "", "x")
    engine.put(key, b"{", ttl=None)
    take = watching()
    assert take(1) == [None]
    client.register("x", A)
    engine.put(key, b'{"addresses":[["inet",1,6]]}', ttl=None)
    client.register("x", A)
    engine.put(key, b"[]", ttl=None)
    assert take(4) == [(ADDED, "x"), (REMOVED, "x"), (ADDED, "x"), (REMOVED, "x")]


def test_a_lost_engine_ends_it(engine: Any, watching: Watching, again: TryAgainError) -> None:
    """With its error, and whoever watches asks again later."""
    take = watching()
    take(1)
    engine.tell(again)
    with pytest.raises(TryAgainError, match="away"):
        take(1)
    assert engine.followers == []


def test_it_ends_when_nobody_waits(engine: Any) -> None:
    """And lets the engine go."""
    cancellation = Cancellation()
    changes = _watch.Watch(engine, Query(), cancellation).changes()
    assert next(changes) is None
    cancellation.cancel()
    assert list(changes) == []
    assert engine.followers == []


def test_addresses_that_end_at_once_are_told_each(
    client: Any, engine: Any, watching: Watching, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also of instances that have a class and of some that have none."""
    now = 1000.0
    for module in ("_matrix", "_search", "_watch"):
        monkeypatch.setattr(f"nspkit.registry.{module}.time", lambda: now)
    take = watching()
    take(1)
    for members in ({}, {"service_class": "_a._tcp"}, {"context": "c"}):
        client.register("x", A, ttl=5, multiple=True, **members)
    below = watching(Query(flags=LookupFlags.DEEP))
    assert below(4) == [(ADDED, "x")] * 3 + [None]
    now = 1005.0
    assert below(3) == [(REMOVED, "x")] * 3


def test_what_is_renewed_is_not_looked_at_more_and_more(engine: Any) -> None:
    """An end that was put off is done with when it comes: the later one is noted already."""
    watch = _watch.Watch(engine, Query(), Cancellation())
    key = Key(None, "", "x")
    value = b'{"addresses":[["inet",1,6,["192.0.2.1",1]]],"ends":[9000000000]}'
    list(watch._news(Entry(key, value, 1)))
    noted = list(watch._ends)
    watch._ends.insert(0, (1.0, -1, key))
    assert list(watch._ended()) == []
    assert watch._ends == noted


def test_a_value_of_another_type_is_a_change(client: Any, watching: Watching) -> None:
    """Though Python calls 1, 1.0 and true equal."""
    client.register("x", A, attributes={"a": 1})
    take = watching()
    take(2)
    client.register("x", A, attributes={"a": True})
    client.register("x", A, attributes={"a": 1.0})
    client.delete("x")
    told = list(iter(lambda: take(1), [(REMOVED, "x")]))
    assert told == [[(CHANGED, "x")]] * 2


def test_an_engine_may_tell_by_any_iterator(engine: Any, client: Any) -> None:
    """Which need not be a generator, and have no close."""
    client.register("x", A)
    there = engine.get(Key(None, "", "x"))
    engine.follow = lambda *_: iter([Mark.BEGIN, there, Mark.LISTED])
    changes = _watch.Watch(engine, Query(), Cancellation()).changes()
    assert [shown(change) for change in changes] == [(ADDED, "x"), None]


def test_a_list_that_was_broken_off_is_no_list(engine: Any) -> None:
    """Of who is cancelled meanwhile: nobody is told that it is whole."""
    cancellation = Cancellation()
    watch = _watch.Watch(engine, Query(), cancellation)
    cancellation.cancel()
    engine.follow = lambda *_: iter([Mark.BEGIN, Mark.LISTED])
    assert list(watch.changes()) == []


def test_a_watch_that_is_closed_closes_the_engine_s(engine: Any) -> None:
    """Whoever else knows that."""
    follow, known = engine.follow, []

    def noted(*arguments: Any) -> Any:
        known.append(follow(*arguments))
        return known[-1]

    engine.follow = noted
    changes: Any = _watch.Watch(engine, Query(), Cancellation()).changes()
    assert next(changes) is None
    changes.close()
    assert (len(known), engine.followers) == (1, [])


def test_old_ends_are_forgotten(engine: Any) -> None:
    """A lease that is renewed a thousand times is not remembered a thousand times."""
    watch = _watch.Watch(engine, Query(), Cancellation())
    key = Key(None, "", "x")
    for number in range(3000):
        value = b'{"addresses":[["inet",1,6,["192.0.2.1",1]]],"ends":[%d]}' % (9e9 + number)
        list(watch._news(Entry(key, value, number)))
    assert len(watch._ends) < 1100


def test_what_cannot_be_watched_is_refused(engine: Any) -> None:
    """At once."""
    with pytest.raises(NoDataError):
        _watch.Watch(engine, Query(flags=LookupFlags.CONTAINERS), Cancellation())
    with pytest.raises(InvalidArgumentError):
        _watch.Watch(engine, Query(query_string="&"), Cancellation())
