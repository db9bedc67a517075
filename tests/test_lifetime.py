"""States, counts, and who is inside; with a starter and a stopper that are no providers."""

from __future__ import annotations

import contextvars
import threading
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from nspkit._bell import Bell
from nspkit._generation import (
    CLOSED,
    QUARANTINED,
    STARTED,
    STOPPED,
    STOPPING,
    Generation,
    Reference,
    Waits,
    carrying,
)
from nspkit._lifetime import Lifetime
from nspkit.errors import InProgressError, NotInitialisedError, NotReadyError, NspError

LONG = 30.0
KEY = uuid.UUID("2f1d6a70-52c8-4d0b-8a4e-0000000000ee")


class Thing:
    """What starts and stops: it records, and does what it was told to."""

    def __init__(self, lifetime: Lifetime) -> None:
        self.lifetime = lifetime
        self.log: list[str] = []
        self.starting: Callable[[], None] = lambda: None
        self.stopping: Callable[[], None] = lambda: None
        self.timeouts: list[float | None] = []

    def start(self, generation: Generation) -> None:
        """Start, and be the payload."""
        self.log.append("start")
        self.starting()
        generation.payload = self

    def undo(self, generation: Generation) -> BaseException:
        """Stop again in a host that is closed."""
        self.log.append("undo")
        generation.payload = None
        return generation.refusal()

    def stop(self, timeout: float | None, round: Any, interrupt: Any = None) -> None:
        """Stop, and end the round."""
        self.log.append("stop" if interrupt is None else "stop again")
        self.timeouts.append(timeout)
        self.stopping()
        round.generation.payload = None
        self.lifetime.stopped(round)
        if interrupt is not None:
            raise interrupt


@pytest.fixture
def lifetime() -> Lifetime:
    """A stopped one."""
    return Lifetime("alpha", KEY)


@pytest.fixture
def thing(lifetime: Lifetime) -> Thing:
    """What it starts and stops."""
    return Thing(lifetime)


def fails(error: BaseException) -> Callable[[], None]:
    """A function that raises that error."""

    def fail() -> None:
        raise error

    return fail


def acquired(lifetime: Lifetime, thing: Thing) -> Reference:
    """Take a reference."""
    reference = Reference()
    lifetime.acquire(reference, thing)
    return reference


# -- states and counts -------------------------------------------------------------------------


def test_it_begins_stopped(lifetime: Lifetime) -> None:
    """With a generation that is over before it began."""
    assert (lifetime.state, lifetime.count, lifetime.generation.number) == (STOPPED, 0, 0)
    assert lifetime.generation.open is False


def test_the_first_reference_starts_and_the_last_stops(lifetime: Lifetime, thing: Thing) -> None:
    """Those between them only count."""
    references = [acquired(lifetime, thing) for _ in range(3)]
    assert (lifetime.state, lifetime.count, thing.log) == (STARTED, 3, ["start"])
    assert [lifetime.release(one, thing, 1.5) for one in references] == [False, False, True]
    assert (lifetime.state, lifetime.count, thing.log) == (STOPPED, 0, ["start", "stop"])
    assert thing.timeouts == [1.5]


def test_each_start_is_a_new_generation(lifetime: Lifetime, thing: Thing) -> None:
    """Counted up, and later in the order of starts."""
    first = acquired(lifetime, thing).generation
    lifetime.release(None, thing, None)
    second = acquired(lifetime, thing).generation
    assert first is not None
    assert second is not None
    assert (first.number, second.number) == (1, 2)
    assert 0 < first.started_at < second.started_at
    assert (first.open, second.open) == (False, True)


def test_the_order_of_starts_goes_over_all_lifetimes() -> None:
    """So that a host can stop its providers in reverse."""
    lifetimes = [Lifetime(name, None) for name in "abc"]
    for one in lifetimes:
        acquired(one, Thing(one))
    starts = [one.generation.started_at for one in lifetimes]
    assert starts == sorted(set(starts))


def test_once_counts_for_who_starts_only(lifetime: Lifetime, thing: Thing) -> None:
    """So a host starts for itself, whatever is asked after that."""
    for _ in range(3):
        generation = lifetime.acquire(Reference(), thing, once=True)
        assert generation is lifetime.generation
    assert lifetime.count == 1


