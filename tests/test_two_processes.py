"""One process registers, another finds: through the SQLite registry, alive, ended and killed."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Foreground, Installation

pytest.importorskip("click", reason="the extra cli is not installed")

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows cannot send these signals")

LONG = 10.0
"""Seconds; what happens within one on a quiet machine may take longer on a busy one."""

TTL = 4.0
WEB = ("web", "--class", "_http._tcp", "--address", "127.0.0.1:8080", "--ttl", f"{TTL:g}")


def test_what_is_registered_is_seen_found_and_gone_after_a_kill(
    registry: Installation, foreground: type[Foreground]
) -> None:
    """Seen at once, found all along, gone when its time to live is over."""
    with foreground(registry.start("watch", "--class", "_http._tcp", "--json")) as watch:
        assert json.loads(watch.line())["event"] == "live"
        with foreground(registry.start("register", *WEB, "--json")) as register:
            assert json.loads(register.line())["state"] == "active"
            active = time.monotonic()
            added = json.loads(watch.line())
            seen = time.monotonic()
            assert (added["event"], added["service"]["name"]) == ("added", "web")
            assert seen - active < LONG
            assert registry.run("lookup", "web")[0] == 0
            assert watch.is_silent(1.5 * TTL)  # it is renewed meanwhile
            assert registry.run("lookup", "web")[0] == 0
            register.process.kill()
            killed = time.monotonic()
        removed = json.loads(watch.line())
        gone = time.monotonic()
        assert (removed["event"], removed["service"]["name"]) == ("removed", "web")
        assert gone - killed < TTL + LONG
        assert registry.run("lookup", "web")[0] == 1
        assert watch.end(signal.SIGTERM) == (0, [], [])


# The page of the tutorial -----------------------------------------------------------------------


class Terminals:
    """Runs commands side by side, and waits for what they write, whichever does."""

    def __init__(self, start: Callable[[str], subprocess.Popen[str]]) -> None:
        """Start commands with that function."""
        self._start = start
        self._running: list[tuple[str, subprocess.Popen[str], threading.Thread]] = []
        self._lines: list[str] = []
        self._news = threading.Condition()

    def type(self, command: str) -> None:
        """Run a command; what goes on runs beside the next."""
        process = self._start(command)
        reader = threading.Thread(target=self._read, args=(process,), daemon=True)
        self._running.append((command, process, reader))
        reader.start()

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            with self._news:
                self._lines.append(line)
                self._news.notify()

    def expect(self, shown: str) -> None:
        """Wait for a line as it is shown, and take it; numbers may be others, … is anything."""
        words = " ".join(map(re.escape, shown.split()))
        words = re.sub(r"\d+(\\\.\d+)*", r"[\\d.]+", words).replace("…", ".*")
        pattern = re.compile(rf"\s*{words}\s*".replace(" ", r"\s+"))
        with self._news:
            assert self._news.wait_for(lambda: any(map(pattern.fullmatch, self._lines)), 20), (
                f"nobody wrote {shown!r}; what was written is {self._lines}"
            )
            self._lines.remove(next(line for line in self._lines if pattern.fullmatch(line)))

    def press_ctrl_c(self) -> None:
        """Press it for the last that goes on until that is done."""
        for command, process, _ in reversed(self._running):
            if command.startswith(("nspkit register", "nspkit watch")) and process.poll() is None:
                process.send_signal(signal.SIGINT)
                assert process.wait(60) == 130
                return
        pytest.fail("nothing runs that Ctrl-C could end")

    def leave(self) -> list[str]:
        """End what still runs; return what was written and not expected."""
        for _, process, reader in self._running:
            process.kill()
            process.wait()
            reader.join(60)
            assert process.stdout is not None
            process.stdout.close()
        return self._lines


def blocks(page: str) -> Iterator[tuple[str, str]]:
    """The language and the text of each fenced block that is typed or shown."""
    for found in re.finditer(r"^```(sh|text)\n(.*?)\n```$", page, re.MULTILINE | re.DOTALL):
        yield found[1], found[2]


def test_the_tutorial_is_as_it_says(
    registry: Installation, checkout: Path, program: Callable[[str], str]
) -> None:
    """Its commands are typed, and what it shows is what they write."""
    program("timeout")
    page = (checkout / "docs/tutorial/two-processes.md").read_text(encoding="utf-8")
    door = registry.folder / "bin"
    door.mkdir()
    (door / "nspkit").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m nspkit "$@"\n')
    (door / "nspkit").chmod(0o755)
    registry.environment = {
        "XDG_DATA_HOME": str(registry.folder / "data"),  # where the registry is by default
        "PATH": f"{door}{os.pathsep}{os.environ['PATH']}",
    }

    def start(command: str) -> subprocess.Popen[str]:
        return registry.start(
            shell=f"exec {command}", stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )

    terminals = Terminals(start)
    try:
        for language, text in blocks(page):
            for line in text.splitlines():
                if language == "sh":
                    terminals.type(line)
                elif line == "^C":
                    terminals.press_ctrl_c()
                else:
                    terminals.expect(line)
    finally:
        unexpected = terminals.leave()
    # The killed one says that it was active; the page leaves that to the reader.
    assert [line.split() for line in unexpected] == [["active", "web", "sqlite"]]
