"""A file of settings is read whole and checked whole, and an error tells where to look."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from nspkit._catalog import Catalog
from nspkit._config import Config, _Places, apply, configured, read
from nspkit._constants import Namespace
from nspkit._host import Host
from nspkit._model import ProviderInfo
from nspkit.errors import ConfigurationError
from nspkit.hookspecs import hookimpl

WHOLE = """\
# which providers, in which order
order = ["hosts", "dns"]
disabled = [
    "system",  # slow here
]

[providers.dns]
server = "127.0.0.1"
ports = [53, 5353]

[providers.hosts]
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where a file of settings may be written."""
    return tmp_path / "nspkit.toml"


@pytest.fixture
def wrong(file: Path) -> Callable[..., ConfigurationError]:
    """A function that reads a text and returns the error that this gives."""

    def refuse(text: str | bytes) -> ConfigurationError:
        file.write_bytes(text.encode() if isinstance(text, str) else text)
        with pytest.raises(ConfigurationError) as caught:
            read(file)
        assert (caught.value.code, caught.value.file) == (10022, str(file))
        return caught.value

    return refuse


def place(error: ConfigurationError) -> tuple[int | None, str | None]:
    """Line and key of an error."""
    return error.line, error.key


def guid(number: int) -> uuid.UUID:
    """One of the GUIDs of the tests."""
    return uuid.UUID(int=number + (0xABCDEF << 96))


@pytest.fixture
def catalog() -> Catalog:
    """A catalog with four providers: dns, hosts, mdns, system."""
    catalog = Catalog()
    for number, name in enumerate(("dns", "hosts", "mdns", "system")):
        info = ProviderInfo(guid(number), name, Namespace.DNS, "1.0")
        hooks = {"info": info, "nsp_cleanup": hookimpl(lambda self: None)}
        catalog.install(type("Provider", (), hooks))
    return catalog


def state(catalog: Catalog) -> list[tuple[str, bool]]:
    """Order and enabled of a catalog's providers."""
    return [(entry.name, entry.enabled) for entry in catalog]


# Reading ----------------------------------------------------------------------------------------


def test_a_file_is_read_whole(file: Path) -> None:
    """Order, what is disabled, and settings."""
    file.write_text(WHOLE)
    config = read(file)
    assert config.order == ("hosts", "dns")
    assert config.disabled == ("system",)
    assert config.providers == {"dns": {"server": "127.0.0.1", "ports": [53, 5353]}, "hosts": {}}
    assert config.file == str(file)


@pytest.mark.parametrize("text", ["", "\n# nothing\n", "providers = {}\norder = []"])
def test_everything_may_be_left_out(file: Path, text: str) -> None:
    """An empty file is a good one."""
    file.write_text(text)
    config = read(str(file))
    assert (config.order, config.disabled, config.providers) == ((), (), {})


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_files_of_other_systems_are_read(file: Path, mark: bytes) -> None:
    """With CRLF, and with the mark that some editors put first."""
    file.write_bytes(mark + WHOLE.replace("\n", "\r\n").encode())
    assert read(file).order == ("hosts", "dns")


def test_a_missing_file_is_an_error(file: Path) -> None:
    """Whoever names a file wants it to be read."""
    with pytest.raises(ConfigurationError) as caught:
        read(file)
    assert caught.value.message == f"{file}: it cannot be read: {os.strerror(2)}"
    assert (caught.value.code, caught.value.file, place(caught.value)) == (
        10022,
        str(file),
        (None, None),
    )
    assert isinstance(caught.value.__cause__, FileNotFoundError)


def test_a_folder_is_an_error(tmp_path: Path) -> None:
    """It cannot be read as a file."""
    with pytest.raises(ConfigurationError, match="it cannot be read: "):
        read(tmp_path)


def test_a_name_that_no_file_can_have_is_an_error() -> None:
    """A NUL character cannot be passed to the system."""
    with pytest.raises(ConfigurationError, match="it cannot be read: embedded null"):
        read("a\0b")


