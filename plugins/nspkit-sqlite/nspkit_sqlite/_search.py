"""Lookups: one row, or pages of them, each read on its own and from where the last one ended."""

from __future__ import annotations

from time import time
from typing import TYPE_CHECKING, Any

from nspkit import LookupFlags
from nspkit.errors import NoDataError, ServiceNotFoundError
from nspkit_sqlite import _values
from nspkit_sqlite._restrictions import UNUSUAL, Restrictions, is_alive, left
from nspkit_sqlite._values import (
    ADDRESSES,
    BLOB,
    CLASS,
    COLUMNS,
    COMMENT,
    CONTEXT,
    ENDS_AT,
    LEASES,
    NAME,
    REGISTERED,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from uuid import UUID

    from nspkit import Cancellation, Query, Service
    from nspkit_sqlite._opening import Connection
    from nspkit_sqlite._registry import Registry
    from nspkit_sqlite._values import Key, Row, Shared

_ALL = LookupFlags.RETURN_ALL
_ONE = f"SELECT {COLUMNS} FROM service WHERE class = ? AND context = ? AND name = ?"
_NEXT_CLASS = "SELECT class FROM service WHERE class > ? ORDER BY class LIMIT 1"
# Both follow an index from a place in it; no row before that place is read.
_OF_CLASS = f"""
    SELECT {COLUMNS} FROM service
    WHERE class = :class AND (context, name) > (:context, :name) AND context < :after
    ORDER BY context, name LIMIT :rows
"""
_OF_NAME = f"""
    SELECT {COLUMNS} FROM service INDEXED BY service_name
    WHERE name = :name AND (context, class) > (:context, :class) AND context < :after
    ORDER BY context, class LIMIT :rows
"""
_FIRST_ROWS = 32
_ROWS = 256
_BYTES = 1 << 20
"""A page ends with the row that makes it longer than that."""

_REMEMBERED = 1000
_REMEMBERED_LENGTH = 4096
"""Of so many rows, each up to so long, what was made of them is kept: some megabytes at most."""
_SEEN = 4 * _REMEMBERED
"""Among so many lookups the second of a row is known as such."""

# No class, which is stored as no bytes, comes after it: to SQLite any bytes come after any text.
_BEFORE_ALL = ""


class Search:
    """Finds what is registered."""

    def __init__(self, registry: Registry) -> None:
        """Search in ``registry``."""
        self._registry = registry
        self.shared: Shared = {}
        self._made: dict[Key, tuple[Row, Service]] = {}
        self._seen: set[int] = set()

    def find(self, query: Query, cancellation: Cancellation) -> Iterable[Service]:
        """Find what a query asks for.

        Raises:
            ServiceNotFoundError: There is nothing of that name (10108).
            NoDataError: There is, but it is not registered now, or not so (WSANO_DATA 11004).
            InvalidArgumentError: The query string is malformed (WSAEINVAL 10022).
            NspError: The file cannot be read.
        """
        if query.name is None:
            found = self._services(query.service_class, Restrictions(query), cancellation)
            return (service for service in found if service is not None)
        usual = query.flags is _ALL or not int(query.flags) & UNUSUAL
        if usual and query.service_class is not None and not query.context:
            return self._one(query, cancellation)
        restrictions = Restrictions(query)
        found = self._services(query.service_class, restrictions, cancellation)
        return self._named(query, found)

    def rows(self, restrictions: Restrictions, cancellation: Cancellation) -> Iterator[Row]:
        """Yield the rows of what is asked for, also those that are not visible."""
        if restrictions.name is not None:
            for row in self._pages(_OF_NAME, restrictions, cancellation, class_id=_BEFORE_ALL):
                if restrictions.class_id in (None, row[CLASS]):
                    yield row
            return
        if restrictions.class_id is not None:
            yield from self._pages(
                _OF_CLASS, restrictions, cancellation, class_id=restrictions.class_id
            )
            return
        class_id: Any = _BEFORE_ALL
        while not cancellation.cancelled:
            found = self._read(_NEXT_CLASS, (class_id,), cancellation)
            if not found:
                return
            [[class_id]] = found
            yield from self._pages(_OF_CLASS, restrictions, cancellation, class_id=class_id)

    def row(self, key: Key, cancellation: Cancellation | None = None) -> Row | None:
        """Return the row of one instance; None if there is none."""
        return self._registry.row(_ONE, key, cancellation)

    def _one(self, query: Query, cancellation: Cancellation) -> Iterable[Service]:
        # What is asked most often, so no more is done here than is needed for it.
        asked: Any = query.service_class
        key: Any = asked.bytes, "", query.name
        row = self._registry.row(_ONE, key, cancellation)
        if row is None:
            raise self._not_found(query)
        if query.protocols or query.version or query.query_string:
            return (self._restricted(query, row),)
        made = self._made.get(key)
        if made is not None and made[0] == row:
            if row[ENDS_AT] is None:
                return (made[1],)
            now = time()
            if is_alive(row, now):
                return (made[1].replace(ttl=round(row[ENDS_AT] - now, 3)),)
        if row[ENDS_AT] is not None or row[LEASES] is not None or not row[REGISTERED]:
            service = self._restricted(query, row)
        else:
            content = (*row[:REGISTERED], *row[ADDRESSES:ENDS_AT])
            service = _values.service_of(content, None, self.shared, asked)
        if row[LEASES] is None and row[BLOB] is None:
            self._remember(key, row, service)
        return (service,)

    def _restricted(self, query: Query, row: Row) -> Service:
        now = time()
        if not is_alive(row, now):
            raise self._not_found(query)
        content = Restrictions(query).content(row, now)
        if content is None:
            raise self._no_data(query)
        return _values.service_of(
            content, left(row, content, now), self.shared, query.service_class
        )

    def _remember(self, key: Key, row: Row, service: Service) -> None:
        """Keep what was made of a row: as long as the file has the same one, so is the service.

        But not of one that is looked up for the first time: to keep all that are looked up once
        costs more than it will ever save.
        """
        mark = hash(key)
        if mark not in self._seen:
            if len(self._seen) >= _SEEN:
                self._seen.clear()
            self._seen.add(mark)
            return
        if sum(len(text) for text in row[ADDRESSES : COMMENT + 1] if text) <= _REMEMBERED_LENGTH:
            if len(self._made) >= _REMEMBERED:
                self._made.clear()
            self._made[key] = row, service

    def _named(self, query: Query, found: Iterable[Service | None]) -> Iterator[Service]:
        known = visible = False
        for service in found:
            known = True
            if service is not None:
                visible = True
                yield service
        if not visible:
            raise self._no_data(query) if known else self._not_found(query)

    def _services(
        self, asked: UUID | None, restrictions: Restrictions, cancellation: Cancellation
    ) -> Iterator[Service | None]:
        """Yield what is visible of each row that is alive; None where nothing is."""
        for row in self.rows(restrictions, cancellation):
            now = time()
            if not is_alive(row, now):
                continue
            content = restrictions.content(row, now)
            if content is None:
                yield None
            else:
                yield _values.service_of(content, left(row, content, now), self.shared, asked)

    def _pages(
        self,
        statement: str,
        restrictions: Restrictions,
        cancellation: Cancellation,
        *,
        class_id: str | bytes,
    ) -> Iterator[Row]:
        place: dict[str, Any] = {
            "class": class_id,
            "context": restrictions.first,
            "name": restrictions.name or "",
            "after": restrictions.after,
            "rows": _FIRST_ROWS,
        }
        while not cancellation.cancelled:
            page = self._read(statement, place, cancellation)
            if not page:
                return
            yield from page
            last = page[-1]
            place |= {"context": last[CONTEXT], "rows": _ROWS}
            place |= {"class": last[CLASS], "name": last[NAME]}

    def _read(
        self, statement: str, place: dict[str, Any] | tuple[Any, ...], cancellation: Cancellation
    ) -> list[Row]:
        def page(connection: Connection) -> list[Row]:
            rows, size = [], 0
            cursor = connection.execute(statement, place)
            try:
                for row in cursor:
                    rows.append(row)
                    size += sum(len(value) for value in row if isinstance(value, str | bytes))
                    if size > _BYTES:
                        break
            finally:
                cursor.close()
            return rows

        return self._registry.read(page, cancellation) or []

    def _not_found(self, query: Query) -> ServiceNotFoundError:
        return ServiceNotFoundError(
            f"{self._registry.path} has no service {query.name!r:.100}"
            + ("" if query.service_class is None else f" of the class {_class_shown(query)}")
        )

    def _no_data(self, query: Query) -> NoDataError:
        return NoDataError(
            f"{self._registry.path} has {query.name!r:.100}, but deregistered, or with nothing of "
            "the version, the protocols and the attributes asked for"
        )


def _class_shown(query: Query) -> str:
    return query.service_type or str(query.service_class)
