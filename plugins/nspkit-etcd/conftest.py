"""Real etcd servers of the tests' own, and `etcdctl` beside them."""

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
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

PATIENCE = 30.0

Program = Callable[[str], str]


def free_port() -> int:
    """A port of 127.0.0.1 that is free.

    Below those that systems give to sockets that ask for any: a server takes it a moment later, and
    again after it was stopped.
    """
    for port in random.SystemRandom().sample(range(12_000, 32_000), 100):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    pytest.fail("no port is free")


class Etcd:
    """One etcd, in a process group of its own, killed in any case."""

    def __init__(
        self, programs: tuple[str, str], folder: Path, name: str, peers: dict[str, int], *more: str
    ) -> None:
        """Start nothing yet.

        Args:
            programs: The paths of etcd and of etcdctl.
            folder: Where everything of it is.
            name: Its name among the peers.
            peers: The names of all members, and the ports that they have for each other.
            more: Further arguments; certificates make it speak TLS.
        """
        self.program, self.etcdctl = programs
        self.folder = folder
        self.name = name
        self.scheme = "https" if "--cert-file" in more else "http"
        self.port = free_port()
        self.endpoint = f"127.0.0.1:{self.port}"
        self.log = folder / f"{name}.log"
        here = f"{self.scheme}://{self.endpoint}"
        cluster = ",".join(f"{one}=http://127.0.0.1:{port}" for one, port in peers.items())
        peer = f"http://127.0.0.1:{peers[name]}"
        self.command = [
            self.program, "--name", name, "--data-dir", str(folder / name), "--logger", "zap",
            "--listen-client-urls", here, "--advertise-client-urls", here,
            "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
            "--initial-cluster", cluster, "--initial-cluster-token", str(folder),
            # With these a lease can be of one second, and a busy machine need not elect for ever.
            "--heartbeat-interval", "40", "--election-timeout", "600", *more,
        ]  # fmt: skip
        if shutil.which("setpriv"):  # so that it does not outlive a run that is killed
            self.command[:0] = ["setpriv", "--pdeathsig", "KILL"]
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; `wait` waits until it answers."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip

    def wait(self, *options: str) -> None:
        """Wait until it answers; fail with its log if it ends, or does not begin."""
        until = time.monotonic() + PATIENCE
        pause = threading.Event()
        while not self._answers(options):
            assert self.process is not None
            if self.process.poll() is not None or time.monotonic() > until:
                pytest.fail(f"{self.command} does not answer:\n{self.log.read_text()[-3000:]}")
            pause.wait(0.05)

    def _answers(self, options: tuple[str, ...]) -> bool:
        with socket.socket() as probe:  # quicker than etcdctl, which waits for seconds
            if probe.connect_ex(("127.0.0.1", self.port)):
                return False
        return self._run(*options, "endpoint", "health").returncode == 0

    def stop(self) -> None:
        """End it at once, as a crash of its machine would."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def forget(self) -> None:
        """Lose all that it has stored; it has to be stopped."""
        shutil.rmtree(self.folder / self.name)

    def freeze(self) -> None:
        """Have it do nothing until `thaw`; its connections stay."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Have it go on."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGCONT)

    def ctl(self, *arguments: str, stdin: str = "") -> str:
        """What `etcdctl` prints."""
        done = self._run(*arguments, stdin=stdin)
        assert done.returncode == 0, f"etcdctl {arguments}: {done.stderr}"
        return done.stdout

    def _run(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "ETCDCTL_API": "3"}
        command = [self.etcdctl, "--endpoints", f"{self.scheme}://{self.endpoint}", *arguments]
        return subprocess.run(
            command, input=stdin, capture_output=True, text=True, timeout=PATIENCE, check=False,
            env=environment,
        )  # fmt: skip


Make = Callable[..., list[Etcd]]


@pytest.fixture(scope="session")
def program() -> Program:
    """A function that tells the path of a program; without it a test is skipped, in CI it fails."""

    def find(name: str) -> str:
        path = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
        if path is None:
            reason = f"{name} is not installed"
            if os.environ.get("CI"):
                pytest.fail(f"{reason}; add its package to the list at the top of .ci/run")
            pytest.skip(reason)
        return path

    return find


@contextlib.contextmanager
def making(program: Program, folders: Callable[[], Path]) -> Iterator[Make]:
    """A function that starts servers; all are killed in the end."""
    programs = (program("etcd"), program("etcdctl"))
    with contextlib.ExitStack() as stack:

        def make(*more: str, members: int = 1, options: tuple[str, ...] = ()) -> list[Etcd]:
            folder = folders()
            peers = {f"m{number}": free_port() for number in range(members)}
            servers = [Etcd(programs, folder, name, peers, *more) for name in peers]
            for server in servers:
                stack.callback(server.stop)
                server.start()
            for server in servers:
                server.wait(*options)
            return servers

        yield make


@pytest.fixture(scope="session")
def etcd(program: Program, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Etcd]:
    """A server that all tests share which do it no harm; each has a prefix of its own."""
    with making(program, lambda: tmp_path_factory.mktemp("etcd")) as make:
        [server] = make()
        yield server


@pytest.fixture
def servers(program: Program, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Make]:
    """A function that starts servers of the test's own."""
    with making(program, lambda: tmp_path_factory.mktemp("etcd")) as make:
        yield make


@pytest.fixture(scope="module")
def module_servers(program: Program, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Make]:
    """A function that starts servers of the module's own."""
    with making(program, lambda: tmp_path_factory.mktemp("etcd")) as make:
        yield make
