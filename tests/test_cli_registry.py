"""`nspkit registry export` and `import`: nothing is lost, whatever happens in between."""

from __future__ import annotations

import importlib
import io
import json
import math
import pickle
import re
import signal
import socket
import sys
import textwrap
import threading
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from nspkit import Address, ResultFlags, Service, ServiceClass

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from conftest import Installation

pytest.importorskip("click", reason="the extra cli is not installed")

from click.testing import CliRunner

from nspkit.cli._archive import opened
from nspkit.cli._program import program
from nspkit.cli._progress import Progress
from nspkit.cli._records import (
    class_of,
    class_record,
    differences,
    line,
    parsed,
    service_of,
    service_record,
)

GROUP = "nspkit.providers"
GUID = "22059d40-7e9e-11cf-ae5a-00aa00a7112b"

OTHER = """\
from nspkit import ProviderInfo
from nspkit_sqlite import SqliteProvider

class Provider(SqliteProvider):
    info = ProviderInfo("0d3ff1c0-6d1d-4d58-9b6c-0c4a4f6a7c12", "other", 21329, "1")
"""

STRIKING = """\
import itertools, pathlib, signal, threading
from nspkit import ProviderInfo, errors, hookimpl
from nspkit_sqlite import SqliteProvider

class Provider(SqliteProvider):
    info = ProviderInfo("0d3ff1c0-6d1d-4d58-9b6c-0c4a4f6a7c13", "striking", 21329, "1")

    def __init__(self):
        self.calls = itertools.count(1)

    def strike(self):
        number = next(self.calls)
        place = pathlib.Path("strike")
        try:
            wanted = int(place.read_text())
        except FileNotFoundError:  # another thread's
            return
        if number == wanted:
            place.unlink()
            {strike}

    @hookimpl
    def nsp_lookup_service(self, query, cancellation):
        for service in super().nsp_lookup_service(query, cancellation):
            if query.name is None:
                self.strike()
            yield service

    @hookimpl
    def nsp_set_service(self, service, operation, multiple):
        self.strike()
        super().nsp_set_service(service, operation, multiple)
"""
CTRL_C = "signal.raise_signal(signal.SIGINT)"
TERM = "signal.raise_signal(signal.SIGTERM)"
SLOW = "raise errors.OperationTimeoutError('the server is slow')"
BUSY = "raise errors.TryAgainError('the server is busy')"
HANG = "print('inside', flush=True), threading.Event().wait()"

MEMORY = """\
import pickle
from nspkit import ProviderInfo, hookimpl
from nspkit.testing import MemoryProvider, MemoryStore

with open("{name}.pickle", "rb") as file:
    services, classes = pickle.load(file)
STORE = MemoryStore(services)
for one in classes:
    STORE.install(one)

class Provider(MemoryProvider):
    info = ProviderInfo("{guid}", "{name}", 21330, "1")

    @hookimpl
    def nsp_startup(self, settings, resources):
        super().nsp_startup(dict(settings, store=STORE), resources)
"""

PLAIN = """\
from nspkit import ProviderInfo, hookimpl
from nspkit.testing import MemoryStore

class Provider:
    info = ProviderInfo("0d3ff1c0-6d1d-4d58-9b6c-0c4a4f6a7c15", "plain", 21330, "1")

    @hookimpl
    def nsp_startup(self):
        self.store = MemoryStore()

    @hookimpl
    def nsp_cleanup(self):
        pass

    @hookimpl
    def nsp_lookup_service(self, query):
        return iter(self.store.find(query))

    @hookimpl
    def nsp_set_service(self, service, operation, multiple):
        self.store.set_service(service, operation, multiple=multiple)
"""

ATTRIBUTES: dict[str, Any] = {
    "text": "é \u2028 \x1b[31m",
    "empty": "",
    "bytes": b"\x00\xff",
    "no bytes": b"",
    "one": 1,
    "true": True,
    "one point nought": 1.0,
    "minus nought": -0.0,
    "tiny": 5e-324,
    "infinite": math.inf,
    "long": 10**30,
    "nothing": None,
}
ADDRESSES = (
    Address.inet("192.0.2.1", 80, type=1, proto=6),
    Address.inet("2001:db8::1"),
    Address(socket.AF_INET6, 2, 17, ("fe80::1", 53, 7, 3)),
    Address(4711, 1, 0, ("a", (b"\x00", 1, None))),
    Address(4711, 1, 0, b"\x00\xff"),
    Address(4711, 1, 0, "text"),
)
FULL = Service(
    "every thing",
    service_class="_http._tcp",
    addresses=ADDRESSES,
    attributes=ATTRIBUTES,
    comment="a comment",
    context="floor\\room",
    version=7,
    blob=b"\x00blob",
)


