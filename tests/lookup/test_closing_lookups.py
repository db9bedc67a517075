"""Every way in which a lookup ends: what is told, to whom, and what is closed."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from nspkit import Host, Service
from nspkit._stream import BUFFER
from nspkit._workers import PLACES
from nspkit.errors import (
    CancelledError,
    CleanupTimeoutError,
    LookupFailedError,
    NotInitialisedError,
    NspError,
    OperationTimeoutError,
)

Names = Callable[[Any], list[str]]


# The iterator is closed exactly once ------------------------------------------------------------


MANY = [Service("a")] * (
    BUFFER * 2
)  # more than a worker takes ahead, so it has not come to the end


class Closes:
    """A lookup of one iterator, a generator or not, that counts its closings."""

    def __init__(
        self, kind: str, feed: Any, *items: Any, closing: BaseException | None = None
    ) -> None:
        self._kind = kind
        self._feed = feed(*items, closing=closing)
        self.begun = False
        self.closed = 0

    def lookup(self, query: Any, cancellation: Any) -> Any:
        """Find what was given."""
        if self._kind == "generator":
            return self._generator()
        self.begun = True
        return self._feed

    def _generator(self) -> Iterator[Any]:
        self.begun = True
        try:
            yield from iter(self._feed.__next__, None)
        finally:
            self._feed.close()

    @property
    def count(self) -> int:
        """How often it was closed."""
        return int(self._feed.closed)

    @property
    def served(self) -> int:
        """How many items were taken from it."""
        return int(self._feed.served)


@pytest.fixture(params=["generator", "iterator with close"])
def closes(request: pytest.FixtureRequest, feed: Any) -> Callable[..., Closes]:
    """A function that makes a lookup that counts its closings."""
    return lambda *items, **options: Closes(request.param, feed, *items, **options)


def end_quietly(lookup: Any) -> None:
    """Read to the end, whatever it is."""
    try:
        for _ in lookup:
            pass
    except NspError:
        pass


WAYS: dict[str, tuple[list[Any], Callable[[Any, Host], object]]] = {
    "exhausted": ([Service("a")], lambda lookup, host: end_quietly(lookup)),
    "failed": ([Service("a"), OSError("x")], lambda lookup, host: end_quietly(lookup)),
    "failed at once": ([OSError("x")], lambda lookup, host: end_quietly(lookup)),
    "wrong item": ([Service("a"), 7], lambda lookup, host: end_quietly(lookup)),
    "closed at once": (MANY, lambda lookup, host: lookup.close()),
    "closed": (MANY, lambda lookup, host: (next(lookup), lookup.close())),
    "closed twice": (MANY, lambda lookup, host: (next(lookup), lookup.close(), lookup.close())),
    "closed at the end": (
        [Service("a")],
        lambda lookup, host: (end_quietly(lookup), lookup.close()),
    ),
    "cleanup": (MANY, lambda lookup, host: (next(lookup), host.cleanup("p"))),
    "host closed": (MANY, lambda lookup, host: (next(lookup), host.close())),
    "cleanup, then closed": (
        MANY,
        lambda lookup, host: (next(lookup), host.cleanup("p"), lookup.close()),
    ),
    "closed, then cleanup": (
        MANY,
        lambda lookup, host: (next(lookup), lookup.close(), host.cleanup("p")),
    ),
}


@pytest.mark.parametrize(("items", "end"), WAYS.values(), ids=WAYS)
def test_the_iterator_is_closed_exactly_once(
    stage: Any, asked: Any, closes: Any, items: list[Any], end: Callable[[Any, Host], object]
) -> None:
    """However the lookup ends, and whether or not somebody closes it as well."""
    made = closes(*items)
    host = stage.host(stage.provider("p", made.lookup))
    end(asked(host), host)
    host.close()
    assert made.count == (1 if made.begun else 0)
    assert made.begun or end is WAYS["closed at once"][1]


@pytest.mark.parametrize("end", ["exhausted", "closed"])
def test_an_iterator_whose_close_fails_is_not_closed_again(
    stage: Any, asked: Any, closes: Any, end: str
) -> None:
    """The error is recorded, once; the end is the end."""
    made = closes(*([Service("a")] if end == "exhausted" else MANY), closing=OSError("close"))
    host = stage.host(stage.provider("p", made.lookup))
    lookup = asked(host)
    assert next(lookup).name == "a"
    end_quietly(lookup) if end == "exhausted" else lookup.close()
    host.close()
    assert made.count == 1
    assert sum("OSError: close" in str(error) for error in lookup.errors) == 1


def test_an_iterator_whose_close_fails_in_the_final_cleanup_is_an_error_of_that(
    stage: Any, closes: Any
) -> None:
    """It was the cleanup that closed it, so it tells, and goes on to its end."""
    steps: list[str] = []
    made = closes(*MANY, closing=OSError("close"))
    host = stage.host(stage.provider("p", made.lookup, cleanup=lambda: steps.append("cleanup")))
    host.startup("p")
    lookup = host.lookup("x", provider="p")
    next(lookup)
    with pytest.raises(NspError, match="OSError: close"):
        host.cleanup("p")
    assert steps == ["cleanup"]
    assert made.count == 1
    assert sum("OSError: close" in str(error) for error in lookup.errors) == 1


def test_an_abandoned_lookup_is_closed_by_the_next_operation(stage: Any, closes: Any) -> None:
    """``for service in lookup: break`` drops it open; no finaliser calls a provider."""
    made = closes(*[Service("a")] * 3)
    host = stage.host(stage.provider("p", made.lookup), stage.provider("q"))

    def read_one() -> None:
        for _ in host.lookup("x", provider="p"):
            break

    read_one()
    gc.collect()
    assert made.count == 0
    list(host.lookup("x", provider="q"))
    assert made.count == 1


def test_what_a_session_abandoned_is_closed_by_its_next_lookup(stage: Any, closes: Any) -> None:
    """A program may keep one session for ever, and ask the host nothing."""
    made = closes(*[Service("a")] * 3)
    host = stage.host(stage.provider("p", made.lookup))
    session = host.startup("p")

    def read_one() -> None:
        for _ in session.lookup("x"):
            break

    for number in range(3):
        read_one()
        gc.collect()
        assert made.count == number
        assert len(session.generation.users) == 1


def test_an_abandoned_fan_out_ends_by_itself(stage: Any, closes: Any, nspkit_threads: Any) -> None:
    """Its workers are rung for: no further operation is needed for them to go."""
    made = closes(*[Service("a")] * (BUFFER * 10))
    host = stage.host(stage.provider("p", made.lookup))

    def read_one() -> None:
        for _ in host.lookup("x"):
            break

    read_one()
    gc.collect()
    for thread in nspkit_threads():
        thread.join(30)
    assert nspkit_threads() == []
    assert made.count == 1
    assert made.served <= BUFFER + 2


def test_an_abandoned_lookup_that_never_began_starts_nothing(stage: Any, arrived: Any) -> None:
    """It waited for a place when its reader went."""
    gate, inside = stage.gate(), threading.Semaphore(0)
    asked: list[str] = []

    def lookup(query: Any, cancellation: Any) -> Iterator[Service]:
        asked.append(query.name)
        return waiting()

    def waiting() -> Iterator[Service]:
        inside.release()
        gate.wait(30)
        yield Service("x")

    host = stage.host(stage.provider("p", lookup))
    first = [host.lookup("first") for _ in range(PLACES)]
    for _ in first:
        assert inside.acquire(timeout=30)
    host.lookup("abandoned")
    gc.collect()
    gate.set()
    for one in first:
        assert [service.name for service in one] == ["x"]
    host.close()
    assert asked == ["first"] * PLACES


@pytest.mark.parametrize("end", ["exhausted", "failed", "closed"])
def test_a_lookup_that_is_over_leaves_nothing_to_be_done(
    stage: Any, asked: Any, closes: Any, end: str
) -> None:
    """When it is dropped, nothing is queued for the next operation."""
    made = closes(*{"exhausted": [Service("a")], "failed": [OSError()], "closed": MANY}[end])
    host = stage.host(stage.provider("p", made.lookup))
    lookup = asked(host)
    lookup.close() if end == "closed" else end_quietly(lookup)
    del lookup
    gc.collect()
    assert len(host._later) == 0


# Closing from another thread --------------------------------------------------------------------


@pytest.mark.parametrize("order", ["catalog", "arrival"])
def test_d31_close_from_another_thread_wakes_a_reader_at_once(
    stage: Any, arrived: Any, order: str
) -> None:
    """Where workers run the providers the reader does not wait for them (10111)."""
    gate, inside = stage.gate(), threading.Semaphore(0)

    def deaf(query: Any, cancellation: Any) -> Iterator[Service]:
        inside.release()
        gate.wait(30)
        yield Service("late")

    host = stage.host(stage.provider("p", deaf), stage.provider("q", deaf))
    lookup = host.lookup("x", order=order)
    reader = stage.task(lambda: next(lookup))
    assert inside.acquire(timeout=30)
    assert inside.acquire(timeout=30)
    lookup.close()
    with pytest.raises(CancelledError) as caught:
        reader.result()
    assert caught.value.code == 10111
    assert not gate.is_set()
    assert lookup.errors == ()


def test_the_reader_is_woken_before_the_providers_are_told(stage: Any, arrived: Any) -> None:
    """What a provider does when it is cancelled may take long; the reader does not wait for it."""
    gate, inside, woken = stage.gate(), stage.gate(), stage.gate()

    def slow_to_cancel(query: Any, cancellation: Any) -> Iterator[Service]:
        cancellation.on_cancel(lambda: arrived(woken))
        inside.set()
        gate.wait(30)
        yield Service("late")

    host = stage.host(stage.provider("p", slow_to_cancel))
    lookup = host.lookup("x")

    def read() -> None:
        try:
            next(lookup)
        finally:
            woken.set()

    reader = stage.task(read)
    arrived(inside)
    lookup.close()
    with pytest.raises(CancelledError):
        reader.result()
    assert lookup.errors == ()  # the callback did not run into its limit


def test_close_from_another_thread_ends_a_direct_lookup_when_its_provider_comes_back(
    stage: Any, arrived: Any
) -> None:
    """The provider is told; what it yields then is dropped; the reader gets 10111."""
    inside = stage.gate()
    seen: list[Any] = []

    def listening(query: Any, cancellation: Any) -> Iterator[Service]:
        try:
            inside.set()
            seen.append(cancellation.wait(30))
            yield Service("late")
        finally:
            seen.append("closed")

    host = stage.host(stage.provider("p", listening))
    lookup = host.lookup("x", provider="p")
    reader = stage.task(lambda: next(lookup))
    arrived(inside)
    lookup.close()
    with pytest.raises(CancelledError) as caught:
        reader.result()
    assert caught.value.code == 10111
    assert seen == [True, "closed"]
    with pytest.raises(CancelledError):
        next(lookup)


@pytest.mark.parametrize("answer", ["error", "NspError", "SystemExit", "end"])
def test_however_a_cancelled_provider_comes_back_the_reader_gets_10111(
    stage: Any, arrived: Any, answer: str
) -> None:
    """Its error is how it was interrupted, and tells the reader nothing."""
    inside = stage.gate()
    errors = {
        "error": OSError("x"),
        "NspError": NspError("x", code=11002),
        "SystemExit": SystemExit(),
    }

    def listening(query: Any, cancellation: Any) -> Iterator[Service]:
        inside.set()
        assert cancellation.wait(30)
        if answer in errors:
            raise errors[answer]
        return
        yield

    host = stage.host(stage.provider("p", listening))
    lookup = host.lookup("x", provider="p")
    reader = stage.task(lambda: next(lookup))
    arrived(inside)
    lookup.close()
    with pytest.raises(CancelledError):
        reader.result()
    assert lookup.errors == ()


def test_r18_the_iterator_outlives_the_close_until_the_step_has_come_back(
    stage: Any, feed: Any, arrived: Any
) -> None:
    """It is never closed while it executes, but by whoever is inside, on the way out."""
    inside, go = stage.gate(), stage.gate()

    def step() -> Service:
        inside.set()
        arrived(go)
        assert made.closed == 0
        return Service("late")

    made = feed(step)
    host = stage.host(stage.provider("p", lambda query, cancellation: made))
    lookup = host.lookup("x", provider="p")
    reader = stage.task(lambda: next(lookup))
    arrived(inside)
    lookup.close()
    assert made.closed == 0
    go.set()
    with pytest.raises(CancelledError):
        reader.result()
    assert made.closed == 1


def test_r15_next_after_close_is_cancelled_without_calling_the_provider(
    stage: Any, asked: Any, feed: Any
) -> None:
    """10111, each time a new error."""
    made = feed(*[Service("a")] * (BUFFER * 2))
    host = stage.host(stage.provider("p", lambda query, cancellation: made))
    lookup = asked(host)
    assert next(lookup).name == "a"
    lookup.close()
    host.close()  # the worker, if there is one, has come back
    served = made.served
    errors = []
    for _ in range(3):
        with pytest.raises(CancelledError) as caught:
            next(lookup)
        errors.append(caught.value)
    assert {int(error.code) for error in errors} == {10111}
    assert len({id(error) for error in errors}) == 3
    assert made.served == served


# What the provider is told ----------------------------------------------------------------------


@pytest.mark.parametrize("how", ["close", "cleanup", "host close", "abandoned"])
def test_cancellation_reaches_the_provider(stage: Any, asked: Any, arrived: Any, how: str) -> None:
    """By all four ways to learn of it; callbacks run on the thread that ends the lookup."""
    has_one = stage.gate()
    kept: list[Any] = []
    called: list[str] = []

    def lookup(query: Any, cancellation: Any) -> Iterator[Service]:
        kept.append(cancellation)
        cancellation.on_cancel(lambda: called.append(threading.current_thread().name))
        yield Service("a")
        has_one.set()
        yield from (Service("b") for _ in range(BUFFER * 2))

    host = stage.host(stage.provider("p", lookup))
    found = asked(host)
    assert next(found).name == "a"
    (cancellation,) = kept
    assert not cancellation.cancelled
    if how == "close":
        found.close()
    elif how == "cleanup":
        host.cleanup("p")
    elif how == "host close":
        host.close()
    else:
        del found
        gc.collect()
        host.cleanup("p")
    assert cancellation.cancelled
    assert cancellation.remaining() == 0.0
    assert cancellation.wait()
    assert len(called) == 1
    if how == "close":
        assert called == [threading.current_thread().name]
    elif how in ("cleanup", "host close"):
        assert called == ["nspkit-cleanup-p"]


def test_a_callback_that_is_registered_too_late_is_called_at_once(stage: Any, arrived: Any) -> None:
    """On the provider's own thread; what it raises is kept with the errors of the lookup."""
    inside = stage.gate()
    called: list[int] = []

    def failing() -> None:
        called.append(threading.get_ident())
        raise SystemExit("callback")

    def lookup(query: Any, cancellation: Any) -> Iterator[Service]:
        inside.set()
        assert cancellation.wait(30)
        cancellation.on_cancel(failing)
        called.append(threading.get_ident())
        yield Service("late")

    host = stage.host(stage.provider("p", lookup))
    found = host.lookup("x", provider="p")
    reader = stage.task(lambda: next(found))
    arrived(inside)
    found.close()
    with pytest.raises(CancelledError):
        reader.result()
    assert len(called) == 2
    assert called[0] == called[1] == reader.thread.ident
    (error,) = found.errors
    assert isinstance(error.__cause__, SystemExit)


