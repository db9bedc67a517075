"""Deadlines, cancellation, and questions that several ask at the same time."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from nspkit_dns import DnsProvider

import nspkit
from nspkit import Cancellation, Query, Resources
from nspkit.errors import CancelledError, OperationTimeoutError

Ask = Callable[..., list[nspkit.Service]]
V4 = [(int(socket.AF_INET), 0)]
PATIENCE = 30.0


class Holding:
    """A server that answers nothing until it is told to, and then everything."""

    def __init__(self, fake: Any, tools: Any) -> None:
        self.arrived = threading.Semaphore(0)
        self.answers = threading.Event()
        self._tools = tools
        self.server = fake(self._answer)

    def _answer(self, query: Any, _transport: str) -> Any:
        self.arrived.release()
        assert self.answers.wait(PATIENCE)
        return self._tools.reply_to(query, f"{query.question[0].name} 60 A 192.0.2.1")

    def wait_until_asked(self, times: int = 1) -> None:
        """Return when so many more questions have arrived."""
        for _ in range(times):
            assert self.arrived.acquire(timeout=PATIENCE)


@pytest.fixture
def holding(fake: Any, tools: Any) -> Any:
    """The server."""
    holding = Holding(fake, tools)
    yield holding
    holding.answers.set()


@pytest.fixture
def provider(holding: Any) -> Any:
    """The provider, without a host, which asks that server."""
    provider = DnsProvider()
    with Resources() as resources:
        settings = {"nameservers": [holding.server.address], "timeout": 60.0, "retry": 60.0}
        provider.nsp_startup({**settings, "search": []}, resources)
        yield provider
        provider.nsp_cleanup()


class Thread:
    """A lookup on a thread of its own, which ends with a result or an error."""

    def __init__(self, provider: DnsProvider, name: str, cancellation: Cancellation) -> None:
        self.outcome: Any = None
        self.seconds = 0.0
        self._arguments = (provider, name, cancellation)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        provider, name, cancellation = self._arguments
        began = time.monotonic()
        try:
            self.outcome = list(
                provider.nsp_lookup_service(Query(name, protocols=V4), cancellation)
            )
        except nspkit.NspError as error:
            self.outcome = error
        self.seconds = time.monotonic() - began

    def join(self) -> Any:
        """Wait for the end; return the outcome."""
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()
        return self.outcome

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return not self._thread.is_alive()


def waiters_of(provider: DnsProvider) -> int:
    """How many wait for what is under way."""
    return sum(len(one.waiters) for one in list(provider._resolver._flights.values()))


def wait_for_waiters(provider: DnsProvider, count: int) -> None:
    """Return when so many wait."""
    pause = threading.Event()
    until = time.monotonic() + PATIENCE
    while waiters_of(provider) != count:
        assert time.monotonic() < until, waiters_of(provider)
        pause.wait(0.005)


def test_the_deadline_of_the_host_is_kept(make_host: Any, fake: Any) -> None:
    """Within 50 ms, which is what is promised, against a server that never answers."""
    host = make_host(nameservers=[fake(lambda *_: None).address], timeout=60.0)
    late = []
    for _ in range(20):  # the machine may be busy with something else
        began = time.monotonic()
        with pytest.raises(OperationTimeoutError):
            list(host.lookup("x.test", provider="dns", timeout=0.4))
        late.append(time.monotonic() - began - 0.4)
        if late[-1] < 0.05:
            break
    assert min(late) < 0.05
    assert min(late) > -0.01


def test_the_provider_keeps_the_deadline_itself(provider: Any, holding: Any) -> None:
    """Without a host, within 50 ms too; the error says whom it asked."""
    late = []
    for _ in range(20):
        began = time.monotonic()
        with pytest.raises(OperationTimeoutError, match="does not answer"):
            list(provider.nsp_lookup_service(Query("x.test"), Cancellation(began + 0.3)))
        late.append(time.monotonic() - began - 0.3)
        if late[-1] < 0.05:
            break
    assert min(late) < 0.05


def test_its_own_time_is_kept(make_host: Any, fake: Any) -> None:
    """The setting timeout holds where nobody else sets a limit; the next server is tried."""
    silent, other = fake(lambda *_: None), fake(lambda *_: None)
    host = make_host(nameservers=[silent.address, other.address], timeout=1.5, retry=0.1)
    with pytest.raises(OperationTimeoutError) as caught:
        list(host.lookup("x.test", provider="dns"))
    assert silent.address in caught.value.message
    assert other.address in caught.value.message
    assert len(silent.asked) > 1
    assert len(other.asked) > 1


def test_a_cancelled_lookup_ends_at_once(provider: Any, holding: Any) -> None:
    """Another thread cancels it while it waits; nothing of it stays open."""
    cancellation = Cancellation()
    thread = Thread(provider, "x.test", cancellation)
    holding.wait_until_asked()
    cancellation.cancel()
    assert isinstance(thread.join(), CancelledError)
    assert provider._resolver._flights == {}


def test_a_closed_lookup_of_a_host_ends_at_once(make_host: Any, holding: Any) -> None:
    """As an application closes it."""
    host = make_host(nameservers=[holding.server.address], timeout=60.0)
    lookup = host.lookup("x.test")
    ended: list[BaseException] = []

    def read() -> None:
        try:
            list(lookup)
        except nspkit.NspError as error:
            ended.append(error)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    holding.wait_until_asked()
    lookup.close()
    thread.join(PATIENCE)
    assert [type(error) for error in ended] == [CancelledError]


def test_equal_lookups_at_once_are_one_question(provider: Any, holding: Any) -> None:
    """Fifty threads ask; the case of letters makes no difference."""
    names = ["x.test", "X.test"] * 25
    threads = [Thread(provider, name, Cancellation()) for name in names]
    wait_for_waiters(provider, 50)
    holding.answers.set()
    for thread in threads:
        [service] = thread.join()
        assert service.addresses[0].host == "192.0.2.1"
    assert len(holding.server.asked) == 1


def test_who_asks_later_asks_anew(provider: Any, holding: Any) -> None:
    """An answer is shared by those who wait for it, and not kept."""
    holding.answers.set()
    for _ in range(3):
        list(provider.nsp_lookup_service(Query("x.test", protocols=V4), Cancellation()))
    assert len(holding.server.asked) == 3


def test_the_first_to_be_cancelled_harms_no_other(provider: Any, holding: Any) -> None:
    """Another one goes on with the same question, which is not asked again."""
    first = Cancellation()
    leader = Thread(provider, "x.test", first)
    holding.wait_until_asked()
    others = [Thread(provider, "x.test", Cancellation()) for _ in range(5)]
    wait_for_waiters(provider, 6)
    first.cancel()
    assert isinstance(leader.join(), CancelledError)
    holding.answers.set()
    for thread in others:
        assert len(thread.join()) == 1
    assert len(holding.server.asked) == 1


def test_each_keeps_a_deadline_of_its_own(provider: Any, holding: Any) -> None:
    """Who follows gives up when his time is over, and the one he follows does not."""
    leader = Thread(provider, "x.test", Cancellation())
    holding.wait_until_asked()
    hurried = Thread(provider, "x.test", Cancellation(time.monotonic() + 0.2))
    assert isinstance(hurried.join(), OperationTimeoutError)
    assert not leader.is_over
    holding.answers.set()
    assert len(leader.join()) == 1


def test_the_last_to_be_cancelled_closes_everything(provider: Any, holding: Any) -> None:
    """Nobody waits, so nothing is open."""
    cancellations = [Cancellation() for _ in range(4)]
    threads = [Thread(provider, "x.test", one) for one in cancellations]
    holding.wait_until_asked()
    wait_for_waiters(provider, 4)
    [flight] = provider._resolver._flights.values()
    for one in cancellations:
        one.cancel()
    for thread in threads:
        assert isinstance(thread.join(), CancelledError)
    assert flight._attempts == []
    assert provider._resolver._flights == {}


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this platform has no timers")
def test_a_signal_handler_may_ask_the_same(provider: Any, holding: Any) -> None:
    """It interrupts who works for the answer, and would wait for himself."""
    inner: list[Any] = []

    def look_up_too(_number: int, _frame: object) -> None:
        holding.answers.set()
        query = Query("x.test", protocols=V4)
        inner.extend(provider.nsp_lookup_service(query, Cancellation(time.monotonic() + PATIENCE)))

    before = signal.signal(signal.SIGUSR1, look_up_too)
    main = threading.main_thread().ident
    assert main is not None

    def strike() -> None:
        holding.wait_until_asked()
        signal.pthread_kill(main, signal.SIGUSR1)

    striking = threading.Thread(target=strike)
    striking.start()
    try:
        query = Query("x.test", protocols=V4)
        [service] = provider.nsp_lookup_service(query, Cancellation(time.monotonic() + PATIENCE))
    finally:
        striking.join(PATIENCE)
        signal.signal(signal.SIGUSR1, before)
    assert [one.name for one in inner] == [service.name]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # threads are what this is about
def test_a_forked_child_is_told_and_the_parent_goes_on(make_host: Any, holding: Any) -> None:
    """While a lookup is in progress in another thread."""
    host = make_host(nameservers=[holding.server.address], timeout=60.0)
    found: list[Any] = []
    thread = threading.Thread(
        target=lambda: found.extend(host.lookup("x.test", provider="dns", protocols=V4))
    )
    thread.start()
    holding.wait_until_asked()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            list(host.lookup("x.test", provider="dns"))
        except nspkit.NspError as error:
            code = 0 if error.code == 10093 else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    holding.answers.set()
    thread.join(PATIENCE)
    assert [service.name for service in found] == ["x.test"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # threads are what this is about
def test_a_forked_child_does_not_wait_for_threads_of_its_parent(
    provider: Any, holding: Any
) -> None:
    """They are not there; a provider without a host asks the same question anew."""
    thread = Thread(provider, "x.test", Cancellation())
    holding.wait_until_asked()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            until = Cancellation(time.monotonic() + PATIENCE)
            code = len(list(provider.nsp_lookup_service(Query("x.test", protocols=V4), until))) - 1
        finally:
            os._exit(code)
    holding.answers.set()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert len(thread.join()) == 1
