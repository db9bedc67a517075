"""How questions get to servers, and which answers are taken."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable
from typing import Any

import dns.message
import dns.rrset
import pytest

import nspkit
from nspkit.errors import (
    AccessDeniedError,
    ErrorCode,
    NotReadyError,
    OperationTimeoutError,
    TryAgainError,
)

Ask = Callable[..., list[nspkit.Service]]
V4 = [(int(socket.AF_INET), 0)]
PATIENCE = 30.0


def hosts_of(services: list[nspkit.Service]) -> set[str]:
    """The hosts of the first result."""
    return {address.host for address in services[0].addresses}


MANY = {f"198.51.100.{number}" for number in range(1, 100)}


@pytest.mark.parametrize("transport", ["udp", "tcp", "tls", "https"])
def test_every_transport_brings_the_whole_answer(
    asking: Callable[..., Ask], named: Any, transport: str
) -> None:
    """One that does not fit a packet too: the bind9 truncates it, and is asked over TCP."""
    if transport == "https":
        pytest.importorskip("h2")
    addresses = {"tls": named.tls, "https": named.https}
    address = addresses.get(transport, f"{transport}://{named.address}")
    ask = asking(nameservers=[address], tls_ca=named.authority)
    assert hosts_of(ask("many.main.test")) == MANY
    assert hosts_of(ask("v4.main.test")) == {"192.0.2.4"}


@pytest.mark.parametrize("transport", ["tls", "https"])
def test_a_certificate_has_to_count(asking: Callable[..., Ask], named: Any, transport: str) -> None:
    """Signed by somebody who is trusted, and for the name that the setting says."""
    if transport == "https":
        pytest.importorskip("h2")
    address = getattr(named, transport)
    with pytest.raises(TryAgainError, match="certificate"):
        asking(nameservers=[address])("v4.main.test")
    wrong = address.replace("#ns.main.test", "#ns.other.test")
    with pytest.raises(TryAgainError, match=r"ns\.other\.test"):
        asking(nameservers=[wrong], tls_ca=named.authority)("v4.main.test")


def test_https_needs_h2(asking: Callable[..., Ask], monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it is not installed the start says so."""
    monkeypatch.setitem(__import__("sys").modules, "nspkit_dns._https", None)
    with pytest.raises(NotReadyError, match=r"nspkit-dns\[doh\]"):
        asking(nameservers=["https://127.0.0.1"])("x.test")


@pytest.mark.parametrize("wrong_path", ["/nothing", "/dns-query/more"])
def test_https_at_the_wrong_path_is_told(
    asking: Callable[..., Ask], named: Any, wrong_path: str
) -> None:
    """The server answers with a status that is none of success."""
    pytest.importorskip("h2")
    address = named.https.replace("/dns-query", wrong_path)
    with pytest.raises(TryAgainError, match="404"):
        asking(nameservers=[address], tls_ca=named.authority)("v4.main.test")


def test_each_transport_announces_its_own_protocol(asking: Callable[..., Ask], named: Any) -> None:
    """Also where a server of the other one stands beside it (RFC 7301)."""
    pytest.importorskip("h2")
    chosen: list[str | None] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(named.folder / "cert.pem", named.folder / "key.pem")
    context.set_alpn_protocols(["h2", "dot"])
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        listening.settimeout(PATIENCE)

        def serve() -> None:
            connection, _ = listening.accept()
            connection.settimeout(PATIENCE)
            with context.wrap_socket(connection, server_side=True) as secure:
                chosen.append(secure.selected_alpn_protocol())

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        tls = f"tls://127.0.0.1:{listening.getsockname()[1]}#ns.main.test"
        ask = asking(nameservers=[tls, named.https], tls_ca=named.authority, timeout=PATIENCE)
        assert hosts_of(ask("v4.main.test", protocols=V4)) == {"192.0.2.4"}
        thread.join(PATIENCE)
    assert chosen == ["dot"]


def test_a_server_without_tls_is_told(asking: Callable[..., Ask], named: Any) -> None:
    """It speaks something else there, or waits for more of what it takes for a question."""
    ask = asking(nameservers=[f"tls://{named.address}"], tls_ca=named.authority, timeout=0.5)
    with pytest.raises(nspkit.NspError, match=r"tls://"):
        ask("v4.main.test")


