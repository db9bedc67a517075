"""Rules about change notification."""

from __future__ import annotations

import contextlib
from queue import Empty, SimpleQueue
from time import monotonic
from typing import TYPE_CHECKING, Any

from nspkit import Cancellation, Change, ChangeKind, ServiceOperation
from nspkit.errors import CancelledError, NspError
from nspkit.testing._instance import close
from nspkit.testing._limits import Errand
from nspkit.testing._lookup import query_for
from nspkit.testing._rule import broken, require, rule, rules_in

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from nspkit import Query
    from nspkit.testing._case import Case
    from nspkit.testing._instance import Instance

NOTIFY, LOOKUP, SET = "nsp_notify_change", "nsp_lookup_service", "nsp_set_service"
REGISTER, _DEREGISTER, DELETE = ServiceOperation


@rule("changes", NOTIFY, LOOKUP)
def begins_with_what_is_there(case: Case) -> None:
    """A watch first tells what a lookup finds, as ADDED."""
    with case.running() as instance:
        there = {service.name for service in instance.find()}
        with Watcher(case, instance, case.query) as watcher:
            missing, until = set(there), monotonic() + 2 * case.patience
            while missing:
                otherwise = f"what is there ({sorted(missing)}) was not told as ADDED"
                require(monotonic() < until, otherwise)
                change = watcher.next(otherwise)
                if isinstance(change, Change) and change.kind is ChangeKind.ADDED:
                    missing.discard(change.service.name)


@rule("changes", NOTIFY, SET)
def yields_changes(case: Case) -> None:
    """Everything that a watch yields is a Change, or None where what is there ends."""
    query = query_for(case.service)
    with (
        case.running() as instance,
        _registered(instance),
        Watcher(case, instance, query) as watcher,
    ):
        change = watcher.next("what is there was not told; yield it as ADDED")
        require(
            change is None or type(change) is Change,
            f"nsp_notify_change yielded {change!r:.80}; yield Change(kind, service)",
        )


@rule("changes", NOTIFY, SET)
def tells_of_registrations(case: Case) -> None:
    """A watch tells of a registration as ADDED, and of its deletion as REMOVED."""
    query = query_for(case.service)
    with case.running() as instance, Watcher(case, instance, query) as watcher:
        with _registered(instance):
            watcher.until(ChangeKind.ADDED, case.service.name)
        watcher.until(ChangeKind.REMOVED, case.service.name)


@rule("changes", NOTIFY)
def ends_when_cancelled(case: Case) -> None:
    """A watch that waits comes to its end soon when it is cancelled."""
    with case.running() as instance, Watcher(case, instance, case.query) as watcher:
        watcher.quiet()
        watcher.cancellation.cancel()
        watcher.over(case.patience)


@rule("changes", NOTIFY)
def ends_early(case: Case) -> None:
    """A watch can be closed before its first step; the end comes back."""
    with case.running() as instance:
        cancellation = Cancellation(monotonic() + case.patience)
        changes = instance.watch(None, cancellation)
        cancellation.cancel()
        case.within("the end of a watch", lambda: close(changes))


class Watcher:
    """Goes through a watch on a thread of its own, so that waiting for a change has a limit."""

    def __init__(self, case: Case, instance: Instance, query: Query) -> None:
        """Begin when the block is entered."""
        self.cancellation = Cancellation()
        self._case = case
        self._instance = instance
        self._query = query
        self._changes: SimpleQueue[Any] = SimpleQueue()
        self._left = False

    def __enter__(self) -> Self:
        self._errand = Errand("nsp_notify_change", self._go)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.cancellation.cancel()
        try:
            if error is None:
                self.over(self._case.patience)
        finally:
            self._left = True

    def _go(self) -> None:
        changes = self._instance.watch(self._query, self.cancellation)
        try:
            for change in changes:
                self._changes.put(change)
                if self._left:  # nobody waits for it: it is not to take all memory
                    break
        except CancelledError:
            pass
        finally:
            close(changes)

    def next(self, otherwise: str, *, seconds: float = 0.0) -> Any:
        """Return the next thing that it yields; it may take so many seconds more than others."""
        until = monotonic() + self._case.patience + seconds
        while True:
            try:
                return self._changes.get(timeout=0.05)
            except Empty:
                if self._errand.is_over:
                    self._errand.result(self._case.patience)
                    broken(f"the watch ended by itself: {otherwise}")
                require(monotonic() < until, otherwise)

    def until(self, kind: ChangeKind, name: str) -> None:
        """Wait for a change of a kind; what else happens is passed over."""
        until = monotonic() + 2 * self._case.patience
        otherwise = f"no change {kind.name} of {name!r} was told; yield it when it happens"
        while True:
            require(monotonic() < until, otherwise)
            change = self.next(otherwise)
            if isinstance(change, Change) and change.kind is kind and change.service.name == name:
                return

    def quiet(self) -> None:
        """Wait until nothing comes any more: it waits for a change, or has ended."""
        until = monotonic() + self._case.patience
        with contextlib.suppress(Empty):
            while monotonic() < until:
                self._changes.get(timeout=0.05)

    def over(self, seconds: float) -> None:
        """Wait for its end."""
        self._errand.result(seconds)


@contextlib.contextmanager
def _registered(instance: Instance) -> Any:
    service = instance.case.service

    def setting(operation: ServiceOperation) -> None:
        instance.case.within(
            SET,
            lambda: instance.call(SET, service=service, operation=operation, multiple=False),
        )

    setting(REGISTER)
    try:
        yield
    finally:
        with contextlib.suppress(NspError):
            setting(DELETE)


RULES = rules_in(globals())
