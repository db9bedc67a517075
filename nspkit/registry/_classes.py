"""Service classes: their schemas, kept beside the services."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nspkit import Cancellation
from nspkit.errors import (
    AlreadyExistsError,
    NspError,
    TooManyReferencesError,
    TypeNotFoundError,
)
from nspkit.registry._keys import Scope
from nspkit.registry._record import class_of, decoded, schema_of

if TYPE_CHECKING:
    from uuid import UUID

    from nspkit import ServiceClass
    from nspkit.registry._store import Store


def install(store: Store, service_class: ServiceClass) -> None:
    """Keep a class.

    Raises:
        AlreadyExistsError: It is there (WSAEALREADY 10037).
        InvalidArgumentError: Something of it cannot be stored (WSAEINVAL 10022).
        NspError: The engine cannot be written.
    """
    if not store.put_class(service_class.id, schema_of(service_class)):
        raise AlreadyExistsError(
            f"the service class {service_class.id} is installed already: remove it first to "
            "change it"
        )


def remove(store: Store, class_id: UUID) -> None:
    """Forget a class.

    Raises:
        TypeNotFoundError: It is not there (WSATYPE_NOT_FOUND 10109).
        TooManyReferencesError: Services of it are registered (WSAETOOMANYREFS 10059).
        NspError: The engine cannot be written.
    """
    if store.get_class(class_id) is None:
        raise _not_found(class_id)  # whatever is registered of it
    if not store.remove_class(class_id, lambda: _check_unused(store, class_id)):
        raise _not_found(class_id)


def info(store: Store, class_id: UUID) -> ServiceClass:
    """Return a class.

    Raises:
        TypeNotFoundError: It is not there (WSATYPE_NOT_FOUND 10109).
        NspError: The engine cannot be read, or what it has is damaged (WSANO_RECOVERY 11003).
    """
    value = store.get_class(class_id)
    if value is None:
        raise _not_found(class_id)
    return class_of(class_id, value)


def _check_unused(store: Store, class_id: UUID) -> None:
    from time import time

    scope = Scope(class_id)
    for entry in store.entries(scope, Cancellation()):
        if not scope.covers(entry.key):
            continue
        try:
            record = decoded(entry.key, entry.value)
        except NspError:
            continue  # which nobody can find
        if record.registered and record.alive(time()) is not None:
            raise TooManyReferencesError(
                f"services of the class {class_id} are registered, such as "
                f"{entry.key.name!r:.100}: deregister them first"
            )


def _not_found(class_id: UUID) -> TypeNotFoundError:
    return TypeNotFoundError(
        f"the service class {class_id} is not installed: install it first, or register services "
        "without it"
    )
