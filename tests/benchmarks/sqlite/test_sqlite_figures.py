"""The registry in SQLite with 1,000,000 services, beside SQLite alone.

Not part of the suite: ``pytest tests/benchmarks/sqlite`` runs them, on a machine that does nothing
else. "SQLite alone" is the module `sqlite3` on the same file: the same rows, from which nothing is
made; the same statements, in which nothing is checked.
"""

from __future__ import annotations

import gc
import json
import os
import random
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import cycle
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any
from uuid import UUID

import pytest

import nspkit
from nspkit import Address, Service, ServiceOperation

nspkit_sqlite = pytest.importorskip("nspkit_sqlite")

MANY = 1_000_000
CLASSES = [UUID(int=number + 1) for number in range(4)]
MIB = 1 << 20
ONE = (
    "SELECT class, context, name, type, registered, addresses, attributes, comment, version, "
    "blob, expires_at, leases FROM service WHERE class = ? AND context = ? AND name = ?"
)
FILL = (
    "INSERT INTO service (class, context, name, registered, addresses, attributes, comment) "
    "VALUES (?, '', ?, 1, ?, ?, '')"
)


def name_of(number: int) -> str:
    """The name of a service; its class is one of four."""
    return f"service-{number:07}"


def rows() -> Iterator[tuple[Any, ...]]:
    """All services but the first, as rows: an address of its own, and one attribute."""
    for number in range(1, MANY):
        host = f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"
        address = f'[["inet",1,6,["{host}",8080]]]'
        yield CLASSES[number % 4].bytes, name_of(number), address, '{"path":"/"}'


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file. The first service is registered, the others are put beside it."""
    path = tmp_path_factory.mktemp("million") / "registry.db"
    with host_of(path) as host, host.startup("sqlite") as session:
        address = Address.inet("10.0.0.0", 8080, type=1, proto=6)
        first = Service(
            name_of(0), service_class=CLASSES[0], addresses=[address], attributes={"path": "/"}
        )
        session.set_service(first, ServiceOperation.REGISTER)
    connection = sqlite3.connect(path, isolation_level=None)
    [trigger] = connection.execute(
        "SELECT sql FROM sqlite_master WHERE name = 'service_added'"
    ).fetchone()
    connection.execute("BEGIN")
    connection.execute("DROP TRIGGER service_added")
    connection.executemany(FILL, rows())
    connection.execute(trigger)
    connection.execute("COMMIT")
    connection.close()
    return path


def host_of(path: Path) -> nspkit.Host:
    """A host of the provider alone."""
    catalog = nspkit.Catalog()
    catalog.install(nspkit_sqlite.SqliteProvider)
    return nspkit.Host(catalog=catalog, settings={"sqlite": {"path": path}})


@pytest.fixture
def provider(path: Path) -> Iterator[Any]:
    """The provider, without a host."""
    provider = nspkit_sqlite.SqliteProvider()
    with nspkit.Resources() as resources:
        provider.nsp_startup({"path": path}, resources)
        yield provider


@pytest.fixture
def session(path: Path) -> Iterator[nspkit.Session]:
    """The provider in its host."""
    with host_of(path) as host:
        yield host.startup("sqlite")


@pytest.fixture
def alone(path: Path) -> Iterator[sqlite3.Connection]:
    """SQLite alone."""
    connection = sqlite3.connect(path, isolation_level=None)
    yield connection
    connection.close()


# -- exact lookups -------------------------------------------------------------------------------


def times(ours: Callable[[], object], theirs: Callable[[], object]) -> float:
    """How many times as long one takes as the other: medians of many short turns, one by one.

    What a turn of the other leaves in the caches of the machine is the same for both. The cost of
    the loop is in both, and so is that of choosing the next key, as in a program.
    """
    taken: tuple[list[float], list[float]] = ([], [])
    gc.collect()
    gc.disable()
    try:
        for _ in range(150):
            for function, seconds in zip((ours, theirs), taken, strict=True):
                began = perf_counter()
                for _ in range(200):
                    function()
                seconds.append(perf_counter() - began)
    finally:
        gc.enable()
    return median(taken[0]) / median(taken[1])


@pytest.mark.parametrize(
    ("which", "count"), [("again and again", 500), ("for the first time", 200_000)]
)
@pytest.mark.parametrize("where", ["provider", "session"])
def test_an_exact_lookup(
    provider: Any,
    session: nspkit.Session,
    alone: sqlite3.Connection,
    figure: Callable[..., None],
    where: str,
    which: str,
    count: int,
) -> None:
    """One service by class and name, some hundreds that a program uses, or any of all."""
    numbers = random.Random(1).sample(range(MANY), count)
    keys = [(CLASSES[number % 4], name_of(number)) for number in numbers]
    ours, theirs = cycle(keys), cycle(keys)
    cancellation = nspkit.Cancellation()

    def at_the_provider() -> None:
        service_class, name = next(ours)
        query = nspkit.Query(name, service_class=service_class)
        for _service in provider.nsp_lookup_service(query, cancellation):
            pass

    def in_a_session() -> None:
        service_class, name = next(ours)
        for _service in session.lookup(name, service_class=service_class):
            pass

    def by_sqlite() -> None:
        service_class, name = next(theirs)
        alone.execute(ONE, (service_class.bytes, "", name)).fetchall()

    ask = at_the_provider if where == "provider" else in_a_session
    measured = times(ask, by_sqlite)
    figure(f"exact lookup {which}, {where} : sqlite3", measured, 1.5)


# -- browsing ------------------------------------------------------------------------------------

BROWSE = """
import json, os, sys
from pathlib import Path
from time import perf_counter
import nspkit, nspkit_sqlite
def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
catalog = nspkit.Catalog()
catalog.install(nspkit_sqlite.SqliteProvider)
host = nspkit.Host(catalog=catalog, settings={"sqlite": {"path": sys.argv[1]}})
session = host.startup("sqlite")
least = most = resident()
began = perf_counter()
lookup = session.lookup(service_class=sys.argv[2] or None)
next(lookup)
first = perf_counter() - began
count = 1
for count, _service in enumerate(lookup, 2):
    if not count % 1000:
        most = max(most, resident())
