"""One start of the provider: its settings, its use of the shared engine, what it registered."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import ifaddr

from nspkit.errors import CancelledError, NotInitialisedError, NotReadyError
from nspkit_mdns._opening import refusal
from nspkit_mdns._share import join, leave

if TYPE_CHECKING:
    from nspkit import Cancellation
    from nspkit_mdns._engine import Engine
    from nspkit_mdns._entry import Entry
    from nspkit_mdns._settings import Settings

_LOOK_AGAIN = 0.02  # to open it takes a few milliseconds, unless another one is just closing


class Member:
    """What a started provider has.

    Attributes:
        settings: What the application set.
        entries: What it registered, by the key of the full name; for the engine's thread.
    """

    def __init__(self, settings: Settings) -> None:
        """Look whether the interfaces are there; open nothing.

        Raises:
            NotReadyError: An interface is not there (WSASYSNOTREADY 10091).
        """
        self.settings = settings
        self.entries: dict[str, Entry] = {}
        self._engine: Engine | None = None
        self._uses: list[object] = []
        self._closed = False
        _addresses(settings.interfaces)

    def engine(self, cancellation: Cancellation | None = None) -> Engine:
        """Return the engine, opened if it was not.

        Raises:
            NotReadyError: It cannot be opened on these interfaces (WSASYSNOTREADY 10091).
            NotInitialisedError: The provider is stopped, or this is a forked child (10093).
            CancelledError: Nobody waits any more (10111).
        """
        engine = self._engine
        if engine is not None:
            engine.check()
            return engine
        addresses = _addresses(self.settings.interfaces)
        use = object()  # not this one: two threads may come at once, and one of them give up
        try:
            engine = join(use, addresses)
            while not engine.ready.wait(_LOOK_AGAIN):
                engine.check_process()
                if cancellation is not None and cancellation.cancelled:
                    raise CancelledError("the lookup was cancelled before mdns had begun")
            if engine.failure is not None:
                raise refusal(engine.failure, addresses)
            if self._closed:
                raise NotInitialisedError("mdns has been stopped: start it again")
            self._uses.append(use)
            self._engine = engine
        except BaseException:
            leave(use)
            raise
        return engine

    def close(self) -> None:
        """Withdraw what was registered, with goodbyes, and give the engine back."""
        self._closed = True
        engine, self._engine = self._engine, None
        if engine is None or engine.is_foreign:  # the parent's: its thread is not here
            return
        try:
            if self.entries:
                from nspkit_mdns._registration import withdraw_all

                engine.run(withdraw_all, engine, self)
        finally:
            while self._uses:
                leave(self._uses.pop())


def _addresses(interfaces: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """Return the addresses of interfaces that may be given by name: the IPv4 ones of those."""
    if interfaces is None:
        return None
    own: dict[str, list[str]] = {}
    every: set[str] = set()
    for adapter in ifaddr.get_adapters():
        plain = [one.ip for one in adapter.ips if isinstance(one.ip, str)]
        own.setdefault(adapter.name, []).extend(plain)
        every.update(plain, (one.ip[0] for one in adapter.ips if not isinstance(one.ip, str)))
    found: set[str] = set()
    for given in interfaces:
        if _is_address(given) and given in every:
            found.add(given)
        elif own.get(given):
            found.update(own[given])
        elif given in own:
            raise NotReadyError(
                f"the interface {given!r} has no IPv4 address: give its IPv6 address, or another"
            )
        else:
            raise NotReadyError(
                f"this machine has no interface {given!r:.60}; it has "
                f"{', '.join(sorted(own) + sorted(every))}"
            )
    return tuple(sorted(found))


def _is_address(text: str) -> bool:
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, text)
        except OSError:
            continue
        return True
    return False
