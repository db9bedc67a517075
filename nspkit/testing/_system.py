"""What the system tells of this process: its descriptors and its children."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from pathlib import Path

_LISTS = ("/proc/self/fd", "/dev/fd")


def descriptors() -> dict[int, str]:
    """Return the open descriptors by number, and what the system calls each of them."""
    for folder in _LISTS:
        with contextlib.suppress(OSError):
            return {
                int(name): what
                for name in os.listdir(folder)  # noqa: PTH208  # no object for each of them
                if (what := _target(folder, name)) is not None
            }
    return {}


def described(number: int, what: str) -> str:
    """Return a descriptor as a text that its owner recognises."""
    with contextlib.suppress(OSError):
        if stat.S_ISSOCK(os.fstat(number).st_mode):
            with socket.socket(fileno=os.dup(number)) as duplicate:
                return f"{number}, a socket at {duplicate.getsockname()!r}"
    return f"{number}, {what}"


def children() -> dict[int, str]:
    """Return the child processes by number, and what each of them runs."""
    found = {}
    own = os.getpid()
    for pid in _numbers():
        state, parent = _state(pid)
        if parent == own:
            found[int(pid)] = _command(pid, state)
    return found


def _numbers() -> list[str]:
    """Return the numbers of the children; where the kernel does not list them, of everything."""
    try:
        return [
            pid
            for thread in os.listdir("/proc/self/task")  # noqa: PTH208
            for pid in Path("/proc/self/task", thread, "children").read_text().split()
        ]
    except OSError:
        pass
    with contextlib.suppress(OSError):
        return [name for name in os.listdir("/proc") if name.isdecimal()]  # noqa: PTH208
    return []


def _target(folder: str, name: str) -> str | None:
    try:
        # The listing's own descriptor is closed by now, and so is not to be found.
        details = os.fstat(int(name))
        return f"{os.readlink(f'{folder}/{name}')} ({details.st_dev}:{details.st_ino})"  # noqa: PTH115
    except (OSError, ValueError):
        return None


def _state(pid: str) -> tuple[str, int]:
    try:
        # The name in brackets may hold anything; what follows it has a fixed form.
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
        return fields[0], int(fields[1])
    except (OSError, IndexError, ValueError):
        return "", 0


def _command(pid: str, state: str) -> str:
    if state == "Z":
        return "ended, but nobody has waited for it"
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        return b" ".join(words).decode(errors="replace").strip() or "unknown"
    except OSError:
        return "unknown"
