"""Real name servers of the tests' own, `dig` beside them, and hosts with this one provider."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest
from nspkit_dns import DnsProvider

import nspkit

PATIENCE = 30.0
KEY = {"name": "update.key", "secret": "c2VjcmV0IG9mIHRoZSB0ZXN0cyBvZiBuc3BraXQtZG5z"}
WRONG_KEY = {**KEY, "secret": "YW5vdGhlciBzZWNyZXQ="}

Program = Callable[[str], str]
Ask = Callable[..., list[nspkit.Service]]
MakeHost = Callable[..., nspkit.Host]

ZONE = """\
$TTL 300
@           SOA   ns hostmaster 1 3600 600 86400 60
@           NS    ns
@           MX    20 backup
@           MX    10 mail
@           TXT   "v=spf1 -all" "second string"
@           CAA   0 issue "ca.example"
ns          A     127.0.0.1
mail        A     192.0.2.25
backup      A     192.0.2.26
web         60 A    192.0.2.1
web         60 A    192.0.2.2
web         30 AAAA 2001:db8::1
v4          A     192.0.2.4
v6          AAAA  2001:db8::6
www         20 CNAME web
old         CNAME www
loop        CNAME pool
pool        CNAME loop
away        CNAME web.other.test.
astray      CNAME nowhere
text        TXT   "only text"
*.wild      A     192.0.2.99
under_score A     192.0.2.30
xn--bcher-kva A   192.0.2.31
_sip._tcp   SRV   10 0 5060 web
_sip._tcp   SRV   5 0 5061 v4
_none._tcp  SRV   0 0 0 .
_lost._tcp  SRV   0 0 1 nowhere
strange     TYPE65300 \\# 4 01020304
_services._dns-sd._udp PTR _http._tcp
_services._dns-sd._udp PTR _ipp._tcp
_services._dns-sd._udp PTR something
_http._tcp  PTR   One\\032Page._http._tcp
_http._tcp  PTR   two\\.dots._http._tcp
_http._tcp  PTR   gone._http._tcp
_http._tcp  PTR   foreign
_new._sub._http._tcp PTR One\\032Page._http._tcp
One\\032Page._http._tcp SRV 0 0 8080 web
One\\032Page._http._tcp TXT "path=/" "Secure" "PATH=/other" "=nothing" "raw=\\255\\000" "empty="
two\\.dots._http._tcp SRV 0 0 81 v4
two\\.dots._http._tcp TXT ""
_ipp._tcp   PTR   lone._ipp._tcp
lone._ipp._tcp SRV 0 0 631 nowhere
lone._ipp._tcp TXT ""
"""

OTHER = """\
$TTL 300
@   SOA ns hostmaster 1 3600 600 86400 60
@   NS  ns
ns  A   127.0.0.1
web A   192.0.2.200
"""

EXAMPLE = """\
www 60 A 192.0.2.80
www 60 AAAA 2001:db8::80
_http._tcp PTR Start._http._tcp
Start._http._tcp SRV 0 0 8080 www
Start._http._tcp TXT "path=/"
"""

REVERSE = """\
$TTL 300
@ SOA ns.main.test. hostmaster.main.test. 1 3600 600 86400 60
@ NS  ns.main.test.
1 PTR web.main.test.
1 PTR www.main.test.
2 120 PTR web.main.test.
"""

DYNAMIC = """\
$TTL 300
@     SOA ns hostmaster 1 3600 600 86400 60
@     NS  ns
ns    A   127.0.0.1
taken._http._tcp SRV 0 0 80 ns
taken._http._tcp TXT "by=others"
"""


def free_port() -> int:
    """A port of 127.0.0.1 that is free for UDP and for TCP."""
    for _ in range(100):
        with (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagram,
            socket.socket() as stream,
        ):
            datagram.bind(("127.0.0.1", 0))
            port: int = datagram.getsockname()[1]
            try:
                stream.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    pytest.fail("no port is free for both")


class Daemon:
    """A server that is a program, in a process group of its own, killed in any case."""

    def __init__(self, command: list[str], folder: Path) -> None:
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
                pytest.fail(f"{self.process.args} does not answer:\n{self.log.read_text()[-3000:]}")
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


_NAMED = """\
key "update.key" {{ algorithm hmac-sha256; secret "{secret}"; }};
tls own {{ key-file "key.pem"; cert-file "cert.pem"; }};
http own {{ endpoints {{ "/dns-query"; }}; }};
options {{
    directory "{folder}";
    pid-file "named.pid"; session-keyfile "session.key"; managed-keys-directory "{folder}";
    listen-on port {port} {{ 127.0.0.1; }};
    listen-on port {tls} tls own {{ 127.0.0.1; }};
    listen-on port {https} tls own http own {{ 127.0.0.1; }};
    listen-on-v6 {{ none; }};
    recursion no; dnssec-validation no; notify no; minimal-responses yes; empty-zones-enable no;
    rrset-order {{ order none; }}; max-udp-size 1232;
}};
controls {{ }};
zone "main.test" {{ type primary; file "main"; check-names ignore; }};
zone "other.test" {{ type primary; file "other"; }};
zone "2.0.192.in-addr.arpa" {{ type primary; file "reverse"; }};
zone "dyn.test" {{ type primary; file "dynamic"; allow-update {{ key "update.key"; }}; }};
zone "secret.test" {{ type primary; file "other2"; allow-query {{ key "update.key"; }}; }};
zone "example.org" {{ type primary; file "example"; }};
zone "refused.test" {{ type primary; file "other3"; allow-query {{ none; }}; }};
"""


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
    big = "".join(f"big{n:02} A 192.0.2.{n}\n" for n in range(1, 60))
    many = "".join(f"many A 198.51.100.{n}\n" for n in range(1, 100))
    listed = "".join(
        f"_many._tcp PTR s{n}._many._tcp\ns{n}._many._tcp SRV 0 0 {n} big{n % 59 + 1:02}\n"
        f's{n}._many._tcp TXT "n={n}"\n'
        for n in range(1, 101)
    )
    (folder / "main").write_text(ZONE + big + many + listed)
    for name in ("other", "other2", "other3"):
        (folder / name).write_text(OTHER)
    (folder / "example").write_text(OTHER + EXAMPLE)
    (folder / "reverse").write_text(REVERSE)
    (folder / "dynamic").write_text(DYNAMIC)
    port, tls, https = free_port(), free_port(), free_port()
    (folder / "named.conf").write_text(
        _NAMED.format(folder=folder, port=port, tls=tls, https=https, secret=KEY["secret"])
    )
    with Daemon([binary, "-g", "-n", "1", "-c", "named.conf"], folder) as daemon:
        digging = Dig(dig, port)
        daemon.wait_until(lambda: digging.status("main.test", "SOA") == "NOERROR")
        yield Named(port, digging, tls, https, folder)


_KNOT = """\
server:
    rundir: "{folder}"
    listen: 127.0.0.1@{port}