def registered(
    registries: Registries, name: str, *services: Service, classes: Sequence[ServiceClass] = ()
) -> None:
    """Install a provider that has these in memory."""
    (registries.folder / f"{name}.pickle").write_bytes(pickle.dumps((services, classes)))
    registries.source(name, MEMORY.format(name=name, guid=uuid.uuid5(uuid.NAMESPACE_DNS, name)))


def striking(registries: Registries, strike: str) -> None:
    """Install a registry that does this at the call whose number is in the file ``strike``."""
    registries.source("striking", STRIKING.replace("{strike}", strike))
    settings = '[providers.striking]\npath = "striking.db"\n'
    with (registries.folder / "nspkit.toml").open("a") as file:
        file.write(settings)


class Registries:
    """An nspkit with two SQLite registries, ``sqlite`` and ``other``, and what a test adds.

    Commands run in this process, since an interpreter for each takes longer than what it does.
    """

    def __init__(self, installed: Installation, capsys: pytest.CaptureFixture[str]) -> None:
        """Take an installation that this process can import from."""
        self.folder = installed.folder
        self.source = installed.source
        self.start = installed.start
        self.outside = installed.run
        self._capsys = capsys

    def run(self, *arguments: str) -> tuple[Any, list[str], list[str]]:
        """Run a command to its end: exit status, lines of output, lines of errors."""
        importlib.invalidate_caches()
        with pytest.raises(SystemExit) as leaving:
            program.main(arguments)
        output, errors = self._capsys.readouterr()
        return leaving.value.code, output.splitlines(), errors.splitlines()


@pytest.fixture
def registries(
    registry: Installation, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Registries]:
    """Two registries, and commands that find them."""
    registry.source("other", OTHER)
    with (registry.folder / "nspkit.toml").open("a") as file:
        file.write('[providers.other]\npath = "other.db"\n')
    monkeypatch.syspath_prepend(registry.site)
    monkeypatch.chdir(registry.folder)
    monkeypatch.setenv("NSPKIT_CONFIG", "nspkit.toml")
    yield Registries(registry, capsys)
    for name in [name for name in sys.modules if name.startswith("fake_")]:
        del sys.modules[name]


def exported(registries: Registries, provider: str, *options: str) -> list[str]:
    """What an export has, without its first and last line."""
    name = f"{provider}.check"
    assert registries.run("registry", "export", "-p", provider, name, *options)[0] == 0
    return sorted((registries.folder / name).read_text().splitlines()[1:-1])


def written(registries: Registries, *services: Service, classes: int | None = None) -> str:
    """Write an export by hand; returns its name."""
    lines = [line("export", {"format": 1})]
    lines += [line("service", service_record(service)) for service in services]
    lines.append(line("end", {"services": len(services), "classes": classes or 0}))
    (registries.folder / "x").write_text("\n".join(lines) + "\n")
    return "x"


def many(count: int) -> list[Service]:
    """So many services, of a class and of none."""
    return [
        Service(
            f"s{number}",
            service_class="_http._tcp" if number % 2 else None,
            addresses=[Address.inet("192.0.2.1", number)],
            attributes={"number": number, "raw": bytes([number % 256])},
        )
        for number in range(count)
    ]


# A line -----------------------------------------------------------------------------------------


def test_all_that_is_told_of_a_service_survives() -> None:
    """Every type of attribute and address, told apart from what is only equal."""
    service = FULL.replace(
        ttl=1.5, attributes={**ATTRIBUTES, "longer": 3**20_000, "nan": math.nan, "lone": "\ud800"}
    )
    text = line("service", service_record(service))
    kind, record = parsed(text.encode("ascii"))
    back = service_of(record)
    assert kind == "service"
    assert line("service", service_record(back)) == text
    assert back.attributes.keys() == service.attributes.keys()
    assert math.isnan(back.attributes["nan"])  # type: ignore[arg-type]
    for key in service.attributes.keys() - {"nan"}:
        value = service.attributes[key]
        assert (type(back.attributes[key]), back.attributes[key]) == (type(value), value)
    without = {"attributes": {}}
    assert back.replace(**without) == service.replace(**without)


@pytest.mark.parametrize(
    "service",
    [Service("x"), Service("x", service_class=GUID, ttl=0), Service("x", version=0, blob=b"")],
)
def test_what_is_not_there_stays_so(service: Service) -> None:
    """No class, no address, no blob: nothing is made of it."""
    assert service_of(parsed(line("service", service_record(service)).encode())[1]) == service


