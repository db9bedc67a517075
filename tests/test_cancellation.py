"""How a provider learns that nobody waits any more."""

from __future__ import annotations

import contextlib
import gc
import signal
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from nspkit import _cancellation
from nspkit._cancellation import Cancellation

LONG = 30.0


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Tell the time."""
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of cancellations."""
    clock = Clock()
    monkeypatch.setattr(_cancellation, "monotonic", clock)
    return clock


def test_it_says_what_it_is(clock: Clock) -> None:
    """In a debugger: cancelled or not, and what remains."""
    assert repr(Cancellation()) == "<Cancellation: not cancelled>"
    timed = Cancellation(clock.now + 1.5)
    assert repr(timed) == "<Cancellation: not cancelled, 1.500 s remaining>"
    timed.cancel()
    assert repr(timed) == "<Cancellation: cancelled, 0.000 s remaining>"


def test_the_limit_counts_as_cancellation(clock: Clock) -> None:
    """Without a limit nothing ever runs out."""
    timed, endless = Cancellation(clock.now + 2), Cancellation()
    assert (timed.cancelled, timed.remaining()) == (False, 2.0)
    assert (endless.cancelled, endless.remaining()) == (False, None)
    clock.now += 2
    assert (timed.cancelled, timed.remaining(), timed.wait()) == (True, 0.0, True)
    assert (endless.cancelled, endless.remaining(), endless.wait(0)) == (False, None, False)


def test_the_clock_stands_still_while_it_is_paused(clock: Clock) -> None:
    """There is as much time afterwards as there was before."""
    timed, endless = Cancellation(clock.now + 5), Cancellation()
    clock.now += 3
    for one in (timed, endless):
        one.pause()
    clock.now += 3600
    for one in (timed, endless):
        assert (one.cancelled, one.remaining(), one.wait(0)) == (False, None, False)
        one.resume()
    assert timed.remaining() == 2.0
    assert endless.remaining() is None


@pytest.mark.parametrize("seconds", [None, LONG, float("inf"), -1.0])
def test_cancel_wakes_everybody_who_waits(seconds: float | None) -> None:
    """However long they meant to wait; each learns whether it was cancelled."""
    cancellation = Cancellation()
    with ThreadPoolExecutor(3) as pool:
        waiting = [pool.submit(cancellation.wait, seconds) for _ in range(3)]
        if seconds != -1.0:
            while len(cancellation._waiting) < 3:  # until all three wait
                assert not any(task.done() for task in waiting)
            cancellation.cancel()
        assert [task.result(LONG) for task in waiting] == [seconds != -1.0] * 3
    assert cancellation._waiting == []


def test_a_wait_ends_by_itself(clock: Clock) -> None:
    """At its own limit, False; at that of the lookup, True, whichever comes first."""
    real = Cancellation()
    assert real.wait(0.0) is False
    timed = Cancellation(clock.now)
    assert timed.wait(5.0) is True


def test_callbacks_run_once_in_order_on_the_thread_that_cancels() -> None:
    """Also if it is cancelled again."""
    called: list[object] = []
    cancellation = Cancellation()
    cancellation.on_cancel(lambda: called.append("a"))
    cancellation.on_cancel(lambda: called.append(threading.get_ident()))
    with ThreadPoolExecutor(1) as pool:
        ident = pool.submit(lambda: (cancellation.cancel(), threading.get_ident())[1]).result(LONG)
    cancellation.cancel()
    assert called == ["a", ident]


def test_a_callback_that_fails_harms_no_other() -> None:
    """Its error is kept, for once."""
    called: list[str] = []
    cancellation = Cancellation()
    errors = [ValueError("a"), SystemExit("b"), GeneratorExit("c")]

    def failing(error: BaseException) -> None:
        raise error

    for error in errors:
        cancellation.on_cancel(lambda error=error: failing(error))
    cancellation.on_cancel(lambda: called.append("called"))
    cancellation.cancel()
    assert called == ["called"]
    assert [cancellation.failure() for _ in range(4)] == [*errors, None]


