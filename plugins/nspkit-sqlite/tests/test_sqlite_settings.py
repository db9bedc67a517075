"""The settings: where the file is, how long to wait, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from nspkit_sqlite._settings import settings_in

from nspkit.errors import InvalidArgumentError


@pytest.mark.parametrize("kind", [str, Path])
def test_the_path_is_a_string_or_a_path(clients: Any, path: Path, kind: type) -> None:
    """Settings from a file are strings, those of a program are often paths."""
    clients(path=kind(path)).register("x")
    assert path.exists()


@pytest.mark.parametrize("name", ["a?mode=ro#b%20c.db", "ü &.db", "a\udcffb.db"])
def test_any_name_of_a_file_will_do(clients: Any, tmp_path: Path, name: str) -> None:
    """SQLite is given a URI, in which some characters mean something."""
    client = clients(path=tmp_path / name)
    client.register("x")
    assert client.names() == ["x"]
    assert (tmp_path / name).exists()


def test_a_relative_path_is_of_the_folder_at_the_start(
    clients: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that changes its folder later goes on with the same file."""
    monkeypatch.chdir(tmp_path)
    client = clients(path="relative.db")
    monkeypatch.chdir("/")
    client.register("x")
    assert (tmp_path / "relative.db").exists()


@pytest.mark.parametrize("given", [None, 5, b"/registry.db", "", "a\0b", uuid4()])
def test_another_path_is_refused(clients: Any, given: object) -> None:
    """The message names the setting and what is right."""
    with pytest.raises(InvalidArgumentError, match="setting 'path' of sqlite"):
        clients(path=given)


def test_a_registry_in_memory_is_refused(clients: Any) -> None:
    """It would be one for each connection."""
    with pytest.raises(InvalidArgumentError, match="nobody else could read"):
        clients(path=":memory:")


@pytest.mark.parametrize("name", ["busy_timeout", "interval"])
@pytest.mark.parametrize("given", ["5", None, True, -1, 3601, float("nan"), float("inf"), 10**400])
def test_another_time_is_refused(clients: Any, name: str, given: object) -> None:
    """It is a number of seconds, and not too many."""
    with pytest.raises(InvalidArgumentError, match=f"setting '{name}' of sqlite"):
        clients(**{name: given})


def test_an_interval_of_nothing_is_refused(clients: Any) -> None:
    """A watch would do nothing else; not to wait for a locked file is a wish."""
    with pytest.raises(InvalidArgumentError, match="interval"):
        clients(interval=0)
    clients(busy_timeout=0)


def test_an_unknown_setting_is_refused(clients: Any) -> None:
    """The message names it and those there are."""
    with pytest.raises(InvalidArgumentError, match=r"'file'.*path, busy_timeout, interval"):
        clients(file="/registry.db")


def test_the_default_is_in_the_users_data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where the platform keeps such things."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path))
    path = settings_in({}).path
    assert path.is_relative_to(tmp_path)
    assert path.parts[-2:] == ("nspkit", "registry.db")


def test_the_folder_is_made_with_the_file(clients: Any, tmp_path: Path) -> None:
    """For its owner only, by who registers first; a lookup makes nothing."""
    client = clients(path=tmp_path / "a" / "b" / "registry.db")
    assert client.find() == []
    assert list(tmp_path.iterdir()) == []
    client.register("x")
    assert client.names() == ["x"]
    assert (tmp_path / "a" / "b").stat().st_mode & 0o077 == 0