def test_a_start_that_fails_leaves_it_stopped(lifetime: Lifetime, thing: Thing) -> None:
    """The next one tries afresh, as the same generation number."""
    thing.starting = fails(NotReadyError("away"))
    reference = Reference()
    with pytest.raises(NotReadyError):
        lifetime.acquire(reference, thing)
    assert (lifetime.state, lifetime.count, reference.generation) == (STOPPED, 0, None)
    thing.starting = lambda: None
    acquired(lifetime, thing)
    assert (lifetime.state, lifetime.generation.number) == (STARTED, 1)


def test_a_start_that_is_interrupted_after_its_payload_was_there_counts(
    lifetime: Lifetime, thing: Thing
) -> None:
    """It has started: the reference is there to be given back, and the interrupt is raised."""

    class Late(Thing):
        def start(self, generation: Generation) -> None:
            super().start(generation)
            raise KeyboardInterrupt

    late, reference = Late(lifetime), Reference()
    with pytest.raises(KeyboardInterrupt):
        lifetime.acquire(reference, late)
    assert (lifetime.state, lifetime.count) == (STARTED, 1)
    assert reference.generation is lifetime.generation
    assert lifetime.release(reference, late, None) is True


def test_a_reference_is_given_back_once(lifetime: Lifetime, thing: Thing) -> None:
    """And not in the next generation."""
    first, second = acquired(lifetime, thing), acquired(lifetime, thing)
    assert lifetime.release(first, thing, None) is False
    assert lifetime.release(first, thing, None) is False
    assert lifetime.count == 1
    lifetime.release(None, thing, None)
    acquired(lifetime, thing)
    acquired(lifetime, thing)
    assert lifetime.release(second, thing, None) is False
    assert lifetime.count == 2


def test_without_a_reference_there_is_none_to_give_back(lifetime: Lifetime, thing: Thing) -> None:
    """10093, with the way out."""
    with pytest.raises(NotInitialisedError, match="match each startup with one cleanup") as caught:
        lifetime.release(None, thing, None)
    assert caught.value.guid == KEY


def test_the_count_is_0_and_it_is_closed_to_calls_while_it_stops(
    lifetime: Lifetime, thing: Thing
) -> None:
    """From the moment the last reference was given back."""
    seen: list[Any] = []
    thing.stopping = lambda: seen.append((lifetime.state, lifetime.count, lifetime.generation.open))
    lifetime.release(acquired(lifetime, thing), thing, None)
    assert seen == [(STOPPING, 0, False)]


def test_a_stop_that_raises_has_stopped(lifetime: Lifetime, thing: Thing) -> None:
    """It is not run again."""

    class Failing(Thing):
        def stop(self, timeout: float | None, round: Any, interrupt: Any = None) -> None:
            super().stop(timeout, round)
            raise NotReadyError("in the stop")

    failing = Failing(lifetime)
    with pytest.raises(NotReadyError):
        lifetime.release(acquired(lifetime, failing), failing, None)
    assert (lifetime.state, failing.log) == (STOPPED, ["start", "stop"])


def test_a_stop_that_was_interrupted_before_it_was_under_way_is_run_again(
    lifetime: Lifetime, thing: Thing
) -> None:
    """With the interrupt, which it raises in the end."""

    class Struck(Thing):
        def stop(self, timeout: float | None, round: Any, interrupt: Any = None) -> None:
            if interrupt is None:
                raise KeyboardInterrupt
            super().stop(timeout, round, interrupt)

    struck = Struck(lifetime)
    reference = acquired(lifetime, struck)
    with pytest.raises(KeyboardInterrupt):
        lifetime.release(reference, struck, 2.0)
    assert (lifetime.state, struck.log) == (STOPPED, ["start", "stop again"])
    assert struck.timeouts == [2.0]


# -- quarantine --------------------------------------------------------------------------------


