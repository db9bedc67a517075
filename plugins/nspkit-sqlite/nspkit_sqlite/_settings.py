"""The settings: where the file is, and how long to wait for others."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from nspkit.errors import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Mapping

_NAMES = ("path", "busy_timeout", "interval")
_LONGEST = 3600.0


class Settings(NamedTuple):
    """What an application set, checked.

    Attributes:
        path: The file, absolute.
        busy_timeout: How long to wait for a file that others have locked, in seconds.
        interval: How often a watch looks whether the file has changed, in seconds.
    """

    path: Path
    busy_timeout: float
    interval: float


def settings_in(given: Mapping[str, Any]) -> Settings:
    """Return the settings, with the defaults for what is not given.

    Raises:
        InvalidArgumentError: One is unknown or not acceptable (WSAEINVAL 10022).
    """
    unknown = sorted(map(repr, given.keys() - set(_NAMES)))
    if unknown:
        raise InvalidArgumentError(
            f"sqlite has no setting {', '.join(unknown)}; there are {', '.join(_NAMES)}"
        )
    return Settings(
        path=_path(given["path"]) if "path" in given else _default_path(),
        busy_timeout=_seconds("busy_timeout", given.get("busy_timeout", 5.0), least=0.0),
        interval=_seconds("interval", given.get("interval", 0.2), least=0.001),
    )


def _path(path: object) -> Path:
    path = os.fspath(path) if isinstance(path, os.PathLike) else path
    if not isinstance(path, str) or not path or "\0" in path:
        raise InvalidArgumentError(
            f"the setting 'path' of sqlite is {path!r:.60}: give the path of a file, "
            "as a str or an os.PathLike of one"
        )
    if path == ":memory:":
        raise InvalidArgumentError(
            "the setting 'path' of sqlite is ':memory:', which nobody else could read: give the "
            "path of a file"
        )
    return Path(path).absolute()  # a program may change its folder later


def _default_path() -> Path:
    from platformdirs import user_data_path

    return user_data_path("nspkit", appauthor=False) / "registry.db"


def _seconds(name: str, value: object, *, least: float) -> float:
    right = isinstance(value, int | float) and not isinstance(value, bool)
    if right and least <= value <= _LONGEST:  # type: ignore[operator]
        return float(value)  # type: ignore[arg-type]
    raise InvalidArgumentError(
        f"the setting {name!r} of sqlite is {value!r:.60}: give seconds from {least:g} to "
        f"{_LONGEST:g}"
    )
