"""The program: its commands, and how it ends.

An error ends it with one line and an exit status, whoever raised it: click, nspkit or a provider.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING, Any, NoReturn

import click

from nspkit.cli._catalog import providers, show
from nspkit.cli._check import check
from nspkit.cli._classes import classes
from nspkit.cli._configure import disable, enable, order
from nspkit.cli._doctor import doctor
from nspkit.cli._ending import is_held_up
from nspkit.cli._errors import errors
from nspkit.cli._lookup import lookup
from nspkit.cli._new import new
from nspkit.cli._output import ReaderGoneError, complain, give_up, show_version
from nspkit.cli._register import register
from nspkit.cli._registry import registry
from nspkit.cli._set import set_service
from nspkit.cli._status import Status
from nspkit.cli._watch import watch
from nspkit.errors import NspError

if TYPE_CHECKING:
    from collections.abc import Sequence


class Program(click.Group):
    """A group of commands that answers every error with one line."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        *rest: Any,
        **options: Any,
    ) -> NoReturn:
        """Run it and leave with its exit status."""
        options["standalone_mode"] = False
        try:
            # Its own name, also where it is started as a module.
            status = super().main(args, prog_name or "nspkit", *rest, **options)
        except click.UsageError as error:
            complain(_usage(error))
            status = Status.USAGE
        except click.ClickException as error:
            complain(error.message)
            status = error.exit_code
        except click.Abort:
            status = Status.INTERRUPTED
        except NspError as error:
            complain(str(error))
            status = Status.FAILED
        except ReaderGoneError:
            status = Status.DONE  # it has all that it wanted
        except OSError as error:
            # click writes a help by itself.
            give_up(sys.stdout)
            what = "the output" if error.filename is None else error.filename
            complain(f"{what} cannot be written: {error.strerror or error}")
            status = Status.FAILED
        sys.exit(status)


def _usage(error: click.UsageError) -> str:
    """Return click's sentence as a message of this program, with the way out."""
    message = error.format_message()
    if isinstance(error, click.BadParameter) and not isinstance(error, click.MissingParameter):
        message = f"{_spelt(error.param)}{error.message}"
    message = message.rstrip(".")
    if message[1:2].islower():  # a sentence; NAME and GUID stay as they are
        message = message[0].lower() + message[1:]
    return f"{message}; see: {error.ctx.command_path} --help" if error.ctx else message


def _spelt(parameter: click.Parameter | None) -> str:
    if isinstance(parameter, click.Option):
        return f"{max(parameter.opts, key=len)}: "
    return ""


@click.group(
    "nspkit",
    cls=Program,
    invoke_without_command=True,
    subcommand_metavar="COMMAND [ARGUMENTS]",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=show_version,
    help="Show the version and exit.",
)
@click.pass_context
def program(context: click.Context) -> None:
    """Find things by name, at every name service that a provider is installed for."""
    if context.invoked_subcommand is None:
        raise click.UsageError(f"give a command: {', '.join(program.commands)}", context)


_COMMANDS = (
    *(lookup, watch, register, set_service, registry),
    *(providers, show, doctor, check, enable, disable, order, classes, errors, new),
)
for _command in _COMMANDS:
    program.add_command(_command)


def main() -> int:
    """Run the command line as a program; returns the exit status.

    Where Python's exit would wait for a provider, the process ends at once.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    status: int = Status.INTERRUPTED
    try:
        program.main()
    except SystemExit as leaving:
        status = _status_of(leaving)
    except KeyboardInterrupt:
        pass  # a second one, while the first was being answered
    if is_held_up():
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(AttributeError, OSError, ValueError):
                stream.flush()
        os._exit(status)
    return status


def _status_of(leaving: SystemExit) -> int:
    """Return the status that a process would end with; a text is told, and is a failure."""
    if leaving.code is None or isinstance(leaving.code, int):
        return leaving.code or 0
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(f"{leaving.code}\n")
    return Status.FAILED
