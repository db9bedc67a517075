"""What a query asks for beside class, context and name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from nspkit import LookupFlags
from nspkit.errors import InvalidArgumentError, NoDataError
from nspkit.registry._keys import scope_of
from nspkit.registry._record import PROTOCOLS, family_of, plain

if TYPE_CHECKING:
    from nspkit import Query
    from nspkit.registry._record import Record

_CONTAINERS = int(LookupFlags.CONTAINERS)
_ANY = 0  # AF_UNSPEC, and no certain protocol


class Restrictions:
    """The restrictions of one query, taken apart.

    Attributes:
        scope: Which keys are meant.
    """

    __slots__ = ("_conditions", "_plain", "_protocols", "_version", "scope")

    def __init__(self, query: Query) -> None:
        """Take a query apart.

        Raises:
            NoDataError: It asks for containers (WSANO_DATA 11004).
            InvalidArgumentError: Its query string is malformed (WSAEINVAL 10022).
        """
        if int(query.flags) & _CONTAINERS:
            raise NoDataError("a registry has no containers; look up without CONTAINERS")
        self.scope = scope_of(query)
        self._version = query.version
        self._protocols = query.protocols
        self._conditions = conditions_of(query.query_string) if query.query_string else ()
        self._plain = not (query.protocols or query.version or self._conditions)

    def visible(self, record: Record, now: float) -> Record | None:
        """Return what is to be seen of a record at a time; None if nothing is."""
        if not record.registered:
            return None
        alive = record if record.ends is None else record.alive(now)
        if alive is None or self._plain:
            return alive
        return self._wanted(alive)

    def _wanted(self, record: Record) -> Record | None:
        version = record.version
        if self._version and version is not None and not self._version.matches(version):
            return None
        if not all(_holds(record.attributes, *condition) for condition in self._conditions):
            return None
        if not self._protocols:
            return record
        ends = record.ends or [None] * len(record.addresses)
        fitting = [
            pair for pair in zip(record.addresses, ends, strict=True) if self._fits(*pair[0])
        ]
        return record._replace(
            addresses=[address for address, _end in fitting],
            ends=record.ends and [end for _address, end in fitting],
        )

    def _fits(self, stored: Any, kind: int, proto: int, _sockaddr: Any) -> bool:
        family = family_of(stored)
        has = proto or PROTOCOLS.get(kind, _ANY)
        return any(
            asked in (_ANY, family) and (protocol == _ANY or has in (_ANY, protocol))
            for asked, protocol in self._protocols
        )


def conditions_of(query_string: str) -> tuple[tuple[str, str | None], ...]:
    """Return the conditions of a query string; no value where it is enough to be there.

    Raises:
        InvalidArgumentError: It has a condition without a name (WSAEINVAL 10022).
    """
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
    found = plain(attributes[name])
    if isinstance(found, bytes):
        return found == value.encode()
    if isinstance(found, bool):
        return value == str(found).lower()
    return found is not None and str(found) == value
