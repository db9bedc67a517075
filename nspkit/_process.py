"""What is one per process: the hosts that live, the exit of the interpreter, and fork.

The only module-level state of nspkit. It is needed because exit and fork are told to the process
and to nobody else.
"""

from __future__ import annotations

import atexit
import os
import sys
from itertools import count
from typing import TYPE_CHECKING, Any
from weakref import ref

if TYPE_CHECKING:
    from collections.abc import Iterator


class Living:
    """What was made and not yet collected, the oldest first.

    Not a `weakref.WeakSet`: that cannot be walked through while another thread adds to it.
    """

    __slots__ = ("_numbers", "_references")

    def __init__(self) -> None:
        self._numbers = count()
        self._references: dict[int, ref[Any]] = {}

    def add(self, one: Any) -> None:
        """Add one; it leaves by itself."""
        number, references = next(self._numbers), self._references

        def forget(_reference: object) -> None:
            references.pop(number, None)

        references[number] = ref(one, forget)

    def __iter__(self) -> Iterator[Any]:
        found = [reference() for reference in list(self._references.values())]
        return iter([one for one in found if one is not None])


hosts = Living()
"""The hosts; exit and fork are their affair too."""

catalogs = Living()
"""The catalogs, a host's own among them: a fork may leave their locks held by nobody."""

orphans: list[Any] = []
"""Hosts that became garbage while they had started providers; the next operation closes them."""

_leaving: list[Any] = []
"""Those of them that are being closed."""

_pinned: list[Any] = []
"""What a forked child keeps for ever: dropping it would finalise what the parent uses."""


def close_orphans() -> None:
    """Close the hosts that nobody closed; their errors have gone to their subscribers."""
    for orphan in list(orphans):
        if orphan in _leaving:
            continue  # by another thread, or further up the stack of this one
        try:
            _leaving.append(orphan)
            # It stays in the list until that is done: an interrupt, or the exit, may come first.
            if orphan._close_late():
                orphans.remove(orphan)
        except ValueError:
            pass  # another thread was quicker
        finally:
            if orphan in _leaving:
                _leaving.remove(orphan)


def at_exit() -> None:
    """Close what is still open, the newest first; errors go to `sys.excepthook`, all of them.

    On the exiting thread: no other can be started any more.
    """
    left = [*orphans, *hosts]
    errors: list[BaseException] = []
    while left:
        try:
            while left:
                left[-1]._close_at_exit()
                left.pop()
        except Exception as error:
            left.pop()
            errors.append(error)
        except BaseException as interrupt:
            errors.append(interrupt)  # and once more: what was closed already is closed in no time
    for told in errors:
        sys.excepthook(type(told), told, told.__traceback__)


def after_fork_in_child() -> None:
    """Void every host of the parent; no provider is called, nothing is dropped."""
    for catalog in catalogs:
        catalog.replace_lock()
    if not _pinned:
        # A list that nothing would drop, not even the end of the interpreter, which empties every
        # module: a code object refers to it, and those are out of the garbage collector's sight.
        _pinned.append(after_fork_in_child.__code__.replace(co_consts=(_pinned,)))
    _pinned.extend((host, host._forget()) for host in [*hosts, *orphans])


atexit.register(at_exit)
if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows cannot fork
    os.register_at_fork(after_in_child=after_fork_in_child)