# What is wrong ----------------------------------------------------------------------------------


def test_text_that_is_not_utf_8_is_an_error(wrong: Callable[..., ConfigurationError]) -> None:
    """The line is told."""
    error = wrong(b'order = [\n"caf\xe9"]\n')
    assert error.message.endswith("nspkit.toml, line 2: it is not UTF-8; save it as UTF-8")


@pytest.mark.parametrize(
    ("text", "expected", "message"),
    [
        ('order = ["a"]\n\norder = ["b"]\n', (3, "order"), "Cannot overwrite a value"),
        ('order = ["a"]\n\norder = ["b"]', (3, "order"), "Cannot overwrite a value"),
        ("[providers.a]\n[providers.b]\n[providers.a]\n", (3, "providers.a"), "twice"),
        ('order = [\n  "a",\n  "b"\n', (3, "order"), "Unclosed array"),
        ('order = [\n  "a"\n  "b"\n]\ndisabled = []\n', (3, "order"), "Unclosed array"),
        ("disabled = []\norder\n[providers.a]\n", (2, "order"), "Expected '='"),
        ("\n\n= 3\n", (3, None), "Invalid statement"),
        ("[providers.a]\nx = 1\nx = 2\n", (3, "providers.a.x"), "Cannot overwrite a value"),
        ("[providers.a\nx = 1\n", (1, "providers.a"), "Expected ']'"),
        ("order = [] trailing\n", (1, "order"), "Expected newline"),
        ("[providers.a]\nx = 1__0\n", (2, "providers.a.x"), ""),
        ("[providers.a]\nx = 2020-13-45\n", (2, "providers.a.x"), ""),
    ],
)
def test_what_is_no_toml_is_an_error_with_line_and_key(
    wrong: Callable[..., ConfigurationError],
    text: str,
    expected: tuple[int | None, str | None],
    message: str,
) -> None:
    """A doubled key, too, is no TOML."""
    error = wrong(text)
    assert place(error) == expected
    assert ": it is no TOML: " in error.message
    assert message in error.message
    assert "(at " not in error.message


def test_a_number_of_too_many_digits_is_an_error(wrong: Callable[..., ConfigurationError]) -> None:
    """Python refuses to read it, with an error of another class."""
    error = wrong("[providers.a]\nx = " + "9" * 5000 + "\n")
    assert "it is no TOML: Exceeds the limit" in error.message


def test_text_that_is_nested_too_deeply_is_an_error(
    wrong: Callable[..., ConfigurationError],
) -> None:
    """It is no reason to end the program."""
    error = wrong("x = " + "[" * 100_000)
    assert "it is nested too deeply" in error.message or "it is no TOML" in error.message


def test_an_unknown_key_is_an_error(wrong: Callable[..., ConfigurationError]) -> None:
    """It would have no effect, and nobody would know."""
    error = wrong('order = []\n\n  disable = ["system"]\n')
    assert place(error) == (3, "disable")
    assert error.message.endswith(
        "line 3, key 'disable': there is no such key; there are order, disabled, providers"
    )


def test_an_unknown_table_is_an_error(wrong: Callable[..., ConfigurationError]) -> None:
    """So is one that was meant to be a provider's."""
    assert place(wrong("order = []\n[provider.dns]\nserver = 1\n")) == (2, "provider")


@pytest.mark.parametrize("key", ["order", "disabled"])
@pytest.mark.parametrize(
    ("value", "line", "message"),
    [
        ('"hosts"', 2, "it is a string; write a list of short names"),
        ("{a = 1}", 2, "it is a table; write a list of short names"),
        ("true", 2, "it is a boolean; write a list of short names"),
        ('["a",\n\n3]', 4, "3 is an integer; write a short name"),
        ('["a",\n[]]', 3, "[] is an array; write a short name"),
        ('["a",\n# "a"\n"b", "a"]', 4, "'a' is there twice; name each provider once"),
        ("[\"a\", '''a''']", 2, "'a' is there twice; name each provider once"),
        ('["a",\n"""a"""]', 3, "'a' is there twice; name each provider once"),
    ],
)
def test_a_list_of_anything_but_different_names_is_an_error(
    wrong: Callable[..., ConfigurationError], key: str, value: str, line: int, message: str
) -> None:
    """The line is that of the item, not of the list."""
    error = wrong(f"\n{key} = {value}\n")
    assert place(error) == (line, key)
    assert error.message.endswith(f"line {line}, key '{key}': {message}")


