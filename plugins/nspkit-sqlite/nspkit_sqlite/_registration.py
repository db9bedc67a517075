"""Registrations: Winsock's matrix of operations, each a transaction; and leases."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nspkit import ServiceOperation
from nspkit.errors import InvalidArgumentError, ServiceNotFoundError
from nspkit_sqlite import _values
from nspkit_sqlite._restrictions import is_alive
from nspkit_sqlite._values import ADDRESSES, COLUMNS, ENDS_AT, LEASES, REGISTERED

if TYPE_CHECKING:
    from nspkit import Service
    from nspkit_sqlite._opening import Connection
    from nspkit_sqlite._registry import Registry
    from nspkit_sqlite._values import Key, Row

    Ends = dict[str, float | None]  # when the lease of each address ends, by its text

_KEY = "class = ? AND context = ? AND name = ?"
_FIND = f"SELECT {COLUMNS} FROM service WHERE {_KEY}"
_DELETE = f"DELETE FROM service WHERE {_KEY}"
_DEREGISTER = f"UPDATE service SET registered = 0, addresses = NULL, leases = NULL WHERE {_KEY}"
_KEEP = f"UPDATE service SET addresses = ?, expires_at = ?, leases = ? WHERE {_KEY}"
_PUT = f"""
    INSERT INTO service ({COLUMNS}) VALUES (?, ?, ?, ?, 1, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (class, context, name) DO UPDATE SET
        type = excluded.type, registered = 1, addresses = excluded.addresses,
        attributes = excluded.attributes, comment = excluded.comment, version = excluded.version,
        blob = excluded.blob, expires_at = excluded.expires_at, leases = excluded.leases
"""


def set_service(
    registry: Registry, service: Service, operation: ServiceOperation, multiple: bool
) -> None:
    """Register, deregister or delete an instance.

    Raises:
        ServiceNotFoundError: It is to be deregistered or deleted and is not there (10108).
        InvalidArgumentError: Something of it cannot be stored (WSAEINVAL 10022).
        NspError: The file cannot be written.
    """
    change = _Change(service, operation, multiple)
    create = operation is ServiceOperation.REGISTER
    if not registry.write(change, create=create):
        raise change.not_found()


class _Change:
    """One operation, checked and encoded before the file is locked."""

    def __init__(self, service: Service, operation: ServiceOperation, multiple: bool) -> None:
        self._key: Key = _values.key_of(service)
        self._service = service
        self._operation = operation
        self._multiple = multiple
        self._given = _values.addresses_in(service.addresses)
        self._column = _values.joined(self._given)
        self._attributes = _values.attributes_in(service.attributes)
        self._ttl = _lease(service.ttl)

    def __call__(self, connection: Connection, now: float) -> None:
        """Do it, in a transaction."""
        if self._operation is ServiceOperation.REGISTER and not self._multiple:
            # Whatever is there is replaced, so nobody has to look.
            self._put(connection, self._column, self._end(now), None)
            return
        row = connection.execute(_FIND, self._key).fetchone()
        if row is not None and not is_alive(row, now):
            connection.execute(_DELETE, self._key)
            row = None
        if self._operation is ServiceOperation.REGISTER:
            self._add(connection, row, now)
        elif row is None:
            raise self.not_found()
        else:
            self._withdraw(connection, row, now)

    def not_found(self) -> ServiceNotFoundError:
        """Return the error for an instance that is not there."""
        done = "deregistered" if self._operation is ServiceOperation.DEREGISTER else "deleted"
        kind = self._service.service_type or self._service.service_class
        of_class = f" of the class {kind}" if kind else ""
        return ServiceNotFoundError(
            f"there is no service {self._service.name!r:.100}{of_class} that could be {done}"
        )

    def _add(self, connection: Connection, row: Row | None, now: float) -> None:
        end = self._end(now)
        ends: Ends = {}
        if row is not None and row[REGISTERED]:
            ends = _ends_of(row, now)
        ends |= dict.fromkeys(self._given, end)
        self._put(connection, *_columns(ends, _latest(ends) if ends else end))

    def _put(
        self,
        connection: Connection,
        addresses: str | None,
        ends_at: float | None,
        leases: str | None,
    ) -> None:
        service = self._service
        members = (self._attributes, service.comment, service.version, service.blob)
        connection.execute(
            _PUT, (*self._key, service.service_type, addresses, *members, ends_at, leases)
        )

    def _end(self, now: float) -> float | None:
        return None if self._ttl is None else now + self._ttl

    def _withdraw(self, connection: Connection, row: Row, now: float) -> None:
        left: Ends = {}
        if self._multiple:
            left = {
                text: end for text, end in _ends_of(row, now).items() if text not in self._given
            }
        if left:
            row_end = _latest(left)
            connection.execute(_KEEP, (*_columns(left, row_end), *self._key))
        elif self._operation is ServiceOperation.DELETE:
            connection.execute(_DELETE, self._key)
        else:
            connection.execute(_DEREGISTER, self._key)


def _lease(ttl: float | None) -> float | None:
    try:
        return None if ttl is None else float(ttl)
    except OverflowError as error:
        raise InvalidArgumentError(
            "the service's ttl is no number of seconds that a clock can add: leave it out for a "
            "registration without an end"
        ) from error


def _ends_of(row: Row, now: float) -> Ends:
    """Return the addresses of a row that are alive, and when the lease of each ends."""
    texts = _values.split(row[ADDRESSES])
    ends: list[Any] = _values.value_of(row[LEASES]) if row[LEASES] else [row[ENDS_AT]] * len(texts)
    return {text: end for text, end in zip(texts, ends, strict=True) if end is None or end > now}


def _columns(ends: Ends, row_end: float | None) -> tuple[str | None, float | None, str | None]:
    """Return the columns of addresses, of the end, and of the ends that are others."""
    leases = None
    if any(end != row_end for end in ends.values()):
        leases = _values.text_of(list(ends.values()))
    return _values.joined(list(ends)), row_end, leases


def _latest(ends: Ends) -> float | None:
    found = [end for end in ends.values() if end is not None]
    return max(found) if len(found) == len(ends) else None
