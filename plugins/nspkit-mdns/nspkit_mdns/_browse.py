"""Browsing: all instances of a type, each resolved, as they are heard of and as they change."""

from __future__ import annotations

import asyncio
from itertools import islice
from typing import TYPE_CHECKING, Any

from nspkit import Service
from nspkit.errors import InvalidArgumentError
from nspkit_mdns._names import ALL_TYPES, LOCAL, Type, base_type, dotted
from nspkit_mdns._values import service_of
from nspkit_mdns._wire import (
    IN,
    PTR,
    QUERY,
    SRV,
    AsyncServiceBrowser,
    AsyncServiceInfo,
    DNSOutgoing,
    DNSQuestion,
    Error,
    RecordUpdateListener,
    ServiceStateChange,
    current_time_millis,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from nspkit_mdns._engine import Engine
    from nspkit_mdns._mailbox import Mailbox
    from nspkit_mdns._wire import RecordUpdate, Zeroconf

_AT_ONCE = 64
"""So many instances are asked for at the same moment, where the answer did not bring them."""
_A_FEW = 16
_REST = 0.001
_ASK_ALL = 0.15  # seconds; the browser asks after 20 to 120 ms (RFC 6762 section 5.2)
_WAITING = 2000
"""So many at most wait for their turn: a stranger can send any number of names."""


class Browse:
    """One browse of a type, or of all types; everything of it runs on the engine's thread."""

    def __init__(self, engine: Engine, service_type: str, mailbox: Mailbox, timeout: float) -> None:
        """Browse ``service_type``; an instance has ``timeout`` seconds to answer for itself."""
        self._engine = engine
        self._type = service_type
        self._mailbox = mailbox
        self._timeout = timeout
        self._browser: AsyncServiceBrowser | None = None
        self._expiry: _Expiry | None = None
        self._heard_of: dict[str, str] = {}
        self._rested = False
        self._asking_all: asyncio.TimerHandle | None = None
        self._asking: dict[str, asyncio.Task[None]] = {}
        self._places = asyncio.Semaphore(_AT_ONCE)

    async def start(self, flush: bool) -> None:  # runs by position
        """Begin to listen and to ask.

        Raises:
            InvalidArgumentError: Nothing can have such a type (WSAEINVAL 10022).
        """
        zeroconf = self._engine.zeroconf
        full = dotted(Type(self._type))
        if flush:
            zeroconf.cache.async_remove_records(zeroconf.cache.async_entries_with_name(full))
        self._engine.wake_at_end(self._mailbox.wake)
        try:
            # A list: it tells instances from types by that.
            self._browser = AsyncServiceBrowser(zeroconf, [full], handlers=[self._heard])
        except Error as error:
            self.stop()
            raise InvalidArgumentError(
                f"multicast DNS cannot browse {self._type!r:.80}: {error}"
            ) from error
        self._asking_all = self._engine.loop.call_later(_ASK_ALL, self._ask_all, full)
        if self._type != ALL_TYPES:
            self._expiry = _Expiry(self._expired)
            zeroconf.async_add_listener(self._expiry, None)

    def stop(self) -> None:
        """Listen no more."""
        self._engine.let_sleep(self._mailbox.wake)
        if self._expiry is not None:
            self._engine.zeroconf.async_remove_listener(self._expiry)
        if self._browser is not None:
            self._browser._async_cancel()
        if self._asking_all is not None:
            self._asking_all.cancel()
        self._browser = self._expiry = self._asking_all = None
        for task in self._asking.values():
            task.cancel()
        self._asking.clear()
        self._heard_of.clear()

    def _ask_all(self, full: str) -> None:
        """Ask so that all hear the answer; what is known need not be told again.

        The browser wants direct answers at first, and asks again after a second. On a machine
        where others share the port, one of them may get those answers, each time.
        """
        zeroconf, now = self._engine.zeroconf, current_time_millis()
        out = DNSOutgoing(QUERY)
        out.add_question(DNSQuestion(full, PTR, IN))
        for record in zeroconf.cache.get_all_by_details(full, PTR, IN):
            if not record.is_stale(now):
                out.add_answer_at_time(record, now)
        zeroconf.async_send(out)

    def _heard(
        self, zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange
    ) -> None:
        """Take note of an instance that has come, changed or gone; named so by zeroconf."""
        key = name.lower()
        if state_change is ServiceStateChange.Removed:
            self._heard_of.pop(key, None)
            task = self._asking.pop(key, None)
            if task is not None:
                task.cancel()
            self._mailbox.put(key, None)
        elif self._type == ALL_TYPES:
            self._mailbox.put(key, _type_service(name))
        else:
            if not self._heard_of:
                self._engine.loop.call_soon(self._resolve_some)
            self._heard_of[key] = name

    def _resolve_some(self) -> None:
        """Resolve a few, then let others run: one answer may name hundreds.

        Whoever waits for the first result has it while the rest is resolved.
        """
        first, self._rested = not self._rested, True
        for key in list(islice(self._heard_of, 1 if first else _A_FEW)):
            self._resolve(key, self._heard_of.pop(key), fresh=False)
        if self._heard_of:
            # Another thread gets its turn while this one rests, not sooner.
            self._engine.loop.call_later(_REST if first else 0.0, self._resolve_some)

    def _resolve(self, key: str, name: str, *, fresh: bool) -> None:
        info = self._info(name)
        if info is None or key in self._asking or len(self._asking) >= _WAITING:
            return
        if not fresh and info.load_from_cache(self._engine.zeroconf):
            self._found(key, info)  # the answer brought it all
        else:
            self._asking[key] = self._engine.loop.create_task(self._ask(key, info))

    async def _ask(self, key: str, info: AsyncServiceInfo) -> None:
        try:
            async with self._places:
                answered = await info.async_request(self._engine.zeroconf, self._timeout * 1000)
        finally:
            self._asking.pop(key, None)
        if answered:
            self._found(key, info)
        else:
            self._mailbox.put(key, None)

    def _found(self, key: str, info: AsyncServiceInfo) -> None:
        service = service_of(self._engine.zeroconf, info, self._type)
        if service is not None:
            self._mailbox.put(key, service)

    def _info(self, name: str) -> AsyncServiceInfo | None:
        try:
            return AsyncServiceInfo(dotted(Type(base_type(self._type))), name)
        except Error:
            return None  # no instance can have such a name, whatever was sent

    def _expired(self, name: str) -> None:
        """Ask again for an instance that has not been confirmed: its host may be gone."""
        key = name.lower()
        if self._mailbox.latest.get(key) is not None:
            self._resolve(key, name, fresh=True)


class _Expiry(RecordUpdateListener):
    """Hears of SRV records whose time is over; the browser heeds pointers only, which live long."""

    def __init__(self, expired: Callable[[str], None]) -> None:
        self._expired = expired

    def async_update_records(self, zc: Zeroconf, now: float, records: list[RecordUpdate]) -> None:
        """Take note of them; they are out of the cache already."""
        for update in records:
            record: Any = update.new
            if record.type == SRV and update.old is not None and record.is_expired(now):
                self._expired(record.name)


def _type_service(full: str) -> Service | None:
    try:
        name = full.removesuffix(".").removesuffix(LOCAL)
        return Service(name, service_class=name)
    except InvalidArgumentError:
        return None
