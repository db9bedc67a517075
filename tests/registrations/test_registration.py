"""``host.register``: begun, renewed, lost and found again, taken back."""

from __future__ import annotations

import gc
import re
import signal
import sys
import threading
from collections.abc import Callable
from contextvars import ContextVar
from types import SimpleNamespace
from typing import Any

import pytest

from nspkit import (
    Address,
    Catalog,
    EventKind,
    Host,
    Namespace,
    NspError,
    Registration,
    RegistrationState,
    Service,
    ServiceOperation,
    _once,
)
from nspkit._lease import Lease
from nspkit._workers import PLACES, UPKEEP_PLACES
from nspkit.errors import (
    AccessDeniedError,
    CancelledError,
    InProgressError,
    InvalidArgumentError,
    NotReadyError,
    OperationNotSupportedError,
    OperationTimeoutError,
    ServiceNotFoundError,
)

LONG = 30.0
SETS = ("nsp_startup", "nsp_cleanup", "nsp_set_service", "nsp_lookup_service")
QUICK = """
import uuid
from nspkit import Namespace, ProviderInfo, hookimpl


class P:
    info = ProviderInfo(uuid.uuid4(), __name__, Namespace.DNS, "1.0")

    @hookimpl
    def nsp_startup(self): ...

    @hookimpl
    def nsp_cleanup(self): ...

    @hookimpl
    def nsp_set_service(self): ...
"""
SLOW = f"""
import slow_gate

slow_gate.ready.set()
assert slow_gate.go.wait({LONG})
{QUICK}
"""
WEB = Service("web", addresses=[Address.inet("192.0.2.1", 80)])
BOTH = pytest.mark.parametrize("directed", [True, False], ids=["directed", "everywhere"])


def directed_at(registry: Any, *, directed: bool) -> dict[str, Any]:
    """The arguments that name one provider, or none."""
    return {"provider": registry.name} if directed else {}


# -- the begin ---------------------------------------------------------------------------------


@BOTH
def test_a_service_is_registered_at_once_and_for_the_block(stage: Any, directed: bool) -> None:
    """What the block leaves is deleted, so that nothing stays behind."""
    alpha = stage.registry()
    host = stage.host(alpha)
    with host.register(WEB, **directed_at(alpha, directed=directed)) as registration:
        assert "web" in alpha
        assert registration.state == RegistrationState.ACTIVE == "active"
        assert registration.error is None
        assert registration.errors == ()
        assert registration.providers == (alpha.guid,)
        assert registration.service is WEB
        assert repr(registration) == "<Registration of 'web': active>"
    assert alpha.calls == [("REGISTER", "web", False), ("DELETE", "web", False)]
    assert registration.state == RegistrationState.RELEASED == "released"
    assert registration.providers == ()
    assert registration.error is None


def test_the_provider_is_told_the_time_to_live(stage: Any) -> None:
    """By the argument, else by the service; what is registered shows it."""
    alpha = stage.registry()
    host = stage.host(alpha)
    for service, ttl, meant in [
        (WEB, 30, 30),
        (WEB.replace(ttl=9.0), None, 9.0),
        (WEB, None, None),
    ]:
        with host.register(service, ttl=ttl) as registration:
            assert registration.service == WEB.replace(ttl=meant)
            assert alpha.services[-1] == registration.service
            assert registration.expires == (None if meant is None else stage.clock() + meant)
        assert registration.expires is None


@pytest.mark.parametrize("ttl", [0, -1, 0.05, True, "30", float("nan"), float("inf")])
def test_a_time_to_live_that_is_none_is_refused(stage: Any, ttl: Any) -> None:
    """WSAEINVAL (10022), before anything is called."""
    alpha = stage.registry()
    with pytest.raises(InvalidArgumentError, match="ttl"):
        stage.host(alpha).register(WEB, ttl=ttl)
    assert alpha.hooks_called == []


@pytest.mark.parametrize("service", ["web", None, object])
def test_what_is_no_service_is_refused(stage: Any, service: Any) -> None:
    """WSAEINVAL (10022)."""
    with pytest.raises(InvalidArgumentError, match=r"nspkit\.Service"):
        stage.host(stage.registry()).register(service)


@BOTH
def test_a_registration_that_fails_raises_and_leaves_nothing(
    stage: Any, threads: Callable[[str], int], failing: Any, directed: bool
) -> None:
    """The provider's own error; no thread, no entry that would be renewed."""
    alpha = stage.registry()
    alpha.before = failing(AccessDeniedError("not yours"))
    host = stage.host(alpha)
    with pytest.raises(AccessDeniedError, match="not yours"):
        host.register(WEB, ttl=30, **directed_at(alpha, directed=directed))
    assert alpha.calls == [("REGISTER", "web", False)]
    assert threads("nspkit-renewals") == 0
    stage.clock.advance(100)
    assert alpha.named("REGISTER") == ["web"]


@BOTH
def test_what_was_refused_is_not_deleted(stage: Any, failing: Any, directed: bool) -> None:
    """The entry of that name that is there is somebody else's."""
    alpha = stage.registry()
    host = stage.host(alpha)
    host.set_service(WEB, ServiceOperation.REGISTER)
    alpha.before = failing(AccessDeniedError("taken"), only="REGISTER")
    with pytest.raises(AccessDeniedError):
        host.register(WEB, ttl=30, **directed_at(alpha, directed=directed))
    assert alpha.named("DELETE") == []
    assert "web" in alpha


@pytest.mark.parametrize("ttl", [None, 30])
def test_what_timed_out_is_deleted(stage: Any, failing: Any, ttl: float | None) -> None:
    """It may have got through all the same."""
    alpha = stage.registry()
    alpha.after = failing(TimeoutError("lost the answer"), only="REGISTER")
    with pytest.raises(OperationTimeoutError):
        stage.host(alpha).register(WEB, ttl=ttl, provider="alpha")
    assert alpha.named("DELETE") == ["web"]
    assert "web" not in alpha


def test_what_was_interrupted_is_deleted(stage: Any, failing: Any) -> None:
    """Ctrl-C in the middle of the hook passes, and nothing stays."""
    alpha = stage.registry()
    alpha.after = failing(KeyboardInterrupt(), only="REGISTER")
    host = stage.host(alpha)
    with pytest.raises(KeyboardInterrupt):
        host.register(WEB, ttl=30, provider="alpha")
    assert alpha.named("DELETE") == ["web"]


def test_a_roll_back_that_fails_too_is_noted(stage: Any, failing: Any) -> None:
    """The first error is raised, the other goes with it."""
    alpha = stage.registry()
    alpha.after = failing(TimeoutError("lost the answer"), only="REGISTER")
    alpha.before = failing(AccessDeniedError("stuck"), only="DELETE")
    with pytest.raises(OperationTimeoutError) as caught:
        stage.host(alpha).register(WEB, provider="alpha")
    assert "and while taking it back: stuck" in caught.value.__notes__[0]


