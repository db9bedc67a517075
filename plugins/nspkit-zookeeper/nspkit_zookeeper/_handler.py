"""The threads and sockets of a kazoo client, as it lets itself be given them.

kazoo's own wait for a server for as long as a session lasts. These can be told at any moment to
wait no longer, so that a dead server delays no cleanup, and they keep why a connection failed.
"""

from __future__ import annotations

import atexit
import errno
import os
import select
import socket
import ssl
import threading
from contextlib import suppress
from contextvars import copy_context
from math import ceil
from time import monotonic
from typing import TYPE_CHECKING, Any

from kazoo.handlers.threading import KazooTimeoutError, SequentialThreadingHandler
from kazoo.protocol.connection import ConnectionHandler

if TYPE_CHECKING:
    from collections.abc import Callable

_UNDER_WAY = (0, errno.EINPROGRESS, errno.EWOULDBLOCK)


class Handler(SequentialThreadingHandler):  # type: ignore[misc]
    """What runs one client.

    Attributes:
        failure: Why the last connection failed or broke, for messages; None if it did not.
        ended: Whether the thread of the connection has come to its end.
        on_end: What is called then, on that thread.
        has_requests: Says whether the client has requests that it has not sent.
    """

    def __init__(self, name: str, context: ssl.SSLContext | None, attempt: float) -> None:
        """Make one that does nothing yet.

        Args:
            name: What its threads are called.
            context: For TLS; None without.
            attempt: How many seconds the connection to one server may take to be made.
        """
        super().__init__()
        self.failure: BaseException | None = None
        self.ended = False
        self.on_end: Callable[[], object] = lambda: None
        self.has_requests: Callable[[], bool] = lambda: False
        self._name = name
        self._tls = context
        self._attempt = attempt
        self._threads: list[threading.Thread] = []
        self._around = copy_context()
        self._until: float | None = None
        self._waking, self._waker = socket.socketpair()

    # -- the end ---------------------------------------------------------------------------------

    def cut(self, seconds: float) -> None:
        """Let nothing wait for a server for longer than this from now on."""
        self._until = monotonic() + seconds
        with suppress(OSError):  # closed: it was cut before
            self._waker.send(b"\0")

    def dispose(self, seconds: float) -> None:
        """Join what still runs, and close what is left; it can be said twice."""
        until = monotonic() + seconds
        for thread in filter(threading.Thread.is_alive, self._threads):
            thread.join(max(0.0, until - monotonic()))
        self._waker.close()
        self._waking.close()

    # -- what kazoo asks for ---------------------------------------------------------------------

    def start(self) -> None:
        """Start the threads for callbacks."""
        try:
            super().start()
        except BaseException:
            # Of the two threads one may run; kazoo stops none before both do.
            self._running = True
            self.stop()
            raise
        # Who made the client closes it; in a forked child there is nothing to stop.
        atexit.unregister(self.stop)

    def spawn(self, func: Callable[..., object], *args: Any, **kwargs: Any) -> threading.Thread:
        """Run a function on a thread of its own."""
        is_connection = isinstance(getattr(func, "__self__", None), ConnectionHandler)

        def run() -> None:
            try:
                func(*args, **kwargs)
            except Exception as error:  # kazoo has logged it; its client is closed now
                self.failure = error
            if is_connection:
                self.ended = True
                self.on_end()

        thread = threading.Thread(
            target=self._around.copy().run, args=(run,), name=self._name, daemon=True
        )
        self._threads = [*filter(threading.Thread.is_alive, self._threads), thread]
        if is_connection:
            self.ended = False
        thread.start()
        return thread

    def select(
        self, readers: list[Any], writers: list[Any], _rest: object, timeout: float | None = None
    ) -> tuple[list[Any], list[Any], list[Any]]:
        """Wait until one of these can be read or written; what TLS has read already counts.

        Raises:
            KazooTimeoutError: The client is being closed, and that has taken long enough.
        """
        until = None if timeout is None else monotonic() + timeout
        if any(map(_has_more, readers)):
            until = 0.0
        while True:
            ready = self._ready(readers, writers, until)
            if ready is not None:
                return ready

    def _ready(
        self, readers: list[Any], writers: list[Any], until: float | None
    ) -> tuple[list[Any], list[Any], list[Any]] | None:
        """Do one wait; None if it was ended before its time."""
        cut = self._until
        limits = [limit for limit in (until, cut) if limit is not None]
        left = max(0.0, min(limits) - monotonic()) if limits else None
        found = _wait([*readers, self._waking] if cut is None else readers, writers, left)
        found.update(filter(_has_more, readers))
        if self._until is not None and monotonic() >= self._until:
            raise KazooTimeoutError("the client was closed")
        if self._waking in found and len(found) == 1:
            return None
        return (
            [one for one in readers if one in found],
            [one for one in writers if one in found],
            [],
        )

    def create_socket_pair(self) -> tuple[_Bell, _Bell]:
        """Return what wakes the connection's thread: its end to be read, and to be written."""
        bell = _Bell(self.has_requests)
        return bell, bell

    def create_connection(
        self, address: tuple[str, int], *_: Any, hostname: str | None = None, **__: Any
    ) -> socket.socket:
        """Connect to a server, and shake hands for TLS.

        Raises:
            OSError: It cannot be reached, or not be trusted.
            KazooTimeoutError: It takes too long.
        """
        try:
            connected = self._connected(address, hostname, monotonic() + self._attempt)
        except Exception as error:
            self.failure = error
            raise
        return connected

    def _connected(
        self, address: tuple[str, int], hostname: str | None, until: float
    ) -> socket.socket:
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        one = socket.socket(family, socket.SOCK_STREAM)
        try:
            one.setblocking(False)
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            code = one.connect_ex(address)
            if code in _UNDER_WAY:
                self._await([], [one], until)
                code = one.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code:
                raise OSError(code, os.strerror(code))
            if self._tls is not None:
                one = self._tls.wrap_socket(
                    one, server_hostname=hostname, do_handshake_on_connect=False
                )
                self._shake_hands(one, until)
        except BaseException:
            one.close()
            raise
        return one

    def _shake_hands(self, one: ssl.SSLSocket, until: float) -> None:
        while True:
            try:
                one.do_handshake()
            except ssl.SSLWantReadError:
                self._await([one], [], until)
            except ssl.SSLWantWriteError:
                self._await([], [one], until)
            else:
                return

    def _await(self, readers: list[Any], writers: list[Any], until: float) -> None:
        if not any(self.select(readers, writers, [], max(0.0, until - monotonic()))):
            raise KazooTimeoutError("it takes too long to connect")


