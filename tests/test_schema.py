"""Service classes, DNS-SD types, versions, and what a provider says about itself."""

from __future__ import annotations

import pickle
import uuid

import pytest

from nspkit._constants import Comparison, Namespace, svcid_tcp, svcid_udp
from nspkit._model import DNS_SD_NAMESPACE, ProviderInfo, Query, ServiceClass, Version
from nspkit.errors import InvalidArgumentError

GUID = uuid.UUID("22059d40-7e9e-11cf-ae5a-00aa00a7112b")


# Service classes --------------------------------------------------------------------------------


def test_a_class_of_a_port_has_the_guid_of_winsock() -> None:
    """And the attribute that Winsock's schema has for it."""
    assert ServiceClass.tcp(80) == ServiceClass(svcid_tcp(80), "80/tcp", {"TcpPort": 80})
    assert ServiceClass.udp(53) == ServiceClass(svcid_udp(53), "53/udp", {"UdpPort": 53})


@pytest.mark.parametrize("make", [ServiceClass.tcp, ServiceClass.udp])
@pytest.mark.parametrize("port", [-1, 65536, "80"])
def test_a_class_of_a_port_that_does_not_fit_is_refused(make: object, port: object) -> None:
    """It has 16 bits."""
    with pytest.raises(InvalidArgumentError, match="from 0 to 65535"):
        make(port)  # type: ignore[operator]


def test_the_class_of_a_dns_sd_type_is_the_same_everywhere() -> None:
    """The GUID is fixed for ever: programs of other releases, and other machines, have it."""
    made = ServiceClass.dns_sd("_http._tcp")
    assert made.id == uuid.UUID("ddfab1a3-2513-5575-b747-70938f413953")
    assert made.id == uuid.uuid5(DNS_SD_NAMESPACE, "_http._tcp")
    assert made.name == "_http._tcp"


def test_a_dns_sd_type_has_no_case() -> None:
    """DNS has none; the value has one form."""
    assert ServiceClass.dns_sd("_HTTP._TCP") == ServiceClass.dns_sd("_http._tcp")


@pytest.mark.parametrize(
    ("service_class", "service_type"),
    [
        (ServiceClass.dns_sd("_http._tcp"), "_http._tcp"),
        (ServiceClass(GUID, "_http._tcp"), None),
        (ServiceClass.tcp(80), None),
    ],
)
def test_a_class_knows_the_type_that_it_was_made_of(
    service_class: ServiceClass, service_type: str | None
) -> None:
    """A name that looks like one is not enough."""
    assert service_class.service_type == service_type


@pytest.mark.parametrize(
    "service_type",
    [
        "_http._tcp",
        "_x._tcp",
        "x._sub._http._tcp",
        "_sleep-proxy._udp",
        "_nvstream_dbd._tcp",
        "_printer._sub._http._tcp",
        "printer._sub._http._tcp",
        "_" + "x" * 62 + "._tcp",
    ],
)
def test_a_dns_sd_type_is_accepted(service_type: str) -> None:
    """Those of RFC 6763, and what is in use beyond it."""
    assert ServiceClass.dns_sd(service_type).name == service_type
    assert Query(service_class=service_type).service_type == service_type


@pytest.mark.parametrize(
    "service_type",
    [
        "",
        "http",
        "_http",
        "http._tcp",
        "_http.tcp",
        "_http._sctp",
        "_._tcp",
        "_http._tcp.",
        "_http._tcp.local",
        "_http._tcp.local.",
        "_a._b._tcp",
        "_printer._bus._http._tcp",
        "._sub._http._tcp",
        "_ht tp._tcp",
        "_häß._tcp",
        "_\N{KELVIN SIGN}erberos._tcp",
        "_" + "x" * 63 + "._tcp",
        None,
        7,
        b"_http._tcp",
    ],
)
def test_what_is_no_dns_sd_type_is_refused(service_type: object) -> None:
    """The message shows both forms, and says that the domain is left out."""
    with pytest.raises(InvalidArgumentError, match=r"'_http\._tcp' or .*, without a domain"):
        ServiceClass.dns_sd(service_type)


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ((None, "x"), "id"),
        (("_http._tcp", "x"), "id"),
        ((GUID, ""), "name"),
        ((GUID, None), "name"),
        ((GUID, "x", None), "attributes"),
        ((GUID, "x", {"a": object()}), r"attributes\['a'\]"),
    ],
)
def test_a_wrong_field_of_a_class_is_named(arguments: tuple[object, ...], field: str) -> None:
    """Each field is checked."""
    with pytest.raises(InvalidArgumentError, match=rf"^ServiceClass\.{field} is "):
        ServiceClass(*arguments)


def test_a_class_takes_its_guid_as_a_string() -> None:
    """As everywhere."""
    assert ServiceClass(f"{{{GUID}}}".upper(), "x").id == GUID