def hung(lifetime: Lifetime, thing: Thing) -> Any:
    """Stop it with something that hangs, and return the round that was let go."""
    rounds: list[Any] = []

    class Hanging(Thing):
        def stop(self, timeout: float | None, round: Any, interrupt: Any = None) -> None:
            rounds.append(round)
            assert lifetime.quarantine(round) is True

    acquired(lifetime, thing)
    lifetime.release(None, Hanging(lifetime), None)
    return rounds[0]


def test_a_quarantine_refuses_starts_until_it_ends(lifetime: Lifetime, thing: Thing) -> None:
    """10091; then it is stopped, and can be started."""
    round = hung(lifetime, thing)
    assert lifetime.state == QUARANTINED
    with pytest.raises(NotReadyError, match="'alpha' is quarantined") as caught:
        acquired(lifetime, thing)
    assert (caught.value.code, caught.value.guid) == (10091, KEY)
    assert lifetime.settled(0) is True
    assert lifetime.stopped(round) is True
    assert lifetime.state == STOPPED
    acquired(lifetime, thing)


def test_a_stop_that_has_just_ended_is_not_quarantined(lifetime: Lifetime, thing: Thing) -> None:
    """Who gives up looks once more, under the lock."""
    rounds: list[Any] = []

    class Quick(Thing):
        def stop(self, timeout: float | None, round: Any, interrupt: Any = None) -> None:
            rounds.append(round)
            assert lifetime.stopped(round) is False

    quick = Quick(lifetime)
    lifetime.release(acquired(lifetime, quick), quick, None)
    assert lifetime.quarantine(rounds[0]) is False
    assert lifetime.state == STOPPED


# -- closing -----------------------------------------------------------------------------------


def test_closing_stops_whoever_holds_it(lifetime: Lifetime, thing: Thing) -> None:
    """And refuses starts from then on (10093), saying why."""
    for _ in range(3):
        acquired(lifetime, thing)
    lifetime.close("was closed", thing, 3.0)
    assert (lifetime.state, lifetime.count, thing.log) == (CLOSED, 0, ["start", "stop"])
    assert thing.timeouts == [3.0]
    for call in (lambda: acquired(lifetime, thing), lambda: lifetime.release(None, thing, None)):
        with pytest.raises(NotInitialisedError, match="'alpha' was closed") as caught:
            call()
        assert caught.value.guid == KEY


def test_closing_what_is_stopped_calls_nothing(lifetime: Lifetime, thing: Thing) -> None:
    """A second close neither."""
    lifetime.close("was closed", thing, None)
    lifetime.close("was closed", thing, None)
    assert (lifetime.state, thing.log) == (CLOSED, [])


def test_a_close_that_was_interrupted_before_its_stop_was_under_way_stops(
    lifetime: Lifetime, thing: Thing
) -> None:
    """As a release does."""

    class Struck(Thing):
        def stop(self, timeout: float | None, round: Any, interrupt: Any = None) -> None:
            if interrupt is None:
                raise KeyboardInterrupt
            super().stop(timeout, round, interrupt)

    struck = Struck(lifetime)
    acquired(lifetime, struck)
    with pytest.raises(KeyboardInterrupt):
        lifetime.close("was closed", struck, None)
    assert (lifetime.state, struck.log) == (CLOSED, ["start", "stop again"])


def test_a_start_that_completes_when_it_is_closed_is_undone(
    lifetime: Lifetime, thing: Thing
) -> None:
    """By its own thread, which is told why."""
    thing.starting = lambda: lifetime.refuse_starts("was closed")
    with pytest.raises(NotInitialisedError, match="was closed"):
        acquired(lifetime, thing)
    assert (lifetime.state, lifetime.count, thing.log) == (CLOSED, 0, ["start", "undo"])
    assert lifetime.settled(0) is True


def test_a_start_that_is_interrupted_when_it_is_closed_is_undone_and_the_interrupt_raised(
    lifetime: Lifetime, thing: Thing
) -> None:
    """The refusal does not take the place of Ctrl-C."""

    class Late(Thing):
        def start(self, generation: Generation) -> None:
            super().start(generation)
            lifetime.refuse_starts("was closed")
            raise KeyboardInterrupt

    late = Late(lifetime)
    with pytest.raises(KeyboardInterrupt):
        acquired(lifetime, late)
    assert (lifetime.state, late.log) == (CLOSED, ["start", "undo"])


