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
        self.users: dict[object, Engine] = {}
        self.closing: list[Engine] = []
        self.kept: list[Engine] = []

    @property
    def engine(self) -> Engine | None:
        """The one that is open; none if nobody has it, or it has failed."""
        return next((one for one in self.users.values() if not one.ended.rung), None)


_share = _Share()


def join(user: object, interfaces: tuple[str, ...] | None) -> Engine:
    """Return the engine, begun if nobody had it; ``user`` has it until `leave`.

    Raises:
        NotReadyError: It is in use on other interfaces (WSASYSNOTREADY 10091).
        InProgressError: Called by what has interrupted this very function (10036).
    """
    with _share.lock, _alone():
        there = _share.engine
        engine = there or Engine(interfaces, _share.closing[-1] if _share.closing else None)
        if engine.interfaces != interfaces:
            raise NotReadyError(
                "another host of this process has multicast DNS on "
                f"{_shown(engine.interfaces)}, and a process can have it only once: give the "
                f"same 'interfaces', not {_shown(interfaces)}, or close that host first"
            )
        _share.users[user] = engine
        if there is None:
            engine.begin()
    return engine


def leave(user: object, engine: Engine) -> None:
    """Give the engine back; who is the last waits until it is closed."""
    if engine.is_foreign:
        return
    with _share.lock, _alone():
        if _share.users.get(user) is engine:
            del _share.users[user]
        if engine in _share.users.values():
            return
        if engine not in _share.closing:
            _share.closing.append(engine)
    engine.halt()
    engine.join()
    with _share.lock, _alone():
        if engine in _share.closing:
            _share.closing.remove(engine)


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
    engines = {*_share.users.values(), *_share.closing}
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
