"""A call that comes back to its own provider is refused (10036), wherever it comes from.

Never a deadlock, and never before the call that is under way has come back.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from typing import Any

import pytest

from nspkit import NspError, Service
from nspkit.errors import InProgressError, NotInitialisedError

LONG = 30.0


# Where the call comes from. Each place arranges that ``act()`` runs inside of alpha.


def in_startup(stage: Any, alpha: Any, beta: Any, host: Any, act: Callable[[], None]) -> None:
    """While `nsp_startup` runs."""
    alpha.startup = lambda call: act()
    host.startup("alpha").close()


def in_startup_for_the_host(
    stage: Any, alpha: Any, beta: Any, host: Any, act: Callable[[], None]
) -> None:
    """The same, started by a lookup."""
    alpha.startup = lambda call: act()
    list(host.lookup("x", provider="alpha"))


def in_cleanup(stage: Any, alpha: Any, beta: Any, host: Any, act: Callable[[], None]) -> None:
    """While `nsp_cleanup` runs, on the teardown thread."""
    alpha.cleanup = lambda call: act()
    host.startup("alpha").close()


def in_release(stage: Any, alpha: Any, beta: Any, host: Any, act: Callable[[], None]) -> None:
    """While a resource is released, on the teardown thread."""
    alpha.startup = lambda call: call.resources.callback(act) and None
    host.startup("alpha").close()


def in_rollback(stage: Any, alpha: Any, beta: Any, host: Any, act: Callable[[], None]) -> None:
    """While a failed start is undone, on the caller's thread."""

    def startup(call: Any) -> None:
        call.resources.callback(act)
        raise NotInitialisedError("not now")

    alpha.startup = startup
    with pytest.raises(NotInitialisedError):
        host.startup("alpha")


def in_ioctl(stage: Any, alpha: Any, beta: Any, host: Any, act: Callable[[], None]) -> None:
    """In a routed call."""
    alpha.ioctl = lambda call: act()
    with host.startup("alpha") as session:
        session.ioctl(1)


def in_nested_call(stage: Any, alpha: Any, beta: Any, host: Any, act: Callable[[], None]) -> None:
    """After a second call, inside the first, has come back."""

    def ioctl(call: Any) -> None:
        if call.code == 1:
            session.ioctl(2)
            act()

    alpha.ioctl = ioctl
    with host.startup("alpha") as session:
        session.ioctl(1)


def in_lookup(stage: Any, alpha: Any, beta: Any, host: Any, act: Callable[[], None]) -> None:
    """In the call that begins a lookup."""

    def lookup(call: Any) -> Any:
        act()
        return iter([Service("x")])

    alpha.lookup_service = lookup
    with host.startup("alpha") as session:
        list(session.lookup("x"))


def in_step(stage: Any, alpha: Any, beta: Any, host: Any, act: Callable[[], None]) -> None:
    """In a step of a lookup."""
    alpha.lookup_service = _acting_lookup(act)
    with host.startup("alpha") as session:
        list(session.lookup("x"))


def in_worker(stage: Any, alpha: Any, beta: Any, host: Any, act: Callable[[], None]) -> None:
    """In a step of a lookup, on a worker thread."""
    alpha.lookup_service = _acting_lookup(act)
    with host.startup("alpha") as session:
        list(session.lookup("x", timeout=LONG))


def in_close_of_a_lookup(
    stage: Any, alpha: Any, beta: Any, host: Any, act: Callable[[], None]
) -> None:
    """In the end of a lookup."""

    def lookup(call: Any) -> Any:
        try:
            yield Service("x")
        finally:
            act()

    alpha.lookup_service = lookup
    with host.startup("alpha") as session, session.lookup("x") as found:
        next(found)


def in_the_end_of_a_lookup_by_cleanup(
    stage: Any, alpha: Any, beta: Any, host: Any, act: Callable[[], None]
) -> None:
    """In the end of a lookup, on the teardown thread."""

    def lookup(call: Any) -> Any:
        try:
            yield Service("x")
        finally:
            act()

    alpha.lookup_service = lookup
    with host.startup("alpha") as session:
        found = session.lookup("x")
        next(found)


