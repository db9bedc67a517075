"""Many processes on one file: all see all, and a kill loses nothing."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Any

import pytest
from nspkit_sqlite import SqliteProvider

from nspkit import Cancellation, Query, Resources

PATIENCE = 60.0
HTTP = "_http._tcp"

HOST = """
import sys, nspkit
from nspkit_sqlite import SqliteProvider
catalog = nspkit.Catalog()
catalog.install(SqliteProvider)
host = nspkit.Host(catalog=catalog, settings={"sqlite": {"path": sys.argv[1]}})
session = host.startup("sqlite")
def register(name, **members):
    session.set_service(nspkit.Service(name, **members), nspkit.ServiceOperation.REGISTER)
"""


def test_another_process_finds_it_at_once(client: Any, process: Any, path: Path) -> None:
    """What was acknowledged here is there."""
    client.register("here", service_class=HTTP)
    code = HOST + (
        f"print(*[s.name for s in session.lookup(service_class={HTTP!r})])\n"
        f"register('there', service_class={HTTP!r})\n"
        "print('done', flush=True)\n"
    )
    other = process(code, path)
    assert other.stdout.readline() == "here\n"
    assert other.stdout.readline() == "done\n"
    assert client.names(service_class=HTTP) == ["here", "there"]


def test_many_processes_make_one_registry(
    client: Any, process: Any, path: Path, sqlite3: Any
) -> None:
    """All begin at once, where nothing is, and nothing of any is lost."""
    path = path.parent / "new" / path.name
    code = HOST + (
        "print('ready', flush=True)\n"
        "sys.stdin.readline()\n"
        "for number in range(25): register(f'{sys.argv[2]}-{number:02}')\n"
        "host.close()\n"
        "print('done', flush=True)\n"
    )
    children = [process(code, path, name) for name in "abcdef"]
    for child in children:
        assert child.stdout.readline() == "ready\n"
    for child in children:
        child.stdin.write("go\n")
        child.stdin.flush()
    for child in children:
        assert child.stdout.readline() == "done\n"
        assert child.wait(PATIENCE) == 0
    expected = [f"{name}-{number:02}" for name in "abcdef" for number in range(25)]
    assert sqlite3("SELECT name FROM service ORDER BY name", file=path).split() == expected
    assert sqlite3("PRAGMA integrity_check; PRAGMA journal_mode", file=path) == "ok\nwal"


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this platform cannot kill so hard")
def test_what_a_killed_process_has_acknowledged_is_there(
    client: Any, process: Any, path: Path, sqlite3: Any
) -> None:
    """Every one; at most the one that was under way is there too."""
    code = HOST + (
        "for number in range(1_000_000):\n"
        "    register(f'x{number:06}', attributes={'a': 'b' * 500})\n"
        "    print(number, flush=True)\n"
    )
    child = process(code, path)
    told = [int(child.stdout.readline()) for _ in range(50)]
    child.kill()
    told += [int(line) for line in child.stdout.read().splitlines(keepends=True) if "\n" in line]
    child.wait(PATIENCE)
    expected = [f"x{number:06}" for number in told]
    found = client.names()
    assert found[: len(expected)] == expected
    assert len(found) <= len(expected) + 1
    assert sqlite3("PRAGMA integrity_check") == "ok"
    client.register("y")
    assert client.names("y") == ["y"]


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this platform cannot kill so hard")
def test_a_process_that_is_killed_inside_holds_nobody_up(
    client: Any, process: Any, path: Path
) -> None:
    """Its transaction has not happened, and its lock is gone with it."""
    client.register("x", "192.0.2.1")
    code = (
        "import sqlite3, sys\n"
        "connection = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "connection.execute('BEGIN IMMEDIATE')\n"
        "connection.execute('DELETE FROM service')\n"
        "print('inside', flush=True)\n"
        "sys.stdin.readline()\n"
    )
    child = process(code, path)
    assert child.stdout.readline() == "inside\n"
    child.kill()
    child.wait(PATIENCE)
    client.register("y")
    assert client.names() == ["x", "y"]


def test_a_watch_tells_of_another_process_and_of_its_end(
    process: Any, path: Path, tmp_path: Path
) -> None:
    """When it was killed, its entry is gone when its lease has ended, and not before."""
    provider = SqliteProvider()
    with Resources() as resources:
        provider.nsp_startup({"path": path, "interval": 0.01}, resources)
        cancellation = Cancellation(time.monotonic() + PATIENCE)
        changes = filter(None, provider.nsp_notify_change(Query(), cancellation))
        code = HOST + "register('x', ttl=1)\nprint('done', flush=True)\nsys.stdin.readline()\n"
        began = time.time()
        child = process(code, path)
        added = next(changes)
        assert child.stdout.readline() == "done\n"
        acknowledged = time.time()
        child.kill()
        removed = next(changes)
        ended = time.time()
        assert (added.kind.value, removed.kind.value) == ("added", "removed")
        assert began + 1 <= ended
        assert ended - acknowledged < 1 + 5  # a slow machine; a second that is added is found above
