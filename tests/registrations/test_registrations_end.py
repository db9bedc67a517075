"""How registrations end with their provider, their host, the process, and in a forked child."""

from __future__ import annotations

import gc
import os
import signal
import weakref
from collections.abc import Callable
from subprocess import CompletedProcess
from typing import Any

import pytest

from nspkit import EventKind, NspError, RegistrationState, Service, ServiceOperation
from nspkit._account import Account
from nspkit.errors import (
    AccessDeniedError,
    CleanupError,
    CleanupTimeoutError,
    NotInitialisedError,
    NotReadyError,
)

LONG = 30.0
WEB = Service("web")


# -- the final cleanup -------------------------------------------------------------------------


def test_a_cleanup_takes_registrations_back_newest_first(stage: Any) -> None:
    """Before ``nsp_cleanup``; the registration says that its provider was stopped (10111)."""
    alpha = stage.registry()
    host = stage.host(alpha)
    first = host.register(Service("first"), ttl=30)
    second = host.register(Service("second"), provider="alpha")
    host.cleanup("alpha")
    assert alpha.hooks_called == ["startup", "REGISTER", "REGISTER", "DELETE", "DELETE", "cleanup"]
    assert alpha.named("DELETE") == ["second", "first"]
    for registration in (first, second):
        assert registration.state == RegistrationState.RELEASED
        assert registration.error.code == 10111
        assert registration.error.guid == alpha.guid
        assert "'alpha' was stopped" in registration.error.message
        registration.close()
    assert len(alpha.named("DELETE")) == 2


def test_what_set_service_registered_stays(stage: Any) -> None:
    """Winsock withdraws nothing at a cleanup."""
    alpha = stage.registry()
    host = stage.host(alpha)
    host.set_service(WEB, ServiceOperation.REGISTER)
    host.close()
    assert "web" in alpha


def test_of_several_providers_only_that_part_ends(stage: Any, until: Any) -> None:
    """The others go on being renewed."""
    alpha, beta = stage.registry("alpha"), stage.registry("beta")
    host = stage.host(alpha, beta)
    with host.register(WEB, ttl=30) as registration:
        host.cleanup("alpha")
        assert "web" not in alpha
        assert registration.state == RegistrationState.ACTIVE
        assert registration.providers == (beta.guid,)
        assert [error.code for error in registration.errors] == [10111]
        stage.clock.advance(10)
        until(lambda: len(beta.calls) == 2)
    assert alpha.hooks_called.count("startup") == 1


def test_the_end_does_not_start_the_provider_again(
    stage: Any, threads: Callable[[str], int]
) -> None:
    """Neither a renewal nor the close does."""
    alpha = stage.registry()
    host = stage.host(alpha)
    registration = host.register(WEB, ttl=30)
    host.cleanup("alpha")
    assert threads("nspkit") == 0
    stage.clock.advance(1000)
    registration.close()
    assert alpha.hooks_called.count("startup") == 1


def test_a_provider_that_cannot_take_it_back_is_heard_at_the_cleanup(
    stage: Any, failing: Any
) -> None:
    """As an error of the cleanup, and with the error of the registration."""
    alpha = stage.registry()
    host = stage.host(alpha)
    registration = host.register(WEB)
    alpha.before = failing(AccessDeniedError("locked"), only="DELETE")
    with pytest.raises(AccessDeniedError, match="locked"):
        host.cleanup("alpha")
    assert registration.error.code == 10111
    assert [error.code for error in registration.error.errors] == [10013]
    registration.close()


def test_a_renewal_under_way_is_waited_for(stage: Any, until: Any) -> None:
    """Whoever is inside takes the entry back on the way out, before ``nsp_cleanup``."""
    alpha = stage.registry()
    host = stage.host(alpha)
    registration = host.register(WEB, ttl=30)
    gate = stage.gate()
    alpha.before = lambda operation, service: operation == "REGISTER" and gate.wait(LONG) and None
    stage.clock.advance(10)
    until(lambda: len(alpha.calls) == 2)
    cleaning = stage.task(lambda: host.cleanup("alpha"))
    until(lambda: registration._state.all[0].ended)
    assert alpha.named("DELETE") == []
    gate.set()
    assert cleaning.result()
    assert alpha.hooks_called == ["startup", "REGISTER", "REGISTER", "DELETE", "cleanup"]
    assert registration.error.code == 10111


