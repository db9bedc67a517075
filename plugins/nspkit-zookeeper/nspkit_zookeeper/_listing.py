"""Lists: the children of nodes, then what is in them, many requests at a time."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from kazoo.exceptions import NoNodeError

from nspkit.registry import Entry, Key
from nspkit_zookeeper._nodes import found_in

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from nspkit.registry import Scope
    from nspkit_zookeeper._connection import Connection, Waiter
    from nspkit_zookeeper._nodes import Nodes

    Below = Iterator[tuple[list[str], list[str]]]

_PAGE = 1000
"""Of so many nodes the paths are kept at a time, beside the names of one context."""


class Way:
    """The way from a scope down to its instances.

    Attributes:
        roots: The nodes that it begins at; those of a single instance are instances.
    """

    def __init__(self, nodes: Nodes, scope: Scope) -> None:
        """Find it; nothing is asked."""
        self._nodes = nodes
        self._scope = scope
        self.by_name = scope.name is not None
        self.single = scope.exact()
        if self.single is not None:
            self.roots = [nodes.leaf(self.single)] if nodes.has_room(self.single) else []
        elif scope.name is not None:
            self.roots = [nodes.bucket(scope.name)]
        elif scope.class_id is None:
            self.roots = [nodes.services]
        else:
            # A leaf of any name tells the class's part of the path.
            leaf = nodes.leaf(Key(scope.class_id, "", "-"))
            self.roots = [leaf.rsplit("/", 2)[0]]

    def below(self, folder: str, children: Iterable[str]) -> tuple[list[str], list[str]]:
        """Return what of a node's children is on the way: folders, and instances."""
        if self.by_name:
            keys = {key for key in map(self._indexed, children) if key is not None}
            return [], sorted(map(self._nodes.leaf, keys))
        paths = [f"{folder}/{child}" for child in sorted(children)]
        depth = folder.count("/") - self._nodes.services.count("/")
        if depth == 0:
            return paths, []
        if depth == 1:
            return [path for path in paths if self._is_in_scope(path)], []
        return [], paths

    def _indexed(self, child: str) -> Key | None:
        try:
            key = self._nodes.indexed(child)
        except ValueError:
            return None  # nobody has registered that
        return key if self._scope.covers(key) else None

    def _is_in_scope(self, folder: str) -> bool:
        try:
            key = self._nodes.key(f"{folder}/-")
        except ValueError:
            return False
        return self._scope._replace(name=None).covers(key)


class Listing:
    """What is there of a scope."""

    def __init__(self, connection: Connection, nodes: Nodes) -> None:
        self._connection = connection
        self._nodes = nodes

    def entries(self, way: Way, waiter: Waiter) -> Iterator[Entry]:
        """Yield it; what vanishes meanwhile is left out.

        Raises:
            NspError: See `translated`.
        """
        if way.single is not None:
            yield from self._read(way.roots, waiter)
            return
        folders = list(way.roots)
        while folders:
            further: list[str] = []
            for folder, children in self._children(folders, waiter):
                down, leaves = way.below(folder, children)
                further += down
                for start in range(0, len(leaves), _PAGE):
                    yield from self._read(leaves[start : start + _PAGE], waiter)
            folders = further

    def _children(self, folders: list[str], waiter: Waiter) -> Iterator[tuple[str, list[str]]]:
        begins = (partial(self._connection.client.get_children_async, path) for path in folders)
        yield from self._answers(folders, begins, waiter)

    def _read(self, leaves: list[str], waiter: Waiter) -> Iterator[Entry]:
        begins = (partial(self._connection.client.get_async, path) for path in leaves)
        for leaf, (data, stat) in self._answers(leaves, begins, waiter):
            entry = self.entry(leaf, data, stat)
            if entry is not None:
                yield entry

    def entry(self, leaf: str, data: bytes, stat: Any) -> Entry | None:
        """Return what is in the node of an instance; None if it is none of nspkit's."""
        try:
            key = self._nodes.key(leaf)
        except ValueError:
            return None
        found = found_in(data, stat)
        return Entry(key, found.value, found.version)

    def _answers(
        self, paths: list[str], begins: Iterable[Any], waiter: Waiter
    ) -> Iterator[tuple[str, Any]]:
        answers = self._connection.ask_all(begins, waiter)
        for path, (answer, error) in zip(paths, answers, strict=True):
            if error is None:
                yield path, answer
            elif not isinstance(error, NoNodeError):
                raise self._connection.translated(error) from error
