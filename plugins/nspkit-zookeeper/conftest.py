"""Real ZooKeeper servers of the tests' own, bare clients beside them, and what makes services."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Self

import pytest
from kazoo.client import KazooClient

if TYPE_CHECKING:
    from pathlib import Path

PATIENCE = 30.0

_JARS = "/usr/share/java/zookeeper.jar:/usr/share/java/slf4j-simple.jar"
NETTY = ":/usr/share/java/netty-codec.jar:/usr/share/java/netty-resolver.jar"
"""What a server with TLS needs beside that."""

_FLAGS = (
    "-Xmx128m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 "
    # What it acknowledges stays when it is killed; for a crash of the machine nobody waits here.
    "-Dzookeeper.forceSync=no -Dorg.slf4j.simpleLogger.defaultLogLevel=warn"
)
_CONFIGURATION = """\
tickTime=200
dataDir={folder}/data
admin.enableServer=false
maxClientCnxns=0
4lw.commands.whitelist=srvr
minSessionTimeout=400
maxSessionTimeout=60000
"""

Program = Callable[[str], str]


def free_port() -> int:
    """A port of 127.0.0.1 that is free, below those that systems give to sockets that ask."""
    for port in random.SystemRandom().sample(range(12_000, 32_000), 100):
        with socket.socket() as stream:
            try:
                stream.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    pytest.fail("no port is free")


class Server:
    """A ZooKeeper, in a process group of its own, killed in any case."""

    def __init__(
        self,
        program: Program,
        folder: Path,
        more: str = "",
        *,
        flags: str = "",
        more_jars: str = "",
    ) -> None:
        self.folder = folder
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        self._command = [program("zkServer.sh"), "start-foreground", str(folder / "zoo.cfg")]
        if shutil.which("setpriv"):  # so that it does not outlive a run that is killed
            self._command[:0] = ["setpriv", "--pdeathsig", "KILL"]
        self._flags = f"-cp {_JARS}{more_jars} {_FLAGS} {flags}"
        self._process: subprocess.Popen[bytes] | None = None
        configuration = _CONFIGURATION.format(folder=folder)
        configuration += f"clientPort={self.port}\nclientPortAddress=127.0.0.1\n{more}"
        (folder / "zoo.cfg").write_text(configuration)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start it, on the same port and with the same data, and wait until it answers."""
        self.launch()
        self.await_up()

    def launch(self) -> None:
        """Start it, and do not wait."""
        assert self._process is None
        environment = os.environ | {"SERVER_JVMFLAGS": self._flags, "JMXDISABLE": "true"}
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command, cwd=self.folder, env=environment, stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def await_up(self) -> None:
        """Wait until it takes sessions; it has more to do for that than to answer."""
        assert self._process is not None
        until = time.monotonic() + PATIENCE
        pause = threading.Event()
        while b"Mode: " not in self.status():
            if self._process.poll() is not None or time.monotonic() > until:
                pytest.fail(f"it does not answer:\n{(self.folder / 'log').read_text()[-3000:]}")
            pause.wait(0.02)

    def status(self) -> bytes:
        """What it says of itself; nothing if it does not answer."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1) as stream:
                stream.sendall(b"srvr")
                return b"".join(iter(lambda: stream.recv(4096), b""))
        except OSError:
            return b""

    def stop(self) -> None:
        """Kill it; what it has acknowledged stays in its folder."""
        process, self._process = self._process, None
        if process is not None:
            self._signal(process, signal.SIGKILL)
            process.wait()

    def recover(self) -> None:
        """Have it run, whatever it does."""
        if self._process is None:
            self.start()
        else:
            self.thaw()
            self.await_up()

    def freeze(self) -> None:
        """Have it do nothing, and keep its connections."""
        assert self._process is not None
        self._signal(self._process, signal.SIGSTOP)
        os.waitid(os.P_PID, self._process.pid, os.WSTOPPED)  # all of its threads stand still

    def thaw(self) -> None:
        """Have it go on."""
        assert self._process is not None
        self._signal(self._process, signal.SIGCONT)

    @staticmethod
    def _signal(process: subprocess.Popen[bytes], number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)


@pytest.fixture(scope="session")
def program() -> Program:
    """A function that tells the path of a program; without it a test is skipped, in CI it fails."""

    def find(name: str) -> str:
        path = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/share/zookeeper/bin")
        if path is None:
            reason = f"{name} is not installed"
            if os.environ.get("CI"):
                pytest.fail(f"{reason}; add its package to the list at the top of .ci/run")
            pytest.skip(reason)
        return path

    return find


@pytest.fixture(scope="session")
def shared(program: Program, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The server of all tests that leave it running; each has a prefix of its own."""
    with Server(program, tmp_path_factory.mktemp("zookeeper")) as server:
        yield server


@pytest.fixture(scope="session")
def victim(program: Program, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The server of all tests that stop it."""
    with Server(program, tmp_path_factory.mktemp("victim")) as server:
        yield server


@pytest.fixture
def server(victim: Server) -> Iterator[Server]:
    """A server that the test may stop or freeze; the next one finds it running."""
    yield victim
    victim.recover()


@pytest.fixture
def servers(program: Program, tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """A function that makes further ones, with settings of their own."""
    with contextlib.ExitStack() as stack:

        def make(more: str = "", **options: str) -> Server:
            folder = tmp_path / uuid.uuid4().hex
            folder.mkdir()
            return stack.enter_context(Server(program, folder, more, **options))

        yield make


@pytest.fixture
def prefix() -> str:
    """A prefix that nobody else has."""
    return f"test-{uuid.uuid4().hex[:12]}/nspkit"


@pytest.fixture
def clients() -> Iterator[Callable[..., Any]]:
    """A function that connects a bare client of kazoo to a server."""
    with contextlib.ExitStack() as stack:

        def connect(server: Server, **options: Any) -> Any:
            client = KazooClient(server.address, timeout=20.0, **options)
            client.start(PATIENCE)
            stack.callback(client.close)
            stack.callback(client.stop)
            return client

        yield connect


@pytest.fixture
def bare(shared: Server, clients: Callable[..., Any]) -> Any:
    """A bare client of kazoo, at the server of all tests."""
    return clients(shared)


@pytest.fixture(scope="session")
def tools() -> type[Tools]:
    """What tests make servers with; a conftest.py cannot be imported."""
    return Tools


class Tools:
    """What tests make servers with."""

    Server = Server
    free_port = staticmethod(free_port)
    NETTY = NETTY
