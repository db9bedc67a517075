"""Sessions of the provider on the loopback interface, and an avahi-daemon beside them."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from nspkit_mdns import MdnsProvider

import nspkit
from nspkit import Address, Service

PATIENCE = 30.0

Start = Callable[..., nspkit.Session]
SETTINGS: dict[str, Any] = {"interfaces": ["lo"], "timeout": 30.0, "browse_time": 0.4}

_BUS = """\
<busconfig>
  <listen>unix:path={folder}/bus</listen>
  <policy context="default">
    <allow user="*"/> <allow own="*"/> <allow send_destination="*"/> <allow receive_sender="*"/>
  </policy>
</busconfig>
"""
_CONFIGURATION = """\
[server]
host-name={host}
allow-interfaces=lo
use-ipv4=yes
use-ipv6=no
ratelimit-interval-usec=0
[publish]
publish-hinfo=no
publish-workstation=no
publish-addresses=yes
[rlimits]
"""
_GROUP = """\
<service-group>
  <name>{name}</name>
  <service><type>{type}</type><port>{port}</port>{attributes}</service>
</service-group>
"""
# The daemon has fixed paths: the file of its pid, its socket, its configuration.
_RUN = """
mount -t tmpfs none /run && mkdir -p /run/avahi-daemon && mount --bind "$1" /etc/avahi &&
exec avahi-daemon --file=/etc/avahi/avahi-daemon.conf --no-drop-root --no-chroot --no-proc-title
"""


def eventually(condition: Callable[[], Any], what: str = "it does not come true") -> Any:
    """Wait until something is true, and return it."""
    until, pause = monotonic() + PATIENCE, threading.Event()
    while not (found := condition()):
        assert monotonic() < until, what
        pause.wait(0.05)
    return found


_OFFERED: tuple[tuple[str, str, int, dict[str, str]], ...] = (
    ("Lobby", "_ipp._tcp", 631, {"note": "ground floor", "rp": "queue"}),
    ("Attic", "_browse._tcp", 700, {}),
    ("Büro", "_browse._tcp", 701, {}),
    ("My Printer 1.5", "_browse._tcp", 702, {}),
    ("Hall", "_full._tcp", 9, {}),
    ("any", "_listed._udp", 9, {}),
    ("Taken", "_taken._tcp", 9, {}),
    ("Twin", "_twin._tcp", 9, {}),
)


class Avahi:
    """A daemon with a bus, a folder and a host name of its own, and the programs that ask it."""

    host = "nspkit-tester"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._log = folder / "log"
        self._processes: list[subprocess.Popen[bytes]] = []
        bus = f"unix:path={folder}/bus"
        self.environment = os.environ | {"DBUS_SYSTEM_BUS_ADDRESS": bus, "LC_ALL": "C.UTF-8"}

    def start(self) -> None:
        """Start bus and daemon, and wait until it answers."""
        (self.folder / "bus.conf").write_text(_BUS.format(folder=self.folder))
        own = self.folder / "etc"
        (own / "services").mkdir(parents=True)
        (own / "hosts").write_text("192.0.2.7 printer.local\n192.0.2.9 büro.local\n")
        (own / "avahi-daemon.conf").write_text(_CONFIGURATION.format(host=self.host))
        for offer in _OFFERED:
            self._serve(own / "services", *offer)
        self.spawn(
            "dbus-daemon", f"--config-file={self.folder}/bus.conf", "--nofork", "--nopidfile"
        )
        eventually((self.folder / "bus").exists, self.log())
        self.spawn("unshare", "--mount", "sh", "-c", _RUN, "sh", str(own))
        eventually(lambda: self.resolve("-n", f"{self.host}.local"), self.log())
        eventually(lambda: self.log().count("successfully established") >= len(_OFFERED))

    @staticmethod
    def _serve(folder: Path, name: str, kind: str, port: int, attributes: dict[str, str]) -> None:
        """Have the daemon offer a service, by a file of its own."""
        records = "".join(
            f"<txt-record>{key}={value}</txt-record>" for key, value in attributes.items()
        )
        group = _GROUP.format(name=name, type=kind, port=port, attributes=records)
        (folder / f"{name}.service").write_text(group)

    def publish(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Have something published for as long as the process runs."""
        return self.spawn("avahi-publish", *arguments)

    def end(self, process: subprocess.Popen[bytes]) -> None:
        """End what publishes something."""
        end(process)

    def browse(self, service_type: str) -> list[list[str]]:
        """What `avahi-browse` resolves of a type, the cells of each line."""
        done = self._ask("avahi-browse", "--resolve", "--parsable", "--terminate", service_type)
        return [line.split(";") for line in done.splitlines() if line.startswith("=")]

    def listen(self, service_type: str) -> Callable[[], str]:
        """Have `avahi-browse` go on, and return a function that tells what it has said."""
        file = self.folder / f"heard-{service_type}"
        self.spawn("avahi-browse", "--resolve", "--parsable", service_type, output=file)
        return lambda: file.read_text(encoding="utf-8")

    def resolve(self, *arguments: str) -> str:
        """What `avahi-resolve` says; nothing where it finds nothing."""
        return self._ask("avahi-resolve", *arguments)

    def spawn(self, *command: str, output: Path | None = None) -> subprocess.Popen[bytes]:
        """Start a program; it is ended with the daemon at the latest, and killed with this one."""
        with self._log.open("ab") as log, (output or self._log).open("ab") as said:
            process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *command],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=log,
                start_new_session=True,
            )
        self._processes.append(process)
        return process

    def log(self) -> str:
        """What all of them have said."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def stop(self) -> None:
        """End what was started, the last first."""
        for process in reversed(self._processes):
            end(process)

    def _ask(self, *command: str) -> str:
        done = subprocess.run(
            command,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        return done.stdout if done.returncode == 0 else ""


def end(process: subprocess.Popen[Any]) -> None:
    """End a process and what it started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            continue
        return


