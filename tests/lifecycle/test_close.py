"""``host.close``: nobody starts any more, all are stopped in reverse, whatever else happens."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

from nspkit import Host, Query, Service, ServiceClass, ServiceOperation
from nspkit._bell import Bell
from nspkit.errors import (
    CancelledError,
    CleanupError,
    CleanupTimeoutError,
    InProgressError,
    InvalidArgumentError,
    NotInitialisedError,
    NspError,
    ProviderError,
    TryAgainError,
)

LONG = 30.0
SHORT = 0.05
OVER = (10093, 10111)
HTTP = ServiceClass.tcp(80)


def is_closing(host: Host) -> Callable[[], bool]:
    """A condition: the host refuses starts by now."""
    return lambda: host._closing.because is not None


def fails(error: BaseException) -> Callable[[Any], None]:
    """A hook that raises that error."""

    def fail(_call: Any) -> None:
        raise error

    return fail


def pauses(reached: threading.Event, gate: threading.Event) -> Callable[[Any], None]:
    """A hook that says that it was reached, and waits at a gate."""

    def pause(_call: Any) -> None:
        reached.set()
        assert gate.wait(LONG)

    return pause


# -- new starts are refused, those in progress are waited for ------------------------------------


@pytest.mark.parametrize("name", ["alpha", "beta"], ids=["a nested one", "a first one"])
def test_while_a_host_closes_every_startup_is_refused(stage: Any, name: str) -> None:
    """From the moment that it closes (10093), not from that when a provider is stopped."""
    alpha, beta, last = stage.probe("alpha"), stage.probe("beta"), stage.probe("last")
    host = stage.host(alpha, beta, last)
    stopping, gate = stage.gate(), stage.gate()
    last.cleanup = pauses(stopping, gate)
    host.startup("alpha")
    host.startup("last")
    closing = stage.task(host.close)
    assert stopping.wait(LONG)
    with pytest.raises(NotInitialisedError, match="was closed"):
        host.startup(name)
    assert alpha.count("nsp_cleanup") == 0, "alpha has not had its turn"
    gate.set()
    closing.result()
    assert beta.calls == []


def test_a_session_works_until_it_is_its_provider_s_turn(stage: Any) -> None:
    """Only starts are refused at once."""
    alpha, last = stage.probe("alpha"), stage.probe("last")
    alpha.ioctl = lambda call: call.data
    host = stage.host(alpha, last)
    session = host.startup("alpha")
    answers: list[Any] = []
    last.cleanup = lambda call: answers.append(session.ioctl(1, b"still here"))
    host.startup("last")
    host.close()
    assert answers == [b"still here"]


def test_a_start_in_progress_is_waited_for_and_undone_by_its_own_thread(
    stage: Any, until: Any
) -> None:
    """It answers 10093, and ``nsp_cleanup`` and the releases ran before `close` came back."""
    alpha = stage.probe()
    host = stage.host(alpha)
    starting, gate = stage.gate(), stage.gate()
    threads: list[int] = []
    told: list[str] = []

    def start(call: Any) -> None:
        call.resources.callback(told.append, "released")
        starting.set()
        assert gate.wait(LONG)

    def clean_up(_call: Any) -> None:
        threads.append(threading.get_ident())
        told.append("cleaned up")

    alpha.startup, alpha.cleanup = start, clean_up
    starter = stage.task(host.startup, "alpha")
    assert starting.wait(LONG)
    closing = stage.task(host.close)
    until(is_closing(host))
    assert closing.thread.is_alive()
    gate.set()
    closing.result()
    assert told == ["cleaned up", "released"]
    assert isinstance(starter.error(), NotInitialisedError)
    assert threads == [starter.ident]
    assert alpha.calls == ["nsp_startup", "nsp_cleanup"]


def test_nobody_is_stopped_before_the_starts_in_progress_came_back(stage: Any, until: Any) -> None:
    """What is started last may use what is started already, until its start is undone."""
    alpha, beta = stage.probe("alpha"), stage.probe("beta")
    host = stage.host(alpha, beta)
    starting, gate = stage.gate(), stage.gate()
    order: list[str] = []
    alpha.startup = pauses(starting, gate)
    alpha.cleanup = lambda call: order.append("alpha")
    beta.cleanup = lambda call: order.append("beta")
    host.startup("beta")
    starter = stage.task(host.startup, "alpha")
    assert starting.wait(LONG)
    closing = stage.task(host.close)
    lifetime = host._accounts.of("alpha").lifetime
    until(lambda: closing.ident in lifetime.barred)
    gate.set()
    closing.result()
    assert isinstance(starter.error(), NotInitialisedError)
    assert order == ["alpha", "beta"]


def test_who_waits_for_a_start_that_is_undone_gets_10093_too(stage: Any, until: Any) -> None:
    """An error of its own, and no reference."""
    alpha = stage.probe()
    host = stage.host(alpha)
    starting, gate = stage.gate(), stage.gate()
    alpha.startup = pauses(starting, gate)
    starter = stage.task(host.startup, "alpha")
    assert starting.wait(LONG)
    waiter = stage.task(host.startup, "alpha")
    lifetime = host._accounts.of("alpha").lifetime
    until(lambda: waiter.ident in lifetime.barred)
    closing = stage.task(host.close)
    until(is_closing(host))
    gate.set()
    closing.result()
    errors = [starter.error(), waiter.error()]
    assert [type(error) for error in errors] == [NotInitialisedError, NotInitialisedError]
    assert errors[0] is not errors[1]
    assert alpha.calls == ["nsp_startup", "nsp_cleanup"]


def test_what_goes_wrong_while_a_start_is_undone_goes_with_the_10093(
    stage: Any, until: Any
) -> None:
    """In `.rollback_errors`; the caller of `close` has nothing to do with it."""
    alpha = stage.probe()
    host = stage.host(alpha)
    starting, gate = stage.gate(), stage.gate()
    alpha.startup = pauses(starting, gate)
    alpha.cleanup = fails(OSError("the disk is gone"))
    starter = stage.task(host.startup, "alpha")
    assert starting.wait(LONG)
    closing = stage.task(host.close)
    until(is_closing(host))
    gate.set()
    closing.result()
    error = starter.error()
    assert isinstance(error, NotInitialisedError)
    assert "the disk is gone" in str(error.rollback_errors[0])


def test_a_start_that_does_not_come_back_is_named_and_the_others_are_stopped(stage: Any) -> None:
    """After the budget (10060); when it does come back, it is undone all the same."""
    alpha, beta = stage.probe("alpha"), stage.probe("beta")
    host = stage.host(alpha, beta)
    starting, gate = stage.gate(), stage.gate()
    alpha.startup = pauses(starting, gate)
    host.startup("beta")
    starter = stage.task(host.startup, "alpha")
    assert starting.wait(LONG)
    with pytest.raises(CleanupTimeoutError, match=r"'alpha'.*starting") as caught:
        host.close(timeout=SHORT)
    assert caught.value.guid == alpha.guid
    assert beta.calls == ["nsp_startup", "nsp_cleanup"]
    gate.set()
    assert isinstance(starter.error(), NotInitialisedError)
    assert alpha.calls == ["nsp_startup", "nsp_cleanup"]


def test_a_provider_that_is_asked_for_first_while_the_host_closes_is_refused(stage: Any) -> None:
    """Its account is made after the others were told."""
    alpha, beta = stage.probe("alpha"), stage.probe("beta")
    host = stage.host(alpha, beta)
    errors: list[BaseException] = []

    def ask(_call: Any) -> None:
        try:
            stage.elsewhere(host.startup, "beta")
        except NspError as error:
            errors.append(error)

    alpha.cleanup = ask
    host.startup("alpha")
    host.close()
    assert [type(error) for error in errors] == [NotInitialisedError]


# -- order, errors, budgets ----------------------------------------------------------------------


def test_providers_are_stopped_in_the_reverse_order_of_their_start(stage: Any) -> None:
    """Not in that of the catalog."""
    order: list[str] = []
    probes = [stage.probe(name) for name in ("alpha", "beta", "gamma")]
    for probe in probes:
        probe.cleanup = lambda call, probe=probe: order.append(probe.name)
    host = stage.host(*probes)
    for name in ("beta", "gamma", "alpha"):
        host.startup(name)
    host.close()
    assert order == ["alpha", "gamma", "beta"]


def test_one_that_was_restarted_counts_by_its_last_start(stage: Any) -> None:
    """What it needs of the others was started before that."""
    order: list[str] = []
    alpha, beta = stage.probe("alpha"), stage.probe("beta")
    host = stage.host(alpha, beta)
    host.startup("alpha").close()
    host.startup("beta")
    host.startup("alpha")
    alpha.cleanup = lambda call: order.append("alpha")
    beta.cleanup = lambda call: order.append("beta")
    host.close()
    assert order == ["alpha", "beta"]


def test_a_provider_is_stopped_whoever_holds_references_and_how_many(stage: Any) -> None:
    """Once."""
    alpha = stage.probe()
    host = stage.host(alpha)
    sessions = [host.startup("alpha") for _ in range(3)]
    host.close()
    assert alpha.calls == ["nsp_startup", "nsp_cleanup"]
    assert all("closed" in repr(session) for session in sessions)


def test_one_error_of_nspkit_is_raised_as_it_is(stage: Any) -> None:
    """The very object, and the others were stopped."""
    alpha, beta = stage.probe("alpha"), stage.probe("beta")
    error = TryAgainError("the server is busy")
    beta.cleanup = fails(error)
    host = stage.host(alpha, beta)
    host.startup("alpha")
    host.startup("beta")
    with pytest.raises(TryAgainError) as caught:
        host.close()
    assert caught.value is error
    assert alpha.count("nsp_cleanup") == 1


def test_several_errors_are_one_cleanup_error_with_all_in_order(stage: Any) -> None:
    """The code is that of the first; the cause is a group, so that a traceback shows them all."""
    probes = [stage.probe(name) for name in ("alpha", "beta", "gamma")]
    alpha, beta, gamma = probes
    alpha.cleanup = fails(OSError("alpha is lost"))
    gamma.cleanup = fails(TryAgainError("gamma is busy"))
    host = stage.host(*probes)
    for probe in probes:
        host.startup(probe.name)
    with pytest.raises(CleanupError, match=r"gamma is busy.*alpha is lost") as caught:
        host.close()
    first, second = caught.value.errors
    assert isinstance(first, TryAgainError)
    assert isinstance(second, ProviderError), "foreign, and translated"
    assert "alpha is lost" in str(second)
    assert caught.value.code == first.code
    assert isinstance(caught.value.__cause__, BaseExceptionGroup)
    assert caught.value.__cause__.exceptions == (first, second)
    assert beta.count("nsp_cleanup") == 1


def test_each_provider_has_a_budget_of_its_own(stage: Any) -> None:
    """One that hangs takes nothing from the next."""
    alpha, beta = stage.probe("alpha"), stage.probe("beta")
    gate, clean = stage.gate(), stage.gate()
    beta.cleanup = lambda call: gate.wait(LONG) and None
    alpha.cleanup = lambda call: clean.set()
    host = stage.host(alpha, beta)
    host.startup("alpha")
    host.startup("beta")
    with pytest.raises(CleanupTimeoutError, match=r"'beta' did not end within 0\.05 s"):
        host.close(timeout=SHORT)
    assert clean.is_set()


def test_the_host_s_own_limit_holds_where_none_is_given(stage: Any) -> None:
    """`cleanup_timeout`, 30 seconds unless the application says otherwise."""
    alpha = stage.probe()
    gate = stage.gate()
    alpha.cleanup = lambda call: gate.wait(LONG) and None
    host = stage.host(alpha, cleanup_timeout=SHORT)
    host.startup("alpha")
    with pytest.raises(CleanupTimeoutError, match=r"within 0\.05 s"):
        host.close()


def test_a_provider_in_quarantine_does_not_hold_up_the_close(stage: Any) -> None:
    """Its time has been spent already; that was told to who cleaned it up."""
    alpha, beta = stage.probe("alpha"), stage.probe("beta")
    gate = stage.gate()
    alpha.cleanup = lambda call: gate.wait(LONG) and None
    host = stage.host(alpha, beta)
    host.startup("alpha")
    host.startup("beta")
    with pytest.raises(CleanupTimeoutError):
        host.cleanup("alpha", timeout=SHORT)
    host.close()
    assert beta.count("nsp_cleanup") == 1


@pytest.mark.parametrize("timeout", [-1, float("nan"), "3", True], ids=repr)
def test_a_time_that_is_none_is_refused_and_the_host_stays_open(stage: Any, timeout: Any) -> None:
    """WSAEINVAL (10022)."""
    host = stage.host(stage.probe())
    with pytest.raises(InvalidArgumentError, match="timeout"):
        host.close(timeout=timeout)
    assert host.references("alpha") == 0


def test_a_stop_that_another_thread_runs_is_waited_for(stage: Any, until: Any) -> None:
    """Begun before the host is closed."""
    alpha = stage.probe()
    host = stage.host(alpha)
    stopping, gate = stage.gate(), stage.gate()
    alpha.cleanup = pauses(stopping, gate)
    host.startup("alpha")
    cleaner = stage.task(host.cleanup, "alpha")
    assert stopping.wait(LONG)
    closing = stage.task(host.close)
    lifetime = host._accounts.of("alpha").lifetime
    until(lambda: closing.ident in lifetime.barred)
    gate.set()
    closing.result()
    assert cleaner.result() is True
    assert alpha.count("nsp_cleanup") == 1


def test_a_stop_that_another_thread_begins_while_the_host_closes_is_waited_for(
    stage: Any, until: Any
) -> None:
    """After the host has looked for stops in progress, and before it is that provider's turn."""
    alpha, last = stage.probe("alpha"), stage.probe("last")
    host = stage.host(alpha, last)
    stopping, gate, ended = stage.gate(), stage.gate(), stage.gate()
    session = host.startup("alpha")
    host.startup("last")
    alpha.cleanup = lambda call: (stopping.set(), gate.wait(LONG)) and ended.set()
    cleaners: list[Any] = []

    def meanwhile(_call: Any) -> None:
        cleaners.append(stage.task(session.close))
        assert stopping.wait(LONG)

    last.cleanup = meanwhile
    closing = stage.task(host.close)
    assert stopping.wait(LONG)
    lifetime = host._accounts.of("alpha").lifetime
    until(lambda: closing.ident in lifetime.barred or not closing.thread.is_alive())
    assert not ended.is_set()
    assert closing.thread.is_alive()
    gate.set()
    closing.result()
    assert ended.is_set()
    cleaners[0].result()


