"""What a query asks for beside class, context and name: which rows, and what is seen of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nspkit import LookupFlags
from nspkit.errors import NoDataError
from nspkit.registry import Conditions, context_key, fits
from nspkit_sqlite import _values
from nspkit_sqlite._values import ADDRESSES, ATTRIBUTES, ENDS_AT, LEASES, REGISTERED, VERSION

if TYPE_CHECKING:
    from nspkit import Query
    from nspkit_sqlite._values import Content, Row

_CONTAINERS = int(LookupFlags.CONTAINERS)
_DEEP = int(LookupFlags.DEEP)
UNUSUAL = _CONTAINERS | _DEEP
"""The flags that change what is found."""


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
        self.first = context_key(query.context) if query.context else ""
        self.after: str | bytes = self.first + "\0"
        if flags & _DEEP:
            # The first text that does not begin so; and every text is before any bytes.
            self.after = self.first[:-1] + "]" if self.first else b""
        self._version = query.version
        self._protocols = query.protocols
        self._conditions = Conditions(query.query_string)
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
            if not self._conditions.hold(attributes):
                return None
        if not self._protocols:
            return addresses or ""
        return _values.joined([text for text in _values.split(addresses) if self._fits(text)])

    def _fits(self, text: str) -> bool:
        stored, kind, proto, _sockaddr = _values.value_of(text)
        return fits(self._protocols, _values.family_of(stored), kind, proto)


def is_alive(row: Row, now: float) -> bool:
    """Say whether a row's lease has not ended."""
    ends_at = row[ENDS_AT]
    return ends_at is None or ends_at > now


def left(row: Row, content: Content, now: float) -> float | None:
    """Return for how many seconds more what is visible of a row is there; None: without an end."""
    end = row[ENDS_AT]
    addresses = content[REGISTERED]  # which is left out, so they are in its place
    if row[LEASES] is not None and addresses:
        ends = dict(zip(_values.split(row[ADDRESSES]), _values.value_of(row[LEASES]), strict=True))
        visible = [ends[text] for text in _values.split(addresses)]
        end = None if None in visible else max(visible)
    return None if end is None else round(end - now, 3)


def next_end(row: Row, now: float) -> float | None:
    """Return when the next lease of a row ends; None if none does."""
    ends = [row[ENDS_AT], *(_values.value_of(row[LEASES]) if row[LEASES] else ())]
    return min((end for end in ends if end is not None and end > now), default=None)


def _alive(addresses: str | None, leases: str, now: float) -> str | None:
    ends = _values.value_of(leases)
    pairs = zip(_values.split(addresses), ends, strict=True)
    return _values.joined([text for text, end in pairs if end is None or end > now])
