"""Listing: what is there at one revision, a page at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nspkit_etcd._failures import CompactedError
from nspkit_etcd._layout import decoded, encoded

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nspkit.registry import Entry, Scope
    from nspkit_etcd._client import Client
    from nspkit_etcd._layout import Layout
    from nspkit_etcd._waiter import Waiter

PAGE = 500
"""How many entries are asked for at once."""

_TOGETHER = 100
"""How many reads are one transaction; a server takes 128 where nobody has set it otherwise."""


class Pages:
    """One listing; its iterator is used by one thread at a time.

    Attributes:
        revision: The revision that it is of; 0 before the first page.
    """

    def __init__(
        self, client: Client, layout: Layout, scope: Scope, waiter: Waiter, *, strict: bool = False
    ) -> None:
        """List what ``scope`` can cover.

        Args:
            client: The servers.
            layout: Where everything is.
            scope: What is meant.
            waiter: Who waits.
            strict: Whether it has to be of one revision, even if that is not kept any more.
        """
        self.revision = 0
        self._client = client
        self._layout = layout
        self._range = layout.range(scope)
        self._waiter = waiter
        self._strict = strict

    def entries(self) -> Iterator[Entry]:
        """Yield each entry once, in the order of the keys.

        Where the revision is not kept any more it goes on at a newer one, after the last key.

        Raises:
            CompactedError: So it is, and it has to be of one revision.
            NspError: etcd is away, or refuses it.
        """
        start = self._range.start
        while True:
            body = self._range.message() | {"key": encoded(start), "limit": str(PAGE)}
            if self._range.by_name:
                body["keys_only"] = True
            answer = self._call("kv/range", body, [body])
            found = answer.get("kvs", [])
            yield from self._records(found) if self._range.by_name else self._entries(found)
            if not answer.get("more") or not found:
                return
            start = decoded(found[-1], "key") + b"\0"

    def _records(self, names: list[dict[str, Any]]) -> Iterator[Entry]:
        keys = [self._layout.key_of(decoded(name, "key")) for name in names]
        places = [self._layout.service(key) for key in keys if key is not None]
        for first in range(0, len(places), _TOGETHER):
            reads = [{"key": encoded(place)} for place in places[first : first + _TOGETHER]]
            operations = [{"request_range": read} for read in reads]
            answer = self._call("kv/txn", {"success": operations}, reads)
            for response in answer.get("responses", []):
                yield from self._entries(response["response_range"].get("kvs", []))

    def _entries(self, found: list[dict[str, Any]]) -> Iterator[Entry]:
        for message in found:
            entry = self._layout.entry_of(message)
            if entry is not None:
                yield entry

    def _call(self, path: str, body: dict[str, Any], reads: list[dict[str, Any]]) -> dict[str, Any]:
        """Send a request whose reads are of the revision, and note that of the first."""
        while True:
            for read in reads:
                read["revision"] = str(self.revision)  # 0 is the newest
            try:
                answer = self._client.call(path, body, self._waiter)
            except CompactedError:
                if self._strict or not self.revision:
                    raise
                self.revision = 0
            else:
                self.revision = self.revision or answer.revision
                return answer.body