def test_a_callback_that_is_interrupted_does_not_keep_the_iterator_open(
    stage: Any, feed: Any
) -> None:
    """Ctrl-C in a callback goes to who closes; the iterators of all are closed all the same."""
    made: list[Any] = []

    def interrupt() -> None:
        raise KeyboardInterrupt

    def lookup(query: Any, cancellation: Any) -> Any:
        cancellation.on_cancel(interrupt)
        made.append(feed(Service("a"), Service("b")))
        return made[-1]

    host = stage.host(stage.provider("p", lookup))
    lookups = [host.lookup("x", provider="p") for _ in range(3)]
    with pytest.raises(KeyboardInterrupt):
        lookups[0].close()
    assert [one.closed for one in made] == [1, 0, 0]
    with pytest.raises(KeyboardInterrupt):
        host.cleanup("p")
    assert [one.closed for one in made] == [1, 1, 1]


# The final cleanup ------------------------------------------------------------------------------


def test_the_final_cleanup_ends_open_lookups_newest_first(stage: Any, arrived: Any) -> None:
    """Before ``nsp_cleanup`` runs."""
    steps: list[str] = []

    def lookup(query: Any, cancellation: Any) -> Iterator[Service]:
        try:
            yield Service(query.name)
            yield Service(query.name)
        finally:
            steps.append(query.name)

    host = stage.host(stage.provider("p", lookup, cleanup=lambda: steps.append("cleanup")))
    host.startup("p")
    lookups = [host.lookup(str(number), provider="p") for number in range(3)]
    for one in lookups:
        next(one)
    lookups[1].close()
    assert steps == ["1"]
    assert host.cleanup("p")
    assert steps == ["1", "2", "0", "cleanup"]
    for one in (lookups[0], lookups[2]):
        with pytest.raises(CancelledError) as caught:
            next(one)
        assert caught.value.code == 10111
        assert caught.value.guid == host.providers()[0].guid


