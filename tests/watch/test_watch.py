"""Watching: who is watched, what is told, and how far it can be relied upon."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nspkit import (
    Address,
    Catalog,
    ChangeKind,
    Comparison,
    Host,
    LookupFlags,
    Namespace,
    Query,
    ResultFlags,
    Service,
    Version,
    Watch,
    WatchState,
)
from nspkit._workers import PLACES
from nspkit.errors import (
    InProgressError,
    InvalidArgumentError,
    InvalidProviderError,
    LookupFailedError,
    NotInitialisedError,
    NotReadyError,
    OperationNotSupportedError,
    ServiceNotFoundError,
)

LONG = 30.0
Told = Callable[[Any], list[tuple[str, str]]]


# What is told ------------------------------------------------------------------------------------


def test_first_comes_what_is_there_and_then_what_changes(
    stage: Any, shelf: Any, pace: Any, told: Told
) -> None:
    """Of a provider without a stream of changes the lookup is repeated and compared."""
    found = shelf("a", "b")
    host = stage.host(stage.provider("p", found))
    with host.watch("x") as watch:
        pace.rested()
        assert told(watch) == [("added", "a"), ("added", "b")]
        found.put("b", Service("c"))
        pace.go()
        assert told(watch) == [("removed", "a"), ("added", "c")]
        found.put("b", Service("c", comment="other"))
        pace.go()
        change = watch.wait()
        assert (change.kind, change.service.comment) == (ChangeKind.CHANGED, "other")
    assert found.asked == [Query("x")] * 3


def test_a_watch_is_iterated_over(stage: Any, shelf: Any) -> None:
    """It has no end of its own."""
    host = stage.host(stage.provider("p", shelf("a", "b")))
    with host.watch() as watch:
        names = []
        for change in watch:
            names.append(change.service.name)
            if len(names) == 2:
                break
    assert names == ["a", "b"]


def test_what_is_told_says_where_it_comes_from(
    stage: Any, shelf: Any, stream: Any, added: Any
) -> None:
    """Polled or told by itself."""
    polled = stage.provider("polled", shelf("a"))
    telling = stage.provider("telling", None, stream, namespace=Namespace.NLA)
    host = stage.host(polled, telling)
    stream.feed(added("b"))
    with host.watch("x") as watch:
        found = {change.service.name: change.service for change in (next(watch), next(watch))}
    assert (found["a"].provider, found["a"].namespace) == (polled.info.guid, Namespace.DNS)
    assert (found["b"].provider, found["b"].namespace) == (telling.info.guid, Namespace.NLA)


def test_only_what_was_asked_for_is_returned_and_compared(
    stage: Any, shelf: Any, pace: Any, told: Told
) -> None:
    """Two services that look alike afterwards are two all the same."""
    found = shelf()
    found.put(Service("a", comment="1"), Service("b", comment="1"))
    host = stage.host(stage.provider("p", found))
    with host.watch(flags=LookupFlags.RETURN_COMMENT) as watch:
        pace.rested()
        services = watch.snapshot()
        assert [(one.name, one.comment) for one in services] == [("", "1"), ("", "1")]
        found.put(Service("a", comment="1", version=2), Service("b", comment="1"))
        pace.go()
        assert told(watch) == []
        found.put(Service("b", comment="1"))
        pace.go()
        assert [kind for kind, _name in told(watch)] == ["removed"]


@pytest.mark.parametrize("native", [True, False], ids=["told", "polled"])
def test_aliases_and_other_versions_are_left_out(
    stage: Any, shelf: Any, stream: Any, added: Any, told: Told, native: bool, until: Any
) -> None:
    """As in a lookup that does not ask for them."""
    found = shelf()
    wanted = [Service("a", version=3), Service("b", version=1)]
    wanted += [Service("alias", flags=ResultFlags.IS_ALIAS), Service("last")]
    found.put(*wanted)
    stream.feed(*(added(one.name, version=one.version, flags=one.flags) for one in wanted), None)
    host = stage.host(stage.provider("p", found, stream if native else None))
    flags = LookupFlags.RETURN_ALL & ~LookupFlags.RETURN_ALIASES
    with host.watch(version=Version(2, Comparison.NOTLESS), flags=flags) as watch:
        until(lambda: watch.state == WatchState.LIVE)
        assert told(watch) == [("added", "a"), ("added", "last")]


def test_aliases_that_are_asked_for_are_told(stage: Any, shelf: Any, pace: Any, told: Told) -> None:
    """As results of their own."""
    found = shelf()
    found.put("a", Service("alias", flags=ResultFlags.IS_ALIAS))
    host = stage.host(stage.provider("p", found))
    with host.watch("x") as watch:
        pace.rested()
        assert told(watch) == [("added", "a"), ("added", "alias")]


def test_what_is_not_asked_for_any_more_has_gone(
    stage: Any, stream: Any, added: Any, changed: Any
) -> None:
    """A provider tells the new version of a service; the reader asked for the old one."""
    host = stage.host(stage.provider("p", None, stream))
    with host.watch(version=1) as watch:
        stream.feed(added("a", version=1))
        assert next(watch).service.version == 1
        stream.feed(changed("a", version=2))
        change = next(watch)
        assert (change.kind, change.service.version) == (ChangeKind.REMOVED, 1)
        assert watch.snapshot() == ()


# The snapshot and its generation ----------------------------------------------------------------


def test_a_snapshot_is_what_is_there_now(stage: Any, shelf: Any, pace: Any, told: Told) -> None:
    """In the order of the providers; what waited to be told counts as told."""
    found = shelf("a")
    gate = stage.gate()

    def late(query: Any, cancellation: Any) -> Iterator[Service]:
        gate.wait(LONG)
        yield Service("first")

    host = stage.host(stage.provider("one", late), stage.provider("two", found))
    with host.watch("x") as watch:
        pace.rested()
        assert [service.name for service in watch.snapshot()] == ["a"]
        gate.set()
        pace.rested()
        assert [service.name for service in watch.snapshot()] == ["first", "a"]
        assert told(watch) == []


def test_the_generation_counts_the_changes(stage: Any, shelf: Any, pace: Any) -> None:
    """Whatever the reader has taken of them; no poll without a change moves it."""
    found = shelf("a", "b")
    host = stage.host(stage.provider("p", found))
    with host.watch("x") as watch:
        pace.rested()
        assert watch.generation == 2
        pace.go()
        assert watch.generation == 2
        assert not watch.changed_since(2)
        found.put("b")
        pace.go()
        assert watch.generation == 3
        assert watch.changed_since(2)
        next(watch)
        watch.snapshot()
        assert watch.generation == 3


def test_a_slow_reader_gets_the_latest_state(
    stage: Any, stream: Any, added: Any, removed: Any
) -> None:
    """Thousands of changes that it has not taken are as many as there are services."""
    host = stage.host(stage.provider("p", None, stream))
    with host.watch("x") as watch:
        for number in range(1000):
            stream.feed(added("a", comment=str(number)), added(f"gone-{number}"))
            stream.feed(removed(f"gone-{number}"))
        stream.feed(added("end"))
        generation = 0
        while generation < 3001:
            generation = watch.generation
        found = [next(watch).service, next(watch).service]
        assert [(one.name, one.comment) for one in found] == [("a", "999"), ("end", "")]
        assert watch.wait(0) is None


# Waiting -----------------------------------------------------------------------------------------


def test_who_waits_is_woken_by_a_change(stage: Any, stream: Any, added: Any, waiting: Any) -> None:
    """At once."""
    host = stage.host(stage.provider("p", None, stream))
    with host.watch("x") as watch:
        task = waiting(watch)
        stream.feed(added("a"))
        assert task.result().service.name == "a"


def test_waiting_may_be_bounded(stage: Any, stream: Any, added: Any, until: Any) -> None:
    """None says that there was no change in that time."""
    host = stage.host(stage.provider("p", None, stream))
    with host.watch("x", interval=0.01) as watch:
        assert watch.wait(0) is None
        assert watch.wait(0.05) is None
        until(lambda: watch.state == WatchState.LIVE)
        watch._state._waiting = False
        task = stage.task(lambda: watch.wait(1e300))
        until(lambda: watch._state._waiting)
        stream.feed(added("a"))
        assert task.result().service.name == "a"


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf"), "1", True])
def test_a_bad_time_to_wait_is_refused(stage: Any, shelf: Any, seconds: Any) -> None:
    """10022, before anything is waited for."""
    host = stage.host(stage.provider("p", shelf()))
    with host.watch("x") as watch, pytest.raises(InvalidArgumentError, match="seconds"):
        watch.wait(seconds)


def test_a_watch_has_one_reader_at_a_time(
    stage: Any, stream: Any, added: Any, waiting: Any
) -> None:
    """The second one is refused and harms nobody."""
    host = stage.host(stage.provider("p", None, stream))
    with host.watch("x") as watch:
        task = waiting(watch)
        with pytest.raises(InProgressError, match="asked for its next change already"):
            watch.wait(0)
        stream.feed(added("a"))
        assert task.result().service.name == "a"
        assert watch.wait(0) is None


def test_who_was_refused_takes_no_place_away(
    stage: Any, stream: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the other reader has left in that moment."""

    class Taken(dict[None, object]):
        def setdefault(self, key: None, default: object = None) -> object:
            return "the token of another reader, which is not there any more"

    with stage.host(stage.provider("p", None, stream)).watch("x") as watch:
        with monkeypatch.context() as patched:
            patched.setattr(watch._state, "_reader", Taken())
            with pytest.raises(InProgressError):
                watch.wait(0)
        assert watch.wait(0) is None


