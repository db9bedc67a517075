"""Rules about registries: everything comes back as it was."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

from nspkit import Address, Service
from nspkit.testing._registry import LOOKUP, SET, UNKNOWN, A, B, registry, tcp
from nspkit.testing._rule import require, rule, rules_in

if TYPE_CHECKING:
    from nspkit.testing._case import Case

_ATTRIBUTES: dict[str, Any] = {
    "text": "ä=&% \n🖨",
    "empty text": "",
    "bytes": bytes(range(256)),
    "no bytes": b"",
    "none": None,
    "true": True,
    "false": False,
    "one": 1,
    "big": -(2**70),
    "float": 0.1,
    "one as a float": 1.0,
    " ": "a space",
    "größe/%2F": "odd name",
}

_ADDRESSES = (
    tcp("192.0.2.9"),
    Address.inet("192.0.2.1"),
    tcp("192.0.2.5", 65535),
    Address.inet("192.0.2.1", 53, type=socket.SOCK_DGRAM),
    Address.inet("2001:db8::1", 443, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP),
    Address(socket.AF_INET6, socket.SOCK_STREAM, 6, ("fe80::1", 80, 5, 3)),
    Address(1, socket.SOCK_STREAM, 0, "/run/ä"),
    Address(1, socket.SOCK_STREAM, 0, b"\0abstract\xff"),
    Address(4711, 0, 0, (1, "a", b"\0", (None, 2.5, True))),
)

_NAMES = (
    "printer",
    "Printer",
    "a/b",
    "a%b",
    "a%2Fb",
    "a b",
    " a ",
    ".",
    "..",
    "a.b.",
    "a\\b",
    "*",
    "[a]?",
    "-",
    "a:b,c;d=e&f#g",
    "'\"`",
    "a\nb",
    "größe",
    "gro\u0308ße",  # to people the same, to a registry another
    "日本語",
    "🖨️ 1. floor",
    "x" * 200,
)


@rule("registry", SET, LOOKUP)
def content_comes_back(case: Case) -> None:
    """Attributes of every type, comment, version, blob and DNS-SD type come back as they were.

    By name and in a browse.
    """
    with registry(case) as client:
        service = client.service(
            "x",
            A,
            attributes=_ATTRIBUTES,
            comment="ein Hinweis: 100 %\n",
            version=4_000_000_000,
            blob=bytes(range(255, -1, -1)),
        )
        bare = client.service("bare", blob=b"")
        client.register_all([service, bare])
        for name in ("x", None):
            right = {one.name: one for one in (service, bare) if name in (None, one.name)}
            client.shows(
                lambda name=name, right=right: _differences(client.find(name), right),  # type: ignore[misc]
                [],
                "what came back other than it was registered",
            )


@rule("registry", SET, LOOKUP)
def addresses_come_back(case: Case) -> None:
    """Addresses of every family come back as they were, in their order.

    With port, type and protocol, of IPv6 with flow and scope; of other families with whatever
    text, bytes or tuple they have.
    """
    with registry(case) as client:
        client.register("x", addresses=_ADDRESSES)
        client.shows(
            lambda: [one.addresses for one in client.find("x")],
            [_ADDRESSES],
            "addresses did not come back as they were registered",
        )


@rule("registry", SET, LOOKUP)
def names_are_told_apart(case: Case) -> None:
    """A name is any text, and is compared as it is: case counts, and nothing is a pattern.

    The names have slashes, percent signs, dots, spaces, stars, newlines and letters from far
    beyond ASCII. Each is registered, found, in the browse, and deleted, beside the others.
    """
    with registry(case) as client:
        client.register_all([client.service(name, _host(n)) for n, name in enumerate(_NAMES)])
        for number, name in enumerate(_NAMES):
            client.shows(
                lambda name=name: client.hosts(name),  # type: ignore[misc]
                [_host(number)],
                f"a lookup of {name!r}",
            )
        client.shows(client.names, sorted(_NAMES), "a browse of names of every kind")
        gone = _NAMES[::2]
        for name in gone:
            client.delete(name)
        for name in gone:
            client.shows(lambda name=name: client.hosts(name), UNKNOWN, f"{name!r} was deleted")  # type: ignore[misc]
        left = sorted(set(_NAMES) - set(gone))
        client.shows(client.names, left, "a browse after some names were deleted")


@rule("registry", SET, LOOKUP)
def class_and_context_tell_apart(case: Case) -> None:
    """One name in two classes and in two contexts is several instances.

    Who looks for the name alone gets those of any class, and the one that has no class.
    """
    with registry(case) as client:
        name, context = f"x {client.kind}", client.kind
        other = client.kind.replace("_tcp", "_udp")
        places: list[dict[str, Any]] = [
            {"service_class": client.kind},
            {"service_class": other},
            {"service_class": None},
            {"service_class": client.kind, "context": context},
        ]
        client.register_all(
            [client.service(name, _host(number), **place) for number, place in enumerate(places)]
        )
        for number in (0, 1, 3):
            client.shows(
                lambda number=number: client.hosts(name, **places[number]),  # type: ignore[misc]
                [_host(number)],
                f"a name that is in several places, looked up in {places[number]}",
            )

        def of_any_class() -> list[str]:
            found = client.hosts(name, service_class=None)
            require(not isinstance(found, str), f"{name!r}, looked up by name alone, is {found}")
            return sorted(found)

        client.shows(of_any_class, [_host(0), _host(1), _host(2)], "a lookup by name alone")
        client.delete(name)
        client.shows(of_any_class, [_host(1), _host(2)], "by name alone, after one was deleted")
        client.register(name, B, **places[3])
        client.shows(lambda: client.hosts(name, **places[1]), [_host(1)], "one in another place")


def _differences(found: list[Service], right: dict[str, Service]) -> list[str]:
    """Say what of services is other than it should be."""
    if sorted(one.name for one in found) != sorted(right):
        return [f"the names {[one.name for one in found]}, not {sorted(right)}"]
    said = []
    for service in found:
        is_there, should_be = _content(service), _content(right[service.name])
        for name in sorted(is_there.keys() | should_be.keys()):
            got, wanted = is_there.get(name), should_be.get(name)
            if got != wanted:
                said.append(f"{name} is {got!r:.60}, not {wanted!r:.60}")
    return said


def _content(service: Service) -> dict[str, Any]:
    members = {
        name: getattr(service, name)
        for name in ("service_class", "service_type", "addresses", "comment", "context", "version")
    }
    # With the types: to Python 1, 1.0 and True are equal.
    for name, value in {**service.attributes, "blob": service.blob}.items():
        members[f"{service.name}: {name}"] = (type(value).__name__, value)
    return members


def _host(number: int) -> str:
    return f"192.0.2.{number + 1}"


RULES = rules_in(globals())
