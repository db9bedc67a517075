"""How a host is closed on one thread, where no other one can be had, and how it is voided.

`tests/lifecycle/test_close.py` tells what a caller sees, `test_exit.py` and `test_fork.py` what
real processes do.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from nspkit import Catalog, Host, Namespace, ProviderInfo, Service, hookimpl
from nspkit._closing import in_reverse_order
from nspkit.errors import (
    CleanupError,
    NotInitialisedError,
    OperationTimeoutError,
    TryAgainError,
)

LONG = 30.0
SHORT = 0.05


class Calls:
    """What providers did, on which thread; and what they shall do."""

    def __init__(self) -> None:
        self.made: list[str] = []
        self.threads: set[int] = set()
        self.acts: dict[str, Callable[[], object]] = {}

    def make(self, what: str) -> None:
        """Take note of a call, and act."""
        self.made.append(what)
        self.threads.add(threading.get_ident())
        self.acts.get(what, lambda: None)()

    def provider(self, name: str) -> type:
        """Return a provider class that tells its calls."""
        calls = self

        class Provider:
            info = ProviderInfo(uuid.uuid5(uuid.NAMESPACE_DNS, name), name, Namespace.DNS, "1.0")

            @hookimpl
            def nsp_startup(self, resources: Any) -> None:
                resources.callback(calls.make, f"{name} released")

            @hookimpl
            def nsp_cleanup(self) -> None:
                calls.make(f"{name} cleaned up")

            @hookimpl
            def nsp_lookup_service(self) -> Iterator[Service]:
                try:
                    while True:
                        yield Service("more")
                finally:
                    calls.make(f"{name} ended")

            @hookimpl
            def nsp_ioctl(self) -> None:
                calls.make(f"{name} called")

        return Provider


@pytest.fixture
def calls() -> Calls:
    """Nothing was called yet."""
    return Calls()


@pytest.fixture
def host(calls: Calls) -> Iterator[Host]:
    """A host of alpha and beta."""
    catalog = Catalog()
    catalog.install(calls.provider("alpha"))
    catalog.install(calls.provider("beta"))
    host = Host(catalog=catalog, cleanup_timeout=LONG)
    yield host
    calls.acts.clear()
    host.close()


STOPPED = ["beta cleaned up", "beta released", "alpha cleaned up", "alpha released"]


def test_at_the_exit_all_happens_on_the_exiting_thread(host: Host, calls: Calls) -> None:
    """In the same order as ever."""
    host.startup("alpha")
    host.startup("beta")
    host._close_at_exit()
    assert calls.made == STOPPED
    assert calls.threads == {threading.get_ident()}


def test_at_the_exit_lookups_are_ended_first(host: Host, calls: Calls) -> None:
    """Also those that a worker runs."""
    lookup = host.lookup("x", provider="alpha")
    next(lookup)
    timed = host.lookup("x", provider="alpha", timeout=LONG)
    next(timed)
    host._close_at_exit()
    assert calls.made == ["alpha ended", "alpha ended", "alpha cleaned up", "alpha released"]
    with pytest.raises(NotInitialisedError):
        host.lookup("x")


def test_at_the_exit_errors_are_kept_and_all_is_done(host: Host, calls: Calls) -> None:
    """They come together, as from `close`."""

    def fail() -> None:
        raise TryAgainError("busy")

    calls.acts["alpha cleaned up"] = calls.acts["beta cleaned up"] = fail
    host.startup("alpha")
    host.startup("beta")
    with pytest.raises(CleanupError) as caught:
        host._close_at_exit()
    assert len(caught.value.errors) == 2
    assert calls.made == STOPPED


def test_at_the_exit_a_call_that_hangs_costs_the_budget_and_no_more(calls: Calls) -> None:
    """It is named (10060), and the cleanup happens all the same."""
    catalog = Catalog()
    catalog.install(calls.provider("alpha"))
    entered, gate = threading.Event(), threading.Event()

    def hang() -> None:
        entered.set()
        gate.wait(LONG)

    calls.acts["alpha called"] = hang
    host = Host(catalog=catalog, cleanup_timeout=SHORT)
    caller = threading.Thread(target=host.startup("alpha").ioctl, args=(1,), daemon=True)
    caller.start()
    assert entered.wait(LONG)
    with pytest.raises(OperationTimeoutError, match="nsp_ioctl"):
        host._close_at_exit()
    assert calls.made == ["alpha called", "alpha cleaned up", "alpha released"]
    gate.set()
    caller.join(LONG)


def test_at_the_exit_a_closed_host_is_left_alone(host: Host, calls: Calls) -> None:
    """Once is enough."""
    host.startup("alpha")
    host.close()
    host._close_at_exit()
    assert calls.made == ["alpha cleaned up", "alpha released"]


def test_after_the_exit_has_closed_it_everything_answers_10093(host: Host) -> None:
    """And a close does nothing."""
    session = host.startup("alpha")
    host._close_at_exit()
    with pytest.raises(NotInitialisedError, match="was closed"):
        host.startup("alpha")
    with pytest.raises(NotInitialisedError):
        session.ioctl(1)
    session.close()
    host.close()


def test_an_interrupt_at_the_exit_keeps_nobody_running(host: Host, calls: Calls) -> None:
    """It is raised when all is done."""

    def interrupt() -> None:
        raise KeyboardInterrupt

    calls.acts["beta cleaned up"] = interrupt
    host.startup("alpha")
    host.startup("beta")
    with pytest.raises(KeyboardInterrupt):
        host._close_at_exit()
    assert calls.made == STOPPED


def test_a_host_that_is_forgotten_calls_nobody(host: Host, calls: Calls) -> None:
    """What a forked child does with its parent's; it returns what has to be kept."""
    session = host.startup("alpha")
    lookup = session.lookup("x")
    next(lookup)
    kept = host._forget()
    with pytest.raises(NotInitialisedError, match="parent process"):
        host.startup("alpha")
    with pytest.raises(NotInitialisedError, match="parent process"):
        next(lookup)
    with pytest.raises(NotInitialisedError, match="parent process"):
        session.supports("nsp_ioctl")
    lookup.close()
    session.close()
    host.close()
    host._close_at_exit()
    assert calls.made == []
    del kept  # this is no child: what it kept may go
    assert calls.made == ["alpha ended"]


def test_only_what_is_started_is_put_in_order(host: Host) -> None:
    """By the time of its last start, the newest first."""
    host.startup("beta")
    host.startup("alpha")
    host.startup("beta")
    accounts = list(host._accounts.all.values())
    assert [one.entry.name for one in in_reverse_order(accounts)] == ["alpha", "beta"]
    host.cleanup("alpha")
    assert [one.entry.name for one in in_reverse_order(accounts)] == ["beta"]
