"""Leases and puts where several things happen at once, or a connection breaks in between."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
import uuid
from collections import deque
from typing import Any

import pytest
from kazoo.exceptions import ConnectionLoss, NoNodeError
from kazoo.handlers.threading import AsyncResult, SequentialThreadingHandler
from nspkit_zookeeper._connection import Connection
from nspkit_zookeeper._leases import Leases
from nspkit_zookeeper._nodes import Version
from nspkit_zookeeper._settings import zookeeper_settings

from nspkit import Cancellation
from nspkit.errors import NotInitialisedError, TryAgainError
from nspkit.registry import Key, Mark, Scope

CLASS = uuid.UUID("6f1c9f0e-3c7a-4d4e-9a43-5c6f2f1f0a01")
WEB = Key(CLASS, "", "web")
PATIENCE = 30.0


def eventually(is_so: Any) -> None:
    """Wait until something is so."""
    until, pause = time.monotonic() + PATIENCE, threading.Event()
    while not is_so():
        assert time.monotonic() < until, "it has not become so"
        pause.wait(0.01)


def test_what_is_not_removed_still_ends(store: Any) -> None:
    """Who wants to remove another version takes nothing from the lease of this one."""
    store.put(WEB, b"value", ttl=1.0)
    assert not store.remove(WEB, Version("0123456789abcdef", 7))
    assert WEB in store.leases._leases
    eventually(lambda: store.get(WEB) is None)


def test_what_is_removed_has_no_lease(store: Any) -> None:
    """Nothing is kept of it."""
    store.put(WEB, b"value", ttl=PATIENCE)
    assert store.remove(WEB, store.get(WEB).version)
    assert store.leases._leases == {}


@pytest.mark.parametrize("ttl", [PATIENCE, None], ids=["ends", "stays"])
def test_what_is_replaced_has_no_lease(store: Any, ttl: float | None) -> None:
    """Only what has taken its place, if that ends."""
    for number in range(5):
        store.put(WEB, b"%d" % number, ttl=PATIENCE)
    store.put(WEB, b"last", ttl=ttl)
    kept = store.leases._leases.get(WEB, {})
    assert list(kept) == ([store.get(WEB).version] if ttl else [])


@pytest.mark.parametrize("first", [0, 1])
def test_of_two_puts_at_once_both_end(first: int) -> None:
    """Whichever is known of first: nobody can tell which was done last."""
    leases = Leases(lambda: True, lambda _key, _version: pytest.fail("it was ended"))
    puts = [Version("x", 0), Version("y", 0)]
    for version in puts:
        leases.expect(WEB, version, PATIENCE)
    leases.settle(WEB, puts[first], PATIENCE)
    leases.settle(WEB, puts[1 - first], PATIENCE)
    assert set(leases._leases[WEB]) == set(puts)


def test_what_many_broken_puts_leave_is_bounded() -> None:
    """The last ones are kept, and the one that was done."""
    leases = Leases(lambda: True, lambda _key, _version: None)
    done = Version("done", 0)
    for number in range(1000):
        leases.expect(WEB, Version(f"{number}", 0), PATIENCE)
        leases.settle(WEB, done, PATIENCE)
    assert len(leases._leases[WEB]) < 100
    assert {done, Version("999", 0)} <= set(leases._leases[WEB])


def test_what_was_put_again_does_not_end_by_a_broken_removal() -> None:
    """It was found to be there, by another connection, before the removal was made again."""
    handler, asked = SequentialThreadingHandler(), []

    def remove(_key: Key, _version: Version) -> Any:
        asked.append(AsyncResult(handler))
        return asked[-1]

    leases = Leases(lambda: True, remove)
    version = Version("x", 0)
    leases.settle(WEB, version, 0.0)
    leases._sweep()
    asked[0].set_exception(ConnectionLoss())
    leases.settle(WEB, version, PATIENCE)
    leases._sweep()
    assert len(asked) == 1
    assert leases.touch(WEB, PATIENCE) is False


class Behind:
    """A store whose connection breaks, and comes back to a server that is behind for one read."""

    def __init__(self, store: Any, *, times: int = 1) -> None:
        self.lost = 0
        self.commit, self.read = store._writing.commit, store._writing.read
        self.times = times
        self.before: list[Any] = []
        store._writing.commit, store._writing.read = self.committing, self.reading

    def committing(self, transaction: Any, until: float) -> Any:
        """Do it, and lose the answer."""
        if self.lost == self.times:
            return self.commit(transaction, until)
        before = self.read(WEB)
        conflict = self.commit(transaction, until)
        if conflict is not None:
            return conflict
        self.lost += 1
        self.before.append(before)
        return ConnectionLoss()

    def reading(self, key: Key, waiter: Any = None) -> Any:
        """Read what was there before, once."""
        return self.before.pop() if self.before else self.read(key, waiter)


@pytest.mark.parametrize("ttl", [None, PATIENCE], ids=["stays", "ends"])
def test_a_new_put_knows_its_own_by_a_server_that_is_behind(store: Any, ttl: float | None) -> None:
    """It is told that nothing is there, and then that something is: it is what it has put."""
    store.put(Key(CLASS, "", "other"), b"", ttl=None)
    behind = Behind(store)
    assert store.put(WEB, b"value", ttl=ttl, expected=None)
    assert behind.lost == 1
    entry = store.get(WEB)
    assert entry.value == b"value"
    assert list(store.leases._leases.get(WEB, {})) == ([entry.version] if ttl else [])


@pytest.mark.parametrize("ttl", [None, PATIENCE], ids=["stays", "ends"])
def test_a_put_of_a_version_knows_its_own_by_a_server_that_is_behind(
    store: Any, ttl: float | None
) -> None:
    """Though its second try is a conflict with the first."""
    store.put(WEB, b"before", ttl=ttl)
    version = store.get(WEB).version
    behind = Behind(store)
    assert store.put(WEB, b"value", ttl=ttl, expected=version)
    assert behind.lost == 1
    entry = store.get(WEB)
    assert entry.version == version.next()
    assert list(store.leases._leases.get(WEB, {})) == ([entry.version] if ttl else [])


def test_a_new_put_knows_its_own_though_another_has_changed_it(store: Any, stores: Any) -> None:
    """Its node was made by it, so that it was done, before the other."""
    other, commit = stores(), store._writing.commit
    store.put(Key(CLASS, "", "other"), b"", ttl=None)

    def breaking(transaction: Any, until: float) -> Any:
        store._writing.commit = commit
        assert commit(transaction, until) is None
        assert other.put(WEB, b"other", ttl=None)
        return ConnectionLoss()

    store._writing.commit = breaking
    assert store.put(WEB, b"value", ttl=None, expected=None)
    assert store.get(WEB).value == b"other"


def test_a_put_that_was_not_done_is_told_of_another(store: Any, stores: Any) -> None:
    """The connection broke before it was, and another one was done."""
    other, commit = stores(), store._writing.commit
    store.put(WEB, b"before", ttl=None)

    def breaking(_transaction: Any, _until: float) -> Any:
        store._writing.commit = commit
        assert other.put(WEB, b"other", ttl=None)
        return ConnectionLoss()

    store._writing.commit = breaking
    assert not store.put(WEB, b"value", ttl=None, expected=store.get(WEB).version)
    assert store.get(WEB).value == b"other"


@pytest.mark.parametrize("is_done", [True, False])
def test_what_is_over_is_put_anew_though_the_connection_breaks(store: Any, is_done: bool) -> None:
    """While it is ended: whether that was done or not, what is expected is known."""
    store.put(WEB, b"value", ttl=PATIENCE)
    version = store.get(WEB).version
    store.leases._is_connected = lambda: False  # the thread that would end it does nothing
    store.leases._leases[WEB] = {version: 0.0}
    commit, lost = store._writing.commit, []

    def breaking(transaction: Any, until: float) -> Any:
        if lost:
            return commit(transaction, until)
        lost.append(commit(transaction, until) if is_done else None)
        return ConnectionLoss()

    store._writing.commit = breaking
    assert store.put(WEB, b"value", ttl=PATIENCE, expected=version)
    assert lost == [None]
    assert store.get(WEB).version.incarnation != version.incarnation


def test_what_is_over_and_was_removed_is_not_as_expected(store: Any) -> None:
    """Another one has removed it, between the look and the end of the lease."""
    store.put(WEB, b"value", ttl=PATIENCE)
    version = store.get(WEB).version
    store.leases._is_connected = lambda: False
    store.leases._leases[WEB] = {version: 0.0}
    commit = store._writing.commit

    def late(_transaction: Any, until: float) -> Any:
        store._writing.commit = commit
        own = store._connection.client.transaction()
        assert commit(store._writing.unmake(WEB, version, own), until) is None
        return NoNodeError()

    store._writing.commit = late
    assert not store.put(WEB, b"value", ttl=PATIENCE, expected=version)
    assert store.get(WEB) is None


class Racing(deque[Any]):
    """Those who wait, of whom another thread releases all after one is seen to be there."""

    def __contains__(self, one: object) -> bool:
        found = super().__contains__(one)
        self.clear()
        return found

    def remove(self, one: Any) -> None:
        """Remove one that another thread has taken meanwhile."""
        self.clear()
        super().remove(one)


def test_who_is_released_at_the_last_moment_is_told_what_is_the_matter() -> None:
    """That the time is over, and nothing else."""
    settings = zookeeper_settings({"endpoints": "127.0.0.1:1"})
    connection = Connection(settings, 1.0)
    connection._waiting = Racing()
    try:
        with pytest.raises(TryAgainError):
            connection.await_connected(time.monotonic() + 0.01)
    finally:
        connection.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform cannot fork")
def test_a_child_does_not_wait_for_a_lock_of_the_leases(store: Any) -> None:
    """A thread of its parent's had it when it was forked; there is none in the child."""
    store.put(WEB, b"value", ttl=PATIENCE)
    version = store.get(WEB).version

    def work() -> None:
        with pytest.raises(NotInitialisedError, match="forked"):
            store.put(WEB, b"value", ttl=PATIENCE)
        with pytest.raises(NotInitialisedError, match="forked"):
            store.remove(WEB, version)

    child = multiprocessing.get_context("fork").Process(target=work)
    with store.leases._lock:
        child.start()
    child.join(PATIENCE)
    try:
        assert child.exitcode == 0
    finally:
        child.kill()
        child.join()


def test_who_has_leases_that_are_over_waits_for_a_server() -> None:
    """And does not look every moment whether there is one again."""
    is_connected = [True]
    leases = Leases(lambda: is_connected[0], lambda _key, _version: None)
    leases.settle(WEB, Version("x", 0), 0.0)
    assert leases._pause() < 0.1
    is_connected[0] = False
    assert leases._pause() == 0.5


LONG = Key(CLASS, "\U0001f600" * 50_000 + "\\", "\U0001f600" * 50_000)


def test_a_name_that_no_node_can_have_is_not_there(store: Any) -> None:
    """It is not asked for: a server ends the session of who asks that much."""
    session = store._connection.session
    scope = Scope(CLASS, LONG.name, LONG.context, deep=False)
    assert store.get(LONG) is None
    assert list(store.entries(scope)) == []
    news = store.follow(scope, Cancellation(), lambda: 0.01)
    assert [next(news) for _ in range(3)] == [Mark.BEGIN, Mark.LISTED, Mark.NOTHING]
    news.close()
    store.put(WEB, b"value", ttl=PATIENCE)
    assert store._connection.session == session
