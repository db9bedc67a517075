"""The schemas of classes: nodes that stay, and that go only when nothing is of the class."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from kazoo.exceptions import KazooException, NodeExistsError, NoNodeError

from nspkit.registry import Key
from nspkit_zookeeper._failures import LOST

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from nspkit_zookeeper._connection import Connection
    from nspkit_zookeeper._nodes import Nodes
    from nspkit_zookeeper._writing import Writing


class Classes:
    """The schemas below one prefix."""

    def __init__(self, connection: Connection, nodes: Nodes, writing: Writing) -> None:
        self._connection = connection
        self._client = connection.client
        self._nodes = nodes
        self._writing = writing

    def get(self, class_id: UUID) -> bytes | None:
        """Return a schema; None if there is none."""
        answer = self._answer(partial(self._client.get_async, self._nodes.schema(class_id)))
        return None if answer is None else bytes(answer[0])

    def put(self, class_id: UUID, value: bytes) -> bool:
        """Put a schema; False if there is one."""
        path, until, lost = self._nodes.schema(class_id), self._connection.until(), False
        while True:
            transaction = self._client.transaction()
            transaction.create(path, value)
            conflict = self._writing.commit(transaction, until)
            if conflict is None:
                return True
            if isinstance(conflict, NodeExistsError):
                # If the connection broke before, it was this call that has made it.
                return lost and self.get(class_id) == value
            if isinstance(conflict, NoNodeError):
                self._writing.make_parents(path, until=until)
            lost = lost or isinstance(conflict, LOST)
            self._writing.check_time(until, class_id)

    def remove(self, class_id: UUID, check_unused: Callable[[], None]) -> bool:
        """Remove a schema; False if there is none."""
        until, lost = self._connection.until(), False
        folder = self._nodes.leaf(Key(class_id, "", "-")).rsplit("/", 2)[0]
        while True:
            if self.get(class_id) is None:
                return lost
            transaction = self._client.transaction()
            # First what it relies upon, so that what is put after that is a conflict.
            self._rely_on_what_is_there(folder, transaction)
            check_unused()
            transaction.delete(self._nodes.schema(class_id))
            conflict = self._writing.commit(transaction, until)
            if conflict is None:
                return True
            if isinstance(conflict, NoNodeError):
                self._writing.make_parents(folder, until=until)
            lost = lost or isinstance(conflict, LOST)
            self._writing.check_time(until, class_id)

    def _rely_on_what_is_there(self, folder: str, transaction: Any) -> None:
        """Add what ZooKeeper refuses to do if an instance has come.

        It removes no node that has children: so the nodes of contexts without any go, and that of
        the class, which is made for that if need be. Instances that were deregistered have to be
        as they are now; only what comes beside those in the same context is not noticed.
        """
        contexts = self._answer(partial(self._client.get_children_async, folder))
        if contexts is None:
            transaction.create(folder)
        is_empty = True
        for context in contexts or ():
            path = f"{folder}/{context}"
            names = self._answer(partial(self._client.get_children_async, path)) or ()
            for name in names:
                stat = self._answer(partial(self._client.exists_async, f"{path}/{name}"))
                transaction.check(f"{path}/{name}", 0 if stat is None else stat.version)
            if names:
                is_empty = False
            else:
                transaction.delete(path)
        if is_empty:
            transaction.delete(folder)

    def _answer(self, begin: Any) -> Any:
        try:
            return self._connection.ask(begin)
        except NoNodeError:
            return None
        except KazooException as error:
            raise self._connection.translated(error) from error
