"""A provider package that is written anew: what goes into its files, and how they come to be.

The texts are in the folder ``templates``, a file for each file of the package.
"""

from __future__ import annotations

import contextlib
import json
import os
from typing import TYPE_CHECKING

import click

from nspkit import ProviderInfo, __version__
from nspkit.cli._options import wrong_use
from nspkit.cli._status import Status
from nspkit.errors import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from uuid import UUID

    from nspkit import Namespace

_FILES = {
    "LICENSE": "LICENSE",
    "README.md": "README.md",
    "pyproject.toml": "pyproject.toml",
    ".gitignore": "gitignore",
    ".github/workflows/test.yml": "test.yml",
    "{module}/__init__.py": "provider.py",
    "{module}/py.typed": "py.typed",
    "tests/test_{module}.py": "test_provider.py",
}
"""The files of a package, and the template of each."""


class UnwritablePackageError(click.ClickException):
    """A package that cannot be written, because a disk is full for instance."""

    exit_code = Status.FAILED


class Package:
    """A provider package: all that its files say is known, and nothing is written yet.

    Args:
        name: The short name of the provider, checked.
        guid: Its GUID.
        namespace: What it serves; by default a private number, made from the GUID.
        author: Who has written it: a name, and an address for mail, as far as they are known.

    Raises:
        click.UsageError: No package can be made from these; the message says what can.
    """

    def __init__(
        self,
        name: str,
        guid: UUID,
        *,
        namespace: Namespace | None,
        author: tuple[str | None, str | None],
    ) -> None:
        self.name = name
        self.distribution = f"nspkit-{name}"
        self.module = self.distribution.replace("-", "_")
        self.class_name = "".join(part.capitalize() for part in name.split("-")) + "Provider"
        self.author, self.address = author
        # Far beyond Winsock's numbers, and as much its own as the GUID is.
        served = guid.time_low | 0x8000_0000 if namespace is None else namespace
        try:
            # What nspkit will not take later is refused now.
            self.info = ProviderInfo(guid, name, served, "0.1.0")
        except InvalidArgumentError as error:
            names = {
                "ProviderInfo.guid": "--guid",
                "ProviderInfo.name": "NAME",
                "ProviderInfo.namespace": "--namespace",
            }
            raise wrong_use(error, names) from None

    def texts(self) -> dict[str, str]:
        """Return the files: the path of each inside the package's folder, and its text."""
        # Here: no other command needs it.
        from jinja2 import Environment, PackageLoader, StrictUndefined

        environment = Environment(
            loader=PackageLoader("nspkit.cli", "templates"),
            undefined=StrictUndefined,  # a misspelt name is an error, not an empty place
            autoescape=False,  # it makes no HTML
            keep_trailing_newline=True,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        environment.filters["toml"] = _as_toml
        values = self._values()
        return {
            path.format(module=self.module): environment.get_template(f"{template}.jinja").render(
                values
            )
            for path, template in _FILES.items()
        }

    def write(self, parent: Path) -> Path:
        """Write the folder of the package into another one, whole or not at all.

        Returns:
            The folder.

        Raises:
            click.UsageError: It is there already.
            UnwritablePackageError: It cannot be written.
        """
        folder = parent / self.distribution
        if os.path.lexists(folder):
            raise click.UsageError(
                f"{folder} is there already, and is left as it is; remove it, or write elsewhere "
                "with --directory"
            )
        texts = self.texts()
        # Beside it: only there is the last step a change of name.
        temporary = parent / f".{self.distribution}-{os.urandom(8).hex()}"
        try:
            try:
                for path, text in texts.items():
                    file = temporary / path
                    file.parent.mkdir(parents=True, exist_ok=True)
                    file.write_text(text, encoding="utf-8", newline="\n")
                temporary.rename(folder)
            finally:
                _remove(temporary)
        except OSError as error:
            raise UnwritablePackageError(
                f"{folder} cannot be written: {error.strerror or error}; write elsewhere with "
                "--directory"
            ) from None
        return folder

    def _values(self) -> Mapping[str, object]:
        from datetime import date

        served = self.info.namespace
        is_known = served.name in type(served).__members__
        return {
            "name": self.name,
            "distribution": self.distribution,
            "module": self.module,
            "class_name": self.class_name,
            "guid": str(self.info.guid),
            "namespace": f"Namespace.{served.name}" if is_known else str(served.value),
            "namespace_in_words": f"`{served.name}` ({served.value})",
            "is_known": is_known,
            "author": self.author,
            "address": self.address,
            "holder": self.author or f"the authors of {self.distribution}",
            "year": date.today().year,
            "requirement": requirement(__version__),
        }


def requirement(version: str) -> str:
    """Return which versions of nspkit a package asks for that was made with this one.

    Before 1.0 a minor version may break what the one before had, from then on a major one may.
    """
    major, minor = (int(part) for part in version.split(".")[:2])
    end = f"0.{minor + 1}" if major == 0 else str(major + 1)
    return f"nspkit>={major}.{minor},<{end}"


def _as_toml(text: str) -> str:
    """Return a text as a string of TOML; what prints is written there as in JSON."""
    return json.dumps(text, ensure_ascii=False)


def _remove(folder: Path) -> None:
    if folder.exists():
        from shutil import rmtree

        with contextlib.suppress(OSError):
            rmtree(folder)
