"""Connections that break, and calls that end in the midst: nobody else comes to harm."""

from __future__ import annotations

import json
import threading
import time
import uuid
from contextlib import suppress
from typing import Any

import pytest
from nspkit_etcd._leases import Held, Leases
from nspkit_etcd._waiter import Waiter

from nspkit import Cancellation
from nspkit.errors import TryAgainError
from nspkit.registry import EVERYTHING, Key, Mark
from nspkit.testing import LeakReport

PATIENCE = 30.0
ONE = Key(None, "", "one")

_EMPTY = b'HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n{"header": {}}'


def said(body: Any) -> bytes:
    """An answer with a message of JSON."""
    text = json.dumps(body).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(text), text)


# -- connections -----------------------------------------------------------------------------------


def test_after_one_has_broken_no_other_idle_one_is_tried(fake: Any, make_store: Any) -> None:
    """The server was restarted, perhaps, and each of them would break: that is not "away"."""
    server = fake(_EMPTY, _EMPTY, _EMPTY, _EMPTY, None, _EMPTY)
    store = make_store(endpoints=server.endpoint, timeout=PATIENCE)
    lanes = store._client._exchange._lanes
    found = [lanes.take(server.endpoint) for _ in range(4)]
    for lane in found:
        lane.post("/v3/kv/range", b"{}", "", float("inf"))
        lanes.give(lane)
    assert store.get(ONE) is None
    assert len(lanes._idle[server.endpoint]) == 1
    assert lanes._idle[server.endpoint][0] not in found


def test_a_header_that_drips_is_not_waited_for(fake: Any, make_store: Any) -> None:
    """Each byte comes in time, but not all of them."""
    server = fake(b"HTTP/1.1 200 OK\r\nX-Long: ", drips=b"x")
    store = make_store(endpoints=server.endpoint, timeout=0.3)
    errors: list[BaseException] = []

    def work() -> None:
        try:
            store.get(ONE)
        except TryAgainError as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(PATIENCE)
    ended = not thread.is_alive()
    server.close()
    thread.join(PATIENCE)
    assert ended
    assert "in time" in str(errors[0])


def test_who_asks_one_server_does_not_have_the_others_ask_it_first(
    fake: Any, make_store: Any
) -> None:
    """It may be the slow one, which a watch has to ask whether it is there."""
    first, second = fake(_EMPTY), fake(_EMPTY)
    store = make_store(endpoints=[first.endpoint, second.endpoint], timeout=PATIENCE)
    store._client.call("kv/range", {}, Waiter(), at=second.endpoint)
    store.get(ONE)
    assert (len(first.asked), len(second.asked)) == (1, 1)


# -- logging in ------------------------------------------------------------------------------------


def test_who_waits_for_another_to_log_in_can_be_cancelled(fake: Any, make_store: Any) -> None:
    """The other may have to wait for a frozen server."""
    server = fake(b"")
    store = make_store(endpoints=server.endpoint, timeout=3600, user="app", password="secret")
    cancellations = [Cancellation(), Cancellation()]

    def work(cancellation: Cancellation) -> None:
        with suppress(TryAgainError):
            store.get(ONE, cancellation)

    threads = [threading.Thread(target=work, args=(one,)) for one in cancellations]
    pause = threading.Event()
    threads[0].start()
    while not server.asked:
        pause.wait(0.01)
    threads[1].start()
    until = time.monotonic() + PATIENCE
    while not cancellations[1]._waiting and time.monotonic() < until:
        pause.wait(0.01)
    cancellations[1].cancel()
    threads[1].join(PATIENCE)
    ended = not threads[1].is_alive()
    cancellations[0].cancel()
    for thread in threads:
        thread.join(PATIENCE)
    assert ended
    assert len(server.asked) == 1


