"""Rules about threads and processes."""

from __future__ import annotations

import contextlib
import threading
from functools import partial
from itertools import cycle, repeat
from time import monotonic
from typing import TYPE_CHECKING, Any

from nspkit import Cancellation, ServiceOperation
from nspkit.errors import CancelledError, NotInitialisedError, NspError
from nspkit.testing._forking import in_a_child
from nspkit.testing._instance import close, taken
from nspkit.testing._limits import Errand, Hand, at_once
from nspkit.testing._lookup import query_for
from nspkit.testing._rule import broken, require, rule, rules_in, told

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nspkit import Session
    from nspkit.testing._case import Case
    from nspkit.testing._instance import Instance

    Hands = Iterator[Hand]

LOOKUP, SET, NOTIFY = "nsp_lookup_service", "nsp_set_service", "nsp_notify_change"
THREADS = 8
STEPS = 100
"""After how many steps a lookup without end has shown what it does with threads."""


@rule("concurrency")
def cleanup_on_another_thread(case: Case) -> None:
    """A provider that was started on one thread is stopped on another one."""
    instance = case.instance()
    with Hand(case.patience) as first, Hand(case.patience) as second:
        settings, resources = dict(case.settings), instance.resources
        first(
            "nsp_startup",
            lambda: instance.call("nsp_startup", settings=settings, resources=resources),
        )
        try:
            second("nsp_cleanup", lambda: instance.call("nsp_cleanup"))
            second("the release of the resources", resources.close)
        except Exception as error:
            broken(
                f"the end on another thread than the start failed: {told(error)}; tie nothing to "
                "a thread (sqlite3: check_same_thread=False; no threading.local, no context "
                "variable)",
                error,
            )


@rule("concurrency")
def starts_on_many_threads(case: Case) -> None:
    """Several hosts can start and stop it at the same moment."""

    def start_and_stop(_number: int) -> None:
        with case.running():
            pass

    _together(case, "a start and a stop", start_and_stop, "share nothing between instances")


@rule("concurrency", LOOKUP)
def many_lookups_at_once(case: Case) -> None:
    """Lookups on several threads at once find what one finds alone."""
    with case.running() as instance:
        began = monotonic()
        alone = {str(getattr(found, "name", found)) for found in instance.find()}
        # It may well have one connection for all of them, which they take in turn.
        time = max(case.patience, 2 * THREADS * (monotonic() - began))

        def look_up(_number: int) -> set[str]:
            results = instance.lookup(None, Cancellation(monotonic() + time))
            names = {str(getattr(found, "name", found)) for found in taken(results, time)}
            close(results)
            return names

        way = "guard what threads share with a lock"
        for names in _together(case, "a lookup", look_up, way, time):
            require(
                names == alone,
                f"alone a lookup finds {sorted(alone)}, on one of {THREADS} threads "
                f"{sorted(names)}; {way}",
            )


@rule("concurrency", LOOKUP)
def steps_on_any_thread(case: Case) -> None:
    """Each step of a lookup, and its end, may be on another thread."""
    with case.running() as instance:
        _on_two_threads(case, "lookup", partial(_look_up_in_steps, case, instance))


@rule("concurrency", LOOKUP)
def no_context_across_a_step(case: Case) -> None:
    """A lookup keeps no token of a context variable from one step to another.

    Each step runs in a context of its own; a token of another context cannot be reset.
    """
    with case.running() as instance:
        _in_several_contexts(case, "lookup", partial(_look_up_in_steps, case, instance))


@rule("concurrency", NOTIFY)
def watch_steps_on_any_thread(case: Case) -> None:
    """Each step of a watch, and its end, may be on another thread."""
    with case.running() as instance:
        _on_two_threads(case, "watch", partial(_watch_in_steps, case, instance))


@rule("concurrency", NOTIFY)
def no_context_across_a_watch_step(case: Case) -> None:
    """A watch keeps no token of a context variable from one step to another."""
    with case.running() as instance:
        _in_several_contexts(case, "watch", partial(_watch_in_steps, case, instance))


def _on_two_threads(case: Case, what: str, step_through: Callable[[Hands, int], None]) -> None:
    with Hand(case.patience) as first, Hand(case.patience) as second:
        try:
            for most in (STEPS, 1):
                step_through(cycle((first, second)), most)
        except AssertionError:
            raise
        except Exception as error:
            broken(
                f"a {what} whose steps are on several threads failed: {told(error)}; tie an "
                "iterator to no thread: no connection that checks its thread, no threading.local",
                error,
            )


def _in_several_contexts(case: Case, what: str, step_through: Callable[[Hands, int], None]) -> None:
    with Hand(case.patience) as hand:  # which runs each thing in a context of its own
        try:
            for most in (1, STEPS):
                step_through(repeat(hand), most)
        except AssertionError:
            raise
        except Exception as error:
            broken(
                f"a {what} whose steps are in several contexts failed: {told(error)}; set and "
                "reset a context variable within one step, never across a yield",
                error,
            )


