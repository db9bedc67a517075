"""A host that asks the platform, and a resolver that can be made to hang."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from nspkit_system import SystemProvider

import nspkit

Ask = Callable[..., list[nspkit.Service]]
MakeHost = Callable[..., nspkit.Host]

PATIENCE = 30


@pytest.fixture
def make_host() -> Iterator[MakeHost]:
    """A function that makes a host with this one provider; all are closed in the end."""
    hosts: list[nspkit.Host] = []

    def make(*, cleanup_timeout: float = PATIENCE, **settings: object) -> nspkit.Host:
        catalog = nspkit.Catalog()
        catalog.install(SystemProvider)
        hosts.append(
            nspkit.Host(
                catalog=catalog, settings={"system": settings}, cleanup_timeout=cleanup_timeout
            )
        )
        return hosts[-1]

    yield make
    for host in hosts:
        host.close()


@pytest.fixture
def ask(make_host: MakeHost) -> Ask:
    """A function that looks up, at this provider only, and returns all results."""
    host = make_host()

    def look_up(name: str | None = None, **restrictions: Any) -> list[nspkit.Service]:
        with host.lookup(name, provider="system", **restrictions) as lookup:
            return list(lookup)

    return look_up


class Resolver:
    """The platform's resolver, but "unknown" is unknown, and "hang" hangs until released.

    It takes the place of `socket.getaddrinfo`; for other names it asks the real one.
    """

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.hanging = threading.Semaphore(0)
        self.released = threading.Event()
        self._real = socket.getaddrinfo

    def __call__(self, host: bytes, *arguments: Any, **options: Any) -> Any:
        """Answer as `socket.getaddrinfo` does."""
        self.asked.append(host.decode())
        if host == b"unknown":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        if host != b"hang":
            return self._real(host, *arguments, **options)
        self.hanging.release()
        assert self.released.wait(4 * PATIENCE)
        return self._real("127.0.0.9", *arguments, **options)

    def wait_until_hanging(self, calls: int = 1) -> None:
        """Return when that many further calls hang."""
        for _ in range(calls):
            assert self.hanging.acquire(timeout=PATIENCE)


@pytest.fixture
def resolver(make_host: MakeHost, monkeypatch: pytest.MonkeyPatch) -> Iterator[Resolver]:
    """The resolver that hangs on demand; released before the hosts are closed."""
    resolver = Resolver()
    monkeypatch.setattr(socket, "getaddrinfo", resolver)
    yield resolver
    resolver.released.set()
