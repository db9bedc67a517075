"""Following: list, then what is watched from there on, and again where that is not kept."""

from __future__ import annotations

from random import uniform
from time import monotonic
from typing import TYPE_CHECKING, Any

from nspkit.errors import TryAgainError
from nspkit.registry import Entry, Gone, Mark
from nspkit_etcd._failures import CompactedError
from nspkit_etcd._layout import decoded, encoded
from nspkit_etcd._pages import Pages
from nspkit_etcd._stream import Stream
from nspkit_etcd._waiter import Waiter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nspkit import Cancellation
    from nspkit.registry import Scope
    from nspkit_etcd._client import Client
    from nspkit_etcd._layout import Layout

BEAT = 2.0
"""Seconds of silence after which the server that tells changes is asked whether it is there.

It is up to half as many more, by chance.
"""


class Follower:
    """One who follows; its iterator is used by one thread at a time."""

    def __init__(
        self,
        client: Client,
        layout: Layout,
        scope: Scope,
        cancellation: Cancellation,
        patience: Callable[[], float],
    ) -> None:
        """Follow what ``scope`` can cover."""
        self._client = client
        self._layout = layout
        self._scope = scope
        self._range = layout.range(scope)
        self._cancellation = cancellation
        self._patience = patience
        self._waiter = Waiter(cancellation)
        self._slack = uniform(1.0, 1.5)

    def items(self) -> Iterator[Entry | Gone | Mark]:
        """Yield what is there, then each change, until it is cancelled.

        Raises:
            TryAgainError: The server is lost, or does not answer any more (WSATRY_AGAIN 11002).
            NspError: It refuses.
        """
        while not self._waiter.is_over():
            try:
                pages = Pages(self._client, self._layout, self._scope, self._waiter, strict=True)
                yield Mark.BEGIN
                yield from pages.entries()
                yield Mark.LISTED
                yield from self._changes_since(pages.revision)
            except CompactedError:
                continue  # what was changed meanwhile cannot be told: from the beginning
            except TryAgainError:
                if self._waiter.is_over():
                    return
                raise

    def _changes_since(self, revision: int) -> Iterator[Entry | Gone | Mark]:
        request = self._range.message() | {"start_revision": str(revision + 1)}
        stream = Stream(self._client, {"create_request": request}, self._waiter)
        try:
            told = monotonic()
            until = told + self._patience()
            while not self._waiter.is_over():
                due = self._due(stream.endpoint, told)
                message = stream.next(self._waiter.at_most(min(until, due) - monotonic()))
                now = monotonic()
                if message is not None:
                    told = now
                    yield from self._changes_in(message)
                elif now >= self._due(stream.endpoint, told):
                    self._ask(stream.endpoint)
                    continue
                elif now >= until and not self._waiter.is_over():
                    yield Mark.NOTHING
                else:
                    continue
                until = monotonic() + self._patience()
        finally:
            stream.close()

    def _due(self, endpoint: str, told: float) -> float:
        """Return when a server has been silent for too long.

        What others have heard of it counts too, and no two watches ask at the same moment.
        """
        return max(told, self._client.heard(endpoint)) + BEAT * self._slack

    def _ask(self, endpoint: str) -> None:
        """See whether a server is there: from one that has been cut off nothing is heard."""
        body = {"key": encoded(self._layout.probe), "keys_only": True}
        self._client.call("kv/range", body, self._waiter, at=endpoint)

    def _changes_in(self, message: dict[str, Any]) -> Iterator[Entry | Gone]:
        """Yield what a message tells.

        Raises:
            CompactedError: What was to be told is not kept any more; also the first message may
                say so.
            TryAgainError: The watch is over (WSATRY_AGAIN 11002).
        """
        if message.get("canceled"):
            reason = str(message.get("cancel_reason", ""))
            if int(message.get("compact_revision", 0)) or "compacted" in reason:
                raise CompactedError(reason)
            # What may be listed may be watched: the token must have been forgotten in between.
            self._client.forget_token()
            raise TryAgainError(
                f"{self._client.location} tells no changes ({reason:.200}): try again later"
            )
        for event in message.get("events", []):
            change = self._change_in(event)
            if change is not None:
                yield change

    def _change_in(self, event: dict[str, Any]) -> Entry | Gone | None:
        record = event["kv"]
        key = self._layout.key_of(decoded(record, "key"))
        if key is None:
            return None
        if event.get("type") == "DELETE":
            return Gone(key)
        if not self._range.by_name:
            return self._layout.entry_of(record)
        # A name has no record: that is read as it is now, which may be newer.
        body = {"key": encoded(self._layout.service(key))}
        found = self._client.call("kv/range", body, self._waiter).body.get("kvs")
        return self._layout.entry_of(found[0]) if found else Gone(key)
