"""What is right in another way passes too: the kit does not cry at what an author may do."""

from __future__ import annotations

import asyncio
import atexit
import enum
import functools
import logging
import re
import socket
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from nspkit import Cancellation, Query, Resources, Service, hookimpl
from nspkit.errors import CancelledError, NotReadyError, NspError, ServiceNotFoundError
from nspkit.testing import RULES, MemoryProvider, check_provider

CONSTANT = {"a table": ["that nobody changes"]}
ELSEWHERE = ("import.", "leaks.nothing_once_per_process")
SETTINGS = {"services": [Service("printer"), Service("scanner")]}


class Plain:
    """Has the hooks that every provider has, in slots, and takes as few arguments as it needs."""

    __slots__ = ("__weakref__", "names")

    info = MemoryProvider.info.replace(stores_service_classes=False)

    @hookimpl
    def nsp_startup(self, settings: Mapping[str, Any]) -> int:
        """Speak C: 0 is success."""
        if "services" not in settings:
            raise NotReadyError("give the setting 'services'")
        self.names = [service.name for service in settings["services"]]
        return 0

    @staticmethod
    @hookimpl
    def nsp_cleanup() -> None:
        """Do nothing, without an instance even."""

    @hookimpl(specname="nsp_lookup_service")
    def look_up(self, query: Query) -> list[Service]:
        """Answer with a list, and raise where nothing is found."""
        found = [Service(name) for name in self.names if query.name in (None, name)]
        if not found:
            raise ServiceNotFoundError(f"there is no {query.name}")
        return found


class KeepsConstants(MemoryProvider):
    """Keeps in itself what is its module's, or the application's."""

    @hookimpl
    def nsp_startup(self, settings: Mapping[str, Any], resources: Resources) -> None:
        """Keep them."""
        super().nsp_startup(settings, resources)
        self.table = CONSTANT
        self.settings = settings
        self.services = settings.get("services")


_RUNNING: dict[int, Any] = {}
_LIVING: weakref.WeakSet[Any] = weakref.WeakSet()
_TABLE: dict[str, Any] = {}
_LOG = logging.getLogger(__name__)
_LOCK = threading.Lock()
_HERE = threading.local()
_NAME = re.compile("p.*")
_json: Any = None
_starts = 0
_COUNTS = {"starts": 0}


@functools.cache
def _folded(name: str | None) -> str:
    return (name or "").casefold()


class _Kinds(enum.Flag):
    """Makes members as they are asked for."""

    ONE = enum.auto()
    TWO = enum.auto()


class HasWhatModulesHave(MemoryProvider):
    """Uses a register, caches, a table that is filled once, counters, a thread's own."""

    @hookimpl
    def nsp_startup(self, settings: Mapping[str, Any], resources: Resources) -> None:
        """Enter itself where all that run are, until its end."""
        global _json, _starts  # noqa: PLW0603  # what is legal here
        super().nsp_startup(settings, resources)
        if not _TABLE:
            _TABLE.update(kinds=[_Kinds.ONE | _Kinds.TWO], parsed=object())
            import json

            _json = json
        self.table = _TABLE
        with _LOCK:
            _starts += 1
            _COUNTS["starts"] += 1
        _RUNNING[id(self)] = [settings]
        resources.callback(_RUNNING.pop, id(self))
        _LIVING.add(self)

    def _results(self, query: Query, cancellation: Cancellation) -> Iterator[Service]:
        _HERE.query = query
        _TABLE.setdefault("looked up", object())
        _LOG.debug("%s %s", _folded(query.name), _NAME.match(query.name or ""))
        return super()._results(query, cancellation)


class AsksAPool(MemoryProvider):
    """Has a pool of threads, a loop on a thread and a process of its own, all in resources."""

    @hookimpl
    def nsp_startup(self, settings: Mapping[str, Any], resources: Resources) -> None:
        """Start them, each with its end."""
        super().nsp_startup(settings, resources)
        self.pool = resources.enter_context(ThreadPoolExecutor(2))
        loop = asyncio.new_event_loop()
        resources.callback(loop.close)
        ready = threading.Event()
        loop.call_soon(ready.set)
        thread = threading.Thread(target=loop.run_forever, daemon=True)

        def stop() -> None:
            if thread.ident is not None:
                loop.call_soon_threadsafe(loop.stop)
                thread.join()

        resources.callback(stop)
        thread.start()
        resources.enter_context(_Child())

    @hookimpl
    def nsp_lookup_service(self, query: Query, cancellation: Cancellation) -> Iterable[Service]:
        """Ask a thread of the pool."""
        found = super().nsp_lookup_service(query, cancellation)
        return iter(self.pool.submit(list, found).result())


class TakesFewAtATime(MemoryProvider):
    """Has four connections, and takes back at its end what it has asked of the interpreter."""

    @hookimpl
    def nsp_startup(self, settings: Mapping[str, Any], resources: Resources) -> None:
        """Register for the exit, in case the host is not closed."""
        super().nsp_startup(settings, resources)
        self.places = threading.BoundedSemaphore(4)
        atexit.register(self.places.release)
        resources.callback(atexit.unregister, self.places.release)

    def _results(self, query: Query, cancellation: Cancellation) -> Iterator[Service]:
        while not self.places.acquire(timeout=0.01):
            if cancellation.cancelled:
                raise CancelledError("nobody waits any more")
        try:
            yield from super()._results(query, cancellation)
        finally:
            self.places.release()


