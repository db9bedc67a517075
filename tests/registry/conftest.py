"""A registry over the smallest engine that there can be: a dictionary, with a clock of its own."""

# ruff: noqa: D102 - what the methods of an engine do, `Store` says.

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from queue import Empty, SimpleQueue
from typing import Any
from uuid import UUID

import pytest

import nspkit
from nspkit import Address, Cancellation, Service, ServiceOperation
from nspkit.errors import TryAgainError
from nspkit.registry import (
    ANYTHING,
    REGISTRY,
    Entry,
    Gone,
    Key,
    Mark,
    RegistryProvider,
    Scope,
)


class Engine:
    """Keeps entries in memory; their leases end when `pass_time` says so."""

    location = "the dictionary"

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.now = 0.0
        self.writes = 0
        self.kept: dict[Key, tuple[bytes, int, float | None]] = {}
        self.classes: dict[UUID, bytes] = {}
        self.followers: list[SimpleQueue[Any]] = []
        self.tells_what_is_left = False
        self.before_write: Callable[[], None] = lambda: None

    def _entry(self, key: Key) -> Entry:
        value, version, end = self.kept[key]
        left = None if end is None or not self.tells_what_is_left else end - self.now
        return Entry(key, value, version, left)

    def get(self, key: Key, cancellation: Cancellation | None = None) -> Entry | None:
        with self.lock:
            return self._entry(key) if key in self.kept else None

    def entries(self, scope: Scope, cancellation: Cancellation | None = None) -> Iterator[Entry]:
        with self.lock:
            found = [self._entry(key) for key in self.kept]
        yield from found  # more than the scope covers, as an engine may

    def put(
        self, key: Key, value: bytes, *, ttl: float | None, expected: object = ANYTHING
    ) -> bool:
        self.before_write()
        with self.lock:
            before = self.kept.get(key)
            if expected is not ANYTHING and expected != (before and before[1]):
                return False
            end = None if ttl is None else self.now + ttl
            self.writes += 1
            self.kept[key] = value, self.writes, end
            self.tell(self._entry(key))
            return True

    def remove(self, key: Key, version: object) -> bool:
        self.before_write()
        with self.lock:
            if key not in self.kept or self.kept[key][1] != version:
                return False
            del self.kept[key]
            self.tell(Gone(key))
            return True

    def tell(self, item: Any) -> None:
        for follower in self.followers:
            follower.put(item)

    def pass_time(self, seconds: float) -> None:
        """Let time pass, for the leases of this engine."""
        with self.lock:
            self.now += seconds
            for key, (_value, _version, end) in list(self.kept.items()):
                if end is not None and end <= self.now:
                    del self.kept[key]
                    self.tell(Gone(key))

    def follow(
        self, scope: Scope, cancellation: Cancellation, patience: Callable[[], float]
    ) -> Iterator[Entry | Gone | Mark]:
        feed: SimpleQueue[Any] = SimpleQueue()
        cancellation.on_cancel(lambda: feed.put(None))
        with self.lock:
            self.followers.append(feed)
        try:
            yield Mark.BEGIN
            yield from self.entries(scope)
            yield Mark.LISTED
            while True:
                try:
                    item = feed.get(timeout=patience())
                except Empty:
                    item = Mark.NOTHING
                if item is None:
                    return
                if isinstance(item, Exception):
                    raise item
                yield item
        finally:
            with self.lock:
                self.followers.remove(feed)

    def get_class(self, class_id: UUID) -> bytes | None:
        return self.classes.get(class_id)

    def put_class(self, class_id: UUID, value: bytes) -> bool:
        with self.lock:
            return self.classes.setdefault(class_id, value) is value

    def remove_class(self, class_id: UUID, check_unused: Callable[[], None]) -> bool:
        check_unused()
        with self.lock:
            return self.classes.pop(class_id, None) is not None


class EngineProvider(RegistryProvider):
    """A registry in memory; the setting `engine` says which."""

    info = nspkit.ProviderInfo(
        "a5c1f7f2-4f0b-4f1c-9b39-1f3bb8a7d6c4",
        "engine",
        REGISTRY,
        "0.1.0",
        stores_service_classes=True,
    )

    @nspkit.hookimpl
    def nsp_startup(self, settings: Any) -> None:
        """Use the engine that is set, or a new one."""
        self.use(settings.get("engine") or Engine())


class Client:
    """A session of the provider, with shorter words for what tests do most."""

    def __init__(self, host: nspkit.Host, session: nspkit.Session) -> None:
        self.host = host
        self.session = session

    def set(
        self,
        operation: ServiceOperation,
        name: str,
        *hosts: str,
        multiple: bool = False,
        **members: Any,
    ) -> None:
        """Carry an operation out, with an address, TCP port 80, for each host."""
        addresses = [Address.inet(host, 80, type=1, proto=6) for host in hosts]
        service = Service(name, **{"addresses": addresses, **members})
        self.session.set_service(service, operation, multiple=multiple)

    def register(self, name: str, *hosts: str, **members: Any) -> None:
        """Register a service."""
        self.set(ServiceOperation.REGISTER, name, *hosts, **members)

    def deregister(self, name: str, *hosts: str, **members: Any) -> None:
        """Deregister it, or these addresses of it."""
        self.set(ServiceOperation.DEREGISTER, name, *hosts, **members)

    def delete(self, name: str, *hosts: str, **members: Any) -> None:
        """Delete it, or these addresses of it."""
        self.set(ServiceOperation.DELETE, name, *hosts, **members)

    def find(self, name: str | None = None, **restrictions: Any) -> list[Service]:
        """All results of a lookup."""
        with self.session.lookup(name, **restrictions) as lookup:
            return list(lookup)

    def hosts(self, name: str, **restrictions: Any) -> list[str]:
        """The hosts of the one result."""
        [service] = self.find(name, **restrictions)
        return [address.host for address in service.addresses]


@pytest.fixture
def engine() -> Engine:
    """The engine."""
    return Engine()


@pytest.fixture
def provider() -> type[EngineProvider]:
    """The provider."""
    return EngineProvider


@pytest.fixture
def client(engine: Engine) -> Iterator[Client]:
    """A client of the provider over it."""
    catalog = nspkit.Catalog()
    catalog.install(EngineProvider)
    with nspkit.Host(catalog=catalog, settings={"engine": {"engine": engine}}) as host:
        yield Client(host, host.startup("engine"))


@pytest.fixture
def again() -> TryAgainError:
    """What an engine raises that is away."""
    return TryAgainError("the dictionary is away")
