"""The engine of a registry: one session with ZooKeeper, and what is kept below one prefix."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nspkit.errors import InvalidArgumentError
from nspkit.registry import ANYTHING, Entry
from nspkit_zookeeper._classes import Classes
from nspkit_zookeeper._connection import Connection, Waiter
from nspkit_zookeeper._failures import LOST
from nspkit_zookeeper._follow import Follow, Hub
from nspkit_zookeeper._leases import Leases
from nspkit_zookeeper._listing import Listing, Way
from nspkit_zookeeper._nodes import LARGEST, Nodes, Version
from nspkit_zookeeper._put import Put
from nspkit_zookeeper._writing import Writing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from uuid import UUID

    from nspkit import Cancellation
    from nspkit.registry import Gone, Key, Mark, Scope, Settings


class ZookeeperStore:
    """Keeps what is registered in ZooKeeper; see `nspkit.registry.Store`.

    Attributes:
        location: Where it is, for messages.
        leases: What ends, of what this session has put.
    """

    def __init__(self, settings: Settings, session_timeout: float) -> None:
        """Make one that is not connected.

        Raises:
            NotReadyError: A file for TLS cannot be read (WSASYSNOTREADY 10091).
        """
        self._connection = Connection(settings, session_timeout)
        self.location = self._connection.location
        self._nodes = Nodes(settings.prefix)
        self._writing = Writing(self._connection, self._nodes)
        self._listing = Listing(self._connection, self._nodes)
        self._hub = Hub(self._connection)
        self._classes = Classes(self._connection, self._nodes, self._writing)
        client = self._connection.client
        self.leases = Leases(lambda: client.connected, self._writing.begin_removal)

    def open(self) -> None:
        """Connect; see `Connection.open`."""
        self._connection.open()

    def close(self) -> None:
        """End the session; what it has put with a ``ttl`` goes with it."""
        self._connection.close()

    def get(self, key: Key, cancellation: Cancellation | None = None) -> Entry | None:
        """Return the newest entry under a key; None if there is none."""
        if not self._nodes.has_room(key):
            return None
        found = self._writing.read(key, Waiter(cancellation))
        return None if found is None else Entry(key, found.value, found.version)

    def entries(self, scope: Scope, cancellation: Cancellation | None = None) -> Iterator[Entry]:
        """Yield what is there; it is no snapshot."""
        return self._listing.entries(Way(self._nodes, scope), Waiter(cancellation))

    def put(
        self, key: Key, value: bytes, *, ttl: float | None, expected: object = ANYTHING
    ) -> bool:
        """Put a value; with a ``ttl`` it goes with the session at the latest.

        Raises:
            InvalidArgumentError: It is more than a transaction can have (WSAEINVAL 10022).
        """
        self._check_size(len(value) + 4 * len(self._nodes.leaf(key)), key.name)
        return Put(
            self._connection,
            self._nodes,
            self._writing,
            self.leases,
            key,
            value,
            ttl,
            expected,
        ).run()

    def remove(self, key: Key, version: object) -> bool:
        """Remove an entry; False if it is not that version any more."""
        if not isinstance(version, Version):
            return False
        self._connection.check_here()
        until, lost = self._connection.until(), False
        while True:
            transaction = self._connection.client.transaction()
            conflict = self._writing.commit(self._writing.unmake(key, version, transaction), until)
            if conflict is None:
                self.leases.discard(key, version)
                self._writing.tidy(key)
                return True
            if not isinstance(conflict, LOST):
                # If the connection broke, it was this call that has done it.
                return lost and self._writing.read(key) is None
            lost = True
            self._writing.check_time(until, key.name)

    def follow(
        self, scope: Scope, cancellation: Cancellation, patience: Callable[[], float]
    ) -> Iterator[Entry | Gone | Mark]:
        """Yield what is there, then each change; see `Follow`."""
        way = Way(self._nodes, scope)
        follow = Follow(self._connection, self._listing, self._hub, way, cancellation)
        return follow.news(patience)

    def get_class(self, class_id: UUID) -> bytes | None:
        """Return a schema; None if there is none."""
        return self._classes.get(class_id)

    def put_class(self, class_id: UUID, value: bytes) -> bool:
        """Put a schema that never ends; False, and nothing done, if there is one."""
        self._check_size(len(value) + len(self._nodes.schema(class_id)), class_id)
        return self._classes.put(class_id, value)

    def remove_class(self, class_id: UUID, check_unused: Callable[[], None]) -> bool:
        """Remove a schema; False if there is none."""
        return self._classes.remove(class_id, check_unused)

    def _check_size(self, size: int, what: object) -> None:
        if size > LARGEST:
            raise InvalidArgumentError(
                f"{what!s:.100} has {size} bytes as it is stored, and {self.location} takes "
                f"{LARGEST}: make its blob or attributes smaller"
            )
