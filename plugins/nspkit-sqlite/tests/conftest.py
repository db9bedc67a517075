"""A registry of each test's own, a session of the provider, and the `sqlite3` command beside it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from nspkit_sqlite import SqliteProvider

import nspkit
from nspkit import Address, Cancellation, Change, Query, Resources, Service, ServiceOperation

_PATIENCE = 30.0

_HOLD = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
for statement in sys.argv[2:]:
    connection.execute(statement).fetchall()
print("locked", flush=True)
sys.stdin.readline()
connection.close()
print("free", flush=True)
"""

Start = Callable[..., nspkit.Session]
Sqlite3 = Callable[..., str]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The file; nothing is there yet."""
    return tmp_path / "registry.db"


@pytest.fixture
def start(path: Path) -> Iterator[Start]:
    """A function that starts the provider, in a host of its own; all are closed in the end."""
    hosts: list[nspkit.Host] = []

    def startup(**settings: Any) -> nspkit.Session:
        catalog = nspkit.Catalog()
        catalog.install(SqliteProvider)
        settings = {"path": path, "interval": 0.005, **settings}
        hosts.append(nspkit.Host(catalog=catalog, settings={"sqlite": settings}))
        return hosts[-1].startup("sqlite")

    yield startup
    for host in hosts:
        host.close()


class Client:
    """A session of the provider, with shorter words for what tests do most."""

    def __init__(self, session: nspkit.Session) -> None:
        self.session = session

    def register(self, name: str, *hosts: str, multiple: bool = False, **members: Any) -> None:
        """Register a service with an address, TCP port 80, for each host."""
        self._set(ServiceOperation.REGISTER, name, hosts, multiple, members)

    def deregister(self, name: str, *hosts: str, multiple: bool = False, **members: Any) -> None:
        """Deregister it, or these addresses of it."""
        self._set(ServiceOperation.DEREGISTER, name, hosts, multiple, members)

    def delete(self, name: str, *hosts: str, multiple: bool = False, **members: Any) -> None:
        """Delete it, or these addresses of it."""
        self._set(ServiceOperation.DELETE, name, hosts, multiple, members)

    def _set(
        self,
        operation: ServiceOperation,
        name: str,
        hosts: tuple[str, ...],
        multiple: bool,
        members: dict[str, Any],
    ) -> None:
        addresses = [Address.inet(host, 80, type=1, proto=6) for host in hosts]
        service = Service(name, **{"addresses": addresses, **members})
        self.session.set_service(service, operation, multiple=multiple)

    def find(self, name: str | None = None, **restrictions: Any) -> list[Service]:
        """All results of a lookup."""
        with self.session.lookup(name, **restrictions) as lookup:
            return list(lookup)

    def names(self, name: str | None = None, **restrictions: Any) -> list[str]:
        """The names of all results."""
        return [service.name for service in self.find(name, **restrictions)]

    def hosts(self, name: str, **restrictions: Any) -> list[str]:
        """The hosts of the one result."""
        [service] = self.find(name, **restrictions)
        return [address.host for address in service.addresses]


@pytest.fixture
def client(start: Start) -> Client:
    """A client of the provider."""
    return Client(start())


@pytest.fixture
def clients(start: Start) -> Callable[..., Client]:
    """A function that makes further clients, each with a host of its own."""
    return lambda **settings: Client(start(**settings))


@pytest.fixture
def sqlite3(path: Path) -> Sqlite3:
    """A function that has the `sqlite3` command run a statement on the file."""
    program = shutil.which("sqlite3")
    if program is None:
        if os.environ.get("CI"):
            pytest.fail("sqlite3 is not installed; add its package to the list of .ci/run")
        pytest.skip("sqlite3 is not installed")

    def run(statement: str, *options: str, file: Path = path) -> str:
        command = [program, "-cmd", ".timeout 20000", *options, str(file), statement]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    return run


class Clock:
    """A clock that is set by hand, in seconds."""

    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        """Tell the time."""
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of the provider, which stands still until a test sets it."""
    clock = Clock()
    for module in ("_registry", "_search", "_watch"):
        monkeypatch.setattr(f"nspkit_sqlite.{module}.time", clock)
    return clock