def test_a_service_class_survives() -> None:
    """Its attributes are written like those of a service."""
    known = ServiceClass(GUID, "mine", ATTRIBUTES)
    assert class_of(parsed(line("class", class_record(known)).encode())[1]) == known


@pytest.mark.parametrize(
    ("change", "fields"),
    [
        ({"attributes": {**ATTRIBUTES, "one": True}}, ["attributes"]),
        ({"addresses": ADDRESSES[::-1]}, ["addresses"]),
        ({"comment": ""}, ["comment"]),
        ({"version": None, "blob": None}, ["version", "blob"]),
        ({"ttl": 3.0}, ["ttl"]),
        ({"context": "\\floor\\room\\", "namespace": 4711}, []),
        ({"attributes": dict(reversed(ATTRIBUTES.items()))}, []),
    ],
)
def test_what_differs_is_named(change: dict[str, Any], fields: list[str]) -> None:
    """Equal is not enough, and order is content only for addresses."""
    assert differences(FULL, FULL.replace(**change)) == fields


def test_what_a_registry_makes_of_addresses_is_no_difference() -> None:
    """It keeps each once, and puts a protocol in the place of any."""
    one = Address.inet("192.0.2.1", 80, type=1)
    given = FULL.replace(addresses=[one.replace(proto=-1), one.replace(proto=6)])
    assert differences(given, FULL.replace(addresses=[one.replace(proto=6)])) == []


# There and back ---------------------------------------------------------------------------------


def test_a_registry_is_moved(registries: Registries) -> None:
    """Services and their classes; what is told counts them, and the end is verified."""
    classes = [ServiceClass.dns_sd("_http._tcp"), ServiceClass(GUID, "mine", {"a": b"x"})]
    registered(
        registries,
        "memory",
        FULL,
        # What is found first is the wrong one, where only the name counts.
        Service("y", context="a", comment="of another context"),
        Service("y", service_class=GUID),
        Service("y", service_class="_http._tcp", comment="of another class"),
        Service("y", comment="of no class"),
        classes=classes,
    )
    registered(registries, "empty")
    done = registries.run("registry", "export", "-p", "memory", "x")
    assert done == (0, ["x: 5 services and 2 service classes"], [])
    for provider in ("empty", "sqlite", "other"):
        status, output, errors = registries.run("registry", "import", "-p", provider, "x")
        assert (status, errors) == (0, [])
        assert output == [
            "5 services: 5 registered; 2 service classes: 2 installed",
            "verified: 5 of 5 services and 2 of 2 service classes are there as in x",
        ]
        registries.run("registry", "export", "-p", provider, "x")
    assert exported(registries, "other") == exported(registries, "memory")


def test_a_pipe_needs_no_file(registries: Registries) -> None:
    """What comes is checked whole before anything of it is registered."""
    registered(registries, "memory", *many(70))
    nspkit = f"{sys.executable} -m nspkit registry"
    command = f"{nspkit} export -p memory - | {nspkit} import -p other -"
    with registries.start(shell=command) as process:
        output, errors = process.communicate(timeout=60)
    assert process.returncode == 0
    assert output.splitlines()[0] == "70 services: 70 registered; 0 service classes: 0 installed"
    assert errors.splitlines() == ["nspkit: 70 services and 0 service classes"]
    assert len(exported(registries, "other")) == 70


def test_another_name_of_a_service_is_no_service(registries: Registries) -> None:
    """It would be registered as one."""
    registered(registries, "memory", Service("a"), Service("b", flags=ResultFlags.IS_ALIAS))
    assert [parsed(text.encode())[1]["name"] for text in exported(registries, "memory")] == ["a"]


def test_an_export_can_be_narrowed(registries: Registries) -> None:
    """To a class, or to what is in and below a context; a class without services is asked for."""
    deep = [Service("a", context="x"), Service("b", context="x\\y"), Service("c", context="z")]
    registered(registries, "memory", *deep, Service("d", service_class=GUID))
    registries.run("registry", "export", "-p", "memory", "x")
    registries.run("registry", "import", "-p", "sqlite", "x")
    found = exported(registries, "sqlite", "--context", "x")
    assert re.findall(r'"name": "(\w)"', "".join(found)) == ["a", "b"]
    found = exported(registries, "sqlite", "-c", GUID)
    assert re.findall(r'"name": "(\w)"', "".join(found)) == ["d"]
    registered(registries, "second", classes=[ServiceClass(GUID, "mine")])
    assert exported(registries, "second") == []
    [text] = exported(registries, "second", "--with-class", GUID)
    assert parsed(text.encode()) == ("class", class_record(ServiceClass(GUID, "mine")))
    status, _, errors = registries.run(
        "registry", "export", "-p", "second", "--with-class", "80/tcp", "x"
    )
    assert (status, "WSATYPE_NOT_FOUND" in errors[0]) == (3, True)


