"""The address: numeric hosts with scopes, sockaddrs of all families."""

from __future__ import annotations

import copy
import pickle
import socket

import pytest

from nspkit._model import Address
from nspkit.errors import InvalidArgumentError

# Every machine has an interface; its name and number are not the same everywhere.
INDEX, NAME = socket.if_nameindex()[0]
NO_INDEX = 2**31


@pytest.mark.parametrize(
    ("host", "family", "sockaddr"),
    [
        ("192.0.2.1", socket.AF_INET, ("192.0.2.1", 80)),
        ("2001:db8::1", socket.AF_INET6, ("2001:db8::1", 80, 0, 0)),
        ("2001:DB8:0:0::0001", socket.AF_INET6, ("2001:db8::1", 80, 0, 0)),
        ("::ffff:192.0.2.1", socket.AF_INET6, ("::ffff:192.0.2.1", 80, 0, 0)),
        (f"fe80::1%{NAME}", socket.AF_INET6, ("fe80::1", 80, 0, INDEX)),
        (f"fe80::1%{INDEX}", socket.AF_INET6, ("fe80::1", 80, 0, INDEX)),
        (f"fe80::1%{NO_INDEX}", socket.AF_INET6, ("fe80::1", 80, 0, NO_INDEX)),
    ],
)
def test_text_becomes_what_a_socket_takes(
    host: str, family: int, sockaddr: tuple[object, ...]
) -> None:
    """The form is canonical, so that two ways to write one address are equal."""
    address = Address.inet(host, 80, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    assert address.family == family
    assert address.sockaddr == sockaddr
    assert (address.type, address.proto) == (socket.SOCK_STREAM, socket.IPPROTO_TCP)
    assert address == Address(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, sockaddr)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_real_socket_takes_the_sockaddr(host: str) -> None:
    """What is stored can be bound, as it is."""
    address = Address.inet(host)
    try:
        with socket.socket(address.family, socket.SOCK_DGRAM) as bound:
            bound.bind(address.sockaddr)
            assert bound.getsockname()[0] == host
    except OSError as error:
        pytest.skip(f"this machine has no {host}: {error}")


def test_what_the_resolver_returns_is_an_address() -> None:
    """The five parts of getaddrinfo fit as they are."""
    for family, kind, proto, _, sockaddr in socket.getaddrinfo(
        "127.0.0.1", 80, flags=socket.AI_NUMERICHOST
    ):
        assert Address(family, kind, proto, sockaddr).sockaddr == sockaddr


@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1", f"fe80::1%{NAME}"])
def test_host_and_port_are_those_given(host: str) -> None:
    """The scope is told as the name of the interface."""
    assert Address.inet(host, 8080).host == host
    assert Address.inet(host, 8080).port == 8080
    assert Address.inet(host).port == 0


def test_a_scope_without_an_interface_is_told_by_its_number() -> None:
    """The interface may have gone, or be another machine's."""
    assert Address.inet(f"fe80::1%{NO_INDEX}").host == f"fe80::1%{NO_INDEX}"


def test_a_scope_of_zero_is_none() -> None:
    """As in a sockaddr."""
    assert Address.inet("fe80::1%0") == Address.inet("fe80::1")
    assert Address.inet("fe80::1").host == "fe80::1"


@pytest.mark.parametrize("sockaddr", [("::1", 80), ("::1", 80, 0), ("::1", 80, 0, 0)])
def test_a_short_sockaddr_is_filled_up(sockaddr: tuple[object, ...]) -> None:
    """A socket takes two, three or four parts for IPv6."""
    assert Address(socket.AF_INET6, 0, 0, sockaddr).sockaddr == ("::1", 80, 0, 0)


def test_a_scope_in_the_host_counts_before_the_number() -> None:
    """Some resolvers write it there."""
    made = Address(socket.AF_INET6, 0, 0, (f"fe80::1%{INDEX}", 80, 7, 0))
    assert made.sockaddr == ("fe80::1", 80, 7, INDEX)


@pytest.mark.parametrize(
    "sockaddr",
    ["/run/x", b"\0abstract", "\0abstract", ("00:11:22:33:44:55", 3), (2, 1024), ()],
)
def test_other_families_keep_what_they_are_given(sockaddr: object) -> None:
    """There are more families than nspkit knows; they have no host and no port."""
    address = Address(31, socket.SOCK_STREAM, -1, sockaddr)
    assert address.sockaddr == sockaddr
    assert address.proto == -1
    assert address.host == ""
    assert address.port == 0


@pytest.mark.parametrize(
    ("address", "text"),
    [
        (Address.inet("192.0.2.1"), "Address.inet('192.0.2.1')"),
        (
            Address.inet("192.0.2.1", 80, type=1, proto=6),
            "Address.inet('192.0.2.1', 80, type=1, proto=6)",
        ),
        (Address.inet("fe80::1%2", 80), "Address.inet('fe80::1%2', 80)"),
        (Address(socket.AF_INET6, 0, 0, ("::1", 0, 5)), "('::1', 0, 5, 0))"),
        (Address(1, 2, 3, "/run/x"), "Address(1, 2, 3, '/run/x')"),
    ],
)
def test_an_address_is_shown_as_it_is_written(address: Address, text: str) -> None:
    """What is shown makes the same address."""
    assert repr(address).endswith(text)
    assert eval(repr(address), {"Address": Address}) == address


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "",
        "127.1",
        "010.0.0.1",
        "1.2.3.4.5",
        "192.0.2.0/24",
        "[::1]",
        "::1::",
        "2001:db8::/32",
        "1.2.3.4:80",
        "\u0661.2.3.4",
    ],
)
def test_what_is_not_numeric_is_refused(host: str) -> None:
    """A name never becomes a query unasked; the message says how to ask."""
    with pytest.raises(InvalidArgumentError, match=r"a name is looked up with Host\.lookup"):
        Address.inet(host)


