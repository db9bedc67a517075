"""Who has the one engine of this process: counted, over all hosts.

The only module-level state of this package. It holds nothing when all providers are stopped.
"""

from __future__ import annotations

import contextlib
import os
import threading
from typing import TYPE_CHECKING

from nspkit.errors import InProgressError, NotReadyError
from nspkit_mdns._engine import Engine

if TYPE_CHECKING:
    from collections.abc import Iterator


class _Share:
    def __init__(self) -> None:
        # Taken again by its own thread, it does not wait: a signal handler or a finaliser may
        # come in the midst of these few lines, and is told.
        self.lock = threading.RLock()
        self.busy = False
        self.engine: Engine | None = None
        self.last: Engine | None = None
        self.kept: list[Engine] = []


_share = _Share()


def join(user: object, interfaces: tuple[str, ...] | None) -> Engine:
    """Return the engine, begun if nobody had it; ``user`` has it until `leave`.

    Raises:
        NotReadyError: It is in use on other interfaces (WSASYSNOTREADY 10091).
        InProgressError: Called by what has interrupted this very function (10036).
    """
    with _share.lock, _alone():
        engine = _share.engine
        new = engine is None or engine.ended.rung
        if new:
            engine = Engine(interfaces, _share.last)
        assert engine is not None
        if engine.interfaces != interfaces:
            raise NotReadyError(
                "another host of this process has multicast DNS on "
                f"{_shown(engine.interfaces)}, and a process can have it only once: give the "
                f"same 'interfaces', not {_shown(interfaces)}, or close that host first"
            )
        engine.users.add(user)
        _share.engine = engine
        if new:
            engine.begin()
    return engine


def leave(user: object, engine: Engine) -> None:
    """Give the engine back; who is the last waits until it is closed."""
    if engine.is_foreign:
        return
    with _share.lock, _alone():
        engine.users.discard(user)
        if engine.users:
            return
        if _share.engine is engine:
            _share.engine, _share.last = None, engine
    engine.halt()
    engine.join()
    if _share.last is engine:
        _share.last = None


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    if _share.busy:
        raise InProgressError(
            "mdns is being started or stopped on this thread, by what was interrupted: do it "
            "when that is over"
        )
    _share.busy = True
    try:
        yield
    finally:
        _share.busy = False


def _shown(interfaces: tuple[str, ...] | None) -> str:
    return "every interface" if interfaces is None else ", ".join(interfaces)


def _forget() -> None:
    """Begin anew in a forked child; what the parent has is kept, never finalised, and let go."""
    engines = [engine for engine in (_share.engine, _share.last) if engine is not None]
    kept = [*_share.kept, *engines]
    _share.__init__()  # type: ignore[misc]  # no other thread is there
    _share.kept = kept
    for engine in engines:
        try:
            engine.abandon()
        except OSError:
            pass  # no descriptor was left: the child lives with the parent's


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
