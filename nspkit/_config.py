"""The file of settings, ``nspkit.toml``: which providers, in which order, with which settings.

::

    order = ["hosts", "dns"]
    disabled = ["system"]

    [providers.dns]
    server = "127.0.0.1"

It is read whole and checked whole before anything is changed; whatever is wrong names the file,
the line and the key.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from nspkit.errors import ConfigurationError, InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any, NoReturn

    from nspkit._catalog import Catalog
    from nspkit._entry import CatalogEntry

    Path = tuple[str | int, ...]

_KEYS = ("order", "disabled", "providers")


class Config:
    """What a file of settings says.

    Attributes:
        file: The file, as it was given.
        order: Short names of the providers that come first, in this order.
        disabled: Short names of the providers that are not to be used.
        providers: The settings of providers, by short name.
    """

    __slots__ = ("_lines", "disabled", "file", "order", "providers")

    def __init__(self, file: str, data: Mapping[str, Any], lines: Mapping[Path, int]) -> None:
        """Check what was read from a file.

        Raises:
            ConfigurationError: A key, a type or a name is wrong (WSAEINVAL 10022).
        """
        self.file = file
        self._lines = lines
        for key in data:
            if key not in _KEYS:
                self.refuse((key,), f"there is no such key; there are {', '.join(_KEYS)}")
        self.order = self._names(data, "order")
        self.disabled = self._names(data, "disabled")
        self.providers = self._settings(data.get("providers", {}))

    def refuse(self, path: Path, problem: str) -> NoReturn:
        """Raise the error for what stands at a path of keys and positions."""
        raise ConfigurationError(
            problem,
            file=self.file,
            line=next((self._lines[p] for p in _upwards(path) if p in self._lines), None),
            key=".".join(part for part in path if isinstance(part, str)) or None,
        )

    def _names(self, data: Mapping[str, Any], key: str) -> tuple[str, ...]:
        names = data.get(key, [])
        if not isinstance(names, list):
            self.refuse((key,), f"it is {_kind(names)}; write a list of short names")
        for position, name in enumerate(names):
            if not isinstance(name, str):
                self.refuse((key, position), f"{name!r} is {_kind(name)}; write a short name")
            if name in names[:position]:
                self.refuse((key, position), f"'{name}' is there twice; name each provider once")
        return tuple(names)

    def _settings(self, providers: Any) -> dict[str, dict[str, Any]]:
        form = "write a table, [providers.NAME]"
        if not isinstance(providers, dict):
            self.refuse(("providers",), f"it is {_kind(providers)}; {form}")
        for name, settings in providers.items():
            if not isinstance(settings, dict):
                self.refuse(("providers", name), f"it is {_kind(settings)}; {form}")
        return providers


def read(path: str | os.PathLike[str]) -> Config:
    """Read a file of settings.

    Raises:
        ConfigurationError: The file is missing, cannot be read, or is wrong (WSAEINVAL 10022).
    """
    file = os.fspath(path)
    try:
        with open(file, "rb") as stream:  # noqa: PTH123 - the path stays as it was given
            raw = stream.read()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigurationError(f"it cannot be read: {reason}", file=file) from error
    try:
        # Some editors put a byte order mark before it, which TOML does not know.
        text = raw.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigurationError(
            "it is not UTF-8; save it as UTF-8", file=file, line=line
        ) from None
    return _parsed(file, text)


def apply(config: Config, catalog: Catalog) -> None:
    """Order a catalog and disable providers in it as a file says, or change nothing.

    Raises:
        ConfigurationError: A provider is not installed or named twice (WSAEINVAL 10022).
    """
    order = _entries(config, catalog, {("order", i): n for i, n in enumerate(config.order)})
    disabled = _entries(
        config, catalog, {("disabled", i): n for i, n in enumerate(config.disabled)}
    )
    _entries(config, catalog, {("providers", name): name for name in config.providers})
    if order:
        catalog.arrange(order)
    for entry in disabled:
        catalog.enable(entry, False)


def configured(
    path: str | os.PathLike[str], installed: Catalog | None
) -> tuple[Catalog, dict[str, dict[str, Any]]]:
    """Return a catalog arranged as a file says, and the settings of those that are enabled.

    ``installed`` is copied; with None it is discovered.

    Raises:
        ConfigurationError: The file is missing or wrong (WSAEINVAL 10022).
    """
    from nspkit._catalog import Catalog

    config = read(path)
    catalog = Catalog.discover() if installed is None else installed.copy()
    apply(config, catalog)
    # A host would refuse settings under the GUID of one that it does not know.
    used = {name: own for name, own in config.providers.items() if catalog[name].enabled}
    return catalog, used


def _entries(config: Config, catalog: Catalog, names: dict[Path, str]) -> list[CatalogEntry]:
    entries: list[CatalogEntry] = []
    for path, name in names.items():
        try:
            entry = catalog[name]
        except InvalidArgumentError as error:
            config.refuse(path, error.message)
        # By GUID and by short name, for instance.
        if entry in entries:
            config.refuse(path, f"'{name}' is '{entry.name}' again; name each provider once")
        entries.append(entry)
    return entries


def _parsed(file: str, text: str) -> Config:
    from tomllib import loads

    places = _Places(text)
    try:
        data = loads(text)
    except RecursionError:
        raise ConfigurationError("it is nested too deeply", file=file) from None
    except ValueError as error:
        # What TOML's reader says ends with the place, which is told in nspkit's own way here.
        message, _, place = str(error).partition(" (at ")
        number = re.match(r"line (\d+)", place)
        line = int(number[1]) if number else text.rstrip("\n").count("\n") + 1
        key = places.key_at(line)
        raise ConfigurationError(
            f"it is no TOML: {message}", file=file, line=line, key=key
        ) from None
    return Config(file, data, places.lines)


def _upwards(path: Path) -> Iterator[Path]:
    for length in range(len(path), 0, -1):
        yield path[:length]


def _kind(value: object) -> str:
    # bool before int, which it is as well.
    kinds = {dict: "table", list: "array", str: "string", bool: "boolean", int: "integer"}
    found = next((kinds[kind] for kind in kinds if isinstance(value, kind)), type(value).__name__)
    return f"{'an' if found[0] in 'aeiou' else 'a'} {found}"


_TOKEN = re.compile(
    r"""
    \#[^\n]* | [ \t]+                                    # nothing that matters
    | \"{3} (?:\\.|[^\\])*? \"{3}(?!\") | '{3} .*? '{3}(?!')   # strings of several lines
    | "(?:\\.|[^"\\\n])*" | '[^'\n]*'                    # strings
    | [^\s\#"'=,.\[\]{}]+                                # bare keys, numbers
    | .                                                  # what separates, and what is wrong
    """,
    re.VERBOSE | re.DOTALL,
)


class _Places:
    """Finds the line of every key and of every item of an array, in a text that may be wrong.

    Python's reader of TOML tells no lines for what it has read.
    """

    def __init__(self, text: str) -> None:
        self.lines: dict[Path, int] = {}
        self._spans: list[tuple[int, int, Path]] = []
        self._table: Path = ()
        self._key: Path = ()
        self._depth = self._position = 0
        self._step = self._at_start
        self._line = self._start = 1
        for match in _TOKEN.finditer(text):
            token = match[0]
            if token[0] not in " \t#":
                self._step = self._step(token)
            self._line += token.count("\n")
        self._end()

    def key_at(self, line: int) -> str | None:
        """Return the key of the statement that a line belongs to."""
        for first, last, path in self._spans:
            if first <= line <= last:
                return ".".join(map(str, path)) or None
        return None

    def _at_start(self, token: str) -> Any:
        if token == "\n":
            return self._at_start
        self._start = self._line
        self._key = ()
        return self._in_header if token == "[" else self._in_key(token)

    def _in_header(self, token: str) -> Any:
        if token == "]":
            self._table = ()
            self._record()
            self._table = self._key
            return self._in_value
        return self._in_part(token, self._in_header)

    def _in_key(self, token: str) -> Any:
        if token == "=":
            self._record()
            return self._in_value
        return self._in_part(token, self._in_key)

    def _in_value(self, token: str) -> Any:
        if token == "\n" and self._depth <= 0:
            self._end()
            return self._at_start
        if token in "]}":
            self._depth -= 1
        elif self._depth == 1 and token == ",":
            self._position += 1
        elif self._depth == 1 and token != "\n":
            self.lines.setdefault((*self._key, self._position), self._line)
        if token in "[{":
            self._depth += 1
        return self._in_value

    def _in_part(self, token: str, step: Any) -> Any:
        """Take one part of a key; a line that ends in the middle of one is wrong."""
        if token == "\n":
            self._end()
            return self._at_start
        if token not in "[.":
            self._key += (token.strip("\"'"),)
        return step

    def _record(self) -> None:
        """Note where a key is, and the tables that it makes by being there."""
        self._key = self._table + self._key
        self._depth = self._position = 0
        for path in _upwards(self._key):
            self.lines.setdefault(path, self._start)

    def _end(self) -> None:
        self._spans.append((self._start, self._line, self._key))
