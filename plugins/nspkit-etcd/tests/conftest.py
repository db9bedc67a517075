"""Stores and hosts with this one provider, below a prefix of each test's own."""

from __future__ import annotations

import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from nspkit_etcd import EtcdProvider
from nspkit_etcd._opening import store_at
from nspkit_etcd._settings import settings_in
from nspkit_etcd._store import EtcdStore

import nspkit
from nspkit import Cancellation
from nspkit.registry import EVERYTHING, Entry, Mark, Scope

PATIENCE = 30.0

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


# -- who follows -----------------------------------------------------------------------------------


class Feed:
    """What a follower is told, without the marks that nothing has happened."""

    def __init__(
        self, store: Any, scope: Scope = EVERYTHING, patience: Callable[[], float] = lambda: 60.0
    ) -> None:
        self.cancellation = Cancellation(time.monotonic() + PATIENCE)
        self.items = store.follow(scope, self.cancellation, patience)

    def next(self) -> Any:
        """The next item, shortened."""
        item = next(self.items)
        if isinstance(item, Entry):
            return item.key, item.value
        return item

    def listed(self) -> list[Any]:
        """All items up to the end of the list."""
        found = []
        while (item := self.next()) is not Mark.LISTED:
            found.append(item)
        return found


@pytest.fixture
def follow(store: Any) -> Iterator[Callable[..., Feed]]:
    """A function that begins to follow; all are closed in the end."""
    feeds: list[Feed] = []

    def begin(*arguments: Any, at: Any = store) -> Feed:
        feeds.append(Feed(at, *arguments))
        return feeds[-1]

    yield begin
    for feed in feeds:
        feed.items.close()


# -- servers that say what a test wants ------------------------------------------------------------


class Fake:
    """A server that reads a request on each connection, and answers it with certain bytes."""

    def __init__(self, answers: list[bytes | None], family: int, drips: bytes) -> None:
        """Answer so, the last one for ever.

        Args:
            answers: None closes the connection, ``b""`` says nothing.
            family: Which kind of address it has.
            drips: What comes after each answer, again and again.
        """
        self.drips = drips
        self.answers = answers
        self.asked: list[bytes] = []
        try:
            self._socket = socket.create_server(
                ("::1" if family == socket.AF_INET6 else "127.0.0.1", 0), family=family
            )
        except OSError as error:
            pytest.skip(f"this machine has no such address: {error}")
        self._ends = threading.Event()
        self._threads = [threading.Thread(target=self._serve)]
        self._threads[0].start()

    @property
    def endpoint(self) -> str:
        """Where it is."""
        host, port = self._socket.getsockname()[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def close(self) -> None:
        """End it."""
        self._ends.set()
        with suppress(OSError):
            socket.create_connection(self._socket.getsockname()[:2]).close()
        for thread in self._threads:
            thread.join(PATIENCE)
        self._socket.close()

    def _serve(self) -> None:
        while not self._ends.is_set():
            connection, _ = self._socket.accept()
            thread = threading.Thread(target=self._answer, args=(connection,))
            self._threads.append(thread)
            thread.start()

    def _answer(self, connection: socket.socket) -> None:
        connection.settimeout(0.05)
        with connection, suppress(ConnectionError):
            while (request := self._request(connection)) is not None:
                self.asked.append(request)
                answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
                if answer is None:
                    return
                connection.sendall(answer)
                while self.drips and not self._ends.wait(0.01):
                    connection.sendall(self.drips)

    def _request(self, connection: socket.socket) -> bytes | None:
        """All of a request, or None where there is none any more."""
        request = b""
        while not request.endswith(b"}"):  # all have a body of JSON, and it comes last
            try:
                part = connection.recv(65536)
            except TimeoutError:
                part = b"" if self._ends.is_set() else None
            if part == b"":
                return None
            request += part or b""
        return request


@pytest.fixture
def fake() -> Iterator[Callable[..., Fake]]:
    """A function that starts such a server."""
    servers: list[Fake] = []

    def begin(*answers: bytes | None, family: int = socket.AF_INET, drips: bytes = b"") -> Fake:
        servers.append(Fake(list(answers), family, drips))
        return servers[-1]

    yield begin
    for server in servers:
        server.close()
