"""Query strings: conditions on attributes, and protocols: conditions on addresses."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from nspkit.errors import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_ANY = 0  # AF_UNSPEC, and no certain protocol

_PROTOCOLS: Mapping[int, int] = {
    int(socket.SOCK_STREAM): int(socket.IPPROTO_TCP),
    int(socket.SOCK_DGRAM): int(socket.IPPROTO_UDP),
}


class Conditions:
    """The conditions of a query string, such as ``path=/&secure``, which must all hold.

    A value is compared as text, ``true`` and ``false`` for a `bool`; a name alone asks whether the
    attribute is there; ``%26`` and ``%3D`` stand for ``&`` and ``=``. Without any, all is right.
    """

    __slots__ = ("_all",)

    def __init__(self, query_string: str) -> None:
        """Take a query string apart.

        Raises:
            InvalidArgumentError: It has a condition without a name (WSAEINVAL 10022).
        """
        self._all: list[tuple[str, str | None]] = []
        for condition in query_string.split("&") if query_string else ():
            name, equals, value = condition.partition("=")
            if not name:
                raise InvalidArgumentError(
                    f"the query string {query_string!r:.80} has a condition without a name: give "
                    "attributes such as 'path=/&secure', joined with '&', where %26 and %3D stand "
                    "for '&' and '='"
                )
            self._all.append((unquote(name), unquote(value) if equals else None))

    def __bool__(self) -> bool:
        return bool(self._all)

    def hold(self, attributes: Mapping[str, Any]) -> bool:
        """Say whether all of them hold for these attributes."""
        return all(_holds(attributes, *condition) for condition in self._all)


def _holds(attributes: Mapping[str, Any], name: str, value: str | None) -> bool:
    if name not in attributes:
        return False
    if value is None:
        return True
    found = attributes[name]
    if isinstance(found, bytes):
        return found == value.encode()
    if isinstance(found, bool):
        return value == str(found).lower()
    return found is not None and str(found) == value


def fits(protocols: Iterable[tuple[int, int]], family: Any, kind: int, proto: int) -> bool:
    """Say whether an address has one of the families and protocols that are asked for.

    Args:
        protocols: Pairs of a family and a protocol, as a `Query` has them; 0 is any.
        family: The family of the address.
        kind: Its type of socket.
        proto: Its protocol; 0 is the one that the type has.
    """
    has = proto_of(kind, proto)
    return any(
        asked in (_ANY, family) and (protocol == _ANY or has in (_ANY, protocol))
        for asked, protocol in protocols
    )


def proto_of(kind: int, proto: int) -> int:
    """Return the protocol of an address: what it says, else the one that its type has.

    Both 0 and -1, which means any at a registration, say nothing.
    """
    return proto if proto > 0 else _PROTOCOLS.get(kind, _ANY)


def context_key(context: str) -> str:
    r"""Return a context as a key has it: the top is ``""``, all others end with ``\``."""
    path = context.strip("\\")
    return path and path + "\\"