def test_a_lease_is_not_exported_unless_that_is_wanted(registries: Registries) -> None:
    """It is its owner's, who renews it where the settings say."""
    registered(registries, "memory", Service("stays"), Service("lapses", ttl=1000.0))
    status, [told], _ = registries.run("registry", "export", "-p", "memory", "x")
    assert status == 0
    assert told == (
        "x: 1 service and 0 service classes; left out: 1 lease, which --leases takes too"
    )
    assert registries.run("registry", "export", "-p", "memory", "--leases", "x")[0] == 0
    assert registries.run("registry", "import", "-p", "other", "x")[0] == 0
    _, [found], _ = registries.run("lookup", "lapses", "-p", "other", "--json")
    assert 0 < json.loads(found)["ttl"] <= 1000


def test_a_lease_that_lapses_meanwhile_is_not_wrong(registries: Registries) -> None:
    """It is counted apart."""
    name = written(registries, Service("gone", ttl=0), Service("stays"))
    status, [*_, verified], errors = registries.run("registry", "import", "-p", "other", name)
    assert (status, errors) == (0, [])
    assert verified.startswith("verified: 1 of 2 services ")
    assert verified.endswith("; 1 lease lapsed")


# Interrupted ------------------------------------------------------------------------------------


def test_both_are_interrupted_and_continued_and_nothing_is_lost(registries: Registries) -> None:
    """2,000 services; Ctrl-C strikes each of the two in its middle."""
    registered(registries, "memory", *many(2000))
    striking(registries, CTRL_C)
    strike = registries.folder / "strike"
    move = ("registry", "import", "-p", "striking", "x")
    registries.run("registry", "export", "-p", "memory", "x")

    strike.write_text("700")
    status, [told], errors = registries.outside(*move)
    assert status == 130
    done = re.match(r"2,000 services: (\d+) registered;", told)
    assert done is not None
    assert 700 <= int(done[1]) < 2000
    [error] = errors
    option = re.search(r"--from-line (\d+) goes on", error)
    assert option is not None
    assert int(option[1]) == int(done[1]) + 2  # the first line is no service
    status, output, errors = registries.run(*move, "--from-line", option[1])
    assert (status, errors) == (0, [])
    assert output[0].startswith(f"2,000 services: {2000 - int(done[1]):,} registered;")
    assert output[1].startswith("verified: 2,000 of 2,000 services ")

    export = ("registry", "export", "-p", "striking", "y")
    strike.write_text("900")
    status, output, [error] = registries.outside(*export)
    assert (status, output) == (130, [])
    assert "y.part has 899 services so far; the same command with --continue goes on" in error
    assert not (registries.folder / "y").exists()
    status, [told], errors = registries.outside(*export, "--continue")
    assert (status, errors) == (0, [])
    assert told == (
        "y: 2,000 services and 0 service classes; 899 lines of an earlier run kept, 0 out of date "
        "and taken out"
    )
    assert not list(registries.folder.glob("y.*"))
    assert exported(registries, "striking") == exported(registries, "memory")
    lines = (registries.folder / "y").read_text().splitlines()[1:-1]
    assert sorted(lines) == exported(registries, "striking")


def test_what_has_changed_since_is_taken_out(registries: Registries) -> None:
    """A continued export is what its last run has seen, and no more."""
    striking(registries, TERM)
    registries.run("registry", "import", "-p", "striking", written(registries, *many(50)))
    (registries.folder / "strike").write_text("30")
    assert registries.outside("registry", "export", "-p", "striking", "y")[0] == 130
    part = (registries.folder / "y.part").read_text().splitlines()
    names = [parsed(text.encode())[1]["name"] for text in part[1:]]
    web = ("-p", "striking")
    registries.run("set", names[0], *web, *class_option(part[1]), "-o", "delete")
    registries.run("set", names[1], *web, *class_option(part[2]), "--comment", "new")
    with (registries.folder / "y.part").open("a") as file:
        file.write('{"service": {"addr')  # killed while it was written
    _, [told], _ = registries.run("registry", "export", "-p", "striking", "y", "--continue")
    assert told.startswith("y: 49 services ")
    assert told.endswith("27 lines of an earlier run kept, 2 out of date and taken out")
    lines = (registries.folder / "y").read_text().splitlines()
    assert sorted(lines[1:-1]) == exported(registries, "striking")
    assert not list(registries.folder.glob("y.*"))


