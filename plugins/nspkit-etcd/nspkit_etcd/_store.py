"""The registry in etcd: what is read, listed, written and followed there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nspkit.errors import AccessDeniedError, NotReadyError, NspError, TryAgainError
from nspkit.registry import ANYTHING, EVERYTHING
from nspkit_etcd._following import Follower
from nspkit_etcd._layout import Layout, decoded, encoded
from nspkit_etcd._pages import Pages
from nspkit_etcd._waiter import Waiter
from nspkit_etcd._writing import Writer, is_gone, read_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from uuid import UUID

    from nspkit import Cancellation
    from nspkit.registry import Entry, Gone, Key, Mark, Scope
    from nspkit_etcd._client import Client

_TRIES = 10
"""How often a class is looked at again because services of it were put meanwhile."""


class EtcdStore:
    """What `nspkit.registry.Store` says, in etcd; every method may be called from any thread.

    Attributes:
        location: Where the servers are.
    """

    def __init__(self, client: Client, prefix: str) -> None:
        """Keep everything below ``prefix``; nothing is asked yet."""
        self.location = client.location
        self._client = client
        self._layout = Layout(prefix)
        self._writer = Writer(client, self._layout)

    def check(self) -> None:
        """See whether etcd is there, and lets this user read.

        Raises:
            AccessDeniedError: It does not (WSAEACCES 10013).
            NotReadyError: It is not there (WSASYSNOTREADY 10091).
        """
        try:
            self._one(self._layout.probe, Waiter())
        except AccessDeniedError:
            raise
        except NspError as error:
            raise NotReadyError(error.message) from error

    def close(self) -> None:
        """Close the connections; nothing is asked or told.

        Leases that are held end by themselves, so that a cleanup withdraws nothing and waits for
        nobody.
        """
        self._client.close()

    def get(self, key: Key, cancellation: Cancellation | None = None) -> Entry | None:
        """Return the newest entry under a key; None if there is none."""
        found = self._one(self._layout.service(key), Waiter(cancellation))
        return None if found is None else self._layout.entry_of(found)

    def entries(self, scope: Scope, cancellation: Cancellation | None = None) -> Iterator[Entry]:
        """Yield what is there at one revision, a page at a time."""
        key = scope.exact()
        if key is None:
            waiter = Waiter(cancellation)
            yield from Pages(self._client, self._layout, scope, waiter).entries()
            return
        entry = self.get(key, cancellation)
        if entry is not None:
            yield entry

    def put(
        self, key: Key, value: bytes, *, ttl: float | None, expected: object = ANYTHING
    ) -> bool:
        """Put a value with its name, on a lease; False if not as expected."""
        return self._writer.put(key, value, ttl=ttl, expected=expected)

    def remove(self, key: Key, version: object) -> bool:
        """Remove an entry with its name; False if it is not that version any more."""
        return self._writer.remove(key, version)

    def follow(
        self, scope: Scope, cancellation: Cancellation, patience: Callable[[], float]
    ) -> Iterator[Entry | Gone | Mark]:
        """Yield what is there, then each change."""
        follower = Follower(self._client, self._layout, scope, cancellation, patience)
        return follower.items()

    def get_class(self, class_id: UUID) -> bytes | None:
        """Return a schema; None if there is none."""
        found = self._one(self._layout.schema(class_id), Waiter())
        return None if found is None else decoded(found, "value")

    def put_class(self, class_id: UUID, value: bytes) -> bool:
        """Put a schema that never ends; False, and nothing done, if there is one."""
        place = encoded(self._layout.schema(class_id))
        body = {
            "compare": [{"key": place, "target": "VERSION", "result": "EQUAL", "version": "0"}],
            "success": [{"request_put": {"key": place, "value": encoded(value)}}],
            "failure": [{"request_range": {"key": place}}],
        }
        answer = self._client.call("kv/txn", body, Waiter())
        if answer.succeeded or not answer.doubtful:
            return answer.succeeded
        # An earlier attempt may have put it.
        there = read_of(answer)
        return there is not None and decoded(there, "value") == value

    def remove_class(self, class_id: UUID, check_unused: Callable[[], None]) -> bool:
        """Remove a schema that no service has; False if there is none.

        Raises:
            TryAgainError: Services of it were put all the time (WSATRY_AGAIN 11002).
            NspError: What ``check_unused`` raised, or etcd refuses it.
        """
        place = encoded(self._layout.schema(class_id))
        doubtful: str | None = None  # the version that an attempt may have removed
        for _ in range(_TRIES):
            answer = self._client.call("kv/range", {"key": place}, Waiter())
            found = answer.body.get("kvs")
            if not found:
                return doubtful is not None  # by an earlier attempt, then
            if doubtful is not None and is_gone(found[0], doubtful):
                return True  # and somebody has put it anew
            check_unused()
            body = {
                "compare": self._as_it_was(class_id, found[0], answer.revision),
                "success": [{"request_delete_range": {"key": place}}],
            }
            removal = self._client.call("kv/txn", body, Waiter())
            if removal.succeeded:
                return True
            if removal.doubtful:
                doubtful = found[0]["mod_revision"]
        raise TryAgainError(
            f"services of the class {class_id} were registered in {self.location} all the time: "
            "try again later"
        )

    def _as_it_was(
        self, class_id: UUID, schema: dict[str, Any], revision: int
    ) -> list[dict[str, Any]]:
        """Return what is compared: the schema, and that no service of it was put since."""
        services = self._layout.range(EVERYTHING._replace(class_id=class_id)).message()
        return [
            {
                "key": schema["key"],
                "target": "MOD",
                "result": "EQUAL",
                "mod_revision": schema["mod_revision"],
            },
            {**services, "target": "MOD", "result": "LESS", "mod_revision": str(revision + 1)},
        ]

    def _one(self, place: bytes, waiter: Waiter) -> dict[str, Any] | None:
        found = self._client.call("kv/range", {"key": encoded(place)}, waiter).body.get("kvs")
        return found[0] if found else None
