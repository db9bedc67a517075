"""What is counted and not timed: threads of a fan-out, memory of a catalog, imports of a start."""

from __future__ import annotations

import gc
import threading
import tracemalloc
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import fresh
import subjects

from nspkit import Catalog, hookimpl

KIB = 1024


def test_threads_of_a_fan_out(figure: Callable[..., None]) -> None:
    """500 providers are asked by 64 threads at most, which are gone when the host is closed."""
    most = 0

    class Watched(subjects.Slow):
        @hookimpl
        def nsp_lookup_service(self, guid: Any, query: Any, cancellation: Any) -> Any:
            nonlocal most
            yield from super().nsp_lookup_service(guid, query, cancellation)
            most = max(most, sum(t.name.startswith("nspkit-") for t in threading.enumerate()))

    before = threading.active_count()
    with ExitStack() as stack:
        host = subjects.host_of(stack, 500, Watched)
        assert sum(1 for _ in host.lookup("x")) == 500
    figure("most threads of a fan-out over 500", most, 64, unit="")
    figure("threads left after the host was closed", threading.active_count() - before, 0, unit="")


def test_one_start_imports_one_provider(figure: Callable[..., None], tmp_path: Path) -> None:
    """Of 100 installed providers only the one that is asked for is imported."""
    folder = tmp_path / "distributions"
    folder.mkdir()
    fresh.make_distributions(folder)
    imported = fresh.imported_by_one_startup(folder, tmp_path)
    assert imported
    figure("provider modules imported by the start of one", imported, 1, unit="")


def _bytes(make: Callable[[], object]) -> float:
    """How many bytes more there are after making something that is kept."""
    make()  # whatever is imported or cached by it
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        kept = make()
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert kept is not None
    return grown


def test_memory_of_a_catalog(figure: Callable[..., None], tmp_path: Path) -> None:
    """An entry takes 1.5 KiB at most, found on the disk or installed by the application.

    What is found is looked at as a listing does, with distribution and version. The provider's
    class itself is not the catalog's; its verdict, its info among others, is.
    """
    fresh.make_distributions(tmp_path)

    def found() -> Catalog:
        catalog = Catalog.discover(path=[str(tmp_path)])
        for entry in catalog:
            assert entry.distribution
            assert entry.version
        return catalog

    each = _bytes(found) / fresh.PROVIDERS / KIB
    figure("memory of a catalog entry that was found", each, 1.5, unit="KiB")

    infos = subjects.catalog_of(1_000)
    classes = [entry.load() for entry in infos]

    def installed() -> Catalog:
        catalog = Catalog()
        for one in classes:
            catalog.install(one)
        return catalog

    each = _bytes(installed) / len(classes) / KIB
    figure("memory of a catalog entry that was installed", each, 1.5, unit="KiB")
