"""Registrations: Winsock's matrix, what can be told to a link, leases, and names that two want."""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import Any

import pytest
import zeroconf
from nspkit_mdns._claim import renamed
from nspkit_mdns._share import _share

import nspkit
from nspkit import Address, Service, ServiceOperation
from nspkit.errors import (
    AlreadyExistsError,
    InvalidArgumentError,
    OperationNotSupportedError,
    ServiceNotFoundError,
)

PATIENCE = 30.0
REGISTER, DEREGISTER, DELETE = ServiceOperation
pytestmark = pytest.mark.usefixtures("quick")


def at(*hosts: str, port: int = 8080) -> list[Address]:
    """Addresses of a TCP service."""
    return [Address.inet(host, port, type=1, proto=6) for host in hosts]


def found(session: nspkit.Session, name: str) -> list[str]:
    """The hosts of an instance; none if it is not there."""
    try:
        [service] = session.lookup(name, service_class="_nspkit._tcp")
    except LookupError:
        return []
    return sorted(address.host for address in service.addresses)


def test_an_instance_that_was_deregistered_is_still_an_instance(
    session: nspkit.Session, short: nspkit.Session, service: Any
) -> None:
    """It can be registered again, deregistered again, and deleted once."""
    session.set_service(service("x"), REGISTER)
    session.set_service(service("x"), DEREGISTER)
    assert found(short, "x") == []
    session.set_service(service("x"), DEREGISTER)
    session.set_service(service("x"), REGISTER)
    assert found(session, "x") == ["127.0.0.1"]
    session.set_service(service("x"), DELETE)
    with pytest.raises(ServiceNotFoundError, match="deleted"):
        session.set_service(service("x"), DELETE)


def test_addresses_come_and_go_one_by_one(
    session: nspkit.Session, service: Any, eventually: Any
) -> None:
    """With multiple only the given ones are meant, and the last takes the instance with it."""
    session.set_service(service("x", addresses=at("192.0.2.1")), REGISTER)
    session.set_service(service("x", addresses=at("192.0.2.2")), REGISTER, multiple=True)
    eventually(lambda: found(session, "x") == ["192.0.2.1", "192.0.2.2"])
    session.set_service(service("x", addresses=at("192.0.2.1")), DELETE, multiple=True)
    eventually(lambda: found(session, "x") == ["192.0.2.2"])
    session.set_service(service("x", addresses=at("192.0.2.2")), DELETE, multiple=True)
    with pytest.raises(ServiceNotFoundError):
        session.set_service(service("x"), DEREGISTER)


def test_another_port_is_not_supported(session: nspkit.Session, service: Any) -> None:
    """An instance has one; what is there stays as it is."""
    session.set_service(service("x", addresses=at("192.0.2.1")), REGISTER)
    with pytest.raises(OperationNotSupportedError, match="one port"):
        session.set_service(
            service("x", addresses=at("192.0.2.2", port=9)), REGISTER, multiple=True
        )
    assert found(session, "x") == ["192.0.2.1"]


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"addresses": []}, "no address"),
        ({"addresses": [Address.inet("0.0.0.0", 80)]}, "wildcard"),
        ({"addresses": [Address.inet("::", 80)]}, "wildcard"),
        ({"addresses": [Address.inet("224.0.0.251", 80)]}, "wildcard"),
        ({"addresses": [Address.inet("ff02::fb", 80)]}, "wildcard"),
        ({"addresses": [Address.inet("192.0.2.1")]}, "with a port"),
        ({"addresses": [Address(1, 1, 0, "/socket")]}, "no Internet address"),
        ({"addresses": at(*(f"192.0.2.{number}" for number in range(1, 102)))}, "101 addresses"),
        ({"attributes": {"a=b": "c"}}, "without '='"),
        ({"attributes": {"ä": "c"}}, "ASCII"),
        ({"attributes": {"a": "x" * 254}}, "256 bytes"),
        ({"attributes": {f"{number:03}": "x" * 250 for number in range(40)}}, "8000"),
        ({"comment": "for people"}, "comment"),
        ({"version": 3}, "version"),
        ({"blob": b"x"}, "blob"),
        ({"context": "\\there"}, "context"),
        ({"service_class": "_a--b._tcp"}, "cannot be registered"),
    ],
)
def test_what_cannot_be_told_is_refused(
    session: nspkit.Session, service: Any, wrong: dict[str, Any], why: str
) -> None:
    """Before anything is told."""
    with pytest.raises(InvalidArgumentError, match=why):
        session.set_service(service("x", **wrong), REGISTER)


