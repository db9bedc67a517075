"""One instance of a provider without a host, and the ways in which its hooks are called."""

from __future__ import annotations

import inspect
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any

from nspkit import Cancellation, Resources
from nspkit.errors import error_for, get_last_error, set_last_error
from nspkit.hookspecs import C_SPEAKING
from nspkit.testing._limits import is_limited
from nspkit.testing._rule import broken, require

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from nspkit import Change, Query, Service
    from nspkit.testing._case import Case

MOST = 100_000
"""How many results a lookup may have."""


class Instance:
    """One instance of a provider without a host: its hooks are called as a host would."""

    def __init__(self, case: Case, resources: Resources | None = None) -> None:
        """Make it; ``resources`` is the release stack that its startup is given."""
        self.case = case
        self.object = case.within(f"{case.name}()", case.provider)
        self.resources = Resources(f"kit, {case.name}") if resources is None else resources

    def call(self, hook: str, **arguments: Any) -> Any:
        """Call a hook with those of the arguments that it takes.

        On this thread, if somebody waits for that with a limit; else within the patience.

        Raises:
            NspError: it speaks C and says that it failed.
        """
        __tracebackhide__ = True
        if is_limited():
            return self._call(hook, arguments)
        return self.case.within(hook, partial(self._call, hook, arguments))

    def _call(self, hook: str, arguments: dict[str, Any]) -> Any:
        require(self.case.has(hook), f"{self.case.name} has no {hook}; write it, with @hookimpl")
        method = getattr(self.object, self.case.implementations[hook])
        given = {"guid": self.case.info.guid, **arguments}
        parameters = inspect.signature(method).parameters.values()
        wanted = [one.name for one in parameters if one.default is one.empty]
        set_last_error(0)
        result = method(*(given[name] for name in wanted if name in given))
        if hook in C_SPEAKING and result not in (None, 0):
            if isinstance(result, bool) or not isinstance(result, int):
                broken(f"{hook} returned {result!r:.80}; it must return nothing")
            raise error_for(
                (get_last_error() if result == -1 else result) or 10107,
                f"{hook} said that it failed, with {result}",
            )
        return result

    def start(self, settings: Mapping[str, Any] | None = None) -> None:
        """Run ``nsp_startup`` within the patience."""
        chosen = dict(self.case.settings if settings is None else settings)
        self.case.within(
            "nsp_startup",
            lambda: self.call("nsp_startup", settings=chosen, resources=self.resources),
        )

    def stop(self) -> None:
        """Run ``nsp_cleanup`` and release the resources, within the patience."""
        try:
            self.case.within("nsp_cleanup", lambda: self.call("nsp_cleanup"))
        finally:
            self.give_back()

    def give_back(self) -> None:
        """Release the resources, within the patience."""
        self.case.within("the release of the resources", self.resources.close)

    def lookup(
        self, query: Query | None = None, cancellation: Cancellation | None = None
    ) -> Iterator[Service]:
        """Begin a lookup and return its iterator; its steps are limited as `call` is."""
        return self._begin("nsp_lookup_service", query, cancellation)

    def watch(
        self, query: Query | None = None, cancellation: Cancellation | None = None
    ) -> Iterator[Change | None]:
        """Begin a watch and return its iterator."""
        return self._begin("nsp_notify_change", query, cancellation)

    def _begin(
        self, hook: str, query: Query | None, cancellation: Cancellation | None
    ) -> Iterator[Any]:
        result: Iterable[Any] = self.call(
            hook,
            query=self.case.query if query is None else query,
            cancellation=self._limit() if cancellation is None else cancellation,
        )
        if isinstance(result, (str, bytes, dict)) or not hasattr(type(result), "__iter__"):
            broken(f"{hook} returned {result!r:.80}; make it a generator, or return a list")
        return iter(result) if is_limited() else Steps(self.case, hook, result)

    def used(self) -> None:
        """Look up once, where it can: what a lookup opens is open then."""
        if self.case.has("nsp_lookup_service"):
            try:
                self.find()
            except AssertionError:
                raise
            except Exception:
                pass  # rules of its own tell of that

    def find(self, query: Query | None = None) -> list[Any]:
        """Look up, and return whatever it yields, within the patience."""

        def look_up() -> list[Any]:
            results = self.lookup(query)
            try:
                return taken(results, self.case.patience)
            finally:
                close(results)

        found: list[Any] = self.case.within("nsp_lookup_service", look_up)
        return found

    def _limit(self) -> Cancellation:
        return Cancellation(monotonic() + self.case.patience)


class Steps:
    """An iterator of a provider's for where nobody waits with a limit: each step has one.

    Each is on a thread of its own and in a context of its own.
    """

    def __init__(self, case: Case, hook: str, results: Iterable[Any]) -> None:
        self._case = case
        self._hook = hook
        self._iterator: Iterator[Any] = case.within(f"iter() of {hook}", partial(iter, results))

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        __tracebackhide__ = True
        if is_limited():
            return next(self._iterator)
        return self._case.within(f"a step of {self._hook}", partial(next, self._iterator))

    def close(self) -> None:
        """End it."""
        __tracebackhide__ = True
        if is_limited():
            close(self._iterator)
        else:
            self._case.within(f"the end of what {self._hook} began", partial(close, self._iterator))


class Ration:
    """How much a lookup may yield, and how long.

    Who has waited for its end in vain is not to see it go on, and take all memory.
    """

    def __init__(self, seconds: float) -> None:
        self._until = monotonic() + seconds
        self._count = 0

    def take(self) -> None:
        """Count one result.

        Raises:
            RuleBrokenError: there were too many, or it has taken too long.
        """
        self._count += 1
        if self._count > MOST or monotonic() > self._until:
            broken(
                f"a lookup had yielded {self._count:,} results, and came to no end; have it come "
                "to one, or set query to one that finds less"
            )


def taken(results: Iterable[Any], seconds: float) -> list[Any]:
    """Return what a lookup yields, if it comes to an end.

    Raises:
        RuleBrokenError: it yields more than it may, or for longer than so many seconds.
    """
    found: list[Any] = []
    ration = Ration(seconds)
    for result in results:
        ration.take()
        found.append(result)
    return found


def close(iterator: object) -> None:
    """End an iteration, as a host does: a generator has ``close``, other iterators need not."""
    end = getattr(iterator, "close", None)
    if end is not None:
        end()
