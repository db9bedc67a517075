"""The final cleanup on a thread of its own: one budget, every step, every error.

A `Teardown` is given the steps and walks them once, whatever they raise. Who asked waits for it
and no longer than the budget; what hangs then goes on alone and is told of when it has come back.
"""

from __future__ import annotations

import sys
import threading
from time import monotonic
from typing import TYPE_CHECKING

from nspkit._bell import Bell
from nspkit._error import told
from nspkit.errors import CleanupError, CleanupTimeoutError, ErrorCode, NspError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from uuid import UUID

    Step = tuple[str, Callable[[], Iterable[BaseException] | None]]


class Teardown:
    """The steps of one final cleanup, walked once, on a thread or in line.

    A step returns the errors that it kept, or raises one. ``finished`` is called after the last
    step, on the thread that walked them; ``hanging`` tells the threads (by ident, with what they
    do) that a step waits for.
    """

    __slots__ = (
        "_at",
        "_carried",
        "_finished",
        "_guid",
        "_hanging",
        "_name",
        "_steps",
        "_walker",
        "errors",
        "over",
    )

    def __init__(
        self,
        name: str,
        guid: UUID,
        steps: list[Step],
        *,
        carrying: Callable[[Callable[[], None]], Callable[[], None]],
        finished: Callable[[], None],
        hanging: Callable[[], dict[int, str]],
    ) -> None:
        self._name = name
        self._guid = guid
        self._steps = steps
        self._carried = carrying(self._walk)
        self._finished = finished
        self._hanging = hanging
        self._at = 0
        self._walker: dict[None, threading.Thread] = {}
        self.errors: list[BaseException] = []
        self.over = Bell()

    def begin(self) -> None:
        """Start walking, on a daemon thread; in line where there is no thread to be had."""
        if not self._walker:
            # Another one each time: interrupted in `start`, nobody can tell how far it has come.
            name = f"nspkit-cleanup-{self._name}"
            thread = threading.Thread(target=self.walk, name=name, daemon=True)
            try:
                thread.start()
            except RuntimeError:
                # No thread to be had: the system is out of them, or the interpreter is ending.
                # The cleanup is worth more than its time limit.
                self.walk()

    def walk(self) -> None:
        """Walk all steps, past whatever they raise; goes on where it was interrupted.

        Only the first thread that comes does; another one has been started in vain.
        """
        me = threading.current_thread()
        if self._walker.setdefault(None, me) is me:
            self._carried()

    def _walk(self) -> None:
        while not self.over.rung:
            try:
                while self._at < len(self._steps):
                    step = self._steps[self._at][1]
                    self._at += 1
                    self.errors.extend(step() or ())
                self._finished()
                # What has ended refers to the provider no more, and to nothing that refers back.
                self._finished, self._carried, self._steps = _nothing, _nothing, []
                self.over.ring()
            except BaseException as error:
                self.errors.append(error)
            finally:
                step = None  # type: ignore[assignment]  # what an error refers to must not live on

    def wait(self, until: float) -> bool:
        """Wait until it is over and its thread gone, at most until ``until``; True if it is."""
        if not self.over.wait(max(0.0, until - monotonic())):
            return False
        walker = self._walker[None]
        if walker is not threading.current_thread():
            walker.join()
        return True

    def timeout_error(self, seconds: float) -> CleanupTimeoutError:
        """Return the error that names what hangs, with its stack."""
        import traceback

        frames = sys._current_frames()
        names = {thread.ident: thread.name for thread in threading.enumerate()}
        walkers = [walker.ident or 0 for walker in self._walker.values()]
        hanging = self._hanging() or dict.fromkeys(walkers or [0], self._doing())
        what, stacks = [], []
        for ident, doing in hanging.items():
            thread = names.get(ident, str(ident))
            what.append(f"{doing} in thread {thread!r}")
            if ident in frames:
                stack = "".join(traceback.format_stack(frames[ident]))
                stacks.append(f"{doing} in thread {thread!r}:\n{stack}")
        del frames
        error = CleanupTimeoutError(
            f"cleanup of provider {self._name!r} did not end within {seconds:g} s; what hangs: "
            f"{', '.join(what)}; the provider is quarantined until that comes back",
            guid=self._guid,
        )
        error.stack = "\n".join(stacks)
        error.add_note(error.stack)
        return error

    def _doing(self) -> str:
        return self._steps[self._at - 1][0] if 0 < self._at <= len(self._steps) else "the start"

    def outcome(self, interrupt: BaseException | None = None) -> BaseException | None:
        """Return what is to be raised for the errors, and forget them."""
        errors, self.errors = self.errors, []
        if interrupt is not None:
            errors.append(interrupt)
        try:
            return combine(f"cleanup of provider {self._name!r}", errors, self._guid)
        finally:
            del errors, interrupt


def combine(what: str, errors: list[BaseException], guid: UUID | None) -> BaseException | None:
    """Make one error of many, losing none.

    One `NspError` is raised as it is. An interrupt comes first, with the rest as its cause.
    Anything else becomes a `CleanupError` with the code of the first, all of them in ``.errors``
    and, for tracebacks, as an exception group in its cause.
    """
    interrupts = [error for error in errors if not isinstance(error, Exception)]
    rest = [error for error in errors if not interrupts or error is not interrupts[0]]
    if interrupts:
        if rest:
            interrupts[0].__cause__ = combine(what, rest, guid)
        return interrupts[0]
    if not rest:
        return None
    first = rest[0]
    if len(rest) == 1 and isinstance(first, NspError):
        return first
    code = first.code if isinstance(first, NspError) else ErrorCode.WSASYSCALLFAILURE
    named = "; ".join(told(error) for error in rest)
    together = CleanupError(f"{what} met {len(rest)} error(s): {named}", code=code, guid=guid)
    together.errors = tuple(rest)
    together.__cause__ = BaseExceptionGroup(what, rest)
    return together


def run_all(actions: list[Callable[[], object]], errors: list[BaseException]) -> None:
    """Run every action, past whatever they raise; adds the errors in order."""
    at, total = 0, len(actions)
    while at < total:
        try:
            while at < total:
                at += 1
                actions[at - 1]()
        except BaseException as error:
            errors.append(error)


def _nothing() -> None:
    """What is left to walk when all is done."""
