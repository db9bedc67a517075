"""A full disk, a limit of file sizes, and every other kind of failure."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import sqlite3 as database
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nspkit_sqlite._failures as failures
import pytest

from nspkit import ErrorCode, NspError
from nspkit.errors import (
    AccessDeniedError,
    InvalidArgumentError,
    NotReadyError,
    OutOfMemoryError,
    ProviderError,
)

HTTP = "_http._tcp"
NOBODY = 65534
PATIENCE = 30.0


def fill(client: Any) -> list[str]:
    """Register until there is no room; returns what was acknowledged."""
    names: list[str] = []

    def register() -> None:
        for number in range(10_000):
            client.register(f"x{number:05}", attributes={"a": "b" * 1000})
            names.append(f"x{number:05}")

    with pytest.raises(NspError, match="disk") as caught:
        register()
    assert caught.value.code in (ErrorCode.WSAENOBUFS, ErrorCode.WSASYSCALLFAILURE)
    return names


def test_a_limit_of_file_sizes_is_told(client: Any, sqlite3: Any) -> None:
    """What was acknowledged is there, what was not is not, and then it goes on."""
    client.register("first")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, hard))
    try:
        names = fill(client)
        assert client.names() == ["first", *names]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert names
    assert sqlite3("PRAGMA integrity_check") == "ok"
    client.register("last")
    assert client.names() == ["first", "last", *names]
    client.session.close()
    assert sqlite3("SELECT count(*) FROM service") == str(len(names) + 2)


def test_a_limit_of_file_sizes_leaves_no_half_registry(client: Any, path: Path) -> None:
    """The file is empty if it was made, and becomes a registry when there is room."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5_000, hard))
    try:
        with pytest.raises(NspError, match="disk"):
            client.register("x")
        assert client.find() == []
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not path.exists() or path.stat().st_size == 0
    client.register("x")
    assert client.names() == ["x"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 400 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(command, check=False).returncode:
        pytest.skip("this process may not mount a file system")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_is_told(small_disk: Path, clients: Any, sqlite3: Any) -> None:
    """As above, where there is really no room."""
    file = small_disk / "registry.db"
    client = clients(path=file)
    names = fill(client)
    assert names
    assert client.names() == names
    with pytest.raises(NspError, match="disk"):
        client.register("y", attributes={"a": "b" * 50_000})
    assert sqlite3("PRAGMA integrity_check", file=file) == "ok"
    assert sqlite3("SELECT count(*) FROM service", file=file) == str(len(names))
    client.session.close()


def of_sqlite(code: int) -> NspError:
    """The error for a number of SQLite's."""
    error = database.OperationalError("said SQLite")
    error.sqlite_errorcode = code
    return failures.of_sqlite(error, Path("/r.db"))


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (database.SQLITE_NOMEM, OutOfMemoryError),
        (database.SQLITE_TOOBIG, InvalidArgumentError),
        (database.SQLITE_ERROR, ProviderError),
        (database.SQLITE_IOERR_READ, ProviderError),
        (database.SQLITE_READONLY_DIRECTORY, AccessDeniedError),
        (database.SQLITE_CANTOPEN, NotReadyError),
    ],
)
def test_each_kind_of_error_has_its_class(code: int, kind: type[NspError]) -> None:
    """Each names the file and what SQLite said."""
    error = of_sqlite(code)
    assert type(error) is kind
    assert "/r.db" in str(error)


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.ENOSPC, ErrorCode.WSAENOBUFS),
        (errno.EROFS, ErrorCode.WSAEACCES),
        (errno.EIO, ErrorCode.WSASYSNOTREADY),
    ],
)
def test_a_folder_that_cannot_be_made_is_told(number: int, code: ErrorCode) -> None:
    """By what the file system says."""
    error = failures.of_the_file(OSError(number, os.strerror(number)), Path("/r.db"))
    assert error.code == code
    assert "/r.db" in str(error)


def test_an_error_without_a_number_is_told_too() -> None:
    """Python raises some by itself."""
    error = failures.of_sqlite(database.ProgrammingError("bad"), Path("/r.db"))
    assert isinstance(error, ProviderError)
    assert "ProgrammingError: bad" in str(error)


def test_a_file_system_without_shared_memory_is_refused(path: Path) -> None:
    """WAL needs it; here another process keeps the file in another mode."""
    from nspkit_sqlite._opening import _use_log

    class Stubborn(database.Connection):
        """A connection to a file on such a file system: SQLite answers so."""

        def execute(self, *_arguments: Any) -> Any:
            return super().execute("SELECT 'delete'")

    connection = database.connect(":memory:", factory=Stubborn)
    with pytest.raises(NotReadyError, match="share memory"):
        _use_log(connection, path)  # type: ignore[arg-type]
    connection.close()
