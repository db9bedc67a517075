"""What lookups remember: services that are asked for again, and attributes that many have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import nspkit_sqlite._search as search
import nspkit_sqlite._values as values
import pytest
from nspkit_sqlite import SqliteProvider

from nspkit import Cancellation, Query, Service, ServiceOperation, Version
from nspkit.errors import NoDataError, NspError, ServiceNotFoundError

HTTP = "_http._tcp"

Find = Callable[..., Service]


@pytest.fixture
def find(provider: SqliteProvider) -> Find:
    """A function that looks up one service by class and name, at the provider itself."""

    def look_up(name: str = "x", **restrictions: Any) -> Service:
        query = Query(name, service_class=HTTP, **restrictions)
        [service] = provider.nsp_lookup_service(query, Cancellation())
        return service

    return look_up


@pytest.fixture
def put(provider: SqliteProvider) -> Callable[..., None]:
    """A function that registers a service."""

    def register(name: str = "x", **members: Any) -> None:
        service = Service(name, **{"service_class": HTTP, **members})
        provider.nsp_set_service(service, ServiceOperation.REGISTER, False)

    return register


def test_what_is_asked_for_again_is_not_made_again(find: Find, put: Any) -> None:
    """It is remembered from the second time on: most are asked for once."""
    put()
    first, second, third = find(), find(), find()
    assert first == second
    assert second is not first
    assert third is second


def test_what_was_changed_by_others_is_found(find: Find, put: Any, client: Any) -> None:
    """What was made of a row is kept only as long as the row is the same."""
    put(comment="old")
    for _ in range(3):
        assert find().comment == "old"
    client.register("x", service_class=HTTP, comment="new")
    for _ in range(3):
        assert find().comment == "new"
    client.deregister("x", service_class=HTTP)
    for _ in range(3):
        with pytest.raises(NoDataError):
            find()
    client.delete("x", service_class=HTTP)
    with pytest.raises(ServiceNotFoundError):
        find()


def test_a_remembered_lease_runs_out(find: Find, put: Any, clock: Any) -> None:
    """What is left of it is told anew each time."""
    put(ttl=10)
    for left in (10.0, 9.0, 8.0, 7.0):
        assert find().ttl == left
        clock.now += 1
    clock.now += 6
    with pytest.raises(ServiceNotFoundError):
        find()


def test_a_remembered_lease_of_one_address_runs_out(find: Find, client: Any, clock: Any) -> None:
    """Though the row is the same, the service is another one then."""
    client.register("x", "192.0.2.1", ttl=10, multiple=True, service_class=HTTP)
    client.register("x", "192.0.2.2", ttl=20, multiple=True, service_class=HTTP)
    for _ in range(3):
        assert len(find().addresses) == 2
    clock.now += 10
    assert [address.host for address in find().addresses] == ["192.0.2.2"]


def test_a_lookup_that_fails_says_why(find: Find, put: Any, sqlite3: Any) -> None:
    """Also with a connection that has been good until then."""
    put()
    assert find().name == "x"
    sqlite3("DROP TABLE service")
    with pytest.raises(NspError, match="no such table"):
        find()


def test_every_connection_is_given_back(provider: SqliteProvider, find: Find, put: Any) -> None:
    """A fork waits until none is lent."""
    put()
    for _ in range(3):
        find()
    assert not provider._registry._connections._loans


def test_what_is_remembered_is_not_told_to_who_asks_for_something_else(
    find: Find, put: Any
) -> None:
    """Restrictions are looked at each time."""
    put(version=2, attributes={"a": 1})
    for _ in range(3):
        assert find().version == 2
        assert find(query_string="a=1").version == 2
        for restriction in ({"version": Version(3)}, {"query_string": "a=2"}):
            with pytest.raises(NoDataError):
                find(**restriction)


@pytest.mark.parametrize(
    "members", [{"comment": "c" * 5000}, {"blob": b"b"}, {"attributes": {"a": "b" * 5000}}]
)
def test_what_is_long_is_not_remembered(find: Find, put: Any, members: Any) -> None:
    """It would take memory without a bound."""
    put(**members)
    found = [find() for _ in range(4)]
    assert len({id(service) for service in found}) == 4


def test_what_is_remembered_is_bounded(
    provider: SqliteProvider, find: Find, put: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that looks up a thousand thousand names does not keep them."""
    monkeypatch.setattr(search, "_REMEMBERED", 5)
    monkeypatch.setattr(search, "_SEEN", 14)
    for number in range(20):
        put(f"x{number}")
    for number in [*range(12), *range(12), *range(20)]:
        assert find(f"x{number}").name == f"x{number}"
        assert len(provider._search._made) <= 5
        assert len(provider._search._seen) <= 14
    assert provider._search._made


# -- attributes ----------------------------------------------------------------------------------


def test_equal_attributes_are_made_once(
    provider: SqliteProvider, find: Find, put: Any, client: Any
) -> None:
    """By every kind of lookup, and by watches."""
    for name in "xyz":
        put(name, attributes={"path": "/", "secure": None})
    shared = find("x").attributes
    assert shared == {"path": "/", "secure": None}
    assert find("y").attributes is shared
    for query in (Query(), Query("z"), Query(service_class=HTTP)):
        for service in provider.nsp_lookup_service(query, Cancellation()):
            assert service.attributes is shared
    change = next(iter(provider.nsp_notify_change(Query("z"), Cancellation())))
    assert change is not None
    assert change.service.attributes is shared


def test_shared_attributes_are_bounded(
    provider: SqliteProvider, put: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In number and in length."""
    monkeypatch.setattr(values, "_SHARED", 3)
    for number in range(8):
        put(f"x{number}", attributes={"number": number})
    put("z", attributes={"text": "t" * 2000})
    found = provider.nsp_lookup_service(Query(), Cancellation())
    assert {service.attributes.get("number") for service in found} == {*range(8), None}
    shared = provider._search.shared
    assert 0 < len(shared) <= 3
    assert all(len(column) < 2000 for column in shared)


def test_damaged_attributes_are_not_shared(find: Find, put: Any, sqlite3: Any) -> None:
    """They are told each time."""
    put(attributes={"a": 1})
    sqlite3("UPDATE service SET attributes = '[1]'")
    for _ in range(3):
        with pytest.raises(NspError, match="damaged"):
            find()
