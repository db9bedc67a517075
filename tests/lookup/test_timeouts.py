"""The time that a provider has is bounded from outside, whatever it does with it.

No outcome depends on how fast the machine is: what is late hangs at a gate, the time of the others
is long, and a clock that has to run is a made one.
"""

from __future__ import annotations

import sys
import threading
import types
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from nspkit import Namespace, Service
from nspkit._cancellation import Cancellation
from nspkit._stream import BUFFER
from nspkit.errors import CancelledError, LookupFailedError, OperationTimeoutError

Names = Callable[[Any], list[str]]
SOON = 0.05


class Clock:
    """A clock that is set by hand, in the place of `time.monotonic`."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Tell the time."""
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of lookups."""
    clock = Clock()
    monkeypatch.setattr("nspkit._cancellation.monotonic", clock)
    monkeypatch.setattr("nspkit._stream.monotonic", clock)
    return clock


def hanging(
    gate: threading.Event, inside: threading.Event | None = None
) -> Callable[[Any, Any], Iterator[Service]]:
    """A lookup that is deaf until the gate opens."""

    def lookup(query: Any, cancellation: Any) -> Iterator[Service]:
        if inside is not None:
            inside.set()
        gate.wait(30)
        yield Service("late")

    return lookup


@pytest.mark.parametrize("order", ["catalog", "arrival"])
def test_a_slow_provider_is_recorded_and_never_waited_for(
    stage: Any, names: Names, expire: Any, order: str
) -> None:
    """The others answer; the error is 10060 and names the provider and the seconds."""
    gate = stage.gate()
    host = stage.host(
        stage.provider("a"), stage.provider("slow", hanging(gate)), stage.provider("c")
    )
    lookup = host.lookup("it", timeout=300, order=order)
    expire(lookup, 1)
    assert names(lookup) == ["it", "it"]
    (error,) = lookup.errors
    assert isinstance(error, OperationTimeoutError)
    assert isinstance(error, TimeoutError)
    assert error.code == 10060
    assert error.guid == host.providers()[1].guid
    assert error.message.startswith("provider 'slow' did not answer within 300 s")
    assert not gate.is_set()


def test_a_directed_lookup_raises_the_timeout_itself(stage: Any) -> None:
    """And it is over then."""
    gate, inside = stage.gate(), stage.gate()
    host = stage.host(stage.provider("slow", hanging(gate, inside)))
    lookup = host.lookup("x", provider="slow", timeout=SOON)
    with pytest.raises(OperationTimeoutError, match="provider 'slow' did not answer within"):
        next(lookup)
    assert next(lookup, "no more") == "no more"
    assert [int(error.code) for error in lookup.errors] == [10060]


def test_when_all_are_slow_the_lookup_fails_with_their_code(stage: Any) -> None:
    """10060 is like any other failure."""
    gate = stage.gate()
    host = stage.host(*(stage.provider(name, hanging(gate)) for name in "abc"))
    with pytest.raises(LookupFailedError) as caught:
        list(host.lookup("x", timeout=SOON))
    assert caught.value.code == 10060
    assert len(caught.value.errors) == 3


def test_a_timeout_of_nothing_takes_what_is_there(stage: Any) -> None:
    """Zero seconds are legal; nobody waits."""
    gate = stage.gate()
    host = stage.host(stage.provider("slow", hanging(gate)))
    with pytest.raises(OperationTimeoutError):
        next(host.lookup("x", provider="slow", timeout=0))


def test_the_start_counts(stage: Any, names: Names, arrived: Any, expire: Any) -> None:
    """A start that hangs is given up with its lookup, and the hook is not called for nobody."""
    gate, inside = stage.gate(), stage.gate()
    asked: list[str] = []

    def starting() -> None:
        inside.set()
        gate.wait(30)

    def lookup(query: Any, cancellation: Any) -> Iterator[Service]:
        asked.append(query.name)
        yield Service(query.name)

    host = stage.host(stage.provider("slow", lookup, startup=starting), stage.provider("b"))
    found = host.lookup("first", timeout=300)
    arrived(inside)
    expire(found, 0)
    assert names(found) == ["first"]
    assert [int(error.code) for error in found.errors] == [10060]
    gate.set()
    assert names(host.lookup("second", provider="slow")) == ["second"]
    host.close()
    assert asked == ["second"]


SOUND = """
from nspkit import Namespace, ProviderInfo, Service, hookimpl
class P:
    info = ProviderInfo("0f1f7c1c-6d43-4d4e-8d52-0a6f2f1b7e01", "sound", Namespace.DNS, "1")
    @hookimpl
    def nsp_startup(self): pass
    @hookimpl
    def nsp_cleanup(self): pass
    @hookimpl
    def nsp_lookup_service(self, query): yield Service(query.name)
