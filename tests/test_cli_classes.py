"""``nspkit classes``: what is listed, what is found, and who is asked."""

from __future__ import annotations

import json
import re
import uuid
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("click", reason="the extra cli is not installed")

import nspkit as package
from nspkit.cli._wellknown import CLASSES, class_named, name_of

KEEPER = """\
import pathlib, threading
from uuid import UUID
from nspkit import *
from nspkit import errors

KNOWN = {{
    UUID("{own}"): ServiceClass("{own}", "printers", {{"Colour": True, "Raw": b"x", "Flag": None}}),
    SVCID_HOSTNAME: ServiceClass(SVCID_HOSTNAME, "hostname"),
}}

class Provider:
    info = ProviderInfo("{guid}", "{name}", 4711, "1")

    @hookimpl
    def nsp_startup(self):
        {startup}

    @hookimpl
    def nsp_cleanup(self):
        pass

    @hookimpl
    def nsp_get_service_class_info(self, class_id):
        {info}
"""

OWN = "11111111-1111-4111-8111-111111111111"
OTHER = "22222222-2222-4222-8222-222222222222"
KNOWS = """
        if class_id in KNOWN:
            return KNOWN[class_id]
        raise errors.TypeNotFoundError("never heard of it")
"""
BUSY = """
        open("asked", "a").write(".")
        raise errors.TryAgainError("it is busy")
"""

KEYS = ["id", "name", "service_type", "attributes", "providers"]


def keeper(nspkit: Any, name: str, info: str = KNOWS, *, startup: str = "pass") -> str:
    """Install a provider that keeps classes; returns its GUID."""
    guid = str(uuid.uuid5(uuid.NAMESPACE_DNS, name))
    nspkit.source(name, KEEPER.format(guid=guid, name=name, own=OWN, info=info, startup=startup))
    return guid


def cells(lines: list[str]) -> list[list[str]]:
    """The cells of lines; between two are two spaces or more."""
    return [re.split(r" {2,}", line.strip()) for line in lines]


# The list ---------------------------------------------------------------------------------------


def test_the_list_has_every_class_of_winsock(nspkit: Any) -> None:
    """With its GUID, also where no provider knows of any."""
    status, output, errors = nspkit.run("classes")
    assert (status, errors) == (0, [])
    rows = cells(output)
    assert rows[0] == ["NAME", "KNOWN TO", "GUID"]
    assert {name: guid for name, _, guid in rows[1:]} == {
        name: str(guid) for name, guid in CLASSES.items()
    }
    exported = {name for name in package.__all__ if name.startswith("SVCID_")}
    assert exported <= {name for name, *_ in rows}


def test_the_list_tells_who_knows_a_class(nspkit: Any) -> None:
    """By short name, in the order of the catalog."""
    keeper(nspkit, "two")
    keeper(nspkit, "one")
    nspkit.add("other")
    rows = cells(nspkit.run("classes")[1])
    assert ["SVCID_HOSTNAME", "one, two", str(package.SVCID_HOSTNAME)] in rows
    assert ["SVCID_INET_SERVICEBYNAME", "-", str(package.SVCID_INET_SERVICEBYNAME)] in rows
    # That somebody does not know one of all these is nothing to tell.
    assert nspkit.run("classes", "--verbose")[2] == []


def test_who_keeps_no_classes_is_not_started(nspkit: Any) -> None:
    """There is nothing to ask it."""
    nspkit.add("one", startup="pathlib.Path('started').touch()")
    assert nspkit.run("classes")[0] == 0
    assert not (nspkit.folder / "started").exists()


def test_who_fails_is_told_and_not_asked_again(nspkit: Any) -> None:
    """With a time-out for each class the list would take minutes."""
    keeper(nspkit, "one", BUSY)
    status, output, errors = nspkit.run("classes")
    assert (status, len(output)) == (0, 1 + len(CLASSES))
    assert errors == ["nspkit: one: it is busy [WSATRY_AGAIN 11002]"]
    assert (nspkit.folder / "asked").read_text() == "."


def test_who_is_not_ready_is_told_when_asked_for(nspkit: Any) -> None:
    """A registry that is not configured is no news."""
    keeper(nspkit, "one", startup='raise errors.NotReadyError("no path")')
    assert nspkit.run("classes")[2] == []
    assert nspkit.run("classes", "-v")[2] == ["nspkit: one: no path [WSASYSNOTREADY 10091]"]


def test_who_hangs_is_left_behind(nspkit: Any) -> None:
    """After the time that it has."""
    keeper(nspkit, "one", "threading.Event().wait()")
    status, output, errors = nspkit.run("classes", "--timeout", "0.1")
    assert (status, len(output)) == (0, 1 + len(CLASSES))
    assert "WSAETIMEDOUT" in errors[0]


def test_a_broken_provider_harms_no_list(nspkit: Any) -> None:
    """It is the list of providers that tells of it."""
    nspkit.add("one", top="import a_module_that_is_not_there")
    assert nspkit.run("classes")[::2] == (0, [])


def test_a_disabled_provider_is_not_asked(nspkit: Any) -> None:
    """As the file of settings says."""
    keeper(nspkit, "one")
    (nspkit.folder / "nspkit.toml").write_text('disabled = ["one"]\n')
    rows = cells(nspkit.run("classes", "--config", "nspkit.toml")[1])
    assert ["SVCID_HOSTNAME", "-", str(package.SVCID_HOSTNAME)] in rows


