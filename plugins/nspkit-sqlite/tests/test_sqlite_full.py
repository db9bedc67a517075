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
import nspkit_sqlite._schema as schema
import pytest

from nspkit import ErrorCode, NspError
from nspkit.errors import (
    AccessDeniedError,
    InvalidArgumentError,
    NotReadyError,
    OutOfMemoryError,
    ProviderError,
    TryAgainError,
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
    if shutil.which("mount") is None:
        pytest.skip("there is no command that mounts a file system")
    if subprocess.run(command, check=False, capture_output=True).returncode:
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


@pytest.fixture
def filled(small_disk: Path, clients: Any) -> Path:
    """A registry of three services which nobody has open, on a disk that is full to the last."""
    file = small_disk / "registry.db"
    client = clients(path=file)
    for name in "abc":
        client.register(name, service_class=HTTP)
    client.session.close()
    _fill_up(small_disk)
    return file


def _fill_up(folder: Path) -> None:
    with pytest.raises(OSError, match="No space"), (folder / "filling").open("wb") as filling:
        while True:
            filling.write(bytes(4096))
            filling.flush()


def test_a_full_disk_keeps_nobody_from_reading(filled: Path, clients: Any) -> None:
    """Though there is no room for the memory that processes share; the registry stays as it is."""
    before = filled.read_bytes()
    client = clients(path=filled)
    assert client.names("b", service_class=HTTP) == ["b"]
    assert client.names("c") == ["c"]
    assert client.names() == ["a", "b", "c"]
    with client.session.watch() as watch:
        assert watch.wait(PATIENCE).service.name == "a"
    assert filled.read_bytes() == before


@pytest.mark.parametrize("operation", ["register", "deregister", "delete"])
def test_who_writes_to_a_full_disk_is_told_so(filled: Path, clients: Any, operation: str) -> None:
    """By the same number as where the file itself cannot grow, and with the way out."""
    client = clients(path=filled)
    call = getattr(client, operation)
    with pytest.raises(NspError, match=f"no room for {filled} .*make room on its disk") as caught:
        call("a", service_class=HTTP)
    assert caught.value.code == ErrorCode.WSAENOBUFS
    assert client.names() == ["a", "b", "c"]
    (filled.parent / "filling").unlink()
    call("a", service_class=HTTP)
    assert client.names()[-2:] == ["b", "c"]


def test_a_full_disk_hides_nothing_that_is_in_the_log(small_disk: Path, clients: Any) -> None:
    """What was acknowledged would be missing; so this too is told as a full disk."""
    owner = clients(path=small_disk / "owner.db")
    owner.register("x")
    file = small_disk / "registry.db"
    for suffix in ("", "-wal"):
        shutil.copy(small_disk / f"owner.db{suffix}", f"{file}{suffix}")
    _fill_up(small_disk)
    client = clients(path=file)
    with pytest.raises(NspError, match="no room") as caught:
        client.find("x")
    assert caught.value.code == ErrorCode.WSAENOBUFS
    (small_disk / "filling").unlink()
    assert client.names("x") == ["x"]


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
        (database.SQLITE_BUSY, TryAgainError),
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


def test_a_disk_that_fails_at_the_start_is_told(
    started: Any, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not as a file of something else."""

    class Failing(database.Connection):
        """A connection to a file on such a disk: SQLite answers so."""

        def execute(self, *_arguments: Any) -> Any:
            error = database.OperationalError("disk I/O error")
            error.sqlite_errorcode = database.SQLITE_IOERR_READ
            raise error

    path.write_bytes(b"something")
    real = database.connect
    monkeypatch.setattr(
        "nspkit_sqlite._schema.sqlite3.connect",
        lambda *arguments, **options: real(*arguments, **options, factory=Failing),
    )
    with pytest.raises(ProviderError, match="disk is full or failing"):
        started()


def test_the_slower_of_two_who_make_a_file_changes_nothing(path: Path) -> None:
    """It has waited for the other one, and finds the tables."""
    connection = database.connect(path, isolation_level=None)
    schema.make(connection, path)
    before = path.read_bytes()
    schema.make(connection, path)
    connection.close()
    assert path.read_bytes() == before


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