"""


@pytest.mark.parametrize("namespace", [Namespace.ALL, Namespace.DNS])
def test_an_import_that_hangs_counts(
    installed: Any,
    stage: Any,
    names: Names,
    arrived: Any,
    expire: Any,
    monkeypatch: pytest.MonkeyPatch,
    namespace: Namespace,
) -> None:
    """It hangs in a worker, and neither the lookup nor the other providers wait for it."""
    gate, inside = stage.gate(), stage.gate()
    waiting = types.ModuleType("nspkit_test_gate")
    vars(waiting).update(gate=gate, inside=inside)
    monkeypatch.setitem(sys.modules, waiting.__name__, waiting)
    catalog = installed(
        {
            "hangs": "from nspkit_test_gate import *\ninside.set()\ngate.wait(30)\nP = None",
            "sound": SOUND,
        }
    )
    host = stage.host(catalog=catalog)
    lookup = host.lookup("it", timeout=300, namespace=namespace)
    arrived(inside)
    expire(lookup, 0)
    assert names(lookup) == ["it"]
    (error,) = lookup.errors
    assert error.code == 10060
    assert "'hangs'" in error.message
    gate.set()
    host.close()


def test_the_wait_for_a_place_counts(stage: Any, arrived: Any, monkeypatch: Any) -> None:
    """A provider with one place, which hangs; the other lookup never gets its turn."""
    monkeypatch.setattr("nspkit._workers.PLACES", 1)
    gate, inside = stage.gate(), stage.gate()
    host = stage.host(stage.provider("slow", hanging(gate, inside)))
    with host.lookup("x", provider="slow", timeout=300):
        arrived(inside)
        with pytest.raises(OperationTimeoutError, match="it never got its turn") as caught:
            next(host.lookup("y", provider="slow", timeout=SOON))
    assert "1 call(s): nsp_lookup_service of 'x' for" in caught.value.message


def test_what_was_found_in_time_still_counts(
    stage: Any, names: Names, arrived: Any, expire: Any
) -> None:
    """A provider that hangs after two results has given two."""
    gate, inside = stage.gate(), stage.gate()

    def lookup(query: Any, cancellation: Any) -> Iterator[Service]:
        yield Service("a")
        yield Service("b")
        inside.set()
        gate.wait(30)
        yield Service("late")

    host = stage.host(stage.provider("p", lookup), stage.provider("q"))
    found = host.lookup("it", timeout=300)
    arrived(inside)
    expire(found, 0)
    assert names(found) == ["a", "b", "it"]
    assert [int(error.code) for error in found.errors] == [10060]


@pytest.mark.parametrize("directed", [False, True])
def test_who_comes_back_because_its_time_is_over_has_not_come_to_its_end(
    stage: Any, expire: Any, directed: bool
) -> None:
    """What it had found counts, and the rest is missing: 10060, though it raised nothing."""
    left = threading.Event()

    def lookup(query: Any, cancellation: Any) -> Iterator[Service]:
        try:
            yield Service("first")
            cancellation.wait()
        finally:
            left.set()

    found = stage.host(stage.provider("p", lookup)).lookup(
        "x", provider="p" if directed else None, timeout=300
    )
    assert next(found).name == "first"
    expire(found, 0)
    assert left.wait(30)
    found._state._asked[0].results.put((None, None))  # no reader waits for long
    with pytest.raises(OperationTimeoutError) if directed else pytest.raises(LookupFailedError):
        list(found)
    assert [int(error.code) for error in found.errors] == [10060]
    assert "within 300 s" in found.errors[0].message


def test_an_answer_that_is_complete_is_not_late_because_the_reader_is(
    stage: Any, names: Names, clock: Clock
) -> None:
    """The second provider has ended long before the reader comes to it, an hour later."""
    done = threading.Semaphore(0)

    def quick(query: Any, cancellation: Any) -> Iterator[Service]:
        try:
            yield Service("a")
            yield Service("b")
        finally:
            done.release()

    host = stage.host(stage.provider("p", quick), stage.provider("q", quick))
    lookup = host.lookup("x", timeout=5)
    for _ in range(2):
        assert done.acquire(timeout=300)
    for stream in lookup._state._asked:
        while not stream.ended:  # the generator is over, its worker says so in a moment
            pass
    clock.now += 3600
    assert names(lookup) == ["a", "b", "a", "b"]
    assert lookup.errors == ()


def test_the_second_is_cancelled_while_the_reader_waits_for_the_first(
    stage: Any, names: Names, arrived: Any, expire: Any
) -> None:
    """In catalog order too each provider has its own time, and is told at once when it is over."""
    gate, inside, told = stage.gate(), stage.gate(), stage.gate()

    def patient(query: Any, cancellation: Any) -> Iterator[Service]:
        # The first has all its results taken slowly, so its own time stands still meanwhile.
        for number in range(BUFFER + 1):
            yield Service(str(number))
        arrived(told)
        yield Service("last")

    def slow(query: Any, cancellation: Any) -> Iterator[Service]:
        cancellation.on_cancel(told.set)
        inside.set()
        gate.wait(30)
        yield Service("late")

    host = stage.host(stage.provider("p", patient), stage.provider("q", slow))
    lookup = host.lookup("x", timeout=300)
    arrived(inside)
    expire(lookup, 1)
    assert names(lookup) == [*map(str, range(BUFFER + 1)), "last"]
    assert [error.code for error in lookup.errors] == [10060]


def test_the_first_word_about_the_end_stays(
    stage: Any, names: Names, arrived: Any, expire: Any
) -> None:
    """In order of arrival all share a queue: what comes from one that is over counts no more."""
    gate, inside, told = stage.gate(), stage.gate(), stage.gate()

    def slow(query: Any, cancellation: Any) -> Iterator[Service]:
        cancellation.on_cancel(told.set)
        inside.set()
        gate.wait(30)
        yield Service("late")

    def patient(query: Any, cancellation: Any) -> Iterator[Service]:
        arrived(told)
        yield Service("patient")

    host = stage.host(stage.provider("p", slow), stage.provider("q", patient))
    lookup = host.lookup("x", timeout=300, order="arrival")
    arrived(inside)
    expire(lookup, 0)
    assert names(lookup) == ["patient"]
    assert [type(error) for error in lookup.errors] == [OperationTimeoutError]


def test_what_is_over_or_was_ended_is_not_late(stage: Any, arrived: Any) -> None:
    """Nothing is left to be waited for, whatever the clock says: it has said its last word."""
    gate, inside = stage.gate(), stage.gate()
    host = stage.host(stage.provider("p", hanging(gate, inside)))
    with host.lookup("x", provider="p", timeout=300) as lookup:
        arrived(inside)
        (stream,) = lookup._state._asked
        assert 0.0 < stream.left() <= 300.0
        stream.ended = True
        assert stream.left() is None
        stream.ended = False
        stream.part.ended = CancelledError("ended, and not cancelled yet")
        assert stream.left() is None
        stream.part.ended = None


# What does not count ----------------------------------------------------------------------------


def test_the_time_that_a_full_buffer_waits_for_its_reader_does_not_count(
    stage: Any, clock: Clock, arrived: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reader comes back after an hour; the provider had five seconds and used none."""
    waits = stage.gate()
    left: list[Any] = []

    def many(query: Any, cancellation: Any) -> Iterator[Service]:
        for number in range(BUFFER + 2):
            if number == BUFFER + 1:
                left.append((cancellation.remaining(), cancellation.cancelled))
            yield Service(str(number))

    pause = Cancellation.pause

    def watched(self: Cancellation) -> None:
        pause(self)
        waits.set()

    monkeypatch.setattr(Cancellation, "pause", watched)
    host = stage.host(stage.provider("p", many))
    lookup = host.lookup("x", timeout=5)
    assert next(lookup).name == "0"
    arrived(waits)
    clock.now += 3600
    assert [service.name for service in lookup] == [str(n) for n in range(1, BUFFER + 2)]
    assert lookup.errors == ()
    assert left == [(5.0, False)]


