"""Keys as paths: what any engine can hold, and what comes back of it."""

from __future__ import annotations

import re
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nspkit.registry import EVERYTHING, Key, Scope, key_at, key_at_name

CLASS = UUID("00000000-0000-4000-8000-000000000001")
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)
KEYS = st.builds(
    Key,
    st.none() | st.uuids(),
    st.just("") | TEXTS.map(lambda text: text.strip("\\") and text.strip("\\") + "\\"),
    TEXTS,
)


@given(KEYS)
def test_a_path_is_read_back(key: Key) -> None:
    """Whatever signs a name has, and no part of it means anything to an engine."""
    assert key_at(key.path()) == key
    assert key_at_name(key.name_path()) == key
    for part in key.path().split("/"):
        assert re.fullmatch(r"[A-Za-z0-9%._~-]+", part)
        assert part not in (".", "..")


def test_parts_that_say_nothing_have_signs_of_their_own() -> None:
    """No class, and the top of the contexts."""
    assert Key(None, "", "-").path() == "-/-/-"
    assert Key(CLASS, "-\\", "..").path() == f"{CLASS}/-%5C/%2E%2E"
    assert Key(CLASS, "", "x").name_path() == f"x/{CLASS}/-"


@pytest.mark.parametrize("path", [
    "", "x", "-/-", "-/-/x/y", "no-guid/-/x", "-/-/%FF", "-/-/", "-//x", "-/a/x", "-/%5C/x",
    "-/-/%41", "-/-/a b", "-/-/ü", "-/-/%c3%bc", "-/-/.", "-/%61%5C/x", "-/-/%00", "-/-/x%",
    f"{CLASS}".upper().replace("-", "") + "/-/x", f"{{{CLASS}}}/-/x",
])  # fmt: skip
def test_another_path_is_refused(path: str) -> None:
    """So that an engine can pass over what nobody has registered, and no key has two paths."""
    with pytest.raises(ValueError):  # noqa: PT011 - of whatever is wrong with it
        key_at(path)


def test_a_scope_covers_what_is_meant() -> None:
    """By class, name and context, with deep also what is below."""
    key = Key(CLASS, "a\\", "x")
    assert all(
        scope.covers(key)
        for scope in (EVERYTHING, Scope(CLASS), Scope(None, "x", "a\\", deep=False))
    )
    assert not any(
        scope.covers(key)
        for scope in (Scope(UUID(int=2)), Scope(name="y"), Scope(context="b\\"), Scope(deep=False))
    )
    assert Scope(context="a\\").covers(Key(None, "a\\b\\", "x"))


def test_only_one_key_is_exact() -> None:
    """Where class, name and context are said."""
    assert Scope(CLASS, "x", "a\\", deep=False).exact() == Key(CLASS, "a\\", "x")
    assert Scope(CLASS, "x", "a\\").exact() is None
    assert Scope(None, "x", deep=False).exact() is None
