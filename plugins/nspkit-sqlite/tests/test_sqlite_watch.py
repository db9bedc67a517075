"""Watches: what is there, then what changes, whoever changes it; and leases that end."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from nspkit_sqlite import SqliteProvider

from nspkit import Cancellation, Change, LookupFlags, Query, ServiceClass, Version
from nspkit.errors import InvalidArgumentError, NoDataError

A, B = "192.0.2.1", "192.0.2.2"
HTTP = "_http._tcp"
PATIENCE = 30.0


def told(changes: Iterator[Change], count: int = 1) -> list[tuple[str, str]]:
    """The next changes: what happened, and to whom."""
    return [(change.kind.value, change.service.name) for change in islice(changes, count)]


def test_what_is_there_comes_as_added(watch: Any, client: Any) -> None:
    """Then what changes; of each instance, what it is when the watch comes to it."""
    client.register("x", A, service_class=HTTP)
    client.register("y", A, service_class=HTTP)
    changes = watch()
    assert told(changes, 2) == [("added", "x"), ("added", "y")]
    client.register("z", A)
    client.register("x", B, service_class=HTTP)
    client.deregister("y", service_class=HTTP)
    client.delete("z")
    client.register("y", B, service_class=HTTP)
    assert told(changes, 2) == [("changed", "x"), ("changed", "y")]


@pytest.mark.parametrize("names", ["", "x", "xyz"])
def test_the_end_of_what_is_there_is_marked(items: Any, client: Any, names: str) -> None:
    """Once; also where nothing is there, not even a file."""
    for name in names:
        client.register(name, A)
    changes = items()
    for name in names:
        assert next(changes).service.name == name
    assert next(changes) is None
    client.register("later", A)
    assert next(changes).service.name == "later"
    client.delete("later")
    assert next(changes).service.name == "later"


def test_a_list_that_was_broken_off_has_no_end(provider: SqliteProvider, client: Any) -> None:
    """Who is told that it was all would take the rest for gone."""
    client.register("x")
    client.register("y")
    cancellation = Cancellation()
    changes = iter(provider.nsp_notify_change(Query(), cancellation))
    assert told(changes) == [("added", "x")]
    cancellation.cancel()
    assert None not in list(changes)


@pytest.mark.parametrize("names", ["", "x"])
def test_a_watch_of_a_host_is_live_at_once(client: Any, names: str) -> None:
    """It does not have to wait for a time of quiet, of which this one is far longer than a test."""
    for name in names:
        client.register(name, A)
    with client.session.watch(interval=3600.0) as watch:
        for name in names:
            assert watch.wait(PATIENCE).service.name == name
        # The first may be in the list of what is there, the second among what is added to that
        # list while it is read; the third comes after its end, whatever the speed.
        for name in "abc":
            client.register(name, A)
            assert watch.wait(PATIENCE).service.name == name
        assert watch.state == "live"


def test_a_change_has_the_service_as_it_is(watch: Any, client: Any) -> None:
    """One that was removed as it was last."""
    changes = watch("x")
    client.register("x", A, ttl=1000, service_class=HTTP)
    added = next(changes)
    client.register("x", B, ttl=1000, service_class=HTTP, comment="moved")
    changed = next(changes)
    client.deregister("x", service_class=HTTP)
    removed = next(changes)
    assert [change.kind.value for change in (added, changed, removed)] == [
        "added",
        "changed",
        "removed",
    ]
    assert added.service.addresses[0].host == A
    assert 990 < added.service.ttl <= 1000
    assert (changed.service.addresses[0].host, changed.service.comment) == (B, "moved")
    assert removed.service == changed.service.replace(ttl=None)
    assert removed.service.service_type == HTTP


@pytest.mark.parametrize(
    "again",
    [
        {"ttl": 1000},
        {"attributes": {"b": 2, "a": 1}},
        {"ttl": 1000, "attributes": {"a": 1, "b": 2}},
    ],
)
def test_what_changes_nothing_is_not_told(watch: Any, client: Any, again: dict[str, Any]) -> None:
    """A renewal is none, nor is another order of attributes."""
    first = {"attributes": {"a": 1, "b": 2}}
    client.register("x", A, **first)
    changes = watch()
    assert told(changes) == [("added", "x")]
    client.register("x", A, **(first | again))
    client.register("y")
    assert told(changes) == [("added", "y")]


def test_a_deregistered_instance_that_is_deleted_is_told_once(watch: Any, client: Any) -> None:
    """To who watches it is gone already."""
    client.register("x", A)
    changes = watch()
    assert told(changes) == [("added", "x")]
    client.deregister("x")
    assert told(changes) == [("removed", "x")]
    client.delete("x")
    client.register("y")
    assert told(changes) == [("added", "y")]


@pytest.mark.parametrize(
    ("restrictions", "inside", "outside"),
    [
        ({"service_class": HTTP}, {"service_class": HTTP}, {}),
        ({"name": "x"}, {"service_class": HTTP}, None),
        ({"context": "a"}, {"context": "a"}, {}),
        ({"context": "a", "flags": LookupFlags.DEEP}, {"context": "a\\b"}, {"context": "ab"}),
        ({"flags": LookupFlags.DEEP}, {"context": "a\\b"}, None),
        ({"version": Version(2)}, {"version": 2}, {"version": 3}),
        ({"query_string": "a=1"}, {"attributes": {"a": 1}}, {"attributes": {"a": 2}}),
        ({"protocols": [(2, 6)]}, {}, {"addresses": []}),
    ],
)
def test_only_what_is_asked_for_is_told(
    watch: Any, client: Any, restrictions: Any, inside: Any, outside: Any
) -> None:
    """By everything that a lookup can be restricted with."""
    if outside is not None:
        client.register("x", A, **outside)
    changes = watch(**restrictions)
    client.register("x", A, **inside)
    assert told(changes) == [("added", "x")]
    client.delete("x", **{key: inside[key] for key in inside.keys() & {"service_class", "context"}})
    assert told(changes) == [("removed", "x")]


def test_another_name_is_not_told(watch: Any, client: Any) -> None:
    """Of a hundred that change."""
    changes = watch("x")
    for number in range(10):
        client.register(f"y{number}")
    client.register("x")
    assert told(changes) == [("added", "x")]


def test_a_service_that_fits_no_more_is_removed(watch: Any, client: Any) -> None:
    """It is there, but not for who asks so."""
    client.register("x", version=2)
    changes = watch(version=2)
    assert told(changes) == [("added", "x")]
    client.register("x", version=3)
    assert told(changes) == [("removed", "x")]


def test_a_quiet_file_is_asked_for_a_number_only(
    watch: Any, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between changes a watch costs next to nothing."""
    from nspkit_sqlite._watch import Watch

    asked = threading.Semaphore(0)
    real = Watch._pause

    def pause(self: Watch) -> float:
        asked.release()
        return real(self)

    read: list[object] = []
    news = Watch._news

    def counted(self: Watch) -> Iterator[Change]:
        read.append(self)
        return news(self)

    monkeypatch.setattr(Watch, "_pause", pause)
    monkeypatch.setattr(Watch, "_news", counted)
    client.register("x")
    changes = watch()
    assert told(changes) == [("added", "x")]
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(next(changes)))
    thread.start()
    for _ in range(20):
        assert asked.acquire(timeout=PATIENCE)
    assert len(read) <= 2
    client.register("y")
    thread.join(PATIENCE)
    assert found[0].service.name == "y"


