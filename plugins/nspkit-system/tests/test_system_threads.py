"""A resolver that does not come back: lookups, cleanups and the process go on."""

from __future__ import annotations

import contextlib
import gc
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

import nspkit_system
import pytest

import nspkit
from nspkit.errors import (
    CancelledError,
    CleanupTimeoutError,
    NotReadyError,
    NspError,
    OperationTimeoutError,
    TryAgainError,
)

MakeHost = Callable[..., nspkit.Host]
PATIENCE = 30


def own_threads() -> list[threading.Thread]:
    """The threads of this provider, of all hosts."""
    return [thread for thread in threading.enumerate() if "nspkit-system" in thread.name]


def background(function: Callable[[], object]) -> tuple[threading.Thread, list[Any]]:
    """Run a function on a thread; what it returns or raises is put into the list."""
    outcome: list[Any] = []

    def run() -> None:
        try:
            outcome.append(function())
        except BaseException as error:
            outcome.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, outcome


def wait_for(thread: threading.Thread) -> None:
    """Return when a thread has ended."""
    thread.join(PATIENCE)
    assert not thread.is_alive()


def test_threads_are_started_at_the_start_and_gone_after_the_cleanup(make_host: MakeHost) -> None:
    """As many as the setting says, and all of them daemons: the end of a process waits for none."""
    host = make_host(threads=3)
    session = host.startup("system")
    assert [thread.daemon for thread in own_threads()] == [True, True, True]
    session.close()
    assert own_threads() == []


def test_a_hundred_rounds_leave_no_thread(make_host: MakeHost) -> None:
    """Each with a lookup, so that the threads have worked."""
    host = make_host()
    before = threading.active_count()
    for _ in range(100):
        with host.startup("system") as session:
            assert list(session.lookup("localhost"))
        assert own_threads() == []
    host.close()
    assert threading.active_count() <= before


