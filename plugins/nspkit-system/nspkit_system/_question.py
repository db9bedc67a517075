"""One question for the platform's resolver, and its answer as services or as an error."""

from __future__ import annotations

import socket
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from nspkit import (
    SVCID_HOSTNAME,
    SVCID_INET_HOSTADDRBYINETSTRING,
    SVCID_INET_HOSTADDRBYNAME,
    Address,
    LookupFlags,
    ResultFlags,
    Service,
    svcid_parts,
)
from nspkit.errors import (
    ErrorCode,
    InvalidArgumentError,
    NoDataError,
    NspError,
    ServiceNotFoundError,
    error_for,
)

if TYPE_CHECKING:
    from uuid import UUID

    from nspkit import Query

    Kind = tuple[int, int, int]  # family (0 for any), socket type, protocol

_NAME_MAX = 253
_LABEL_MAX = 63
_HOST_CLASSES = (
    SVCID_HOSTNAME,
    SVCID_INET_HOSTADDRBYNAME,
    SVCID_INET_HOSTADDRBYINETSTRING,
)
_TRANSPORTS = {"tcp": socket.IPPROTO_TCP, "udp": socket.IPPROTO_UDP}
_TYPES = {socket.IPPROTO_TCP: socket.SOCK_STREAM, socket.IPPROTO_UDP: socket.SOCK_DGRAM}


class Question:
    """What is asked, and the mailbox where the outcome arrives."""

    __slots__ = ("_address", "_host", "_kinds", "_port", "_query", "abandoned", "name", "outcome")

    def __init__(self, query: Query, name: str) -> None:
        """Check what is asked; the resolver is not called yet.

        Raises:
            InvalidArgumentError: The name is no host name, or no address (WSAEINVAL 10022).
            ServiceNotFoundError: The class is none of hosts or ports (10108).
        """
        self.name = name
        self.abandoned = False
        self.outcome: SimpleQueue[list[Service] | BaseException | None] = SimpleQueue()
        self._query = query
        self._port, self._kinds = _wanted(query)
        self._address = _numeric(query, name)
        self._host = b"" if self._address else _encoded(name)

    def abandon(self) -> None:
        """Tell the one who waits not to, and the threads not to begin."""
        self.abandoned = True
        self.outcome.put(None)

    def answer(self) -> None:
        """Call the resolver and post the outcome, whatever it is."""
        if self.abandoned:
            return
        try:
            self.outcome.put(self._services())
        except BaseException as error:  # the one who waits raises it
            self.outcome.put(error)

    def _services(self) -> list[Service]:
        try:
            canonical, found = self._reverse() if self._address else self._forward()
        except OSError as error:
            raise _translated(error, self.name) from error
        except UnicodeError as error:  # from within the socket module
            raise error_for(
                ErrorCode.WSANO_RECOVERY,
                f"the platform's resolver answers {self.name!r} with a name that is no text",
            ) from error
        addresses = dict.fromkeys(
            Address(family, kind, protocol, sockaddr)
            for family, sockaddr in found
            for wanted, kind, protocol in self._kinds
            if wanted in (family, socket.AF_UNSPEC)
        )
        if not addresses:
            raise NoDataError(f"{self.name!r} has no address of the families asked for")
        asked = [] if self._address or _key(canonical) == _key(self.name) else [self.name]
        aliases = asked if LookupFlags.RETURN_ALIASES in self._query.flags else []
        service = Service(
            canonical,
            service_class=self._query.service_class or SVCID_HOSTNAME,
            addresses=addresses,
        )
        return [service] + [
            service.replace(name=alias, flags=ResultFlags.IS_ALIAS) for alias in aliases
        ]

    def _forward(self) -> tuple[str, list[tuple[int, Any]]]:
        families = {family for family, _kind, _protocol in self._kinds}
        family = families.pop() if len(families) == 1 else socket.AF_UNSPEC
        try:
            found = self._resolved(family)
        except socket.gaierror as error:
            if family == socket.AF_UNSPEC or error.errno != socket.EAI_NONAME:
                raise
            # Some platforms say so of a name that they know, but with other families only.
            found = self._resolved(socket.AF_UNSPEC)
        return found[0][3] or self.name, [(int(one[0]), one[4]) for one in found]

    def _resolved(self, family: int) -> list[tuple[Any, ...]]:
        flags = socket.AI_CANONNAME
        if LookupFlags.ADDRCONFIG in self._query.flags:
            flags |= socket.AI_ADDRCONFIG
        # Of any type but one, every address would come several times.
        kind = socket.SOCK_STREAM
        return list(socket.getaddrinfo(self._host, self._port, family, kind, flags=flags))

    def _reverse(self) -> tuple[str, list[tuple[int, Any]]]:
        assert self._address is not None
        sockaddr: Any = self._address.sockaddr
        name, _port = socket.getnameinfo(sockaddr, socket.NI_NAMEREQD)
        return name, [(self._address.family, sockaddr)]


