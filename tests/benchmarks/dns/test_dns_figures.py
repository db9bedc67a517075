"""Lookups in the DNS, beside bare dnspython at the same servers.

Not part of the suite: ``pytest tests/benchmarks/dns`` runs them, on a machine that does nothing
else. "Bare dnspython" is its resolver with the same questions, A and AAAA of each name, one after
the other, as one writes it; its cache is off, since that of the server is what is measured.
"""

from __future__ import annotations

import contextlib
import gc
import os
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle
from statistics import median
from time import monotonic, perf_counter, process_time
from typing import Any

import pytest

import nspkit

nspkit_dns = pytest.importorskip("nspkit_dns")
dns_message = pytest.importorskip("dns.message")
dns_resolver = pytest.importorskip("dns.resolver")
dns_rrset = pytest.importorskip("dns.rrset")

NAMES = [f"host{number}.bench.test." for number in range(100)]
PATIENCE = 30.0
DELAY = 0.020
CONFIGURATION = """\
server:
    directory: "{folder}"
    chroot: ""
    username: ""
    pidfile: ""
    use-syslog: no
    interface: 127.0.0.1
    port: {port}
    do-ip6: no
    module-config: "iterator"
    local-zone: "bench.test." static
{records}
remote-control:
    control-enable: no
"""


def free_port() -> int:
    """A port of 127.0.0.1 that is free for UDP and for TCP."""
    for _ in range(100):
        with socket.socket(type=socket.SOCK_DGRAM) as datagram, socket.socket() as stream:
            datagram.bind(("127.0.0.1", 0))
            port: int = datagram.getsockname()[1]
            with contextlib.suppress(OSError):
                stream.bind(("127.0.0.1", port))
                return port
    pytest.fail("no port is free for both")


@pytest.fixture(scope="module")
def caching(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of an unbound that has all answers at hand."""
    program = shutil.which("unbound", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        pytest.skip("unbound is not installed")
    folder, port = tmp_path_factory.mktemp("unbound"), free_port()
    records = "".join(
        f'    local-data: "{name} 300 A 192.0.2.{number}"\n'
        f'    local-data: "{name} 300 AAAA 2001:db8::{number:x}"\n'
        for number, name in enumerate(NAMES)
    )
    configuration = CONFIGURATION.format(folder=folder, port=port, records=records)
    (folder / "unbound.conf").write_text(configuration, encoding="utf-8")
    with subprocess.Popen(
        [program, "-d", "-p", "-c", str(folder / "unbound.conf")],
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        try:
            until = monotonic() + PATIENCE
            while not answers(port):
                assert monotonic() < until, "unbound does not answer"
            yield port
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def answers(port: int) -> bool:
    """Whether a server answers for the first name."""
    try:
        bare(port).resolve(NAMES[0], "A", lifetime=0.2)
    except Exception:
        return False
    return True


def bare(port: int) -> Any:
    """The resolver of dnspython, at one server."""
    resolver = dns_resolver.Resolver(configure=False)
    resolver.nameservers, resolver.port = ["127.0.0.1"], port
    return resolver


@contextlib.contextmanager
def host_at(port: int) -> Iterator[nspkit.Host]:
    """A host of the provider alone, at one server."""
    catalog = nspkit.Catalog()
    catalog.install(nspkit_dns.DnsProvider)
    settings = {"dns": {"nameservers": [f"127.0.0.1:{port}"], "search": []}}
    with nspkit.Host(catalog=catalog, settings=settings) as host:
        yield host


def thousand(
    ours: Callable[[], object], theirs: Callable[[], object], clock: Callable[[], float]
) -> float:
    """How many times as long 1,000 lookups take as 1,000 of the other, in turns of 20.

    The median of the turns' quotients: a turn and the one beside it see the same machine.
    """
    quotients = []
    gc.collect()
    gc.disable()
    try:
        for _ in range(50):
            seconds = []
            for function in (ours, theirs):
                began = clock()
                for _ in range(20):
                    function()
                seconds.append(clock() - began)
            quotients.append(seconds[0] / seconds[1])
    finally:
        gc.enable()
    return median(quotients)


@pytest.mark.parametrize("clock", [perf_counter, process_time], ids=["time", "processor time"])
@pytest.mark.parametrize("way", ["directed at it", "through all providers"])
def test_a_thousand_lookups_at_a_caching_server(
    caching: int, figure: Callable[..., None], way: str, clock: Callable[[], float]
) -> None:
    """At most 1.10 times bare dnspython doing the same questions."""
    resolver = bare(caching)
    mine, others = cycle(NAMES), cycle(NAMES)
    provider = "dns" if way == "directed at it" else None
    with host_at(caching) as host:

        def by_nspkit() -> None:
            [service] = host.lookup(next(mine), provider=provider)
            assert len(service.addresses) == 2

        def by_dnspython() -> None:
            name = next(others)
            found = [*resolver.resolve(name, "A"), *resolver.resolve(name, "AAAA")]
            assert len(found) == 2

        by_nspkit()
        by_dnspython()
        measured = thousand(by_nspkit, by_dnspython, clock)
    of = "processor time" if clock is process_time else "time"
    figure(f"1,000 lookups {way} : bare dnspython, {of}", measured, 1.10)


class Slow:
    """A server that answers each question after 20 ms, many at the same time."""

    def __init__(self) -> None:
        self.port = free_port()
        self._socket = socket.socket(type=socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", self.port))
        self._ends = False
        self._waiting: list[tuple[float, bytes, Any]] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread and close the socket."""
        self._ends = True
        self._thread.join(PATIENCE)
        self._socket.close()

    def _serve(self) -> None:
        while not self._ends:
            due = self._waiting[0][0] - monotonic() if self._waiting else DELAY
            self._socket.settimeout(max(due, 1e-4))
            with contextlib.suppress(TimeoutError):
                wire, peer = self._socket.recvfrom(4096)
                # An answer without records is the same work for both sides.
                reply = wire[:2] + b"\x84\0" + wire[4:6] + bytes(6) + wire[12:-11]
                self._waiting.append((monotonic() + DELAY, reply, peer))
            while self._waiting and self._waiting[0][0] <= monotonic():
                _, reply, peer = self._waiting.pop(0)
                self._socket.sendto(reply, peer)


@pytest.fixture
def slow() -> Iterator[Slow]:
    """The server."""
    slow = Slow()
    yield slow
    slow.close()


def test_fifty_at_once(slow: Slow, figure: Callable[..., None]) -> None:
    """100 names with 50 at once at least 10 times faster than one after the other."""
    with host_at(slow.port) as host:

        def look_up(name: str) -> None:
            with contextlib.suppress(nspkit.errors.NoDataError):
                list(host.lookup(name, provider="dns"))

        def seconds(run: Callable[[], object]) -> float:
            began = perf_counter()
            run()
            return perf_counter() - began

        look_up(NAMES[0])
        alone = min(seconds(lambda: [look_up(name) for name in NAMES]) for _ in range(3))
        with ThreadPoolExecutor(50) as pool:
            list(pool.map(look_up, NAMES))  # its threads are started
            together = min(seconds(lambda: list(pool.map(look_up, NAMES))) for _ in range(5))
    figure("100 names, 50 at once : one after the other", together / alone, 0.1)
