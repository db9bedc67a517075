"""A file is replaced whole, or not at all."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nspkit.cli._status import Status

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    T = TypeVar("T")


class UnwritableFileError(click.ClickException):
    """A file that cannot be replaced, because it is write-protected for instance."""

    exit_code = Status.FAILED


def content(path: str) -> bytes | None:
    """Return what is in a file, or None where there is none.

    Raises:
        OSError: It cannot be read.
    """
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        return None


def replace(path: str, before: bytes | None, after: bytes, check: Callable[[str], T]) -> T:
    """Put something else into a file; whoever reads it meanwhile gets the one or the other.

    A symbolic link stays one, and the file behind it keeps its mode, and its owner if possible.

    Args:
        path: The file; it need not be there.
        before: What it had in it when it was read.
        after: What it is to have.
        check: Called with the path of a file that has this in it; if it raises, nothing changes.

    Returns:
        What ``check`` has returned.

    Raises:
        UnwritableFileError: It cannot be written, or somebody else has changed it since.
    """
    target = Path(os.path.realpath(path))
    # In the same folder: only there is the exchange one step.
    temporary = target.with_name(f".nspkit-{os.urandom(8).hex()}.toml")
    try:
        try:
            _write(temporary, after, _replaceable(path, target))
            result = check(str(temporary))
            if content(path) != before:
                raise UnwritableFileError(
                    f"{path}: another program has changed it at the same time, and it is left as "
                    "that one has written it; try again"
                )
            temporary.replace(target)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink()
    except OSError as error:
        raise UnwritableFileError(
            f"{path}: it cannot be written: {error.strerror or error}"
        ) from None
    return result


def _replaceable(path: str, target: Path) -> os.stat_result | None:
    """Return the status of the file that is to be replaced, or None where there is none."""
    try:
        status = target.stat()
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(status.st_mode):  # such as /dev/null
        raise UnwritableFileError(f"{path}: it is no regular file; give the name of one")
    if not os.access(target, os.W_OK):
        raise UnwritableFileError(f"{path}: it is write-protected; change its mode to change it")
    return status


def _write(path: Path, data: bytes, like: os.stat_result | None) -> None:
    mode = 0o666 if like is None else stat.S_IMODE(like.st_mode)
    descriptor = os.open(
        path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), mode
    )
    with open(descriptor, "wb") as stream:  # noqa: PTH123 - not a path
        if like is not None:
            if hasattr(os, "chown"):
                with contextlib.suppress(OSError):  # not everybody may give a file away
                    os.chown(path, like.st_uid, like.st_gid)
            path.chmod(mode)
        stream.write(data)
        stream.flush()
        os.fsync(descriptor)
