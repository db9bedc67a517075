"""Starting a thread, and what came of it: it runs, there is none to be had, or an interrupt."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import threading


def start(thread: threading.Thread) -> None:
    """Start a thread.

    Raises:
        RuntimeError: no thread is to be had.
        BaseException: an interrupt, as it came. The thread may run all the same, or be about to.
    """
    outer, struck = sys.exception(), None
    try:
        thread.start()
    except RuntimeError as error:
        struck = _cause(error, outer)
        if struck is error:
            raise
    try:
        if struck is not None:
            raise struck
    finally:
        del outer, struck  # an error that is raised refers to this frame: no cycle


def _cause(error: BaseException, outer: BaseException | None) -> BaseException:
    """Return what came first; ``outer`` is what was being handled before.

    An interrupt that strikes while `threading` waits for the thread leaves a lock of it in a
    state that it complains of, with a RuntimeError in the interrupt's stead.
    """
    while error.__context__ is not None and error.__context__ is not outer:
        error = error.__context__
    return error