def test_a_provider_without_the_hook_is_refused_by_name(stage: Any) -> None:
    """WSAEOPNOTSUPP (10045)."""
    alpha = stage.registry(hooks=("nsp_startup", "nsp_cleanup"))
    with pytest.raises(OperationNotSupportedError, match="nsp_set_service"):
        stage.host(alpha).register(WEB, provider="alpha")


def test_multiple_is_passed_on_both_ways(stage: Any) -> None:
    """Who shares a name takes its own addresses back, and no others."""
    alpha = stage.registry()
    host = stage.host(alpha)
    other = WEB.replace(addresses=[Address.inet("192.0.2.2", 80)])
    with host.register(WEB, multiple=True):
        with host.register(other, multiple=True):
            assert alpha.entries["web"].addresses == [*WEB.addresses, *other.addresses]
        assert alpha.entries["web"].addresses == [*WEB.addresses]
    assert "web" not in alpha


def test_no_thread_for_renewals_is_told(
    stage: Any, monkeypatch: pytest.MonkeyPatch, threads: Callable[[str], int]
) -> None:
    """WSAENOBUFS (10055); nothing is registered that nobody would renew."""
    alpha = stage.registry()
    host = stage.host(alpha)
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name == "nspkit-renewals":
            raise RuntimeError("can't start new thread")
        start(thread)

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(NspError, match="can't start new thread") as caught:
            host.register(WEB, ttl=30)
    assert caught.value.code == 10055
    assert alpha.calls == []
    with host.register(WEB, ttl=30):
        assert threads("nspkit-renewals") == 1


@pytest.mark.parametrize("renamed", [False, True], ids=["as it came", "by threading"])
def test_an_interrupt_while_the_thread_starts_is_one(
    stage: Any, monkeypatch: pytest.MonkeyPatch, renamed: bool
) -> None:
    """Also where `threading` makes an error of its own of it; nothing is left."""
    alpha = stage.registry()
    host = stage.host(alpha)
    start = threading.Thread.start

    def strike(thread: threading.Thread) -> None:
        start(thread)
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            if renamed:
                raise RuntimeError("cannot release un-acquired lock")  # noqa: B904
            raise

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", strike)
        with pytest.raises(KeyboardInterrupt):
            host.register(WEB, ttl=30)
    assert alpha.calls == []
    with host.register(WEB, ttl=30) as registration:
        assert registration.state == RegistrationState.ACTIVE


# -- the thread --------------------------------------------------------------------------------


def test_without_a_time_to_live_there_is_no_thread(
    stage: Any, threads: Callable[[str], int]
) -> None:
    """Nothing is renewed."""
    alpha = stage.registry()
    with stage.host(alpha).register(WEB):
        assert threads("nspkit-renewals") == 0
        stage.clock.advance(1e6)
    assert alpha.named("REGISTER") == ["web"]


def test_one_thread_is_there_while_there_is_something_to_renew(
    stage: Any, threads: Callable[[str], int]
) -> None:
    """Started with the first registration, gone with the last, and started again."""
    host = stage.host(stage.registry())
    for _ in range(3):
        first = host.register(Service("one"), ttl=30)
        second = host.register(Service("two"), ttl=60)
        assert threads("nspkit-renewals") == 1
        first.close()
        assert threads("nspkit-renewals") == 1
        second.close()
        assert threads("nspkit-renewals") == 0


def test_a_thread_whose_start_was_interrupted_leaves(stage: Any) -> None:
    """Nobody has written it down, so it is not the one that is wanted."""
    host = stage.host(stage.registry())
    with host.register(WEB, ttl=30):
        stage.task(host._accounts.renewals._run).result()


def test_lookups_that_nobody_reads_hold_up_no_renewal_and_no_end(stage: Any, until: Any) -> None:
    """Their workers keep all places of the provider, and wait for a reader."""
    alpha = stage.registry()
    host = stage.host(alpha)
    for number in range(100):
        host.set_service(Service(str(number)), ServiceOperation.REGISTER)
    registration = host.register(WEB, ttl=30)
    lookups = [host.lookup() for _ in range(PLACES)]
    for lookup in lookups:
        next(lookup)
    assert len(host._accounts.workers._lanes["calls"].taken) == 1
    for round in range(1, 4):
        stage.clock.advance(10)
        until(lambda round=round: registration.expires == 1000 + round * 10 + 30)
    registration.close(timeout=LONG)
    assert alpha.named("DELETE") == ["web"]
    for lookup in lookups:
        lookup.close()


# -- renewing ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("jitter", "due"), [(0.0, 10.0), (0.5, 9.5), (1.0, 9.0)])
def test_it_is_renewed_after_a_third_of_its_time(
    stage: Any, until: Any, jitter: float, due: float
) -> None:
    """A little earlier by chance, and never later."""
    alpha = stage.registry()
    with stage.host(alpha, jitter=jitter).register(WEB, ttl=30) as registration:
        for round in range(1, 4):
            stage.clock.advance(due - 0.25)
            stage.clock.advance(0.25)
            until(lambda round=round: registration.expires == 1000 + round * due + 30)
        assert alpha.at == [1000 + round * due for round in range(4)]
        assert alpha.calls == [("REGISTER", "web", False)] * 4


def test_the_jitter_is_by_chance() -> None:
    """Unless a test says otherwise."""
    renewals = Host(catalog=Catalog())._accounts.renewals
    numbers = {renewals.jitter() for _ in range(20)}
    assert len(numbers) == 20
    assert all(0.0 <= number <= 1.0 for number in numbers)


def test_many_are_renewed_each_in_its_time(stage: Any, until: Any) -> None:
    """The one that is due first, whenever it was begun."""
    alpha = stage.registry()
    host = stage.host(alpha)
    with host.register(Service("slow"), ttl=300), host.register(Service("quick"), ttl=30):
        stage.clock.advance(10)
        until(lambda: alpha.named("REGISTER").count("quick") == 2)
        stage.clock.advance(10)
        until(lambda: alpha.named("REGISTER").count("quick") == 3)
        assert alpha.named("REGISTER").count("slow") == 1
        stage.clock.advance(80)
        until(lambda: alpha.named("REGISTER").count("slow") == 2)


def test_a_renewal_knows_nothing_of_who_registered(stage: Any, until: Any) -> None:
    """No context, and no provider that its thread would be inside."""
    request: ContextVar[str] = ContextVar("request", default="none")
    alpha, beta = stage.registry("alpha"), stage.registry("beta", namespace=Namespace.NLA)
    host = stage.host(alpha, beta)
    made: list[Registration] = []
    seen: list[Any] = []

    def register() -> None:
        request.set("the first")
        if not made:
            made.append(host.register(WEB, ttl=30, provider="alpha"))

    def look(operation: str, _service: Service) -> None:
        inside = host._accounts.of("beta").lifetime.reentered()
        seen.append((operation, request.get(), inside))

    beta.lookup, alpha.before = register, look
    list(host.lookup(provider="beta"))
    stage.clock.advance(10)
    until(lambda: len(seen) == 2)
    made[0].close()
    assert seen[:2] == [("REGISTER", "the first", True), ("REGISTER", "none", False)]


