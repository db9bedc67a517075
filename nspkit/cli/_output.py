"""Lines for a person or for a program: checked, aligned, coloured on a terminal, written at once.

What is shown came from somewhere else, often from a network. A `Cell` is the only way onto a page,
and it lets nothing through that a terminal would obey.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nspkit import __version__
from nspkit.cli._status import Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import TextIO

_GAP = "  "
_JOINERS = "\u200c\u200d"
"""Invisible, harmless, and needed: to write Persian, and to compose emoji."""


class ReaderGoneError(Exception):
    """Whoever read the output has closed it, as ``head`` does: nobody is there to be told."""


class UnwritableError(click.ClickException):
    """The output cannot be written, because a disk is full for instance."""

    exit_code = Status.FAILED


class Cell:
    """A piece of text with one style, fit to be shown.

    Attributes:
        text: The text, with an escape in place of each character that does not print.
        style: How it looks on a terminal, in rich's words; empty for plain.
    """

    __slots__ = ("style", "text")

    def __init__(self, text: object, style: str = "") -> None:
        """Take any value; its ``str`` is shown."""
        self.text = printable(str(text))
        self.style = style

    @property
    def width(self) -> int:
        """How many columns of a terminal it takes."""
        if self.text.isascii():
            return len(self.text)
        from rich.cells import cell_len

        return cell_len(self.text)


class Page:
    """A stream that lines are written to, each at once; they are dropped where there is none.

    Attributes:
        width: The columns of the terminal, or ``None`` where there is none and lines may be long.
    """

    __slots__ = ("_paint", "_stream", "width")

    def __init__(self, stream: TextIO | None) -> None:
        """Find out whether it is a terminal, and what that can show."""
        self._stream = stream
        self._paint: Any = None
        self.width: int | None = None
        if stream is not None and stream.isatty():
            from rich.console import Console

            console = Console(file=stream)
            self.width = console.width
            no_color = console.no_color or os.environ.get("NO_COLOR")
            if console.color_system and not no_color and not console.legacy_windows:
                from rich.style import Style

                self._paint = Style.parse

    def line(self, *cells: Cell) -> None:
        """Write some cells side by side as one line."""
        self.write("".join(map(self.painted, cells)).rstrip())

    def record(self, value: object) -> None:
        """Write a value as one line of JSON, all in ASCII, so that nothing in it is obeyed."""
        self.write(json.dumps(value, allow_nan=False))

    def painted(self, cell: Cell) -> str:
        """Return the text of a cell, in its style where there are colours."""
        if self._paint is None or not cell.style:
            return cell.text
        from rich.color import ColorSystem

        # The sixteen colours that a terminal's owner has chosen.
        painted: str = self._paint(cell.style).render(cell.text, color_system=ColorSystem.STANDARD)
        return painted

    def write(self, text: str) -> None:
        """Write a line as it is, and do not keep it back.

        Raises:
            ReaderGoneError: The other end of a pipe was closed.
            UnwritableError: It cannot be written for another reason.
        """
        if self._stream is None:
            return
        try:
            self._stream.write(f"{text}\n")
            self._stream.flush()
        except BrokenPipeError:
            give_up(self._stream)
            raise ReaderGoneError from None
        except OSError as error:
            give_up(self._stream)
            raise UnwritableError(f"the output cannot be written: {error.strerror}") from None


class Columns:
    """Puts cells below each other; columns only grow, so that rows can be shown as they come."""

    __slots__ = ("_widths",)

    def __init__(self, *widths: int) -> None:
        """Begin with some widths; the others begin with 0."""
        self._widths = list(widths)

    def fit(self, cells: Sequence[Cell]) -> None:
        """Make the columns wide enough for a row."""
        self._widths += [0] * (len(cells) - len(self._widths))
        for number, cell in enumerate(cells):
            self._widths[number] = max(self._widths[number], cell.width)

    @property
    def total(self) -> int:
        """The width of a whole row."""
        return sum(self._widths) + len(_GAP) * (len(self._widths) - 1)

    @property
    def first(self) -> int:
        """Where the second column begins."""
        return self._widths[0] + len(_GAP)

    def padded(self, cells: Sequence[Cell]) -> list[Cell]:
        """Return the cells of a row with what separates them."""
        row = []
        for cell, width in zip(cells, self._widths, strict=False):
            row += [cell, Cell(" " * (width - cell.width) + _GAP)]
        return row


class Row:
    """A row of a table, and what is to be said below it."""

    __slots__ = ("below", "cells")

    def __init__(self, *cells: Cell, below: Iterable[Cell] = ()) -> None:
        """Take the cells from left to right."""
        self.cells = cells
        self.below = tuple(below)


def write_table(page: Page, rows: Sequence[Row]) -> None:
    """Write aligned rows; where they are too wide, the last column goes below, indented."""
    columns = Columns()
    for row in rows:
        columns.fit(row.cells)
    is_narrow = page.width is not None and columns.total > page.width
    for row in rows:
        beside, below = list(row.cells), list(row.below)
        if is_narrow:
            below.insert(0, beside.pop())
        page.line(*columns.padded(beside))
        for cell in below:
            write_indented(page, cell, columns.first)


def write_fields(page: Page, fields: Mapping[str, Cell | Sequence[Cell]]) -> None:
    """Write what is known of one thing, a field a line, or several for one that is a list."""
    indent = max(map(len, fields)) + 2 * len(_GAP)
    for field, value in fields.items():
        margin: Cell | None = Cell(f"{_GAP}{field}".ljust(indent), "dim")
        for cell in [value] if isinstance(value, Cell) else value:
            write_indented(page, cell, indent, margin)
            margin = None


def write_indented(page: Page, cell: Cell, indent: int, margin: Cell | None = None) -> None:
    """Write a text some columns from the left, also where it takes several lines.

    A margin, if there is one, stands to the left of the first of them.
    """
    blank = Cell(" " * indent)
    lines = [cell.text]
    if page.width is not None and indent + cell.width > page.width:
        from textwrap import wrap

        lines = wrap(cell.text, max(page.width - indent, 20), break_on_hyphens=False) or lines
    for line in lines:
        page.line(margin or blank, Cell(line, cell.style))
        margin = None


def standard_output() -> Page:
    """Return the page for what was asked for."""
    return Page(sys.stdout)


def complain(message: str, *, style: str = "red") -> None:
    """Write one line for a person to the error output; if that is closed, nobody wants it.

    A terminal that is too narrow for it gets it in several, broken between words.
    """
    with contextlib.suppress(ReaderGoneError, UnwritableError):
        margin = Cell("nspkit: ", style)
        write_indented(Page(sys.stderr), Cell(" ".join(message.split())), margin.width, margin)


def show_version(context: click.Context, _parameter: click.Parameter, wanted: object) -> None:
    """Say which nspkit it is, and end."""
    if wanted and not context.resilient_parsing:
        standard_output().line(Cell(f"nspkit {__version__}"))
        context.exit()


def printable(text: str) -> str:
    """Return a text with an escape for each character that a terminal could obey or misplace."""
    if text.isprintable():
        return text
    return "".join(
        one if one.isprintable() or one in _JOINERS else one.encode("unicode_escape").decode()
        for one in text
    )


def give_up(stream: TextIO | None) -> None:
    """Send what is still to be written nowhere: at the exit Python would try it once more."""
    if stream is None:
        return
    with contextlib.suppress(OSError, ValueError), Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), stream.fileno())


def moment() -> str:
    """Return what time it is, as a program reads it."""
    from datetime import UTC, datetime

    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def as_json(value: object) -> object:
    """Return a value of a result as JSON can hold it; bytes become ``{"base64": …}``."""
    if isinstance(value, bytes):
        from base64 import b64encode

        return {"base64": b64encode(value).decode()}
    if isinstance(value, tuple | list):
        return [as_json(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if value is None or isinstance(value, str | int | float) else str(value)