# One class --------------------------------------------------------------------------------------


def test_a_class_is_shown_as_a_provider_knows_it(nspkit: Any) -> None:
    """By its GUID; the provider gives it its name."""
    keeper(nspkit, "one")
    for given in (OWN, f"{{{OWN.upper()}}}"):
        status, output, errors = nspkit.run("classes", given)
        assert (status, errors) == (0, [])
        assert output == [
            "printers",
            f"  GUID      {OWN}",
            "  known to  one: printers Colour=True Raw=x Flag",
        ]


@pytest.mark.parametrize("given", ["631/tcp", "631/TCP", str(package.svcid_tcp(631))])
def test_a_port_has_a_class_without_a_provider(nspkit: Any, given: str) -> None:
    """Its GUID says what it is."""
    status, output, errors = nspkit.run("classes", given)
    assert (status, errors) == (0, [])
    assert cells(output) == [
        ["631/tcp"],
        ["GUID", str(package.svcid_tcp(631))],
        ["attributes", "TcpPort=631"],
        ["known to", "no provider"],
    ]


def test_a_type_has_a_class_without_a_provider(nspkit: Any) -> None:
    """The GUID cannot be told back into a type."""
    expected = package.ServiceClass.dns_sd("_ipp._tcp")
    _, output, _ = nspkit.run("classes", "_IPP._tcp")
    assert cells(output) == [
        ["_ipp._tcp"],
        ["GUID", str(expected.id)],
        ["DNS-SD type", "_ipp._tcp"],
        ["known to", "no provider"],
    ]
    assert nspkit.run("classes", str(expected.id))[0] == 1


@pytest.mark.parametrize("given", ["svcid_hostname", "hostname"])
def test_a_name_of_winsock_is_a_class(nspkit: Any, given: str) -> None:
    """However it is spelt."""
    assert nspkit.run("classes", given)[1][0] == "SVCID_HOSTNAME"


def test_a_class_that_nobody_knows_is_not_found(nspkit: Any) -> None:
    """Exit status 1, and who was asked."""
    status, output, [line] = nspkit.run("classes", OTHER)
    assert (status, output) == (1, [])
    assert line == f"nspkit: nothing found for the class {OTHER}"
    keeper(nspkit, "one")
    status, output, [line] = nspkit.run("classes", OTHER)
    assert (status, output) == (1, [])
    assert line == "nspkit: one: never heard of it [WSATYPE_NOT_FOUND 10109]"


def test_without_an_answer_a_failure_is_no_not_found(nspkit: Any) -> None:
    """Nobody can say that the class does not exist."""
    keeper(nspkit, "one", BUSY)
    keeper(nspkit, "two")
    status, _, errors = nspkit.run("classes", OTHER)
    assert status == 3
    assert errors == ["nspkit: one: it is busy [WSATRY_AGAIN 11002]"]


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        ("http", "a port such as 80/tcp"),
        ("", "is no service class"),
        ("svcid_hostnam", "did you mean SVCID_HOSTNAME?"),
        ("65536/tcp", "is no service class"),
        ("80/sctp", "is no service class"),
        ("\u0668\u0660/tcp", "is no service class"),
        ("_http._sctp", "is no service class"),
        ("11111111-1111", "is no service class"),
    ],
)
def test_what_is_no_class_is_wrong_usage(nspkit: Any, given: str, hint: str) -> None:
    """One line with a way out."""
    status, output, [line] = nspkit.run("classes", given)
    assert (status, output) == (2, [])
    assert hint in line


# JSON -------------------------------------------------------------------------------------------


def test_classes_as_json_have_every_key(nspkit: Any) -> None:
    """In the list and alone, and as providers know them."""
    guid = keeper(nspkit, "one")
    listed = [json.loads(line) for line in nspkit.run("classes", "--json")[1]]
    [own] = [json.loads(line) for line in nspkit.run("classes", OWN, "--json")[1]]
    assert [list(one) for one in [*listed, own]] == [KEYS] * (len(CLASSES) + 1)
    assert own == {
        "id": OWN,
        "name": "printers",
        "service_type": None,
        "attributes": {},
        "providers": [
            {
                "provider": "one",
                "guid": guid,
                "name": "printers",
                "attributes": {"Colour": True, "Raw": {"base64": "eA=="}, "Flag": None},
            }
        ],
    }
    [mail] = [one for one in listed if one["name"] == "SVCID_DNS_TYPE_MX"]
    assert mail["attributes"] == {"TcpPort": 53, "DnsRecordType": 15}


def test_the_page_describes_every_key(checkout: Path) -> None:
    """Each is named in the reference."""
    page = (checkout / "docs/reference/cli.md").read_text(encoding="utf-8")
    section = page.partition("\nOf `classes`")[2].partition("\nOf `")[0]
    assert [key for key in KEYS if f"| `{key}` |" not in section] == []


# Names ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*CLASSES, "0/tcp", "65535/udp"])
def test_a_name_and_its_class_belong_together(name: str) -> None:
    """Both ways."""
    found = class_named(name)
    assert found is not None
    assert name_of(found) == name


@pytest.mark.parametrize(
    "class_id", [package.svcid_netware(4), package.svcid_tcp(80, 1), uuid.UUID(OWN)]
)
def test_a_class_without_a_name_has_none(class_id: uuid.UUID) -> None:
    """Such as that of a record type on a port that is not DNS's."""
    assert name_of(class_id) is None
