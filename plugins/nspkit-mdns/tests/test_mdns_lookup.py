"""Lookups: their time, their end, what they remember, and what a watch makes of a silent death."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from nspkit_mdns._share import _share

import nspkit
from nspkit import Cancellation, ChangeKind, LookupFlags, Query, ServiceOperation
from nspkit.errors import CancelledError, ServiceNotFoundError

PATIENCE = 30.0
REGISTER, DEREGISTER, DELETE = ServiceOperation
FRESH = LookupFlags.RETURN_ALL | LookupFlags.FLUSHCACHE
LONG = {"timeout": 3600.0, "browse_time": 3600.0}
pytestmark = pytest.mark.usefixtures("quick")

QUERIES = [
    Query("nobody.local"),
    Query("nobody", service_class="_nobody._tcp"),
    Query("no.body", service_class="_nobody._tcp"),
    Query(service_class="_nobody._tcp"),
]


@pytest.mark.parametrize("query", QUERIES, ids=["host", "instance", "with a dot", "type"])
def test_a_lookup_that_is_closed_ends_at_once(start: Any, query: Query) -> None:
    """Not when its hour is over."""
    lookup = start(**LONG).lookup(query, timeout=3600)
    waiting = threading.Event()
    outcome: list[object] = []

    def look_up() -> None:
        waiting.set()
        try:
            outcome.append(list(lookup))
        except CancelledError as error:
            outcome.append(error)

    thread = threading.Thread(target=look_up)
    thread.start()
    assert waiting.wait(PATIENCE)
    lookup.close()
    thread.join(PATIENCE)
    assert len(outcome) == 1


@pytest.mark.parametrize("query", QUERIES, ids=["host", "instance", "with a dot", "type"])
def test_a_lookup_ends_by_itself_within_the_time_that_it_was_given(
    start: Any, query: Query, eventually: Any
) -> None:
    """It says what it knows then: nothing was cut off, so there is no time-out to report.

    On a busy machine it may be cut off all the same, now and then.
    """
    session = start(**LONG)

    def ends_by_itself() -> bool:
        with session.lookup(query, timeout=0.5) as lookup:
            try:
                return list(lookup) == []
            except ServiceNotFoundError:
                return query.name is not None
            except TimeoutError:
                return False

    eventually(ends_by_itself)


@pytest.mark.parametrize("query", QUERIES, ids=["host", "instance", "with a dot", "type"])
def test_a_cancelled_lookup_asks_nobody(start: Any, query: Query) -> None:
    """Nor does it open anything."""
    from nspkit_mdns._lookup import lookup
    from nspkit_mdns._member import Member
    from nspkit_mdns._settings import settings_in

    cancellation = Cancellation()
    cancellation.cancel()
    assert list(lookup(Member(settings_in({})), query, cancellation)) == []
    assert _share.engine is None


def test_a_name_that_nobody_has_is_not_found(start: Any) -> None:
    """After the time of the setting, which the message names."""
    for name, kind in (("nobody.local", None), ("nobody", "_nobody._tcp"), ("a.b", "_b._tcp")):
        with pytest.raises(ServiceNotFoundError, match=r"within 0\.2 s"):
            list(start(timeout=0.2).lookup(name, service_class=kind))


def test_the_dead_are_remembered_until_somebody_asks_again(
    session: nspkit.Session, short: nspkit.Session, stranger: Any
) -> None:
    """Records live on; FLUSHCACHE finds out, for a host and for a service."""
    process = stranger("ghost", "_ghost._tcp")
    assert list(session.lookup("ghost.local"))
    assert list(session.lookup("ghost", service_class="_ghost._tcp"))
    process.kill()
    process.wait(PATIENCE)
    assert list(session.lookup("ghost.local"))
    assert list(session.lookup("ghost", service_class="_ghost._tcp"))
    for query in (Query("ghost.local"), Query("ghost", service_class="_ghost._tcp")):
        with pytest.raises(ServiceNotFoundError):
            list(short.lookup(query.replace(flags=FRESH)))


def test_a_browse_passes_the_cache_over(
    session: nspkit.Session, short: nspkit.Session, stranger: Any, eventually: Any
) -> None:
    """Pointers live for more than an hour."""
    process = stranger("gone", "_gone._tcp")
    eventually(lambda: list(session.lookup(service_class="_gone._tcp")))
    process.kill()
    process.wait(PATIENCE)
    assert list(short.lookup(service_class="_gone._tcp", flags=FRESH)) == []


def test_a_watch_tells_of_a_silent_death(start: Any, stranger: Any, eventually: Any) -> None:
    """Nobody says goodbye; when its address is over and nobody confirms it, it is removed."""
    session = start(timeout=0.5)
    process = stranger("silent", "_silent._tcp", ttl=1)
    watch = session.watch(Query(service_class="_silent._tcp"))
    assert next(watch).service.name == "silent"
    process.kill()
    process.wait(PATIENCE)
    engine = _share.engine
    assert engine is not None
    removed: list[Any] = []
    thread = threading.Thread(target=lambda: removed.append(next(watch)))
    thread.start()

    def look() -> bool:
        # What the engine does every ten seconds.
        engine.soon(engine.zeroconf.engine._async_cache_cleanup)
        return bool(removed)

    eventually(look)
    thread.join(PATIENCE)
    watch.close()
    assert (removed[0].kind, removed[0].service.name) == (ChangeKind.REMOVED, "silent")


def test_a_watch_tells_of_a_host_that_died(start: Any, stranger: Any) -> None:
    """It is asked for again before its time is over."""
    watch = start(timeout=0.5).watch(Query("mortal.local"))
    process = stranger("mortal", "_mortal._tcp", ttl=1)
    assert next(watch).kind is ChangeKind.ADDED
    process.kill()
    assert next(watch).kind is ChangeKind.REMOVED
    watch.close()


def test_protocols_narrow_what_is_found(start: Any, service: Any, eventually: Any) -> None:
    """A browse leaves out what has no such address, a name is told so."""
    session = start()
    session.set_service(service("x"), REGISTER)
    kind = "_nspkit._tcp"
    eventually(lambda: list(session.lookup(service_class=kind, protocols=[(2, 6)])))
    assert list(session.lookup(service_class=kind, protocols=[(10, 0)])) == []
    with pytest.raises(nspkit.errors.NoDataError):
        list(session.lookup("x", service_class=kind, protocols=[(0, 17)]))


def test_a_type_that_nothing_can_have_is_refused(session: nspkit.Session) -> None:
    """Nspkit takes it for a type, multicast DNS does not."""
    for query in (Query(service_class="_a--b._tcp"), Query("x", service_class="_a--b._tcp")):
        with pytest.raises(nspkit.errors.InvalidArgumentError, match="a--b"):
            list(session.lookup(query))


def test_a_host_asks_for_no_longer_than_its_own_limit(new_host: Any, eventually: Any) -> None:
    """A fan-out that waits for others is not held up by this provider's hour.

    On a busy machine it may be cut off all the same, now and then.
    """
    host = new_host(**LONG)

    def ends_by_itself() -> bool:
        with host.lookup(service_class="_nobody._tcp", timeout=0.5) as lookup:
            try:
                return list(lookup) == [] and lookup.errors == ()
            except TimeoutError:
                return False

    eventually(ends_by_itself)
