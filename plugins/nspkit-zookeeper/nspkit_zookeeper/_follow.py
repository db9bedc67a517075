"""Following changes, with a watch on each node.

A watch of ZooKeeper fires once, and kazoo knows none of another kind: what has fired is read again,
which sets the next. Nothing is missed: what happens between the two is in what is read. When the
connection breaks, all watches are gone, and everything is read again after it.

kazoo cannot take a watch back either. So all who follow share one function for all nodes, which it
keeps once for each, and which tells those who are there then.
"""

from __future__ import annotations

from functools import partial
from queue import Empty, SimpleQueue
from time import monotonic
from typing import TYPE_CHECKING, Any

from kazoo.exceptions import NoNodeError
from kazoo.protocol.states import EventType

from nspkit.errors import TryAgainError
from nspkit.registry import Entry, Gone, Mark
from nspkit_zookeeper._connection import Waiter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from nspkit import Cancellation
    from nspkit_zookeeper._connection import Connection
    from nspkit_zookeeper._listing import Listing, Way

    News = Iterator[Entry | Gone | Mark]

_GRACE = 1.0
"""Seconds within which a broken connection may come back before who follows is told."""

_LOST = ""
"""In the place of a path: the connection broke, and every watch with it."""


class Hub:
    """Tells all who follow which node has changed."""

    def __init__(self, connection: Connection) -> None:
        self._queues: set[SimpleQueue[str | None]] = set()
        connection.listeners.add(partial(self._tell, _LOST))

    def join(self) -> SimpleQueue[str | None]:
        """Return a queue of the paths that change from now on."""
        queue: SimpleQueue[str | None] = SimpleQueue()
        self._queues.add(queue)
        return queue

    def leave(self, queue: SimpleQueue[str | None]) -> None:
        """Put nothing more into a queue."""
        self._queues.discard(queue)

    def changed(self, event: Any) -> None:
        """Be told by kazoo that a watch has fired."""
        if event.type != EventType.NONE:  # that the connection broke is told by its listener
            self._tell(event.path)

    def _tell(self, path: str) -> None:
        for queue in tuple(self._queues):
            queue.put(path)


class Follow:
    """One who follows; used by one thread at a time."""

    def __init__(
        self,
        connection: Connection,
        listing: Listing,
        hub: Hub,
        way: Way,
        cancellation: Cancellation,
    ) -> None:
        self._connection = connection
        self._listing = listing
        self._hub = hub
        self._way = way
        self._cancellation = cancellation
        self._waiter = Waiter(cancellation)
        self._known: dict[str, Entry] = {}
        self._folders: dict[str, set[str]] = {}

    def news(self, patience: Callable[[], float]) -> News:
        """Yield what is there, then each change, until nobody waits any more.

        Raises:
            TryAgainError: The connection broke and did not come back at once, or the server is
                silent (WSATRY_AGAIN 11002).
            NspError: It refuses; see `translated`.
        """
        queue = self._hub.join()
        try:
            self._cancellation.on_cancel(lambda: queue.put(None))
            while not self._cancellation.cancelled:
                self._await_connected()
                while not queue.empty():
                    queue.get()
                self._known, self._folders = {}, {}
                yield Mark.BEGIN
                yield from self._looked_at(self._way.roots)
                yield Mark.LISTED
                yield from self._changes(queue, patience)
        except TryAgainError:
            if not self._cancellation.cancelled:
                raise
        finally:
            self._hub.leave(queue)

    def _await_connected(self) -> None:
        until = min(monotonic() + _GRACE, self._connection.until(self._waiter))
        self._connection.await_connected(until, self._waiter)

    def _changes(self, queue: SimpleQueue[str | None], patience: Callable[[], float]) -> News:
        """Yield changes until the connection breaks, or nobody waits any more."""
        while not self._cancellation.cancelled:
            try:
                touched = {queue.get(timeout=patience())}
            except Empty:
                yield Mark.NOTHING
                continue
            while not queue.empty():
                touched.add(queue.get())
            if _LOST in touched:
                return
            yield from self._looked_at(
                path for path in touched if path is not None and self._is_mine(path)
            )

    def _is_mine(self, path: str) -> bool:
        return path in self._known or path in self._folders or path in self._way.roots

    def _looked_at(self, paths: Iterable[str]) -> News:
        """Read these nodes again, all that is new below them, and yield what is different."""
        folders: list[str] = []
        leaves: list[str] = []
        for path in paths:
            is_leaf = path in self._known or self._way.single is not None
            (leaves if is_leaf else folders).append(path)
        while folders:
            further: list[str] = []
            for folder, children in self._children(folders):
                before = self._folders.pop(folder, set())
                if children is None:  # made again, it is a new one of the folder above
                    yield from self._forgotten(before)
                    continue
                down, below = self._way.below(folder, children)
                now = self._folders[folder] = {*down, *below}
                further += [path for path in down if path not in self._folders]
                leaves += [path for path in below if path not in self._known]
                yield from self._forgotten(before - now)
            folders = further
        yield from self._read(dict.fromkeys(leaves))

    def _forgotten(self, paths: Iterable[str]) -> News:
        """Forget nodes, and all below them."""
        for path in paths:
            known = self._known.pop(path, None)
            if known is not None:
                yield Gone(known.key)
            yield from self._forgotten(self._folders.pop(path, ()))

    def _children(self, folders: list[str]) -> Iterator[tuple[str, list[str] | None]]:
        client, told = self._connection.client, self._hub.changed
        begins = [partial(client.get_children_async, folder, told) for folder in folders]
        for folder, children in self._answers(folders, begins):
            yield folder, children
            if children is None and folder in self._way.roots and self._is_there(folder):
                yield from self._children([folder])

    def _read(self, leaves: Iterable[str]) -> News:
        paths = list(leaves)
        client, told = self._connection.client, self._hub.changed
        begins = [partial(client.get_async, path, told) for path in paths]
        for path, answer in self._answers(paths, begins):
            entry = None if answer is None else self._listing.entry(path, *answer)
            before = self._known.pop(path, None)
            if entry is not None:
                self._known[path] = entry
                if before is None or before.version != entry.version:
                    yield entry
            elif before is not None:
                yield Gone(before.key)
            if answer is None and path in self._way.roots and self._is_there(path):
                yield from self._read([path])

    def _is_there(self, path: str) -> bool:
        """Set a watch on a node that was not there; tell whether it is there now."""
        begin = partial(self._connection.client.exists_async, path, self._hub.changed)
        [(_path, stat)] = self._answers([path], [begin])
        return stat is not None

    def _answers(self, paths: list[str], begins: list[Any]) -> Iterator[tuple[str, Any]]:
        """Yield the answer for each path; None where the node is not there."""
        answers = self._connection.ask_all(begins, self._waiter)
        for path, (answer, error) in zip(paths, answers, strict=True):
            if error is not None and not isinstance(error, NoNodeError):
                raise self._connection.translated(error) from error
            yield path, answer
