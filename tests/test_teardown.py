"""The final cleanup on a thread of its own: every step, every error, one budget."""

from __future__ import annotations

import gc
import threading
import uuid
import weakref
from collections.abc import Callable, Iterable
from time import monotonic
from typing import Any

import pytest

from nspkit._teardown import Teardown, combine, run_all
from nspkit.errors import CleanupError, CleanupTimeoutError, NotReadyError, ServiceNotFoundError

GUID = uuid.UUID("2f1d6a70-52c8-4d0b-8a4e-0000000000ee")
LONG = 30.0


def as_it_is(function: Callable[[], None]) -> Callable[[], None]:
    """Carry nothing to the other thread."""
    return function


def teardown(
    *steps: tuple[str, Callable[[], Iterable[BaseException] | None]],
    finished: Callable[[], None] = lambda: None,
    hanging: Callable[[], dict[int, str]] = dict,
    carrying: Callable[[Callable[[], None]], Callable[[], None]] = as_it_is,
) -> Teardown:
    """Return a teardown of these steps."""
    return Teardown(
        "alpha", GUID, list(steps), carrying=carrying, finished=finished, hanging=hanging
    )


def fails(error: BaseException) -> Callable[[], None]:
    """A step that raises that error."""

    def fail() -> None:
        raise error

    return fail


def soon() -> float:
    """A moment until which everything has happened that ever will."""
    return monotonic() + LONG


# -- walking -----------------------------------------------------------------------------------


def test_the_steps_are_walked_in_order_on_one_daemon_thread() -> None:
    """And then it is finished, on that thread too."""
    log: list[Any] = []

    def step(name: str) -> Callable[[], None]:
        return lambda: log.append((name, threading.current_thread()))

    one = teardown(("a", step("a")), ("b", step("b")), finished=step("finished"))
    one.begin()
    assert one.wait(soon())
    assert [name for name, _ in log] == ["a", "b", "finished"]
    [thread] = {thread for _, thread in log}
    assert thread is not threading.current_thread()
    assert (thread.daemon, thread.name) == (True, "nspkit-cleanup-alpha")
    assert not thread.is_alive()
    assert one.outcome() is None


def test_the_thread_has_gone_when_the_wait_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Even if it takes its time to go."""
    run = threading.Thread.run
    threads: list[threading.Thread] = []

    def slow(self: threading.Thread) -> None:
        threads.append(self)
        run(self)
        threading.Event().wait(0.05)

    monkeypatch.setattr(threading.Thread, "run", slow)
    one = teardown()
    one.begin()
    assert one.wait(soon())
    assert [thread.is_alive() for thread in threads] == [False]


def test_it_is_carried_to_the_thread() -> None:
    """What the thread needs to know is put around the walk."""
    log: list[str] = []

    def carrying(function: Callable[[], None]) -> Callable[[], None]:
        def carried() -> None:
            log.append("in")
            function()
            log.append("out")

        return carried

    one = teardown(("a", lambda: log.append("a")), carrying=carrying)
    one.begin()
    assert one.wait(soon())
    assert log == ["in", "a", "out"]


def test_every_step_happens_whatever_the_others_raise() -> None:
    """Errors are kept in order, raised ones and returned ones."""
    errors = [OSError("a"), KeyboardInterrupt("b"), ValueError("c1"), ValueError("c2")]
    log: list[str] = []
    one = teardown(
        ("a", fails(errors[0])),
        ("b", fails(errors[1])),
        ("c", lambda: errors[2:]),
        ("d", lambda: log.append("d")),
        finished=lambda: log.append("finished"),
    )
    one.begin()
    assert one.wait(soon())
    assert one.errors == errors
    assert log == ["d", "finished"]


def test_an_error_of_the_finish_does_not_keep_it_from_being_over() -> None:
    """It is tried again, and what it raised is kept."""
    error, tries = OSError("once"), []

    def finished() -> None:
        tries.append("try")
        if len(tries) == 1:
            raise error

    one = teardown(finished=finished)
    one.begin()
    assert one.wait(soon())
    assert (one.errors, tries) == ([error], ["try", "try"])


def test_a_second_begin_walks_nothing_twice() -> None:
    """The thread that began goes on."""
    log: list[str] = []
    gate = threading.Event()
    one = teardown(("a", lambda: gate.wait(LONG) and log.append("a")))  # type: ignore[func-returns-value]
    one.begin()
    one.begin()
    gate.set()
    assert one.wait(soon())
    one.begin()
    assert log == ["a"]


def test_a_begin_that_was_interrupted_while_its_thread_started_walks_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nobody can tell how far the start has come, so there are two threads: one of them walks."""
    log: list[int] = []
    started: list[threading.Thread] = []
    gate = threading.Event()
    start, run = threading.Thread.start, threading.Thread.run

    def interrupted(self: threading.Thread) -> None:
        started.append(self)
        start(self)
        if len(started) == 1:
            raise KeyboardInterrupt

    def late(self: threading.Thread) -> None:
        gate.wait(LONG)
        run(self)

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    monkeypatch.setattr(threading.Thread, "run", late)
    one = teardown(("a", lambda: log.append(1)))
    with pytest.raises(KeyboardInterrupt):
        one.begin()
    one.begin()
    gate.set()
    assert one.wait(soon())
    for thread in started:
        thread.join(LONG)
    assert len(started) == 2
    assert log == [1]


