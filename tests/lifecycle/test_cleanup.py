"""``host.cleanup``: who is the last, in which order all ends, and what is told of errors."""

from __future__ import annotations

import gc
import logging
import sys
import threading
import traceback
from collections.abc import Callable
from typing import Any

import pytest

from nspkit import EntryState, NspError, Service, hookimpl
from nspkit.errors import (
    CancelledError,
    CleanupError,
    CleanupTimeoutError,
    InvalidArgumentError,
    InvalidProviderError,
    NotInitialisedError,
    NotReadyError,
    OperationNotSupportedError,
    ServiceNotFoundError,
)

LONG = 30.0


def fails(error: BaseException) -> Callable[..., None]:
    """A function that raises that error."""

    def fail(*_arguments: Any) -> None:
        raise error

    return fail


class Passing:
    """A middleware that passes every call on."""

    @hookimpl(wrapper=True)
    def nsp_startup(self) -> Any:
        """Pass it on."""
        return (yield)

    @hookimpl(wrapper=True)
    def nsp_cleanup(self) -> Any:
        """Pass it on."""
        return (yield)

    @hookimpl(wrapper=True)
    def nsp_lookup_service(self) -> Any:
        """Pass it on."""
        return (yield)

    @hookimpl(wrapper=True)
    def nsp_ioctl(self) -> Any:
        """Pass it on."""
        return (yield)


# -- 1 and 2: whose turn it is -----------------------------------------------------------------


def test_an_unknown_provider_is_refused(stage: Any) -> None:
    """WSAEINVAL (10022)."""
    with pytest.raises(InvalidProviderError) as caught:
        stage.host(stage.probe()).cleanup("gamma")
    assert caught.value.code == 10022


def test_without_a_reference_there_is_nothing_to_give_back(stage: Any) -> None:
    """WSANOTINITIALISED (10093), before the first startup and after the last cleanup."""
    alpha = stage.probe()
    host = stage.host(alpha)
    with pytest.raises(NotInitialisedError, match="alpha") as caught:
        host.cleanup("alpha")
    assert caught.value.code == 10093
    host.startup("alpha")
    host.cleanup("alpha")
    with pytest.raises(NotInitialisedError, match="match each startup"):
        host.cleanup("alpha")
    assert alpha.calls == ["nsp_startup", "nsp_cleanup"]


@pytest.mark.parametrize("timeout", [-1, "soon", True, float("nan")], ids=repr)
def test_a_timeout_that_is_no_time_is_refused(stage: Any, timeout: Any) -> None:
    """And no reference is given back (10022)."""
    host = stage.host(stage.probe())
    host.startup("alpha")
    with pytest.raises(InvalidArgumentError, match="timeout"):
        host.cleanup("alpha", timeout=timeout)
    assert host.references("alpha") == 1


def test_only_the_last_reference_runs_the_cleanup(stage: Any) -> None:
    """The others make the count go down, and nothing is called."""
    alpha = stage.probe()
    host = stage.host(alpha)
    for _ in range(4):
        host.startup("alpha")
    for number in (3, 2, 1):
        assert host.cleanup("alpha") is False
        assert host.references("alpha") == number
    assert alpha.calls == ["nsp_startup"]
    assert host.cleanup("alpha") is True
    assert alpha.calls == ["nsp_startup", "nsp_cleanup"]
    assert host.references("alpha") == 0


def test_a_reference_may_be_given_back_by_another_thread(stage: Any) -> None:
    """Whoever took it: it is one account."""
    host = stage.host(stage.probe())
    host.startup("alpha")
    assert stage.elsewhere(host.cleanup, "alpha") is True


def test_the_reference_of_the_host_counts_among_them(stage: Any) -> None:
    """What a lookup started, a cleanup can stop, as in Winsock."""
    alpha = stage.probe()
    host = stage.host(alpha)
    list(host.lookup("x", provider="alpha"))
    assert host.cleanup("alpha") is True
    assert alpha.calls[-1] == "nsp_cleanup"


def test_concurrent_cleanups_give_each_reference_back_once(stage: Any) -> None:
    """Exactly one of them is told that it was the last."""
    alpha = stage.probe()
    host = stage.host(alpha)
    for _ in range(8):
        host.startup("alpha")
    barrier = threading.Barrier(8)

    def clean_up() -> bool:
        barrier.wait(LONG)
        done: bool = host.cleanup("alpha")
        return done

    tasks = [stage.task(clean_up) for _ in range(8)]
    assert sorted(task.result() for task in tasks) == [False] * 7 + [True]
    assert alpha.count("nsp_cleanup") == 1


# -- 3: the order of the end -------------------------------------------------------------------


