"""A provider without a stream of changes: how often it is asked, and what its answers mean."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from nspkit import Address, Service, WatchState
from nspkit._standing import GRACE, PATIENCE
from nspkit._watcher import LONGEST_HOLD, jittered
from nspkit.errors import (
    InvalidArgumentError,
    NotReadyError,
    NspError,
    OperationNotSupportedError,
    OperationTimeoutError,
    ProviderError,
    ProviderLoadError,
    TypeNotFoundError,
    error_for,
)

LONG = 30.0
A, B = Address.inet("192.0.2.1"), Address.inet("192.0.2.2")
Told = Callable[[Any], list[tuple[str, str]]]


# How often ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ttls", "interval", "pause"),
    [
        ([], 1.0, 1.0),
        ([None], 2.5, 2.5),
        ([60.0, None, 30.0], 1.0, 30.0),
        ([0.0], 1.0, 1.0),
        ([5.0], 7.0, 7.0),
        ([86400.0], 1.0, LONGEST_HOLD),
        ([86400.0], 7200.0, 7200.0),
    ],
)
def test_the_next_poll_comes_when_what_was_found_may_be_over(
    stage: Any, shelf: Any, pace: Any, ttls: list[float | None], interval: float, pause: float
) -> None:
    """After the shortest time to live, the interval at the earliest, an hour at the latest."""
    found = shelf()
    found.put(*(Service(f"s{number}", ttl=ttl) for number, ttl in enumerate(ttls)))
    host = stage.host(stage.provider("p", found))
    with host.watch("x", interval=interval):
        assert pace.rested() == pause
        assert pace.go() == pause


def test_what_is_found_without_a_name_does_not_hold_up_what_comes(
    stage: Any, shelf: Any, pace: Any, told: Told
) -> None:
    """How long one service holds says nothing of another one that was registered since."""
    found = shelf()
    found.put(Service("a", ttl=60))
    with stage.host(stage.provider("p", found)).watch(interval=2) as watch:
        assert pace.rested() == 2
        found.put(Service("a", ttl=60), Service("b", ttl=60))
        assert pace.go() == 2
        assert told(watch) == [("added", "a"), ("added", "b")]


def test_the_interval_is_a_second(stage: Any, shelf: Any, pace: Any) -> None:
    """Unless something else is said."""
    with stage.host(stage.provider("p", shelf("a"))).watch("x"):
        assert pace.rested() == 1.0


def test_polls_go_on_by_themselves(stage: Any, shelf: Any) -> None:
    """With the real clock and the real rest."""
    found = shelf("a")
    with stage.host(stage.provider("p", found)).watch("x", interval=0.01) as watch:
        assert next(watch).service.name == "a"
        found.put("b")
        assert {next(watch).service.name, next(watch).service.name} == {"a", "b"}


# What counts as a change -------------------------------------------------------------------------


def test_the_same_content_is_no_change(stage: Any, shelf: Any, pace: Any, told: Told) -> None:
    """A cache counts the time to live down, a name server turns addresses; that is no news."""
    found = shelf()
    found.put(Service("a", addresses=[A, B], ttl=60.0))
    with stage.host(stage.provider("p", found)).watch("x") as watch:
        pace.rested()
        assert told(watch) == [("added", "a")]
        found.put(Service("a", addresses=[B, A], ttl=59.0))
        assert pace.go() == 59.0
        assert told(watch) == []
        assert watch.generation == 1
        assert watch.snapshot()[0].ttl == 59.0


def test_several_results_of_one_service_are_one(
    stage: Any, shelf: Any, pace: Any, told: Told
) -> None:
    """Their addresses are put together, so their order says nothing either."""
    found = shelf()
    found.put(Service("a", addresses=[A]), Service("a", addresses=[B]))
    with stage.host(stage.provider("p", found)).watch("x") as watch:
        pace.rested()
        assert watch.snapshot()[0].addresses == (A, B)
        found.put(Service("a", addresses=[B]), Service("a", addresses=[A]))
        pace.go()
        assert told(watch) == []


@pytest.mark.parametrize("code", [10108, 10109, 11001, 11004, 10102, 10110])
def test_what_is_not_found_has_gone(
    stage: Any, shelf: Any, pace: Any, told: Told, code: int
) -> None:
    """An error that says so is an empty list and no failure."""
    found = shelf("a")
    with stage.host(stage.provider("p", found)).watch("x") as watch:
        pace.rested()
        assert told(watch) == [("added", "a")]
        found.fail(error_for(code, "not there"))
        assert pace.go() == 1.0
        assert told(watch) == [("removed", "a")]
        assert (watch.state, watch.error) == (WatchState.LIVE, None)


def test_what_was_never_found_may_come(stage: Any, shelf: Any, pace: Any, told: Told) -> None:
    """A name that is unknown at first is live, and nothing there."""
    found = shelf()
    found.fail(TypeNotFoundError("no such class"))
    with stage.host(stage.provider("p", found)).watch("x") as watch:
        pace.rested()
        assert (watch.state, told(watch)) == (WatchState.LIVE, [])
        found.put("a")
        pace.go()
        assert told(watch) == [("added", "a")]


def test_an_end_by_error_is_an_end(stage: Any, pace: Any, told: Told) -> None:
    """WSA_E_NO_MORE after some results, as a C programmer may write it."""

    def lookup(query: Any, cancellation: Any) -> Iterator[Service]:
        yield Service("a")
        raise error_for(10110, "no more")

    with stage.host(stage.provider("p", lookup)).watch("x") as watch:
        pace.rested()
        assert told(watch) == [("added", "a")]


# Failures ----------------------------------------------------------------------------------------


def test_a_failing_poll_is_tried_again_later_and_later(
    stage: Any, shelf: Any, pace: Any, told: Told
) -> None:
    """From a second on, doubling, to a minute; an answer begins it anew."""
    found = shelf("a")
    with stage.host(stage.provider("p", found)).watch("x", interval=5) as watch:
        assert pace.rested() == 5
        found.fail(NotReadyError("away"))
        assert [pace.go() for _ in range(8)] == [1, 2, 4, 8, 16, 32, 60, 60]
        assert told(watch) == [("added", "a")]
        found.put("a")
        assert pace.go() == 5
        found.fail(NotReadyError("away"))
        assert pace.go() == 1


def test_those_who_failed_together_come_back_apart() -> None:
    """The pause is about as long, and not the same for all."""
    pauses = {jittered(8.0) for _ in range(100)}
    assert len(pauses) > 50
    assert all(6.0 <= pause <= 10.0 for pause in pauses)


def test_what_was_found_stays_while_a_poll_fails(
    stage: Any, shelf: Any, pace: Any, clock: Any, told: Told
) -> None:
    """Nobody has said that it has gone; the watch is stale, and says why."""
    found = shelf("a")
    with stage.host(stage.provider("p", found)).watch("x") as watch:
        pace.rested()
        told(watch)
        clock.now = 2000.0
        found.fail(ValueError("broken"))
        pace.go()
        assert told(watch) == []
        assert [service.name for service in watch.snapshot()] == ["a"]
        assert (watch.state, watch.stale_since) == (WatchState.STALE, 2000.0)
        assert isinstance(watch.error, ProviderError)
        assert "ValueError: broken" in watch.error.message
        assert watch.error.__traceback__ is None
        assert watch.error.__cause__ is None
        with pytest.raises(ProviderError):
            raise watch.error
        assert watch.error.__traceback__ is None


def test_a_list_that_breaks_off_is_no_list(stage: Any, pace: Any, told: Told) -> None:
    """What it had not come to is not gone."""
    broken: list[bool] = []

    def lookup(query: Any, cancellation: Any) -> Iterator[Service]:
        yield Service("a")
        if broken:
            raise NotReadyError("away")
        yield Service("b")

    with stage.host(stage.provider("p", lookup)).watch("x") as watch:
        pace.rested()
        told(watch)
        broken.append(True)
        pace.go()
        assert (told(watch), watch.state) == ([], WatchState.STALE)


def test_an_iterator_that_fails_to_close_is_told(stage: Any, pace: Any, told: Told) -> None:
    """What it had found counts all the same."""

    class Found:
        def __init__(self) -> None:
            self.left = [Service("a")]

        def __iter__(self) -> Found:
            return self

        def __next__(self) -> Service:
            if not self.left:
                raise StopIteration
            return self.left.pop()

        def close(self) -> None:
            raise ValueError("cannot close")

    with stage.host(stage.provider("p", lambda query, cancellation: Found())).watch("x") as watch:
        pace.rested()
        assert (told(watch), watch.state) == ([("added", "a")], WatchState.LIVE)
        assert watch.error is not None
        assert "cannot close" in watch.error.message
        assert watch.stale_since is None


@pytest.mark.parametrize("code", [10022, 10045, 10092, 10093, 10104, 10105])
def test_what_trying_again_does_not_change_ends_it(stage: Any, shelf: Any, code: int) -> None:
    """At once, with the provider's own error."""
    found = shelf()
    found.fail(error_for(code, "never"))
    host = stage.host(stage.provider("p", found))
    with host.watch("x", provider="p") as watch:
        with pytest.raises(NspError, match="never") as caught:
            next(watch)
        assert caught.value.code == code
        assert watch.state == WatchState.FAILED
    assert len(found.asked) == 1


