"""What nobody closed: hosts, lookups and sessions that became garbage."""

from __future__ import annotations

import gc
import logging
import threading
import warnings
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from nspkit import Catalog, Host, NspError, Service
from nspkit.errors import TryAgainError

LONG = 30.0


@pytest.fixture(autouse=True)
def no_collection() -> Iterator[None]:
    """Collections come when a test asks for one, and not before."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.fixture
def dropped(stage: Any) -> Callable[..., weakref.ref[Host]]:
    """A function that starts providers in a host, drops it, and returns a weak reference."""

    def drop(*probes: Any, in_a_cycle: bool = False) -> weakref.ref[Host]:
        host = stage.host(*probes)
        stage.hosts.clear()
        for probe in probes:
            host.startup(probe.name)
        reference = weakref.ref(host)
        hosts = [host]
        if in_a_cycle:
            host.itself = [host]
        del host

        def let_go() -> None:
            hosts.clear()
            gc.collect()

        with pytest.warns(ResourceWarning, match="was dropped open"):
            let_go()
        return reference

    return drop


def pauses(reached: threading.Event, gate: threading.Event) -> Callable[[Any], None]:
    """A hook that says that it was reached, and waits at a gate."""

    def pause(_call: Any) -> None:
        reached.set()
        assert gate.wait(LONG)

    return pause


# -- hosts ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("in_a_cycle", [False, True], ids=["at once", "in a cycle"])
def test_a_host_that_is_garbage_with_started_providers_warns(
    stage: Any, dropped: Any, in_a_cycle: bool
) -> None:
    """And its finaliser calls no provider: it may run anywhere."""
    alpha = stage.probe()
    dropped(alpha, in_a_cycle=in_a_cycle)
    assert alpha.calls == ["nsp_startup"]
    stage.host().close()


def test_the_warning_says_what_is_started_and_what_to_do(stage: Any) -> None:
    """The providers' names, and the ``with`` block."""
    alpha, beta = stage.probe("alpha"), stage.probe("beta")
    host = stage.host(alpha, beta)
    stage.hosts.clear()
    host.startup("beta")
    host.startup("alpha")
    with pytest.warns(ResourceWarning, match=r"beta, alpha started.*with block"):
        del host
    stage.host().close()


OPERATIONS: dict[str, Callable[[Host], Any]] = {
    "startup": lambda host: host.startup("gamma").close(),
    "cleanup": lambda host: host.cleanup("gamma"),
    "references": lambda host: host.references("gamma"),
    "lookup": lambda host: host.lookup("x").close(),
    "directed lookup": lambda host: host.lookup("x", provider="gamma").close(),
    "timed lookup": lambda host: host.lookup("x", provider="gamma", timeout=9).close(),
    "close": lambda host: host.close(),
}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_the_next_operation_of_any_host_stops_its_providers(
    stage: Any, dropped: Any, operation: str
) -> None:
    """In reverse, before that operation does what it is for."""
    alpha, beta, gamma = stage.probe("alpha"), stage.probe("beta"), stage.probe("gamma")
    order: list[str] = []
    for probe in (alpha, beta, gamma):
        probe.cleanup = lambda call, probe=probe: order.append(probe.name)
    other = stage.host(gamma)
    other.startup("gamma")
    hosts = list(stage.hosts)
    reference = dropped(alpha, beta)
    stage.hosts.extend(hosts)
    OPERATIONS[operation](other)
    assert order[:2] == ["beta", "alpha"]
    assert reference() is None
    assert [one() for one in alpha.instances] == [None]


def test_errors_of_a_garbage_host_are_logged_not_raised_to_somebody_else(
    stage: Any, dropped: Any, caplog: Any
) -> None:
    """Whoever happens to come next has nothing to do with them."""
    alpha = stage.probe()

    def fail(_call: Any) -> None:
        raise TryAgainError("the server is busy")

    alpha.cleanup = fail
    dropped(alpha)
    with caplog.at_level(logging.ERROR, "nspkit"):
        stage.host().close()
    assert "the server is busy" in caplog.text


def test_a_garbage_host_is_closed_once_however_many_come_next(stage: Any, dropped: Any) -> None:
    """At the same time."""
    alpha, beta = stage.probe("alpha"), stage.probe("beta")
    stopping, gate = stage.gate(), stage.gate()
    alpha.cleanup = pauses(stopping, gate)
    dropped(alpha)
    other = stage.host(beta)
    first = stage.task(other.references, "beta")
    assert stopping.wait(LONG)
    second = stage.task(other.references, "beta")
    assert second.result() == 0, "it does not wait for the stop of somebody else's provider"
    gate.set()
    assert first.result() == 0
    assert alpha.calls == ["nsp_startup", "nsp_cleanup"]