def test_everything_ends_in_order(stage: Any) -> None:
    """Open lookups newest first, calls in flight, `nsp_cleanup`, resources in reverse."""
    alpha = stage.probe()
    log: list[Any] = []
    inside, leave = threading.Event(), stage.gate()

    def startup(call: Any) -> None:
        call.resources.callback(log.append, "first resource")
        call.resources.callback(log.append, "second resource")

    def lookup(call: Any) -> Any:
        try:
            yield Service("one")
            yield Service("two")
        finally:
            log.append(f"end of {call.query.name}")
            if call.query.name == "new":
                leave.set()

    def ioctl(call: Any) -> None:
        inside.set()
        assert leave.wait(LONG)
        log.append("call in flight")

    alpha.startup, alpha.lookup_service, alpha.ioctl = startup, lookup, ioctl
    alpha.cleanup = lambda call: log.append("nsp_cleanup")
    host = stage.host(alpha)
    session = host.startup("alpha")
    lookups = [session.lookup(name) for name in ("old", "middle", "new")]
    for one in lookups:
        next(one)
    caller = stage.task(session.ioctl, 1)
    assert inside.wait(LONG)
    host.cleanup("alpha")
    caller.result()
    assert log[:3] == ["end of new", "end of middle", "end of old"] or "call in flight" in log[:3]
    assert [entry for entry in log if entry != "call in flight"] == [
        "end of new",
        "end of middle",
        "end of old",
        "nsp_cleanup",
        "second resource",
        "first resource",
    ]
    assert log.index("call in flight") < log.index("nsp_cleanup")


def test_new_work_is_refused_from_the_beginning_of_the_end(stage: Any) -> None:
    """10093 in every session, while the last of them ends it."""
    alpha = stage.probe()
    cleaning, gate = threading.Event(), stage.gate()

    def cleanup(call: Any) -> None:
        cleaning.set()
        assert gate.wait(LONG)

    alpha.cleanup = cleanup
    host = stage.host(alpha)
    session = host.startup("alpha")
    stopper = stage.task(host.cleanup, "alpha")
    assert cleaning.wait(LONG)
    for work in (
        lambda: session.ioctl(1),
        lambda: session.lookup("x"),
        lambda: session.lookup("x", timeout=LONG).__next__(),
        lambda: session.set_service(Service("x"), 0),
    ):
        with pytest.raises((NotInitialisedError, OperationNotSupportedError)) as caught:
            work()
        assert caught.value.code in (10093, 10045)
    assert session.close() is None
    gate.set()
    assert stopper.result() is True
    assert alpha.calls == ["nsp_startup", "nsp_cleanup"]


def test_the_refusal_says_that_it_is_stopping(stage: Any) -> None:
    """Or that it was stopped since, with the way out."""
    alpha = stage.probe()
    cleaning, gate = threading.Event(), stage.gate()

    def cleanup(call: Any) -> None:
        cleaning.set()
        assert gate.wait(LONG)

    alpha.cleanup = cleanup
    host = stage.host(alpha)
    session = host.startup("alpha")
    stopper = stage.task(host.cleanup, "alpha")
    assert cleaning.wait(LONG)
    with pytest.raises(NotInitialisedError, match="'alpha' is stopping"):
        session.ioctl(1)
    gate.set()
    stopper.result()
    with pytest.raises(NotInitialisedError, match="was stopped since; start it again"):
        session.ioctl(1)


def test_a_startup_meanwhile_waits_and_gets_the_next_generation(
    stage: Any, until: Any, lifetime_of: Any
) -> None:
    """With a fresh instance, that starts after the old one has ended."""
    alpha = stage.probe()
    cleaning, gate = threading.Event(), stage.gate()

    def cleanup(call: Any) -> None:
        cleaning.set()
        assert gate.wait(LONG)

    alpha.cleanup = cleanup
    host = stage.host(alpha)
    old = host.startup("alpha")
    stopper = stage.task(host.cleanup, "alpha")
    assert cleaning.wait(LONG)
    starter = stage.task(host.startup, "alpha")
    until(lambda: starter.ident in lifetime_of(host, "alpha").barred)
    assert alpha.calls == ["nsp_startup", "nsp_cleanup"]
    gate.set()
    assert stopper.result() is True
    new = starter.result()
    assert alpha.calls == ["nsp_startup", "nsp_cleanup", "nsp_startup"]
    assert len(alpha.instances) == 2
    assert new.ioctl(1) is None
    with pytest.raises(NotInitialisedError):
        old.ioctl(1)
    assert host.references("alpha") == 1


def test_a_lookup_through_the_host_meanwhile_waits_too(
    stage: Any, until: Any, lifetime_of: Any
) -> None:
    """It starts the next generation for the host."""
    alpha = stage.probe()
    cleaning, gate = threading.Event(), stage.gate()

    def cleanup(call: Any) -> None:
        cleaning.set()
        assert gate.wait(LONG)

    alpha.cleanup = cleanup
    host = stage.host(alpha)
    host.startup("alpha")
    stopper = stage.task(host.cleanup, "alpha")
    assert cleaning.wait(LONG)
    reader = stage.task(lambda: list(host.lookup("x", provider="alpha")))
    until(lambda: reader.ident in lifetime_of(host, "alpha").barred)
    gate.set()
    assert stopper.result() is True
    assert [service.name for service in reader.result()] == ["found"]
    assert host.references("alpha") == 1


