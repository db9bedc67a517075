"""Opening a Zeroconf: its sockets, and what is told where that fails."""

from __future__ import annotations

import socket

from nspkit.errors import NotReadyError
from nspkit_mdns._wire import InterfaceChoice, Zeroconf


def opened_on(interfaces: tuple[str, ...] | None) -> Zeroconf:
    """Open one on these addresses, on the event loop that runs; None for every interface."""
    choice = InterfaceChoice.All if interfaces is None else list(interfaces)
    try:
        opened = Zeroconf(interfaces=choice, use_asyncio=True)
    except (OSError, RuntimeError) as error:
        # It leaves those that are open already to garbage collection.
        _close_sockets(error)
        raise
    return opened


def _close_sockets(error: BaseException) -> None:
    trace = error.__traceback__
    while trace is not None:
        for value in tuple(trace.tb_frame.f_locals.values()):
            for one in value if isinstance(value, list) else [value]:
                if isinstance(one, socket.socket):
                    one.close()
        trace = trace.tb_next


def refusal(error: BaseException, interfaces: tuple[str, ...] | None) -> NotReadyError:
    """Return the error for a Zeroconf that could not be opened."""
    where = "the interfaces of this machine" if interfaces is None else ", ".join(interfaces)
    new = NotReadyError(
        f"multicast DNS cannot be used on {where}: {error}; see whether they are up, and whether "
        "another program has UDP port 5353 for itself"
    )
    new.__cause__ = error
    return new