def test_an_interrupt_after_an_error_is_raised_with_the_error_as_its_cause(
    lifetime: Lifetime, thing: Thing
) -> None:
    """Struck while the failed start was written down."""
    error, ringing = NotReadyError("away"), []

    def strike(self: Any) -> None:
        if not ringing:
            ringing.append(True)
            raise KeyboardInterrupt
        ring(self)

    ring = Bell.ring
    thing.starting = fails(error)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Bell, "ring", strike)
        with pytest.raises(KeyboardInterrupt) as caught:
            acquired(lifetime, thing)
    assert caught.value.__cause__ is error
    assert (lifetime.state, thing.log) == (STOPPED, ["start"])


def test_a_start_that_fails_when_it_is_closed_leaves_it_closed(
    lifetime: Lifetime, thing: Thing
) -> None:
    """With its own error."""

    def starting() -> None:
        lifetime.refuse_starts("was closed")
        raise NotReadyError("away")

    thing.starting = starting
    with pytest.raises(NotReadyError):
        acquired(lifetime, thing)
    assert (lifetime.state, thing.log) == (CLOSED, ["start"])


def test_settled_waits_for_a_start_under_way(lifetime: Lifetime, thing: Thing) -> None:
    """As long as it was told, and no longer."""
    begun, gate = threading.Event(), threading.Event()

    def starting() -> None:
        begun.set()
        assert gate.wait(LONG)

    thing.starting = starting
    thread = threading.Thread(target=acquired, args=(lifetime, thing))
    thread.start()
    assert begun.wait(LONG)
    assert lifetime.settled(0) is False
    assert lifetime.settled(0.01) is False
    gate.set()
    assert lifetime.settled(LONG) is True
    thread.join(LONG)
    assert lifetime.state == STARTED


def test_a_quarantine_that_ends_in_a_closed_host_leaves_it_closed(
    lifetime: Lifetime, thing: Thing
) -> None:
    """There is no next start."""
    round = hung(lifetime, thing)
    lifetime.refuse_starts("was closed")
    assert lifetime.stopped(round) is True
    assert lifetime.state == CLOSED


# -- a forked child ----------------------------------------------------------------------------


def test_forgetting_takes_no_lock_and_voids_everything(lifetime: Lifetime, thing: Thing) -> None:
    """The lock may be held by a thread that the child does not have."""
    acquired(lifetime, thing)
    lock = lifetime._lock
    taken, gate = threading.Event(), threading.Event()

    def hold() -> None:
        with lock:
            taken.set()
            gate.wait(LONG)

    thread = threading.Thread(target=hold)
    thread.start()
    assert taken.wait(LONG)
    lifetime.inside[7], lifetime.barred[8] = "nsp_ioctl", None
    assert lifetime.forget("is the parent's") is None
    assert (lifetime.state, lifetime.count, lifetime.generation.open) == (CLOSED, 0, False)
    assert (lifetime.inside, lifetime.barred) == ({}, {})
    assert lifetime._lock is not lock
    with pytest.raises(NotInitialisedError, match="is the parent's"):
        acquired(lifetime, thing)
    gate.set()
    thread.join(LONG)


def test_forgetting_returns_what_was_under_way(lifetime: Lifetime, thing: Thing) -> None:
    """The child must never drop it."""
    rounds: list[Any] = []
    thing.stopping = lambda: rounds.append((lifetime._round, lifetime.forget("is the parent's")))
    acquired(lifetime, thing)
    lifetime.release(None, thing, None)
    [(under_way, returned)] = rounds
    assert under_way is returned is not None


# -- the guard ---------------------------------------------------------------------------------


def test_run_is_inside_from_its_begin_to_its_end(lifetime: Lifetime, thing: Thing) -> None:
    """And returns what the function returned; it is given the argument, if there is one."""
    generation = acquired(lifetime, thing).generation
    assert generation is not None
    me = threading.get_ident()

    def function(*args: int) -> Any:
        return args, dict(lifetime.inside)

    assert generation.run("a call", function, 1) == ((1,), {me: "a call"})
    assert generation.run("a call", function) == ((), {me: "a call"})
    assert lifetime.inside == {}