def in_on_cancel(stage: Any, alpha: Any, beta: Any, host: Any, act: Callable[[], None]) -> None:
    """In a callback of the cancellation, on the teardown thread."""

    def lookup(call: Any) -> Any:
        call.cancellation.on_cancel(act)
        yield Service("x")

    alpha.lookup_service = lookup
    with host.startup("alpha") as session:
        found = session.lookup("x")
        next(found)


def in_own_thread(stage: Any, alpha: Any, beta: Any, host: Any, act: Callable[[], None]) -> None:
    """On a thread of `resources.thread`, at any time."""
    done = threading.Event()

    def run(stop: threading.Event) -> None:
        act()
        done.set()

    alpha.startup = lambda call: call.resources.thread(run) and None
    with host.startup("alpha"):
        assert done.wait(LONG)


def in_own_thread_that_was_started_by_a_call(
    stage: Any, alpha: Any, beta: Any, host: Any, act: Callable[[], None]
) -> None:
    """It is the provider's all the same."""
    done = threading.Event()
    kept: list[Any] = []

    def run(stop: threading.Event) -> None:
        stop.wait(LONG)
        act()
        done.set()

    alpha.startup = lambda call: kept.append(call.resources)
    alpha.ioctl = lambda call: kept.pop().thread(run) and None
    with host.startup("alpha") as session:
        session.ioctl(1)
    assert done.wait(LONG)


def in_worker_of_a_fan_out_inside(
    stage: Any, alpha: Any, beta: Any, host: Any, act: Callable[[], None]
) -> None:
    """In another provider, asked on a worker thread by a lookup that alpha makes."""
    beta.lookup_service = _acting_lookup(act)
    alpha.ioctl = lambda call: list(host.lookup("x")).clear()
    with host.startup("alpha") as session:
        session.ioctl(1)


def in_another_provider_inside(
    stage: Any, alpha: Any, beta: Any, host: Any, act: Callable[[], None]
) -> None:
    """In another provider, on the same thread."""
    beta.startup = lambda call: act()
    alpha.ioctl = lambda call: host.startup("beta").close()
    with host.startup("alpha") as session:
        session.ioctl(1)


def in_cleanup_of_another_inside(
    stage: Any, alpha: Any, beta: Any, host: Any, act: Callable[[], None]
) -> None:
    """In the teardown of another provider, that a call of alpha waits for."""
    beta.cleanup = lambda call: act()
    alpha.ioctl = lambda call: host.startup("beta").close()
    with host.startup("alpha") as session:
        session.ioctl(1)


def in_event_of_the_start(
    stage: Any, alpha: Any, beta: Any, host: Any, act: Callable[[], None]
) -> None:
    """In a subscriber: it is told before the start is over."""
    host.events.subscribe(lambda event: act() if event.kind == "started" else None)
    host.startup("alpha").close()


def in_event_of_the_end(
    stage: Any, alpha: Any, beta: Any, host: Any, act: Callable[[], None]
) -> None:
    """In a subscriber: it is told before the next start may begin."""
    host.events.subscribe(lambda event: act() if event.kind == "stopped" else None)
    host.startup("alpha").close()


def in_constructor(stage: Any, alpha: Any, beta: Any, host: Any, act: Callable[[], None]) -> None:
    """While the instance is made."""
    original = alpha.provider_class.__init__

    def make(self: Any) -> None:
        original(self)
        act()

    alpha.provider_class.__init__ = make
    host.startup("alpha").close()


def in_finaliser(stage: Any, alpha: Any, beta: Any, host: Any, act: Callable[[], None]) -> None:
    """While the instance is finalised."""
    alpha.provider_class.__del__ = lambda self: act()
    host.startup("alpha").close()


def _acting_lookup(act: Callable[[], None]) -> Callable[[Any], Any]:
    def lookup(call: Any) -> Any:
        act()
        yield Service("x")

    return lookup


