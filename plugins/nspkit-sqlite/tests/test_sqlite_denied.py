"""Files and folders that this process may not write, or not even read."""

from __future__ import annotations

import os
import shutil
import sqlite3 as database
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from nspkit_sqlite import SqliteProvider

from nspkit import Cancellation, Query, Resources, ServiceClass
from nspkit.errors import AccessDeniedError, NotReadyError

HTTP = "_http._tcp"
NOBODY = 65534
PATIENCE = 30.0


def contents(folder: Path) -> dict[str, bytes]:
    """All files of a folder, with what is in them."""
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder that anybody may enter, and nobody but its owner write."""
    folder = Path(tempfile.mkdtemp(prefix="nspkit-sqlite-"))
    folder.chmod(0o755)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


class Somebody:
    """The process as somebody who may not write what root may."""

    def __enter__(self) -> None:
        if os.geteuid() == 0:
            os.seteuid(NOBODY)

    def __exit__(self, *_details: object) -> None:
        if os.getuid() == 0:
            os.seteuid(0)


@pytest.fixture
def guest(shared: Path, clients: Any) -> Any:
    """A function that makes a client of the shared registry which has all of its code loaded."""

    def make() -> Any:
        warm = clients(path=shared / "warm.db")
        warm.register("x")
        warm.session.install_service_class(ServiceClass.tcp(1))
        warm.find()
        for file in shared.glob("warm.db*"):
            file.unlink()
        return clients(path=shared / "registry.db")

    return make


def test_a_registry_that_may_only_be_read_is(shared: Path, clients: Any, guest: Any) -> None:
    """Whether somebody else has it open or not; to register is denied, and nothing changes."""
    owner = clients(path=shared / "registry.db")
    owner.register("x", service_class=HTTP)
    reader = guest()
    if os.geteuid():
        (shared / "registry.db").chmod(0o444)
        shared.chmod(0o555)
    with Somebody():
        assert reader.names("x", service_class=HTTP) == ["x"]
        assert reader.names() == ["x"]
        with pytest.raises(AccessDeniedError, match=r"change its\s+permissions"):
            reader.register("y")
    owner.session.close()
    reader.session.close()


def test_a_registry_of_which_nothing_is_open_may_be_read(
    shared: Path, clients: Any, guest: Any
) -> None:
    """SQLite alone would refuse it, because it cannot make its files beside it."""
    owner = clients(path=shared / "registry.db")
    owner.register("x", service_class=HTTP)
    owner.session.install_service_class(ServiceClass.dns_sd(HTTP))
    owner.session.close()
    assert [file.name for file in shared.iterdir()] == ["registry.db"]
    before = contents(shared)
    reader = guest()
    if os.geteuid():
        shared.chmod(0o555)
    with Somebody():
        for _ in range(2):
            assert reader.names("x", service_class=HTTP) == ["x"]
            assert reader.names() == ["x"]
            assert reader.session.service_class(ServiceClass.dns_sd(HTTP).id).name == HTTP
        with pytest.raises(AccessDeniedError):
            reader.register("y")
    assert contents(shared) == before
    reader.session.close()


def test_a_frozen_registry_that_thaws_is_read_again(
    shared: Path, clients: Any, guest: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was read while somebody began to write may be half of it."""
    owner = clients(path=shared / "registry.db")
    owner.register("x", service_class=HTTP, comment="old")
    owner.session.close()
    reader = guest()
    from nspkit_sqlite._connections import Connections

    real = Connections.has_changed
    states: list[bool] = []

    def has_changed(self: Connections, state: Any) -> bool:
        if not states:
            os.seteuid(0)
            other = clients(path=shared / "registry.db")
            other.register("x", service_class=HTTP, comment="new")
            other.session.close()
            os.seteuid(NOBODY)
        states.append(real(self, state))
        return states[-1]

    monkeypatch.setattr(Connections, "has_changed", has_changed)
    if os.geteuid():
        pytest.skip("needs root, to be two users")
    with Somebody():
        assert reader.find("x", service_class=HTTP)[0].comment == "new"
    assert states == [True, False]
    reader.session.close()


def test_a_watch_of_a_frozen_registry_goes_on(shared: Path, clients: Any, guest: Any) -> None:
    """It sees by the file's time and size that somebody has written."""
    if os.geteuid():
        pytest.skip("needs root, to be two users")
    owner = clients(path=shared / "registry.db")
    owner.register("x")
    owner.session.close()
    guest()
    provider = SqliteProvider()
    with Resources() as resources:
        provider.nsp_startup({"path": shared / "registry.db", "interval": 0.005}, resources)
        cancellation = Cancellation(time.monotonic() + PATIENCE)
        changes = filter(None, provider.nsp_notify_change(Query(), cancellation))
        with Somebody():
            assert next(changes).service.name == "x"
        owner = clients(path=shared / "registry.db")
        owner.register("y")
        owner.session.close()
        with Somebody():
            assert next(changes).service.name == "y"


