"""What the host costs, beside what one would write without it.

Not part of the suite: ``pytest tests/benchmarks`` runs them, on a machine that does nothing else.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter
from typing import Any

import pluggy
import pytest

from nspkit import (
    Address,
    Catalog,
    Host,
    Namespace,
    ProviderInfo,
    Service,
    ServiceOperation,
    hookimpl,
)
from nspkit.hookspecs import PROJECT, ProviderHooks

FOUND = Service("localhost", addresses=[Address.inet("127.0.0.1")])
MANY = 10_000


class Memory:
    """A provider that has all in memory."""

    info = ProviderInfo("5f2c7d9e-1a55-4f7b-9d0c-2f8a1c3b4d01", "memory", Namespace.DNS, "1.0")

    @hookimpl
    def nsp_startup(self, guid: Any, settings: Any, resources: Any) -> None:
        """Acquire nothing."""

    @hookimpl
    def nsp_cleanup(self, guid: Any) -> None:
        """Release nothing."""

    @hookimpl
    def nsp_lookup_service(self, guid: Any, query: Any, cancellation: Any) -> Iterator[Service]:
        """Find one service, or many."""
        if query.name == "many":
            for _ in range(MANY):
                yield Service("one of many")
        else:
            yield FOUND

    @hookimpl
    def nsp_set_service(self, guid: Any, service: Any, operation: Any, multiple: Any) -> None:
        """Do nothing."""

    @hookimpl
    def nsp_ioctl(self, guid: Any, code: int, data: bytes) -> None:
        """Answer nothing."""


def bare_manager() -> pluggy.PluginManager:
    """What pluggy alone needs for one provider."""
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(ProviderHooks)
    manager.register(Memory())
    return manager


@pytest.fixture
def host() -> Iterator[Host]:
    """A host of the provider in memory."""
    catalog = Catalog()
    catalog.install(Memory)
    with Host(catalog=catalog) as host:
        yield host


def test_a_routed_call(host: Host, figure: Any, ratio: Any) -> None:
    """`Session.ioctl`, beside a bare pluggy hook call with one implementation."""
    hook, guid = bare_manager().hook, Memory.info.guid
    with host.startup("memory") as session:
        measured = ratio(
            lambda: session.ioctl(1, b""),
            lambda: hook.nsp_ioctl(guid=guid, code=1, data=b""),
            number=20_000,
        )
    figure("session.ioctl / bare pluggy call", measured, 0.35)


def test_a_routed_call_with_a_value(host: Host, figure: Any, ratio: Any) -> None:
    """`Session.set_service`, beside the same."""
    hook, guid, operation = bare_manager().hook, Memory.info.guid, ServiceOperation.REGISTER
    with host.startup("memory") as session:
        measured = ratio(
            lambda: session.set_service(FOUND, operation),
            lambda: hook.nsp_set_service(
                guid=guid, service=FOUND, operation=operation, multiple=False
            ),
            number=20_000,
        )
    figure("session.set_service / bare pluggy call", measured, 0.35)


def test_a_nested_pair(host: Host, figure: Any, ratio: Any) -> None:
    """`Host.startup` and `Session.close` of a provider that runs, beside a lock and a number."""

    class Counted:
        def __init__(self) -> None:
            self._lock = threading.Lock()
            self._count = 0

        def acquire(self) -> None:
            with self._lock:
                self._count += 1

        def release(self) -> None:
            with self._lock:
                self._count -= 1

    counted, guid = Counted(), Memory.info.guid

    def pair() -> None:
        counted.acquire()
        counted.release()

    with host.startup(guid):
        measured = ratio(lambda: host.startup(guid).close(), pair, number=20_000)
    figure("nested startup and close / lock and int", measured, 3.0)


def test_a_first_startup_and_final_cleanup(host: Host, figure: Any, ratio: Any) -> None:
    """The whole walk of a provider, beside what pluggy needs to register it."""
    measured = ratio(lambda: host.startup("memory").close(), bare_manager, number=100)
    figure("first startup and final cleanup / pluggy alone", measured, 3.0)


def test_a_directed_lookup(host: Host, figure: Any, ratio: Any) -> None:
    """One result from memory, beside the platform's resolver."""
    with host.startup("memory"):
        measured = ratio(
            lambda: list(host.lookup("localhost", provider="memory")),
            lambda: socket.getaddrinfo("localhost", None),
            number=500,
        )
    figure("directed lookup of one / socket.getaddrinfo", measured, 1.0)


