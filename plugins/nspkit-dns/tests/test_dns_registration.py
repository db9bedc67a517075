"""Registration by dynamic updates at a real bind9, seen with `dig`, changed with `nsupdate`."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable
from typing import Any

import pytest

import nspkit
from nspkit import Address, Service, ServiceOperation
from nspkit.errors import (
    AccessDeniedError,
    AlreadyExistsError,
    NoDataError,
    ServiceNotFoundError,
)

REGISTER, DEREGISTER, DELETE = ServiceOperation
PATIENCE = 30.0
TCP = {"type": 1, "proto": 6}


def nsupdate(program: Callable[[str], str], named: Any, tools: Any, *lines: str) -> None:
    """Have somebody else change the zone."""
    script = "\n".join([f"server 127.0.0.1 {named.port}", "zone dyn.test", *lines, "send", ""])
    key = f"hmac-sha256:{tools.KEY['name']}:{tools.KEY['secret']}"
    done = subprocess.run(
        [program("nsupdate"), "-y", key], input=script, text=True, capture_output=True,
        timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_what_is_registered_is_what_dig_sees(registry: Any) -> None:
    """PTR, SRV, TXT and addresses, with the time to live."""
    attributes = {"path": "/", "secure": None, "on": True, "n": 7, "raw": b"\xff"}
    registry.set(REGISTER, "web", "192.0.2.1:80", "[2001:db8::1]:80", ttl=77, attributes=attributes)
    [(_, ttl, _, data)] = registry.records("", "PTR")
    assert (ttl, data) == (77, f"web.{registry.kind}.dyn.test.")
    [(_, ttl, _, data)] = registry.records("web", "SRV")
    assert (ttl, data.split()[:3]) == (77, ["0", "0", "80"])
    host = data.split()[3].removesuffix(".")
    assert [data for *_, data in registry.dig.records(host, "A")] == ["192.0.2.1"]
    assert [data for *_, data in registry.dig.records(host, "AAAA")] == ["2001:db8::1"]
    [(*_, data)] = registry.records("web", "TXT")
    assert data == '"path=/" "secure" "on=true" "n=7" "raw=\\255"'
    types = registry.dig.records("_services._dns-sd._udp.dyn.test", "PTR")
    assert f"{registry.kind}.dyn.test." in {data for *_, data in types}


def test_what_is_registered_is_found(registry: Any) -> None:
    """By name and by browsing, as it was."""
    registry.set(REGISTER, "My Web.", "192.0.2.1:80", "192.0.2.2:81", attributes={"a": "b"}, ttl=60)
    [service] = registry.session.lookup("My Web.", service_class=registry.kind)
    assert (service.name, service.attributes, service.ttl) == ("My Web.", {"a": "b"}, 60)
    assert registry.places("My Web.") == {"192.0.2.1:80", "192.0.2.2:81"}
    assert registry.names() == {"My Web."}


def test_a_name_in_any_script_can_be_registered(registry: Any) -> None:
    """It is UTF-8 in the DNS; the host behind it is ASCII."""
    name = "\N{CYRILLIC CAPITAL LETTER VE}\N{SNOWMAN} 1.5"
    registry.set(REGISTER, name, "192.0.2.1:80")
    assert registry.names() == {name}
    assert registry.places(name) == {"192.0.2.1:80"}


def test_registering_replaces(registry: Any) -> None:
    """Addresses and attributes; nothing of the old ones stays in the zone."""
    registry.set(REGISTER, "web", "192.0.2.1:80", attributes={"old": "1"})
    old = registry.records("web", "SRV")[0][3].split()[3]
    registry.set(REGISTER, "web", "192.0.2.2:81", attributes={"new": "1"})
    assert registry.places("web") == {"192.0.2.2:81"}
    assert [data for *_, data in registry.records("web", "TXT")] == ['"new=1"']
    assert registry.dig.status(old, "A") == "NXDOMAIN"


def test_several_register_addresses_under_one_name(registry: Any) -> None:
    """With multiple they are added and taken away one by one."""
    registry.set(REGISTER, "web", "192.0.2.1:80", attributes={"a": "1"})
    registry.set(REGISTER, "web", "192.0.2.2:80", multiple=True)
    registry.set(REGISTER, "web", "192.0.2.3:81", multiple=True)
    assert registry.places("web") == {"192.0.2.1:80", "192.0.2.2:80", "192.0.2.3:81"}
    assert [data for *_, data in registry.records("web", "TXT")] == ['"a=1"']
    registry.set(DELETE, "web", "192.0.2.1:80", multiple=True)
    registry.set(DEREGISTER, "web", "192.0.2.3:81", multiple=True)
    assert registry.places("web") == {"192.0.2.2:80"}
    with pytest.raises(ServiceNotFoundError, match="these addresses"):
        registry.set(DELETE, "web", "192.0.2.2:8080", multiple=True)
    registry.set(DELETE, "web", "192.0.2.2:80", multiple=True)
    assert registry.dig.status(f"web.{registry.kind}.dyn.test", "TXT") == "NXDOMAIN"


def test_deregistered_it_stays_without_addresses(registry: Any) -> None:
    """It is not listed any more, and can be registered again, or deleted."""
    registry.set(REGISTER, "web", "192.0.2.1:80", attributes={"a": "1"})
    registry.set(DEREGISTER, "web")
    assert registry.names() == set()
    with pytest.raises(NoDataError):
        list(registry.session.lookup("web", service_class=registry.kind))
    registry.set(DEREGISTER, "web")
    registry.set(REGISTER, "web", "192.0.2.1:80")
    assert registry.names() == {"web"}
    registry.set(DEREGISTER, "web")
    registry.set(DELETE, "web")
    with pytest.raises(ServiceNotFoundError):
        registry.set(DELETE, "web")


def test_deleted_nothing_is_left(registry: Any) -> None:
    """Not the hosts either, nor the type in the list of types when it was the last."""
    for name in ("one", "two"):
        registry.set(REGISTER, name, "192.0.2.1:80")
    host = registry.records("one", "SRV")[0][3].split()[3]
    types = "_services._dns-sd._udp.dyn.test"

    def listed() -> bool:
        records = registry.dig.records(types, "PTR")
        return f"{registry.kind}.dyn.test." in {data for *_, data in records}

    registry.set(DELETE, "one")
    assert listed()
    assert registry.dig.status(host, "A") == "NXDOMAIN"
    registry.set(DELETE, "two")
    assert not listed()
    assert registry.dig.status(f"{registry.kind}.dyn.test", "PTR") == "NXDOMAIN"


def test_what_is_not_there_cannot_be_removed(registry: Any) -> None:
    """10108, whatever the way."""
    for operation in (DEREGISTER, DELETE):
        for multiple in (False, True):
            with pytest.raises(ServiceNotFoundError, match="nobody"):
                registry.set(operation, "nobody", "192.0.2.1:80", multiple=multiple)


def test_a_subtype_is_listed_too(
    session: nspkit.Session, registry_of: Any, named: Any, kind: str
) -> None:
    """Under itself and under its type."""
    registry = registry_of(session, named.dig, f"_new._sub.{kind}")
    registry.set(REGISTER, "web", "192.0.2.1:80")
    for place in (kind, f"_new._sub.{kind}"):
        [service] = session.lookup(service_class=place)
        assert service.name == "web"
    registry.set(DELETE, "web")
    assert registry.names() == set()


def test_a_context_is_the_domain(registry: Any) -> None:
    """It may be below the zone that is updated; the SOA record tells which that is."""
    service = registry.service("web", "192.0.2.1:80", context="deep.below.dyn.test")
    registry.session.set_service(service, REGISTER)
    [found] = registry.session.lookup(service_class=registry.kind, context="deep.below.dyn.test")
    assert (found.name, found.context) == ("web", "deep.below.dyn.test")
    registry.session.set_service(found, DELETE)
    assert registry.names() == set()


def test_a_name_that_others_have_is_left_alone(registry: Any, session: Any) -> None:
    """Its records were not made by nspkit: neither replaced nor removed."""
    service = Service(
        "taken", service_class="_http._tcp", addresses=[Address.inet("192.0.2.1", 80)]
    )
    with pytest.raises(AlreadyExistsError, match="in use"):
        session.set_service(service, REGISTER)
    for operation in (DEREGISTER, DELETE):
        with pytest.raises(AccessDeniedError, match="nspkit has not made"):
            session.set_service(service, operation)
    records = registry.dig.records("taken._http._tcp.dyn.test", "TXT")
    assert [data for *_, data in records] == ['"by=others"']


def test_who_is_quicker_is_not_overwritten(
    registry: Any, program: Any, named: Any, tools: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look and the update somebody else takes the name: the server holds it."""
    from nspkit_dns import _update

    send = _update.send

    def late(*arguments: Any) -> None:
        monkeypatch.setattr(_update, "send", send)
        name = f"web.{registry.kind}.dyn.test"
        nsupdate(program, named, tools, f"update add {name} 60 SRV 0 0 1 ns.dyn.test.")
        send(*arguments)

    monkeypatch.setattr(_update, "send", late)
    with pytest.raises(AlreadyExistsError):
        registry.set(REGISTER, "web", "192.0.2.1:80")
    assert [data for *_, data in registry.records("web", "SRV")] == ["0 0 1 ns.dyn.test."]


