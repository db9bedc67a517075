"""Winsock's matrix of registrations, row for row."""

from __future__ import annotations

from typing import Any

import pytest

from nspkit import Address, Service, ServiceOperation
from nspkit.errors import (
    NoDataError,
    ServiceNotFoundError,
)

A, B, C = "192.0.2.1", "192.0.2.2", "192.0.2.3"
HTTP = "_http._tcp"


@pytest.mark.parametrize("multiple", [False, True])
def test_register_makes_what_is_not_there(client: Any, multiple: bool) -> None:
    """With the given addresses."""
    client.register("x", A, B, multiple=multiple)
    assert client.hosts("x") == [A, B]


def test_register_replaces(client: Any) -> None:
    """Addresses and everything else (D37)."""
    client.register("x", A, B, attributes={"a": 1}, comment="old", version=1, blob=b"b")
    client.register("x", C)
    assert client.hosts("x") == [C]
    [found] = client.find("x")
    assert (found.attributes, found.comment, found.version, found.blob) == ({}, "", None, None)


def test_register_multiple_adds_addresses(client: Any) -> None:
    """Each once, and the rest is what was given last (D38)."""
    client.register("x", A, B, attributes={"a": 1})
    client.register("x", B, C, multiple=True, attributes={"a": 2})
    assert client.hosts("x") == [A, B, C]
    assert client.find("x")[0].attributes == {"a": 2}


def test_deregister_leaves_the_instance(client: Any) -> None:
    """It is known, without data, and can be registered again (D39)."""
    client.register("x", A)
    client.deregister("x")
    with pytest.raises(NoDataError, match="deregistered"):
        client.find("x")
    assert client.find() == []
    client.deregister("x")
    client.register("x", B, multiple=True)
    assert client.hosts("x") == [B]


def test_deregister_multiple_drops_addresses(client: Any) -> None:
    """The given ones; with the last it is deregistered, and still there."""
    client.register("x", A, B, C)
    client.deregister("x", A, multiple=True)
    assert client.hosts("x") == [B, C]
    client.deregister("x", B, C, multiple=True)
    with pytest.raises(NoDataError):
        client.find("x")
    client.deregister("x")


def test_delete_removes(client: Any) -> None:
    """The name is unknown afterwards (D39)."""
    client.register("x", A)
    client.delete("x")
    with pytest.raises(ServiceNotFoundError):
        client.find("x")
    with pytest.raises(ServiceNotFoundError):
        client.delete("x")


def test_delete_multiple_drops_addresses(client: Any) -> None:
    """The given ones; with the last the instance is gone."""
    client.register("x", A, B)
    client.delete("x", A, multiple=True)
    assert client.hosts("x") == [B]
    client.delete("x", B, multiple=True)
    with pytest.raises(ServiceNotFoundError):
        client.deregister("x")


@pytest.mark.parametrize(
    "other",
    [
        Address.inet(A, 81, type=1, proto=6),
        Address.inet(A, 80, type=2, proto=6),
        Address.inet(A, 80, type=1, proto=17),
        Address.inet(B, 80, type=1, proto=6),
    ],
)
def test_an_address_that_is_not_the_same_stays(client: Any, other: Address) -> None:
    """Every part of it has to be equal (D41)."""
    client.register("x", A)
    client.delete("x", addresses=[other], multiple=True)
    assert client.hosts("x") == [A]


def test_an_equal_number_of_another_type_is_another_address(client: Any) -> None:
    """To Python 1 is True; as bytes they are two."""
    client.register("x", addresses=[Address(4711, 0, 0, (1,))])
    client.delete("x", addresses=[Address(4711, 0, 0, (True,))], multiple=True)
    assert len(client.find("x")[0].addresses) == 1


@pytest.mark.parametrize(("kind", "proto"), [(1, 6), (2, 17), (3, 0), (0, 0)])
def test_any_protocol_becomes_that_of_the_type(client: Any, kind: int, proto: int) -> None:
    """Winsock's wildcard is for registrations only, and means the same when deleting."""
    address = Address.inet(A, 80, type=kind, proto=-1)
    client.register("x", addresses=[address])
    [found] = client.find("x")[0].addresses
    assert found == Address.inet(A, 80, type=kind, proto=proto)
    client.delete("x", addresses=[address], multiple=True)
    assert client.find() == []


@pytest.mark.parametrize("multiple", [False, True])
@pytest.mark.parametrize("operation", ["deregister", "delete"])
@pytest.mark.parametrize("exists", [False, True])
def test_what_is_not_there_is_not_found(
    client: Any, path: Any, operation: str, multiple: bool, exists: bool
) -> None:
    """Whether there is a registry or not, which is not made for that (D40)."""
    if exists:
        client.register("x", A, service_class=HTTP)
    with pytest.raises(ServiceNotFoundError, match="'x'"):
        getattr(client, operation)("x", A, multiple=multiple)
    assert path.exists() == exists


def test_an_instance_without_addresses_is_one(client: Any) -> None:
    """It may be all attributes."""
    client.register("x", attributes={"a": 1})
    assert client.hosts("x") == []
    client.deregister("x", multiple=True)
    with pytest.raises(NoDataError):
        client.find("x")


def test_an_operation_that_fails_changes_nothing(client: Any, sqlite3: Any) -> None:
    """The transaction is undone as a whole."""
    client.register("x", A)
    before = sqlite3(".dump")
    with pytest.raises(ServiceNotFoundError):
        client.session.set_service(Service("y"), ServiceOperation.DELETE)
    assert sqlite3(".dump") == before
