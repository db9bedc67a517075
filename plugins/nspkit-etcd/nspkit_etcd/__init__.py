"""A registry of services in etcd, as an nspkit provider."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nspkit import ProviderInfo, hookimpl
from nspkit.registry import REGISTRY, RegistryProvider

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nspkit import Resources

__all__ = ["REGISTRY", "EtcdProvider"]


class EtcdProvider(RegistryProvider):
    """Registers and finds services, in one etcd that many machines share."""

    info = ProviderInfo(
        "a3ba1613-6463-4b58-ad69-124d2322d71c",
        "etcd",
        REGISTRY,
        "0.1.0",
        stores_service_classes=True,
    )

    @hookimpl
    def nsp_startup(self, settings: Mapping[str, Any], resources: Resources) -> None:
        """See whether etcd is there; nothing is written."""
        from nspkit_etcd._settings import settings_in

        checked = settings_in(settings)
        from nspkit_etcd._opening import store_at

        store = store_at(checked)
        resources.callback(store.close, name=f"connections to {store.location}")
        store.check()
        self.use(store)
