"""Real name servers of the tests' own, `dig` beside them, and what tests make answers with."""

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
from pathlib import Path
from string import Template
from typing import Self

import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest

PATIENCE = 30.0
SERVERS = Path(__file__).parent / "tests" / "servers"
KEY = {"name": "update.key", "secret": "c2VjcmV0IG9mIHRoZSB0ZXN0cyBvZiBuc3BraXQtZG5z"}
WRONG_KEY = {**KEY, "secret": "YW5vdGhlciBzZWNyZXQ="}

Program = Callable[[str], str]


def free_port() -> int:
    """A port of 127.0.0.1 that is free for UDP and for TCP.

    Below those that systems give to sockets that ask for any: a server takes it a moment later, and
    meanwhile another run's lookup could have got it.
    """
    for port in random.SystemRandom().sample(range(12_000, 32_000), 100):
        with (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagram,
            socket.socket() as stream,
        ):
            try:
                datagram.bind(("127.0.0.1", port))
                stream.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    pytest.fail("no port is free for both")


class Daemon:
    """A server that is a program, in a process group of its own, killed in any case."""

    def __init__(self, command: list[str], folder: Path) -> None:
        self.command = command
        self.log = folder / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def wait_until(self, is_up: Callable[[], bool]) -> None:
        """Wait until it answers; fail with its log if it ends, or does not begin."""
        until = time.monotonic() + PATIENCE
        pause = threading.Event()
        while not is_up():
            if self.process.poll() is not None or time.monotonic() > until:
                pytest.fail(f"{self.command} does not answer:\n{self.log.read_text()[-3000:]}")
            pause.wait(0.02)


class Dig:
    """The `dig` command, at one server."""

    def __init__(self, program: str, port: int) -> None:
        self.address = f"127.0.0.1:{port}"
        self.command = [program, "@127.0.0.1", "-p", str(port)]

    def __call__(self, *arguments: str) -> list[str]:
        """The lines of its output."""
        done = subprocess.run(
            [*self.command, "+tries=1", "+time=10", *arguments],
            capture_output=True, text=True, timeout=PATIENCE, check=False,
        )  # fmt: skip
        return done.stdout.splitlines()

    def records(self, name: str, kind: str) -> set[tuple[str, int, str, str]]:
        """The records of its answer: owner, time to live, type, data."""
        found = set()
        for line in self("+noall", "+answer", name, kind):
            owner, ttl, _, of, data = line.split(None, 4)
            found.add((owner.removesuffix("."), int(ttl), of, data))
        return found

    def status(self, name: str, kind: str) -> str:
        """The code of its answer, such as NXDOMAIN."""
        for line in self("+noall", "+comments", name, kind):
            if "status: " in line:
                return line.partition("status: ")[2].partition(",")[0]
        return ""


class Named:
    """A bind9 with zones of the tests' own."""

    def __init__(self, port: int, dig: Dig, tls: int, https: int, folder: Path) -> None:
        self.port = port
        self.folder = folder
        self.address = f"127.0.0.1:{port}"
        self.dig = dig
        self.tls = f"tls://127.0.0.1:{tls}#ns.main.test"
        self.https = f"https://127.0.0.1:{https}/dns-query#ns.main.test"
        self.authority = folder / "cert.pem"


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


def configure(name: str, folder: Path, **values: object) -> None:
    """Write the configuration of a server into its folder."""
    text = Template((SERVERS / name).read_text()).substitute(folder=folder, **values)
    (folder / name).write_text(text)


def certificate(folder: Path, program: Program) -> None:
    """A certificate for ns.main.test that signs itself."""
    command = [
        program("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt",
        "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", "key.pem", "-out", "cert.pem",
        "-days", "3", "-subj", "/CN=ns.main.test", "-addext", "subjectAltName=DNS:ns.main.test",
    ]  # fmt: skip
    subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=PATIENCE)


@pytest.fixture(scope="session")
def named(program: Program, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Named]:
    """A bind9 that has the zones above; those that change are each test's own names."""
    folder = tmp_path_factory.mktemp("named")
    binary, dig = program("named"), program("dig")
    certificate(folder, program)
    for zone in SERVERS.glob("*.zone"):
        shutil.copy(zone, folder / zone.stem)
    for name in ("secret", "refused"):
        shutil.copy(folder / "other", folder / name)
    big = "".join(f"big{n:02} A 192.0.2.{n}\n" for n in range(1, 60))
    many = "".join(f"many A 198.51.100.{n}\n" for n in range(1, 100))
    listed = "".join(
        f"_many._tcp PTR s{n}._many._tcp\ns{n}._many._tcp SRV 0 0 {n} big{n % 59 + 1:02}\n"
        f's{n}._many._tcp TXT "n={n}"\n'
        for n in range(1, 101)
    )
    with (folder / "main").open("a") as main:
        main.write(big + many + listed)
    port, tls, https = free_port(), free_port(), free_port()
    configure("named.conf", folder, port=port, tls=tls, https=https, secret=KEY["secret"])
    with Daemon([binary, "-g", "-n", "1", "-c", "named.conf"], folder) as daemon:
        digging = Dig(dig, port)
        daemon.wait_until(lambda: digging.status("main.test", "SOA") == "NOERROR")
        yield Named(port, digging, tls, https, folder)


@pytest.fixture(scope="session")
def knot(program: Program, named: Named, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dig]:
    """A knot that has the same zones, and `dig` at it."""
    folder = tmp_path_factory.mktemp("knot")
    binary, dig, port = program("knotd"), program("dig"), free_port()
    shutil.copy(SERVERS / "dynamic.zone", folder / "dynamic")
    configure("knot.conf", folder, port=port, zones=named.folder, secret=KEY["secret"])
    with Daemon([binary, "-c", "knot.conf"], folder) as daemon:
        digging = Dig(dig, port)
        daemon.wait_until(lambda: digging.status("other.test", "SOA") == "NOERROR")
        yield digging


@pytest.fixture(scope="session")
def unbound(
    program: Program, named: Named, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Dig]:
    """An unbound, which asks the bind9 and remembers what that says, and `dig` at it."""
    folder = tmp_path_factory.mktemp("unbound")
    binary, dig, port = program("unbound"), program("dig"), free_port()
    configure("unbound.conf", folder, port=port, behind=named.port)
    with Daemon([binary, "-d", "-p", "-c", "unbound.conf"], folder) as daemon:
        digging = Dig(dig, port)
        daemon.wait_until(lambda: digging.status("main.test", "SOA") == "NOERROR")
        yield digging


def reply_to(query: dns.message.Message, *records: str, rcode: int = 0) -> dns.message.Message:
    """An answer with these records, each ``"name ttl type data"``."""
    response = dns.message.make_response(query)
    response.set_rcode(dns.rcode.Rcode(rcode))
    for record in records:
        name, ttl, kind, data = record.split(" ", 3)
        response.answer.append(dns.rrset.from_text(name, int(ttl), "IN", kind, data))
    return response


def of_type(query: dns.message.Message, kind: str) -> bool:
    """Whether a question is for records of a type."""
    return query.question[0].rdtype == dns.rdatatype.from_text(kind)


@pytest.fixture
def tools() -> type[Tools]:
    """What tests make answers with; a conftest.py cannot be imported."""
    return Tools


class Tools:
    """What tests make answers with."""

    reply_to = staticmethod(reply_to)
    of_type = staticmethod(of_type)
    free_port = staticmethod(free_port)
    KEY = KEY
    WRONG_KEY = WRONG_KEY
