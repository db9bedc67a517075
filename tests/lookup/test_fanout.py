"""A lookup over several providers: partial failure, bounded buffers, workers, places."""

from __future__ import annotations

import _thread
import contextvars
import math
import os
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from nspkit import Host, Namespace, Service
from nspkit._bell import Bell
from nspkit._stream import BUFFER
from nspkit._workers import PLACES, THREADS
from nspkit.errors import (
    CancelledError,
    InProgressError,
    LookupFailedError,
    NoDataError,
    NspError,
    OperationTimeoutError,
    ServiceNotFoundError,
    TryAgainError,
)

Names = Callable[[Any], list[str]]
VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("VARIABLE", default="unset")


def raising(error: BaseException, *before: Service) -> Callable[[Any, Any], Iterator[Service]]:
    """A lookup that fails after these results."""

    def lookup(query: Any, cancellation: Any) -> Iterator[Service]:
        yield from before
        raise error

    return lookup


def stuck(gate: threading.Event, *inside: threading.Semaphore) -> Callable[[Any, Any], Any]:
    """A lookup that hears no cancellation and does not come back before the gate opens."""

    def lookup(query: Any, cancellation: Any) -> Iterator[Service]:
        for semaphore in inside:
            semaphore.release()
        gate.wait()
        yield Service("late")

    return lookup


# Failures ---------------------------------------------------------------------------------------


def test_one_that_fails_is_recorded_and_the_others_go_on(stage: Any, names: Names) -> None:
    """In catalog order, each error with the GUID of its provider; what it had found counts."""
    host = stage.host(
        stage.provider("a", raising(RuntimeError("x"), Service("from a"))),
        stage.provider("b"),
        stage.provider("c", raising(NoDataError("y"))),
        stage.provider("d", startup=lambda: 11002),
        stage.provider("e"),
    )
    lookup = host.lookup("it")
    assert lookup.errors == ()
    assert names(lookup) == ["from a", "it", "it"]
    guids = [entry.guid for entry in host.providers()]
    assert [(int(e.code), e.guid) for e in lookup.errors] == [
        (10107, guids[0]),
        (11004, guids[2]),
        (11002, guids[3]),
    ]
    assert host.references("d") == 0


def test_errors_stand_in_catalog_order_whatever_order_they_came_in(
    stage: Any, names: Names, arrived: Any
) -> None:
    """The first provider fails after the last."""
    last_fails = stage.gate()

    def waiting(query: Any, cancellation: Any) -> Iterator[Service]:
        arrived(last_fails)
        raise NoDataError("first")
        yield

    def failing(query: Any, cancellation: Any) -> Iterator[Service]:
        last_fails.set()
        raise TryAgainError("last")
        yield

    host = stage.host(
        stage.provider("a", waiting), stage.provider("b"), stage.provider("c", failing)
    )
    lookup = host.lookup("it", order="arrival")
    assert names(lookup) == ["it"]
    assert [error.message for error in lookup.errors] == ["first", "last"]


@pytest.mark.parametrize("order", ["catalog", "arrival"])
def test_r10_when_all_failed_the_code_is_that_of_the_last_in_catalog_order(
    stage: Any, order: str
) -> None:
    """And all the errors are in ``errors``, of the error and of the lookup."""
    host = stage.host(
        stage.provider("a", raising(TryAgainError("a"))),
        stage.provider("b", startup=lambda: 1 / 0),
        stage.provider("mute", None),
        stage.provider("c", raising(NoDataError("c"))),
    )
    lookup = host.lookup("it", order=order)
    with pytest.raises(LookupFailedError) as caught:
        next(lookup)
    assert caught.value.code == 11004
    assert [int(error.code) for error in caught.value.errors] == [11002, 10106, 11004]
    assert caught.value.errors == lookup.errors
    for message in ("a", "ZeroDivisionError", "c"):
        assert message in str(caught.value)
    assert next(lookup, "no more") == "no more"


def test_one_that_finds_nothing_has_not_failed(stage: Any, names: Names) -> None:
    """An empty answer is an answer: no `LookupFailedError`."""
    host = stage.host(
        stage.provider("a", lambda query, cancellation: ()),
        stage.provider("b", raising(ServiceNotFoundError("b"))),
    )
    lookup = host.lookup("it")
    assert names(lookup) == []
    assert [int(error.code) for error in lookup.errors] == [10108]


