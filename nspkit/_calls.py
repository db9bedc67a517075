"""One call at several providers, side by side, and what became of it at each.

For what returns once: registrations and service classes. Lookups, which go on, are in `_fanout`.
"""

from __future__ import annotations

from _queue import Empty, SimpleQueue
from time import monotonic
from typing import TYPE_CHECKING, Any

from nspkit._results import again, together, translated
from nspkit._workers import Job
from nspkit.errors import (
    CancelledError,
    ErrorCode,
    NspError,
    OperationNotSupportedError,
    OperationTimeoutError,
    error_for,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from nspkit._account import Account
    from nspkit._constants import Namespace
    from nspkit._generation import Generation
    from nspkit._workers import Workers

PATIENCE = 30.0
"""How many seconds each of several providers has, where the caller says nothing else."""

LACKING: Any = object()
"""What becomes of a call at a provider that lacks the hook, or is of another namespace."""


class Call(Job):
    """The call at one provider, on a worker, and its outcome.

    Attributes:
        expired: Whether it was waited for in vain.
        running: The round of the provider's life that it is in.
        stopped: Whether nobody waits for it any more.
    """

    __slots__ = ("_function", "_outcome", "expired", "running", "stopped")

    def __init__(self, account: Account, what: str, function: Callable[[Call], Any]) -> None:
        """Make one; what ``function`` returns or raises is the outcome."""
        super().__init__(account, what)
        self.running: Generation | None = None
        self.expired = False
        self.stopped = False
        self.call = account.carrying(self.run)
        self._function = function
        self._outcome: SimpleQueue[Any] = SimpleQueue()

    @property
    def generation(self) -> Any:
        """The round of the provider's life that it is in; None before it has begun."""
        return self.running

    def run(self) -> None:
        """Be the worker's job, and never raise."""
        end: Any = None
        try:
            end = LACKING if self.stopped else self._function(self)
        except NspError as caught:
            end = caught
        except BaseException as caught:
            # Not even an interrupt may end a worker: somebody waits for its last word.
            end = translated(self.owner.entry.name, self.owner.guid, self.what, caught)
        self._outcome.put(end)
        end = None  # an error refers to this frame: no cycle

    def refuse(self, error: NspError) -> None:
        """Take note that no thread will ever run it."""
        self._outcome.put(error)

    def wait(self, workers: Workers, seconds: float, until: float) -> Any:
        """Wait for the outcome and return it: a value, an error, or `LACKING`."""
        try:
            return self._outcome.get(timeout=max(0.0, until - monotonic()))
        except Empty:
            self.expired = True
            what = f"has not come back from {self.what} within {seconds:g} s; it may do it still"
            if not self.started:
                what = (
                    f"got no turn for {self.what} within {seconds:g} s; what occupies it: "
                    f"{workers.occupants(self)}"
                )
            return OperationTimeoutError(
                f"provider {self.owner.entry.name!r} {what}", guid=self.owner.guid
            )

    def give_up(self, workers: Workers) -> None:
        """Do not wait for it any more; if it has not begun, it never will."""
        self.stopped = True
        workers.abandon(self)


def side_by_side(workers: Workers, calls: Sequence[Call], seconds: float | None) -> Generator[Any]:
    """Run the calls at the same time; yields their outcomes, in their order.

    None waits longer than ``seconds``, `PATIENCE` if None. What is not waited for to the end, the
    generator closed early for instance, is given up.
    """
    limit = PATIENCE if seconds is None else seconds
    until = monotonic() + limit
    left = list(calls)
    try:
        for call in calls:
            try:
                workers.submit(call)
            except NspError as error:
                call.refuse(error)
        for call in calls:
            outcome = call.wait(workers, limit, until)
            if not call.expired:
                left.remove(call)
            yield outcome
            outcome = None  # an error that is raised may refer to this frame: no cycle
    finally:
        for call in left:
            call.give_up(workers)


def alone(workers: Workers, call: Call, seconds: float) -> Any:
    """Run one call on a worker and return what it returns.

    Raises:
        OperationTimeoutError: it has not come back within ``seconds`` (WSAETIMEDOUT 10060).
        NspError: what it raised.
    """
    (outcome,) = side_by_side(workers, [call], seconds)
    try:
        if isinstance(outcome, NspError):
            raise outcome
        return outcome
    finally:
        del outcome  # an error that is raised refers to this frame: no cycle


def call_at(account: Account, hook: str, *args: Any, turn: Call | None = None) -> Any:
    """Call a hook of one provider, which is started if need be; ``turn`` is the worker's call.

    Raises:
        NspError: the start failed, or what the hook raised, translated.
    """
    begun = False

    def begin(generation: Generation) -> Any:
        nonlocal begun
        begun = True
        if turn is not None and turn.stopped:
            raise CancelledError(f"{hook} was not called: a start took too long")
        return generation.payload.call(hook, *args)

    while True:
        generation = account.ensure_started()
        if turn is not None:
            turn.running = generation
        try:
            return generation.run(hook, begin, generation)
        except NspError:
            # Refused by the guard, because the provider was stopped between the two lines: the
            # next generation is meant.
            if begun:
                raise
        if turn is not None:
            turn.running = None  # it waits outside, and the stop need not wait for it


def is_asked(
    account: Account, hook: str, namespace: Namespace, *, stores: bool | None = None
) -> bool:
    """Whether a provider that was not named has the hook and is meant; on a worker.

    With ``stores`` it is meant if it stores all service classes, or if it does not.

    Raises:
        NspError: it cannot be loaded, or is held back after a failed start.
    """
    # In this order: who is not meant is passed over, whether it could be started or not.
    if account.lacks(hook, namespace):
        return False
    info = account.entry.info
    if stores is not None and (info is None or info.stores_service_classes is not stores):
        return False
    held = account.held_back()
    if held is not None:
        raise held
    return True


def ask_all(
    workers: Workers,
    accounts: list[Account],
    namespace: Namespace,
    seconds: float | None,
    hook: str,
    *args: Any,
    stores: bool | None = None,
) -> Generator[Any]:
    """Yield what becomes of a call at each provider, in catalog order; see `is_asked`."""

    def ask(turn: Call) -> Any:
        if not is_asked(turn.owner, hook, namespace, stores=stores):
            return LACKING
        return call_at(turn.owner, hook, *args, turn=turn)

    planned: list[Call | NspError] = []
    for account in accounts:
        inside = account.lifetime.reentered()
        planned.append(account.lifetime.reentry(hook) if inside else Call(account, hook, ask))
    outcomes = side_by_side(workers, [one for one in planned if isinstance(one, Call)], seconds)
    try:
        for one in planned:
            yield one if isinstance(one, NspError) else next(outcomes)
    finally:
        outcomes.close()


def errors_of(what: str, hook: str, outcomes: list[Any]) -> tuple[NspError, ...]:
    """Return the errors that were met although one provider at least succeeded.

    Raises:
        NspError: nobody succeeded; see `failure_of`.
    """
    answers = [one for one in outcomes if one is not LACKING]
    errors = [one for one in answers if isinstance(one, NspError)]
    try:
        if len(errors) == len(answers):
            raise failure_of(what, hook, errors)
        return tuple(errors)
    finally:
        outcomes.clear()
        del answers, errors  # an error that is raised refers to this frame: no cycle


def failure_of(what: str, hook: str, outcomes: list[Any]) -> NspError:
    """Return the one error to raise where nobody succeeded, with all that were met in ``errors``.

    The most specific one gives class and code: 10045 says least, and that a provider does not
    know a name (10108, 10109) less than any other; of equals it is the last in catalog order.
    """
    errors = [one for one in outcomes if isinstance(one, NspError)]
    if not errors:
        return OperationNotSupportedError(f"no provider that was asked has {hook}")
    specific = max(enumerate(errors), key=lambda one: (_weight(one[1]), one[0]))[1]
    error = again(specific)
    if len(errors) > 1:
        message = f"no provider could {what}: {together(errors)}"
        error = error_for(specific.code, message, guid=specific.guid)
    error.errors = tuple(errors)
    error.__cause__ = specific.__cause__
    return error


def _weight(error: NspError) -> int:
    if error.code in (ErrorCode.WSASERVICE_NOT_FOUND, ErrorCode.WSATYPE_NOT_FOUND):
        return 1
    return 0 if isinstance(error, OperationNotSupportedError) else 2