database:
    storage: "{folder}"
log:
  - target: stderr
    any: warning
key:
  - id: update.key
    algorithm: hmac-sha256
    secret: {secret}
acl:
  - id: updates
    key: update.key
    action: update
template:
  - id: default
    storage: "{folder}"
    semantic-checks: off
    zonefile-load: whole
zone:
  - domain: main.test
    file: "{zones}/main"
  - domain: other.test
    file: "{zones}/other"
  - domain: dyn.test
    file: "{folder}/dynamic"
    acl: updates
"""


@pytest.fixture(scope="session")
def knot(program: Program, named: Named, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dig]:
    """A knot that has the same zones, and `dig` at it."""
    folder = tmp_path_factory.mktemp("knot")
    binary, dig, port = program("knotd"), program("dig"), free_port()
    (folder / "dynamic").write_text(DYNAMIC)
    configuration = _KNOT.format(folder=folder, port=port, zones=named.folder, secret=KEY["secret"])
    (folder / "knot.conf").write_text(configuration)
    with Daemon([binary, "-c", "knot.conf"], folder) as daemon:
        digging = Dig(dig, port)
        daemon.wait_until(lambda: digging.status("other.test", "SOA") == "NOERROR")
        yield digging


_UNBOUND = """\
server:
    directory: "{folder}"
    chroot: ""
    username: ""
    pidfile: ""
    use-syslog: no
    interface: 127.0.0.1
    port: {port}
    do-ip6: no
    do-not-query-localhost: no
    module-config: "iterator"
    local-zone: "test." nodefault
stub-zone:
    name: "main.test"
    stub-addr: 127.0.0.1@{behind}
stub-zone:
    name: "other.test"
    stub-addr: 127.0.0.1@{behind}
remote-control:
    control-enable: no
