"""Everything that was acquired is given back, last in first out, whatever a release raises."""

from __future__ import annotations

import contextlib
import contextvars
import gc
import signal
import sys
import threading
import types
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from nspkit import Resources
from nspkit._bell import Bell
from nspkit._resources import Release
from nspkit.errors import InProgressError, InvalidArgumentError, NotInitialisedError

LONG = 30.0


class Door:
    """A context manager that records who came and who left."""

    def __init__(self, log: list[Any], name: str = "door", *, swallows: bool = False) -> None:
        self.log = log
        self.name = name
        self.swallows = swallows

    def __enter__(self) -> str:
        self.log.append(f"enter {self.name}")
        return f"value of {self.name}"

    def __exit__(self, kind: object, error: object, traceback: object) -> bool:
        self.log.append((f"leave {self.name}", kind, error))
        return self.swallows


def failing(error: BaseException) -> Callable[[], None]:
    """A function that raises that error."""

    def fail() -> None:
        raise error

    return fail


def on_a_thread(function: Callable[[], Any]) -> Any:
    """Run a function on another thread and return what it returned."""
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(function()), daemon=True)
    thread.start()
    thread.join(LONG)
    assert found, "the other thread has not come back"
    return found[0]


class Strike:
    """Raises KeyboardInterrupt where the function of that number is entered, or left in C."""

    def __init__(self, point: int) -> None:
        self.left = point

    def __call__(self, frame: types.FrameType, event: str, _argument: object) -> None:
        """Be the profiler."""
        ours = frame.f_globals.get("__name__") == "nspkit._resources"
        if ours and event in ("call", "c_return"):
            self.left -= 1
            if self.left == -1:
                raise KeyboardInterrupt


# -- order and completeness --------------------------------------------------------------------


def test_release_is_last_in_first_out() -> None:
    """What was acquired last may need what was acquired before it."""
    log: list[Any] = []
    with Resources() as resources:
        for number in range(4):
            resources.callback(log.append, number)
    assert log == [3, 2, 1, 0]


def test_an_interrupt_anywhere_loses_no_release() -> None:
    """Not on the way into it either, when it is off the stack already."""
    point, struck = 0, True
    while struck:
        struck, log = False, []
        resources = Resources()
        for number in range(3):
            resources.callback(log.append, number)
        try:
            sys.setprofile(Strike(point))
            resources.close()
        except KeyboardInterrupt:
            struck = True
        finally:
            sys.setprofile(None)
        resources.close()  # struck before it began
        assert log == [2, 1, 0], f"at point {point}"
        point += 1
    assert point > 20


def test_a_callback_gets_its_arguments() -> None:
    """Positional and keyword arguments arrive, one called ``function`` or ``name_`` too."""
    log: list[Any] = []
    with Resources() as resources:
        resources.callback(lambda *args, **kwargs: log.append((args, kwargs)), 1, 2, key=3)
    assert log == [((1, 2), {"key": 3})]


def test_a_callback_returns_its_function() -> None:
    """So it serves as a decorator, like that of ExitStack."""
    resources = Resources()

    def function() -> None:
        """Do nothing."""

    assert resources.callback(function) is function


def test_a_callback_gets_no_details_of_an_error() -> None:
    """A plain function is called with its own arguments only, and cannot swallow the error."""
    log: list[Any] = []

    def function(*args: Any) -> bool:
        log.append(args)
        return True

    with pytest.raises(ValueError, match="body"), Resources() as resources:
        resources.callback(function)
        raise ValueError("body")
    assert log == [()]


def test_enter_context_returns_the_value_and_leaves_in_its_turn() -> None:
    """It stands for a ``with`` statement."""
    log: list[Any] = []
    with Resources() as resources:
        assert resources.enter_context(Door(log)) == "value of door"
        assert log == ["enter door"]
    assert log == ["enter door", ("leave door", None, None)]


def test_a_manager_that_cannot_be_entered_is_not_left() -> None:
    """An exit must never run for what was not entered."""

    class Stuck(Door):
        def __enter__(self) -> str:
            raise OSError("stuck")

    log: list[Any] = []
    with Resources() as resources, pytest.raises(OSError, match="stuck"):
        resources.enter_context(Stuck(log))
    assert log == []