def test_a_lookup_that_is_refused_between_two_generations_takes_the_next(stage: Any) -> None:
    """Stopped after it was found running and before its call: it begins again."""
    alpha = stage.probe()
    host = stage.host(alpha)
    host.startup("alpha")
    struck = False

    # Between `ensure_started` and the guard, where nobody but a profiler can put a cleanup.
    def between(frame: Any, event: str, _arg: object) -> None:
        nonlocal struck
        if event == "call" and frame.f_code.co_name == "run" and not struck:
            struck = True
            sys.setprofile(None)
            assert stage.elsewhere(host.cleanup, "alpha") is True

    try:
        sys.setprofile(between)
        lookup = host.lookup("x", provider="alpha")
    finally:
        sys.setprofile(None)
    assert struck
    assert [service.name for service in lookup] == ["found"]
    assert alpha.count("nsp_startup") == 2
    assert host.references("alpha") == 1


def test_a_reader_that_waits_gets_10111(stage: Any) -> None:
    """The lookup was ended, by the cleanup and not by its reader."""
    alpha = stage.probe()
    waiting = threading.Event()

    def lookup(call: Any) -> Any:
        waiting.set()
        assert call.cancellation.wait(LONG)
        yield Service("too late")

    alpha.lookup_service = lookup
    host = stage.host(alpha)
    session = host.startup("alpha")
    reader = stage.task(lambda: next(session.lookup("x")))
    assert waiting.wait(LONG)
    host.cleanup("alpha")
    error = reader.error()
    assert isinstance(error, CancelledError)
    assert (error.code, error.guid) == (10111, alpha.guid)


def test_of_a_fan_out_only_this_provider_s_part_ends(stage: Any) -> None:
    """The other one is read to its end, and the lookup tells what happened."""
    alpha, beta = stage.probe("alpha"), stage.probe("beta")
    waiting, gate = threading.Event(), stage.gate()

    def slow(call: Any) -> Any:
        waiting.set()
        call.cancellation.wait(LONG)
        yield Service("too late")

    def later(call: Any) -> Any:
        assert gate.wait(LONG)
        yield Service("beta's")

    alpha.lookup_service, beta.lookup_service = slow, later
    host = stage.host(alpha, beta)
    lookup = host.lookup("x")
    assert waiting.wait(LONG)
    assert host.cleanup("alpha") is True
    gate.set()
    assert [service.name for service in lookup] == ["beta's"]
    assert [(error.code, error.guid) for error in lookup.errors] == [(10111, alpha.guid)]


def test_calls_in_flight_are_waited_for(stage: Any, lifetime_of: Any) -> None:
    """`nsp_cleanup` never runs beside another call."""
    alpha = stage.probe()
    inside, gate = threading.Barrier(4), stage.gate()
    log: list[str] = []

    def ioctl(call: Any) -> None:
        inside.wait(LONG)
        assert gate.wait(LONG)
        log.append("out")

    alpha.ioctl = ioctl
    alpha.cleanup = lambda call: log.append("nsp_cleanup")
    host = stage.host(alpha)
    session = host.startup("alpha")
    callers = [stage.task(session.ioctl, number) for number in range(3)]
    inside.wait(LONG)
    stopper = stage.task(host.cleanup, "alpha")
    assert len(lifetime_of(host, "alpha").inside) == 3
    assert "nsp_cleanup" not in alpha.calls
    gate.set()
    assert stopper.result() is True
    for caller in callers:
        assert caller.result() is None
    assert log == ["out", "out", "out", "nsp_cleanup"]


def test_a_lookup_opened_by_a_call_in_flight_is_ended_too(stage: Any, until: Any) -> None:
    """It began before the end began, and is there only after."""
    alpha = stage.probe()
    inside, gate, ended = threading.Event(), stage.gate(), threading.Event()

    class Found:
        """An iterator that is there as soon as the hook comes back."""

        def __iter__(self) -> Any:
            return self

        def __next__(self) -> Any:
            return Service("x")

        def close(self) -> None:
            ended.set()

    def lookup(call: Any) -> Any:
        inside.set()
        assert gate.wait(LONG)
        return Found()

    alpha.lookup_service = lookup
    alpha.cleanup = lambda call: None if ended.is_set() else 1
    host = stage.host(alpha)
    session = host.startup("alpha")
    reader = stage.task(session.lookup, "x")
    assert inside.wait(LONG)
    stopper = stage.task(host.cleanup, "alpha")
    until(lambda: not session.generation.open)
    gate.set()
    assert stopper.result() is True
    with pytest.raises(CancelledError):
        next(reader.result())
    assert ended.is_set()