def test_truncation_goes_to_the_same_server(
    asking: Callable[..., Ask], fake: Any, tools: Any
) -> None:
    """Over TCP; what stood in the packet is not taken for the answer."""

    def answer(query: Any, transport: str) -> Any:
        host = "192.0.2.1" if transport == "udp" else "192.0.2.2"
        response = tools.reply_to(query, f"x.test. 60 A {host}")
        response.flags |= 0x0200 if transport == "udp" else 0
        return response

    server = fake(answer)
    assert hosts_of(asking(nameservers=[server.address])("x.test", protocols=V4)) == {"192.0.2.2"}
    assert [transport for *_, transport in server.asked] == ["udp", "tcp"]


def test_a_truncated_answer_without_tcp_is_a_failure(
    asking: Callable[..., Ask], fake: Any, tools: Any
) -> None:
    """The server closes the connection, so that there is no answer."""

    def answer(query: Any, transport: str) -> Any:
        response = tools.reply_to(query, "x.test. 60 A 192.0.2.1")
        response.flags |= 0x0200
        return response if transport == "udp" else None

    server = fake(answer)
    with pytest.raises(TryAgainError, match="closed the connection"):
        asking(nameservers=[server.address])("x.test", protocols=V4)


def test_edns_announces_the_size(asking: Callable[..., Ask], fake: Any, tools: Any) -> None:
    """As set; 0 sends none."""
    sizes = []

    def answer(query: Any, _transport: str) -> Any:
        sizes.append(query.payload if query.edns >= 0 else None)
        return tools.reply_to(query, "x.test. 60 A 192.0.2.1")

    server = fake(answer)
    for settings in ({}, {"edns": 4096}, {"edns": 0}):
        asking(nameservers=[server.address], **settings)("x.test", protocols=V4)
    assert sizes == [1232, 4096, None]


@pytest.mark.parametrize("code", [1, 4, 16])
def test_a_server_that_knows_no_edns_is_asked_without(
    asking: Callable[..., Ask], fake: Any, tools: Any, code: int
) -> None:
    """FORMERR, NOTIMP or BADVERS is what it says then (RFC 6891, section 7)."""

    def answer(query: Any, _transport: str) -> Any:
        if query.edns >= 0:
            return tools.reply_to(query, rcode=code)
        return tools.reply_to(query, "x.test. 60 A 192.0.2.1")

    ask = asking(nameservers=[fake(answer).address])
    assert hosts_of(ask("x.test", protocols=V4)) == {"192.0.2.1"}


@pytest.mark.parametrize("code", [2, 5, 9])
def test_the_next_server_is_asked_where_one_fails(
    asking: Callable[..., Ask], fake: Any, tools: Any, code: int
) -> None:
    """At once, and not after the setting retry."""
    failing = fake(lambda query, _: tools.reply_to(query, rcode=code))
    other = fake(lambda query, _: tools.reply_to(query, "x.test. 60 A 192.0.2.1"))
    ask = asking(nameservers=[failing.address, other.address], retry=60, timeout=60)
    assert hosts_of(ask("x.test", protocols=V4)) == {"192.0.2.1"}


def test_the_next_server_is_asked_where_nobody_listens(
    asking: Callable[..., Ask], fake: Any, tools: Any
) -> None:
    """The platform says so at once."""
    other = fake(lambda query, _: tools.reply_to(query, "x.test. 60 A 192.0.2.1"))
    nobody = f"127.0.0.1:{tools.free_port()}"
    for address in (nobody, f"tcp://{nobody}"):
        ask = asking(nameservers=[address, other.address], retry=60, timeout=60)
        assert hosts_of(ask("x.test", protocols=V4)) == {"192.0.2.1"}


def test_the_next_server_is_asked_where_one_is_silent(
    asking: Callable[..., Ask], fake: Any, tools: Any
) -> None:
    """After the setting retry; a late answer of the first one would still count."""
    heard = threading.Event()
    silent = fake(lambda *_: heard.set())
    other = fake(lambda query, _: tools.reply_to(query, "x.test. 60 A 192.0.2.1"))
    ask = asking(nameservers=[silent.address, other.address], retry=0.05, timeout=60)
    assert hosts_of(ask("x.test", protocols=V4)) == {"192.0.2.1"}
    assert heard.wait(PATIENCE)  # on a busy machine the other one may come first
    assert len(silent.asked) == 1


