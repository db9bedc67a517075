"""What goes wrong under a host: nothing is lost, deadlines are kept, and nothing is left behind."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from nspkit_etcd import EtcdProvider, _following

import nspkit
from nspkit import Address, ChangeKind, Service, ServiceOperation
from nspkit.errors import NspError, TryAgainError
from nspkit.testing import LeakReport

PATIENCE = 30.0
WEB = Service("web", addresses=[Address.inet("192.0.2.1", 80, type=1, proto=6)])


def wait_until(condition: Callable[[], object]) -> None:
    """Wait until something is so; nothing here tells that it has become so."""
    until, pause = time.monotonic() + PATIENCE, threading.Event()
    while not condition():
        assert time.monotonic() < until
        pause.wait(0.02)


def lease_of(etcd: Any, prefix: str) -> str:
    """The lease of the service, as etcdctl takes it."""
    shown = etcd.ctl("get", f"{prefix}/1/service/-/-/web", "-w", "json")
    [record] = json.loads(shown)["kvs"]
    return f"{record['lease']:x}"


@pytest.fixture
def own(servers: Any) -> Any:
    """A server of the test's own."""
    [server] = servers()
    return server


@pytest.fixture
def quick(own: Any) -> dict[str, Any]:
    """Settings for it, with which failures are found out soon."""
    return {"endpoints": own.endpoint, "prefix": "p", "timeout": 1.0}


@pytest.mark.parametrize("keeps", [True, False])
def test_a_registration_is_back_without_help_after_the_server_was_away(
    own: Any, quick: Any, make_host: Any, keeps: bool
) -> None:
    """For three times as long as it holds, also where the server has forgotten everything."""
    host, watching = make_host(**quick), make_host(**quick)
    session, other = host.startup("etcd"), watching.startup("etcd")
    with other.watch() as watch, host.register(WEB, provider="etcd", ttl=1) as registration:
        assert next(watch).service.name == "web"
        own.stop()
        stopped = time.monotonic()
        wait_until(lambda: watch.state == "stale" and registration.state == "lost")
        assert watch.error.code == 11002
        if keeps:
            threading.Event().wait(max(0.0, stopped + 3 - time.monotonic()))  # the three TTLs
        else:
            own.forget()
        own.start()
        own.wait()
        wait_until(lambda: registration.state == "active")
        wait_until(lambda: watch.state == "live")
        assert [service.name for service in watch.snapshot()] == ["web"]
        assert own.ctl("get", "--keys-only", "p/1/service/-/-/web") != ""
        [found] = session.lookup("web")
        assert found.addresses == WEB.addresses


def test_a_watch_sees_it_go_and_come(etcd: Any, settings: Any, prefix: str, make_host: Any) -> None:
    """Where the lease is revoked behind the owner's back: to keep it alive says success."""
    host, watching = make_host(**settings), make_host(**settings)
    other = watching.startup("etcd")
    with other.watch() as watch, host.register(WEB, provider="etcd", ttl=2) as registration:
        assert next(watch).kind is ChangeKind.ADDED
        etcd.ctl("lease", "revoke", lease_of(etcd, prefix))
        assert next(watch).kind is ChangeKind.REMOVED
        change = next(watch)
        assert (change.kind, change.service.addresses) == (ChangeKind.ADDED, WEB.addresses)
        assert registration.state == "active"


def test_what_another_has_deleted_comes_again(
    etcd: Any, settings: Any, prefix: str, make_host: Any
) -> None:
    """Its lease is alive, and says nothing of that."""
    host, watching = make_host(**settings), make_host(**settings)
    other = watching.startup("etcd")
    with other.watch() as watch, host.register(WEB, provider="etcd", ttl=2):
        assert next(watch).kind is ChangeKind.ADDED
        etcd.ctl("del", f"{prefix}/1/service/-/-/web")
        assert next(watch).kind is ChangeKind.REMOVED
        assert next(watch).kind is ChangeKind.ADDED


def test_a_frozen_server_keeps_nobody_longer_than_he_waits(
    own: Any, quick: Any, make_host: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lookups keep their deadline, a watch says that it is stale; thawed, all is as before."""
    monkeypatch.setattr(_following, "BEAT", 0.1)
    host = make_host(**{**quick, "timeout": 1.5})
    session = host.startup("etcd")
    patient = make_host(**{**quick, "timeout": PATIENCE}).startup("etcd")
    patient.set_service(WEB, ServiceOperation.REGISTER)
    with session.watch() as watch:
        assert next(watch).service.name == "web"
        own.freeze()
        began = time.monotonic()
        with pytest.raises(NspError) as caught:
            list(patient.lookup("web", timeout=0.2))
        assert caught.value.code in (10060, 11002)
        assert time.monotonic() - began < PATIENCE / 2  # before the provider's own is over
        wait_until(lambda: watch.state == "stale")
        assert [service.name for service in watch.snapshot()] == ["web"]
        own.thaw()
        wait_until(lambda: watch.state == "live")
    assert [service.name for service in patient.lookup("web")] == ["web"]


def test_a_lookup_is_cut_short_by_its_end(own: Any, quick: Any, make_host: Any) -> None:
    """Nobody waits for a frozen server when nobody wants to know any more."""
    host = make_host(**{**quick, "timeout": 3600})
    session = host.startup("etcd")
    own.freeze()
    lookup = session.lookup("web", timeout=3600)
    began = threading.Event()
    errors: list[Any] = []

    def read() -> None:
        began.set()
        try:
            list(lookup)
        except NspError as error:
            errors.append(error.code)

    reader = threading.Thread(target=read)
    reader.start()
    assert began.wait(PATIENCE)
    lookup.close()
    reader.join(PATIENCE)
    assert not reader.is_alive()
    assert errors == [10111]
    host.close(timeout=PATIENCE)  # the call inside the provider has ended too
    own.thaw()


@pytest.mark.parametrize("fault", ["stop", "freeze"])
def test_a_dead_server_delays_no_cleanup_and_nothing_is_left(
    own: Any, quick: Any, fault: str
) -> None:
    """With a registration, a watch and a lookup under way."""
    catalog = nspkit.Catalog()
    catalog.install(EtcdProvider)
    limit = 10.0
    with LeakReport(EtcdProvider, patience=PATIENCE) as leaks:
        host = nspkit.Host(catalog=catalog, settings={"etcd": quick}, cleanup_timeout=limit)
        session = host.startup("etcd")
        watch = session.watch()
        registration = host.register(WEB, provider="etcd", ttl=3600)
        assert next(watch).service.name == "web"
        lookup = session.lookup("web", timeout=3600)
        getattr(own, fault)()
        began = time.monotonic()
        with pytest.raises(TryAgainError):  # it could not be deregistered
            host.close()
        assert time.monotonic() - began < limit
        del host, session, watch, registration, lookup
    assert not leaks, str(leaks)


def test_errors_name_the_servers_and_the_way_out(own: Any, quick: Any, make_host: Any) -> None:
    """For all that passes."""
    session = make_host(**quick).startup("etcd")
    own.stop()
    with pytest.raises(TryAgainError) as caught:
        session.set_service(WEB, ServiceOperation.REGISTER)
    assert own.endpoint in str(caught.value)
    assert "try again later" in str(caught.value)
