"""Entry points of installed distributions, found by reading as little as possible.

Python's own `importlib.metadata.entry_points` opens and parses every distribution there is. Here
an ``entry_points.txt`` is parsed only where the text of the group occurs in it, and a name and a
version are read only when somebody asks. The answer is the same: what comes first on the path
hides a later distribution of that name. What differs is the conduct on broken metadata, which
makes an entry that says so here, and ends the whole search there.

Entry points: https://packaging.python.org/en/latest/specifications/entry-points/
"""

# ruff: noqa: PTH116, PTH118, PTH119, PTH122, PTH123
# Paths stay strings here: pathlib would take a good part of the time that this file saves.

from __future__ import annotations

import importlib
import os
import re
import sys
from importlib.machinery import PathFinder
from stat import S_ISDIR
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from importlib.metadata import Distribution
    from typing import Any

_FILE = "entry_points.txt"
_SUFFIXES = (".dist-info", ".egg-info")
_DOTTED = r"([^\W\d]\w*(?:\.[^\W\d]\w*)*)"
# Extras, in brackets, may follow by the specification; nobody has to look at them.
_VALUE = re.compile(rf"{_DOTTED}\s*(?::\s*{_DOTTED}\s*)?(?:\[[^]]*\]\s*)?")
_SEPARATORS = re.compile(r"[-_.]+")


class Found:
    """One entry point; nothing of it has been imported.

    Attributes:
        name: The name of the entry point; of broken metadata, that of the distribution.
        value: What it points to, such as ``"package.module:attribute"``; empty if unreadable.
        location: The folder with the metadata of its distribution, or the archive that it is in.
        error: Why it cannot be loaded, or ``None``.
    """

    __slots__ = ("_distribution", "_version", "error", "location", "name", "value")

    def __init__(self, name: str, value: str, *, location: str, error: str | None = None) -> None:
        """Describe an entry point; its distribution is read when it is asked for."""
        self.name = name
        self.value = value
        self.location = location
        self.error = error
        self._distribution: str | None = None
        self._version: str | None = None

    @property
    def distribution(self) -> str:
        """The name of the distribution, as its metadata spell it."""
        if self._distribution is None:
            self._distribution, self._version = _identity(self.location)
        return self._distribution

    @property
    def version(self) -> str:
        """The version of the distribution; empty where the metadata lack it."""
        if self._version is None:
            self._distribution, self._version = _identity(self.location)
        return self._version

    def __repr__(self) -> str:
        return f"Found({self.name!r}, {self.value!r}, location={self.location!r})"


def find_entry_points(group: str, path: Sequence[str] | None = None) -> list[Found]:
    """Find the entry points of a group, in the order of their names; nothing is imported.

    Args:
        group: The name of the group, such as ``"nspkit.providers"``.
        path: Folders and archives to search instead of what Python imports from.
    """
    search = _Search(group)
    if path is not None:
        search.entries(path)
    else:
        for finder in list(sys.meta_path):
            # Another finder (of a frozen program, of a backport) may know distributions too.
            if finder is PathFinder:
                search.entries(sys.path)
            else:
                search.finder(finder)
    search.found.sort(key=lambda found: (found.name, found.location))
    return search.found


def load(found: Found) -> Any:
    """Import the module of an entry point and return what it points to.

    Raises:
        ImportError: The metadata are broken. Whatever the module raises passes through.
    """
    match = _VALUE.fullmatch(found.value)
    if found.error is not None or match is None:
        raise ImportError(found.error or f"{found.value!r} is not 'module:attribute'")
    target = importlib.import_module(match[1])
    for attribute in match[2].split(".") if match[2] else ():
        target = getattr(target, attribute)
    return target


