"""Answers that are not taken: wrong ones, and those of somebody else."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import pytest

import nspkit
from nspkit.errors import OperationTimeoutError, TryAgainError

Ask = Callable[..., list[nspkit.Service]]
V4 = [(int(socket.AF_INET), 0)]


def hosts_of(services: list[nspkit.Service]) -> set[str]:
    """The hosts of the first result."""
    return {address.host for address in services[0].addresses}


def forged(tools: Any, query: Any, what: str) -> bytes:
    """An answer in which something is wrong."""
    wire = bytearray(tools.reply_to(query, "x.test. 60 A 192.0.2.66").to_wire())
    if what == "id":
        wire[0] ^= 0xFF
    if what == "question":
        wire[13] = ord("y")
    if what == "type":
        wire[12 + 8 + 1] = 28
    if what == "no reply":
        wire[2] &= 0x7F
    if what == "opcode":
        wire[2] |= 0x28
    if what == "none":
        wire[5] = 0
    return bytes(wire)


@pytest.mark.parametrize("what", ["id", "question", "type", "no reply", "opcode", "none"])
def test_a_wrong_answer_is_passed_over(
    asking: Callable[..., Ask], fake: Any, tools: Any, what: str
) -> None:
    """Over UDP the right one may come behind it."""

    def answer(query: Any, _transport: str) -> Any:
        right = tools.reply_to(query, "x.test. 60 A 192.0.2.1")
        return [b"", b"garbage", forged(tools, query, what), right]

    ask = asking(nameservers=[fake(answer).address])
    assert hosts_of(ask("x.test", protocols=V4)) == {"192.0.2.1"}


@pytest.mark.parametrize("what", ["id", "question", "type", "no reply", "opcode", "none"])
def test_a_wrong_answer_over_tcp_is_a_failure(
    asking: Callable[..., Ask], fake: Any, tools: Any, what: str
) -> None:
    """Nobody else could have sent it."""
    server = fake(lambda query, _: forged(tools, query, what))
    with pytest.raises(TryAgainError, match="no answer to the question"):
        asking(nameservers=[f"tcp://{server.address}"])("x.test", protocols=V4)


def test_an_answer_from_elsewhere_is_not_taken(
    asking: Callable[..., Ask], fake: Any, tools: Any
) -> None:
    """Right in all but its source: another socket of the same machine."""
    with socket.socket(type=socket.SOCK_DGRAM) as elsewhere:
        elsewhere.bind(("127.0.0.1", 0))
        peers: list[Any] = []

        def answer(query: Any, _transport: str) -> None:
            wire = tools.reply_to(query, "x.test. 60 A 192.0.2.66").to_wire()
            elsewhere.sendto(wire, peers[-1])

        server = fake(answer)
        server.heard = peers.append
        with pytest.raises(OperationTimeoutError, match="does not answer"):
            asking(nameservers=[server.address], timeout=1)("x.test", protocols=V4)
        assert peers


def test_ids_and_ports_cannot_be_guessed(asking: Callable[..., Ask], fake: Any, tools: Any) -> None:
    """Each question has new ones."""
    ids = []

    def answer(query: Any, _transport: str) -> Any:
        ids.append(query.id)
        return tools.reply_to(query, "x.test. 60 A 192.0.2.1")

    server = fake(answer)
    peers: list[Any] = []
    server.heard = peers.append
    ask = asking(nameservers=[server.address])
    for _ in range(20):
        ask("x.test", protocols=V4)
    assert len(set(ids)) > 15
    assert len(set(peers)) > 10
