"""The numbers and GUIDs of Winsock."""

from __future__ import annotations

import copy
import pickle
import uuid
from enum import IntEnum, IntFlag

import pytest

from nspkit import _constants as constants
from nspkit._constants import (
    ChangeKind,
    Comparison,
    LookupFlags,
    Namespace,
    ResultFlags,
    ServiceOperation,
    svcid_dns,
    svcid_netware,
    svcid_parts,
    svcid_tcp,
    svcid_udp,
)
from nspkit.errors import InvalidArgumentError

# Written a second time, as winsock2.h has them.
HEADER: dict[type[IntEnum | IntFlag], str] = {
    Namespace: """
        ALL 0 SAP 1 NDS 2 PEER_BROWSE 3 SLP 5 DHCP 6 TCPIP_LOCAL 10 TCPIP_HOSTS 11 DNS 12 NETBT 13
        WINS 14 NLA 15 BTH 16 NBP 20 MS 30 STDA 31 NTDS 32 EMAIL 37 PNRPNAME 38 PNRPCLOUD 39
        X500 40 NIS 41 NISPLUS 42 WRQ 50 NETDES 60""",
    LookupFlags: """
        DEEP 0x1 CONTAINERS 0x2 NOCONTAINERS 0x4 NEAREST 0x8 RETURN_NAME 0x10 RETURN_TYPE 0x20
        RETURN_VERSION 0x40 RETURN_COMMENT 0x80 RETURN_ADDR 0x100 RETURN_BLOB 0x200
        RETURN_ALIASES 0x400 RETURN_QUERY_STRING 0x800 RETURN_ALL 0xFF0 FLUSHCACHE 0x1000
        FLUSHPREVIOUS 0x2000 NON_AUTHORITATIVE 0x4000 RES_SERVICE 0x8000 SECURE 0x8000
        RETURN_PREFERRED_NAMES 0x10000 DNS_ONLY 0x20000 ADDRCONFIG 0x100000 DUAL_ADDR 0x200000
        FILESERVER 0x400000 DISABLE_IDN_ENCODING 0x800000 API_ANSI 0x1000000
        RESOLUTION_HANDLE 0x80000000""",
    ResultFlags: "IS_ALIAS 0x1 IS_ADDED 0x10 IS_CHANGED 0x20 IS_DELETED 0x40",
    ServiceOperation: "REGISTER 0 DEREGISTER 1 DELETE 2",
    Comparison: "EQUAL 0 NOTLESS 1",
}


@pytest.mark.parametrize("kind", HEADER)
def test_the_numbers_are_those_of_the_header(kind: type[IntEnum | IntFlag]) -> None:
    """All of them, and no others."""
    words = HEADER[kind].split()
    expected = {name: int(number, 0) for name, number in zip(words[::2], words[1::2], strict=True)}
    assert {name: int(member) for name, member in kind.__members__.items()} == expected


def test_single_numbers_are_those_of_the_header() -> None:
    """The flag of set_service, and the control code built as _WSAIOW(IOC_WS2, 25)."""
    assert constants.SERVICE_MULTIPLE == 1
    assert constants.SIO_NSP_NOTIFY_CHANGE == 0x80000000 | 0x08000000 | 25


def test_a_change_is_one_of_three() -> None:
    """The values are words, for JSON."""
    assert [kind.value for kind in ChangeKind] == ["added", "changed", "removed"]


# Namespaces of one's own ------------------------------------------------------------------------


@pytest.mark.parametrize("number", [4, 4711, 2**32 - 1])
def test_any_number_is_a_namespace(number: int) -> None:
    """A private namespace needs no registration, and equals its number."""
    own = Namespace(number)
    assert isinstance(own, Namespace)
    assert own == number
    assert own == Namespace(number)
    assert hash(own) == hash(Namespace(number))
    assert own.name == f"NS_{number}"
    assert repr(own) == f"<Namespace.NS_{number}: {number}>"


def test_a_namespace_of_ones_own_is_not_listed() -> None:
    """Asking for one leaves nothing behind."""
    before = list(Namespace), len(Namespace._value2member_map_)
    Namespace(4711)
    assert (list(Namespace), len(Namespace._value2member_map_)) == before


