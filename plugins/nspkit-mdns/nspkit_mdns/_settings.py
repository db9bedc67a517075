"""The settings: which interfaces, how long to listen, and what becomes of a name that is taken."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from nspkit.errors import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Mapping

_NAMES = ("interfaces", "timeout", "browse_time", "conflict")
_CONFLICTS = ("error", "rename")
_SHORTEST, _LONGEST = 0.1, 3600.0


class Settings(NamedTuple):
    """What an application set, checked.

    Attributes:
        interfaces: Names or addresses of interfaces, sorted; None for every one, over IPv4.
        timeout: How long a lookup waits for a name that nobody answers for, in seconds.
        browse_time: How long a lookup of all instances of a type listens, in seconds.
        rename: Whether a service whose name is taken gets another one, instead of an error.
    """

    interfaces: tuple[str, ...] | None
    timeout: float
    browse_time: float
    rename: bool


def settings_in(given: Mapping[str, Any]) -> Settings:
    """Return the settings, with the defaults for what is not given.

    Raises:
        InvalidArgumentError: One is unknown or not acceptable (WSAEINVAL 10022).
    """
    unknown = sorted(map(repr, given.keys() - set(_NAMES)))
    if unknown:
        raise InvalidArgumentError(
            f"mdns has no setting {', '.join(unknown)}; there are {', '.join(_NAMES)}"
        )
    conflict = given.get("conflict", "error")
    if conflict not in _CONFLICTS:
        raise InvalidArgumentError(
            f"the setting 'conflict' of mdns is {conflict!r:.60}: give 'error' or 'rename'"
        )
    return Settings(
        interfaces=_interfaces(given["interfaces"]) if "interfaces" in given else None,
        timeout=_seconds("timeout", given.get("timeout", 3.0)),
        browse_time=_seconds("browse_time", given.get("browse_time", 3.0)),
        rename=conflict == "rename",
    )


def _interfaces(value: object) -> tuple[str, ...]:
    right = isinstance(value, list | tuple) and all(
        isinstance(one, str) and one and "\0" not in one for one in value
    )
    if not right or not value:
        raise InvalidArgumentError(
            f"the setting 'interfaces' of mdns is {value!r:.60}: give a list of names or addresses "
            "of interfaces, such as ['eth0', '127.0.0.1'], or leave it out for all"
        )
    return tuple(sorted(set(value)))  # type: ignore[call-overload]  # a list or tuple of str


def _seconds(name: str, value: object) -> float:
    right = isinstance(value, int | float) and not isinstance(value, bool)
    if right and _SHORTEST <= value <= _LONGEST:  # type: ignore[operator]
        return float(value)  # type: ignore[arg-type]
    raise InvalidArgumentError(
        f"the setting {name!r} of mdns is {value!r:.60}: give seconds from {_SHORTEST:g} to "
        f"{_LONGEST:g}"
    )
