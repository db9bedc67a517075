"""Real Redis servers of the tests' own, and `redis-cli` beside them."""

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
from typing import TYPE_CHECKING, Any, Self

import pytest

if TYPE_CHECKING:
    from pathlib import Path

PATIENCE = 30.0

Program = Callable[[str], str]


def free_port() -> int:
    """A free port of 127.0.0.1, below those that systems give to sockets that ask for any."""
    for port in random.SystemRandom().sample(range(12_000, 32_000), 100):
        with socket.socket() as stream:
            try:
                stream.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    pytest.fail("no port is free")


class Server:
    """A redis-server on a port and with a folder of its own, killed in any case."""

    def __init__(self, binary: str, cli: str, folder: Path, **options: str) -> None:
        """Start nothing yet; options are those of redis.conf, with ``_`` for ``-``."""
        self.binary = binary
        self.client = cli
        self.folder = folder
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.log = folder / "log"
        self.options = {"port": str(self.port), "save": '""', "appendonly": "no", **options}
        self.credentials: list[str] = []
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> Self:
        """Start it, and wait until it answers."""
        lines = ["bind 127.0.0.1", f"dir {self.folder}", "daemonize no", "enable-debug-command yes"]
        lines += [f"{name.replace('_', '-')} {value}" for name, value in self.options.items()]
        config = self.folder / "redis.conf"
        config.write_text("\n".join(lines) + "\n")
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [self.binary, str(config)], cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, start_new_session=True,
            )  # fmt: skip
        until = time.monotonic() + PATIENCE
        pause = threading.Event()
        while self.cli("PING") != "PONG":
            if self.process.poll() is not None or time.monotonic() > until:
                pytest.fail(f"{self.binary} does not answer:\n{self.log.read_text()[-3000:]}")
            pause.wait(0.02)
        return self

    def kill(self) -> None:
        """End it at once."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def freeze(self) -> None:
        """Have it answer nothing, with all connections open."""
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Have it go on."""
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGCONT)

    def cli(self, *arguments: str) -> str:
        """What `redis-cli` prints."""
        done = subprocess.run(
            [self.client, "-p", str(self.port), *self.credentials, *arguments],
            capture_output=True, text=True, timeout=PATIENCE, check=False,
        )  # fmt: skip
        return done.stdout.strip()


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


@pytest.fixture(scope="session")
def server(program: Program, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server for all tests that leave it as it was; each has a prefix of its own."""
    binary, cli = program("redis-server"), program("redis-cli")
    with Server(binary, cli, tmp_path_factory.mktemp("redis")) as server:
        yield server.start()


@pytest.fixture
def servers(program: Program, tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """A function that makes servers of the test's own, which are killed at its end."""
    binary, cli = program("redis-server"), program("redis-cli")
    with contextlib.ExitStack() as stack:

        def make(**options: Any) -> Server:
            folder = tmp_path / f"redis-{len(list(tmp_path.iterdir()))}"
            folder.mkdir()
            return stack.enter_context(Server(binary, cli, folder, **options))

        yield make