def test_lines_are_found_in_files_of_other_systems(
    wrong: Callable[..., ConfigurationError],
) -> None:
    """A line there ends with two characters."""
    error = wrong('\r\norder = ["a",\r\n\r\n"a"]\r\n')
    assert place(error) == (4, "order")


@pytest.mark.parametrize(
    ("text", "expected", "message"),
    [
        ("providers = 3\n", (1, "providers"), "it is an integer; write a table, [providers.NAME]"),
        ("[providers]\n\nx = 1.5\n", (3, "providers.x"), "it is a float; write a table"),
        ("[providers]\nx = 2020-01-01\n", (2, "providers.x"), "it is a date; write a table"),
        ("[[providers]]\n", (1, "providers"), "it is an array; write a table"),
        ("[[providers.dns]]\n", (1, "providers.dns"), "it is an array; write a table"),
        ("[providers]\n'my dns' = true", (2, "providers.my dns"), "it is a boolean; write"),
        ("providers.dns = 1", (1, "providers.dns"), "it is an integer; write a table"),
        ('providers = {\n"dns" = 1}', (1, "providers"), "it is no TOML"),
        ('providers = {"dns" = 1}', (1, "providers.dns"), "it is an integer; write a table"),
    ],
)
def test_settings_that_are_no_table_are_an_error(
    wrong: Callable[..., ConfigurationError],
    text: str,
    expected: tuple[int | None, str | None],
    message: str,
) -> None:
    """However TOML lets them be written."""
    error = wrong(text)
    assert place(error) == expected
    assert message in error.message


# Finding lines ----------------------------------------------------------------------------------


def test_the_line_of_every_key_and_item_is_found() -> None:
    """Past comments, brackets, quotes and line ends in strings."""
    text = (
        "# [order]\n"
        "order = [ # first = 1\n"
        '  \'a\', "b]\\"",\n'
        '  """\n'
        "x = 1\n"
        '""""",\n'
        "  [1,\n"
        "   2], {y = 1,\n"
        "   z = 2}\n"
        "]\n"
        "\n"
        '[ a . "b.c" ] # comment\n'
        "d.e = '''\n"
        "[f]\n"
        "'''\n"
        "g = 2020-01-01 10:00:00\n"
        "[[a.h]]\n"
        "[a.h.i]\n"
    )
    lines = _Places(text).lines
    assert lines == {
        ("order",): 2,
        ("order", 0): 3,
        ("order", 1): 3,
        ("order", 2): 4,
        ("order", 3): 7,
        ("order", 4): 8,
        ("a", "b.c"): 12,
        ("a",): 12,
        ("a", "b.c", "d", "e"): 13,
        ("a", "b.c", "d"): 13,
        ("a", "b.c", "g"): 16,
        ("a", "h"): 17,
        ("a", "h", "i"): 18,
    }


@pytest.mark.parametrize(
    "text",
    ["]", "[[[", "= =", "'''", '"', "a", "a = ]\nb = 1", "\\", "[a]]\n", "[", "{", "a.=", "\0"],
)
def test_any_text_has_some_lines(text: str) -> None:
    """It is asked about texts that are wrong."""
    _Places(text).key_at(1)


def test_a_line_that_no_statement_has_has_no_key() -> None:
    """Such as one after the end."""
    assert _Places("a = 1\n").key_at(7) is None


# Applying ---------------------------------------------------------------------------------------


