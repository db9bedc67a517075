"""The guard: who is inside a provider is known, at every moment, whatever interrupts."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from typing import Any

import pytest

from nspkit import Service
from nspkit.errors import NotInitialisedError, NspError

LONG = 30.0


@pytest.fixture
def alpha(stage: Any) -> Any:
    """A provider that answers requests with bytes."""
    alpha = stage.probe()
    alpha.ioctl = lambda call: b"answer"
    return alpha


def test_a_thread_is_inside_from_the_call_until_it_came_back(
    stage: Any, alpha: Any, lifetime_of: Any
) -> None:
    """By its identity, with the name of the hook."""
    host = stage.host(alpha)
    lifetime = lifetime_of(host, "alpha")
    seen: list[dict[int, str]] = []
    alpha.startup = alpha.ioctl = lambda call: seen.append(dict(lifetime.inside))
    with host.startup("alpha") as session:
        session.ioctl(1)
        assert lifetime.inside == {}
    me = threading.get_ident()
    assert seen == [{me: "nsp_startup"}, {me: "nsp_ioctl"}]


def test_each_step_of_a_lookup_is_inside(stage: Any, alpha: Any, lifetime_of: Any) -> None:
    """And between two steps nobody is."""
    host = stage.host(alpha)
    lifetime = lifetime_of(host, "alpha")
    seen: list[dict[int, str]] = []

    def lookup(call: Any) -> Any:
        try:
            seen.append(dict(lifetime.inside))
            yield Service("x")
        finally:
            seen.append(dict(lifetime.inside))

    alpha.lookup_service = lookup
    with host.startup("alpha") as session, session.lookup("x") as found:
        next(found)
        assert lifetime.inside == {}
    me = threading.get_ident()
    assert [list(one) for one in seen] == [[me], [me]]
    assert all("nsp_lookup_service" in one[me] for one in seen)


@pytest.mark.parametrize("error", [ValueError("odd"), KeyboardInterrupt(), SystemExit()], ids=repr)
def test_an_error_leaves_nobody_inside(
    stage: Any, alpha: Any, lifetime_of: Any, error: BaseException
) -> None:
    """Whatever it is."""

    def ioctl(call: Any) -> None:
        raise error

    alpha.ioctl = ioctl
    host = stage.host(alpha)
    with host.startup("alpha") as session:
        with pytest.raises((NspError, KeyboardInterrupt)):
            session.ioctl(1)
        assert lifetime_of(host, "alpha").inside == {}


def test_a_nested_call_leaves_the_outer_one_inside(
    stage: Any, alpha: Any, lifetime_of: Any
) -> None:
    """The cleanup waits for the outermost."""
    host = stage.host(alpha)
    lifetime = lifetime_of(host, "alpha")
    seen: list[set[int]] = []

    def ioctl(call: Any) -> None:
        if call.code:
            session.ioctl(0)
            seen.append(set(lifetime.inside))

    alpha.ioctl = ioctl
    with host.startup("alpha") as session:
        session.ioctl(1)
    assert seen == [{threading.get_ident()}]
    assert lifetime.inside == {}


def test_a_refused_call_leaves_nobody_inside(stage: Any, alpha: Any, lifetime_of: Any) -> None:
    """It was never let in."""
    host = stage.host(alpha)
    session = host.startup("alpha")
    routine = session._table.nsp_ioctl
    host.cleanup("alpha")
    for call in (session.ioctl, routine):
        with pytest.raises(NotInitialisedError):
            call(1)
    assert lifetime_of(host, "alpha").inside == {}


def test_a_routine_that_was_taken_before_the_end_refuses_after_it(stage: Any, alpha: Any) -> None:
    """Whoever kept it past the cleanup is told, and reaches no dead provider (10093)."""
    host = stage.host(alpha)
    session = host.startup("alpha")
    routine = session._table.nsp_ioctl
    assert routine(1, b"") == b"answer"
    session.close()
    host.startup("alpha")
    with pytest.raises(NotInitialisedError) as caught:
        routine(1, b"")
    assert (caught.value.code, caught.value.guid) == (10093, alpha.guid)


def test_a_call_that_comes_while_the_end_begins_is_waited_for_or_refused(
    stage: Any, alpha: Any
) -> None:
    """Of the two, one sees the other: no call is ever inside beside `nsp_cleanup`."""
    state = {"up": False}
    wrong: list[str] = []

    def ioctl(call: Any) -> None:
        if not state["up"]:
            wrong.append("inside while down")

    alpha.startup = lambda call: state.update(up=True)
    alpha.cleanup = lambda call: state.update(up=False)
    alpha.ioctl = ioctl
    host = stage.host(alpha)
    for _ in range(200):
        session = host.startup("alpha")
        barrier = threading.Barrier(3)

        def call(session: Any = session, barrier: threading.Barrier = barrier) -> int:
            barrier.wait(LONG)
            done = 0
            try:
                while True:
                    session.ioctl(1)
                    done += 1
            except NotInitialisedError:
                return done

        tasks = [stage.task(call) for _ in range(2)]
        barrier.wait(LONG)
        session.close()
        for task in tasks:
            task.result()
        stage.tasks.clear()
    assert wrong == []


@pytest.mark.parametrize(
    "work",
    [
        lambda session: session.ioctl(1),
        lambda session: session.ioctl(2),
        lambda session: list(session.lookup("x")),
        lambda session: session.lookup("x").close(),
    ],
    ids=["call", "failing call", "lookup", "open lookup"],
)
def test_a_call_that_is_struck_at_any_point_leaves_nobody_inside(
    stage: Any, alpha: Any, at_every_point: Any, lifetime_of: Any, work: Callable[[Any], Any]
) -> None:
    """An entry is not a number: it cannot be lost or counted twice."""

    def ioctl(call: Any) -> bytes:
        if call.code == 2:
            raise ValueError("odd")
        return b"answer"

    alpha.ioctl = ioctl
    host = stage.host(alpha)
    session = host.startup("alpha")
    lifetime = lifetime_of(host, "alpha")

    def check(_subject: None, where: str) -> None:
        assert lifetime.inside == {}, where
        assert lifetime.barred == {}, where
        assert host.references("alpha") == 1, where

    swallow = (KeyboardInterrupt, NspError)
    points = at_every_point(lambda: None, lambda _: work(session), check, swallow=swallow)
    assert points >= 3
    session.close()
    assert alpha.count("nsp_cleanup") == 1


def test_a_storm_of_signals_over_routed_calls_loses_nobody(
    stage: Any, alpha: Any, storm: Any, lifetime_of: Any
) -> None:
    """Thousands of calls, hundreds of interrupts; then the cleanup finds nobody inside."""
    host = stage.host(alpha)
    session = host.startup("alpha")
    lifetime = lifetime_of(host, "alpha")

    def call() -> None:
        for _ in range(10):
            session.ioctl(1)

    assert storm(call, strikes=300, rounds=500, every=0.0005, each=10) >= 300
    assert lifetime.inside == {}
    assert host.cleanup("alpha", timeout=LONG) is True
    assert alpha.count("nsp_cleanup") == 1


def test_a_storm_of_signals_over_nested_startups_loses_no_count(
    stage: Any, alpha: Any, storm: Any, lifetime_of: Any
) -> None:
    """What was taken is given back, by its session or by the startup that was interrupted."""
    host = stage.host(alpha)
    kept = host.startup("alpha")
    sessions: list[Any] = []

    def pair() -> None:
        sessions.append(host.startup("alpha"))
        sessions[-1].close()

    assert storm(pair, strikes=300, rounds=5_000, every=0.0005) >= 300
    for session in sessions:
        session.close()
    assert host.references("alpha") == 1
    assert lifetime_of(host, "alpha").barred == {}
    kept.close()
    assert alpha.calls == ["nsp_startup", "nsp_cleanup"]


@pytest.mark.parametrize("hook", ["ioctl", "lookup_service"])
def test_an_interrupt_in_a_hook_passes_to_the_caller(stage: Any, alpha: Any, hook: str) -> None:
    """It is the user's: neither translated nor swallowed."""

    def strike(call: Any) -> Any:
        signal.raise_signal(signal.SIGINT)

    setattr(alpha, hook, strike)
    host = stage.host(alpha)
    with host.startup("alpha") as session, pytest.raises(KeyboardInterrupt):
        session.ioctl(1) if hook == "ioctl" else list(session.lookup("x"))
    assert alpha.calls[-1] == "nsp_cleanup"