def test_a_reader_is_refused_further_up_its_own_stack(stage: Any, monkeypatch: Any) -> None:
    """A signal handler that asks while its thread waits."""
    host = stage.host(stage.provider("p", lambda query, cancellation: []))
    with host.watch("x") as watch:
        state = watch._state
        caught: list[Exception] = []

        class Bell:
            def get(self, timeout: float | None = None) -> None:
                try:
                    watch.wait(0)
                except InProgressError as error:
                    caught.append(error)

            def put(self, _token: None) -> None:
                """Nobody waits."""

        monkeypatch.setattr(state, "_bell", Bell())
        assert watch.wait(0.01) is None
        assert caught


# How it stands -----------------------------------------------------------------------------------


def test_it_says_how_it_stands(stage: Any, shelf: Any, pace: Any, clock: Any) -> None:
    """Starting, live, stale since when, live again, closed."""
    found, gate, inside = shelf("a"), stage.gate(), stage.gate()

    def startup() -> None:
        inside.set()
        gate.wait(LONG)

    host = stage.host(stage.provider("p", found, startup=startup))
    with host.watch("x") as watch:
        assert inside.wait(LONG)
        assert (watch.state, watch.stale_since, watch.error) == (WatchState.STARTING, None, None)
        assert repr(watch) == "<Watch: starting, generation 0>"
        gate.set()
        pace.rested()
        assert (watch.state, watch.stale_since, watch.error) == (WatchState.LIVE, None, None)
        found.fail(NotReadyError("away"))
        clock.now = 1500.0
        pace.go()
        clock.now = 1600.0
        pace.go()
        assert (watch.state, watch.stale_since) == (WatchState.STALE, 1500.0)
        assert isinstance(watch.error, NotReadyError)
        found.put("a")
        pace.go()
        assert (watch.state, watch.stale_since, watch.error) == (WatchState.LIVE, None, None)
    assert watch.state == WatchState.CLOSED
    assert repr(watch) == "<Watch: closed, generation 1>"


