"""Fork: no connection is open at that moment, so that a child can make its own.

SQLite keeps a list of the files that a process has open, and of the locks on them. A child has
that list, but not the locks; what it then writes through a connection of its own can be lost when
the parent closes the file. So the parent closes what is idle and waits for the rest, and a child
that was forked too early all the same is told.

The only module-level state of this package: a fork is told to the process. It holds what is open
now, and nothing when all providers are stopped.
"""

from __future__ import annotations

import os
import threading
from typing import Protocol


class Holdable(Protocol):
    """What has files open."""

    def hold(self) -> None:
        """Close everything, and lend nothing more; it may be said twice."""

    def resume(self) -> None:
        """Go on as before; it may be said twice."""

    def forget(self) -> set[tuple[int, int]]:
        """Be of no use in a child; tell which files were still open."""


class _Forking(threading.local):
    held: tuple[Holdable, ...] = ()
    ready = False


_open: dict[int, Holdable] = {}
_forking = _Forking()
_shared: set[tuple[int, int]] = set()


def join(connections: Holdable) -> None:
    """Have ``connections`` told of forks, until `leave`."""
    _open[id(connections)] = connections


def leave(connections: Holdable) -> None:
    """Tell ``connections`` no more."""
    _open.pop(id(connections), None)


def is_shared(identity: tuple[int, int]) -> bool:
    """Say whether this process was forked while the parent had that file (device, inode) open."""
    return identity in _shared


def _before() -> None:
    if not _forking.ready:
        _forking.held += tuple(_open.values())
        for connections in _forking.held:
            connections.hold()
        _forking.ready = True


def _after_in_parent() -> None:
    _forking.ready = False
    for connections in _forking.held:
        connections.resume()
    _forking.held = ()


def _after_in_child() -> None:
    _forking.ready = False
    _forking.held = ()
    for connections in tuple(_open.values()):
        _shared.update(connections.forget())
    _open.clear()


if hasattr(os, "register_at_fork"):
    # Each twice: Ctrl-C in the midst of a fork strikes the first of them, and Python goes on with
    # the fork. The second does what was left undone.
    for _ in range(2):
        os.register_at_fork(
            before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child
        )
