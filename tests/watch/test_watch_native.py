"""A provider that tells changes by itself: its stream, the end of it, and what comes after."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from nspkit import LookupFlags, ResultFlags, Service, WatchState
from nspkit._standing import GRACE
from nspkit.errors import (
    NotReadyError,
    OperationNotSupportedError,
    ProviderError,
    ServiceNotFoundError,
    TryAgainError,
)

LONG = 30.0
Told = Callable[[Any], list[tuple[str, str]]]


@pytest.fixture
def watched(stage: Any, stream: Any) -> Iterator[Any]:
    """A watch of a provider that tells by itself what is fed."""
    with stage.host(stage.provider("p", None, stream)).watch("x") as watch:
        yield watch


@pytest.fixture
def reach(stream: Any, added: Any, removed: Any, until: Any) -> Callable[[Any], None]:
    """A function that waits until a watch has taken over all that was fed."""

    def wait(watch: Any) -> None:
        generation = watch._state._known.generation
        stream.feed(added("a mark"), removed("a mark"))
        until(lambda: stream.items.empty() and watch._state._known.generation >= generation + 2)

    return wait


def test_a_stream_of_changes_is_preferred(stage: Any, shelf: Any, stream: Any, added: Any) -> None:
    """A provider that has it is not polled."""
    found = shelf("polled")
    stream.feed(added("told"))
    with stage.host(stage.provider("p", found, stream)).watch("x") as watch:
        assert next(watch).service.name == "told"
        assert found.asked == []


def test_what_a_provider_tells_is_told(
    watched: Any, stream: Any, added: Any, changed: Any, removed: Any
) -> None:
    """Each kind as what it is to the reader."""
    stream.feed(added("a"))
    assert next(watched).kind.value == "added"
    stream.feed(changed("a", comment="other"))
    change = next(watched)
    assert (change.kind.value, change.service.comment) == ("changed", "other")
    stream.feed(removed("a"))
    assert next(watched).kind.value == "removed"


def test_a_kind_is_what_it_means_to_the_reader(
    watched: Any, stream: Any, added: Any, changed: Any, removed: Any
) -> None:
    """What is changed without having been there is new; what was not there cannot go."""
    stream.feed(removed("b"), changed("a"))
    assert next(watched).kind.value == "added"
    stream.feed(added("a", comment="other"))
    assert next(watched).kind.value == "changed"
    assert watched.generation == 2


def test_a_change_that_changes_nothing_is_not_told(
    watched: Any, stream: Any, added: Any, changed: Any, told: Told, reach: Any
) -> None:
    """A provider may have been woken by something else."""
    stream.feed(added("a"))
    next(watched)
    stream.feed(changed("a"), added("a"))
    reach(watched)
    assert told(watched) == []


# Some of several ---------------------------------------------------------------------------------


@pytest.fixture
def first_version(stage: Any, stream: Any) -> Iterator[Any]:
    """A watch that asks for version 1 only."""
    with stage.host(stage.provider("p", None, stream)).watch(version=1) as watch:
        yield watch


def newest(watch: Any) -> Any:
    """The next change, which has to come."""
    change = watch.wait(LONG)
    assert change is not None
    return change


def kept_after(watch: Any, stream: Any, until: Any, *items: Any) -> list[int]:
    """The versions that are there when a stream has told these, and that this is all."""
    stream.feed(*items, None)
    until(lambda: watch.state == WatchState.LIVE and stream.items.empty())
    return [service.version for service in watch.snapshot()]


def test_another_version_does_not_displace_the_one_that_is_asked_for(
    first_version: Any, stream: Any, until: Any, added: Any, changed: Any, removed: Any
) -> None:
    """Neither when it comes, nor when it changes, nor when it goes; in whichever order."""
    one, two = added("a", version=1), added("a", version=2)
    other, gone = changed("a", version=2, comment="other"), removed("a", version=2)
    stream.feed(two, one, other, gone)
    assert kept_after(first_version, stream, until, two, other, gone) == [1]


def test_what_has_become_another_version_has_gone(
    first_version: Any, stream: Any, until: Any, added: Any, changed: Any, removed: Any
) -> None:
    """And back; what is asked for and what is not were the same service."""
    one, two = added("a", version=1), changed("a", version=2)
    back = changed("a", version=1)
    assert kept_after(first_version, stream, until, one, two) == []
    stream.feed(back)
    assert newest(first_version).service.version == 1
    stream.feed(two)
    assert newest(first_version).kind.value == "removed"
    stream.feed(back)
    assert newest(first_version).kind.value == "added"
    stream.feed(removed("a", version=2))  # it has become 2 and gone, told as one
    assert newest(first_version).kind.value == "removed"
    stream.feed(back)
    assert newest(first_version).kind.value == "added"
    stream.feed(removed("a", version=1))
    assert newest(first_version).kind.value == "removed"
    (watcher,) = first_version._state._watchers
    assert watcher._part._variants == {}


def test_another_version_does_not_say_that_the_known_one_is_there(
    stage: Any, stream: Any, added: Any, pace: Any, told: Told, end: Any, until: Any
) -> None:
    """After a failure only what is told again has stayed."""
    with stage.host(stage.provider("p", None, stream)).watch(version=1) as watch:
        stream.feed(added("a", version=1), added("a", version=2), None, end)
        pace.rested()
        assert told(watch) == [("added", "a")]
        stream.feed(added("a", version=2))
        pace._bell.put(None)
        until(lambda: watch._state._watchers[0].standing._listed)
        assert (told(watch), watch.state) == ([], WatchState.STALE)
        stream.feed(None)
        assert newest(watch).kind.value == "removed"


def test_an_alias_does_not_displace_what_has_that_name(
    stage: Any, stream: Any, added: Any, changed: Any, removed: Any, until: Any
) -> None:
    """Where aliases are not asked for; neither when it comes nor when it changes or goes."""
    alias = {"flags": ResultFlags.IS_ALIAS}
    stream.feed(added("a"), added("a", **alias), changed("a", **alias), removed("a", **alias), None)
    flags = LookupFlags.RETURN_ALL & ~LookupFlags.RETURN_ALIASES
    with stage.host(stage.provider("p", None, stream)).watch(flags=flags) as watch:
        until(lambda: watch.state == WatchState.LIVE)
        assert [service.name for service in watch.snapshot()] == ["a"]


# Live --------------------------------------------------------------------------------------------


def test_it_is_live_when_the_provider_has_told_all(
    watched: Any, stream: Any, added: Any, clock: Any, until: Any
) -> None:
    """It says so with a None, also where nothing is there."""
    assert watched.state == WatchState.STARTING
    stream.feed(None)
    until(lambda: watched.state == WatchState.LIVE)


def test_without_that_it_is_live_after_a_while_of_quiet(
    stage: Any, stream: Any, added: Any, clock: Any, reach: Any, told: Told
) -> None:
    """The interval, counted from the last that was told."""
    with stage.host(stage.provider("p", None, stream)).watch("x", interval=2) as watch:
        assert stream.begun.acquire(timeout=LONG)
        clock.now += 1.9
        reach(watch)
        clock.now += 1.9
        assert watch.state == WatchState.STARTING
        clock.now += 0.1
        assert watch.state == WatchState.LIVE


def test_one_that_is_never_quiet_is_live_all_the_same(
    stage: Any, stream: Any, clock: Any, reach: Any
) -> None:
    """After six times that while, counted from the last that was new."""
    with stage.host(stage.provider("p", None, stream)).watch("x", interval=2) as watch:
        assert stream.begun.acquire(timeout=LONG)
        for _ in range(8):
            assert watch.state == WatchState.STARTING
            clock.now += 1.9
            reach(watch)
        assert watch.state == WatchState.LIVE


def test_a_list_that_goes_on_is_not_cut_short(
    stage: Any, stream: Any, added: Any, clock: Any, until: Any
) -> None:
    """However long it takes: what is there is not known before all of it was told."""
    with stage.host(stage.provider("p", None, stream)).watch("x", interval=2) as watch:
        assert stream.begun.acquire(timeout=LONG)
        for number in range(20):
            clock.now += 1.9
            stream.feed(added(f"service {number}"))
            until(lambda count=number + 1: watch.generation == count)
            assert watch.state == WatchState.STARTING
        clock.now += 2
        assert watch.state == WatchState.LIVE


# A stream that ends ------------------------------------------------------------------------------


def test_a_stream_that_ends_is_begun_again(
    stage: Any, stream: Any, added: Any, pace: Any, told: Told, end: Any, until: Any
) -> None:
    """Nothing is told twice, and stale it is meanwhile."""
    with stage.host(stage.provider("p", None, stream)).watch("x") as watch:
        stream.feed(added("a"), None, end)
        assert pace.rested() == 1
        assert told(watch) == [("added", "a")]
        assert watch.state == WatchState.STALE
        assert isinstance(watch.error, TryAgainError)
        stream.feed(added("a"), added("b"), None)
        pace._bell.put(None)
        until(lambda: watch.state == WatchState.LIVE)
        assert told(watch) == [("added", "b")]
        assert (watch.error, watch.stale_since) == (None, None)


def test_a_stream_that_fails_is_begun_again_later_and_later(
    stage: Any, stream: Any, added: Any, pace: Any
) -> None:
    """From a second on; one that was live begins with that again."""
    with stage.host(stage.provider("p", None, stream)).watch("x") as watch:
        stream.feed(*[NotReadyError("away")] * 3)
        assert pace.rested() == 1
        assert [pace.go(), pace.go()] == [2, 4]
        assert isinstance(watch.error, NotReadyError)
        stream.feed(None, NotReadyError("away"))
        assert pace.go() == 1


def test_one_that_was_live_unseen_begins_with_a_second_again(
    stage: Any, stream: Any, added: Any, pace: Any, clock: Any
) -> None:
    """Nobody has to look at the watch for that."""
    with stage.host(stage.provider("p", None, stream)).watch("x", interval=3):
        stream.feed(*[NotReadyError("away")] * 2)
        pace.rested()
        pace.go()
        pace._bell.put(None)
        for _ in range(3):
            assert stream.begun.acquire(timeout=LONG)
        clock.now += 3
        stream.feed(NotReadyError("away"))
        assert pace.rested() == 1


@pytest.fixture
def relisting(
    stage: Any, stream: Any, added: Any, pace: Any, told: Told, end: Any, clock: Any
) -> Iterator[Any]:
    """A watch that knows a and b, whose stream has just been begun again."""
    with stage.host(stage.provider("p", None, stream)).watch("x") as watch:
        stream.feed(added("a"), added("b"), None, end)
        pace.rested()
        told(watch)
        assert stream.begun.acquire(timeout=LONG)
        pace._bell.put(None)
        assert stream.begun.acquire(timeout=LONG)
        yield watch


def test_what_went_meanwhile_is_removed(
    relisting: Any, stream: Any, added: Any, told: Told, until: Any
) -> None:
    """As soon as the provider has told all, and no sooner."""
    stream.feed(added("b", comment="other"))
    until(lambda: relisting.generation == 3)
    assert told(relisting) == [("changed", "b")]
    assert relisting.state == WatchState.STALE
    stream.feed(None)
    until(lambda: relisting.state == WatchState.LIVE)
    assert told(relisting) == [("removed", "a")]


def test_without_its_word_what_went_is_removed_after_a_while_of_quiet(
    relisting: Any, stream: Any, added: Any, told: Told, clock: Any, reach: Any
) -> None:
    """Counted from the last that was told."""
    clock.now += GRACE * 0.9
    stream.feed(added("b"))
    reach(relisting)
    clock.now += GRACE * 0.9
    assert told(relisting) == []
    clock.now += GRACE * 0.1
    assert told(relisting) == [("removed", "a")]
    assert relisting.state == WatchState.LIVE


def test_a_stream_that_says_nothing_after_a_failure_removes_nothing(
    relisting: Any, stream: Any, added: Any, told: Told, clock: Any, until: Any
) -> None:
    """It may be waiting for its back end still; the list begins with the first that it tells."""
    clock.now += GRACE * 100
    assert (told(relisting), relisting.state) == ([], WatchState.STALE)
    assert relisting._state._watchers[0].standing.deadline is None  # who waits does so at rest
    stream.feed(added("b", comment="other"))
    until(lambda: relisting.generation == 3)
    clock.now += GRACE * 0.9
    assert (told(relisting), relisting.state) == ([("changed", "b")], WatchState.STALE)
    clock.now += GRACE * 0.1
    assert told(relisting) == [("removed", "a")]
    assert relisting.state == WatchState.LIVE


def test_it_is_live_again_when_all_that_was_known_was_told(
    relisting: Any, stream: Any, added: Any, until: Any, told: Told
) -> None:
    """There is nothing left to wait for."""
    stream.feed(added("b"), added("a"))
    until(lambda: relisting.state == WatchState.LIVE)
    assert told(relisting) == []


def test_an_empty_stream_after_a_failure_is_held(
    relisting: Any, stream: Any, told: Told, clock: Any, until: Any
) -> None:
    """Though the provider says that it has told all: it may know nothing yet."""
    stream.feed(None)
    until(lambda: relisting._state._watchers[0].standing._empty_since is not None)
    clock.now += GRACE * 0.9
    assert (told(relisting), relisting.state) == ([], WatchState.STALE)
    clock.now += GRACE * 0.1
    until(lambda: relisting.state == WatchState.LIVE)
    assert told(relisting) == [("removed", "a"), ("removed", "b")]


def test_a_failure_while_it_is_told_again_loses_nothing(
    relisting: Any, stream: Any, added: Any, told: Told, clock: Any, pace: Any
) -> None:
    """Only a whole list says what has gone."""
    stream.feed(added("b"), NotReadyError("away"))
    pace.rested()
    clock.now += GRACE
    assert (told(relisting), relisting.state) == ([], WatchState.STALE)


def test_an_empty_stream_is_held_after_each_failure(
    relisting: Any, stream: Any, added: Any, told: Told, pace: Any, until: Any
) -> None:
    """What an earlier stream had told does not make this one less suspicious."""
    stream.feed(added("b"), NotReadyError("away"))
    pace.rested()
    pace._bell.put(None)
    assert stream.begun.acquire(timeout=LONG)
    stream.feed(None)
    until(lambda: relisting._state._watchers[0].standing._empty_since is not None)
    assert (told(relisting), relisting.state) == ([], WatchState.STALE)


# A stream that cannot be had ---------------------------------------------------------------------


@pytest.mark.parametrize("error", [OperationNotSupportedError("off"), NotImplementedError("off")])
def test_one_whose_stream_is_not_supported_is_polled(
    stage: Any, shelf: Any, pace: Any, told: Told, error: Exception
) -> None:
    """The hook is there, but what is behind it cannot do it."""

    def notify(query: Any, cancellation: Any) -> Any:
        raise error

    found = shelf("a")
    with stage.host(stage.provider("p", found, notify)).watch("x") as watch:
        assert pace.rested() == 1.0
        assert told(watch) == [("added", "a")]
        assert (watch.state, watch.error) == (WatchState.LIVE, None)


def test_the_time_of_a_stream_that_is_not_supported_is_not_that_of_the_poll(
    stage: Any, clock: Any
) -> None:
    """However long the first poll takes, until then it is not known what is there."""
    inside, gate = stage.gate(), stage.gate()

    def notify(query: Any, cancellation: Any) -> Any:
        raise OperationNotSupportedError("off")

    def lookup(query: Any, cancellation: Any) -> Iterator[Service]:
        inside.set()
        gate.wait(LONG)
        yield Service("a")

    with stage.host(stage.provider("p", lookup, notify)).watch("x") as watch:
        assert inside.wait(LONG)
        clock.now += 2
        assert watch.state == WatchState.STARTING
        gate.set()
        assert next(watch).service.name == "a"


def test_without_a_lookup_that_is_its_end(stage: Any) -> None:
    """10045."""

    def notify(query: Any, cancellation: Any) -> Any:
        raise OperationNotSupportedError("off")

    with (
        stage.host(stage.provider("p", None, notify)).watch("x", provider="p") as watch,
        pytest.raises(OperationNotSupportedError, match="off"),
    ):
        next(watch)


def test_a_name_that_is_unknown_is_asked_for_again(
    stage: Any, added: Any, pace: Any, told: Told, stream: Any, until: Any
) -> None:
    """Nothing there is no failure."""
    unknown = [True]

    def notify(query: Any, cancellation: Any) -> Any:
        if unknown:
            raise ServiceNotFoundError("no such name")
        return stream(query, cancellation)

    with stage.host(stage.provider("p", None, notify)).watch("x", interval=3) as watch:
        assert pace.rested() == 3
        assert (watch.state, watch.error, told(watch)) == (WatchState.LIVE, None, [])
        assert pace.go() == 3
        unknown.clear()
        stream.feed(added("a"))
        pace._bell.put(None)
        until(lambda: watch.generation)
        assert told(watch) == [("added", "a")]


def test_no_more_after_something_is_the_end_of_the_stream(
    stage: Any, stream: Any, added: Any, pace: Any, told: Told
) -> None:
    """It does not say that what was told has gone."""
    with stage.host(stage.provider("p", None, stream)).watch("x") as watch:
        stream.feed(added("a"), ServiceNotFoundError("no such name"))
        assert pace.rested() == 1
        assert told(watch) == [("added", "a")]
        assert watch.state == WatchState.STALE


@pytest.mark.parametrize("item", [Service("a"), "a", ("added", Service("a"))])
def test_what_is_no_change_is_an_error(stage: Any, stream: Any, pace: Any, item: Any) -> None:
    """It says what would have been one."""
    with stage.host(stage.provider("p", None, stream)).watch("x") as watch:
        stream.feed(item)
        pace.rested()
        assert isinstance(watch.error, ProviderError)
        assert "'p': nsp_notify_change yielded" in watch.error.message
        assert "must yield Change objects" in watch.error.message


def test_a_stream_has_no_time_limit(stage: Any, stream: Any, added: Any) -> None:
    """It may be silent for days; that its back end is gone is the provider's to find out."""
    began = threading.Event()

    def notify(query: Any, cancellation: Any) -> Iterator[Any]:
        assert cancellation.remaining() is None
        began.set()
        yield from stream(query, cancellation)

    with stage.host(stage.provider("p", None, notify)).watch("x") as watch:
        assert began.wait(LONG)
        stream.feed(added("a"))
        assert next(watch).service.name == "a"
