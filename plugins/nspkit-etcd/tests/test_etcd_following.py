"""Following: what is there, then each change, through compaction, silence and cancellation."""

from __future__ import annotations

import errno
import json
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
from nspkit_etcd import _following, _pages

from nspkit import Cancellation
from nspkit.errors import TryAgainError
from nspkit.registry import EVERYTHING, Entry, Gone, Key, Mark, Scope
from nspkit.testing import LeakReport

PATIENCE = 30.0
ONE, TWO = Key(None, "", "one"), Key(None, "", "two")
WEB = uuid.UUID("12345678-1234-5678-1234-567812345678")


class Feed:
    """What a follower is told, without the marks that nothing has happened."""

    def __init__(
        self, store: Any, scope: Scope = EVERYTHING, patience: Callable[[], float] = lambda: 60.0
    ) -> None:
        self.cancellation = Cancellation(time.monotonic() + PATIENCE)
        self.items = store.follow(scope, self.cancellation, patience)

    def next(self) -> Any:
        """The next item, shortened."""
        item = next(self.items)
        if isinstance(item, Entry):
            return item.key, item.value
        return item

    def listed(self) -> list[Any]:
        """All items up to the end of the list."""
        found = []
        while (item := self.next()) is not Mark.LISTED:
            found.append(item)
        return found


@pytest.fixture
def follow(store: Any) -> Iterator[Callable[..., Feed]]:
    """A function that begins to follow; all are closed in the end."""
    feeds: list[Feed] = []

    def begin(*arguments: Any, at: Any = store) -> Feed:
        feeds.append(Feed(at, *arguments))
        return feeds[-1]

    yield begin
    for feed in feeds:
        feed.items.close()


def watchers() -> list[str]:
    """The threads that read watches."""
    return [
        thread.name for thread in threading.enumerate() if thread.name.startswith("nspkit-etcd")
    ]


def compact(etcd: Any) -> None:
    """Have it forget all but the newest revision."""
    status = json.loads(etcd.ctl("get", "any", "-w", "json"))
    etcd.ctl("compact", str(status["header"]["revision"]))


def test_what_is_there_comes_first_and_then_each_change(store: Any, follow: Any) -> None:
    """Puts with what was put, and removals."""
    store.put(ONE, b"1", ttl=None)
    feed = follow()
    assert feed.listed() == [Mark.BEGIN, (ONE, b"1")]
    store.put(TWO, b"2", ttl=30)
    assert feed.next() == (TWO, b"2")
    store.put(TWO, b"3", ttl=30)
    assert feed.next() == (TWO, b"3")
    store.remove(ONE, store.get(ONE).version)
    assert feed.next() == Gone(ONE)


def test_an_entry_that_is_told_has_its_version(store: Any, follow: Any) -> None:
    """The one that a removal asks for."""
    feed = follow()
    feed.listed()
    store.put(ONE, b"1", ttl=None)
    entry = next(feed.items)
    assert store.remove(ONE, entry.version)


def test_a_change_between_the_list_and_the_watch_is_told(store: Any, follow: Any) -> None:
    """The watch begins where the list was made."""
    feed = follow()
    assert feed.next() is Mark.BEGIN
    assert feed.next() is Mark.LISTED
    store.put(ONE, b"1", ttl=None)
    assert feed.next() == (ONE, b"1")


def test_a_renewal_is_no_change(store: Any, follow: Any) -> None:
    """Nobody is told."""
    store.put(ONE, b"1", ttl=30)
    feed = follow()
    feed.listed()
    store.put(ONE, b"1", ttl=30)
    store.put(TWO, b"2", ttl=30)
    assert feed.next() == (TWO, b"2")


def test_the_end_of_a_lease_is_told(store: Any, follow: Any, etcd: Any, prefix: str) -> None:
    """As a removal."""
    store.put(ONE, b"1", ttl=30)
    feed = follow()
    feed.listed()
    [record] = json.loads(etcd.ctl("get", f"{prefix}/1/service/-/-/one", "-w", "json"))["kvs"]
    etcd.ctl("lease", "revoke", f"{record['lease']:x}")
    assert feed.next() == Gone(ONE)


