"""Hosts, their addresses, aliases and names."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest

import nspkit
from nspkit import (
    SVCID_HOSTNAME,
    SVCID_INET_HOSTADDRBYINETSTRING,
    SVCID_INET_HOSTADDRBYNAME,
    Address,
    LookupFlags,
    ServiceClass,
    svcid_dns,
)
from nspkit.errors import InvalidArgumentError, NoDataError, ServiceNotFoundError, TryAgainError

Ask = Callable[..., list[nspkit.Service]]

NOT_OURS = [
    "printer.local",
    "local",
    "a.LOCAL.",
    "localhost",
    "x.localhost",
    "no.invalid",
    "x.onion",
    "169.254.0.1",
    "fe80::1",
]


def hosts_of(services: list[nspkit.Service]) -> list[str]:
    """The hosts of the first result."""
    return [address.host for address in services[0].addresses]


def test_both_families_are_asked_side_by_side(
    asking: Callable[..., Ask], fake: Any, tools: Any
) -> None:
    """Neither question waits for the answer to the other one."""
    kept: list[bytes] = []

    def answer(query: Any, _transport: str) -> Any:
        record = "2001:db8::1" if tools.of_type(query, "AAAA") else "192.0.2.1"
        kind = "AAAA" if ":" in record else "A"
        kept.append((query, f"x.test. 60 {kind} {record}"))
        return [tools.reply_to(*one) for one in kept[-1:]] if len(kept) > 1 else None

    server = fake(answer)
    # The first question is not answered; it is asked again, after the second one was.
    services = asking(nameservers=[server.address], retry=0.2)("x.test")
    assert sorted(hosts_of(services)) == ["192.0.2.1", "2001:db8::1"]
    assert sorted(server.questions()[:2]) == [("x.test", "A"), ("x.test", "AAAA")]


def test_only_the_families_asked_for_are_asked(
    asking: Callable[..., Ask], fake: Any, tools: Any
) -> None:
    """With protocols= of one family there is one question."""
    server = fake(lambda query, _: tools.reply_to(query, "x.test. 60 A 192.0.2.1"))
    asking(nameservers=[server.address])("x.test", protocols=[(socket.AF_INET, 0)])
    assert server.questions() == [("x.test", "A")]


def test_a_family_that_fails_does_not_hide_the_other(
    asking: Callable[..., Ask], fake: Any, tools: Any, make_host: Any
) -> None:
    """What is known comes first, then the error."""

    def answer(query: Any, _transport: str) -> Any:
        if tools.of_type(query, "AAAA"):
            return tools.reply_to(query, rcode=2)
        return tools.reply_to(query, "x.test. 60 A 192.0.2.1")

    host = make_host(nameservers=[fake(answer).address])
    with host.lookup("x.test", provider="dns") as lookup:
        assert [address.host for address in next(lookup).addresses] == ["192.0.2.1"]
        with pytest.raises(TryAgainError, match="SERVFAIL"):
            next(lookup)


def test_the_time_to_live_is_the_shortest_on_the_way(ask: Ask) -> None:
    """That of the alias counts too."""
    assert (ask("web.main.test")[0].ttl, ask("www.main.test")[0].ttl) == (30, 20)


def test_aliases_follow_the_canonical_name(ask: Ask) -> None:
    """Flagged, with the same addresses; without the flag RETURN_ALIASES there are none."""
    names = [service.name for service in ask("old.main.test")]
    assert names == ["web.main.test", "old.main.test", "www.main.test"]
    flags = LookupFlags.RETURN_NAME | LookupFlags.RETURN_ADDR
    assert [service.name for service in ask("old.main.test", flags=flags)] == ["web.main.test"]


def test_an_alias_into_another_zone_is_followed(ask: Ask) -> None:
    """A server that does not recur says only where it leads."""
    service, alias = ask("away.main.test")
    assert (service.name, alias.name) == ("web.other.test", "away.main.test")
    assert hosts_of([service]) == ["192.0.2.200"]


def test_an_alias_of_nothing_is_not_found(ask: Ask) -> None:
    """The name at its end does not exist."""
    with pytest.raises(ServiceNotFoundError):
        ask("astray.main.test")


def test_no_name_and_no_data_are_told_apart(ask: Ask) -> None:
    """NXDOMAIN is 10108, a name without such records 11004."""
    with pytest.raises(ServiceNotFoundError, match="NXDOMAIN"):
        ask("nope.main.test")
    with pytest.raises(NoDataError):
        ask("v4.main.test", protocols=[(socket.AF_INET6, 0)])
    with pytest.raises(NoDataError):
        ask("text.main.test")


def test_a_port_goes_with_the_addresses(ask: Ask) -> None:
    """ServiceClass.tcp(80) has its socket type and protocol too."""
    [service] = ask("v4.main.test", service_class=ServiceClass.tcp(80).id)
    assert service.addresses == (
        Address.inet("192.0.2.4", 80, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP),
    )


def test_an_address_has_names(ask: Ask) -> None:
    """Each is a result of its own, with that address."""
    services = ask("192.0.2.1")
    assert {service.name for service in services} == {"web.main.test", "www.main.test"}
    assert all(hosts_of([service]) == ["192.0.2.1"] for service in services)
    [service] = ask("192.0.2.2", service_class=SVCID_INET_HOSTADDRBYINETSTRING)
    assert (service.name, service.ttl) == ("web.main.test", 120)
    [service] = ask("192.0.2.2", service_class=svcid_dns(12))
    assert service.name == "web.main.test"


def test_an_address_without_a_name_is_not_found(ask: Ask) -> None:
    """It is NXDOMAIN, as for a host."""
    with pytest.raises(ServiceNotFoundError):
        ask("192.0.2.77")


def test_a_name_is_no_address(ask: Ask) -> None:
    """The class for addresses as text says so."""
    with pytest.raises(InvalidArgumentError, match="no numeric address"):
        ask("web.main.test", service_class=SVCID_INET_HOSTADDRBYINETSTRING)
    with pytest.raises(ServiceNotFoundError, match="is an address"):
        ask("192.0.2.1", service_class=SVCID_INET_HOSTADDRBYNAME)


def test_the_class_comes_back(ask: Ask) -> None:
    """That of the query; without one it is that of hosts."""
    assert ask("v4.main.test")[0].service_class == SVCID_HOSTNAME
    found = ask("v4.main.test", service_class=SVCID_INET_HOSTADDRBYNAME)
    assert found[0].service_class == SVCID_INET_HOSTADDRBYNAME


def test_names_in_other_scripts_are_encoded(ask: Ask, named: Any) -> None:
    """As IDNA; with DISABLE_IDN_ENCODING as they are."""
    assert hosts_of(ask("b\N{LATIN SMALL LETTER U WITH DIAERESIS}cher.main.test")) == ["192.0.2.31"]
    with pytest.raises(ServiceNotFoundError):
        ask(
            "b\N{LATIN SMALL LETTER U WITH DIAERESIS}cher.main.test",
            flags=LookupFlags.RETURN_ALL | LookupFlags.DISABLE_IDN_ENCODING,
        )


@pytest.mark.parametrize("name", NOT_OURS)
def test_names_of_others_are_answered_without_a_question(
    asking: Callable[..., Ask], fake: Any, name: str
) -> None:
    """Multicast DNS, this machine, nobody: no server is asked, whatever zones there are."""
    server = fake(lambda *_: None)
    ask = asking(nameservers=[server.address], zones={"local": [server.address]}, timeout=20)
    with pytest.raises(ServiceNotFoundError):
        ask(name)
    assert server.asked == []


def test_records_and_services_of_others_are_not_asked_for_either(
    asking: Callable[..., Ask], fake: Any
) -> None:
    """The same names as an owner of records, or as a domain of services."""
    server = fake(lambda *_: None)
    ask = asking(nameservers=[server.address], timeout=20)
    for name, restrictions in [
        ("x.local", {"service_class": svcid_dns(16)}),
        (None, {"service_class": "_http._tcp", "context": "local"}),
        ("web", {"service_class": "_http._tcp", "context": "local"}),
        (None, {"context": "local"}),
        ("fe80::1", {"service_class": svcid_dns(12)}),
    ]:
        with pytest.raises(ServiceNotFoundError):
            ask(name, **restrictions)
    assert server.asked == []


def test_a_search_list_makes_short_names_long(asking: Callable[..., Ask], named: Any) -> None:
    """The domains are tried in order; a dot at the end says that the name is whole."""
    ask = asking(nameservers=[named.address], search=["empty.main.test", "main.test"])
    service = ask("v4")[0]
    assert (service.name, hosts_of([service])) == ("v4.main.test", ["192.0.2.4"])
    with pytest.raises(nspkit.NspError):
        ask("v4.")


def test_many_dots_make_a_name_whole(asking: Callable[..., Ask], fake: Any, tools: Any) -> None:
    """With ndots it is tried first as it is, with fewer last."""
    server = fake(lambda query, _: tools.reply_to(query, rcode=3))
    ask = asking(nameservers=[server.address], search=["one.test", "two.test"], ndots=2)
    for name in ("a.b", "a.b.c"):
        with pytest.raises(ServiceNotFoundError):
            ask(name, protocols=[(socket.AF_INET, 0)])
    assert [name for name, _ in server.questions()] == [
        *("a.b.one.test", "a.b.two.test", "a.b"),
        *("a.b.c", "a.b.c.one.test", "a.b.c.two.test"),
    ]


def test_a_search_goes_past_a_name_without_data(
    asking: Callable[..., Ask], fake: Any, tools: Any
) -> None:
    """If none has any, that one name exists says more than that others do not."""

    def answer(query: Any, _transport: str) -> Any:
        return tools.reply_to(query, rcode=0 if "one" in query.question[0].name.to_text() else 3)

    ask = asking(nameservers=[fake(answer).address], search=["one.test", "two.test"])
    with pytest.raises(NoDataError):
        ask("a", protocols=[(socket.AF_INET, 0)])


def test_a_search_stops_where_a_server_fails(
    asking: Callable[..., Ask], fake: Any, tools: Any
) -> None:
    """Another host of that name would be taken for the one that is meant."""

    def answer(query: Any, _transport: str) -> Any:
        if "one" in query.question[0].name.to_text():
            return tools.reply_to(query, rcode=2)
        return tools.reply_to(query, "a.two.test. 60 A 192.0.2.2")

    ask = asking(nameservers=[fake(answer).address], search=["one.test", "two.test"])
    with pytest.raises(TryAgainError):
        ask("a", protocols=[(socket.AF_INET, 0)])


def test_zones_have_servers_of_their_own(asking: Callable[..., Ask], fake: Any, tools: Any) -> None:
    """The longest suffix wins, whatever the order in the table."""

    def named_by(number: int) -> Any:
        return fake(lambda q, _: tools.reply_to(q, f"{q.question[0].name} 9 A 192.0.2.{number}"))

    default, corp, lab = (named_by(number) for number in (1, 2, 3))
    zones = {"corp.test": [corp.address], "lab.corp.test": {"nameservers": lab.address}}
    ask = asking(nameservers=[default.address], zones=zones)
    names = ["www.test", "mycorp.test", "corp.test", "a.CORP.test", "x.lab.corp.test"]
    found = [hosts_of(ask(name, protocols=[(socket.AF_INET, 0)]))[0] for name in names]
    assert [host[-1] for host in found] == ["1", "1", "2", "2", "3"]


def test_lookups_on_many_threads(ask: Ask) -> None:
    """Each finds what it asks for."""
    found: dict[int, list[str]] = {}

    def look_up(number: int) -> None:
        found[number] = hosts_of(ask(f"big{number:02}.main.test"))

    threads = [threading.Thread(target=look_up, args=(number,)) for number in range(1, 41)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert found == {number: [f"192.0.2.{number}"] for number in range(1, 41)}