def test_the_cleanup_runs_once_on_a_daemon_thread_of_its_own(stage: Any) -> None:
    """Not on the caller's, who may go on when it hangs; a process must be able to end."""
    alpha = stage.probe()
    threads: list[threading.Thread] = []

    def startup(call: Any) -> None:
        call.resources.callback(lambda: threads.append(threading.current_thread()))

    alpha.startup = startup
    alpha.cleanup = lambda call: threads.append(threading.current_thread())
    host = stage.host(alpha)
    host.startup("alpha").close()
    assert len(threads) == 2
    assert threads[0] is threads[1] is not threading.current_thread()
    assert threads[0].daemon
    assert "alpha" in threads[0].name
    assert not threads[0].is_alive()


def test_the_cleanup_gets_the_guid(stage: Any) -> None:
    """As in `NSPCleanup(lpProviderId)`."""
    alpha = stage.probe()
    seen: list[Any] = []
    alpha.cleanup = lambda call: seen.append(call.guid)
    stage.host(alpha).startup("alpha").close()
    assert seen == [alpha.guid]


def test_a_missing_cleanup_is_10045_and_the_rest_happens_all_the_same(stage: Any) -> None:
    """It is the error of that step."""
    alpha = stage.probe(without=["nsp_cleanup"])
    log: list[str] = []
    alpha.startup = lambda call: call.resources.callback(log.append, "released") and None
    host = stage.host(alpha)
    host.startup("alpha")
    with pytest.raises(OperationNotSupportedError, match="nsp_cleanup") as caught:
        host.cleanup("alpha")
    assert (caught.value.code, caught.value.guid) == (10045, alpha.guid)
    assert log == ["released"]
    assert host.references("alpha") == 0
    assert [instance() for instance in alpha.instances] == [None]


@pytest.mark.parametrize("middleware", [False, True], ids=["plain", "middleware"])
@pytest.mark.parametrize("kind", [None, ValueError, ServiceNotFoundError], ids=str)
def test_the_instance_can_be_collected_without_a_collection(
    stage: Any, middleware: bool, kind: Any
) -> None:
    """After a clean end, or as soon as the error is dropped."""
    alpha = stage.probe()

    def broken(_instance: Any) -> None:
        raise OSError("broken")

    def startup(call: Any) -> None:
        call.instance.resources = call.resources
        call.instance.thread = call.resources.thread(lambda stop: stop.wait(LONG))
        if kind is not None:
            call.resources.callback(broken, call.instance)

    def cleanup(call: Any) -> None:
        if kind is not None:
            raise kind("odd")

    alpha.startup, alpha.cleanup = startup, cleanup
    host = stage.host(alpha, middleware=[Passing()] if middleware else [])
    session = host.startup("alpha")
    gc.collect()
    gc.disable()
    try:
        open_one, read_one = session.lookup("x"), session.lookup("y")
        next(open_one)
        list(read_one)
        session.ioctl(1)
        with pytest.raises(OperationNotSupportedError):
            session.set_service(Service("x"), 0)
        try:
            session.close()
        except CleanupError:
            assert kind is not None
        else:
            assert kind is None
        assert [instance() for instance in alpha.instances] == [None]
    finally:
        gc.enable()


def test_the_instance_can_be_collected_after_a_time_out_that_ended(
    stage: Any, until: Any, lifetime_of: Any
) -> None:
    """As soon as the error is dropped and what hung has come back."""
    alpha = stage.probe()
    gate = stage.gate()

    def cleanup(call: Any) -> None:
        assert gate.wait(LONG)
        raise ValueError("late")

    alpha.cleanup = cleanup
    host = stage.host(alpha)
    session = host.startup("alpha")
    gc.collect()
    gc.disable()
    try:
        try:
            session.close(timeout=0)
        except CleanupTimeoutError:
            pass
        else:
            pytest.fail("it did not take its time")
        gate.set()
        until(lambda: lifetime_of(host, "alpha").state == "stopped")
        for thread in threading.enumerate():
            if thread.name == "nspkit-cleanup-alpha":
                thread.join(LONG)
        assert [instance() for instance in alpha.instances] == [None]
    finally:
        gc.enable()


def test_a_finaliser_of_the_instance_runs_under_no_lock(stage: Any, locks_of: Any) -> None:
    """It is foreign code, wherever the host drops its last reference."""
    seen: list[Any] = []

    class Base:
        def __del__(self) -> None:
            seen.append([lock for lock in locks_of(host) if lock._is_owned()])

    host = stage.host(stage.probe(base=Base))
    host.startup("alpha").close()
    assert seen == [[]]


# -- 4: errors ---------------------------------------------------------------------------------


