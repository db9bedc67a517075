"""Names that are none, and servers that do what no server should."""

from __future__ import annotations

import gc
import socket
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from nspkit_dns import DnsProvider

import nspkit
from nspkit import Cancellation, Query, Resources, Service, svcid_dns
from nspkit.errors import (
    ErrorCode,
    InvalidArgumentError,
    NspError,
    OperationTimeoutError,
    TryAgainError,
)

Ask = Callable[..., list[nspkit.Service]]
V4 = [(int(socket.AF_INET), 0)]

BAD_NAMES = [
    "a..b",
    ".a",
    "a..",
    "..",
    "x" * 64,
    "x" * 64 + ".test",
    ".".join(["x" * 63] * 4),
    ".".join(["ab"] * 85),
    "x" * 5000,
    "\N{SNOWMAN}" * 64,
    ".".join(["\N{SNOWMAN}" * 9] * 20),
    "\N{LATIN SMALL LETTER U WITH DIAERESIS}" * 250,
    "a\\",
    "a\\25",
    "a\\999",
    "xn--\N{LATIN SMALL LETTER U WITH DIAERESIS}",
    "\N{RIGHT-TO-LEFT OVERRIDE}a",
    "a\N{IDEOGRAPHIC FULL STOP}\N{IDEOGRAPHIC FULL STOP}b",
]


@pytest.mark.parametrize("name", BAD_NAMES, ids=range(len(BAD_NAMES)))
@pytest.mark.parametrize("class_id", [None, svcid_dns(1), svcid_dns(16), svcid_dns(33)])
def test_a_name_that_is_none_is_refused(
    asking: Callable[..., Ask], fake: Any, name: str, class_id: Any
) -> None:
    """Before anybody is asked; the message is short, and says what a name is."""
    server = fake(lambda *_: None)
    with pytest.raises(InvalidArgumentError, match="no name of the DNS") as caught:
        asking(nameservers=[server.address])(name, service_class=class_id)
    assert len(caught.value.message) < 500
    assert server.asked == []


def test_a_nul_is_refused_at_the_border(ask: Ask) -> None:
    """No query has one; one that is escaped is a name like any other."""
    with pytest.raises(InvalidArgumentError, match="NUL"):
        ask("a\0b.main.test")
    with pytest.raises(nspkit.errors.ServiceNotFoundError):
        ask("a\\000b.main.test")


def test_the_longest_name_is_one(ask: Ask) -> None:
    """253 bytes, which is 255 in a message; one more is too long."""
    longest = ".".join(["x" * 63, "x" * 63, "x" * 63, "x" * 51, "main.test"])
    assert len(longest) == 253
    with pytest.raises(nspkit.errors.ServiceNotFoundError):
        ask(longest)
    with pytest.raises(InvalidArgumentError):
        ask(longest.replace("x.main", "xx.main"))


def test_a_search_list_may_be_too_long_for_a_name(
    asking: Callable[..., Ask], fake: Any, tools: Any
) -> None:
    """The name is tried without, then."""
    server = fake(lambda query, _: tools.reply_to(query, rcode=3))
    long = ".".join(["d" * 63] * 3)
    with pytest.raises(nspkit.errors.ServiceNotFoundError):
        asking(nameservers=[server.address], search=[long])("x" * 63, protocols=V4)
    assert [name for name, _ in server.questions()] == ["x" * 63]


@pytest.mark.parametrize(
    ("name", "context"),
    [("n" * 64, "main.test"), ("\N{SNOWMAN}" * 22, "main.test"), ("n", "a..b"), (None, "a..b")],
)
def test_a_service_that_cannot_be_is_refused(ask: Ask, name: str | None, context: str) -> None:
    """A name of more than 63 bytes, a domain that is none."""
    with pytest.raises(InvalidArgumentError):
        ask(name, service_class="_http._tcp", context=context)


# -- servers ---------------------------------------------------------------------------------------

GARBAGE = {
    "nothing": b"",
    "a byte": b"\0",
    "a header": b"\0" * 12,
    "noise": bytes(range(256)) * 4,
    "a large packet": b"\xff" * 60000,
}


@pytest.mark.parametrize("what", GARBAGE)
def test_garbage_is_passed_over_until_the_time_is_over(
    asking: Callable[..., Ask], fake: Any, what: str
) -> None:
    """Over UDP; the error counts it."""
    server = fake(lambda *_: [GARBAGE[what]] * 3)
    with pytest.raises(OperationTimeoutError, match="packets that are no answer"):
        asking(nameservers=[server.address], timeout=1, retry=60)("x.test", protocols=V4)


