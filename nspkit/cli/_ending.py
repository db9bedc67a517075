"""The end of a host, in a time that a person would wait."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from nspkit import NspError
from nspkit.errors import CleanupError

if TYPE_CHECKING:
    from nspkit import Host

PATIENCE = 2.0
"""How many seconds all providers together have to end."""

_BUDGET = 1.8
"""How many of them each one has; less, so that there is time left to say which one hangs."""


def end(host: Host) -> list[BaseException]:
    """Close a host and return what went wrong, after `PATIENCE` seconds in any case.

    What hangs then is left behind on daemon threads, which end with the process.
    """
    errors: list[BaseException] = []

    def close() -> None:
        try:
            host.close(timeout=_BUDGET)
        except CleanupError as error:
            errors.extend(error.errors)
        except NspError as error:
            errors.append(error)

    thread = threading.Thread(target=close, name="nspkit-end", daemon=True)
    thread.start()
    thread.join(PATIENCE)
    return errors
