"""`nspkit register` and `nspkit set`: what they tell, what they leave, and how they end."""

from __future__ import annotations

import json
import os
import re
import signal
import textwrap
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Foreground, Installation

pytest.importorskip("click", reason="the extra cli is not installed")

# Every test of `register` ends it by a signal.
pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows cannot send these signals")

TERM, CTRL_C = signal.SIGTERM, signal.SIGINT

REGISTRAR = """\
import pathlib, threading
from nspkit import *
from nspkit import errors

class Provider:
    info = ProviderInfo("{guid}", "{name}", 4711, "1")

    @hookimpl
    def nsp_startup(self):
{startup}

    @hookimpl
    def nsp_cleanup(self):
        pass

    @hookimpl
    def nsp_set_service(self, service, operation, multiple):
{body}
"""
SAY = "print(operation.name, flush=True)\n"
ON_REGISTER = "if operation is ServiceOperation.REGISTER: "
ON_DELETE = "if operation is ServiceOperation.DELETE: "
WHILE_BROKEN = "if pathlib.Path('broken').exists(): raise errors.TryAgainError('it is busy')\n"
BUSY = "raise errors.TryAgainError('it is busy')\n"
HANG = "(print('inside', flush=True), threading.Event().wait())\n"
UNCONFIGURED = "raise errors.NotReadyError(\"the setting 'server' is missing\")"


def registrar(nspkit: Installation, name: str, body: str = "pass", startup: str = "pass") -> str:
    """Install a provider with this body of ``nsp_set_service``; returns its GUID."""
    guid = str(uuid.uuid5(uuid.NAMESPACE_DNS, name))
    bodies = {"body": textwrap.indent(body, " " * 8), "startup": " " * 8 + startup}
    nspkit.source(name, REGISTRAR.format(guid=guid, name=name, **bodies))
    return guid


def words(lines: list[str]) -> list[list[str]]:
    """The words of lines."""
    return [line.split() for line in lines]