def test_a_helper_of_the_provider_is_not_told_while_the_buffer_waits(clock: Clock) -> None:
    """``wait`` and ``cancelled`` stand still with the clock that they look at."""
    cancellation = Cancellation(clock.now + 5)
    clock.now += 3
    cancellation.pause()
    clock.now += 3600
    assert not cancellation.cancelled
    assert cancellation.remaining() is None
    assert not cancellation.wait(0)
    cancellation.resume()
    assert cancellation.remaining() == 2.0
    clock.now += 2
    assert cancellation.cancelled
    assert cancellation.wait()


# What the provider is told ----------------------------------------------------------------------


def test_a_provider_is_told_how_much_time_it_has(stage: Any, names: Names, clock: Clock) -> None:
    """``remaining`` counts down from the call, not from the begin."""
    left: list[Any] = []

    def lookup(query: Any, cancellation: Any) -> Iterator[Service]:
        left.append(cancellation.remaining())
        clock.now += 2
        left.append(cancellation.remaining())
        left.append(cancellation.cancelled)
        clock.now += 2
        left.append(cancellation.remaining())
        left.append(cancellation.cancelled)
        yield Service("x")

    def starting() -> None:
        clock.now += 1

    host = stage.host(stage.provider("p", lookup, startup=starting))
    # Late by its own clock; whether its answer or the look at that clock came first is open.
    read_to_the_end(host.lookup("x", provider="p", timeout=4))
    host.close()
    assert left == [3.0, 1.0, False, 0.0, True]