def test_a_renewal_that_comes_too_late_is_no_failure(stage: Any, until: Any, told: Any) -> None:
    """The provider is stopping already, and the registration is about to be ended."""
    alpha = stage.registry()
    host = stage.host(alpha)
    first = host.register(Service("first"), ttl=30)
    second = host.register(Service("second"))
    gate, events = stage.gate(), told(host)
    alpha.before = lambda operation, service: gate.wait(LONG) and None
    cleaning = stage.task(lambda: host.cleanup("alpha"))
    until(lambda: alpha.named("DELETE") == ["second"])
    for _ in range(2):
        due = first._state.all[0].due
        stage.clock.advance(10)
        until(lambda due=due: first._state.all[0].due > due)
        until(lambda: first._state.all[0].job is None)
    assert first.state == RegistrationState.ACTIVE
    assert events == []
    gate.set()
    cleaning.result()
    assert first.error.code == second.error.code == 10111


def test_what_goes_wrong_on_that_way_out_is_heard_at_the_cleanup(
    stage: Any, until: Any, failing: Any
) -> None:
    """It happens on a worker, and is not lost there."""
    alpha = stage.registry()
    host = stage.host(alpha)
    registration = host.register(WEB, ttl=30)
    gate = stage.gate()

    def before(operation: str, service: Service) -> None:
        if operation == "DELETE":
            raise AccessDeniedError("locked")
        gate.wait(LONG)

    alpha.before = before
    stage.clock.advance(10)
    until(lambda: len(alpha.calls) == 2)
    cleaning = stage.task(lambda: host.cleanup("alpha"))
    until(lambda: registration._state.all[0].ended)
    gate.set()
    with pytest.raises(AccessDeniedError, match="locked"):
        cleaning.result()


def test_a_worker_that_is_on_its_way_out_is_waited_for(
    stage: Any, until: Any, failing: Any, threads: Callable[[str], int]
) -> None:
    """It has left the provider, and tells who subscribed; after the cleanup it is gone."""
    alpha = stage.registry()
    host = stage.host(alpha)
    registration = host.register(WEB, ttl=30)
    gate, telling = stage.gate(), stage.gate()

    def listen(event: Any) -> None:
        if event.kind == EventKind.REGISTRATION_FAILED:
            telling.set()
            gate.wait(LONG)

    host.events.subscribe(listen)
    alpha.before = failing(10091, only="REGISTER")
    stage.clock.advance(10)
    assert telling.wait(LONG)
    cleaning = stage.task(lambda: host.cleanup("alpha"))
    until(lambda: registration.state == RegistrationState.RELEASED)
    assert alpha.hooks_called[-1] == "DELETE"
    gate.set()
    cleaning.result()
    assert threads("nspkit") == 0


def test_an_interrupt_at_the_end_does_not_bring_it_back(stage: Any, failing: Any) -> None:
    """The teardown goes on, and nobody tries again."""
    alpha = stage.registry()
    host = stage.host(alpha)
    registration = host.register(WEB)
    alpha.before = failing(KeyboardInterrupt(), only="DELETE")
    with pytest.raises(KeyboardInterrupt):
        host.cleanup("alpha")
    assert alpha.hooks_called[-1] == "cleanup"
    assert registration.state == RegistrationState.RELEASED
    registration.close()
    assert alpha.named("DELETE") == ["web"]


def test_a_registration_that_hangs_at_the_end_spends_the_budget(stage: Any, until: Any) -> None:
    """The provider is quarantined; nothing is renewed meanwhile, and a close waits no longer."""
    alpha = stage.registry()
    host = stage.host(alpha)
    registration = host.register(WEB, ttl=30)
    gate = stage.gate()
    alpha.before = lambda operation, service: gate.wait(LONG) and None
    with pytest.raises(CleanupTimeoutError, match="the end of what is open"):
        host.cleanup("alpha", timeout=0.05)
    with pytest.raises(NspError):
        registration.close(timeout=0.05)
    stage.clock.advance(100)
    assert alpha.named("REGISTER") == ["web"]
    gate.set()
    until(lambda: registration.state == RegistrationState.RELEASED)
    until(lambda: alpha.hooks_called[-1] == "cleanup")


def test_a_close_during_a_cleanup_waits_for_it(stage: Any, until: Any) -> None:
    """The provider takes no more calls; who stops it takes the entry back."""
    alpha = stage.registry()
    host = stage.host(alpha)
    registration = host.register(WEB, provider="alpha")
    gate = stage.gate()
    alpha.before = lambda operation, service: gate.wait(LONG) and None
    cleaning = stage.task(lambda: host.cleanup("alpha"))
    until(lambda: alpha.named("DELETE") == ["web"])
    closing = stage.task(registration.close)
    until(lambda: registration._state.all[0].ended)
    assert closing.thread.is_alive()
    gate.set()
    closing.result()
    cleaning.result()
    assert alpha.named("DELETE") == ["web"]