def _look_up_in_steps(case: Case, instance: Instance, hands: Hands, most: int) -> None:
    results = next(hands)("the beginning of a lookup", instance.lookup)
    for _step in range(most):
        case.go_on()
        if next(hands)("a step of a lookup", partial(next, results, None)) is None:
            break
    next(hands)("the end of a lookup", partial(close, results))


def _watch_in_steps(case: Case, instance: Instance, hands: Hands, most: int) -> None:
    """Go through a watch until it waits for a change; it is cancelled then."""
    cancellation, over = Cancellation(), object()
    beginning = partial(instance.watch, None, cancellation)
    changes = next(hands)("the beginning of a watch", beginning)
    for _step in range(most):
        case.go_on()
        step = next(hands).begin("a step of a watch", partial(next, changes, over))
        step.wait(0.05)
        if not step.is_over:
            cancellation.cancel()
        try:
            if step.result(case.patience) is over:
                break
        except CancelledError:
            break
    cancellation.cancel()
    next(hands)("the end of a watch", partial(close, changes))


@rule("concurrency", LOOKUP)
def cleanup_with_lookups_open(case: Case) -> None:
    """A final cleanup comes through while lookups are half read and others are in progress.

    The host ends them first: those who read get CancelledError or NotInitialisedError.
    """
    with case.open_host() as host:
        session = case.startup(host)
        half_read = case.within("the beginning of a lookup", lambda: session.lookup(case.query))
        case.within("a step of a lookup", lambda: next(half_read, None))
        begun = threading.Barrier(3)
        errands = [
            Errand("lookups during a cleanup", lambda: _look_up_until_closed(case, session, begun))
            for _number in range(2)
        ]
        with contextlib.suppress(threading.BrokenBarrierError):  # they tell why
            begun.wait(case.patience)
        try:
            case.end(host)
        except NspError as error:
            broken(
                f"a final cleanup with lookups in progress failed: {told(error)}; end a lookup in "
                "the finally of its generator, and do not count on its last step",
                error,
            )
        for errand in errands:
            errand.result(case.patience)


def _look_up_until_closed(case: Case, session: Session, begun: threading.Barrier) -> None:
    try:
        for turn in range(100_000):
            with session.lookup(case.query) as lookup:
                if turn == 0:
                    begun.wait(case.patience)
                taken(lookup, case.patience)
    except (CancelledError, NotInitialisedError):
        pass


@rule("concurrency", NOTIFY)
def cleanup_while_a_watch_waits(case: Case) -> None:
    """A final cleanup comes through while a watch waits for a change."""
    with case.open_host() as host:
        session = case.startup(host)
        watch = case.within("the beginning of a watch", lambda: session.watch(case.query))
        case.within("a step of a watch", lambda: watch.wait(0.05))
        try:
            case.end(host)
        except NspError as error:
            broken(
                f"a final cleanup while a watch waited failed: {told(error)}; have "
                "nsp_notify_change come back when cancellation says so, with on_cancel or wait",
                error,
            )


@rule("concurrency", SET, LOOKUP)
def registrations_at_once(case: Case) -> None:
    """Registrations on several threads at once are all there in the end."""
    names = [f"{case.service.name}-{number}" for number in range(THREADS)]
    services = [case.service.replace(name=name) for name in names]
    with case.running() as instance:

        def setting(number: int, operation: ServiceOperation) -> None:
            instance.call(SET, service=services[number], operation=operation, multiple=False)

        way = "guard what threads share with a lock"
        try:
            _together(case, SET, lambda number: setting(number, ServiceOperation.REGISTER), way)
            for service in services:
                require(
                    instance.find(query_for(service)),
                    f"of {THREADS} registrations at once {service.name!r} is not found; {way}",
                )
        finally:
            for number in range(THREADS):
                try:
                    setting(number, ServiceOperation.DELETE)
                except NspError:
                    pass  # that one never was there


@rule("concurrency")
def survives_a_fork(case: Case) -> None:
    """After a fork the parent's provider goes on, and the child can start one of its own.

    The child drops nothing of the parent's; it makes a host of its own, starts the provider, looks
    up and stops it.
    """

    def child() -> None:
        with case.session() as own:
            if case.has(LOOKUP):
                case.find(own)

    with case.session() as session:
        wrong = in_a_child(child, 2 * case.patience)
        require(
            not wrong,
            f"in a forked child a start of its own failed: {wrong}; keep nothing per process "
            "outside of the instance, and no lock that a thread may hold while another one forks",
        )
        if case.has(LOOKUP):
            try:
                case.find(session)
            except NspError as error:
                broken(f"after a fork the parent's lookup failed: {told(error)}", error)


def _together(
    case: Case, what: str, function: Any, way: str, time: float | None = None
) -> list[Any]:
    try:
        return at_once(THREADS, what, function, case.patience if time is None else time)
    except AssertionError:
        raise
    except Exception as error:
        broken(f"{what} on {THREADS} threads at once failed: {told(error)}; {way}", error)


RULES = rules_in(globals())
