"""The same questions, asked by the C library; and a real resolver that waits for its server."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import nspkit

Ask = Callable[..., list[nspkit.Service]]

FILE = """\
127.0.0.1 localhost
192.0.2.1 alpha.example alpha
192.0.2.2 alpha.example
127.0.0.9 nine.example nine
"""

PROGRAM = """
import sys
import nspkit
from nspkit_system import SystemProvider

catalog = nspkit.Catalog()
catalog.install(SystemProvider)
with nspkit.Host(catalog=catalog) as host:
    for name in sys.argv[1:]:
        try:
            service, *_ = host.lookup(name, provider="system")
        except LookupError:
            print(name)
        else:
            print(name, service.name, *(address.host for address in service.addresses))
"""

SILENCE = """
import fcntl, socket, struct, sys, time
import nspkit
from nspkit_system import SystemProvider

control = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
fcntl.ioctl(control, 0x8914, struct.pack("16sh", b"lo", 1))  # SIOCSIFFLAGS, IFF_UP
silent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
silent.bind(("127.0.0.1", 53))

catalog = nspkit.Catalog()
catalog.install(SystemProvider)
host = nspkit.Host(catalog=catalog, cleanup_timeout=0.2)
try:
    list(host.lookup("asked.example", provider="system", timeout=0.5))
except TimeoutError:
    print("timed out")
print(b"asked" in silent.recv(512))
print(*(service.name for service in host.lookup("nine", provider="system")), flush=True)
"""


@pytest.fixture(scope="module")
def getent() -> str:
    """The program; without it there is nobody to compare with."""
    found = shutil.which("getent")
    if found is None:
        pytest.skip("getent is not installed")
    return found


@pytest.fixture
def alone(tmp_path: Path) -> Callable[..., str]:
    """A function that runs a program where no name leads to the network.

    It has its own /etc/hosts, a resolver configuration that names this machine only, and a network
    of its own with nothing in it.
    """
    unshare = shutil.which("unshare")
    if unshare is None:
        pytest.skip("unshare is not installed")
    (tmp_path / "hosts").write_text(FILE)
    (tmp_path / "resolv.conf").write_text("nameserver 127.0.0.1\noptions timeout:30 attempts:1\n")
    (tmp_path / "nsswitch.conf").write_text("hosts: files dns\n")
    mount = (
        'for file in hosts resolv.conf nsswitch.conf; do mount --bind "$1/$file" "/etc/$file"'
        ' || exit 1; done; shift; exec "$@"'
    )
    own = [unshare, "--mount", "--net", "sh", "-c", mount, "sh", str(tmp_path)]
    tried = subprocess.run([*own, "true"], capture_output=True, text=True, timeout=60, check=False)
    if tried.returncode:
        pytest.skip(f"no namespaces of our own here: {tried.stderr.strip()}")

    def run(*command: str) -> str:
        done = subprocess.run(
            [*own, *command], capture_output=True, text=True, timeout=20, check=False
        )
        assert done.returncode in (0, 2), done.stderr
        return done.stdout

    return run


def test_this_machines_names_have_the_same_addresses(ask: Ask, getent: str) -> None:
    """The names of /etc/hosts, which need no network, in the resolver's order."""
    names = {"localhost", socket.gethostname()}
    for name in names:
        done = subprocess.run(
            [getent, "ahosts", name], capture_output=True, text=True, timeout=60, check=False
        )
        expected = list(dict.fromkeys(line.split()[0] for line in done.stdout.splitlines()))
        flags = nspkit.LookupFlags.RETURN_ALL | nspkit.LookupFlags.ADDRCONFIG
        found = ask(name, flags=flags)[0] if expected else None
        assert expected == [address.host for address in (found.addresses if found else ())]


@pytest.mark.parametrize("name", ["localhost", "alpha", "alpha.example", "nine", "192.0.2.1"])
def test_names_of_another_file_have_the_same_addresses(
    alone: Callable[..., str], getent: str, name: str
) -> None:
    """Canonical name and addresses; a numeric address has the name that `getent hosts` says."""
    if name[0].isdigit():
        expected = alone(getent, "hosts", name).split()[1::-1]
    else:
        lines = alone(getent, "--no-addrconfig", "ahosts", name).splitlines()
        expected = [lines[0].split()[2], *dict.fromkeys(line.split()[0] for line in lines)]
    assert alone(sys.executable, "-c", PROGRAM, name).split() == [name, *expected]


def test_a_server_that_never_answers_holds_up_nothing(alone: Callable[..., str]) -> None:
    """Neither the lookup, nor others, nor the end of the process: the C library waits 30 s."""
    assert alone(sys.executable, "-c", SILENCE) == "timed out\nTrue\nnine.example nine\n"
