"""What a start makes of the settings; here begins what is imported for it alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nspkit_etcd._client import Client
from nspkit_etcd._store import EtcdStore

if TYPE_CHECKING:
    from nspkit.registry import Settings


def store_at(settings: Settings) -> EtcdStore:
    """Make the store; no server is asked yet.

    Raises:
        NotReadyError: A file of the certificates cannot be read (WSASYSNOTREADY 10091).
    """
    client = Client(
        tuple(map(str, settings.endpoints)),
        timeout=settings.timeout,
        user=settings.user,
        password=settings.password,
        context=settings.ssl_context() if settings.tls else None,
    )
    return EtcdStore(client, settings.prefix)
