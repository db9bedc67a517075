"""The values that options and arguments take, each checked before anything else happens.

Each function is a callback of click: it gets the text that was given, and what it returns goes to
the command.
"""

from __future__ import annotations

import click

from nspkit import ErrorCode, Namespace

LONGEST = 86_400
"""A day; what is longer is a mistake, and more than some platforms can wait."""


def namespace(
    _context: click.Context, _parameter: click.Parameter, value: str | None
) -> Namespace | None:
    """Return a namespace for its name, however it is spelt, or for its number."""
    if value is None:
        return None
    name = value.strip().upper().replace("-", "_").removeprefix("NS_")
    if name in Namespace.__members__:
        return Namespace[name]
    try:
        return Namespace(int(name, 0))
    except ValueError:
        names = ", ".join(Namespace.__members__)
        raise click.BadParameter(
            f"{value!r} is no namespace; give a number, or one of {names}"
        ) from None


def seconds(_context: click.Context, _parameter: click.Parameter, value: str) -> float:
    """Return a time to wait, in seconds."""
    try:
        number = float(value)
    except ValueError:
        number = 0.0
    if not 0.0 < number <= LONGEST:  # what is not a number compares false
        raise click.BadParameter(
            f"{value!r} is no time to wait; give a number of seconds above 0, {LONGEST} at most"
        )
    return number


def error_code(
    _context: click.Context, _parameter: click.Parameter, value: str | None
) -> ErrorCode | None:
    """Return an error code for its number or its symbol."""
    if value is None:
        return None
    symbol = value.strip().upper()
    if symbol in ErrorCode.__members__:
        return ErrorCode[symbol]
    try:
        return ErrorCode(int(symbol, 0))
    except ValueError:
        from difflib import get_close_matches

        near = get_close_matches(symbol, ErrorCode.__members__, 1)
        way = f"did you mean {near[0]}?" if near else "give a number such as 10060, or a symbol"
        raise click.BadParameter(f"there is no code {value!r}; {way}") from None