def test_a_close_that_has_begun_is_waited_for_by_the_cleanup(
    stage: Any, until: Any, failing: Any
) -> None:
    """It is a call in flight."""
    alpha = stage.registry()
    host = stage.host(alpha)
    registration = host.register(WEB, provider="alpha")
    gate = stage.gate()
    alpha.before = lambda operation, service: gate.wait(LONG) and None
    closing = stage.task(registration.close)
    until(lambda: alpha.named("DELETE") == ["web"])
    cleaning = stage.task(lambda: host.cleanup("alpha"))
    until(lambda: not host._accounts.of("alpha").lifetime.generation.open)
    gate.set()
    closing.result()
    cleaning.result()
    assert alpha.hooks_called == ["startup", "REGISTER", "DELETE", "cleanup"]
    assert registration.error is None


def test_the_instance_can_be_collected_while_the_registration_is_held(stage: Any) -> None:
    """Without a garbage collection: what the host keeps of it holds no provider."""
    alpha = stage.registry()
    born: list[weakref.ref[Any]] = []
    plain = alpha.provider_class.__init__  # type: ignore[misc]

    def remember(self: Any) -> None:
        born.append(weakref.ref(self))
        plain(self)

    alpha.provider_class.__init__ = remember  # type: ignore[misc]
    host = stage.host(alpha)
    registration = host.register(WEB, ttl=30)
    gc.disable()
    try:
        host.cleanup("alpha")
        assert [one() for one in born] == [None]
    finally:
        gc.enable()
    assert registration.state == RegistrationState.RELEASED


@pytest.mark.parametrize("directed", [True, False])
def test_a_provider_stopped_in_between_is_started_again(
    stage: Any, monkeypatch: pytest.MonkeyPatch, directed: bool
) -> None:
    """Between the look at the provider and the call: the next round of its life is meant."""
    alpha = stage.registry()
    host = stage.host(alpha)
    ensure, stops = Account.ensure_started, [1]

    def ensure_started(account: Account) -> Any:
        generation = ensure(account)
        if stops:
            stops.pop()
            host.cleanup("alpha")
        return generation

    monkeypatch.setattr(Account, "ensure_started", ensure_started)
    named = {"provider": "alpha"} if directed else {}
    with host.register(WEB, **named) as registration:
        assert registration.state == RegistrationState.ACTIVE
        assert alpha.hooks_called == ["startup", "cleanup", "startup", "REGISTER"]


def test_one_that_was_ended_while_its_provider_started_is_not_begun(
    stage: Any, until: Any, failing: Any
) -> None:
    """A start may take long, and nobody want it any more."""
    alpha, beta = stage.registry("alpha"), stage.registry("beta")
    alpha.startup = failing(NotReadyError("no server"))
    registration = stage.host(alpha, beta).register(WEB, ttl=30)
    gate = stage.gate()
    alpha.startup = lambda: gate.wait(LONG) and None
    stage.clock.advance(1)
    until(lambda: alpha.hooks_called == ["startup", "startup"])
    registration.close()  # which does not wait for that start
    assert registration.state == RegistrationState.RELEASED
    gate.set()
    until(lambda: not stage.hosts[0]._accounts.workers._lanes["upkeep"].taken)
    assert alpha.calls == []
    assert not stage.hosts[0]._accounts.of("alpha").lifetime.generation.users


# -- the end of the host -----------------------------------------------------------------------


def test_the_end_of_the_host_ends_all(stage: Any, threads: Callable[[str], int]) -> None:
    """What is left open is taken back, and no thread stays."""
    alpha, beta = stage.registry("alpha"), stage.registry("beta")
    host = stage.host(alpha, beta)
    registration = host.register(WEB, ttl=30)
    host.close()
    assert threads("nspkit") == 0
    assert "web" not in alpha
    assert "web" not in beta
    assert [error.code for error in registration.errors] == [10111, 10111]
    registration.close()
    for refused in (lambda: host.register(WEB), lambda: host.register(WEB, provider="alpha")):
        with pytest.raises(NotInitialisedError):
            refused()


def test_what_waits_for_a_provider_to_start_ends_with_the_host(
    stage: Any, threads: Callable[[str], int], failing: Any
) -> None:
    """No provider will ever be started again (10093)."""
    alpha, beta = stage.registry("alpha"), stage.registry("beta")
    alpha.startup = failing(NotReadyError("no server"))
    host = stage.host(alpha, beta)
    registration = host.register(WEB, ttl=30)
    host.close()
    assert threads("nspkit") == 0
    assert [error.code for error in registration.errors] == [10093, 10111]
    assert registration.state == RegistrationState.RELEASED
    assert alpha.hooks_called == ["startup"]


