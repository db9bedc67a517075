"""How a watch ends: closed, with its provider, with its host, as garbage, after a fork."""

from __future__ import annotations

import _thread
import contextvars
import gc
import os
import threading
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from nspkit import Namespace, Service, WatchState
from nspkit._workers import PLACES
from nspkit.errors import (
    CancelledError,
    CleanupTimeoutError,
    NotInitialisedError,
    NotReadyError,
    NspError,
    ServiceNotFoundError,
)

LONG = 30.0
Told = Callable[[Any], list[tuple[str, str]]]


@pytest.fixture
def deaf(stage: Any) -> Callable[..., Any]:
    """A stream that hears of no cancellation until its gate opens, and says when it is inside."""

    def notify(query: Any, cancellation: Any) -> Iterator[Any]:
        yield None  # live from here on: nothing falls due, and who waits waits for ever
        notify.inside.release()  # type: ignore[attr-defined]
        notify.gate.wait(10 * LONG)  # type: ignore[attr-defined]

    notify.gate = stage.gate()  # type: ignore[attr-defined]
    notify.inside = threading.Semaphore(0)  # type: ignore[attr-defined]
    return notify


@pytest.fixture
def nobody_watches(until: Any, nspkit_threads: Any) -> Callable[[], None]:
    """A function that waits until no thread watches any more."""
    return lambda: until(lambda: not [t for t in nspkit_threads() if t.name == "nspkit-watch"])


# Closed ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("directed", [True, False])
def test_closing_wakes_who_waits_at_once(
    stage: Any, deaf: Any, waiting: Any, directed: bool
) -> None:
    """From any thread, also while the provider hangs."""
    host = stage.host(stage.provider("p", None, deaf))
    watch = host.watch("x", provider="p" if directed else None)
    assert deaf.inside.acquire(timeout=LONG)
    task = waiting(watch)
    watch.close()
    with pytest.raises(CancelledError, match="closed") as caught:
        task.result()
    assert caught.value.code == 10111
    assert not deaf.gate.is_set()


def test_closing_tells_the_provider(
    stage: Any, stream: Any, shelf: Any, nobody_watches: Any
) -> None:
    """Its cancellation says so, its thread ends, and the provider's end has nothing to end."""
    host = stage.host(stage.provider("p", None, stream), stage.provider("q", shelf("a")))
    watch = host.watch("x")
    assert stream.begun.acquire(timeout=LONG)
    watch.close()
    (cancellation,) = stream.cancellations
    assert cancellation.cancelled
    nobody_watches()
    for entry in host.providers():
        assert not host._accounts.of(entry.name).lifetime.generation.users


def test_after_the_close_every_next_is_refused(stage: Any, shelf: Any, pace: Any) -> None:
    """A second close does nothing; what was known last can be looked at."""
    with stage.host(stage.provider("p", shelf("a"))).watch("x") as watch:
        pace.rested()
    watch.close()
    for _ in range(2):
        with pytest.raises(CancelledError):
            next(watch)
    with pytest.raises(CancelledError):
        watch.wait(0)
    assert [service.name for service in watch.snapshot()] == ["a"]
    assert watch.generation == 1


