"""One registration: what was told to the link, and who watches that nobody else has the name."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from nspkit_mdns._wire import RESPONSE, SRV, DNSOutgoing, RecordUpdateListener

if TYPE_CHECKING:
    from collections.abc import Callable

    from nspkit import Service
    from nspkit_mdns._engine import Engine
    from nspkit_mdns._names import Instance
    from nspkit_mdns._wire import RecordUpdate, ServiceInfo, Zeroconf

    Content = tuple[int, int, int, str]  # of an SRV record

_AGAIN = 1.0  # seconds between announcements (RFC 6762 section 8.3)
_GOODBYE_AGAIN = 0.125


class Entry:
    """A registration; all of it is for the engine's thread.

    Args:
        engine: The engine that answers for it.
        question: The name and type that were asked for.
        service: The service as it was given, with all its addresses.

    Attributes:
        info: What is told of it now; None after DEREGISTER, and where the name was lost.
        lease: What ends it when it is not renewed.
    """

    def __init__(self, engine: Engine, question: Instance, service: Service) -> None:
        self.question = question
        self.service = service
        self.info: ServiceInfo | None = None
        self.lease: asyncio.TimerHandle | None = None
        self._engine = engine
        self._told: set[Content] = set()
        self._guard: _Guard | None = None
        self._announcing: asyncio.Task[None] | None = None

    @property
    def is_told(self) -> bool:
        """Whether the link is told of it."""
        return self.info is not None

    def tell(self, info: ServiceInfo, rival: Callable[[Content], object]) -> None:
        """Answer for it from now on, and announce it; ``rival`` hears of others with the name."""
        zeroconf = self._engine.zeroconf
        if self.info is not None:
            zeroconf.registry.async_remove(self.info)
        zeroconf.registry.async_add(info)
        self.info = info
        self._told.add(content_of(info.dns_service()))
        if self._guard is None:
            self._guard = _Guard(info.key, self._told, rival)
            zeroconf.async_add_listener(self._guard, None)
        self.announce()

    def announce(self) -> None:
        """Tell all others, now and once again."""
        self._quiet()
        self._announcing = self._engine.loop.create_task(self._announce())

    def withdraw(self, *, goodbye: bool = True) -> None:
        """Answer for it no more, and tell the others so.

        Without a goodbye where somebody else has the name: theirs would be forgotten, too.
        """
        if self.lease is not None:
            self.lease.cancel()
        self._quiet()
        zeroconf, info, guard = self._engine.zeroconf, self.info, self._guard
        if guard is not None:
            zeroconf.async_remove_listener(guard)
        self.lease = self.info = self._guard = None
        self._told = set()
        if info is None:
            return
        zeroconf.registry.async_remove(info)
        assert info.server_key is not None
        alone = not zeroconf.registry.async_get_infos_server(info.server_key)
        if goodbye:
            out = zeroconf.generate_service_broadcast(info, 0, alone)
        else:
            out = DNSOutgoing(RESPONSE)
            for record in info.dns_addresses(override_ttl=0) if alone else ():
                out.add_answer_at_time(record, 0)
        zeroconf.async_send(out)
        self._engine.farewell(self._send_again(out))

    def server(self, addresses: tuple[bytes, ...]) -> str:
        """Return the name of the host that has these addresses."""
        return self._engine.server(addresses)

    def own(self) -> Content:
        """Return what is told of it now."""
        assert self.info is not None
        return content_of(self.info.dns_service())

    def _quiet(self) -> None:
        if self._announcing is not None:
            self._announcing.cancel()
        self._announcing = None

    async def _announce(self) -> None:
        for pause in (_AGAIN, 0.0):
            assert self.info is not None
            zeroconf = self._engine.zeroconf
            zeroconf.async_send(zeroconf.generate_service_broadcast(self.info, None))
            await asyncio.sleep(pause)

    async def _send_again(self, out: Any) -> None:
        await asyncio.sleep(_GOODBYE_AGAIN)
        self._engine.zeroconf.async_send(out)


class _Guard(RecordUpdateListener):
    """Hears of SRV records of the name that are not the own ones (RFC 6762 section 9)."""

    def __init__(self, key: str, own: set[Content], rival: Callable[[Content], object]) -> None:
        self._key = key
        self._own = own
        self._rival = rival

    def async_update_records(self, zc: Zeroconf, now: float, records: list[RecordUpdate]) -> None:
        """Tell of each, but the own ones, which are heard as well."""
        for update in records:
            record: Any = update.new
            if record.type == SRV and record.key == self._key and not record.is_expired(now):
                content = content_of(record)
                if content not in self._own:
                    self._rival(content)


def content_of(record: Any) -> Content:
    """Return what an SRV record says, in the order in which rivals are compared."""
    return record.priority, record.weight, record.port, record.server.lower()
