"""An export that is read: checked whole, before anything is done with what it says."""

from __future__ import annotations

import sys
from typing import IO, TYPE_CHECKING, Any

from nspkit import NspError
from nspkit.cli._options import WrongFileError
from nspkit.cli._progress import Progress
from nspkit.cli._records import FORMAT, class_of, parsed, service_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType
    from typing import NoReturn, Self

    from nspkit import Service, ServiceClass

STANDARD = "-"
"""The name that stands for the standard input or output."""

_FIRST_LINE = 65_536
"""The first line is shorter; what is no export may have no end of a line at all."""

_NOT_WHOLE = (
    "it ends before its last line: the export was interrupted, or this is a part of it; nothing "
    "is imported. Export again"
)


class Archive:
    """A whole export, open to be read.

    Attributes:
        name: The file, for messages.
        header: The content of its first line.
        classes: The service classes, each with the number of its line.
        services: How many services there are.
        end: The number of the last line.
    """

    def __init__(self, name: str, stream: IO[bytes]) -> None:
        """Check a file from its beginning to its end.

        Raises:
            WrongFileError: It is no export, not whole, of a newer version, or a line is damaged.
        """
        self.name = name
        self.header: dict[str, Any] = {}
        self.classes: list[tuple[int, ServiceClass]] = []
        self.services = 0
        self.end = 0
        self._stream = stream
        with Progress("checking line") as progress:
            self._check_first(stream.readline(_FIRST_LINE))
            for number, text in enumerate(stream, 2):
                progress.count = number
                self._check(number, text)
        if not self.end:
            raise WrongFileError(f"{name}: {_NOT_WHOLE}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stream.close()

    def services_from(self, first: int) -> int:
        """Return how many services there are from a line on."""
        before = sum(number < first for number, _ in self.classes)
        return self.services - max(first - 2 - before, 0)

    def lines(self, first: int = 1) -> Iterator[tuple[int, Service]]:
        """Yield the services from a line on, each with the number of its line."""
        self._stream.seek(0)
        for number, text in enumerate(self._stream, 1):
            if number < first:
                continue
            kind, content = self._parsed(number, text)
            if kind == "service":
                yield number, self._made(number, service_of, content)

    def _check_first(self, text: bytes) -> None:
        try:
            kind, content = parsed(text)
        except ValueError:
            kind, content = "", {}
        version = content.get("format")
        if kind != "export" or type(version) is not int:
            raise WrongFileError(
                f"{self.name}: it is no export of a registry; nspkit registry export writes one"
            )
        if version > FORMAT:
            raise WrongFileError(
                f"{self.name}:1: its format is {version}, and this nspkit reads {FORMAT}; use the "
                f"one that has written it, {content.get('nspkit')!r:.40}, or a newer one"
            )
        self.header = content

    def _check(self, number: int, text: bytes) -> None:
        if self.end:
            self._refuse(number, "it stands behind the last line; are these two exports?")
        kind, content = self._parsed(number, text)
        if kind == "service":
            self._made(number, service_of, content)
            self.services += 1
        elif kind == "class":
            self.classes.append((number, self._made(number, class_of, content)))
        elif kind == "end":
            self.end = number
            self._check_counts(number, content)
        else:
            self._refuse(number, f"there is no kind of line {kind!r:.60}")

    def _check_counts(self, number: int, content: dict[str, Any]) -> None:
        there = {"services": self.services, "classes": len(self.classes)}
        said = {key: content.get(key) for key in there}
        if said != there:
            self._refuse(
                number,
                f"it says services: {said['services']}, classes: {said['classes']}, and there are "
                f"{there['services']} and {there['classes']}",
            )

    def _parsed(self, number: int, text: bytes) -> tuple[str, dict[str, Any]]:
        try:
            return parsed(text)
        except ValueError as error:
            if not text.endswith(b"\n"):
                raise WrongFileError(f"{self.name}: {_NOT_WHOLE}") from None
            self._refuse(number, error)

    def _made(self, number: int, make: Any, content: dict[str, Any]) -> Any:
        try:
            return make(content)
        except KeyError as error:
            self._refuse(number, f"it lacks {error}")
        except NspError as error:
            self._refuse(number, error.message)
        except (ValueError, TypeError, AttributeError, LookupError, OverflowError) as error:
            self._refuse(number, error)

    def _refuse(self, number: int, problem: object) -> NoReturn:
        raise WrongFileError(
            f"{self.name}:{number}: the line is damaged: {problem}; nothing is imported"
        ) from None


def opened(name: str) -> Archive:
    """Open an export and check it; the standard input is put into a file first.

    Raises:
        WrongFileError: It cannot be read, or is no whole export.
    """
    shown = "the standard input" if name == STANDARD else name
    try:
        stream = _kept() if name == STANDARD else open(name, "rb")  # noqa: PTH123, SIM115
        try:
            return Archive(shown, stream)
        except BaseException:
            stream.close()
            raise
    except OSError as error:
        raise WrongFileError(f"{shown}: it cannot be read: {error.strerror or error}") from None


def _kept() -> IO[bytes]:
    """Return what comes from the standard input as a file that has no name."""
    import shutil
    import tempfile

    if sys.stdin is None:
        raise OSError("it is closed")
    stream = tempfile.TemporaryFile()  # noqa: SIM115 - the archive closes it
    try:
        shutil.copyfileobj(sys.stdin.buffer, stream)
        stream.seek(0)
    except BaseException:
        stream.close()
        raise
    return stream
