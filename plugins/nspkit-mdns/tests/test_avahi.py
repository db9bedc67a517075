"""The same link seen by avahi-daemon: what is registered here is found there, and vice versa."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import nspkit
from nspkit import Address, Change, ChangeKind, Service, ServiceOperation, svcid_dns
from nspkit.errors import AlreadyExistsError, CancelledError, NoDataError, ServiceNotFoundError

REGISTER, DEREGISTER, DELETE = ServiceOperation
PATIENCE = 30.0
NAME, TYPE, HOST, ADDRESS, PORT, TEXT = 3, 4, 6, 7, 8, 9  # the cells of avahi-browse

Make = Callable[..., Service]


def hosts(found: Iterator[Service]) -> list[str]:
    """The hosts of all addresses that were found."""
    return sorted(address.host for service in found for address in service.addresses)


pytestmark = pytest.mark.usefixtures("avahi")

_KILLED = """
import os, pathlib, signal, sys
sys.path.insert(0, sys.argv[1])
from conftest import Avahi
daemon = Avahi(pathlib.Path(sys.argv[2]))
for command in (("sleep", "600"), ("unshare", "--mount", "sh", "-c", "exec sleep 600")):
    child = daemon.spawn(*command)
    # What has not asked yet to go with this process would outlive it.
    while pathlib.Path(f"/proc/{child.pid}/comm").read_text().strip() != "sleep":
        assert child.poll() is None
    print(child.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_nothing_outlives_a_run_that_is_killed(tmp_path: Path, eventually: Any) -> None:
    """A fixture does not end what it has started then, and the system has to."""
    done = subprocess.run(
        [sys.executable, "-c", _KILLED, str(Path(__file__).parent), str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    started = [Path("/proc", number) for number in done.stdout.split()]
    assert len(started) == 2
    eventually(lambda: not any(map(runs, started)))


def runs(process: Path) -> bool:
    """Whether a process is there, and not only what is left for whoever has to wait for it."""
    try:
        return "\nState:\tZ" not in (process / "status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


# What is registered here --------------------------------------------------------------------------


@pytest.mark.usefixtures("quick")
def test_avahi_finds_what_is_registered(avahi: Any, session: nspkit.Session, service: Make) -> None:
    """Name, type, address, port and the attributes, one by one."""
    attributes = {"path": "/a b", "n": 3, "there": None, "yes": True}
    session.set_service(service("shop", attributes=attributes), REGISTER)
    [line] = avahi.browse("_nspkit._tcp")
    assert [line[cell] for cell in (NAME, TYPE, ADDRESS, PORT)] == [
        "shop",
        "_nspkit._tcp",
        "127.0.0.1",
        "8080",
    ]
    assert set(line[TEXT].strip('"').split('" "')) == {"path=/a b", "n=3", "there", "yes=true"}
    assert avahi.resolve("-n", line[HOST]).split() == [line[HOST], "127.0.0.1"]


@pytest.mark.usefixtures("quick")
def test_avahi_sees_an_update(
    avahi: Any, session: nspkit.Session, service: Make, eventually: Any
) -> None:
    """Registering again with something else replaces it."""
    session.set_service(service("changing", attributes={"state": "old"}), REGISTER)
    assert '"state=old"' in [line[TEXT] for line in avahi.browse("_nspkit._tcp")]
    session.set_service(service("changing", attributes={"state": "new"}, port=8081), REGISTER)
    expected = ["changing", "8081", '"state=new"']

    def seen() -> list[list[str]]:
        return [
            [line[cell] for cell in (NAME, PORT, TEXT)] for line in avahi.browse("_nspkit._tcp")
        ]

    eventually(lambda: expected in seen())


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("how", ["deregister", "delete", "close"])
def test_avahi_hears_the_goodbye(
    avahi: Any, start: Any, service: Make, eventually: Any, how: str
) -> None:
    """Long before its records are over: with a time to live they would last for an hour."""
    session = start()
    leaving = service(f"leaving-by-{how}", service_class=f"_{how}._tcp")
    lines = avahi.listen(f"_{how}._tcp")
    session.set_service(leaving, REGISTER)
    eventually(lambda: f"=;lo;IPv4;leaving-by-{how};" in lines())
    if how == "close":
        session.close()
    else:
        session.set_service(leaving, DEREGISTER if how == "deregister" else DELETE)
    eventually(lambda: f"-;lo;IPv4;leaving-by-{how};" in lines())


@pytest.mark.usefixtures("quick")
def test_names_are_in_any_script(avahi: Any, session: nspkit.Session, service: Make) -> None:
    """An instance's name is for people; it is UTF-8, decomposed letters are composed."""
    session.set_service(service("Bu\u0308ro 2 (印刷)", service_class="_script._tcp"), REGISTER)
    [line] = avahi.browse("_script._tcp")
    escaped = "".join(
        chr(byte) if chr(byte).isalnum() and byte < 128 else f"\\{byte:03}"
        for byte in "Büro 2 (印刷)".encode()
    )
    assert line[NAME] == escaped


@pytest.mark.usefixtures("quick")
def test_the_ttl_is_that_of_the_records(session: nspkit.Session, service: Make) -> None:
    """What somebody else keeps of a service ends with its time, if it is not renewed."""
    session.set_service(service("short", ttl=40), REGISTER)
    [found] = session.lookup("short", service_class="_nspkit._tcp")
    assert found.ttl is not None
    assert 0 < found.ttl <= 40


# What avahi offers --------------------------------------------------------------------------------


def test_a_service_of_avahi_is_found_by_name(session: nspkit.Session) -> None:
    """With its host's addresses, its attributes, and how long they hold."""
    [found] = session.lookup("Lobby", service_class="_ipp._tcp")
    assert found.name == "Lobby"
    assert found.service_type == "_ipp._tcp"
    assert found.attributes == {"note": "ground floor", "rp": "queue"}
    assert Address.inet("127.0.0.1", 631, type=1, proto=6) in found.addresses
    assert 0 < (found.ttl or 0) <= 120


def test_a_browse_finds_what_avahi_offers(session: nspkit.Session, eventually: Any) -> None:
    """As many as there are, whatever their names."""
    expected = [("Attic", 700), ("Büro", 701), ("My Printer 1.5", 702)]

    def found() -> list[tuple[str, int]]:
        browse = session.lookup(service_class="_browse._tcp")
        return sorted((one.name, one.addresses[0].port) for one in browse)

    eventually(lambda: found() == expected)


def test_an_instance_with_a_dot_is_found_by_name(start: Any) -> None:
    """Though no question for it can be written: it is picked out of all, as soon as it answers."""
    session = start(timeout=60)
    [found] = session.lookup("my printer 1.5", service_class="_browse._tcp")
    assert (found.name, found.addresses[0].port) == ("My Printer 1.5", 702)


def test_a_browse_yields_as_answers_arrive(start: Any) -> None:
    """The first result is there long before the time of the browse is over."""
    with start(browse_time=3600).lookup(service_class="_ipp._tcp") as lookup:
        assert next(lookup).name == "Lobby"


def test_a_full_name_is_enough(session: nspkit.Session, eventually: Any) -> None:
    """As DNS-SD tools write it, of an instance or of a type."""
    [found] = session.lookup("Hall._full._tcp.local.")
    assert (found.name, found.service_type) == ("Hall", "_full._tcp")
    eventually(lambda: [one.name for one in session.lookup("_full._tcp.local")] == ["Hall"])


def test_the_types_on_the_link_can_be_listed(session: nspkit.Session, eventually: Any) -> None:
    """The question of RFC 6763 section 9."""
    every = "_services._dns-sd._udp.local"
    eventually(lambda: "_listed._udp" in [one.name for one in session.lookup(every)])


@pytest.mark.parametrize("name", ["printer.local", "PRINTER.local.", "büro.local"])
def test_hosts_have_the_addresses_that_avahi_says(
    avahi: Any, session: nspkit.Session, name: str
) -> None:
    """Case does not count, nor the dot at the end, and letters may be any."""
    [address] = {line.split()[1] for line in avahi.resolve("-4", "-n", name).splitlines()}
    found = list(session.lookup(name))
    assert hosts(iter(found)) == [address]
    assert 0 < (found[0].ttl or 0) <= 120


def test_families_are_told_apart(avahi: Any, session: nspkit.Session) -> None:
    """By class or by protocol; a host that lacks one has no data, and is not unknown."""
    name = f"{avahi.host}.local"
    assert hosts(session.lookup(name, service_class=svcid_dns(1))) == ["127.0.0.1"]
    assert hosts(session.lookup(name, service_class=svcid_dns(28))) == ["::1"]
    assert hosts(session.lookup(name, protocols=[(2, 0)])) == ["127.0.0.1"]


def test_a_host_without_such_addresses_has_no_data(session: nspkit.Session, start: Any) -> None:
    """Its other addresses are known: the name is there."""
    assert hosts(session.lookup("printer.local")) == ["192.0.2.7"]
    session = start(timeout=0.5)
    with pytest.raises(NoDataError, match="no address"):
        list(session.lookup("printer.local", service_class=svcid_dns(28)))


# Names that are taken -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["Taken", "tAKEN"])
def test_a_name_that_avahi_has_is_refused(
    avahi: Any, session: nspkit.Session, service: Make, name: str
) -> None:
    """In whatever case, and avahi keeps it."""
    with pytest.raises(AlreadyExistsError, match="conflict"):
        session.set_service(service(name, service_class="_taken._tcp"), REGISTER)
    assert [(line[NAME], line[PORT]) for line in avahi.browse("_taken._tcp")] == [("Taken", "9")]


def test_a_name_that_is_taken_is_changed_by_setting(
    avahi: Any, start: Any, service: Make, caplog: Any
) -> None:
    """Both are there; it is renewed and withdrawn under the name that was asked for."""
    session, twin = start(conflict="rename"), service("Twin", service_class="_twin._tcp")
    session.set_service(twin, REGISTER)
    assert "'Twin (2)'" in caplog.text
    session.set_service(twin, REGISTER)
    names = {line[NAME]: line[PORT] for line in avahi.browse("_twin._tcp")}
    assert names == {"Twin": "9", r"Twin\032\0402\041": "8080"}
    session.set_service(twin, DELETE)
    with pytest.raises(ServiceNotFoundError):
        session.set_service(twin, DELETE)


# Watches ------------------------------------------------------------------------------------------


@pytest.fixture
def changes(session: nspkit.Session, eventually: Any) -> Iterator[Callable[..., Any]]:
    """A function that watches, and returns one that waits for a change of a kind and name."""
    watches: list[Any] = []

    def begin(**query: Any) -> Callable[[ChangeKind, str], Change]:
        heard: list[Change] = []
        watch = session.watch(nspkit.Query(**query))

        def hear() -> None:
            with contextlib.suppress(CancelledError):
                heard.extend(watch)

        thread = threading.Thread(target=hear)
        thread.start()
        watches.append((watch, thread))

        def wait(kind: ChangeKind, name: str) -> Change:
            def found() -> list[Change]:
                return [one for one in heard if (one.kind, one.service.name) == (kind, name)]

            return eventually(found, f"no {kind} of {name}, but {heard}")[-1]

        return wait

    yield begin
    for watch, thread in watches:
        watch.close()
        thread.join(PATIENCE)


def test_a_watch_hears_of_a_service(avahi: Any, changes: Any) -> None:
    """When it comes, and when it says goodbye."""
    heard = changes(service_class="_watched._tcp")
    publisher = avahi.publish("-s", "watched", "_watched._tcp", "77", "k=v")
    assert heard(ChangeKind.ADDED, "watched").service.attributes == {"k": "v"}
    avahi.end(publisher)
    heard(ChangeKind.REMOVED, "watched")


@pytest.mark.usefixtures("quick")
def test_a_watch_hears_of_an_update(session: nspkit.Session, service: Make, changes: Any) -> None:
    """With what it is now."""
    heard = changes(name="updated", service_class="_nspkit._tcp")
    session.set_service(service("updated", attributes={"v": 1}), REGISTER)
    heard(ChangeKind.ADDED, "updated")
    session.set_service(service("updated", attributes={"v": 2}), REGISTER)
    assert heard(ChangeKind.CHANGED, "updated").service.attributes == {"v": "2"}
    session.set_service(service("updated"), DELETE)
    heard(ChangeKind.REMOVED, "updated")


def test_a_watch_hears_of_a_host(avahi: Any, changes: Any) -> None:
    """When its addresses are told, and when they are taken back."""
    heard = changes(name="guest.local")
    publisher = avahi.publish("-a", "guest.local", "192.0.2.33")
    assert hosts(iter([heard(ChangeKind.ADDED, "guest.local").service])) == ["192.0.2.33"]
    avahi.end(publisher)
    heard(ChangeKind.REMOVED, "guest.local")