@pytest.mark.parametrize("scope", ["", "nosuchinterface0", "x" * 500, "1.5", "²", "\u0663"])
def test_an_unknown_interface_is_refused(scope: str) -> None:
    """And named, but not at any length."""
    with pytest.raises(InvalidArgumentError, match="this machine has no interface") as caught:
        Address.inet(f"fe80::1%{scope}")
    assert len(str(caught.value)) < 300


def test_a_scope_number_that_is_too_great_is_refused() -> None:
    """It has 32 bits."""
    with pytest.raises(InvalidArgumentError, match=r"Address\.scope_id is 4294967296"):
        Address.inet("fe80::1%4294967296")


def test_a_scope_number_of_any_length_is_refused() -> None:
    """Python itself refuses to read one of 5000 digits, in words of its own."""
    with pytest.raises(InvalidArgumentError, match="this machine has no interface"):
        Address.inet(f"fe80::1%{'9' * 5000}")


def test_a_scope_for_version_4_is_refused() -> None:
    """It has none."""
    with pytest.raises(InvalidArgumentError, match="an IPv4 address has no scope"):
        Address.inet(f"192.0.2.1%{NAME}")


@pytest.mark.parametrize("host", [None, 1, b"127.0.0.1", "127.0.0.1\0", "\udc80"])
def test_a_host_that_is_no_text_is_refused(host: object) -> None:
    """Also where the rest is right."""
    with pytest.raises(InvalidArgumentError, match=r"Address\.host is "):
        Address.inet(host)
    with pytest.raises(InvalidArgumentError, match=r"Address\.host is "):
        Address(socket.AF_INET, 0, 0, (host, 80))


@pytest.mark.parametrize("port", [-1, 65536, True, "80", None, 80.0])
def test_a_port_that_does_not_fit_is_refused(port: object) -> None:
    """It is a number of 16 bits."""
    with pytest.raises(InvalidArgumentError, match=r"Address\.port .* from 0 to 65535"):
        Address.inet("127.0.0.1", port)


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ((-1, 0, 0, ()), "family"),
        ((True, 0, 0, ()), "family"),
        ((2**31, 0, 0, ()), "family"),
        ((None, 0, 0, ()), "family"),
        ((1, -1, 0, ""), "type"),
        ((1, "stream", 0, ""), "type"),
        ((1, 0, -2, ""), "proto"),
        ((1, 0, True, ""), "proto"),
        ((1, 0, 0, ["/run/x"]), "sockaddr"),
        ((1, 0, 0, None), "sockaddr"),
        ((1, 0, 0, bytearray(b"x")), "sockaddr"),
        ((1, 0, 0, ("x", [])), "sockaddr"),
        ((socket.AF_INET, 0, 0, ["127.0.0.1", 80]), "sockaddr"),
        ((socket.AF_INET, 0, 0, "127.0.0.1"), "sockaddr"),
        ((socket.AF_INET, 0, 0, ("127.0.0.1",)), "sockaddr"),
        ((socket.AF_INET, 0, 0, ("127.0.0.1", 80, 0)), "sockaddr"),
        ((socket.AF_INET6, 0, 0, ("::1", 80, 0, 0, 0)), "sockaddr"),
        ((socket.AF_INET6, 0, 0, ("::1", 80, 2**20)), "flowinfo"),
        ((socket.AF_INET6, 0, 0, ("::1", 80, 0, -1)), "scope_id"),
        ((socket.AF_INET6, 0, 0, ("127.0.0.1", 80)), "host"),
        ((socket.AF_INET, 0, 0, ("::1", 80)), "host"),
    ],
)
def test_a_wrong_part_is_named(arguments: tuple[object, ...], field: str) -> None:
    """Each part is checked, and the message says which one is wrong."""
    with pytest.raises(InvalidArgumentError, match=rf"^Address\.{field} is "):
        Address(*arguments)


@pytest.mark.parametrize(
    ("family", "form"),
    [
        (socket.AF_INET, r"\(host, port\) "),
        (socket.AF_INET6, r"\(host, port, flowinfo, scope_id\) "),
    ],
)
def test_the_right_form_of_a_sockaddr_is_shown(family: int, form: str) -> None:
    """Each family has its own."""
    with pytest.raises(InvalidArgumentError, match=f"give the tuple {form}"):
        Address(family, 0, 0, ())


@pytest.mark.parametrize("number", [0, 2**31 - 1])
def test_the_bounds_of_the_numbers_are_accepted(number: int) -> None:
    """They are those of a C int."""
    address = Address(number, number, number, "")
    assert (address.family, address.type, address.proto) == (number, number, number)


def test_parts_are_plain_numbers() -> None:
    """The enums of the socket module are not kept: a pickle needs no socket module."""
    address = Address(socket.AF_INET, socket.SOCK_STREAM, 6, ("127.0.0.1", 80))
    assert type(address.family) is int
    assert type(address.type) is int
    assert b"socket" not in pickle.dumps(address)


def test_an_address_survives_pickling_and_copying() -> None:
    """With its scope."""
    address = Address.inet("fe80::1%7", 80, type=1)
    assert pickle.loads(pickle.dumps(address)) == address
    assert copy.deepcopy(address) is address
    assert hash(pickle.loads(pickle.dumps(address))) == hash(address)
    assert address.replace(type=2) == Address.inet("fe80::1%7", 80, type=2)
