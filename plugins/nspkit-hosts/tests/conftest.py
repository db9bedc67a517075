"""A hosts file of each test's own, and a host that reads it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from nspkit_hosts import HostsProvider

import nspkit

Ask = Callable[..., list[nspkit.Service]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The file; a test writes it before it asks."""
    return tmp_path / "hosts"


@pytest.fixture
def host(path: Path) -> Iterator[nspkit.Host]:
    """A host with this one provider, which is started by the first question."""
    catalog = nspkit.Catalog()
    catalog.install(HostsProvider)
    with nspkit.Host(catalog=catalog, settings={"hosts": {"path": path}}) as host:
        yield host


@pytest.fixture
def ask(host: nspkit.Host) -> Ask:
    """A function that looks up, at this provider only, and returns all results."""

    def look_up(name: str | None = None, **restrictions: object) -> list[nspkit.Service]:
        with host.lookup(name, provider="hosts", **restrictions) as lookup:  # type: ignore[arg-type]
            return list(lookup)

    return look_up