def class_option(text: str) -> list[str]:
    """The option for the class of a service of an export."""
    found = parsed(text.encode())[1]["service_class"]
    return [] if found is None else ["-c", found]


def test_an_export_of_something_else_is_not_gone_on_with(registries: Registries) -> None:
    """It would be half of each."""
    registered(registries, "memory", *many(3))
    header = line("export", {"format": 1, "provider": "sqlite"})
    part = registries.folder / "x.part"
    part.write_text(f"{header}\n")
    done = registries.run("registry", "export", "-p", "memory", "x", "--continue")
    assert done[0] == 2
    assert "x.part: it is not the beginning of this export" in done[2][0]
    assert part.read_text() == f"{header}\n"
    assert registries.run("registry", "export", "-p", "memory", "x")[0] == 0


@pytest.mark.parametrize(("strike", "told"), [(BUSY, "is busy"), (SLOW, "is slow")])
def test_a_provider_that_fails_leaves_what_can_be_gone_on_with(
    registries: Registries, strike: str, told: str
) -> None:
    """Exit status 3, and the same ways on as after Ctrl-C."""
    striking(registries, strike)
    command = ("registry", "import", "-p", "striking", written(registries, *many(100)))
    (registries.folder / "strike").write_text("40")
    status, [text], errors = registries.run(*command, "-j", "1", "--json")
    assert (status, json.loads(text)["next_line"], json.loads(text)["verified"]) == (3, 41, 0)
    assert errors[0].startswith(f"nspkit: striking: the server {told} [WSA")
    assert "--from-line 41 goes on" in errors[1]
    assert registries.run(*command, "--from-line", "41")[0] == 0
    (registries.folder / "strike").write_text("40")
    status, [text], errors = registries.run("registry", "export", "-p", "striking", "y", "--json")
    assert (status, json.loads(text)["services"]) == (3, None)
    assert errors[0].startswith(f"nspkit: striking: the server {told} [WSA")
    assert "y.part has 39 services" in errors[1]


def test_a_provider_that_hangs_is_left_after_the_time(registries: Registries) -> None:
    """Or after a second signal."""
    striking(registries, HANG)
    name = written(registries, *many(10))
    (registries.folder / "strike").write_text("3")
    command = ("registry", "import", "-p", "striking", name, "-t")
    status, _, errors = registries.outside(*command, "0.2")
    assert (status, "WSAETIMEDOUT" in errors[0]) == (3, True)
    (registries.folder / "strike").write_text("1")
    with registries.start(
        "registry", "import", "-p", "striking", written(registries, *many(20)), "-t", "600"
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "inside\n"
        # Two of a kind could be taken for one.
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)
        try:
            status = process.wait(60)
        finally:
            process.kill()
        assert process.stderr is not None
        assert "--from-line" in process.stderr.read()
    assert status == 130


# What is there already --------------------------------------------------------------------------


def test_an_import_may_be_run_again(registries: Registries) -> None:
    """What is there as it should be is not touched."""
    name = written(registries, *many(10))
    registries.run("registry", "import", "-p", "other", name)
    _, output, _ = registries.run("registry", "import", "-p", "other", name)
    assert output == [
        "10 services: 10 there already; 0 service classes: 0 installed",
        "verified: 10 of 10 services and 0 of 0 service classes are there as in x",
    ]


@pytest.mark.parametrize(
    ("options", "status", "comment", "told"),
    [
        ([], 1, "theirs", "1 there with other content and left alone"),
        (["--keep"], 0, "theirs", "; 1 kept with other content"),
        (["--replace"], 0, "ours", "1 replaced"),
        (["--dry-run"], 1, "theirs", "1 there with other content and left alone"),
        (["--dry-run", "--replace"], 0, "theirs", "1 would be replaced, 1 there already"),
    ],
)
def test_what_is_there_with_other_content(
    registries: Registries, options: list[str], status: int, comment: str, told: str
) -> None:
    """It is overwritten only on demand; otherwise it is named, with what differs."""
    registries.run("set", "a", "--comment", "theirs", "-p", "other")
    registries.run("set", "b", "-p", "other")
    name = written(registries, Service("a", comment="ours"), Service("b"))
    done = registries.run("registry", "import", "-p", "other", name, *options)
    assert done[0] == status
    assert told in "; ".join(done[1])
    if status:
        named = "x:2: 'a': it is there with other content: comment; --replace overwrites it"
        assert done[2] == [f"nspkit: {named}"]
    [found] = registries.run("lookup", "a", "-p", "other", "--json")[1]
    assert json.loads(found)["comment"] == comment


