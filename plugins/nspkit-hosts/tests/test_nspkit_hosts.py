"""What the provider answers, and what it refuses."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from nspkit_hosts import HostsProvider

import nspkit
from nspkit import (
    SVCID_HOSTNAME,
    SVCID_INET_HOSTADDRBYINETSTRING,
    SVCID_INET_HOSTADDRBYNAME,
)
from nspkit.errors import (
    InvalidArgumentError,
    NoDataError,
    OperationNotSupportedError,
    ServiceNotFoundError,
)

Ask = Callable[..., list[nspkit.Service]]

FILE = """\
127.0.0.1    localhost
::1          localhost ip6-localhost
192.0.2.1    alpha.example alpha www
192.0.2.2    beta.example  www
192.0.2.3    alpha.example third
fe80::7%1    link.example
"""


def shown(services: Iterable[nspkit.Service]) -> list[tuple[str, bool, list[str]]]:
    """Name, whether it is an alias, and addresses of each result."""
    return [
        (
            service.name,
            bool(service.flags & nspkit.ResultFlags.IS_ALIAS),
            [str(address.sockaddr[0]) for address in service.addresses],
        )
        for service in services
    ]


@pytest.fixture(autouse=True)
def _file(path: Path) -> None:
    path.write_text(FILE)


def test_a_name_has_the_addresses_of_all_its_lines(ask: Ask) -> None:
    """The first result is the canonical name, with both families in the file's order."""
    assert shown(ask("localhost"))[0] == ("localhost", False, ["127.0.0.1", "::1"])


def test_an_alias_follows_with_the_addresses_that_it_has_itself(ask: Ask) -> None:
    """What stands on one line only has the address of that line."""
    assert shown(ask("localhost"))[1:] == [("ip6-localhost", True, ["::1"])]


def test_an_alias_finds_the_canonical_name(ask: Ask) -> None:
    """Asking for an alias answers with the host, and then with all its aliases of that line."""
    assert shown(ask("alpha")) == [
        ("alpha.example", False, ["192.0.2.1"]),
        ("alpha", True, ["192.0.2.1"]),
        ("www", True, ["192.0.2.1"]),
    ]


def test_an_alias_of_two_hosts_finds_both(ask: Ask) -> None:
    """Two canonical names are two hosts."""
    hosts = [answer for answer in shown(ask("www")) if not answer[1]]
    assert hosts == [
        ("alpha.example", False, ["192.0.2.1"]),
        ("beta.example", False, ["192.0.2.2"]),
    ]


def test_without_the_flag_there_are_no_aliases(path: Path) -> None:
    """The host would drop them; the provider does not even make them."""
    provider = HostsProvider()
    provider.nsp_startup({"path": path})
    flags = nspkit.LookupFlags.RETURN_NAME | nspkit.LookupFlags.RETURN_ADDR
    query = nspkit.Query("localhost", flags=flags)
    found = provider.nsp_lookup_service(query, nspkit.Cancellation())
    assert shown(found) == [("localhost", False, ["127.0.0.1", "::1"])]


@pytest.mark.parametrize("name", ["LOCALHOST", "LocalHost.", "localhost."])
def test_case_and_a_trailing_dot_do_not_count(ask: Ask, name: str) -> None:
    """DNS names are compared so (RFC 4343)."""
    assert ask(name)[0].name == "localhost"


def test_only_ascii_letters_have_a_case(path: Path, ask: Ask) -> None:
    """A resolver compares bytes, so an umlaut in capitals is another letter."""
    path.write_text("192.0.2.9 bücher.example", encoding="utf-8")
    assert ask("Bücher.EXAMPLE")[0].name == "bücher.example"
    with pytest.raises(ServiceNotFoundError):
        ask("BÜCHER.example")


def test_an_address_finds_its_names(ask: Ask) -> None:
    """The canonical name first, then the others."""
    assert shown(ask("192.0.2.2")) == [
        ("beta.example", False, ["192.0.2.2"]),
        ("www", True, ["192.0.2.2"]),
    ]


def test_an_address_may_be_written_in_another_way(ask: Ask) -> None:
    """It is the address that is compared, not its text."""
    assert ask("0:0:0:0:0:0:0:1")[0].name == "localhost"


def test_a_scope_is_kept(ask: Ask) -> None:
    """A link-local address is worth nothing without its interface."""
    [address] = ask("link.example")[0].addresses
    assert address == nspkit.Address.inet("fe80::7%1")


@pytest.mark.parametrize("name", ["fe80::7", "fe80::7%1"])
def test_an_address_is_found_without_its_scope_and_with_it(ask: Ask, name: str) -> None:
    """Who does not know the interface asks for all of them."""
    assert ask(name)[0].name == "link.example"


def test_an_address_of_another_scope_is_not_found(ask: Ask) -> None:
    """It is another host."""
    with pytest.raises(ServiceNotFoundError):
        ask("fe80::7%2")


