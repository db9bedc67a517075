"""The end of following: cancelled, out of time, or because a server is silent or lost."""

from __future__ import annotations

import errno
import socket
import threading
import time
import uuid
from contextlib import closing
from typing import Any

import pytest
from nspkit_etcd import _following

from nspkit import Cancellation
from nspkit.errors import TryAgainError
from nspkit.registry import EVERYTHING, Key, Mark
from nspkit.testing import LeakReport

PATIENCE = 30.0
ONE, TWO = Key(None, "", "one"), Key(None, "", "two")
WEB = uuid.UUID("12345678-1234-5678-1234-567812345678")


def watchers() -> list[str]:
    """The threads that read watches."""
    return [
        thread.name for thread in threading.enumerate() if thread.name.startswith("nspkit-etcd")
    ]


# -- the end ---------------------------------------------------------------------------------------


def test_it_ends_at_once_when_it_is_cancelled(store: Any, follow: Any) -> None:
    """From another thread, while it waits for changes."""
    feed = follow()
    feed.listed()
    ended: list[Any] = []
    reader = threading.Thread(target=lambda: ended.extend(feed.items))
    reader.start()
    feed.cancellation.cancel()
    reader.join(PATIENCE)
    assert not reader.is_alive()
    assert ended == []
    assert watchers() == []


def test_it_ends_when_its_time_is_over(store: Any) -> None:
    """Nobody has to cancel it."""
    items = store.follow(EVERYTHING, Cancellation(time.monotonic() + 2), lambda: 60.0)
    assert [item for item in items if item is not Mark.NOTHING] == [Mark.BEGIN, Mark.LISTED]
    assert watchers() == []


def test_one_that_was_cancelled_before_tells_nothing(store: Any) -> None:
    """No server is asked."""
    cancellation = Cancellation()
    cancellation.cancel()
    assert list(store.follow(EVERYTHING, cancellation, lambda: 60.0)) == []


def test_one_that_is_closed_leaves_no_thread(store: Any) -> None:
    """Wherever it has come to."""
    for steps in (0, 1, 2):
        with closing(store.follow(EVERYTHING, Cancellation(), lambda: 0.0)) as items:
            for _ in range(steps):
                next(items)
    items = store.follow(EVERYTHING, Cancellation(), lambda: 0.0)
    assert [next(items) for _ in range(3)] == [Mark.BEGIN, Mark.LISTED, Mark.NOTHING]
    assert len(watchers()) == 1
    items.close()
    assert watchers() == []


