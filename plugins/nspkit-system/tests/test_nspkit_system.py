"""What the provider answers."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from nspkit_system import SystemProvider

import nspkit
from nspkit import (
    SVCID_HOSTNAME,
    SVCID_INET_HOSTADDRBYINETSTRING,
    SVCID_INET_HOSTADDRBYNAME,
)
from nspkit.errors import InvalidArgumentError, NoDataError, ServiceNotFoundError

Ask = Callable[..., list[nspkit.Service]]

V4 = socket.AF_INET
TCP, UDP = socket.IPPROTO_TCP, socket.IPPROTO_UDP
LOOPBACK = nspkit.Address.inet("127.0.0.1")


def answers(monkeypatch: pytest.MonkeyPatch, canonical: str, *sockaddrs: tuple[Any, ...]) -> None:
    """Have the resolver answer any name so."""
    found = [
        (V4 if len(sockaddr) == 2 else socket.AF_INET6, socket.SOCK_STREAM, TCP, name, sockaddr)
        for sockaddr, name in zip(sockaddrs, [canonical, *[""] * len(sockaddrs)], strict=False)
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_arguments, **_options: found)


def test_a_name_has_addresses(ask: Ask) -> None:
    """One result for the name, each address once and of no certain type."""
    [service] = ask("localhost", protocols=[(V4, 0)])
    assert (service.name, service.addresses, service.ttl) == ("localhost", (LOOPBACK,), None)
    assert service.service_class == SVCID_HOSTNAME


def test_the_order_is_the_resolvers(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has sorted them by what can be reached (RFC 6724); what comes twice is taken once."""
    given = [("192.0.2.9", 0), ("2001:db8::1", 0, 0, 0), ("192.0.2.1", 0), ("192.0.2.9", 0)]
    answers(monkeypatch, "x.example", *given)
    [service] = ask("x.example")
    assert [address.host for address in service.addresses] == [
        "192.0.2.9",
        "2001:db8::1",
        "192.0.2.1",
    ]