def test_a_reader_that_waits_is_told_when_its_provider_is_stopped(stage: Any, arrived: Any) -> None:
    """A direct one when the provider has come back, which the cleanup waits for."""
    inside = stage.gate()
    steps: list[str] = []

    def lookup(query: Any, cancellation: Any) -> Iterator[Service]:
        inside.set()
        cancellation.wait(30)
        steps.append("came back")
        yield Service("late")

    host = stage.host(stage.provider("p", lookup, cleanup=lambda: steps.append("cleanup")))
    host.startup("p")
    found = host.lookup("x", provider="p")
    reader = stage.task(lambda: next(found))
    arrived(inside)
    assert host.cleanup("p")
    with pytest.raises(CancelledError):
        reader.result()
    assert steps == ["came back", "cleanup"]


@pytest.mark.parametrize("order", ["catalog", "arrival"])
def test_of_a_fan_out_only_the_part_of_the_stopped_provider_ends(
    stage: Any, names: Names, arrived: Any, order: str
) -> None:
    """It is recorded with 10111; the others go on; a later lookup starts the next generation."""
    inside, go = stage.gate(), stage.gate()
    starts: list[str] = []

    def stopped(query: Any, cancellation: Any) -> Iterator[Service]:
        yield Service("before")
        inside.set()
        cancellation.wait(30)
        yield Service("after")

    def going_on(query: Any, cancellation: Any) -> Iterator[Service]:
        arrived(go)
        yield Service("other")

    host = stage.host(
        stage.provider("p", stopped, startup=lambda: starts.append("start")),
        stage.provider("q", going_on),
    )
    lookup = host.lookup("x", order=order)
    arrived(inside)
    assert host.cleanup("p")
    go.set()
    assert names(lookup) == ["before", "other"]
    (error,) = lookup.errors
    assert isinstance(error, CancelledError)
    assert (error.code, error.guid) == (10111, host.providers()[0].guid)
    assert next(host.lookup("x", provider="p")).name == "before"
    assert starts == ["start", "start"]
    assert host.references("p") == 1