def test_every_step_happens_even_if_all_of_them_fail(stage: Any) -> None:
    """One error each: in order, with notes that say whose they are, and as a group."""
    alpha = stage.probe()
    log: list[str] = []
    errors = {
        "lookup": ValueError("in the lookup"),
        "cleanup": NotReadyError("in the cleanup"),
        "one": OSError("in a release"),
        "two": KeyError("in another"),
    }

    def startup(call: Any) -> None:
        call.resources.callback(log.append, "released")
        call.resources.callback(fails(errors["two"]), name="two")
        call.resources.callback(fails(errors["one"]), name="one")

    def lookup(call: Any) -> Any:
        try:
            yield Service("x")
        finally:
            raise errors["lookup"]

    alpha.startup, alpha.lookup_service = startup, lookup
    alpha.cleanup = fails(errors["cleanup"])
    host = stage.host(alpha)
    session = host.startup("alpha")
    lookup_ = session.lookup("x")
    next(lookup_)
    with pytest.raises(CleanupError, match=r"alpha.*4 error") as caught:
        host.cleanup("alpha")
    first, *others = caught.value.errors
    assert first.__cause__ is errors["lookup"]
    assert others == [errors["cleanup"], errors["one"], errors["two"]]
    assert caught.value.code == first.code == 10107
    assert caught.value.guid == alpha.guid
    notes = ["\n".join(error.__notes__) for error in caught.value.errors]
    for note, word in zip(notes, ["alpha", "nsp_cleanup", "'one'", "'two'"], strict=True):
        assert word in note
        assert "alpha" in note
    cause = caught.value.__cause__
    assert isinstance(cause, ExceptionGroup)
    assert cause.exceptions == caught.value.errors
    shown = "".join(traceback.format_exception(caught.value))
    for error in errors.values():
        assert str(error.args[-1]) in shown
    assert log == ["released"]
    assert host.references("alpha") == 0


def test_one_error_of_nspkit_is_raised_as_it_is(stage: Any) -> None:
    """The provider's own class and code are what the caller sees."""
    alpha = stage.probe()
    error = ServiceNotFoundError("gone")
    alpha.cleanup = fails(error)
    host = stage.host(alpha)
    host.startup("alpha")
    with pytest.raises(ServiceNotFoundError) as caught:
        host.cleanup("alpha")
    assert caught.value is error
    assert error.__notes__ == ["in nsp_cleanup of provider 'alpha'"]


def test_one_foreign_error_of_the_hook_is_translated(stage: Any) -> None:
    """10107, with the cause: a `NspError` by then, so it is raised as it is."""
    alpha = stage.probe()
    error = OSError("broken pipe")
    alpha.cleanup = fails(error)
    host = stage.host(alpha)
    host.startup("alpha")
    with pytest.raises(NspError, match=r"alpha.*nsp_cleanup.*broken pipe") as caught:
        host.cleanup("alpha")
    assert not isinstance(caught.value, CleanupError)
    assert (caught.value.code, caught.value.guid) == (10107, alpha.guid)
    assert caught.value.__cause__ is error


def test_one_foreign_error_of_a_release_is_a_cleanup_error(stage: Any) -> None:
    """10107 too; the error itself is in ``errors`` and in the group."""
    alpha = stage.probe()
    error = OSError("broken")
    alpha.startup = lambda call: call.resources.callback(fails(error)) and None
    host = stage.host(alpha)
    host.startup("alpha")
    with pytest.raises(CleanupError, match="1 error") as caught:
        host.cleanup("alpha")
    assert caught.value.code == 10107
    assert caught.value.errors == (error,)


def test_the_code_is_that_of_the_first_error(stage: Any) -> None:
    """As far as it has one."""
    alpha = stage.probe()
    alpha.startup = lambda call: call.resources.callback(fails(OSError("second"))) and None
    alpha.cleanup = fails(NotReadyError("first"))
    host = stage.host(alpha)
    host.startup("alpha")
    with pytest.raises(CleanupError) as caught:
        host.cleanup("alpha")
    assert caught.value.code == 10091


def test_after_a_cleanup_that_failed_the_next_startup_is_as_ever(stage: Any) -> None:
    """The count is 0 and the provider is stopped, whatever was raised."""
    alpha = stage.probe()
    alpha.cleanup = fails(OSError("broken"))
    host = stage.host(alpha)
    for _ in range(3):
        session = host.startup("alpha")
        with pytest.raises(NspError):
            session.close()
        assert host.references("alpha") == 0
        session.close()
    assert alpha.calls == ["nsp_startup", "nsp_cleanup"] * 3