def test_a_start_that_was_refused_meanwhile_ends_it_too(
    stage: Any, until: Any, failing: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the worker hears of the end before the end hears of the worker."""
    alpha, beta = stage.registry("alpha"), stage.registry("beta")
    alpha.startup = failing(NotReadyError("no server"))
    host = stage.host(alpha, beta)
    registration = host.register(WEB, ttl=30)
    host._accounts.of("alpha").lifetime.refuse_starts("belongs to a host that was closed")
    stage.clock.advance(1)
    until(lambda: registration._state.all[0].over)
    assert registration._state.all[0].error.code == 10093
    registration.close()


def test_errors_at_the_end_of_the_host_are_raised_together(stage: Any, failing: Any) -> None:
    """Each provider's own, as all errors of a close are."""
    alpha, beta = stage.registry("alpha"), stage.registry("beta")
    host = stage.host(alpha, beta)
    first, second = host.register(WEB, ttl=30), host.register(Service("second"))
    alpha.before = beta.before = failing(AccessDeniedError("locked"), only="DELETE")
    with pytest.raises(CleanupError, match=r"locked.*locked"):
        host.close()
    assert first.state == second.state == RegistrationState.RELEASED


# -- the end of the process --------------------------------------------------------------------

PROGRAM = """
import os, sys, threading
from nspkit import Catalog, Host, Namespace, ProviderInfo, Service, hookimpl

class Provider:
    info = ProviderInfo("6f6d2a53-52f5-4d57-8df5-27ad0a3c8c11", "alpha", Namespace.DNS, "1.0")
    @hookimpl
    def nsp_startup(self): pass
    @hookimpl
    def nsp_cleanup(self): say("cleanup")
    @hookimpl
    def nsp_set_service(self, service, operation): say(operation.name)

def say(what):
    os.write(1, f"{os.getpid() == PARENT} {what}\\n".encode())

PARENT = os.getpid()
catalog = Catalog()
catalog.install(Provider)
host = Host(catalog=catalog)
"""


def test_the_exit_of_the_interpreter_takes_it_back(
    fresh_python: Callable[..., CompletedProcess[str]],
) -> None:
    """A process that ends leaves no entry behind."""
    done = fresh_python(PROGRAM + "kept = host.register(Service('web'), ttl=300)\n")
    assert done.stdout.splitlines() == ["True REGISTER", "True DELETE", "True cleanup"]
    assert done.stderr == ""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_neither_renews_nor_takes_back(
    fresh_python: Callable[..., CompletedProcess[str]],
) -> None:
    """The entry is the parent's, who goes on; in the child the registration says so (10093)."""
    done = fresh_python(
        PROGRAM
        + """
import warnings
warnings.simplefilter("error")
one = host.register(Service("one"), ttl=0.3)
two = host.register(Service("two"), provider="alpha")
lock = host._accounts.renewals.lock
lock.acquire()  # as if another thread held it at this moment
child = os.fork()
if child == 0:
    for registration in (one, two):
        assert registration.state == "released", registration.state
        assert registration.error.code == 10093 and "parent process" in str(registration.error)
        assert registration.expires is None and registration.providers == ()
        registration.close()
    assert threading.active_count() == 1
    assert host._accounts.renewals.lock is not lock
    host.close()
    del one, two, registration
    sys.stdout.flush()
    os._exit(0)
lock.release()
assert os.waitpid(child, 0)[1] == 0
assert (one.state, two.state) == ("active", "active")
one.close()
two.close()
host.close()
"""
    )
    said = done.stdout.splitlines()
    assert all(line.startswith("True") for line in said)
    assert said[-3:] == ["True DELETE", "True DELETE", "True cleanup"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork_while_a_provider_could_not_start_is_no_ones_wait(
    fresh_python: Callable[..., CompletedProcess[str]],
) -> None:
    """What waits to be tried again is void in the child too."""
    fresh_python(
        PROGRAM
        + """
class Away(Provider):
    info = ProviderInfo("6f6d2a53-52f5-4d57-8df5-27ad0a3c8c12", "away", Namespace.DNS, "1.0")
    @hookimpl
    def nsp_startup(self): raise TimeoutError("no server")

catalog.install(Away)
host.close()
host = Host(catalog=catalog)
one = host.register(Service("one"), ttl=300)
assert one.state == "pending"
child = os.fork()
if child == 0:
    assert one.state == "released" and [error.code for error in one.errors] == [10093, 10093]
    assert not host._accounts.renewals.pending
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
assert one.state == "pending"
one.close()
host.close()
"""
    )


@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
def test_a_killed_process_takes_nothing_back(
    fresh_python: Callable[..., CompletedProcess[str]],
) -> None:
    """That is what the time to live is for."""
    done = fresh_python(
        PROGRAM + "kept = host.register(Service('web'), ttl=300)\nos.kill(os.getpid(), 9)\n",
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    assert done.stdout.splitlines() == ["True REGISTER"]