@pytest.mark.parametrize("name", ["a.b", "x" * 64, "ü" * 32])
def test_names_that_cannot_be_sent_are_refused(
    session: nspkit.Session, service: Any, name: str
) -> None:
    """A dot, or more than 63 bytes."""
    with pytest.raises(InvalidArgumentError):
        session.set_service(service(name), REGISTER)


def test_a_name_as_long_as_may_be_is_registered(session: nspkit.Session, service: Any) -> None:
    """63 bytes."""
    session.set_service(service("x" * 63), REGISTER)
    assert found(session, "x" * 63) == ["127.0.0.1"]


@pytest.mark.parametrize("kind", [None, nspkit.svcid_tcp(80), "_a._sub._http._tcp"])
def test_other_classes_are_not_supported(session: nspkit.Session, kind: Any) -> None:
    """Other providers may have a place for them."""
    with pytest.raises(OperationNotSupportedError):
        session.set_service(Service("x", service_class=kind, addresses=at("192.0.2.1")), REGISTER)


def test_a_lease_ends(
    session: nspkit.Session, short: nspkit.Session, service: Any, eventually: Any
) -> None:
    """What is not renewed is withdrawn; what is renewed stays."""
    session.set_service(service("x", ttl=0.3), REGISTER)
    session.set_service(service("kept", ttl=0.3), REGISTER)
    session.set_service(service("kept", ttl=60), REGISTER)
    eventually(lambda: found(short, "x") == [])
    assert found(session, "kept") == ["127.0.0.1"]
    with pytest.raises(ServiceNotFoundError):
        session.set_service(service("x"), DEREGISTER)


def test_a_registration_of_a_host_is_renewed(
    session: nspkit.Session,
    short: nspkit.Session,
    new_host: Any,
    service: Any,
    eventually: Any,
) -> None:
    """As long as it is there; then it is gone."""
    with new_host() as host, host.register(service("renewed", ttl=0.3), provider="mdns"):
        pause = threading.Event()
        for _ in range(3):
            pause.wait(0.2)
            eventually(lambda: found(short, "renewed") == ["127.0.0.1"])
    eventually(lambda: found(short, "renewed") == [])


def test_attributes_come_back(session: nspkit.Session, service: Any) -> None:
    """Text as text, what is no text as bytes, none as none."""
    given = {"text": "ä b", "bytes": b"\xff\x00", "empty": "", "none": None, "n": 3, "no": False}
    session.set_service(service("x", attributes=given), REGISTER)
    [back] = session.lookup("x", service_class="_nspkit._tcp")
    assert back.attributes == {**given, "n": "3", "no": "false"}


def test_a_name_that_was_left_by_a_crash_can_be_taken_again(
    session: nspkit.Session, service: Any, stranger: Any
) -> None:
    """Others remember it for minutes, but nobody answers for it."""
    process = stranger("crashed", "_nspkit._tcp")
    process.kill()
    process.wait(PATIENCE)
    session.set_service(service("crashed"), REGISTER)
    assert found(session, "crashed") == ["127.0.0.1"]


def test_a_name_of_another_process_is_refused(
    session: nspkit.Session, service: Any, stranger: Any, patiently: Any
) -> None:
    """Twice, also right after each other: an answer that comes twice counts twice."""
    stranger("theirs", "_nspkit._tcp")
    patiently()
    for _ in range(2):
        with pytest.raises(AlreadyExistsError):
            session.set_service(service("THEIRS"), REGISTER)