def test_r09_the_failure_of_the_first_does_not_hide_the_second(stage: Any, names: Names) -> None:
    """R12: the same ``next`` that meets the end of one gives the first result of the other."""
    host = stage.host(stage.provider("a", raising(NoDataError("a"))), stage.provider("b"))
    lookup = host.lookup("it")
    assert next(lookup).name == "it"
    assert [int(error.code) for error in lookup.errors] == [11004]


# Buffers ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["catalog", "arrival"])
def test_a_provider_of_a_million_is_held_to_a_bounded_number(stage: Any, order: str) -> None:
    """While ten are taken it makes what the buffer holds, and one that waits for room."""
    made: list[int] = []
    is_full = threading.Event()

    def million(query: Any, cancellation: Any) -> Iterator[Service]:
        for number in range(1_000_000):
            made.append(number)
            if number == BUFFER:
                is_full.set()
            yield Service(str(number))

    host = stage.host(stage.provider("p", million))
    lookup = host.lookup("x", order=order)
    assert [next(lookup).name for _ in range(10)] == [str(number) for number in range(10)]
    assert is_full.wait(30)
    lookup.close()
    host.close()
    assert len(made) == BUFFER + 1


def test_a_reader_that_goes_on_gets_everything_once_and_in_order(stage: Any) -> None:
    """Through many fillings of the buffer, of two providers at a time."""

    def many(query: Any, cancellation: Any) -> Iterator[Service]:
        for number in range(BUFFER * 5 + 3):
            yield Service(str(number))

    host = stage.host(stage.provider("p", many), stage.provider("q", many))
    wanted = [str(number) for number in range(BUFFER * 5 + 3)]
    assert [service.name for service in host.lookup("x")] == wanted * 2
    by_provider: dict[Any, list[str]] = {}
    for service in host.lookup("x", order="arrival"):
        by_provider.setdefault(service.provider, []).append(service.name)
    assert list(by_provider.values()) == [wanted, wanted]


# Workers ----------------------------------------------------------------------------------------


def test_workers_run_in_a_copy_of_the_context_of_the_caller(stage: Any, asked: Any) -> None:
    """They see its variables as they were at the call; what they set stays theirs."""

    def lookup(query: Any, cancellation: Any) -> Iterator[Service]:
        yield Service(VARIABLE.get())
        VARIABLE.set("the provider's")
        yield Service(VARIABLE.get())

    host = stage.host(stage.provider("p", lookup))
    token = VARIABLE.set("the caller's")
    try:
        found = asked(host)
        assert [service.name for service in found] == ["the caller's", "the provider's"]
        if asked.way != "direct":
            assert VARIABLE.get() == "the caller's"
    finally:
        VARIABLE.reset(token)


def test_no_thread_is_left_after_the_last_result_and_the_close(
    stage: Any, names: Names, nspkit_threads: Any
) -> None:
    """Workers end with their work; the host's close has seen them go."""
    host = stage.host(*(stage.provider(f"p{number}") for number in range(8)))
    before = threading.active_count()
    for _ in range(20):
        assert names(host.lookup("it")) == ["it"] * 8
    host.close()
    assert nspkit_threads() == []
    assert threading.active_count() == before


def test_a_provider_takes_so_many_calls_at_a_time_and_no_more(stage: Any, names: Names) -> None:
    """The others wait their turn, and all are answered (32 at a time)."""
    inside, most, lock = 0, 0, threading.Lock()
    full, go = threading.Semaphore(0), stage.gate()

    def lookup(query: Any, cancellation: Any) -> Iterator[Service]:
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
        full.release()
        go.wait(30)
        with lock:
            inside -= 1
        yield Service(query.name)

    host = stage.host(stage.provider("p", lookup))
    lookups = [host.lookup(str(number)) for number in range(PLACES + 8)]
    for _ in range(PLACES):
        assert full.acquire(timeout=30)
    go.set()
    assert [names(one) for one in lookups] == [[str(number)] for number in range(PLACES + 8)]
    assert most == PLACES