@pytest.fixture
def provider(path: Path) -> Iterator[SqliteProvider]:
    """The provider without a host, which has a watch of its own around it."""
    provider = SqliteProvider()
    with Resources() as resources:
        provider.nsp_startup({"path": path, "interval": 0.002}, resources)
        yield provider


Items = Callable[..., Iterator[Change | None]]


@pytest.fixture
def items(provider: SqliteProvider) -> Items:
    """A function that begins a watch, which ends by itself when nothing happens for too long."""

    def begin(name: str | None = None, **restrictions: Any) -> Iterator[Change | None]:
        cancellation = Cancellation(time.monotonic() + _PATIENCE)
        return iter(provider.nsp_notify_change(Query(name, **restrictions), cancellation))

    return begin


@pytest.fixture
def watch(items: Items) -> Callable[..., Iterator[Change]]:
    """The same without the mark where the list of what is there ends."""

    def only(changes: Iterator[Change | None]) -> Iterator[Change]:
        for change in changes:
            if change is not None:
                yield change

    return lambda *arguments, **options: only(items(*arguments, **options))


@pytest.fixture
def process() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """A function that runs code in a process of its own, which finds what this one finds."""
    processes: list[subprocess.Popen[str]] = []

    def run(code: str, *arguments: object) -> subprocess.Popen[str]:
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        command = [sys.executable, "-c", code, *map(str, arguments)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        processes.append(subprocess.Popen(command, env=environment, text=True, **pipes))  # type: ignore[call-overload]
        return processes[-1]

    yield run
    for child in processes:
        child.kill()
        child.communicate()


@pytest.fixture
def lock(process: Any, path: Path) -> Callable[..., Callable[[], None]]:
    """A function that has another process lock the file; it returns one that ends that."""

    def begin(*statements: str) -> Callable[[], None]:
        child = process(_HOLD, path, *statements)
        assert child.stdout.readline() == "locked\n"

        def free() -> None:
            child.stdin.write("go\n")
            child.stdin.flush()
            assert child.stdout.readline() == "free\n"

        return free

    return begin


@pytest.fixture
def hold(lock: Any, client: Any) -> Callable[..., Callable[[], None]]:
    """The same for a registry of one service, of the class HTTP, that nobody else has open."""

    def begin(*statements: str) -> Callable[[], None]:
        client.register("x", "192.0.2.1", service_class="_http._tcp")
        client.session.close()
        free: Callable[[], None] = lock(*statements)
        return free

    return begin


@pytest.fixture
def started(path: Path) -> Iterator[Callable[..., tuple[SqliteProvider, Resources]]]:
    """A function that starts a provider without a host; what it has is released in the end."""
    with Resources() as all_resources:

        def start(**settings: Any) -> tuple[SqliteProvider, Resources]:
            provider = SqliteProvider()
            resources = Resources()
            all_resources.callback(resources.close)
            provider.nsp_startup({"path": path, **settings}, resources)
            return provider, resources

        yield start


class Waiting(threading.Thread):
    """A call on a thread of its own, which is known to have found the file locked."""

    def __init__(self, provider: Any, call: Callable[[], object]) -> None:
        super().__init__()
        self._call = call
        self.result: object = None
        self.error: BaseException | None = None
        # What it waits with is called for the first time when the file was found to be locked.
        self._tried = threading.Event()
        registry, real = provider._registry, provider._registry._patiently

        def patiently(attempt: Any, cancellation: Any, **options: Any) -> Any:
            def tried() -> Any:
                try:
                    return attempt()
                finally:
                    self._tried.set()

            return real(tried, cancellation, **options)

        registry._patiently = patiently
        self.start()
        assert self._tried.wait(_PATIENCE)
        assert self.is_alive()

    def run(self) -> None:
        """Make the call, and keep how it ends."""
        try:
            self.result = self._call()
        except BaseException as error:
            self.error = error

    def ended(self) -> Waiting:
        """Itself, when the call has come back."""
        self.join(_PATIENCE)
        assert not self.is_alive()
        return self


@pytest.fixture
def waits() -> type[Waiting]:
    """What makes a call on a thread of its own, and returns when that has begun to wait."""
    return Waiting