class _Bell:
    """Wakes the thread of a connection when there are requests; both ends of a pair of sockets.

    kazoo writes a byte for each request and reads it when it sends that. While there is no server
    nobody reads, and after some hundreds whoever asks would wait without an end. And where Ctrl-C
    comes between a request and its byte, each one after it would be sent a request late.
    """

    def __init__(self, has_requests: Callable[[], bool]) -> None:
        self.has_requests = has_requests
        self._ringing, self._hearing = socket.socketpair()
        self._ringing.setblocking(False)
        self._hearing.setblocking(False)

    def fileno(self) -> int:
        return self._hearing.fileno()

    def send(self, _data: bytes) -> None:
        with suppress(BlockingIOError):  # it is full, so it is heard
            self._ringing.send(b"\0")

    def recv(self, _size: int) -> bytes:
        # Whoever has asked before it is in the list of requests, which is looked at next.
        with suppress(BlockingIOError):
            self._hearing.recv(4096)
        return b"\0"

    def close(self) -> None:
        self._ringing.close()
        self._hearing.close()


def _has_more(one: object) -> bool:
    """Say whether there is more to be read than the system knows of."""
    if isinstance(one, _Bell):
        return one.has_requests()
    return isinstance(one, ssl.SSLSocket) and bool(one.pending())


def _wait(readers: list[Any], writers: list[Any], seconds: float | None) -> set[Any]:
    """Return which of these are ready, none when the time is over.

    kazoo waits some five times for each request: what this costs is what a request costs.
    """
    if not hasattr(select, "poll"):  # as on Windows
        readable, writable, _ = select.select(readers, writers, [], seconds)
        return {*readable, *writable}
    poll, of = select.poll(), {}
    for events, some in ((select.POLLIN, readers), (select.POLLOUT, writers)):
        for one in some:
            number = one.fileno()
            of[number] = one
            poll.register(number, events)
    found = poll.poll(None if seconds is None else ceil(seconds * 1000))
    return {of[number] for number, _event in found}
