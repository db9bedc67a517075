"""The hooks of a registry, over the store of an engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nspkit import hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    from nspkit import Cancellation, Change, Query, Service, ServiceClass, ServiceOperation
    from nspkit.registry._search import Search
    from nspkit.registry._store import Store


class RegistryProvider:
    """Every hook of a registry but ``nsp_startup``, which makes the store and calls `use`.

    A subclass has an ``info`` that says ``stores_service_classes=True``, and::

        @hookimpl
        def nsp_startup(self, settings, resources):
            store = MyStore(settings_in(settings, "my", port=4711))
            resources.callback(store.close, name="connections")
            self.use(store)

    What the hooks raise is what the engine's `Store` raises, and the codes of Winsock's matrix.
    """

    _store: Store
    _search: Search

    def use(self, store: Store) -> None:
        """Keep services in ``store`` from now on."""
        from nspkit.registry._search import Search

        self._store = store
        self._search = Search(store)

    @hookimpl
    def nsp_cleanup(self) -> None:
        """Leave the store to the release of the resources."""

    @hookimpl
    def nsp_lookup_service(self, query: Query, cancellation: Cancellation) -> Iterable[Service]:
        """Find an instance, all of a name, of a class, or all."""
        return self._search.find(query, cancellation)

    @hookimpl
    def nsp_set_service(
        self, service: Service, operation: ServiceOperation, multiple: bool
    ) -> None:
        """Register, deregister or delete an instance, in one transaction of the engine."""
        from nspkit.registry._matrix import set_service

        set_service(self._store, service, operation, multiple=multiple)

    @hookimpl
    def nsp_install_service_class(self, service_class: ServiceClass) -> None:
        """Store a service class."""
        from nspkit.registry._classes import install

        install(self._store, service_class)

    @hookimpl
    def nsp_remove_service_class(self, class_id: UUID) -> None:
        """Forget a service class that has no living instances."""
        from nspkit.registry._classes import remove

        remove(self._store, class_id)

    @hookimpl
    def nsp_get_service_class_info(self, class_id: UUID) -> ServiceClass:
        """Return a service class as it was installed."""
        from nspkit.registry._classes import info

        return info(self._store, class_id)

    @hookimpl
    def nsp_notify_change(
        self, query: Query, cancellation: Cancellation
    ) -> Iterable[Change | None]:
        """Yield what is there, None where that ends, then each change."""
        from nspkit.registry._watch import Watch

        return Watch(self._store, query, cancellation).changes()
