"""Where an export is written to: a file that is whole or not there, or the standard output.

An export that is interrupted leaves what it has in a file beside, and another run goes on with it.
No registry can be asked for what comes after a certain service, so that run lists all again; what
it finds as it stands in the file is not written again, and what it does not find is taken out. What
comes out is what that last run has seen, each line of it.
"""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from hashlib import blake2b
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol

from nspkit.cli._options import WrongFileError
from nspkit.cli._output import standard_output
from nspkit.cli._records import line, parsed
from nspkit.cli._replacing import UnwritableFileError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_FINGERPRINT = 16
"""Bytes that stand for a line: no two are alike by accident."""

_ENDS = ("services", "classes")


class Target(Protocol):
    """What takes the lines of an export.

    Attributes:
        kept: How many lines were there from an earlier run, and are right.
        outdated: How many lines of an earlier run were taken out.
    """

    kept: int
    outdated: int

    def begin(self, header: Mapping[str, Any]) -> None:
        """Write the first line, or go on."""

    def write(self, kind: str, content: Mapping[str, Any]) -> None:
        """Write a line."""

    def finish(self) -> Mapping[str, int]:
        """Write the last line, and return the counts in it."""

    def close(self) -> None:
        """Leave it as it is."""


class Output:
    """The standard output; it cannot be gone on with."""

    kept = outdated = 0

    def __init__(self) -> None:
        """Write to it."""
        self._page = standard_output()
        self._counts: Counter[str] = Counter()

    def begin(self, header: Mapping[str, Any]) -> None:
        """Write the first line."""
        self._page.write(line("export", header))

    def write(self, kind: str, content: Mapping[str, Any]) -> None:
        """Write a line."""
        self._page.write(line(kind, content))
        self._counts[kind] += 1

    def finish(self) -> Mapping[str, int]:
        """Write the last line."""
        counts = _said(self._counts)
        self._page.write(line("end", counts))
        return counts

    def close(self) -> None:
        """Leave it open: it is everybody's."""


class Part:
    """A file that takes the name it is meant for when it is whole.

    Attributes:
        path: The file beside, which an interrupted export leaves.
    """

    def __init__(self, path: str, *, go_on: bool) -> None:
        """Make it, empty, or go on with the one that is there.

        Raises:
            UnwritableFileError: It cannot be written.
        """
        self._target = os.path.realpath(path)  # a symbolic link stays one
        self.path = f"{self._target if Path(path).is_symlink() else path}.part"
        self.kept = self.outdated = 0
        self._before: set[bytes] = set()
        self._counts: Counter[str] = Counter()
        with _told(self.path):
            if Path(path).exists() and not Path(path).is_file():
                raise UnwritableFileError(
                    f"{path}: it is no regular file; give the name of one, or - for the output"
                )
            is_there = go_on and Path(self.path).exists()
            self._file: IO[bytes] = open(self.path, "r+b" if is_there else "w+b")  # noqa: PTH123, SIM115

    @property
    def services(self) -> int:
        """How many services are in it."""
        return self._counts["service"]

    def begin(self, header: Mapping[str, Any]) -> None:
        """Write the first line, or read what is there from an earlier run.

        Raises:
            WrongFileError: That one was about something else.
            UnwritableFileError: It cannot be written.
        """
        with _told(self.path):
            whole = 0
            for text in self._file:
                if not text.endswith(b"\n") or _kind(text) == "end":
                    break  # an end, by force, within that line, or before the file had its name
                if whole:
                    self._before.add(_fingerprint(text))
                    self._counts[_kind(text)] += 1
                else:
                    self._check(text, header)
                whole += len(text)
            self._file.seek(whole)
            self._file.truncate()
            if not whole:
                self._file.write(_ended(line("export", header)))

    def write(self, kind: str, content: Mapping[str, Any]) -> None:
        """Write a line, unless it is there.

        Raises:
            UnwritableFileError: It cannot be written.
        """
        text = _ended(line(kind, content))
        if self._before:
            known = _fingerprint(text)
            if known in self._before:
                self._before.remove(known)
                self.kept += 1
                return
        with _told(self.path):
            self._file.write(text)
        self._counts[kind] += 1

    def finish(self) -> Mapping[str, int]:
        """Take out what is outdated, write the last line, and give the file its name.

        Raises:
            UnwritableFileError: It cannot be written.
        """
        with _told(self.path):
            whole = self._without_outdated() if self._before else self.path
            counts = _said(self._counts)
            self._file.write(_ended(line("end", counts)))
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            Path(whole).replace(self._target)
            Path(self.path).unlink(missing_ok=True)
        return counts

    def close(self) -> None:
        """Leave what is there for the next run."""
        with _told(self.path):
            self._file.close()

    def _check(self, text: bytes, header: Mapping[str, Any]) -> None:
        """Refuse to go on with an export of something else."""
        try:
            before = parsed(text)[1]
        except ValueError:
            before = {}
        for key in header.keys() - {"time", "nspkit"}:
            if before.get(key) != header[key]:
                raise WrongFileError(
                    f"{self.path}: it is not the beginning of this export: its {key} is "
                    f"{before.get(key)!r:.60} and not {header[key]!r:.60}; leave out --continue"
                )

    def _without_outdated(self) -> str:
        """Go on in another file, without what the registry has no more; return its name."""
        self._counts.clear()
        self._file.seek(0)
        path = f"{self.path}.new"
        other = open(path, "wb")  # noqa: PTH123, SIM115 - closed as this one is
        try:
            other.write(self._file.readline())
            for text in self._file:
                if _fingerprint(text) in self._before:
                    self.outdated += 1
                else:
                    other.write(text)
                    self._counts[_kind(text)] += 1
        except BaseException:
            other.close()
            raise
        self._file.close()
        self._file = other
        self._before = set()
        return path


def _kind(text: bytes) -> str:
    return text[2 : text.find(b'"', 2)].decode("ascii", "replace")


def _fingerprint(text: bytes) -> bytes:
    return blake2b(text, digest_size=_FINGERPRINT).digest()


def _ended(text: str) -> bytes:
    return f"{text}\n".encode("ascii")


def _said(counts: Counter[str]) -> dict[str, int]:
    return dict(zip(_ENDS, (counts["service"], counts["class"]), strict=True))


@contextlib.contextmanager
def _told(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UnwritableFileError(
            f"{path}: it cannot be written: {error.strerror or error}"
        ) from None
