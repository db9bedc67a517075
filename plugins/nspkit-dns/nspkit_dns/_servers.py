"""Name servers, as they are written in settings."""

from __future__ import annotations

import re
import socket
from typing import NamedTuple

from nspkit import Address
from nspkit.errors import InvalidArgumentError

PORTS = {"udp": 53, "tcp": 53, "tls": 853, "https": 443}
"""The transports, each with its port (RFC 1035, 7858, 8484)."""

_SERVER = re.compile(
    r"(?:(?P<transport>[a-z]+)://)?"
    r"(?:\[(?P<v6>[^\]]+)\]|(?P<v4>[0-9.]+))"
    r"(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<path>/[!-\"$-~]*)?"
    r"(?:#(?P<name>[A-Za-z0-9._-]{1,253}))?"
)
_FORM = (
    "give a numeric address such as '192.0.2.1', '192.0.2.1:5353', '[2001:db8::1]:53', "
    "'tcp://192.0.2.1', 'tls://192.0.2.1#dns.example' or 'https://192.0.2.1/dns-query#dns.example'"
)


class Server(NamedTuple):
    """A name server.

    Attributes:
        transport: ``udp`` (with TCP where an answer is truncated), ``tcp``, ``tls`` or ``https``.
        family: The address family.
        sockaddr: What a socket connects to.
        name: The name that its certificate must have; its address where none is given.
        path: The path of the URL, for ``https``.
    """

    transport: str
    family: int
    sockaddr: tuple[str | int, ...]
    name: str
    path: str

    def __str__(self) -> str:
        """The server as messages name it."""
        host = f"[{self.sockaddr[0]}]" if self.family == socket.AF_INET6 else self.sockaddr[0]
        prefix = "" if self.transport == "udp" else f"{self.transport}://"
        return f"{prefix}{host}:{self.sockaddr[1]}"


def shown(value: object) -> str:
    """Return a value as messages show it; what may have a secret in it is not shown."""
    values = value if isinstance(value, list | tuple) else (value,)
    if all(isinstance(one, str | int | float | None) for one in values):
        return f"{value!r:.80}"
    return f"a {type(value).__name__}"


def server_in(where: str, value: object) -> Server:
    """Return the server that a text names.

    Raises:
        InvalidArgumentError: It names none (WSAEINVAL 10022).
    """
    if isinstance(value, str):
        text = f"[{value}]" if value.count(":") > 1 and value[0] not in "[tuh" else value
        found = _SERVER.fullmatch(text)
        if found is not None:
            try:
                return _server(found)
            except InvalidArgumentError:
                pass
    raise InvalidArgumentError(f"{where} of dns is {shown(value)}: {_FORM}")


def _server(found: re.Match[str]) -> Server:
    transport = found["transport"] or "udp"
    if transport not in PORTS or (found["path"] and transport != "https"):
        raise InvalidArgumentError("no such transport, or one without a path")
    if found["name"] and transport not in ("tls", "https"):
        raise InvalidArgumentError("a transport without a certificate")
    port = int(found["port"] or PORTS[transport])
    if port == 0:
        raise InvalidArgumentError("nobody listens at port 0")
    address = Address.inet(found["v6"] or found["v4"], port)
    sockaddr = address.sockaddr
    assert isinstance(sockaddr, tuple)
    return Server(
        transport,
        address.family,
        sockaddr,
        found["name"] or str(sockaddr[0]),
        found["path"] or "/dns-query",
    )