def program(name: str) -> str:
    """The path of a program; the test is skipped without it, and fails where CI is set."""
    path = shutil.which(name)
    if path is None and os.environ.get("CI"):
        pytest.fail(f"{name} is not installed; add its package to the list at the top of .ci/run")
    if path is None:
        pytest.skip(f"{name} is not installed")
    return path


@pytest.fixture(scope="session")
def avahi(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Avahi]:
    """The daemon, one for all tests: they use names of their own."""
    for name in ("avahi-daemon", "avahi-browse", "dbus-daemon", "setpriv", "unshare"):
        program(name)
    daemon = Avahi(tmp_path_factory.mktemp("avahi"))
    try:
        daemon.start()
        yield daemon
    except BaseException:
        print(daemon.log())  # noqa: T201  # pytest shows it with the failure
        raise
    finally:
        daemon.stop()


@pytest.fixture
def new_host() -> Iterator[Callable[..., nspkit.Host]]:
    """A function that makes a host which has this provider only; all are closed in the end."""
    hosts: list[nspkit.Host] = []

    def make(**settings: Any) -> nspkit.Host:
        catalog = nspkit.Catalog()
        catalog.install(MdnsProvider)
        settings = {**SETTINGS, **settings}
        hosts.append(nspkit.Host(catalog=catalog, settings={"mdns": settings}))
        return hosts[-1]

    yield make
    for host in hosts:
        host.close()


@pytest.fixture
def start(new_host: Callable[..., nspkit.Host]) -> Start:
    """A function that starts the provider, in a host of its own."""
    return lambda **settings: new_host(**settings).startup("mdns")


@pytest.fixture
def session(start: Start) -> nspkit.Session:
    """A session of the provider."""
    return start()


@pytest.fixture
def short(start: Start) -> nspkit.Session:
    """Another one, which does not wait long: for what is not there."""
    return start(timeout=0.3, browse_time=0.5)


@pytest.fixture
def service() -> Callable[..., Service]:
    """A function that makes a service at this machine's own address."""

    def make(name: str, **members: Any) -> Service:
        port = members.pop("port", 8080)
        addresses = [Address.inet("127.0.0.1", port, type=1, proto=6)]
        defaults = {"service_class": "_nspkit._tcp", "addresses": addresses}
        return Service(name, **{**defaults, **members})

    return make


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a registration, or a goodbye, be done in a tenth of a second, where that will do."""
    monkeypatch.setattr("nspkit_mdns._entry._GOODBYE_AGAIN", 0.02)
    monkeypatch.setattr("nspkit_mdns._claim._DELAY", 0.02)
    monkeypatch.setattr("nspkit_mdns._claim._PAUSE", 0.02)
    monkeypatch.setattr("nspkit_mdns._registration._AT_THE_SAME_TIME", 0.02)


@pytest.fixture
def patiently(quick: None, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """A function from which on a registration waits for whoever has the name on a busy machine."""
    return lambda: monkeypatch.setattr("nspkit_mdns._claim._PAUSE", PATIENCE)


_STRANGER = """
import sys, zeroconf
name, kind, port, ttl = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
own = zeroconf.Zeroconf(interfaces=["127.0.0.1"])
own.register_service(
    zeroconf.ServiceInfo(
        f"{kind}.local.", f"{name}.{kind}.local.", port=port, server=f"{name}.local.",
        addresses=[b"\\x7f\\0\\0\\1"], host_ttl=ttl,
    ),
    cooperating_responders=True,
)
print("ready", flush=True)
sys.stdin.readline()
own.close()
"""


@pytest.fixture
def stranger() -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """A function that has another process offer a service and a host, with zeroconf alone."""
    processes = []

    def begin(name: str, kind: str, port: int = 99, ttl: int = 120) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-c", _STRANGER, name, kind, str(port), str(ttl)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        processes.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        return process

    yield begin
    for process in processes:
        end(process)
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()


@pytest.fixture(name="eventually")
def eventually_fixture() -> Callable[..., Any]:
    """The function that waits until something is true."""
    return eventually


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """See that each test leaves no thread of the provider, and nobody who has its engine."""
    yield
    from nspkit_mdns._share import _share

    assert _share.engine is None
    left = [one.name for one in threading.enumerate() if one.name == "nspkit-mdns"]
    assert left == []