def read_to_the_end(lookup: Any) -> None:
    """Read all; that the answer came in the last moment is as good as that it came late."""
    try:
        list(lookup)
    except OperationTimeoutError:
        pass


def test_a_provider_that_listens_is_woken_when_its_time_is_over(
    stage: Any, arrived: Any, expire: Any
) -> None:
    """Its ``wait`` ends by itself at the limit, though nobody reads and so nobody cancels."""
    inside, came_back = stage.gate(), stage.gate()
    woken: list[bool] = []

    def lookup(query: Any, cancellation: Any) -> Iterator[Service]:
        inside.set()
        woken.append(cancellation.wait())
        woken.append(cancellation.cancelled)
        came_back.set()
        return
        yield

    host = stage.host(stage.provider("p", lookup))
    found = host.lookup("x", provider="p", timeout=300)
    arrived(inside)
    expire(found, 0)
    arrived(came_back)
    read_to_the_end(found)
    host.close()
    assert woken == [True, True]


def test_a_timeout_calls_back_on_the_thread_that_reads(stage: Any, expire: Any) -> None:
    """``on_cancel`` runs where the time-out is noticed, once; its error is recorded beside it."""
    gate = stage.gate()
    called: list[int] = []

    def calling_back() -> None:
        called.append(threading.get_ident())
        raise OSError("socket")

    def lookup(query: Any, cancellation: Any) -> Iterator[Service]:
        cancellation.on_cancel(calling_back)
        registered.set()
        gate.wait(30)
        yield Service("late")

    registered = stage.gate()
    host = stage.host(stage.provider("p", lookup), stage.provider("q"))
    found = host.lookup("it", timeout=300)
    assert registered.wait(30)
    expire(found, 0)
    assert [service.name for service in found] == ["it"]
    assert called == [threading.get_ident()]
    assert [int(error.code) for error in found.errors] == [10060, 10107]
    assert isinstance(found.errors[1].__cause__, OSError)
    gate.set()
    host.close()
    assert len(called) == 1


def test_what_a_provider_does_after_its_time_goes_nowhere(
    stage: Any, feed: Any, names: Names, arrived: Any, expire: Any
) -> None:
    """Its late result is dropped, its iterator closed once, its worker gone."""
    gate, inside = stage.gate(), stage.gate()

    def late() -> Service:
        inside.set()
        gate.wait(30)
        return Service("late")

    made = feed(late, Service("later"))
    host = stage.host(stage.provider("p", lambda q, c: made), stage.provider("q"))
    lookup = host.lookup("it", timeout=300)
    arrived(inside)
    expire(lookup, 0)
    assert names(lookup) == ["it"]
    assert made.closed == 0
    gate.set()
    host.close()
    assert (made.served, made.closed) == (1, 1)
    assert [int(error.code) for error in lookup.errors] == [10060]


def test_a_provider_that_fails_because_it_was_cancelled_is_late_and_no_more(
    stage: Any, names: Names, arrived: Any, expire: Any
) -> None:
    """What it raises then is how it came back, and no second error."""
    listens = stage.gate()

    def lookup(query: Any, cancellation: Any) -> Iterator[Service]:
        told = threading.Event()
        cancellation.on_cancel(told.set)
        listens.set()
        told.wait(30)
        raise CancelledError("interrupted")
        yield

    host = stage.host(stage.provider("p", lookup), stage.provider("q"))
    found = host.lookup("it", timeout=300)
    arrived(listens)
    expire(found, 0)
    assert names(found) == ["it"]
    host.close()
    assert [type(error) for error in found.errors] == [OperationTimeoutError]