def test_a_stop_of_another_thread_that_hangs_is_named(stage: Any) -> None:
    """The budget of who closes counts for it too (10060)."""
    alpha = stage.probe()
    host = stage.host(alpha)
    stopping, gate = stage.gate(), stage.gate()
    alpha.cleanup = pauses(stopping, gate)
    host.startup("alpha")
    cleaner = stage.task(host.cleanup, "alpha")
    assert stopping.wait(LONG)
    with pytest.raises(CleanupTimeoutError, match=r"'alpha' was still stopping"):
        host.close(timeout=SHORT)
    gate.set()
    cleaner.result()


# -- twice, from inside, interrupted -------------------------------------------------------------


def test_a_second_close_waits_for_the_first(stage: Any) -> None:
    """It comes back when all is stopped, not before, and raises nothing."""
    alpha = stage.probe()
    host = stage.host(alpha)
    stopping, gate = stage.gate(), stage.gate()
    ended = threading.Event()

    def clean_up(_call: Any) -> None:
        stopping.set()
        assert gate.wait(LONG)
        ended.set()
        raise TryAgainError("told to the first")

    alpha.cleanup = clean_up
    host.startup("alpha")
    first = stage.task(host.close)
    assert stopping.wait(LONG)
    arrived = threading.Barrier(2)

    def close_again() -> bool:
        arrived.wait(LONG)
        host.close()
        return ended.is_set()

    second = stage.task(close_again)
    arrived.wait(LONG)
    gate.set()
    assert second.result() is True
    assert isinstance(first.error(), TryAgainError)
    assert alpha.count("nsp_cleanup") == 1