def test_run_refuses_when_it_is_not_open(lifetime: Lifetime, thing: Thing) -> None:
    """Before the start, after the end; and nobody stays inside."""
    generation = lifetime.generation
    with pytest.raises(NotInitialisedError, match="was stopped since; start it again"):
        generation.run("a call", pytest.fail)
    refused: list[NspError] = []

    def stopping() -> None:
        with pytest.raises(NotInitialisedError) as caught:
            lifetime.generation.run("a call", pytest.fail)
        refused.append(caught.value)

    thing.stopping = stopping
    lifetime.release(acquired(lifetime, thing), thing, None)
    assert "'alpha' is stopping" in str(refused[0])
    assert refused[0].guid == KEY
    assert lifetime.inside == {}


def test_an_inner_run_leaves_the_outer_one_inside(lifetime: Lifetime, thing: Thing) -> None:
    """The entry goes with the outermost."""
    generation = acquired(lifetime, thing).generation
    assert generation is not None

    def outer() -> bool:
        generation.run("inner", lambda: None)
        return threading.get_ident() in lifetime.inside

    assert generation.run("outer", outer) is True
    assert lifetime.inside == {}


# -- coming back -------------------------------------------------------------------------------


def test_who_comes_back_from_inside_is_refused(lifetime: Lifetime, thing: Thing) -> None:
    """10036, in a start, in a call and in a stop."""
    codes: list[int] = []

    def come_back() -> None:
        for call in (
            lambda: acquired(lifetime, thing),
            lambda: lifetime.release(None, thing, None),
            lambda: lifetime.refuse_reentry("a lookup"),
        ):
            with pytest.raises(InProgressError) as caught:
                call()
            codes.append(caught.value.code)

    thing.starting = thing.stopping = come_back
    reference = acquired(lifetime, thing)
    assert reference.generation is not None
    reference.generation.run("a call", come_back)
    lifetime.release(reference, thing, None)
    assert codes == [10036] * 9
    lifetime.refuse_reentry("a lookup")


def test_who_is_barred_is_refused(lifetime: Lifetime, thing: Thing) -> None:
    """A thread that waits for it, or works for somebody inside."""
    for count in range(3):  # none, the last, and one of several
        lifetime.barred[threading.get_ident()] = None
        for call in (
            lambda: acquired(lifetime, thing),
            lambda: lifetime.release(None, thing, None),
        ):
            with pytest.raises(InProgressError, match="'alpha' came from inside one of its own"):
                call()
        assert lifetime.count == count
        lifetime.barred.clear()
        acquired(lifetime, thing)


def test_carrying_bars_the_other_thread_while_it_runs() -> None:
    """From each of the lifetimes; and it goes on in a copy of the context."""
    first, second = Lifetime("first", None), Lifetime("second", None)
    variable = contextvars.ContextVar("variable", default="unset")
    variable.set("caller")
    seen: list[Any] = []

    def work(word: str) -> str:
        seen.append((first.reentered(), second.reentered(), variable.get(), word))
        variable.set("worker")
        return "done"

    carried = carrying((first, second), work)
    variable.set("later")
    results: list[str] = []
    thread = threading.Thread(target=lambda: results.append(carried("a word")))
    thread.start()
    thread.join(LONG)
    assert results == ["done"]
    assert seen == [(True, True, "caller", "a word")]
    assert (first.barred, second.barred) == ({}, {})
    assert variable.get() == "later"


def test_carrying_leaves_a_bar_that_was_there() -> None:
    """In line, where there is no other thread, the caller's own bar stays."""
    lifetime = Lifetime("alpha", None)
    lifetime.barred[threading.get_ident()] = None
    carrying((lifetime,), lambda: None)()
    assert lifetime.reentered()


def test_carrying_takes_its_bar_away_whatever_is_raised() -> None:
    """The thread may serve another one next."""
    lifetime = Lifetime("alpha", None)
    with pytest.raises(OSError, match="broken"):
        carrying((lifetime,), fails(OSError("broken")))()
    assert not lifetime.reentered()


# -- starts that need each other ---------------------------------------------------------------


