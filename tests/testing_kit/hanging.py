"""Providers each of which hangs in one place, for ever; the class says where."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar
from uuid import UUID

from nspkit import (
    Cancellation,
    Change,
    Query,
    Resources,
    Service,
    ServiceClass,
    ServiceOperation,
    hookimpl,
)
from nspkit.testing import MemoryProvider


def for_ever() -> None:
    """Never come back."""
    threading.Event().wait()


class Hangs(MemoryProvider):
    """Hangs somewhere.

    Attributes:
        rule: A rule that fails for it.
        says: What its message says.
        others: Other rules that are looked at, too.
    """

    rule: ClassVar[str]
    says: ClassVar[str]
    others: ClassVar[tuple[str, ...]] = (
        "contract.info",
        "lifecycle.two_hosts_at_once",
        "concurrency.cleanup_with_lookups_open",
        "concurrency.cleanup_while_a_watch_waits",
        "leaks.interrupted_cleanup",
        "leaks.lookups_left_open",
    )


class InInit(Hangs):
    """Hangs when it is made."""

    rule, says = "contract.made_without_arguments", r"InInit\(\) did not .* work out of __init__"

    def __init__(self) -> None:
        for_ever()


class InStartup(Hangs):
    """Hangs in its start."""

    rule, says = "lifecycle.starts_and_stops", "nsp_startup did not .* bound what it waits for"

    @hookimpl
    def nsp_startup(self, settings: Mapping[str, Any], resources: Resources) -> None:
        """Hang."""
        for_ever()


class InCleanup(Hangs):
    """Hangs in its end."""

    rule, says = "lifecycle.starts_and_stops", "nsp_cleanup did not .* bound what it waits for"

    @hookimpl
    def nsp_cleanup(self) -> None:
        """Hang."""
        for_ever()


class InARelease(Hangs):
    """Hangs in the release of what it has acquired."""

    rule, says = "lifecycle.starts_and_stops", "the release of the resources did not "

    @hookimpl
    def nsp_startup(self, settings: Mapping[str, Any], resources: Resources) -> None:
        """Have it hang."""
        super().nsp_startup(settings, resources)
        resources.callback(for_ever)


class InALookup(Hangs):
    """Hangs when a lookup begins."""

    rule, says = "lookup.ends_early", "nsp_lookup_service did not .*have it end when it is canc"

    @hookimpl
    def nsp_lookup_service(self, query: Query, cancellation: Cancellation) -> Iterable[Service]:
        """Hang."""
        for_ever()
        return ()


class InAStep(Hangs):
    """Hangs in the first step of a lookup."""

    rule, says = "lookup.ends_early", "the first step of a lookup did not .*in _results"

    def _results(self, query: Query, cancellation: Cancellation) -> Iterator[Service]:
        for_ever()
        yield from ()


class AtTheEndOfALookup(Hangs):
    """Hangs when a lookup is closed early."""

    rule, says = "concurrency.no_context_across_a_step", "the end of a lookup did not .*in _resul"

    def _results(self, query: Query, cancellation: Cancellation) -> Iterator[Service]:
        over = False
        try:
            yield from super()._results(query, cancellation)
            over = True
        finally:
            if not over:
                for_ever()


class WhenALookupIsDropped(Hangs):
    """Hangs when Python itself ends a lookup: in a finaliser, on whatever thread."""

    rule, says = "lookup.results_are_services", "RuntimeError: no further"
    others = ("contract.info",)  # where it is dropped elsewhere, a rule is given up late

    def _results(self, query: Query, cancellation: Cancellation) -> Iterator[Any]:
        return _Dropped()


class _Dropped:
    """An iterator without an end of its own."""

    def __iter__(self) -> _Dropped:
        return self

    def __next__(self) -> Service:
        raise RuntimeError("no further")

    def __del__(self) -> None:
        for_ever()


class InSetService(Hangs):
    """Hangs in a registration."""

    rule, says = "registration.unknown_is_refused", "nsp_set_service did not "

    @hookimpl
    def nsp_set_service(
        self, service: Service, operation: ServiceOperation, multiple: bool
    ) -> None:
        """Hang."""
        for_ever()


class InAClassHook(Hangs):
    """Hangs when it is asked for a class."""

    rule, says = "classes.unknown_class", "nsp_get_service_class_info did not "

    @hookimpl
    def nsp_get_service_class_info(self, class_id: UUID) -> ServiceClass:
        """Hang."""
        for_ever()
        raise AssertionError


class InAWatch(Hangs):
    """Hangs when a watch begins."""

    rule, says = "changes.ends_early", "nsp_notify_change did not "

    @hookimpl
    def nsp_notify_change(
        self, query: Query, cancellation: Cancellation
    ) -> Iterable[Change | None]:
        """Hang."""
        for_ever()
        return ()


class InAStepOfAWatch(Hangs):
    """Hangs in the first step of a watch."""

    rule, says = "concurrency.watch_steps_on_any_thread", "a step of a watch did not "

    def _changes(self, query: Query, cancellation: Cancellation) -> Iterator[Change | None]:
        for_ever()
        yield None


class AtTheEndOfAWatch(Hangs):
    """Hangs when a watch ends."""

    rule, says = "changes.ends_when_cancelled", "nsp_notify_change did not "

    def _changes(self, query: Query, cancellation: Cancellation) -> Iterator[Change | None]:
        try:
            yield from super()._changes(query, cancellation)
        finally:
            for_ever()


class InAControlRequest(Hangs):
    """Hangs in a control request."""

    rule, says = "contract.unknown_request", "nsp_ioctl did not "

    @hookimpl
    def nsp_ioctl(self, code: int, data: bytes) -> bytes | None:
        """Hang."""
        for_ever()
        return None


ALL: list[type[Hangs]] = Hangs.__subclasses__()
"""One for each place."""