def test_an_interrupt_in_a_provider_ends_its_part_and_no_thread_unsaid(
    stage: Any, shelf: Any
) -> None:
    """The reader does not wait for ever."""
    found = shelf()
    found.fail(KeyboardInterrupt("why"))
    with (
        stage.host(stage.provider("p", found)).watch("x", provider="p") as watch,
        pytest.raises(ProviderError, match="KeyboardInterrupt: why"),
    ):
        next(watch)


def test_a_provider_that_cannot_start_is_tried_again(
    stage: Any, shelf: Any, pace: Any, told: Told
) -> None:
    """Among several; it is stale until it has started."""
    away = [True]

    def startup() -> None:
        if away:
            raise NotReadyError("away")

    host = stage.host(stage.provider("p", shelf("a"), startup=startup))
    with host.watch("x") as watch:
        assert pace.rested() == 1
        assert watch.state == WatchState.STALE
        assert isinstance(watch.error, NotReadyError)
        away.clear()
        # Held back from fan-outs for a second after a failed start; nobody has waited that here.
        assert pace.go() == 2
        assert "not tried again" in str(watch.error)
        host._accounts.of("p").held_until = 0.0
        pace.go()
        assert told(watch) == [("added", "a")]
        assert watch.state == WatchState.LIVE


def test_a_foreign_failure_of_a_start_is_tried_again(stage: Any, shelf: Any, pace: Any) -> None:
    """10106 need not last."""

    def startup() -> None:
        raise ValueError("not yet")

    with stage.host(stage.provider("p", shelf("a"), startup=startup)).watch("x") as watch:
        pace.rested()
        assert isinstance(watch.error, ProviderLoadError)
        assert watch.state == WatchState.STALE