def test_a_host_that_is_garbage_while_a_worker_starts_a_provider_is_closed_too(
    stage: Any,
) -> None:
    """Nobody would stop what has started after that."""
    alpha = stage.probe()
    starting, gate = stage.gate(), stage.gate()
    alpha.startup = pauses(starting, gate)
    host = stage.host(alpha)
    stage.hosts.clear()
    lookup = host.lookup("x")
    assert starting.wait(LONG)
    with pytest.warns(ResourceWarning, match="was dropped open"):
        del lookup, host
    gate.set()
    stage.host().close()
    assert alpha.calls[:1] + alpha.calls[-1:] == ["nsp_startup", "nsp_cleanup"]


def test_a_host_that_is_garbage_inside_its_provider_is_closed_after_that(stage: Any) -> None:
    """An operation of another host, from inside, leaves it for the next one."""
    alpha, beta = stage.probe("alpha"), stage.probe("beta")
    inside, dropped, used = stage.gate(), stage.gate(), stage.gate()
    counts: list[int] = []
    other = stage.host(beta)

    def look_up(_call: Any) -> Any:
        inside.set()
        assert dropped.wait(LONG)
        other.references("beta")
        counts.append(alpha.count("nsp_cleanup"))
        used.set()
        return iter([])

    alpha.lookup_service = look_up
    host = Host(catalog=_catalog_of(alpha))
    lookup = host.lookup("x")
    assert inside.wait(LONG)
    with pytest.warns(ResourceWarning):
        del lookup, host
    dropped.set()
    assert used.wait(LONG)
    assert counts == [0]
    other.references("beta")
    assert alpha.count("nsp_cleanup") == 1


def _catalog_of(*probes: Any) -> Catalog:
    catalog = Catalog()
    for probe in probes:
        catalog.install(probe.provider_class)
    return catalog


def test_a_warning_that_is_an_error_does_not_keep_the_providers_running(
    fresh_python: Callable[..., Any],
) -> None:
    """It cannot leave a finaliser; Python prints it."""
    done = fresh_python(
        """
import warnings
warnings.simplefilter("error")
import nspkit, uuid
from nspkit import Catalog, Host, Namespace, ProviderInfo, hookimpl
class Provider:
    info = ProviderInfo(uuid.UUID(int=1), "alpha", Namespace.DNS, "1")
    @hookimpl
    def nsp_startup(self): print("started")
    @hookimpl
    def nsp_cleanup(self): print("cleaned up")
catalog = Catalog()
catalog.install(Provider)
host = Host(catalog=catalog)
host.startup("alpha")
del host
print("dropped")
Host(catalog=Catalog()).close()
print("closed another")
"""
    )
    assert done.stdout.split("\n")[:-1] == ["started", "dropped", "cleaned up", "closed another"]
    assert "ResourceWarning" in done.stderr


@pytest.mark.parametrize("ends", ["unused", "asked", "balanced", "failed", "closed"])
def test_a_host_without_started_providers_is_dropped_in_silence(stage: Any, ends: str) -> None:
    """There is nothing to be warned of."""
    alpha = stage.probe()
    host = stage.host(alpha)
    stage.hosts.clear()
    if ends == "asked":
        host.references("alpha")
    elif ends == "failed":
        alpha.startup = lambda call: -1
        with pytest.raises(NspError):
            host.startup("alpha")
    elif ends != "unused":
        host.startup("alpha").close()
    if ends == "closed":
        host.close()
    reference = weakref.ref(host)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        del host
        gc.collect()
    assert reference() is None