def test_a_close_after_the_close_does_nothing(stage: Any) -> None:
    """Whatever the first one raised."""
    alpha = stage.probe()
    alpha.cleanup = fails(TryAgainError("busy"))
    host = stage.host(alpha)
    host.startup("alpha")
    with pytest.raises(TryAgainError):
        host.close()
    host.close()
    assert alpha.count("nsp_cleanup") == 1


@pytest.mark.parametrize("hook", ["startup", "cleanup", "ioctl", "lookup_service"])
def test_a_provider_cannot_close_its_host(stage: Any, hook: str) -> None:
    """WSAEINPROGRESS (10036), at once, and the host is as it was."""
    alpha = stage.probe()
    host = stage.host(alpha)
    errors: list[type] = []

    def close(_call: Any) -> Any:
        try:
            host.close()
        except InProgressError as error:
            errors.append(type(error))
        return iter([]) if hook == "lookup_service" else None

    setattr(alpha, hook, close)
    session = host.startup("alpha")
    session.ioctl(1)
    list(session.lookup("x"))
    list(host.lookup("x"))
    assert host.references("alpha") == 1
    session.close()
    assert set(errors) == {InProgressError}
    assert alpha.count("nsp_cleanup") == 1


def test_a_thread_of_the_provider_cannot_close_its_host(stage: Any) -> None:
    """It would wait for itself to be joined (10036)."""
    alpha = stage.probe()
    host = stage.host(alpha)
    errors: list[BaseException] = []
    done = stage.gate()

    def work(_stop: threading.Event) -> None:
        try:
            host.close()
        except NspError as error:
            errors.append(error)
        done.set()

    alpha.startup = lambda call: call.resources.thread(work) and None
    host.startup("alpha")
    assert done.wait(LONG)
    assert [type(error) for error in errors] == [InProgressError]
    host.close()


