"""A value is made once, whoever asks, and nobody waits for ever."""

from __future__ import annotations

import sys
import threading
import types
from concurrent.futures import ThreadPoolExecutor

import pytest

from nspkit import _once
from nspkit._once import Once

LONG = 30.0


class Gate:
    """A maker that tells when it is inside, and goes on when it is let."""

    def __init__(self, *outcomes: object) -> None:
        self.inside = threading.Event()
        self.go = threading.Event()
        self.calls = 0
        self._outcomes = list(outcomes)

    def __call__(self) -> object:
        """Make the value, or fail to."""
        self.calls += 1
        self.inside.set()
        assert self.go.wait(LONG)
        outcome = self._outcomes.pop(0)
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome


class Arrivals(list[object]):
    """The list of those who ask, which tells when somebody has come."""

    def __init__(self) -> None:
        super().__init__()
        self._arrived = threading.Semaphore(0)

    def append(self, attempt: object) -> None:
        """Take one more."""
        super().append(attempt)
        self._arrived.release()

    def wait_for(self, count: int) -> None:
        """Return when so many have come."""
        for _ in range(count):
            assert self._arrived.acquire(timeout=LONG)


def test_a_value_is_made_at_the_first_question_only() -> None:
    """Before that it is not known, and after that it is kept."""
    made: list[str] = []
    once = Once(lambda: made.append("x") or "value")
    assert (once.known, made) == (None, [])
    assert (once.get(), once.get(), once.known) == ("value", "value", "value")
    assert made == ["x"]


def test_a_value_that_is_known_is_not_made() -> None:
    """Some values come ready."""
    assert Once(lambda: pytest.fail("it was made"), "ready").get() == "ready"


def test_many_threads_share_one_making() -> None:
    """All get the value that the first one made."""
    gate = Gate("value")
    once: Once[object] = Once(gate)
    once._attempts = arrivals = Arrivals()
    with ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(once.get) for _ in range(8)]
        arrivals.wait_for(8)
        gate.go.set()
        assert [answer.result(LONG) for answer in answers] == ["value"] * 8
    assert gate.calls == 1


def test_an_exception_passes_to_its_thread_and_another_makes_it_afresh() -> None:
    """An interrupt is for the thread that it hit; the others still want the value."""
    gate = Gate(KeyboardInterrupt(), "value")
    once: Once[object] = Once(gate)
    once._attempts = arrivals = Arrivals()
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(once.get)
        assert gate.inside.wait(LONG)
        second = pool.submit(once.get)
        arrivals.wait_for(2)
        gate.go.set()
        assert second.result(LONG) == "value"
        assert isinstance(first.exception(LONG), KeyboardInterrupt)
    assert gate.calls == 2


def test_an_exception_leaves_the_next_question_free() -> None:
    """The same thread may ask again at once."""
    divisors = [0, 1]
    once = Once(lambda: 7 // divisors.pop(0))
    with pytest.raises(ZeroDivisionError):
        once.get()
    assert once.get() == 7


def test_who_asks_from_inside_the_making_gets_nothing() -> None:
    """Waiting would be waiting for oneself."""
    inner: list[object] = []

    def make() -> str:
        inner.append(once.get())
        return "value"

    once: Once[str] = Once(make)
    assert once.get() == "value"
    assert inner == [None]


def test_patience_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two threads may wait for each other, through Python's import locks for instance."""
    gate = Gate("value")
    once: Once[object] = Once(gate)
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(once.get)
        assert gate.inside.wait(LONG)
        monkeypatch.setattr(_once, "PATIENCE", 0.001)
        assert once.get() is None
        gate.go.set()
        assert answer.result(LONG) == "value"
    assert once.get() == "value"


def test_a_turn_that_comes_after_the_value_does_not_make_it_again() -> None:
    """A thread may have looked before the value was there, and got its turn after."""
    made: list[int] = []
    once: Once[int] = Once(lambda: made.append(1) or 7)
    once._attempts = Late(once, [])
    assert once.get() == 5
    assert made == []


def test_a_value_that_appears_in_the_last_moment_is_returned() -> None:
    """Who gives up waiting looks once more."""
    once: Once[int] = Once(lambda: 7)
    once._attempts = Late(once, [_once._Attempt()])
    assert once.get() == 5


class Late(list[object]):
    """A list in which the value appears just before the turn is taken."""

    def __init__(self, once: Once[int], attempts: list[object]) -> None:
        super().__init__(attempts)
        self._once = once

    def append(self, attempt: object) -> None:
        """Take one more."""
        self._once.known = 5
        super().append(attempt)


class Strike:
    """Raises KeyboardInterrupt where the function of that number is entered, or left in C."""

    def __init__(self, point: int, go: threading.Event) -> None:
        self.left = point
        self.go = go

    def __call__(self, frame: types.FrameType, event: str, function: object) -> None:
        """Be the profiler."""
        if event == "c_call" and getattr(function, "__name__", "") == "acquire":
            self.go.set()  # it is about to wait; if nothing strikes, it shall not wait for long
        if event in ("call", "c_return") and frame.f_code is not Strike.__call__.__code__:
            self.left -= 1
            if self.left == -1:
                raise KeyboardInterrupt


def test_an_interrupt_of_who_waits_does_not_hold_up_who_makes() -> None:
    """Wherever it strikes: no lock of the other is left taken."""
    point, struck = 0, True
    while struck:
        struck, gate = False, Gate("value")
        once = Once(gate)
        maker = threading.Thread(target=once.get, daemon=True)
        maker.start()
        assert gate.inside.wait(LONG)
        try:
            sys.setprofile(Strike(point, gate.go))
            assert once.get() == "value"
        except KeyboardInterrupt:
            struck = True
        finally:
            sys.setprofile(None)
        gate.go.set()
        maker.join(LONG)
        assert not maker.is_alive(), f"at point {point}"
        point += 1
    assert point > 8
