"""Fork: a child uses nothing of the parent's, renews and revokes nothing, and does not hang."""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from nspkit_etcd._waiter import Waiter

from nspkit import Address, Cancellation, ChangeKind, Service, ServiceOperation
from nspkit.errors import NotInitialisedError
from nspkit.registry import EVERYTHING, Key, Mark

PATIENCE = 30.0
ONE = Key(None, "", "one")
WEB = Service("web", addresses=[Address.inet("192.0.2.1", 80, type=1, proto=6)])

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform cannot fork")


@contextlib.contextmanager
def forked(work: Callable[[], object]) -> Iterator[None]:
    """Run ``work`` in a forked child beside the block; see that it went well, and ended."""
    context = multiprocessing.get_context("fork")
    errors = context.SimpleQueue()

    def run() -> None:
        try:
            work()
        except BaseException as error:
            errors.put(repr(error))
            raise

    child = context.Process(target=run)
    child.start()
    try:
        yield
        child.join(PATIENCE)
        assert child.exitcode == 0, None if errors.empty() else errors.get()
    finally:
        if child.is_alive():
            child.kill()
            child.join()
        errors.close()


def test_a_child_has_nothing_of_the_parents(make_host: Any, settings: Any, etcd: Any) -> None:
    """Its registration goes on, and so does its watch, on the connections that it has."""
    host = make_host(**settings)
    session = host.startup("etcd")
    with session.watch() as watch, host.register(WEB, provider="etcd", ttl=2) as registration:
        assert next(watch).kind is ChangeKind.ADDED

        def work() -> None:
            for call in (
                lambda: list(session.lookup("web")),
                lambda: session.set_service(WEB, ServiceOperation.DELETE),
                lambda: next(watch),
            ):
                with pytest.raises(NotInitialisedError):
                    call()
            with contextlib.suppress(NotInitialisedError):
                registration.close()
            session.close()
            host.close()
            gc.collect()

        leases = etcd.ctl("lease", "list")
        with forked(work):
            pass
        assert etcd.ctl("lease", "list") == leases
        assert [service.name for service in session.lookup("web")] == ["web"]
        session.set_service(Service("other"), ServiceOperation.REGISTER)
        change = next(watch)
        assert (change.kind, change.service.name) == (ChangeKind.ADDED, "other")
        assert registration.state == "active"


def test_a_child_makes_a_host_of_its_own(make_host: Any, settings: Any) -> None:
    """Each has connections and leases of its own."""
    session = make_host(**settings).startup("etcd")
    session.set_service(Service("parent", ttl=30), ServiceOperation.REGISTER)

    def work() -> None:
        own = make_host(**settings)
        with own.startup("etcd") as started:
            started.set_service(Service("child", ttl=30), ServiceOperation.REGISTER)
            assert sorted(one.name for one in started.lookup()) == ["child", "parent"]
        own.close()

    with forked(work):
        session.set_service(Service("parent", ttl=30), ServiceOperation.REGISTER)
    assert sorted(one.name for one in session.lookup()) == ["child", "parent"]


def test_a_store_of_the_parents_refuses_its_child(store: Any) -> None:
    """Its connections would be read by two; closing it closes none of them."""
    store.put(ONE, b"1", ttl=30)

    def work() -> None:
        for call in (
            lambda: store.get(ONE),
            lambda: store.put(ONE, b"1", ttl=30),
            lambda: list(store.entries(EVERYTHING)),
        ):
            with pytest.raises(NotInitialisedError, match="forked"):
                call()
        store.close()

    with forked(work):
        pass
    assert store.put(ONE, b"1", ttl=30)
    assert store.get(ONE).value == b"1"


def test_a_child_waits_for_no_lock_of_its_parent(make_store: Any, settings: Any) -> None:
    """Which nobody would ever release."""
    store = make_store(**settings, user="app", password="secret")

    def work() -> None:
        with pytest.raises(NotInitialisedError, match="forked"):
            store.get(ONE)

    turn = store._client._exchange._turn
    turn["login"] = object()
    with forked(work):
        pass
    del turn["login"]
    assert store.get(ONE) is None


@pytest.mark.parametrize("ends", ["closed", "cancelled"])
def test_a_watch_that_a_child_ends_goes_on_in_its_parent(store: Any, ends: str) -> None:
    """What the child has is the same connection: to shut it down would shut down the parent's."""
    cancellation = Cancellation()
    items = store.follow(EVERYTHING, cancellation, lambda: 0.0)
    assert [next(items) for _ in range(3)] == [Mark.BEGIN, Mark.LISTED, Mark.NOTHING]

    def work() -> None:
        if ends == "cancelled":
            cancellation.cancel()
        items.close()
        store.close()
        gc.collect()

    with forked(work):
        pass
    assert store.put(ONE, b"1", ttl=None)
    with contextlib.closing(items):
        while (item := next(items)) is Mark.NOTHING:
            pass
    assert item.value == b"1"


def test_a_child_waits_for_no_lock_of_a_connection(
    store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread of the parent may have held it, which the child does not have."""
    lanes: list[Any] = []
    enter = Waiter.enter

    def note(self: Waiter, lane: Any) -> None:
        lanes.append(lane)
        enter(self, lane)

    monkeypatch.setattr(Waiter, "enter", note)
    items = store.follow(EVERYTHING, Cancellation(), lambda: 0.0)
    assert [next(items) for _ in range(3)] == [Mark.BEGIN, Mark.LISTED, Mark.NOTHING]

    def work() -> None:
        items.close()
        store.close()

    with lanes[-1]._lock, forked(work):
        pass
    items.close()
