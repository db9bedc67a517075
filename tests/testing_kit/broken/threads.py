"""Providers that break the rules about threads and processes."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from threading import get_ident
from typing import Any

from broken_common import EVERYTHING, Good, breaks

from nspkit import Cancellation, Change, Query, Resources, Service, ServiceOperation, hookimpl
from nspkit.errors import ProviderError


def _a_moment() -> None:
    """Give other threads the time to come in: what is wrong shows then."""
    threading.Event().wait(0.05)


@breaks("concurrency.cleanup_on_another_thread", *EVERYTHING)
class StopsWhereItStarted(Good):
    """Insists on the thread that started it."""

    @hookimpl
    def nsp_startup(self, settings: Mapping[str, Any], resources: Resources) -> None:
        """Remember the thread."""
        super().nsp_startup(settings, resources)
        self._thread = get_ident()

    @hookimpl
    def nsp_cleanup(self) -> None:
        """Look at the thread."""
        if get_ident() != self._thread:
            raise ProviderError("made in another thread")


_STARTING = threading.Lock()


@breaks("concurrency.starts_on_many_threads")
class StartsAlone(Good):
    """Does not start while another instance does."""

    @hookimpl
    def nsp_startup(self, settings: Mapping[str, Any], resources: Resources) -> None:
        """Start, unless somebody else does."""
        if not _STARTING.acquire(blocking=False):
            raise ProviderError("somebody else starts")
        try:
            if threading.active_count() > 4:
                _a_moment()
            super().nsp_startup(settings, resources)
        finally:
            _STARTING.release()


@breaks("concurrency.many_lookups_at_once", "concurrency.cleanup_with_lookups_open")
class LooksUpAlone(Good):
    """Cannot be asked by two at once."""

    _busy = False

    def _results(self, query: Query, cancellation: Cancellation) -> Iterator[Service]:
        if self._busy:
            raise ProviderError("somebody else asks")
        self._busy = True
        if threading.active_count() > 4:
            _a_moment()
        found = self.store.find(query)
        self._busy = False
        yield from found


@breaks("concurrency.steps_on_any_thread")
class StepsOnOneThread(Good):
    """Insists on the thread of its first step."""

    def _results(self, query: Query, cancellation: Cancellation) -> Iterator[Service]:
        thread = get_ident()
        for service in self.store.find(query):
            if get_ident() != thread:
                raise ProviderError("made in another thread")
            yield service


_ASKED: ContextVar[str] = ContextVar("asked", default="")


@breaks("concurrency.no_context_across_a_step", "concurrency.steps_on_any_thread")
class KeepsAToken(Good):
    """Keeps the token of a context variable over its steps."""

    def _results(self, query: Query, cancellation: Cancellation) -> Iterator[Service]:
        token = _ASKED.set(query.name or "")
        yield from self.store.find(query)
        _ASKED.reset(token)


@breaks("concurrency.watch_steps_on_any_thread")
class WatchesOnOneThread(Good):
    """Insists on the thread of the first step of a watch."""

    def _changes(self, query: Query, cancellation: Cancellation) -> Iterator[Change | None]:
        thread = get_ident()
        for change in super()._changes(query, cancellation):
            if get_ident() != thread:
                raise ProviderError("made in another thread")
            yield change


@breaks("concurrency.no_context_across_a_watch_step", "concurrency.watch_steps_on_any_thread")
class KeepsAWatchToken(Good):
    """Keeps the token of a context variable over the steps of a watch."""

    def _changes(self, query: Query, cancellation: Cancellation) -> Iterator[Change | None]:
        token = _ASKED.set(query.name or "")
        try:
            yield from super()._changes(query, cancellation)
        finally:
            _ASKED.reset(token)


@breaks(
    "concurrency.cleanup_with_lookups_open",
    "lookup.ends_early",
    "lookup.ends_when_cancelled",
    "lookup.stays_at_its_end",
    "concurrency.steps_on_any_thread",
    "concurrency.no_context_across_a_step",
    "leaks.lookups_left_open",
)
class CountsLookups(Good):
    """Does not see that a lookup ended early."""

    _open = 0

    def _results(self, query: Query, cancellation: Cancellation) -> Iterator[Service]:
        found = self.store.find(query)
        self._open += 1
        yield from found
        self._open -= 1

    @hookimpl
    def nsp_cleanup(self) -> None:
        """Count."""
        if self._open > 0:
            raise ProviderError(f"{self._open} lookups are open")


@breaks(
    "concurrency.cleanup_while_a_watch_waits",
    "changes.",
    "concurrency.watch_steps_on_any_thread",
    "concurrency.no_context_across_a_watch_step",
)
class CountsWatches(Good):
    """Does not see that a watch ended."""

    _watched = False

    def _changes(self, query: Query, cancellation: Cancellation) -> Iterator[Change | None]:
        self._watched = True
        yield from super()._changes(query, cancellation)

    @hookimpl
    def nsp_cleanup(self) -> None:
        """Look."""
        if self._watched:
            raise ProviderError("a watch is open")


@breaks("concurrency.registrations_at_once")
class RegistersAlone(Good):
    """Cannot take two registrations at once."""

    _busy = False

    @hookimpl
    def nsp_set_service(
        self, service: Service, operation: ServiceOperation, multiple: bool
    ) -> None:
        """Do one at a time, and lose the others."""
        if not self._busy:
            self._busy = True
            if threading.active_count() > 4:
                _a_moment()
            try:
                super().nsp_set_service(service, operation, multiple)
            finally:
                self._busy = False


_HOME: list[int] = []


@breaks("concurrency.survives_a_fork")
class StaysAtHome(Good):
    """Belongs to the process that started it first."""

    @hookimpl
    def nsp_startup(self, settings: Mapping[str, Any], resources: Resources) -> None:
        """Look which process this is."""
        super().nsp_startup(settings, resources)
        if not _HOME:
            _HOME.append(os.getpid())
        if _HOME[0] != os.getpid():
            raise ProviderError("the connection belongs to another process")
