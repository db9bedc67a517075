"""A registry of each test's own on a real server, and sessions of the provider."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any, Self

import pytest
from nspkit_redis import RedisProvider
from nspkit_redis._settings import redis_settings_in
from nspkit_redis._store import RedisStore

import nspkit
from nspkit import Address, Cancellation, Resources, Service, ServiceOperation
from nspkit.registry import EVERYTHING, Key, Mark, Scope

PATIENCE = 30.0


@pytest.fixture
def settings(server: Any) -> dict[str, Any]:
    """The shared server, and a prefix that no other test has."""
    return {"endpoints": server.address, "prefix": f"test/{uuid.uuid4()}"}


class Client:
    """A session of the provider, with shorter words for what tests do most."""

    def __init__(self, session: nspkit.Session, settings: dict[str, Any]) -> None:
        self.session = session
        self.settings = settings

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
def host(settings: dict[str, Any]) -> Iterator[Callable[..., nspkit.Host]]:
    """A function that makes a host with the provider; all are closed in the end."""
    hosts: list[nspkit.Host] = []

    def make(**more: Any) -> nspkit.Host:
        catalog = nspkit.Catalog()
        catalog.install(RedisProvider)
        hosts.append(nspkit.Host(catalog=catalog, settings={"redis": {**settings, **more}}))
        return hosts[-1]

    yield make
    for one in hosts:
        one.close()


@pytest.fixture
def clients(host: Any, settings: dict[str, Any]) -> Callable[..., Client]:
    """A function that makes clients, each with a host of its own."""
    return lambda **more: Client(host(**more).startup("redis"), {**settings, **more})


@pytest.fixture
def client(clients: Any) -> Client:
    """A client of the provider."""
    made: Client = clients()
    return made


@pytest.fixture
def stores(settings: dict[str, Any]) -> Iterator[Callable[..., RedisStore]]:
    """A function that makes stores; all are closed in the end."""
    with Resources() as resources:

        def make(**more: Any) -> RedisStore:
            store = RedisStore(redis_settings_in({**settings, **more}))
            resources.callback(store.close)
            return store

        yield make


@pytest.fixture
def store(stores: Any) -> RedisStore:
    """A store on the shared server."""
    made: RedisStore = stores(interval=0.05)
    return made


class Following:
    """A watch of a store, which ends by itself when nothing happens for too long."""

    def __init__(self, store: RedisStore, scope: Scope = EVERYTHING) -> None:
        self.cancellation = Cancellation(time.monotonic() + PATIENCE)
        self.feed = store.follow(scope, self.cancellation, lambda: 0.05)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.cancellation.cancel()
        self.feed.close()  # type: ignore[attr-defined]

    def listed(self) -> list[Any]:
        """What is between the next two marks."""
        while (first := next(self.feed)) is Mark.NOTHING:
            pass
        assert first is Mark.BEGIN, first
        found = []
        for item in self.feed:
            if item is Mark.LISTED:
                return found
            found.append(item)
        raise AssertionError("the list has no end")

    def change(self) -> Any:
        """The next that is not the mark for nothing."""
        for item in self.feed:
            if item is not Mark.NOTHING:
                return item
        raise AssertionError("there was no change")


@pytest.fixture
def following() -> type[Following]:
    """What follows a store."""
    return Following


@pytest.fixture
def key() -> Callable[..., Key]:
    """A function that makes a key by its name, of one class, at the top."""

    def make(name: str, kind: int | None = 7, context: str = "") -> Key:
        return Key(None if kind is None else uuid.UUID(int=kind), context, name)

    return make


@pytest.fixture
def process() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """A function that runs code in a process of its own, which finds what this one finds."""
    processes: list[subprocess.Popen[str]] = []

    def run(code: str, *arguments: object) -> subprocess.Popen[str]:
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        command = [sys.executable, "-c", code, *map(str, arguments)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        processes.append(subprocess.Popen(command, env=environment, text=True, **pipes))  # type: ignore[call-overload]
        return processes[-1]

    yield run
    for child in processes:
        child.kill()
        child.communicate()


@pytest.fixture
def until() -> Callable[[Callable[[], object]], None]:
    """A function that waits until something is so, and fails where it takes too long."""

    def wait(is_so: Callable[[], object]) -> None:
        end, pause = time.monotonic() + PATIENCE, threading.Event()
        while not is_so():
            assert time.monotonic() < end, "it took too long"
            pause.wait(0.02)

    return wait
