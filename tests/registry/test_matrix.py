"""Winsock's matrix of registrations, over an engine that only compares and puts."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from nspkit import Address, Service, ServiceOperation
from nspkit.errors import (
    ErrorCode,
    InvalidArgumentError,
    NoDataError,
    NspError,
    ServiceNotFoundError,
    TryAgainError,
)
from nspkit.registry import Key, _matrix

A, B, C = "192.0.2.1", "192.0.2.2", "192.0.2.3"


@pytest.mark.parametrize("multiple", [False, True])
def test_register_makes_what_is_not_there(client: Any, multiple: bool) -> None:
    """With the given addresses."""
    client.register("x", A, B, multiple=multiple)
    assert client.hosts("x") == [A, B]


def test_register_replaces(client: Any) -> None:
    """Addresses and everything else (D37)."""
    client.register("x", A, B, attributes={"a": 1}, comment="old", version=1, blob=b"b")
    client.register("x", C)
    [found] = client.find("x")
    assert (found.attributes, found.comment, found.version, found.blob) == ({}, "", None, None)
    assert client.hosts("x") == [C]


def test_register_multiple_adds_addresses(client: Any) -> None:
    """Each once, and the rest is what was given last (D38)."""
    client.register("x", A, B, attributes={"a": 1})
    client.register("x", B, C, multiple=True, attributes={"a": 2})
    assert client.hosts("x") == [A, B, C]
    assert client.find("x")[0].attributes == {"a": 2}


def test_deregister_leaves_the_instance(client: Any) -> None:
    """It is known, without data, and can be registered again (D39)."""
    client.register("x", A)
    client.deregister("x")
    with pytest.raises(NoDataError, match="deregistered"):
        client.find("x")
    assert client.find() == []
    client.deregister("x")
    client.register("x", B, multiple=True)
    assert client.hosts("x") == [B]


def test_deregister_multiple_drops_addresses(client: Any) -> None:
    """The given ones; with the last it is deregistered, and still there."""
    client.register("x", A, B, C)
    client.deregister("x", A, multiple=True)
    assert client.hosts("x") == [B, C]
    client.deregister("x", B, C, multiple=True)
    with pytest.raises(NoDataError):
        client.find("x")


def test_delete_removes(client: Any, engine: Any) -> None:
    """The name is unknown afterwards (D39)."""
    client.register("x", A)
    client.delete("x")
    assert engine.kept == {}
    with pytest.raises(ServiceNotFoundError, match="could be deleted"):
        client.delete("x")
    with pytest.raises(ServiceNotFoundError, match="of the class _http"):
        client.deregister("x", service_class="_http._tcp")


def test_delete_multiple_drops_addresses(client: Any) -> None:
    """The given ones; with the last the instance is gone."""
    client.register("x", A, B)
    client.delete("x", A, multiple=True)
    assert client.hosts("x") == [B]
    client.delete("x", B, multiple=True)
    with pytest.raises(ServiceNotFoundError):
        client.deregister("x")


def test_what_changes_meanwhile_is_looked_at_again(client: Any, engine: Any) -> None:
    """Eight threads add an address each, and none is lost."""
    together = threading.Barrier(8)

    def add(number: int) -> None:
        together.wait(30)
        client.register("x", f"192.0.2.{number}", multiple=True)

    threads = [threading.Thread(target=add, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(client.hosts("x")) == [f"192.0.2.{number}" for number in range(8)]


def test_a_deletion_of_what_has_changed_begins_anew(client: Any, engine: Any) -> None:
    """It deletes what is there then."""
    client.register("x", A)

    def change_once() -> None:
        engine.before_write = lambda: None
        client.register("x", B)

    engine.before_write = change_once
    client.delete("x")
    assert engine.kept == {}


def test_it_gives_up_where_others_change_all_the_time(
    client: Any, engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a while, with an error that says so (WSATRY_AGAIN)."""
    monkeypatch.setattr(_matrix, "_PATIENCE", 0.0)
    monkeypatch.setattr(engine, "put", lambda *_args, **_options: False)
    with pytest.raises(TryAgainError, match="'x' is being changed by others"):
        client.register("x", A, multiple=True)


def test_a_lease_is_the_engine_s(client: Any, engine: Any) -> None:
    """The record says for how long it was registered, the engine when that is over."""
    client.register("x", A, ttl=5)
    assert client.find("x")[0].ttl == 5
    engine.pass_time(5)
    with pytest.raises(ServiceNotFoundError):
        client.find("x")


def test_what_is_left_is_told_where_the_engine_tells(client: Any, engine: Any) -> None:
    """As the time to live of the result."""
    engine.tells_what_is_left = True
    client.register("x", A, ttl=5)
    engine.pass_time(2)
    assert client.find("x")[0].ttl == 3


def test_the_same_again_is_the_same_value(client: Any, engine: Any) -> None:
    """So that an engine can renew a lease without a change."""
    client.register("x", A, ttl=5, attributes={"b": 1, "a": 2})
    [before] = [value for value, _version, _end in engine.kept.values()]
    client.register("x", A, ttl=5, attributes={"a": 2, "b": 1})
    assert [value for value, _version, _end in engine.kept.values()] == [before]