def test_bystanders_in_this_process_hide_no_conflict(
    start: Any, service: Any, stranger: Any, patiently: Any
) -> None:
    """Each Zeroconf has the port as well, and one of them gets the answers that are sent directly.

    Which one depends on the sockets that are there, so there are several.
    """
    stranger("seen", "_nspkit._tcp")
    patiently()
    bystanders = []
    try:
        for _ in range(5):
            bystanders.append(zeroconf.Zeroconf(interfaces=["127.0.0.1"]))
            session = start()
            with pytest.raises(AlreadyExistsError):
                session.set_service(service("seen"), REGISTER)
            session.close()
    finally:
        for bystander in bystanders:
            bystander.close()


def test_who_loses_a_name_is_told_at_the_next_renewal(
    session: nspkit.Session,
    service: Any,
    stranger: Any,
    eventually: Any,
    caplog: Any,
    patiently: Any,
) -> None:
    """Somebody took it without asking; who says the greater things has it, and both agree."""
    session.set_service(service("x", port=98), REGISTER)
    session.set_service(service("y", port=98), REGISTER)
    stranger("x", "_nspkit._tcp", 97)
    stranger("y", "_nspkit._tcp", 99)
    eventually(lambda: "'y' of the type '_nspkit._tcp' was lost" in caplog.text)
    patiently()
    with pytest.raises(AlreadyExistsError):
        session.set_service(service("y", port=98), REGISTER)
    session.set_service(service("x", port=98), REGISTER)
    assert "'x'" not in caplog.text


_RACE = """
import sys, nspkit, nspkit_mdns
from nspkit_mdns import _registration
_registration._AT_THE_SAME_TIME = 2.0  # the other one may be kept waiting by the machine
catalog = nspkit.Catalog()
catalog.install(nspkit_mdns.MdnsProvider)
host = nspkit.Host(catalog=catalog, settings={"mdns": {"interfaces": ["lo"], "timeout": 0.2}})
session = host.startup("mdns")
try:
    list(session.lookup("nobody.local"))
except LookupError:
    pass
print("ready", flush=True)
sys.stdin.readline()
address = nspkit.Address.inet("127.0.0.1", int(sys.argv[1]))
service = nspkit.Service("race", service_class="_race._tcp", addresses=[address])
try:
    session.set_service(service, nspkit.ServiceOperation.REGISTER)
except nspkit.errors.AlreadyExistsError:
    print("taken", flush=True)
else:
    print("mine", flush=True)
sys.stdin.readline()
host.close()
"""


def test_one_of_those_who_want_a_name_at_the_same_time_gets_it() -> None:
    """They ask at the same time, nobody answers, and still one of them steps back."""
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", _RACE, str(port)],
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for port in (1001, 1002)
    ]

    def lines() -> list[str]:
        return [racer.stdout.readline().strip() for racer in racers if racer.stdout]

    def go() -> None:
        for racer in racers:
            assert racer.stdin is not None
            racer.stdin.write("go\n")
            racer.stdin.flush()

    try:
        assert lines() == ["ready", "ready"]
        go()
        assert sorted(lines()) == ["mine", "taken"]
        go()
    finally:
        for racer in racers:
            racer.communicate(timeout=PATIENCE)


@pytest.mark.parametrize(
    ("label", "new"),
    [("web", "web (2)"), ("x" * 63, "x" * 59 + " (2)"), ("ü" * 31, "ü" * 29 + " (2)")],
)
def test_a_new_name_has_room(label: str, new: str) -> None:
    """It is cut between letters."""
    assert renamed(label, 2) == new
    assert len(renamed(label, 99).encode()) <= 63


def test_an_interrupted_registration_leaves_nothing(
    session: nspkit.Session, short: nspkit.Session, service: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C while it waits: the link is told nothing, and the name can be taken."""
    from nspkit_mdns._engine import Engine

    def interrupt(*_arguments: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Engine, "_outcome", interrupt)
        with pytest.raises(KeyboardInterrupt):
            session.set_service(service("x"), REGISTER)
    assert found(short, "x") == []
    engine = _share.engine
    assert engine is not None
    assert engine.zeroconf.registry.async_get_service_infos() == []
    session.set_service(service("x"), REGISTER)