def test_a_fan_out_whose_worker_waits_for_its_reader_is_ended_too(stage: Any, feed: Any) -> None:
    """The worker stands at a full buffer; what was found before still comes, then 10111."""
    full = threading.Event()

    def numbers() -> Iterator[Any]:
        for number in range(1000):
            if number == BUFFER:
                full.set()
            yield Service(str(number))

    host = stage.host(stage.provider("p", lambda query, cancellation: numbers()))
    host.startup("p")
    lookup = host.lookup("x", provider="p", timeout=300)
    assert full.wait(30)
    host.cleanup("p")
    found = []
    with pytest.raises(CancelledError):
        for service in lookup:
            found.append(service.name)  # noqa: PERF401  # the error comes in between
    assert found == [str(number) for number in range(len(found))]
    assert BUFFER <= len(found) <= BUFFER + 1


def test_a_lookup_during_the_stop_waits_and_uses_the_next_generation(
    stage: Any, asked: Any, names: Names, arrived: Any
) -> None:
    """It is not refused, and it does not keep the stop from ending (design §4.3)."""
    stopping, go = stage.gate(), stage.gate()
    steps: list[str] = []

    def cleanup() -> None:
        steps.append("cleanup")
        stopping.set()
        arrived(go)

    host = stage.host(stage.provider("p", startup=lambda: steps.append("start"), cleanup=cleanup))
    host.startup("p")
    stopper = stage.task(lambda: host.cleanup("p"))
    arrived(stopping)
    reader = stage.task(lambda: names(asked(host)))
    go.set()
    assert stopper.result() is True
    assert reader.result() == ["it"]
    assert steps[:3] == ["start", "cleanup", "start"]


