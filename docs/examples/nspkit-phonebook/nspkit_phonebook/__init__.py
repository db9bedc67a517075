"""People and their numbers from a vCard file, as an nspkit provider."""

from __future__ import annotations

import os
import re
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nspkit import LookupFlags, ProviderInfo, Service, hookimpl
from nspkit.errors import (
    InvalidArgumentError,
    NoDataError,
    NotReadyError,
    NspError,
    ServiceNotFoundError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from nspkit import Cancellation, Query

__all__ = ["PERSON", "PhonebookProvider"]

PERSON = uuid.UUID("c40e6edc-ca64-4d5d-9bae-2696917ac184")
"""The service class of everything that is found: a person."""

_KEPT = {"TEL": "tel", "EMAIL": "email"}
_ESCAPED = re.compile(r"\\(.)")


class PhonebookProvider:
    """Answers names of people from one file, which is read again when it has changed."""

    info = ProviderInfo(
        "8c8928e9-2cec-4040-89bd-b0bdebf6102b",
        "phonebook",
        2357799145,  # a private namespace, made from the GUID
        "1.0.0",
    )

    _path: Path
    _read: tuple[tuple[int, ...], tuple[Service, ...]]

    @hookimpl
    def nsp_startup(self, settings: Mapping[str, Any]) -> None:
        """Read the file for the first time, so that a missing one is known at once."""
        self._path = _path_in(settings)
        self._read = _read(self._path)

    @hookimpl
    def nsp_cleanup(self) -> None:
        """Give nothing back: the file is not kept open, the people go with the instance."""

    @hookimpl
    def nsp_lookup_service(self, query: Query, cancellation: Cancellation) -> Iterator[Service]:
        """Find the people of a name or, without one, everybody."""
        if LookupFlags.CONTAINERS in query.flags:
            raise NoDataError("a phone book has no containers; look up without CONTAINERS")
        if query.service_class not in (None, PERSON):
            raise ServiceNotFoundError(
                f"a phone book knows people only, nothing of the class {query.service_class}"
            )
        asked = None if query.name is None else query.name.casefold()
        found = [one for one in self._people() if asked in (None, one.name.casefold())]
        if not found:
            raise ServiceNotFoundError(f"{self._path} has nobody called {query.name!r:.100}")
        for person in found:
            if cancellation.cancelled:
                return  # nobody waits any more
            yield person

    def _people(self) -> tuple[Service, ...]:
        """Return who is in the file as it is now."""
        # Lookups run on several threads. Version and people are one value, so that no thread sees
        # the one without the other; that two threads may both read a new file harms nobody.
        version, people = self._read
        try:
            is_new = _version_of(self._path.stat()) != version
        except OSError as error:
            raise _unreadable(self._path, error) from error
        if is_new:
            self._read = _version, people = _read(self._path)
        return people


def _path_in(settings: Mapping[str, Any]) -> Path:
    unknown = sorted(map(repr, settings.keys() - {"path"}))
    if unknown:
        raise InvalidArgumentError(
            f"phonebook has no setting {', '.join(unknown)}; the one it has is 'path'"
        )
    if "path" not in settings:
        raise NotReadyError("phonebook has no file; set 'path' to that of a vCard file")
    path = settings["path"]
    if not isinstance(path, (str, os.PathLike)) or not os.fspath(path):
        raise InvalidArgumentError(
            f"the setting 'path' of phonebook is {path!r:.60}: give the path of a vCard file"
        )
    return Path(path).absolute()


def _read(path: Path) -> tuple[tuple[int, ...], tuple[Service, ...]]:
    """Return which version of the file this is, and who is in it."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            # Before the text: if it changes in between, the next lookup reads it again.
            version = _version_of(os.fstat(file.fileno()))
            text = file.read()
        return version, tuple(_people_in(text))
    except (OSError, UnicodeError, NspError) as error:
        raise _unreadable(path, error) from error


def _version_of(found: os.stat_result) -> tuple[int, ...]:
    return found.st_mtime_ns, found.st_size, found.st_ino


def _unreadable(path: Path, error: Exception) -> NotReadyError:
    return NotReadyError(
        f"the phone book '{path}' cannot be read: {error}; put it there as UTF-8, or name another "
        "one with the setting 'path'"
    )


def _people_in(text: str) -> Iterator[Service]:
    """Yield a service for each card that has a name, in the order of the file."""
    card: dict[str, str] = {}
    # A line that begins with white space continues the one before (RFC 6350, 3.2).
    for line in re.sub(r"\r?\n[ \t]", "", text).splitlines():
        key, colon, value = line.partition(":")
        # The key may have a group before it, as in item1.TEL, and parameters behind it.
        key = key.partition(";")[0].rpartition(".")[2].strip().upper()
        if key == "BEGIN":
            card = {}
        elif key == "END":
            name = card.pop("FN", "")
            if name:
                yield Service(name, service_class=PERSON, attributes=card)
            card = {}
        elif colon and (key == "FN" or key in _KEPT):
            # The first of each counts.
            card.setdefault(_KEPT.get(key, key), _unescaped(value))


def _unescaped(value: str) -> str:
    plain = _ESCAPED.sub(lambda found: "\n" if found[1] in "nN" else found[1], value.strip())
    return plain.removeprefix("tel:")
