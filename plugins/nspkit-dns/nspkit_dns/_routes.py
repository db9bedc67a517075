"""Which servers a name is looked up at, and how."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import dns.name

from nspkit.errors import InvalidArgumentError, NotReadyError
from nspkit_dns._resolvconf import ResolvConf, ResolvConfFile

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

    import dns.tsig

    from nspkit_dns._servers import Server
    from nspkit_dns._settings import Settings


class Route(NamedTuple):
    """How the names of a part of the tree are looked up.

    Attributes:
        servers: Who is asked, the first first.
        key: What signs the question.
        timeout: How long it may take, in seconds.
        retry: After how many seconds without an answer the next one is asked.
        edns: The size of answers over UDP that is announced.
        contexts: What checks certificates, by the transports that need it.
    """

    servers: tuple[Server, ...]
    key: dns.tsig.Key | None
    timeout: float
    retry: float
    edns: int
    contexts: Mapping[str, ssl.SSLContext]


class Routes:
    """The routes that the settings and resolv.conf tell."""

    def __init__(self, settings: Settings) -> None:
        """Prepare what checks certificates, if a server needs it."""
        self._settings = settings
        self._file = ResolvConfFile(settings.resolv_conf)
        self._contexts: dict[str, ssl.SSLContext] = {}
        servers = [*(settings.nameservers or ()), *(s for z in settings.zones for s in z.servers)]
        transports = {server.transport for server in servers}
        if "https" in transports:
            _need_h2()
        for transport, protocol in (("tls", "dot"), ("https", "h2")):
            if transport in transports:
                self._contexts[transport] = _context(settings.tls_ca, [protocol])
        self._zones = {zone.name: self._route(zone.servers, zone.key) for zone in settings.zones}
        self._default: Route | None = None

    def to(self, name: dns.name.Name) -> Route:
        """Return the route of a name: the zone with the longest suffix of it wins."""
        zones = self._zones
        if zones:
            for zone, route in zones.items():  # the longest first
                if name.is_subdomain(zone):
                    return route
        servers = self._settings.nameservers or self._file.current().servers
        default = self._default
        if default is None or default.servers != servers:
            self._default = default = self._route(servers, None)
        return default

    def key(self, name: dns.name.Name) -> dns.tsig.Key | None:
        """Return the key that signs updates of a name."""
        return self.to(name).key or self._settings.key

    @property
    def search(self) -> tuple[dns.name.Name, ...]:
        """The domains that short names are looked up in."""
        own = self._settings.search
        return self._file.current().search if own is None else own

    @property
    def ndots(self) -> int:
        """How many dots make a name a long one."""
        own = self._settings.ndots
        if own is not None:
            return own
        # With a search list of its own, what the platform counts for the other one is no matter.
        return ResolvConf().ndots if self._settings.search else self._file.current().ndots

    def _route(self, servers: tuple[Server, ...], key: dns.tsig.Key | None) -> Route:
        settings = self._settings
        times = settings.timeout, settings.retry
        return Route(servers, key, *times, settings.edns, self._contexts)


def _need_h2() -> None:
    try:
        import nspkit_dns._https  # noqa: F401 - the first question needs it, and may not fail then
    except ImportError as error:
        raise NotReadyError(
            "a name server of dns is an https:// one, which needs h2: pip install 'nspkit-dns[doh]'"
        ) from error


def _context(authorities: str | None, protocols: list[str]) -> ssl.SSLContext:
    import ssl

    try:
        context = ssl.create_default_context(cafile=authorities)
    except (OSError, ssl.SSLError) as error:
        raise InvalidArgumentError(
            f"the setting 'tls_ca' of dns is {authorities!r:.100}, which has no certificates: "
            f"{error}"
        ) from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(protocols)
    return context
