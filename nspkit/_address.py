"""The address of a service: what a socket connects to."""

from __future__ import annotations

# Not socket: that costs ten times as much to import, and a few functions are all that is used.
import _socket
from typing import TYPE_CHECKING, Final, final

from nspkit._value import INT_MAX, Value, integer, refuse, text

if TYPE_CHECKING:
    from typing import Any

AF_INET: Final[int] = _socket.AF_INET
AF_INET6: Final[int] = _socket.AF_INET6
_INET = (AF_INET, AF_INET6)
FLOW_MAX = 0xFFFFF

_NUMERIC = (
    "give a numeric IPv4 or IPv6 address such as '192.0.2.1' or 'fe80::1%eth0'; "
    "a name is looked up with Host.lookup"
)


@final
class Address(Value):
    """An address with the socket type and the protocol to use it with.

    Args:
        family: The address family, such as ``socket.AF_INET6``.
        type: The socket type, such as ``socket.SOCK_STREAM``; 0 for any.
        proto: The protocol number, such as ``socket.IPPROTO_TCP``; 0 for the default of the
            type, -1 for any (Winsock's ``IPROTO_ANY``, on registration).
        sockaddr: What ``socket.connect`` takes for the family: ``(host, port)`` for ``AF_INET``,
            ``(host, port, flowinfo, scope_id)`` or its first two or three for ``AF_INET6``, with
            a numeric host; for other families a ``bytes``, ``str`` or hashable ``tuple``, kept
            as it is.

    Raises:
        InvalidArgumentError: A field is not acceptable (WSAEINVAL 10022).

    Source: ``CSADDR_INFO`` in ``nspapi.h``.
    """

    __slots__ = ("family", "proto", "sockaddr", "type")

    family: int
    type: int
    proto: int
    sockaddr: tuple[Any, ...] | bytes | str

    def __init__(
        self,
        family: int,
        type: int,
        proto: int,
        sockaddr: tuple[Any, ...] | bytes | str,
    ) -> None:
        family = integer("Address.family", family, 0, INT_MAX)
        if family in _INET:
            sockaddr = _inet_sockaddr(family, sockaddr)
        else:
            _check_foreign(sockaddr)
        # One by one, not by `_fill`: back ends make them by the thousand.
        fill = object.__setattr__
        fill(self, "family", family)
        fill(self, "type", integer("Address.type", type, 0, INT_MAX))
        fill(self, "proto", integer("Address.proto", proto, -1, INT_MAX))
        fill(self, "sockaddr", sockaddr)

    @classmethod
    def inet(
        cls,
        host: str,
        port: int = 0,
        *,
        type: int = 0,
        proto: int = 0,
    ) -> Address:
        """Make an Internet address from its text.

        Args:
            host: A numeric IPv4 or IPv6 address; a scope may follow, as the name or the number
                of an interface: ``"fe80::1%eth0"``, ``"fe80::1%2"``.
            port: 0 to 65535; 0 for none.
            type: The socket type; 0 for any.
            proto: The protocol number; 0 for the default of the type.

        Raises:
            InvalidArgumentError: The host is not numeric, its interface is not known here, or a
                number is out of range (WSAEINVAL 10022).
        """
        host = text("Address.host", host)
        return cls(AF_INET6 if ":" in host else AF_INET, type, proto, (host, port))

    @property
    def host(self) -> str:
        """The numeric host of an Internet address with its scope; ``""`` for other families.

        The scope is the name of the interface, or its number where this machine has none of
        that number.
        """
        if self.family not in _INET:
            return ""
        host = str(self.sockaddr[0])
        scope = self.sockaddr[3] if self.family == AF_INET6 else 0
        if not scope:
            return host
        try:
            return f"{host}%{_socket.if_indextoname(int(scope))}"
        except OSError:
            return f"{host}%{scope}"

    @property
    def port(self) -> int:
        """The port of an Internet address; 0 if it has none, and for other families."""
        return int(self.sockaddr[1]) if self.family in _INET else 0

    def __repr__(self) -> str:
        if self.family not in _INET or (self.family == AF_INET6 and self.sockaddr[2]):
            return super().__repr__()
        scope = self.sockaddr[3] if self.family == AF_INET6 else 0
        parts = [repr(f"{self.sockaddr[0]}%{scope}" if scope else self.sockaddr[0])]
        parts += [str(self.port)] if self.port else []
        parts += [f"type={self.type}"] if self.type else []
        parts += [f"proto={self.proto}"] if self.proto else []
        return f"Address.inet({', '.join(parts)})"


def _inet_sockaddr(family: int, sockaddr: object) -> tuple[Any, ...]:
    """Return the sockaddr in its full and canonical form, so that equal addresses are equal."""
    longest = 2 if family == AF_INET else 4
    if not isinstance(sockaddr, tuple) or not 2 <= len(sockaddr) <= longest:
        form = "(host, port)" if family == AF_INET else "(host, port, flowinfo, scope_id)"
        raise refuse("Address.sockaddr", sockaddr, f"give the tuple {form}")
    given = text("Address.host", sockaddr[0])
    port = integer("Address.port", sockaddr[1], 0, 0xFFFF)
    host, mark, scope = given.partition("%")
    try:
        host = _socket.inet_ntop(family, _socket.inet_pton(family, host))
    except (OSError, ValueError):
        raise refuse("Address.host", given, _NUMERIC) from None
    if family == AF_INET:
        if mark:
            raise refuse("Address.host", given, "an IPv4 address has no scope: leave it out")
        return host, port
    flow, number = (*sockaddr[2:], 0, 0)[:2]
    flow = integer("Address.flowinfo", flow, 0, FLOW_MAX)
    number = integer("Address.scope_id", number)
    return host, port, flow, _scope_id(given, scope) if mark else number


def _scope_id(host: str, scope: str) -> int:
    if scope.isascii() and scope.isdecimal() and len(scope) <= 10:
        return integer("Address.scope_id", int(scope))
    try:
        return _socket.if_nametoindex(scope)
    except (OSError, ValueError):
        right = f"this machine has no interface '{scope[:60]}': give the name of one, or a number"
        raise refuse("Address.host", host, right) from None


def _check_foreign(sockaddr: object) -> None:
    right = "give what socket takes for this family: bytes, str or a hashable tuple"
    if not isinstance(sockaddr, tuple | bytes | str):
        raise refuse("Address.sockaddr", sockaddr, right)
    try:
        hash(sockaddr)
    except TypeError:
        raise refuse("Address.sockaddr", sockaddr, right) from None
