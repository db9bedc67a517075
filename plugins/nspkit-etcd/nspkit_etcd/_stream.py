"""A watch of etcd: the messages of one answer that goes on, read by a thread of its own."""

from __future__ import annotations

import threading
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from nspkit_etcd import _failures
from nspkit_etcd._answers import message_in

if TYPE_CHECKING:
    from nspkit_etcd._client import Client
    from nspkit_etcd._waiter import Waiter

_AHEAD = 100
"""How many messages are read before somebody has asked for them."""


class Stream:
    """One watch; `next` is called by one thread at a time.

    There is a thread because who waits has other work to do meanwhile, and httpx cannot wait for a
    part of an answer and go on with it later.
    """

    def __init__(self, client: Client, body: dict[str, Any], waiter: Waiter) -> None:
        """Begin to watch.

        Raises:
            NspError: No server can do it.
        """
        self._location = client.location
        self._waiter = waiter
        self._lane, self._response = client.open("watch", body, waiter)
        self._lane.wait_for_ever()
        self._messages: SimpleQueue[bytes | str] = SimpleQueue()
        self._room = threading.Semaphore(_AHEAD)
        self._closed = False
        self._thread = threading.Thread(
            target=self._read, name=f"nspkit-etcd watch at {self._lane.endpoint}", daemon=True
        )
        try:
            self._thread.start()
        except BaseException:
            self._release()
            raise

    @property
    def endpoint(self) -> str:
        """The server that tells it."""
        return self._lane.endpoint

    def next(self, seconds: float) -> dict[str, Any] | None:
        """Return the next message; None if there is none for so many seconds.

        Raises:
            TryAgainError: It has ended (WSATRY_AGAIN 11002).
            NspError: It tells of a failure.
        """
        try:
            message = self._messages.get(timeout=max(0.0, seconds))
        except Empty:
            return None
        if isinstance(message, str):
            self._messages.put(message)  # it has ended for the next call too
            raise _failures.away(self._location, message)
        self._room.release()
        outcome = message_in(200, message, self._location)
        if isinstance(outcome, _failures.Refusal):
            raise _failures.refused(outcome, self._location)
        return outcome

    def close(self) -> None:
        """End it: nothing is sent, and nobody waited for but the thread, which is cut short.

        In a child that was forked: nothing. There is no thread, and its locks may be held for ever.
        """
        if self._lane.is_of_parent():
            return
        try:
            self._end()
        except BaseException:  # of an interrupt: nothing may be left all the same
            self._end()
            raise

    def _end(self) -> None:
        self._closed = True
        self._lane.shut()
        self._room.release()
        self._thread.join()
        self._release()

    def _release(self) -> None:
        self._response.close()
        self._waiter.leave(self._lane)
        self._lane.close()

    def _read(self) -> None:
        reason = "the watch has ended"
        try:
            rest = b""
            for part in self._response.iter_raw():
                *lines, rest = (rest + part).split(b"\n")
                for line in filter(None, lines):
                    self._put(line)
                if self._closed:
                    return
            if rest:
                self._put(rest)
        except Exception as error:
            reason = str(error) or reason
        finally:
            self._messages.put(reason)

    def _put(self, line: bytes) -> None:
        if not self._closed:
            self._room.acquire()
            self._messages.put(line)
