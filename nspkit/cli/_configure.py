"""``nspkit enable``, ``disable`` and ``order``: change the file of settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from nspkit import Catalog
from nspkit.cli._options import VARIABLE, WrongFileError, file_name, host_of
from nspkit.cli._output import Cell, Row, complain, standard_output, write_table
from nspkit.cli._replacing import content, replace
from nspkit.cli._status import Status
from nspkit.errors import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nspkit import CatalogEntry

    # Takes the names that a list in the file has, and returns those that it is to have.
    Change = Callable[[list[str]], list[str]]

FILE = "nspkit.toml"
"""The file that is written where none is named."""

_MARK = b"\xef\xbb\xbf"
"""The byte order mark, which some editors put before UTF-8."""

_providers = click.argument("providers", metavar="PROVIDER...", nargs=-1, required=True)
_file = click.option(
    "--config",
    "file",
    metavar="FILE",
    envvar=VARIABLE,
    callback=file_name,
    help=f"Write this file; else the one that {VARIABLE} names, else {FILE} in this folder.",
)
_json = click.option("--json", "as_lines", is_flag=True, help="Write one JSON object a line.")


@click.command()
@_providers
@_file
@_json
def enable(*, providers: Sequence[str], file: str | None, as_lines: bool) -> Status:
    """Enable providers in nspkit.toml.

    PROVIDER is a short name or a GUID. All else in the file stays as it is. What it says then is
    shown.
    """
    chosen = Chosen(providers)
    changed = _changed(
        file or FILE,
        "disabled",
        lambda names: [name for name in names if chosen.entry(name) not in chosen.entries],
    )
    return _tell(changed, file, as_lines=as_lines)


@click.command()
@_providers
@_file
@_json
def disable(*, providers: Sequence[str], file: str | None, as_lines: bool) -> Status:
    """Disable providers in nspkit.toml.

    PROVIDER is a short name or a GUID. All else in the file stays as it is. What it says then is
    shown.
    """
    chosen = Chosen(providers)

    def change(names: list[str]) -> list[str]:
        there = {chosen.entry(name) for name in names}
        return names + [chosen.name(entry) for entry in chosen.entries if entry not in there]

    return _tell(_changed(file or FILE, "disabled", change), file, as_lines=as_lines)


@click.command()
@_providers
@_file
@_json
def order(*, providers: Sequence[str], file: str | None, as_lines: bool) -> Status:
    """Put providers first in nspkit.toml, in this order.

    PROVIDER is a short name or a GUID. Those that are left out follow by name. All else in the
    file stays as it is. What it says then is shown.
    """
    chosen = Chosen(providers)

    def change(names: list[str]) -> list[str]:
        spelt = {chosen.entry(name): name for name in names}
        return [spelt.get(entry) or chosen.name(entry) for entry in chosen.entries]

    return _tell(_changed(file or FILE, "order", change), file, as_lines=as_lines)


class Chosen:
    """The providers that a command names, among those that are installed.

    Attributes:
        entries: Those that are named, in this order.
    """

    def __init__(self, providers: Sequence[str]) -> None:
        """Find them.

        Raises:
            click.UsageError: One is not installed, or named twice.
        """
        self._installed = Catalog.discover()
        self.entries: list[CatalogEntry] = []
        for provider in providers:
            try:
                entry = self._installed[provider]
            except InvalidArgumentError as error:
                raise click.UsageError(error.message) from None
            if entry in self.entries:
                raise click.UsageError(f"provider '{entry.name}' is named twice; name it once")
            self.entries.append(entry)

    def entry(self, name: str) -> CatalogEntry | None:
        """Return the provider that a name in the file means, or None if it means none."""
        try:
            return self._installed[name]
        except InvalidArgumentError:
            return None

    def name(self, entry: CatalogEntry) -> str:
        """Return what to write for a provider: its short name, unless another one has that too."""
        shared = sum(other.name == entry.name for other in self._installed) > 1
        return str(entry.guid) if shared else entry.name


def _changed(file: str, key: str, change: Change) -> list[CatalogEntry]:
    """Change a list in a file, and return the providers as the file says then."""
    # Here: every other command can do without, and it takes as long to import as click.
    from nspkit.cli._lists import UneditableError, names_in, with_names

    try:
        before = content(file)
        mark = _MARK if before is not None and before.startswith(_MARK) else b""
        text = (before or b"").removeprefix(mark).decode()
        names = change(names_in(text, key))
        if before is not None and names == names_in(text, key):
            return _checked(file)
        beside = "order" if key == "disabled" else "disabled"
        after = mark + with_names(text, key, names, beside=beside).encode()
    except (OSError, UnicodeDecodeError, UneditableError) as error:
        _checked(file)  # says it with the place
        raise WrongFileError(f"{file}: it cannot be changed by a program: {error}") from None

    def check(temporary: str) -> list[CatalogEntry]:
        try:
            return _checked(temporary)
        except WrongFileError:
            if before is not None:
                _checked(file)  # what was wrong before is told with the line that it is in
            raise

    return replace(file, before, after, check)


def _checked(file: str) -> list[CatalogEntry]:
    """Return the providers as a file says; nothing is started."""
    with host_of(file) as host:
        return host.providers()


def _tell(entries: Sequence[CatalogEntry], file: str | None, *, as_lines: bool) -> Status:
    page = standard_output()
    if as_lines:
        for entry in entries:
            page.record(_record(entry))
        return Status.DONE
    heading = Row(Cell("NAME", "dim"), Cell("STATE", "dim"), Cell("DISTRIBUTION", "dim"))
    write_table(page, [heading, *map(_row, entries)])
    if file is None:
        complain(
            f"{FILE} says so now; it is read where it is named, with --config {FILE} or in "
            f"{VARIABLE}",
            style="",
        )
    return Status.DONE


def _row(entry: CatalogEntry) -> Row:
    state = Cell("enabled", "green") if entry.enabled else Cell("disabled", "dim")
    return Row(Cell(entry.name, "bold"), state, Cell(f"{entry.distribution} {entry.version}"))


def _record(entry: CatalogEntry) -> dict[str, object]:
    return {
        "name": entry.name,
        "enabled": entry.enabled,
        "distribution": entry.distribution,
        "distribution_version": entry.version,
    }
