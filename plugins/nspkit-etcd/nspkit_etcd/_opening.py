"""What a start makes of the settings; here begins what is imported for it alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx

from nspkit.registry import refused
from nspkit_etcd._client import Client
from nspkit_etcd._store import EtcdStore

if TYPE_CHECKING:
    from nspkit.registry import Settings


def store_at(settings: Settings) -> EtcdStore:
    """Make the store; no server is asked yet.

    Raises:
        InvalidArgumentError: An endpoint is no part of a URL (WSAEINVAL 10022).
        NotReadyError: A file of the certificates cannot be read (WSASYSNOTREADY 10091).
    """
    endpoints = tuple(map(str, settings.endpoints))
    for endpoint in endpoints:
        try:
            httpx.URL(f"http://{endpoint}")
        except httpx.InvalidURL as error:
            raise refused("etcd", "endpoints", endpoint, str(error)) from error
    client = Client(
        endpoints,
        timeout=settings.timeout,
        user=settings.user,
        password=settings.password,
        context=settings.ssl_context() if settings.tls else None,
    )
    return EtcdStore(client, settings.prefix)
