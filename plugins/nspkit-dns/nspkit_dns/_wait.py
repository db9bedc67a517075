"""Waiting for sockets, and being woken."""

from __future__ import annotations

import select
import socket
from math import ceil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class Waker:
    """A pair of sockets: a ring at one end wakes who waits at the other.

    It is used again and again, so that a late ring reaches somebody else who waits, and never a
    descriptor that has become something else.
    """

    __slots__ = ("_far", "near")

    def __init__(self) -> None:
        """Make the pair."""
        self.near, self._far = socket.socketpair()
        self.near.setblocking(False)
        self._far.setblocking(False)

    def ring(self) -> None:
        """Wake whoever waits; never blocks, and may be called from anywhere."""
        try:
            self._far.send(b"!")
        except OSError:  # rung so often that there is no more room, or closed
            pass

    def quiet(self) -> None:
        """Take back the rings that there were."""
        try:
            while len(self.near.recv(4096)) == 4096:
                pass
        except OSError:
            pass

    def close(self) -> None:
        """Close both ends."""
        self.near.close()
        self._far.close()


READ, WRITE = 1, 2

if hasattr(select, "poll"):
    _EVENTS = {READ: select.POLLIN, WRITE: select.POLLOUT}

    def ready(watched: Iterable[tuple[socket.socket, int]], seconds: float | None) -> set[int]:
        """Wait until a socket can be read, or written, or has failed; return their numbers."""
        poll = select.poll()
        for one, event in watched:
            poll.register(one, _EVENTS[event])
        milliseconds = None if seconds is None else ceil(max(0.0, seconds) * 1000)
        return {number for number, _ in poll.poll(milliseconds)}

else:

    def ready(watched: Iterable[tuple[socket.socket, int]], seconds: float | None) -> set[int]:
        """Wait until a socket can be read, or written, or has failed; return their numbers."""
        watched = list(watched)
        reading = [one for one, event in watched if event == READ]
        writing = [one for one, event in watched if event == WRITE]
        left = None if seconds is None else max(0.0, seconds)
        found = select.select(reading, writing, writing, left)
        return {one.fileno() for some in found for one in some}