def _wanted(query: Query) -> tuple[int, list[Kind]]:
    """Return the port of a query, and the kinds of address that are asked for."""
    port, own = 0, 0
    if query.service_class is not None and query.service_class not in _HOST_CLASSES:
        port, own = _port_of(query.service_class)
    pairs = [
        (family, protocol or own)
        for family, protocol in query.protocols or ((int(socket.AF_UNSPEC), 0),)
        if own in (0, protocol) or not protocol
    ]
    return port, [(family, _TYPES.get(protocol, 0), protocol) for family, protocol in pairs]


def _port_of(class_id: UUID) -> tuple[int, int]:
    """Return the port of a class like `ServiceClass.tcp(80)`, and its protocol."""
    transport, port, record = svcid_parts(class_id) or ("", 0, 0)
    if transport not in _TRANSPORTS or record:
        raise ServiceNotFoundError(
            "the platform's resolver knows hosts, TCP ports and UDP ports, nothing of the class "
            f"{class_id}"
        )
    return port, _TRANSPORTS[transport]


def _numeric(query: Query, name: str) -> Address | None:
    """Return the address whose name is asked for; None where a name's addresses are."""
    if query.service_class in (None, SVCID_HOSTNAME, SVCID_INET_HOSTADDRBYINETSTRING):
        try:
            return Address.inet(name)
        except InvalidArgumentError as error:
            if query.service_class == SVCID_INET_HOSTADDRBYINETSTRING:
                raise InvalidArgumentError(
                    f"{name!r:.80} is no numeric address, which "
                    "SVCID_INET_HOSTADDRBYINETSTRING asks for; look a name up without it"
                ) from error
    return None


def _encoded(name: str) -> bytes:
    """Return a host name as the resolver takes it, with labels of other scripts in IDNA.

    The socket module would do it too, but with errors that name neither the name nor a way out.
    """
    try:
        # Not IDNA for all: the first use imports tables that most programs never need.
        encoded = name.encode("ascii" if name.isascii() else "idna")
    except UnicodeError as error:
        raise _not_a_host(name) from error
    labels = encoded.removesuffix(b".").split(b".")
    if sum(map(len, labels)) + len(labels) - 1 > _NAME_MAX:
        raise _not_a_host(name)
    if not all(0 < len(label) <= _LABEL_MAX for label in labels):
        raise _not_a_host(name)
    return encoded


def _not_a_host(name: str) -> InvalidArgumentError:
    return InvalidArgumentError(
        f"{name!r:.80} is no host name: give labels of 1 to {_LABEL_MAX} bytes (in IDNA, where "
        f"they are not ASCII) with dots between them, {_NAME_MAX} bytes at most"
    )


def _translated(error: OSError, name: str) -> NspError:
    """Return the error of nspkit for one of ``getaddrinfo`` or ``getnameinfo``."""
    codes: dict[int, ErrorCode] = {
        # Not all platforms have the first two, and on Windows the first is the third.
        getattr(socket, "EAI_NODATA", 0): ErrorCode.WSANO_DATA,
        getattr(socket, "EAI_ADDRFAMILY", 0): ErrorCode.WSANO_DATA,
        socket.EAI_NONAME: ErrorCode.WSASERVICE_NOT_FOUND,
        socket.EAI_FAMILY: ErrorCode.WSANO_DATA,
        socket.EAI_AGAIN: ErrorCode.WSATRY_AGAIN,
        socket.EAI_FAIL: ErrorCode.WSANO_RECOVERY,
        socket.EAI_MEMORY: ErrorCode.WSA_NOT_ENOUGH_MEMORY,
    }
    code = ErrorCode.WSASYSCALLFAILURE
    if isinstance(error, socket.gaierror):  # the numbers of others mean something else
        code = codes.get(error.errno or 0, code)
    return error_for(
        code, f"looking up {name!r} with the platform's resolver: {error.strerror or error}"
    )


def _key(name: str) -> str:
    return name.lower().removesuffix(".")