class _Search:
    """One search: what was found, and which distributions and folders were seen already."""

    __slots__ = ("_group", "_names", "_needle", "_places", "found")

    def __init__(self, group: str) -> None:
        self.found: list[Found] = []
        self._group = group
        self._needle = group.encode()
        self._names: set[str] = set()
        self._places: set[tuple[int, int]] = set()

    def entries(self, path: Iterable[object]) -> None:
        """Search entries of ``sys.path``; one that Python cannot import from is passed over."""
        for entry in path:
            # Python's import system, too, looks at nothing but strings.
            if not isinstance(entry, str):
                continue
            try:
                status = os.stat(entry or ".")
            except (OSError, ValueError):
                continue
            place = (status.st_dev, status.st_ino)
            # One folder under two names (lib and lib64) is read once.
            if place in self._places and status.st_ino:
                continue
            self._places.add(place)
            # An ".egg" folder keeps its metadata in another place: rare, so not worth code here.
            if S_ISDIR(status.st_mode) and not entry.lower().endswith(".egg"):
                self._folder(entry or ".")
            else:
                self._standard(PathFinder, entry, path=[entry])

    def finder(self, finder: object) -> None:
        """Search what another finder of ``sys.meta_path`` knows."""
        if hasattr(finder, "find_distributions"):
            self._standard(finder, getattr(finder, "__name__", type(finder).__name__))

    def _folder(self, folder: str) -> None:
        try:
            with os.scandir(folder) as children:
                names = [child.name for child in children]
        except OSError:
            return
        for name in names:
            # What pip could not remove it leaves behind under a name that begins with "~".
            if name.lower().endswith(_SUFFIXES) and not name.startswith("~"):
                stem = _normalised(name[: -len(_SUFFIXES[0])].partition("-")[0])
                if stem not in self._names:
                    self._names.add(stem)
                    self._information(os.path.join(folder, name))

    def _information(self, location: str) -> None:
        """Search one metadata folder."""
        try:
            with open(f"{location}/{_FILE}", "rb", buffering=0) as file:
                data = file.readall()
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            self._report(location, f"{_FILE} cannot be read: {error.strerror}")
            return
        if self._needle in data:
            try:
                text = data.decode()
            except UnicodeDecodeError as error:
                self._report(location, f"{_FILE} is not UTF-8, at byte {error.start}")
                return
            self.found += _parse(text, self._group, location)

    def _standard(self, finder: Any, location: str, path: list[str] | None = None) -> None:
        """Search by the standard library's means, which know archives and other finders."""
        from importlib.metadata import DistributionFinder as Finder

        try:
            context = Finder.Context() if path is None else Finder.Context(path=path)
            for distribution in finder.find_distributions(context):
                self._distribution(distribution, location)
        except Exception as error:
            self._report(location, f"its distributions cannot be listed: {error}")

    def _distribution(self, distribution: Distribution, location: str) -> None:
        try:
            text = distribution.read_text(_FILE) or ""
            headers: Any = distribution.metadata
            name, version = (headers.get(key, "") for key in ("Name", "Version"))
        except Exception as error:
            self._report(location, f"a distribution in it cannot be read: {error}")
            return
        if _normalised(name) not in self._names:
            self._names.add(_normalised(name))
            for found in _parse(text, self._group, location):
                found._distribution, found._version = name, version
                self.found.append(found)

    def _report(self, location: str, problem: str) -> None:
        """List broken metadata under the name of what they belong to."""
        name = _identity(location)[0]
        error = f"the metadata of '{name}' in {location} are broken: {problem}; reinstall it"
        self.found.append(Found(name, "", location=location, error=error))


def _parse(text: str, group: str, location: str) -> list[Found]:
    """Return the entry points of one group; a malformed line makes one with an error."""
    found = []
    inside = False
    for number, raw in enumerate(text.splitlines(), start=1):
        line = raw.strip()
        if line.startswith("[") and line.endswith("]"):
            inside = line.strip("[]") == group
        elif inside and line and not line.startswith("#"):
            name, equals, value = (part.strip() for part in line.partition("="))
            error = None
            if not (name and equals and _VALUE.fullmatch(value)):
                error = (
                    f"line {number} of {_FILE} in {location} is {line!r}, "
                    "not 'name = module:attribute'; reinstall its distribution"
                )
            found.append(Found(name, value, location=location, error=error))
    return found


def _normalised(name: str) -> str:
    """Return a name in lower case and with its separators alike, as installers compare names."""
    return _SEPARATORS.sub("_", name.lower())


def _identity(location: str) -> tuple[str, str]:
    """Read name and version of a distribution; the name of its folder stands in for both."""
    stem, suffix = os.path.splitext(os.path.basename(location))
    name, _, version = (stem if suffix.lower() in _SUFFIXES else stem + suffix).partition("-")
    for file_name in ("METADATA", "PKG-INFO"):
        try:
            with open(f"{location}/{file_name}", encoding="utf-8", errors="replace") as file:
                headers = _headers(file)
        except OSError:
            continue
        return headers.get("name", name), headers.get("version", version)
    return name, version


def _headers(lines: Iterable[str]) -> dict[str, str]:
    """Return the first value of each header; a description, which may be long, is not read."""
    headers: dict[str, str] = {}
    for line in lines:
        if not line.strip():
            break
        key, _, value = line.partition(":")
        headers.setdefault(key.lower(), value.strip())
    return headers
