"""Hosts with this one provider, a registry, and servers that do what a test says."""

from __future__ import annotations

import contextlib
import socket
import threading
import uuid
from collections.abc import Callable, Iterator
from typing import Any, Self

import dns.message
import dns.rdatatype
import pytest
from nspkit_dns import DnsProvider

import nspkit
from nspkit import Address, Service, ServiceOperation
from nspkit.errors import NoDataError, ServiceNotFoundError

PATIENCE = 30.0
TCP = {"type": 1, "proto": 6}

Ask = Callable[..., list[nspkit.Service]]
MakeHost = Callable[..., nspkit.Host]


@pytest.fixture
def make_host() -> Iterator[MakeHost]:
    """A function that makes a host with this one provider; all are closed in the end."""
    hosts: list[nspkit.Host] = []

    def make(**settings: Any) -> nspkit.Host:
        catalog = nspkit.Catalog()
        catalog.install(DnsProvider)
        if settings.setdefault("search", []) is None:  # that of resolv.conf
            del settings["search"]
        hosts.append(nspkit.Host(catalog=catalog, settings={"dns": settings}))
        return hosts[-1]

    yield make
    for host in hosts:
        host.close()


@pytest.fixture
def asking(make_host: MakeHost) -> Callable[..., Ask]:
    """A function that makes one which looks up, with certain settings."""

    def make(**settings: Any) -> Ask:
        host = make_host(**settings)

        def look_up(name: str | None = None, **restrictions: Any) -> list[nspkit.Service]:
            with host.lookup(name, provider="dns", **restrictions) as lookup:
                return list(lookup)

        return look_up

    return make


@pytest.fixture
def ask(asking: Callable[..., Ask], named: Any) -> Ask:
    """A function that looks up at the bind9, and returns all results."""
    return asking(nameservers=[named.address])


# -- registration ---


@pytest.fixture
def kind() -> str:
    """A type of services that is each test's own, so that they do not meet in the zone."""
    return f"_t{uuid.uuid4().hex[:10]}._tcp"


@pytest.fixture
def session(make_host: Any, named: Any, tools: Any) -> nspkit.Session:
    """A session that may update the zone."""
    host = make_host(nameservers=[named.address], domain="dyn.test", tsig=tools.KEY)
    started: nspkit.Session = host.startup("dns")
    return started


class Registry:
    """What tests do most, with one type of services."""

    def __init__(self, session: nspkit.Session, dig: Any, kind: str) -> None:
        self.session = session
        self.dig = dig
        self.kind = kind

    def service(self, name: str, *places: str, **members: Any) -> Service:
        """A service at addresses such as ``"192.0.2.1:80"``."""
        parts = [place.rpartition(":") for place in places]
        addresses = [Address.inet(host.strip("[]"), int(port), **TCP) for host, _, port in parts]
        return Service(name, service_class=self.kind, addresses=addresses, **members)

    def set(
        self,
        operation: ServiceOperation,
        name: str,
        *places: str,
        multiple: bool = False,
        **members: Any,
    ) -> None:
        """Carry an operation out."""
        self.session.set_service(
            self.service(name, *places, **members), operation, multiple=multiple
        )

    def places(self, name: str) -> set[str]:
        """Where a lookup finds it."""
        try:
            [service] = self.session.lookup(name, service_class=self.kind)
        except (ServiceNotFoundError, NoDataError):
            return set()
        return {f"{address.host}:{address.port}" for address in service.addresses}

    def names(self) -> set[str]:
        """The names that a browse finds."""
        try:
            return {one.name for one in self.session.lookup(service_class=self.kind)}
        except (ServiceNotFoundError, NoDataError):
            return set()

    def records(self, label: str, of: str) -> list[tuple[Any, ...]]:
        """The records that `dig` finds at an instance."""
        owner = f"{label}.{self.kind}.dyn.test" if label else f"{self.kind}.dyn.test"
        return sorted(self.dig.records(owner, of))


