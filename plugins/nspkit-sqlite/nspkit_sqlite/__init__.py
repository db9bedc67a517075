"""A registry of services in one SQLite file, as an nspkit provider."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nspkit import Namespace, ProviderInfo, hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from uuid import UUID

    from nspkit import (
        Cancellation,
        Change,
        Query,
        Resources,
        Service,
        ServiceClass,
        ServiceOperation,
    )
    from nspkit_sqlite._registry import Registry
    from nspkit_sqlite._search import Search

__all__ = ["REGISTRY", "SqliteProvider"]

#: The namespace of all registries, `nspkit.registry.REGISTRY`: none of Winsock's is one.
#: TCPIP_LOCAL is that of the platform's host names, where nobody looks for what was registered.
REGISTRY = Namespace(21329)


class SqliteProvider:
    """Registers and finds services, in one file that many processes share."""

    info = ProviderInfo(
        "8efcfdd4-ec3b-4750-b489-5e62e7e53535",
        "sqlite",
        REGISTRY,
        "0.1.0",
        stores_service_classes=True,
    )

    _registry: Registry
    _search: Search

    @hookimpl
    def nsp_startup(self, settings: Mapping[str, Any], resources: Resources) -> None:
        """See whether the file, if there is one, is a registry; nothing is made."""
        from nspkit_sqlite._settings import settings_in

        checked = settings_in(settings)
        from nspkit_sqlite._registry import Registry
        from nspkit_sqlite._search import Search

        self._registry = Registry(checked)
        resources.callback(self._registry.close, name=f"connections to {checked.path}")
        self._registry.check()
        self._search = Search(self._registry)

    @hookimpl
    def nsp_cleanup(self) -> None:
        """Leave the connections to the release of the resources."""

    @hookimpl
    def nsp_lookup_service(self, query: Query, cancellation: Cancellation) -> Iterable[Service]:
        """Find an instance, all of a name, of a class, or all."""
        return self._search.find(query, cancellation)

    @hookimpl
    def nsp_set_service(
        self, service: Service, operation: ServiceOperation, multiple: bool
    ) -> None:
        """Register, deregister or delete an instance, in one transaction."""
        from nspkit_sqlite._registration import set_service

        set_service(self._registry, service, operation, multiple)

    @hookimpl
    def nsp_install_service_class(self, service_class: ServiceClass) -> None:
        """Store a service class."""
        from nspkit_sqlite._classes import install

        install(self._registry, service_class)

    @hookimpl
    def nsp_remove_service_class(self, class_id: UUID) -> None:
        """Forget a service class that has no living instances."""
        from nspkit_sqlite._classes import remove

        remove(self._registry, class_id)

    @hookimpl
    def nsp_get_service_class_info(self, class_id: UUID) -> ServiceClass:
        """Return a service class as it was installed."""
        from nspkit_sqlite._classes import info

        return info(self._registry, class_id)

    @hookimpl
    def nsp_notify_change(
        self, query: Query, cancellation: Cancellation
    ) -> Iterable[Change | None]:
        """Yield what is there, None where that ends, then each change."""
        from nspkit_sqlite._watch import Watch

        return Watch(self._registry, self._search, query, cancellation).changes()
