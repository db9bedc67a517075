"""Watches over time: leases that end, files that go, and lists of changes that are cut off."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import nspkit_sqlite._schema as schema
import pytest
from nspkit_sqlite import SqliteProvider

from nspkit import Cancellation, Change, Query

A, B = "192.0.2.1", "192.0.2.2"
HTTP = "_http._tcp"
PATIENCE = 30.0


def told(changes: Iterator[Change], count: int = 1) -> list[tuple[str, str]]:
    """The next changes: what happened, and to whom."""
    return [(change.kind.value, change.service.name) for change in islice(changes, count)]


def test_a_lease_that_ends_is_told(watch: Any, client: Any, clock: Any) -> None:
    """Though nothing happens to the file, and when it ends, not earlier."""
    client.register("x", A, ttl=10)
    client.register("y", A, ttl=20)
    changes = watch()
    assert told(changes, 2) == [("added", "x"), ("added", "y")]
    clock.now += 9.999
    client.register("z")
    assert told(changes) == [("added", "z")]
    clock.now += 0.001
    assert told(changes) == [("removed", "x")]
    clock.now += 10
    assert told(changes) == [("removed", "y")]


def test_a_lease_that_was_renewed_has_not_ended(watch: Any, client: Any, clock: Any) -> None:
    """The watch knows of it, though it told nothing."""
    client.register("x", A, ttl=10)
    changes = watch()
    assert told(changes) == [("added", "x")]
    clock.now += 5
    client.register("x", A, ttl=10)
    clock.now += 5
    client.register("y")
    assert told(changes) == [("added", "y")]
    clock.now += 5
    assert told(changes) == [("removed", "x")]
    client.register("x", A, ttl=10)
    assert told(changes) == [("added", "x")]


def test_a_lease_that_was_shortened_ends_earlier(watch: Any, client: Any, clock: Any) -> None:
    """The first end that was known does not count any more."""
    client.register("x", A, ttl=1000)
    changes = watch()
    assert told(changes) == [("added", "x")]
    client.register("x", A, ttl=1)
    client.register("y")
    assert told(changes) == [("added", "y")]
    clock.now += 1
    assert told(changes) == [("removed", "x")]


def test_a_lease_of_one_address_is_told(watch: Any, client: Any, clock: Any) -> None:
    """The instance changes, and then ends."""
    client.register("x", A, ttl=10, multiple=True)
    client.register("x", B, ttl=20, multiple=True)
    changes = watch()
    assert told(changes) == [("added", "x")]
    clock.now += 10
    change = next(changes)
    assert change.kind.value == "changed"
    assert [address.host for address in change.service.addresses] == [B]
    clock.now += 10
    assert told(changes) == [("removed", "x")]


def test_many_renewals_leave_nothing_behind(
    provider: SqliteProvider, client: Any, clock: Any
) -> None:
    """The list of ends is cut back to those that count."""
    from nspkit_sqlite._watch import Watch

    watch = Watch(provider._registry, provider._search, Query(), Cancellation())
    client.register("x", A, ttl=10)
    changes = watch.changes()
    assert told(changes) == [("added", "x")]
    for _ in range(1100):
        clock.now += 0.001
        [row] = watch._search.rows(watch._restrictions, Cancellation())
        row = (*row[:10], clock.now + 10, None)
        assert list(watch._compare(row[:3], row)) == []
    assert len(watch._ends) < 1010


def test_a_watch_of_nothing_waits_for_the_file(watch: Any, client: Any, path: Path) -> None:
    """And does not make it."""
    changes = watch()
    thread = threading.Thread(target=lambda: client.register("x"))
    thread.start()
    assert told(changes) == [("added", "x")]
    thread.join(PATIENCE)


def test_a_file_that_goes_takes_its_services_along(watch: Any, client: Any, path: Path) -> None:
    """A new one in its place brings its own."""
    client.register("x", A)
    client.register("y", A)
    changes = watch()
    assert told(changes, 2) == [("added", "x"), ("added", "y")]
    path.unlink()
    assert sorted(told(changes, 2)) == [("removed", "x"), ("removed", "y")]
    client.register("y", B)
    assert told(changes) == [("added", "y")]


def test_a_watch_that_fell_behind_compares_everything(
    watch: Any, client: Any, sqlite3: Any
) -> None:
    """The list of changes does not reach back for ever."""
    client.register("x", A)
    client.register("y", A)
    changes = watch()
    assert told(changes, 2) == [("added", "x"), ("added", "y")]
    client.delete("x")
    client.register("y", B)
    client.register("z", A)
    sqlite3("DELETE FROM change WHERE revision < (SELECT max(revision) FROM change)")
    assert sorted(told(changes, 3)) == [("added", "z"), ("changed", "y"), ("removed", "x")]


def test_the_list_of_changes_is_bounded(
    client: Any, sqlite3: Any, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who writes cuts it off, once in a second."""
    assert str(schema.CHANGES_KEPT) in schema.TRIM
    monkeypatch.setattr(schema, "TRIM", schema.TRIM.replace(str(schema.CHANGES_KEPT), "5"))
    for number in range(20):
        client.register(f"x{number}")
        clock.now += 1
    assert sqlite3("SELECT count(*) FROM change") == "5"


def test_what_others_write_is_told(watch: Any, client: Any, sqlite3: Any) -> None:
    """Also a change of the instance's name."""
    client.register("x", A)
    changes = watch()
    assert told(changes) == [("added", "x")]
    sqlite3("UPDATE service SET comment = 'by hand'")
    assert next(changes).service.comment == "by hand"
    sqlite3("UPDATE service SET name = 'y'")
    assert sorted(told(changes, 2)) == [("added", "y"), ("removed", "x")]


def test_a_watch_that_is_cancelled_before_it_reads_tells_nothing(
    provider: SqliteProvider, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither what is there nor that this was all."""
    client.register("x")
    cancellation, real = Cancellation(), provider._registry.state

    def state(asked: Cancellation) -> object:
        cancellation.cancel()
        return real(asked)

    monkeypatch.setattr(provider._registry, "state", state)
    for _ in range(2):  # while it looks whether there is something, and before that
        assert list(provider.nsp_notify_change(Query(), cancellation)) == []