def test_a_release_cannot_close_its_host(stage: Any) -> None:
    """It runs on the teardown thread, which carries on for who closes (10036)."""
    alpha = stage.probe()
    host = stage.host(alpha)
    alpha.startup = lambda call: call.resources.callback(host.close) and None
    host.startup("alpha")
    with pytest.raises(InProgressError):
        host.close()
    assert alpha.count("nsp_cleanup") == 1


def test_a_signal_handler_that_closes_the_host_while_it_is_closed_is_refused(stage: Any) -> None:
    """10036 instead of a wait for the very code that it interrupted."""
    alpha = stage.probe()
    host = stage.host(alpha)
    handled = Bell()  # the next signal may strike while it is rung, as it may not in an event
    errors: list[BaseException] = []

    def handle(*_args: Any) -> None:
        try:
            host.close()
        except NspError as error:
            errors.append(error)
        handled.ring()

    main = threading.main_thread().ident
    assert main is not None

    def clean_up(_call: Any) -> None:
        while not handled.wait(0.01):
            signal.pthread_kill(main, signal.SIGUSR1)

    alpha.cleanup = clean_up
    host.startup("alpha")
    before = signal.signal(signal.SIGUSR1, handle)
    try:
        host.close()
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert {type(error) for error in errors} == {InProgressError}