@pytest.fixture
def ignored_ctrl_c() -> Iterator[None]:
    """Have the programs that are started ignore Ctrl-C, as a shell does behind ``&``."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGINT, before)


# As long as it runs -----------------------------------------------------------------------------


@pytest.mark.parametrize(("number", "status"), [(TERM, 0), (signal.SIGHUP, 0), (CTRL_C, 130)])
def test_a_service_is_there_as_long_as_the_command_runs(
    registry: Installation, foreground: type[Foreground], number: int, status: int
) -> None:
    """It is found meanwhile, and taken back at the end, whichever signal asks for that."""
    with foreground(registry.start("register", "web", "-c", "_http._tcp")) as command:
        assert command.line().split() == ["active", "web", "sqlite"]
        assert registry.run("lookup", "web")[0] == 0
        ended, output, errors = command.end(number)
    assert (ended, words(output), errors) == (status, [["released", "web", "sqlite"]], [])
    assert registry.run("lookup", "web")[0] == 1


def test_a_service_is_registered_as_the_options_say(
    registry: Installation, foreground: type[Foreground]
) -> None:
    """Addresses, class, attributes, comment, context and time to live."""
    arguments = "-c _IPP._tcp -a 192.0.2.7:631 -a [2001:db8::7]:631/udp -a 2001:db8::8"
    options = ["--attribute", "rp=a=b", "--attribute", "duplex", "--comment", "by the window"]
    options += ["--ttl", "120", "--context", "floor"]
    with foreground(registry.start("register", "p", *arguments.split(), *options)) as command:
        command.line("active")
        _, [line], _ = registry.run("lookup", "-c", "_ipp._tcp", "--context", "floor", "--json")
    found = json.loads(line)
    addresses = [(one["host"], one["port"], one["type"]) for one in found["addresses"]]
    assert addresses == [("192.0.2.7", 631, 1), ("2001:db8::7", 631, 2), ("2001:db8::8", 0, 1)]
    assert found["attributes"] == {"rp": "a=b", "duplex": None}
    assert (found["comment"], found["context"]) == ("by the window", "floor")
    assert 60 < found["ttl"] <= 120


def test_it_is_renewed(nspkit: Installation, foreground: type[Foreground]) -> None:
    """Again and again, without a word; only a change of its state is told."""
    registrar(nspkit, "one", SAY)
    with foreground(nspkit.start("register", "x", "--ttl", "0.3")) as command:
        for _ in range(4):
            command.line("REGISTER")
        _, output, _ = command.end(TERM)
    assert "lost" not in "".join(output)
    assert output[-2:] == ["DELETE", "released  x  one"]


@pytest.mark.parametrize("option", [(), ("--json",)])
def test_what_is_lost_and_comes_back_is_told(
    nspkit: Installation, foreground: type[Foreground], option: tuple[str, ...]
) -> None:
    """With the reason, once, however often it is tried in vain."""
    registrar(nspkit, "one", WHILE_BROKEN)
    with foreground(nspkit.start("register", "x", "--ttl", "0.3", *option)) as command:
        command.line("active")
        (nspkit.folder / "broken").touch()
        lost = command.line("lost")
        assert "it is busy [WSATRY_AGAIN 11002]" in (lost if option else command.line()) or option
        (nspkit.folder / "broken").unlink()
        assert "active" in command.line()
        assert command.end(TERM)[0] == 0
    if option:
        error = {"code": 11002, "symbol": "WSATRY_AGAIN", "message": "it is busy"}
        assert json.loads(lost)["error"] == error


REGISTER_KEYS = ["time", "name", "state", "provider", "guid", "error"]


def test_json_is_an_object_a_line(nspkit: Installation, foreground: type[Foreground]) -> None:
    """Every key is there in every one."""
    guid = registrar(nspkit, "one")
    with foreground(nspkit.start("register", "x", "--json")) as command:
        first = json.loads(command.line())
        [last] = map(json.loads, command.end(TERM)[1])
    assert list(first) == list(last) == REGISTER_KEYS
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", first["time"])
    assert (first["provider"], first["guid"], first["error"]) == ("one", guid, None)
    assert (first["state"], last["state"]) == ("active", "released")


# Where ------------------------------------------------------------------------------------------


def test_one_that_takes_it_is_enough(nspkit: Installation, foreground: type[Foreground]) -> None:
    """That another one fails is told, and that one is tried again."""
    registrar(nspkit, "a", WHILE_BROKEN)
    registrar(nspkit, "b")
    (nspkit.folder / "broken").touch()
    with foreground(nspkit.start("register", "x", "--ttl", "1")) as command:
        seen = {command.line(), command.line(), command.line()}
        assert {"pending   x  a", "active    x  b"} < seen
        assert any("it is busy [WSATRY_AGAIN 11002]" in line for line in seen)
        (nspkit.folder / "broken").unlink()
        assert command.line() == "active    x  a"
        status, output, _ = command.end(TERM)
    assert (status, sorted(output)) == (0, ["released  x  a", "released  x  b"])


def test_who_cannot_register_is_told_to_those_who_ask(
    nspkit: Installation, foreground: type[Foreground]
) -> None:
    """A provider without the hook, and one that lacks a setting."""
    nspkit.add("a")
    registrar(nspkit, "b")
    registrar(nspkit, "c", startup=UNCONFIGURED)
    with foreground(nspkit.start("register", "x")) as command:
        assert command.line() == "active    x  b"
        assert command.end(TERM) == (0, ["released  x  b"], [])
    with foreground(nspkit.start("register", "x", "--verbose")) as command:
        seen = {command.line(), command.line(), command.line()}
        assert {"active    x  b", "pending   x  c"} < seen
        assert command.end(TERM)[2] == ["nspkit: a: it cannot register services"]


def test_a_provider_can_be_named(nspkit: Installation, foreground: type[Foreground]) -> None:
    """By its name or its GUID; the others are not asked."""
    guid = registrar(nspkit, "one")
    registrar(nspkit, "two")
    for provider in ("one", guid):
        with foreground(nspkit.start("register", "x", "-p", provider)) as command:
            assert command.line() == "active    x  one"
            assert command.end(TERM)[1] == ["released  x  one"]


def test_a_service_that_nobody_takes_is_no_registration(nspkit: Installation) -> None:
    """Exit status 3, a line for each that failed, and no state."""
    registrar(nspkit, "a", BUSY)
    registrar(nspkit, "b", startup=UNCONFIGURED)
    nspkit.add("c")
    busy = "nspkit: a: it is busy [WSATRY_AGAIN 11002]"
    assert nspkit.run("register", "x") == (3, [], [busy])
    assert nspkit.run("register", "x", "-p", "a") == (3, [], [busy])
    assert len(nspkit.run("register", "x", "--verbose")[2]) == 2


def test_without_anybody_who_can_register_it_says_so(nspkit: Installation) -> None:
    """Exit status 3."""
    nspkit.add("a")
    status, output, [line] = nspkit.run("register", "x")
    assert (status, output) == (3, [])
    assert "no provider that was asked has nsp_set_service" in line


# The end ----------------------------------------------------------------------------------------


def test_what_cannot_be_taken_back_is_told(
    nspkit: Installation, foreground: type[Foreground]
) -> None:
    """With the reason, and when it lapses; exit status 3."""
    registrar(nspkit, "one", ON_DELETE + BUSY)
    with foreground(nspkit.start("register", "x", "--ttl", "60")) as command:
        command.line("active")
        status, output, errors = command.end(TERM)
    assert (status, output) == (3, [])
    assert errors[0] == "nspkit: one: it is busy [WSATRY_AGAIN 11002]"
    assert errors[-1] == "nspkit: 'x' was not taken back at one; it lapses within 60 s"


def test_a_second_signal_does_not_wait_and_says_what_is_left(
    nspkit: Installation, foreground: type[Foreground]
) -> None:
    """The provider hangs in the end of the registration."""
    registrar(nspkit, "one", ON_DELETE + HANG)
    with foreground(nspkit.start("register", "x", "--ttl", "60")) as command:
        command.line("active")
        command.process.send_signal(CTRL_C)
        command.line("inside")
        status, _, errors = command.end(CTRL_C)
    assert status == 3
    assert errors[-1] == "nspkit: 'x' was not taken back at one; it lapses within 60 s"


def test_a_signal_ends_a_begin_that_hangs(
    nspkit: Installation, foreground: type[Foreground]
) -> None:
    """Far sooner than its time is over."""
    registrar(nspkit, "one", ON_REGISTER + HANG)
    with foreground(nspkit.start("register", "x", "-t", "600")) as command:
        command.line("inside")
        assert command.end(CTRL_C)[0] == 130


@pytest.mark.usefixtures("ignored_ctrl_c")
def test_a_signal_that_is_to_be_ignored_is(
    nspkit: Installation, foreground: type[Foreground]
) -> None:
    """A shell starts what it runs beside itself like that."""
    registrar(nspkit, "one", SAY)
    with foreground(nspkit.start("register", "x", "--ttl", "0.3")) as command:
        command.line("active")
        command.process.send_signal(CTRL_C)
        command.line("REGISTER")
        command.line("REGISTER")
        assert command.end(TERM)[0] == 0


def test_a_reader_that_has_enough_ends_it_in_order(
    nspkit: Installation, foreground: type[Foreground]
) -> None:
    """When the next line is due; the service is taken back."""
    registrar(
        nspkit,
        "one",
        f"{ON_DELETE}pathlib.Path('deleted').touch()\n"
        "elif pathlib.Path('broken').exists(): raise errors.TryAgainError('it is busy')",
    )
    with foreground(nspkit.start("register", "x", "--ttl", "0.3")) as command:
        command.line("active")
        assert command.process.stdout is not None
        command.process.stdout.close()
        (nspkit.folder / "broken").touch()
        assert command.process.wait(60) == 0
    assert (nspkit.folder / "deleted").exists()


# Once -------------------------------------------------------------------------------------------


def test_what_is_set_stays(registry: Installation) -> None:
    """Until it is deleted, by the same name and class."""
    web = ("web", "-c", "80/tcp")
    assert registry.run("set", *web, "-a", "192.0.2.7:80") == (0, ["registered  web  sqlite"], [])
    _, [line], _ = registry.run("lookup", *web, "--json")
    assert json.loads(line)["ttl"] is None
    assert registry.run("set", *web, "-o", "delete") == (0, ["deleted  web  sqlite"], [])
    status, output, [line] = registry.run("set", *web, "-o", "delete")
    assert (status, output) == (1, [])
    assert line.startswith("nspkit: sqlite: there is no service 'web'")
    assert registry.run("lookup", *web)[0] == 1


def test_one_address_of_several_can_be_taken_away(registry: Installation) -> None:
    """With --multiple only what is given is meant."""
    for host in ("192.0.2.7", "192.0.2.8"):
        assert registry.run("set", "web", "-m", "-a", host)[0] == 0
    taken = registry.run("set", "web", "-m", "-a", "192.0.2.7", "-o", "deregister")
    assert taken == (0, ["deregistered  web  sqlite"], [])
    _, [line], _ = registry.run("lookup", "web")
    assert line.split() == ["web", "192.0.2.8", "sqlite"]


SET_KEYS = ["name", "operation", "providers", "errors"]


def test_what_is_set_as_json_has_every_key(nspkit: Installation) -> None:
    """Who has done it, and who has failed."""
    registrar(nspkit, "a", BUSY)
    registrar(nspkit, "b")
    nspkit.add("c")
    status, [line], errors = nspkit.run("set", "x", "-o", "delete", "--json")
    assert (status, errors) == (0, ["nspkit: a: it is busy [WSATRY_AGAIN 11002]"])
    busy = {"provider": "a", "code": 11002, "symbol": "WSATRY_AGAIN", "message": "it is busy"}
    assert json.loads(line) == dict(zip(SET_KEYS, ["x", "delete", ["b"], [busy]], strict=True))
    assert "nspkit: c: it cannot register services" in nspkit.run("set", "x", "-v")[2]


def test_what_nobody_can_set_is_told(nspkit: Installation) -> None:
    """Exit status 3: not the same as a service that is not there."""
    status, _, [line] = nspkit.run("set", "x", "-o", "delete")
    assert (status, "no provider" in line) == (3, True)
    registrar(nspkit, "a", BUSY)
    assert nspkit.run("set", "x") == (3, [], ["nspkit: a: it is busy [WSATRY_AGAIN 11002]"])


# Wrong usage ------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["register", "set"])
@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ([], "'NAME'"),
        ([""], "NAME is ''"),
        (["a", "b"], "(b)"),
        (["a", "-a", "example.org:80"], "--address: 'example.org:80': its host is 'example.org'"),
        (["a", "-a", "192.0.2.7:99999"], "its port is 99999"),
        (["a", "-a", "192.0.2.7:80/sctp"], "'192.0.2.7:80/sctp' is no address"),
        (["a", "-a", ":80"], "--address: ':80'"),
        (["a", "--class", "http"], "--class is 'http'"),
        (["a", "--attribute", "=x"], "--attribute: '=x' has no name"),
        (["a", "--attribute", "x", "--attribute", "x=1"], "--attribute: 'x' is there twice"),
        (["a", "--ttl", "soon"], "--ttl: 'soon'"),
        (["a", "--ttl", "0"], "--ttl: '0'"),
        (["a", "--timeout", "-1"], "--timeout: '-1'"),
        (["a", "--namespace", "nowhere"], "--namespace: 'nowhere'"),
        (["a", "--provider", "nosuch"], "'nosuch'"),
        (["a", "--config", "nosuch.toml"], "nosuch.toml"),
    ],
)
def test_wrong_usage_is_one_line_and_status_2(
    nspkit: Installation, command: str, arguments: list[str], named: str
) -> None:
    """It names what is wrong; nothing else is printed."""
    registrar(nspkit, "one")
    status, output, [line] = nspkit.run(command, *arguments)
    assert (status, output) == (2, [])
    assert named in line


def test_a_time_to_live_that_is_too_short_is_wrong_usage(nspkit: Installation) -> None:
    """It could not be renewed in time."""
    status, _, [line] = nspkit.run("register", "x", "--ttl", "0.05")
    assert (status, "--ttl: '0.05' is too little" in line) == (2, True)


# The page of the reference ----------------------------------------------------------------------


def test_the_page_describes_every_key(checkout: Path) -> None:
    """Each has a row of a table, in the order in which it is written."""
    page = (checkout / "docs/reference/cli.md").read_text(encoding="utf-8")
    described = page.partition("Of `register`, a line")[2].partition("Of `set`")[0]
    assert re.findall(r"^\| `(\w+)` \|", described, re.MULTILINE) == REGISTER_KEYS
    described = page.partition("Of `set`:")[2].partition("Of `")[0]
    assert re.findall(r"^\| `(\w+)` \|", described, re.MULTILINE) == SET_KEYS
