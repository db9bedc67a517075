"""What strangers send: the next question is answered all the same, and memory stays bounded."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nspkit_mdns import MdnsProvider
from nspkit_mdns._mailbox import _MOST, Mailbox
from nspkit_mdns._names import Instance
from nspkit_mdns._values import attributes_of, info_of, service_of, text_of
from nspkit_mdns._wire import ServiceInfo

import nspkit
from nspkit import Cancellation, Service, ServiceOperation
from nspkit.errors import InvalidArgumentError

Send = Callable[[bytes], None]
PATIENCE = 30.0
GROUP = ("224.0.0.251", 5353)
A, PTR, TXT, AAAA, SRV, NSEC = 1, 12, 16, 28, 33, 47
pytestmark = pytest.mark.usefixtures("quick")
MANY = settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@pytest.fixture
def send() -> Iterator[Send]:
    """A function that sends a packet to the group, from the port that answers come from."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT):
            sender.setsockopt(socket.SOL_SOCKET, option, 1)
        sender.bind(("127.0.0.1", 5353))
        sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))

        def send_to_all(packet: bytes) -> None:
            sender.sendto(packet, GROUP)

        yield send_to_all


def label(raw: bytes) -> bytes:
    """A label as it is on the wire."""
    return bytes((len(raw),)) + raw


def name(*labels: bytes) -> bytes:
    """A name as it is on the wire."""
    return b"".join(map(label, labels)) + b"\0"


TYPE = (b"_garbage", b"_tcp", b"local")


def record(owner: bytes, kind: int, data: bytes, ttl: int = 120) -> bytes:
    """A record as it is on the wire."""
    return owner + struct.pack("!HHIH", kind, 1, ttl, len(data)) + data


def answer(*records: bytes) -> bytes:
    """A response with these records."""
    return struct.pack("!6H", 0, 0x8400, 0, len(records), 0, 0) + b"".join(records)


def instance(raw: bytes, address: bytes = b"\x7f\0\0\1", text: bytes = b"\0") -> bytes:
    """A whole instance with its host."""
    own, host = name(raw, *TYPE), name(b"garbage-host", b"local")
    return answer(
        record(name(*TYPE), PTR, own),
        record(own, SRV, struct.pack("!3H", 0, 0, 80) + host),
        record(own, TXT, text),
        record(host, A, address),
    )


def names_found(session: nspkit.Session) -> list[str]:
    """What a browse finds."""
    return sorted(found.name for found in session.lookup(service_class="_garbage._tcp"))


ODD = {
    "nothing": b"",
    "one byte": b"\0",
    "a header alone": b"\0" * 12,
    "counts that are not there": struct.pack("!6H", 0, 0x8400, 9, 9, 9, 9),
    "a pointer to itself": struct.pack("!6H", 0, 0x8400, 0, 1, 0, 0) + b"\xc0\x0c" * 9,
    "a label of a kind that is none": answer(b"\x80abc\0\0\0"),
    "a label that is cut": answer(b"\x3fabc"),
    "an address of three bytes": instance(b"short", b"\1\2\3"),
    "a name with NUL": instance(b"a\0b"),
    "a name that is not UTF-8": instance(b"\xff\xfe"),
    "a name that is no label": answer(record(name(*TYPE), PTR, name(b"x", b"y", b"z"))),
    "a type as instance": answer(record(name(*TYPE), PTR, name(*TYPE))),
    "a text that is cut": instance(b"cut", text=b"\xffab"),
    "names of 255 bytes": answer(record(name(*[b"x" * 62] * 4), PTR, name(*[b"y" * 62] * 4))),
    "everything": b"\xff" * 8000,
    "more than a packet holds": b"\x84" * 9500,
}


def test_odd_packets_harm_nobody(start: Any, service: Any, send: Send, eventually: Any) -> None:
    """What is right is found beside them, and none of them is taken for more than it is."""
    session = start()
    session.set_service(service("right", service_class="_garbage._tcp"), ServiceOperation.REGISTER)
    for packet in ODD.values():
        send(packet)
        assert list(session.lookup("right", service_class="_garbage._tcp"))
    send(instance(b"also right"))
    expected = ["also right", "cut", "right", "short", "\ufffd\ufffd"]
    eventually(lambda: names_found(session) == expected)


@MANY
@given(packet=st.binary(max_size=600) | st.binary(max_size=300).map(answer))
def test_any_packet_harms_nobody(fuzzed: nspkit.Session, send: Send, packet: bytes) -> None:
    """The engine still answers after each of them."""
    send(packet)
    assert list(fuzzed.lookup("right", service_class="_garbage._tcp"))


@MANY
@given(
    raw=st.binary(min_size=1, max_size=63),
    text=st.binary(max_size=300),
    address=st.binary(max_size=16),
)
def test_any_instance_harms_nobody(
    fuzzed: nspkit.Session, send: Send, raw: bytes, text: bytes, address: bytes
) -> None:
    """However it is called and whatever it says; the watch that hears of them goes on."""
    send(instance(raw, address, text))
    assert list(fuzzed.lookup("right", service_class="_garbage._tcp"))


@pytest.fixture
def fuzzed(start: Any, service: Any) -> Iterator[nspkit.Session]:
    """A session with a service, and a watch that hears of all others."""
    session = start()
    session.set_service(service("right", service_class="_garbage._tcp"), ServiceOperation.REGISTER)
    watch = session.watch(nspkit.Query(service_class="_garbage._tcp"))
    assert next(watch).service.name == "right"
    yield session
    watch.close()


