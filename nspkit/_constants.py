"""The numbers and GUIDs of Winsock that a query or a provider uses."""

from __future__ import annotations

import uuid
from enum import Enum, IntEnum, IntFlag

from nspkit.errors import InvalidArgumentError

#: With ``set_service``: change the given addresses only, not the whole registration.
SERVICE_MULTIPLE = 1

#: The control code that asks a lookup whether, or when, its results changed.
SIO_NSP_NOTIFY_CHANGE = 0x88000019

DWORD_MAX = 0xFFFF_FFFF


class Namespace(IntEnum):
    """The namespace that a provider serves; ``ALL`` in a query means every one.

    The members are Winsock's. Any other number from 0 to 2**32 - 1 is a namespace too:
    ``Namespace(4711)`` makes a member for it, named ``NS_4711``, that equals 4711 and is not
    listed with the others. So a private namespace needs no registration.

    Source: ``NS_…`` in ``winsock2.h``. Multicast DNS has no number of its own; such providers
    use ``DNS``.
    """

    ALL = 0
    SAP = 1
    NDS = 2
    PEER_BROWSE = 3
    SLP = 5
    DHCP = 6
    TCPIP_LOCAL = 10
    TCPIP_HOSTS = 11
    DNS = 12
    NETBT = 13
    WINS = 14
    NLA = 15
    BTH = 16
    NBP = 20
    MS = 30
    STDA = 31
    NTDS = 32
    EMAIL = 37
    PNRPNAME = 38
    PNRPCLOUD = 39
    X500 = 40
    NIS = 41
    NISPLUS = 42
    WRQ = 50
    NETDES = 60

    @classmethod
    def _missing_(cls, value: object) -> Namespace | None:
        # Not kept: a table that grows with every number asked for would be shared state.
        if type(value) is not int or not 0 <= value <= DWORD_MAX:
            return None
        member = int.__new__(cls, value)
        member._name_ = f"NS_{value}"
        member._value_ = value
        return member


class LookupFlags(IntFlag):
    """What a lookup does and which members of a result it returns.

    Bits that have no name are kept and reach the provider. The names are those of
    ``winsock2.h`` without ``LUP_``; ``RES_SERVICE`` and ``SECURE`` share one bit there.

    Source: ``LUP_…`` in ``winsock2.h``; ``NSPLookupServiceBegin``.
    """

    DEEP = 0x0001
    CONTAINERS = 0x0002
    NOCONTAINERS = 0x0004
    NEAREST = 0x0008
    RETURN_NAME = 0x0010
    RETURN_TYPE = 0x0020
    RETURN_VERSION = 0x0040
    RETURN_COMMENT = 0x0080
    RETURN_ADDR = 0x0100
    RETURN_BLOB = 0x0200
    RETURN_ALIASES = 0x0400
    RETURN_QUERY_STRING = 0x0800
    RETURN_ALL = 0x0FF0
    FLUSHCACHE = 0x1000
    FLUSHPREVIOUS = 0x2000
    NON_AUTHORITATIVE = 0x4000
    RES_SERVICE = 0x8000
    SECURE = 0x8000
    RETURN_PREFERRED_NAMES = 0x10000
    DNS_ONLY = 0x20000
    ADDRCONFIG = 0x100000
    DUAL_ADDR = 0x200000
    FILESERVER = 0x400000
    DISABLE_IDN_ENCODING = 0x800000
    API_ANSI = 0x01000000
    RESOLUTION_HANDLE = 0x80000000


class ResultFlags(IntFlag):
    """What a result is, beside being found. Bits that have no name are kept.

    Source: ``RESULT_IS_…`` in ``winsock2.h``.
    """

    IS_ALIAS = 0x01
    IS_ADDED = 0x10
    IS_CHANGED = 0x20
    IS_DELETED = 0x40


class ServiceOperation(IntEnum):
    """What ``set_service`` does with a service.

    Source: ``RNRSERVICE_…`` in ``winsock2.h``; ``NSPSetService``.
    """

    REGISTER = 0
    DEREGISTER = 1
    DELETE = 2