def test_the_clock_goes_by_itself(stage: Any, until: Any) -> None:
    """Without a test that turns it."""
    alpha = stage.registry()
    catalog = Catalog()
    catalog.install(alpha.provider_class)
    with Host(catalog=catalog) as host, host.register(WEB, ttl=0.1):
        until(lambda: len(alpha.calls) >= 4)


def test_what_a_renewal_leaves_in_its_context_is_gone(
    stage: Any, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same thread does the next one, which starts afresh."""
    from nspkit import _workers

    monkeypatch.setattr(_workers, "UPKEEP_THREADS", 1)
    request: ContextVar[str] = ContextVar("request", default="none")
    alpha = stage.registry()
    host = stage.host(alpha)
    gate, seen = stage.gate(), []
    with host.register(Service("one"), ttl=30), host.register(Service("two"), ttl=30):

        def look(operation: str, service: Service) -> None:
            gate.wait(LONG)
            seen.append((request.get(), threading.get_ident()))
            request.set(service.name)

        alpha.before = look
        stage.clock.advance(10)
        until(
            lambda: (
                [len(one) for one in host._accounts.workers._lanes["upkeep"].taken.values()] == [2]
            )
        )
        gate.set()
        until(lambda: len(seen) == 2)
        alpha.before = lambda operation, service: None
        assert [context for context, _ in seen] == ["none", "none"]
        assert len({ident for _, ident in seen}) == 1


def test_what_was_forgotten_comes_back(stage: Any, until: Any) -> None:
    """A renewal registers it anew, from what the registration remembers."""
    alpha = stage.registry()
    with stage.host(alpha).register(WEB, ttl=30):
        alpha.entries.clear()
        assert "web" not in alpha
        stage.clock.advance(10)
        until(lambda: "web" in alpha)


def test_a_renewal_that_fails_is_seen_and_healed(
    stage: Any, until: Any, told: Any, failing: Any
) -> None:
    """In the state, the error and the events; then all is well again."""
    alpha = stage.registry()
    host = stage.host(alpha)
    events = told(host)
    with host.register(WEB, ttl=30) as registration:
        alpha.before = failing(NotReadyError("away"))
        stage.clock.advance(10)
        until(lambda: registration.state == RegistrationState.LOST)
        assert registration.error.code == 10091
        assert registration.errors == (registration.error,)
        assert registration.expires == 1030
        assert registration.providers == (alpha.guid,)
        until(lambda: events[-1] == (EventKind.REGISTRATION_FAILED, "alpha: web", 10091))
        alpha.before = lambda operation, service: None
        stage.clock.advance(1)
        until(lambda: events[-1] == (EventKind.REGISTERED, "alpha: web", None))
        assert registration.state == RegistrationState.ACTIVE
        assert registration.error is None
    assert [event for event in events if event[1] == "alpha: web"] == [
        ("registered", "alpha: web", None),
        ("registration failed", "alpha: web", 10091),
        ("registered", "alpha: web", None),
        ("deregistered", "alpha: web", None),
    ]


@pytest.mark.parametrize(
    ("ttl", "jitter", "delays"),
    [
        (30, 0.0, [1, 2, 4, 8, 16, 30, 30]),
        (30, 1.0, [0.5, 1, 2, 4, 8, 15, 15]),
        (3600, 0.0, [1, 2, 4, 8, 16, 32, 60, 60]),
        (0.5, 0.0, [0.05, 0.1, 0.2, 0.4, 0.8, 1, 1]),
    ],
)
def test_it_is_tried_for_ever_each_time_later(
    stage: Any, until: Any, failing: Any, ttl: float, jitter: float, delays: list[float]
) -> None:
    """Up to a minute, or to its time to live, and by chance."""
    alpha = stage.registry()
    with stage.host(alpha, jitter=jitter).register(WEB, ttl=ttl) as registration:
        lease = registration._state.all[0]
        alpha.before = failing(10091, only="REGISTER")
        waited = []
        stage.clock.advance(ttl)
        for _ in delays:
            tries = len(alpha.calls)
            until(lambda: lease.job is None and lease.due > stage.clock())
            waited.append(lease.due - stage.clock())
            stage.clock.now = lease.due
            stage.clock.advance(0)
            until(lambda tries=tries: len(alpha.calls) > tries)
        assert waited == pytest.approx(delays)


def test_a_success_brings_the_patience_back_down(stage: Any, until: Any, failing: Any) -> None:
    """The next failure is the first again."""
    alpha = stage.registry()
    with stage.host(alpha).register(WEB, ttl=30) as registration:
        lease = registration._state.all[0]
        for _ in range(2):
            alpha.before = failing(10091, only="REGISTER")
            stage.clock.advance(10)
            until(lambda: registration.state == RegistrationState.LOST)
            assert lease.due == stage.clock() + 1
            alpha.before = lambda operation, service: None
            stage.clock.advance(1)
            until(lambda: registration.state == RegistrationState.ACTIVE)


def test_a_renewal_that_hangs_is_seen_and_holds_up_nobody(
    stage: Any, until: Any, told: Any
) -> None:
    """After a third of the time it counts as lost (10060); when it comes back all is well."""
    alpha, beta = stage.registry("alpha"), stage.registry("beta")
    host = stage.host(alpha, beta)
    gate, events = stage.gate(), told(host)
    with host.register(WEB, ttl=30) as registration:
        alpha.before = lambda operation, service: gate.wait(LONG) and None
        stage.clock.advance(10)
        until(lambda: len(alpha.calls) == 2 and len(beta.calls) == 2)
        assert registration.state == RegistrationState.ACTIVE
        until(lambda: registration._state.all[1].job is None)
        stage.clock.advance(10)
        until(lambda: registration.state == RegistrationState.LOST)
        assert registration.error.code == 10060
        assert registration.error.guid == alpha.guid
        assert re.search(r"'alpha'.*renewal of 'web'.*30 s", registration.error.message)
        until(lambda: len(beta.calls) == 3)
        lane = host._accounts.workers._lanes["upkeep"]
        until(lambda: not lane.working)  # one that hangs counts no more
        until(lambda: events[-1] == ("registration failed", "alpha: web", 10060))
        assert registration._state.all[0].due == float("inf"), "the worker says how it ends"
        stage.clock.advance(200)
        assert len(alpha.calls) == 2, "one that hangs is not called a second time"
        gate.set()
        until(lambda: registration.state == RegistrationState.ACTIVE)
        assert registration.errors == ()


def test_a_renewal_that_gets_no_turn_is_seen(stage: Any, until: Any) -> None:
    """The places of its provider are taken by what hangs; it says by what."""
    alpha = stage.registry()
    host = stage.host(alpha)
    gate = stage.gate()
    others = [host.register(Service(f"other {n}"), ttl=30) for n in range(UPKEEP_PLACES)]
    with host.register(WEB, ttl=40) as registration:
        alpha.before = lambda operation, service: gate.wait(LONG) and None
        stage.clock.advance(10)
        until(lambda: len(alpha.calls) == 2 * UPKEEP_PLACES + 1)
        stage.clock.advance(4)
        until(lambda: registration._state.all[0].job is not None)
        stage.clock.advance(14)
        until(lambda: registration.state == RegistrationState.LOST)
        message = registration.error.message
        assert f"occupied by {UPKEEP_PLACES} call(s): the renewal of 'other" in message
        assert registration._state.all[0].due == stage.clock() + 1
        gate.set()
        stage.clock.advance(1)
        until(lambda: registration.state == RegistrationState.ACTIVE)
    for other in others:
        other.close()


def test_a_renewal_without_a_thread_is_tried_again(
    stage: Any, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """WSAENOBUFS (10055), in the error."""
    alpha = stage.registry()
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name == "nspkit-worker":
            raise RuntimeError("can't start new thread")
        start(thread)

    with stage.host(alpha).register(WEB, ttl=30, provider="alpha") as registration:
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse)
            stage.clock.advance(10)
            until(lambda: registration.state == RegistrationState.LOST)
        assert registration.error.code == 10055
        stage.clock.advance(1)
        until(lambda: registration.state == RegistrationState.ACTIVE)


def test_a_pool_that_refuses_is_a_failure_too(
    stage: Any, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread that looks at the clock goes on."""
    host = stage.host(stage.registry())
    with host.register(WEB, ttl=30) as registration:

        def refuse(workers: Any, job: Any) -> None:
            raise InProgressError("interrupted")

        with monkeypatch.context() as patch:
            patch.setattr(type(host._accounts.workers), "submit", refuse)
            stage.clock.advance(10)
            until(lambda: registration.state == RegistrationState.LOST)
        assert registration.error.code == 10036
        stage.clock.advance(1)
        until(lambda: registration.state == RegistrationState.ACTIVE)


def test_an_interrupt_on_a_worker_is_a_failure_like_others(
    stage: Any, until: Any, failing: Any
) -> None:
    """A provider may raise anything; the worker lives on."""
    alpha = stage.registry()
    with stage.host(alpha).register(WEB, ttl=30) as registration:
        alpha.before = failing(KeyboardInterrupt("odd"), only="REGISTER")
        stage.clock.advance(10)
        until(lambda: registration.state == RegistrationState.LOST)
        assert "KeyboardInterrupt: odd" in registration.error.message
        alpha.before = lambda operation, service: None
        stage.clock.advance(1)
        until(lambda: registration.state == RegistrationState.ACTIVE)


def test_two_calls_of_one_registration_do_not_overlap(stage: Any, until: Any) -> None:
    """The second is refused (10036) and tried again later."""
    alpha = stage.registry()
    with stage.host(alpha).register(WEB, ttl=30) as registration:
        gate, lease = stage.gate(), registration._state.all[0]
        alpha.before = lambda operation, service: gate.wait(LONG) and None
        stage.clock.advance(10)
        until(lambda: len(alpha.calls) == 2)
        with pytest.raises(InProgressError, match="has not come back"):
            lease.register()
        assert len(alpha.calls) == 2
        gate.set()
        until(lambda: registration.state == RegistrationState.ACTIVE)


def test_one_that_was_ended_a_moment_before_is_not_renewed(stage: Any) -> None:
    """Whoever is on the way to the provider takes it back instead."""
    alpha = stage.registry()
    registration = stage.host(alpha).register(WEB, ttl=30)
    (lease,) = registration._state.all
    lease.ended = True
    with pytest.raises(CancelledError):
        lease.register()
    assert alpha.calls == [("REGISTER", "web", False), ("DELETE", "web", False)]
    assert registration.state == RegistrationState.RELEASED


# -- several providers -------------------------------------------------------------------------


def test_it_is_registered_wherever_that_can_be(stage: Any) -> None:
    """At every enabled provider that has the hook, in catalog order."""
    alpha, beta = stage.registry("alpha"), stage.registry("beta")
    mute = stage.registry("mute", hooks=("nsp_startup", "nsp_cleanup", "nsp_lookup_service"))
    host = stage.host(alpha, mute, beta)
    with host.register(WEB, ttl=30) as registration:
        assert registration.providers == (alpha.guid, beta.guid)
        assert registration.errors == ()
        assert registration.state == RegistrationState.ACTIVE
    assert "web" not in alpha
    assert "web" not in beta
    assert mute.hooks_called == []


def test_a_namespace_chooses_and_so_does_a_result(stage: Any) -> None:
    """What a lookup has found goes back to where it came from, unless the arguments say where."""
    alpha = stage.registry("alpha")
    beta = stage.registry("beta", namespace=Namespace.NLA)
    host = stage.host(alpha, beta)
    with host.register(WEB, namespace=Namespace.NLA) as registration:
        assert registration.providers == (beta.guid,)
    with host.register(WEB.replace(provider=alpha.guid)) as registration:
        assert registration.providers == (alpha.guid,)
    with host.register(WEB.replace(namespace=Namespace.NLA)) as registration:
        assert registration.providers == (beta.guid,)
    with host.register(WEB.replace(provider=alpha.guid), provider="beta") as registration:
        assert registration.providers == (beta.guid,)
    found = WEB.replace(provider=alpha.guid)
    with host.register(found, namespace=Namespace.NLA) as registration:
        assert registration.providers == (beta.guid,)


def test_nobody_to_ask_is_told(stage: Any) -> None:
    """Nobody there is 10108, nobody who can 10045."""
    with pytest.raises(ServiceNotFoundError):
        stage.host().register(WEB)
    mute = stage.registry("mute", hooks=("nsp_startup", "nsp_cleanup"))
    with pytest.raises(OperationNotSupportedError):
        stage.host(mute).register(WEB, ttl=30)


def test_one_that_fails_at_first_is_tried_again(
    stage: Any, until: Any, failing: Any, told: Any
) -> None:
    """The state is pending until every provider has it."""
    alpha, beta = stage.registry("alpha"), stage.registry("beta")
    alpha.before = failing(10091, only="REGISTER")
    host = stage.host(alpha, beta)
    events = told(host)
    with host.register(WEB, ttl=30) as registration:
        assert registration.state == RegistrationState.PENDING == "pending"
        assert [error.code for error in registration.errors] == [10091]
        assert registration.error.code == 10091
        assert registration.providers == (alpha.guid, beta.guid)
        assert ("registration failed", "alpha: web", 10091) in events
        stage.clock.advance(1)
        until(lambda: alpha.named("REGISTER") == ["web"] * 2)
        assert registration.state == RegistrationState.PENDING
        alpha.before = lambda operation, service: None
        until(lambda: registration._state.all[0].due == stage.clock() + 2)
        stage.clock.advance(2)
        until(lambda: registration.state == RegistrationState.ACTIVE)
    assert alpha.named("DELETE") == ["web"]


def test_without_a_time_to_live_one_that_fails_is_left_out(stage: Any, failing: Any) -> None:
    """Nobody would try it again; its error stays to be seen."""
    alpha, beta = stage.registry("alpha"), stage.registry("beta")
    alpha.before = failing(10091)
    with stage.host(alpha, beta).register(WEB) as registration:
        assert registration.state == RegistrationState.ACTIVE
        assert registration.providers == (beta.guid,)
        assert [error.code for error in registration.errors] == [10091]
    assert alpha.named("DELETE") == []


def test_one_that_does_not_support_it_after_all_is_left_out(stage: Any, failing: Any) -> None:
    """10045 will be 10045 the next time too."""
    alpha, beta = stage.registry("alpha"), stage.registry("beta")
    alpha.before = failing(NotImplementedError("no"))
    with stage.host(alpha, beta).register(WEB, ttl=30) as registration:
        assert registration.state == RegistrationState.ACTIVE
        assert registration.providers == (beta.guid,)
        assert [error.code for error in registration.errors] == [10045]


def test_when_all_fail_the_most_specific_error_is_raised(stage: Any, failing: Any) -> None:
    """With all of them in it, in catalog order."""
    alpha, beta = stage.registry("alpha"), stage.registry("beta")
    alpha.before = failing(AccessDeniedError("not yours"))
    beta.before = failing(NotImplementedError("no"))
    with pytest.raises(AccessDeniedError, match=r"register it: not yours.*; .*no") as caught:
        stage.host(alpha, beta).register(WEB, ttl=30)
    assert [error.code for error in caught.value.errors] == [10013, 10045]


def test_a_provider_that_cannot_start_is_started_later(
    stage: Any, until: Any, failing: Any
) -> None:
    """The registration goes on without it, and gives it the service when it is back."""
    alpha, beta = stage.registry("alpha"), stage.registry("beta")
    alpha.startup = failing(NotReadyError("no server"))
    host = stage.host(alpha, beta)
    with host.register(WEB, ttl=30) as registration:
        assert registration.error.code == 10091
        assert registration.providers == (alpha.guid, beta.guid)
        alpha.startup = lambda: None
        stage.clock.advance(1)
        until(lambda: registration.errors == ())
        assert registration.state == RegistrationState.ACTIVE
        assert "web" in alpha
    assert alpha.hooks_called == ["startup", "startup", "REGISTER", "DELETE"]


def test_one_that_is_not_ready_does_not_count_beside_others(
    stage: Any, until: Any, failing: Any
) -> None:
    """It may be one that nobody has configured; what the others say is how it stands."""
    alpha, beta = stage.registry("alpha"), stage.registry("beta")
    alpha.startup = failing(NotReadyError("no setting"))
    host = stage.host(alpha, beta)
    with host.register(WEB, ttl=30) as registration:
        assert registration.state == RegistrationState.ACTIVE
        beta.before = failing(10013, only="REGISTER")
        stage.clock.advance(10)
        until(lambda: registration.state == RegistrationState.LOST)
        beta.before = lambda operation, service: None
        host.cleanup("beta")
        assert registration.state == RegistrationState.PENDING, "nobody else has it"
    assert registration.state == RegistrationState.RELEASED


def test_a_provider_that_is_held_back_is_asked_later(stage: Any, until: Any, failing: Any) -> None:
    """A start that failed a moment ago is not tried at once, but in time."""
    alpha, beta = stage.registry("alpha"), stage.registry("beta")
    alpha.startup = failing(NotReadyError("no server"))
    host = stage.host(alpha, beta)
    with pytest.raises(NotReadyError):
        host.startup("alpha")
    alpha.startup = lambda: None
    with host.register(WEB, ttl=30) as registration:
        assert alpha.hooks_called == ["startup"]
        assert "not tried again for" in registration.error.message
        stage.clock.advance(1)
        until(lambda: registration.state == RegistrationState.ACTIVE)


def test_a_provider_that_is_held_back_and_is_not_meant_is_passed_over(
    stage: Any, failing: Any
) -> None:
    """It lacks the hook, or is of another namespace: the registration does not wait for it."""
    alpha, beta = stage.registry("alpha", hooks=SETS[:2]), stage.registry("beta")
    gamma = stage.registry("gamma", namespace=Namespace.NIS)
    host = stage.host(alpha, beta, gamma)
    for registry in (alpha, gamma):
        registry.startup = failing(NotReadyError("no server"))
        with pytest.raises(NotReadyError):
            host.startup(registry.name)
    with host.register(WEB, ttl=30, namespace=Namespace.DNS) as registration:
        assert registration.state == RegistrationState.ACTIVE
        assert registration.errors == ()
        assert registration.providers == (beta.guid,)


def test_one_that_is_held_back_when_nobody_waits_any_more_is_asked_later(
    stage: Any, until: Any, failing: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its import took longer than the begin could wait: it says itself how that ended."""
    alpha, beta = stage.registry("alpha"), stage.registry("beta")
    alpha.startup = failing(NotReadyError("no server"))
    host = stage.host(alpha, beta)
    with pytest.raises(NotReadyError):
        host.startup("alpha")
    account, gate = host._accounts.of("alpha"), stage.gate()
    account.held_until += 1000.0
    lacks = type(account).lacks

    def slow(self: Any, *args: Any) -> Any:
        if self is account:
            gate.wait(LONG)
        return lacks(self, *args)

    with monkeypatch.context() as patch:
        patch.setattr(type(account), "lacks", slow)
        registration = host.register(WEB, ttl=30, timeout=0.2)
        assert [error.code for error in registration.errors] == [10060]
        gate.set()
        until(lambda: registration._state.all[0].job is None)
    assert [error.code for error in registration.errors] == [10091]
    alpha.startup = lambda: None
    stage.clock.advance(1)
    until(lambda: registration.state == RegistrationState.ACTIVE)
    registration.close()


def test_one_that_got_no_turn_at_the_begin_is_passed_over_when_it_has_one(
    stage: Any, until: Any
) -> None:
    """Only then is it known that it is not meant; it is not registered there."""
    alpha, beta = stage.registry("alpha", namespace=Namespace.NIS), stage.registry("beta")
    host = stage.host(alpha, beta)
    registration = host.register(WEB, ttl=30, namespace=Namespace.DNS)
    leases = registration._state
    lease = Lease(host._accounts.of("alpha"), leases._terms, Namespace.DNS)
    host._accounts.renewals.add(lease)
    leases.all.insert(0, lease)
    lease.fail(OperationTimeoutError("no turn"))
    stage.clock.advance(1)
    until(lambda: lease.over)
    assert lease.error is None
    assert alpha.hooks_called == []
    registration.close()


def test_one_that_does_not_support_a_renewal_is_left_out(
    stage: Any, until: Any, told: Any, failing: Any
) -> None:
    """No later try changes that (10045); what is there is taken back, and it is told why."""
    alpha = stage.registry()
    host = stage.host(alpha)
    events = told(host)
    registration = host.register(WEB, ttl=30, provider="alpha")
    alpha.before = failing(NotImplementedError("no more"), only="REGISTER")
    stage.clock.advance(10)
    until(lambda: registration.state == RegistrationState.RELEASED)
    until(lambda: alpha.named("DELETE") == ["web"])
    assert registration.error.code == 10045
    assert ("registration failed", "alpha: web", 10045) in events
    until(lambda: not host._accounts.renewals.pending)
    registration.close()


@pytest.mark.parametrize(
    ("source", "code"), [("raise RuntimeError('no such library')", 10106), ("P = 7", 10104)]
)
def test_a_provider_that_cannot_be_loaded_is_passed_over(
    stage: Any, installed: Any, source: str, code: int
) -> None:
    """It is recorded, and the registration does not wait for it for ever."""
    beta = stage.registry("beta")
    host = stage.host(catalog=installed({"alpha": source}, beta))
    with host.register(WEB, ttl=30) as registration:
        assert registration.state == RegistrationState.ACTIVE
        assert [error.code for error in registration.errors] == [code]
        assert registration.providers == (beta.guid,)
        assert len(host._accounts.renewals.pending) == 1


def test_where_all_that_can_be_asked_are_broken_it_fails(stage: Any, installed: Any) -> None:
    """With their errors; who lacks the hook is none that could."""
    lacking = stage.registry("beta", hooks=SETS[:2])
    host = stage.host(catalog=installed({"alpha": "raise RuntimeError('no')"}, lacking))
    with pytest.raises(NspError, match="no") as caught:
        host.register(WEB, ttl=30)
    assert caught.value.code == 10106
    assert not host._accounts.renewals.pending


def test_a_provider_that_is_still_being_imported_is_asked_later(
    stage: Any, until: Any, installed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By another thread, for very long (10036): that may end."""
    ready, go = stage.gate(), stage.gate()
    monkeypatch.setitem(sys.modules, "slow_gate", SimpleNamespace(ready=ready, go=go))
    host = stage.host(catalog=installed({"alpha": SLOW, "beta": QUICK}))
    starting = stage.task(lambda: host.startup("alpha"))
    assert ready.wait(LONG)
    with monkeypatch.context() as patch:
        patch.setattr(_once, "PATIENCE", 0.001)
        registration = host.register(WEB, ttl=30)
    assert [error.code for error in registration.errors] == [10036]
    assert registration.state == RegistrationState.PENDING
    go.set()
    session = starting.result()
    stage.clock.advance(1)
    until(lambda: registration.state == RegistrationState.ACTIVE)
    registration.close()
    session.close()


@pytest.mark.parametrize("ttl", [None, 30])
def test_one_that_hangs_at_the_begin_keeps_nobody_waiting(
    stage: Any, until: Any, told: Any, ttl: float | None
) -> None:
    """It has its time (10060). What is not renewed is taken back when it has come back."""
    alpha, beta = stage.registry("alpha"), stage.registry("beta")
    gate = stage.gate()
    alpha.before = lambda operation, service: gate.wait(LONG) and None
    host = stage.host(alpha, beta)
    events = told(host)
    with host.register(WEB, ttl=ttl, timeout=0.5) as registration:
        assert [error.code for error in registration.errors] == [10060]
        assert registration.state == ("active" if ttl is None else "pending")
        assert registration.providers == ((alpha.guid, beta.guid) if ttl else (beta.guid,))
        assert registration._state.all[0].due == float("inf"), "it is not called a second time"
        gate.set()
        if ttl is None:
            until(lambda: alpha.named("DELETE") == ["web"])
            assert ("registered", "alpha: web", None) not in events
        else:
            until(lambda: registration.state == RegistrationState.ACTIVE)
            assert registration.errors == ()


def test_time_for_one_provider_is_kept_too(stage: Any, until: Any) -> None:
    """Directed, with a time-out: on a worker; late, it is taken back."""
    alpha = stage.registry()
    host = stage.host(alpha)
    with host.register(WEB, provider="alpha", timeout=LONG, ttl=30) as registration:
        assert registration.state == RegistrationState.ACTIVE
    gate = stage.gate()
    alpha.before = lambda operation, service: gate.wait(LONG) and None
    with pytest.raises(OperationTimeoutError, match=r"'alpha'.*0\.5 s"):
        host.register(WEB, provider="alpha", timeout=0.5, ttl=30)
    gc.collect()
    gate.set()
    until(lambda: alpha.named("DELETE") == ["web"] * 2)
    assert "web" not in alpha


def test_the_worst_state_is_shown(stage: Any, until: Any, failing: Any) -> None:
    """Lost before pending before active."""
    alpha, beta, gamma = (stage.registry(name) for name in ("alpha", "beta", "gamma"))
    alpha.before = failing(10091, only="REGISTER")
    with stage.host(alpha, beta, gamma).register(WEB, ttl=30) as registration:
        assert registration.state == RegistrationState.PENDING
        beta.before = failing(10013, only="REGISTER")
        stage.clock.advance(10)
        until(lambda: registration.state == RegistrationState.LOST)
        until(lambda: registration._state.all[0].due == stage.clock() + 2)
        assert [error.code for error in registration.errors] == [10091, 10013]
        stage.clock.advance(1)
        until(lambda: len(beta.calls) == 3)
        until(lambda: registration._state.all[1].failed_at == stage.clock())
        assert registration.error.code == 10013, "the one that came last"


def test_from_inside_a_provider_that_one_is_passed_over(stage: Any) -> None:
    """Directed at it, it is refused (10036); among others it is recorded."""
    alpha, beta = stage.registry("alpha"), stage.registry("beta")
    host = stage.host(alpha, beta)
    seen: list[Any] = []

    def register() -> None:
        with pytest.raises(InProgressError):
            host.register(WEB, provider="alpha")
        with host.register(WEB, ttl=30) as registration:
            seen.extend(registration.errors)
            assert registration.providers == (beta.guid,)

    alpha.lookup = register
    list(host.lookup(provider="alpha"))
    assert [error.code for error in seen] == [10036]
    assert alpha.calls == []


# -- the end -----------------------------------------------------------------------------------


@BOTH
def test_it_is_closed_once_from_any_thread(stage: Any, directed: bool) -> None:
    """The second close, and the end of the block, do nothing."""
    alpha = stage.registry()
    with stage.host(alpha).register(WEB, **directed_at(alpha, directed=directed)) as registration:
        stage.task(registration.close).result()
        registration.close()
        assert registration.state == RegistrationState.RELEASED
    assert alpha.named("DELETE") == ["web"]


def test_it_may_be_closed_by_two_threads_at_once(stage: Any, until: Any) -> None:
    """It is deleted once, and both wait for that."""
    alpha = stage.registry()
    registration = stage.host(alpha).register(WEB, provider="alpha")
    gate = stage.gate()
    alpha.before = lambda operation, service: gate.wait(LONG) and None
    tasks = [stage.task(registration.close) for _ in range(2)]
    until(lambda: alpha.named("DELETE") == ["web"])
    assert registration.state == RegistrationState.ACTIVE
    gate.set()
    for task in tasks:
        task.result()
    assert alpha.named("DELETE") == ["web"]


@BOTH
def test_the_close_waits_for_a_renewal(stage: Any, until: Any, directed: bool) -> None:
    """One that overtook the end would bring the entry back."""
    alpha = stage.registry()
    registration = stage.host(alpha).register(WEB, ttl=30, **directed_at(alpha, directed=directed))
    gate = stage.gate()
    alpha.before = lambda operation, service: operation == "REGISTER" and gate.wait(LONG) and None
    stage.clock.advance(10)
    until(lambda: len(alpha.calls) == 2)
    closing = stage.task(registration.close)
    until(lambda: registration._state.all[0].ended)
    assert closing.thread.is_alive()
    assert alpha.named("DELETE") == []
    gate.set()
    closing.result()
    assert [operation for operation, _, _ in alpha.calls] == ["REGISTER", "REGISTER", "DELETE"]
    assert "web" not in alpha


@BOTH
def test_a_close_may_have_a_time_limit(stage: Any, until: Any, directed: bool) -> None:
    """WSAETIMEDOUT (10060); it is taken back as soon as the provider has come back."""
    alpha = stage.registry()
    registration = stage.host(alpha).register(WEB, ttl=30, **directed_at(alpha, directed=directed))
    gate = stage.gate()
    alpha.before = lambda operation, service: operation == "REGISTER" and gate.wait(LONG) and None
    stage.clock.advance(10)
    until(lambda: len(alpha.calls) == 2)
    with pytest.raises(OperationTimeoutError, match="alpha"):
        registration.close(timeout=0.05)
    stage.clock.advance(100)
    assert registration.state == RegistrationState.ACTIVE
    assert registration.errors == (), "it is not late: nobody wants it any more"
    gate.set()
    until(lambda: registration.state == RegistrationState.RELEASED)
    assert alpha.named("DELETE") == ["web"]
    registration.close(timeout=0.05)


def test_one_that_got_no_turn_at_the_end_is_taken_back_and_not_renewed(
    stage: Any, until: Any
) -> None:
    """Its user is told that it is there still, and whoever comes by next ends it."""
    alpha = stage.registry()
    host = stage.host(alpha)
    gate = stage.gate()
    others = [host.register(Service(f"other {n}"), ttl=30) for n in range(UPKEEP_PLACES)]
    registration = host.register(WEB, ttl=60)
    alpha.before = lambda operation, service: gate.wait(LONG) and None
    stage.clock.advance(10)
    until(lambda: len(alpha.calls) == 2 * UPKEEP_PLACES + 1)
    with pytest.raises(OperationTimeoutError, match="got no turn"):
        registration.close(timeout=0.1)
    gate.set()
    for other in others:
        other.close()
    stage.clock.advance(10)
    until(lambda: registration.state == RegistrationState.RELEASED)
    assert alpha.named("REGISTER").count("web") == 1
    assert alpha.named("DELETE").count("web") == 1


@pytest.mark.parametrize("timeout", [-1, "1", True])
def test_a_time_limit_that_is_none_is_refused(stage: Any, timeout: Any) -> None:
    """WSAEINVAL (10022), of the begin as of the end; nothing is closed by it."""
    host = stage.host(stage.registry())
    with pytest.raises(InvalidArgumentError, match="timeout"):
        host.register(WEB, timeout=timeout)
    with host.register(WEB) as registration:
        with pytest.raises(InvalidArgumentError, match="timeout"):
            registration.close(timeout=timeout)
        assert registration.state == RegistrationState.ACTIVE


@BOTH
def test_a_close_that_fails_says_so_once(
    stage: Any, failing: Any, told: Any, directed: bool
) -> None:
    """It is over all the same; the error stays to be seen."""
    alpha = stage.registry()
    host = stage.host(alpha)
    registration = host.register(WEB, ttl=30, **directed_at(alpha, directed=directed))
    events = told(host)
    alpha.before = failing(AccessDeniedError("locked"), only="DELETE")
    with pytest.raises(AccessDeniedError, match="locked"):
        registration.close()
    assert registration.state == RegistrationState.RELEASED
    assert registration.error.code == 10013
    assert events == [("failed", "alpha: web", 10013)]
    registration.close()
    assert alpha.named("DELETE") == ["web"]


def test_what_has_lapsed_is_closed_quietly(stage: Any) -> None:
    """Nothing is left behind, which is what a close is for."""
    alpha = stage.registry()
    with stage.host(alpha).register(WEB, ttl=30) as registration:
        alpha.entries.clear()
    assert registration.error is None


def test_a_close_tells_the_errors_of_all(stage: Any, failing: Any) -> None:
    """Every provider is asked, whatever the others say."""
    registries = [stage.registry(name) for name in ("alpha", "beta", "gamma")]
    registration = stage.host(*registries).register(WEB)
    registries[0].before = failing(10091)
    registries[2].before = failing(10013)
    with pytest.raises(NspError, match="take it back") as caught:
        registration.close()
    assert {error.code for error in caught.value.errors} == {10091, 10013}
    assert "web" not in registries[1]
    assert registration.state == RegistrationState.RELEASED


def test_a_close_that_was_interrupted_can_be_done_again(stage: Any, failing: Any) -> None:
    """Nobody knows whether it is gone, so it is deleted once more."""
    alpha = stage.registry()
    registration = stage.host(alpha).register(WEB, provider="alpha")
    alpha.before = failing(KeyboardInterrupt(), only="DELETE")
    with pytest.raises(KeyboardInterrupt):
        registration.close()
    assert registration.state == RegistrationState.ACTIVE
    alpha.before = lambda operation, service: None
    registration.close()
    assert "web" not in alpha


def test_a_close_without_a_thread_is_done_in_line(
    stage: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the exit of the interpreter, for instance."""
    alpha = stage.registry()
    registration = stage.host(alpha).register(WEB)

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread at interpreter shutdown")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        registration.close()
    assert "web" not in alpha
    assert registration.state == RegistrationState.RELEASED


@pytest.mark.parametrize("ttl", [None, 30])
def test_a_close_from_inside_the_provider_is_queued(
    stage: Any, until: Any, ttl: float | None
) -> None:
    """The next operation does it, or a worker where there is a thread that looks at the clock."""
    alpha = stage.registry()
    host = stage.host(alpha)
    registration = host.register(WEB, ttl=ttl)
    alpha.lookup = registration.close
    list(host.lookup(provider="alpha"))
    if ttl is None:
        assert "web" in alpha
        host.references("alpha")
        assert "web" not in alpha
    until(lambda: registration.state == RegistrationState.RELEASED)
    assert alpha.named("DELETE") == ["web"]


def test_a_signal_handler_may_close_it(stage: Any) -> None:
    """Also one that strikes while this thread is inside the provider."""
    alpha = stage.registry()
    host = stage.host(alpha)
    registration = host.register(WEB)
    before = signal.signal(signal.SIGUSR1, lambda number, frame: registration.close())
    try:
        alpha.lookup = lambda: signal.raise_signal(signal.SIGUSR1)
        list(host.lookup(provider="alpha"))
        signal.raise_signal(signal.SIGUSR1)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert registration.state == RegistrationState.RELEASED
    assert "web" not in alpha


def test_who_ends_one_while_it_changes_the_list_is_refused(stage: Any) -> None:
    """WSAEINPROGRESS (10036), instead of waiting for itself for ever."""
    alpha = stage.registry()
    host = stage.host(alpha)
    registration = host.register(WEB, ttl=30)
    with host._accounts.renewals.lock, pytest.raises(InProgressError):
        registration._state.all[0].release(lambda: True)
    registration.close()
    assert registration.state == RegistrationState.RELEASED


def test_a_close_that_interrupts_the_list_is_queued(stage: Any, until: Any) -> None:
    """A signal handler may strike anywhere; nobody waits for itself for ever."""
    alpha = stage.registry()
    host = stage.host(alpha)
    registration = host.register(WEB, ttl=30)
    with host._accounts.renewals.lock:
        registration.close()
        assert alpha.named("DELETE") == []
        assert len(host._later) == 1
    until(lambda: registration.state == RegistrationState.RELEASED)
    assert alpha.named("DELETE") == ["web"]


def test_who_is_told_of_a_failure_may_close_it(stage: Any, until: Any) -> None:
    """Even if that hangs: no other registration waits for it, and it is not told of twice."""
    alpha, beta = stage.registry("alpha"), stage.registry("beta")
    host = stage.host(alpha, beta)
    bad = host.register(Service("bad"), ttl=30, provider="alpha")
    gate, on = stage.gate(), []

    def close(event: Any) -> None:
        if event.kind == EventKind.REGISTRATION_FAILED:
            on.append(threading.current_thread().name)
            bad.close()

    host.events.subscribe(close)
    with host.register(WEB, ttl=30, provider="beta") as good:
        alpha.before = lambda operation, service: gate.wait(LONG) and None
        stage.clock.advance(10)
        until(lambda: len(alpha.calls) == 2)
        until(lambda: good._state.all[0].job is None)
        stage.clock.advance(10)
        until(lambda: on == ["nspkit-worker"])
        for _ in range(3):
            called = len(beta.calls)
            stage.clock.advance(10)
            until(lambda called=called: len(beta.calls) > called)
            until(lambda: good._state.all[0].job is None)
        assert bad.state != RegistrationState.RELEASED
        gate.set()
        until(lambda: bad.state == RegistrationState.RELEASED)
    assert on == ["nspkit-worker"]


def test_a_renewal_that_was_refused_is_told_aside(
    stage: Any, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing that subscribed runs on the thread that looks at the clock."""
    host = stage.host(stage.registry())
    registration = host.register(WEB, ttl=30, provider="alpha")
    start, on, left = threading.Thread.start, [], [True]

    def refuse(thread: threading.Thread) -> None:
        if thread.name == "nspkit-worker" and left:
            left.clear()
            raise RuntimeError("can't start new thread")
        start(thread)

    host.events.subscribe(lambda event: on.append(threading.current_thread().name))
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        stage.clock.advance(10)
        until(lambda: on == ["nspkit-worker"])
    assert registration.error.code == 10055
    registration.close()


def test_a_subscriber_that_is_interrupted_on_a_worker_harms_nobody(
    stage: Any, until: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged, and the worker lives."""
    host = stage.host(stage.registry())
    registration = host.register(WEB, ttl=30)

    def strike(event: Any) -> None:
        raise KeyboardInterrupt("odd")

    ended = host.events.subscribe(strike)
    registration._state.all[0].fail(NotReadyError("away"), aside=True)
    until(lambda: "KeyboardInterrupt: odd" in caplog.text)
    until(lambda: not host._accounts.workers._lanes["events"].working)
    ended()
    registration.close()


def test_a_finaliser_may_close_it_on_the_thread_that_looks_at_the_clock(
    stage: Any, until: Any, threads: Callable[[str], int]
) -> None:
    """A collection of garbage may run it there, and the thread must not wait for itself."""
    alpha = stage.registry()
    host = stage.host(alpha)
    registration = host.register(WEB, ttl=30, provider="alpha")
    on: list[str] = []

    def look() -> float:
        if not on and threading.current_thread().name == "nspkit-renewals":
            on.append("nspkit-renewals")
            registration.close()
        return float(stage.clock())

    host._accounts.renewals.clock = look
    host._accounts.renewals.wake()
    until(lambda: registration.state == RegistrationState.RELEASED)
    assert on == ["nspkit-renewals"]
    assert alpha.named("DELETE") == ["web"]
    assert "web" not in alpha
    until(lambda: threads("nspkit-renewals") == 0)


def test_an_error_of_the_provider_that_looks_like_a_re_entry_is_raised(
    stage: Any, failing: Any
) -> None:
    """It is over then, and nothing is queued."""
    alpha = stage.registry()
    host = stage.host(alpha)
    registration = host.register(WEB)
    alpha.before = failing(InProgressError("busy"), only="DELETE")
    with pytest.raises(InProgressError, match="busy"):
        registration.close()
    assert not host._later


def test_one_that_is_dropped_open_warns_and_is_taken_back_later(stage: Any) -> None:
    """Like a file; a finaliser calls no provider, so the next operation does."""
    alpha = stage.registry()
    host = stage.host(alpha)
    registration = host.register(WEB)
    holder = [registration]
    del registration
    with pytest.warns(ResourceWarning, match=r"<Registration of 'web': active> was dropped open"):
        holder.clear()
    assert "web" in alpha
    host.references("alpha")
    assert "web" not in alpha


def test_one_that_is_dropped_open_is_not_renewed_but_taken_back(stage: Any, until: Any) -> None:
    """By a worker, without any operation, where there is a thread that looks at the clock."""
    alpha = stage.registry()
    host = stage.host(alpha)
    registration = host.register(WEB, ttl=30)
    holder = [registration]
    del registration
    with pytest.warns(ResourceWarning):
        holder.clear()
    until(lambda: alpha.named("DELETE") == ["web"])
    assert alpha.named("REGISTER") == ["web"]


def test_what_a_late_close_says_is_logged(
    stage: Any, failing: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody is there to be raised to."""
    alpha = stage.registry()
    host = stage.host(alpha)
    registration = host.register(WEB)
    alpha.before = failing(AccessDeniedError("locked"), only="DELETE")
    holder = [registration]
    del registration
    with pytest.warns(ResourceWarning):
        holder.clear()
    host.references("alpha")
    assert "locked" in caplog.text


def test_a_registration_that_was_closed_is_dropped_quietly(stage: Any) -> None:
    """`filterwarnings` is `error` here."""
    host = stage.host(stage.registry())
    registration = host.register(WEB, ttl=30)
    registration.close()
    del registration
    gc.collect()
    assert not host._later
