"""The settings: those of all registries, and that a user has a password."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nspkit import registry
from nspkit.errors import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Mapping

PORT = 2379
"""Where etcd listens for clients."""


def settings_in(given: Mapping[str, Any]) -> registry.Settings:
    """Return the settings, with the defaults for what is not given.

    Raises:
        NotReadyError: ``endpoints`` is missing (WSASYSNOTREADY 10091).
        InvalidArgumentError: One is unknown or not acceptable (WSAEINVAL 10022).
    """
    settings = registry.settings_in(given, "etcd", port=PORT)
    if (settings.user is None) != (settings.password is None):
        raise InvalidArgumentError(
            "etcd has one of the settings 'user' and 'password' only: give both, or none"
        )
    return settings
