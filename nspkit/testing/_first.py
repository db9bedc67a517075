"""What a process keeps of the first use of a provider: a program for a fresh interpreter."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import signal
import socket
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from nspkit import Query, Service, ServiceOperation
from nspkit.errors import NspError
from nspkit.testing import _system
from nspkit.testing._case import Case
from nspkit.testing._fresh import reached
from nspkit.testing._leaks import LeakReport, Picture
from nspkit.testing._limits import within
from nspkit.testing._origins import Origin, Origins
from nspkit.testing._own import own_place
from nspkit.testing._rule import RuleBrokenError, told

if TYPE_CHECKING:
    import threading
    from types import TracebackType
    from typing import Self

    from nspkit import Session

ROUNDS = 2
_MOST = 10
_GLANCE = 0.5
# What the libraries of C open once and keep.
_SOURCES_OF_CHANCE = ("/dev/urandom", "/dev/random", "/dev/srandom", "/dev/hwrng")


class Given(NamedTuple):
    """What a provider is used with, where another process can have it."""

    settings: dict[str, Any]
    query: Query
    service: Any
    patience: float


class FirstUse(LeakReport):
    """A report of leaks that knows where things come from, and what is not the provider's.

    Left out is what a package of others, or the standard library, keeps once for a process: what
    it makes as it is imported, the helpers of multiprocessing, a source of random numbers.
    """

    def __init__(self, provider: type, *, patience: float) -> None:
        super().__init__(provider, patience=patience)
        self._origins = Origins(own_place(provider))

    def __enter__(self) -> Self:
        self._origins.begin()
        return super().__enter__()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._origins.end()
        super().__exit__(kind, error, traceback)

    def _tell(self, after: Picture) -> None:
        origins, helpers = self._origins, _helpers_of_multiprocessing()
        after.threads = {
            ident: thread
            for ident, thread in after.threads.items()
            if not _is_a_librarys(origins.threads.get(thread))
        }
        after.descriptors = {
            number: what
            for number, what in after.descriptors.items()
            if not (
                _is_a_librarys(origins.descriptors.get(number))
                or number in helpers
                or what.startswith(_SOURCES_OF_CHANCE)
                or _waits_for_nothing(number, what)
            )
        }
        after.children = {
            pid: what
            for pid, what in after.children.items()
            if not (_is_a_librarys(origins.children.get(pid)) or pid in helpers)
        }
        super()._tell(after)

    def _told_of_thread(self, thread: threading.Thread) -> str:
        return f"the thread {thread.name!r}{_from('started', self._origins.threads.get(thread))}"

    def _told_of_descriptor(self, number: int, what: str) -> str:
        text = super()._told_of_descriptor(number, what)
        origin = self._origins.descriptors.get(number)
        return f"the descriptor {text}{_from('opened', origin)}"

    def _told_of_child(self, pid: int, what: str) -> str:
        text = super()._told_of_child(pid, what)
        return f"the child {text}{_from('started', self._origins.children.get(pid))}"


def _is_a_librarys(origin: Origin | None) -> bool:
    return origin is not None and origin.is_a_librarys


def _from(what: str, origin: Origin | None) -> str:
    return f", {what} at {origin.place}" if origin is not None and origin.place else ""


def _helpers_of_multiprocessing() -> set[int]:
    """Return the numbers of the processes, and descriptors, that multiprocessing has for all."""
    found = set()
    for module, helper, names in (
        ("resource_tracker", "_resource_tracker", ("_pid", "_fd")),
        ("forkserver", "_forkserver", ("_forkserver_pid", "_forkserver_alive_fd")),
    ):
        there = getattr(sys.modules.get(f"multiprocessing.{module}"), helper, None)
        found |= {getattr(there, name, None) for name in names}
    return {number for number in found if isinstance(number, int)}


def _waits_for_nothing(number: int, what: str) -> bool:
    """Whether it is an epoll that no descriptor was given to."""
    if "[eventpoll]" not in what:
        return False
    with contextlib.suppress(OSError):
        return "tfd:" not in Path(f"/proc/self/fdinfo/{number}").read_text()
    return False


def first_use(case: Case) -> tuple[list[str], str]:
    """Use a provider for the first time, and once more; tell what is left, and what failed."""
    failure = ""
    with FirstUse(case.provider, patience=min(2.0, case.patience / 4)) as left:
        for _turn in range(ROUNDS):
            try:
                with case.session() as session:
                    _use(case, session)
            except Exception as error:
                failure = told(error)
                break
    found = [*left.threads, *left.descriptors, *left.children, *left.instances]
    return found[:_MOST], failure


def _use(case: Case, session: Session) -> None:
    """Do with it what an application may, as far as it can."""
    if case.has("nsp_lookup_service"):
        with contextlib.suppress(NspError):
            case.find(session)
        with contextlib.suppress(NspError):
            case.find(session, Query("nspkit-conformance-nobody"))
    if case.has("nsp_set_service"):
        with contextlib.suppress(NspError):
            session.set_service(case.service, ServiceOperation.REGISTER)
            session.set_service(case.service, ServiceOperation.DELETE)
    if case.has("nsp_notify_change"):
        with contextlib.suppress(NspError, RuleBrokenError), session.watch(case.query) as watch:
            # Where there is nothing it waits; it is ended then.
            within(min(_GLANCE, case.patience), "a step", partial(next, watch, None))


def warm_up() -> None:
    """Have nspkit, and the system's resolver, make what they make once in a process."""
    from nspkit.testing._memory import MemoryProvider

    first_use(Case(MemoryProvider, settings={"services": [Service("nspkit-conformance")]}))
    with contextlib.suppress(OSError):
        socket.getaddrinfo("localhost", None)


def answer(provider: Any, given: Given) -> bytes:
    """Use a provider, and tell what is left, and what failed, as JSON."""
    left, failure = first_use(
        Case(
            provider,
            settings=given.settings,
            query=given.query,
            service=given.service,
            patience=given.patience,
        )
    )
    for pid in _system.children():
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)  # nobody else will
    return json.dumps({"left": left, "failure": failure}).encode()


def main() -> None:
    """Read one file, and answer into another one."""
    said = b""
    try:
        wanted, pickled = pickle.loads(Path(sys.argv[1]).read_bytes())
        warm_up()
        provider = reached(wanted)  # what is pickled may need its module
        said = answer(provider, Given(*pickle.loads(pickled)))
    except BaseException as error:
        said = json.dumps({"left": [], "failure": told(error)}).encode()
    finally:
        Path(sys.argv[2]).write_bytes(said)
        os._exit(0)  # whatever runs by now
