"""The settings: where the file is, and what is refused before anything is read."""

from __future__ import annotations

import os
from pathlib import Path
from uuid import uuid4

import nspkit_hosts
import pytest
from nspkit_hosts import HostsProvider

import nspkit
from nspkit.errors import InvalidArgumentError, NotReadyError


@pytest.fixture(autouse=True)
def _file(path: Path) -> None:
    path.write_text("192.0.2.2 beta.example\n")


def start(settings: dict[str, object]) -> None:
    """Start the provider with these settings, and stop it again."""
    catalog = nspkit.Catalog()
    catalog.install(HostsProvider)
    with nspkit.Host(catalog=catalog, settings={"hosts": settings}) as host:
        host.startup("hosts")


@pytest.mark.parametrize("kind", [str, Path])
def test_the_path_is_a_string_or_a_path(path: Path, kind: type) -> None:
    """Settings from a file are strings, those of a program are often paths."""
    start({"path": kind(path)})


def test_a_relative_path_is_of_the_folder_at_the_start(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that changes its folder later goes on with the same file."""
    monkeypatch.chdir(tmp_path)
    catalog = nspkit.Catalog()
    catalog.install(HostsProvider)
    with nspkit.Host(catalog=catalog, settings={"hosts": {"path": path.name}}) as host:
        host.startup("hosts")
        monkeypatch.chdir("/")
        assert next(host.lookup("beta.example", provider="hosts")).name == "beta.example"


@pytest.mark.parametrize("given", [None, 5, b"/etc/hosts", "", "a\0b", uuid4()])
def test_another_path_is_refused(given: object) -> None:
    """The message names the setting and what is right."""
    with pytest.raises(InvalidArgumentError, match="setting 'path' of hosts"):
        start({"path": given})


def test_an_unknown_setting_is_refused() -> None:
    """The message names it and the one there is."""
    with pytest.raises(InvalidArgumentError, match=r"'file'.*'path'"):
        start({"file": "/etc/hosts"})


def test_a_missing_file_is_known_at_the_start(path: Path) -> None:
    """Not only when somebody looks something up."""
    path.unlink()
    with pytest.raises(NotReadyError, match="No such file"):
        start({"path": path})


def test_what_is_no_file_is_not_opened(path: Path) -> None:
    """To open a pipe would be to wait for somebody who writes into it."""
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(NotReadyError, match="not a regular file"):
        start({"path": path})


def test_the_default_is_the_platforms_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows has its own place for it."""
    assert nspkit_hosts._default_path() == "/etc/hosts"
    with monkeypatch.context() as windows:
        windows.setattr(os, "name", "nt")
        windows.setenv("SYSTEMROOT", r"D:\Windows")
        default = nspkit_hosts._default_path()
    assert default == r"D:\Windows\System32\drivers\etc\hosts"
