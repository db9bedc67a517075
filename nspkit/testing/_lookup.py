"""Rules about lookups."""

from __future__ import annotations

import contextlib
import uuid
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple

from nspkit import Cancellation, LookupFlags, Query, Service
from nspkit.errors import (
    CancelledError,
    NoDataError,
    NspError,
    OperationTimeoutError,
    ServiceNotFoundError,
    TryAgainError,
)
from nspkit.testing._case import attempt
from nspkit.testing._instance import Ration, close, taken
from nspkit.testing._rule import broken, require, rule, rules_in, told

if TYPE_CHECKING:
    from collections.abc import Callable

    from nspkit.testing._case import Case
    from nspkit.testing._instance import Instance

LOOKUP = "nsp_lookup_service"


@rule("lookup", LOOKUP)
def finds(case: Case) -> None:
    """The query that the kit was given finds something."""
    with case.running() as instance:
        try:
            found = instance.find()
        except Exception as error:
            if isinstance(error, AssertionError):
                raise
            broken(
                f"{case.query!r} raised {told(error)}; mend nsp_lookup_service, or set query to "
                "one that finds something",
                error,
            )
        require(
            found,
            f"{case.query!r} found nothing; set query to one that finds something, and settings "
            "to where it is found",
        )


@rule("lookup", LOOKUP)
def results_are_services(case: Case) -> None:
    """Everything that a lookup yields is a Service."""
    with case.running() as instance:
        for result in instance.find():
            require(
                type(result) is Service,
                f"nsp_lookup_service yielded {result!r:.80}, a {type(result).__qualname__}; yield "
                "nspkit.Service(name, addresses=…)",
            )


@rule("lookup", LOOKUP)
def finds_again(case: Case) -> None:
    """The same question has an answer each time: a lookup uses nothing up."""
    with case.running() as instance:
        first = _names(instance.find())
        for turn in ("second", "third"):
            again = _names(instance.find())
            require(
                bool(again) == bool(first),
                f"the first lookup found {len(first)} names, the {turn} {len(again)}; begin from "
                "scratch with each call, and keep no iterator in self",
            )


@rule("lookup", LOOKUP)
def stays_at_its_end(case: Case) -> None:
    """After its last result a lookup stays at its end."""
    with case.running() as instance:
        results = instance.lookup()

        def beyond() -> object:
            taken(results, case.patience)
            for _turn in range(3):
                try:
                    return next(results)
                except StopIteration:
                    pass
            return None

        more = case.within("a step of a lookup beyond its end", beyond)
        close(results)
        require(
            more is None,
            f"a lookup that had ended yielded {more!r:.80}; raise StopIteration each time, as a "
            "generator does",
        )


@rule("lookup", LOOKUP)
def ends_early(case: Case) -> None:
    """A lookup can be closed before its first step, and after it; the end comes back."""
    with case.running() as instance:
        for steps in (0, 1):
            results = instance.lookup()
            for _step in range(steps):
                case.within("the first step of a lookup", partial(next, results, None))
            what = f"the end of a lookup after {steps} steps"
            attempt(what, partial(case.within, what, partial(close, results)))
        instance.find()


@rule("lookup", LOOKUP)
def two_do_not_disturb_each_other(case: Case) -> None:
    """Two lookups in progress at once find what each of them finds alone."""
    with case.running() as instance:
        alone = _names(instance.find())

        def in_turns() -> list[list[Any]]:
            time = 2 * case.patience  # each waits for the other one
            until = monotonic() + time
            both = [instance.lookup(None, Cancellation(until)) for _number in range(2)]
            found: list[list[Any]] = [[], []]
            over = [False, False]
            ration = Ration(time)
            while not all(over):
                for number, results in enumerate(both):
                    try:
                        if not over[number]:
                            found[number].append(next(results))
                            ration.take()
                    except StopIteration:
                        over[number] = True
            for results in both:
                close(results)
            return found

        for found in case.within("two lookups in turns", in_turns, times=2):
            require(
                _names(found) == alone,
                f"alone a lookup finds {sorted(alone)}, beside another one "
                f"{sorted(_names(found))}; keep what a lookup needs in the iterator, not in self",
            )


