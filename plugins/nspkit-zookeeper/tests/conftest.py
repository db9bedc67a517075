"""Stores and sessions of the provider, with a prefix of each test's own."""

from __future__ import annotations

import contextlib
import itertools
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from nspkit_zookeeper import ZookeeperProvider

import nspkit
from nspkit import Address, Cancellation, Resources, Service, ServiceOperation
from nspkit.registry import EVERYTHING, Entry, Gone, Key, Mark, Scope

_PATIENCE = 30.0


@pytest.fixture
def settings(shared: Any, prefix: str) -> dict[str, Any]:
    """Where to keep things: at the server of all tests."""
    return {"endpoints": shared.address, "prefix": prefix, "timeout": 20.0}


@pytest.fixture
def stores(settings: dict[str, Any]) -> Iterator[Callable[..., Any]]:
    """A function that opens a store, with a session of its own; all are closed in the end."""
    with contextlib.ExitStack() as stack:

        def start(**more: Any) -> Any:
            provider, resources = ZookeeperProvider(), Resources()
            try:
                provider.nsp_startup({**settings, **more}, resources)
            except BaseException:
                resources.close()
                raise
            stack.callback(resources.close)
            provider._store.close_all = resources.close
            return provider._store

        yield start


@pytest.fixture
def store(stores: Callable[..., Any]) -> Any:
    """A store that is open."""
    return stores()


class Feed:
    """What a store tells who follows, which ends by itself when nothing comes for too long."""

    def __init__(self, store: Any, scope: Scope) -> None:
        self.cancellation = Cancellation(time.monotonic() + _PATIENCE)
        self._news = store.follow(scope, self.cancellation, lambda: _PATIENCE)

    def __iter__(self) -> Iterator[Entry | Gone | Mark]:
        return self._news

    def listed(self) -> dict[Key, bytes]:
        """What is there, up to the mark where the list ends."""
        news = itertools.dropwhile(lambda item: item is not Mark.BEGIN, self._news)
        assert next(news) is Mark.BEGIN
        found = itertools.takewhile(lambda item: item is not Mark.LISTED, news)
        return {item.key: item.value for item in found if isinstance(item, Entry)}

    def next(self) -> tuple[str, bytes | None]:
        """The next change: a name, and its value; None if it is gone."""
        for item in self._news:
            if isinstance(item, Entry):
                return item.key.name, item.value
            if isinstance(item, Gone):
                return item.key.name, None
        pytest.fail("it came to an end")

    def close(self) -> None:
        """Follow no longer."""
        self._news.close()


@pytest.fixture
def follow(store: Any) -> Iterator[Callable[..., Feed]]:
    """A function that follows a scope of a store."""
    with contextlib.ExitStack() as stack:

        def begin(scope: Scope = EVERYTHING, at: Any = None) -> Feed:
            return stack.enter_context(contextlib.closing(Feed(at or store, scope)))

        yield begin


@pytest.fixture
def hosts(settings: dict[str, Any]) -> Iterator[Callable[..., nspkit.Host]]:
    """A function that makes a host which has the provider; all are closed in the end."""
    made: list[nspkit.Host] = []

    class Provider(ZookeeperProvider):
        """One whose store a test can get at."""

        def use(self, store: Any) -> None:
            make.stores.append(store)  # type: ignore[attr-defined]
            super().use(store)

    def make(**more: Any) -> nspkit.Host:
        catalog = nspkit.Catalog()
        catalog.install(Provider)
        made.append(nspkit.Host(catalog=catalog, settings={"zookeeper": {**settings, **more}}))
        return made[-1]

    make.stores = []  # type: ignore[attr-defined]
    yield make
    for host in made:
        host.close()


class Client:
    """A session of the provider, with shorter words for what tests do most."""

    def __init__(self, session: nspkit.Session) -> None:
        self.session = session

    def register(self, name: str, *hosts: str, multiple: bool = False, **members: Any) -> None:
        """Register a service with an address, TCP port 80, for each host."""
        self._set(ServiceOperation.REGISTER, name, hosts, multiple, members)

    def deregister(self, name: str, *hosts: str, multiple: bool = False, **members: Any) -> None:
        """Deregister it, or these addresses of it."""
        self._set(ServiceOperation.DEREGISTER, name, hosts, multiple, members)

    def delete(self, name: str, *hosts: str, multiple: bool = False, **members: Any) -> None:
        """Delete it, or these addresses of it."""
        self._set(ServiceOperation.DELETE, name, hosts, multiple, members)

    def _set(
        self,
        operation: ServiceOperation,
        name: str,
        hosts: tuple[str, ...],
        multiple: bool,
        members: dict[str, Any],
    ) -> None:
        addresses = [Address.inet(host, 80, type=1, proto=6) for host in hosts]
        service = Service(name, **{"addresses": addresses, **members})
        self.session.set_service(service, operation, multiple=multiple)

    def find(self, name: str | None = None, **restrictions: Any) -> list[Service]:
        """All results of a lookup."""
        with self.session.lookup(name, **restrictions) as lookup:
            return list(lookup)

    def names(self, name: str | None = None, **restrictions: Any) -> list[str]:
        """The names of all results."""
        return [service.name for service in self.find(name, **restrictions)]


@pytest.fixture
def client(hosts: Callable[..., nspkit.Host]) -> Client:
    """A client of the provider, in a host of its own."""
    return Client(hosts().startup("zookeeper"))


@pytest.fixture
def fresh() -> Callable[..., str]:
    """A function that runs code in an interpreter of its own, and returns all that it says.

    Once it has said something, ``up`` is called, and it is sent a line.
    """

    def run(code: str, *arguments: str, up: Callable[[], object] = lambda: None) -> str:
        path = os.pathsep.join(str(Path(entry).resolve()) for entry in sys.path if entry)
        child = subprocess.Popen(
            [sys.executable, "-c", code, *arguments], env=os.environ | {"PYTHONPATH": path},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        assert child.stdin is not None
        assert child.stdout is not None
        try:
            first = child.stdout.readline()
            up()
            rest, _ = child.communicate("go\n", timeout=60)
        finally:
            child.kill()
            child.communicate()
        return (first + rest).strip()

    return run
