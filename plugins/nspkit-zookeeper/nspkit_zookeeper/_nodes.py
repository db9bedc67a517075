"""Where in ZooKeeper's tree everything is, and what a node holds.

Below ``/<prefix>/1`` there are::

    service/<class>/<context>/<name>              the record of an instance
    name/<bucket>/<name>,<class>,<context>,<incarnation>   the index of names
    class/<guid>                                  the schema of a class

The two nodes of an instance are made and removed in one transaction. An incarnation is a random
text, made with the two nodes: it is the first line of the record, and part of the index's name.
ZooKeeper counts the versions of a node from nought again when it is made anew, so that the number
alone would let somebody change what he has not seen; that the index node of the incarnation is
there can be asked in the same transaction.

The index has no folder for each name: those would stay when a session ends, and nobody would clear
them away. It has a fixed number of buckets, which are made all at once, so that no registration but
the first has to make one.
"""

from __future__ import annotations

import secrets
from typing import Any, NamedTuple
from zlib import crc32

from nspkit.registry import Key, key_at, key_at_name

_BUCKETS = 256
_DIGITS = 16
_SIGNS = frozenset(b"0123456789abcdef")

LARGEST = 1_000_000
"""So many bytes a transaction may have; a server that is not told otherwise takes 1,048,575."""


class Version(NamedTuple):
    """Which put of a key it is.

    Attributes:
        incarnation: The random text of the node, ``""`` of one that nspkit has not made.
        number: ZooKeeper's version of the node's data.
    """

    incarnation: str
    number: int

    @classmethod
    def new(cls) -> Version:
        """Return that of a node that is to be made."""
        return cls(secrets.token_hex(_DIGITS // 2), 0)

    def next(self) -> Version:
        """Return that of the node when its data are set."""
        return self._replace(number=self.number + 1)


class Found(NamedTuple):
    """What is in a node.

    Attributes:
        value: The record.
        version: Which put it is.
        owner: The session that it ends with; 0 if it stays.
    """

    value: bytes
    version: Version
    owner: int


def packed(value: bytes, version: Version) -> bytes:
    """Return the data of a node."""
    return version.incarnation.encode() + b"\n" + value


def found_in(data: bytes, stat: Any) -> Found:
    """Return what is in a node, by its data and its statistics."""
    first, line, rest = data[:_DIGITS], data[_DIGITS : _DIGITS + 1], data[_DIGITS + 1 :]
    if line == b"\n" and _SIGNS.issuperset(first):
        return Found(rest, Version(first.decode(), stat.version), stat.ephemeralOwner)
    return Found(data, Version("", stat.version), stat.ephemeralOwner)


class Nodes:
    """The paths of everything below one prefix.

    Attributes:
        services: Where the instances are.
        buckets: The parts of the index of names.
    """

    def __init__(self, prefix: str) -> None:
        """Keep everything below ``prefix``."""
        self._base = f"/{prefix}/1"
        self.services = f"{self._base}/service"
        self.buckets = [f"{self._base}/name/{number:02x}" for number in range(_BUCKETS)]

    def leaf(self, key: Key) -> str:
        """Return the path of an instance."""
        return f"{self.services}/{key.path()}"

    def has_room(self, key: Key) -> bool:
        """Say whether there can be a node of that name: a server ends the session of who asks more.

        One is never put that has not; see `LARGEST`.
        """
        return len(self.leaf(key)) <= LARGEST

    def key(self, leaf: str) -> Key:
        """Return the key of an instance's path.

        Raises:
            ValueError: It is none.
        """
        return key_at(leaf[len(self.services) + 1 :])

    def index(self, key: Key, version: Version) -> str:
        """Return the path of an instance in the index of names."""
        return f"{self.bucket(key.name)}/{key.name_path().replace('/', ',')},{version.incarnation}"

    def bucket(self, name: str) -> str:
        """Return the path of the part of the index that a name is in."""
        return self.buckets[crc32(name.encode()) % _BUCKETS]

    def schema(self, class_id: object) -> str:
        """Return the path of the schema of a class."""
        return f"{self._base}/class/{class_id}"

    @staticmethod
    def indexed(child: str) -> Key:
        """Return the key of a child of a bucket.

        Raises:
            ValueError: It is none.
        """
        return key_at_name(child.rpartition(",")[0].replace(",", "/"))


def parents(path: str) -> list[str]:
    """Return the nodes that a node is below, the highest first."""
    parts = path.split("/")[1:-1]
    return ["/" + "/".join(parts[: count + 1]) for count in range(len(parts))]
