"""What is done on the paths that are walked most, counted: no time is measured here.

A routed call must not grow a lock, an import or a call of pluggy unnoticed. So each path is walked
under a profile function that is told of every call: which functions of Python were entered, and
which of C were called by nspkit. The lists are exact, and the same on every version of Python; what
one sees there that is not meant to be there is to go, and what is meant is to be added.
"""

from __future__ import annotations

import builtins
import gc
import sys
from collections.abc import Callable, Iterator
from threading import RLock, get_ident
from types import FrameType, FunctionType
from typing import Any

import pluggy
import pytest

from nspkit import (
    Catalog,
    Host,
    Namespace,
    ProviderInfo,
    Service,
    ServiceOperation,
    Session,
    hookimpl,
)

FOUND = Service("localhost")
REGISTER = ServiceOperation.REGISTER


class Memory:
    """A provider that has all in memory."""

    info = ProviderInfo("5f2c7d9e-1a55-4f7b-9d0c-2f8a1c3b4d01", "memory", Namespace.DNS, "1.0")

    @hookimpl
    def nsp_startup(self) -> None:
        """Acquire nothing."""

    @hookimpl
    def nsp_cleanup(self) -> None:
        """Release nothing."""

    @hookimpl
    def nsp_lookup_service(self, query: Any) -> Iterator[Service]:
        """Find one service, or one after the other."""
        yield FOUND
        while query.name == "many":
            yield FOUND

    @hookimpl
    def nsp_set_service(self, service: Any, operation: Any, multiple: Any) -> None:
        """Do nothing."""

    @hookimpl
    def nsp_ioctl(self, code: int, data: bytes) -> None:
        """Answer nothing."""


class Wrapper:
    """A middleware that wraps and does nothing else."""

    @hookimpl(wrapper=True)
    def nsp_ioctl(self) -> Any:
        """Pass on what comes."""
        return (yield)


class Walked:
    """What was done while a function ran: an entry for each time, in order."""

    def __init__(self) -> None:
        self.entered: list[str] = []
        """Functions of nspkit, and of the provider, that were entered."""
        self.pluggy: list[str] = []
        """Functions of pluggy that were called from outside of it."""
        self.called: list[str] = []
        """Functions of C that nspkit called; a ``with`` over a lock is an ``__exit__``."""
        self.imported: list[str] = []
        """What was imported, even if it had been imported before."""

    @property
    def locks(self) -> int:
        """How often a lock was held."""
        return sum(name in ("__exit__", "acquire") for name in self.called)


def _module(frame: FrameType | None) -> str:
    return "" if frame is None else str(frame.f_globals.get("__name__", "")).partition(".")[0]


@pytest.fixture
def walk(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], Walked]:
    """A function that runs another one and tells what that did, the second time it ran.

    That alone: what other threads import meanwhile does not count, and no garbage of other tests is
    collected, whose finalisers would be among the calls.
    """
    importing, own = builtins.__import__, get_ident()

    def run(function: Callable[[], object]) -> Walked:
        walked = Walked()
        ours = ("nspkit", __name__.partition(".")[0])

        def imported(name: str, *args: Any, **options: Any) -> Any:
            if get_ident() == own:
                walked.imported.append(name)
            return importing(name, *args, **options)

        def profile(frame: FrameType, event: str, argument: Any) -> None:
            module, name = _module(frame), frame.f_code.co_qualname
            if event == "call" and module in ours and frame.f_code is not function.__code__:
                walked.entered.append(name.rpartition("<locals>.")[2])
            elif event == "call" and module == "pluggy" and _module(frame.f_back) != "pluggy":
                walked.pluggy.append(name)
            elif event == "c_call" and module == "nspkit":
                walked.called.append(argument.__name__)

        function()  # what is done once, such as an import in a function, is done now
        before = sys.getprofile()
        collects = gc.isenabled()
        with monkeypatch.context() as patch:
            patch.setattr(builtins, "__import__", imported)
            gc.disable()
            sys.setprofile(profile)
            try:
                function()
            finally:
                sys.setprofile(before)
                if collects:
                    gc.enable()
        return walked

    return run


def _catalog() -> Catalog:
    catalog = Catalog()
    catalog.install(Memory)
    return catalog


