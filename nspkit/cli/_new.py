"""``nspkit new``: a provider package to begin with, whole and tested."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import click

from nspkit import Catalog
from nspkit.cli import _options
from nspkit.cli._output import Cell, complain, standard_output, write_indented
from nspkit.cli._package import Package
from nspkit.cli._status import Status

if TYPE_CHECKING:
    from nspkit import Namespace

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
"""The name of a distribution after ``nspkit-``, in its normal form, and of a class in the end."""

_LONGEST_NAME = 50
"""It is in names of files more than once, and in lines of code."""

_AUTHOR = re.compile(r"\s*([^<>]*[^<>\s])\s*(?:<\s*([^<>\s@]+@[^<>\s@]+)\s*>)?\s*")

Author = tuple[str | None, str | None]
"""A name, and an address for mail, as far as they are known."""


def _name(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    """Return a name that does for a provider, a distribution, a module and a class."""
    if value == "pytest":
        raise click.BadParameter("nspkit_pytest is nspkit's own plugin for pytest; choose another")
    if len(value) > _LONGEST_NAME:
        raise click.BadParameter(
            f"{value[:20]!r}… has {len(value)} characters; give a name of at most {_LONGEST_NAME}"
        )
    if _NAME.fullmatch(value) and not value.startswith("nspkit-"):
        return value
    near = re.sub(r"[\s._-]+", "-", value.lower()).strip("-").removeprefix("nspkit-")
    way = (
        f"did you mean {near}?"
        if _NAME.fullmatch(near)
        else "give lower-case letters and digits, a letter first, with single dashes between them"
    )
    raise click.BadParameter(f"{value!r:.80} does not do as the name of a provider; {way}")


def _author(_context: click.Context, _parameter: click.Parameter, value: str | None) -> Author:
    """Return name and address of an author; by default what git has for a name.

    An address is not taken from there: it would be published, and nobody would have said so.
    """
    given = _author_of_git() if value is None else value
    found = _AUTHOR.fullmatch(given) if given is not None and given.isprintable() else None
    if found is not None:
        return found[1], found[2]
    if value is None:
        return None, None
    raise click.BadParameter(
        f"{value!r:.80} is no author; give a name, or one with an address, such as "
        "'Ada Lovelace <ada@example.org>'"
    )


def _author_of_git() -> str | None:
    from subprocess import DEVNULL, SubprocessError, run

    command = ["git", "config", "user.name"]
    try:
        done = run(command, stdin=DEVNULL, capture_output=True, timeout=5, check=True)
        return done.stdout.decode().strip()
    except (OSError, SubprocessError, UnicodeDecodeError):
        return None


def _guid(_context: click.Context, _parameter: click.Parameter, value: str | None) -> UUID:
    """Return a GUID that was given, or a new one."""
    if value is None:
        return uuid4()
    try:
        return UUID(value)
    except ValueError:
        raise click.BadParameter(
            f"{value!r:.80} is no GUID; leave the option out to get a new one"
        ) from None


def _folder(_context: click.Context, _parameter: click.Parameter, value: str) -> Path:
    """Return a folder that is there."""
    path = Path(value)
    if not value or not path.is_dir():
        raise click.BadParameter(f"{value!r} is no folder; make it, or give another one")
    return path


@click.command()
@click.argument("name", callback=_name)
@click.option(
    "-n",
    "--namespace",
    callback=_options.namespace,
    metavar="NAMESPACE",
    help="What it serves: name or number; a number of its own by default.",
)
@click.option(
    "--author",
    callback=_author,
    metavar="AUTHOR",
    help="Who writes it: name, or name <address>; by default the user.name of git.",
)
@click.option(
    "--directory",
    "parent",
    default=".",
    callback=_folder,
    metavar="FOLDER",
    help="Where to put the folder nspkit-NAME; here by default.",
)
@click.option("--guid", callback=_guid, metavar="GUID", help="Its GUID; a new one by default.")
@click.option("--json", "as_lines", is_flag=True, help="Write one JSON object.")
def new(
    *,
    name: str,
    namespace: Namespace | None,
    author: Author,
    parent: Path,
    guid: UUID,
    as_lines: bool,
) -> Status:
    """Begin a provider: write its package into nspkit-NAME.

    NAME is the short name of the provider: lower-case letters, digits, and dashes between them.
    The package is whole: it can be installed, found, tested with the conformance kit, built and
    published. It answers from a table in its settings; put your back end in its place.
    """
    package = Package(name, guid, namespace=namespace, author=author)
    folder = package.write(parent)
    _warn(package)
    page = standard_output()
    if as_lines:
        page.record(_record(package, folder))
        return Status.DONE
    page.line(Cell(folder, "bold"))
    for path in package.texts():
        write_indented(page, Cell(path), 4)
    page.line(Cell(f'next: cd {_quoted(folder)} && pip install -e ".[test]" && pytest'))
    return Status.DONE


def _warn(package: Package) -> None:
    """Say what the new provider has in common with an installed one: both would be refused."""
    for entry in Catalog.discover():
        if entry.name == package.name:
            complain(
                f"a provider '{entry.name}' is installed already, from {entry.distribution} "
                f"{entry.version}; while both are, neither is found by that name",
                style="yellow",
            )


def _quoted(folder: Path) -> str:
    from shlex import quote

    return quote(os.fspath(folder))


def _record(package: Package, folder: Path) -> dict[str, object]:
    info = package.info
    return {
        "name": package.name,
        "distribution": package.distribution,
        "module": package.module,
        "class": package.class_name,
        "guid": str(info.guid),
        "namespace": info.namespace.name,
        "folder": str(folder),
        "files": list(package.texts()),
    }