@pytest.mark.parametrize(("timeout", "goal"), [(None, 3.0), (60, 8.0)])
def test_ten_thousand_results(
    host: Host, figure: Any, ratio: Any, timeout: float | None, goal: float
) -> None:
    """A lookup of many, beside the bare generator that makes the same."""
    with host.startup("memory"):
        measured = ratio(
            lambda: sum(1 for _ in host.lookup("many", provider="memory", timeout=timeout)),
            lambda: sum(1 for _ in (Service("one of many") for _ in range(MANY))),
            number=1,
        )
    how = "in the reader's thread" if timeout is None else "by a worker"
    figure(f"10,000 results {how} / bare generator", measured, goal)


@pytest.mark.parametrize(("providers", "goal"), [(50, 0.25), (500, 1.5)])
def test_a_fan_out(figure: Any, providers: int, goal: float) -> None:
    """Providers that take 100 ms each: all are asked at once, by 64 threads at most."""
    threads: list[int] = []

    def slow(self: object, query: Any) -> Iterator[Service]:
        threading.Event().wait(0.1)
        threads.append(sum(t.name.startswith("nspkit-") for t in threading.enumerate()))
        yield FOUND

    catalog = Catalog()
    slow.__name__ = "nsp_lookup_service"
    for number in range(providers):
        info = ProviderInfo(uuid.uuid4(), f"p{number}", Namespace.DNS, "1.0")
        members = {"info": info, "nsp_lookup_service": hookimpl(slow)}
        catalog.install(type("Slow", (Memory,), members))
    before = threading.active_count()
    with Host(catalog=catalog) as host:
        began = perf_counter()
        assert sum(1 for _ in host.lookup("x")) == providers  # each is started by it
        first = perf_counter() - began
        began = perf_counter()
        assert sum(1 for _ in host.lookup("x")) == providers
        second = perf_counter() - began
    figure(f"fan-out over {providers} that take 0.1 s, first time", first, goal * 2, unit="s")
    figure(f"fan-out over {providers} that take 0.1 s", second, goal, unit="s")
    figure(f"most threads for {providers}", max(threads), 64, unit="")
    figure("threads left afterwards", threading.active_count() - before, 0, unit="")


def test_import(figure: Any, tmp_path: Path) -> None:
    """``import nspkit``, beside ``import pluggy``, each in fresh interpreters, in turn."""
    best = {"nspkit": float("inf"), "pluggy": float("inf")}
    code = "from time import perf_counter as now; began = now(); import {}; print(now() - began)"
    # Compiled before, as installed packages are; the first round is what compiles them here.
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(tmp_path)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    for turn in range(20):
        for name, least in best.items():
            done = subprocess.run(
                [sys.executable, "-c", code.format(name)],
                capture_output=True,
                text=True,
                check=True,
                env=environment,
            )
            if turn:
                best[name] = min(least, float(done.stdout))
    figure("import nspkit / import pluggy", best["nspkit"] / best["pluggy"], 2.5)


def test_discovery(figure: Any, ratio: Any, tmp_path: Path) -> None:
    """100 providers among 400 distributions, beside the standard library's listing of them."""
    for number in range(400):
        folder = tmp_path / f"distribution_{number}-1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: distribution-{number}\nVersion: 1.0\n"
        )
        group = "nspkit.providers" if number % 4 == 0 else "console_scripts"
        (folder / "entry_points.txt").write_text(f"[{group}]\np{number} = module_{number}:P\n")
    from importlib.metadata import distributions

    path = [str(tmp_path)]

    def listing() -> list[Any]:
        return [
            entry_point
            for distribution in distributions(path=path)
            for entry_point in distribution.entry_points
            if entry_point.group == "nspkit.providers"
        ]

    assert len(Catalog.discover(path=path)) == len(listing()) == 100
    measured = ratio(lambda: Catalog.discover(path=path), listing, number=1, rounds=7)
    figure("discovery of 100 among 400 / importlib.metadata", measured, 1.5)
