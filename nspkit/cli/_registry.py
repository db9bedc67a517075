"""``nspkit registry``: what is done with a registry as a whole."""

from __future__ import annotations

import click

from nspkit.cli._export import export
from nspkit.cli._import import import_


@click.group(invoke_without_command=True, subcommand_metavar="COMMAND [ARGUMENTS]")
@click.pass_context
def registry(context: click.Context) -> None:
    """Move what is registered from one registry to another."""
    if context.invoked_subcommand is None:
        raise click.UsageError(f"give a command: {', '.join(registry.commands)}", context)


registry.add_command(export)
registry.add_command(import_)