def test_an_interrupt_in_a_release_is_raised_at_the_end(stage: Any) -> None:
    """The teardown goes on; the other errors are its cause."""
    alpha = stage.probe()
    log: list[str] = []
    error = NotReadyError("in the cleanup")

    def startup(call: Any) -> None:
        call.resources.callback(log.append, "released")
        call.resources.callback(fails(KeyboardInterrupt("now")))

    alpha.startup, alpha.cleanup = startup, fails(error)
    host = stage.host(alpha)
    host.startup("alpha")
    with pytest.raises(KeyboardInterrupt, match="now") as caught:
        host.cleanup("alpha")
    assert caught.value.__cause__ is error
    assert log == ["released"]
    assert host.references("alpha") == 0


@pytest.mark.parametrize("interrupt_", [KeyboardInterrupt("now"), SystemExit(3)], ids=repr)
def test_an_interrupt_in_the_hook_does_not_end_the_teardown(
    stage: Any, interrupt_: BaseException
) -> None:
    """The steps below happen; an exit is a foreign error of the hook, an interrupt the user's."""
    alpha = stage.probe()
    log: list[str] = []
    alpha.startup = lambda call: call.resources.callback(log.append, "released") and None
    alpha.cleanup = fails(interrupt_)
    host = stage.host(alpha)
    host.startup("alpha")
    with pytest.raises((KeyboardInterrupt, NspError)) as caught:
        host.cleanup("alpha")
    assert interrupt_ in (caught.value, caught.value.__cause__)
    assert isinstance(caught.value, KeyboardInterrupt) is isinstance(interrupt_, KeyboardInterrupt)
    assert log == ["released"]
    alpha.cleanup = lambda call: None
    host.startup("alpha")


def test_an_interrupt_in_the_end_of_a_lookup_ends_the_others_too(stage: Any) -> None:
    """And loses none of their errors."""
    alpha = stage.probe()
    ended: list[str] = []
    raised = {"new": ValueError("new"), "middle": KeyboardInterrupt("now"), "old": OSError("old")}

    def lookup(call: Any) -> Any:
        try:
            yield Service("x")
        finally:
            ended.append(call.query.name)
            raise raised[call.query.name]

    alpha.lookup_service = lookup
    host = stage.host(alpha)
    session = host.startup("alpha")
    lookups = [session.lookup(name) for name in ("old", "middle", "new")]
    for one in lookups:
        next(one)
    with pytest.raises(KeyboardInterrupt) as caught:
        host.cleanup("alpha")
    assert ended == ["new", "middle", "old"]
    assert caught.value is raised["middle"]
    rest = caught.value.__cause__
    assert isinstance(rest, CleanupError)
    assert [error.__cause__ for error in rest.errors] == [raised["new"], raised["old"]]
    assert alpha.calls[-1] == "nsp_cleanup"


def test_an_interrupt_of_the_waiting_caller_is_raised_when_all_has_ended(
    stage: Any, interrupt: Any
) -> None:
    """Ctrl-C does not leave half a teardown behind."""
    alpha = stage.probe()
    log: list[str] = []

    def cleanup(call: Any) -> None:
        interrupt()
        log.append("nsp_cleanup")

    alpha.startup = lambda call: call.resources.callback(log.append, "released") and None
    alpha.cleanup = cleanup
    host = stage.host(alpha)
    host.startup("alpha")
    with pytest.raises(KeyboardInterrupt) as caught:
        host.cleanup("alpha")
    assert log == ["nsp_cleanup", "released"]
    assert caught.value.__cause__ is None
    assert host.references("alpha") == 0
    alpha.cleanup = lambda call: None
    host.startup("alpha")


def test_errors_go_with_the_interrupt_of_the_waiting_caller(stage: Any, interrupt: Any) -> None:
    """As its cause."""
    alpha = stage.probe()
    error = NotReadyError("away")

    def cleanup(call: Any) -> None:
        interrupt()
        raise error

    alpha.cleanup = cleanup
    host = stage.host(alpha)
    host.startup("alpha")
    with pytest.raises(KeyboardInterrupt) as caught:
        host.cleanup("alpha")
    assert caught.value.__cause__ is error


def test_a_second_interrupt_spends_the_budget_at_once(
    stage: Any, interrupt: Any, until: Any, lifetime_of: Any
) -> None:
    """Who insists may go: the time-out is the cause, and says what was left."""
    alpha = stage.probe()
    gate = stage.gate()

    def cleanup(call: Any) -> None:
        interrupt()
        interrupt()
        assert gate.wait(LONG)

    alpha.cleanup = cleanup
    host = stage.host(alpha)
    host.startup("alpha")
    with pytest.raises(KeyboardInterrupt) as caught:
        host.cleanup("alpha")
    late = caught.value.__cause__
    assert isinstance(late, CleanupTimeoutError)
    assert "nsp_cleanup" in str(late)
    assert host.providers()[0].state is EntryState.QUARANTINED
    gate.set()
    until(lambda: lifetime_of(host, "alpha").state == "stopped")


# -- 5: the budget -----------------------------------------------------------------------------