def test_a_host_that_could_not_be_made_is_dropped_in_silence() -> None:
    """Its finaliser finds nothing that it could look at."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(NspError):
            Host(cleanup_timeout=-1)
        with pytest.raises(NspError):
            Host(catalog=Catalog(), providers=["nobody"])
        gc.collect()


@pytest.mark.parametrize("keep", ["session", "direct", "timed", "fan-out"])
def test_who_uses_a_host_keeps_it_alive(stage: Any, keep: str) -> None:
    """A session or a lookup that somebody still holds."""
    alpha = stage.probe()
    alpha.ioctl = lambda call: b"alive"
    alpha.lookup_service = lambda call: iter([Service("a"), Service("b")])
    host = stage.host(alpha)
    session = host.startup("alpha")
    lookups: dict[str, Callable[[Host], Any]] = {
        "session": lambda host: session,
        "direct": lambda host: host.lookup("x", provider="alpha"),
        "timed": lambda host: host.lookup("x", provider="alpha", timeout=LONG),
        "fan-out": lambda host: host.lookup("x"),
    }
    kept = lookups[keep](host)
    reference = weakref.ref(host)
    stage.hosts.clear()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        if keep != "session":
            del session
        del host, lookups
        gc.collect()
        alive = reference()
        assert alive is not None
        if keep == "session":
            assert kept.ioctl(1) == b"alive"
        else:
            assert [service.name for service in kept] == ["a", "b"]
    alive.close()


# -- sessions ------------------------------------------------------------------------------------


def test_a_session_that_is_dropped_unclosed_keeps_its_reference(stage: Any) -> None:
    """`host.startup(x)`, and `host.cleanup(x)` at the end, is how Winsock is written."""
    alpha = stage.probe()
    host = stage.host(alpha)
    session = host.startup("alpha")
    host.startup("alpha")
    del session
    gc.collect()
    assert host.references("alpha") == 2
    assert host.cleanup("alpha") is False
    assert host.cleanup("alpha") is True


# -- lookups -------------------------------------------------------------------------------------


class Watched:
    """A provider whose iterators tell on which thread they end, and what that thread is in."""

    def __init__(self, stage: Any) -> None:
        self.alpha = stage.probe()
        self.alpha.lookup_service = lambda call: self._results()
        self.host = stage.host(self.alpha)
        self.lifetime = self.host._accounts.of("alpha").lifetime
        self.ended: list[tuple[int, str | None]] = []

    def _results(self) -> Iterator[Service]:
        try:
            while True:
                yield Service("more")
        finally:
            ident = threading.get_ident()
            self.ended.append((ident, self.lifetime.inside.get(ident)))

    def abandon(self, **options: Any) -> None:
        """Begin a lookup, take one result, and drop it."""
        for _service in self.host.lookup("x", provider="alpha", **options):
            break
        gc.collect()


def test_an_abandoned_lookup_is_not_closed_by_its_finaliser(stage: Any) -> None:
    """Which may run anywhere: in the middle of another call of the same provider."""
    watched = Watched(stage)
    watched.abandon()
    assert watched.ended == []
    watched.host.close()


def test_an_abandoned_lookup_is_closed_by_the_next_operation_under_the_guard(stage: Any) -> None:
    """On that thread; the final cleanup would wait for it."""
    watched = Watched(stage)
    watched.abandon()
    other = stage.task(watched.host.references, "alpha")
    other.result()
    assert watched.ended == [(other.ident, "the close of nsp_lookup_service")]


def test_an_abandoned_lookup_is_closed_by_the_cleanup(stage: Any) -> None:
    """Of a session too, which settles nothing on its way."""
    watched = Watched(stage)
    session = watched.host.startup("alpha")
    watched.abandon()
    order: list[str] = []
    watched.alpha.cleanup = lambda call: order.append(f"{len(watched.ended)} ended")
    session.close()
    assert order == ["1 ended"]
    watched.host.references("alpha")
    assert len(watched.ended) == 1


def test_an_abandoned_lookup_with_a_timeout_is_closed_by_its_worker(stage: Any, until: Any) -> None:
    """By itself, before anybody asks for something."""
    watched = Watched(stage)
    watched.abandon(timeout=LONG)
    until(lambda: watched.ended)
    assert watched.ended[0][0] != threading.get_ident()


def test_an_abandoned_lookup_of_a_garbage_host_is_closed_with_it(stage: Any) -> None:
    """By the next operation of any host, and before the cleanup of its provider."""
    alpha = stage.probe()
    ended: list[str] = []

    def results() -> Iterator[Service]:
        try:
            while True:
                yield Service("more")
        finally:
            ended.append("lookup")

    alpha.lookup_service = lambda call: results()
    alpha.cleanup = lambda call: ended.append("provider")
    host = stage.host(alpha)
    stage.hosts.clear()
    for _service in host.lookup("x", provider="alpha"):
        break
    hosts = [host]
    del host
    with pytest.warns(ResourceWarning):
        hosts.clear()
    assert ended == []
    stage.host().close()
    assert ended == ["lookup", "provider"]


def test_a_lookup_that_came_to_its_end_leaves_nothing_to_do(stage: Any) -> None:
    """It is forgotten, not queued."""
    alpha = stage.probe()
    host = stage.host(alpha)
    list(host.lookup("x", provider="alpha"))
    list(host.lookup("x"))
    gc.collect()
    assert not host._later


def test_what_an_abandoned_lookup_raises_is_nobody_s_affair(stage: Any) -> None:
    """Whoever happens to come next does not get it."""
    alpha = stage.probe()
    host = stage.host(alpha)

    def results() -> Iterator[Service]:
        try:
            yield Service("one")
        finally:
            raise OSError("at the end")

    alpha.lookup_service = lambda call: results()
    for _service in host.lookup("x", provider="alpha"):
        break
    assert host.references("alpha") == 1


def test_a_host_that_is_dropped_and_closed_refers_to_no_instance(stage: Any, dropped: Any) -> None:
    """Neither is it kept itself."""
    alpha = stage.probe()
    reference = dropped(alpha, in_a_cycle=True)
    stage.host().close()
    gc.collect()
    assert [one() for one in alpha.instances] == [None]
    assert reference() is None
