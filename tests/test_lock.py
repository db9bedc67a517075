"""``OwnedLock``: one thread at a time, never one twice, never left locked by an interrupt."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType

import pytest

from nspkit import _lock
from nspkit._lock import OwnedLock
from nspkit.errors import InProgressError

LONG = 30.0


@pytest.fixture
def lock() -> OwnedLock:
    """A lock of something that is called the shelf."""
    return OwnedLock("the shelf")


def on_another_thread(function: Callable[[], object]) -> list[object]:
    """Run a function on another thread; returns its result, or nothing if it does not come back."""
    results: list[object] = []
    thread = threading.Thread(target=lambda: results.append(function()), daemon=True)
    thread.start()
    thread.join(LONG)
    return results


def take(lock: OwnedLock) -> str:
    """Take it and give it back."""
    with lock:
        return "taken"


def test_another_thread_waits_until_it_is_given_back(lock: OwnedLock) -> None:
    """One at a time."""
    arrived, order = threading.Event(), []

    def second() -> None:
        arrived.set()
        with lock:
            order.append("second")

    thread = threading.Thread(target=second, daemon=True)
    with lock:
        thread.start()
        assert arrived.wait(LONG)
        order.append("first")
    thread.join(LONG)
    assert order == ["first", "second"]


def test_the_same_thread_is_refused_instead_of_stuck(lock: OwnedLock) -> None:
    """WSAEINPROGRESS (10036), and the message names what was being changed."""
    with lock, pytest.raises(InProgressError, match="the shelf") as caught:
        take(lock)
    assert caught.value.code == 10036


def test_after_a_refusal_the_first_holds_it_still_and_gives_it_back(lock: OwnedLock) -> None:
    """What was refused has changed nothing."""
    with lock:
        with pytest.raises(InProgressError):
            take(lock)
        assert lock._is_owned()
    assert on_another_thread(lambda: take(lock)) == ["taken"]


def test_a_block_that_fails_gives_it_back(lock: OwnedLock) -> None:
    """Like that of any lock."""
    with pytest.raises(ZeroDivisionError), lock:
        raise ZeroDivisionError
    assert on_another_thread(lambda: take(lock)) == ["taken"]


class Strike:
    """Raises KeyboardInterrupt at one of the points where a signal can strike."""

    def __init__(self, point: int) -> None:
        self.left = point

    def __call__(self, frame: FrameType, event: str, _arg: object) -> None:
        """Look whether it is time."""
        ours = frame.f_code.co_filename in (_lock.__file__, __file__)
        if ours and event in ("call", "c_return") and frame.f_code is not Strike.__call__.__code__:
            self.left -= 1
            if self.left == -1:
                raise KeyboardInterrupt


@pytest.fixture
def unprofiled() -> Iterator[None]:
    """Nothing strikes any more when a test has ended."""
    yield
    sys.setprofile(None)


@pytest.mark.usefixtures("unprofiled")
def test_wherever_an_interrupt_strikes_nobody_is_locked_out(lock: OwnedLock) -> None:
    """Right after it was taken, and on the way into or out of the block, above all."""
    point, struck = 0, True
    while struck:
        struck = False
        try:
            sys.setprofile(Strike(point))
            take(lock)
        except KeyboardInterrupt:
            struck = True
        finally:
            sys.setprofile(None)
        assert not lock._is_owned(), f"at point {point}"
        point += 1
    assert point > 4
    assert on_another_thread(lambda: take(lock)) == ["taken"]


def test_an_interrupt_of_the_wait_for_it_gives_nothing_back() -> None:
    """Another thread holds it; giving it back from here would be an error of its own."""

    class Struck(OwnedLock):
        __slots__ = ()

        def acquire(self, *_arguments: object) -> bool:
            raise KeyboardInterrupt

    lock = Struck("the shelf")
    with pytest.raises(KeyboardInterrupt):
        take(lock)
    assert not lock._is_owned()