@pytest.mark.parametrize("what", GARBAGE)
def test_garbage_over_tcp_is_a_failure(asking: Callable[..., Ask], fake: Any, what: str) -> None:
    """At once: nobody else could have sent it."""
    server = fake(lambda *_: GARBAGE[what])
    with pytest.raises(TryAgainError, match="no answer to the question"):
        asking(nameservers=[f"tcp://{server.address}"])("x.test", protocols=V4)


def test_a_server_that_closes_is_a_failure(asking: Callable[..., Ask], fake: Any) -> None:
    """Without an answer."""
    server = fake(lambda *_: None)
    with pytest.raises(TryAgainError, match="closed the connection"):
        asking(nameservers=[f"tcp://{server.address}"])("x.test", protocols=V4)


def test_the_right_header_with_garbage_behind_is_no_answer(
    asking: Callable[..., Ask], fake: Any, tools: Any
) -> None:
    """Id and question are right, the records are not."""

    def answer(query: Any, _transport: str) -> Any:
        wire = tools.reply_to(query, "x.test. 60 A 192.0.2.1").to_wire()
        return [wire[:-3], wire + b"more", wire[:7] + b"\xff" + wire[8:]]

    server = fake(answer)
    with pytest.raises(OperationTimeoutError, match="3 packets that are no answer"):
        asking(nameservers=[server.address], timeout=1, retry=60)("x.test", protocols=V4)


@pytest.mark.parametrize("length", [1, 2, 5])
def test_aliases_in_a_circle_end(
    asking: Callable[..., Ask], fake: Any, tools: Any, length: int
) -> None:
    """In one answer."""
    circle = [f"a{n}.test. 60 CNAME a{(n + 1) % length}.test." for n in range(length)]
    server = fake(lambda query, _: tools.reply_to(query, *circle))
    with pytest.raises(NspError, match="circle") as caught:
        asking(nameservers=[server.address])("a0.test", protocols=V4)
    assert caught.value.code == ErrorCode.WSAELOOP


def test_aliases_in_a_circle_over_many_answers_end(
    asking: Callable[..., Ask], fake: Any, tools: Any
) -> None:
    """Each answer has one alias."""
    aliases = {"a.test.": "b.test.", "b.test.": "c.test.", "c.test.": "a.test."}

    def answer(query: Any, _transport: str) -> Any:
        name = query.question[0].name.to_text()
        return tools.reply_to(query, f"{name} 60 CNAME {aliases[name]}")

    server = fake(answer)
    with pytest.raises(NspError, match="circle") as caught:
        asking(nameservers=[server.address])("a.test", protocols=V4)
    assert caught.value.code == ErrorCode.WSAELOOP
    assert len(server.asked) <= 4


def test_aliases_without_an_end_end(asking: Callable[..., Ask], fake: Any, tools: Any) -> None:
    """A new name each time."""

    def answer(query: Any, _transport: str) -> Any:
        name = query.question[0].name.to_text()
        number = int(name[1:].partition(".")[0])
        return tools.reply_to(query, f"{name} 60 CNAME a{number + 1}.test.")

    server = fake(answer)
    with pytest.raises(NspError, match="more than 16") as caught:
        asking(nameservers=[server.address])("a0.test", protocols=V4)
    assert caught.value.code == ErrorCode.WSAELOOP
    assert len(server.asked) <= 18


def test_one_bad_server_harms_no_other_provider(fake: Any) -> None:
    """Its error is recorded, the rest of a fan-out goes on."""
    from nspkit.testing import MemoryProvider

    catalog = nspkit.Catalog()
    catalog.install(DnsProvider)
    catalog.install(MemoryProvider)
    server = fake(lambda *_: b"garbage")
    settings = {"dns": {"nameservers": [f"tcp://{server.address}"], "search": []}}
    with nspkit.Host(catalog=catalog, settings=settings) as host:
        memory = next(entry for entry in catalog if entry.name != "dns").name
        host.set_service(Service("x.test"), nspkit.ServiceOperation.REGISTER, provider=memory)
        with host.lookup("x.test", timeout=30) as lookup:
            assert [service.name for service in lookup] == ["x.test"]
        [error] = lookup.errors
        assert error.guid == DnsProvider.info.guid


