"""What tells one instance from another, as text that any engine can use in a path."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote, unquote
from uuid import UUID

from nspkit import LookupFlags
from nspkit.errors import InvalidArgumentError
from nspkit.registry._conditions import context_key

if TYPE_CHECKING:
    from nspkit import Query, Service

_NONE = "-"  # no class, and the top of the contexts: neither can be mistaken for another
_DEEP = int(LookupFlags.DEEP)


class Key(NamedTuple):
    r"""One instance: a class, a context and a name, compared as they are.

    Attributes:
        class_id: The GUID of its class, or None.
        context: ``""`` is the top, every other ends with a backslash, such as ``a\b\``.
        name: Its name, never empty.
    """

    class_id: UUID | None
    context: str
    name: str

    def path(self) -> str:
        """Return it as ``class/context/name``, percent-encoded: letters, digits and ``-_~%.``.

        No part of it is empty, ``.`` or ``..``.
        """
        return f"{class_part(self.class_id)}/{context_part(self.context)}/{name_part(self.name)}"

    def name_path(self) -> str:
        """Return it as ``name/class/context``, encoded alike: what an index of names needs."""
        return f"{name_part(self.name)}/{class_part(self.class_id)}/{context_part(self.context)}"


def key_at(path: str) -> Key:
    """Return the key of a `Key.path`.

    Raises:
        ValueError: It is none, also where it only stands for one in another way: a key has one
            path, and what is under another could be found but not be got, put or removed.
    """
    class_text, context_text, name_text = path.split("/")
    name = unquote(name_text, errors="strict")
    if not name or "\0" in name or name_part(name) != name_text:
        raise ValueError(f"{name_text!r:.80} is not how a name is written")
    return Key(_class_at(class_text), _context_at(context_text), name)


def key_at_name(path: str) -> Key:
    """Return the key of a `Key.name_path`.

    Raises:
        ValueError: It is none.
    """
    name, class_text, context = path.split("/")
    return key_at(f"{class_text}/{context}/{name}")


@lru_cache(maxsize=1024)  # a browse reads one class again and again
def _class_at(part: str) -> UUID | None:
    class_id = None if part == _NONE else UUID(part)
    if class_part(class_id) != part:
        raise ValueError(f"{part!r:.80} is not how a class is written")
    return class_id


@lru_cache(maxsize=1024)
def _context_at(part: str) -> str:
    context = "" if part == _NONE else unquote(part, errors="strict")
    if "\0" in context or context_key(context) != context or context_part(context) != part:
        raise ValueError(f"{part!r:.80} is not how a context is written")
    return context


def class_part(class_id: UUID | None) -> str:
    """Return a class as a part of a path."""
    return _NONE if class_id is None else str(class_id)


def context_part(context: str) -> str:
    """Return a context, as a key has it, as a part of a path; prefixes stay prefixes."""
    return quote(context, safe="") if context else _NONE


def name_part(name: str) -> str:
    """Return a name as a part of a path."""
    text = quote(name, safe="")
    return text.replace(".", "%2E") if text in (".", "..") else text


def key_of(service: Service) -> Key:
    """Return the key that a service is registered under.

    Raises:
        InvalidArgumentError: It has no name (WSAEINVAL 10022).
    """
    if not service.name:
        raise InvalidArgumentError("a service without a name cannot be registered: give it one")
    return Key(service.service_class, context_key(service.context), service.name)


class Scope(NamedTuple):
    r"""Which instances are meant: what of a query the keys alone can answer.

    Attributes:
        class_id: Their class; None for any, and for none.
        name: Their name; None for any.
        context: Their context, as a key has it.
        deep: Whether also those in the contexts below.
    """

    class_id: UUID | None = None
    name: str | None = None
    context: str = ""
    deep: bool = True

    def covers(self, key: Key) -> bool:
        """Say whether an instance is one of them."""
        if self.class_id is not None and key.class_id != self.class_id:
            return False
        if self.name is not None and key.name != self.name:
            return False
        if self.deep:
            return key.context.startswith(self.context)
        return key.context == self.context

    def exact(self) -> Key | None:
        """Return the one key that is meant, if no other can be."""
        if self.class_id is None or self.name is None or self.deep:
            return None
        return Key(self.class_id, self.context, self.name)


EVERYTHING = Scope()
"""All instances."""


def scope_of(query: Query) -> Scope:
    """Return the scope of a query."""
    deep = bool(int(query.flags) & _DEEP)
    return Scope(query.service_class, query.name, context_key(query.context or ""), deep)
