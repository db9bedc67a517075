"""The page on growing beyond one machine: two programs, unchanged, at a file and at a server."""

from __future__ import annotations

import contextlib
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Foreground, Installation

PATIENCE = 30.0
POINTS = """\
[nspkit.providers]
sqlite = nspkit_sqlite:SqliteProvider
etcd = nspkit_etcd:EtcdProvider
"""


@pytest.fixture
def folder(nspkit: Installation, checkout: Path) -> Path:
    """Where the two programs are, and run."""
    for module in ("nspkit_sqlite", "nspkit_etcd"):
        pytest.importorskip(module, reason=f"{module} is not installed")
    nspkit.distribution("registries", POINTS, "")
    for path in (checkout / "docs/examples/grow").iterdir():
        shutil.copy(path, nspkit.folder)
    return nspkit.folder


@pytest.fixture
def etcd(program: Callable[[str], str], tmp_path: Path) -> Iterator[int]:
    """The port of an etcd with nothing in it."""
    path, ports = program("etcd"), []
    while len(ports) < 2:
        port = random.randint(12_000, 32_000)  # below those that the system gives to clients
        with contextlib.suppress(OSError), socket.socket() as free:
            free.bind(("127.0.0.1", port))
            ports.append(port)
    client, peer = (f"http://127.0.0.1:{port}" for port in ports)
    command = [path, "--data-dir", str(tmp_path / "etcd"), "--log-level", "error"]
    command += ["--listen-client-urls", client, "--advertise-client-urls", client]
    command += ["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer]
    command += ["--initial-cluster", f"default={peer}"]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    try:
        until = monotonic() + PATIENCE
        while not _answers(f"{client}/health"):
            assert monotonic() < until, (tmp_path / "log").read_text(encoding="utf-8")
            assert process.poll() is None, (tmp_path / "log").read_text(encoding="utf-8")
        yield ports[0]
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def as_the_page_says(
    nspkit: Installation, foreground: type[Foreground], page: str, settings: str
) -> None:
    """Run the two programs; what they write is what the page shows."""
    (nspkit.folder / "nspkit.toml").write_text(settings, encoding="utf-8")
    _before, _, rest = page.partition("The client has written:\n\n```text\n")
    shown = rest.partition("```")[0].splitlines()
    assert len(shown) == 3

    def start(name: str) -> Foreground:
        return foreground(
            nspkit.start(
                shell=f'exec "{sys.executable}" {name}',
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        )

    with start("client.py") as client, start("server.py") as server:
        assert server.line() == "registered: active"
        assert [client.line(), client.line()] == shown[:2]
        assert server.end() == (0, [], [])
        assert client.end() == (0, shown[2:], [])


@pytest.fixture
def page(checkout: Path) -> str:
    """The page."""
    return (checkout / "docs/how-to/grow-beyond-one-machine.md").read_text(encoding="utf-8")


def test_at_first_the_registry_is_a_file(
    nspkit: Installation, foreground: type[Foreground], page: str, folder: Path
) -> None:
    """The settings of the page are used as they are."""
    settings = (folder / "sqlite.toml").read_text(encoding="utf-8")
    as_the_page_says(nspkit, foreground, page, settings)
    assert (folder / "registry.db").exists()


def test_then_it_is_a_server(
    nspkit: Installation, foreground: type[Foreground], page: str, folder: Path, etcd: int
) -> None:
    """By other settings alone; only the port is the test's own."""
    settings = (folder / "etcd.toml").read_text(encoding="utf-8")
    assert settings.count("localhost:2379") == 1
    settings = settings.replace("localhost:2379", f"127.0.0.1:{etcd}")
    as_the_page_says(nspkit, foreground, page, settings)
    assert not (folder / "registry.db").exists()


def test_what_is_registered_is_taken_along(
    nspkit: Installation, page: str, folder: Path, etcd: int
) -> None:
    """By the commands of the page, and each service is there afterwards."""
    both = (folder / "sqlite.toml").read_text(encoding="utf-8")
    both += f'[providers.etcd]\nendpoints = "127.0.0.1:{etcd}"\n'
    (folder / "nspkit.toml").write_text(both, encoding="utf-8")
    nspkit.environment["NSPKIT_CONFIG"] = "nspkit.toml"
    for number in range(3):
        command = ("set", f"web{number}", "--class", "80/tcp", "--address", f"192.0.2.{number}:80")
        assert nspkit.run(*command, "--provider", "sqlite")[0] == 0
    commands = re.findall(r"^\$ nspkit (registry .*)$", page, re.MULTILINE)
    assert len(commands) == 3
    for command in commands:
        status, output, errors = nspkit.run(*command.split())
        assert (status, errors) == (0, []), output
    assert output[-1].startswith("verified: 3 of 3 services")
    found = nspkit.run("lookup", "--class", "80/tcp", "--provider", "etcd")
    assert [line.split()[0] for line in found[1]] == ["web0", "web1", "web2"]
