"""What many tests share: where things are, programs of the system, fresh interpreters."""

from __future__ import annotations

import gc
import importlib.metadata
import os
import select
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import pytest

CHECKOUT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True, scope="session")
def signals_count() -> Iterator[None]:
    """Have Ctrl-C raise KeyboardInterrupt, and SIGTERM and SIGHUP end what tests start.

    A shell that runs the suite beside itself has it ignore Ctrl-C, and nohup has it ignore SIGHUP.
    """
    meant = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
    if hasattr(signal, "SIGHUP"):
        meant[signal.SIGHUP] = signal.SIG_DFL
    before = {number: signal.signal(number, handler) for number, handler in meant.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def small_collections() -> None:
    """Have the garbage collector look only at what the test itself makes.

    For tests that collect at each of hundreds of points: with all that the suite has loaded, once
    takes a tenth of a second. Nothing is thawed before the end of the run, for the tests that come
    after; see the conftest.py of the root.
    """
    gc.collect()
    gc.freeze()


def pytest_sessionfinish() -> None:
    """Have the collector look at everything again, so that pytest hears of all that was left."""
    gc.unfreeze()


@pytest.fixture(scope="session")
def checkout() -> Path:
    """The folder that holds pyproject.toml, docs/, plugins/ and tests/.

    It need not hold nspkit/: the suite is run against an installed wheel too.
    """
    return CHECKOUT


@pytest.fixture(scope="session")
def dist(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the wheel and the sdist: NSPKIT_DIST, else one newly built from the tree."""
    if "NSPKIT_DIST" in os.environ:
        return Path(os.environ["NSPKIT_DIST"]).resolve()
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("dist")
    # From a copy, which has what a checkout has: the build must leave the tree as it is, and
    # what lies around in the tree must not decide.
    tree = tmp_path_factory.mktemp("tree") / "nspkit"
    shutil.copytree(checkout, tree, ignore=shutil.ignore_patterns(".*", "__pycache__"))
    build = [sys.executable, "-m", "hatchling", "build", "-d", str(folder)]
    done = subprocess.run(build, cwd=tree, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="session")
def program() -> Callable[[str], str]:
    """A function that tells the path of a program, for tests that ask a real one.

    Where the program is missing the test is skipped and says so; with CI set it fails, because CI
    installs every program that the tests need.
    """

    def find(name: str) -> str:
        path = shutil.which(name)
        if path is None:
            reason = f"{name} is not installed"
            if os.environ.get("CI"):
                pytest.fail(f"{reason}; add its package to the list at the top of .ci/run")
            pytest.skip(reason)
        return path

    return find


@pytest.fixture
def fresh_python(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """A function that runs code in an interpreter of its own and returns what it printed.

    For everything that is about a process: what importing does, how it ends, what it leaves. The
    interpreter finds the nspkit that this one found, starts in an empty folder, and is ended with
    a failure after `timeout` seconds. With `bare=True` nothing measures its coverage, so that only
    the code itself has imported anything.
    """

    def run(
        code: str, *arguments: str, timeout: float = 60, check: bool = True, bare: bool = False
    ) -> subprocess.CompletedProcess[str]:
        environment = {
            name: value
            for name, value in os.environ.items()
            if not (bare and name.startswith(("COV_", "COVERAGE_")))
        }
        # An empty entry would mean the current folder, which is another one over there.
        path = [str(Path(entry).resolve()) for entry in sys.path if entry]
        environment["PYTHONPATH"] = os.pathsep.join(path)
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            cwd=tmp_path,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if check and done.returncode != 0:
            pytest.fail(f"exit status {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    return run


# The command line, as it is installed -------------------------------------------------------------

GROUP = "nspkit.providers"
_ONES_OWN = ("FORCE_COLOR", "NO_COLOR", "NSPKIT_CONFIG")
ANSWER = 'yield Service(query.name, addresses=[Address.inet("192.0.2.1")])'

PROVIDER = """\
import os, pathlib, threading
from nspkit import *
from nspkit import errors
{top}

class Provider:
    info = ProviderInfo("{guid}", "{name}", 4711, "2.5", stores_service_classes=True)

    @hookimpl
    def nsp_startup(self, resources):
{startup}

    @hookimpl
    def nsp_cleanup(self):
{cleanup}

    @hookimpl
    def nsp_lookup_service(self, query, cancellation):
{lookup}
"""


class Installation:
    """An nspkit with providers of its own, to be run as a program.

    They are fake distributions on its path. What else is installed is hidden behind empty ones of
    the same names.
    """

    def __init__(self, folder: Path) -> None:
        """Hide the providers that are installed here."""
        self.folder = folder
        self.site = folder / "site"
        self.site.mkdir()
        self.environment: dict[str, str] = {}
        for point in importlib.metadata.entry_points(group=GROUP):
            if point.dist is not None:
                self.distribution(point.dist.name, "", "")

    def distribution(self, name: str, points: str, metadata: str) -> None:
        """Install a distribution of version 1.0 without files."""
        folder = self.site / f"{name.replace('-', '_')}-1.0.dist-info"
        folder.mkdir()
        head = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"
        (folder / "METADATA").write_text(head + metadata, encoding="utf-8")
        (folder / "entry_points.txt").write_text(points, encoding="utf-8")

    def source(self, name: str, source: str, *, metadata: str = "") -> None:
        """Install a provider with this module."""
        self.distribution(f"fake-{name}", f"[{GROUP}]\n{name} = fake_{name}:Provider\n", metadata)
        (self.site / f"fake_{name}.py").write_text(source, encoding="utf-8")

    def add(
        self,
        name: str,
        lookup: str = ANSWER,
        *,
        startup: str = "pass",
        cleanup: str = "pass",
        top: str = "",
        metadata: str = "",
        guid: str = "",
    ) -> str:
        """Install a provider with these bodies of hooks; returns its GUID."""
        guid = guid or str(uuid.uuid5(uuid.NAMESPACE_DNS, name))
        bodies = {"startup": startup, "cleanup": cleanup, "lookup": lookup}
        indented = {hook: textwrap.indent(body, " " * 8) for hook, body in bodies.items()}
        source = PROVIDER.format(guid=guid, name=name, top=top, **indented)
        self.source(name, source, metadata=metadata)
        return guid

    def start(self, *arguments: str, **options: Any) -> subprocess.Popen[str]:
        """Begin to run a command, or with ``shell`` what a shell makes of that text."""
        shell = options.pop("shell", None)
        command = [sys.executable, "-m", "nspkit", *arguments]
        environment = {
            **{k: v for k, v in os.environ.items() if k not in _ONES_OWN},
            "PYTHONPATH": os.pathsep.join(
                # An empty entry would mean the current folder, which is another one there.
                [str(self.site), *(str(Path(entry).resolve()) for entry in sys.path if entry)]
            ),
            "PYTHONDONTWRITEBYTECODE": "1",
            "COLUMNS": "80",
            **self.environment,
            **options.pop("environment", {}),
        }
        streams = {
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
            **options,
        }
        return subprocess.Popen(
            command if shell is None else ["/bin/sh", "-c", shell],
            cwd=self.folder,
            env=environment,
            encoding="utf-8",
            **streams,
        )

    def run(self, *arguments: str, **options: Any) -> tuple[int, list[str], list[str]]:
        """Run a command to its end: exit status, lines of output, lines of errors."""
        timeout = options.pop("timeout", 60)
        with self.start(*arguments, **options) as process:
            try:
                output, errors = process.communicate(timeout=timeout)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        assert "Traceback (most recent call last)" not in errors, errors
        return process.returncode, (output or "").splitlines(), errors.splitlines()


@pytest.fixture
def nspkit(tmp_path: Path) -> Installation:
    """An nspkit without providers."""
    return Installation(tmp_path)


@pytest.fixture
def registry(nspkit: Installation) -> Installation:
    """An nspkit with the SQLite registry alone, whose file is the test's own."""
    pytest.importorskip("nspkit_sqlite", reason="nspkit-sqlite is not installed")
    nspkit.distribution("registry", f"[{GROUP}]\nsqlite = nspkit_sqlite:SqliteProvider\n", "")
    settings = '[providers.sqlite]\npath = "registry.db"\ninterval = 0.02\n'
    (nspkit.folder / "nspkit.toml").write_text(settings, encoding="utf-8")
    nspkit.environment["NSPKIT_CONFIG"] = "nspkit.toml"
    return nspkit


class Foreground:
    """A command that goes on until it is ended; what hangs is killed after a minute."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        """Take a process whose output and errors are pipes."""
        self.process = process
        self._guard = threading.Timer(60, process.kill)

    def __enter__(self) -> Self:
        self._guard.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()
        self._guard.cancel()

    def line(self, *words: str) -> str:
        """The next line of output that has all these words."""
        assert self.process.stdout is not None
        seen = []
        for line in self.process.stdout:
            seen.append(line)
            if all(word in line for word in words):
                return line.rstrip("\n")
        pytest.fail(f"no line with {words}; there were {seen}")

    def is_silent(self, seconds: float) -> bool:
        """Whether it writes nothing for so long; what was written before has to be read."""
        return not select.select([self.process.stdout], [], [], seconds)[0]

    def end(self, *signals: int) -> tuple[int, list[str], list[str]]:
        """Send these signals and wait for the end: exit status, lines of output and of errors."""
        for number in signals:
            self.process.send_signal(number)
        output, errors = self.process.communicate(timeout=60)
        assert "Traceback" not in errors, errors
        return self.process.returncode, output.splitlines(), errors.splitlines()


@pytest.fixture
def foreground() -> type[Foreground]:
    """The class that looks after a command in the foreground."""
    return Foreground
