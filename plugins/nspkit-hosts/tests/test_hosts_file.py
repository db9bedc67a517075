"""When the file is read, and what is told of it."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import nspkit
from nspkit.errors import NoDataError, NotReadyError

Ask = Callable[..., list[nspkit.Service]]
PATIENCE = 30


def addresses(services: list[nspkit.Service]) -> list[str]:
    """The addresses of the first result."""
    return [address.host for address in services[0].addresses]


def test_malformed_lines_are_reported_once(
    path: Path, ask: Ask, caplog: pytest.LogCaptureFixture
) -> None:
    """Once for each version of the file, and the first five of many."""
    path.write_text("192.0.2.1 box\n" + "bad\n" * 7)
    ask("box")
    ask("box")
    [record] = caplog.records
    assert "line 6" in record.getMessage()
    assert "line 7" not in record.getMessage()
    assert record.getMessage().endswith("; and 2 more")
    path.write_text("bad\n192.0.2.1 box\n")
    ask("box")
    assert len(caplog.records) == 2


def test_the_report_is_made_under_no_lock(path: Path, ask: Ask) -> None:
    """A handler of the log may wait for another thread that needs the file too."""
    path.write_text("192.0.2.1 box\n")
    ask("box")
    found: list[str] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            logger.removeHandler(self)
            path.write_text("192.0.2.3 box\n")
            other = threading.Thread(target=lambda: found.extend(addresses(ask("box"))))
            other.start()
            other.join(PATIENCE)

    logger, handler = logging.getLogger("nspkit_hosts"), Handler()
    logger.addHandler(handler)
    try:
        path.write_text("bad\n192.0.2.2 box\n")
        assert addresses(ask("box")) == ["192.0.2.2"]
    finally:
        logger.removeHandler(handler)
    assert found == ["192.0.2.3"]


def test_a_changed_file_is_read_again(path: Path, ask: Ask) -> None:
    """Written over, or replaced by another file, and however soon."""
    for number in range(1, 6):
        path.write_text(f"192.0.2.{number} box\n")
        assert addresses(ask("box")) == [f"192.0.2.{number}"]
        other = path.with_name("new")
        other.write_text(f"192.0.2.{number + 100} box\n")
        other.replace(path)
        assert addresses(ask("box")) == [f"192.0.2.{number + 100}"]


def test_another_size_or_place_is_a_change_too(path: Path, ask: Ask) -> None:
    """Dates can be set back, as copying tools do."""

    def put(text: str, target: Path) -> None:
        target.write_text(text)
        os.utime(target, ns=(10**18, 10**18))

    put("192.0.2.1 box\n", path)
    assert addresses(ask("box")) == ["192.0.2.1"]
    put("192.0.2.10 box\n", path)
    assert addresses(ask("box")) == ["192.0.2.10"]
    put("192.0.2.20 box\n", path.with_name("new"))
    path.with_name("new").replace(path)
    assert addresses(ask("box")) == ["192.0.2.20"]


def test_many_readers_read_a_changed_file_once(
    path: Path, ask: Ask, caplog: pytest.LogCaptureFixture
) -> None:
    """Who comes while it is being read waits for the one who reads."""
    path.write_text("192.0.2.1 box\n")
    ask("box")
    path.write_text("bad\n192.0.2.2 box\n")
    begin = threading.Barrier(8)
    found: list[list[str]] = []

    def read() -> None:
        begin.wait(PATIENCE)
        found.append(addresses(ask("box")))

    readers = [threading.Thread(target=read) for _ in range(8)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join(PATIENCE)
    assert found == [["192.0.2.2"]] * 8
    assert len(caplog.records) == 1


def test_an_interface_that_is_not_there_is_left_out(path: Path, ask: Ask) -> None:
    """The address leads nowhere; if it is the only one, there is no data."""
    path.write_text("fe80::1%nosuch0 box both\n192.0.2.1 both.example both\n")
    assert [service.name for service in ask("both")] == ["both.example", "both"]
    with pytest.raises(NoDataError):
        ask("box")


def test_a_file_of_this_moment_is_not_read_before_its_date_has_passed(path: Path, ask: Ask) -> None:
    """A change within one tick of the file system's clock could not be seen."""
    path.write_text("192.0.2.1 box\n")
    ask("box")
    assert time.time_ns() - path.stat().st_mtime_ns >= 16_000_000


def test_an_unchanged_file_is_not_read_again(path: Path, ask: Ask) -> None:
    """Other content under the same date, size and place is not seen: nobody looked."""
    path.write_text("192.0.2.1 box\n")
    os.utime(path, ns=(10**18, 10**18))
    assert addresses(ask("box")) == ["192.0.2.1"]
    path.write_text("192.0.2.2 box\n")
    os.utime(path, ns=(10**18, 10**18))
    assert addresses(ask("box")) == ["192.0.2.1"]
    os.utime(path, ns=(10**18, 10**18 + 1))
    assert addresses(ask("box")) == ["192.0.2.2"]


def test_names_of_a_file_that_is_gone_are_gone(path: Path, ask: Ask) -> None:
    """Old answers are not kept alive; when the file is there again, so are its names."""
    path.write_text("192.0.2.1 box\n")
    ask("box")
    content = path.read_text()
    path.unlink()
    with pytest.raises(NotReadyError, match="No such file"):
        ask("box")
    path.write_text(content)
    assert addresses(ask("box")) == ["192.0.2.1"]


def test_every_reader_sees_one_version(path: Path, ask: Ask) -> None:
    """While the file is replaced, an answer is of one version or of the other, never of both."""
    versions = ("192.0.2.1 box\n192.0.2.2 box\n", "192.0.2.3 box\n192.0.2.4 box\n")
    path.write_text(versions[0])
    begin, end = threading.Barrier(5), threading.Event()
    answers: set[tuple[str, ...]] = set()
    failures: list[BaseException] = []

    def read() -> None:
        try:
            begin.wait(PATIENCE)
            while not end.is_set():
                answers.add(tuple(addresses(ask("box"))))
        except BaseException as error:
            failures.append(error)

    readers = [threading.Thread(target=read) for _ in range(4)]
    for reader in readers:
        reader.start()
    begin.wait(PATIENCE)
    other = path.with_name("new")
    for number in range(40):
        other.write_text(versions[number % 2])
        other.replace(path)
        ask("box")
    end.set()
    for reader in readers:
        reader.join(PATIENCE)
    assert not failures
    assert answers <= {("192.0.2.1", "192.0.2.2"), ("192.0.2.3", "192.0.2.4")}


def test_everything_comes_as_it_is_read(path: Path, host: nspkit.Host) -> None:
    """A lookup without a name can be left after the first result."""
    path.write_text("".join(f"10.0.{n >> 8}.{n & 255} host-{n}\n" for n in range(2000)))
    with host.lookup(provider="hosts") as lookup:
        assert next(lookup).name == "host-0"


def test_a_large_file_is_read_whole(path: Path, ask: Ask) -> None:
    """100,000 entries; the last of them is found."""
    path.write_text(
        "".join(
            f"10.{n >> 16}.{n >> 8 & 255}.{n & 255} host-{n}.example host-{n}\n"
            for n in range(100_000)
        )
    )
    os.utime(path, ns=(10**18, 10**18))
    assert ask("host-99999")[0].name == "host-99999.example"
