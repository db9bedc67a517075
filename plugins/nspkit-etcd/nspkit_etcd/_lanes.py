"""Connections to etcd: each is used by one call at a time, and can be cut from another thread."""

from __future__ import annotations

import math
import os
import socket
import ssl
import threading
from time import monotonic
from typing import Any

import httpx

from nspkit.errors import NotInitialisedError

_IDLE = 32
"""How many idle connections are kept for each endpoint: as many as a host has calls at once."""

_EXPIRY = 30.0
"""Seconds after which an idle connection is not used again: it may have been cut on the way."""

_SHORTEST = 0.001
"""The least time-out, in seconds: 0 means something else to a socket."""


def _keep_alive() -> list[tuple[int, int, int]]:
    """Have the system find out where a connection on which nothing is sent has been cut."""
    options = [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
    for name, value in (("TCP_KEEPIDLE", 5), ("TCP_KEEPINTVL", 2), ("TCP_KEEPCNT", 3)):
        if hasattr(socket, name):  # pragma: no branch - not everywhere
            options.append((socket.IPPROTO_TCP, getattr(socket, name), value))
    return options


class SlowError(Exception):
    """An answer was not complete in its time."""


class _Deadline:
    """Until when an answer has to be there, on the monotonic clock."""

    __slots__ = ("at",)

    def __init__(self) -> None:
        self.at = 0.0

    def left(self) -> float | None:
        """Return the seconds that are left, as a socket takes them."""
        return None if self.at == math.inf else max(_SHORTEST, self.at - monotonic())

    def bound(self, stream: Any) -> None:
        """Have each read take what is left: httpx gives all those of a header the same time."""
        read = stream.read

        def bounded(size: int, timeout: float | None = None) -> bytes:
            if monotonic() > self.at:
                raise SlowError
            part: bytes = read(size, timeout=self.left())
            return part

        stream.read = bounded


class _Urls(dict[str, httpx.URL]):
    """The URLs of one endpoint, by their path."""

    def __init__(self, base: str) -> None:
        super().__init__()
        self._base = base

    def __missing__(self, path: str) -> httpx.URL:
        url = self[path] = httpx.URL(self._base + path)
        return url


class Lane:
    """One connection to one endpoint, made by its first request; again where it was closed."""

    __slots__ = (
        "_deadline",
        "_lock",
        "_process",
        "_shut",
        "_socket",
        "_transport",
        "_urls",
        "endpoint",
    )

    def __init__(self, scheme: str, endpoint: str, context: ssl.SSLContext) -> None:
        """Connect to nothing yet."""
        self.endpoint = endpoint
        # A few paths, over and over: to make a URL costs more than to send it.
        self._urls = _Urls(f"{scheme}://{endpoint}")
        self._transport = httpx.HTTPTransport(
            verify=context,
            trust_env=False,
            limits=httpx.Limits(max_connections=1, keepalive_expiry=_EXPIRY),
            socket_options=_keep_alive(),
        )
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._shut = False
        self._deadline = _Deadline()

    def send(self, path: str, content: bytes, token: str, until: float) -> httpx.Response:
        """Send a request and return the response, whose body is not read yet.

        Raises:
            httpx.TransportError: There is none, in time.
        """
        headers = {"content-type": "application/json", "grpc-metadata-hasleader": "true"}
        if token:
            headers["authorization"] = token
        self._deadline.at = until
        limits: dict[str, float | None] = {}
        self._limit(limits)

        def trace(name: str, info: dict[str, Any]) -> None:
            # A step has the time that is left at its beginning, not all that there was at first.
            if name.endswith(".started"):
                self._limit(limits)
            elif name == "connection.connect_tcp.complete":
                self._note(info["return_value"].get_extra_info("socket"))
                self._deadline.bound(info["return_value"])
            elif name == "connection.start_tls.complete":
                self._deadline.bound(info["return_value"])

        request = httpx.Request(
            "POST",
            self._urls[path],
            headers=headers,
            content=content,
            extensions={"timeout": limits, "trace": trace},
        )
        return self._transport.handle_request(request)

    def post(self, path: str, content: bytes, token: str, until: float) -> tuple[int, bytes]:
        """Send a request and return the HTTP status and the body of its answer.

        Raises:
            httpx.TransportError: There is none, in time.
            SlowError: It was not complete in time.
        """
        response = self.send(path, content, token, until)
        try:
            return response.status_code, b"".join(response.iter_raw())
        finally:
            response.close()

    def shut(self) -> None:
        """Have whoever reads or writes on it fail at once; from any thread, and never waiting.

        In a child that was forked: nothing. The connection is the parent's too, who goes on.
        """
        if self.is_of_parent():
            return
        self._shut = True
        # Who holds the lock is closing it, or doing this.
        if self._lock.acquire(blocking=False):
            try:
                _shut_down(self._socket)
            finally:
                self._lock.release()

    def is_of_parent(self) -> bool:
        """Say whether this process was forked from the one that made it."""
        return self._process != os.getpid()

    def close(self) -> None:
        """Close it; nothing is sent. Nobody may be using it."""
        try:
            self._transport.close()
        finally:
            self._replace(None)

    def wait_for_ever(self) -> None:
        """Have the rest of the answer that is coming take as long as it takes.

        Unless nobody could cut it short: then it ends with its time.
        """
        if self._socket is not None:
            self._deadline.at = math.inf

    def _limit(self, limits: dict[str, float | None]) -> None:
        left = self._deadline.left()
        for step in ("connect", "read", "write", "pool"):
            limits[step] = left

    def _note(self, connected: socket.socket) -> None:
        """Keep a descriptor of one's own: the other is closed, or wrapped in TLS, by httpx."""
        try:
            own = connected.dup()
        except OSError:
            own = None  # there is no descriptor left: it works, but cannot be cut short
        self._replace(own)
        if self._shut:
            _shut_down(self._socket)

    def _replace(self, other: socket.socket | None) -> None:
        with self._lock:
            before, self._socket = self._socket, other
            if before is not None:
                before.close()


def _shut_down(connected: socket.socket | None) -> None:
    try:
        if connected is not None:
            connected.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # the other side was quicker


class Lanes:
    """The idle connections of one started provider; any thread may take one."""

    def __init__(self, endpoints: tuple[str, ...], context: ssl.SSLContext | None) -> None:
        """Connect to nothing yet; without a context in clear text."""
        self._scheme = "http" if context is None else "https"
        # httpx wants one in any case, and would read all the authorities it knows for its own.
        self._context = context or ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._idle: dict[str, list[Lane]] = {endpoint: [] for endpoint in endpoints}
        self._process = os.getpid()
        self._closed = False

    def check(self) -> None:
        """See that they may be used.

        Raises:
            NotInitialisedError: They were closed, or belong to the parent of this process (10093).
        """
        if self._process != os.getpid():
            raise NotInitialisedError(
                "the connections to etcd are those of the process that this one was forked from: "
                "make a host of its own in the child"
            )
        if self._closed:
            raise NotInitialisedError("the connections to etcd are closed: the provider is stopped")

    def take(self, endpoint: str) -> Lane:
        """Return a connection that nobody else uses.

        Raises:
            NotInitialisedError: As `check` does (10093).
        """
        self.check()
        try:
            return self._idle[endpoint].pop()
        except IndexError:
            return Lane(self._scheme, endpoint, self._context)

    def give(self, lane: Lane) -> None:
        """Take a connection back that is in order."""
        idle = self._idle[lane.endpoint]
        if len(idle) < _IDLE:
            idle.append(lane)
            if self._closed:  # after `close` has looked
                self._close_idle()
        else:
            lane.close()

    def drop(self, endpoint: str) -> None:
        """Close what is idle at one endpoint."""
        idle = self._idle[endpoint]
        while True:
            try:
                idle.pop().close()
            except IndexError:
                break

    def close(self) -> None:
        """Close what is idle; what is in use is closed by who uses it. In a child: nothing."""
        self._closed = True
        if self._process == os.getpid():
            self._close_idle()

    def _close_idle(self) -> None:
        for endpoint in self._idle:
            self.drop(endpoint)
