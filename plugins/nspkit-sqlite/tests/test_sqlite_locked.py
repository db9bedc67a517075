"""Files that somebody else has locked: who waits, for how long, and what ends the wait."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from nspkit_sqlite import SqliteProvider

from nspkit import Cancellation, Query, Service, ServiceOperation
from nspkit.errors import TryAgainError

HTTP = "_http._tcp"
PATIENCE = 30.0
FOREVER = 3600.0

TO_WRITE = ("BEGIN IMMEDIATE",)
# Nobody else may even read: in WAL mode that takes more than BEGIN EXCLUSIVE.
FOR_ITSELF = ("PRAGMA locking_mode = EXCLUSIVE", "BEGIN EXCLUSIVE")


def content(path: Path) -> str:
    """What is in the files; read by another process, whose closing of them unlocks nothing here."""
    code = "import sys, pathlib; print([pathlib.Path(name).read_bytes() for name in sys.argv[1:]])"
    files = [str(file) for file in sorted(path.parent.glob("*")) if not file.match("*-shm")]
    done = subprocess.run([sys.executable, "-c", code, *files], capture_output=True, check=True)
    return done.stdout.decode()


def put(provider: SqliteProvider, name: str) -> None:
    """Register a service."""
    provider.nsp_set_service(Service(name), ServiceOperation.REGISTER, False)


def find(provider: SqliteProvider, cancellation: Cancellation, **asked: Any) -> list[str]:
    """The names that a lookup finds."""
    found = provider.nsp_lookup_service(Query(**asked), cancellation)
    return [service.name for service in found]


# -- the time-out --------------------------------------------------------------------------------


@pytest.mark.parametrize("statements", [TO_WRITE, FOR_ITSELF])
def test_a_registration_waits_as_long_as_the_setting_says(
    hold: Any, clients: Any, path: Path, statements: tuple[str, ...]
) -> None:
    """Then it says so, and the file is as it was."""
    free = hold(*statements)
    client = clients(busy_timeout=0.05)
    before = content(path)
    began = time.monotonic()
    with pytest.raises(TryAgainError, match=r"locked by others for 0\.05 s.*'busy_timeout'") as it:
        client.register("y")
    assert it.value.code == 11002
    assert 0.05 <= time.monotonic() - began < PATIENCE
    assert content(path) == before
    free()
    client.register("y")
    assert sorted(client.names()) == ["x", "y"]


@pytest.mark.parametrize("asked", [{"name": "x", "service_class": HTTP}, {"name": "x"}, {}])
def test_a_lookup_waits_as_long_as_the_setting_says(
    hold: Any, clients: Any, path: Path, asked: dict[str, str]
) -> None:
    """Only where somebody has the file for itself."""
    free = hold(*FOR_ITSELF)
    client = clients(busy_timeout=0.05)
    before = content(path)
    with pytest.raises(TryAgainError, match=r"locked by others for 0\.05 s") as caught:
        client.find(**asked)
    assert caught.value.code == 11002
    assert content(path) == before
    free()
    assert client.names(**asked) == ["x"]


def test_a_lookup_does_not_wait_for_who_writes(hold: Any, clients: Any) -> None:
    """Nor does a watch; that is what the log is for."""
    hold(*TO_WRITE)
    client = clients(busy_timeout=0.0)
    assert client.names("x", service_class=HTTP) == client.names() == ["x"]
    with client.session.watch() as watch:
        assert watch.wait(PATIENCE).service.name == "x"


# -- the way into WAL mode -----------------------------------------------------------------------


def test_who_makes_a_file_waits_for_who_makes_it_too(lock: Any, started: Any, waits: Any) -> None:
    """Both have found that nothing is there, and one has begun."""
    free = lock("BEGIN EXCLUSIVE")
    provider, _resources = started(busy_timeout=FOREVER)
    waiting = waits(provider, lambda: put(provider, "x"))
    free()
    assert waiting.ended().error is None
    assert find(provider, Cancellation()) == ["x"]


def test_who_writes_waits_for_the_mode_it_needs(
    clients: Any, started: Any, waits: Any, lock: Any, sqlite3: Any
) -> None:
    """A file that is not in WAL mode yet is not put into it while somebody reads."""
    first = clients()
    first.register("x")
    first.session.close()
    assert sqlite3("PRAGMA journal_mode = DELETE") == "delete"
    free = lock("BEGIN", "SELECT * FROM service")
    with pytest.raises(TryAgainError, match=r"locked by others for 0\.05 s"):
        clients(busy_timeout=0.05).register("y")
    assert sqlite3("PRAGMA journal_mode") == "delete"
    provider, _resources = started(busy_timeout=FOREVER)
    waiting = waits(provider, lambda: put(provider, "y"))
    free()
    assert waiting.ended().error is None
    assert find(provider, Cancellation()) == ["x", "y"]
    assert sqlite3("PRAGMA journal_mode") == "wal"


MAKE = """
import sys, threading
from nspkit import Resources, Service, ServiceOperation
from nspkit_sqlite import SqliteProvider
name = sys.argv[1]
for line in sys.stdin:
    provider = SqliteProvider()
    with Resources() as resources:
        provider.nsp_startup({"path": line.strip()}, resources)
        print("ready", flush=True)
        sys.stdin.readline()
        provider.nsp_set_service(Service(name), ServiceOperation.REGISTER, False)
        print("done", flush=True)
"""


def test_two_processes_make_a_file_at_once(process: Any, path: Path, sqlite3: Any) -> None:
    """Forty times, because it is chance where they meet: nobody is told that it is locked."""

    def say(text: str) -> None:
        for child in children:
            child.stdin.write(text)
            child.stdin.flush()

    children = [process(MAKE, name) for name in "ab"]
    for number in range(40):
        file = path.with_name(f"{number}.db")
        for said, answer in ((f"{file}\n", "ready\n"), ("go\n", "done\n")):
            say(said)
            assert [child.stdout.readline() for child in children] == [answer, answer]
        assert sqlite3("SELECT name FROM service ORDER BY name", file=file) == "a\nb"
        assert sqlite3("PRAGMA journal_mode", file=file) == "wal"