def test_an_interrupt_in_a_callback_comes_after_the_others() -> None:
    """The first one is raised; everybody has been told."""
    called: list[str] = []
    cancellation = Cancellation()

    def interrupt(text: str) -> None:
        raise KeyboardInterrupt(text)

    cancellation.on_cancel(lambda: interrupt("first"))
    cancellation.on_cancel(lambda: interrupt("second"))
    cancellation.on_cancel(lambda: called.append("called"))
    with pytest.raises(KeyboardInterrupt, match="first"):
        cancellation.cancel()
    assert called == ["called"]


def test_a_late_callback_is_called_at_once() -> None:
    """On the thread that registers it."""
    called: list[int] = []
    cancellation = Cancellation()
    cancellation.cancel()
    cancellation.on_cancel(lambda: called.append(threading.get_ident()))
    assert called == [threading.get_ident()]


def test_every_callback_is_called_once_however_registering_and_cancelling_meet() -> None:
    """A callback that is neither before nor after would be lost."""
    with ThreadPoolExecutor(2) as pool:
        for _ in range(300):
            cancellation, barrier = Cancellation(), threading.Barrier(2)
            called: list[str] = []
            callback = partial(called.append, "called")
            tasks = [
                pool.submit(meet, barrier, partial(cancellation.on_cancel, callback)),
                pool.submit(meet, barrier, cancellation.cancel),
            ]
            for task in tasks:
                task.result(LONG)
            assert called == ["called"]


def meet(barrier: threading.Barrier, action: Callable[[], object]) -> None:
    """Do something at the same time as the other."""
    barrier.wait(LONG)
    action()


def test_release_drops_the_callbacks_of_what_is_over() -> None:
    """Not those that somebody is just calling."""
    called: list[str] = []
    over, cancelled = Cancellation(), Cancellation()
    over.on_cancel(lambda: called.append("over"))
    over.release()
    over.cancel()
    cancelled.on_cancel(cancelled.release)
    cancelled.on_cancel(lambda: called.append("cancelled"))
    cancelled.cancel()
    assert called == ["cancelled"]


def test_forget_cancels_and_calls_nobody() -> None:
    """What belongs to the parent is not called in a forked child."""
    called: list[str] = []
    cancellation = Cancellation()
    cancellation.on_cancel(lambda: called.append("called"))
    cancellation.forget()
    cancellation.cancel()
    assert cancellation.cancelled
    assert called == []


def test_an_interrupt_in_a_callback_leaves_no_cycle_behind() -> None:
    """What the callback refers to can be collected as soon as the interrupt is dropped."""

    class Thing:
        def strike(self) -> None:
            raise KeyboardInterrupt

    thing = Thing()
    reference = weakref.ref(thing)
    cancellation = Cancellation()
    cancellation.on_cancel(thing.strike)
    del thing
    gc.collect()
    gc.disable()
    try:
        with contextlib.suppress(KeyboardInterrupt):
            cancellation.cancel()
        assert reference() is None
    finally:
        gc.enable()


def test_a_signal_handler_may_cancel_what_its_own_thread_waits_for() -> None:
    """No lock is taken."""
    cancellation = Cancellation()
    main = threading.main_thread().ident
    assert main is not None

    def strike() -> None:
        never = threading.Event()
        while not cancellation.cancelled:
            signal.pthread_kill(main, signal.SIGURG)
            never.wait(0.01)

    before = signal.signal(signal.SIGURG, lambda _number, _frame: cancellation.cancel())
    thread = threading.Thread(target=strike)
    try:
        thread.start()
        assert cancellation.wait(LONG) is True
        thread.join(LONG)
    finally:
        signal.signal(signal.SIGURG, before)


def test_a_cancel_that_was_cut_short_is_noticed_all_the_same() -> None:
    """An interrupt struck after the mark was set and before anybody was woken."""
    cancellation = Cancellation()
    answers: list[bool] = []
    thread = threading.Thread(target=lambda: answers.append(cancellation.wait()))
    thread.start()
    cancellation._cancelled = True
    thread.join(LONG)
    assert answers == [True]