"""


@pytest.fixture(scope="session")
def unbound(
    program: Program, named: Named, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Dig]:
    """An unbound, which asks the bind9 and remembers what that says, and `dig` at it."""
    folder = tmp_path_factory.mktemp("unbound")
    binary, dig, port = program("unbound"), program("dig"), free_port()
    configuration = _UNBOUND.format(folder=folder, port=port, behind=named.port)
    (folder / "unbound.conf").write_text(configuration)
    with Daemon([binary, "-d", "-p", "-c", "unbound.conf"], folder) as daemon:
        digging = Dig(dig, port)
        daemon.wait_until(lambda: digging.status("main.test", "SOA") == "NOERROR")
        yield digging


@pytest.fixture
def make_host() -> Iterator[MakeHost]:
    """A function that makes a host with this one provider; all are closed in the end."""
    hosts: list[nspkit.Host] = []

    def make(**settings: Any) -> nspkit.Host:
        catalog = nspkit.Catalog()
        catalog.install(DnsProvider)
        if settings.setdefault("search", []) is None:  # that of resolv.conf
            del settings["search"]
        hosts.append(nspkit.Host(catalog=catalog, settings={"dns": settings}))
        return hosts[-1]

    yield make
    for host in hosts:
        host.close()


@pytest.fixture
def asking(make_host: MakeHost) -> Callable[..., Ask]:
    """A function that makes one which looks up, with certain settings."""

    def make(**settings: Any) -> Ask:
        host = make_host(**settings)

        def look_up(name: str | None = None, **restrictions: Any) -> list[nspkit.Service]:
            with host.lookup(name, provider="dns", **restrictions) as lookup:
                return list(lookup)

        return look_up

    return make


@pytest.fixture
def ask(asking: Callable[..., Ask], named: Named) -> Ask:
    """A function that looks up at the bind9, and returns all results."""
    return asking(nameservers=[named.address])


# -- servers that do what a test says --------------------------------------------------------------


class FakeServer:
    """A server at 127.0.0.1, for UDP and TCP, that answers each question as a function says.

    The function is given the question and the transport, and returns the packets to send: one, a
    list of them, or None for no answer at all. Over TCP, bytes that it returns are sent as they
    are, after their length; None closes the connection.
    """

    def __init__(self, answer: Callable[[dns.message.Message, str], Any]) -> None:
        self.answer = answer
        self.heard: Callable[[Any], object] = lambda _peer: None
        self.asked: list[tuple[str, str, str]] = []
        self.port = 0
        self._ends = False
        self._threads: list[threading.Thread] = []

    @property
    def address(self) -> str:
        """What stands in the setting ``nameservers``."""
        return f"127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self.port = free_port()
        self._udp = socket.socket(type=socket.SOCK_DGRAM)
        self._udp.bind(("127.0.0.1", self.port))
        self._tcp = socket.socket()
        self._tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._tcp.bind(("127.0.0.1", self.port))
        self._tcp.listen(100)
        for target in (self._serve_udp, self._serve_tcp):
            self._threads.append(threading.Thread(target=target, daemon=True))
            self._threads[-1].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends = True
        with socket.socket(type=socket.SOCK_DGRAM) as waking:
            waking.sendto(b"", ("127.0.0.1", self.port))
        with contextlib.suppress(OSError), socket.socket() as waking:
            waking.connect(("127.0.0.1", self.port))
        for thread in self._threads:
            thread.join(PATIENCE)
        self._udp.close()
        self._tcp.close()

    def questions(self) -> list[tuple[str, str]]:
        """Name and type of all that was asked."""
        return [(name, kind) for name, kind, _ in self.asked]

    def _replies(self, wire: bytes, transport: str) -> list[bytes]:
        query = dns.message.from_wire(wire, keyring=False)
        [question] = query.question
        kind = dns.rdatatype.to_text(question.rdtype)
        self.asked.append((question.name.to_text(omit_final_dot=True), kind, transport))
        replies = self.answer(query, transport)
        if replies is None:
            return []
        several = replies if isinstance(replies, list) else [replies]
        return [one if isinstance(one, bytes) else one.to_wire() for one in several]

    def _serve_udp(self) -> None:
        while True:
            wire, peer = self._udp.recvfrom(65535)
            if self._ends:
                return
            self.heard(peer)
            for reply in self._replies(wire, "udp"):
                self._udp.sendto(reply, peer)

    def _serve_tcp(self) -> None:
        while True:
            connection, _ = self._tcp.accept()
            with connection:
                if self._ends:
                    return
                connection.settimeout(PATIENCE)
                with contextlib.suppress(OSError):
                    length = int.from_bytes(connection.recv(2, socket.MSG_WAITALL), "big")
                    wire = connection.recv(length, socket.MSG_WAITALL)
                    for reply in self._replies(wire, "tcp"):
                        connection.sendall(len(reply).to_bytes(2, "big") + reply)


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
def fake() -> Iterator[Callable[..., FakeServer]]:
    """A function that starts a server which answers as a function says."""
    with contextlib.ExitStack() as stack:
        yield lambda answer: stack.enter_context(FakeServer(answer))


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
