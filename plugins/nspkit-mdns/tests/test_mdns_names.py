"""Names: which are answered, which are refused, and that nothing is sent for those of others."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from nspkit_mdns._names import Host, Instance, Type, instance_of, question_in

import nspkit
from nspkit import (
    SVCID_HOSTNAME,
    SVCID_INET_HOSTADDRBYINETSTRING,
    SVCID_INET_HOSTADDRBYNAME,
    LookupFlags,
    Query,
    svcid_dns,
    svcid_tcp,
)
from nspkit.errors import InvalidArgumentError, NoDataError, ServiceNotFoundError

BOTH = (socket.AF_INET, socket.AF_INET6)


@pytest.mark.parametrize(
    ("query", "question"),
    [
        (Query("a.local"), Host("a.local", BOTH)),
        (Query("A.LOCAL."), Host("A.LOCAL", BOTH)),
        (Query("a.b.local", service_class=SVCID_HOSTNAME), Host("a.b.local", BOTH)),
        (Query("a.local", service_class=SVCID_INET_HOSTADDRBYNAME), Host("a.local", BOTH)),
        (Query("a.local", service_class=svcid_dns(1)), Host("a.local", (socket.AF_INET,))),
        (Query("a.local", service_class=svcid_dns(28)), Host("a.local", (socket.AF_INET6,))),
        (Query("a.local", protocols=[(0, 6)]), Host("a.local", BOTH)),
        (Query("a.local", protocols=[(2, 6)]), Host("a.local", (socket.AF_INET,))),
        (Query("bu\u0308ro.local"), Host("büro.local", BOTH)),
        (Query("xn--bro-hoa.local"), Host("xn--bro-hoa.local", BOTH)),
        (Query("_tcp.local"), Host("_tcp.local", BOTH)),
        (Query("a_tcp.local"), Host("a_tcp.local", BOTH)),
        (Query(service_class="_http._tcp"), Type("_http._tcp")),
        (Query(service_class="_a._sub._http._tcp"), Type("_a._sub._http._tcp")),
        (Query("_http._tcp.local"), Type("_http._tcp")),
        (Query("_HTTP._TCP.local."), Type("_http._tcp")),
        (Query("_a._sub._http._tcp.local"), Type("_a._sub._http._tcp")),
        (Query("_services._dns-sd._udp.local"), Type("_services._dns-sd._udp")),
        (Query("web", service_class="_http._tcp"), Instance("web", "_http._tcp")),
        (
            Query("My Web", service_class="_http._tcp", context="\\"),
            Instance("My Web", "_http._tcp"),
        ),
        (Query("web.local", service_class="_http._tcp"), Instance("web.local", "_http._tcp")),
        (Query("web._http._tcp.local"), Instance("web", "_http._tcp")),
        (Query("v1.2._http._tcp.local"), Instance("v1.2", "_http._tcp")),
        (Query("w._http._tcp.local.", service_class="_http._tcp"), Instance("w", "_http._tcp")),
    ],
)
def test_what_is_asked(query: Query, question: Host | Instance | Type) -> None:
    """A host of .local, an instance of a service, or all of a type."""
    assert question_in(query) == question


NOT_OURS = [
    Query(),
    Query("localhost"),
    Query("local"),
    Query("www.example.org"),
    Query("a.local.example.org"),
    Query("notlocal"),
    Query("192.0.2.1"),
    Query("web"),
    Query("x" * 300),
    Query("a..b"),
    Query("192.0.2.1", service_class=SVCID_INET_HOSTADDRBYINETSTRING),
    Query("a.local", service_class=svcid_tcp(80)),
    Query("a.local", service_class=svcid_dns(15)),
    Query("a.local", service_class=UUID(int=7)),
    Query(service_class=UUID(int=7)),
    Query(service_class=SVCID_HOSTNAME),
    Query("a.local", context="\\somewhere"),
]


@pytest.mark.parametrize("query", NOT_OURS, ids=lambda query: repr(query)[:40])
def test_other_names_are_answered_without_asking(
    session: nspkit.Session, query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is opened for them, no thread and no socket."""

    def refuse(*_arguments: Any, **_options: Any) -> None:
        raise AssertionError("a socket for a name that is not multicast DNS's")

    before = set(threading.enumerate())
    monkeypatch.setattr(socket.socket, "__init__", refuse)
    with pytest.raises(ServiceNotFoundError, match="local"):
        list(session.lookup(query))
    assert not {one.name for one in set(threading.enumerate()) - before} & {"nspkit-mdns"}


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("a..local", "empty label"),
        (".a.local", "empty label"),
        (".local", "empty label"),
        ("a.local..", "empty label"),
        ("x" * 64 + ".local", "64 bytes"),
        ("ü" * 32 + ".local", "64 bytes"),
        ("a." * 125 + "local", "255 bytes"),
        ("a\tb.local", "control character"),
        ("a\x7f.local", "control character"),
        ("a\u2028.local", "control character"),
        ("x" * 64 + "._http._tcp.local", "64 bytes"),
    ],
)
def test_names_that_cannot_be_are_told_so(name: str, why: str) -> None:
    """Before anything is sent, and what to change."""
    with pytest.raises(InvalidArgumentError, match=why):
        question_in(Query(name))


@pytest.mark.parametrize("name", ["x" * 64, "ü" * 32, "a\nb", "", "a\x00b"])
def test_instances_that_cannot_be_are_told_so(name: str) -> None:
    """They have one label, in which a dot and a space are letters like others."""
    with pytest.raises(InvalidArgumentError):
        instance_of(name, "_http._tcp")


def test_a_name_as_long_as_may_be_is_asked_for() -> None:
    """253 bytes, and 63 in a label."""
    name = ".".join(["x" * 63] * 3 + ["y" * 55, "local"])
    assert len(name) == 253
    assert question_in(Query(name)) == Host(name, BOTH)


def test_nul_does_not_come_so_far() -> None:
    """No query can have it."""
    with pytest.raises(InvalidArgumentError):
        Query("a\0b.local")


def test_there_are_no_containers() -> None:
    """Whatever the name."""
    for name in ("a.local", "localhost"):
        with pytest.raises(NoDataError):
            question_in(Query(name, flags=LookupFlags.CONTAINERS))


def test_the_others_go_on(new_host: Callable[..., nspkit.Host]) -> None:
    """A name that cannot be is this provider's error, and nobody else's."""

    class Other:
        info = nspkit.ProviderInfo(UUID(int=9), "other", 4711, "1")

        @nspkit.hookimpl
        def nsp_startup(self) -> None:
            """Have nothing to acquire."""

        @nspkit.hookimpl
        def nsp_cleanup(self) -> None:
            """Have nothing to release."""

        @nspkit.hookimpl
        def nsp_lookup_service(self, query: Query) -> list[nspkit.Service]:
            """Find whatever is asked for."""
            assert query.name
            return [nspkit.Service(query.name)]

    from nspkit_mdns import MdnsProvider

    catalog = nspkit.Catalog()
    catalog.install(Other)
    catalog.install(MdnsProvider)
    with nspkit.Host(catalog=catalog) as host, host.lookup("a..local") as lookup:
        assert [found.name for found in lookup] == ["a..local"]
        [error] = lookup.errors
        assert isinstance(error, InvalidArgumentError)
        assert error.guid == MdnsProvider.info.guid