class Engine:
    """An engine whose thread is the test's."""

    def check(self) -> None:
        """Be open."""

    def soon(self, function: Callable[..., object], *args: object) -> None:
        """Be on its thread."""
        function(*args)


def test_a_flood_of_names_is_bounded() -> None:
    """So many are remembered, and those keep their news; who is gone makes no room for lies."""
    mailbox = Mailbox(Engine(), Cancellation())  # type: ignore[arg-type]
    for number in range(_MOST + 100):
        mailbox.put(str(number), Service(str(number)))
        mailbox.put(str(number), None)
    assert len(mailbox.latest) == _MOST
    assert mailbox._news.qsize() == _MOST
    assert mailbox.next(1.0) == "0"
    mailbox.forget("0")
    mailbox.put("new", Service("new"))
    assert mailbox.latest["new"] == Service("new")


def test_a_flood_of_news_of_a_host_is_bounded() -> None:
    """Who has not looked yet need not be told again; who has is told anew."""
    mailbox = Mailbox(Engine(), Cancellation())  # type: ignore[arg-type]
    for _ in range(3):
        for _ in range(100):
            mailbox.wake()
        assert mailbox._news.qsize() == 1
        assert mailbox.rest(PATIENCE)


def test_a_watch_of_a_host_keeps_nothing_of_each_question(
    send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often its addresses are told: a cancellation keeps what it was given to call."""
    given: list[object] = []
    told = Cancellation.on_cancel
    monkeypatch.setattr(
        Cancellation, "on_cancel", lambda self, call: (given.append(call), told(self, call))
    )
    host = name(b"garbage-host", b"local")
    provider, cancellation = MdnsProvider(), Cancellation()
    with nspkit.Resources() as resources:
        provider.nsp_startup({"interfaces": ["lo"], "timeout": 0.1}, resources)
        changes = iter(provider.nsp_notify_change(nspkit.Query("garbage-host.local"), cancellation))
        assert next(changes) is None
        before = len(given)
        for number in range(1, 6):
            send(answer(record(host, A, bytes((10, 0, 0, number)))))
            assert next(changes) is not None
        assert len(given) == before
        cancellation.cancel()
        assert next(changes, None) is None


def test_a_flood_of_packets_is_bounded(
    start: Any, service: Any, send: Send, eventually: Any
) -> None:
    """Thousands of instances that nobody answers for: the right one is found beside them."""
    session = start(timeout=0.2)
    session.set_service(service("right", service_class="_garbage._tcp"), ServiceOperation.REGISTER)
    for number in range(0, 4000, 20):
        own = [name(b"flood-%d" % (number + more), *TYPE) for more in range(20)]
        send(answer(*(record(name(*TYPE), PTR, one) for one in own)))
    eventually(lambda: names_found(session) == ["right"])


# The values that come of it -----------------------------------------------------------------------


@MANY
@given(text=st.binary(max_size=400))
def test_any_text_record_is_attributes(text: bytes) -> None:
    """Nothing that it may hold is refused by the values of nspkit."""
    info = ServiceInfo("_x._tcp.local.", "a._x._tcp.local.", properties=text)
    Service("a", attributes=attributes_of(info.properties))


def test_a_value_that_nspkit_has_no_text_for_is_bytes() -> None:
    """NUL and what is not UTF-8; a name that is not printable ASCII is passed over."""
    raw = {b"nul": b"a\0b", b"raw": b"\xff", b"text": b"a", b"\xff": b"x", b"": b"y", b"no": None}
    assert attributes_of(raw) == {"nul": b"a\0b", "raw": b"\xff", "text": "a", "no": None}


KEYS = st.text(
    st.characters(min_codepoint=0x20, max_codepoint=0x7E, exclude_characters="="),
    min_size=1,
    max_size=9,
)


@MANY
@given(
    attributes=st.dictionaries(
        KEYS, st.none() | st.binary(max_size=99) | st.text(max_size=40), max_size=9
    )
)
def test_attributes_come_back_from_a_text_record(attributes: dict[str, Any]) -> None:
    """Bytes that are UTF-8 come back as text."""
    try:
        given_ones = Service("a", attributes=attributes).attributes
    except InvalidArgumentError:
        return  # NUL and lone surrogates are no text
    info = ServiceInfo("_x._tcp.local.", "a._x._tcp.local.", properties=text_of(given_ones))
    back = attributes_of(info.properties)

    def raw(value: Any) -> bytes | None:
        return value.encode() if isinstance(value, str) else value

    assert {key: raw(value) for key, value in back.items()} == {
        key: raw(value) for key, value in given_ones.items()
    }


def test_an_answer_without_a_port_is_no_service() -> None:
    """Nor is one of another type."""
    info = info_of(Instance("a", "_x._tcp"), _service(), lambda _addresses: "h.local.")
    assert service_of(_Nothing(), info, "_y._tcp") is None  # type: ignore[arg-type]
    info.port = None
    assert service_of(_Nothing(), info, "_x._tcp") is None  # type: ignore[arg-type]


def _service() -> Service:
    return Service("a", addresses=[nspkit.Address.inet("192.0.2.1", 80)])


class _Nothing:
    """A Zeroconf that is not asked."""