PLACES = {name: place for name, place in dict(globals()).items() if name.startswith("in_")}

OPERATIONS: dict[str, Callable[[Any], Any]] = {
    "startup": lambda host: host.startup("alpha"),
    "cleanup": lambda host: host.cleanup("alpha"),
    "cleanup by GUID": lambda host: host.cleanup(host.providers()[0].guid),
    "lookup": lambda host: host.lookup("x", provider="alpha"),
    "timed lookup": lambda host: host.lookup("x", provider="alpha", timeout=LONG),
    "close": lambda host: host.close(),
}


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("place", PLACES)
def test_what_comes_back_is_refused(stage: Any, place: str, operation: str) -> None:
    """10036 before any other check; and what was under way ends as ever."""
    alpha, beta = stage.probe("alpha"), stage.probe("beta")
    host = stage.host(alpha, beta)
    answers: list[Any] = []

    def act() -> None:
        if answers:
            return
        try:
            answers.append(OPERATIONS[operation](host))
        except NspError as error:
            answers.append(error.code)

    PLACES[place](stage, alpha, beta, host, act)
    assert answers == [10036]
    if place != "in_rollback":
        assert alpha.calls[0] == "nsp_startup"
    if place not in ("in_startup_for_the_host", "in_rollback"):
        assert alpha.count("nsp_cleanup") == 1
        assert host.references("alpha") == 0


# A session has to be there before: not where the start itself is the place, or prepares it.
AT_THE_START = ("startup", "rollback", "event_of_the_start", "construct", "own_thread", "release")
LATER = [place for place in PLACES if not any(word in place for word in AT_THE_START)]


@pytest.mark.parametrize("place", LATER)
def test_a_session_that_is_closed_from_inside_is_closed_by_the_next_operation(
    stage: Any, place: str
) -> None:
    """It is queued: nothing is raised where nobody could do anything about it."""
    alpha, beta = stage.probe("alpha"), stage.probe("beta")
    host = stage.host(alpha, beta)
    done: list[str] = []
    session = host.startup("alpha")

    def act() -> None:
        if done:
            return
        session.close()
        for work in (
            lambda: session.ioctl(2),
            lambda: session.lookup("x"),
            lambda: session.supports("nsp_ioctl"),
        ):
            with pytest.raises(NotInitialisedError):
                work()
        assert "closed" in repr(session)
        # Another operation of the host, from inside, does not trip over it.
        assert host.references("beta") in (0, 1)
        done.append("queued")

    PLACES[place](stage, alpha, beta, host, act)
    if not done:  # a place that only the last cleanup reaches
        session.close()
    assert done == ["queued"]
    assert host.references("alpha") == 0
    assert alpha.count("nsp_cleanup") == 1


def test_a_queued_close_gives_back_one_reference_only(stage: Any) -> None:
    """Closed twice from inside, and once more outside."""
    alpha = stage.probe()
    host = stage.host(alpha)
    kept, session = host.startup("alpha"), host.startup("alpha")

    def ioctl(call: Any) -> None:
        session.close()
        session.close()

    alpha.ioctl = ioctl
    kept.ioctl(1)
    assert host.references("alpha") == 1
    session.close()
    assert host.references("alpha") == 1


def test_the_queue_is_worked_off_by_any_operation(stage: Any) -> None:
    """A startup of another provider, for instance; its own error is logged, not raised."""
    alpha, beta = stage.probe("alpha"), stage.probe("beta")
    host = stage.host(alpha, beta)
    session = host.startup("alpha")
    alpha.ioctl = lambda call: session.close()
    session.ioctl(1)
    assert alpha.count("nsp_cleanup") == 0
    host.startup("beta")
    assert alpha.count("nsp_cleanup") == 1