def test_a_worker_that_waits_for_a_stop_does_not_hold_it_up(
    stage: Any, names: Names, arrived: Any
) -> None:
    """The stop waits for a call in flight, the worker for the stop, and nobody for ever."""
    inside, stopping, go = stage.gate(), stage.gate(), stage.gate()

    def ioctl() -> None:
        inside.set()
        arrived(go)

    def lookup(query: Any, cancellation: Any) -> Iterator[Service]:
        cancellation.on_cancel(stopping.set)
        yield Service(query.name)

    host = stage.host(stage.provider("p", lookup, ioctl=ioctl))
    session = host.startup("p")
    caller = stage.task(lambda: session.ioctl(1))
    arrived(inside)
    with session.lookup("open") as opened:
        next(opened)
        stopper = stage.task(lambda: host.cleanup("p"))
        arrived(stopping)  # what is open is being ended; next come the calls in flight
        found = host.lookup("it")
        go.set()
        caller.result()
        assert stopper.result() is True
    assert names(found) == ["it"]


def test_a_cleanup_waits_for_a_worker_that_is_inside_and_says_so_when_it_hangs(
    stage: Any, arrived: Any
) -> None:
    """The lookup is named as what hangs."""
    gate, inside = stage.gate(), stage.gate()

    def deaf(query: Any, cancellation: Any) -> Iterator[Service]:
        inside.set()
        gate.wait(30)
        yield Service("late")

    host = stage.host(stage.provider("p", deaf))
    host.startup("p")
    lookup = host.lookup("x")
    arrived(inside)
    with pytest.raises(CleanupTimeoutError, match="nsp_lookup_service in thread 'nspkit-worker'"):
        host.cleanup("p", timeout=0.01)
    with pytest.raises(LookupFailedError) as caught:
        next(lookup)  # its part was ended; that the worker hangs is no business of the reader's
    assert caught.value.code == 10111
    assert not gate.is_set()


