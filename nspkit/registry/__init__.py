"""What every registry of services has in common, for providers that keep one in an engine."""

from __future__ import annotations

from nspkit import Namespace
from nspkit.registry._keys import EVERYTHING, Key, Scope, key_at, key_at_name
from nspkit.registry._store import ANYTHING, Entry, Gone, Mark, Store

__all__ = [
    "ANYTHING",
    "EVERYTHING",
    "Entry",
    "Gone",
    "Key",
    "Mark",
    "REGISTRY",
    "Scope",
    "Store",
    "key_at",
    "key_at_name",
]

#: The namespace of registries, a private one: none of Winsock's is a registry of services.
REGISTRY = Namespace(21329)