def test_a_scope_is_kept(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    """A link-local address is worth nothing without its interface."""
    answers(monkeypatch, "x.local", ("fe80::7", 0, 0, 1))
    assert ask("x.local")[0].addresses == (nspkit.Address.inet("fe80::7%1"),)


def test_another_canonical_name_comes_first(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    """The name that was asked for follows as its alias."""
    answers(monkeypatch, "real.example", ("192.0.2.1", 0))
    service, alias = ask("www.example")
    assert (service.name, service.flags) == ("real.example", 0)
    assert (alias.name, alias.flags) == ("www.example", nspkit.ResultFlags.IS_ALIAS)
    assert alias.addresses == service.addresses


def test_without_the_flag_there_are_no_aliases(monkeypatch: pytest.MonkeyPatch) -> None:
    """The host would drop them; the provider does not even make them."""
    answers(monkeypatch, "real.example", ("192.0.2.1", 0))
    query = nspkit.Query("www.example", flags=nspkit.LookupFlags.RETURN_NAME)
    provider = SystemProvider()
    with nspkit.Resources() as resources:
        provider.nsp_startup({}, resources)
        found = list(provider.nsp_lookup_service(query, nspkit.Cancellation()))
    assert [service.name for service in found] == ["real.example"]


def test_the_same_name_is_no_alias(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    """Case and a trailing dot do not make it another one."""
    answers(monkeypatch, "www.example", ("192.0.2.1", 0))
    assert [service.name for service in ask("WWW.example.")] == ["www.example"]


def test_an_address_has_a_name(ask: Ask) -> None:
    """The result has both."""
    name, _port = socket.getnameinfo(("127.0.0.1", 0), socket.NI_NAMEREQD)
    [service] = ask("127.0.0.1")
    assert (service.name, service.addresses) == (name, (LOOPBACK,))


def test_an_address_without_a_name_is_not_found(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    """An address is no name of itself."""

    def nameless(_sockaddr: object, flags: int) -> None:
        assert flags & socket.NI_NAMEREQD
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getnameinfo", nameless)
    with pytest.raises(ServiceNotFoundError, match=r"192\.0\.2\.77"):
        ask("192.0.2.77")


def test_by_name_an_address_stays_what_it_is(ask: Ask) -> None:
    """SVCID_INET_HOSTADDRBYNAME asks for addresses only."""
    [service] = ask("127.0.0.1", service_class=SVCID_INET_HOSTADDRBYNAME)
    assert (service.name, service.addresses) == ("127.0.0.1", (LOOPBACK,))


def test_by_address_takes_no_name(ask: Ask) -> None:
    """The message says what would be right."""
    with pytest.raises(InvalidArgumentError, match="no numeric address"):
        ask("localhost", service_class=SVCID_INET_HOSTADDRBYINETSTRING)


@pytest.mark.parametrize(
    ("service_class", "kind", "protocol"),
    [
        (nspkit.ServiceClass.tcp(8080), socket.SOCK_STREAM, TCP),
        (nspkit.ServiceClass.udp(8080), socket.SOCK_DGRAM, UDP),
    ],
)
@pytest.mark.parametrize("name", ["localhost", "127.0.0.1"])
def test_a_port_goes_into_the_addresses(
    ask: Ask, name: str, service_class: nspkit.ServiceClass, kind: int, protocol: int
) -> None:
    """What a socket needs to connect."""
    [service] = ask(name, service_class=service_class.id, protocols=[(V4, 0)])
    expected = nspkit.Address.inet("127.0.0.1", 8080, type=kind, proto=protocol)
    assert (service.addresses, service.service_class) == ((expected,), service_class.id)


def test_protocols_ask_for_types(ask: Ask) -> None:
    """Winsock's gethostbyname asks so: each pair has its own address."""
    [service] = ask("localhost", protocols=[(V4, UDP), (V4, TCP)])
    assert [(address.type, address.proto) for address in service.addresses] == [
        (socket.SOCK_DGRAM, UDP),
        (socket.SOCK_STREAM, TCP),
    ]


def test_a_port_of_another_protocol_has_no_data(ask: Ask) -> None:
    """A TCP port is no UDP port."""
    with pytest.raises(NoDataError):
        ask("localhost", service_class=nspkit.ServiceClass.tcp(53).id, protocols=[(V4, UDP)])


@pytest.mark.parametrize("flag", [0, nspkit.LookupFlags.ADDRCONFIG])
def test_the_resolver_is_asked_for_each_address_once(
    ask: Ask, monkeypatch: pytest.MonkeyPatch, flag: int
) -> None:
    """With the canonical name; and without families that this machine lacks, if that is asked."""
    asked = []

    def answer(*arguments: object, flags: int) -> Any:
        asked.append((*arguments, flags))
        return [(V4, socket.SOCK_STREAM, TCP, "x.example", ("192.0.2.1", 0))]

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    ask("x.example", flags=nspkit.LookupFlags.RETURN_ALL | flag)
    flags = socket.AI_CANONNAME | (socket.AI_ADDRCONFIG if flag else 0)
    assert asked == [(b"x.example", 0, socket.AF_UNSPEC, socket.SOCK_STREAM, flags)]


def test_a_known_name_without_such_an_address_has_no_data(ask: Ask) -> None:
    """It is not the same as an unknown name, though some platforms say so."""
    with pytest.raises(NoDataError, match="localhost"):
        ask("localhost", protocols=[(socket.AF_UNIX, 0)])


def test_a_name_of_another_family_only_has_no_data(
    ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The resolver says that it does not know the name, and is asked once more without family."""
    found = [(V4, socket.SOCK_STREAM, TCP, "x.example", ("192.0.2.1", 0))]
    asked = []

    def only_v4(_host: object, _port: object, family: int, *_rest: object, **_more: object) -> Any:
        asked.append(family)
        if family == socket.AF_INET6:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return found

    monkeypatch.setattr(socket, "getaddrinfo", only_v4)
    with pytest.raises(NoDataError, match=r"x\.example"):
        ask("x.example", protocols=[(socket.AF_INET6, 0)])
    assert asked == [socket.AF_INET6, socket.AF_UNSPEC]


@pytest.mark.parametrize("name", ["a." * 126 + "a", "a." * 126 + "a.", "x" * 63 + ".example"])
def test_the_longest_names_are_asked_for(
    ask: Ask, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """253 bytes, with a dot behind them or not, and 63 for a label."""
    answers(monkeypatch, name, ("192.0.2.1", 0))
    assert ask(name)[0].name == name


def test_other_scripts_are_encoded(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    """The resolver is asked in IDNA, and the name asked for is an alias of what it answers."""
    asked: list[object] = []

    def answer(host: bytes, *_arguments: object, **_options: object) -> Any:
        asked.append(host)
        return [(V4, socket.SOCK_STREAM, TCP, host.decode(), ("192.0.2.1", 0))]

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    assert [service.name for service in ask("bücher.example")] == [
        "xn--bcher-kva.example",
        "bücher.example",
    ]
    assert asked == [b"xn--bcher-kva.example"]


def test_importing_it_imports_nothing_else() -> None:
    """A provider is imported to be listed; what it needs it imports when it is started."""
    code = (
        "import sys, nspkit; before = set(sys.modules); "
        "import nspkit_system; nspkit_system.SystemProvider(); print(*(set(sys.modules) - before))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.split() == ["nspkit_system"]
