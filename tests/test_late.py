"""What finalisers leave to the next operation."""

from __future__ import annotations

import pytest

from nspkit._late import Later
from nspkit.errors import InProgressError


class Left:
    """Something that is closed when it can be."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.closed = 0

    def close(self) -> None:
        """Count, or fail."""
        if self.error is not None:
            raise self.error
        self.closed += 1


def test_what_is_left_is_closed_once_and_is_left_no_more() -> None:
    """All of it, by one operation."""
    later, left = Later(), [Left(), Left()]
    later.extend(left)
    later.settle()
    assert [one.closed for one in left] == [1, 1]
    assert not later


def test_what_cannot_be_closed_from_here_is_left_to_the_operation_after_this() -> None:
    """This one comes from inside it (10036); the others are closed all the same."""
    later, inside, other = Later(), Left(InProgressError("inside")), Left()
    later.extend([inside, other])
    later.settle()
    assert list(later) == [inside]
    assert other.closed == 1
    inside.error = None
    later.settle()
    assert inside.closed == 1
    assert not later


def test_an_error_in_the_closing_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Nobody is there to be raised to, and it is not tried again."""
    later, bad, other = Later(), Left(ValueError("no such shelf")), Left()
    later.extend([bad, other])
    later.settle()
    assert [record.getMessage() for record in caplog.records] == ["no such shelf"]
    assert other.closed == 1
    assert not later