def test_one_that_nobody_reads_reads_ahead_a_little_only(
    store: Any, follow: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And can be closed all the same."""
    monkeypatch.setattr("nspkit_etcd._stream._AHEAD", 3)
    feed = follow(EVERYTHING, lambda: 0.0)
    feed.listed()
    assert feed.next() is Mark.NOTHING
    for number in range(20):
        store.put(ONE, b"%d" % number, ttl=None)
    feed.items.close()
    assert watchers() == []


def test_where_no_thread_can_be_started_nothing_is_left(
    store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection that was made for it is closed."""

    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with LeakReport() as leaks:
        store.get(ONE)
        items = store.follow(EVERYTHING, Cancellation(), lambda: 60.0)
        with monkeypatch.context() as patch, pytest.raises(RuntimeError):
            patch.setattr(threading.Thread, "start", refuse)
            list(items)
        store.close()
    assert not leaks, str(leaks)


def test_where_no_descriptor_is_left_a_watch_ends_with_its_time(
    make_store: Any, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It could not be cut short, so nobody may have to wait for it for ever."""

    def refuse(_socket: socket.socket) -> None:
        raise OSError(errno.EMFILE, "too many open files")

    monkeypatch.setattr(socket.socket, "dup", refuse)
    store = make_store(**settings | {"timeout": 2})
    items = store.follow(EVERYTHING, Cancellation(), lambda: 60.0)
    assert [next(items), next(items)] == [Mark.BEGIN, Mark.LISTED]
    with pytest.raises(TryAgainError):
        next(items)
    assert watchers() == []


# -- silence ---------------------------------------------------------------------------------------


def test_a_server_that_is_silent_is_asked_whether_it_is_there(
    store: Any, follow: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one that tells the changes, and no other."""
    monkeypatch.setattr(_following, "BEAT", 0.01)
    asked: list[str] = []
    enough = threading.Event()
    ask = _following.Follower._ask

    def count(self: Any, endpoint: str) -> None:
        ask(self, endpoint)
        asked.append(endpoint)
        if len(asked) == 3:
            enough.set()

    monkeypatch.setattr(_following.Follower, "_ask", count)
    feed = follow()
    feed.listed()
    reader = threading.Thread(target=lambda: next(feed.items, None))
    reader.start()
    assert enough.wait(PATIENCE)
    store.put(ONE, b"1", ttl=None)
    reader.join(PATIENCE)
    assert set(asked) == {store.location.removeprefix("etcd at ")}


def test_a_server_that_others_hear_of_is_not_asked(
    store: Any, follow: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many watch there: what any of them was answered counts for all."""
    monkeypatch.setattr(_following, "BEAT", 0.05)
    monkeypatch.setattr(store._client, "heard", lambda _endpoint: time.monotonic())
    asked: list[str] = []
    monkeypatch.setattr(_following.Follower, "_ask", lambda _self, where: asked.append(where))
    feed = follow(EVERYTHING, lambda: 0.002)
    feed.listed()
    assert {feed.next() for _ in range(100)} == {Mark.NOTHING}
    assert asked == []


def test_a_frozen_server_is_found_out(
    servers: Any, etcd: Any, make_store: Any, follow: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its connections are there, but it says nothing; that another one answers is no help."""
    monkeypatch.setattr(_following, "BEAT", 0.05)
    [server] = servers()
    two = make_store(endpoints=[server.endpoint, etcd.endpoint], timeout=2)  # 1 s for each
    feed = follow(at=two)
    feed.listed()
    assert two.put(ONE, b"1", ttl=None)
    assert feed.next() == (ONE, b"1")  # so it is watched
    server.freeze()
    with pytest.raises(TryAgainError, match="in time"):
        feed.next()
    assert follow(at=two).listed()[0] is Mark.BEGIN
    server.thaw()


def test_a_server_that_was_thawed_can_be_followed_again(
    servers: Any, make_store: Any, follow: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As long as it is frozen nothing begins either."""
    monkeypatch.setattr(_following, "BEAT", 0.05)
    [server] = servers()
    frozen = make_store(endpoints=server.endpoint, timeout=1)
    patient = make_store(endpoints=server.endpoint, timeout=PATIENCE)
    feed = follow(at=frozen)
    feed.listed()
    assert patient.put(ONE, b"1", ttl=None)
    assert feed.next() == (ONE, b"1")  # so it is watched
    server.freeze()
    with pytest.raises(TryAgainError, match="in time"):
        feed.next()
    assert watchers() == []
    with pytest.raises(TryAgainError, match="in time"):
        follow(at=frozen).listed()
    server.thaw()
    assert follow(at=patient).listed() == [Mark.BEGIN, (ONE, b"1")]


def test_a_server_that_ends_is_found_out(servers: Any, make_store: Any, follow: Any) -> None:
    """At once, without being asked; started again, it can be followed again."""
    [server] = servers()
    store = make_store(endpoints=server.endpoint, timeout=PATIENCE)
    feed = follow(at=store)
    feed.listed()
    assert store.put(ONE, b"1", ttl=None)
    assert feed.next() == (ONE, b"1")
    server.stop()
    with pytest.raises(TryAgainError):
        feed.next()
    server.start()
    server.wait()
    assert follow(at=store).listed() == [Mark.BEGIN, (ONE, b"1")]