def hang_in_cleanup(alpha: Any, gate: threading.Event) -> None:
    """Make `nsp_cleanup` hang until the gate opens."""

    def cleanup(call: Any) -> None:
        assert gate.wait(LONG)

    alpha.cleanup = cleanup


def test_a_cleanup_that_hangs_is_10060_with_its_name_and_its_stack(stage: Any) -> None:
    """The message names what hangs and for how long it was waited; the stack shows where."""
    alpha = stage.probe()
    hang_in_cleanup(alpha, stage.gate())
    host = stage.host(alpha)
    host.startup("alpha")
    with pytest.raises(CleanupTimeoutError, match=r"alpha.*nsp_cleanup.*nspkit-cleanup") as caught:
        host.cleanup("alpha", timeout=0.05)
    assert (caught.value.code, caught.value.guid) == (10060, alpha.guid)
    assert isinstance(caught.value, TimeoutError)
    assert "within 0.05 s" in str(caught.value)
    assert "gate.wait(LONG)" in caught.value.stack
    assert any("gate.wait(LONG)" in note for note in caught.value.__notes__)


def test_a_call_in_flight_that_hangs_is_named_too(stage: Any) -> None:
    """It is that call that hangs, not the cleanup that waits for it."""
    alpha = stage.probe()
    inside, gate = threading.Event(), stage.gate()

    def ioctl(call: Any) -> None:
        inside.set()
        assert gate.wait(LONG)

    alpha.ioctl = ioctl
    host = stage.host(alpha)
    session = host.startup("alpha")
    stage.task(session.ioctl, 1)
    assert inside.wait(LONG)
    with pytest.raises(CleanupTimeoutError, match="nsp_ioctl in thread 'task'") as caught:
        host.cleanup("alpha", timeout=0)
    assert "in ioctl" in caught.value.stack
    assert alpha.calls == ["nsp_startup", "nsp_ioctl"]


def test_a_release_that_hangs_is_named_as_such(stage: Any) -> None:
    """A thread of `resources.thread` that does not stop, for instance."""
    alpha = stage.probe()
    gate = stage.gate()
    alpha.startup = lambda call: call.resources.thread(lambda stop: gate.wait(LONG)) and None
    host = stage.host(alpha)
    host.startup("alpha")
    with pytest.raises(CleanupTimeoutError, match="the release of resources"):
        host.cleanup("alpha", timeout=0.05)


def test_the_budget_is_the_host_s_where_no_timeout_is_given(stage: Any) -> None:
    """``cleanup_timeout``, for a session that closes too."""
    alpha = stage.probe()
    gate = stage.gate()
    hang_in_cleanup(alpha, gate)
    host = stage.host(alpha, cleanup_timeout=0.05)
    session = host.startup("alpha")
    with pytest.raises(CleanupTimeoutError, match=r"within 0\.05 s"):
        session.close()


def test_a_quarantined_provider_is_not_started_again(stage: Any) -> None:
    """10091, until it has come back; its entry says so."""
    alpha = stage.probe()
    hang_in_cleanup(alpha, stage.gate())
    host = stage.host(alpha)
    session = host.startup("alpha")
    with pytest.raises(CleanupTimeoutError):
        session.close(timeout=0)
    with pytest.raises(NotReadyError, match="'alpha' is quarantined") as caught:
        host.startup("alpha")
    assert caught.value.code == 10091
    with pytest.raises(NotReadyError):
        host.lookup("x", provider="alpha")
    assert host.providers()[0].state is EntryState.QUARANTINED
    with pytest.raises(NotInitialisedError):
        host.cleanup("alpha")
    assert session.close() is None
    assert host.references("alpha") == 0


def test_who_waited_for_the_end_is_told_of_the_quarantine(
    stage: Any, until: Any, lifetime_of: Any
) -> None:
    """It does not wait for ever for what the caller has given up."""
    alpha = stage.probe()
    cleaning, gate = threading.Event(), stage.gate()

    def cleanup(call: Any) -> None:
        cleaning.set()
        assert gate.wait(LONG)

    alpha.cleanup = cleanup
    host = stage.host(alpha)
    host.startup("alpha")
    starters: list[Any] = []

    def clean_up() -> None:
        host.cleanup("alpha", timeout=0.2)

    stopper = stage.task(clean_up)
    assert cleaning.wait(LONG)
    starters = [stage.task(host.startup, "alpha") for _ in range(2)]
    assert isinstance(stopper.error(), CleanupTimeoutError)
    for starter in starters:
        assert isinstance(starter.error(), NotReadyError)


