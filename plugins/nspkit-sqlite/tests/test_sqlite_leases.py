"""Leases: when they end, to the second, and who takes away what has ended."""

from __future__ import annotations

from socket import AF_INET, AF_INET6
from typing import Any

import pytest

from nspkit.errors import (
    NoDataError,
    ServiceNotFoundError,
)

A, B, C = "192.0.2.1", "192.0.2.2", "192.0.2.3"
HTTP = "_http._tcp"


def test_a_lease_ends_to_the_second(client: Any, clock: Any) -> None:
    """Not before, and not after."""
    client.register("x", A, ttl=10)
    clock.now += 9.999
    assert client.find("x")[0].ttl == pytest.approx(0.001, abs=0.0005)
    clock.now += 0.001
    with pytest.raises(ServiceNotFoundError):
        client.find("x")


@pytest.mark.parametrize("service_class", [None, HTTP])
def test_a_lease_is_told_as_what_is_left_of_it(
    client: Any, clock: Any, service_class: str | None
) -> None:
    """That is how long a result holds; also when it is looked up again."""
    client.register("x", A, ttl=10, service_class=HTTP)
    for left in (10, 7, 4):
        [found] = client.find("x", service_class=service_class)
        assert found.ttl == pytest.approx(left, abs=0.001)
        clock.now += 3


def test_a_lease_that_ended_is_looked_up_as_nothing(client: Any, clock: Any) -> None:
    """Also where it was found before."""
    client.register("x", A, ttl=10, service_class=HTTP)
    assert client.names("x", service_class=HTTP) == ["x"]
    clock.now += 10
    with pytest.raises(ServiceNotFoundError):
        client.find("x", service_class=HTTP)
    assert client.find(service_class=HTTP) == []


def test_a_renewal_begins_anew(client: Any, clock: Any) -> None:
    """It is a registration like the first."""
    client.register("x", A, ttl=10)
    clock.now += 9
    client.register("x", A, ttl=10)
    clock.now += 9
    assert client.find("x")[0].ttl == pytest.approx(1, abs=0.001)


def test_without_a_ttl_there_is_no_end(client: Any, clock: Any) -> None:
    """Also where there was one before."""
    client.register("x", A, ttl=10)
    client.register("x", A)
    clock.now += 1e9
    assert client.find("x")[0].ttl is None


def test_with_multiple_it_ends_with_its_last_address(client: Any, clock: Any) -> None:
    """Also where that was registered for longer before: nothing without an address is left."""
    client.register("x", A)
    client.register("x", A, ttl=10, multiple=True)
    assert client.find("x")[0].ttl == pytest.approx(10, abs=0.001)
    clock.now += 10
    with pytest.raises(ServiceNotFoundError):
        client.find("x")


@pytest.mark.parametrize("service_class", [None, HTTP])
def test_a_result_holds_as_long_as_its_addresses(
    client: Any, clock: Any, service_class: str | None
) -> None:
    """Those that were asked for, where each has a lease of its own."""
    client.register("x", A, ttl=50, multiple=True, service_class=HTTP)
    client.register("x", "2001:db8::1", ttl=5, multiple=True, service_class=HTTP)
    for family, left in ((0, 50), (AF_INET, 50), (AF_INET6, 5)):
        [found] = client.find("x", protocols=[(family, 0)], service_class=service_class)
        assert found.ttl == pytest.approx(left, abs=0.001)


def test_a_lease_of_nothing_has_ended(client: Any, clock: Any) -> None:
    """A ttl of 0 is no registration without an end."""
    client.register("x", A, ttl=0)
    assert client.find() == []


@pytest.mark.parametrize("operation", ["deregister", "delete"])
def test_what_has_ended_is_not_there(client: Any, clock: Any, operation: str) -> None:
    """Even if nobody has swept it away yet."""
    client.register("x", A, ttl=10)
    clock.now += 10
    with pytest.raises(ServiceNotFoundError):
        getattr(client, operation)("x")


def test_what_has_ended_is_made_anew(client: Any, clock: Any) -> None:
    """Its addresses are not added to."""
    client.register("x", A, ttl=10)
    clock.now += 10
    client.register("x", B, multiple=True)
    assert client.hosts("x") == [B]


def test_who_writes_sweeps(client: Any, clock: Any, sqlite3: Any) -> None:
    """Up to a hundred at a time, so that nobody waits long for the next."""
    for number in range(103):
        client.register(f"x{number}", ttl=10)
    client.register("y", ttl=20)
    clock.now += 10
    assert sqlite3("SELECT count(*) FROM service") == "104"
    client.register("z")
    assert sqlite3("SELECT count(*) FROM service") == "5"
    client.register("z")
    assert sqlite3("SELECT group_concat(name) FROM service") == "y,z"


def test_what_nobody_has_swept_is_not_there_either(client: Any, clock: Any) -> None:
    """However much there is that has ended before it."""
    for number in range(101):
        client.register(f"x{number}", A, ttl=1)
    client.register("y", A, ttl=2)
    clock.now += 2
    client.register("y", B, multiple=True)
    assert client.hosts("y") == [B]
    for number in range(101):
        client.register(f"x{number}", A, ttl=1)
    client.register("z", A, ttl=2)
    clock.now += 2
    with pytest.raises(ServiceNotFoundError):
        client.delete("z")


def test_a_deregistered_instance_ends_with_its_lease(client: Any, clock: Any) -> None:
    """So that those who come and go leave nothing behind."""
    client.register("x", A, ttl=10)
    client.deregister("x")
    clock.now += 10
    with pytest.raises(ServiceNotFoundError):
        client.find("x")


def test_each_address_has_its_own_lease(client: Any, clock: Any) -> None:
    """Of several who register one instance, one that died is gone when its lease ends."""
    client.register("x", A, ttl=10, multiple=True, service_class=HTTP)
    client.register("x", B, ttl=20, multiple=True, service_class=HTTP)
    assert client.hosts("x", service_class=HTTP) == [A, B]
    clock.now += 10
    assert client.hosts("x", service_class=HTTP) == [B]
    assert client.find("x")[0].ttl == pytest.approx(10, abs=0.001)
    client.register("x", C, ttl=5, multiple=True, service_class=HTTP)
    clock.now += 5
    assert client.hosts("x", service_class=HTTP) == [B]
    clock.now += 5
    assert client.find() == []


def test_an_address_without_an_end_outlives_the_others(client: Any, clock: Any) -> None:
    """And so does its instance; without it the instance ends with the last."""
    client.register("x", A)
    client.register("x", B, ttl=10, multiple=True)
    assert client.find("x")[0].ttl is None
    client.deregister("x", A, multiple=True)
    assert client.find("x")[0].ttl == pytest.approx(10, abs=0.001)
    clock.now += 10
    assert client.find() == []


def test_an_address_that_has_ended_is_dropped(client: Any, clock: Any) -> None:
    """Nobody can deregister the last living one and keep the dead."""
    client.register("x", A, ttl=10, multiple=True)
    client.register("x", B, multiple=True)
    clock.now += 10
    client.deregister("x", B, multiple=True)
    with pytest.raises(NoDataError):
        client.find("x")
