"""Providers that leave something behind; `clear` takes it away after a test."""

from __future__ import annotations

import atexit
import os
import subprocess
import threading
from collections.abc import Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import Any

from broken_common import SHARES, Good, breaks

from nspkit import Cancellation, Query, Resources, Service, hookimpl

_END = threading.Event()
_OPEN: list[int] = []
_CHILDREN: list[subprocess.Popen[bytes]] = []
_INSTANCES: list[Any] = []
_STARTS = count()


def clear() -> None:
    """Take away what they left."""
    _END.set()
    _END.clear()
    while _OPEN:
        os.close(_OPEN.pop())
    for child in _CHILDREN:
        child.kill()
        child.wait()
    _CHILDREN.clear()
    _INSTANCES.clear()
    atexit.unregister(_nothing)
    os.environ.pop("NSPKIT_BROKEN", None)


def _nothing() -> None:
    """Do nothing, as what is registered for the end of the process."""


class _Starting(Good):
    """Does something more when it is started."""

    @hookimpl
    def nsp_startup(self, settings: Mapping[str, Any], resources: Resources) -> None:
        """Start, and do it."""
        super().nsp_startup(settings, resources)
        self._more(resources)

    def _more(self, resources: Resources) -> None:
        """Do it."""


@breaks("leaks.no_thread", "leaks.")
class LeavesAThread(_Starting):
    """Starts a thread that nobody ends."""

    def _more(self, resources: Resources) -> None:
        threading.Thread(target=_END.wait, args=(60,), name="left", daemon=True).start()


@breaks("leaks.no_descriptor", "leaks.", SHARES)
class LeavesADescriptor(_Starting):
    """Opens what nobody closes."""

    def _more(self, resources: Resources) -> None:
        _OPEN.append(os.open(os.devnull, os.O_RDONLY))


@breaks("leaks.no_child", "leaks.", SHARES)
class LeavesAChild(_Starting):
    """Starts a process that nobody waits for."""

    def _more(self, resources: Resources) -> None:
        _CHILDREN.append(subprocess.Popen(["true"]))


@breaks("leaks.no_instance", "leaks.", SHARES)
class LeavesItself(_Starting):
    """Gives itself to somebody, and never takes that back."""

    def _more(self, resources: Resources) -> None:
        _INSTANCES.append(self)


@breaks("leaks.closes_what_it_opens")
class ForgetsToClose(_Starting):
    """Opens a file that is closed when nobody refers to it any more."""

    def _more(self, resources: Resources) -> None:
        self._file = Path(os.devnull).open()  # noqa: SIM115  # the fault


@breaks("leaks.nothing_adds_up", "leaks.")
class LeavesALittle(_Starting):
    """Leaves something now and then."""

    def _more(self, resources: Resources) -> None:
        if next(_STARTS) % 5 == 0:
            _OPEN.append(os.open(os.devnull, os.O_RDONLY))


def _forgotten(descriptor: int) -> None:
    os.close(descriptor)
    _OPEN.remove(descriptor)


class _Opening(_Starting):
    """Has a descriptor open while it runs."""

    def _open(self) -> int:
        _OPEN.append(os.open(os.devnull, os.O_RDONLY))
        return _OPEN[-1]


@breaks("leaks.failed_startup", "leaks.interrupted_startup")
class PutsItAwayLate(_Opening):
    """Puts into resources only at the end what it has acquired at the beginning."""

    def _more(self, resources: Resources) -> None:
        descriptor = self._open()
        resources.callback(_nothing)
        resources.callback(_forgotten, descriptor)


@breaks("leaks.interrupted_startup")
class ForgetsInterrupts(_Opening):
    """Undoes a startup that fails, but not one that is interrupted."""

    def _more(self, resources: Resources) -> None:
        descriptor = self._open()
        try:
            resources.callback(_nothing)
        except Exception:
            _forgotten(descriptor)
            raise
        resources.callback(_forgotten, descriptor)


@breaks("leaks.interrupted_cleanup")
class ClosesByHand(_Opening):
    """Gives back in its cleanup what belongs into resources."""

    def _more(self, resources: Resources) -> None:
        self._descriptor = self._open()

    @hookimpl
    def nsp_cleanup(self) -> None:
        """Close it, if it comes to that."""
        _forgotten(self._descriptor)


@breaks("leaks.interrupted_cleanup")
class ClosesByHandWhatALookupOpens(_Opening):
    """Opens at its first lookup what it gives back in its cleanup."""

    def _results(self, query: Query, cancellation: Cancellation) -> Iterator[Service]:
        if not hasattr(self, "_descriptor"):
            self._descriptor = self._open()
        return super()._results(query, cancellation)

    @hookimpl
    def nsp_cleanup(self) -> None:
        """Close it, if it comes to that."""
        if hasattr(self, "_descriptor"):
            _forgotten(self._descriptor)


@breaks("leaks.lookups_left_open")
class ClosesAtTheEnd(Good):
    """Gives back at the end of a lookup what belongs into its finally."""

    def _results(self, query: Query, cancellation: Cancellation) -> Iterator[Service]:
        _OPEN.append(descriptor := os.open(os.devnull, os.O_RDONLY))
        yield from self.store.find(query)
        _forgotten(descriptor)


@breaks("leaks.nothing_for_ever")
class RegistersForTheEnd(_Starting):
    """Registers something at exit with each start."""

    def _more(self, resources: Resources) -> None:
        atexit.register(_nothing)


@breaks("leaks.process_is_as_before")
class ChangesTheEnvironment(_Starting):
    """Sets a variable of the process."""

    def _more(self, resources: Resources) -> None:
        os.environ["NSPKIT_BROKEN"] = str(next(_STARTS))
