"""Service classes: their schemas, in a table of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nspkit.errors import AlreadyExistsError, TooManyReferencesError, TypeNotFoundError
from nspkit_sqlite import _values

if TYPE_CHECKING:
    from uuid import UUID

    from nspkit import ServiceClass
    from nspkit_sqlite._opening import Connection
    from nspkit_sqlite._registry import Registry

_FIND = "SELECT id, name, attributes FROM service_class WHERE id = ?"
_PUT = "INSERT INTO service_class (id, name, attributes) VALUES (?, ?, ?)"
_DELETE = "DELETE FROM service_class WHERE id = ?"
_LIVING = """
    SELECT name FROM service
    WHERE class = ? AND registered AND (expires_at IS NULL OR expires_at > ?) LIMIT 1
"""


def install(registry: Registry, service_class: ServiceClass) -> None:
    """Store a class.

    Raises:
        AlreadyExistsError: It is there (WSAEALREADY 10037).
        NspError: The file cannot be written.
    """
    class_id = service_class.id.bytes
    attributes = _values.attributes_in(service_class.attributes)

    def work(connection: Connection, _now: float) -> None:
        row = connection.execute(_FIND, (class_id,)).fetchone()
        if row is not None:
            raise AlreadyExistsError(
                f"the service class {service_class.id} is installed already, as {row[1]!r:.100}: "
                "remove it first to change it"
            )
        connection.execute(_PUT, (class_id, service_class.name, attributes))

    registry.write(work, create=True)


def remove(registry: Registry, class_id: UUID) -> None:
    """Forget a class.

    Raises:
        TypeNotFoundError: It is not there (WSATYPE_NOT_FOUND 10109).
        TooManyReferencesError: Services of it are registered (WSAETOOMANYREFS 10059).
        NspError: The file cannot be written.
    """

    def work(connection: Connection, now: float) -> None:
        if connection.execute(_FIND, (class_id.bytes,)).fetchone() is None:
            raise _not_found(class_id)
        living = connection.execute(_LIVING, (class_id.bytes, now)).fetchone()
        if living is not None:
            raise TooManyReferencesError(
                f"services of the class {class_id} are registered, such as {living[0]!r:.100}: "
                "deregister them first"
            )
        connection.execute(_DELETE, (class_id.bytes,))

    if not registry.write(work):
        raise _not_found(class_id)


def info(registry: Registry, class_id: UUID) -> ServiceClass:
    """Return a class.

    Raises:
        TypeNotFoundError: It is not there (WSATYPE_NOT_FOUND 10109).
        NspError: The file cannot be read.
    """
    row = registry.read(lambda connection: connection.execute(_FIND, (class_id.bytes,)).fetchone())
    if row is None:
        raise _not_found(class_id)
    return _values.class_of(row)


def _not_found(class_id: UUID) -> TypeNotFoundError:
    return TypeNotFoundError(
        f"the service class {class_id} is not installed: install it first, or register services "
        "without it"
    )
