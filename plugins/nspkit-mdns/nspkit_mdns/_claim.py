"""Claiming a name: ask the link whether somebody has it, before it is told (RFC 6762 section 8.1).

Asked by multicast. A question that wants a direct answer gets one that may reach another socket of
this machine, since all share the port; then a name that is taken would look free.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

from nspkit_mdns._wire import (
    ANY,
    IN,
    QUERY,
    SRV,
    DNSOutgoing,
    DNSQuestion,
    RecordUpdateListener,
    current_time_millis,
)

if TYPE_CHECKING:
    from nspkit_mdns._engine import Engine
    from nspkit_mdns._wire import RecordUpdate, ServiceInfo, Zeroconf

_PROBES = 3
_PAUSE = 0.25
_DELAY = 0.25  # at most, before the first
_LATELY = 1000.0  # milliseconds; an answer that came just before is not taken twice
_LABEL = 63


async def is_taken(engine: Engine, info: ServiceInfo) -> bool:
    """Say whether somebody else answers for a name; it takes up to a second if nobody does."""
    zeroconf = engine.zeroconf
    if zeroconf.registry.async_get_info_name(info.key) is not None:
        return True  # another host of this process
    since = current_time_millis() - _LATELY
    cached = zeroconf.cache.get_all_by_details(info.name, SRV, IN)
    if any(one.created >= since and not one.is_expired(current_time_millis()) for one in cached):
        return True
    answers = _Answers(info.key)
    zeroconf.async_add_listener(answers, None)
    try:
        # Machines that are switched on together do not all ask at once.
        await asyncio.sleep(random.uniform(0.0, _DELAY))  # no secret
        for _ in range(_PROBES):
            zeroconf.async_send(_probe(info))
            if await answers.within(_PAUSE):
                return True
    finally:
        zeroconf.async_remove_listener(answers)
    return False


def renamed(label: str, number: int) -> str:
    """Return a label with a number, as RFC 6763 appendix D has it: ``web (2)``."""
    tail = f" ({number})"
    room = _LABEL - len(tail)
    return label.encode()[:room].decode(errors="ignore") + tail


def _probe(info: ServiceInfo) -> DNSOutgoing:
    out = DNSOutgoing(QUERY)
    out.add_question(DNSQuestion(info.name, ANY, IN))
    authorities: list[Any] = out.authorities  # typed for pointers, which would prove nothing here
    authorities.append(info.dns_service())
    return out


class _Answers(RecordUpdateListener):
    """Hears whether anybody tells anything of a name."""

    def __init__(self, key: str) -> None:
        self._key = key
        self._there: set[object] = set()
        self._heard = asyncio.Event()

    def async_update_records(self, zc: Zeroconf, now: float, records: list[RecordUpdate]) -> None:
        """Take note of what is told, and of what is taken back."""
        for update in records:
            record = update.new
            if record.key == self._key:
                if record.is_expired(now):
                    self._there.discard(record)
                else:
                    self._there.add(record)
                    self._heard.set()

    async def within(self, seconds: float) -> bool:
        """Wait for an answer; say whether there is one."""
        try:
            async with asyncio.timeout(seconds):
                await self._heard.wait()
        except TimeoutError:
            return False
        await asyncio.sleep(0)
        if not self._there:  # what was heard was taken back: a goodbye of a moment ago
            self._heard.clear()
        return bool(self._there)