@pytest.mark.parametrize("thing", [object(), print, 7], ids=["object", "function", "number"])
def test_enter_context_refuses_what_is_no_context_manager(thing: Any) -> None:
    """The message names the thing and the way out."""
    with pytest.raises(InvalidArgumentError, match=r"not a context manager; use callback\(\)"):
        Resources().enter_context(thing)


def test_push_takes_an_object_with_an_exit_that_was_entered_already() -> None:
    """The object comes back, so it can be used as a decorator of classes or functions."""
    log: list[Any] = []
    door = Door(log)
    with Resources() as resources:
        assert resources.push(door) is door
    assert log == [("leave door", None, None)]


def test_push_takes_a_function_with_the_signature_of_an_exit() -> None:
    """It sees the error of the body, and may swallow it."""
    seen: list[Any] = []

    def leave(kind: Any, error: Any, traceback: Any) -> bool:
        seen.append((kind, str(error), traceback is not None))
        return True

    with Resources() as resources:
        assert resources.push(leave) is leave
        raise ValueError("body")
    assert seen == [(ValueError, "body", True)]


def test_push_refuses_what_cannot_leave() -> None:
    """Neither an exit nor callable: there would be nothing to do."""
    with pytest.raises(InvalidArgumentError, match=r"has no __exit__ and cannot be called"):
        Resources().push(object())


def test_callback_refuses_what_cannot_be_called() -> None:
    """It is noticed when it is added, not when the provider stops."""
    with pytest.raises(InvalidArgumentError, match="cannot be called"):
        Resources().callback(7)  # type: ignore[arg-type]


def test_a_second_close_does_nothing() -> None:
    """A release never runs twice."""
    log: list[Any] = []
    resources = Resources()
    resources.callback(log.append, 1)
    resources.close()
    resources.close()
    assert log == [1]


def test_the_repr_tells_how_many_are_held_and_that_they_were_released() -> None:
    """It is read in a debugger."""
    resources = Resources("provider 'alpha'")
    resources.callback(print)
    assert repr(resources) == "<Resources of provider 'alpha': 1 held>"
    resources.pop_all()
    resources.close()
    assert repr(resources) == "<Resources of provider 'alpha': released>"


# -- errors ------------------------------------------------------------------------------------


def test_one_error_is_raised_as_it_is() -> None:
    """Nothing is wrapped that was alone; its note says whose it is."""
    error = OSError("broken")
    resources = Resources()
    resources.callback(failing(error), name="the file")
    with pytest.raises(OSError, match="broken") as caught:
        resources.close()
    assert caught.value is error
    assert error.__notes__ == ["while releasing 'the file'"]


def test_every_release_is_tried_and_every_error_is_kept_in_order() -> None:
    """ExitStack keeps the last error only, after a clean body: the bug not to inherit."""
    log: list[Any] = []
    errors = [OSError("first"), ValueError("second")]
    resources = Resources()
    resources.callback(log.append, "end")
    resources.callback(failing(errors[1]), name="two")
    resources.callback(log.append, "between")
    resources.callback(failing(errors[0]), name="one")
    with pytest.raises(ExceptionGroup) as caught:
        resources.close()
    assert caught.value.exceptions == tuple(errors)
    assert log == ["between", "end"]
    assert [error.__notes__ for error in errors] == [
        ["while releasing 'one'"],
        ["while releasing 'two'"],
    ]


def test_an_interrupt_in_a_release_does_not_keep_the_others_from_theirs() -> None:
    """It is raised at the end, with the other errors as its cause."""
    log: list[Any] = []
    error = OSError("broken")
    resources = Resources()
    resources.callback(log.append, "end")
    resources.callback(failing(error))
    resources.callback(failing(KeyboardInterrupt("now")))
    with pytest.raises(KeyboardInterrupt, match="now") as caught:
        resources.close()
    assert log == ["end"]
    assert isinstance(caught.value.__cause__, BaseExceptionGroup)
    assert caught.value.__cause__.exceptions == (error,)


def test_an_interrupt_alone_has_no_cause() -> None:
    """There is nothing else to tell."""
    resources = Resources()
    resources.callback(failing(KeyboardInterrupt("now")))
    with pytest.raises(KeyboardInterrupt) as caught:
        resources.close()
    assert caught.value.__cause__ is None


def test_two_interrupts_are_both_told() -> None:
    """The first is raised, the second is in its cause."""
    first, second = KeyboardInterrupt("first"), SystemExit(3)
    resources = Resources()
    resources.callback(failing(second))
    resources.callback(failing(first))
    with pytest.raises(KeyboardInterrupt) as caught:
        resources.close()
    assert caught.value is first
    assert isinstance(first.__cause__, BaseExceptionGroup)
    assert first.__cause__.exceptions == (second,)


