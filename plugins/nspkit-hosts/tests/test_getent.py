"""The same file, asked by the C library: `getent -s files`."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from nspkit_hosts import HostsProvider

import nspkit

Ask = Callable[..., list[nspkit.Service]]

FILE = """\
# a file for two readers
127.0.0.1\tlocalhost
::1 localhost ip6-localhost
192.0.2.1 alpha.example alpha\twww # a comment
192.0.2.2 beta.example  www\r
192.0.2.3 ALPHA.example
2001:db8::1 alpha.example six
192.0.2.999 wrong.example

192.0.2.4 last.example"""

NAMES = ["localhost", "LocalHost", "ip6-localhost", "alpha", "ALPHA.example", "www", "six"]
NAMES += ["beta.example", "last.example", "wrong.example", "nobody.example"]
ADDRESSES = ["127.0.0.1", "::1", "192.0.2.1", "192.0.2.2", "192.0.2.4", "2001:db8::1", "192.0.2.77"]


def run(*command: str) -> str:
    """What a program prints; nothing found is an answer too."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode in (0, 2), done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def getent() -> str:
    """The program; without it there is nobody to compare with."""
    found = shutil.which("getent")
    if found is None:
        pytest.skip("getent is not installed")
    return found


@pytest.fixture
def with_file(path: Path, getent: str) -> Callable[..., str]:
    """A function that runs getent where /etc/hosts is this test's file."""
    unshare = shutil.which("unshare")
    if unshare is None:
        pytest.skip("unshare is not installed")
    path.write_text(FILE)
    mount = 'mount --bind "$1" /etc/hosts && shift && exec "$@"'
    own = [unshare, "--mount", "sh", "-c", mount, "sh", str(path)]
    tried = subprocess.run([*own, "true"], capture_output=True, text=True, timeout=60, check=False)
    if tried.returncode:
        pytest.skip(f"no mount namespace of our own here: {tried.stderr.strip()}")
    return lambda *arguments: run(*own, getent, *arguments)


def found_addresses(services: list[nspkit.Service]) -> set[str]:
    """All addresses of the results that are no aliases."""
    return {
        address.host for service in services if not service.flags for address in service.addresses
    }


def answer(ask: Ask, name: str) -> list[nspkit.Service]:
    """What the provider finds, nothing if it does not know the name."""
    try:
        return ask(name)
    except LookupError:
        return []


@pytest.mark.parametrize("name", NAMES)
def test_names_have_the_same_addresses(ask: Ask, with_file: Callable[..., str], name: str) -> None:
    """Both families, whatever this machine has interfaces for."""
    lines = with_file("--no-addrconfig", "-s", "files", "ahosts", name).splitlines()
    assert found_addresses(answer(ask, name)) == {line.split()[0] for line in lines}


@pytest.mark.parametrize("name", NAMES)
def test_names_have_the_same_canonical_name(
    ask: Ask, with_file: Callable[..., str], name: str
) -> None:
    """The C library names one; ours is the first."""
    lines = with_file("--no-addrconfig", "-s", "files", "ahosts", name).splitlines()
    canonical = [line.split()[2] for line in lines[:1]]
    assert [service.name for service in answer(ask, name)][:1] == canonical


@pytest.mark.parametrize("address", ADDRESSES)
def test_addresses_have_the_same_names(
    ask: Ask, with_file: Callable[..., str], address: str
) -> None:
    """Canonical name and aliases, in the order of the line."""
    names = with_file("-s", "files", "hosts", address).split()[1:]
    assert [service.name for service in answer(ask, address)] == names


def test_the_machines_own_file_is_read_alike(getent: str) -> None:
    """Every name of /etc/hosts, with the default path."""
    catalog = nspkit.Catalog()
    catalog.install(HostsProvider)
    with nspkit.Host(catalog=catalog) as host:
        names = {service.name for service in host.lookup(provider="hosts")}
        assert names
        for name in names:
            lines = run(getent, "--no-addrconfig", "-s", "files", "ahosts", name).splitlines()
            found = list(host.lookup(name, provider="hosts"))
            assert found_addresses(found) == {line.split()[0] for line in lines}
