"""The fakes keep the rules themselves, and do what their descriptions say."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

import nspkit
from nspkit import Address, Catalog, ChangeKind, Host, Query, Service, ServiceOperation
from nspkit.errors import InvalidArgumentError, TryAgainError
from nspkit.testing import (
    ErraticProvider,
    MemoryProvider,
    MemoryStore,
    ProviderConformance,
    RecordedCall,
    RecordingProvider,
    RegistryConformance,
)

SERVICES = tuple(Service(f"name-{n}", addresses=[Address.inet("192.0.2.1", n)]) for n in range(9))


class TestMemory(RegistryConformance):
    """The provider without a back end."""

    provider = MemoryProvider
    query = Query("name-3")
    rounds = 20

    @pytest.fixture
    def settings(self) -> Mapping[str, Any]:
        """A store that all hosts share; it has some services."""
        return {"store": MemoryStore(SERVICES)}


class TestRecording(ProviderConformance):
    """The provider that writes down how it is called."""

    provider = RecordingProvider
    settings: Mapping[str, Any] = {"services": SERVICES}
    rounds = 20


class TestErratic(ProviderConformance):
    """The provider that misbehaves, while it is only slow."""

    provider = ErraticProvider
    settings: Mapping[str, Any] = {"services": SERVICES, "delay": 0.001}
    rounds = 20


@pytest.fixture
def make_session() -> Iterator[Any]:
    """A function that starts a fake with these settings; all hosts are closed in the end."""
    hosts: list[Host] = []

    def make(provider: type[MemoryProvider], **settings: Any) -> nspkit.Session:
        catalog = Catalog()
        catalog.install(provider)
        hosts.append(Host(catalog=catalog, settings={provider.info.name: settings}))
        return hosts[-1].startup(provider.info.guid)

    yield make
    for host in hosts:
        host.close()


def found(session: nspkit.Session, name: str | None = None) -> list[str]:
    """The names that a lookup finds."""
    with session.lookup(name) as lookup:
        return [service.name for service in lookup]


def test_a_store_outlives_its_providers_and_is_shared(make_session: Any) -> None:
    """What one registers another one finds."""
    store = MemoryStore()
    make_session(MemoryProvider, store=store).set_service(SERVICES[0], ServiceOperation.REGISTER)
    assert found(make_session(MemoryProvider, store=store)) == ["name-0"]
    assert store.services() == [SERVICES[0]]


def test_a_question_for_a_protocol_gets_addresses_of_it(make_session: Any) -> None:
    """Protocols restrict addresses, and who has none left is not found."""
    both = Service("both", addresses=[Address.inet("192.0.2.1"), Address.inet("::1")])
    session = make_session(MemoryProvider, services=[both, SERVICES[0]])
    family = Address.inet("::1").family
    with session.lookup(protocols=[(family, 0)]) as lookup:
        assert [(one.name, one.addresses) for one in lookup] == [("both", both.addresses[1:])]


def test_a_watch_tells_each_change_of_what_is_asked_for(make_session: Any) -> None:
    """Added, changed and removed; other names are not told."""
    session = make_session(MemoryProvider)
    with session.watch("name-1") as watch:
        session.set_service(SERVICES[0], ServiceOperation.REGISTER)
        for service in (SERVICES[1], SERVICES[1].replace(comment="new")):
            session.set_service(service, ServiceOperation.REGISTER)
            change = watch.wait(30)
            assert change is not None
            assert change.service.name == "name-1"
        session.set_service(SERVICES[1], ServiceOperation.DELETE)
        last = watch.wait(30)
        assert last is not None
        assert last.kind is ChangeKind.REMOVED


def test_an_unknown_setting_is_refused(make_session: Any) -> None:
    """The error names the settings that there are."""
    with pytest.raises(InvalidArgumentError, match="services, store"):
        make_session(MemoryProvider, service=[])


def test_calls_are_noted_with_arguments_and_threads(make_session: Any) -> None:
    """From the startup to the end of an iterator, in order."""
    calls: list[RecordedCall] = []
    session = make_session(RecordingProvider, calls=calls, services=SERVICES[:1])
    assert found(session, "name-0") == ["name-0"]
    session.close()
    assert [call.hook for call in calls] == [
        "nsp_startup",
        "nsp_lookup_service",
        "nsp_lookup_service: step",
        "nsp_lookup_service: end",
        "nsp_cleanup",
    ]
    assert calls[1].arguments["query"].name == "name-0"
    assert calls[1].thread == threading.get_ident()
    assert calls[-1].thread != threading.get_ident()


@pytest.mark.parametrize("fault", ["drop", "truncate", "flap"])
def test_the_same_seed_gives_the_same_faults(make_session: Any, fault: str) -> None:
    """What an application makes of a fault can be tested again; another seed differs."""

    def runs(seed: int) -> list[list[str]]:
        session = make_session(ErraticProvider, services=SERVICES, seed=seed, **{fault: 0.3})
        return [found(session) for _turn in range(5)]

    assert runs(1) == runs(1)
    assert runs(1) != runs(2)
    assert any(len(names) < len(SERVICES) for names in runs(1))


def test_what_flaps_comes_back(make_session: Any) -> None:
    """A service is gone for some lookups, not for ever."""
    session = make_session(ErraticProvider, services=SERVICES[:1], flap=0.5)
    lengths = {len(found(session)) for _turn in range(30)}
    assert lengths == {0, 1}


def test_a_failure_is_one_that_may_pass(make_session: Any) -> None:
    """Lookups and registrations fail with 11002, as often as was asked for."""
    session = make_session(ErraticProvider, services=SERVICES, fail=1.0)
    with pytest.raises(TryAgainError):
        found(session)
    with pytest.raises(TryAgainError):
        session.set_service(SERVICES[0], ServiceOperation.REGISTER)


def test_a_delay_ends_when_nobody_waits(make_session: Any) -> None:
    """A slow lookup is given up at its time limit."""
    session = make_session(ErraticProvider, services=SERVICES, delay=3600.0)
    with pytest.raises(TimeoutError), session.lookup(timeout=0.05) as lookup:
        list(lookup)


@pytest.mark.parametrize("value", [-0.1, 1.1, "often", True])
def test_a_likelihood_is_a_number_up_to_one(make_session: Any, value: object) -> None:
    """The error names the setting and what is right."""
    with pytest.raises(InvalidArgumentError, match=r"'fail' of erratic.*from 0 to 1"):
        make_session(ErraticProvider, fail=value)


def test_who_has_unsubscribed_from_a_store_is_told_no_more() -> None:
    """A bound method too, which is another object each time it is named."""
    told: list[Any] = []
    store = MemoryStore()
    store.subscribe(told.append)
    store.unsubscribe(told.append)
    store.set_service(SERVICES[0], ServiceOperation.REGISTER)
    assert told == []
