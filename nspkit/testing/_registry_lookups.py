"""Rules about registries: what a lookup is restricted with."""

from __future__ import annotations

import socket
from collections import Counter
from typing import TYPE_CHECKING

from nspkit import Address, Comparison, LookupFlags, Version
from nspkit.errors import InvalidArgumentError, NoDataError
from nspkit.testing._classes import refused
from nspkit.testing._registry import LOOKUP, NO_DATA, SET, A, registry, tcp
from nspkit.testing._rule import require, rule, rules_in

if TYPE_CHECKING:
    from nspkit.testing._case import Case
    from nspkit.testing._registry import Client

_DEEP = LookupFlags.DEEP | LookupFlags.RETURN_ALL
_MANY = 600
"""More than what is read at a time where that is done in pages."""


@rule("registry", SET, LOOKUP)
def contexts_hold_their_own(case: Case) -> None:
    r"""A lookup finds what is in its context, and nothing of the contexts below it.

    A context is a path with ``\`` between its parts; backslashes around it change nothing, and
    ``""`` and ``"\"`` are the top.
    """
    with registry(case) as client:
        own = _tree(client)
        expected = {"": "", "\\": "", own: own, f"\\{own}\\a\\": f"{own}\\a", f"{own}\\no": None}
        for asked, right in expected.items():
            for of in (client.kind, None):
                if of is None and not asked.strip("\\"):
                    continue  # there are others' services at the top
                client.shows(
                    lambda asked=asked, of=of: _contexts(client, asked, of=of),  # type: ignore[misc]
                    [] if right is None else [right],
                    f"the contexts of what is in {asked!r}",
                )


@rule("registry", SET, LOOKUP)
def deep_goes_below(case: Case) -> None:
    """With DEEP a lookup also finds what is in the contexts below, at any depth.

    It does not find what is in a context whose name only begins with the same letters.
    """
    with registry(case) as client:
        own = _tree(client)
        below = [own, f"{own}\\a", f"{own}\\a!", f"{own}\\a\\b", f"{own}\\ab"]
        expected = {"": ["", *below], own: below, f"{own}\\a": [f"{own}\\a", f"{own}\\a\\b"]}
        for asked, right in expected.items():
            client.shows(
                lambda asked=asked: _contexts(client, asked, of=client.kind, flags=_DEEP),  # type: ignore[misc]
                sorted(right),
                f"the contexts of what is in {asked!r} and below it",
            )


def _tree(client: Client) -> str:
    """Register one service in each of some contexts; return the one below the top."""
    own = client.kind
    contexts = ["", own, *(f"{own}\\{below}" for below in ("a", "a\\b", "ab", "a!"))]
    client.register_all([client.service("x", A, context=context) for context in contexts])
    return own


def _contexts(
    client: Client, asked: str, *, of: str | None, flags: LookupFlags = LookupFlags.RETURN_ALL
) -> list[str]:
    found = client.answer(service_class=of, context=asked, flags=flags)
    return sorted(one.context for one in found if not isinstance(one, str))


@rule("registry", SET, LOOKUP)
def conditions_on_attributes(case: Case) -> None:
    """A query string is conditions on attributes that all hold, such as ``path=/&secure``.

    A value is compared as text, ``true`` or ``false`` for a bool; a name alone asks whether the
    attribute is there; ``%26`` and ``%3D`` stand for ``&`` and ``=``. A name that is there, but
    not so, has no data. A condition without a name is refused with InvalidArgumentError (10022).
    """
    attributes = {"path": "/", "secure": True, "port": 8080, "load": 0.5, "empty": None}
    holds = ("path=/", "path", "path=/&secure", "secure=true", "port=8080", "load=0.5", "empty")
    fails = ("path=", "path=/&missing", "missing&path=/", "secure=1", "port=808", "empty=None")
    with registry(case) as client:
        client.register("x", A, attributes={**attributes, "odd=name": "a&b%", "raw": b"abc"})
        client.register("y", A, attributes={"other": "/"})
        for text in (*holds, "raw=abc", "odd%3Dname=a%26b%25"):
            client.shows(
                lambda text=text: client.names(query_string=text),  # type: ignore[misc]
                ["x"],
                f"a browse with the query string {text!r}",
            )
            client.shows(
                lambda text=text: client.names("x", query_string=text),  # type: ignore[misc]
                ["x"],
                f"a lookup with the query string {text!r}",
            )
        for text in (*fails, "raw=abd"):
            client.shows(
                lambda text=text: client.names("x", query_string=text),  # type: ignore[misc]
                NO_DATA,
                f"a lookup with the query string {text!r}",
            )
        for text in ("=/", "path=/&"):
            refused(
                f"the query string {text!r}",
                lambda text=text: client.find("x", query_string=text),  # type: ignore[misc]
                InvalidArgumentError,
            )


