"""What a query asks for beside class, context and name: which rows, and what is seen of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from nspkit import LookupFlags
from nspkit.errors import InvalidArgumentError, NoDataError
from nspkit_sqlite import _values
from nspkit_sqlite._values import ADDRESSES, ATTRIBUTES, ENDS_AT, LEASES, REGISTERED, VERSION

if TYPE_CHECKING:
    from nspkit import Query
    from nspkit_sqlite._values import Content, Row

_CONTAINERS = int(LookupFlags.CONTAINERS)
_DEEP = int(LookupFlags.DEEP)
UNUSUAL = _CONTAINERS | _DEEP
"""The flags that change what is found."""
_ANY = 0  # AF_UNSPEC, and no certain protocol


class Restrictions:
    """The restrictions of one query, taken apart."""

    __slots__ = (
        "_conditions",
        "_plain",
        "_protocols",
        "_version",
        "after",
        "class_id",
        "first",
        "name",
    )

    def __init__(self, query: Query) -> None:
        """Take a query apart.

        Raises:
            NoDataError: It asks for containers (WSANO_DATA 11004).
            InvalidArgumentError: Its query string is malformed (WSAEINVAL 10022).
        """
        flags = int(query.flags)  # an operation on flags costs more than everything else here
        if flags & _CONTAINERS:
            raise NoDataError("a registry has no containers; look up without CONTAINERS")
        self.name = query.name
        self.class_id = None if query.service_class is None else query.service_class.bytes
        self.first = _values.context_key(query.context) if query.context else ""
        self.after: str | bytes = self.first + "\0"
        if flags & _DEEP:
            # The first text that does not begin so; and every text is before any bytes.
            self.after = self.first[:-1] + "]" if self.first else b""
        self._version = query.version
        self._protocols = query.protocols
        self._conditions = _conditions(query.query_string) if query.query_string else ()
        self._plain = not (query.protocols or query.version or self._conditions)

    def covers(self, class_id: bytes, context: str, name: str) -> bool:
        """Say whether an instance is one of those that are asked for."""
        if self.class_id not in (None, class_id) or self.name not in (None, name):
            return False
        if isinstance(self.after, bytes):
            return True
        return self.first.encode() <= context.encode() < self.after.encode()

    def content(self, row: Row, now: float) -> Content | None:
        """Return what is visible of a row at a time, without its lease; None if nothing is."""
        if not row[REGISTERED] or not is_alive(row, now):
            return None
        addresses = row[ADDRESSES]
        if row[LEASES] is not None:
            addresses = _alive(addresses, row[LEASES], now)
        if not self._plain:
            wanted = self._wanted(row, addresses)
            if wanted is None:
                return None
            addresses = wanted or None
        return (*row[:REGISTERED], addresses, *row[ATTRIBUTES:ENDS_AT])

    def _wanted(self, row: Row, addresses: str | None) -> str | None:
        """Return the addresses that are asked for; None if the row is not."""
        version = row[VERSION]
        if self._version and version is not None and not self._version.matches(version):
            return None
        if self._conditions:
            attributes = _values.attributes_of(row[ATTRIBUTES])
            if not all(_holds(attributes, *condition) for condition in self._conditions):
                return None
        if not self._protocols:
            return addresses or ""
        return _values.joined([text for text in _values.split(addresses) if self._fits(text)])

    def _fits(self, text: str) -> bool:
        stored, kind, proto, _sockaddr = _values.value_of(text)
        family = _values.family_of(stored)
        has = proto or _values.PROTOCOLS.get(kind, _ANY)
        return any(
            asked in (_ANY, family) and (protocol == _ANY or has in (_ANY, protocol))
            for asked, protocol in self._protocols
        )


def is_alive(row: Row, now: float) -> bool:
    """Say whether a row's lease has not ended."""
    ends_at = row[ENDS_AT]
    return ends_at is None or ends_at > now


def next_end(row: Row, now: float) -> float | None:
    """Return when the next lease of a row ends; None if none does."""
    ends = [row[ENDS_AT], *(_values.value_of(row[LEASES]) if row[LEASES] else ())]
    return min((end for end in ends if end is not None and end > now), default=None)


def _alive(addresses: str | None, leases: str, now: float) -> str | None:
    ends = _values.value_of(leases)
    pairs = zip(_values.split(addresses), ends, strict=True)
    return _values.joined([text for text, end in pairs if end is None or end > now])


def _conditions(query_string: str) -> tuple[tuple[str, str | None], ...]:
    """Return the conditions of a query string; no value where it is enough to be there."""
    found: list[tuple[str, str | None]] = []
    for condition in query_string.split("&"):
        name, equals, value = condition.partition("=")
        if not name:
            raise InvalidArgumentError(
                f"the query string {query_string!r:.80} has a condition without a name: give "
                "attributes such as 'path=/&secure', joined with '&', where %26 and %3D stand for "
                "'&' and '='"
            )
        found.append((unquote(name), unquote(value) if equals else None))
    return tuple(found)


def _holds(attributes: dict[str, Any], name: str, value: str | None) -> bool:
    if name not in attributes:
        return False
    if value is None:
        return True
    found = attributes[name]
    if isinstance(found, bytes):
        return found == value.encode()
    if isinstance(found, bool):
        return value == str(found).lower()
    return found is not None and str(found) == value