class HasAPairOfSockets(MemoryProvider):
    """Acquires two things at once, and closes at its end what it has taken out of itself before.

    Where a fault of the kit strikes in between, Python closes the sockets that nobody has.
    """

    @hookimpl
    def nsp_startup(self, settings: Mapping[str, Any], resources: Resources) -> None:
        """Make a pair, and another one that the cleanup closes."""
        super().nsp_startup(settings, resources)
        self.waking, self.waked = socket.socketpair()
        resources.enter_context(self.waking)
        resources.enter_context(self.waked)
        self.spare: list[socket.socket] = []

    def _results(self, query: Query, cancellation: Cancellation) -> Iterator[Service]:
        if not self.spare:
            self.spare += socket.socketpair()
        return super()._results(query, cancellation)

    @hookimpl
    def nsp_cleanup(self) -> None:
        """Close what lookups have opened."""
        spare, self.spare = self.spare, []
        for one in spare:
            one.close()
        super().nsp_cleanup()


class _Child:
    """A process that ends when nobody speaks to it any more."""

    def __enter__(self) -> None:
        self._process = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)

    def __exit__(self, *details: object) -> None:
        self._process.communicate()


class WaitsAtEachStep(MemoryProvider):
    """Takes its time, as long as somebody waits for it; opens something at its first lookup."""

    connection: threading.Event | None = None

    def _results(self, query: Query, cancellation: Cancellation) -> Iterator[Service]:
        self.connection = self.connection or threading.Event()
        for service in super()._results(query, cancellation):
            if cancellation.wait(0.03):
                return
            yield service

    @hookimpl
    def nsp_cleanup(self) -> None:
        """Close it."""
        if self.connection is not None:
            self.connection.set()


class EndsWithAnError(MemoryProvider):
    """Raises where others come to an end."""

    def _results(self, query: Query, cancellation: Cancellation) -> Iterator[Service]:
        for service in super()._results(query, cancellation):
            if cancellation.cancelled:
                raise TimeoutError("nobody waits any more")
            yield service
        if cancellation.cancelled:
            raise NspError("interrupted", code=10004)


PROVIDERS = [
    Plain,
    KeepsConstants,
    HasWhatModulesHave,
    AsksAPool,
    TakesFewAtATime,
    HasAPairOfSockets,
    WaitsAtEachStep,
]


@pytest.mark.parametrize("provider", PROVIDERS)
def test_what_is_right_in_another_way_passes(provider: Any) -> None:
    """Every rule, those apart that import this file of tests in another interpreter."""
    report = check_provider(
        provider,
        settings=SETTINGS,
        rounds=5,
        rules=[rule for rule in RULES if not rule.id.startswith(ELSEWHERE)],
    )
    assert report, str(report)


class TakesItsTime(MemoryProvider):
    """Needs more than half of its patience for a lookup."""

    def _results(self, query: Query, cancellation: Cancellation) -> Iterator[Service]:
        cancellation.wait(1.8)
        return super()._results(query, cancellation)


def test_two_slow_lookups_have_the_time_of_two() -> None:
    """They are gone through in turns, so that each waits for the other one."""
    rules = [rule for rule in RULES if rule.id == "lookup.two_do_not_disturb_each_other"]
    report = check_provider(TakesItsTime, settings=SETTINGS, patience=3.0, rules=rules)
    assert report, str(report)


class HasOneConnection(MemoryProvider):
    """Has one lookup at a time use it, and ends one whose time is over."""

    @hookimpl
    def nsp_startup(self, settings: Mapping[str, Any], resources: Resources) -> None:
        """Make what is taken in turn."""
        super().nsp_startup(settings, resources)
        self.turn = threading.Lock()

    def _results(self, query: Query, cancellation: Cancellation) -> Iterator[Service]:
        with self.turn:
            if cancellation.wait(0.5):
                raise CancelledError("nobody waits any more")
            return super()._results(query, cancellation)


def test_lookups_that_take_turns_have_the_time_of_all() -> None:
    """One connection for all threads is slow, and right."""
    rules = [rule for rule in RULES if rule.id == "concurrency.many_lookups_at_once"]
    report = check_provider(HasOneConnection, settings=SETTINGS, patience=3.0, rules=rules)
    assert report, str(report)


def test_the_standard_library_opens_what_it_likes(tmp_path: Any) -> None:
    """What a module of it does when it is imported is not the provider's doing."""
    (tmp_path / "quiet_provider.py").write_text(
        "import ctypes.util, multiprocessing.util, asyncio, logging.config, sqlite3, uuid, random\n"
        "from concurrent.futures import ThreadPoolExecutor\n"
        "from nspkit.testing import MemoryProvider\n"
        "class Provider(MemoryProvider):\n"
        "    '''Imports a good deal.'''\n"
    )
    sys.path.insert(0, str(tmp_path))
    try:
        import quiet_provider  # type: ignore[import-not-found]

        rules = [rule for rule in RULES if rule.level == "import"]
        report = check_provider(quiet_provider.Provider, rules=rules)
    finally:
        sys.path.remove(str(tmp_path))
        sys.modules.pop("quiet_provider", None)
    assert report, str(report)
