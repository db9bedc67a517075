"""Mixed work for a chosen time: what is open, running or counted afterwards has to be what it was.

Six threads do whatever a host offers, at a calm provider, at one that is slow, lossy and moody, and
at one that only sessions use, so that it is started and cleaned up all the time; hosts come and go
beside. Now and then all stop, and memory, threads, descriptors and objects are taken down. What
providers acquired and gave back, began and ended, is counted by themselves.
"""

from __future__ import annotations

import faulthandler
import gc
import os
import random
import sys
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from time import monotonic
from typing import Any

from nspkit import (
    Address,
    Catalog,
    Host,
    ProviderInfo,
    Query,
    Service,
    ServiceClass,
    ServiceOperation,
    hookimpl,
)
from nspkit.errors import NspError, TryAgainError
from nspkit.testing import ErraticProvider, MemoryProvider

SHARED = 21331
WORKERS = 6
SAMPLES = 40
PATIENCE = 60.0
"""How long, in seconds, the workers may take to come to a stop."""

MOODY = {"delay": 0.002, "fail": 0.05, "drop": 0.05, "truncate": 0.05, "flap": 0.05}
NAMES = [f"service-{number}" for number in range(50)]
SERVICES = [Service(name, addresses=[Address.inet("192.0.2.1", 80)]) for name in NAMES]