def test_of_many_problems_the_first_hundred_are_told(registries: Registries) -> None:
    """All are counted."""
    registries.run("registry", "import", "-p", "other", written(registries, *many(103)))
    name = written(registries, *(one.replace(comment="new") for one in many(103)))
    status, _, errors = registries.run("registry", "import", "-p", "other", name)
    assert (status, len(errors), errors[-1]) == (1, 101, "nspkit: 3 more are wrong")


def test_a_dry_run_does_nothing(registries: Registries) -> None:
    """It says what would be done."""
    name = written(registries, *many(5))
    _, output, _ = registries.run("registry", "import", "-p", "other", name, "--dry-run")
    assert output == ["5 services: 5 would be registered; 0 service classes: 0 would be installed"]
    assert exported(registries, "other") == []


def test_another_class_of_the_same_guid_is_told(registries: Registries) -> None:
    """The one that is there stays."""
    mine, theirs = ServiceClass(GUID, "mine"), ServiceClass(GUID, "theirs")
    registered(registries, "memory", Service("a", service_class=GUID), classes=[mine])
    registered(registries, "target", classes=[theirs])
    registries.run("registry", "export", "-p", "memory", "x")
    done = registries.run("registry", "import", "-p", "target", "x", "--dry-run")
    assert (done[0], len(done[2])) == (1, 1)
    status, output, [error] = registries.run("registry", "import", "-p", "target", "x")
    assert (status, "1 of 1 service and 0 of 1 service class " in output[1]) == (1, True)
    assert f"x:2: 'mine': another service class has its GUID {GUID}" in error
    assert "'theirs'" in error


def test_a_registry_without_service_classes_says_so(registries: Registries) -> None:
    """Its services are imported all the same."""
    registries.source("plain", PLAIN)
    mine = ServiceClass(GUID, "mine")
    registered(registries, "memory", Service("a", service_class=GUID), classes=[mine])
    registries.run("registry", "export", "-p", "memory", "x")
    status, output, [error] = registries.run("registry", "import", "-p", "plain", "x")
    assert (status, "1 of 1 service and 0 of 1 service class " in output[1]) == (1, True)
    assert error.startswith("nspkit: x:2: 'mine': ")
    assert "nsp_install_service_class" in error


def test_two_that_are_one_at_the_target_are_found_out(registries: Registries) -> None:
    """One whose names have no case overwrites nothing silently."""
    folding = PLAIN.replace("find(query)", "find(query.replace(name=query.name.lower()))")
    folding = folding.replace(
        "service(service,", "service(service.replace(name=service.name.lower()),"
    )
    registries.source("plain", folding)
    name = written(registries, Service("Web", comment="1"), Service("web", comment="2"))
    status, _, [error] = registries.run("registry", "import", "-p", "plain", name, "-j", "1")
    assert status == 1
    assert error.startswith("nspkit: x:3: 'web': it is there with other content: comment;")


def test_what_a_provider_refuses_is_named_and_the_rest_is_done(registries: Registries) -> None:
    """With its reason."""
    source = textwrap.dedent(
        """\
        from nspkit import errors, hookimpl
        from fake_other import Provider as Other

        class Provider(Other):
            @hookimpl
            def nsp_set_service(self, service, operation, multiple):
                if service.name == "s3":
                    raise errors.InvalidArgumentError("it has a 3")
                super().nsp_set_service(service, operation, multiple)
        """
    )
    registries.source("picky", source)
    name = written(registries, *many(6))
    config = "order = ['picky']\ndisabled = ['other']\n"
    (registries.folder / "nspkit.toml").write_text(f"{config}[providers.picky]\npath = 'p.db'\n")
    status, output, [error] = registries.run("registry", "import", "-p", "picky", name)
    assert status == 1
    assert output[0].startswith("6 services: 5 registered, 1 refused by the provider;")
    assert error == "nspkit: x:5: 's3': it has a 3"


# What is no export ------------------------------------------------------------------------------

