"""One put: whatever is there, and whatever happens on the way, it is done once or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kazoo.exceptions import NoNodeError

from nspkit.registry import ANYTHING
from nspkit_zookeeper._failures import LOST
from nspkit_zookeeper._nodes import Found, packed

if TYPE_CHECKING:
    from kazoo.exceptions import ZookeeperError

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
        # What this put may have done when the connection broke; another server may know later.
        self._lost: set[Version] = set()
        self._may_be_ended = False

    def run(self) -> bool:
        """Do it; False if what is there is not what was expected.

        Raises:
            NspError: See `Store.put`.
        """
        self._connection.check_here()  # before the lock of the leases, which a child may find held
        until = self._connection.until()
        lapsed = None if self._ttl is None else self._leases.touch(self._key, self._ttl)
        # What this session has not put is most likely not there: then nobody need look.
        is_new = self._expected is None or (self._expected is ANYTHING and lapsed is None)
        if is_new and self._written(None, until):
            return True
        while True:
            found, is_clear = self._writing.read(self._key), True
            if self._was_made(found) or self._is_done(found, lapsed=lapsed is True):
                return True
            if not self._is_expected(found):
                return False
            if lapsed and found is not None and found.owner == self._connection.session:
                conflict = self._end(found, until)
                lapsed = isinstance(conflict, LOST)
                is_clear, found = conflict is None, None
            if is_clear and self._written(found, until):
                return True
            self._writing.check_time(until, self._key.name)

    def _is_expected(self, found: Found | None) -> bool:
        if self._expected is ANYTHING:
            return True
        if found is None:
            return self._expected is None or self._may_be_ended
        return found.version == self._expected

    def _was_made(self, found: Found | None) -> bool:
        """Say whether this put has made the node, and others have changed it since."""
        return found is not None and any(
            lost.number == 0 < found.version.number
            and lost.incarnation == found.version.incarnation
            for lost in self._lost
        )

    def _is_done(self, found: Found | None, *, lapsed: bool) -> bool:
        """Say whether it is there, by this put or an earlier one; its lease goes on then."""
        if found is None or found.value != self._value:
            return False
        goes_on = not lapsed and found.owner == self._owner() and self._is_expected(found)
        if goes_on or found.version in self._lost:
            self._remember(found.version)
            return True
        return False

    def _owner(self) -> int | None:
        return 0 if self._ttl is None else self._connection.session

    def _remember(self, version: Version, replaced: Version | None = None) -> None:
        if self._ttl is not None:
            self._leases.settle(self._key, version, self._ttl, replaced)
        elif replaced is not None:
            self._leases.discard(self._key, replaced)

    def _end(self, found: Found, until: float) -> ZookeeperError | None:
        """End a lease that is over, so that all see that it was; return why that was not done."""
        transaction = self._connection.client.transaction()
        self._writing.unmake(self._key, found.version, transaction)
        conflict = self._writing.commit(transaction, until)
        if self._expected == found.version and (conflict is None or isinstance(conflict, LOST)):
            self._may_be_ended = True
        return conflict

    def _written(self, found: Found | None, until: float) -> bool:
        """Put it in the place of what was found; False if it has to be looked at again."""
        transaction = self._connection.client.transaction()
        lasting = self._ttl is None
        if found is not None and found.version.incarnation and found.owner == self._owner():
            intended = found.version.next()
            # It raises the conflict if the node was made anew since.
            transaction.check(self._nodes.index(self._key, found.version), -1)
            data = packed(self._value, found.version)
            transaction.set_data(self._nodes.leaf(self._key), data, found.version.number)
        else:
            if found is not None:
                self._writing.unmake(self._key, found.version, transaction)
            intended = self._writing.make(
                self._key, self._value, lasting=lasting, transaction=transaction
            )
        if self._ttl is not None:
            # Before it is sent: if nobody learns what became of it, it ends all the same.
            self._leases.expect(self._key, intended, self._ttl)
        conflict = self._writing.commit(transaction, until)
        if conflict is None:
            self._remember(intended, None if found is None else found.version)
            return True
        if isinstance(conflict, LOST):
            self._lost.add(intended)
            return False
        if intended not in self._lost:
            self._leases.discard(self._key, intended)
        if isinstance(conflict, NoNodeError) and intended.number == 0:
            self._writing.make_parents(self._nodes.leaf(self._key), until=until)
        return False
