"""What every registry of services has in common, for providers that keep one in an engine.

A registry keeps what is registered in some engine: a database, a coordination service. What the
calls mean is the same for all of them, and is here; what an engine has to do is a `Store`.
"""

from __future__ import annotations

from nspkit import Namespace
from nspkit.registry._conditions import Conditions, context_key, fits, proto_of
from nspkit.registry._keys import EVERYTHING, Key, Scope, key_at, key_at_name
from nspkit.registry._provider import RegistryProvider
from nspkit.registry._settings import (
    Endpoint,
    Secret,
    Settings,
    refused,
    seconds_in,
    settings_in,
)
from nspkit.registry._store import ANYTHING, Anything, Entry, Gone, Mark, Store

__all__ = [
    "ANYTHING",
    "Anything",
    "Conditions",
    "EVERYTHING",
    "Endpoint",
    "Entry",
    "Gone",
    "Key",
    "Mark",
    "REGISTRY",
    "RegistryProvider",
    "Scope",
    "Secret",
    "Settings",
    "Store",
    "context_key",
    "fits",
    "key_at",
    "key_at_name",
    "proto_of",
    "refused",
    "seconds_in",
    "settings_in",
]

#: The namespace of registries, a private one: none of Winsock's is a registry of services.
REGISTRY = Namespace(21329)
