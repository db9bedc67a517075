"""What is one per process: the hosts that live, the exit of the interpreter, and fork.

The only module-level state of nspkit. It is needed because exit and fork are told to the process
and to nobody else.
"""

from __future__ import annotations

import atexit
import os
from collections import deque
from typing import Any
from weakref import WeakSet

hosts: WeakSet[Any] = WeakSet()
"""Every host that was made and not yet collected."""

orphans: deque[Any] = deque()
"""Hosts that became garbage while they had started providers; the next operation closes them."""

_pinned: list[Any] = []
"""What a forked child keeps for ever: dropping it would finalise what the parent uses."""


def close_orphans() -> None:
    """Close the hosts that nobody closed; their errors have gone to their subscribers."""
    while orphans:
        try:
            orphan = orphans.popleft()
        except IndexError:
            return  # another thread was quicker
        orphan._close_late()


def at_exit() -> None:
    """Close what is still open, on the exiting thread: none can be started any more."""
    for host in [*hosts, *orphans]:
        host._close_at_exit()


def after_fork_in_child() -> None:
    """Void every host of the parent; no provider is called, nothing is dropped."""
    _pinned.extend((host, host._forget()) for host in [*hosts, *orphans])


atexit.register(at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=after_fork_in_child)
