"""What a server tells of its own accord: that entries were written, and that they have expired."""

from __future__ import annotations

from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Any

import redis
from redis.exceptions import NoPermissionError

if TYPE_CHECKING:
    from nspkit import Cancellation
    from nspkit_redis._layout import Layout
    from nspkit_redis._wire import Wire

_AT_ONCE = 1000
"""So many messages are read before what they tell is looked at."""

_RENEWED = (b"expire", b"persist")
"""Events of the server that say that a lease is another one, which is no change."""


class Feed:
    """One subscription; used by one thread.

    Messages come in the order of the changes, and each has its number and that of the one before,
    so that who has missed one knows it. A user who may not listen has a feed that says nothing.

    Attributes:
        number: Of the last change that is known of.
        has_missed: Whether a number was left out.
        changed: The paths of what may be another one than before.
    """

    def __init__(
        self, wire: Wire, layout: Layout, pattern: bytes, cancellation: Cancellation, timeout: float
    ) -> None:
        """Listen on a connection.

        Raises:
            redis.RedisError: The server is away, or too slow.
        """
        self.number = 0
        self.has_missed = False
        self.changed: dict[bytes, None] = {}
        self._is_after = False
        self._wire = wire
        self._cancellation = cancellation
        self._timeout = timeout
        self._stem = layout.stem
        # Both, because the server's own need not be switched on, and tell what was not ours to do.
        heard = [self._listen("SUBSCRIBE", layout.channel), self._listen("PSUBSCRIBE", pattern)]
        self._is_heard = any(heard)
        self._answered = monotonic()

    def begin(self, number: int) -> None:
        """Have heard of everything up to a number, and of nothing else."""
        self.number = number
        self.has_missed = False
        self.changed.clear()
        self._is_after = False

    @property
    def due(self) -> float:
        """When it has to be asked for a sign of life, in seconds of the monotonic clock."""
        return self._answered + self._timeout if self._is_heard else inf

    def hear(self, seconds: float) -> None:
        """Wait for messages, at most for so many seconds, and take in those that are there.

        Raises:
            redis.RedisError: The connection is lost, or silent.
        """
        if not self._is_heard:
            self._cancellation.wait(seconds)
            return
        if monotonic() >= self.due:
            self.catch_up()
        if self._wire.has_news(seconds):
            for _ in range(_AT_ONCE):
                self._take(self._wire.read())
                if not self._wire.has_news(0.0):
                    break

    def catch_up(self) -> None:
        """Take in every message that was sent by now.

        Raises:
            redis.RedisError: The connection is lost, or silent.
        """
        if not self._is_heard:
            return
        self._wire.give(monotonic() + self._timeout)
        self._wire.say("PING")
        while not self._take(self._wire.read()):
            pass
        self._answered = monotonic()

    def _listen(self, command: str, what: str | bytes) -> bool:
        try:
            answer = self._wire.ask(command, what)
            # Messages may come before it; what they tell is in the list that is read later.
            while answer[0] != command.lower().encode():
                answer = self._wire.read()
        except NoPermissionError:
            return False
        except redis.ResponseError as error:
            if "unknown command" not in str(error):
                raise
            return False  # there are servers, and things between, that have no subscriptions
        return True

    def _take(self, message: list[Any]) -> bool:
        """Take in a message; True if it is the answer to a question for life."""
        match message:
            case [b"message", _, bytes(data)]:
                self._take_change(data)
            case [b"pmessage", _, bytes(channel), event]:
                if event not in _RENEWED:
                    self.changed[channel.partition(self._stem)[2]] = None
            case _:
                return bool(message[0] == b"pong")
        return False

    def _take_change(self, data: bytes) -> None:
        before, number, path = (*data.split(b" ", 2), b"", b"")[:3]
        if not (before.isdigit() and number.isdigit()):
            return  # it is somebody else's
        if int(before) == self.number:
            self.number = int(number)
            self.changed[path] = None
            self._is_after = True
        elif int(number) > self.number or self._is_after:
            # One from before the list is no news, but messages come in order: after the first of
            # the news, one with a smaller number is of a server that has lost what it counted.
            self.has_missed = True