def test_an_interrupted_login_keeps_nobody_from_another(
    fake: Any, make_store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is the next one's turn."""
    server = fake(said({"token": "t.1"}), _EMPTY)
    store = make_store(endpoints=server.endpoint, timeout=PATIENCE, user="app", password="secret")

    def interrupt(*_arguments: Any) -> str:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(store._client._exchange, "_log_in", interrupt)
        store.get(ONE)
    assert store.get(ONE) is None


# -- what ends in the midst ------------------------------------------------------------------------


def test_an_interrupted_close_of_a_watch_leaves_nothing(
    store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No thread and no connection."""
    store.get(ONE)
    join = threading.Thread.join
    interrupts = iter([True])

    def interrupted(self: threading.Thread, timeout: float | None = None) -> None:
        if self.name.startswith("nspkit-etcd") and next(interrupts, False):
            raise KeyboardInterrupt
        join(self, timeout)

    waiters: list[Waiter] = []
    enter = Waiter.enter

    def note(self: Waiter, lane: Any) -> None:
        waiters.append(self)
        enter(self, lane)

    with LeakReport() as leaks:
        items = store.follow(EVERYTHING, Cancellation(), lambda: 0.0)
        with monkeypatch.context() as patch:
            patch.setattr(Waiter, "enter", note)
            assert [next(items) for _ in range(3)] == [Mark.BEGIN, Mark.LISTED, Mark.NOTHING]
            patch.setattr(threading.Thread, "join", interrupted)
            with pytest.raises(KeyboardInterrupt):
                items.close()
        assert all(waiter._lanes == [] for waiter in waiters)
        store.close()
    assert not leaks, str(leaks)


def test_a_put_whose_end_is_unknown_does_not_take_a_key_that_another_thread_has_put(
    store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It came last, on the lease that was taken for the older one: to revoke that removes both."""
    assert store.put(ONE, b"1", ttl=30)
    begun, go = threading.Event(), threading.Event()
    real = store._client.call

    def call(path: str, *more: Any, **options: Any) -> Any:
        if path != "kv/txn" or threading.current_thread() is not other:
            return real(path, *more, **options)
        begun.set()
        go.wait(PATIENCE)
        real(path, *more, **options)
        raise TryAgainError("the answer is lost")

    def work() -> None:
        with suppress(TryAgainError):
            store.put(ONE, b"2", ttl=30)

    monkeypatch.setattr(store._client, "call", call)
    other = threading.Thread(target=work)
    other.start()
    assert begun.wait(PATIENCE)
    assert store.put(ONE, b"3", ttl=30)
    go.set()
    other.join(PATIENCE)
    assert store.get(ONE).value == b"2"
    assert store.put(ONE, b"4", ttl=30)
    assert store.get(ONE).value == b"4"


def test_a_lease_in_doubt_is_left_to_end_by_itself() -> None:
    """Where another is newer; it is itself the newer one only if that is known."""
    leases = Leases()
    doubtful = Held(1, 30, b"", 5, float("inf"), doubtful=True)
    assert leases.keep(ONE, Held(2, 30, b"", 6, float("inf"))) == []
    assert leases.keep(ONE, doubtful) == []
    assert leases.take(ONE).lease == 2
    assert leases.keep(ONE, doubtful) == []
    assert leases.keep(ONE, Held(3, 30, b"", 4, float("inf"))) == [3]


@pytest.mark.parametrize(("created", "removed"), [(9, True), (3, False)])
def test_a_removal_in_doubt_tells_what_was_put_anew_from_what_was_replaced(
    fake: Any, make_store: Any, created: int, removed: bool
) -> None:
    """What has begun after the version that was to go is proof that this has gone."""
    there = {"mod_revision": "9", "create_revision": str(created)}
    found = {"header": {"revision": "12"}, "responses": [{"response_range": {"kvs": [there]}}]}
    server = fake(None, said(found))
    store = make_store(endpoints=server.endpoint, timeout=PATIENCE)
    assert store.remove(ONE, 7) is removed


@pytest.mark.parametrize(("created", "asked"), [(9, 4), (3, 5)])
def test_a_class_that_was_put_anew_after_its_removal_stays(
    fake: Any, make_store: Any, created: int, asked: int
) -> None:
    """Only the one that was to go is removed, though nobody said that it was."""

    def found(mod: int, create: int) -> bytes:
        record = {"key": "eA==", "mod_revision": str(mod), "create_revision": str(create)}
        return said({"header": {"revision": "12"}, "kvs": [record]})

    done = said({"header": {}, "succeeded": True})
    server = fake(found(3, 3), None, _EMPTY, found(9, created), done)
    store = make_store(endpoints=server.endpoint, timeout=PATIENCE)
    assert store.remove_class(uuid.UUID(int=1), lambda: None)
    assert len(server.asked) == asked