# Versions ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "number", "expected"),
    [
        (Version(3), 3, True),
        (Version(3), 4, False),
        (Version(3), 2, False),
        (Version(3, Comparison.NOTLESS), 3, True),
        (Version(3, Comparison.NOTLESS), 4, True),
        (Version(3, Comparison.NOTLESS), 2, False),
    ],
)
def test_a_version_matches_equal_or_not_less(version: Version, number: int, expected: bool) -> None:
    """D35: exactly this one, or any that is not smaller."""
    assert version.matches(number) is expected


def test_a_comparison_may_be_a_number() -> None:
    """Winsock's."""
    assert Version(3, 0) == Version(3, Comparison.EQUAL)
    assert Version(3, 1) == Version(3, Comparison.NOTLESS)
    assert Version(3).comparison is Comparison.EQUAL
    assert repr(Version(3)) == "Version(3)"


@pytest.mark.parametrize("number", [-1, 2**32, True, "3", None, 3.0])
def test_a_version_that_does_not_fit_is_refused(number: object) -> None:
    """It is a number of 32 bits."""
    with pytest.raises(InvalidArgumentError, match=r"^Version\.number is "):
        Version(number)


@pytest.mark.parametrize("comparison", [2, -1, True, "EQUAL", None])
def test_a_comparison_that_is_none_is_refused(comparison: object) -> None:
    """There are two."""
    with pytest.raises(InvalidArgumentError, match=r"^Version\.comparison is "):
        Version(3, comparison)


# Provider info ----------------------------------------------------------------------------------


def test_an_info_has_what_it_is_given() -> None:
    """The GUID may be a string, the namespace a number."""
    info = ProviderInfo(f"{{{GUID}}}", "hosts", 11, "1.0")
    assert info.guid == GUID
    assert info.name == "hosts"
    assert info.namespace is Namespace.TCPIP_HOSTS
    assert info.version == "1.0"
    assert info.stores_service_classes is False
    assert info.spi_version == 1
    assert info == pickle.loads(pickle.dumps(info))


def test_an_info_shows_what_differs_from_the_default() -> None:
    """The rest is left out."""
    info = ProviderInfo(GUID, "a", Namespace.DNS, "1", stores_service_classes=True, spi_version=2)
    assert repr(info) == (
        f"ProviderInfo({GUID!r}, 'a', <Namespace.DNS: 12>, '1', "
        "stores_service_classes=True, spi_version=2)"
    )


@pytest.mark.parametrize("name", ["hosts", "my-dns_2.x", "A", "0"])
def test_a_short_name_is_accepted(name: str) -> None:
    """Letters, digits, and the three signs that entry points have."""
    assert ProviderInfo(GUID, name, Namespace.DNS, "1").name == name
    assert Query(provider=name).provider == name


@pytest.mark.parametrize("name", ["", "a b", "a/b", "a:b", "hösts", "²", "a\n", "a\0", 7, b"a"])
def test_what_is_no_short_name_is_refused(name: object) -> None:
    """It is typed on command lines and written into files."""
    with pytest.raises(InvalidArgumentError, match="give a name of ASCII letters"):
        ProviderInfo(GUID, name, Namespace.DNS, "1")


def test_a_short_name_that_is_a_guid_is_refused() -> None:
    """Where both are allowed it would be taken for the other."""
    with pytest.raises(InvalidArgumentError, match=r"^ProviderInfo\.name is "):
        ProviderInfo(GUID, str(GUID), Namespace.DNS, "1")


def test_a_namespace_of_ones_own_is_accepted() -> None:
    """There is room for 2**32 of them."""
    assert ProviderInfo(GUID, "a", 4711, "1").namespace == 4711


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"guid": "hosts"}, "guid"),
        ({"guid": None}, "guid"),
        ({"guid": uuid.UUID(int=0)}, "guid"),
        ({"guid": str(uuid.UUID(int=0))}, "guid"),
        ({"namespace": Namespace.ALL}, "namespace"),
        ({"namespace": 0}, "namespace"),
        ({"namespace": "DNS"}, "namespace"),
        ({"namespace": True}, "namespace"),
        ({"namespace": 2**32}, "namespace"),
        ({"version": ""}, "version"),
        ({"version": 1}, "version"),
        ({"stores_service_classes": 1}, "stores_service_classes"),
        ({"spi_version": 0}, "spi_version"),
        ({"spi_version": True}, "spi_version"),
        ({"spi_version": "1"}, "spi_version"),
    ],
)
def test_a_wrong_field_of_an_info_is_named(changes: dict[str, object], field: str) -> None:
    """Each field is checked, also when it is changed."""
    info = ProviderInfo(GUID, "hosts", Namespace.TCPIP_HOSTS, "1.0")
    with pytest.raises(InvalidArgumentError, match=rf"^ProviderInfo\.{field} is "):
        info.replace(**changes)
