"""The connections of one started provider: idle ones, and all that are open."""

from __future__ import annotations

import os
from time import monotonic
from typing import TYPE_CHECKING

from nspkit_redis._failures import stopped
from nspkit_redis._wire import Wire

if TYPE_CHECKING:
    import ssl

    from nspkit.registry import Endpoint
    from nspkit_redis._settings import RedisSettings

_IDLE = 32
"""So many connections are kept for the next request: as many as a host has calls at once."""

_SHUNNED = 1.0
"""Seconds for which nobody waits for a server that has just let somebody wait in vain: who has a
hundred registrations to end must not wait a hundred times."""


class Pool:
    """Lends connections; all methods may be called from any thread, and take no lock.

    Attributes:
        location: Where the servers are, for messages.
        timeout: How long a request may take, in seconds.
        is_closed: Whether the provider was stopped.
    """

    def __init__(self, settings: RedisSettings) -> None:
        """Open nothing yet.

        Raises:
            NotReadyError: A certificate cannot be read (WSASYSNOTREADY 10091).
        """
        self.location = f"Redis at {settings.common.shown}"
        self.timeout = settings.common.timeout
        self._settings = settings
        self._context: ssl.SSLContext | None = None
        if settings.common.tls:
            self._context = settings.common.ssl_context()
        self._endpoints = settings.common.endpoints
        self._idle: list[Wire] = []
        self._shunned: dict[Endpoint, float] = {}
        self._open: dict[int, Wire] = {}
        self.is_closed = False
        self._pid = os.getpid()

    def order(self) -> tuple[Endpoint, ...]:
        """Return the endpoints, that which has answered last first."""
        return self._endpoints

    def prefer(self, endpoint: Endpoint) -> None:
        """Have ``endpoint`` tried first from now on, and those that come after it next."""
        if self._endpoints[0] != endpoint:
            at = self._endpoints.index(endpoint)
            self._endpoints = self._endpoints[at:] + self._endpoints[:at]

    def shun(self, endpoint: Endpoint) -> None:
        """Take note that a server has not answered in all the time that it had."""
        self._shunned[endpoint] = monotonic() + min(_SHUNNED, self.timeout)

    def is_shunned(self, endpoint: Endpoint) -> bool:
        """Say whether a server has let somebody wait in vain a moment ago."""
        return monotonic() < self._shunned.get(endpoint, 0.0)

    def idle(self, endpoint: Endpoint) -> Wire | None:
        """Return a connection to a server that is not in use; None if there is none."""
        self._forget_the_parents()
        while self._idle:
            try:
                wire = self._idle.pop()
            except IndexError:
                break  # another thread was quicker
            if wire.endpoint == endpoint and wire.pid == self._pid:
                return wire
            self.drop(wire)
        return None

    def new(self, endpoint: Endpoint) -> Wire:
        """Return a connection that is not made yet.

        Raises:
            NotInitialisedError: The provider was stopped (WSANOTINITIALISED 10093).
        """
        self._forget_the_parents()
        wire = Wire(endpoint, self._settings, self._context)
        # Noted first, looked after: it is either seen by `close`, or sees that it was called.
        self._open[id(wire)] = wire
        if self.is_closed:
            self.drop(wire)
            raise stopped(self.location)
        return wire

    def take_back(self, wire: Wire) -> None:
        """Keep a connection for the next request, which is good for one."""
        is_of_use = not wire.is_interrupted and wire.pid == os.getpid()
        if not is_of_use or len(self._idle) >= _IDLE:
            self.drop(wire)
            return
        self._idle.append(wire)
        if self.is_closed:
            self.drop(wire)

    def drop(self, wire: Wire) -> None:
        """Close a connection."""
        wire.close()
        self._open.pop(id(wire), None)

    def close(self) -> None:
        """Close all connections; who uses one fails at once."""
        self.is_closed = True
        while self._open:
            try:
                _, wire = self._open.popitem()
            except KeyError:
                break
            wire.abandon()
        self._idle.clear()

    def _forget_the_parents(self) -> None:
        """Close, without a word to the server, what a forked child has of its parent."""
        pid = os.getpid()
        if pid != self._pid:
            self._pid = pid
            inherited, self._open, self._idle = self._open, {}, []
            for wire in inherited.values():
                wire.close()