def test_a_late_answer_counts(asking: Callable[..., Ask], fake: Any, tools: Any) -> None:
    """The first server answers when the second one has been asked, who does not."""
    other_asked = threading.Event()

    def late(query: Any, _transport: str) -> Any:
        assert other_asked.wait(PATIENCE)
        return tools.reply_to(query, "x.test. 60 A 192.0.2.1")

    def other(_query: Any, _transport: str) -> None:
        other_asked.set()

    addresses = [fake(late).address, fake(other).address]
    ask = asking(nameservers=addresses, retry=0.05, timeout=60)
    assert hosts_of(ask("x.test", protocols=V4)) == {"192.0.2.1"}


CODES = [
    (2, ErrorCode.WSATRY_AGAIN),
    (5, ErrorCode.WSAEREFUSED),
    (9, ErrorCode.WSAEREFUSED),
    (1, ErrorCode.WSANO_RECOVERY),
    (4, ErrorCode.WSANO_RECOVERY),
]


@pytest.mark.parametrize(("code", "error"), CODES)
def test_what_servers_say_is_told(
    asking: Callable[..., Ask], fake: Any, tools: Any, code: int, error: int
) -> None:
    """The code of the error is that of the trouble, and the message names the server."""
    server = fake(lambda query, _: tools.reply_to(query, rcode=code))
    with pytest.raises(nspkit.NspError, match=server.address) as caught:
        asking(nameservers=[server.address], edns=0)("x.test", protocols=V4)
    assert caught.value.code == error


def test_a_signed_question_is_answered(asking: Callable[..., Ask], named: Any, tools: Any) -> None:
    """A zone that is shown to who has the key."""
    zones = {"secret.test": {"nameservers": [named.address], "tsig": tools.KEY}}
    ask = asking(nameservers=[named.address], zones=zones)
    assert hosts_of(ask("web.secret.test")) == {"192.0.2.200"}
    with pytest.raises(nspkit.NspError, match="REFUSED"):
        asking(nameservers=[named.address])("web.secret.test")


def test_a_wrong_key_is_told(asking: Callable[..., Ask], named: Any, tools: Any) -> None:
    """By its name, and not by its secret."""
    zones = {"secret.test": {"nameservers": [named.address], "tsig": tools.WRONG_KEY}}
    with pytest.raises(AccessDeniedError, match=r"update\.key") as caught:
        asking(nameservers=[named.address], zones=zones)("web.secret.test")
    assert tools.WRONG_KEY["secret"] not in str(caught.value)


def test_an_unsigned_answer_to_a_signed_question_is_not_taken(
    asking: Callable[..., Ask], fake: Any, tools: Any
) -> None:
    """Anybody could have sent it."""

    def answer(query: Any, _transport: str) -> Any:
        asked = dns.message.make_query("x.test", "A", id=query.id)
        return tools.reply_to(asked, "x.test. 60 A 192.0.2.1")

    zones = {"test": {"nameservers": [fake(answer).address], "tsig": tools.KEY}}
    with pytest.raises(OperationTimeoutError, match="no answer"):
        asking(zones=zones, timeout=1)("x.test", protocols=V4)


def test_a_server_that_only_refers_to_others_has_not_answered(
    asking: Callable[..., Ask], fake: Any, tools: Any
) -> None:
    """That is not "no data": the next one is asked."""

    def refer(query: Any, _transport: str) -> Any:
        response = tools.reply_to(query)
        response.authority.append(dns.rrset.from_text("test.", 60, "IN", "NS", "ns.test."))
        return response

    server = fake(refer)
    other = fake(lambda query, _: tools.reply_to(query, "x.test. 60 A 192.0.2.1"))
    ask = asking(nameservers=[server.address, other.address], retry=60, timeout=60)
    assert hosts_of(ask("x.test", protocols=V4)) == {"192.0.2.1"}
    with pytest.raises(TryAgainError, match="refers to other servers"):
        asking(nameservers=[server.address])("x.test", protocols=V4)


def test_a_server_that_truncates_and_fails_over_tcp_is_asked_once(
    asking: Callable[..., Ask], fake: Any, tools: Any
) -> None:
    """Though both ways to it are set, each of which would lead to the other one."""

    def answer(query: Any, transport: str) -> Any:
        response = tools.reply_to(query)
        response.flags |= 0x0200
        return response if transport == "udp" else None

    server = fake(answer)
    addresses = [server.address, f"tcp://{server.address}"]
    with pytest.raises(TryAgainError, match="truncates its answer, and over TCP: it closed"):
        asking(nameservers=addresses, retry=5, timeout=5)("x.test", protocols=V4)
    assert [transport for *_, transport in server.asked] == ["udp", "tcp", "udp"]
