"""Names and services of the local link by multicast DNS, as an nspkit provider."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nspkit import Namespace, ProviderInfo, hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from nspkit import Cancellation, Change, Query, Resources, Service, ServiceOperation
    from nspkit_mdns._member import Member

__all__ = ["MdnsProvider"]


class MdnsProvider:
    """Finds and registers what is on the local link (RFC 6762, RFC 6763)."""

    info = ProviderInfo("a6b45f53-2747-46a7-a3ac-f8848544af96", "mdns", Namespace.DNS, "0.1.0")

    _member: Member

    @hookimpl
    def nsp_startup(self, settings: Mapping[str, Any], resources: Resources) -> None:
        """Check the settings; sockets are opened by the first question that is multicast DNS's.

        A host starts its providers for every name: who asks for "localhost" should not have this
        process listen to the network.
        """
        from nspkit_mdns._settings import settings_in

        checked = settings_in(settings)
        from nspkit_mdns._member import Member

        self._member = Member(checked)
        resources.callback(self._member.close, name="multicast DNS")

    @hookimpl
    def nsp_cleanup(self) -> None:
        """Leave goodbyes and sockets to the release of the resources."""

    @hookimpl
    def nsp_lookup_service(self, query: Query, cancellation: Cancellation) -> Iterable[Service]:
        """Find a host of ``.local``, an instance of a service, or all instances of a type."""
        from nspkit_mdns._lookup import lookup

        return lookup(self._member, query, cancellation)

    @hookimpl
    def nsp_set_service(
        self, service: Service, operation: ServiceOperation, multiple: bool
    ) -> None:
        """Register an instance of a service, or withdraw one of this provider's own."""
        from nspkit_mdns._registration import set_service

        set_service(self._member, service, operation, multiple)

    @hookimpl
    def nsp_notify_change(
        self, query: Query, cancellation: Cancellation
    ) -> Iterable[Change | None]:
        """Yield what is there, None when most have answered, then each change as it is heard."""
        from nspkit_mdns._watch import watch

        return watch(self._member, query, cancellation)
