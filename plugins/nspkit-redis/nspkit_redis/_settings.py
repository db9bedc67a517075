"""The settings: those of all registries, a database, and how often a watch asks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from nspkit.registry import refused, seconds_in, settings_in

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nspkit.registry import Settings

PORT = 6379
_LAST = 1_000_000


class RedisSettings(NamedTuple):
    """What an application set, checked.

    Attributes:
        common: What all registries have.
        database: The number of the database.
        interval: How often a watch asks whether it has missed something, in seconds.
    """

    common: Settings
    database: int
    interval: float


def redis_settings_in(given: Mapping[str, Any]) -> RedisSettings:
    """Return the settings, with the defaults for what is not given.

    Raises:
        NotReadyError: ``endpoints`` is missing (WSASYSNOTREADY 10091).
        InvalidArgumentError: One is unknown or not acceptable (WSAEINVAL 10022).
    """
    common = settings_in(given, "redis", port=PORT, more=("database", "interval"))
    database = given.get("database", 0)
    if type(database) is not int or not 0 <= database <= _LAST:
        raise refused("redis", "database", database, "give its number, which begins at 0")
    interval = seconds_in("redis", "interval", given.get("interval", 1.0), least=0.01)
    return RedisSettings(common, database, interval)
