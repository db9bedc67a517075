"""Where things are in Redis, and what an entry looks like there."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from nspkit.registry import Entry, Key, key_at

if TYPE_CHECKING:
    from uuid import UUID

    from nspkit.registry import Scope

_VERSION = "1"
"""Of what is described here; what is told apart by it does not meet."""


class Range(NamedTuple):
    """Which members of which index may be meant.

    Attributes:
        where: ``names`` or ``paths``.
        least: Where it begins, as ZRANGEBYLEX has it.
        greatest: Where it ends.
    """

    where: str
    least: bytes
    greatest: bytes


class Layout:
    """The names of all keys below one prefix, in one slot of a cluster.

    Attributes:
        stem: What the keys of entries begin with; their path follows.
        paths: The index of all paths, a sorted set.
        names: That of all name paths.
        counter: The number of the last change.
        puts: The number of the last put, by class.
        channel: Where changes are told; channels, unlike keys, are of all databases.
    """

    def __init__(self, prefix: str, database: int) -> None:
        """Name everything below ``prefix`` in a database."""
        self._database = database
        self._top = f"{{{prefix}}}:{_VERSION}:"
        self.stem = f"{self._top}service:".encode()
        self.paths = f"{self._top}paths"
        self.names = f"{self._top}names"
        self.counter = f"{self._top}changes"
        self.puts = f"{self._top}puts"
        self.channel = f"{self._top}changes" + (f"@{database}" if database else "")

    def entry(self, path: bytes) -> bytes:
        """Return the key of an entry."""
        return self.stem + path

    def schema(self, class_id: UUID) -> str:
        """Return the key of a class."""
        return f"{self._top}class:{class_id}"

    def pattern(self, scope: Scope) -> bytes:
        """Return the pattern of the server's own channels for the entries of a scope."""
        kind = b"*" if scope.class_id is None else _parts(Key(scope.class_id, "", "-"))[0] + b"/*"
        # Neither a prefix nor a path has a character that means something in a pattern.
        return b"__keyspace@%d__:%s%s" % (self._database, self.stem, kind)


def path_of(key: Key) -> bytes | None:
    """Return the path of a key; None if it cannot be one, so that nothing can be there."""
    try:
        return key.path().encode()
    except UnicodeEncodeError:
        return None


def key_of(path: bytes) -> Key | None:
    """Return the key of a path; None if somebody else has put it there."""
    try:
        return key_at(path.decode())
    except ValueError:
        return None


def range_of(scope: Scope) -> Range | None:
    """Return where the entries of a scope are; None if there can be none."""
    try:
        kind, context, name = _parts(Key(scope.class_id, scope.context, scope.name or "-"))
    except UnicodeEncodeError:
        return None
    stem = b"" if scope.name is None else name + b"/"
    if scope.class_id is not None:
        stem += kind + b"/"
        if not scope.deep:
            stem += context + b"/" * (scope.name is None)
        elif scope.context:
            stem += context
    if not stem:
        return Range("paths", b"-", b"+")
    # Members are ASCII, so that nothing that begins so is beyond.
    return Range("paths" if scope.name is None else "names", b"[" + stem, b"[" + stem + b"\xff")


def entry_of(key: Key, found: bytes, milliseconds: int) -> Entry:
    """Return an entry as it was found, and how long it has still."""
    version, _, value = found.partition(b" ")
    return Entry(key, value, version, None if milliseconds < 0 else milliseconds / 1000)


def _parts(key: Key) -> list[bytes]:
    return key.path().encode().split(b"/")