@rule("lookup", LOOKUP)
def unknown_name(case: Case) -> None:
    """An unknown name has no results, or raises ServiceNotFoundError or NoDataError.

    Either is right, also TryAgainError and OperationTimeoutError where a server is away; any
    other error is not, and neither is a result.
    """
    name = _unknown(case.query.name)
    with case.running() as instance:
        found = attempt(
            f"a lookup of the unknown name {name!r}",
            lambda: instance.find(case.query.replace(name=name)),
            ServiceNotFoundError,
            NoDataError,
            TryAgainError,
            OperationTimeoutError,
        )
        require(not found, f"the unknown name {name!r} found {found!r:.80}; compare names whole")


@rule("lookup", LOOKUP)
def containers(case: Case) -> None:
    """A lookup of containers answers, or raises NoDataError (11004) where there are none."""
    query = case.query.replace(flags=case.query.flags | LookupFlags.CONTAINERS)
    with case.running() as instance:
        attempt(
            "a lookup with LookupFlags.CONTAINERS",
            lambda: instance.find(query),
            NoDataError,
            ServiceNotFoundError,
        )


@rule("lookup", LOOKUP)
def ends_when_cancelled(case: Case) -> None:
    """A lookup that is cancelled comes to its end soon: by itself, or with an error.

    It is cancelled before its first step, and after it. What is at hand may still be yielded, but
    nothing that is waited for.
    """
    with case.running() as instance:
        for steps in (0, 1):
            _hears(case, partial(_cancelled, instance, Cancellation, steps), "a cancelled lookup")


@rule("lookup", LOOKUP)
def keeps_its_time(case: Case) -> None:
    """A lookup whose time is over comes to its end soon.

    Its time is over from the beginning: cancellation.remaining() is 0 and cancellation.cancelled
    is true, though nobody calls anything.
    """
    with case.running() as instance:
        timed_out = partial(_cancelled, instance, lambda: Cancellation(monotonic()), -1)
        _hears(case, timed_out, "a lookup whose time was over")


class _Late(NamedTuple):
    """What came when nobody waited any more: how much, and how long after the first of it."""

    results: int
    seconds: float

    @property
    def is_too_much(self) -> bool:
        """Whether there were waits between the results."""
        steps = self.results - 1
        return steps > 0 and self.seconds > max(0.02, 0.001 * steps)


def _cancelled(instance: Instance, make: Callable[[], Cancellation], steps: int) -> _Late:
    """Go through a lookup and cancel it after so many steps, never for -1; tell what comes late."""
    cancellation = make()
    if steps == 0:
        cancellation.cancel()
    results = instance.lookup(None, cancellation)
    ration = Ration(instance.case.patience)
    late, first = 0, monotonic()
    try:
        for number, _result in enumerate(results, 1):
            ration.take()
            if cancellation.cancelled:
                late += 1
                first = monotonic() if late == 1 else first
            if number == steps:
                cancellation.cancel()
        return _Late(late, monotonic() - first)
    finally:
        close(results)


def _hears(case: Case, cancelled: Callable[[], _Late], what: str) -> None:
    """Have a lookup cancelled; several times if it seems not to hear: the machine may be busy."""
    results = 0
    for _turn in range(5):
        late = _ended(case, cancelled, what)
        if late is None or not late.is_too_much:
            return
        results = late.results
    broken(
        f"{what} went on: it yielded {results} results more, and waited between them; look "
        "at cancellation.cancelled at each step, and wait with cancellation.wait or on_cancel"
    )


def _ended(case: Case, function: Callable[[], _Late], what: str) -> _Late | None:
    try:
        late: _Late = case.within(what, function)
    except (CancelledError, OperationTimeoutError, ServiceNotFoundError, NoDataError):
        return None
    except TryAgainError:
        return None
    except NspError as error:
        broken(f"{what} raised {told(error)}; end it, or raise CancelledError", error)
    return late


def _unknown(name: str | None) -> str:
    """Return a name of the same form that nobody has."""
    first = f"nspkit-{uuid.uuid4().hex[:12]}"
    _, dot, rest = (name or "").partition(".")
    with contextlib.suppress(ValueError):
        int(rest.rpartition(".")[2])  # a numeric address
        return first
    return f"{first}{dot}{rest}"


def _names(found: list[Any]) -> set[str]:
    return {str(getattr(result, "name", result)) for result in found}


def query_for(service: Service) -> Query:
    """Return the query that finds a service."""
    return Query(
        service.name,
        service_class=service.service_type or service.service_class,
        context=service.context,
    )


RULES = rules_in(globals())