def test_a_close_that_comes_while_the_reader_looks_ends_it(
    stage: Any, stream: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In whichever order the two see each other."""
    watch = stage.host(stage.provider("p", None, stream)).watch("x")
    assert stream.begun.acquire(timeout=LONG)

    def closing() -> float:
        watch.close()
        return 0.0

    monkeypatch.setattr("nspkit._picture.monotonic", closing)
    with pytest.raises(CancelledError, match="closed"):
        next(watch)


def test_a_watch_may_be_closed_before_its_provider_has_started(
    stage: Any, shelf: Any, nobody_watches: Any
) -> None:
    """Then it is not asked."""
    gate, inside, found = stage.gate(), stage.gate(), shelf("a")

    def startup() -> None:
        inside.set()
        gate.wait(LONG)

    host = stage.host(stage.provider("p", found, startup=startup))
    watch = host.watch("x")
    assert inside.wait(LONG)
    watch.close()
    gate.set()
    nobody_watches()
    assert found.asked == []


def test_a_poll_that_is_under_way_is_cancelled(stage: Any, nobody_watches: Any) -> None:
    """Its provider is told, and what it found then is not looked at."""
    inside = stage.gate()

    def lookup(query: Any, cancellation: Any) -> Iterator[Service]:
        inside.set()
        cancellation.wait(LONG)
        yield Service("late")

    watch = stage.host(stage.provider("p", lookup)).watch("x")
    assert inside.wait(LONG)
    watch.close()
    nobody_watches()
    assert watch.snapshot() == ()


def test_a_stream_between_two_changes_is_closed(
    stage: Any, added: Any, nobody_watches: Any
) -> None:
    """By the thread that reads it, under the guard."""
    closed, at = threading.Event(), threading.Barrier(2)
    watches: list[Any] = []

    def notify(query: Any, cancellation: Any) -> Iterator[Any]:
        try:
            at.wait(LONG)
            watches[0]._state._watchers[0].stopped = True
            yield added("a")
            yield added("b")
        finally:
            closed.set()

    watches.append(stage.host(stage.provider("p", None, notify)).watch("x"))
    at.wait(LONG)
    assert closed.wait(LONG)
    nobody_watches()
    assert [service.name for service in watches[0].snapshot()] == ["a"]


# Interrupted -------------------------------------------------------------------------------------


def test_a_reader_that_was_interrupted_may_ask_again(
    stage: Any, shelf: Any, pace: Any, struck_everywhere: Any
) -> None:
    """Wherever the interrupt struck: nothing is held, and what is there is known."""
    with stage.host(stage.provider("p", shelf("a"))).watch("x") as watch:
        pace.rested()

        def check(_change: Any) -> None:
            watch.wait(0)
            assert watch._state._reader == {}
            assert [service.name for service in watch.snapshot()] == ["a"]
            assert watch.state == WatchState.LIVE

        assert struck_everywhere(lambda: watch.wait(0), check) > 10


def test_a_signal_that_does_not_wake_the_reader_is_heard_all_the_same(
    stage: Any, deaf: Any, until: Any
) -> None:
    """Ctrl-C right before it blocks: the reader looks up once a second."""
    watch = stage.host(stage.provider("p", None, deaf)).watch("x")
    assert deaf.inside.acquire(timeout=LONG)

    heard = stage.gate()

    def interrupt() -> bool:
        until(lambda: watch._state._waiting)
        _thread.interrupt_main()  # as a signal does, except that it wakes nobody
        return heard.wait(LONG)

    interrupter = stage.task(interrupt)
    with pytest.raises(KeyboardInterrupt):
        watch.wait(2 * LONG)
    heard.set()
    assert interrupter.result()


@pytest.mark.usefixtures("small_collections")
@pytest.mark.parametrize("directed", [True, False])
def test_an_interrupted_call_leaves_no_watch_behind(
    stage: Any, shelf: Any, struck_everywhere: Any, nobody_watches: Any, directed: bool
) -> None:
    """Wherever the interrupt struck, the next operation ends what was begun."""
    host = stage.host(stage.provider("p", shelf("a")))
    host.startup("p")

    def check(watch: Any) -> None:
        if watch is not None:
            watch.close()
        del watch
        gc.collect()
        assert host.references("p") == 1
        nobody_watches()

    provider = "p" if directed else None
    operate = partial(host.watch, "x", provider=provider, interval=1000)
    assert struck_everywhere(operate, check) > 30
    assert [service.name for service in host.lookup("x")] == ["a"]


# With its provider -------------------------------------------------------------------------------


def test_a_final_cleanup_ends_the_watch(
    stage: Any, stream: Any, waiting: Any, nspkit_threads: Any
) -> None:
    """Who waits gets 10111; afterwards there is no thread of it, and no provider was started."""
    host = stage.host(stage.provider("p", None, stream))
    watch = host.watch("x", provider="p")
    task = waiting(watch)
    assert host.cleanup("p")
    with pytest.raises(CancelledError, match="'p' was stopped while this watch was open"):
        task.result()
    assert nspkit_threads() == []
    assert watch.state == WatchState.FAILED
    with pytest.raises(CancelledError):
        next(watch)
    assert host.references("p") == 0


@pytest.mark.parametrize("real", [True, False])
def test_a_final_cleanup_ends_a_watch_that_rests(
    stage: Any, shelf: Any, nspkit_threads: Any, request: pytest.FixtureRequest, real: bool
) -> None:
    """It need not be inside the provider for that."""
    pace = None if real else request.getfixturevalue("pace")
    host = stage.host(stage.provider("p", shelf("a")))
    watch = host.watch("x", interval=1000)
    next(watch)
    if pace is not None:
        pace.rested()
    host.cleanup("p")
    assert nspkit_threads() == []
    with pytest.raises(CancelledError):
        next(watch)


def test_what_was_told_before_the_end_comes_before_it(
    stage: Any, shelf: Any, pace: Any, told: Told
) -> None:
    """The end loses nothing."""
    host = stage.host(stage.provider("p", shelf("a")))
    watch = host.watch("x")
    pace.rested()
    host.cleanup("p")
    assert next(watch).service.name == "a"
    with pytest.raises(CancelledError):
        next(watch)


def test_of_several_providers_only_one_part_ends(
    stage: Any, shelf: Any, stream: Any, added: Any, waiting: Any, until: Any
) -> None:
    """The others go on; what it had found is stale from then on."""
    found = shelf("a")
    one, two = stage.provider("one", found), stage.provider("two", None, stream)
    host = stage.host(one, two)
    with host.watch("x") as watch:
        assert next(watch).service.name == "a"
        task = waiting(watch)
        host.cleanup("one")
        until(lambda: watch.state == WatchState.STALE)
        assert watch.stale_since is not None
        (error,) = watch.errors
        assert (error.code, error.guid) == (10111, one.info.guid)
        stream.feed(added("b"))
        assert task.result().service.name == "b"
        assert [service.name for service in watch.snapshot()] == ["a", "b"]
        host.cleanup("two")
        with pytest.raises(CancelledError):
            next(watch)


def test_a_start_of_the_provider_does_not_revive_the_watch(
    stage: Any, shelf: Any, pace: Any
) -> None:
    """It belongs to the generation in which it was begun."""
    found = shelf("a")
    host = stage.host(stage.provider("p", found))
    watch = host.watch("x")
    pace.rested()
    host.cleanup("p")
    with host.startup("p"), pytest.raises(CancelledError):
        next(watch)
        next(watch)
    assert len(found.asked) == 1


def test_a_provider_that_hangs_does_not_keep_who_waits(stage: Any, deaf: Any, waiting: Any) -> None:
    """The cleanup times out and names it; the reader has gone long before."""
    host = stage.host(stage.provider("p", None, deaf))
    watch = host.watch("x")
    assert deaf.inside.acquire(timeout=LONG)
    task = waiting(watch)
    with pytest.raises(CleanupTimeoutError, match="nsp_notify_change"):
        host.cleanup("p", timeout=0.05)
    with pytest.raises(CancelledError):
        task.result()
    assert watch.state == WatchState.FAILED


def test_what_comes_after_the_end_is_not_told(
    stage: Any, added: Any, told: Told, nobody_watches: Any
) -> None:
    """A list that was under way when the provider was stopped."""
    inside, gate = stage.gate(), stage.gate()

    def lookup(query: Any, cancellation: Any) -> Iterator[Service]:
        inside.set()
        gate.wait(LONG)
        yield Service("late")

    host = stage.host(stage.provider("p", lookup))
    watch = host.watch("x")
    assert inside.wait(LONG)
    with pytest.raises(CleanupTimeoutError):
        host.cleanup("p", timeout=0.05)
    assert watch.state == WatchState.FAILED
    (watcher,) = watch._state._watchers
    watcher._say(watcher.standing.listed, {("late",): Service("late")})
    gate.set()
    nobody_watches()
    assert (watch.snapshot(), watch.state) == ((), WatchState.FAILED)


def test_a_session_that_is_closed_does_not_end_the_watch(
    stage: Any, stream: Any, added: Any
) -> None:
    """Only the last reference does."""
    host = stage.host(stage.provider("p", None, stream))
    with host.startup("p"):
        with host.startup("p") as session:
            watch = session.watch("x")
        stream.feed(added("a"))
        assert next(watch).service.name == "a"
    with pytest.raises(CancelledError):
        next(watch)


def test_the_instance_is_gone_after_the_cleanup(stage: Any, shelf: Any, pace: Any) -> None:
    """The watch that somebody still holds refers to nothing of it."""
    instances: list[weakref.ref[Any]] = []
    provider = stage.provider("p", shelf("a"))
    provider.__init__ = lambda self: instances.append(weakref.ref(self))  # type: ignore[misc]
    host = stage.host(provider)
    watch = host.watch("x")
    pace.rested()
    gc.disable()
    try:
        host.cleanup("p")
        assert [instance() for instance in instances] == [None]
    finally:
        gc.enable()
    assert watch.state == WatchState.FAILED


# With its host -----------------------------------------------------------------------------------


def test_closing_the_host_ends_its_watches(
    stage: Any, shelf: Any, stream: Any, waiting: Any, nspkit_threads: Any
) -> None:
    """All of them, and their threads; nothing can be watched there any more."""
    host = stage.host(stage.provider("p", shelf("a")), stage.provider("q", None, stream))
    watch = host.watch("x")
    next(watch)
    task = waiting(watch)
    host.close()
    with pytest.raises(CancelledError):
        task.result()
    assert nspkit_threads() == []
    for options in ({}, {"provider": "p"}):
        with pytest.raises(NotInitialisedError):
            host.watch("x", **options)


def test_closing_the_host_ends_one_that_never_started(
    stage: Any, shelf: Any, pace: Any, waiting: Any, nspkit_threads: Any
) -> None:
    """Its thread, which waits for a second try, is gone too."""

    def startup() -> None:
        raise NotReadyError("away")

    host = stage.host(stage.provider("p", shelf(), startup=startup))
    watch = host.watch("x")
    pace.rested()
    task = waiting(watch)
    host.close()
    assert nspkit_threads() == []
    with pytest.raises(NspError, match="host of this watch was closed") as caught:
        task.result()
    assert caught.value.code == 10093


def test_a_host_lives_as_long_as_its_watches(stage: Any, shelf: Any, pace: Any) -> None:
    """Whoever keeps only the watch goes on."""
    host = stage.host(stage.provider("p", shelf("a")))
    watch = host.watch("x")
    pace.rested()
    stage.hosts.remove(host)
    reference = weakref.ref(host)
    del host
    gc.collect()
    assert reference() is not None
    assert next(watch).service.name == "a"
    reference().close()  # type: ignore[union-attr]


def test_the_exit_of_the_interpreter_ends_what_was_left_open(
    fresh_python: Callable[..., Any],
) -> None:
    """Polled or telling, and nothing is said about it."""
    done = fresh_python(
        """
import threading, nspkit

class Both:
    @nspkit.hookimpl
    def nsp_startup(self): pass
    @nspkit.hookimpl
    def nsp_cleanup(self): print("cleaned")

class P(Both):
    info = nspkit.ProviderInfo("e2f70c3e-9c0f-4a31-8a0f-30a2f6b1d001", "p", 12, "1")
    @nspkit.hookimpl
    def nsp_lookup_service(self): yield nspkit.Service("a")

class Q(Both):
    info = nspkit.ProviderInfo("e2f70c3e-9c0f-4a31-8a0f-30a2f6b1d002", "q", 12, "1")
    @nspkit.hookimpl
    def nsp_notify_change(self, cancellation):
        yield nspkit.Change(nspkit.ChangeKind.ADDED, nspkit.Service("b"))
        cancellation.wait()

catalog = nspkit.Catalog()
catalog.install(P)
catalog.install(Q)
watch = nspkit.Host(catalog=catalog).watch("x")
print(sorted(next(watch).service.name for _ in "ab"))
"""
    )
    assert done.stdout.split("\n") == ["['a', 'b']", "cleaned", "cleaned", ""]
    assert done.stderr == ""


# As garbage --------------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", ["references", "watch"])
def test_a_watch_that_was_dropped_is_ended_by_the_next_operation(
    stage: Any, stream: Any, nobody_watches: Any, operation: str
) -> None:
    """A finaliser calls no provider: the cancellation comes with the operation."""
    host = stage.host(stage.provider("p", None, stream))
    watch = host.watch("x")
    assert stream.begun.acquire(timeout=LONG)
    del watch
    gc.collect()
    cancellation = stream.cancellations[0]
    assert not cancellation.cancelled
    if operation == "watch":
        with pytest.raises(ServiceNotFoundError):
            host.watch("x", namespace=Namespace.NLA)
    else:
        assert host.references("p") == 1
    assert cancellation.cancelled
    nobody_watches()


def test_the_thread_of_a_dropped_watch_that_polls_ends_by_itself(
    stage: Any, shelf: Any, pace: Any, nobody_watches: Any
) -> None:
    """It is between two polls, and needs nobody."""
    host = stage.host(stage.provider("p", shelf("a")))
    watch = host.watch("x")
    pace.rested()
    del watch
    gc.collect()
    nobody_watches()
    assert len(host._later) == 1
    host.references("p")
    assert len(host._later) == 0


def test_a_watch_that_is_over_leaves_nothing(stage: Any, shelf: Any, pace: Any) -> None:
    """Neither one that was closed nor one that has failed."""
    host = stage.host(stage.provider("p", shelf("a")))
    with host.watch("x") as watch:
        pace.rested()
    del watch
    failed = host.watch("x")
    pace.rested()
    host.cleanup("p")
    del failed
    gc.collect()
    assert len(host._later) == 0


def test_a_watch_that_was_never_made_leaves_nothing(stage: Any, shelf: Any) -> None:
    """A face without a state is nobody's."""
    import nspkit

    watch = nspkit.Watch.__new__(nspkit.Watch)
    del watch
    gc.collect()


# After a fork ------------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_child_cannot_watch(fresh_python: Callable[..., Any]) -> None:
    """Everything answers 10093 and says why, nothing is called; the parent goes on."""
    done = fresh_python(
        """
import gc, os, sys, nspkit

class P:
    info = nspkit.ProviderInfo("e2f70c3e-9c0f-4a31-8a0f-30a2f6b1d001", "p", 12, "1")
    cancelled = []
    @nspkit.hookimpl
    def nsp_startup(self): pass
    @nspkit.hookimpl
    def nsp_cleanup(self): print("cleaned", os.getpid() == parent)
    @nspkit.hookimpl
    def nsp_notify_change(self, cancellation):
        cancellation.on_cancel(lambda: print("cancelled", os.getpid() == parent))
        yield nspkit.Change(nspkit.ChangeKind.ADDED, nspkit.Service("a"))
        cancellation.wait()

parent = os.getpid()
catalog = nspkit.Catalog()
catalog.install(P)
host = nspkit.Host(catalog=catalog)
watch = host.watch("x")
print(next(watch).service.name)
sys.stdout.flush()
child = os.fork()
if not child:
    for ask in (watch.__next__, lambda: watch.wait(0), watch.snapshot, lambda: host.watch("x"),
                lambda: host.watch("x", provider="p")):
        try:
            ask()
        except nspkit.NspError as error:
            assert error.code == 10093 and "child" in error.message, error
        else:
            raise AssertionError(ask)
    assert (watch.state, watch.generation, watch.stale_since) == ("closed", 1, None)
    assert watch.error.code == 10093
    watch.close()
    del watch
    gc.collect()
    sys.exit(0)
_, status = os.waitpid(child, 0)
print("child", status)
watch.close()
host.close()
"""
    )
    assert done.stdout.split("\n") == ["a", "child 0", "cancelled True", "cleaned True", ""]
    # From Python 3.12 on a fork beside threads is warned of, which is just what is tested here.
    warned = ("DeprecationWarning", "os.fork()")
    assert [line for line in done.stderr.splitlines() if not any(w in line for w in warned)] == []


# Threads -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("directed", [True, False])
def test_without_a_thread_to_be_had_there_is_no_watch(
    stage: Any, shelf: Any, monkeypatch: pytest.MonkeyPatch, directed: bool
) -> None:
    """WSAENOBUFS 10055, with the reason; nothing is left behind."""

    def start(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    host = stage.host(stage.provider("p", shelf("a")))
    host.startup("p")
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", start)
        watch = host.watch("x", provider="p" if directed else None)
    with pytest.raises(NspError, match="can't start new thread") as caught:
        next(watch)
    assert caught.value.code == 10055
    assert host._accounts.workers._lasting == {}
    assert not host._accounts.of("p").lifetime.generation.users


def test_a_watch_that_comes_while_its_host_closes_is_refused(stage: Any, shelf: Any) -> None:
    """Its provider was started still, and no thread is any more."""
    host = stage.host(stage.provider("p", shelf("a")))
    host.startup("p")
    host._accounts.workers.close("belongs to a host that was closed")
    with pytest.raises(NotInitialisedError, match="the watch of 'x' belongs to a host"):
        next(host.watch("x", provider="p"))


def test_a_thread_that_has_ended_is_joined_by_the_cleanup(
    stage: Any, shelf: Any, pace: Any, until: Any
) -> None:
    """It is on its way out, and written down until then."""
    host = stage.host(stage.provider("p", shelf("a")))
    with host.watch("x"):
        pace.rested()
    workers = host._accounts.workers
    until(lambda: not workers._lasting)
    assert [thread.name for thread in workers._leaving] == ["nspkit-watch"]
    host.cleanup("p")
    assert workers._leaving == []


def test_watches_that_hang_are_limited(stage: Any, deaf: Any, added: Any, until: Any) -> None:
    """Those that were closed and have not come back; the others are not."""
    host = stage.host(stage.provider("p", None, deaf))
    watches = [host.watch(f"x{number}") for number in range(PLACES + 1)]
    for _ in watches:
        assert deaf.inside.acquire(timeout=LONG)
    for watch in watches[1:]:
        watch.close()
    with pytest.raises(NspError, match="what was given up hangs: 32 call") as caught:
        next(host.watch("x", provider="p"))
    assert caught.value.code == 10055
    deaf.gate.set()
    until(lambda: len(host._accounts.workers._lasting) <= 1)


def test_a_watch_runs_in_the_context_in_which_it_was_made(stage: Any) -> None:
    """As workers do."""
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")
    variable.set("mine")

    def lookup(query: Any, cancellation: Any) -> Iterator[Service]:
        yield Service(variable.get("nobody's"))

    with stage.host(stage.provider("p", lookup)).watch("x") as watch:
        assert next(watch).service.name == "mine"


def test_a_provider_stopped_on_the_way_is_started_for_the_watch(
    stage: Any, shelf: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between its start and the first call somebody gave the last reference back."""
    host = stage.host(stage.provider("p", shelf("a")))
    account = host._accounts.of("p")
    started = type(account).ensure_started
    times: list[int] = []

    def ensure_started(self: Any) -> Any:
        generation = started(self)
        times.append(generation.number)
        if len(times) == 1:
            host.cleanup("p")
        return generation

    monkeypatch.setattr(type(account), "ensure_started", ensure_started)
    with host.watch("x", provider="p") as watch:
        assert next(watch).service.name == "a"
    assert times == [1, 2]


def test_a_provider_stopped_right_before_a_poll_ends_the_watch(
    stage: Any, shelf: Any, pace: Any
) -> None:
    """The guard refuses the poll before anybody has ended the watch: that is its end too."""
    host = stage.host(stage.provider("p", shelf("a")))
    watch = host.watch("x")
    pace.rested()
    (watcher,) = watch._state._watchers
    watcher.generation.users.clear()
    watcher.generation.open = False
    watcher.bell.put(None)
    next(watch)
    with pytest.raises(CancelledError, match="was stopped while this watch was open"):
        next(watch)
    watcher.generation.open = True
