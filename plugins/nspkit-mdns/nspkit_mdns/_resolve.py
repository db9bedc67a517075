"""Resolving: one instance of a service, or the addresses of one host; on the engine's thread."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

from nspkit.errors import InvalidArgumentError, NoDataError, ServiceNotFoundError
from nspkit_mdns._names import base_type, dotted
from nspkit_mdns._values import host_service, service_of
from nspkit_mdns._wire import (
    AAAA,
    IN,
    NSEC,
    QUERY,
    SRV,
    TXT,
    UNIQUE,
    A,
    AsyncServiceInfo,
    DNSOutgoing,
    DNSQuestion,
    Error,
    RecordUpdateListener,
    current_time_millis,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any
    from uuid import UUID

    from nspkit import Service
    from nspkit_mdns._engine import Engine
    from nspkit_mdns._names import Host, Instance
    from nspkit_mdns._wire import RecordUpdate, Zeroconf

_TYPES: Mapping[int, int] = {socket.AF_INET: A, socket.AF_INET6: AAAA}
_OTHER_FAMILY = 0.1  # most hosts send all their addresses in one packet
# Pauses between questions, which double (RFC 6762 section 5.2). The first wants a direct answer; on
# a machine where others share the port, one of them may get it, so the second comes soon.
_AGAIN = (0.0, 0.05, 1.0, 2.0)


async def instance(
    engine: Engine, question: Instance, seconds: float, flush: bool
) -> Service:  # by position
    """Return an instance of a service.

    Raises:
        ServiceNotFoundError: Nobody answers for it (WSASERVICE_NOT_FOUND 10108).
        NoDataError: It is there, without an address (WSANO_DATA 11004).
        InvalidArgumentError: It cannot have such a name (WSAEINVAL 10022).
    """
    zeroconf = engine.zeroconf
    name = dotted(question)
    if flush:
        zeroconf.cache.async_remove_records(zeroconf.cache.async_entries_with_name(name))
    try:
        info = AsyncServiceInfo(f"{base_type(question.type)}.local.", _based(question))
    except Error as error:
        raise InvalidArgumentError(f"{name!r:.100} cannot be asked for: {error}") from error
    if not info.load_from_cache(zeroconf):
        _ask_all(zeroconf, name)
    if await info.async_request(zeroconf, seconds * 1000):
        service = service_of(zeroconf, info, question.type)
        if service is not None:
            return service
    if info.port is not None:
        raise NoDataError(f"{name!r:.100} is there, but nobody tells an address of it")
    raise ServiceNotFoundError(f"nobody answered for {name!r:.100} within {seconds:g} s")


def _ask_all(zeroconf: Zeroconf, name: str) -> None:
    """Ask so that all hear the answer, beside zeroconf, which wants a direct one at first.

    One question in a packet is answered at once, several are not.
    """
    for kind in (SRV, TXT):
        out = DNSOutgoing(QUERY)
        out.add_question(DNSQuestion(name, kind, IN))
        zeroconf.async_send(out)


def _based(question: Instance) -> str:
    return dotted(question._replace(type=base_type(question.type)))


async def host(
    engine: Engine,
    question: Host,
    seconds: float,
    flush: bool,  # by position
    service_class: UUID | None,
) -> Service:
    """Return a host with its addresses.

    Raises:
        ServiceNotFoundError: Nobody answers for it (WSASERVICE_NOT_FOUND 10108).
        NoDataError: It has no address of the families asked for (WSANO_DATA 11004).
    """
    asking = _HostQuestion(engine, question, flush=flush)
    engine.zeroconf.async_add_listener(asking, None)
    try:
        await asking.answered(seconds)
    finally:
        engine.zeroconf.async_remove_listener(asking)
    service = host_service(question.name, service_class, asking.records())
    if service is not None:
        return service
    if asking.is_known():
        raise NoDataError(
            f"{question.name!r:.100} is there, but with no address of the families asked for"
        )
    raise ServiceNotFoundError(f"nobody answered for {question.name!r:.100} within {seconds:g} s")


class HostListener(RecordUpdateListener):
    """Calls a function when a host's addresses are told, anew or again."""

    def __init__(self, name: str, told: Callable[[], object]) -> None:
        """Listen for a name, with the dot at its end."""
        self._key = name.lower()
        self._told = told

    def async_update_records(self, zc: Zeroconf, now: float, records: list[RecordUpdate]) -> None:
        """See whether it is one of that host; the cache has it a moment later."""
        if any(update.new.key == self._key for update in records):
            self._told()


class _HostQuestion(HostListener):
    """A question for a host, asked until each family has its answer."""

    def __init__(self, engine: Engine, question: Host, *, flush: bool) -> None:
        self._name = dotted(question)
        self._heard = asyncio.Event()
        super().__init__(self._name, self._heard.set)
        self._engine = engine
        self._types = [_TYPES[family] for family in question.families]
        self._since = current_time_millis() if flush else 0.0

    async def answered(self, seconds: float) -> None:
        """Ask, and wait for the answer; at most so long."""
        if self.records():  # somebody has asked before, and all that was told is remembered
            return
        clock = self._engine.loop.time
        until, ask_at, turn = clock() + seconds, clock(), 0
        settled = False
        while clock() < until and self._missing() and not self.is_denied():
            if self.records() and not settled:
                settled = True
                until = min(until, clock() + _OTHER_FAMILY)
            if clock() >= ask_at:
                self._ask(unicast=turn == 0)
                turn += 1
                ask_at = clock() + _AGAIN[min(turn, len(_AGAIN) - 1)]
            await self._hear(min(until, ask_at) - clock())

    def records(self) -> list[Any]:
        """Return what is known of its addresses, the first told first."""
        now = current_time_millis()
        return [record for kind in self._types for record in self._cached(kind, now)]

    def is_known(self) -> bool:
        """Say whether somebody has told anything of the host, be it that it lacks these."""
        return self.is_denied() or any(self._cached(kind, 0.0) for kind in (A, AAAA))

    def is_denied(self) -> bool:
        """Say whether the host itself says that it has none of what is missing."""
        denials = self._cached(NSEC, current_time_millis())
        return bool(denials) and not any(
            kind in denial.rdtypes for denial in denials for kind in self._missing()
        )

    def _missing(self) -> list[int]:
        now = current_time_millis()
        return [kind for kind in self._types if not self._cached(kind, now)]

    def _cached(self, kind: int, now: float) -> list[Any]:
        found: list[Any] = self._engine.zeroconf.cache.get_all_by_details(self._name, kind, IN)
        return [one for one in found if one.created >= self._since and not one.is_expired(now)]

    def _ask(self, *, unicast: bool) -> None:
        # Once to be answered directly, then so that all hear it: the direct answer may reach
        # another program that shares the port.
        out = DNSOutgoing(QUERY)
        for kind in self._missing():
            out.add_question(DNSQuestion(self._name, kind, IN | (UNIQUE if unicast else 0)))
        self._engine.zeroconf.async_send(out)

    async def _hear(self, seconds: float) -> None:
        self._heard.clear()
        try:
            async with asyncio.timeout(max(0.0, seconds)):
                await self._heard.wait()
        except TimeoutError:
            pass
