"""Several servers: the next one is asked where one is lost, and nothing that was said is untrue."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from typing import Any

import pytest

from nspkit import Cancellation, Service
from nspkit.errors import NspError, TryAgainError
from nspkit.registry import EVERYTHING, Key

PATIENCE = 30.0
ONE = Key(None, "", "one")


@pytest.fixture
def members(servers: Any) -> list[Any]:
    """Three servers that are one etcd."""
    found: list[Any] = servers(members=3)
    return found


@pytest.fixture
def listening() -> Any:
    """A server that takes connections and never says anything."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(100)
        yield f"127.0.0.1:{silent.getsockname()[1]}"


def leader(members: list[Any]) -> Any:
    """The member that leads."""
    for member in members:
        [status] = json.loads(member.ctl("endpoint", "status", "-w", "json"))
        if status["Status"]["leader"] == status["Status"]["header"]["member_id"]:
            return member
    pytest.fail("no member leads")


def everywhere(members: list[Any]) -> list[str]:
    """The endpoints of all."""
    return [member.endpoint for member in members]


def test_a_dead_endpoint_is_left_for_the_next(make_store: Any, etcd: Any, prefix: str) -> None:
    """Also for a watch."""
    with socket.socket() as nobody:  # bound, but it does not listen
        nobody.bind(("127.0.0.1", 0))
        dead = f"127.0.0.1:{nobody.getsockname()[1]}"
        store = make_store(endpoints=[dead, etcd.endpoint], prefix=prefix, timeout=PATIENCE)
        with contextlib.closing(store.follow(EVERYTHING, Cancellation(), lambda: 0.0)) as items:
            for _ in range(3):
                next(items)
        assert store.put(ONE, b"1", ttl=30)


def test_a_silent_endpoint_takes_its_share_of_the_time_only(
    make_store: Any, etcd: Any, prefix: str, listening: str
) -> None:
    """Then the next is asked, and first from then on."""
    store = make_store(endpoints=[listening, etcd.endpoint], prefix=prefix, timeout=2)
    assert store.put(ONE, b"1", ttl=None)
    until = time.monotonic() + PATIENCE
    for _ in range(100):
        assert store.get(ONE).value == b"1"
    assert time.monotonic() < until  # it is 100 s where the silent one is asked first again


def test_when_all_endpoints_are_dead_it_says_so_at_once(make_store: Any) -> None:
    """With the reason of each; who asks may wait as he likes."""
    with socket.socket() as nobody, socket.socket() as none:
        for one in (nobody, none):
            one.bind(("127.0.0.1", 0))
        dead = [f"127.0.0.1:{one.getsockname()[1]}" for one in (nobody, none)]
        store = make_store(endpoints=dead, timeout=3600)
        with pytest.raises(TryAgainError, match=r"refused.*refused") as caught:
            store.get(ONE)
    assert all(endpoint in str(caught.value) for endpoint in dead)


def test_a_put_is_made_once_more_where_its_outcome_is_unknown(
    members: list[Any], make_store: Any
) -> None:
    """The leader is frozen in the midst of it; another leads then."""
    store = make_store(endpoints=everywhere(members), timeout=9)  # 3 s for each of them
    store.put(ONE, b"1", ttl=None)
    version = store.get(ONE).version
    frozen = leader(members)
    store._client._first = members.index(frozen)
    frozen.freeze()
    try:
        assert store.put(ONE, b"2", ttl=None, expected=version)
        assert store.get(ONE).value == b"2"
        assert store.remove(ONE, store.get(ONE).version)
    finally:
        frozen.thaw()


def test_all_that_was_acknowledged_is_there_after_the_leader_was_killed(
    members: list[Any], make_host: Any
) -> None:
    """While eight threads registered and looked up; none was told something wrong."""
    # What is under way at the dying leader is given up after a third of the time.
    host = make_host(endpoints=everywhere(members), timeout=12)
    session = host.startup("etcd")
    killed = threading.Event()
    begun = threading.Barrier(9)
    acknowledged: list[str] = []
    wrong: list[str] = []

    def work(number: int) -> None:
        begun.wait(PATIENCE)
        rest = 15
        for count in range(10_000):
            name = f"s{number}-{count}"
            rest -= killed.is_set()
            if not rest:
                return
            try:
                session.set_service(Service(name), 0)
                acknowledged.append(name)
                with session.lookup(name) as lookup:
                    wrong.extend(one.name for one in lookup if one.name != name)
            except TryAgainError:
                pass  # it may be there, or not
            except NspError as error:
                wrong.append(str(error))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    dying = leader(members)
    begun.wait(PATIENCE)
    dying.stop()
    killed.set()
    for thread in threads:
        thread.join(4 * PATIENCE)
        assert not thread.is_alive()
    assert wrong == []
    with session.lookup() as lookup:
        assert set(acknowledged) <= {service.name for service in lookup}
    assert len(acknowledged) >= 8 * 14  # an election is shorter than the time of a request
    assert leader([member for member in members if member is not dying])


def test_a_watch_goes_on_at_another_server(
    members: list[Any], make_host: Any, make_store: Any
) -> None:
    """Where the one that told it was killed. The last one alone has no leader, and says so."""
    host = make_host(endpoints=everywhere(members), timeout=PATIENCE)
    session = host.startup("etcd")
    with session.watch() as watch:
        session.set_service(Service("one"), 0)
        assert next(watch).service.name == "one"
        members[0].stop()
        session.set_service(Service("two"), 0)
        assert next(watch).service.name == "two"
    members[1].stop()
    alone = make_store(endpoints=members[2].endpoint, timeout=1)
    until = time.monotonic() + PATIENCE
    said = ""
    while "no leader" not in said:  # it needs a moment to find that out
        assert time.monotonic() < until, said
        with pytest.raises(TryAgainError) as caught:
            alone.get(ONE)
        said = str(caught.value)
