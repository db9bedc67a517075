"""Registration by dynamic updates at a real bind9, seen with `dig`, changed with `nsupdate`."""

from __future__ import annotations

import subprocess
import threading
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import nspkit
from nspkit import Address, Service, ServiceOperation
from nspkit.errors import (
    AccessDeniedError,
    AlreadyExistsError,
    ErrorCode,
    InvalidArgumentError,
    NoDataError,
    ServiceNotFoundError,
    TryAgainError,
)

REGISTER, DEREGISTER, DELETE = ServiceOperation
PATIENCE = 30.0
TCP = {"type": 1, "proto": 6}


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
def registry(session: nspkit.Session, named: Any, kind: str) -> Registry:
    """With the session above."""
    return Registry(session, named.dig, kind)


def nsupdate(program: Callable[[str], str], named: Any, tools: Any, *lines: str) -> None:
    """Have somebody else change the zone."""
    script = "\n".join([f"server 127.0.0.1 {named.port}", "zone dyn.test", *lines, "send", ""])
    key = f"hmac-sha256:{tools.KEY['name']}:{tools.KEY['secret']}"
    done = subprocess.run(
        [program("nsupdate"), "-y", key], input=script, text=True, capture_output=True,
        timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_what_is_registered_is_what_dig_sees(registry: Registry) -> None:
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


def test_what_is_registered_is_found(registry: Registry) -> None:
    """By name and by browsing, as it was."""
    registry.set(REGISTER, "My Web.", "192.0.2.1:80", "192.0.2.2:81", attributes={"a": "b"}, ttl=60)
    [service] = registry.session.lookup("My Web.", service_class=registry.kind)
    assert (service.name, service.attributes, service.ttl) == ("My Web.", {"a": "b"}, 60)
    assert registry.places("My Web.") == {"192.0.2.1:80", "192.0.2.2:81"}
    assert registry.names() == {"My Web."}


def test_a_name_in_any_script_can_be_registered(registry: Registry) -> None:
    """It is UTF-8 in the DNS; the host behind it is ASCII."""
    name = "\N{CYRILLIC CAPITAL LETTER VE}\N{SNOWMAN} 1.5"
    registry.set(REGISTER, name, "192.0.2.1:80")
    assert registry.names() == {name}
    assert registry.places(name) == {"192.0.2.1:80"}


def test_registering_replaces(registry: Registry) -> None:
    """Addresses and attributes; nothing of the old ones stays in the zone."""
    registry.set(REGISTER, "web", "192.0.2.1:80", attributes={"old": "1"})
    old = registry.records("web", "SRV")[0][3].split()[3]
    registry.set(REGISTER, "web", "192.0.2.2:81", attributes={"new": "1"})
    assert registry.places("web") == {"192.0.2.2:81"}
    assert [data for *_, data in registry.records("web", "TXT")] == ['"new=1"']
    assert registry.dig.status(old, "A") == "NXDOMAIN"


def test_several_register_addresses_under_one_name(registry: Registry) -> None:
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


def test_deregistered_it_stays_without_addresses(registry: Registry) -> None:
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


def test_deleted_nothing_is_left(registry: Registry) -> None:
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


def test_what_is_not_there_cannot_be_removed(registry: Registry) -> None:
    """10108, whatever the way."""
    for operation in (DEREGISTER, DELETE):
        for multiple in (False, True):
            with pytest.raises(ServiceNotFoundError, match="nobody"):
                registry.set(operation, "nobody", "192.0.2.1:80", multiple=multiple)


def test_a_subtype_is_listed_too(session: nspkit.Session, named: Any, kind: str) -> None:
    """Under itself and under its type."""
    registry = Registry(session, named.dig, f"_new._sub.{kind}")
    registry.set(REGISTER, "web", "192.0.2.1:80")
    for place in (kind, f"_new._sub.{kind}"):
        [service] = session.lookup(service_class=place)
        assert service.name == "web"
    registry.set(DELETE, "web")
    assert registry.names() == set()


def test_a_context_is_the_domain(registry: Registry) -> None:
    """It may be below the zone that is updated; the SOA record tells which that is."""
    service = registry.service("web", "192.0.2.1:80", context="deep.below.dyn.test")
    registry.session.set_service(service, REGISTER)
    [found] = registry.session.lookup(service_class=registry.kind, context="deep.below.dyn.test")
    assert (found.name, found.context) == ("web", "deep.below.dyn.test")
    registry.session.set_service(found, DELETE)
    assert registry.names() == set()


def test_a_name_that_others_have_is_left_alone(registry: Registry, session: Any) -> None:
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
    registry: Registry, program: Any, named: Any, tools: Any, monkeypatch: pytest.MonkeyPatch
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


def test_many_at_once_are_all_there(registry: Registry) -> None:
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
    make_host: Any, named: Any, tools: Any, registry: Registry
) -> None:
    """It is renewed while it lasts, and deleted at the end."""
    host = make_host(nameservers=[named.address], domain="dyn.test", tsig=tools.KEY)
    with host.register(registry.service("web", "192.0.2.1:80"), ttl=60, provider="dns"):
        assert registry.names() == {"web"}
    assert registry.names() == set()


def test_knot_takes_the_same_updates(make_host: Any, knot: Any, tools: Any, kind: str) -> None:
    """The second opinion: register, add, take away, deregister, delete."""
    host = make_host(nameservers=[knot.address], domain="dyn.test", tsig=tools.KEY)
    registry = Registry(host.startup("dns"), knot, kind)
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


# -- refused ---------------------------------------------------------------------------------------


@pytest.fixture
def refused(make_host: Any, registry: Registry) -> Iterator[Callable[..., nspkit.NspError]]:
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
    error = refused(nameservers=[nobody], domain="dyn.test", tsig=tools.KEY, timeout=0.5)
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