def test_the_states_are_plain_strings() -> None:
    """So that a log shows them as they are."""
    states = {name: value for name, value in vars(WatchState).items() if name.isupper()}
    assert states == {name: name.lower() for name in states}
    assert set(states) == {"STARTING", "LIVE", "STALE", "FAILED", "CLOSED"}


def test_it_starts_as_long_as_one_provider_does(stage: Any, shelf: Any, pace: Any) -> None:
    """Until that has told what is there, or has failed: then it is passed over."""
    gate = stage.gate()
    slow, quick = shelf(), shelf("a")

    def starting() -> None:
        gate.wait(LONG)

    host = stage.host(stage.provider("slow", slow, startup=starting), stage.provider("q", quick))
    with host.watch("x") as watch:
        pace.rested()
        assert watch.state == WatchState.STARTING
        slow.fail(NotReadyError("away"))
        gate.set()
        pace.rested()
        assert watch.state == WatchState.LIVE


def test_one_that_has_only_failed_does_not_make_stale_what_another_begins(
    stage: Any, shelf: Any, pace: Any
) -> None:
    """That one may tell what is there yet."""
    gate, bad = stage.gate(), shelf()

    def starting() -> None:
        gate.wait(LONG)

    bad.fail(NotReadyError("away"))
    slow = stage.provider("slow", shelf(), startup=starting)
    with stage.host(slow, stage.provider("bad", bad)).watch("x") as watch:
        pace.rested()
        assert (watch.state, watch.stale_since) == (WatchState.STARTING, None)