def test_whatever_a_signal_handler_does_at_whatever_point_of_a_close_it_comes_back(
    stage: Any, at_every_point: Any
) -> None:
    """Closing, starting, looking up, cleaning up: refused or done, and never a deadlock."""
    alpha, beta = stage.probe("alpha"), stage.probe("beta")
    codes: set[int] = set()

    def prepare() -> Host:
        alpha.calls.clear()
        host: Host = stage.host(alpha, beta)
        stage.hosts.clear()
        host.startup("alpha")
        host.startup("beta")
        return host

    def meddle(host: Host) -> None:
        for operation in (
            host.close,
            lambda: host.startup("alpha"),
            lambda: host.cleanup("beta"),
            lambda: list(host.lookup("x", provider="beta")),
            lambda: host.lookup("x").close(),
        ):
            try:
                operation()
            except NspError as error:
                codes.add(int(error.code))

    def check(host: Host, where: str) -> None:
        host.close()
        assert alpha.calls.count("nsp_cleanup") == alpha.calls.count("nsp_startup"), where
        with pytest.raises(NotInitialisedError):
            host.startup("alpha")

    points = at_every_point(prepare, Host.close, check, action=meddle)
    assert points > 40
    assert codes == {10036, 10093}


def test_a_handler_that_closes_a_host_that_has_nothing_to_close_comes_back(
    stage: Any, at_every_point: Any
) -> None:
    """It would wait for itself even then."""
    codes: set[int] = set()

    def close_again(host: Host) -> None:
        try:
            host.close()
        except InProgressError as error:
            codes.add(int(error.code))

    at_every_point(Host, Host.close, lambda host, where: host.close(), action=close_again)
    assert codes == {10036}


