"""A provider that makes something once in a process, and keeps it for ever."""

import threading
from collections.abc import Mapping
from typing import Any

from nspkit import Resources, hookimpl
from nspkit.testing import MemoryProvider

_END = threading.Event()
_KEPT: dict[str, threading.Thread] = {}


def clear() -> None:
    """Take away what it left."""
    _END.set()
    for thread in _KEPT.values():
        thread.join()
    _KEPT.clear()
    _END.clear()


class Provider(MemoryProvider):
    """Starts a thread at the first start, for all of them."""

    breaks = "leaks.nothing_once_per_process"

    @hookimpl
    def nsp_startup(self, settings: Mapping[str, Any], resources: Resources) -> None:
        """Start, and have the thread."""
        super().nsp_startup(settings, resources)
        if "poller" not in _KEPT:
            _KEPT["poller"] = threading.Thread(target=_END.wait, args=(60,), daemon=True)
            _KEPT["poller"].start()
