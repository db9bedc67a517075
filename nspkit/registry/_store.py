"""What an engine has to do to be a registry; everything above it is the same for all."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from uuid import UUID

    from nspkit import Cancellation
    from nspkit.registry._keys import Key, Scope


class Anything(Enum):
    """The type of `ANYTHING`."""

    ANYTHING = "anything"


ANYTHING = Anything.ANYTHING
"""As ``expected`` of `Store.put`: replace whatever is there."""


class Entry(NamedTuple):
    """What an engine has under a key.

    Attributes:
        key: The key.
        value: The record, as it was put.
        version: What tells this put from any other of the same key; never None.
        left: How many seconds of its lease are left, where the engine tells without being asked
            once more; else None.
    """

    key: Key
    value: bytes
    version: object
    left: float | None = None


class Gone(NamedTuple):
    """A key that is not there any more.

    Attributes:
        key: The key.
    """

    key: Key


class Mark(Enum):
    """What `Store.follow` yields beside entries."""

    BEGIN = "begin"
    """A list of all that is there begins: at first, and where changes may have been missed."""

    LISTED = "listed"
    """The list is over: what was there before and is not on it is gone."""

    NOTHING = "nothing"
    """Nothing has happened; the patience is over."""


class Store(Protocol):
    """The engine of one started provider; every method may be called from any thread, many at once.

    It keeps bytes under keys, and schemas under GUIDs, and knows nothing of what they say. All
    methods raise `nspkit.errors.TryAgainError` (WSATRY_AGAIN 11002) where the engine is away or
    too slow and may come back, and another `NspError` for what stays wrong. A method that writes
    and raises may have written, as ever with a network, but never half. One that tries again by
    itself has to tell its own write from another's: False is always about another's.

    Attributes:
        location: Where it is, for messages, such as ``etcd at 127.0.0.1:2379``; never a password.
    """

    location: str

    def get(self, key: Key, cancellation: Cancellation | None = None) -> Entry | None:
        """Return the newest entry under a key; None if there is none."""

    def entries(self, scope: Scope, cancellation: Cancellation | None = None) -> Iterator[Entry]:
        """Yield what is there, a page at a time, each key once.

        Of a consistent revision where the engine has one. It may yield more than the scope covers
        (`Scope.covers`), and need not hold anything open between two pages.
        """

    def put(
        self, key: Key, value: bytes, *, ttl: float | None, expected: object = ANYTHING
    ) -> bool:
        """Put a value, in one transaction with all that belongs to it; False if not as expected.

        Args:
            key: Where to.
            value: What.
            ttl: After how many seconds the engine forgets it, if it is not put again; None: never.
                The engine may round it up to what it can do.
            expected: The version that has to be there, None if nothing may be there, or `ANYTHING`.

        The same value put again with the same ``ttl`` renews the lease. It is no change for those
        who follow, and need not write where the engine can renew without; but it must come out
        where the lease is over or the entry another's, and put it anew then.
        """

    def remove(self, key: Key, version: object) -> bool:
        """Remove an entry, with all that belongs to it; False if it is not that version now."""

    def follow(
        self, scope: Scope, cancellation: Cancellation, patience: Callable[[], float]
    ) -> Iterator[Entry | Gone | Mark]:
        """Yield what is there, between `Mark.BEGIN` and `Mark.LISTED`, then each change.

        It returns when it is cancelled, at once, and raises when the engine is lost, or silent
        for too long: who follows calls again, later. Where changes may have been missed and the
        engine is there, it lists again. It may yield more than the scope covers, and the same
        twice; of changes in between it need not tell. ``patience()`` says for how many seconds
        at most to wait before `Mark.NOTHING` is yielded, so that the reader can do other work.
        """

    def get_class(self, class_id: UUID) -> bytes | None:
        """Return a schema; None if there is none."""

    def put_class(self, class_id: UUID, value: bytes) -> bool:
        """Put a schema that never ends; False, and nothing done, if there is one."""

    def remove_class(self, class_id: UUID, check_unused: Callable[[], None]) -> bool:
        """Remove a schema; False if there is none.

        ``check_unused()`` asks this store for its entries and raises where one is of that class;
        it is called once at least. An engine that can tells that an instance was put meanwhile,
        and has it called again; it gives up with TryAgainError after a while.
        """