def test_one_that_has_never_told_anything_is_passed_over(
    stage: Any, shelf: Any, pace: Any, told: Told
) -> None:
    """It is tried again, its error stands with the watch, and the others can be relied upon."""

    def startup() -> None:
        raise NotReadyError("no server was set")

    unready = stage.provider("unready", shelf(), startup=startup)
    with stage.host(unready, stage.provider("p", shelf("a"))).watch("x") as watch:
        assert {pace.rested(), pace.rested()} == {1.0}
        assert told(watch) == [("added", "a")]
        assert (watch.state, watch.stale_since) == (WatchState.LIVE, None)
        (error,) = watch.errors
        assert isinstance(error, NotReadyError)


def test_one_that_has_told_that_nothing_is_there_is_not_passed_over(
    stage: Any, shelf: Any, pace: Any, clock: Any, until: Any
) -> None:
    """Something may have come there since."""
    bad = shelf()
    host = stage.host(stage.provider("bad", bad), stage.provider("p", shelf("a")))
    with host.watch("x", interval=5) as watch:
        pace.rested()
        pace.rested()
        clock.now = 1500.0
        bad.fail(NotReadyError("away"))
        watch._state._watchers[0].bell.put(None)
        assert pace.rested() == 1
        assert (watch.state, watch.stale_since) == (WatchState.STALE, 1500.0)


def test_where_all_have_only_failed_it_is_stale(stage: Any, shelf: Any, pace: Any) -> None:
    """Nobody is left who would know what is there."""
    bad, worse = shelf(), shelf()
    bad.fail(NotReadyError("away"))
    worse.fail(InvalidArgumentError("never"))
    host = stage.host(stage.provider("worse", worse), stage.provider("bad", bad))
    with host.watch("x") as watch:
        pace.rested()
        assert watch.state == WatchState.STALE
        assert watch.stale_since is not None


def test_a_package_that_cannot_be_imported_is_passed_over_for_good(
    stage: Any, shelf: Any, tmp_path: Path, until: Any, told: Told
) -> None:
    """An import that has failed is not repeated; alone it is the end, with its code 10106."""
    information = tmp_path / "gone-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: gone\nVersion: 1.0\n")
    points = "[nspkit.providers]\ngone = module_that_is_gone:One\n"
    (information / "entry_points.txt").write_text(points)
    catalog = Catalog.discover(path=[str(tmp_path)])
    with Host(catalog=catalog) as host, host.watch("x") as watch:
        with pytest.raises(LookupFailedError, match="module_that_is_gone") as caught:
            watch.wait(LONG)
        assert caught.value.code == 10106
    catalog.install(stage.provider("p", shelf("a")))
    with Host(catalog=catalog) as host, host.watch("x") as watch:
        until(lambda: watch.errors and watch.state == WatchState.LIVE)
        assert told(watch) == [("added", "a")]
        (error,) = watch.errors
        assert error.code == 10106
        assert watch._state._watchers[0].standing.over


