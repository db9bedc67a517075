"""The exit statuses of the program."""

from __future__ import annotations

from enum import IntEnum


class Status(IntEnum):
    """How a command ended; what it is called in the reference."""

    DONE = 0
    NOT_FOUND = 1
    USAGE = 2
    FAILED = 3
    INTERRUPTED = 130