def test_the_error_of_the_body_is_shown_to_each_exit_until_one_swallows_it() -> None:
    """As nested ``with`` statements would do."""
    log: list[Any] = []
    with Resources() as resources:
        resources.push(Door(log, "outer"))
        resources.push(Door(log, "middle", swallows=True))
        resources.push(Door(log, "inner"))
        raise ValueError("body")
    assert [(name, kind) for name, kind, _ in log] == [
        ("leave inner", ValueError),
        ("leave middle", ValueError),
        ("leave outer", None),
    ]


def test_the_error_of_the_body_passes_where_nobody_swallows_it() -> None:
    """A clean release keeps it as it is."""
    error = ValueError("body")
    with pytest.raises(ValueError, match="body") as caught, Resources() as resources:
        resources.callback(print, end="")
        raise error
    assert caught.value is error


def test_an_exit_that_returns_true_without_an_error_swallows_nothing() -> None:
    """There was nothing to swallow, and close() is no body."""
    resources = Resources()
    resources.push(lambda *details: True)
    assert resources.__exit__(None, None, None) is False


def test_errors_leave_no_cycle_behind() -> None:
    """What a release refers to can be collected as soon as its error is dropped."""
    door = Door([])
    reference = weakref.ref(door)

    def fail(door: Door) -> None:
        raise OSError("broken")

    resources = Resources()
    resources.callback(fail, door)
    resources.callback(fail, door)
    del door
    gc.collect()
    gc.disable()
    try:
        with contextlib.suppress(ExceptionGroup):
            resources.close()
        assert reference() is None
    finally:
        gc.enable()


def test_an_interrupt_leaves_no_cycle_behind() -> None:
    """The same for what was interrupted."""
    door = Door([])
    reference = weakref.ref(door)

    def fail(door: Door) -> None:
        raise KeyboardInterrupt

    resources = Resources()
    resources.callback(fail, door)
    del door
    gc.collect()
    gc.disable()
    try:
        with contextlib.suppress(KeyboardInterrupt):
            resources.close()
        assert reference() is None
    finally:
        gc.enable()


# -- interrupts at any point -------------------------------------------------------------------


def test_a_signal_at_any_point_of_a_release_loses_no_release() -> None:
    """Struck at every point in turn, with another release that fails: all are tried, once."""
    import nspkit._resources as module

    point, fired = 0, True
    while fired:
        log: list[int] = []
        resources = Resources()
        for number in range(4):
            resources.callback(log.append, number)
            resources.callback(failing(OSError(f"{number}")))
        fired, left = False, point

        def strike(frame: Any, event: str, _arg: object) -> None:
            nonlocal fired, left
            if event in ("call", "c_return") and frame.f_code.co_filename == module.__file__:
                if left == 0 and not fired:
                    fired = True
                    raise KeyboardInterrupt
                left -= 1

        try:
            sys.setprofile(strike)
            resources.close()
        except (KeyboardInterrupt, ExceptionGroup):
            pass
        finally:
            sys.setprofile(None)
        with contextlib.suppress(ExceptionGroup):
            resources.close()  # what the strike kept from beginning
        # A strike on the way into a release is the release's own affair: it may have run or not.
        assert len(log) >= 3
        assert log == sorted(set(log), reverse=True)
        point += 1
    assert log == [3, 2, 1, 0]
    assert point > 20


# -- late and unusual additions ----------------------------------------------------------------


def test_what_comes_after_the_release_began_is_released_at_once_and_refused() -> None:
    """Nothing can be lost between the end and a thread that does not know of it yet (10093)."""
    log: list[Any] = []
    resources = Resources("provider 'alpha'")
    resources.close()
    with pytest.raises(NotInitialisedError, match="provider 'alpha': door came after") as caught:
        resources.enter_context(Door(log), name="door")
    assert caught.value.code == 10093
    assert log == ["enter door", ("leave door", None, None)]


def test_what_is_added_by_a_release_is_released_at_once_too() -> None:
    """The release began, so it is late."""
    log: list[Any] = []
    resources = Resources()

    def late() -> None:
        resources.callback(log.append, "late")

    resources.callback(log.append, "early")
    resources.callback(late)
    with pytest.raises(NotInitialisedError):
        resources.close()
    assert log == ["late", "early"]


