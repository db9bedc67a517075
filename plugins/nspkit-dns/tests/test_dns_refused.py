"""Registrations that are refused: by the server, or before anybody is asked."""

from __future__ import annotations

import time
import types
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import nspkit
from nspkit import Address, Service, ServiceOperation
from nspkit.errors import (
    AccessDeniedError,
    ErrorCode,
    InvalidArgumentError,
    ServiceNotFoundError,
    TryAgainError,
)

REGISTER = ServiceOperation.REGISTER


@pytest.fixture
def refused(make_host: Any, registry: Any) -> Iterator[Callable[..., nspkit.NspError]]:
    """A function that registers with certain settings, and returns the error."""

    def register(**settings: Any) -> nspkit.NspError:
        session = make_host(**settings).startup("dns")
        with pytest.raises(nspkit.NspError) as caught:
            session.set_service(registry.service("web", "192.0.2.1:80"), REGISTER)
        return caught.value

    yield register
    assert registry.names() == set()


def test_without_a_key_it_is_refused(refused: Any, named: Any) -> None:
    """The error says what to set."""
    error = refused(nameservers=[named.address], domain="dyn.test")
    assert error.code == ErrorCode.WSAEREFUSED
    assert "REFUSED" in error.message
    assert "'tsig'" in error.message


def test_with_a_wrong_key_it_is_denied(refused: Any, named: Any, tools: Any) -> None:
    """Another secret, another name."""
    for key in (tools.WRONG_KEY, {**tools.KEY, "name": "unknown.key"}):
        error = refused(nameservers=[named.address], domain="dyn.test", tsig=key)
        assert isinstance(error, AccessDeniedError)
        assert key["name"] in error.message


def test_with_a_wrong_clock_it_is_denied(
    refused: Any, named: Any, tools: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error says that the clocks are to be compared."""
    ahead = types.SimpleNamespace(time=lambda: time.time() + 1000)
    monkeypatch.setattr("dns.message.time", ahead)
    error = refused(nameservers=[named.address], domain="dyn.test", tsig=tools.KEY)
    assert isinstance(error, AccessDeniedError)
    assert "clocks" in error.message


def test_a_zone_that_takes_no_updates_refuses(refused: Any, named: Any, tools: Any) -> None:
    """With a key or without."""
    error = refused(nameservers=[named.address], domain="main.test", tsig=tools.KEY)
    assert error.code == ErrorCode.WSAEREFUSED


def test_a_server_that_has_no_zone_refuses(refused: Any, unbound: Any, tools: Any) -> None:
    """A resolver that only remembers is no primary."""
    error = refused(nameservers=[unbound.address], domain="main.test", tsig=tools.KEY)
    assert isinstance(error, nspkit.NspError)
    assert "update" in error.message


def test_nobody_there_is_told(refused: Any, tools: Any) -> None:
    """In the time that one question may take."""
    nobody = f"127.0.0.1:{tools.free_port()}"
    error = refused(nameservers=[nobody], domain="dyn.test", tsig=tools.KEY, timeout=30)
    assert isinstance(error, TryAgainError)
    assert nobody in error.message


BAD = [
    ({"service_class": None}, "no DNS-SD type"),
    ({"addresses": []}, "no address"),
    ({"addresses": [Address.inet("fe80::1%1", 80)]}, "without a scope"),
    ({"addresses": [Address(1, 1, 0, "/run/socket")]}, "without a scope"),
    ({"name": "n" * 64}, "63 bytes"),
    ({"name": "\N{SNOWMAN}" * 22}, "63 bytes"),
    ({"attributes": {"a=b": "c"}}, "without '='"),
    ({"attributes": {"\N{SNOWMAN}": "c"}}, "printable ASCII"),
    ({"attributes": {"a": "b" * 254}}, "too long"),
    ({"attributes": {"a": "\ud800"}}, "lone surrogates"),
    ({"attributes": {f"a{n}": "b" * 250 for n in range(200)}}, "too long"),
    ({"context": "a..b"}, "no name of the DNS"),
    ({"context": ".".join(["d" * 60] * 4)}, "253 bytes"),
]


@pytest.mark.parametrize(("members", "says"), BAD)
def test_what_the_dns_cannot_have_is_refused(
    session: nspkit.Session, members: dict[str, Any], says: str
) -> None:
    """Before anybody is asked."""
    good = Service("web", service_class="_http._tcp", addresses=[Address.inet("192.0.2.1", 80)])
    with pytest.raises(InvalidArgumentError, match=says):
        session.set_service(good.replace(**members), REGISTER)


def test_others_names_are_not_registered(session: nspkit.Session) -> None:
    """.local is multicast DNS's."""
    service = Service(
        "web", service_class="_http._tcp", context="local", addresses=[Address.inet("192.0.2.1")]
    )
    with pytest.raises(ServiceNotFoundError, match="multicast"):
        session.set_service(service, REGISTER)