def test_errors_of_a_queued_close_are_logged(stage: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Nobody is there to be raised to."""
    alpha, beta = stage.probe("alpha"), stage.probe("beta")

    def cleanup(call: Any) -> None:
        raise NotInitialisedError("broken pipe")

    alpha.cleanup = cleanup
    host = stage.host(alpha, beta)
    session = host.startup("alpha")
    alpha.ioctl = lambda call: session.close()
    session.ioctl(1)
    host.startup("beta")
    assert "broken pipe" in caplog.text


def test_the_error_says_what_to_do(stage: Any) -> None:
    """It names the operation and the provider."""
    alpha = stage.probe()
    host = stage.host(alpha)
    errors: list[Any] = []

    def ioctl(call: Any) -> None:
        for operation in ("startup", "cleanup"):
            with pytest.raises(InProgressError) as caught:
                getattr(host, operation)("alpha")
            errors.append(caught.value)

    alpha.ioctl = ioctl
    with host.startup("alpha") as session:
        session.ioctl(1)
    for operation, error in zip(("startup", "cleanup"), errors, strict=True):
        assert f"{operation} of provider 'alpha' came from inside" in str(error)
        assert "do it after that call has come back" in str(error)
        assert error.guid == alpha.guid


def test_a_fan_out_passes_over_a_provider_it_comes_from_and_records_it(stage: Any) -> None:
    """The others are asked; the lookup tells 10036."""
    alpha, beta = stage.probe("alpha"), stage.probe("beta")
    host = stage.host(alpha, beta)
    seen: list[Any] = []

    def ioctl(call: Any) -> None:
        lookup = host.lookup("x")
        seen.extend([service.provider for service in lookup])
        seen.extend([(error.code, error.guid) for error in lookup.errors])

    alpha.ioctl = ioctl
    with host.startup("alpha") as session:
        session.ioctl(1)
    assert seen == [beta.guid, (10036, alpha.guid)]
    assert "nsp_lookup_service" not in alpha.calls


def test_a_fan_out_over_two_levels_passes_over_both(stage: Any) -> None:
    """Alpha asks beta on a worker, beta asks everybody."""
    alpha, beta, gamma = stage.probe("alpha"), stage.probe("beta"), stage.probe("gamma")
    host = stage.host(alpha, beta, gamma)
    seen: list[Any] = []

    def lookup(call: Any) -> Any:
        inner = host.lookup("y")
        seen.append([service.provider for service in inner])
        seen.append([error.code for error in inner.errors])
        yield Service("beta's")

    beta.lookup_service = lookup
    alpha.ioctl = lambda call: list(host.lookup("x", provider="beta", timeout=LONG)).clear()
    with host.startup("alpha") as session:
        session.ioctl(1)
    assert seen == [[gamma.guid], [10036, 10036]]


def test_what_a_provider_asks_of_others_is_answered(stage: Any) -> None:
    """From inside every hook all of the host works, for other providers."""
    alpha, beta = stage.probe("alpha"), stage.probe("beta")
    host = stage.host(alpha, beta)
    answers: list[Any] = []

    def ask(_call: Any) -> None:
        with host.startup("beta") as session:
            answers.append(session.ioctl(1))
            answers.append([service.name for service in session.lookup("x", timeout=LONG)])
        answers.append([service.name for service in host.lookup("x", provider="beta")])
        answers.append(host.cleanup("beta"))

    alpha.startup = alpha.ioctl = alpha.cleanup = ask
    with host.startup("alpha") as session:
        session.ioctl(1)
    assert answers == [None, ["found"], ["found"], True] * 3


def test_calls_through_its_own_sessions_are_no_reentry(stage: Any) -> None:
    """Only what starts, stops or begins through the host is: a call may call another hook."""
    alpha = stage.probe()
    host = stage.host(alpha)
    alpha.ioctl = lambda call: session.ioctl(call.code - 1) if call.code else b"end"
    with host.startup("alpha") as session:
        assert session.ioctl(5) == b"end"
    assert alpha.count("nsp_ioctl") == 6


def test_the_same_provider_in_another_host_is_another(stage: Any) -> None:
    """Two hosts share nothing, so nothing comes back."""
    alpha = stage.probe()
    first, second = stage.host(alpha), stage.host(catalog=_catalog_of(alpha))
    answers: list[Any] = []

    def ioctl(call: Any) -> None:
        if call.code:
            with second.startup("alpha") as other:
                answers.append(other.ioctl(0))

    alpha.ioctl = ioctl
    with first.startup("alpha") as session:
        session.ioctl(1)
    assert answers == [None]


def test_two_hosts_that_start_each_other_s_providers_do_not_wait_for_ever(stage: Any) -> None:
    """The chain goes over all hosts."""
    alpha = stage.probe()
    first, second = stage.host(alpha), stage.host(catalog=_catalog_of(alpha))
    answers: list[Any] = []

    def startup(call: Any) -> None:
        host = second if len(alpha.calls) == 1 else first
        try:
            answers.append(host.startup("alpha"))
        except NspError as error:
            answers.append(error.code)

    alpha.startup = startup
    first.startup("alpha")
    assert answers[0] == 10036
    assert second.references("alpha") == 1


def _catalog_of(probe: Any) -> Any:
    from nspkit import Catalog

    catalog = Catalog()
    catalog.install(probe.provider_class)
    return catalog


# -- signal handlers ---------------------------------------------------------------------------


@pytest.fixture
def on_signal() -> Any:
    """A function that sets what a signal does, and one that raises it on this thread."""
    before = signal.getsignal(signal.SIGURG)

    def set_handler(action: Callable[[], None]) -> Callable[[], None]:
        signal.signal(signal.SIGURG, lambda _number, _frame: action())
        return lambda: signal.raise_signal(signal.SIGURG)

    yield set_handler
    signal.signal(signal.SIGURG, before)


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("moment", ["nsp_startup", "nsp_ioctl"])
def test_a_signal_handler_in_a_hook_is_refused(
    stage: Any, on_signal: Any, operation: str, moment: str
) -> None:
    """It runs on the thread that is inside."""
    alpha, beta = stage.probe("alpha"), stage.probe("beta")
    host = stage.host(alpha, beta)
    answers: list[Any] = []

    def act() -> None:
        try:
            answers.append(OPERATIONS[operation](host))
        except NspError as error:
            answers.append(error.code)

    strike = on_signal(act)
    setattr(alpha, moment.removeprefix("nsp_"), lambda call: strike())
    with host.startup("alpha") as session:
        if moment == "nsp_ioctl":
            session.ioctl(1)
    assert answers == [10036]


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("wait", ["start", "stop"])
def test_a_signal_handler_while_this_thread_waits_is_refused(
    stage: Any, until: Any, lifetime_of: Any, operation: str, wait: str
) -> None:
    """It must not wait for what its own thread waits for."""
    alpha, beta = stage.probe("alpha"), stage.probe("beta")
    host = stage.host(alpha, beta)
    begun, gate = threading.Event(), stage.gate()
    answers: list[Any] = []
    main = threading.get_ident()

    def hang(call: Any) -> None:
        begun.set()
        assert gate.wait(LONG)

    def act(_number: int, _frame: Any) -> None:
        if not answers:
            try:
                answers.append(OPERATIONS[operation](host))
            except NspError as error:
                answers.append(error.code)

    def strike() -> None:
        until(lambda: main in lifetime_of(host, "alpha").barred)
        while not answers:
            signal.pthread_kill(main, signal.SIGURG)
            threading.Event().wait(0.01)
        gate.set()

    before = signal.signal(signal.SIGURG, act)
    try:
        if wait == "start":
            alpha.startup = hang
            other = stage.task(host.startup, "alpha")
            assert begun.wait(LONG)
            striker = stage.task(strike)
            host.startup("alpha").close()
            other.result().close()
        else:
            alpha.cleanup = hang
            session = host.startup("alpha")
            striker = stage.task(strike)
            session.close()
        striker.result()
    finally:
        signal.signal(signal.SIGURG, before)
    assert answers == [10036]
    assert host.references("alpha") == 0


STRIKES: dict[str, Callable[[Any, list[Any]], Any]] = {
    "startup": lambda host, sessions: host.startup("alpha"),
    "cleanup": lambda host, sessions: host.cleanup("alpha"),
    "lookup": lambda host, sessions: list(host.lookup("x", provider="alpha")),
    "close": lambda host, sessions: host.close(timeout=5),
    "session": lambda host, sessions: [session.close() for session in sessions],
}


@pytest.mark.parametrize("operation", STRIKES)
@pytest.mark.parametrize("interrupted", ["first startup", "nested startup", "last close"])
def test_a_handler_that_strikes_at_any_point_ends_and_loses_nothing(
    stage: Any, at_every_point: Any, lifetime_of: Any, operation: str, interrupted: str
) -> None:
    """It is refused, or it came at a moment when it could be done; then the account says so."""
    spare: list[Any] = []

    def prepare() -> Any:
        host = stage.host(stage.probe("alpha"))
        stage.hosts.clear()
        nested = 2 if interrupted == "nested startup" else 0
        spare[:] = [host.startup("alpha") for _ in range(nested)]
        session = host.startup("alpha") if interrupted == "last close" else None
        return host, session

    def operate(subject: Any) -> None:
        host, session = subject
        session.close() if session is not None else host.startup("alpha")

    def action(subject: Any) -> None:
        try:
            host, session = subject
            STRIKES[operation](host, spare[:1] if session is None else [session])
        except (InProgressError, NotInitialisedError):
            pass  # 10036, or 10093: too late, or too early

    def check(subject: Any, where: str) -> None:
        host, _session = subject
        lifetime = lifetime_of(host, "alpha") if host._closing.because is None else None
        if lifetime is not None:
            assert not lifetime.inside, where
            assert not lifetime.barred, where
            assert not lifetime._lock._is_owned(), where
            assert lifetime.state in ("started", "stopped"), where
            assert (lifetime.count > 0) is (lifetime.state == "started"), where
        stage.elsewhere(host.close)

    swallow = (NotInitialisedError,)
    assert at_every_point(prepare, operate, check, action=action, swallow=swallow) > 3


def test_a_handler_under_the_lock_of_the_account_is_refused(
    stage: Any, on_signal: Any, lifetime_of: Any
) -> None:
    """The lock knows its owner; it is not waited for."""
    host = stage.host(stage.probe())
    session = host.startup("alpha")
    codes: list[int] = []

    def act() -> None:
        for operation in (host.lookup, host.close):
            with pytest.raises(InProgressError) as caught:
                operation() if operation == host.close else operation("x", provider="alpha")
            codes.append(caught.value.code)

    strike = on_signal(act)
    with lifetime_of(host, "alpha")._lock:
        strike()
    assert codes == [10036, 10036]
    session.close()


# -- under no lock -----------------------------------------------------------------------------


@pytest.mark.parametrize("place", PLACES)
def test_no_foreign_code_runs_under_a_lock(stage: Any, locks_of: Any, place: str) -> None:
    """Not one of the host's is owned, and every other thread can do everything with others."""
    alpha, beta = stage.probe("alpha"), stage.probe("beta")
    gamma = stage.probe("gamma")
    host = stage.host(alpha, beta, gamma)
    seen: list[Any] = []

    def everything() -> Any:
        with host.startup("gamma") as session:
            session.ioctl(1)
            names = [service.name for service in session.lookup("x")]
            names += [service.name for service in session.lookup("x", timeout=LONG)]
            # One more where a fan-out, which asks gamma too, was quicker to start it.
            assert host.references("gamma") in (1, 2)
            host.startup("gamma")
            assert host.cleanup("gamma") is False
            unsubscribe = host.events.subscribe(print)
            unsubscribe()
            host.providers()
        return names

    def act() -> None:
        if not seen:
            seen.append([lock for lock in locks_of(host) if lock._is_owned()])
            seen.append(stage.elsewhere(everything))

    PLACES[place](stage, alpha, beta, host, act)
    assert seen == [[], ["found", "found"]]