print(json.dumps([first, count, most - least]))
"""


@pytest.mark.parametrize("service_class", [CLASSES[2], None], ids=["class", "all"])
def test_a_browse(path: Path, figure: Callable[..., None], service_class: UUID | None) -> None:
    """The first result comes at once, in a process that has just begun; memory stays flat."""
    done = subprocess.run(
        [sys.executable, "-c", BROWSE, str(path), str(service_class or "")],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        check=True,
    )
    first, count, grown = json.loads(done.stdout)
    assert count == (MANY // 4 if service_class else MANY)
    label = "a class" if service_class else "everything"
    figure(f"browse of {label}: first result", first * 1000, 50, unit="ms")
    figure(f"browse of {label}: memory over the start", grown / MIB, 50, unit="MiB")


# -- registering ---------------------------------------------------------------------------------

BEGIN = """
import sys, sqlite3, json
from uuid import UUID
path, process, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
"""
OURS = (
    BEGIN
    + """
import nspkit, nspkit_sqlite
catalog = nspkit.Catalog()
catalog.install(nspkit_sqlite.SqliteProvider)
host = nspkit.Host(catalog=catalog, settings={"sqlite": {"path": path, "busy_timeout": 600}})
session = host.startup("sqlite")
address = nspkit.Address.inet("192.0.2.1", 8080, type=1, proto=6)
def register(number):
    session.set_service(
        nspkit.Service(
            f"new-{process}-{number}", service_class=UUID(int=1), addresses=[address],
            attributes={"path": "/"}, ttl=60,
        ),
        nspkit.ServiceOperation.REGISTER,
    )
"""
)
THEIRS = (
    BEGIN
    + '''
import time
connection = sqlite3.connect(path, isolation_level=None, timeout=600)
connection.execute("PRAGMA synchronous = FULL")
PUT = """
    INSERT INTO service VALUES (?, ?, ?, ?, 1, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (class, context, name) DO UPDATE SET
        type = excluded.type, registered = 1, addresses = excluded.addresses,
        attributes = excluded.attributes, comment = excluded.comment, version = excluded.version,
        blob = excluded.blob, expires_at = excluded.expires_at, leases = excluded.leases
"""
def register(number):
    connection.execute("BEGIN IMMEDIATE")
    connection.execute(PUT, (
        UUID(int=1).bytes, "", f"new-{process}-{number}", None,
        '[["inet",1,6,["192.0.2.1",8080]]]', '{"path":"/"}', "", None, None,
        time.time() + 60, None,
    ))
    connection.execute("COMMIT")
'''
)
GO = """
register(0)
print("ready", flush=True)
sys.stdin.readline()
for number in range(count):
    register(number)
print("done", flush=True)
"""


def seconds_of(code: str, path: Path, count: int) -> float:
    """How long four processes need for so many registrations each."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    children = [
        subprocess.Popen(
            [sys.executable, "-c", code + GO, str(path), str(process), str(count)],
            env=environment,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for process in range(4)
    ]
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
    began = perf_counter()
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == "done\n"
    ended = perf_counter()
    for child in children:
        child.communicate()
    return ended - began


def test_four_processes_register(path: Path, figure: Callable[..., None]) -> None:
    """At least 70 % of the transactions of the same shape that SQLite alone makes in that time."""
    count, ours, theirs = 300, [], []
    for _ in range(9):  # a disk is not always as fast
        theirs.append(seconds_of(THEIRS, path, count))
        ours.append(seconds_of(OURS, path, count))
    share = 100 * median(theirs) / median(ours)
    figure("four processes register: transactions missing to sqlite3", 100 - share, 30, unit="%")
