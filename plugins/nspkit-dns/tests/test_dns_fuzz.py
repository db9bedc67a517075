"""Whatever bytes a server sends, a lookup ends with results or with an error of nspkit's."""

from __future__ import annotations

from typing import Any

import dns.flags
import dns.message
import dns.name
import dns.rdatatype
import dns.rrset
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nspkit_dns import _browse, _hosts, _records, _wire
from nspkit_dns._wire import Ask, Question

from nspkit import Query, Service, svcid_dns
from nspkit.errors import NspError

KINDS = ["A", "AAAA", "PTR", "SRV", "TXT", "MX", "CNAME", "NAPTR", "CAA", "SOA", "HTTPS"]
NAMES = ["x.test.", "y.test.", "z._x._tcp.t.test.", "_x._tcp.t.test.", "h.test.", "."]
DATA = {
    "A": ["192.0.2.1", "192.0.2.2"],
    "AAAA": ["2001:db8::1", "2001:db8::2"],
    "PTR": NAMES,
    "SRV": [f"0 0 {port} {name}" for port in (0, 80) for name in NAMES],
    "TXT": ['"a=b" "c"', '""', r'"\000\255=\000"'],
    "MX": ["10 h.test."],
    "CNAME": NAMES,
    "NAPTR": ['1 1 "u" "E2U" "!x!y!" .'],
    "CAA": ['0 issue "ca"'],
    "SOA": ["h.test. h.test. 1 2 3 4 5"],
    "HTTPS": ["1 . alpn=h2"],
}

records = st.sampled_from(KINDS).flatmap(
    lambda kind: st.tuples(
        st.sampled_from(NAMES),
        st.integers(0, 2**31 - 1),
        st.just(kind),
        st.sampled_from(DATA[kind]),
    )
)
messages = st.tuples(
    st.lists(records, max_size=8),
    st.lists(records, max_size=2),
    st.sampled_from([0, 0, 0, 2, 3, 5]),
    st.lists(st.tuples(st.integers(0, 511), st.integers(0, 255)), max_size=4),
    st.integers(0, 40),
)
quick = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None
)


def wire_of(ask: Ask, content: Any) -> bytes:
    """An answer with these records, in which some bytes are changed, and the last are missing."""
    answer, authority, code, changes, missing = content
    query = dns.message.from_wire(ask.wire)
    response = dns.message.make_response(query)
    response.set_rcode(code)
    for section, rows in ((response.answer, answer), (response.authority, authority)):
        for name, ttl, kind, data in rows:
            section.append(dns.rrset.from_text(name, ttl, "IN", kind, data))
    wire = bytearray(response.to_wire(max_size=65535))
    for at, value in changes:
        if 12 <= at < len(wire):
            wire[at] = value
    return bytes(wire[: len(wire) - missing] if missing < 20 else wire)


def play(task: Any, content: Any) -> Any:
    """Have a task's questions answered so, as far as they are; return its result."""
    outcomes: Any = None
    for _ in range(50):
        try:
            questions = task.send(outcomes)
        except StopIteration as stop:
            return stop.value
        outcomes = [outcome_of(question, content) for question in questions]
    raise AssertionError("the task asks for ever")


def outcome_of(question: Question, content: Any) -> Any:
    """What a flight makes of an answer."""
    ask = Ask(question, 1232, None)
    message = ask.accept(wire_of(ask, content))
    if message is None:
        return NspError("no answer", code=11002)
    try:
        return _wire.read(message, question)
    except NspError as error:
        return error


@quick
@given(st.binary(max_size=600))
def test_bytes_are_an_answer_or_not(data: bytes) -> None:
    """Nothing else comes of them, with the right id and question too."""
    question = Question(dns.name.from_text("x.test."), dns.rdatatype.A)
    ask = Ask(question, 1232, None)
    head = ask.wire[:2] + b"\x80\0" + ask.wire[4:12] + ask.wire[12:24]
    for wire in (data, ask.wire[:2] + data, head + data):
        message = ask.accept(wire)
        assert message is None or message.flags & dns.flags.QR


