"""How the file is read: what its lines mean, and when it is read again."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nspkit_hosts._file import Index

import nspkit
from nspkit.errors import NotReadyError

Ask = Callable[..., list[nspkit.Service]]
PATIENCE = 30


def addresses(services: list[nspkit.Service]) -> list[str]:
    """The addresses of the first result."""
    return [address.host for address in services[0].addresses]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(b"192.0.2.1\tbox\n", id="tab"),
        pytest.param(b"  192.0.2.1 \t box  \n", id="blanks around"),
        pytest.param(b"192.0.2.1 box\r\n192.0.2.2 other\r\n", id="CRLF"),
        pytest.param(b"192.0.2.1 box", id="no newline at the end"),
        pytest.param(b"\xef\xbb\xbf192.0.2.1 box\n", id="byte order mark"),
        pytest.param(b"# a\n\n#192.0.2.9 box\n192.0.2.1 box# b\n", id="comments"),
        pytest.param(b"192.0.2.1 box # caf\xe9 \x00\n", id="bytes in a comment"),
        pytest.param(b"192.0.2.1 box BOX box.\n", id="the same name several times"),
        pytest.param(b"192.0.2.1 box\n192.0.2.1 box\n", id="the same line twice"),
    ],
)
def test_a_line_is_read(
    path: Path, ask: Ask, text: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """However it is written, and without a complaint."""
    path.write_bytes(text)
    assert addresses(ask("box")) == ["192.0.2.1"]
    assert not caplog.records


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        (b"192.0.2.999 box", "b'192.0.2.999' is not an address"),
        (b"192.0.2 box", "b'192.0.2' is not an address"),
        (b"192.0.2.1%1 box", "b'192.0.2.1%1' is not an address"),
        (b"fe80::1% box", "b'fe80::1%' is not an address"),
        (b"192.0.2.1\x00 box", "is not an address"),
        (b"\xff box", "is not an address"),
        (b"box 192.0.2.1", "b'box' is not an address"),
        (b"192.0.2.1", "no name follows the address"),
        (b"192.0.2.1 # box", "no name follows the address"),
        (b"192.0.2.1 box \xff\xfe", "a name is too long or not text"),
        (b"192.0.2.1 box b\x00x", "a name is too long or not text"),
        (b"192.0.2.1 box \x1b[31m", "a name is too long or not text"),
        (b"192.0.2.1 box " + b"x" * 256, "a name is too long or not text"),
    ],
)
def test_a_malformed_line_is_skipped_and_reported(
    path: Path, ask: Ask, line: bytes, complaint: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The others count; the report names the file, the line and what is wrong."""
    path.write_bytes(b"192.0.2.7 good\n" + line + b"\n192.0.2.8 better")
    assert [service.name for service in ask()] == ["good", "better"]
    [record] = caplog.records
    assert record.name == "nspkit_hosts"
    assert record.getMessage().startswith(f"{path}: malformed lines were skipped: line 2: ")
    assert complaint in record.getMessage()


def test_a_long_line_may_have_many_names(path: Path, ask: Ask) -> None:
    """It is a name that can be too long, not a line."""
    path.write_text("192.0.2.1 " + " ".join(f"host-{number}" for number in range(1000)))
    assert addresses(ask("host-999")) == ["192.0.2.1"]


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


def test_a_large_file_is_read_in_well_under_a_second(path: Path, ask: Ask) -> None:
    """100,000 entries; seconds of the processor, so that a busy machine does not count."""
    path.write_text(
        "".join(
            f"10.{n >> 16}.{n >> 8 & 255}.{n & 255} host-{n}.example host-{n}\n"
            for n in range(100_000)
        )
    )
    os.utime(path, ns=(10**18, 10**18))
    began = time.process_time()
    assert ask("host-99999")[0].name == "host-99999.example"
    assert time.process_time() - began < 1.0


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_no_file_is_too_strange(data: bytes) -> None:
    """Whatever it holds, reading does not fail, and what is found can be a result."""
    index = Index(data)
    for entries in index.hosts():
        for entry in entries:
            for name in entry.names.values():
                address = entry.address()
                nspkit.Service(name, addresses=() if address is None else (address,))


LABELS = st.text("abcdefghijklmnopqrstuvwxyz0123456789-", min_size=1, max_size=20)
ADDRESSES = st.ip_addresses().map(str)
GOOD = st.tuples(ADDRESSES, st.lists(LABELS, min_size=1, max_size=4))
BLANKS = st.text(" \t\r\x0b\x0c", min_size=1, max_size=3)


@given(
    st.lists(GOOD | st.binary(max_size=40), max_size=12), BLANKS, st.sampled_from(["\n", "\r\n"])
)
def test_what_is_well_formed_is_found(
    lines: list[tuple[str, list[str]] | bytes], blanks: str, end: str
) -> None:
    """Between whatever lines: under each of its names, and under its address."""
    written = [
        line if isinstance(line, bytes) else blanks.join((line[0], *line[1])).encode()
        for line in lines
    ]
    index = Index(end.encode().join(written))
    for line in lines:
        if not isinstance(line, bytes):
            address = nspkit.Address.inet(line[0])
            for name in line[1]:
                assert address in [entry.address() for entry in index.named(name.upper() + ".")]
            assert line[1][0] in [
                name for entry in index.at(address) for name in entry.names.values()
            ]