@rule("registry", SET, LOOKUP)
def protocols_narrow(case: Case) -> None:
    """Protocols leave of each result the addresses for one of them; 0 in a pair is any.

    An address without a protocol has that of its type, and fits any if it has neither. What has
    no such address is in no browse, and its name has no data.
    """
    stream, datagram = socket.SOCK_STREAM, socket.SOCK_DGRAM
    tcp_number, udp = socket.IPPROTO_TCP, socket.IPPROTO_UDP
    addresses = [
        tcp("192.0.2.1", 1),
        Address.inet("192.0.2.2", 2, type=datagram),
        Address.inet("2001:db8::3", 3, type=stream),
        Address.inet("192.0.2.4", 4),
    ]
    expected = {
        ((socket.AF_INET, tcp_number),): [1, 4],
        ((socket.AF_INET, udp),): [2, 4],
        ((0, tcp_number),): [1, 3, 4],
        ((socket.AF_INET6, 0),): [3],
        ((socket.AF_INET6, udp), (socket.AF_INET, tcp_number)): [1, 4],
        ((0, 0),): [1, 2, 3, 4],
    }
    with registry(case) as client:
        client.register("x", addresses=addresses)
        client.register("bare")
        for protocols, ports in expected.items():
            for name in ("x", None):
                client.shows(
                    lambda name=name, protocols=protocols: [  # type: ignore[misc]
                        [address.port for address in service.addresses]
                        for service in client.find(name, protocols=protocols)
                    ],
                    [ports],
                    f"the ports of what is there for the protocols {protocols}",
                )
        local = [(1, 0)]
        client.shows(lambda: client.names("x", protocols=local), NO_DATA, "no address fits")
        client.shows(lambda: client.names(protocols=local), [], "a browse where no address fits")


@rule("registry", SET, LOOKUP)
def versions_restrict(case: Case) -> None:
    """A version leaves out what has another; what has none fits any.

    A name that is there in another version has no data.
    """
    expected = {
        Version(2): ["none", "two"],
        Version(2, Comparison.NOTLESS): ["none", "three", "two"],
        Version(9): ["none"],
    }
    with registry(case) as client:
        client.register("two", A, version=2)
        client.register("three", A, version=3)
        client.register("none", A)
        for version, names in expected.items():
            client.shows(
                lambda version=version: client.names(version=version),  # type: ignore[misc]
                names,
                f"a browse for {version}",
            )
        client.shows(lambda: client.names("two", version=3), NO_DATA, "a lookup for version 3")


@rule("registry", SET, LOOKUP)
def no_containers(case: Case) -> None:
    """A lookup of containers raises NoDataError (11004): contexts are no results."""
    flags = LookupFlags.CONTAINERS | LookupFlags.RETURN_ALL
    with registry(case) as client:
        client.register("x", A, context=f"{client.kind}\\a")
        for name in ("x", None):
            refused(
                "a lookup of containers",
                lambda name=name: client.find(name, context=client.kind, flags=flags),  # type: ignore[misc]
                NoDataError,
            )


@rule("registry", SET, LOOKUP)
def browse_finds_each_once(case: Case) -> None:
    """A browse of 600 services finds each exactly once, however it is read: also in pages."""
    with registry(case) as client:
        names = [f"x{number}" for number in range(_MANY)]
        client.register_all([client.service(name, A) for name in names])
        client.shows(lambda: set(client.names()), set(names), f"a browse of {_MANY} services")
        for flags in (LookupFlags.RETURN_ALL, _DEEP):
            counts = Counter(one.name for one in client.find(flags=flags))
            twice = [name for name, count in counts.items() if count > 1]
            require(not twice, f"a browse of {_MANY} services finds several times {twice[:5]}")
            require(
                set(counts) == set(names),
                f"a browse of {_MANY} services finds {len(counts)} at its second time",
            )


RULES = rules_in(globals())
