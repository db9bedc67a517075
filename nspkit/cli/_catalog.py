"""``nspkit providers`` and ``nspkit show``: what is installed, and in what state it is."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import click

from nspkit import Catalog, CatalogEntry, EntryState, NspError
from nspkit.cli import _options
from nspkit.cli._output import (
    Cell,
    Row,
    complain,
    standard_output,
    write_fields,
    write_indented,
    write_table,
)
from nspkit.cli._status import Status
from nspkit.hookspecs import HOOKS

if TYPE_CHECKING:
    from nspkit.cli._output import Page

_UNKNOWN = Cell("-", "dim")
_HEADINGS = ("NAME", "STATE", "NAMESPACE", "DISTRIBUTION", "GUID")

_STYLES = {EntryState.OK: "green", EntryState.DISABLED: "dim"}
"""How a state looks; the others are faults."""


@click.command()
@_options.config
@click.option("--json", "as_lines", is_flag=True, help="Write one JSON object a line.")
def providers(*, file: str | None, as_lines: bool) -> Status:
    """List the installed providers, in order.

    Of one that cannot be used it is said why. They are imported for this, but not started.
    """
    with _options.host_of(file) as host:
        entries = host.providers()
    page = standard_output()
    if as_lines:
        for entry in entries:
            page.record(_record(entry))
    elif entries:
        write_table(page, [Row(*(Cell(text, "dim") for text in _HEADINGS)), *map(_row, entries)])
    else:
        complain(
            "no provider is installed; install a distribution that has an entry point in the "
            "group nspkit.providers",
            style="",
        )
    return Status.DONE


@click.command()
@click.argument("provider")
@_options.config
@click.option("-v", "--verbose", is_flag=True, help="Show the traceback of a failed import too.")
@click.option("--json", "as_lines", is_flag=True, help="Write one JSON object.")
def show(*, provider: str, file: str | None, verbose: bool, as_lines: bool) -> Status:
    """Show one provider, and what it can do.

    PROVIDER is a short name or a GUID. It is imported for this, but not started.
    """
    installed = Catalog.discover()
    with _options.host_of(file, catalog=installed) as host:
        try:
            # In a host's own list those that are disabled are not found by name.
            named = installed[provider]
        except NspError as error:
            raise click.UsageError(error.message) from None
        [entry] = (one for one in host.providers() if one.is_same_provider(named))
    page = standard_output()
    if as_lines:
        page.record(_whole_record(entry))
    else:
        _write_entry(page, entry, verbose=verbose)
    return Status.DONE


def _row(entry: CatalogEntry) -> Row:
    info, state, error = entry.info, entry.state, entry.error
    return Row(
        Cell(entry.name, "bold"),
        Cell(state.value, _style(state)),
        Cell(info.namespace.name) if info is not None else _UNKNOWN,
        Cell(_origin(entry)),
        Cell(info.guid, "dim") if info is not None else _UNKNOWN,
        below=[Cell(" ".join(error.split()), _style(state))] if error is not None else [],
    )


def _style(state: EntryState) -> str:
    return _STYLES.get(state, "red")


def _origin(entry: CatalogEntry) -> str:
    return f"{entry.distribution} {entry.version}".rstrip()


def _record(entry: CatalogEntry) -> dict[str, Any]:
    info = entry.info
    return {
        "name": entry.name,
        "guid": str(info.guid) if info is not None else None,
        "namespace": info.namespace.name if info is not None else None,
        "version": str(info.version) if info is not None else None,
        "distribution": entry.distribution,
        "distribution_version": entry.version,
        "state": entry.state.value,
        "error": entry.error,
    }


def _whole_record(entry: CatalogEntry) -> dict[str, Any]:
    info = entry.info
    return {
        **_record(entry),
        "stores_service_classes": info.stores_service_classes if info is not None else None,
        "spi_version": info.spi_version if info is not None else None,
        "hooks": _hooks(entry),
        "dependencies": _dependencies(entry),
        "traceback": entry.traceback,
    }


def _write_entry(page: Page, entry: CatalogEntry, *, verbose: bool) -> None:
    info, state, hooks = entry.info, entry.state, _hooks(entry)
    fields: dict[str, Cell | list[Cell]] = {"state": Cell(state.value, _style(state))}
    if entry.error is not None:
        fields["reason"] = Cell(" ".join(entry.error.split()), _style(state))
    if info is not None:
        fields["GUID"] = Cell(info.guid)
        fields["namespace"] = Cell(f"{info.namespace.name} ({info.namespace.value})")
        fields["version"] = Cell(info.version)
        fields["SPI version"] = Cell(info.spi_version)
    fields["distribution"] = Cell(_origin(entry))
    fields["needs"] = [Cell(one) for one in _dependencies(entry) or ["nothing"]]
    if info is not None:
        fields["service classes"] = Cell("stored" if info.stores_service_classes else "not stored")
    if hooks is not None:
        fields["hooks"] = [Cell(hook) for hook, there in hooks.items() if there]
        fields["lacks"] = [Cell(hook, "dim") for hook, there in hooks.items() if not there]
    page.line(Cell(entry.name, "bold"))
    write_fields(page, fields)
    if verbose and entry.traceback is not None:
        page.line()
        for line in entry.traceback.splitlines():
            write_indented(page, Cell(line), 2)


def _hooks(entry: CatalogEntry) -> dict[str, bool] | None:
    """Return for each hook whether the provider has it; None where nobody can tell."""
    there = entry.hooks
    return None if there is None else {hook: hook in there for hook in HOOKS}


def _dependencies(entry: CatalogEntry) -> list[str]:
    """Return what the distribution needs, as its metadata say it; extras are left out."""
    from importlib.metadata import PackageNotFoundError, requires

    try:
        needed = requires(entry.distribution or "") or []
    except (PackageNotFoundError, ValueError):
        return []
    return [one for one in needed if not re.search(r";.*\bextra\s*==", one)]
