"""One put: whatever is there, and whatever happens on the way, it is done once or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kazoo.exceptions import NoNodeError

from nspkit.registry import ANYTHING
from nspkit_zookeeper._failures import LOST
from nspkit_zookeeper._nodes import Found, packed

if TYPE_CHECKING:
    from nspkit.registry import Key
    from nspkit_zookeeper._connection import Connection
    from nspkit_zookeeper._leases import Leases
    from nspkit_zookeeper._nodes import Nodes, Version
    from nspkit_zookeeper._writing import Writing


class Put:
    """A value that is to be put under a key."""

    def __init__(
        self,
        connection: Connection,
        nodes: Nodes,
        writing: Writing,
        leases: Leases,
        key: Key,
        value: bytes,
        ttl: float | None,
        expected: object,
    ) -> None:
        self._connection = connection
        self._nodes = nodes
        self._writing = writing
        self._leases = leases
        self._key = key
        self._value = value
        self._ttl = ttl
        self._expected = expected
        self._intended: Version | None = None

    def run(self) -> bool:
        """Do it; False if what is there is not what was expected.

        Raises:
            NspError: See `Store.put`.
        """
        until = self._connection.until()
        lapsed = None if self._ttl is None else self._leases.touch(self._key, self._ttl)
        # What this session has not put is most likely not there: then nobody need look.
        is_new = self._expected is None or (self._expected is ANYTHING and lapsed is None)
        if is_new and self._written(None, until):
            return True
        while True:
            found = self._writing.read(self._key)
            if self._is_done(found, lapsed=lapsed is True):
                return True
            if not self._is_expected(found):
                return False
            if lapsed and found is not None and found.owner == self._connection.session:
                found, lapsed = self._ended(found, until), False
            if self._written(found, until):
                return True
            self._writing.check_time(until, self._key.name)

    def _is_expected(self, found: Found | None) -> bool:
        if self._expected is ANYTHING:
            return True
        return (None if found is None else found.version) == self._expected

    def _is_done(self, found: Found | None, *, lapsed: bool) -> bool:
        """Say whether it is there, by this put or an earlier one; its lease goes on then."""
        if found is None or found.value != self._value:
            return False
        goes_on = not lapsed and found.owner == self._owner() and self._is_expected(found)
        if goes_on or found.version == self._intended:
            self._remember(found.version)
            return True
        return False

    def _owner(self) -> int | None:
        return 0 if self._ttl is None else self._connection.session

    def _remember(self, version: Version) -> None:
        if self._ttl is None:
            self._leases.drop(self._key)
        else:
            self._leases.settle(self._key, version, self._ttl)

    def _ended(self, found: Found, until: float) -> Found | None:
        """End a lease that is over, so that all see that it was; return what is there then."""
        transaction = self._connection.client.transaction()
        self._writing.commit(self._writing.unmake(self._key, found.version, transaction), until)
        if self._expected == found.version:
            self._expected = None
        return None

    def _written(self, found: Found | None, until: float) -> bool:
        """Put it in the place of what was found; False if it has to be looked at again."""
        transaction = self._connection.client.transaction()
        lasting = self._ttl is None
        if found is not None and found.version.incarnation and found.owner == self._owner():
            self._intended = found.version.next()
            # It raises the conflict if the node was made anew since.
            transaction.check(self._nodes.index(self._key, found.version), -1)
            data = packed(self._value, found.version)
            transaction.set_data(self._nodes.leaf(self._key), data, found.version.number)
        else:
            if found is not None:
                self._writing.unmake(self._key, found.version, transaction)
            self._intended = self._writing.make(
                self._key, self._value, lasting=lasting, transaction=transaction
            )
        if self._ttl is not None:
            # Before it is sent: if nobody learns what became of it, it ends all the same.
            self._leases.expect(self._key, self._intended, self._ttl)
        conflict = self._writing.commit(transaction, until)
        if conflict is None:
            self._remember(self._intended)
            return True
        if isinstance(conflict, LOST):
            return False
        self._leases.discard(self._key, self._intended)
        if isinstance(conflict, NoNodeError) and self._intended.number == 0:
            self._writing.make_parents(self._nodes.leaf(self._key), until=until)
        self._intended = None
        return False
