"""A list of names in a text of TOML is changed, and nothing else: no comment is lost.

tomlkit reads the text and puts the new list into it. How the list itself is laid out, and where a
new one goes, is decided here: comments move with the name that they belong to.
"""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING

import tomlkit
from tomlkit.items import Array

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tomlkit import TOMLDocument

_TOKEN = re.compile(
    r"""
    \#[^\n]* | \n
    | \"{3} (?:\\.|[^\\])*? \"{3,5} | '{3} .*? '{3,5}
    | "(?:\\.|[^"\\\n])*" | '[^'\n]*'
    """,
    re.VERBOSE | re.DOTALL,
)
"""What matters between the brackets of an array of strings."""

_STAND_IN = "nspkit-stands-here"


class UneditableError(ValueError):
    """A text that is no TOML, or has something else than a list of names where one belongs."""


class _Item:
    """A string of an array with the comments that belong to it."""

    __slots__ = ("above", "comment", "source")

    def __init__(self, source: str, above: Sequence[str] = ()) -> None:
        """Take a string as it is written, and the comments on the lines above it."""
        self.source = source
        self.above = list(above)
        self.comment = ""

    def lines(self) -> Iterator[str]:
        """Yield it as lines of an array."""
        yield from self.above
        yield f"{self.source},{self.comment and f'  {self.comment}'}"

    def remains(self) -> Iterator[str]:
        """Yield what stays where it is taken out: a comment on it stays with it, as a comment."""
        yield from self.above
        if self.comment:
            yield f"# {self.source},  {self.comment}"


def names_in(text: str, key: str) -> list[str]:
    """Return the names that a key has; none where there is no such key.

    Raises:
        UneditableError: The text is no TOML, or it is no list of names.
    """
    array = _array(_parsed(text), key)
    return [] if array is None else [str(name) for name in array]


def with_names(text: str, key: str, names: Sequence[str], *, beside: str) -> str:
    """Return the text with another list of names.

    Args:
        text: TOML; its line ends stay what they are.
        key: The key at the top of it, which need not be there yet.
        names: What it is to have.
        beside: The key that a new one is put below, if that is there.

    Raises:
        UneditableError: The text is no TOML, or one of the two is no list of names.
    """
    has_crlf = 0 < text.count("\n") == text.count("\r\n")
    plain = text.replace("\r\n", "\n") if has_crlf else text
    document = _parsed(plain)
    array = _array(document, key)
    if array is None:
        changed = _inserted(plain, key, names, beside=beside)
    else:
        document[key] = tomlkit.value(_rearranged(array, names))
        changed = tomlkit.dumps(document)
    # Whatever an editor of texts overlooks, what the file says is what was asked for.
    if tomllib.loads(changed) != {**tomllib.loads(plain), key: list(names)}:
        raise UneditableError(f"the list '{key}' cannot be found")
    return changed.replace("\n", "\r\n") if has_crlf else changed


def _parsed(text: str) -> TOMLDocument:
    try:
        return tomlkit.parse(text)
    except (ValueError, RecursionError) as error:
        raise UneditableError(str(error)) from None


def _array(document: TOMLDocument, key: str) -> Array | None:
    found = document.get(key)
    if found is None:
        return None
    if not isinstance(found, Array) or not all(isinstance(name, str) for name in found):
        raise UneditableError(f"'{key}' is no list of names")
    return found


def _rearranged(array: Array, names: Sequence[str]) -> str:
    """Return the source of an array with other names, laid out as it was."""
    source = array.as_string()
    head, before, tail = _items(source)
    current = dict(zip(map(str, array), before, strict=True))
    kept = {name: current.get(name) or _Item(_quoted(name)) for name in names}
    lost: list[str] = []
    for item in before:
        if item in kept.values():
            item.above[:0] = lost
            lost = []
        else:
            lost += item.remains()
    tail[:0] = lost
    if "\n" not in source or not (names or tail or head):
        pad = " " if source[1:2] == " " and names else ""
        return f"[{pad}{', '.join(item.source for item in kept.values())}{pad}]"
    first = re.search(r"\n([ \t]*)[^\s\]]", source)
    last = re.search(r"\n([ \t]*)\]$", source)
    indent = first[1] if first else "    "
    lines = [line for item in kept.values() for line in item.lines()]
    closing = f"{last[1] if last else ''}]"
    opening = f"[{head and f'  {head}'}"
    return "\n".join([opening, *(f"{indent}{line}" for line in [*lines, *tail]), closing])


def _items(source: str) -> tuple[str, list[_Item], list[str]]:
    """Return the comment behind the bracket, the strings, and the comments after the last one."""
    items: list[_Item] = []
    head = ""
    above: list[str] = []
    on_line: _Item | None = None
    is_first_line = True
    for match in _TOKEN.finditer(source):
        token = match[0]
        if token == "\n":
            on_line, is_first_line = None, False
        elif token[0] != "#":
            on_line = _Item(token, above)
            items.append(on_line)
            above = []
        elif on_line is not None:
            on_line.comment = token.rstrip()
        elif is_first_line:
            head = token.rstrip()
        else:
            above.append(token.rstrip())
    return head, items, above


def _inserted(text: str, key: str, names: Sequence[str], *, beside: str) -> str:
    """Return a text with one more statement at its top, where no table has begun yet."""
    statement = f"{key} = [{', '.join(map(_quoted, names))}]\n"
    end = _end_of(text, beside)
    if end is not None:
        return f"{_ended(text[:end])}{statement}{text[end:]}"
    lines = text.splitlines(keepends=True)
    is_statement = [line.strip() != "" and not line.lstrip().startswith("#") for line in lines]
    if True not in is_statement:
        return f"{_ended(text)}{statement}"
    place = is_statement.index(True)
    while place and lines[place - 1].strip():
        place -= 1  # a comment right above it belongs to it
    return "".join([*lines[:place], statement, "\n", *lines[place:]])


def _end_of(text: str, key: str) -> int | None:
    """Return where the line after a list begins, or None if there is no such list."""
    document = _parsed(text)
    array = _array(document, key)
    if array is None:
        return None
    length = len(array.as_string())
    document[key] = _STAND_IN
    start = tomlkit.dumps(document).index(f'"{_STAND_IN}"')
    end = text.find("\n", start + length)
    return len(text) if end < 0 else end + 1


def _ended(text: str) -> str:
    return text if not text or text.endswith("\n") else f"{text}\n"


def _quoted(name: str) -> str:
    return tomlkit.string(name).as_string()
