"""What is one per process and belongs to the application."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading
from typing import Any


def process_state() -> dict[str, Any]:
    """Return what a provider has to leave alone, by a name for messages."""
    root = logging.getLogger()
    return {
        "the current folder (os.chdir)": _folder(),
        "the environment (os.environ)": dict(os.environ),
        "the handlers of signals": _signals(),
        "socket.setdefaulttimeout": socket.getdefaulttimeout(),
        "sys.path": list(sys.path),
        "sys.excepthook": sys.excepthook,
        "threading.excepthook": threading.excepthook,
        "the handlers of the root logger": list(root.handlers),
        "the level of the root logger": root.level,
    }


def _folder() -> str:
    try:
        return os.getcwd()  # noqa: PTH109  # the text is compared, no path is needed
    except OSError:
        return ""


def _signals() -> dict[int, Any]:
    # SIGKILL and SIGSTOP have no handlers that could be asked for on some systems.
    found = {}
    for number in signal.valid_signals():
        try:
            found[int(number)] = signal.getsignal(number)
        except (OSError, ValueError):
            continue
    return found
