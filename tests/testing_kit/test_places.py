"""Whose lines an author is shown, and where an error is raised that is about a class."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

import nspkit
from nspkit.testing import RuleBrokenError
from nspkit.testing._places import is_authors, raise_at


@pytest.mark.parametrize("file", [__file__, pytest.__file__, "provider.py"])
def test_what_an_author_has_written_or_installed_is_theirs(file: str) -> None:
    """Packages of others included."""
    assert is_authors(file)


@pytest.mark.parametrize("file", [contextlib.__file__, nspkit.__file__, "<frozen os>"])
def test_what_is_always_there_is_not(file: str) -> None:
    """The standard library's, nspkit's, and what has no file."""
    assert not is_authors(file)


def test_an_error_is_raised_at_the_head_of_a_class() -> None:
    """In the file and the line where it is written."""
    with pytest.raises(RuleBrokenError, match="the reason") as caught:
        raise_at(Place, RuleBrokenError("the reason"))
    last = caught.traceback[-1]
    assert (Path(last.path), last.name) == (Path(__file__), "Place")
    assert str(last.statement).strip() == "class Place:"


def test_a_class_without_a_source_has_its_errors_too() -> None:
    """One that a program has made: the error comes as it is, with its cause."""
    made = type("Made", (), {"__module__": "nowhere"})
    error, cause = RuleBrokenError("the reason"), ValueError("the cause")
    error.__cause__ = cause
    with pytest.raises(RuleBrokenError, match="the reason") as caught:
        raise_at(made, error)
    assert caught.value.__cause__ is cause


class Place:
    """Where the errors of these tests are raised."""