def test_a_cancelled_watch_ends_at_once(provider: SqliteProvider, client: Any) -> None:
    """However long the interval is."""
    client.register("x")
    cancellation = Cancellation()
    provider._registry.interval = 3600.0
    changes = iter(provider.nsp_notify_change(Query(), cancellation))
    assert told(changes) == [("added", "x")]
    assert next(changes) is None
    ended = threading.Event()

    def follow() -> None:
        assert list(changes) == []
        ended.set()

    thread = threading.Thread(target=follow)
    thread.start()
    cancellation.cancel()
    assert ended.wait(PATIENCE)
    thread.join(PATIENCE)


def test_a_watch_may_be_closed_in_the_middle(watch: Any, client: Any) -> None:
    """It holds nothing that would have to be given back."""
    client.register("x")
    client.register("y")
    changes = watch()
    assert told(changes) == [("added", "x")]
    changes.close()
    assert list(changes) == []


def test_each_step_may_be_on_another_thread(watch: Any, client: Any) -> None:
    """No connection belongs to one."""
    client.register("x")
    changes = watch()
    found: list[tuple[str, str]] = []
    for name in ("x", "y", "z"):
        client.register(name)
        thread = threading.Thread(target=lambda: found.extend(told(changes)))
        thread.start()
        thread.join(PATIENCE)
    assert found == [("added", "x"), ("added", "y"), ("added", "z")]


def test_there_are_no_containers_to_watch(watch: Any) -> None:
    """And a malformed question is refused when it is asked."""
    with pytest.raises(NoDataError):
        watch(flags=LookupFlags.CONTAINERS)
    with pytest.raises(InvalidArgumentError):
        watch(query_string="=")


def test_a_service_class_is_no_change(watch: Any, client: Any) -> None:
    """Watches are about services."""
    changes = watch()
    client.session.install_service_class(ServiceClass.tcp(80))
    client.register("x")
    assert told(changes) == [("added", "x")]


def test_a_watch_leaves_no_descriptor(provider: SqliteProvider, watch: Any, client: Any) -> None:
    """A hundred of them, each closed in the middle."""
    client.register("x")
    descriptors = Path("/proc/self/fd")
    if not descriptors.exists():
        pytest.skip("this platform does not list descriptors")
    assert told(watch()) == [("added", "x")]
    before = len(list(descriptors.iterdir()))
    for _ in range(100):
        changes = watch()
        assert told(changes) == [("added", "x")]
        changes.close()
    assert len(list(descriptors.iterdir())) == before