HEAD = '{"export": {"format": 1}}'
ONE = '{"service": {"name": "a"}}'
END = '{"end": {"services": 1, "classes": 0}}'


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ([], "x: it is no export of a registry"),
        (["\0" * 100_000], "x: it is no export of a registry"),
        (["[providers.sqlite]"], "x: it is no export of a registry"),
        ([ONE, END], "x: it is no export of a registry"),
        ([HEAD.replace("1", "2")], "x:1: its format is 2, and this nspkit reads 1"),
        ([HEAD, ONE], "x: it ends before its last line"),
        ([HEAD, ONE, '{"service": {"na'], "x: it ends before its last line"),
        ([HEAD, ONE, ONE, END], "x:4: the line is damaged: it says services: 1, classes: 0"),
        ([HEAD, ONE, END, ONE], "x:4: the line is damaged: it stands behind the last line"),
        ([HEAD, "{", END], "x:2: the line is damaged: "),
        ([HEAD, "[" * 99_999, END], "x:2: the line is damaged: it is nested too deeply"),
        ([HEAD, "[]", END], "x:2: the line is damaged: it is no object with one key"),
        ([HEAD, '{"service": 1}', END], "x:2: the line is damaged: its 'service' is no object"),
        ([HEAD, '{"host": {}}', END], "x:2: the line is damaged: there is no kind of line 'host'"),
        ([HEAD, '{"service": {}}', END], "x:2: the line is damaged: it has no name"),
        ([HEAD, '{"service": {"name": 1}}', END], "Service.name is 1"),
        ([HEAD, '{"service": {"name": "a", "b": 1}}', END], "there is no key 'b'"),
        ([HEAD, '{"service": {"name": "a", "ttl": -1}}', END], "Service.ttl is -1"),
        ([HEAD, '{"service": {"name": "a", "addresses": [{}]}}', END], "it lacks 'family'"),
        ([HEAD, '{"service": {"name": "a", "blob": {"x": 1}}}', END], "no kind of value 'x'"),
        ([HEAD, '{"service": {"name": "a", "blob": {"base64": "?"}}}', END], "x:2: "),
        ([HEAD, '{"class": {"name": "a"}}', END], "it lacks 'id'"),
    ],
)
def test_a_file_that_is_not_a_whole_export_is_refused(
    registries: Registries, lines: list[str], told: str
) -> None:
    """With the line, before anything of it is registered."""
    whole = lines[-1:] != ['{"service": {"na']
    text = "\n".join(lines) + ("\n" if whole else "")
    (registries.folder / "x").write_text(text)
    status, output, [error] = registries.run("registry", "import", "-p", "other", "x")
    assert (status, output) == (2, [])
    assert told in error
    assert exported(registries, "other") == []


def test_it_is_known_how_many_services_follow_a_line(registries: Registries) -> None:
    """Of what is left to do, the terminal is told."""
    known = line("class", class_record(ServiceClass(GUID, "mine")))
    end = '{"end": {"services": 3, "classes": 1}}'
    (registries.folder / "x").write_text("\n".join([HEAD, ONE, known, ONE, ONE, end]))
    with opened("x") as archive:
        assert [archive.services_from(first) for first in range(1, 7)] == [3, 3, 2, 2, 1, 0]
        assert [len(list(archive.lines(first))) for first in range(1, 7)] == [3, 3, 2, 2, 1, 0]


def test_an_address_family_that_is_not_here_is_named() -> None:
    """Families go by name, since their numbers differ."""
    record = service_record(FULL)
    assert record["addresses"][0]["family"] == "AF_INET"
    record["addresses"][0]["family"] = "AF_NONE_SUCH"
    with pytest.raises(ValueError, match="no address family 'AF_NONE_SUCH'"):
        service_of(record)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ("export -p sqlite", "'FILE'"),
        ("export x", "'--provider'"),
        ("export x -p nosuch", "'nosuch'"),
        ("export x -p sqlite -c http", "--class is 'http'"),
        ("export x -p sqlite --with-class http", "--with-class: "),
        ("export - -p sqlite --continue", "--continue and --json need the name of a file"),
        ("export - -p sqlite --json", "--continue and --json need the name of a file"),
        ("import x -p nosuch", "'nosuch'"),
        ("import nosuch -p sqlite", "nosuch: it cannot be read: No such file"),
        ("import x -p sqlite --from-line 99", "--from-line: x ends with line 3"),
        ("import x -p sqlite --jobs 0", "--jobs"),
        ("", "export, import"),
    ],
)
def test_wrong_usage_is_one_line_and_status_2(
    registries: Registries, arguments: str, named: str
) -> None:
    """It names what is wrong, and leaves no file."""
    written(registries, Service("a"))
    status, output, [error] = registries.run("registry", *arguments.split())
    assert (status, output) == (2, [])
    assert named in error
    assert not list(registries.folder.glob("*.part"))


@pytest.mark.parametrize("name", ["nosuch/x", "."])
def test_a_file_that_cannot_be_written_is_named(registries: Registries, name: str) -> None:
    """Exit status 3."""
    status, output, [error] = registries.run("registry", "export", "-p", "sqlite", name)
    assert (status, output) == (3, [])
    assert error.startswith(f"nspkit: {name}")


