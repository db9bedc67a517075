"""The hosts file: read when it has changed, kept as an index by name and by address."""

from __future__ import annotations

import errno
import os
import re
import socket
import stat
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from nspkit import Address
from nspkit.errors import InvalidArgumentError, NotReadyError

if TYPE_CHECKING:
    from collections.abc import Iterator

# File systems date a change by the ticks of a clock, which are up to 16 ms long: two changes
# within a tick look like one. A file that is younger than this (nanoseconds) is not read yet.
_TICK = 20_000_000
_NAME_MAX = 255
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1f\x7f]")
_ODD = re.compile(rb"[^\t-\r -~]")
_SHOWN = 5


class Entry:
    """One line of the file: an address and its names, the canonical one first."""

    __slots__ = ("_address", "_text", "canonical", "family", "names")

    def __init__(self, line: bytes) -> None:
        """Take a well-formed line apart."""
        text, *names = _fields(line)
        self.names: dict[bytes, str] = {}
        for name in names:
            self.names.setdefault(key_of(name), name.decode())
        self.canonical = key_of(names[0])
        self.family = socket.AF_INET6 if b":" in text else socket.AF_INET
        self._text = text.decode()
        self._address: Address | None = None

    def address(self) -> Address | None:
        """Return the address; None as long as this machine lacks the interface of its scope."""
        if self._address is not None:
            return self._address
        try:
            address = Address.inet(self._text)
        except InvalidArgumentError:
            return None
        if not self.has_scope():  # interfaces come and go, and get other numbers
            self._address = address
        return address

    def has_scope(self) -> bool:
        """Say whether the address is one of a certain interface."""
        return "%" in self._text


class Index:
    """What one version of the file says. Lines become entries only when they are asked for."""

    def __init__(self, data: bytes) -> None:
        """Read all lines; what is malformed is skipped and told in ``malformed``."""
        self.malformed: list[str] = []
        self._lines = data.removeprefix(b"\xef\xbb\xbf").split(b"\n")
        self._good: list[int] = []
        self._by_name = _Places()
        self._by_address = _Places()
        self._entries: dict[int, Entry] = {}
        addresses: dict[bytes, bytes | None] = {}  # block lists have one on every line
        for place, line in enumerate(self._lines):
            fields = _fields(line)
            if not fields:
                continue
            text = fields[0]
            packed = addresses[text] if text in addresses else _packed(text)
            addresses[text] = packed
            if packed is None or len(fields) == 1 or not _are_names(line, fields):
                self.malformed.append(f"line {place + 1}: {_complaint(fields)}")
                continue
            self._good.append(place)
            self._by_address.add(packed, place)
            for name in fields[1:]:
                self._by_name.add(key_of(name), place)

    def named(self, name: str) -> list[Entry]:
        """Return the lines that have this name, as canonical name or as alias."""
        return self._kept(self._by_name.of(key_of(name.encode())))

    def at(self, address: Address) -> list[Entry]:
        """Return the lines of this address; a scope matters where both sides have one."""
        host = str(address.sockaddr[0])
        entries = self._kept(self._by_address.of(socket.inet_pton(address.family, host)))
        if address.family == socket.AF_INET or not address.sockaddr[3]:
            return entries
        return [entry for entry in entries if not entry.has_scope() or entry.address() == address]

    def hosts(self) -> Iterator[list[Entry]]:
        """Yield the lines of each canonical name, in the order of the file."""
        seen: set[bytes] = set()
        for place in self._good:
            name = Entry(self._lines[place]).canonical
            if name not in seen:
                seen.add(name)
                entries = (Entry(self._lines[same]) for same in self._by_name.of(name))
                yield [entry for entry in entries if entry.canonical == name]

    def _kept(self, places: list[int]) -> list[Entry]:
        for place in places:
            if place not in self._entries:
                self._entries[place] = Entry(self._lines[place])
        return [self._entries[place] for place in places]