def test_an_interrupt_while_the_host_closes_is_raised_when_all_are_stopped(
    stage: Any, interrupt: Any
) -> None:
    """The cleanup that it struck goes on as well."""
    alpha, beta = stage.probe("alpha"), stage.probe("beta")
    host = stage.host(alpha, beta)
    ended: list[str] = []

    def clean_up(_call: Any) -> None:
        interrupt()
        ended.append("beta")

    beta.cleanup = clean_up
    alpha.cleanup = lambda call: ended.append("alpha")
    host.startup("alpha")
    host.startup("beta")
    with pytest.raises(KeyboardInterrupt):
        host.close()
    assert ended == ["beta", "alpha"]


def test_errors_of_a_close_that_was_interrupted_are_the_cause_of_the_interrupt(
    stage: Any, interrupt: Any
) -> None:
    """None is lost."""
    alpha, beta = stage.probe("alpha"), stage.probe("beta")
    host = stage.host(alpha, beta)
    beta.cleanup = lambda call: interrupt()
    alpha.cleanup = fails(TryAgainError("busy"))
    host.startup("alpha")
    host.startup("beta")
    with pytest.raises(KeyboardInterrupt) as caught:
        host.close()
    assert isinstance(caught.value.__cause__, TryAgainError)


def test_an_interrupt_while_a_start_is_waited_for_does_not_keep_the_others_running(
    stage: Any, interrupt: Any
) -> None:
    """That start is undone by its own thread, however long it takes."""
    alpha, beta = stage.probe("alpha"), stage.probe("beta")
    host = stage.host(alpha, beta)
    starting = stage.gate()

    def start(_call: Any) -> None:
        starting.set()
        interrupt()

    alpha.startup = start
    host.startup("beta")

    def closes_in_the_main_thread() -> None:
        assert starting.wait(LONG)

    starter = stage.task(host.startup, "alpha")
    with pytest.raises(KeyboardInterrupt):
        closes_in_the_main_thread()
        host.close()
    host.close()
    assert beta.count("nsp_cleanup") == 1
    if alpha.count("nsp_cleanup"):
        assert isinstance(starter.error(), NotInitialisedError)


def test_a_close_that_is_struck_at_any_point_stops_everything(
    stage: Any, at_every_point: Any
) -> None:
    """Or nothing, where it had not begun; then the next one stops everything."""
    alpha, beta = stage.probe("alpha"), stage.probe("beta")
    released: list[str] = []
    alpha.startup = lambda call: call.resources.callback(released.append, "released") and None

    def prepare() -> Host:
        alpha.calls.clear()
        beta.calls.clear()
        released.clear()
        host: Host = stage.host(alpha, beta)
        stage.hosts.clear()
        host.startup("alpha")
        host.startup("beta")
        return host

    def check(host: Host, where: str) -> None:
        if host._closing.because is None:
            host.close()
        assert alpha.calls == ["nsp_startup", "nsp_cleanup"], where
        assert beta.calls == ["nsp_startup", "nsp_cleanup"], where
        assert released == ["released"], where
        stage.elsewhere(host.close)
        with pytest.raises(NotInitialisedError):
            stage.elsewhere(host.startup, "alpha")

    points = at_every_point(prepare, Host.close, check)
    assert points > 40


# -- afterwards ----------------------------------------------------------------------------------

AFTERWARDS: dict[str, Callable[[Host, Any], Any]] = {
    "startup": lambda host, session: host.startup("alpha"),
    "startup of another": lambda host, session: host.startup("beta"),
    "cleanup": lambda host, session: host.cleanup("alpha"),
    "references": lambda host, session: host.references("alpha"),
    "providers": lambda host, session: host.providers(),
    "lookup": lambda host, session: host.lookup("x"),
    "lookup of a query": lambda host, session: host.lookup(Query("x")),
    "lookup directed": lambda host, session: host.lookup("x", provider="alpha"),
    "lookup with a time-out": lambda host, session: host.lookup("x", provider="alpha", timeout=9),
    "lookup unknown": lambda host, session: host.lookup("x", provider="nobody"),
    "with": lambda host, session: host.__enter__(),
    "watch": lambda host, session: host.watch("x"),
    "set_service": lambda host, session: host.set_service(Service("x"), ServiceOperation.REGISTER),
    "register": lambda host, session: host.register(Service("x")),
    "install_service_class": lambda host, session: host.install_service_class(ServiceClass.tcp(80)),
    "remove_service_class": lambda host, session: host.remove_service_class(
        ServiceClass.tcp(80).id
    ),
    "service_class": lambda host, session: host.service_class(ServiceClass.tcp(80).id),
    "session.watch": lambda host, session: session.watch("x"),
    "session.lookup": lambda host, session: session.lookup("x"),
    "session.lookup with a time-out": lambda host, session: session.lookup("x", timeout=9),
    "session.ioctl": lambda host, session: session.ioctl(1),
    "session.supports": lambda host, session: session.supports("nsp_ioctl"),
    "session.set_service": lambda host, session: session.set_service(
        Service("x"), ServiceOperation.REGISTER
    ),
    "session.install_service_class": lambda host, session: session.install_service_class(HTTP),
    "session.remove_service_class": lambda host, session: session.remove_service_class(HTTP.id),
    "session.service_class": lambda host, session: session.service_class(HTTP.id),
}


