"""The exit statuses of the program."""

from __future__ import annotations

from enum import IntEnum


class Status(IntEnum):
    """How a command ended; what it is called in the reference."""

    DONE = 0
    NOT_FOUND = 1
    UNWELL = 1  # of `doctor`: the other answer, as a not found is of `lookup`
    USAGE = 2
    FAILED = 3
    INTERRUPTED = 130