# An empty answer after a failure -----------------------------------------------------------------


@pytest.fixture
def recovering(stage: Any, shelf: Any, pace: Any, told: Told) -> Iterator[tuple[Any, Any]]:
    """A watch of a service whose provider has failed since, and what that provider finds."""
    found = shelf("a")
    with stage.host(stage.provider("p", found)).watch("x") as watch:
        pace.rested()
        told(watch)
        found.fail(NotReadyError("away"))
        pace.go()
        yield watch, found


def test_an_empty_list_counts_at_once_while_all_is_well(
    stage: Any, shelf: Any, pace: Any, told: Told
) -> None:
    """What has gone has gone."""
    found = shelf("a")
    with stage.host(stage.provider("p", found)).watch("x") as watch:
        pace.rested()
        told(watch)
        found.put()
        pace.go()
        assert told(watch) == [("removed", "a")]


def test_an_empty_list_after_a_failure_is_held(
    recovering: Any, pace: Any, clock: Any, told: Told
) -> None:
    """For a while: who has just come back often knows nothing yet."""
    watch, found = recovering
    found.put()
    pace.go()
    clock.now += GRACE - 0.001
    assert (told(watch), watch.state) == ([], WatchState.STALE)
    clock.now += 0.001
    assert told(watch) == [("removed", "a")]
    assert (watch.state, watch.stale_since, watch.error) == (WatchState.LIVE, None, None)


def test_a_list_after_a_failure_counts_if_it_is_not_empty(
    recovering: Any, pace: Any, told: Told
) -> None:
    """Also if what was known is not in it."""
    watch, found = recovering
    found.put("b")
    pace.go()
    assert told(watch) == [("removed", "a"), ("added", "b")]
    assert watch.state == WatchState.LIVE


def test_what_comes_back_within_the_while_was_never_gone(
    recovering: Any, pace: Any, clock: Any, told: Told
) -> None:
    """That is what holding is for."""
    watch, found = recovering
    found.put()
    pace.go()
    found.put("a")
    pace.go()
    assert watch.state == WatchState.LIVE
    clock.now += GRACE
    assert told(watch) == []


def test_the_while_counts_from_the_first_empty_list(
    recovering: Any, pace: Any, clock: Any, told: Told
) -> None:
    """A second one does not prolong it, and neither does a failure between the two."""
    watch, found = recovering
    found.put()
    pace.go()
    clock.now += GRACE * 0.9
    pace.go()
    found.fail(NotReadyError("away"))
    pace.go()
    clock.now += GRACE * 0.2
    assert (told(watch), watch.state) == ([], WatchState.STALE)
    found.put()
    pace.go()
    assert told(watch) == [("removed", "a")]


