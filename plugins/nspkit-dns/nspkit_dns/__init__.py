"""Hosts, records and services from the DNS, as an nspkit provider."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nspkit import Namespace, ProviderInfo, hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from nspkit import Cancellation, Query, Resources, Service, ServiceOperation
    from nspkit_dns._resolver import Resolver

__all__ = ["DnsProvider"]


class DnsProvider:
    """Asks name servers, each lookup in the thread that it is called in.

    It has no threads, and no sockets but those of the lookups in progress: who waits for an answer
    works for it, and whoever asks the same meanwhile waits for the same answer.
    """

    info = ProviderInfo("5cc37d5b-f14b-4cf6-ac36-9a008ba4a54e", "dns", Namespace.DNS, "0.1.0")

    _resolver: Resolver

    @hookimpl
    def nsp_startup(self, settings: Mapping[str, Any], resources: Resources) -> None:
        """Check the settings and load dnspython; no server is asked."""
        from nspkit_dns._settings import settings_in

        checked = settings_in(settings)
        from nspkit_dns._resolver import Resolver

        self._resolver = Resolver(checked)
        resources.callback(self._resolver.close, name="sockets of nspkit-dns")

    @hookimpl
    def nsp_cleanup(self) -> None:
        """Leave the sockets to the release of the resources."""

    @hookimpl
    def nsp_lookup_service(self, query: Query, cancellation: Cancellation) -> Iterable[Service]:
        """Find a host, an address's name, records, or the services of a type."""
        from nspkit_dns._search import search

        return search(self._resolver, query, cancellation)

    @hookimpl
    def nsp_set_service(
        self, service: Service, operation: ServiceOperation, multiple: bool
    ) -> None:
        """Register, deregister or delete a service of a DNS-SD type, in one update."""
        from nspkit_dns._registration import set_service

        set_service(self._resolver, service, operation, multiple)