def test_a_failed_start_leaves_no_thread(
    make_host: MakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the system has no more threads, those that there are end again."""
    start, started = threading.Thread.start, []

    def start_three(thread: threading.Thread) -> None:
        if thread.name.startswith("nspkit-system"):
            if len(started) == 3:
                raise RuntimeError("can't start new thread")
            started.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_three)
    with pytest.raises(NspError, match="can't start new thread"):
        make_host(threads=5).startup("system")
    assert len(started) == 3
    assert own_threads() == []


def test_a_hanging_resolver_does_not_hang_a_lookup_with_a_time_out(
    make_host: MakeHost, resolver: Any
) -> None:
    """The time counts from outside; the resolver is still inside afterwards."""
    began = time.monotonic()
    with pytest.raises(OperationTimeoutError):
        list(make_host().lookup("hang", provider="system", timeout=0.2))
    assert time.monotonic() - began < PATIENCE / 2
    resolver.wait_until_hanging()


def test_a_lookup_that_is_closed_comes_back_at_once(make_host: MakeHost, resolver: Any) -> None:
    """From another thread, while the resolver hangs."""
    lookup = make_host().lookup("hang", provider="system")
    thread, outcome = background(lambda: next(lookup))
    resolver.wait_until_hanging()
    lookup.close()
    wait_for(thread)
    assert isinstance(outcome[0], CancelledError)


def test_lookups_do_not_disturb_each_other(make_host: MakeHost, resolver: Any) -> None:
    """While one hangs, another is answered."""
    host = make_host(threads=2)
    thread, outcome = background(lambda: list(host.lookup("hang", provider="system")))
    resolver.wait_until_hanging()
    assert next(host.lookup("localhost", provider="system")).name == "localhost"
    assert not outcome
    resolver.released.set()
    wait_for(thread)
    assert outcome[0][0].addresses[0].host == "127.0.0.9"


def test_a_late_answer_is_dropped(make_host: MakeHost, resolver: Any) -> None:
    """It does not become the answer of the next question on that thread."""
    host = make_host(threads=1)
    lookup = host.lookup("hang", provider="system", timeout=PATIENCE)
    resolver.wait_until_hanging()
    lookup.close()
    thread, outcome = background(lambda: list(host.lookup("localhost", provider="system")))
    resolver.released.set()
    wait_for(thread)
    assert outcome[0][0].name == "localhost"


def test_what_nobody_waits_for_is_not_asked(make_host: MakeHost, resolver: Any) -> None:
    """Questions that were given up before their turn cost the resolver nothing."""
    host = make_host(threads=1)
    thread, _ = background(lambda: list(host.lookup("hang", provider="system")))
    resolver.wait_until_hanging()
    for _ in range(3):
        with pytest.raises(OperationTimeoutError):
            list(host.lookup("given-up", provider="system", timeout=0.05))
    resolver.released.set()
    wait_for(thread)
    assert list(host.lookup("localhost", provider="system"))
    assert resolver.asked == ["hang", "localhost"]


def test_a_pile_of_questions_is_refused(
    make_host: MakeHost, resolver: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What waits for a resolver that never comes back is bounded."""
    monkeypatch.setattr("nspkit_system._MOST_WAITING", 2)
    host = make_host(threads=1)
    thread, _ = background(lambda: list(host.lookup("hang", provider="system")))
    resolver.wait_until_hanging()
    for _ in range(2):
        with pytest.raises(OperationTimeoutError):
            list(host.lookup("given-up", provider="system", timeout=0.05))
    with pytest.raises(TryAgainError, match="2 questions wait for 1 threads"):
        list(host.lookup("localhost", provider="system"))
    resolver.released.set()
    wait_for(thread)
    assert list(host.lookup("localhost", provider="system"))


def test_a_cleanup_says_that_the_resolver_hangs(make_host: MakeHost, resolver: Any) -> None:
    """It does not wait for longer than its time, and does not say that all is well."""
    host = make_host(threads=2)
    session = host.startup("system")
    with pytest.raises(OperationTimeoutError):
        list(session.lookup("hang", timeout=0.05))
    resolver.wait_until_hanging()
    with pytest.raises(CleanupTimeoutError):
        host.cleanup("system", timeout=0.2)
    assert len(own_threads()) == 1
    with pytest.raises(NotReadyError):
        host.startup("system")


def test_after_the_hanging_call_the_cleanup_ends_by_itself(
    make_host: MakeHost, resolver: Any
) -> None:
    """The threads are gone, and the provider can be started again."""
    host = make_host()
    host.startup("system")
    with pytest.raises(OperationTimeoutError):
        list(host.lookup("hang", provider="system", timeout=0.05))
    resolver.wait_until_hanging()
    with pytest.raises(CleanupTimeoutError):
        host.cleanup("system", timeout=0.2)
    ended = threading.Event()
    host.events.subscribe(lambda event: event.kind == "quarantine ended" and ended.set())
    resolver.released.set()
    assert ended.wait(PATIENCE)
    assert own_threads() == []
    assert list(host.lookup("localhost", provider="system"))


@pytest.mark.parametrize("name", ["localhost", "unknown", "a..b"])
@pytest.mark.usefixtures("resolver")
def test_nothing_is_left_for_the_garbage_collector(name: str) -> None:
    """The instance goes with the last reference, also after an error."""
    provider = nspkit_system.SystemProvider()
    gc.disable()
    try:
        with nspkit.Resources() as resources:
            provider.nsp_startup({}, resources)
            with contextlib.suppress(NspError):
                list(provider.nsp_lookup_service(nspkit.Query(name), nspkit.Cancellation()))
        seen = weakref.ref(provider)
        del provider
        assert seen() is None
    finally:
        gc.enable()


EXIT = """
import socket, sys, threading
import nspkit
from nspkit_system import SystemProvider

hanging = threading.Event()

def hang(*arguments, **options):
    hanging.set()
    threading.Event().wait()

socket.getaddrinfo = hang
catalog = nspkit.Catalog()
catalog.install(SystemProvider)
host = nspkit.Host(catalog=catalog, cleanup_timeout=0.2)
try:
    list(host.lookup("x.example", provider="system", timeout=0.2))
except TimeoutError:
    assert hanging.wait(30)
    print("timed out", flush=True)
"""


def test_a_hanging_resolver_does_not_hold_up_the_end_of_the_process() -> None:
    """Whether the host is closed or not."""
    done = subprocess.run(
        [sys.executable, "-c", EXIT],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.stdout == "timed out\n", done.stderr
