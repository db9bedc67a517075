"""A browse of 100 services beside bare zeroconf: when the first of them is there.

Not part of the suite: ``pytest tests/benchmarks/mdns`` runs it, on a machine that does nothing
else, as root on Linux: it makes a network namespace, in which the loopback interface is all there
is. The services are those of another process. "Bare zeroconf" browses and resolves the first
instance that it hears of; both open their sockets before the clock starts.

A querier waits for a random time of 20 to 120 ms before it asks (RFC 6762 section 5.2), which is
more than all else takes together. Both are zeroconf's own, and both draw the same numbers: the
random generator begins anew, with the same seed, for each pair.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import random
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import pytest

import nspkit

pytest.importorskip("nspkit_mdns")
zeroconf = pytest.importorskip("zeroconf")

ROUNDS = 41
KIND = "_figure._tcp"
SERVER = """
import sys, zeroconf
own = zeroconf.Zeroconf(interfaces=["127.0.0.1"])
for number in range(100):
    own.registry.async_add(zeroconf.ServiceInfo(
        "_figure._tcp.local.", f"service-{number:03}._figure._tcp.local.", port=8000 + number,
        server=f"host-{number:03}.local.", addresses=[bytes((127, 0, 0, 1))],
        properties={"path": "/"},
    ))
print("ready", flush=True)
sys.stdin.readline()
"""


@pytest.fixture(scope="module")
def link() -> Iterator[None]:
    """A network namespace for this thread and what it starts."""
    here = Path("/proc/thread-self/ns/net")
    libc = ctypes.CDLL(None, use_errno=True)
    if not here.exists() or os.geteuid() != 0:
        pytest.skip("a network namespace needs Linux and root")
    outside = os.open(here, os.O_RDONLY)
    assert libc.unshare(0x40000000) == 0
    for command in ("link set lo up multicast on", "route add 224.0.0.0/4 dev lo"):
        subprocess.run(["ip", *command.split()], check=True)
    yield
    assert libc.setns(outside, 0x40000000) == 0
    os.close(outside)


@contextlib.contextmanager
def services() -> Iterator[None]:
    """100 services of another process, which nobody has asked for yet.

    A new one for each measurement: what it was asked before would decide how it answers (directly,
    if it has told all others lately; after a second, if it has just done so).
    """
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert server.stdout is not None
    assert server.stdout.readline() == b"ready\n"
    try:
        yield
    finally:
        server.communicate(b"\n")


def theirs(seed: int) -> float:
    """Seconds until bare zeroconf has resolved the first service."""
    own = zeroconf.Zeroconf(interfaces=["127.0.0.1"])
    there = threading.Event()
    found: list[Any] = []

    def heard(zeroconf: Any, service_type: str, name: str, state_change: Any) -> None:
        if not found:
            info = zeroconf.get_service_info(service_type, name)
            if info is not None:
                found.append(info)
                there.set()

    random.seed(seed)
    began = perf_counter()
    browser = zeroconf.ServiceBrowser(own, f"{KIND}.local.", handlers=[heard])
    assert there.wait(30)
    ended = perf_counter()
    browser.cancel()
    own.close()
    assert found[0].parsed_addresses() == ["127.0.0.1"]
    return ended - began


def ours(seed: int) -> float:
    """Seconds until a lookup of nspkit has yielded the first service."""
    settings = {"mdns": {"interfaces": ["127.0.0.1"], "timeout": 0.1, "browse_time": 60}}
    with nspkit.Host(providers=["mdns"], settings=settings) as host:
        session = host.startup("mdns")
        try:
            list(session.lookup("nobody.local"))  # opens the sockets
        except LookupError:
            pass
        random.seed(seed)
        began = perf_counter()
        with session.lookup(service_class=KIND) as lookup:
            first = next(lookup)
            ended = perf_counter()
    assert [address.host for address in first.addresses] == ["127.0.0.1"]
    return ended - began


def measured(seconds: Callable[[int], float], seed: int) -> float:
    """Measure one of them with services of its own."""
    with services():
        return seconds(seed)


def test_the_first_of_100_services(link: None, figure: Callable[..., None]) -> None:
    """No later than bare zeroconf and 5 %."""
    pairs = [(measured(ours, seed), measured(theirs, seed)) for seed in range(ROUNDS)]
    # Of each pair the difference: the answer is held back at random, by more than is looked for.
    bare = median(theirs for _ours, theirs in pairs)
    later = median(ours - theirs for ours, theirs in pairs)
    figure("mdns: the first of 100 services, to bare zeroconf", 1 + later / bare, 1.05)
