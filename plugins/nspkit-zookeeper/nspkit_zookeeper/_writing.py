"""What changes the tree: transactions, and the nodes that they need above them."""

from __future__ import annotations

import functools
from time import monotonic
from typing import TYPE_CHECKING, Any

from kazoo.exceptions import (
    BadVersionError,
    KazooException,
    NoAuthError,
    NodeExistsError,
    NoNodeError,
    NotEmptyError,
    RolledBackError,
    RuntimeInconsistency,
    ZookeeperError,
)

from nspkit.errors import TryAgainError
from nspkit_zookeeper._failures import LOST
from nspkit_zookeeper._nodes import Found, Version, found_in, packed, parents

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nspkit.registry import Key
    from nspkit_zookeeper._connection import Connection, Waiter
    from nspkit_zookeeper._nodes import Nodes

CONFLICTS = (BadVersionError, NoNodeError, NodeExistsError, NotEmptyError)
"""What is there is not what was expected, so that nothing was done."""


class Writing:
    """Transactions over one connection."""

    def __init__(self, connection: Connection, nodes: Nodes) -> None:
        """Write below the prefix of ``nodes``."""
        self._connection = connection
        self._client = connection.client
        self._nodes = nodes

    def read(self, key: Key, waiter: Waiter | None = None) -> Found | None:
        """Return what is in the node of a key; None if it is not there.

        Raises:
            NspError: See `translated`.
        """
        begin = functools.partial(self._client.get_async, self._nodes.leaf(key))
        try:
            return found_in(*self._connection.ask(begin, waiter))
        except NoNodeError:
            return None
        except KazooException as error:
            raise self._connection.translated(error) from error

    def commit(self, transaction: Any, until: float) -> ZookeeperError | None:
        """Do a transaction; return the conflict, or that the connection broke, if it did not do.

        Raises:
            NspError: Anything else; see `translated`.
        """
        self._connection.await_connected(until)
        try:
            results = self._connection.wait(transaction.commit_async(), until)
        except LOST as error:
            return error
        except KazooException as error:
            raise self._connection.translated(error) from error
        for result in results:
            if isinstance(result, RolledBackError | RuntimeInconsistency):
                continue  # the others of a transaction that was not done
            if isinstance(result, CONFLICTS):
                return result
            if isinstance(result, Exception):
                raise self._connection.translated(result) from result
        return None

    def make(self, key: Key, value: bytes, *, lasting: bool, transaction: Any) -> Version:
        """Add to a transaction that the nodes of an instance are made."""
        version = Version.new()
        data, leaf = packed(value, version), self._nodes.leaf(key)
        transaction.create(leaf, data, ephemeral=not lasting)
        transaction.create(self._nodes.index(key, version), ephemeral=not lasting)
        return version

    def unmake(self, key: Key, version: Version, transaction: Any) -> Any:
        """Add to a transaction that the nodes of an instance are removed; returns it."""
        transaction.delete(self._nodes.leaf(key), version.number)
        if version.incarnation:
            transaction.delete(self._nodes.index(key, version))
        return transaction

    def begin_removal(self, key: Key, version: Version) -> Any:
        """Begin to remove an instance; whatever comes of it is in what is returned."""
        pending = self.unmake(key, version, self._client.transaction()).commit_async()
        self.tidy(key)
        return pending

    def tidy(self, key: Key) -> None:
        """Have the nodes of a context and a class removed that are empty; nobody waits for it.

        ZooKeeper removes none that has children, and who makes one finds out that they are gone.
        """
        context = self._nodes.leaf(key).rpartition("/")[0]
        for path in (context, context.rpartition("/")[0]):
            self._client.delete_async(path)

    def make_parents(self, path: str, *, until: float) -> None:
        """Make what is missing above a node, and the index of names.

        Raises:
            NspError: See `translated`.
        """
        above = dict.fromkeys([*parents(path), *parents(self._nodes.buckets[0])])
        begins = (functools.partial(self._client.create_async, one) for one in above)
        denied: KazooException | None = None
        for _made, error in self._connection.ask_all(begins):
            # Who may not make the highest ones may all the same be at home below them.
            if isinstance(error, NoAuthError):
                denied = denied or error
            elif error is None:
                denied = None
            elif not isinstance(error, NodeExistsError | NoNodeError):
                raise self._connection.translated(error) from error
        if denied is not None and not self._are_there(above):
            raise self._connection.translated(denied) from denied
        if not self._are_there(self._nodes.buckets[:1]):
            transaction = self._client.transaction()
            for bucket in self._nodes.buckets:
                transaction.create(bucket)
            # All or none: if it is a conflict, others have made them.
            self.commit(transaction, until)

    def _are_there(self, paths: Iterable[str]) -> bool:
        begins = (functools.partial(self._client.exists_async, path) for path in paths)
        return all(stat is not None for stat, _error in self._connection.ask_all(begins))

    def check_time(self, until: float, what: object) -> None:
        """See that there is still time.

        Raises:
            TryAgainError: There is none (WSATRY_AGAIN 11002).
        """
        if monotonic() > until:
            raise TryAgainError(
                f"{self._connection.location} is away, or others change {what!r:.100} all the "
                "time: try again later"
            )