class Tally:
    """What was done how often, counted by all threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()

    def add(self, what: str) -> None:
        """Count one."""
        with self._lock:
            self._counts[what] += 1

    def counts(self) -> dict[str, int]:
        """Return all counts."""
        with self._lock:
            return dict(sorted(self._counts.items()))


def audited(base: type, name: str, namespace: int, tally: Tally) -> type:
    """Return a provider that counts what it acquires and releases, and fails now and then."""
    chance = random.Random(name)

    class Audited(base):  # type: ignore[misc]
        info = ProviderInfo(uuid.uuid5(uuid.NAMESPACE_DNS, name), name, namespace, "1.0",
                            stores_service_classes=True)  # fmt: skip

        @hookimpl
        def nsp_startup(self, settings: Any, resources: Any) -> None:
            tally.add("resources acquired")
            resources.callback(tally.add, "resources released", name="the tally")
            resources.enter_context(Path(os.devnull).open("rb"))  # noqa: SIM115 - that ends it
            resources.thread(lambda stop: stop.wait(), name=f"{name}'s thread")
            if chance.random() < 0.02:
                raise TryAgainError("it was asked to fail, and the start does")
            super().nsp_startup(settings, resources)
            tally.add("starts")

        @hookimpl
        def nsp_cleanup(self) -> None:
            tally.add("cleanups")
            super().nsp_cleanup()

        @hookimpl
        def nsp_lookup_service(self, query: Any, cancellation: Any) -> Iterator[Service]:
            tally.add("iterators begun")
            try:
                yield from super().nsp_lookup_service(query, cancellation)
            finally:
                tally.add("iterators ended")

    return Audited


class Work:
    """One host, and the kinds of work that are done with it and beside it."""

    def __init__(self, tally: Tally) -> None:
        self.tally = tally
        self.classes = [
            audited(MemoryProvider, "calm", SHARED, tally),
            audited(ErraticProvider, "moody", SHARED, tally),
            audited(MemoryProvider, "brief", SHARED + 1, tally),
        ]
        self.host = self.new_host()
        self.kinds: list[Callable[[random.Random], None]] = [
            self.pair, self.nested, self.as_in_winsock, self.directed, self.all_of_them,
            self.in_no_time, self.left_lying, self.in_a_session, self.registration,
            self.set_and_delete, self.watching, self.service_class, self.another_host,
        ]  # fmt: skip

    def new_host(self) -> Host:
        """Make a host of the three."""
        catalog = Catalog()
        for one in self.classes:
            catalog.install(one)
        services = {"services": SERVICES}
        settings = {"calm": services, "moody": {**services, **MOODY}, "brief": services}
        return Host(catalog=catalog, settings=settings)

    def pair(self, _chance: random.Random) -> None:
        """Startup and close."""
        self.host.startup("brief").close()

    def nested(self, chance: random.Random) -> None:
        """Several references at once."""
        name = chance.choice(["brief", "calm", "moody"])
        with self.host.startup(name), self.host.startup(name) as session:
            session.ioctl(1, b"echo")

    def as_in_winsock(self, _chance: random.Random) -> None:
        """Startup and cleanup, without keeping the session."""
        self.host.startup("brief")
        self.host.cleanup("brief")

    def directed(self, chance: random.Random) -> None:
        """A lookup at one provider, in this thread."""
        for _ in self.host.lookup(chance.choice(NAMES), provider="calm"):
            pass

    def all_of_them(self, chance: random.Random) -> None:
        """A lookup at two providers, side by side."""
        name, order = chance.choice(NAMES), chance.choice(["catalog", "arrival"])
        for _ in self.host.lookup(name, namespace=SHARED, timeout=5.0, order=order):
            pass

    def in_no_time(self, chance: random.Random) -> None:
        """A lookup that the moody provider is too slow for."""
        for _ in self.host.lookup(chance.choice(NAMES), provider="moody", timeout=0.0005):
            pass

    def left_lying(self, _chance: random.Random) -> None:
        """A lookup that nobody closes."""
        next(self.host.lookup(provider="moody"))

    def in_a_session(self, chance: random.Random) -> None:
        """A lookup in a generation that may be the shortest."""
        with self.host.startup("brief") as session:
            list(session.lookup(chance.choice(NAMES)))

    def registration(self, chance: random.Random) -> None:
        """A registration that is renewed, and taken back."""
        # Of few names, since the moody provider refuses to forget some.
        service = Service(f"r{chance.randrange(20)}", addresses=[Address.inet("192.0.2.9", 9)])
        with self.host.register(service, ttl=0.1, provider=chance.choice(["calm", "moody"])):
            threading.Event().wait(chance.random() * 0.1)

    def set_and_delete(self, chance: random.Random) -> None:
        """What is registered once is deleted at last, however often that fails."""
        service = Service(f"s{chance.randrange(20)}", addresses=[Address.inet("192.0.2.8", 8)])
        self.host.set_service(service, ServiceOperation.REGISTER, provider="calm")
        self.host.set_service(service, ServiceOperation.DELETE, provider="calm")

    def watching(self, chance: random.Random) -> None:
        """A watch for a moment."""
        with self.host.watch(Query(namespace=SHARED), interval=0.05) as watch:
            for _ in range(chance.randrange(5)):
                watch.wait(0.01)

    def service_class(self, chance: random.Random) -> None:
        """A class that is stored and removed."""
        one = ServiceClass(uuid.UUID(int=chance.randrange(1, 20)), "one of few")
        with self.host.startup("calm") as session:
            session.install_service_class(one)
            session.remove_service_class(one.id)

    def another_host(self, chance: random.Random) -> None:
        """A host of its own, closed with its providers running."""
        with self.new_host() as host:
            host.startup("brief")
            for _ in host.lookup(chance.choice(NAMES), provider="calm"):
                break

    def do(self, chance: random.Random) -> None:
        """Do one thing; a refusal that has a code is part of it."""
        kind = chance.choice(self.kinds)
        try:
            kind(chance)
        except NspError as error:
            self.tally.add(f"answers of {error.symbol}")
        self.tally.add("works")


def run(seconds: float) -> dict[str, Any]:
    """Work for so long, and return what was done, what was left, and what is wrong."""
    tally = Tally()
    work = Work(tally)
    samples, wrong = [], []
    began = monotonic()
    for number in range(SAMPLES):
        trouble = _stretch(work, began + seconds * (number + 1) / SAMPLES, number)
        wrong += trouble
        _settle()
        wrong += _unbalanced(work.host)
        samples.append({"seconds": round(monotonic() - began, 1), **_sample()})
        if trouble:
            break
    work.host.close()
    _settle()
    counts = tally.counts()
    pairs = (("resources acquired", "resources released"), ("starts", "cleanups"),
             ("iterators begun", "iterators ended"))  # fmt: skip
    wrong += [
        f"{counts.get(one, 0)} {one}, {counts.get(other, 0)} {other}"
        for one, other in pairs
        if counts.get(one) != counts.get(other)
    ]
    kept, grown = _compared(samples)
    return {"done": counts, "kept": kept, "samples": samples, "wrong": wrong + grown}


def _stretch(work: Work, until: float, number: int) -> list[str]:
    """Have all threads work until a time; returns what went wrong."""
    wrong: list[str] = []

    def loop(which: int) -> None:
        chance = random.Random(number * WORKERS + which)
        try:
            while monotonic() < until:
                work.do(chance)
        except BaseException as error:
            wrong.append(f"a worker met {error!r}")
            raise

    workers = [
        threading.Thread(target=loop, args=(which,), name=f"worker-{which}", daemon=True)
        for which in range(WORKERS)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(max(0.0, until - monotonic()) + PATIENCE)
        if worker.is_alive():
            faulthandler.dump_traceback(sys.stderr)
            wrong.append(f"{worker.name} did not come back within {PATIENCE:g} s")
    return wrong


def _settle() -> None:
    """Let threads that were told to end do so: at most some seconds."""
    until = monotonic() + 20.0
    pause = threading.Event()
    while monotonic() < until and any(
        thread.name.startswith("nspkit-cleanup") for thread in threading.enumerate()
    ):
        pause.wait(0.01)
    pause.wait(0.05)
    gc.collect()


def _unbalanced(host: Host) -> list[str]:
    """Return what is still counted while nobody works: the host's own references apart."""
    most = {"calm": 1, "moody": 1, "brief": 0}
    counts = {name: host.references(name) for name in most}
    return [f"{name} has {counts[name]} references" for name in most if counts[name] > most[name]]


def _sample() -> dict[str, float]:
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
    return {
        "memory": round(pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20), 2),
        "threads": threading.active_count(),
        "descriptors": len(os.listdir("/proc/self/fd")),  # noqa: PTH208 - one descriptor less
        "objects": len(gc.get_objects()),
    }


def _compared(samples: list[dict[str, float]]) -> tuple[dict[str, str], list[str]]:
    """Compare the second quarter with the last; what grows goes on growing in between."""
    quarter = max(1, len(samples) // 4)
    early, late = samples[quarter : 2 * quarter] or samples, samples[-quarter:]
    # What may be more: memory that the allocator keeps, workers that are idle for a while.
    allowed = {"memory": 1.0, "threads": 2.0, "descriptors": 1.0, "objects": 500.0}
    kept, grown = {}, []
    for kind, more in allowed.items():
        first, last = (median(one[kind] for one in some) for some in (early, late))
        kept[kind if kind != "memory" else "resident memory, MiB"] = f"{first:,.5g}, {last:,.5g}"
        if last > first + more:
            grown.append(f"{kind} grew from {first:g} to {last:g}")
    return kept, grown
