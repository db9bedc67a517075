"""Where in etcd what is: services by class, the same by name, and schemas."""

from __future__ import annotations

from base64 import b64encode
from binascii import a2b_base64
from typing import TYPE_CHECKING, Any, NamedTuple

from nspkit.registry import Entry, Key, key_at, key_at_name

if TYPE_CHECKING:
    from uuid import UUID

    from nspkit.registry import Scope

VERSION = 1
"""Of this layout; it is in every key, so that another never takes this one's for its own."""


def encoded(data: bytes) -> str:
    """Return bytes as JSON has them."""
    return b64encode(data).decode()


def decoded(message: dict[str, Any], member: str) -> bytes:
    """Return the bytes of a member; a missing one is empty."""
    return a2b_base64(message.get(member, ""))  # b64decode takes thrice as long for what is short


class Range(NamedTuple):
    """A range of keys.

    Attributes:
        start: The first that can be in it.
        end: The first that cannot be in it any more.
        by_name: Whether they are those of the names, which have no records.
    """

    start: bytes
    end: bytes
    by_name: bool

    def message(self) -> dict[str, Any]:
        """Return it as a part of a request."""
        return {"key": encoded(self.start), "range_end": encoded(self.end)}


class Layout:
    """The keys below one prefix."""

    def __init__(self, prefix: str) -> None:
        """Have all keys begin with ``prefix``, which ends before the first ``/`` of one's own."""
        top = f"{prefix}/{VERSION}/".encode()
        self.probe = top + b"probe"
        self._services = top + b"service/"
        self._names = top + b"name/"
        self._classes = top + b"class/"

    def service(self, key: Key) -> bytes:
        """Return where the record of an instance is."""
        return self._services + key.path().encode()

    def name(self, key: Key) -> bytes:
        """Return where it is among the names; its value says by which put it got there."""
        return self._names + key.name_path().encode()

    def schema(self, class_id: UUID) -> bytes:
        """Return where a schema is."""
        return self._classes + str(class_id).encode()

    def range(self, scope: Scope) -> Range:
        """Return the keys that a scope can cover, and few more."""
        key = scope.exact()
        if key is not None:
            only = self.service(key)
            return Range(only, only + b"\0", by_name=False)
        parts = Key(scope.class_id, scope.context, scope.name or "any").path().split("/")
        class_text, context, name = parts
        if scope.class_id is None:  # then the context comes too late to be of use
            within = ""
        elif not scope.deep:
            within = f"{class_text}/{context}/"
        else:
            within = f"{class_text}/{context if scope.context else ''}"
        if scope.name is None:
            return _prefixed(self._services + within.encode(), by_name=False)
        return _prefixed(self._names + f"{name}/{within}".encode(), by_name=True)

    def key_of(self, where: bytes) -> Key | None:
        """Return whose record, or name, is there; None if it is nobody's."""
        try:
            if where.startswith(self._services):
                return key_at(where[len(self._services) :].decode("ascii"))
            if where.startswith(self._names):
                return key_at_name(where[len(self._names) :].decode("ascii"))
        except ValueError:
            pass  # somebody else has put it there
        return None

    def entry_of(self, message: dict[str, Any]) -> Entry | None:
        """Return the entry of a record; None for what is no record."""
        key = self.key_of(decoded(message, "key"))
        if key is None:
            return None
        return Entry(key, decoded(message, "value"), int(message["mod_revision"]))


def _prefixed(prefix: bytes, *, by_name: bool) -> Range:
    # All prefixes end with a character of ASCII, which has a next one.
    return Range(prefix, prefix[:-1] + bytes([prefix[-1] + 1]), by_name=by_name)