def test_what_is_left_of_hosts_is_replaced(
    registry: Any, program: Any, named: Any, tools: Any
) -> None:
    """Somebody has removed the instance by hand, and has not seen that it had a host."""
    registry.set(REGISTER, "web", "192.0.2.1:80", "[2001:db8::1]:80")
    name = f"web.{registry.kind}.dyn.test"
    nsupdate(program, named, tools, f"update delete {name}")
    assert registry.places("web") == set()
    registry.set(REGISTER, "web", "192.0.2.2:80")
    assert registry.places("web") == {"192.0.2.2:80"}


def test_many_at_once_are_all_there(registry: Any) -> None:
    """Each thread adds an address to one name; none is lost."""
    errors: list[BaseException] = []

    def add(number: int) -> None:
        try:
            registry.set(REGISTER, "web", f"192.0.2.{number}:80", multiple=True)
        except nspkit.NspError as error:
            errors.append(error)

    threads = [threading.Thread(target=add, args=(number,)) for number in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert errors == []
    assert registry.places("web") == {f"192.0.2.{number}:80" for number in range(1, 9)}


def test_a_registration_of_a_host_ends_with_it(
    make_host: Any, named: Any, tools: Any, registry: Any
) -> None:
    """It is renewed while it lasts, and deleted at the end."""
    host = make_host(nameservers=[named.address], domain="dyn.test", tsig=tools.KEY)
    with host.register(registry.service("web", "192.0.2.1:80"), ttl=60, provider="dns"):
        assert registry.names() == {"web"}
    assert registry.names() == set()


def test_knot_takes_the_same_updates(
    make_host: Any, registry_of: Any, knot: Any, tools: Any, kind: str
) -> None:
    """The second opinion: register, add, take away, deregister, delete."""
    host = make_host(nameservers=[knot.address], domain="dyn.test", tsig=tools.KEY)
    registry = registry_of(host.startup("dns"), knot, kind)
    registry.set(REGISTER, "web", "192.0.2.1:80", attributes={"a": "1"})
    registry.set(REGISTER, "web", "192.0.2.2:80", multiple=True)
    registry.set(REGISTER, "web", "192.0.2.3:80", multiple=True)
    registry.set(DELETE, "web", "192.0.2.1:80", multiple=True)
    assert registry.names() == {"web"}
    assert registry.places("web") == {"192.0.2.2:80", "192.0.2.3:80"}
    registry.set(DEREGISTER, "web")
    assert [data for *_, data in registry.records("web", "TXT")] == ['"a=1"']
    registry.set(DELETE, "web")
    assert knot.status(f"web.{kind}.dyn.test", "TXT") == "NXDOMAIN"
