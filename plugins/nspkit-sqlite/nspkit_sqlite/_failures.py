"""Errors of SQLite and of the file system as errors of nspkit, with the way out."""

from __future__ import annotations

import errno
import os
import sqlite3
from typing import TYPE_CHECKING

from nspkit.errors import (
    AccessDeniedError,
    ErrorCode,
    InvalidArgumentError,
    NotReadyError,
    NspError,
    OutOfMemoryError,
    ProviderError,
    TryAgainError,
    error_for,
)

if TYPE_CHECKING:
    from pathlib import Path

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_DENIED = (errno.EACCES, errno.EPERM, errno.EROFS)


def primary(error: sqlite3.Error) -> int:
    """Return the number of SQLite's error without its details; that of no error if it has none."""
    code: int = getattr(error, "sqlite_errorcode", None) or sqlite3.SQLITE_OK
    return code & 0xFF


def is_busy(error: sqlite3.Error) -> bool:
    """Say whether somebody else has the file at this moment."""
    return primary(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def is_no_room(error: sqlite3.Error) -> bool:
    """Say whether there is no room for what SQLite needs, be it only beside the file.

    The memory that processes share lies on the same disk, and has to grow before anything else.
    """
    code: int = getattr(error, "sqlite_errorcode", None) or sqlite3.SQLITE_OK
    return code == sqlite3.SQLITE_IOERR_SHMSIZE or primary(error) == sqlite3.SQLITE_FULL


def busy(path: Path, seconds: float) -> TryAgainError:
    """Return the error for a file that others had locked all the time."""
    return TryAgainError(
        f"{path} was locked by others for {seconds:g} s: try again later, or raise the setting "
        "'busy_timeout'"
    )


def given_up(path: Path) -> TryAgainError:
    """Return the error for a file that others had locked until nobody waited any more."""
    return TryAgainError(
        f"{path} was locked by others when the time of this lookup was over: try again later, or "
        "give the lookup more time"
    )


def of_the_file(error: OSError, path: Path) -> NspError:
    """Return the error for what the file system says of the file or its folder."""
    if error.errno in _DENIED:
        return _denied(path, error)
    if error.errno in _FULL:
        return _full(path)
    return NotReadyError(f"{path} cannot be used: {error.strerror or error}")


def of_sqlite(error: sqlite3.Error, path: Path) -> NspError:
    """Return the error for what SQLite says; what was not acknowledged has not happened."""
    code = primary(error)
    if is_busy(error):  # at the start, where nobody waits
        return busy(path, 0.0)
    if is_no_room(error):
        return _full(path)
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH):
        return _denied(path, error)
    if code == sqlite3.SQLITE_CANTOPEN:
        return _not_opened(path, error)
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return error_for(
            ErrorCode.WSANO_RECOVERY,
            f"{path} is damaged ({error}): move it away with the files beside it, then register "
            "again or put a copy in its place",
        )
    if code == sqlite3.SQLITE_NOMEM:
        return OutOfMemoryError(f"{path}: memory ran out")
    if code == sqlite3.SQLITE_TOOBIG:
        return InvalidArgumentError(f"{path} cannot hold a value of that length ({error})")
    if code == sqlite3.SQLITE_IOERR:
        return _failed(path, error)
    return ProviderError(f"{path}: SQLite says {type(error).__name__}: {error}")


def _not_opened(path: Path, error: Exception) -> NspError:
    effective = os.access in os.supports_effective_ids
    if path.exists() and not os.access(path, os.R_OK, effective_ids=effective):
        return _denied(path, error)
    return NotReadyError(
        f"{path} cannot be opened: see whether it is a file, its folder can be written, and this "
        "process may open more files"
    )


def _failed(path: Path, error: sqlite3.Error) -> NspError:
    # A file that may not grow any more is told so too, not as a full disk.
    hint = "see whether its disk is full or failing, or a limit of file sizes is reached"
    return ProviderError(f"{path} cannot be read or written ({error}): {hint}")


def _denied(path: Path, error: Exception) -> AccessDeniedError:
    return AccessDeniedError(
        f"{path} or its folder is not to be written or read by this process ({error}): change its "
        "permissions, or give another 'path'"
    )


def _full(path: Path) -> NspError:
    return error_for(
        ErrorCode.WSAENOBUFS,
        f"there is no room for {path} to grow: nothing was changed; make room on its disk, or "
        "give another 'path'",
    )
