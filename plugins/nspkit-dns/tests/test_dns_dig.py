"""What is found is what `dig` finds, record by record, at bind9, knot and unbound."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dns.name
import dns.rdatatype
import pytest

import nspkit
from nspkit import ResultFlags, svcid_dns

Ask = Callable[..., list[nspkit.Service]]

SERVERS = ["named", "knot", "unbound"]
RECORDS = [
    ("main.test", "SOA"),
    ("main.test", "NS"),
    ("main.test", "MX"),
    ("main.test", "TXT"),
    ("main.test", "CAA"),
    ("www.main.test", "CNAME"),
    ("text.main.test", "TXT"),
    ("_sip._tcp.main.test", "SRV"),
    ("_http._tcp.main.test", "PTR"),
    ("One\\032Page._http._tcp.main.test", "TXT"),
    ("strange.main.test", "TYPE65300"),
]
HOSTS = [
    "web.main.test",
    "v4.main.test",
    "v6.main.test",
    "www.main.test",
    "old.main.test",
    "x.wild.main.test",
    "under_score.main.test",
    "many.main.test",
    "WEB.Main.TEST",
]


@pytest.fixture(params=SERVERS)
def dig(request: pytest.FixtureRequest) -> Any:
    """The `dig` command at one of the servers."""
    server = request.getfixturevalue(request.param)
    return getattr(server, "dig", server)


def same_name(one: str, other: str) -> bool:
    """Whether two names are equal: case does not count."""
    return dns.name.from_text(one) == dns.name.from_text(other)


@pytest.mark.parametrize(("name", "kind"), RECORDS)
def test_records_are_those_of_dig(
    asking: Callable[..., Ask], dig: Any, name: str, kind: str
) -> None:
    """Owner, type and data of each; time to live never longer than it is there."""
    expected = dig.records(name, kind)
    number = int(dns.rdatatype.from_text(kind))
    found = asking(nameservers=[dig.address])(name, service_class=svcid_dns(number))
    assert {service.comment for service in found} == {data for *_, data in expected}
    for service in found:
        assert all(same_name(service.name, owner) for owner, *_ in expected)
        assert service.ttl is not None
        # That of an SRV record goes with those of the addresses of its target.
        assert service.ttl <= min(ttl for _, ttl, *_ in expected)
        assert kind == "SRV" or service.ttl >= min(ttl for _, ttl, *_ in expected) - 60


@pytest.mark.parametrize("name", HOSTS)
def test_hosts_are_those_of_dig(asking: Callable[..., Ask], dig: Any, name: str) -> None:
    """All addresses of both families, under the canonical name, with the aliases."""
    records = dig.records(name, "A") | dig.records(name, "AAAA")
    service, *aliases = asking(nameservers=[dig.address])(name)
    addresses = {data for _, _, kind, data in records if kind in ("A", "AAAA")}
    assert {address.host for address in service.addresses} == addresses
    [canonical] = {owner.lower() for owner, _, kind, _ in records if kind in ("A", "AAAA")}
    assert service.name.lower() == canonical
    assert {alias.name for alias in aliases} == {o for o, _, kind, _ in records if kind == "CNAME"}
    assert all(alias.flags == ResultFlags.IS_ALIAS for alias in aliases)


@pytest.mark.parametrize(
    ("name", "kind"), [("nope.main.test", "A"), ("v4.main.test", "MX"), ("web.other.test", "SRV")]
)
def test_what_there_is_not_is_what_dig_says(
    asking: Callable[..., Ask], dig: Any, name: str, kind: str
) -> None:
    """NXDOMAIN is 10108, no data of that type is 11004."""
    code = 10108 if dig.status(name, kind) == "NXDOMAIN" else 11004
    with pytest.raises(nspkit.NspError) as caught:
        asking(nameservers=[dig.address])(
            name, service_class=svcid_dns(int(dns.rdatatype.from_text(kind)))
        )
    assert caught.value.code == code


def test_names_of_addresses_are_those_of_dig(ask: Ask, named: Any) -> None:
    """An address may have several names."""
    expected = {data.removesuffix(".") for *_, data in named.dig.records("-x", "192.0.2.1")}
    assert {service.name for service in ask("192.0.2.1")} == expected