@pytest.mark.parametrize("what", AFTERWARDS)
def test_afterwards_everything_answers_10093(stage: Any, what: str) -> None:
    """And says that the host was closed; nothing is started, no thread either."""
    alpha, beta = stage.probe("alpha"), stage.probe("beta")
    host = stage.host(alpha, beta)
    session = host.startup("alpha")
    host.close()
    with pytest.raises(NotInitialisedError, match="was closed"):
        AFTERWARDS[what](host, session)
    assert alpha.calls == ["nsp_startup", "nsp_cleanup"]
    assert not [t for t in threading.enumerate() if t.name.startswith("nspkit")]


def test_afterwards_to_close_a_session_or_a_lookup_is_quiet(stage: Any) -> None:
    """Users that are a little late are not to be punished."""
    alpha = stage.probe()
    alpha.lookup_service = lambda call: iter([Service("a"), Service("b")])
    host = stage.host(alpha)
    session = host.startup("alpha")
    lookups = [session.lookup("x"), session.lookup("x", timeout=LONG), host.lookup("x")]
    for lookup in lookups:
        next(lookup)
    host.close()
    session.close()
    for lookup in lookups:
        lookup.close()
        lookup.close()
    assert alpha.count("nsp_cleanup") == 1


def test_info_and_repr_are_there_afterwards(stage: Any) -> None:
    """A log or a debugger may ask for them at any time."""
    alpha = stage.probe()
    host = stage.host(alpha)
    session = host.startup("alpha")
    host.close()
    assert session.info is alpha.info
    assert repr(host) == "<Host: closed>"


def test_a_host_that_was_never_used_closes_quietly(stage: Any) -> None:
    """It has not even looked at its catalog."""
    alpha = stage.probe()
    stage.host(alpha).close()
    Host().close()
    assert alpha.calls == []


def test_a_with_block_closes_also_when_its_body_raises(stage: Any) -> None:
    """The body's error passes."""
    alpha = stage.probe()
    with pytest.raises(ZeroDivisionError), stage.host(alpha) as host:
        host.startup("alpha")
        raise ZeroDivisionError
    assert alpha.calls == ["nsp_startup", "nsp_cleanup"]


def test_an_error_of_the_close_has_that_of_the_body_as_its_context(stage: Any) -> None:
    """So a traceback shows both."""
    alpha = stage.probe()
    alpha.cleanup = fails(TryAgainError("busy"))
    with pytest.raises(TryAgainError) as caught, stage.host(alpha) as host:
        host.startup("alpha")
        raise ZeroDivisionError
    assert isinstance(caught.value.__context__, ZeroDivisionError)


# -- open lookups --------------------------------------------------------------------------------


class Opened:
    """Providers with lookups of every kind that are open at this moment."""

    def __init__(self, stage: Any) -> None:
        self.stage = stage
        self.entered = stage.gate()
        self.gate = stage.gate()
        self.closed: list[str] = []
        self.alpha = stage.probe()
        self.host = stage.host(self.alpha)
        self.alpha.lookup_service = self._lookup

    def _lookup(self, call: Any) -> Any:
        kind = call.query.name
        if kind == "deaf":
            self.entered.set()
            self.gate.wait(4 * LONG)  # longer than anybody waits for a result
        try:
            if kind == "listening":
                self.entered.set()
                call.cancellation.wait(LONG)
            while kind in ("endless", "deaf"):
                yield Service("more")
            yield Service("one")
            yield Service("two")
        finally:
            self.closed.append(kind)


