"""Files that are no registry, newer ones, and damaged ones: told, and left as they are."""

from __future__ import annotations

import os
import sqlite3 as database
from pathlib import Path
from typing import Any

import pytest

from nspkit import ErrorCode, NspError, ServiceClass
from nspkit.errors import (
    NotReadyError,
    ProviderError,
    ServiceNotFoundError,
    VersionNotSupportedError,
)

HTTP = "_http._tcp"
NOBODY = 65534
PATIENCE = 30.0


def contents(folder: Path) -> dict[str, bytes]:
    """All files of a folder, with what is in them."""
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}


def test_a_lookup_makes_nothing(client: Any, path: Path) -> None:
    """No file is a registry with nothing in it."""
    assert client.find() == []
    assert client.find(service_class=HTTP) == []
    for restrictions in ({}, {"service_class": HTTP}):
        with pytest.raises(ServiceNotFoundError):
            client.find("x", **restrictions)
    assert list(path.parent.iterdir()) == []


def test_an_empty_file_becomes_a_registry(client: Any, path: Path) -> None:
    """To whoever registers; until then it is one with nothing in it."""
    path.touch()
    assert client.find() == []
    assert path.stat().st_size == 0
    client.register("x")
    assert client.names() == ["x"]


@pytest.mark.parametrize("content", [b"hello", b"x" * 5000, b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_file_of_something_else_is_refused(clients: Any, path: Path, content: bytes) -> None:
    """At the start, with its name and the way out, and it is left as it is."""
    path.write_bytes(content)
    with pytest.raises(NotReadyError, match=r"no SQLite file.*give another 'path'") as caught:
        clients()
    assert str(path) in str(caught.value)
    assert contents(path.parent) == {path.name: content}


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_a_database_of_something_else_is_refused(
    clients: Any, path: Path, sqlite3: Any, mode: str
) -> None:
    """Not even its log is put into it."""
    sqlite3(f"PRAGMA journal_mode = {mode}; CREATE TABLE other (x); INSERT INTO other VALUES (1)")
    other = database.connect(path)
    other.execute("INSERT INTO other VALUES (2)")
    other.commit()
    before = contents(path.parent)
    with pytest.raises(NotReadyError, match="something else"):
        clients()
    assert contents(path.parent) == before
    other.close()


def test_a_file_that_becomes_something_else_is_refused(client: Any, path: Path) -> None:
    """Lookups notice it soon, registrations at once."""
    client.register("x")
    assert client.names() == ["x"]
    path.unlink()
    path.write_bytes(b"hello")
    with pytest.raises(NotReadyError):
        client.register("x")
    with pytest.raises(NotReadyError):
        client.find("x")
    assert path.read_bytes() == b"hello"


def test_what_becomes_something_else_meanwhile_is_left(client: Any, path: Path) -> None:
    """The last look is in the transaction that makes the tables."""
    import nspkit_sqlite._schema as schema

    path.touch()
    other = database.connect(path)
    other.execute("CREATE TABLE other (x)")
    with pytest.raises(NotReadyError, match="something else"):
        schema.make(other, path)
    assert [row[0] for row in other.execute("SELECT name FROM sqlite_master")] == ["other"]
    other.close()


def test_what_is_no_file_is_not_opened(clients: Any, path: Path) -> None:
    """To open a pipe would be to wait for somebody who writes into it."""
    os.mkfifo(path)
    with pytest.raises(NotReadyError, match="no regular file"):
        clients()
    path.unlink()
    path.mkdir()
    with pytest.raises(NotReadyError, match="no regular file"):
        clients()


def test_a_registry_whose_making_was_undone_is_empty(client: Any, path: Path, sqlite3: Any) -> None:
    """Its number may be in the file before its tables are."""
    from nspkit_sqlite._schema import APPLICATION_ID

    sqlite3(f"PRAGMA application_id = {APPLICATION_ID}")
    assert client.find() == []
    with pytest.raises(ServiceNotFoundError):
        client.delete("x")
    client.register("x")
    assert client.names() == ["x"]


def test_a_registry_without_its_tables_is_told(client: Any, sqlite3: Any) -> None:
    """In the words of SQLite, also through connections that were open."""
    client.register("x", service_class=HTTP)
    assert client.names("x", service_class=HTTP) == ["x"]
    sqlite3("DROP TABLE service")
    for name in ("x", None):
        with pytest.raises(ProviderError, match="no such table"):
            client.find(name, service_class=HTTP)


def test_a_folder_that_is_a_file_has_no_registry(clients: Any, tmp_path: Path) -> None:
    """Nor can one be made there."""
    (tmp_path / "file").touch()
    client = clients(path=tmp_path / "file" / "registry.db")
    assert client.find() == []
    with pytest.raises(NotReadyError, match="cannot be used"):
        client.register("x")


def test_a_file_that_was_removed_is_gone(client: Any, path: Path) -> None:
    """What is registered next is in a new one, and not in what nobody can find."""
    client.register("x")
    client.register("y")
    path.unlink()
    client.register("z")
    assert path.exists()
    assert client.names() == ["z"]


def test_a_log_without_its_file_is_not_taken_over(
    client: Any, clients: Any, path: Path, sqlite3: Any
) -> None:
    """It belongs to what was there before."""
    client.register("x")
    log = path.with_name(path.name + "-wal").read_bytes()
    assert log
    client.session.close()
    path.unlink()
    path.with_name(path.name + "-wal").write_bytes(log)
    other = clients()
    other.register("y")
    assert other.names() == ["y"]
    assert sqlite3("PRAGMA integrity_check") == "ok"


def test_a_newer_registry_is_read_only(clients: Any, path: Path, sqlite3: Any) -> None:
    """Lookups go on, also through connections that were open; registrations say what to do."""
    before = clients()
    before.register("x", "192.0.2.1", service_class=HTTP)
    before.session.install_service_class(ServiceClass.dns_sd(HTTP))
    sqlite3("ALTER TABLE service ADD COLUMN more; PRAGMA user_version = 2")
    for client in (before, clients()):
        assert client.names("x", service_class=HTTP) == ["x"]
        assert client.names() == ["x"]
        assert client.session.service_class(ServiceClass.dns_sd(HTTP).id).name == HTTP
        for refused in (
            lambda client=client: client.register("y"),
            lambda client=client: client.delete("x", service_class=HTTP),
            lambda client=client: client.session.install_service_class(ServiceClass.tcp(1)),
        ):
            with pytest.raises(VersionNotSupportedError, match=r"newer release.*install"):
                refused()
    assert sqlite3("SELECT group_concat(name) FROM service; PRAGMA user_version") == "x\n2"


@pytest.fixture
def damaged(clients: Any, path: Path) -> Path:
    """A registry of which all pages but the first are nonsense."""
    client = clients()
    for number in range(50):
        client.register(f"x{number}", service_class=HTTP, attributes={"a": "b" * 1000})
    client.session.close()
    content = path.read_bytes()
    path.write_bytes(content[:4096] + b"\xa5" * (len(content) - 4096))
    return path


def test_a_damaged_file_is_told(damaged: Path, clients: Any) -> None:
    """In lookups and registrations, with the way out; and it is left as it is."""
    content = damaged.read_bytes()
    client = clients()
    for attempt in (
        lambda: client.find("x1", service_class=HTTP),
        lambda: client.find("x1"),
        client.find,
        lambda: client.register("y"),
        lambda: client.session.service_class(ServiceClass.tcp(1).id),
    ):
        with pytest.raises(NspError, match=r"is damaged.*move it away") as caught:
            attempt()
        assert caught.value.code == ErrorCode.WSANO_RECOVERY
        assert str(damaged) in str(caught.value)
    client.session.close()
    assert damaged.read_bytes() == content


def test_a_file_that_was_cut_off_is_told(clients: Any, path: Path) -> None:
    """A part of a copy is no registry."""
    client = clients()
    for number in range(50):
        client.register(f"x{number}", service_class=HTTP, attributes={"a": "b" * 1000})
    client.session.close()
    content = path.read_bytes()[:10_000]
    path.write_bytes(content)
    client = clients()
    with pytest.raises(NspError, match="is damaged"):
        client.find()
    client.session.close()
    assert path.read_bytes() == content
