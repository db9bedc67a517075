"""Rules about what is left behind."""

from __future__ import annotations

import atexit
import contextlib
import os
import traceback
from functools import partial
from typing import TYPE_CHECKING, Any

from nspkit.errors import NspError
from nspkit.testing._faults import (
    MOST_POINTS,
    Fault,
    Lines,
    Points,
    code_of,
    interrupt,
    start_with_fault,
)
from nspkit.testing._leaks import LeakReport
from nspkit.testing._process import process_state
from nspkit.testing._rule import require, rule, rules_in
from nspkit.testing._unclosed import unclosed, unheard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nspkit.testing._case import Case

LOOKUP = "nsp_lookup_service"
WARM = 2


def _use(case: Case) -> None:
    """Start it in a host, look up, and stop it."""
    with case.session() as session:
        if case.has(LOOKUP):
            with contextlib.suppress(NspError):
                case.find(session)


def _left_by_one_use(case: Case) -> LeakReport:
    for _turn in range(WARM):
        _use(case)  # what is made once per process, by the standard library too, is there then
    with _report(case) as leaks:
        _use(case)
    return leaks


def _report(case: Case) -> LeakReport:
    return LeakReport(case.provider, patience=_moment(case))


def _things(case: Case) -> LeakReport:
    """Return a report on everything but instances: looking for those takes a while each time."""
    return LeakReport(patience=_moment(case))


def _moment(case: Case) -> float:
    return min(2.0, case.patience / 4)


@rule("leaks")
def no_thread(case: Case) -> None:
    """After the final cleanup no thread of the provider runs."""
    left = _left_by_one_use(case).threads
    require(not left, f"a thread is left: {_list(left)}; start it with resources.thread")


@rule("leaks")
def no_descriptor(case: Case) -> None:
    """After the final cleanup no file or socket of the provider is open."""
    left = _left_by_one_use(case).descriptors
    require(
        not left,
        f"a descriptor is left: {_list(left)}; put it into resources, with enter_context or "
        "callback, as soon as it is open",
    )


@rule("leaks")
def no_child(case: Case) -> None:
    """After the final cleanup no child process of the provider is left, not even an ended one."""
    left = _left_by_one_use(case).children
    require(
        not left,
        f"a child process is left: {_list(left)}; end it and wait for it, in a callback of "
        "resources",
    )


@rule("leaks")
def no_instance(case: Case) -> None:
    """After the final cleanup nothing refers to the instance any more."""
    left = _left_by_one_use(case).instances
    require(
        not left,
        f"an instance is left: {_list(left)}; take back what was given away, in a callback of "
        "resources",
    )


@rule("leaks")
def closes_what_it_opens(case: Case) -> None:
    """What was opened is closed: nothing is left to garbage collection.

    A start, a lookup and a stop in which Python gives no ResourceWarning. It gives one for a file
    or a socket, for instance, and since 3.13 for a connection of sqlite3.
    """
    with unclosed() as left:
        _use(case)
    require(
        not left,
        f"something is left to garbage collection: {_list(left)}; put it into resources, with "
        "enter_context or callback, or close it in the finally of the lookup that opens it",
    )


@rule("leaks")
def nothing_adds_up(case: Case) -> None:
    """A hundred starts and stops leave as much as none: nothing adds up."""
    _use(case)
    with _report(case) as leaks:
        for _turn in range(case.rounds):
            _use(case)
    require(not leaks, f"after {case.rounds} starts and stops there is {leaks}")


@rule("leaks")
def failed_startup(case: Case) -> None:
    """A startup that fails at any acquisition leaves nothing behind.

    The kit has each file, socket, thread and process of a startup fail in turn, and each step
    after something went into resources. After a failed startup nsp_cleanup is not called.
    """
    _fail_everywhere(case, None, "fails")


@rule("leaks")
def interrupted_startup(case: Case) -> None:
    """A startup that is interrupted at any acquisition leaves nothing behind.

    As for a failure, with KeyboardInterrupt, which ``except Exception`` does not catch.
    """
    _fail_everywhere(case, KeyboardInterrupt, "is interrupted")


def _fail_everywhere(case: Case, fault: Fault | None, happens: str) -> None:
    with case.running():
        pass
    way = (
        "put each thing into resources as soon as it is acquired, and what comes as a pair in one "
        "callback: after a failed startup there is no nsp_cleanup"
    )
    with unheard(), _report(case) as all_of_it:
        for turn in range(1, MOST_POINTS + 1):
            points = Points(turn, fault)
            with _things(case) as leaks:
                start_with_fault(case, points)
            if not points.where:
                break
            require(
                not leaks,
                f"a startup that {happens} at acquisition {turn} ({points.where}) leaves "
                f"something: {leaks}\n{way}",
            )
    require(not all_of_it, f"a startup that {happens} leaves something: {all_of_it}\n{way}")