@pytest.fixture
def registry_of() -> type[Registry]:
    """The class of a registry with another session."""
    return Registry


@pytest.fixture
def registry(session: nspkit.Session, named: Any, kind: str) -> Registry:
    """With the session above."""
    return Registry(session, named.dig, kind)


# -- servers that do what a test says --------------------------------------------------------------


class FakeServer:
    """A server at 127.0.0.1, for UDP and TCP, that answers each question as a function says.

    The function is given the question and the transport, and returns the packets to send: one, a
    list of them, or None for no answer at all. Over TCP, bytes that it returns are sent as they
    are, after their length; None closes the connection.
    """

    def __init__(self, answer: Callable[[dns.message.Message, str], Any]) -> None:
        self.answer = answer
        self.heard: Callable[[Any], object] = lambda _peer: None
        self.asked: list[tuple[str, str, str]] = []
        self._udp, self._tcp = _bound()
        self.port: int = self._udp.getsockname()[1]
        self._ends = False
        self._threads: list[threading.Thread] = []

    @property
    def address(self) -> str:
        """What stands in the setting ``nameservers``."""
        return f"127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        for target in (self._serve_udp, self._serve_tcp):
            self._threads.append(threading.Thread(target=target, daemon=True))
            self._threads[-1].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends = True
        with socket.socket(type=socket.SOCK_DGRAM) as waking:
            waking.sendto(b"", ("127.0.0.1", self.port))
        with contextlib.suppress(OSError), socket.socket() as waking:
            waking.connect(("127.0.0.1", self.port))
        for thread in self._threads:
            thread.join(PATIENCE)
        self._udp.close()
        self._tcp.close()

    def questions(self) -> list[tuple[str, str]]:
        """Name and type of all that was asked."""
        return [(name, kind) for name, kind, _ in self.asked]

    def _replies(self, wire: bytes, transport: str) -> list[bytes]:
        query = dns.message.from_wire(wire, keyring=False)
        [question] = query.question
        kind = dns.rdatatype.to_text(question.rdtype)
        self.asked.append((question.name.to_text(omit_final_dot=True), kind, transport))
        replies = self.answer(query, transport)
        if replies is None:
            return []
        several = replies if isinstance(replies, list) else [replies]
        return [one if isinstance(one, bytes) else one.to_wire() for one in several]

    def _serve_udp(self) -> None:
        while True:
            wire, peer = self._udp.recvfrom(65535)
            if self._ends:
                return
            self.heard(peer)
            for reply in self._replies(wire, "udp"):
                self._udp.sendto(reply, peer)

    def _serve_tcp(self) -> None:
        while True:
            connection, _ = self._tcp.accept()
            with connection:
                if self._ends:
                    return
                connection.settimeout(PATIENCE)
                with contextlib.suppress(OSError):
                    length = int.from_bytes(connection.recv(2, socket.MSG_WAITALL), "big")
                    wire = connection.recv(length, socket.MSG_WAITALL)
                    for reply in self._replies(wire, "tcp"):
                        connection.sendall(len(reply).to_bytes(2, "big") + reply)


def _bound() -> tuple[socket.socket, socket.socket]:
    """A socket for UDP and one for TCP, which listens, at the same port."""
    for _ in range(100):
        udp, tcp = socket.socket(type=socket.SOCK_DGRAM), socket.socket()
        try:
            udp.bind(("127.0.0.1", 0))
            tcp.bind(udp.getsockname())
        except OSError:  # somebody has that port for TCP
            udp.close()
            tcp.close()
        else:
            tcp.listen(100)
            return udp, tcp
    pytest.fail("no port is free for both")


@pytest.fixture
def fake() -> Iterator[Callable[..., FakeServer]]:
    """A function that starts a server which answers as a function says."""
    with contextlib.ExitStack() as stack:
        yield lambda answer: stack.enter_context(FakeServer(answer))