# Several providers -------------------------------------------------------------------------------


def test_providers_are_watched_side_by_side(stage: Any) -> None:
    """None waits for another."""
    barrier = threading.Barrier(3)

    def lookup(query: Any, cancellation: Any) -> Iterator[Service]:
        barrier.wait(LONG)
        yield Service(query.name)

    host = stage.host(*(stage.provider(name, lookup) for name in "abc"))
    with host.watch("x") as watch:
        assert {next(watch).service.provider for _ in range(3)} == {
            entry.guid for entry in host.providers()
        }


def test_a_namespace_chooses_its_providers(stage: Any, shelf: Any) -> None:
    """Those of another one are neither started nor asked."""
    found, other = shelf("a"), shelf("b")
    host = stage.host(
        stage.provider("p", found, namespace=Namespace.NLA), stage.provider("q", other)
    )
    with host.watch("x", namespace=Namespace.NLA) as watch:
        assert next(watch).service.name == "a"
    assert (len(other.asked), host.references("q")) == (0, 0)


def test_a_provider_that_cannot_be_watched_is_passed_over(
    stage: Any, shelf: Any, pace: Any, until: Any
) -> None:
    """It is not started, and nothing is wrong."""
    host = stage.host(stage.provider("mute"), stage.provider("p", shelf("a")))
    with host.watch("x") as watch:
        pace.rested()
        assert next(watch).service.name == "a"
        until(lambda: watch._state._asked[0].standing.over)
        assert (watch.state, watch.errors, watch.stale_since) == (WatchState.LIVE, (), None)
    assert host.references("mute") == 0


def test_one_that_fails_for_good_does_not_end_the_others(
    stage: Any, shelf: Any, until: Any, told: Told
) -> None:
    """It is recorded, with its GUID; what it had not found cannot be stale."""
    bad, found = shelf(), shelf("a")
    bad.fail(InvalidArgumentError("no such thing", guid=uuid.UUID(int=5)))
    host = stage.host(stage.provider("bad", bad), stage.provider("p", found))
    with host.watch("x") as watch:
        until(lambda: watch.errors and watch.state == WatchState.LIVE)
        assert told(watch) == [("added", "a")]
        (error,) = watch.errors
        assert isinstance(error, InvalidArgumentError)
        assert isinstance(watch.error, InvalidArgumentError)
        assert error.guid == uuid.UUID(int=5)
        assert watch.stale_since is None


def test_what_one_had_found_that_failed_is_stale(
    stage: Any, shelf: Any, pace: Any, clock: Any
) -> None:
    """Nobody has said that it is gone."""
    bad, found = shelf("b"), shelf("a")
    host = stage.host(stage.provider("bad", bad), stage.provider("p", found))
    with host.watch("x", interval=5) as watch:
        pace.rested()
        pace.rested()
        assert watch.state == WatchState.LIVE
        bad.fail(InvalidArgumentError("no such thing"))
        for watcher in watch._state._watchers:
            watcher.bell.put(None)
        pace.rested()
        while not watch.errors:
            clock.now = 1100.0
        assert watch.state == WatchState.STALE
        assert watch.stale_since is not None
        assert {service.name for service in watch.snapshot()} == {"a", "b"}