def test_every_failure_has_its_own_while(
    recovering: Any, pace: Any, clock: Any, told: Told
) -> None:
    """Once what is there was known again, the next empty list after a failure is held as long."""
    watch, found = recovering
    found.put()
    pace.go()
    found.put("a")
    pace.go()
    found.fail(NotReadyError("away"))
    pace.go()
    clock.now += GRACE
    found.put()
    pace.go()
    clock.now += GRACE - 0.001
    assert (told(watch), watch.state) == ([], WatchState.STALE)
    clock.now += 0.001
    assert told(watch) == [("removed", "a")]


def test_a_reader_that_waits_is_told_when_the_while_is_over(
    recovering: Any, pace: Any, clock: Any, stage: Any, until: Any
) -> None:
    """Nobody has to poll for that."""
    watch, found = recovering
    found.put()
    pace.go()
    clock.now += GRACE - 0.01
    task = stage.task(watch.__next__)
    until(lambda: watch._state._waiting)
    clock.now += 0.01
    assert task.result().kind.value == "removed"


# A poll that does not come back ------------------------------------------------------------------


def test_a_poll_that_hangs_makes_the_watch_stale(
    stage: Any, pace: Any, clock: Any, told: Told
) -> None:
    """The provider is told that nobody waits; when it has come back it is asked again."""
    hanging = stage.gate()
    inside, first = stage.gate(), [True]
    cancelled: list[str] = []

    def lookup(query: Any, cancellation: Any) -> Iterator[Service]:
        if not first:
            cancellation.on_cancel(lambda: (cancelled.append("yes"), hanging.set()))
            inside.set()
            hanging.wait(LONG)
        first.clear()
        yield Service("a")

    with stage.host(stage.provider("p", lookup)).watch("x") as watch:
        pace.rested()
        told(watch)
        watch._state._watchers[0].bell.put(None)
        assert inside.wait(LONG)
        clock.now += PATIENCE - 0.001
        assert watch.state == WatchState.LIVE
        clock.now += 0.001
        assert watch.state == WatchState.STALE
        assert watch.stale_since == clock.now
        assert isinstance(watch.error, OperationTimeoutError)
        assert "'p' has not answered a poll within 30 s" in watch.error.message
        assert pace.rested() == 1
        assert cancelled == ["yes"]
        assert [service.name for service in watch.snapshot()] == ["a"]


def test_a_poll_that_has_come_back_is_not_late(
    stage: Any, shelf: Any, pace: Any, clock: Any
) -> None:
    """However long it is until the next one."""
    with stage.host(stage.provider("p", shelf("a"))).watch("x", interval=1000) as watch:
        pace.rested()
        clock.now += PATIENCE
        assert watch.state == WatchState.LIVE


def test_a_list_that_was_cut_short_by_the_time_is_no_list(
    stage: Any, pace: Any, clock: Any, told: Told
) -> None:
    """A provider that heeds its cancellation ends early, and that is no end."""
    slow: list[bool] = []

    def lookup(query: Any, cancellation: Any) -> Iterator[Service]:
        yield Service("a")
        if slow:
            clock.now += PATIENCE
        if cancellation.cancelled:
            return
        yield Service("b")

    with stage.host(stage.provider("p", lookup)).watch("x") as watch:
        pace.rested()
        assert told(watch) == [("added", "a"), ("added", "b")]
        slow.append(True)
        pace.go()
        assert (told(watch), watch.state) == ([], WatchState.STALE)
        assert isinstance(watch.error, OperationTimeoutError)


def test_only_the_poll_that_is_late_is_cancelled(
    stage: Any, shelf: Any, pace: Any, clock: Any
) -> None:
    """Not the one that has begun since."""
    with stage.host(stage.provider("p", shelf("a"))).watch("x") as watch:
        pace.rested()
        (watcher,) = watch._state._watchers
        assert watcher._part.ended is None
        watcher.expire()
        assert watcher._part.ended is None
        watcher._part = None
        watcher.expire()


def test_an_answer_that_is_no_service_is_an_error(stage: Any, pace: Any) -> None:
    """As in a lookup."""
    host = stage.host(stage.provider("p", lambda query, cancellation: ["a"]))
    with host.watch("x") as watch:
        pace.rested()
        assert watch.error is not None
        assert "must yield Service objects" in watch.error.message


def test_a_query_that_a_provider_does_not_take_ends_it(stage: Any, shelf: Any) -> None:
    """Of several only its part."""
    found = shelf()
    found.fail(OperationNotSupportedError("not by that"))
    host = stage.host(stage.provider("p", found), stage.provider("q", shelf("a")))
    with host.watch("x") as watch:
        assert next(watch).service.name == "a"
    found.fail(InvalidArgumentError("not that"))
    with host.watch("x", provider="p") as watch, pytest.raises(InvalidArgumentError):
        next(watch)
