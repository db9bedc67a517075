"""Records of any type, SRV records with addresses, and DNS-based service discovery."""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Callable
from typing import Any

import dns.rdata
import pytest
from nspkit_dns import _records

import nspkit
from nspkit import Address, LookupFlags, ServiceClass, svcid_dns, svcid_netware, svcid_tcp
from nspkit.errors import InvalidArgumentError, NoDataError, ServiceNotFoundError, TryAgainError

Ask = Callable[..., list[nspkit.Service]]
TCP = {"type": socket.SOCK_STREAM, "proto": socket.IPPROTO_TCP}


# -- records ---------------------------------------------------------------------------------------


def test_a_record_is_a_result(ask: Ask) -> None:
    """Its fields are attributes, its text the comment, its bytes the blob."""
    mail, backup = ask("main.test", service_class=svcid_dns(15))
    assert mail.attributes == {"preference": 10, "exchange": "mail.main.test"}
    assert backup.attributes["preference"] == 20  # the best comes first
    assert (mail.name, mail.comment, mail.ttl) == ("main.test", "10 mail.main.test.", 300)
    assert mail.service_class == svcid_dns(15)
    assert mail.blob == b"\0\x0a\4mail\4main\4test\0"
    assert mail.addresses == ()


def test_the_strings_of_a_text_are_one(ask: Ask) -> None:
    """As those of SPF are (RFC 7208); the comment has them one by one."""
    [text] = ask("main.test", service_class=svcid_dns(16))
    assert text.attributes == {"text": "v=spf1 -allsecond string"}
    assert text.comment == '"v=spf1 -all" "second string"'


def test_signatures_are_records_too(asking: Callable[..., Ask], fake: Any, tools: Any) -> None:
    """Whatever each of them covers."""
    rest = "8 2 {ttl} 20300101000000 20200101000000 1 test. AAAA"
    records = [f"x.test. {ttl} RRSIG {of} {rest}" for ttl, of in ((60, "A"), (30, "MX"))]
    server = fake(lambda query, _: tools.reply_to(query, *(one.format(ttl=9) for one in records)))
    found = asking(nameservers=[server.address])("x.test", service_class=svcid_dns(46))
    assert {one.attributes["type_covered"] for one in found} == {1, 15}
    assert {one.ttl for one in found} == {30}


def test_an_unknown_type_has_its_bytes(ask: Ask) -> None:
    """And the text that RFC 3597 gives it."""
    [record] = ask("strange.main.test", service_class=svcid_dns(65300))
    assert (record.blob, record.comment) == (b"\1\2\3\4", "\\# 4 01020304")


def test_a_type_of_address_is_a_host(ask: Ask) -> None:
    """SVCID_DNS of A or AAAA asks for that family only."""
    [service] = ask("web.main.test", service_class=svcid_dns(28))
    assert service.addresses == (Address.inet("2001:db8::1"),)
    with pytest.raises(NoDataError):
        ask("v4.main.test", service_class=svcid_dns(28))


@pytest.mark.parametrize("kind", [41, 249, 250, 251, 252, 255])
def test_a_type_of_questions_is_refused(ask: Ask, kind: int) -> None:
    """There are no records of it: transfers, all types, and the machinery."""
    with pytest.raises(InvalidArgumentError, match="no type of records"):
        ask("main.test", service_class=svcid_dns(kind))


@pytest.mark.parametrize("class_id", [svcid_netware(4), svcid_tcp(80, 33)])
def test_other_classes_are_not_in_the_dns(ask: Ask, class_id: Any) -> None:
    """Nobody is asked."""
    with pytest.raises(ServiceNotFoundError, match="nothing of the class"):
        ask("main.test", service_class=class_id)


def test_containers_and_lists_are_not_in_the_dns(ask: Ask) -> None:
    """11004 for containers; names cannot be listed, 10108."""
    with pytest.raises(NoDataError, match="containers"):
        ask("main.test", flags=LookupFlags.CONTAINERS)
    with pytest.raises(ServiceNotFoundError, match="cannot list"):
        ask()
    with pytest.raises(ServiceNotFoundError, match="cannot list"):
        ask(service_class=ServiceClass.tcp(80).id)


# -- SRV -------------------------------------------------------------------------------------------


def test_srv_records_have_addresses(ask: Ask) -> None:
    """Those of their targets with the port, in the order in which they are to be tried."""
    first, second = ask("_sip._tcp.main.test", service_class=svcid_dns(33))
    assert first.addresses == (Address.inet("192.0.2.4", 5061, **TCP),)
    assert first.attributes == {"priority": 5, "weight": 0, "port": 5061, "target": "v4.main.test"}
    assert len(second.addresses) == 3
    assert second.ttl == 30  # that of an address is the shortest


def test_a_service_that_is_not_offered_is_no_data(ask: Ask) -> None:
    """A single dot as the target says so (RFC 2782)."""
    with pytest.raises(NoDataError, match="offers no such service"):
        ask("_none._tcp.main.test", service_class=svcid_dns(33))


def test_a_target_without_addresses_is_shown_without(ask: Ask) -> None:
    """The record is there."""
    [service] = ask("_lost._tcp.main.test", service_class=svcid_dns(33))
    assert (service.addresses, service.attributes["target"]) == ((), "nowhere.main.test")