def test_a_name_is_followed_in_all_classes(store: Any, follow: Any) -> None:
    """By the index of names, whose records are read."""
    store.put(Key(WEB, "a\\", "one"), b"1", ttl=None)
    feed = follow(Scope(None, "one"))
    assert feed.listed() == [Mark.BEGIN, (Key(WEB, "a\\", "one"), b"1")]
    store.put(TWO, b"another", ttl=None)
    store.put(ONE, b"2", ttl=None)
    assert feed.next() == (ONE, b"2")
    store.remove(ONE, store.get(ONE).version)
    assert feed.next() == Gone(ONE)


@pytest.mark.parametrize(
    "scope", [Scope(WEB), Scope(WEB, "one"), Scope(WEB, None, "a\\", deep=False)]
)
def test_only_the_scope_is_followed(store: Any, follow: Any, scope: Scope) -> None:
    """Of the rest nothing is sent."""
    feed = follow(scope)
    feed.listed()
    store.put(ONE, b"1", ttl=None)
    store.put(Key(WEB, "a\\", "one"), b"2", ttl=None)
    assert feed.next() == (Key(WEB, "a\\", "one"), b"2")


def test_one_key_is_followed(store: Any, follow: Any) -> None:
    """And none that begins like it."""
    key = Key(WEB, "", "one")
    feed = follow(Scope(WEB, "one", "", deep=False))
    feed.listed()
    store.put(Key(WEB, "", "one more"), b"1", ttl=None)
    store.put(key, b"2", ttl=None)
    assert feed.next() == (key, b"2")


def test_what_others_put_below_the_prefix_is_passed_over(
    store: Any, follow: Any, etcd: Any, prefix: str
) -> None:
    """It is no instance."""
    feed = follow()
    feed.listed()
    etcd.ctl("put", f"{prefix}/1/service/what", "strange")
    store.put(ONE, b"1", ttl=None)
    assert feed.next() == (ONE, b"1")


def test_nothing_is_told_when_the_patience_is_over(follow: Any) -> None:
    """So that who reads can do other work."""
    feed = follow(EVERYTHING, lambda: 0.001)
    feed.listed()
    assert [feed.next() for _ in range(3)] == [Mark.NOTHING] * 3


def test_many_changes_are_told_in_order(store: Any, follow: Any) -> None:
    """More than are read before somebody asks."""
    feed = follow()
    feed.listed()
    for number in range(250):
        store.put(Key(None, "", f"n{number % 7}"), b"%d" % number, ttl=None)
    assert [int(feed.next()[1]) for _ in range(250)] == list(range(250))


# -- compaction ------------------------------------------------------------------------------------


def test_compaction_before_the_watch_begins_has_it_list_again(
    store: Any, follow: Any, etcd: Any
) -> None:
    """What came and went meanwhile cannot be told; what is there is."""
    store.put(ONE, b"1", ttl=None)
    feed = follow()
    feed.listed()
    store.put(TWO, b"2", ttl=None)
    store.remove(ONE, store.get(ONE).version)
    compact(etcd)
    assert feed.listed() == [Mark.BEGIN, (TWO, b"2")]
    store.put(ONE, b"3", ttl=None)
    assert feed.next() == (ONE, b"3")


def test_compaction_in_the_midst_of_the_list_has_it_list_again(
    store: Any, follow: Any, etcd: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A list of two revisions is none that a watch could go on from."""
    monkeypatch.setattr(_pages, "PAGE", 1)
    store.put(ONE, b"1", ttl=None)
    store.put(TWO, b"2", ttl=None)
    feed = follow()
    assert [feed.next(), feed.next()] == [Mark.BEGIN, (ONE, b"1")]
    store.put(ONE, b"3", ttl=None)
    store.put(ONE, b"4", ttl=None)
    compact(etcd)
    assert feed.listed() == [Mark.BEGIN, (ONE, b"4"), (TWO, b"2")]


def test_compaction_during_a_watch_loses_nothing(store: Any, follow: Any, etcd: Any) -> None:
    """A watch that keeps up need not list again."""
    feed = follow()
    feed.listed()
    store.put(ONE, b"1", ttl=None)
    assert feed.next() == (ONE, b"1")
    store.put(ONE, b"2", ttl=None)
    compact(etcd)
    assert feed.next() == (ONE, b"2")
    store.put(ONE, b"3", ttl=None)
    assert feed.next() == (ONE, b"3")


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
    feed = Feed(store)
    feed.cancellation = Cancellation(time.monotonic() + 0.3)
    items = store.follow(EVERYTHING, feed.cancellation, lambda: 60.0)
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