class Comparison(IntEnum):
    """How a version in a query is compared: equal, or not less.

    Source: ``COMP_…`` in ``winsock2.h``.
    """

    EQUAL = 0
    NOTLESS = 1


class ChangeKind(Enum):
    """What happened to a service that is watched."""

    ADDED = "added"
    CHANGED = "changed"
    REMOVED = "removed"


_KINDS = {"tcp": 0x0009, "udp": 0x000A, "netware": 0x000B}
_TAIL = 0xC000_0000_0000_0046

#: The class of host names: the answer is the name of this machine.
SVCID_HOSTNAME = uuid.UUID("0002a800-0000-0000-c000-000000000046")
#: The class that turns an address, written as text, into names.
SVCID_INET_HOSTADDRBYINETSTRING = uuid.UUID("0002a801-0000-0000-c000-000000000046")
#: The class that turns the name of an Internet service into its port.
SVCID_INET_SERVICEBYNAME = uuid.UUID("0002a802-0000-0000-c000-000000000046")
#: The class that turns a host name into addresses.
SVCID_INET_HOSTADDRBYNAME = uuid.UUID("0002a803-0000-0000-c000-000000000046")


def svcid_tcp(port: int, rr: int = 0) -> uuid.UUID:
    """Return the service class of a TCP port.

    Args:
        port: 0 to 65535.
        rr: The number of a DNS record type, 0 for none.

    Raises:
        InvalidArgumentError: A number is out of range (WSAEINVAL 10022).

    Source: ``SVCID_TCP_RR`` in ``svcguid.h``.
    """
    return _svcid("tcp", port, rr)


def svcid_udp(port: int, rr: int = 0) -> uuid.UUID:
    """Return the service class of a UDP port; see ``svcid_tcp`` (``SVCID_UDP_RR``)."""
    return _svcid("udp", port, rr)


def svcid_dns(rr: int) -> uuid.UUID:
    """Return the service class of a DNS record type: TCP port 53 with that type.

    Args:
        rr: The number of the record type, such as 28 for AAAA or 33 for SRV.

    Raises:
        InvalidArgumentError: The number is out of range (WSAEINVAL 10022).

    Source: ``SVCID_DNS`` in ``svcguid.h``.
    """
    return _svcid("tcp", 53, rr)


def svcid_netware(sap: int) -> uuid.UUID:
    """Return the service class of a NetWare SAP identifier, 0 to 65535 (``SVCID_NETWARE``)."""
    return _svcid("netware", sap, 0)


def svcid_parts(class_id: uuid.UUID) -> tuple[str, int, int] | None:
    """Return what one of the functions above made a service class of.

    Returns:
        ``"tcp"``, ``"udp"`` or ``"netware"``, the port or SAP identifier, and the DNS record
        type (0 for none); ``None`` for any other class.

    Source: ``IS_SVCID_TCP``, ``PORT_FROM_SVCID_TCP``, ``RR_FROM_SVCID`` in ``svcguid.h``.
    """
    for kind, first in _KINDS.items():
        number, rr = class_id.int >> 96 & 0xFFFF, class_id.int >> 64 & 0xFFFF
        if class_id.int == first << 112 | number << 96 | rr << 64 | _TAIL:
            return None if kind == "netware" and rr else (kind, number, rr)
    return None


def _svcid(kind: str, number: int, rr: int) -> uuid.UUID:
    values: tuple[object, ...] = (number, rr)
    for value in values:
        if not isinstance(value, int) or type(value) is bool or not 0 <= value <= 0xFFFF:
            given = value if type(value) is int else f"a value of type {type(value).__name__}"
            raise InvalidArgumentError(
                f"a number of a {kind} service class is {given}: give an integer from 0 to 65535"
            )
    return uuid.UUID(int=_KINDS[kind] << 112 | number << 96 | rr << 64 | _TAIL)