# For programs, and on a terminal ----------------------------------------------------------------

EXPORT_KEYS = ["file", "provider", "guid", "services", "classes"]
EXPORT_KEYS += ["leases_left_out", "kept", "outdated"]
IMPORT_KEYS = ["file", "provider", "guid", "dry_run", "services", "classes"]
IMPORT_KEYS += ["registered", "replaced", "there", "left", "failed", "classes_installed"]
IMPORT_KEYS += ["verified", "classes_verified", "lapsed", "wrong", "problems", "next_line"]


def test_the_summaries_as_json_have_every_key(registries: Registries) -> None:
    """One object each."""
    registered(registries, "memory", *many(3))
    _, [text], _ = registries.run("registry", "export", "-p", "memory", "x", "--json")
    summary = json.loads(text)
    assert list(summary) == EXPORT_KEYS
    assert (summary["services"], summary["provider"]) == (3, "memory")
    registries.run("set", "s0", "-p", "other", "--comment", "theirs")
    status, [text], _ = registries.run("registry", "import", "-p", "other", "x", "--json")
    summary = json.loads(text)
    assert list(summary) == IMPORT_KEYS
    assert (status, summary["verified"], summary["wrong"]) == (1, 2, 1)
    [problem] = summary["problems"]
    assert list(problem) == ["line", "name", "problem", "message"]
    assert (problem["name"], problem["problem"]) == ("s0", "different")


def test_the_page_describes_every_key(checkout: Path) -> None:
    """Each has a row of a table, in the order in which it is written."""
    page = (checkout / "docs/reference/cli.md").read_text(encoding="utf-8")
    for name, keys in (("export", EXPORT_KEYS), ("import", IMPORT_KEYS)):
        described = page.partition(f"Of `registry {name}`")[2].partition("\nOf `")[0]
        assert re.findall(r"^\| `(\w+)` \|", described, re.MULTILINE) == keys


@pytest.mark.parametrize("command", ["export", "import"])
def test_the_page_shows_the_help_as_it_is(checkout: Path, command: str) -> None:
    """Word by word."""
    page = (checkout / "docs/reference/cli.md").read_text(encoding="utf-8")
    arguments = ["registry", command, "--help"]
    done = CliRunner().invoke(program, arguments, env={"COLUMNS": "80"})
    block = f"```console\n$ nspkit {' '.join(arguments)}\n{done.output.rstrip()}\n```"
    assert " ".join(block.split()) in " ".join(page.split()), f"write into the page:\n{block}"


class Terminal(io.StringIO):
    """A stream that says it is a terminal, and rings when something is written that has a word."""

    def __init__(self, word: str) -> None:
        super().__init__()
        self.word = word
        self.seen = threading.Event()

    def isatty(self) -> bool:
        """It is one."""
        return True

    def write(self, text: str) -> int:
        """Ring if the word is there."""
        count = super().write(text)
        if self.word in self.getvalue():
            self.seen.set()
        return count


def test_a_terminal_is_told_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """While it goes on; there is no thread afterwards."""
    terminal = Terminal("registering 1,000 of 4,000")
    monkeypatch.setattr(sys, "stderr", terminal)
    with Progress("registering", 4000) as progress:
        progress.count = 1000
        assert terminal.seen.wait(30)
    assert "nspkit-progress" not in [thread.name for thread in threading.enumerate()]


@pytest.mark.parametrize(
    ("count", "total", "seconds", "told"),
    [
        (0, None, 1.0, "exporting 0, 0 a second"),
        (0, 10, 1.0, "exporting 0 of 10, 0 a second"),
        (5000, None, 2.0, "exporting 5,000, 2,500 a second"),
        (1000, 4000, 10.0, "exporting 1,000 of 4,000, 100 a second, 30 s left"),
        (1000, 1_000_000, 10.0, "exporting 1,000 of 1,000,000, 100 a second, 2 h 46 min left"),
        (1000, 100_000, 10.0, "exporting 1,000 of 100,000, 100 a second, 16 min left"),
    ],
)
def test_the_line_has_count_rate_and_time(
    count: int, total: int | None, seconds: float, told: str
) -> None:
    """As far as they are known."""
    progress = Progress("exporting", total)
    progress.count = count
    assert progress.text(seconds) == f"{told}; Ctrl-C interrupts it"


def test_without_a_terminal_there_is_no_line() -> None:
    """And no thread for it."""
    with Progress("exporting"):
        assert "nspkit-progress" not in [thread.name for thread in threading.enumerate()]