def test_weights_decide_by_chance() -> None:
    """Of one priority the heavier comes first more often; the priority comes before that."""
    texts = ["1 30 1 a.", "1 10 2 b.", "0 0 3 c."]
    records = [dns.rdata.from_text("IN", "SRV", text) for text in texts]
    orders = [[one.port for one in _records.chosen(records)] for _ in range(400)]
    assert {order[0] for order in orders} == {3}
    second = Counter(order[1] for order in orders)
    assert 200 < second[1] < 380  # 300 is to be expected
    assert all(sorted(order) == [1, 2, 3] for order in orders)


# -- DNS-SD ----------------------------------------------------------------------------------------


def test_a_browse_finds_the_instances_of_a_type(ask: Ask) -> None:
    """With addresses, attributes, time to live and domain; what is listed and gone is not."""
    found = {one.name: one for one in ask(service_class="_http._tcp", context="main.test")}
    assert set(found) == {"One Page", "two.dots"}
    page = found["One Page"]
    assert page.service_type == "_http._tcp"
    assert page.context == "main.test"
    assert page.ttl == 30
    assert set(page.addresses) == {
        Address.inet(host, 8080, **TCP) for host in ("192.0.2.1", "192.0.2.2", "2001:db8::1")
    }


def test_attributes_are_those_of_rfc_6763(ask: Ask) -> None:
    """The first of a key counts, keys alone have no value, bytes stay bytes."""
    [page] = ask("One Page", service_class="_http._tcp", context="main.test")
    assert page.attributes == {"path": "/", "Secure": None, "raw": b"\xff\0", "empty": ""}


def test_an_instance_is_found_by_name(ask: Ask) -> None:
    """A dot in its name is part of it; letters may be of either case."""
    [service] = ask("two.dots", service_class="_http._tcp", context="main.test")
    assert service.addresses == (Address.inet("192.0.2.4", 81, **TCP),)
    [service] = ask("ONE PAGE", service_class="_http._tcp", context="MAIN.test.")
    assert service.attributes["path"] == "/"


def test_a_subtype_narrows_a_browse(ask: Ask) -> None:
    """Its instances are those of the type that are listed under it."""
    [service] = ask(service_class="_new._sub._http._tcp", context="main.test")
    assert (service.name, service.service_type) == ("One Page", "_new._sub._http._tcp")


def test_the_types_of_a_domain_can_be_listed(asking: Any, ask: Ask, named: Any) -> None:
    """Of the context, or of the setting domain; what is no type is passed over."""
    own = asking(nameservers=[named.address], domain="main.test")
    for found in (ask(context="main.test"), own()):
        assert sorted(one.service_type or "" for one in found) == ["_http._tcp", "_ipp._tcp"]


def test_without_a_context_the_domain_is_the_default(
    asking: Callable[..., Ask], named: Any, ask: Ask
) -> None:
    """The setting, else the search list; with neither there is nothing to ask."""
    for settings in ({"domain": "main.test"}, {"search": ["other.test", "main.test"]}):
        own = asking(nameservers=[named.address], **settings)
        assert len(own(service_class="_http._tcp")) == 2
        assert own("One Page", service_class="_http._tcp")[0].context == "main.test"
    with pytest.raises(ServiceNotFoundError, match="'domain'"):
        ask(service_class="_http._tcp")


def test_a_hundred_instances_are_found(ask: Ask) -> None:
    """Sixteen at a time are resolved."""
    found = ask(service_class="_many._tcp", context="main.test")
    assert sorted(int(one.attributes["n"]) for one in found) == list(range(1, 101))
    assert all(one.addresses[0].port == int(one.attributes["n"]) for one in found)


def test_an_instance_without_an_address_is_no_data(ask: Ask) -> None:
    """A browse shows it, without one."""
    [service] = ask(service_class="_ipp._tcp", context="main.test")
    assert service.addresses == ()
    with pytest.raises(NoDataError, match="without an address"):
        ask("lone", service_class="_ipp._tcp", context="main.test")


def test_unknown_services_are_not_found(ask: Ask) -> None:
    """The instance, the type, the domain."""
    for name, service_type, domain in [
        ("nope", "_http._tcp", "main.test"),
        (None, "_nope._tcp", "main.test"),
        (None, "_http._tcp", "nope.main.test"),
    ]:
        with pytest.raises(ServiceNotFoundError):
            ask(name, service_class=service_type, context=domain)


def test_one_instance_that_fails_hides_no_other(fake: Any, tools: Any, make_host: Any) -> None:
    """What is found comes first, then the error."""

    def answer(query: Any, _transport: str) -> Any:
        name = query.question[0].name.to_text()
        if name == "_x._tcp.t.test.":
            return tools.reply_to(query, f"{name} 9 PTR bad.{name}", f"{name} 9 PTR good.{name}")
        if name.startswith("bad"):
            return tools.reply_to(query, rcode=2)
        if tools.of_type(query, "SRV"):
            return tools.reply_to(query, f"{name} 9 SRV 0 0 7 h.t.test.")
        if tools.of_type(query, "A"):
            return tools.reply_to(query, f"{name} 9 A 192.0.2.1")
        return tools.reply_to(query)

    host = make_host(nameservers=[fake(answer).address])
    found = []
    with (
        pytest.raises(TryAgainError, match="SERVFAIL"),
        host.lookup(service_class="_x._tcp", context="t.test", provider="dns") as lookup,
    ):
        found.extend(lookup)
    assert [service.name for service in found] in ([], ["good"])
