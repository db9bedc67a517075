"""Looking at one rule: on a thread of its own, which is given up when nothing comes back on it.

A provider may block anywhere: in a hook, in the end of a generator, in a finaliser. Where a rule
expects that, it waits with a limit; this is for everywhere else, so that whoever runs the rules
never hangs, and Ctrl-C reaches them at once.
"""

from __future__ import annotations

import contextlib
import traceback
from time import monotonic
from typing import TYPE_CHECKING

from nspkit.testing._limits import Errand
from nspkit.testing._places import chain
from nspkit.testing._rule import RuleBrokenError, broken, message_of, told

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from nspkit.testing._case import Case

GRACE = 90.0
"""Seconds that a rule may take for itself, between two steps of the provider."""

STEPS = 8
"""How many steps that each use up their patience may come between two signs of life."""

PULSE = 1.0
"""How many seconds pass at most before who waits looks for signs of life."""


def look(check: Callable[[Case], object], case: Case) -> None:
    """Call a rule's function with a case of its own, and wait for it while it gets further.

    Raises:
        RuleBrokenError: it gets no further, the provider breaks the rule, or interrupts it.
        Exception: what else the provider raised.
    """
    __tracebackhide__ = True
    what = f"what {case.name} does for this rule"
    patience = case.limit(what)
    silence = GRACE * patience / case.patience + STEPS * patience
    running = _Running(check, case)
    errand: Errand | None = None
    try:
        # Within the block: Ctrl-C may strike in the start of the thread, which runs all the same.
        errand = Errand(what, running.run, limits=False)
        while not errand.is_over and running.seconds_left(silence, patience) > 0:
            errand.wait(min(PULSE, running.seconds_left(silence, patience)))
    finally:
        if errand is None or not errand.is_over:
            case.note_hanging(what)
            case.give_up()
    if running.errors:
        running.fail(let_go=errand.is_over)
    errand.result(0.0, said=silence)


class _Running:
    """One rule, on the thread where it runs."""

    def __init__(self, check: Callable[[Case], object], case: Case) -> None:
        self.errors: list[BaseException] = []
        self._check = check
        self._case = case

    def run(self) -> None:
        """Look at it."""
        try:
            self._check(self._case)
        except BaseException as error:
            self._case.sign_of_life = monotonic()
            self.errors.append(error)
            if not self._case.is_debugged:
                _let_go(error)
            if self._case.is_told:  # so the error itself ends here, too
                self.errors[:] = [RuleBrokenError(message_of(error))]

    def seconds_left(self, silence: float, patience: float) -> float:
        """Return how long to wait for more; what has an error already is only to let go."""
        return self._case.sign_of_life + (patience if self.errors else silence) - monotonic()

    def fail(self, *, let_go: bool) -> NoReturn:
        """Raise what the rule has raised; ``let_go`` says whether it can be dropped."""
        __tracebackhide__ = True
        error = self.errors[0]
        try:
            if not let_go:  # the thread that hangs keeps the error itself, so nobody drops it
                raise RuleBrokenError(message_of(error)) from None
            self.errors.clear()
            if isinstance(error, KeyboardInterrupt):  # Ctrl-C strikes on the main thread only
                message = f"{self._case.name} raised {told(error)}; leave that to the application"
                broken(message, error)
            raise error
        finally:
            del error  # it refers to this frame


def _let_go(error: BaseException) -> None:
    """Drop what frames hold, here: the end of an iterator may block where it is dropped."""
    for one in chain(error):
        for frame, _line in traceback.walk_tb(one.__traceback__):
            with contextlib.suppress(RuntimeError):  # one that still runs
                frame.clear()