def test_without_a_name_every_host_comes_once(ask: Ask) -> None:
    """In the order of the file, with all its addresses."""
    flags = nspkit.LookupFlags.RETURN_NAME | nspkit.LookupFlags.RETURN_ADDR
    assert shown(ask(flags=flags)) == [
        ("localhost", False, ["127.0.0.1", "::1"]),
        ("alpha.example", False, ["192.0.2.1", "192.0.2.3"]),
        ("beta.example", False, ["192.0.2.2"]),
        ("link.example", False, ["fe80::7"]),
    ]


def test_an_alias_that_is_another_hosts_name_changes_neither(path: Path, ask: Ask) -> None:
    """Each host comes once, with its own addresses."""
    path.write_text("192.0.2.1 a\n192.0.2.2 b a\n")
    hosts = [answer for answer in shown(ask()) if not answer[1]]
    assert hosts == [("a", False, ["192.0.2.1"]), ("b", False, ["192.0.2.2"])]


def test_a_protocol_narrows_the_families(ask: Ask) -> None:
    """A pair of family and protocol; the number of the protocol does not matter to a file."""
    assert shown(ask("localhost", protocols=[(socket.AF_INET6, 6)]))[0][2] == ["::1"]
    assert shown(ask("localhost", protocols=[(socket.AF_UNSPEC, 0)]))[0][2] == ["127.0.0.1", "::1"]


def test_a_known_name_without_such_an_address_has_no_data(ask: Ask) -> None:
    """It is not the same as an unknown name."""
    with pytest.raises(NoDataError, match=r"alpha\.example"):
        ask("alpha.example", protocols=[(socket.AF_INET6, 0)])


def test_an_unknown_name_is_not_found(ask: Ask, path: Path) -> None:
    """The message names the name and the file."""
    with pytest.raises(ServiceNotFoundError, match="nobody") as caught:
        ask("nobody")
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("service_class", [SVCID_HOSTNAME, SVCID_INET_HOSTADDRBYNAME])
def test_classes_of_hosts_are_served(ask: Ask, service_class: object) -> None:
    """The result says the class that was asked for."""
    found = ask("localhost", service_class=service_class)[0]
    assert (found.name, found.service_class) == ("localhost", service_class)


def test_by_name_takes_no_address(ask: Ask) -> None:
    """SVCID_INET_HOSTADDRBYNAME asks for names only."""
    with pytest.raises(ServiceNotFoundError):
        ask("192.0.2.1", service_class=SVCID_INET_HOSTADDRBYNAME)


def test_by_address_takes_an_address(ask: Ask) -> None:
    """SVCID_INET_HOSTADDRBYINETSTRING turns an address into names."""
    found = ask("192.0.2.1", service_class=SVCID_INET_HOSTADDRBYINETSTRING)
    assert found[0].name == "alpha.example"


def test_by_address_takes_no_name(ask: Ask) -> None:
    """The message says what would be right."""
    with pytest.raises(InvalidArgumentError, match="no numeric address"):
        ask("localhost", service_class=SVCID_INET_HOSTADDRBYINETSTRING)


@pytest.mark.parametrize("name", ["localhost", None])
def test_another_class_is_not_found(ask: Ask, name: str | None) -> None:
    """A hosts file knows no services."""
    with pytest.raises(ServiceNotFoundError, match="hosts only"):
        ask(name, service_class="_http._tcp")


def test_a_class_of_one_host_needs_a_name(ask: Ask) -> None:
    """Everything is asked for without a class, or as SVCID_HOSTNAME."""
    assert len(ask(service_class=SVCID_HOSTNAME)) == len(ask())
    for service_class in (SVCID_INET_HOSTADDRBYNAME, SVCID_INET_HOSTADDRBYINETSTRING):
        with pytest.raises(InvalidArgumentError, match="give a name"):
            ask(service_class=service_class)


def test_there_are_no_containers(ask: Ask) -> None:
    """The namespace is flat."""
    with pytest.raises(NoDataError, match="no containers"):
        ask(flags=nspkit.LookupFlags.CONTAINERS | nspkit.LookupFlags.RETURN_ALL)


def test_it_only_reads(host: nspkit.Host) -> None:
    """Whoever registers gets the answer of a provider that cannot."""
    with host.startup("hosts") as session:
        assert not session.supports("nsp_set_service")
        with pytest.raises(OperationNotSupportedError):
            session.set_service(nspkit.Service("x"), nspkit.ServiceOperation.REGISTER)


def test_importing_it_imports_nothing_else() -> None:
    """A provider is imported to be listed; what it needs it imports when it is started."""
    code = (
        "import sys, nspkit; before = set(sys.modules); "
        "import nspkit_hosts; nspkit_hosts.HostsProvider(); print(*(set(sys.modules) - before))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.split() == ["nspkit_hosts"]