@pytest.mark.parametrize(
    "duplicate", [lambda value: pickle.loads(pickle.dumps(value)), copy.copy, copy.deepcopy]
)
def test_a_namespace_of_ones_own_survives_pickling_and_copying(duplicate: object) -> None:
    """As the members do."""
    own = duplicate(Namespace(4711))  # type: ignore[operator]
    assert own == Namespace(4711)
    assert type(own) is Namespace


@pytest.mark.parametrize("value", [-1, 2**32, "DNS", 4.5, None])
def test_what_is_no_namespace_is_refused(value: object) -> None:
    """A DWORD has 32 bits and no sign."""
    with pytest.raises(ValueError, match="is not a valid Namespace"):
        Namespace(value)


@pytest.mark.parametrize("kind", [LookupFlags, ResultFlags])
def test_unknown_bits_of_flags_are_kept(kind: type[IntFlag]) -> None:
    """They reach the provider, or the application."""
    flags = kind(0x40000001)
    assert flags == 0x40000001
    assert type(flags) is kind
    assert kind(0) == 0


# Service classes --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "guid"),
    [
        ("SVCID_HOSTNAME", "0002A800-0000-0000-C000-000000000046"),
        ("SVCID_INET_HOSTADDRBYINETSTRING", "0002A801-0000-0000-C000-000000000046"),
        ("SVCID_INET_SERVICEBYNAME", "0002A802-0000-0000-C000-000000000046"),
        ("SVCID_INET_HOSTADDRBYNAME", "0002A803-0000-0000-C000-000000000046"),
    ],
)
def test_well_known_classes_are_those_of_the_header(name: str, guid: str) -> None:
    """As svcguid.h has them."""
    assert getattr(constants, name) == uuid.UUID(guid)


@pytest.mark.parametrize(
    ("made", "guid", "parts"),
    [
        (svcid_tcp(80), "00090050-0000-0000-C000-000000000046", ("tcp", 80, 0)),
        (svcid_tcp(65535, 255), "0009FFFF-0000-00FF-C000-000000000046", ("tcp", 65535, 255)),
        (svcid_udp(53), "000A0035-0000-0000-C000-000000000046", ("udp", 53, 0)),
        (svcid_udp(53, 33), "000A0035-0000-0021-C000-000000000046", ("udp", 53, 33)),
        (svcid_dns(28), "00090035-0000-001C-C000-000000000046", ("tcp", 53, 28)),
        (svcid_netware(0x640), "000B0640-0000-0000-C000-000000000046", ("netware", 0x640, 0)),
    ],
)
def test_a_class_made_of_numbers_can_be_taken_apart(
    made: uuid.UUID, guid: str, parts: tuple[str, int, int]
) -> None:
    """The numbers are in the GUID where svcguid.h puts them."""
    assert made == uuid.UUID(guid)
    assert svcid_parts(made) == parts


@pytest.mark.parametrize(
    "guid",
    [
        "0002a803-0000-0000-c000-000000000046",  # another first word
        "00090050-0001-0000-c000-000000000046",  # the second group is not zero
        "00090050-0000-0000-c000-000000000047",  # another tail
        "000b0640-0000-0001-c000-000000000046",  # NetWare has no record type
        "8f1c52f1-2f0e-4b8b-9c55-6f3d2f0a7d61",
    ],
)
def test_another_class_has_no_parts(guid: str) -> None:
    """Nothing is guessed."""
    assert svcid_parts(uuid.UUID(guid)) is None


@pytest.mark.parametrize("number", [-1, 65536, True, "80", 80.0, None])
@pytest.mark.parametrize(
    "make",
    [
        svcid_tcp,
        svcid_udp,
        svcid_dns,
        svcid_netware,
        lambda number: svcid_tcp(1, number),
        lambda number: svcid_udp(1, number),
    ],
)
def test_a_number_that_does_not_fit_is_refused(make: object, number: object) -> None:
    """Both the port and the record type have 16 bits."""
    given = str(number) if type(number) is int else f"a value of type {type(number).__name__}"
    with pytest.raises(InvalidArgumentError, match=f"is {given}: give an integer from 0 to 65535"):
        make(number)  # type: ignore[operator]