@rule("leaks")
def interrupted_cleanup(case: Case) -> None:
    """A cleanup that is interrupted at any of its lines leaves nothing behind.

    Resources are released whatever happens, nsp_cleanup may be cut short. Where it can, the
    provider looks up before, so that what a lookup opens is open.
    """
    with case.running():
        pass
    way = "put into resources what must be given back"
    with unheard(), _report(case) as all_of_it:
        turn, reached = 1, 1
        while turn <= min(reached, MOST_POINTS):
            with _things(case) as leaks:
                reached = _interrupt_cleanup(case, turn)
            require(
                not leaks,
                f"a cleanup that is interrupted at its line {turn} leaves something: {leaks}\n"
                f"{way}",
            )
            turn += 1
    require(not all_of_it, f"an interrupted cleanup leaves something: {all_of_it}\n{way}")


def _interrupt_cleanup(case: Case, turn: int) -> int:
    instance = case.instance()
    instance.start()
    instance.used()
    method = getattr(instance.object, case.implementations["nsp_cleanup"])
    lines = Lines(code_of(method), turn, interrupt)
    try:
        case.within("nsp_cleanup", lambda: lines.run(lambda: instance.call("nsp_cleanup")))
    except KeyboardInterrupt:
        pass
    finally:
        instance.give_back()
    return lines.reached


@rule("leaks", LOOKUP)
def lookups_left_open(case: Case) -> None:
    """A lookup that nobody reads to its end leaves nothing behind.

    Some are closed, some are dropped, some are open when the host is closed.
    """
    with case.running():
        pass
    with _report(case) as leaks, case.session() as session:
        kept: list[object] = []
        for turn in range(30):
            # What was dropped before ends here, and may block.
            lookup = case.within("the beginning of a lookup", partial(session.lookup, case.query))
            with contextlib.suppress(NspError):
                case.within("a step of a lookup", partial(next, lookup, None))
            if turn % 3 == 0:
                case.within("the end of a lookup", lookup.close)
            elif turn % 3 == 1 and len(kept) < 2:  # a provider may well bound what is open at once
                kept.append(lookup)
            del lookup
    kept.clear()
    require(
        not leaks,
        f"lookups that were not read to their end leave something: {leaks}\ngive back in the "
        "finally of the generator, or in close()",
    )


@rule("leaks")
def nothing_for_ever(case: Case) -> None:
    """A start registers nothing that cannot be taken back: no fork handler, nothing at exit.

    os.register_at_fork has no opposite, and atexit keeps what it calls alive. Once per process,
    in the body of a module that nsp_startup imports, is allowed; once per start adds up.
    """
    _use(case)
    at_fork: list[str] = []
    at_exit: list[tuple[object, str]] = []
    with _noting(at_fork, at_exit) as registered:
        before = atexit._ncallbacks()
        _use(case)
        # One that was taken back still counts there.
        hidden = atexit._ncallbacks() - before - len(registered)
    require(
        not at_fork,
        f"a start calls {_list(at_fork)}, which is for ever; use resources, which end with the "
        "provider",
    )
    places = [place for _, place in at_exit] + ["by another name"] * hidden
    require(
        not places,
        f"a start leaves {len(places)} functions with atexit ({_list(places)}); use "
        "resources.callback, or take them back in one",
    )


@contextlib.contextmanager
def _noting(at_fork: list[str], at_exit: list[tuple[object, str]]) -> Iterator[list[object]]:
    """Note what is registered at forks and at the exit, and not taken back; yields all of it."""
    registered: list[object] = []

    def register(function: Any, /, *args: Any, **kwargs: Any) -> Any:
        registered.append(function)
        at_exit.append((function, _place("atexit.register")))
        return originals["register"](function, *args, **kwargs)

    def unregister(function: Any) -> None:
        at_exit[:] = [one for one in at_exit if one[0] != function]
        originals["unregister"](function)

    def register_at_fork(**_functions: Any) -> None:
        # It could not be taken back: better not to do it at all.
        at_fork.append(_place("os.register_at_fork"))

    originals: dict[str, Callable[..., Any]] = {
        "register": atexit.register,
        "unregister": atexit.unregister,
    }
    with contextlib.ExitStack() as stack:
        for module, stand_in in (
            (atexit, register),
            (atexit, unregister),
            (os, register_at_fork),
        ):
            name = stand_in.__name__
            if hasattr(module, name):
                stack.callback(setattr, module, name, getattr(module, name))
                setattr(module, name, stand_in)
        yield registered


def _place(what: str) -> str:
    frame = traceback.extract_stack()[-3]
    return f"{what} at {frame.filename}:{frame.lineno} in {frame.name}"


@rule("leaks")
def process_is_as_before(case: Case) -> None:
    """After the final cleanup the process is as it was: folder, environment, signals, hooks."""
    _use(case)
    before = process_state()
    _use(case)
    after = process_state()
    changed = sorted(name for name in before if before[name] != after[name])
    require(
        not changed,
        f"a start and a stop changed {', '.join(changed)} of the process; leave it alone: it is "
        "the application's",
    )


def _list(left: Any) -> str:
    return "; ".join(left)


RULES = rules_in(globals())