def config_of(file: Path, text: str) -> Config:
    """What a text says."""
    file.write_text(text)
    return read(file)


def test_a_catalog_is_ordered_and_providers_are_disabled(file: Path, catalog: Catalog) -> None:
    """What `order` leaves out follows in the order of the names."""
    text = 'order = ["system", "hosts"]\ndisabled = ["mdns", "system"]\n[providers.dns]\nx = 1\n'
    apply(config_of(file, text), catalog)
    assert state(catalog) == [("system", False), ("hosts", True), ("dns", True), ("mdns", False)]


def test_a_file_without_an_order_leaves_the_order(file: Path, catalog: Catalog) -> None:
    """There is nothing to apply."""
    catalog.arrange(["system"])
    before = state(catalog)
    apply(config_of(file, ""), catalog)
    assert state(catalog) == before


def test_guids_are_names_too(file: Path, catalog: Catalog) -> None:
    """As everywhere where a provider is named."""
    apply(config_of(file, f'order = ["{guid(3)}"]\n[providers.{guid(1)}]\n'), catalog)
    assert [name for name, _ in state(catalog)] == ["system", "dns", "hosts", "mdns"]


@pytest.mark.parametrize(
    ("text", "expected", "message"),
    [
        (
            'disabled = ["dns"]\norder = [\n"hosts",\n"hsots"]\n',
            (4, "order"),
            "no provider 'hsots' is installed (did you mean 'hosts'?); installed: dns, hosts",
        ),
        (
            'order = ["system"]\ndisabled = ["wins"]\n',
            (2, "disabled"),
            "no provider 'wins' is installed",
        ),
        (
            'order = ["system"]\n\n[providers.dns]\n[providers.wins]\nserver = 1\n',
            (4, "providers.wins"),
            "no provider 'wins' is installed",
        ),
        (
            f'order = ["system",\n"dns", "{guid(3)}"]\n',
            (2, "order"),
            f"'{guid(3)}' is 'system' again; name each provider once",
        ),
    ],
)
def test_a_name_that_is_wrong_changes_nothing(
    file: Path,
    catalog: Catalog,
    text: str,
    expected: tuple[int | None, str | None],
    message: str,
) -> None:
    """The error tells where it is, and the catalog is as before."""
    before = state(catalog)
    with pytest.raises(ConfigurationError) as caught:
        apply(config_of(file, text), catalog)
    assert place(caught.value) == expected
    assert message in caught.value.message
    assert (caught.value.code, caught.value.file) == (10022, str(file))
    assert state(catalog) == before


def test_a_given_catalog_is_copied_and_configured(file: Path, catalog: Catalog) -> None:
    """The settings come along; the catalog that was given stays as it was."""
    before = state(catalog)
    file.write_text('order = ["system"]\ndisabled = ["dns"]\n[providers.hosts]\nx = 1\n')
    made, settings = configured(file, catalog)
    assert state(made) == [("system", True), ("dns", False), ("hosts", True), ("mdns", True)]
    assert settings == {"hosts": {"x": 1}}
    assert state(catalog) == before


def test_a_disabled_provider_may_have_settings(file: Path, catalog: Catalog) -> None:
    """By name or by GUID; whoever disables one for a while leaves them in the file."""
    file.write_text(
        f'disabled = ["dns", "system"]\n[providers.{guid(3)}]\nx = 1\n[providers.dns]\nx = 2\n'
    )
    made, settings = configured(file, catalog)
    Host(catalog=made, settings=settings).close()
    assert settings == {}


def test_without_a_catalog_what_is_installed_is_configured(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is discovered, and nothing of it is imported."""
    information = tmp_path / "site" / "one-1.0.dist-info"
    information.mkdir(parents=True)
    text = "[nspkit.providers]\none = absent_module:C\n"
    (information / "entry_points.txt").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    file.write_text('disabled = ["one"]\n')
    made, settings = configured(file, None)
    assert ("one", False) in state(made)
    assert settings == {}