def test_a_registry_that_may_not_be_read_is_denied(shared: Path, clients: Any, guest: Any) -> None:
    """The message says that it is a matter of permissions."""
    owner = clients(path=shared / "registry.db")
    owner.register("x")
    owner.session.close()
    reader = guest()
    reader.session.close()
    (shared / "registry.db").chmod(0o000)
    with Somebody(), pytest.raises(AccessDeniedError, match="permissions"):
        clients(path=shared / "registry.db")


def test_a_folder_that_may_not_be_entered_is_denied(shared: Path, clients: Any, guest: Any) -> None:
    """Nobody can say whether there is a registry."""
    guest().session.close()
    shared.chmod(0o700 if os.geteuid() == 0 else 0o000)
    with Somebody(), pytest.raises(AccessDeniedError, match="permissions"):
        clients(path=shared / "registry.db")


def test_a_folder_that_may_not_be_written_gets_no_registry(shared: Path, guest: Any) -> None:
    """Nor a folder in it."""
    client = guest()
    if os.geteuid():
        shared.chmod(0o555)
    with Somebody(), pytest.raises((AccessDeniedError, NotReadyError), match="folder"):
        client.register("x")
    assert list(shared.iterdir()) == []


@pytest.mark.parametrize("linked", [False, True])
def test_what_is_in_a_log_is_not_passed_over(
    shared: Path, clients: Any, guest: Any, linked: bool
) -> None:
    """A file whose log cannot be read with it would tell what is not true any more.

    Through a symbolic link too: SQLite has the log beside the file, not beside the link.
    """
    owner = clients(path=shared / "owner.db")
    owner.register("x")
    for suffix in ("", "-wal"):
        shutil.copy(shared / f"owner.db{suffix}", shared / f"registry.db{suffix}")
    owner.session.close()
    reader = guest()
    if linked:
        (shared / "links").mkdir(mode=0o755)
        (shared / "links" / "registry.db").symlink_to(shared / "registry.db")
        reader = clients(path=shared / "links" / "registry.db")
    if os.geteuid():
        shared.chmod(0o555)
    with Somebody(), pytest.raises((AccessDeniedError, NotReadyError)):
        reader.find("x")


@pytest.fixture
def frozen(shared: Path, clients: Any, guest: Any) -> Iterator[SqliteProvider]:
    """The provider of a registry that nobody has open, and which somebody may only read."""
    if os.geteuid():
        pytest.skip("needs root, to be two users")
    owner = clients(path=shared / "registry.db")
    owner.register("x", comment="old")
    owner.session.close()
    guest()
    provider = SqliteProvider()
    with Resources() as resources:
        provider.nsp_startup({"path": shared / "registry.db"}, resources)
        yield provider


@pytest.fixture
def meanwhile() -> Iterator[Callable[[Callable[[], object]], None]]:
    """A function that does something as the owner, in the midst of what somebody does."""

    def do(work: Callable[[], object]) -> None:
        os.seteuid(0)
        work()
        os.seteuid(NOBODY)

    yield do
    if os.getuid() == 0:
        os.seteuid(0)


def test_a_log_of_nothing_keeps_nobody_from_reading(
    frozen: SqliteProvider, shared: Path, clients: Any, meanwhile: Any
) -> None:
    """A process that was killed may have left one; and who looks notices when it is filled."""
    (shared / "registry.db-wal").touch(mode=0o600)
    owner = clients(path=shared / "registry.db")
    found: list[str] = []

    def work(connection: Any) -> str:
        comment: str = connection.execute("SELECT comment FROM service").fetchone()[0]
        if not found:  # it stays open, so all of it is in the log
            meanwhile(lambda: owner.register("x", comment="new"))
        found.append(comment)
        return comment

    with Somebody():
        assert frozen._registry.read(work) == "new"
    assert found == ["old", "new"]


def test_a_frozen_registry_that_goes_is_not_there(
    frozen: SqliteProvider, shared: Path, meanwhile: Any
) -> None:
    """What was read of it may be half of it, and nothing is there to be read again."""
    found: list[object] = []

    def work(connection: Any) -> None:
        found.append(connection.execute("SELECT name FROM service").fetchone())
        meanwhile((shared / "registry.db").unlink)
        # Otherwise it is trusted for half a second that it is still there.
        frozen._registry._connections._trusted_until = 0.0

    with Somebody():
        assert frozen._registry.read(work) is None
    assert found == [("x",)]


def test_a_frozen_registry_that_fails_while_it_changes_is_read_again(
    frozen: SqliteProvider, shared: Path, clients: Any, meanwhile: Any
) -> None:
    """Pages of two states may look like damage."""
    owner = clients(path=shared / "registry.db")
    tries: list[int] = []

    def work(connection: Any) -> list[Any]:
        tries.append(1)
        if len(tries) == 1:
            meanwhile(lambda: owner.register("y"))
            raise database.DatabaseError("database disk image is malformed")
        rows: list[Any] = connection.execute("SELECT name FROM service").fetchall()
        return rows

    with Somebody():
        assert frozen._registry.read(work) == [("x",), ("y",)]
    assert len(tries) == 2
