"""Ctrl-C at every point of a call: nothing stays locked, lent or open."""

from __future__ import annotations

import gc
import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import nspkit_sqlite
import nspkit_sqlite._connections as pool
import nspkit_sqlite._fork as fork
import pytest
from nspkit_sqlite import SqliteProvider
from nspkit_sqlite._opening import Loan
from nspkit_sqlite._turn import Turn

from nspkit import Cancellation, Query, Service, ServiceOperation
from nspkit.errors import ServiceNotFoundError

HTTP = "_http._tcp"
PATIENCE = 30.0
# Struck while it sees what a file is, a call leaves that to the garbage collection.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed database:ResourceWarning")

OURS = str(Path(nspkit_sqlite.__file__).parent)


def put(provider: SqliteProvider, name: str) -> None:
    """Register a service."""
    service = Service(name, service_class=HTTP)
    provider.nsp_set_service(service, ServiceOperation.REGISTER, False)


def find(provider: SqliteProvider, **asked: Any) -> list[str]:
    """The names that a lookup finds."""
    return [one.name for one in provider.nsp_lookup_service(Query(**asked), Cancellation())]


def close_all() -> None:
    """Do what a fork does, which closes all connections that it knows."""
    fork._before()
    fork._after_in_parent()


class Strike:
    """Raises KeyboardInterrupt at one of the points where a signal can strike."""

    def __init__(self, point: int) -> None:
        self._left = point

    def __call__(self, frame: FrameType, event: str, arg: object) -> None:
        """Look whether it is time."""
        del arg  # a cursor's method, perhaps, which would be kept with the error
        if event in ("call", "c_return") and frame.f_code.co_filename.startswith(OURS):
            self._left -= 1
            if self._left == -1:
                raise KeyboardInterrupt


@pytest.fixture
def strike() -> Iterator[Callable[[Callable[[], object], int], bool]]:
    """A function that makes a call and strikes it at a point; it says whether it was struck."""
    # As who logs them does: the frames stay, and with them what only they know.
    kept: list[BaseException] = []

    def call(function: Callable[[], object], point: int) -> bool:
        try:
            sys.setprofile(Strike(point))
            function()
        except KeyboardInterrupt as error:
            kept.append(error)
            return True
        finally:
            sys.setprofile(None)
        return False

    yield call
    sys.setprofile(None)
    kept.clear()
    gc.collect()


def opened(path: Path) -> list[str]:
    """The files of a registry that this process has open, other than to see what they are.

    For that they are only read, without a lock, which does no harm to a fork.
    """
    found = []
    for link in Path("/proc/self/fd").glob("*"):
        if link.is_symlink() and str(link.readlink()).startswith(str(path)):
            flags = Path("/proc/self/fdinfo", link.name).read_text().split()[3]
            if int(flags, 8) & os.O_ACCMODE == os.O_RDWR:
                found.append(str(link.readlink()))
    return found


WRITES = ("write", "refused")
CALLS: dict[str, Callable[[SqliteProvider], object]] = {
    "write": lambda provider: put(provider, "y"),
    "refused": lambda provider: provider.nsp_set_service(
        Service("z"), ServiceOperation.DELETE, False
    ),
    "exact": lambda provider: find(provider, name="x", service_class=HTTP),
    "browse": find,
}


def check(provider: SqliteProvider, path: Path, at: str, *, wrote: bool) -> None:
    """See that the registry can be written, read, and forked with."""
    assert not provider._registry._turn._is_owned(), at
    if wrote:
        put(provider, "x")  # which waits for nobody, for the setting says 0 s
    assert "x" in find(provider), at
    assert find(provider, name="x", service_class=HTTP), at
    fork._before()
    try:
        assert not provider._registry._connections._loans, at
        assert not Path("/proc/self/fd").exists() or opened(path) == [], at
    finally:
        fork._after_in_parent()


@pytest.mark.parametrize("warm", [True, False])
@pytest.mark.parametrize("call", list(CALLS))
def test_wherever_a_call_is_struck_the_next_one_is_served(
    started: Any,
    strike: Any,
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    call: str,
    warm: bool,
) -> None:
    """With connections that were idle, and with those that it opens."""
    monkeypatch.setattr(pool, "_PATIENCE", 0.0)
    provider, _resources = started(busy_timeout=0.0)
    put(provider, "x")

    def work() -> None:
        try:
            CALLS[call](provider)
        except ServiceNotFoundError:
            assert call == "refused"

    point, struck = 0, True
    while struck:
        close_all()
        if warm:
            work()
        struck = strike(work, point)
        check(provider, path, f"at point {point}", wrote=call in WRITES)
        point += 1
    assert point > 10