def test_when_all_have_failed_the_watch_has(stage: Any, shelf: Any) -> None:
    """Every ``next`` says so, with a new error; the code is that of the last in catalog order."""
    one, two = shelf(), shelf()
    one.fail(InvalidArgumentError("no such thing"))
    two.fail(OperationNotSupportedError("cannot"))
    host = stage.host(stage.provider("one", one), stage.provider("two", two))
    watch = host.watch("x")
    with pytest.raises(LookupFailedError, match=r"no such thing.*; cannot") as caught:
        next(watch)
    assert caught.value.code == 10045
    assert [error.code for error in caught.value.errors] == [10022, 10045]
    assert watch.state == WatchState.FAILED
    with pytest.raises(LookupFailedError) as again:
        watch.wait(0)
    assert again.value is not caught.value
    watch.close()
    assert watch.state == WatchState.CLOSED


def test_when_none_can_be_watched_nobody_is_found(stage: Any) -> None:
    """10108, as for a lookup."""
    host = stage.host(stage.provider("a"), stage.provider("b"))
    watch = host.watch("x")
    with pytest.raises(ServiceNotFoundError, match="can be watched"):
        next(watch)
    assert watch.state == WatchState.FAILED
    assert isinstance(watch.error, ServiceNotFoundError)


def test_without_providers_there_is_nobody_to_watch(stage: Any) -> None:
    """10108, at once."""
    with pytest.raises(ServiceNotFoundError, match="no provider to watch"):
        stage.host().watch("x")


def test_a_watch_takes_no_place_of_a_lookup(stage: Any, shelf: Any) -> None:
    """However many there are at one provider."""
    host = stage.host(stage.provider("p", shelf("a")))
    watches = [host.watch(f"x{number}") for number in range(PLACES + 1)]
    assert [next(watch).service.name for watch in watches] == ["a"] * len(watches)
    assert [service.name for service in host.lookup("x", timeout=LONG)] == ["a"]
    for watch in watches:
        watch.close()


# One provider ------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["name", "guid", "info", "query"])
def test_one_provider_can_be_chosen(stage: Any, shelf: Any, by: str) -> None:
    """By whatever names it; the others are left alone."""
    found, other = shelf("a"), shelf("b")
    chosen = stage.provider("p", found)
    host = stage.host(stage.provider("q", other), chosen)
    ways: dict[str, Callable[[], Watch]] = {
        "name": lambda: host.watch("x", provider="p"),
        "guid": lambda: host.watch("x", provider=str(chosen.info.guid)),
        "info": lambda: host.watch("x", provider=chosen.info),
        "query": lambda: host.watch(Query("x", provider="p")),
    }
    with ways[by]() as watch:
        assert next(watch).service.name == "a"
    assert host.references("q") == 0
    assert other.asked == []


def test_one_that_has_neither_hook_is_refused(stage: Any) -> None:
    """10045, at once, with its name; nothing is left behind."""
    host = stage.host(stage.provider("mute"))
    with pytest.raises(OperationNotSupportedError, match="'mute' has neither") as caught:
        host.watch("x", provider="mute")
    assert caught.value.code == 10045
    assert caught.value.guid == host.providers()[0].guid


def test_one_that_cannot_start_raises_its_own_error(stage: Any, shelf: Any) -> None:
    """A directed watch is for one that is there."""

    def startup() -> None:
        raise NotReadyError("away")

    host = stage.host(stage.provider("p", shelf(), startup=startup))
    with pytest.raises(NotReadyError, match="away"):
        host.watch("x", provider="p")
    with pytest.raises(InvalidProviderError):
        host.watch("x", provider="nobody")


def test_its_own_error_ends_the_watch_of_one(stage: Any, shelf: Any) -> None:
    """As it is, not wrapped."""
    found = shelf()
    found.fail(InvalidArgumentError("no such thing"))
    host = stage.host(stage.provider("p", found))
    with (
        host.watch("x", provider="p") as watch,
        pytest.raises(InvalidArgumentError, match="no such thing"),
    ):
        next(watch)