def test_a_host_has_so_many_threads_and_no_more(
    stage: Any, names: Names, nspkit_threads: Any
) -> None:
    """100 providers that wait for each other in groups are answered by 64 threads."""
    entered, go = threading.Semaphore(0), stage.gate()

    def lookup(query: Any, cancellation: Any) -> Iterator[Service]:
        entered.release()
        go.wait(30)
        yield Service("x")

    host = stage.host(*(stage.provider(f"p{number}", lookup) for number in range(THREADS + 36)))
    found = host.lookup("x")
    for _ in range(THREADS):
        assert entered.acquire(timeout=30)
    assert len(nspkit_threads()) == THREADS
    assert not entered.acquire(blocking=False)
    go.set()
    assert len(names(found)) == THREADS + 36


# Stuck ones -------------------------------------------------------------------------------------


def stick(host: Host, name: str, inside: threading.Semaphore, times: int = PLACES) -> None:
    """Send so many lookups to a provider that does not answer, and give each up."""
    lookups = [host.lookup("x", provider=name, timeout=300) for _ in range(times)]
    for _ in lookups:
        assert inside.acquire(timeout=30)
    for lookup in lookups:
        lookup.close()


def test_stuck_providers_exhaust_themselves_and_nobody_else(
    stage: Any, names: Names, nspkit_threads: Any, expire: Any
) -> None:
    """Two with all their places taken for ever: a third answers, and the threads go at last."""
    gate, inside = stage.gate(), threading.Semaphore(0)
    host = stage.host(
        stage.provider("a", stuck(gate, inside)),
        stage.provider("b", stuck(gate, inside)),
        stage.provider("c"),
    )
    stick(host, "a", inside)
    stick(host, "b", inside)
    assert len(nspkit_threads()) >= THREADS
    assert names(host.lookup("it", provider="c", timeout=300)) == ["it"]
    lookup = host.lookup("it", timeout=300)
    expire(lookup, 0, 1)
    assert names(lookup) == ["it"]
    assert [int(error.code) for error in lookup.errors] == [10060, 10060]
    gate.set()
    host.close()
    assert nspkit_threads() == []


def test_a_lookup_that_gets_no_place_says_what_occupies_them(stage: Any) -> None:
    """It names the calls, how many there are, and since when."""
    gate, inside = stage.gate(), threading.Semaphore(0)
    host = stage.host(stage.provider("a", stuck(gate, inside)))
    stick(host, "a", inside)
    with pytest.raises(OperationTimeoutError) as caught:
        next(host.lookup("late", provider="a", timeout=0.01))
    assert caught.value.code == 10060
    assert caught.value.guid == host.providers()[0].guid
    message = caught.value.message
    assert "provider 'a' did not answer within 0.01 s because it never got its turn" in message
    assert f"{PLACES} call(s): nsp_lookup_service of 'x' for " in message
    assert f"and {PLACES - 3} more" in message
    assert "'late'" not in message


def test_a_lookup_that_gets_no_thread_says_what_occupies_them(stage: Any, names: Names) -> None:
    """Two providers that hold all threads, and nobody has given them up yet."""
    gate, inside = stage.gate(), threading.Semaphore(0)
    host = stage.host(
        stage.provider("a", stuck(gate, inside)),
        stage.provider("b", stuck(gate, inside)),
        stage.provider("c"),
    )
    lookups = [host.lookup("x", provider=name, timeout=300) for name in "ab" for _ in range(PLACES)]
    for _ in range(THREADS):
        assert inside.acquire(timeout=30)
    with pytest.raises(OperationTimeoutError) as caught:
        next(host.lookup("late", provider="c", timeout=0.01))
    assert f"{THREADS} call(s): nsp_lookup_service of 'x' for " in caught.value.message
    assert "'late'" not in caught.value.message
    lookups[0].close()  # its thread is replaced
    assert names(host.lookup("it", provider="c", timeout=300)) == ["it"]


def test_a_place_that_becomes_free_goes_to_who_waits_for_it(stage: Any, names: Names) -> None:
    """Also where all places were held by calls that had been given up, and no thread was left."""
    gate, inside = stage.gate(), threading.Semaphore(0)
    lookup = stuck(gate, inside)
    host = stage.host(stage.provider("a", lookup))
    stick(host, "a", inside)
    waiting = host.lookup("x", provider="a", timeout=300)
    gate.set()
    assert names(waiting) == ["late"]