def test_with_multiple_each_address_ends_on_its_own(
    client: Any, engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the clock of the machine; the lease of all is that of the last."""
    now = 1000.0
    for module in ("_matrix", "_search"):
        monkeypatch.setattr(f"nspkit.registry.{module}.time", lambda: now)
    client.register("x", A, ttl=5, multiple=True)
    client.register("x", B, ttl=50, multiple=True)
    [(_value, _version, end)] = engine.kept.values()
    assert (end, client.hosts("x"), client.find("x")[0].ttl) == (50, [A, B], 50)
    now = 1005.0
    assert client.hosts("x") == [B]
    client.register("x", C, multiple=True)
    assert (client.hosts("x"), client.find("x")[0].ttl) == ([B, C], None)
    client.delete("x", C, multiple=True)
    [(_value, _version, end)] = engine.kept.values()
    assert (client.hosts("x"), end) == ([B], 45)
    now = 1050.0
    with pytest.raises(ServiceNotFoundError):
        client.find("x")
    with pytest.raises(ServiceNotFoundError):
        client.delete("x")
    client.register("x", A, multiple=True)
    assert client.hosts("x") == [A]


def test_an_address_beside_a_lease_leaves_that_to_its_end(
    client: Any, engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What another has registered for five seconds ends after them."""
    now = 1000.0
    for module in ("_matrix", "_search"):
        monkeypatch.setattr(f"nspkit.registry.{module}.time", lambda: now)
    client.register("x", A, ttl=5)
    client.register("x", B, multiple=True)
    assert client.hosts("x") == [A, B]
    now = 1005.0
    assert client.hosts("x") == [B]


def test_an_address_without_an_end_outlives_those_beside_it(
    client: Any, engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever adds one with an end, takes it back, and adds it again."""
    now = 1000.0
    for module in ("_matrix", "_search"):
        monkeypatch.setattr(f"nspkit.registry.{module}.time", lambda: now)
    client.register("x", A)
    client.register("x", B, ttl=5, multiple=True)
    client.delete("x", B, multiple=True)
    assert (client.hosts("x"), client.find("x")[0].ttl) == ([A], None)
    client.register("x", C, ttl=5, multiple=True)
    now = 1006.0
    engine.pass_time(6)
    assert client.hosts("x") == [A]
    client.register("x", ttl=5, multiple=True)
    assert client.find("x")[0].ttl is None


def test_what_is_known_only_stays_no_longer_by_being_deregistered_again(
    client: Any, engine: Any
) -> None:
    """Nor without an end: it is what it was."""
    client.register("x", A, ttl=5)
    client.register("x", B, multiple=True)
    client.delete("x", B, multiple=True)
    client.deregister("x")
    [before] = engine.kept.values()
    client.deregister("x")
    client.deregister("x", A, multiple=True)
    assert list(engine.kept.values()) == [before]
    engine.pass_time(6)
    assert engine.kept == {}


def test_what_has_no_address_keeps_what_is_left_when_deregistered(client: Any, engine: Any) -> None:
    """Where the engine tells how much that is."""
    engine.tells_what_is_left = True
    client.register("x", ttl=5)
    engine.pass_time(3)
    client.deregister("x")
    [(_value, _version, end)] = engine.kept.values()
    assert end == 5


@pytest.mark.parametrize("multiple", [False, True])
def test_a_lease_of_no_time_is_short(client: Any, engine: Any, multiple: bool) -> None:
    """For no engine knows a lease of nothing, and to some it is one without an end."""
    client.register("x", A, ttl=0, multiple=multiple)
    [(_value, _version, end)] = engine.kept.values()
    assert 0 < end < 0.1


def test_a_deregistered_lease_still_ends(client: Any, engine: Any) -> None:
    """It is known only as long as it was registered for."""
    client.register("x", A, ttl=5)
    client.deregister("x")
    engine.pass_time(6)
    assert engine.kept == {}


def test_without_addresses_there_is_a_lease_too(client: Any, engine: Any) -> None:
    """With multiple, as without."""
    client.register("x", ttl=5, multiple=True)
    assert client.hosts("x") == []
    engine.pass_time(5)
    assert engine.kept == {}


@pytest.mark.parametrize("operation", list(ServiceOperation))
def test_what_cannot_be_stored_is_refused(client: Any, operation: ServiceOperation) -> None:
    """By every operation, before the engine is asked (WSAEINVAL)."""
    with pytest.raises(InvalidArgumentError, match="digits"):
        client.set(operation, "x", A, attributes={"n": 10**5000})
    with pytest.raises(InvalidArgumentError, match="without a name"):
        client.session.set_service(Service(""), operation)


def test_a_damaged_entry_can_be_deleted(client: Any, engine: Any) -> None:
    """And registered again; what has to read it says that it is damaged (WSANO_RECOVERY)."""
    key = Key(None, "", "x")
    engine.put(key, b"{", ttl=None)
    with pytest.raises(NspError, match="delete it and register it again") as caught:
        client.deregister("x")
    assert caught.value.code == ErrorCode.WSANO_RECOVERY
    client.delete("x")
    assert engine.kept == {}
    engine.put(key, b"[]", ttl=None)
    client.register("x", A)
    assert client.hosts("x") == [A]


def test_a_protocol_that_is_not_said_is_that_of_the_type(client: Any) -> None:
    """So that one who asks for TCP finds it; the same address twice is one."""
    given = [Address.inet(A, 1, type=1, proto=-1), Address.inet(A, 1, type=1, proto=6)]
    client.session.set_service(Service("x", addresses=given), ServiceOperation.REGISTER)
    [found] = client.find("x")
    assert found.addresses == (Address.inet(A, 1, type=1, proto=6),)


def test_what_may_have_been_registered_is_taken_back(
    client: Any, engine: Any, monkeypatch: pytest.MonkeyPatch, again: TryAgainError
) -> None:
    """Where a registration fails because the answer was lost: it is over, and nothing stays."""
    put = engine.put

    def answer_lost(*arguments: Any, **options: Any) -> None:
        put(*arguments, **options)
        raise again

    monkeypatch.setattr(engine, "put", answer_lost)
    with pytest.raises(TryAgainError, match="away"):
        client.host.register(Service("x"), provider="engine")
    assert engine.kept == {}
