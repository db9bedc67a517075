"""Contexts, protocols, versions, query strings and flags: what a lookup is restricted with."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from nspkit import (
    Address,
    Comparison,
    LookupFlags,
    Version,
)
from nspkit.errors import InvalidArgumentError, NoDataError

TCP, UDP = socket.IPPROTO_TCP, socket.IPPROTO_UDP
HTTP, SSH = "_http._tcp", "_ssh._tcp"
DEEP = LookupFlags.DEEP | LookupFlags.RETURN_ALL


@pytest.fixture
def tree(client: Any) -> Any:
    """A client of a registry with contexts in contexts."""
    for context in ("", "a", "a\\b", "ab", "a!", "z"):
        name = context.replace("\\", "/") or "top"
        client.register(name, service_class=HTTP, context=context)
        client.register("same", service_class=HTTP, context=context)
    return client


@pytest.mark.parametrize("service_class", [HTTP, None])
@pytest.mark.parametrize(
    ("context", "expected"),
    [("", ["top"]), ("\\", ["top"]), ("a", ["a"]), ("\\a\\b\\", ["a/b"]), ("b", [])],
)
def test_a_context_holds_what_was_registered_in_it(
    tree: Any, service_class: str | None, context: str, expected: list[str]
) -> None:
    """Not what is in the contexts below."""
    found = tree.names(context=context, service_class=service_class)
    assert [name for name in found if name != "same"] == expected


@pytest.mark.parametrize("service_class", [HTTP, None])
@pytest.mark.parametrize("name", ["same", None])
@pytest.mark.parametrize(
    ("context", "expected"),
    [("", ["", "a", "a!", "a\\b", "ab", "z"]), ("a", ["a", "a\\b"]), ("a\\b", ["a\\b"])],
)
def test_deep_goes_down(
    tree: Any, service_class: str | None, name: str | None, context: str, expected: list[str]
) -> None:
    """What is below, and nothing that only begins with the same letters."""
    found = tree.find(name, context=context, service_class=service_class, flags=DEEP)
    contexts = [service.context for service in found if service.name == "same"]
    assert sorted(contexts) == expected


def test_a_context_is_told_in_one_form(client: Any) -> None:
    """Backslashes around it do not make it another one."""
    client.register("x", context="\\a\\b\\")
    [service] = client.find("x", context="a\\b")
    assert service.context == "a\\b"


@pytest.fixture
def mixed(client: Any) -> Any:
    """A client of a registry with one service of several addresses, and one of none."""
    addresses = [
        Address.inet("192.0.2.1", 1, type=socket.SOCK_STREAM, proto=TCP),
        Address.inet("192.0.2.2", 2, type=socket.SOCK_DGRAM),
        Address.inet("2001:db8::3", 3, type=socket.SOCK_STREAM),
        Address.inet("192.0.2.4", 4),
    ]
    client.register("x", addresses=addresses, service_class=HTTP)
    client.register("bare", service_class=HTTP)
    return client


@pytest.mark.parametrize(
    ("protocols", "ports"),
    [
        ([(socket.AF_INET, TCP)], [1, 4]),
        ([(socket.AF_INET, UDP)], [2, 4]),
        ([(socket.AF_UNSPEC, TCP)], [1, 3, 4]),
        ([(socket.AF_INET6, 0)], [3]),
        ([(socket.AF_INET6, UDP), (socket.AF_INET, TCP)], [1, 4]),
        ([(socket.AF_UNSPEC, 0)], [1, 2, 3, 4]),
    ],
)
def test_protocols_narrow_the_addresses(
    mixed: Any, protocols: list[tuple[int, int]], ports: list[int]
) -> None:
    """Where an address has no protocol, its type has one; and what has neither fits any."""
    for name, service_class in [("x", HTTP), ("x", None), (None, HTTP), (None, None)]:
        [service] = mixed.find(name, service_class=service_class, protocols=protocols)
        assert [address.port for address in service.addresses] == ports


@pytest.mark.parametrize("service_class", [HTTP, None])
def test_a_name_without_such_an_address_has_no_data(mixed: Any, service_class: str | None) -> None:
    """It is known, which is not the same as unknown."""
    with pytest.raises(NoDataError, match="'x'"):
        mixed.find("x", service_class=service_class, protocols=[(socket.AF_UNIX, 0)])
    with pytest.raises(NoDataError):
        mixed.find("bare", service_class=service_class, protocols=[(socket.AF_INET, 0)])
    assert mixed.find(service_class=service_class, protocols=[(socket.AF_UNIX, 0)]) == []


@pytest.mark.parametrize(
    ("version", "found"),
    [
        (2, ["two", "none"]),
        (Version(2, Comparison.NOTLESS), ["two", "three", "none"]),
        (9, ["none"]),
    ],
)
def test_a_version_restricts(client: Any, version: Any, found: list[str]) -> None:
    """What has none fits any (D35)."""
    client.register("two", version=2, service_class=HTTP)
    client.register("three", version=3, service_class=HTTP)
    client.register("none", service_class=HTTP)
    assert sorted(client.names(version=version)) == sorted(found)
    for name in {"two", "three"} - set(found):
        with pytest.raises(NoDataError):
            client.find(name, service_class=HTTP, version=version)


@pytest.mark.parametrize(
    ("query_string", "found"),
    [
        ("path=/", True),
        ("path", True),
        ("path=", False),
        ("path=/&secure", True),
        ("path=/&missing", False),
        ("secure=true", True),
        ("secure=1", False),
        ("port=8080", True),
        ("load=0.5", True),
        ("raw=abc", True),
        ("raw=abd", False),
        ("empty", True),
        ("empty=None", False),
        ("odd%3Dname=a%26b%25", True),
    ],
)
def test_a_query_string_is_about_attributes(client: Any, query_string: str, found: bool) -> None:
    """Conditions that all hold, of values as text."""
    client.register(
        "x",
        service_class=HTTP,
        attributes={
            "path": "/",
            "secure": True,
            "port": 8080,
            "load": 0.5,
            "raw": b"abc",
            "empty": None,
            "odd=name": "a&b%",
        },
    )
    assert client.names(query_string=query_string) == ["x"] * found
    if found:
        assert client.names("x", service_class=HTTP, query_string=query_string) == ["x"]
    else:
        with pytest.raises(NoDataError, match="attributes"):
            client.find("x", service_class=HTTP, query_string=query_string)


@pytest.mark.parametrize("query_string", ["=/", "path=/&", "&path"])
def test_a_malformed_query_string_is_refused(client: Any, query_string: str) -> None:
    """The message shows what is right."""
    with pytest.raises(InvalidArgumentError, match="condition without a name"):
        client.find("x", query_string=query_string)


@pytest.mark.parametrize("name", ["x", None])
def test_there_are_no_containers(client: Any, name: str | None) -> None:
    """Contexts are no results (D32)."""
    client.register("x", service_class=HTTP)
    with pytest.raises(NoDataError, match="no containers"):
        client.find(name, service_class=HTTP, flags=LookupFlags.CONTAINERS | LookupFlags.RETURN_ALL)


def test_flags_narrow_what_is_told(client: Any) -> None:
    """The host leaves out what is not asked for."""
    client.register("x", "192.0.2.1", service_class=HTTP, blob=b"b")
    [found] = client.find("x", service_class=HTTP, flags=LookupFlags.RETURN_NAME)
    assert (found.name, found.addresses, found.blob) == ("x", (), None)
