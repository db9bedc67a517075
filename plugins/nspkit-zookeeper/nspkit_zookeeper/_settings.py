"""The settings: those of all registries, and how long a session outlives its process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nspkit.registry import refused, seconds_in, settings_in

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nspkit.registry import Settings

_NAME = "zookeeper"
_PORT = 2181
_SESSION_TIMEOUT = 10.0
_SHORTEST = 1.0


def zookeeper_settings(given: Mapping[str, Any]) -> Settings:
    """Return the settings; nothing is opened.

    Raises:
        NotReadyError: ``endpoints`` is missing (WSASYSNOTREADY 10091).
        InvalidArgumentError: One is unknown or not acceptable (WSAEINVAL 10022).
    """
    checked = settings_in(given, _NAME, port=_PORT, more=("session_timeout",))
    session_timeout_in(checked)
    if checked.prefix.partition("/")[0] == "zookeeper":
        raise refused(_NAME, "prefix", checked.prefix, "that node is ZooKeeper's own; give another")
    if checked.password is not None and checked.user is None:
        raise refused(_NAME, "user", None, "a password is of use with a user only; give one")
    if checked.user is not None and ":" in checked.user:
        raise refused(_NAME, "user", checked.user, "ZooKeeper ends a user's name at ':'; give one "
                      "without")  # fmt: skip
    return checked


def session_timeout_in(settings: Settings) -> float:
    """Return how long a server waits for a silent client before it ends its session, in seconds.

    Raises:
        InvalidArgumentError: It is not acceptable (WSAEINVAL 10022).
    """
    value = settings.more.get("session_timeout", _SESSION_TIMEOUT)
    return seconds_in(_NAME, "session_timeout", value, least=_SHORTEST)
