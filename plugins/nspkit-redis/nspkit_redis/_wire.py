"""One connection: made, used and interrupted within the time that there is."""

from __future__ import annotations

import os
import socket
from time import monotonic
from typing import TYPE_CHECKING, Any

import redis

if TYPE_CHECKING:
    import ssl

    from nspkit.registry import Endpoint
    from nspkit_redis._settings import RedisSettings


_RECENTLY = 10.0
"""Seconds for which a server is believed to be a primary still."""


class NotPrimaryError(redis.ConnectionError):
    """The server is there, but only a copy of another."""


class Wire(redis.Connection):
    """A connection to one server, used by one thread at a time.

    redis-py speaks the protocol, signs in and parses; how the socket is made is ours, because it
    must end at a time, and when another thread says so.

    Attributes:
        endpoint: The server.
        is_kept: Whether somebody has it for longer than one request.
        was_idle: Whether it was connected before it was asked.
        is_used: Whether it may have been asked something whose answer is not there.
        is_interrupted: Whether it is of no use any more.
    """

    def __init__(
        self, endpoint: Endpoint, settings: RedisSettings, context: ssl.SSLContext | None
    ) -> None:
        """Make one that is not connected."""
        super().__init__(  # type: ignore[no-untyped-call]
            host=endpoint.host,
            port=endpoint.port,
            db=settings.database,
            username=settings.common.user,
            password=settings.common.password,
            socket_timeout=settings.common.timeout,
            protocol=2,
            driver_info=None,
        )
        self.endpoint = endpoint
        self.is_kept = False
        self.was_idle = False
        self.is_used = False
        self._context = context
        self._until = 0.0
        self._checked = 0.0
        self._socket: socket.socket | None = None
        self._is_busy = False
        self.is_interrupted = False

    def ready(self, until: float) -> None:
        """Be connected to a primary; all that follows has to be over at ``until``.

        Raises:
            redis.RedisError: There is none, or it refuses.
        """
        self._until = until
        self.is_used = False
        self.was_idle = self.is_connected
        left = self._left()
        if not self.was_idle:
            self.socket_timeout = left
            with self:
                self.connect()  # type: ignore[no-untyped-call]
        elif monotonic() < self._checked + _RECENTLY:
            return
        try:
            self.check_primary()
        finally:
            self.is_used = False

    def check_primary(self) -> None:
        """See whether the server is a primary, or does not tell.

        Asked with HELLO, and not with ROLE, which few users may.

        Raises:
            redis.RedisError: It is a replica, or does not answer.
        """
        try:
            told = self.ask("HELLO")
        except redis.AuthenticationError:
            raise
        except redis.ResponseError:
            told = []  # it is older than that, something between it and us, or not allowed
        role = dict(zip(told[::2], told[1::2], strict=False)).get(b"role", b"master")
        if role != b"master":
            raise NotPrimaryError(f"{self.endpoint} is a replica")
        self._checked = monotonic()

    def ask(self, *command: Any) -> Any:
        """Send a command and return the answer.

        Raises:
            redis.RedisError: The server is away, too slow, or refuses.
        """
        with self:
            self._send(command)
            return self.read_response()

    def ask_all(self, commands: bytes, count: int) -> list[Any]:
        """Send several commands, as the protocol has them, and return all answers.

        Raises:
            redis.RedisError: The server is away, too slow, or refuses one of them.
        """
        refused: redis.ResponseError | None = None
        answers = []
        with self:
            self._limit()
            self.is_used = True
            self.send_packed_command([commands], check_health=False)  # type: ignore[no-untyped-call]
            for _ in range(count):
                try:
                    answers.append(self.read_response())
                except redis.ResponseError as error:
                    refused = error  # the other answers are read all the same
        try:
            if refused is not None:
                raise refused
        finally:
            del refused  # it refers to this frame: no cycle
        return answers

    def say(self, *command: Any) -> None:
        """Send a command whose answer is read later."""
        with self:
            self._send(command)

    def read(self) -> Any:
        """Return the next answer or message, which is there or comes in time."""
        with self:
            return self.read_response()

    def has_news(self, seconds: float) -> bool:
        """Wait for a message, at most for so many seconds; say whether there is one."""
        with self:
            return self.can_read(timeout=seconds)

    def give(self, until: float) -> None:
        """Give it time until then."""
        self._until = until

    def close(self) -> None:
        """Close it, without a word to the server where it is a parent's."""
        self.disconnect()  # type: ignore[no-untyped-call]

    def abandon(self) -> None:
        """Have its socket closed, by whoever uses it if somebody does, from any thread."""
        self.interrupt()
        # Who begins to use it says so first, and looks after: one of the two sees the other. In a
        # forked child nobody uses what is the parent's.
        is_busy = self._is_busy and os.getpid() == self.pid
        if not is_busy and self._socket is not None:
            self._socket.close()

    def interrupt(self) -> None:
        """Have whoever uses it fail at once, from any thread."""
        self.is_interrupted = True
        reached = self._socket
        if reached is None or os.getpid() != self.pid:
            return
        try:
            # Not that of a TLS socket, which is no call for another thread.
            socket.socket.shutdown(reached, socket.SHUT_RDWR)
        except OSError:
            pass  # closed meanwhile, or not connected yet: the next call notices

    def __enter__(self) -> None:
        self._is_busy = True
        if self.is_interrupted:
            self._is_busy = False
            raise redis.ConnectionError("it was interrupted")

    def __exit__(self, *_: object) -> None:
        self._is_busy = False

    def _left(self) -> float:
        if self.is_interrupted:
            raise redis.ConnectionError("it was interrupted")
        left = self._until - monotonic()
        if left <= 0.0:
            raise redis.TimeoutError("there is no time left")
        return left

    def _limit(self) -> None:
        left = self._left()
        if self._socket is None or not self.is_connected:
            raise redis.ConnectionError("it is closed")
        self._socket.settimeout(left)

    def _send(self, command: tuple[Any, ...]) -> None:
        self._limit()
        self.is_used = True
        self.send_command(*command, check_health=False)  # type: ignore[no-untyped-call]

    def _connect(self) -> socket.socket:
        last: OSError | None = None
        try:
            found = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        except UnicodeError as error:
            raise OSError(f"its name cannot be one: {error}") from error
        for family, kind, protocol, _, address in found:
            try:
                return self._reach(socket.socket(family, kind, protocol), address)
            except OSError as error:
                last = error
        raise last or OSError("its name has no address")

    def _reach(self, reached: socket.socket, address: Any) -> socket.socket:
        self._socket = reached
        try:
            reached.settimeout(self._left())
            reached.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            reached.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            reached.connect(address)
            if self._context is not None:
                reached = self._socket = self._context.wrap_socket(
                    reached, server_hostname=self.endpoint.host, do_handshake_on_connect=False
                )
                reached.settimeout(self._left())
                reached.do_handshake()
            reached.settimeout(self._left())
        except BaseException:
            reached.close()
            raise
        return reached
