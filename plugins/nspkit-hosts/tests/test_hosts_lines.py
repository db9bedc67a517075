"""What the lines of the file mean."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nspkit_hosts._file import Index

import nspkit

Ask = Callable[..., list[nspkit.Service]]


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
