"""Providers that break the rules about lookups."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from broken_common import LONG, Good, breaks

from nspkit import Cancellation, LookupFlags, Query, Resources, Service, hookimpl


@breaks("lookup.finds")
class FindsNothing(Good):
    """Has nothing for a question without a name."""

    def _results(self, query: Query, cancellation: Cancellation) -> Iterator[Service]:
        return super()._results(query, cancellation) if query.name else iter(())


@breaks(
    "lookup.results_are_services",
    "lifecycle.two_hosts_at_once",  # a host refuses such results
    "changes.begins_with_what_is_there",
    "concurrency.cleanup_with_lookups_open",
    "concurrency.survives_a_fork",
    "concurrency.registrations_at_once",
    "registration.",
    "leaks.lookups_left_open",
)
class YieldsNames(Good):
    """Yields something else."""

    def _results(self, query: Query, cancellation: Cancellation) -> Iterator[Any]:
        found = super()._results(query, cancellation)
        return (service.name for service in found)


@breaks(
    "lookup.finds_again",
    "lookup.two_do_not_disturb_each_other",
    "concurrency.many_lookups_at_once",
    "changes.begins_with_what_is_there",
)
class UsesItUp(Good):
    """Answers from an iterator that it keeps."""

    @hookimpl
    def nsp_startup(self, settings: Mapping[str, Any], resources: Resources) -> None:
        """Begin once."""
        super().nsp_startup(settings, resources)
        self._all = iter(self.store.services())

    def _results(self, query: Query, cancellation: Cancellation) -> Iterator[Service]:
        return super()._results(query, cancellation) if query.name else self._all


class _Iterator:
    """An iterator over a list, to be spoilt."""

    def __init__(self, found: Iterable[Any]) -> None:
        self.found = list(found)
        self.index = 0

    def __iter__(self) -> _Iterator:
        return self

    def __next__(self) -> Any:
        if self.index == len(self.found):
            self.end()
            raise StopIteration
        self.index += 1
        return self.found[self.index - 1]

    def end(self) -> None:
        """Come to the end."""


class _Again(_Iterator):
    def end(self) -> None:
        self.index = 0


@breaks("lookup.stays_at_its_end")
class BeginsAgain(Good):
    """Begins again when it was at its end."""

    def _results(self, query: Query, cancellation: Cancellation) -> Any:
        return _Again(super()._results(query, cancellation))


@breaks(
    "lookup.ends_early",
    "concurrency.steps_on_any_thread",
    "concurrency.no_context_across_a_step",
    "concurrency.cleanup_with_lookups_open",
    "leaks.lookups_left_open",
)
class BlocksAtTheEnd(Good):
    """Has an end that blocks: it waits for the rest of its results."""

    def _results(self, query: Query, cancellation: Cancellation) -> Iterator[Service]:
        try:
            yield from super()._results(query, cancellation)
        except GeneratorExit:
            threading.Event().wait(LONG)
            raise


@breaks("lookup.two_do_not_disturb_each_other", "concurrency.many_lookups_at_once")
class KeepsItsPlace(Good):
    """Keeps in itself where a lookup is."""

    def _results(self, query: Query, cancellation: Cancellation) -> Iterator[Service]:
        found = self.store.find(query)
        self._index = 0
        while self._index < len(found):
            self._index += 1
            yield found[self._index - 1]


@breaks("lookup.unknown_name")
class RaisesForTheUnknown(Good):
    """Lets a KeyError out."""

    def _results(self, query: Query, cancellation: Cancellation) -> Iterator[Service]:
        found = self.store.find(query)
        if query.name and not found and "conformance" not in query.name:
            raise KeyError(query.name)
        return iter(found)


@breaks("lookup.containers")
class KnowsNoContainers(Good):
    """Has not thought of containers."""

    @hookimpl
    def nsp_lookup_service(self, query: Query, cancellation: Cancellation) -> Iterable[Service]:
        """Count the flags that it knows."""
        if LookupFlags.CONTAINERS in query.flags:
            raise ValueError("unknown flag")
        return super().nsp_lookup_service(query, cancellation)


@breaks(
    "lookup.ends_when_cancelled",
    "concurrency.cleanup_with_lookups_open",
    "leaks.lookups_left_open",
)
class IgnoresTheCancellation(Good):
    """Goes on working when nobody waits any more."""

    def _results(self, query: Query, cancellation: Cancellation) -> Iterator[Service]:
        told = threading.Event()
        cancellation.on_cancel(told.set)
        for service in self.store.find(query):
            if told.is_set():
                threading.Event().wait(LONG)
            yield service


@breaks("lookup.keeps_its_time")
class IgnoresTheTime(Good):
    """Asks a server, and takes the time that this takes."""

    def _results(self, query: Query, cancellation: Cancellation) -> Iterator[Service]:
        told = threading.Event()
        cancellation.on_cancel(told.set)
        if cancellation.cancelled and not told.is_set():
            threading.Event().wait(LONG)
        yield from self.store.find(query)


@breaks("lookup.ends_when_cancelled", "lookup.keeps_its_time")
class IsDeaf(Good):
    """Never looks whether anybody waits; its steps are short."""

    looked_at = ("contract.", "lookup.", "concurrency.")

    def _results(self, query: Query, cancellation: Cancellation) -> Iterator[Service]:
        for service in self.store.find(query):
            threading.Event().wait(0.03)
            yield service


@breaks(
    "lookup.finds",
    "lookup.",
    "contract.s",  # those about state, and about settings
    "leaks.no_thread",
)
class FindsWithoutEnd(Good):
    """Begins again when it has told everything, whoever waits for the end."""

    looked_at = ("contract.", "lookup.", "leaks.no_thread")

    def _results(self, query: Query, cancellation: Cancellation) -> Iterator[Service]:
        found = self.store.find(query)
        while found:
            yield from found