def test_a_flood_does_not_fill_the_memory(fake: Any) -> None:
    """Of thousands of packets that are no answers nothing is kept, nor of one that is large."""
    ends = threading.Event()
    server = fake(lambda *_: [b"x" * 60000] * 500 if not ends.is_set() else None)
    provider = DnsProvider()
    with Resources() as resources:
        settings = {"nameservers": [server.address], "timeout": 1.0, "retry": 0.1, "search": []}
        provider.nsp_startup(settings, resources)
        query = Query("x.test", protocols=V4)
        gc.collect()
        tracemalloc.start()
        try:
            with pytest.raises(OperationTimeoutError):
                list(provider.nsp_lookup_service(query, Cancellation()))
            ends.set()
            gc.collect()
            kept, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert kept < 5_000_000


def test_asking_again_and_again_keeps_few_sockets(fake: Any) -> None:
    """Of many attempts at a silent server the last eight are waited for."""
    server = fake(lambda *_: None)
    provider = DnsProvider()
    with Resources() as resources:
        settings = {"nameservers": [server.address], "timeout": 60, "retry": 0.01, "search": []}
        provider.nsp_startup(settings, resources)
        cancellation = Cancellation()
        results = provider.nsp_lookup_service(Query("x.test", protocols=V4), cancellation)
        seen: list[int] = []
        flights = provider._resolver._flights

        def heard(_peer: Any) -> None:
            if len(server.asked) > 30 and not seen:
                seen.extend(len(one._attempts) for one in list(flights.values()))
                cancellation.cancel()

        server.heard = heard
        with pytest.raises(NspError):
            list(results)
    assert seen
    assert max(seen) <= 9


def test_a_stream_without_an_end_is_left(asking: Callable[..., Ask], fake: Any) -> None:
    """A message has a length; what comes behind it is not even read."""

    def answer(_query: Any, _transport: str) -> Any:
        return [b"x" * 65535] * 50

    with pytest.raises(TryAgainError):
        asking(nameservers=[f"tcp://{fake(answer).address}"])("x.test", protocols=V4)


def test_a_server_that_never_ends_its_answer_is_given_up(asking: Callable[..., Ask]) -> None:
    """It says that much will come, and sends a byte of it."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.sendall(b"\xff\xff\0")
                connection.settimeout(30)
                while connection.recv(4096):
                    pass

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        address = f"tcp://127.0.0.1:{listening.getsockname()[1]}"
        with pytest.raises(OperationTimeoutError, match="does not answer"):
            asking(nameservers=[address], timeout=0.3)("x.test", protocols=V4)
        thread.join(30)


@pytest.fixture
def odd(fake: Any, tools: Any, make_host: Any) -> Iterator[nspkit.Host]:
    """A host whose server lists services with odd names."""

    def answer(query: Any, _transport: str) -> Any:
        name = query.question[0].name.to_text()
        labels = (r"\255\254", r"nul\000", r"a\.b", r"\009tab", "", "x" * 63)
        if tools.of_type(query, "PTR"):
            whole = [f"{name} 9 PTR {label}.{name}" for label in labels if label]
            return tools.reply_to(query, *whole, f"{name} 9 PTR .", f"{name} 9 PTR {name}")
        if tools.of_type(query, "SRV"):
            return tools.reply_to(query, f"{name} 9 SRV 0 0 7 h.t.test.")
        if tools.of_type(query, "TXT"):
            return tools.reply_to(query, rf'{name} 9 TXT "a\000b=c\000d" "=x" "" "k=\255"')
        return tools.reply_to(query, f"{name} 9 A 192.0.2.1")

    return make_host(nameservers=[fake(answer).address])


def test_odd_names_of_instances_are_shown(odd: nspkit.Host) -> None:
    """What is no text is escaped; what is not of that type is passed over."""
    found = list(odd.lookup(service_class="_x._tcp", context="t.test", provider="dns"))
    assert {service.name for service in found} == {
        r"\255\254",
        r"nul\000",
        "a.b",
        "\ttab",
        "x" * 63,
    }
    assert all(service.attributes == {"k": b"\xff"} for service in found)


def test_an_alias_to_a_name_of_others_is_not_gone_after(
    asking: Callable[..., Ask], fake: Any, tools: Any
) -> None:
    """A server cannot have .local asked for in the DNS."""
    server = fake(
        lambda query, _: tools.reply_to(query, f"{query.question[0].name} 60 CNAME h.local.")
    )
    with pytest.raises(nspkit.errors.NoDataError):
        asking(nameservers=[server.address])("x.test", protocols=V4)
    assert server.questions() == [("x.test", "A")]