@quick
@given(messages)
def test_a_host_comes_of_any_answer_or_an_error(content: Any) -> None:
    """Addresses of it are addresses."""
    names = [dns.name.from_text("x.test.")]
    outcomes = play(_hosts.tried(names, [1, 28], "x"), content)
    answers = [one for one in outcomes if not isinstance(one, NspError) and one.records]
    for address in _hosts.addresses_in(answers, [(0, 0, 0)], 80):
        assert address.port == 80


@quick
@given(messages)
def test_a_service_comes_of_any_answer_or_none(content: Any) -> None:
    """Whatever the SRV and TXT records are."""
    instance = _browse.instance_of("z", "_x._tcp", dns.name.from_text("t.test."))
    found = play(_browse._resolved(instance, Query(service_class="_x._tcp")), content)
    assert isinstance(found, Service | list)


@quick
@given(st.sampled_from(KINDS[2:]), messages)
def test_records_come_of_any_answer_or_an_error(kind: str, content: Any) -> None:
    """Each can be a result."""
    number = int(dns.rdatatype.from_text(kind))
    outcome = outcome_of(Question(dns.name.from_text("x.test."), number), content)
    if not isinstance(outcome, NspError):
        for record in outcome.records or ():
            query = Query("x.test", service_class=svcid_dns(number))
            assert isinstance(_records._service(query, outcome, record), Service)


@quick
@given(st.lists(st.binary(max_size=255), max_size=5))
def test_attributes_come_of_any_strings(strings: list[bytes]) -> None:
    """They can be those of a service."""
    attributes = _browse.attributes_of(tuple(strings))
    assert Service("x", attributes=attributes).attributes == attributes


@quick
@given(st.lists(st.sampled_from(NAMES), max_size=4), st.binary(min_size=1, max_size=63))
def test_any_target_is_an_instance_or_not(names: list[str], label: bytes) -> None:
    """As a PTR record may name it."""
    for name in names:
        try:
            target = dns.name.Name((label, *dns.name.from_text(name).labels))
        except dns.name.NameTooLong:
            continue
        instance = _browse._listed(target, "_x._tcp")
        if instance is not None:
            assert Service(instance.label, service_class="_x._tcp").name
        found = _browse._type(target, 1)
        assert found is None or found.service_type == found.name


addresses = st.lists(
    st.tuples(st.sampled_from(NAMES[:2]), st.integers(0, 2**31 - 1), st.integers(0, 1)),
    min_size=1,
    max_size=4,
)


@quick
@given(
    addresses,
    st.sampled_from(["A", "AAAA"]),
    st.sampled_from([-1, 0]),
    st.lists(st.tuples(st.integers(0, 150), st.integers(0, 255)), max_size=1),
)
def test_what_is_read_without_dnspython_is_what_it_reads(
    content: Any, kind: str, edns: int, changes: Any
) -> None:
    """The short way for answers that have addresses and nothing else takes no other ones."""
    question = Question(dns.name.from_text("x.test."), int(dns.rdatatype.from_text(kind)))
    ask = Ask(question, 1232, None)
    query = dns.message.from_wire(ask.wire)
    query.use_edns(edns)
    response = dns.message.make_response(query)
    for name, ttl, which in content:
        response.answer.append(dns.rrset.from_text(name, ttl, "IN", kind, DATA[kind][which]))
    wire = bytearray(response.to_wire())
    for at, value in changes:
        if 2 < at < len(wire):
            wire[at] = value
    plain = ask._plain(bytes(wire)) if ask._concerns(bytes(wire)) else None
    if not changes and {name for name, *_ in content} == {"x.test."}:
        assert plain is not None
    if plain is not None:
        there = dns.message.from_wire(bytes(wire))
        assert there.rcode() == 0
        found = _wire.read(there, question)
        short = _wire.read(plain, question)
        assert (short.ttl, short.exists, short.is_end) == (found.ttl, True, True)
        assert {one.address for one in short.records} == {one.address for one in found.records}