@pytest.fixture
def host() -> Iterator[Host]:
    """A host of the provider in memory, which runs."""
    with Host(catalog=_catalog()) as host, host.startup("memory"):
        yield host


@pytest.fixture
def session(host: Host) -> Session:
    """A session of it."""
    return host.startup("memory")


def test_a_routed_call_is_the_guard_and_the_hook(session: Session, walk: Any) -> None:
    """No lock, no import, no pluggy; the second function leaves the GUID out."""
    walked = walk(lambda: session.ioctl(1, b""))
    assert walked.entered == ["Session.ioctl", "routine", "<lambda>", "Memory.nsp_ioctl"]
    assert walked.called == ["get_ident", "pop"]
    assert walked.pluggy == walked.imported == []


def test_a_registration_is_the_guard_and_the_hook(session: Session, walk: Any) -> None:
    """The values are looked at without a call."""
    walked = walk(lambda: session.set_service(FOUND, REGISTER))
    hook = "Memory.nsp_set_service"
    assert walked.entered == ["Session.set_service", "routine", "<lambda>", hook]
    assert walked.called == ["get_ident", "pop"]
    assert walked.pluggy == walked.imported == []


def test_a_call_with_middleware_calls_pluggy_once(walk: Any) -> None:
    """And nothing else is more than without: two functions, which give the arguments names."""
    with Host(catalog=_catalog(), middleware=[Wrapper()]) as host:
        session = host.startup("memory")
        walked = walk(lambda: session.ioctl(1, b""))
    wrapped = ["Wrapper.nsp_ioctl", "Memory.nsp_ioctl", "Wrapper.nsp_ioctl"]
    assert walked.entered == ["Session.ioctl", "routine", "call", "<lambda>", *wrapped]
    assert walked.pluggy == ["HookCaller.__call__"]
    assert walked.called == ["get_ident", "pop"]
    assert walked.imported == []


def test_a_nested_pair_holds_a_lock_twice(host: Host, walk: Any) -> None:
    """Once to count up, once to count down."""
    walked = walk(lambda: host.startup(Memory.info.guid).close())
    assert walked.entered == [
        "Host.startup",
        "Session.__init__",
        "Lifetime.acquire",
        "Session.close",
        "Lifetime.release",
    ]
    assert walked.called == ["get_ident", "__exit__"] * 2
    assert walked.pluggy == walked.imported == []


def test_a_lookup_in_a_session_holds_no_lock(session: Session, walk: Any) -> None:
    """It takes no reference, since the session has one."""
    walked = walk(lambda: list(session.lookup("localhost")))
    assert walked.locks == 0
    assert walked.pluggy == walked.imported == []
    assert len(walked.entered) <= 47
    assert len(walked.called) <= 30


def test_a_directed_lookup_holds_a_lock_once(host: Host, walk: Any) -> None:
    """To see that the provider runs."""
    walked = walk(lambda: list(host.lookup("localhost", provider="memory")))
    assert walked.locks == 1
    assert walked.pluggy == walked.imported == []
    assert len(walked.entered) <= 55
    assert len(walked.called) <= 40


def test_one_more_result_costs_no_lock(session: Session, walk: Any) -> None:
    """A step of a lookup is some ten functions, however many results there are."""
    lookup = session.lookup("many")
    walked = walk(lambda: next(lookup))
    lookup.close()
    assert walked.locks == 0
    assert walked.pluggy == walked.imported == []
    assert len(walked.entered) <= 10
    assert len(walked.called) <= 5


# -- the guard itself ------------------------------------------------------------------------------


def test_what_should_not_be_there_is_seen(session: Session, walk: Any) -> None:
    """A lock, an import and a call of pluggy, each put on the way of a routed call."""
    lock, manager = RLock(), pluggy.PluginManager("another")

    def nsp_ioctl(code: int, data: bytes) -> None:
        with lock:
            import string  # noqa: F401
        manager.get_name(code)

    # As if it were code of nspkit: what is not is not looked into.
    as_ours = FunctionType(
        nsp_ioctl.__code__,
        {"__name__": "nspkit.bad", "__builtins__": builtins},
        closure=nsp_ioctl.__closure__,
    )
    walked = walk(lambda: as_ours(1, b""))
    assert walked.locks == 1
    assert walked.imported == ["string"]
    assert walked.pluggy == ["PluginManager.get_name"]