def test_wherever_the_first_registration_is_struck_the_next_one_is_served(
    started: Any, strike: Any, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It makes the file, or leaves one that can become a registry."""
    monkeypatch.setattr(pool, "_PATIENCE", 0.0)
    point, struck = 0, True
    while struck:
        file = path.with_name(f"{point}.db")
        provider, resources = started(path=file, busy_timeout=0.0)
        struck = strike(lambda provider=provider: put(provider, "y"), point)
        check(provider, file, f"at point {point}", wrote=True)
        resources.close()
        point += 1
    assert point > 30


def test_wherever_a_stop_is_struck_nothing_stays_open(
    started: Any, strike: Any, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once it is told again."""
    monkeypatch.setattr(pool, "_PATIENCE", 0.0)
    point, struck = 0, True
    while struck:
        provider, _resources = started(busy_timeout=0.0)
        put(provider, "x")
        find(provider)
        struck = strike(provider._registry.close, point)
        provider._registry.close()
        assert not provider._registry._connections._loans, f"at point {point}"
        assert not Path("/proc/self/fd").exists() or opened(path) == [], f"at point {point}"
        point += 1
    assert point > 5


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform cannot fork")
def test_wherever_a_fork_is_struck_parent_and_child_go_on(
    started: Any, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python tells of the error and forks all the same."""
    struck: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda it: struck.append(it.exc_type))
    provider, _resources = started(busy_timeout=0.0)
    put(provider, "x")
    point = 0
    while len(struck) == point:
        find(provider)
        sys.setprofile(Strike(point))
        child = os.fork()
        sys.setprofile(None)
        if not child:
            try:
                other, _other_resources = started()
                put(other, "x")
                os._exit(0)
            finally:
                os._exit(1)
        assert os.waitpid(child, 0)[1] == 0, f"at point {point}"
        thread = threading.Thread(target=lambda: put(provider, "x"), daemon=True)
        thread.start()
        thread.join(PATIENCE)
        assert not thread.is_alive(), f"at point {point}"
        assert find(provider) == ["x"], f"at point {point}"
        point += 1
    assert point > 20
    assert set(struck) == {KeyboardInterrupt}


def test_an_interrupt_of_the_wait_for_the_turn_gives_nothing_back(path: Path) -> None:
    """Another thread has it; giving it back from here would be an error of its own."""

    class Struck(Turn):
        __slots__ = ()

        def acquire(self, *_arguments: Any, **_options: Any) -> bool:
            raise KeyboardInterrupt

    turn = Struck(path, 1.0)
    with pytest.raises(KeyboardInterrupt), turn:
        pytest.fail("nobody can be here")
    assert not turn._is_owned()


@pytest.fixture
def forks_inside() -> Iterator[Callable[[Callable[[], object]], object]]:
    """A function that makes a call, in the midst of which a signal handler forks."""

    def call(function: Callable[[], object]) -> object:
        def handler(frame: FrameType, event: str, _arg: object) -> None:
            if event == "call" and frame.f_code is Loan.__init__.__code__:
                sys.setprofile(None)
                close_all()

        try:
            sys.setprofile(handler)
            return function()
        finally:
            sys.setprofile(None)

    yield call
    sys.setprofile(None)


def test_a_lookup_in_which_a_handler_forks_goes_on(started: Any, forks_inside: Any) -> None:
    """The connection that it was about to take is closed; it opens another."""
    provider, _resources = started()
    put(provider, "x")
    ask = CALLS["exact"]
    assert ask(provider) == forks_inside(lambda: ask(provider)) == ["x"]


def test_who_finds_the_file_gone_while_a_handler_forks_goes_on_too(
    started: Any, forks_inside: Any, path: Path
) -> None:
    """What it was about to close is closed already."""
    provider, _resources = started()
    put(provider, "x")
    path.unlink()
    assert forks_inside(provider._registry._connections.look) is False
    assert find(provider) == []
