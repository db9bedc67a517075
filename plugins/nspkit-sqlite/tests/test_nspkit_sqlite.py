"""What is registered is found: by class and name, by name, by class, all of it."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from nspkit_sqlite import REGISTRY, SqliteProvider

import nspkit
from nspkit import (
    Address,
    LookupFlags,
    Service,
    ServiceClass,
    ServiceOperation,
)
from nspkit.errors import InvalidArgumentError, ServiceNotFoundError

TCP, UDP = socket.IPPROTO_TCP, socket.IPPROTO_UDP
HTTP, SSH = "_http._tcp", "_ssh._tcp"
DEEP = LookupFlags.DEEP | LookupFlags.RETURN_ALL


def test_a_service_is_found_as_it_was_registered(client: Any) -> None:
    """Every member survives, with its type."""
    service = Service(
        "wéb",
        service_class=HTTP,
        addresses=[
            Address.inet("192.0.2.1", 80, type=socket.SOCK_STREAM, proto=TCP),
            Address.inet("fe80::1%1", 80),
            Address(socket.AF_INET6, 1, 6, ("2001:db8::1", 80, 7, 0)),
            Address(socket.AF_UNIX, 1, 0, "/run/[]web"),
            Address(socket.AF_UNIX, 1, 0, b"\0abstract"),
            Address(4711, 0, 0, ("eth0", 3, (b"\1", None, 1.5, True), ())),
        ],
        attributes={
            "text": "a\ud800\0b",
            "bytes": b"\0\xff",
            "int": 2**70,
            "float": 1.5,
            "yes": True,
            "none": None,
        },
        comment="für alle",
        version=2**32 - 1,
        blob=b"\0blob",
    )
    client.session.set_service(service, ServiceOperation.REGISTER)
    [found] = client.find("wéb", service_class=HTTP)
    assert found == service.replace(namespace=REGISTRY, provider=SqliteProvider.info.guid)
    kinds = [type(value) for value in found.attributes.values()]
    assert kinds == [bytes, float, int, type(None), str, bool]
    assert found.service_type == HTTP


def test_an_infinite_number_is_kept(client: Any) -> None:
    """JSON has none, Python's has."""
    client.register("x", attributes={"limit": float("inf")})
    assert client.find("x")[0].attributes == {"limit": float("inf")}


def test_an_instance_is_a_class_a_name_and_a_context(client: Any) -> None:
    """Any of them makes it another one."""
    client.register("x", "192.0.2.1", service_class=HTTP)
    client.register("x", "192.0.2.2", service_class=SSH)
    client.register("x", "192.0.2.3")
    client.register("X", "192.0.2.4", service_class=HTTP)
    client.register("x", "192.0.2.5", service_class=HTTP, context="y")
    assert client.hosts("x", service_class=HTTP) == ["192.0.2.1"]
    assert client.hosts("x", service_class=SSH) == ["192.0.2.2"]
    assert client.hosts("X", service_class=HTTP) == ["192.0.2.4"]
    assert client.hosts("x", service_class=HTTP, context="y") == ["192.0.2.5"]


def test_a_name_is_found_in_all_classes(client: Any) -> None:
    """Also where it has none."""
    client.register("x")
    client.register("x", service_class=HTTP)
    client.register("x", service_class=ServiceClass.tcp(80).id)
    client.register("y", service_class=HTTP)
    found = {(service.service_class, service.service_type) for service in client.find("x")}
    assert found == {
        (None, None),
        (ServiceClass.dns_sd(HTTP).id, HTTP),
        (ServiceClass.tcp(80).id, None),
    }