# Without threads --------------------------------------------------------------------------------


def test_without_threads_a_lookup_fails_and_nothing_is_lost(
    stage: Any, names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system's refusal is recorded for each (10055); the next lookup finds all in order."""

    def refused(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    host = stage.host(stage.provider("a"), stage.provider("b"))
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refused)
        lookup = host.lookup("it")
        with pytest.raises(LookupFailedError) as caught:
            next(lookup)
        assert [int(error.code) for error in lookup.errors] == [10055, 10055]
        assert caught.value.code == 10055
        assert "can't start new thread" in str(caught.value)
        with pytest.raises(NspError) as single:
            next(host.lookup("it", provider="a", timeout=300))
        assert single.value.code == 10055
        assert names(host.lookup("it", provider="a")) == ["it"]
    assert names(host.lookup("it")) == ["it", "it"]


def test_a_single_thread_does_the_work_of_all(
    stage: Any, names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no second one is to be had, what waits is done by the one that is there."""
    start, started = threading.Thread.start, []

    def once(self: threading.Thread) -> None:
        if started:
            raise RuntimeError("can't start new thread")
        started.append(self)
        start(self)

    go = stage.gate()

    def waiting(query: Any, cancellation: Any) -> Iterator[Service]:
        go.wait(30)
        yield Service("x")

    host = stage.host(stage.provider("a", waiting), stage.provider("b"), stage.provider("c"))
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", once)
        lookup = host.lookup("it")
    go.set()
    assert names(lookup) == ["x", "it", "it"]


def test_work_that_waits_for_a_thread_that_hangs_is_refused_when_none_can_replace_it(
    stage: Any, names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is there who would ever do it, so it says so (10055) instead of waiting for ever."""
    start, started = threading.Thread.start, []
    gate, inside = stage.gate(), threading.Semaphore(0)

    def once(self: threading.Thread) -> None:
        if started:
            raise RuntimeError("can't start new thread")
        started.append(self)
        start(self)

    host = stage.host(
        stage.provider("a", stuck(gate, inside), namespace=Namespace.BTH), stage.provider("b")
    )
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", once)
        hanging = host.lookup("x", provider="a", timeout=300)
        assert inside.acquire(timeout=30)
        waiting = host.lookup("it", namespace=Namespace.DNS)
        hanging.close()
        with pytest.raises(LookupFailedError) as caught:
            next(waiting)
        assert caught.value.code == 10055
    assert names(host.lookup("it", namespace=Namespace.DNS)) == ["it"]


# One reader at a time ---------------------------------------------------------------------------


class Watched(dict[None, int]):
    """Where a fan-out notes who reads it; it tells when somebody does.

    By a bell, since a handler may ring it while it interrupts its ringing. An event would hold its
    lock then: the signal comes as soon as the first was told.
    """

    def __init__(self) -> None:
        super().__init__()
        self._reads = Bell()

    def setdefault(self, key: None, value: int = 0) -> int:
        """Note it, and tell."""
        try:
            return super().setdefault(key, value)
        finally:
            self._reads.ring()

    def wait(self) -> None:
        """Wait until somebody reads."""
        assert self._reads.wait(30)


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="this system has no such signal")
def test_a_signal_handler_that_reads_what_it_interrupts_is_told(stage: Any, names: Names) -> None:
    """On one thread there is one reader too: 10036, and the outer one goes on."""
    gate, watched, handled = stage.gate(), Watched(), Bell()
    codes: list[int] = []

    def handle(number: int, frame: object) -> None:
        if handled.rung:
            return
        try:
            next(lookup)
        except InProgressError as error:
            codes.append(int(error.code))
        handled.ring()

    def interrupt() -> None:
        watched.wait()
        # A signal that comes right before a thread blocks does not wake it: again, until it does.
        while not handled.wait(0.01):
            os.kill(os.getpid(), signal.SIGUSR1)
        gate.set()

    host = stage.host(stage.provider("a", stuck(gate)))
    lookup = host.lookup("x")
    lookup._state._reader = watched
    before = signal.signal(signal.SIGUSR1, handle)
    try:
        interrupter = stage.task(interrupt)
        assert names(lookup) == ["late"]
        interrupter.result()
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert set(codes) == {10036}


def test_a_signal_that_does_not_wake_the_reader_is_heard_all_the_same(stage: Any) -> None:
    """Ctrl-C right before it blocks: the reader looks up once a second."""
    gate, heard, watched = stage.gate(), stage.gate(), Watched()

    def interrupt() -> bool:
        watched.wait()
        _thread.interrupt_main()  # as a signal does, except that it wakes nobody
        return heard.wait(20)

    found = stage.host(stage.provider("a", stuck(gate))).lookup("x", timeout=300)
    found._state._reader = watched
    interrupter = stage.task(interrupt)
    with pytest.raises(KeyboardInterrupt):
        next(found)
    heard.set()
    assert interrupter.result()


@pytest.mark.parametrize("order", ["catalog", "arrival"])
def test_two_readers_at_once_are_told_and_nothing_is_lost(
    stage: Any, names: Names, order: str
) -> None:
    """The second gets 10036; otherwise one of them might wait for an end that the other has."""
    gate, watched = stage.gate(), Watched()
    host = stage.host(stage.provider("a", stuck(gate)))
    lookup = host.lookup("x", order=order)
    lookup._state._reader = watched
    first = stage.task(lambda: names(lookup))
    watched.wait()
    with pytest.raises(InProgressError) as caught:
        next(lookup)
    assert caught.value.code == 10036
    gate.set()
    assert first.result() == ["late"]


def test_an_interrupt_between_two_questions_ends_what_was_begun(
    stage: Any, feed: Any, names: Names, nspkit_threads: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C in `Host.lookup`: the lookup that nobody has is given up by the next operation."""
    made = feed(*(Service(str(number)) for number in range(1000)))
    asked: list[str] = []

    def lookup(query: Any, cancellation: Any) -> Any:
        asked.append(query.name)
        return made

    host = stage.host(stage.provider("a", lookup), stage.provider("b"))
    workers = host._accounts.workers
    submit, interrupted = type(workers).submit, []

    def interrupting(self: Any, job: Any) -> None:
        if job.owner.entry.name == "b" and not interrupted:
            interrupted.append(job)
            raise KeyboardInterrupt
        submit(self, job)

    with monkeypatch.context() as patch:
        patch.setattr(type(workers), "submit", interrupting)
        with pytest.raises(KeyboardInterrupt):
            host.lookup("x")
    assert names(host.lookup("it", provider="b")) == ["it"]
    for thread in nspkit_threads():
        thread.join(30)  # else it waits for a reader who will never come
    assert nspkit_threads() == []
    assert made.served <= BUFFER + 1
    assert made.closed == len(asked)  # the worker may not even have begun


def test_a_lookup_of_many_is_made_of_the_same_parts(stage: Any, names: Names) -> None:
    """300 providers, of which every third fails."""
    host = stage.host(
        *(
            stage.provider(
                f"p{n}",
                raising(NoDataError(str(n))) if n % 3 == 0 else lambda q, c: [Service(q.name)],
            )
            for n in range(300)
        )
    )
    lookup = host.lookup("it")
    assert names(lookup) == ["it"] * 200
    assert [error.message for error in lookup.errors] == [str(n) for n in range(0, 300, 3)]


@pytest.mark.parametrize("timeout", [math.inf, 10**400, 1e300, 1e10])
def test_a_timeout_without_end_is_none(stage: Any, names: Names, timeout: float) -> None:
    """More seconds than Python can wait are no error."""
    host = stage.host(stage.provider("p"))
    assert names(host.lookup("it", timeout=timeout)) == ["it"]
    assert names(host.lookup("it", provider="p", timeout=timeout)) == ["it"]


def test_a_lookup_that_is_used_in_its_own_block_is_over_after_it(stage: Any, asked: Any) -> None:
    """``with`` closes it."""
    host = stage.host(stage.provider("p", lambda q, c: [Service("a"), Service("b")]))
    with asked(host) as lookup:
        assert next(lookup).name == "a"
    with pytest.raises(CancelledError) as caught:
        next(lookup)
    assert caught.value.code == 10111
