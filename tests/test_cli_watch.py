"""`nspkit watch`: what it tells, how far that can be relied upon, and how it ends."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nspkit import Catalog, Host

if TYPE_CHECKING:
    from conftest import Foreground, Installation

pytest.importorskip("click", reason="the extra cli is not installed")

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows cannot send these signals")

TERM, CTRL_C = signal.SIGTERM, signal.SIGINT
OFTEN = ("-i", "0.05")

ADDRESS = 'Service(query.name, addresses=[Address.inet("192.0.2.1")], attributes={"path": "/"})'
FROM_FOLDER = f"""\
if pathlib.Path("broken").exists():
    raise errors.TryAgainError("it is busy")
if pathlib.Path("there").exists():
    yield {ADDRESS}
"""
SET_WEB = ("set", "web", "-c", "_http._tcp", "-a")


def test_first_comes_what_is_there_and_then_what_changes(
    registry: Installation, foreground: type[Foreground]
) -> None:
    """Between the two stands that it is live."""
    registry.run(*SET_WEB, "192.0.2.7:80")
    with foreground(registry.start("watch", "-c", "_http._tcp")) as command:
        added = ["added", "web", "192.0.2.7:80/tcp", "sqlite", "_http._tcp"]
        assert command.line().split() == added
        assert command.line() == "live"
        registry.run(*SET_WEB, "192.0.2.8:80", "--attribute", "path=/")
        assert command.line().split()[:3] == ["changed", "web", "192.0.2.8:80/tcp"]
        assert command.line() == "    path=/"
        registry.run("set", "other", "-c", "_http._tcp")
        assert command.line().split()[:3] == ["added", "other", "-"]
        registry.run("set", "web", "-c", "_http._tcp", "-o", "delete")
        assert command.line().split()[:3] == ["removed", "web", "192.0.2.8:80/tcp"]
        assert command.end(TERM) == (0, [], [])


WATCH_KEYS = ["time", "event", "service", "errors"]


def test_json_is_an_object_a_line(registry: Installation, foreground: type[Foreground]) -> None:
    """Every key is there in every one; a service is written as a lookup writes it."""
    registry.run(*SET_WEB, "192.0.2.7:80")
    [found] = map(json.loads, registry.run("lookup", "web", "--json")[1])
    with foreground(registry.start("watch", "web", "--json")) as command:
        added, live = json.loads(command.line()), json.loads(command.line())
        assert command.end(TERM) == (0, [], [])
    assert list(added) == list(live) == WATCH_KEYS
    assert (added["event"], added["service"], added["errors"]) == ("added", found, [])
    assert (live["event"], live["service"], live["errors"]) == ("live", None, [])


def test_a_provider_that_does_not_tell_is_asked_again(
    nspkit: Installation, foreground: type[Foreground]
) -> None:
    """As often as one wants."""
    nspkit.add("one", FROM_FOLDER)
    with foreground(nspkit.start("watch", "x", *OFTEN)) as command:
        assert command.line() == "live"
        (nspkit.folder / "there").touch()
        assert command.line().split() == ["added", "x", "192.0.2.1", "one"]
        assert command.line() == "    path=/"
        (nspkit.folder / "there").unlink()
        assert command.line().split() == ["removed", "x", "192.0.2.1", "one"]


@pytest.mark.parametrize("option", [(), ("--json",)])
def test_what_can_no_longer_be_relied_upon_is_told(
    nspkit: Installation, foreground: type[Foreground], option: tuple[str, ...]
) -> None:
    """With the reason, and when it can again."""
    nspkit.add("one", FROM_FOLDER)
    with foreground(nspkit.start("watch", "x", *OFTEN, *option)) as command:
        command.line("live")
        (nspkit.folder / "broken").touch()
        stale = command.line()
        assert "stale" in stale
        if option:
            error = {"code": 11002, "symbol": "WSATRY_AGAIN", "message": "it is busy"}
            assert json.loads(stale)["errors"] == [{"provider": "one", **error}]
        else:
            assert command.line() == "    one: it is busy [WSATRY_AGAIN 11002]"
        (nspkit.folder / "broken").unlink()
        assert "live" in command.line()
        assert command.end(TERM)[0] == 0


def test_who_lacks_a_setting_is_told_to_those_who_ask(
    nspkit: Installation, foreground: type[Foreground]
) -> None:
    """The others are watched."""
    nspkit.add("a", startup="raise errors.NotReadyError('no server')")
    nspkit.add("b", FROM_FOLDER)
    (nspkit.folder / "there").touch()
    with foreground(nspkit.start("watch", "x", *OFTEN)) as command:
        command.line("added")
        _, output, errors = command.end(TERM)
        assert "no server" not in "".join(output + errors)
    with foreground(nspkit.start("watch", "x", "--verbose", *OFTEN)) as command:
        assert command.line("no server") == "    a: no server [WSASYSNOTREADY 10091]"


def test_ctrl_c_is_heeded_between_two_looks() -> None:
    """Nothing is raised where it strikes: a lock that is just being taken would stay taken."""
    from nspkit.cli._report import Report
    from nspkit.cli._signals import Stop
    from nspkit.cli._watch import _follow, _Lines

    stop = Stop()
    stop.count = 1
    with Host(catalog=Catalog()) as host, pytest.raises(KeyboardInterrupt):
        _follow(None, _Lines(Report(host, verbose=False)), stop)  # type: ignore[arg-type]


def test_a_second_ctrl_c_breaks_what_hangs() -> None:
    """Unless the first is being answered already."""
    from nspkit.cli._signals import Stop

    with Stop(interrupts=True) as stop:
        signal.raise_signal(CTRL_C)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(CTRL_C)
        signal.raise_signal(CTRL_C)
    with Stop(interrupts=True) as stop:
        signal.raise_signal(CTRL_C)
        with pytest.raises(KeyboardInterrupt):
            stop.heed()
        signal.raise_signal(CTRL_C)


def test_ctrl_c_ends_it_quietly_and_in_order(
    nspkit: Installation, foreground: type[Foreground]
) -> None:
    """Exit status 130; the provider is cleaned up, as at any other end."""
    nspkit.add("one", FROM_FOLDER, cleanup="pathlib.Path('cleaned').touch()")
    with foreground(nspkit.start("watch", "x")) as command:
        command.line("live")
        assert command.end(CTRL_C) == (130, [], [])
    assert (nspkit.folder / "cleaned").exists()


def test_a_provider_that_hangs_holds_up_no_end(
    nspkit: Installation, foreground: type[Foreground]
) -> None:
    """It is left behind after 2 seconds."""
    nspkit.add("one", FROM_FOLDER)
    nspkit.add("two", "print('inside', flush=True)\nthreading.Event().wait()\nyield")
    with foreground(nspkit.start("watch", "x")) as command:
        command.line("inside")
        began = time.monotonic()
        assert command.end(CTRL_C)[0] == 130
    assert time.monotonic() - began < 20


def test_when_nobody_can_be_watched_any_more_it_ends(nspkit: Installation) -> None:
    """Exit status 3, with the reason."""
    nspkit.add("one", "raise errors.InvalidArgumentError('no such name')")
    status, _, errors = nspkit.run("watch", "x", *OFTEN)
    assert (status, errors) == (3, ["nspkit: one: no such name [WSAEINVAL 10022]"])
    status, output, _ = nspkit.run("watch", "x", "--json", *OFTEN)
    assert status == 3
    assert json.loads(output[-1])["event"] == "failed"


def test_without_providers_it_says_so(nspkit: Installation) -> None:
    """Exit status 3; a namespace is named."""
    assert nspkit.run("watch", "x")[0] == 3
    nspkit.add("one")
    status, _, [line] = nspkit.run("watch", "x", "-n", "wins")
    assert (status, "the namespace WINS" in line) == (3, True)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ([], "NAME"),
        (["a", "--interval", "0"], "--interval: '0'"),
        (["a", "--interval", "0.001"], "--interval"),
        (["a", "--class", "http"], "--class is 'http'"),
        (["a", "--provider", "nosuch"], "'nosuch'"),
    ],
)
def test_wrong_usage_is_one_line_and_status_2(
    nspkit: Installation, arguments: list[str], named: str
) -> None:
    """It names what is wrong; nothing else is printed."""
    nspkit.add("one")
    status, output, [line] = nspkit.run("watch", *arguments)
    assert (status, output) == (2, [])
    assert named in line


def test_a_reader_that_has_enough_ends_it_quietly(
    nspkit: Installation, foreground: type[Foreground]
) -> None:
    """As in `nspkit watch x | head -1`, when the next line is due."""
    nspkit.add("one", FROM_FOLDER)
    with foreground(nspkit.start("watch", "x", *OFTEN)) as command:
        command.line("live")
        assert command.process.stdout is not None
        command.process.stdout.close()
        (nspkit.folder / "there").touch()
        assert command.process.wait(60) == 0


def test_the_page_describes_every_key(checkout: Path) -> None:
    """Each has a row of a table, in the order in which it is written."""
    page = (checkout / "docs/reference/cli.md").read_text(encoding="utf-8")
    described = page.partition("Of `watch`, a line")[2].partition("What comes before")[0]
    assert re.findall(r"^\| `(\w+)` \|", described, re.MULTILINE) == WATCH_KEYS
