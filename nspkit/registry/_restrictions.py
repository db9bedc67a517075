"""What a query asks for beside class, context and name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nspkit import LookupFlags
from nspkit.errors import NoDataError
from nspkit.registry._conditions import Conditions, fits
from nspkit.registry._keys import scope_of
from nspkit.registry._record import DAMAGE, damaged, family_of, plain_attributes

if TYPE_CHECKING:
    from nspkit import Query
    from nspkit.registry._keys import Key
    from nspkit.registry._record import Record

_CONTAINERS = int(LookupFlags.CONTAINERS)


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
        self._conditions = Conditions(query.query_string)
        self._plain = not (query.protocols or query.version or self._conditions)

    def visible(self, key: Key, record: Record, now: float) -> Record | None:
        """Return what is to be seen of a record at a time; None if nothing is.

        Raises:
            NspError: The record is damaged (WSANO_RECOVERY 11003).
        """
        if not record.registered:
            return None
        alive = record if record.ends is None else record.alive(now)
        if alive is None or self._plain:
            return alive
        try:
            return self._wanted(alive)
        except DAMAGE as error:
            raise damaged(key, error) from error

    def _wanted(self, record: Record) -> Record | None:
        version = record.version
        if self._version and version is not None and not self._version.matches(version):
            return None
        if self._conditions and not self._conditions.hold(plain_attributes(record.attributes)):
            return None
        if not self._protocols:
            return record
        ends = record.ends or [None] * len(record.addresses)
        fitting = [
            pair for pair in zip(record.addresses, ends, strict=True) if self._fits(*pair[0])
        ]
        if not fitting:
            return None
        return record._replace(
            addresses=[address for address, _end in fitting],
            ends=record.ends and [end for _address, end in fitting],
        )

    def _fits(self, stored: Any, kind: int, proto: int, _sockaddr: Any) -> bool:
        return fits(self._protocols, family_of(stored), kind, proto)