def test_an_error_of_a_late_release_is_the_cause_of_the_refusal() -> None:
    """Both are told: that it came too late, and that it did not go well."""
    resources = Resources()
    resources.close()
    error = OSError("broken")
    with pytest.raises(NotInitialisedError) as caught:
        resources.callback(failing(error), name="file")
    assert caught.value.__cause__ is error
    assert error.__notes__ == ["while releasing 'file', which came after the release began"]


def test_pop_all_moves_everything_to_a_new_stack() -> None:
    """The old one goes on empty, as with ExitStack."""
    log: list[Any] = []
    resources = Resources()
    resources.callback(log.append, "moved")
    moved = resources.pop_all()
    resources.callback(log.append, "stayed")
    resources.close()
    assert log == ["stayed"]
    moved.close()
    assert log == ["stayed", "moved"]


def test_pop_all_after_the_release_is_refused() -> None:
    """There is nothing to move, and what is added to the new one would live on (10093)."""
    resources = Resources()
    resources.close()
    with pytest.raises(NotInitialisedError, match=r"pop_all\(\) came after"):
        resources.pop_all()


def test_two_threads_that_close_release_everything_once() -> None:
    """Whoever comes second finds nothing to do."""
    log: list[int] = []
    resources = Resources()
    for number in range(200):
        resources.callback(log.append, number)
    barrier = threading.Barrier(2)

    def close() -> bool:
        barrier.wait(LONG)
        resources.close()
        return True

    threads = [threading.Thread(target=close) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONG)
    assert sorted(log) == list(range(200))


