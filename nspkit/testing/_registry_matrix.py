"""Rules about registries: Winsock's matrix of registrations, row for row."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from nspkit import Address
from nspkit.errors import ServiceNotFoundError
from nspkit.testing._classes import refused
from nspkit.testing._registry import LOOKUP, NO_DATA, SET, UNKNOWN, A, B, C, registry, tcp
from nspkit.testing._rule import rule, rules_in

if TYPE_CHECKING:
    from nspkit.testing._case import Case


@rule("registry", SET, LOOKUP)
def register_replaces(case: Case) -> None:
    """REGISTER replaces what is there: its addresses and everything else."""
    with registry(case) as client:
        client.register("x", A, B, attributes={"a": 1}, comment="old", version=1, blob=b"b")
        client.register("x", C)

        def seen() -> object:
            return [
                (one.addresses, dict(one.attributes), one.comment, one.version, one.blob)
                for one in client.find("x")
            ]

        right: list[object] = [((tcp(C),), {}, "", None, None)]
        client.shows(seen, right, "after a second REGISTER, without multiple")


@rule("registry", SET, LOOKUP)
def register_adds_addresses(case: Case) -> None:
    """REGISTER with multiple adds addresses, each once; all else is what was given last.

    What is not there is made.
    """
    with registry(case) as client:
        client.register("x", A, multiple=True, attributes={"a": 1})
        client.shows(lambda: client.hosts("x"), [A], "after a first REGISTER with multiple")
        client.register("x", A, B, C, multiple=True, attributes={"a": 2})
        client.shows(lambda: client.hosts("x"), [A, B, C], "after REGISTER with multiple")
        client.shows(
            lambda: [dict(one.attributes) for one in client.find("x")],
            [{"a": 2}],
            "the attributes after REGISTER with multiple",
        )


@rule("registry", SET, LOOKUP)
def deregister_keeps_the_name(case: Case) -> None:
    """DEREGISTER leaves the name known, without data: NoDataError (11004), and in no browse.

    It can be deregistered again, registered again, and deleted.
    """
    with registry(case) as client:
        client.register("x", A, attributes={"a": 1})
        client.deregister("x")
        client.shows(lambda: client.hosts("x"), NO_DATA, "after DEREGISTER")
        client.shows(client.names, [], "a browse after DEREGISTER")
        client.deregister("x")
        client.register("x", B, multiple=True)
        client.shows(lambda: client.hosts("x"), [B], "after DEREGISTER and REGISTER with multiple")
        client.deregister("x")
        client.delete("x")
        client.shows(lambda: client.hosts("x"), UNKNOWN, "after DEREGISTER and DELETE")


@rule("registry", SET, LOOKUP)
def deregister_drops_addresses(case: Case) -> None:
    """DEREGISTER with multiple drops the given addresses; with the last it is deregistered."""
    with registry(case) as client:
        client.register("x", A, B, C)
        client.deregister("x", A, multiple=True)
        client.shows(lambda: client.hosts("x"), [B, C], f"after DEREGISTER of {A} with multiple")
        client.deregister("x", B, C, multiple=True)
        client.shows(
            lambda: client.hosts("x"), NO_DATA, "after DEREGISTER of the last with multiple"
        )
        client.deregister("x")


@rule("registry", SET, LOOKUP)
def delete_removes(case: Case) -> None:
    """DELETE removes the instance with all that it has: its name is unknown afterwards."""
    with registry(case) as client:
        client.register("x", A, attributes={"a": 1})
        client.delete("x")
        client.shows(lambda: client.hosts("x"), UNKNOWN, "after DELETE")
        refused("a second DELETE", lambda: client.delete("x"), ServiceNotFoundError)
        client.register("x", B, multiple=True)
        client.shows(lambda: client.hosts("x"), [B], "after DELETE and REGISTER with multiple")


@rule("registry", SET, LOOKUP)
def delete_drops_addresses(case: Case) -> None:
    """DELETE with multiple drops the given addresses; with the last the instance is gone."""
    with registry(case) as client:
        client.register("x", A, B)
        client.delete("x", A, multiple=True)
        client.shows(lambda: client.hosts("x"), [B], f"after DELETE of {A} with multiple")
        client.delete("x", B, multiple=True)
        client.shows(lambda: client.hosts("x"), UNKNOWN, "after DELETE of the last with multiple")
        refused(
            "DEREGISTER after DELETE of the last address",
            lambda: client.deregister("x"),
            ServiceNotFoundError,
        )


@rule("registry", SET, LOOKUP)
def only_equal_addresses_are_dropped(case: Case) -> None:
    """An address is another one if its port, type or protocol is another.

    Winsock's wildcard for the protocol, -1 at a registration, means that of the type.
    """
    stream, datagram = socket.SOCK_STREAM, socket.SOCK_DGRAM
    with registry(case) as client:
        client.register("x", A)
        others = (
            tcp(A, 81),
            Address.inet(A, 80, type=datagram, proto=6),
            Address.inet(A, 80, type=stream, proto=17),
            Address.inet(A, 80, type=stream),
        )
        for other in others:
            client.delete("x", addresses=[other], multiple=True)
            client.shows(lambda: client.hosts("x"), [A], f"after DELETE of another, {other}")
        any_protocol = Address.inet(B, 80, type=datagram, proto=-1)
        client.register("x", addresses=[any_protocol])
        client.shows(
            lambda: [one.addresses for one in client.find("x")],
            [(Address.inet(B, 80, type=datagram, proto=socket.IPPROTO_UDP),)],
            "a datagram address that was registered for any protocol",
        )
        client.delete("x", addresses=[any_protocol], multiple=True)
        client.shows(lambda: client.hosts("x"), UNKNOWN, "after DELETE of it, for any protocol")


RULES = rules_in(globals())