class _Places:
    """Where in the file a key is. Lists are made only for keys that are there several times."""

    __slots__ = ("_first", "_more")

    def __init__(self) -> None:
        self._first: dict[bytes, int] = {}
        self._more: dict[bytes, list[int]] = {}

    def add(self, key: bytes, place: int) -> None:
        if self._first.setdefault(key, place) != place:
            self._more.setdefault(key, []).append(place)

    def of(self, key: bytes) -> list[int]:
        first = self._first.get(key)
        return [] if first is None else [first, *self._more.get(key, ())]


class HostsFile:
    """A hosts file and the index of its last version; any thread may ask for it."""

    def __init__(self, path: str) -> None:
        """Remember the path; nothing is read yet."""
        self.path = Path(path).absolute()
        self._reading = threading.Lock()
        self._version: tuple[int, ...] = ()
        self._index = Index(b"")

    def index(self) -> Index:
        """Return the index of the file as it is now; it is read only if it has changed.

        Raises:
            NotReadyError: The file is missing or cannot be read (WSASYSNOTREADY 10091).
        """
        try:
            version = _version_of(self.path.stat())
            if version == self._version:
                return self._index
            with self._reading:
                if version == self._version:  # another thread has read it meanwhile
                    return self._index
                index = self._read()
        except OSError as error:
            raise NotReadyError(
                f"the hosts file '{self.path}' cannot be read: {error.strerror}; put it there, "
                "or name another one with the setting 'path'"
            ) from error
        # After the lock: a handler of the log is foreign code.
        _report(self.path, index.malformed)
        return index

    def _read(self) -> Index:
        with self.path.open("rb") as file:
            found = os.fstat(file.fileno())
            if 0 <= time.time_ns() - found.st_mtime_ns < _TICK:
                time.sleep(_TICK / 1e9)
                found = os.fstat(file.fileno())
            index = Index(file.read())
        # The index first: who sees the new version must not get the old index.
        self._index = index
        self._version = _version_of(found)
        return index


def key_of(name: bytes) -> bytes:
    """Return what names are compared by: ASCII case and one trailing dot do not count."""
    return name.lower().removesuffix(b".")


def _fields(line: bytes) -> list[bytes]:
    return line.partition(b"#")[0].split()


def _packed(text: bytes) -> bytes | None:
    """Return the bytes of an address, without its scope; None for any other text."""
    host, percent, scope = text.partition(b"%")
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            packed = socket.inet_pton(family, host.decode("ascii"))
        except (OSError, ValueError):  # ValueError: not ASCII, or a NUL
            continue
        return packed if not percent or (scope and family == socket.AF_INET6) else None
    return None


def _are_names(line: bytes, fields: list[bytes]) -> bool:
    # The first test is for all but a few lines enough, and costs a tenth of the second.
    return (len(line) <= _NAME_MAX and not _ODD.search(line)) or all(map(_is_name, fields[1:]))


def _is_name(name: bytes) -> bool:
    if len(name) > _NAME_MAX or _CONTROL.search(name):
        return False
    try:
        name.decode()
    except UnicodeDecodeError:
        return False
    return True


def _complaint(fields: list[bytes]) -> str:
    if _packed(fields[0]) is None:
        return f"{fields[0][:50]!r} is not an address"
    return "a name is too long or not text" if fields[1:] else "no name follows the address"


def _version_of(found: os.stat_result) -> tuple[int, ...]:
    """Return what tells one version of a file from the next."""
    if not stat.S_ISREG(found.st_mode):  # opening a pipe would wait for its writer
        raise OSError(errno.EINVAL, "it is not a regular file")
    return found.st_mtime_ns, found.st_size, found.st_ino, found.st_dev


def _report(path: Path, malformed: list[str]) -> None:
    if malformed:
        import logging

        more = f"; and {len(malformed) - _SHOWN} more" if len(malformed) > _SHOWN else ""
        logging.getLogger("nspkit_hosts").warning(
            "%s: malformed lines were skipped: %s%s", path, "; ".join(malformed[:_SHOWN]), more
        )