def test_additions_from_many_threads_are_all_kept() -> None:
    """All methods may be called from any thread."""
    log: list[int] = []
    resources = Resources()
    barrier = threading.Barrier(4)

    def add(first: int) -> None:
        barrier.wait(LONG)
        for number in range(first, first + 100):
            resources.callback(log.append, number)

    threads = [threading.Thread(target=add, args=(100 * number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONG)
    resources.close()
    assert sorted(log) == list(range(400))


def test_nothing_is_released_under_the_lock() -> None:
    """A release may use the stack from another thread, which must not wait for it."""
    resources = Resources()
    answers: list[Any] = []

    def ask() -> str:
        try:
            resources.callback(print, end="")
        except NotInitialisedError:
            return "refused"
        return "taken"

    resources.callback(lambda: answers.append(on_a_thread(ask)))
    resources.close()
    assert answers == ["refused"]


def test_a_signal_handler_that_adds_while_this_thread_adds_is_refused() -> None:
    """Instead of waiting for ever for its own thread (10036)."""
    resources = Resources()
    with resources._lock, pytest.raises(InProgressError, match="interrupted"):
        resources.callback(print)


# -- threads -----------------------------------------------------------------------------------


def test_a_thread_is_given_a_stop_event_and_joined_in_its_turn() -> None:
    """What was acquired before it is released after it has ended."""
    log: list[str] = []

    def target(stop: threading.Event, word: str) -> None:
        log.append(word)
        assert stop.wait(LONG)
        log.append("stopped")

    resources = Resources()
    resources.callback(log.append, "released")
    thread = resources.thread(target, "running", name="watcher")
    resources.close()
    assert log == ["running", "stopped", "released"]
    assert not thread.is_alive()


def test_a_thread_is_a_daemon_with_the_name_given() -> None:
    """A process must be able to end although it hangs."""
    with Resources() as resources:
        thread = resources.thread(threading.Event.wait, name="watcher")
        assert (thread.name, thread.daemon) == ("watcher", True)


def test_a_thread_without_a_name_is_named_after_its_function() -> None:
    """So that a stack dump tells what it is."""

    def watch(stop: threading.Event) -> None:
        stop.wait(LONG)

    with Resources() as resources:
        assert resources.thread(watch).name.endswith("watch")


def test_a_thread_runs_in_a_copy_of_the_callers_context() -> None:
    """Context variables reach it and do not come back."""
    variable = contextvars.ContextVar("variable", default="unset")
    seen: list[str] = []
    variable.set("caller")

    def target(stop: threading.Event) -> None:
        seen.append(variable.get())
        variable.set("thread")

    with Resources() as resources:
        resources.thread(target)
    assert seen == ["caller"]
    assert variable.get() == "caller"


def test_a_thread_that_comes_after_the_release_is_stopped_again() -> None:
    """It does not outlive the refusal (10093)."""
    resources = Resources()
    resources.close()
    before = set(threading.enumerate())
    with pytest.raises(NotInitialisedError, match="thread late"):
        resources.thread(lambda stop: stop.wait(LONG), name="late")
    assert set(threading.enumerate()) == before


def test_a_thread_whose_start_was_interrupted_is_told_to_stop() -> None:
    """Nobody else could: it is on no stack yet."""
    stops: list[threading.Event] = []
    running = threading.Event()
    resources = Resources()

    def target(stop: threading.Event) -> None:
        stops.append(stop)
        running.set()
        stop.wait(LONG)

    def strike(frame: Any, event: str, _arg: object) -> None:
        if event == "call" and frame.f_code.co_name == "_add":
            assert running.wait(LONG)
            raise KeyboardInterrupt

    try:
        with pytest.raises(KeyboardInterrupt):
            sys.setprofile(strike)
            resources.thread(target)
    finally:
        sys.setprofile(None)
    assert stops[0].is_set()


def test_a_thread_past_the_deadline_is_an_error_and_not_waited_for() -> None:
    """Only the exit of the interpreter sets one: there nobody can wait for ever."""
    gate = threading.Event()
    log: list[str] = []
    resources = Resources()
    resources.callback(log.append, "released")
    thread = resources.thread(lambda stop: gate.wait(LONG), name="stuck")
    release = Release(resources)
    release.run(deadline=0.0)
    gate.set()
    thread.join(LONG)
    [error] = release.errors
    assert isinstance(error, TimeoutError)
    assert "thread 'stuck' did not end in time" in str(error)
    assert log == ["released"]


def test_a_thread_that_ends_before_the_deadline_is_no_error() -> None:
    """It is joined as ever."""
    resources = Resources()
    thread = resources.thread(lambda stop: stop.wait(LONG))
    release = Release(resources)
    release.run(deadline=10.0**9)
    assert release.errors == []
    assert not thread.is_alive()


# -- reports -----------------------------------------------------------------------------------


def test_each_release_is_reported_with_its_name_its_time_and_its_error() -> None:
    """The host makes events of it."""
    error = OSError("broken")
    told: list[Any] = []
    resources = Resources()
    resources.callback(failing(error), name="file")
    resources.push(Door([]))
    Release(resources).run(lambda name, seconds, error: told.append((name, seconds >= 0, error)))
    assert told == [("Door", True, None), ("file", True, error)]


def test_things_without_a_name_are_called_after_what_they_are() -> None:
    """A class, a function, or the class of a callable object."""

    class Caller:
        def __call__(self, *_details: object) -> None:
            """Do nothing."""

    told: list[str] = []
    resources = Resources()
    resources.push(Caller())
    resources.callback(Caller())
    resources.callback(threading.Event().set)
    resources.enter_context(Door([]))
    Release(resources).run(lambda name, seconds, error: told.append(name))
    here = "test_things_without_a_name_are_called_after_what_they_are.<locals>.Caller"
    assert told == ["Door", "Event.set", here, here]


def test_a_real_interrupt_while_a_thread_is_joined_is_raised_at_the_end() -> None:
    """The release goes on to what was acquired before."""
    log: list[str] = []
    closing, gate = threading.Event(), threading.Event()
    struck = Bell()  # the next signal may strike in the handler, and an event takes a lock

    def handler(_number: int, _frame: Any) -> None:
        if not struck.rung:
            struck.ring()
            raise KeyboardInterrupt

    def target(stop: threading.Event) -> None:
        stop.wait(LONG)
        closing.set()
        gate.wait(LONG)

    def interrupt() -> None:
        main = threading.main_thread().ident
        assert main is not None
        assert closing.wait(LONG)
        # A signal that comes right before a thread blocks does not wake it: again, until it does.
        while not struck.wait(0.01):
            signal.pthread_kill(main, signal.SIGURG)

    resources = Resources()
    resources.callback(log.append, "released")
    resources.callback(gate.set)
    before = signal.signal(signal.SIGURG, handler)
    try:
        thread = resources.thread(target)
        killer = threading.Thread(target=interrupt)
        killer.start()
        with pytest.raises(KeyboardInterrupt):
            resources.close()
        killer.join(LONG)
        thread.join(LONG)
    finally:
        signal.signal(signal.SIGURG, before)
    assert log == ["released"]
