"""The values that options and arguments take, each checked before anything else happens.

Most functions are callbacks of click: they get the text that was given, and what they return goes
to the command. `config` and `timeout` are options that several commands share.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import click

from nspkit import Catalog, ErrorCode, Host, Namespace
from nspkit.cli._status import Status
from nspkit.cli._wellknown import class_named
from nspkit.errors import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from uuid import UUID

F = TypeVar("F", bound="Callable[..., Any]")

LONGEST = 86_400
"""A day; what is longer is a mistake, and more than some platforms can wait."""

VARIABLE = "NSPKIT_CONFIG"
"""The variable of the environment that names the file of settings where no option does."""


def file_name(
    _context: click.Context, _parameter: click.Parameter, value: str | None
) -> str | None:
    """Return the name of a file; an empty one is a variable of the shell that was not set."""
    if value is not None and not value.strip():
        raise click.BadParameter("it is empty; give the name of a file")
    return value


config = click.option(
    "--config",
    "file",
    metavar="FILE",
    envvar=VARIABLE,
    callback=file_name,
    help=f"Read settings from this nspkit.toml; else from the one that {VARIABLE} names.",
)
"""The option ``--config``; the command gets ``file``, a path or None, and gives it to `host_of`."""


class WrongFileError(click.ClickException):
    """A file of settings that is missing or wrong: the user's to mend, as a wrong option is."""

    exit_code = Status.USAGE


def host_of(file: str | None, *, catalog: Catalog | None = None) -> Host:
    """Return a host as a file of settings says, or one with all that is installed.

    Raises:
        WrongFileError: The file is missing or wrong; the message has the place in it.
    """
    if file is None:
        return Host(catalog=catalog)
    try:
        return Host.from_file(file, catalog=catalog)
    except InvalidArgumentError as error:
        where = "" if file in error.message else f"{file}: "
        raise WrongFileError(f"{where}{error.message}") from None


def together(
    parts: Iterable[Callable[..., Any]], command: Callable[..., Any]
) -> Callable[..., Any]:
    """Give a command several options; its help lists them in their order."""
    for part in reversed(list(parts)):
        command = part(command)
    return command


def wrong_use(error: InvalidArgumentError, names: Mapping[str, str]) -> click.UsageError:
    """Return the error for a value that was refused; ``names`` tells what its field is called."""
    field, _, problem = error.message.partition(" ")
    return click.UsageError(f"{names.get(field, field)} {problem}", click.get_current_context())


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


def service_class(
    _context: click.Context, _parameter: click.Parameter, value: str | None
) -> UUID | str | None:
    """Return the class of a port, such as 80/tcp, or one that Winsock has a name for.

    All else, a GUID or a DNS-SD type, is checked by the query or the service that it goes into.
    """
    if value is None:
        return None
    return class_named(value) or value


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


def timeout(what: str, *, name: str = "timeout") -> Callable[[F], F]:
    """Return the option for a limit of 10 seconds on what providers do, which ``what`` says."""
    return click.option(
        "-t",
        "--timeout",
        name,
        metavar="SECONDS",
        default="10",
        callback=seconds,
        help=f"How long {what}; 10 by default.",
    )


def seconds_from(least: float) -> Callable[[click.Context, click.Parameter, str], float]:
    """Return a callback for a time that cannot be shorter than this, in seconds."""

    def checked(context: click.Context, parameter: click.Parameter, value: str) -> float:
        number = seconds(context, parameter, value)
        if number < least:
            raise click.BadParameter(f"{value!r} is too little; give {least:g} seconds at least")
        return number

    return checked


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
