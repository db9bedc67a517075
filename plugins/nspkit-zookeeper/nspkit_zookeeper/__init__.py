"""A registry of services in Apache ZooKeeper, as an nspkit provider."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nspkit import ProviderInfo, hookimpl
from nspkit.registry import REGISTRY, RegistryProvider

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nspkit import Resources

__all__ = ["ZookeeperProvider"]


class ZookeeperProvider(RegistryProvider):
    """Registers and finds services in ZooKeeper, which many machines share."""

    info = ProviderInfo(
        "00a93106-c2b2-41c5-b2fa-7bd6e3b24b73",
        "zookeeper",
        REGISTRY,
        "0.1.0",
        stores_service_classes=True,
    )

    @hookimpl
    def nsp_startup(self, settings: Mapping[str, Any], resources: Resources) -> None:
        """Begin a session with one of the servers.

        Raises:
            NotReadyError: No server is set, or none can be reached (WSASYSNOTREADY 10091).
            InvalidArgumentError: A setting is not acceptable (WSAEINVAL 10022).
            AccessDeniedError: The server does not take the user (WSAEACCES 10013).
        """
        from nspkit_zookeeper._settings import session_timeout_in, zookeeper_settings

        checked = zookeeper_settings(settings)
        from nspkit_zookeeper._store import ZookeeperStore

        store = ZookeeperStore(checked, session_timeout_in(checked))
        resources.callback(store.close, name=f"session with {store.location}")
        store.open()
        resources.thread(store.leases.keep, name=f"leases in {store.location}")
        self.use(store)