def test_without_a_thread_to_be_had_it_is_walked_in_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """The cleanup is worth more than its time limit."""

    def no_thread(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    log: list[Any] = []
    one = teardown(("a", lambda: log.append(threading.current_thread())))
    monkeypatch.setattr(threading.Thread, "start", no_thread)
    one.begin()
    assert one.wait(soon())
    assert log == [threading.current_thread()]


def test_what_has_ended_refers_to_nothing_any_more() -> None:
    """Neither to its steps nor to what they refer to, errors of theirs dropped."""

    class Thing:
        def step(self) -> None:
            raise OSError("broken")

    thing = Thing()
    reference = weakref.ref(thing)
    one = teardown(("a", thing.step), finished=lambda kept=thing: None)  # type: ignore[misc]
    del thing
    gc.collect()
    gc.disable()
    try:
        one.begin()
        assert one.wait(soon())
        assert reference() is not None  # its error has passed through it
        one.outcome()
        assert reference() is None
    finally:
        gc.enable()


# -- the budget --------------------------------------------------------------------------------


def test_a_step_that_hangs_is_named_with_its_stack() -> None:
    """And where it hangs is shown."""
    gate, inside = threading.Event(), threading.Event()

    def hang() -> None:
        inside.set()
        gate.wait(LONG)

    one = teardown(("a", lambda: None), ("the slow one", hang))
    one.begin()
    assert inside.wait(LONG)
    assert one.wait(monotonic()) is False
    error = one.timeout_error(0.5)
    assert isinstance(error, CleanupTimeoutError)
    assert "'alpha' did not end within 0.5 s" in str(error)
    assert "the slow one in thread 'nspkit-cleanup-alpha'" in str(error)
    assert "gate.wait(LONG)" in error.stack
    assert error.__notes__ == [error.stack]
    gate.set()
    assert one.wait(soon())


def test_threads_that_are_waited_for_are_named_instead() -> None:
    """It is they that hang, not the step that waits for them."""
    gate, inside = threading.Event(), threading.Event()

    def work() -> None:
        inside.set()
        gate.wait(LONG)

    thread = threading.Thread(target=work, name="worker")
    thread.start()
    assert inside.wait(LONG)
    one = teardown(hanging=lambda: {thread.ident or 0: "nsp_ioctl"})
    error = one.timeout_error(1)
    assert "nsp_ioctl in thread 'worker'" in str(error)
    assert "in work" in error.stack
    gate.set()
    thread.join(LONG)


def test_a_thread_that_has_just_gone_is_named_by_its_number() -> None:
    """There is no stack of it any more."""
    error = teardown(hanging=lambda: {1: "nsp_ioctl"}).timeout_error(1)
    assert "nsp_ioctl in thread '1'" in str(error)
    assert error.stack == ""


def test_before_the_first_step_it_is_the_start_that_hangs() -> None:
    """No thread has come yet."""
    assert "the start in thread '0'" in str(teardown(("a", lambda: None)).timeout_error(0))


# -- one error of many -------------------------------------------------------------------------


def test_no_error_is_none() -> None:
    """There is nothing to raise."""
    assert combine("closing", [], GUID) is None


def test_one_error_of_nspkit_stays_as_it_is() -> None:
    """Its class is what a caller looks at."""
    error = NotReadyError("away")
    assert combine("closing", [error], GUID) is error


def test_one_foreign_error_becomes_a_cleanup_error() -> None:
    """10107, with the error itself in ``errors`` and, for tracebacks, in the cause."""
    error = OSError("broken")
    together = combine("closing", [error], GUID)
    assert isinstance(together, CleanupError)
    assert (together.code, together.guid, together.errors) == (10107, GUID, (error,))
    assert "closing met 1 error(s): OSError: broken" in str(together)
    assert isinstance(together.__cause__, ExceptionGroup)
    assert together.__cause__.exceptions == (error,)


def test_several_errors_have_the_code_of_the_first() -> None:
    """10107 where that one is foreign."""
    first, second = ServiceNotFoundError("gone"), OSError("broken")
    together = combine("closing", [first, second], None)
    assert isinstance(together, CleanupError)
    assert (together.code, together.errors) == (10108, (first, second))
    together = combine("closing", [second, first], None)
    assert isinstance(together, CleanupError)
    assert (together.code, together.errors) == (10107, (second, first))


def test_an_interrupt_comes_first_with_the_rest_as_its_cause() -> None:
    """Wherever it was among them."""
    interrupt, error = KeyboardInterrupt(), NotReadyError("away")
    assert combine("closing", [error, interrupt], GUID) is interrupt
    assert interrupt.__cause__ is error


def test_an_interrupt_alone_keeps_its_cause() -> None:
    """There is nothing to put in its place."""
    cause = ValueError("why")
    interrupt = KeyboardInterrupt()
    interrupt.__cause__ = cause
    assert combine("closing", [interrupt], GUID) is interrupt
    assert interrupt.__cause__ is cause


def test_two_interrupts_are_both_told() -> None:
    """The first is raised, the second is in its cause, and the errors in that one's."""
    first, second, error = KeyboardInterrupt("1"), SystemExit(2), OSError("3")
    assert combine("closing", [first, error, second], GUID) is first
    assert first.__cause__ is second
    assert isinstance(second.__cause__, CleanupError)
    assert second.__cause__.errors == (error,)


def test_an_interrupt_that_is_there_twice_is_not_its_own_cause() -> None:
    """It was caught on the teardown thread and in the caller."""
    interrupt = KeyboardInterrupt()
    assert combine("closing", [interrupt, interrupt], GUID) is interrupt
    assert interrupt.__cause__ is None


def test_an_error_without_a_text_is_told_by_its_class() -> None:
    """Foreign exceptions may fail at anything, this too."""

    class OddError(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text")

    error = OddError()
    together = combine("closing", [error], GUID)
    assert isinstance(together, CleanupError)
    assert "OddError: (no text: RuntimeError)" in str(together)
    assert together.errors == (error,)


# -- run_all -----------------------------------------------------------------------------------


def test_run_all_runs_all() -> None:
    """Past whatever they raise; the errors are added in order."""
    log: list[str] = []
    errors: list[BaseException] = [ValueError("before")]
    first, second = OSError("1"), KeyboardInterrupt("2")
    run_all([fails(first), lambda: log.append("a"), fails(second), lambda: log.append("b")], errors)
    assert log == ["a", "b"]
    assert errors[1:] == [first, second]
