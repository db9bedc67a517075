"""``nspkit errors``: what a number means, and which class is raised for it."""

from __future__ import annotations

import errno

import click

from nspkit import ErrorCode, NspError
from nspkit import errors as tree
from nspkit.cli._options import error_code
from nspkit.cli._output import Cell, Row, standard_output, write_fields, write_table
from nspkit.cli._status import Status


@click.command()
@click.argument("code", required=False, callback=error_code)
@click.option("--json", "as_lines", is_flag=True, help="Write one JSON object a line.")
def errors(*, code: ErrorCode | None, as_lines: bool) -> Status:
    """Show the error codes, or what one CODE means.

    CODE is a number, such as 10060, or a symbol, such as WSAETIMEDOUT.
    """
    page = standard_output()
    codes = sorted(ErrorCode) if code is None else [code]
    if as_lines:
        for one in codes:
            page.record(_record(one))
    elif code is None:
        heading = (Cell(text, "dim") for text in ("CODE", "SYMBOL", "CLASS", "MEANING"))
        write_table(page, [Row(*heading), *map(_row, codes)])
    else:
        page.line(Cell(code.name, "bold"), Cell(f" ({code.value})"))
        fields = {
            "meaning": Cell(code.meaning),
            "class": Cell(", ".join(_classes(code))),
            "errno": Cell(errno.errorcode.get(code.posix, code.posix)),
        }
        write_fields(page, fields)
    return Status.DONE


def _row(code: ErrorCode) -> Row:
    name = _classes(code)[0]
    style = "dim" if name == NspError.__name__ else ""
    return Row(Cell(f"{code:>5}"), Cell(code.name), Cell(name, style), Cell(code.meaning))


def _record(code: ErrorCode) -> dict[str, object]:
    return {
        "code": code.value,
        "symbol": code.name,
        "meaning": code.meaning,
        "classes": _classes(code),
        "errno": errno.errorcode.get(code.posix),
    }


def _classes(code: ErrorCode) -> list[str]:
    """Return the names of the classes for a code, the one for the bare number first."""
    usual = type(tree.error_for(code, ""))
    found = [usual] if usual is not NspError else []
    for name in tree.__all__:
        value = getattr(tree, name)
        if isinstance(value, type) and issubclass(value, NspError) and value not in found:
            found += [value] if value.preset == code else []
    return [one.__name__ for one in found or [NspError]]
