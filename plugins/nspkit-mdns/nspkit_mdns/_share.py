"""Who has the one engine of this process: counted, over all hosts.

The only module-level state of this package. It holds nothing when all providers are stopped.
"""

from __future__ import annotations

import functools
import os
import threading
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from nspkit.errors import InProgressError, NotReadyError
from nspkit_mdns._engine import Engine

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
T = TypeVar("T")


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


def _alone(function: Callable[P, T]) -> Callable[P, T]:
    """Have a function run alone; what interrupts it on its own thread is refused, not waiting."""

    @functools.wraps(function)
    def alone(*args: P.args, **kwargs: P.kwargs) -> T:
        with _share.lock:
            if _share.busy:
                raise InProgressError(
                    "mdns is being started or stopped on this thread, by what was interrupted: do "
                    "it when that is over"
                )
            # No call in between, where Ctrl-C could strike: nobody would be let in any more.
            _share.busy = True
            try:
                return function(*args, **kwargs)
            finally:
                _share.busy = False

    return alone


@_alone
def join(user: object, interfaces: tuple[str, ...] | None) -> Engine:
    """Return the engine, begun if nobody had it; ``user`` has it until `leave`.

    Whatever is raised: who has asked leaves. It may be the user already, when Ctrl-C strikes.

    Raises:
        NotReadyError: It is in use on other interfaces (WSASYSNOTREADY 10091).
        InProgressError: Called by what has interrupted this very function (10036).
    """
    there = _share.engine
    engine = there or Engine(interfaces, next(reversed(_still_closing()), None))
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


def leave(user: object) -> None:
    """Give the engine back, if ``user`` has it; who is the last waits until it is closed."""
    engine = _left(user)
    if engine is not None:
        engine.halt()
        engine.join()
        _alone(_still_closing)()


@_alone
def _left(user: object) -> Engine | None:
    """Take a user away; return the engine that nobody has any more, now among those that close."""
    engine = _share.users.get(user)
    if engine is None:  # it never had one, or had the parent's in a forked child
        return None
    if list(_share.users.values()).count(engine) > 1:
        del _share.users[user]
        return None
    _share.closing.append(engine)
    del _share.users[user]
    return engine


def _still_closing() -> list[Engine]:
    """Forget those that have closed; return the others, the last one last."""
    _share.closing[:] = [one for one in _share.closing if not one.ended.rung]
    return _share.closing


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