def test_a_class_is_browsed_in_the_order_of_names(
    client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many pages that takes."""
    monkeypatch.setattr("nspkit_sqlite._search._FIRST_ROWS", 2)
    monkeypatch.setattr("nspkit_sqlite._search._ROWS", 3)
    expected = [f"{number:02}" for number in range(30)]
    for name in reversed(expected):
        client.register(name, service_class=HTTP)
        client.register("same", context=name)
    client.register("another", service_class=SSH)
    assert client.names(service_class=HTTP) == expected
    assert len(client.find(flags=DEEP)) == 61
    assert [service.context for service in client.find("same", flags=DEEP)] == expected


def test_everything_is_browsed(client: Any) -> None:
    """Class after class, and what has none."""
    client.register("none")
    for number in range(80, 90):
        for name in "ab":
            client.register(name, service_class=ServiceClass.tcp(number).id)
    found = client.find()
    assert len(found) == 21
    assert found[0].name == "none"
    assert len({(service.service_class, service.name) for service in found}) == 21


def test_a_type_may_be_asked_for_by_its_class_id(client: Any) -> None:
    """The id follows from the type."""
    client.register("x", service_class=HTTP)
    assert client.names("x", service_class=ServiceClass.dns_sd(HTTP).id) == ["x"]
    assert client.names(service_class=ServiceClass.dns_sd(HTTP).id) == ["x"]


def test_a_long_page_ends_early(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Large blobs do not come by the hundred at once; none is left out."""
    for name in "abcde":
        client.register(name, service_class=HTTP, blob=bytes(700_000))
    read: list[int] = []
    import nspkit_sqlite._search as search

    real = search.Search._read

    def counted(self: Any, *arguments: Any) -> Any:
        page = real(self, *arguments)
        read.append(len(page))
        return page

    monkeypatch.setattr(search.Search, "_read", counted)
    assert client.names(service_class=HTTP) == list("abcde")
    assert read == [2, 2, 1, 0]


def test_what_is_not_there_is_not_found(client: Any, path: Path) -> None:
    """The message names the name, the class and the file."""
    client.register("x", service_class=HTTP)
    with pytest.raises(ServiceNotFoundError, match="'nobody'") as caught:
        client.find("nobody", service_class=HTTP)
    assert str(path) in str(caught.value)
    assert HTTP in str(caught.value)
    with pytest.raises(ServiceNotFoundError, match="'nobody'"):
        client.find("nobody")
    with pytest.raises(ServiceNotFoundError):
        client.find("x", context="elsewhere")


def test_an_empty_browse_is_no_error(client: Any) -> None:
    """Nobody has asked for anything that should be there."""
    client.register("x", service_class=HTTP)
    assert client.find(service_class=SSH) == []


def test_a_service_needs_a_name(client: Any, path: Path) -> None:
    """And nothing is made for one that has none."""
    with pytest.raises(InvalidArgumentError, match="without a name"):
        client.register("")
    assert not path.exists()


def test_an_address_of_something_else_is_refused(client: Any, path: Path) -> None:
    """The message names the type; nothing is made."""
    address = Address(4711, 0, 0, (frozenset(),))
    with pytest.raises(InvalidArgumentError, match="frozenset cannot be stored"):
        client.register("x", addresses=[address])
    assert not path.exists()


def test_a_number_beyond_measure_is_refused(client: Any) -> None:
    """Python would not write it; and a clock cannot add it."""
    with pytest.raises(InvalidArgumentError, match="cannot be stored"):
        client.register("x", attributes={"large": 10**5000})
    with pytest.raises(InvalidArgumentError, match="ttl"):
        client.register("x", ttl=10**400)


def test_importing_it_imports_nothing_else() -> None:
    """A provider is imported to be listed; what it needs it imports when it is started."""
    code = (
        "import sys, nspkit; before = set(sys.modules); "
        "import nspkit_sqlite; nspkit_sqlite.SqliteProvider(); "
        "print(*(set(sys.modules) - before))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.split() == ["nspkit_sqlite"]


def test_what_it_is() -> None:
    """It keeps classes for the host, in a namespace of its own."""
    info = SqliteProvider.info
    assert (info.name, info.namespace, info.stores_service_classes) == ("sqlite", REGISTRY, True)
    assert REGISTRY not in list(nspkit.Namespace)