@pytest.mark.parametrize("timeout", [None, LONG], ids=["direct", "with a time-out"])
def test_a_lookup_that_was_left_open_between_two_results_is_ended(
    stage: Any, timeout: float | None
) -> None:
    """Its iterator is closed once, before ``nsp_cleanup``; the next ``next`` is told."""
    opened = Opened(stage)
    order: list[str] = opened.closed
    opened.alpha.cleanup = lambda call: order.append("cleaned up")
    lookup = opened.host.lookup("endless", provider="alpha", timeout=timeout)
    next(lookup)
    opened.host.close()
    assert order == ["endless", "cleaned up"]
    with pytest.raises(NspError) as caught:
        list(lookup)
    assert caught.value.code in OVER


@pytest.mark.parametrize("order", ["catalog", "arrival"])
def test_a_worker_whose_buffer_is_full_is_ended(stage: Any, order: str, until: Any) -> None:
    """It waits for a reader who takes nothing."""
    opened = Opened(stage)
    lookup = opened.host.lookup("endless", order=order)
    next(lookup)
    stream = lookup._state._asked[0]
    until(lambda: not stream._free)
    opened.host.close()
    assert opened.closed == ["endless"]
    with pytest.raises(NspError) as caught:
        list(lookup)
    assert caught.value.code in OVER


@pytest.mark.parametrize("kind", ["listening", "deaf"])
@pytest.mark.parametrize("options", [{}, {"provider": "alpha", "timeout": 900.0}], ids=repr)
def test_a_reader_that_waits_is_told_when_the_host_is_closed(
    stage: Any, kind: str, options: dict[str, Any]
) -> None:
    """At once, also while the provider does not come back: a worker runs it, not the reader."""
    opened = Opened(stage)
    reader = stage.task(lambda: list(opened.host.lookup(kind, **options)))
    assert opened.entered.wait(LONG)
    closing = stage.task(opened.host.close)
    error = reader.error()
    assert isinstance(error, NspError)
    assert error.code in OVER
    opened.gate.set()
    closing.result()
    assert opened.closed == [kind]


def test_a_reader_in_a_direct_lookup_is_told_when_its_provider_comes_back(stage: Any) -> None:
    """It is in the provider itself, whom ``cancellation`` tells."""
    opened = Opened(stage)
    reader = stage.task(lambda: list(opened.host.lookup("listening", provider="alpha")))
    assert opened.entered.wait(LONG)
    opened.host.close()
    assert isinstance(reader.error(), CancelledError)
    assert opened.closed == ["listening"]


def test_a_lookup_that_waits_for_a_place_is_ended(stage: Any, until: Any) -> None:
    """Those before it take all places, and none of them comes back."""
    opened = Opened(stage)
    held = [opened.host.lookup("deaf") for _ in range(40)]
    workers = opened.host._accounts.workers
    until(lambda: workers._lanes["calls"].waiting)
    late = held[-1]
    assert not late._state._asked[0].started
    reader = stage.task(lambda: list(late))
    with pytest.raises(CleanupTimeoutError):
        opened.host.close(timeout=SHORT)
    assert isinstance(reader.error(), NspError)
    opened.gate.set()


def test_after_a_close_no_thread_of_the_host_is_left(stage: Any) -> None:
    """Workers, the teardown's, the provider's own: joined, not only told."""
    alpha = stage.probe()
    alpha.startup = lambda call: call.resources.thread(lambda stop: stop.wait(LONG)) and None
    host = stage.host(alpha)
    threads = set(threading.enumerate())
    for _ in range(5):
        next(host.lookup("x"))
        list(host.lookup("x", timeout=LONG))
    assert set(threading.enumerate()) - threads
    host.close()
    assert set(threading.enumerate()) == threads


def test_a_closed_host_refers_to_no_instance(stage: Any) -> None:
    """Without a garbage collection."""
    alpha = stage.probe()
    host = stage.host(alpha)
    host.startup("alpha")
    list(host.lookup("x"))
    host.close()
    assert [reference() for reference in alpha.instances] == [None]
    assert sys.getrefcount(host) > 0