def test_the_quarantine_ends_when_the_hanging_call_comes_back(
    stage: Any, until: Any, lifetime_of: Any
) -> None:
    """The teardown thread does the rest; then it can be started again, afresh."""
    alpha = stage.probe()
    log: list[str] = []
    gate = stage.gate()
    hang_in_cleanup(alpha, gate)
    alpha.startup = lambda call: call.resources.callback(log.append, "released") and None
    host = stage.host(alpha)
    host.startup("alpha")
    with pytest.raises(CleanupTimeoutError):
        host.cleanup("alpha", timeout=0)
    assert log == []
    gate.set()
    until(lambda: lifetime_of(host, "alpha").state == "stopped")
    assert log == ["released"]
    assert host.providers()[0].state is EntryState.OK
    session = host.startup("alpha")
    assert session.ioctl(1) is None
    assert alpha.calls == ["nsp_startup", "nsp_cleanup", "nsp_startup", "nsp_ioctl"]


def test_a_cleanup_that_comes_back_in_its_time_says_nothing_of_time(
    stage: Any, until: Any, lifetime_of: Any
) -> None:
    """A cleanup never says more than it did: with a budget of 0 it may still be quick enough."""
    host = stage.host(stage.probe())
    for _ in range(50):
        host.startup("alpha")
        try:
            assert host.cleanup("alpha", timeout=0) is True
        except CleanupTimeoutError:
            until(lambda: lifetime_of(host, "alpha").state == "stopped")
        assert lifetime_of(host, "alpha").state == "stopped"


def test_a_quarantine_harms_no_other_provider(stage: Any) -> None:
    """The caller goes on, and so does the host."""
    alpha, beta = stage.probe("alpha"), stage.probe("beta")
    hang_in_cleanup(alpha, stage.gate())
    host = stage.host(alpha, beta)
    host.startup("alpha")
    with pytest.raises(CleanupTimeoutError):
        host.cleanup("alpha", timeout=0)
    with host.startup("beta") as session:
        assert session.ioctl(1) is None
    assert beta.calls == ["nsp_startup", "nsp_ioctl", "nsp_cleanup"]


def test_without_a_thread_to_be_had_the_caller_does_it(
    stage: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cleanup is worth more than its time limit."""
    alpha = stage.probe()
    threads: list[Any] = []
    alpha.cleanup = lambda call: threads.append(threading.current_thread())
    host = stage.host(alpha)
    host.startup("alpha")

    def no_thread(*_args: Any, **_options: Any) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading, "_start_new_thread", no_thread, raising=False)
    monkeypatch.setattr(threading, "_start_joinable_thread", no_thread, raising=False)
    assert host.cleanup("alpha") is True
    assert threads == [threading.current_thread()]


# -- struck at any point -----------------------------------------------------------------------


@pytest.mark.parametrize("way", ["session", "host"])
def test_a_cleanup_that_is_struck_at_any_point_goes_on_or_has_not_begun(
    stage: Any, at_every_point: Any, lifetime_of: Any, until: Any, way: str
) -> None:
    """The reference is given back or it is not: none is lost, and nothing is left half done."""
    alpha, main = stage.probe(), threading.get_ident()
    log: list[str] = []
    alpha.startup = lambda call: call.resources.callback(log.append, "released") and None
    host = stage.host(alpha)
    lifetime = lifetime_of(host, "alpha")

    def prepare() -> Any:
        alpha.calls.clear()
        log.clear()
        return host.startup("alpha")

    def operate(session: Any) -> None:
        session.close() if way == "session" else host.cleanup("alpha")

    def check(session: Any, where: str) -> None:
        assert not lifetime._lock._is_owned(), where
        assert main not in lifetime.inside, where
        assert main not in lifetime.barred, where
        if session.generation is not None and lifetime.count:
            session.close()  # it had not begun
        until(lambda: lifetime.state == "stopped")
        assert lifetime.count == 0, where
        assert alpha.calls == ["nsp_startup", "nsp_cleanup"], where
        assert log == ["released"], where
        new = stage.elsewhere(host.startup, "alpha")
        assert host.references("alpha") == 1, where
        session.close()
        assert host.references("alpha") == 1, where
        new.close()

    assert at_every_point(prepare, operate, check) > 20


def test_a_nested_close_that_is_struck_at_any_point_gives_back_one_or_none(
    stage: Any, at_every_point: Any, lifetime_of: Any
) -> None:
    """Closing again gives back what was not: never two."""
    host = stage.host(stage.probe())
    host.startup("alpha")

    def check(session: Any, where: str) -> None:
        session.close()
        assert host.references("alpha") == 1, where
        assert lifetime_of(host, "alpha").state == "started", where

    operate = lambda session: session.close()  # noqa: E731
    assert at_every_point(lambda: host.startup("alpha"), operate, check) > 3


# -- what a user of the log sees ---------------------------------------------------------------


def test_a_clean_end_logs_nothing(stage: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Errors are raised or told; the log is for what nobody is there to hear."""
    with caplog.at_level(logging.DEBUG):
        stage.host(stage.probe()).startup("alpha").close()
    assert caplog.records == []
