"""Stores and hosts with this one provider, below a prefix of each test's own."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from nspkit_etcd import EtcdProvider
from nspkit_etcd._opening import store_at
from nspkit_etcd._settings import settings_in
from nspkit_etcd._store import EtcdStore

import nspkit

MakeHost = Callable[..., nspkit.Host]


@pytest.fixture
def prefix() -> str:
    """What no other test has."""
    return f"test-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def settings(etcd: Any, prefix: str) -> dict[str, Any]:
    """The settings for the server that all share."""
    return {"endpoints": etcd.endpoint, "prefix": prefix, "timeout": 30}


@pytest.fixture
def make_store() -> Iterator[Callable[..., EtcdStore]]:
    """A function that makes a store; all are closed in the end."""
    stores: list[EtcdStore] = []

    def make(**settings: Any) -> EtcdStore:
        stores.append(store_at(settings_in(settings)))
        return stores[-1]

    yield make
    for store in stores:
        store.close()


@pytest.fixture
def store(make_store: Callable[..., EtcdStore], settings: dict[str, Any]) -> EtcdStore:
    """A store at the server that all share."""
    return make_store(**settings)


@pytest.fixture
def make_host() -> Iterator[MakeHost]:
    """A function that makes a host with this one provider; all are closed in the end."""
    hosts: list[nspkit.Host] = []

    def make(**settings: Any) -> nspkit.Host:
        catalog = nspkit.Catalog()
        catalog.install(EtcdProvider)
        hosts.append(nspkit.Host(catalog=catalog, settings={"etcd": settings}))
        return hosts[-1]

    yield make
    for host in hosts:
        host.close()


@pytest.fixture
def host(make_host: MakeHost, settings: dict[str, Any]) -> nspkit.Host:
    """A host at the server that all share."""
    return make_host(**settings)
