"""The provider keeps every rule that there is for one, and answers as its README says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest
from nspkit_phonebook import PERSON, PhonebookProvider

from nspkit import SVCID_HOSTNAME, Catalog, Host, Query
from nspkit.errors import InvalidArgumentError, NotReadyError, ServiceNotFoundError
from nspkit.testing import ProviderConformance

INFO = PhonebookProvider.info
CARDS = """\
BEGIN:VCARD
VERSION:4.0
FN:Ada Lovelace
TEL;VALUE=uri;TYPE=home:tel:+44-20-7946-0815
TEL:+44-20-7946-0816
item1.EMAIL:ada@analytical.
 example
END:VCARD
BEGIN:VCARD
FN:Babbage\\, Charles
END:VCARD
BEGIN:VCARD
ORG:A card without a name
END:VCARD
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A phone book of two people."""
    file = tmp_path / "people.vcf"
    file.write_text(CARDS, encoding="utf-8")
    return file


@pytest.fixture
def settings(path: Path) -> dict[str, object]:
    """Where it is."""
    return {"path": path}


@pytest.fixture
def host(settings: dict[str, object]) -> Iterator[Host]:
    """A host that has this provider only."""
    with Host(providers=[INFO.name], settings={INFO.name: settings}) as host:
        yield host


class TestConformance(ProviderConformance):
    """Each rule of nspkit's kit is a test; the settings are the fixture above."""

    provider = PhonebookProvider
    query = Query("Ada Lovelace")


def test_it_is_found_by_name_and_by_guid() -> None:
    """As the entry point in pyproject.toml says; a new one is known after an installation."""
    catalog = Catalog.discover()
    assert catalog[INFO.name].load() is PhonebookProvider
    assert catalog[INFO.guid].load() is PhonebookProvider


def test_its_version_is_that_of_the_package() -> None:
    """It is written twice, and has to be changed twice."""
    assert version("nspkit-phonebook") == INFO.version


def test_a_person_has_a_number_and_an_address(host: Host) -> None:
    """The first of each, without regard to groups, parameters, folded lines and case."""
    [person] = host.lookup("ADA lovelace")
    assert person.service_class == PERSON
    assert dict(person.attributes) == {
        "tel": "+44-20-7946-0815",
        "email": "ada@analytical.example",
    }


def test_without_a_name_everybody_comes(host: Host) -> None:
    """In the order of the file; a card without a name is nobody."""
    found = host.lookup(service_class=PERSON)
    assert [person.name for person in found] == ["Ada Lovelace", "Babbage, Charles"]


@pytest.mark.parametrize(
    "query", [Query("nobody"), Query("Ada Lovelace", service_class=SVCID_HOSTNAME)]
)
def test_who_is_not_there_is_not_found(host: Host, query: Query) -> None:
    """Nor is anything of another class."""
    with pytest.raises(ServiceNotFoundError):
        next(host.lookup(query.name, service_class=query.service_class, provider=INFO.name))


def test_a_file_that_has_changed_is_read_again(host: Host, path: Path) -> None:
    """By the next lookup."""
    assert [person.name for person in host.lookup("Ada Lovelace")] == ["Ada Lovelace"]
    path.write_text("BEGIN:VCARD\nFN:Grace Hopper\nEND:VCARD\n", encoding="utf-8")
    assert [person.name for person in host.lookup()] == ["Grace Hopper"]


def test_a_file_that_is_gone_is_told(host: Host, path: Path) -> None:
    """Who was in it is not kept."""
    assert list(host.lookup("Ada Lovelace"))
    path.unlink()
    with pytest.raises(NotReadyError, match=re.escape(str(path))):
        next(host.lookup("Ada Lovelace", provider=INFO.name))


@pytest.mark.parametrize("settings", [{"paht": "x"}, {"path": 1}, {"path": ""}])
def test_a_wrong_setting_is_refused_at_the_start(host: Host) -> None:
    """Nobody has to look for it later."""
    with pytest.raises(InvalidArgumentError):
        host.startup(INFO.name)


@pytest.mark.parametrize("data", [b"FN:\xff", b"FN:a\0\nEND:VCARD"])
def test_a_file_that_is_no_text_is_refused_at_the_start(
    host: Host, path: Path, data: bytes
) -> None:
    """With the name of the file."""
    path.write_bytes(data)
    with pytest.raises(NotReadyError, match=re.escape(str(path))):
        host.startup(INFO.name)


def test_the_example_of_the_readme_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It finds the number that it has written."""
    readme = Path(__file__).parent.parent / "README.md"
    [code] = re.findall(r"```python\n(.*?)```", readme.read_text(encoding="utf-8"), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    exec(code, {})
    assert capsys.readouterr().out == "Ada Lovelace +44 20 7946 0815\n"