def test_a_wait_leads_to_what_is_waited_for_in_turn() -> None:
    """Directly, over others, and not for ever where they go round."""
    a, b, c, d = Waits(), Waits(), Waits(), Waits()
    a.on[1], b.on[2], b.on[3] = b, c, a
    assert a.lead_to(a)
    assert a.lead_to(c)
    assert c.lead_to(c)
    assert not c.lead_to(a)
    assert not a.lead_to(d)


@pytest.mark.parametrize("size", [2, 3])
def test_starts_that_need_each_other_in_a_ring_are_refused_not_stuck(size: int) -> None:
    """Each on its own thread; at least one is told (10036), and the others go on."""
    lifetimes = [Lifetime(f"number {number}", None) for number in range(size)]
    things = [Thing(one) for one in lifetimes]
    barrier = threading.Barrier(size)
    errors: list[BaseException] = []

    def run(number: int) -> None:
        after = (number + 1) % size

        def starting() -> None:
            barrier.wait(LONG)
            acquired(lifetimes[after], things[after])

        things[number].starting = starting
        ready.wait(LONG)
        try:
            acquired(lifetimes[number], things[number])
        except NspError as error:
            errors.append(error)

    ready = threading.Barrier(size)
    threads = [threading.Thread(target=run, args=(number,), daemon=True) for number in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONG)
        assert not thread.is_alive()
    assert any(isinstance(error, InProgressError) for error in errors)
    for one in lifetimes:
        assert (one.inside, one.barred) == ({}, {})
        assert one.state in (STARTED, STOPPED)


def test_a_start_that_waits_for_another_that_needs_nobody_goes_on() -> None:
    """Only a ring is refused."""
    first, second = Lifetime("first", None), Lifetime("second", None)
    one, two = Thing(first), Thing(second)
    begun, gate = threading.Event(), threading.Event()

    def slow() -> None:
        begun.set()
        assert gate.wait(LONG)

    def needs() -> None:
        threading.Thread(target=gate.set).start()
        acquired(second, two)

    two.starting, one.starting = slow, needs
    thread = threading.Thread(target=acquired, args=(second, two))
    thread.start()
    assert begun.wait(LONG)
    acquired(first, one)
    thread.join(LONG)
    assert (first.count, second.count) == (1, 2)


# -- the bell ----------------------------------------------------------------------------------


def test_a_bell_wakes_everybody_who_waits() -> None:
    """And who comes later does not wait at all."""
    bell = Bell()
    answers: list[bool] = []
    threads = [threading.Thread(target=lambda: answers.append(bell.wait())) for _ in range(8)]
    for thread in threads:
        thread.start()
    assert bell.wait(0.0) is False
    bell.ring()
    for thread in threads:
        thread.join(LONG)
    assert answers == [True] * 8
    assert bell.rung
    assert bell.wait(0.0) is True
    bell.ring()


def test_a_wait_for_a_bell_ends_when_its_time_is_over() -> None:
    """False where it has not been rung."""
    assert Bell().wait(0.01) is False
    assert Bell().wait(-1) is False


def test_a_ringing_that_was_cut_short_is_noticed_all_the_same() -> None:
    """An interrupt struck after the bell was rung and before anybody was woken."""
    bell = Bell()
    answers: list[bool] = []
    thread = threading.Thread(target=lambda: answers.append(bell.wait()))
    thread.start()
    bell.rung = True
    thread.join(LONG)
    assert answers == [True]


def test_many_threads_may_ring_at_once() -> None:
    """Nobody is woken twice, and nobody is forgotten."""
    for _ in range(50):
        bell = Bell()
        barrier = threading.Barrier(4)
        answers: list[bool] = []

        def ring(bell: Bell = bell, barrier: threading.Barrier = barrier) -> None:
            barrier.wait(LONG)
            bell.ring()

        def wait(
            bell: Bell = bell,
            barrier: threading.Barrier = barrier,
            answers: list[bool] = answers,
        ) -> None:
            barrier.wait(LONG)
            answers.append(bell.wait(LONG))

        threads = [threading.Thread(target=target) for target in (ring, ring, wait, wait)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(LONG)
        assert answers == [True, True]
