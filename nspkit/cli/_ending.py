"""The end of a host, in a time that a person would wait."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING

from nspkit import NspError
from nspkit.errors import CleanupError, OperationTimeoutError

if TYPE_CHECKING:
    from nspkit import Host

PATIENCE = 2.0
"""How many seconds all providers together have to end."""

_NAME = "nspkit-end"

_BUDGET = 1.8
"""How many of them each one has; less, so that there is time left to say which one hangs."""


def end(host: Host) -> list[BaseException]:
    """Close a host and return what went wrong, after `PATIENCE` seconds in any case.

    What hangs then is left behind; see `is_held_up`.
    """
    errors: list[BaseException] = []

    def close() -> None:
        try:
            host.close(timeout=_BUDGET)
        except CleanupError as error:
            errors.extend(error.errors)
        except NspError as error:
            errors.append(error)

    thread = threading.Thread(target=close, name=_NAME, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    if thread.is_alive():
        late = f"providers did not end within {PATIENCE:g} s; they are left behind"
        return [OperationTimeoutError(late)]
    return errors


def is_held_up() -> bool:
    """Whether the end of the process would wait for what somebody has left behind.

    That is a host whose end is not over, which Python's exit would begin to wait for once more,
    or a thread of a provider that is no daemon. What was held against the rules may have left
    anything: a function of atexit, or an executor, which Python's exit waits for as well.
    """
    return "nspkit.testing" in sys.modules or any(
        one.name == _NAME or not one.daemon
        for one in threading.enumerate()
        if one is not threading.main_thread()
    )
