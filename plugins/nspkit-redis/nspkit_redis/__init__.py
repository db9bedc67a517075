"""A registry of services in Redis, as an nspkit provider."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nspkit import ProviderInfo, hookimpl
from nspkit.registry import REGISTRY, RegistryProvider

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nspkit import Resources

__all__ = ["REGISTRY", "RedisProvider"]


class RedisProvider(RegistryProvider):
    """Registers and finds services, in a Redis that many machines share."""

    info = ProviderInfo(
        "21078d2b-fe69-4dee-b8ae-5b33032e8ab1",
        "redis",
        REGISTRY,
        "0.1.0",
        stores_service_classes=True,
    )

    @hookimpl
    def nsp_startup(self, settings: Mapping[str, Any], resources: Resources) -> None:
        """Check the settings, and see whether a server answers."""
        from nspkit_redis._settings import redis_settings_in

        checked = redis_settings_in(settings)
        from nspkit_redis._store import RedisStore

        store = RedisStore(checked)
        resources.callback(store.close, name=f"connections to {store.location}")
        store.check()
        self.use(store)
