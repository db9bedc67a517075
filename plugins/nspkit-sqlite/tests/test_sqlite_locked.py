"""Files that somebody else has locked: who waits, and for how long."""

from __future__ import annotations

import sqlite3 as database
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from nspkit_sqlite import SqliteProvider

from nspkit import Cancellation, Query, Resources
from nspkit.errors import (
    TryAgainError,
)

HTTP = "_http._tcp"
NOBODY = 65534
PATIENCE = 30.0


@pytest.fixture
def locked(client: Any, path: Path) -> Iterator[database.Connection]:
    """A registry with one service, which somebody else is writing into."""
    client.register("x", service_class=HTTP)
    other = database.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    yield other
    other.close()


def test_who_writes_waits_for_who_writes(locked: Any, clients: Any, path: Path) -> None:
    """For as long as the setting says; a lookup does not wait at all."""
    client = clients(busy_timeout=0.05)
    began = time.monotonic()
    with pytest.raises(TryAgainError, match=r"locked by others for 0\.05 s.*'busy_timeout'"):
        client.register("y")
    assert time.monotonic() - began >= 0.05
    assert client.names("x", service_class=HTTP) == ["x"]
    locked.execute("COMMIT")
    client.register("y")


def test_who_waits_gets_its_turn(locked: Any, client: Any) -> None:
    """The registration is done when the other is."""
    done = threading.Event()

    def register() -> None:
        client.register("y")
        done.set()

    thread = threading.Thread(target=register)
    thread.start()
    locked.execute("COMMIT")
    assert done.wait(PATIENCE)
    thread.join(PATIENCE)
    assert client.names("y") == ["y"]


def test_threads_wait_for_each_other_no_longer(path: Path) -> None:
    """Within a process there is a queue, in which nobody stands for ever."""
    provider = SqliteProvider()
    with Resources() as resources:
        provider.nsp_startup({"path": path, "busy_timeout": 0.05}, resources)
        with provider._registry._turn, pytest.raises(TryAgainError, match="locked"):
            provider.nsp_set_service(Service("x"), ServiceOperation.REGISTER, False)
        provider.nsp_set_service(Service("x"), ServiceOperation.REGISTER, False)


@pytest.fixture
def exclusive(client: Any, path: Path) -> Iterator[database.Connection]:
    """A registry that somebody else has for itself, which a lookup waits for too."""
    client.register("x", service_class=HTTP)
    client.session.close()
    other = database.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("PRAGMA locking_mode = EXCLUSIVE")
    other.execute("BEGIN IMMEDIATE")
    other.execute("DELETE FROM change")
    yield other
    other.close()


def test_a_lookup_waits_as_long_as_the_setting_says(exclusive: Any, clients: Any) -> None:
    """Then it says so."""
    client = clients(busy_timeout=0.05)
    for restrictions in ({"service_class": HTTP}, {}):
        with pytest.raises(TryAgainError, match=r"locked by others for 0\.05 s"):
            client.find("x", **restrictions)


def test_a_lookup_waits_no_longer_than_somebody_waits_for_it(exclusive: Any, path: Path) -> None:
    """The time that remains counts too, and a cancellation ends it at once."""
    provider = SqliteProvider()
    with Resources() as resources:
        provider.nsp_startup({"path": path, "busy_timeout": 3000.0}, resources)
        query = Query("x", service_class=HTTP)
        with pytest.raises(TryAgainError):
            provider.nsp_lookup_service(query, Cancellation(time.monotonic() + 0.05))
        cancellation = Cancellation()
        ended = threading.Event()

        def look_up() -> None:
            with pytest.raises(TryAgainError):
                provider.nsp_lookup_service(query, cancellation)
            ended.set()

        thread = threading.Thread(target=look_up)
        thread.start()
        cancellation.cancel()
        assert ended.wait(PATIENCE)
        thread.join(PATIENCE)


def test_a_lookup_that_waited_is_answered(exclusive: Any, client: Any, clients: Any) -> None:
    """As soon as the file is free."""
    client = clients()
    found: list[str] = []
    thread = threading.Thread(target=lambda: found.extend(client.names("x", service_class=HTTP)))
    thread.start()
    exclusive.close()
    thread.join(PATIENCE)
    assert found == ["x"]


def test_who_writes_waits_for_the_mode_it_needs(
    clients: Any, path: Path, sqlite3: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where somebody has changed it back, and still reads."""
    first = clients()
    first.register("x")
    first.session.close()
    assert sqlite3("PRAGMA journal_mode = DELETE") == "delete"
    other = database.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN")
    other.execute("SELECT * FROM service").fetchall()
    with pytest.raises(TryAgainError):
        clients(busy_timeout=0.05).register("y")
    waiting = threading.Event()
    monkeypatch.setattr("nspkit_sqlite._opening.sleep", lambda _seconds: waiting.set())
    client = clients()
    thread = threading.Thread(target=lambda: client.register("y"))
    thread.start()
    assert waiting.wait(PATIENCE)
    other.close()
    thread.join(PATIENCE)
    assert client.names() == ["x", "y"]
    assert sqlite3("PRAGMA journal_mode") == "wal"