def test_a_provider_cannot_watch_itself(stage: Any, shelf: Any) -> None:
    """10036 if directed; of several it is passed over and recorded."""
    found: list[Any] = []
    sessions: list[Any] = []

    def ioctl() -> None:
        with pytest.raises(InProgressError):
            host.watch("x", provider="p")
        with pytest.raises(InProgressError):
            sessions[0].watch("x")
        with host.watch("x") as watch:
            found.append((next(watch).service.name, [int(one.code) for one in watch.errors]))

    host = stage.host(stage.provider("p", shelf("a"), ioctl=ioctl), stage.provider("q", shelf("b")))
    with host.startup("p") as session:
        sessions.append(session)
        session.ioctl(1)
    assert found == [("b", [10036])]


def test_a_provider_alone_cannot_watch_itself_among_several(stage: Any, shelf: Any) -> None:
    """There is nobody else, and the reason is told."""

    def ioctl() -> None:
        with pytest.raises(LookupFailedError) as caught:
            next(host.watch("x"))
        assert caught.value.code == 10036

    host = stage.host(stage.provider("p", shelf("a"), ioctl=ioctl))
    with host.startup("p") as session:
        session.ioctl(1)


# A session ---------------------------------------------------------------------------------------


def test_a_session_watches_its_provider(stage: Any, shelf: Any) -> None:
    """With the host's restrictions, but for those that choose providers."""
    found = shelf("a")
    host = stage.host(stage.provider("p", found), stage.provider("q", shelf("b")))
    with (
        host.startup("p") as session,
        session.watch("x", service_class="_http._tcp", context="c", interval=2) as watch,
    ):
        assert next(watch).service.name == "a"
    assert found.asked[0] == Query("x", service_class="_http._tcp", context="c")
    with pytest.raises(NotInitialisedError):
        session.watch("x")


def test_the_watch_of_an_old_session_is_refused(stage: Any, shelf: Any) -> None:
    """It belongs to its generation; the provider is not started again for it."""
    host = stage.host(stage.provider("p", shelf("a")))
    session = host.startup("p")
    host.cleanup("p")
    with pytest.raises(NotInitialisedError):
        session.watch("x")
    assert host.references("p") == 0


# What is asked -----------------------------------------------------------------------------------


def test_every_restriction_reaches_the_provider(stage: Any, shelf: Any) -> None:
    """As in a lookup."""
    found = shelf("a")
    host = stage.host(stage.provider("p", found))
    restrictions: dict[str, Any] = {
        "service_class": "_http._tcp",
        "namespace": Namespace.DNS,
        "context": "c",
        "version": 2,
        "protocols": [(2, 6)],
        "query_string": "q",
        "flags": LookupFlags.DEEP | LookupFlags.RETURN_ALL,
        "blob": b"b",
    }
    with host.watch("x", **restrictions) as watch:
        next(watch)
    assert found.asked[0] == Query("x", **restrictions)


def test_what_is_given_beside_a_query_replaces_a_part_of_it(stage: Any, shelf: Any) -> None:
    """And the rest of it stays; nothing given leaves it as it is."""
    found = shelf("a")
    host = stage.host(stage.provider("p", found))
    query = Query("x", context="c", blob=b"b")
    with host.watch(query) as watch:
        next(watch)
    with host.watch(query, context="d", provider="p") as watch:
        next(watch)
    assert found.asked[0] is query
    assert found.asked[-1] == query.replace(context="d", provider="p")


@pytest.mark.parametrize("interval", [0, 0.009, -1, float("nan"), "1", True, None])
def test_a_bad_interval_is_refused(stage: Any, shelf: Any, interval: Any) -> None:
    """10022; polls without a pause would be a busy loop."""
    found = shelf("a")
    host = stage.host(stage.provider("p", found))
    for options in ({}, {"provider": "p"}):
        with pytest.raises(InvalidArgumentError, match="interval"):
            host.watch("x", interval=interval, **options)
    assert found.asked == []


def test_addresses_of_a_watched_service_can_be_used(stage: Any, shelf: Any) -> None:
    """What is told is what the provider has found."""
    found = shelf()
    address = Address.inet("192.0.2.1", 80)
    found.put(Service("a", addresses=[address]))
    with stage.host(stage.provider("p", found)).watch("x") as watch:
        assert next(watch).service.addresses == (address,)