@pytest.mark.parametrize("timeout", [None, 300])
def test_a_reader_is_told_at_once_when_the_provider_it_waits_for_is_stopped(
    stage: Any, arrived: Any, timeout: float | None
) -> None:
    """Also where that one is deaf: 10111, and no time-out that was not there."""
    gate, inside = stage.gate(), stage.gate()

    def deaf(query: Any, cancellation: Any) -> Iterator[Service]:
        yield Service("before")
        inside.set()
        gate.wait(30)
        yield Service("late")

    host = stage.host(stage.provider("p", deaf))
    lookup = host.lookup("x", timeout=timeout)
    assert next(lookup).name == "before"
    arrived(inside)
    reader = stage.task(lambda: list(lookup))
    stopper = stage.task(lambda: host.cleanup("p"))
    with pytest.raises(LookupFailedError) as caught:
        reader.result()
    assert caught.value.code == 10111
    assert not gate.is_set()
    gate.set()
    assert stopper.result() is True


def test_after_the_host_was_closed_everything_is_over(stage: Any, asked: Any) -> None:
    """An open lookup was ended; a new one is refused (10093)."""
    host = stage.host(stage.provider("p", lambda q, c: (Service("a") for _ in range(BUFFER * 3))))
    lookup = asked(host)
    assert next(lookup).name == "a"
    host.close()
    with pytest.raises(NspError) as caught:
        list(lookup)
    assert caught.value.code == 10111
    lookup.close()
    for options in ({}, {"provider": "p"}, {"provider": "p", "timeout": 1}):
        with pytest.raises(NotInitialisedError) as refused:
            host.lookup("x", **options)
        assert refused.value.code == 10093


def test_a_lookup_that_was_given_up_twice_is_given_up_once(stage: Any, arrived: Any) -> None:
    """Time-out, close and cleanup of one part: each finds it ended."""
    gate, inside = stage.gate(), threading.Semaphore(0)
    called: list[str] = []

    def deaf(query: Any, cancellation: Any) -> Iterator[Service]:
        cancellation.on_cancel(lambda: called.append("cancelled"))
        inside.release()
        gate.wait(30)
        yield Service("late")

    host = stage.host(stage.provider("p", deaf), stage.provider("q", deaf))
    lookup = host.lookup("x", timeout=0.02)
    for _ in range(2):
        assert inside.acquire(timeout=30)
    with pytest.raises(LookupFailedError):
        next(lookup)
    lookup.close()
    gate.set()
    host.close()
    assert len(called) == 2
    assert {type(error) for error in lookup.errors} == {OperationTimeoutError}


# Interrupts and forks ---------------------------------------------------------------------------


def test_a_lookup_that_interrupts_the_pool_records_it(stage: Any, names: Names) -> None:
    """From a signal handler, while this thread holds the pool's lock: 10036, and no deadlock."""
    host = stage.host(stage.provider("p"))
    with host._accounts.workers._lock:
        lookup = host.lookup("it")
        with pytest.raises(LookupFailedError) as caught:
            next(lookup)
    assert caught.value.code == 10036
    assert names(host.lookup("it")) == ["it"]


def test_a_close_that_interrupts_the_pool_is_done_by_the_next_operation(
    stage: Any, closes: Any, names: Names
) -> None:
    """The reader is told at once; what is left to do is queued."""
    made = closes(*MANY)
    host = stage.host(stage.provider("p", made.lookup), stage.provider("q"))
    lookup = host.lookup("x", provider="p", timeout=300)
    assert next(lookup).name == "a"
    with host._accounts.workers._lock:
        lookup.close()
    with pytest.raises(CancelledError):
        next(lookup)
    assert len(host._later) == 1
    assert names(host.lookup("it", provider="q")) == ["it"]
    assert len(host._later) == 0
    host.close()
    assert made.count == 1


def test_a_fan_out_that_is_dropped_inside_a_provider_ends_by_itself(
    stage: Any, names: Names, closes: Any
) -> None:
    """Also with a part that was passed over."""
    made = closes(*MANY)

    def asking(query: Any, cancellation: Any) -> Iterator[Service]:
        for service in host.lookup("inner"):
            yield service
            return

    host = stage.host(stage.provider("p", asking), stage.provider("q", made.lookup))
    assert names(host.lookup("x", provider="p")) == ["a"]
    host.close()
    assert made.count == 1


def test_a_lookup_of_the_parent_is_void_in_a_forked_child(fresh_python: Any) -> None:
    """10093, at once and for every lookup, also one that a thread of the parent is reading."""
    done = fresh_python(
        """
import os, threading
from nspkit import Catalog, Host, Namespace, ProviderInfo, Service, hookimpl
from nspkit.errors import NotInitialisedError
gate, inside = threading.Event(), threading.Event()
class P:
    info = ProviderInfo("0d9a3a5e-6f0b-4a55-9a39-0c4b3f4b7d02", "p", Namespace.DNS, "1")
    @hookimpl
    def nsp_startup(self): pass
    @hookimpl
    def nsp_cleanup(self): pass
    @hookimpl
    def nsp_lookup_service(self, query):
        yield Service("a")
        inside.set()
        gate.wait(30)
catalog = Catalog()
catalog.install(P)
host = Host(catalog=catalog)
fanout, direct = host.lookup("x"), host.lookup("x", provider="p")
next(fanout), next(direct)
reader = threading.Thread(target=lambda: list(fanout))
reader.start()
assert inside.wait(30)
child = os.fork()
if child == 0:
    codes = []
    for call in (lambda: next(fanout), lambda: next(direct), lambda: host.lookup("x")):
        try:
            call()
        except NotInitialisedError as error:
            codes.append(int(error.code))
            assert "forked child" in str(error), error
    fanout.close()
    direct.close()
    del fanout, direct
    os._exit(0 if codes == [10093] * 3 else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
gate.set()
reader.join(30)
assert next(direct, None) is None
host.close()
print("fine")
"""
    )
    assert done.stdout == "fine\n"
