"""What may have been done though nobody said so: each request is sent again, and does no harm."""

from __future__ import annotations

import json
import threading
import uuid
from contextlib import closing
from typing import Any

import pytest
from nspkit_etcd._leases import Held, Leases

from nspkit import Cancellation
from nspkit.errors import AccessDeniedError, TryAgainError
from nspkit.registry import EVERYTHING, Key, Mark

PATIENCE = 30.0
ONE = Key(None, "", "one")
WEB = uuid.UUID("12345678-1234-5678-1234-567812345678")


def said(body: Any, status: str = "200 OK") -> bytes:
    """An answer with a message of JSON."""
    text = json.dumps(body).encode()
    return b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status.encode(), len(text), text)


def refused(code: int, message: str, status: str = "400 Bad Request") -> bytes:
    """An answer that something is refused."""
    return said({"code": code, "message": message}, status)


def read(**record: str) -> dict[str, Any]:
    """What a transaction says that was not as expected, and has read this instead."""
    kvs = [record] if record else []
    return {"header": {"revision": "12"}, "responses": [{"response_range": {"kvs": kvs}}]}


LOST = None
"""The server takes the request, and closes the connection without a word."""

DONE = {"header": {"revision": "12"}, "succeeded": True}


@pytest.fixture
def at(fake: Any, make_store: Any) -> Any:
    """A function that makes a server which answers so, and a store there."""

    def make(*answers: bytes | None, **settings: Any) -> tuple[Any, Any]:
        server = fake(*answers)
        return make_store(endpoints=server.endpoint, timeout=PATIENCE, **settings), server

    return make


def test_a_put_that_was_made_though_nobody_said_so_is_found_out(at: Any) -> None:
    """The second time nothing is as expected, but for the mark that the first one has left."""
    store, server = at(LOST, b"")
    real = store._client.call

    def call(path: str, body: Any, *more: Any, **options: Any) -> Any:
        mark = body["success"][1]["request_put"]["value"]
        server.answers[-1] = said(read(mod_revision="9", value=mark))
        return real(path, body, *more, **options)

    store._client.call = call
    assert store.put(ONE, b"1", ttl=None, expected=None)
    assert len(server.asked) == 2


@pytest.mark.parametrize("there", [{}, {"mod_revision": "9", "value": "b3RoZXI="}])
def test_what_another_has_put_meanwhile_is_not_taken_for_ones_own(at: Any, there: Any) -> None:
    """It has another mark."""
    store, server = at(LOST, said(read(**there)))
    assert not store.put(ONE, b"1", ttl=None, expected=None)
    assert len(server.asked) == 2


def test_without_doubt_a_mark_does_not_count(at: Any) -> None:
    """Only an attempt that may have been carried out can have left it."""
    store, server = at(b"")
    real = store._client.call

    def call(path: str, body: Any, *more: Any, **options: Any) -> Any:
        mark = body["success"][1]["request_put"]["value"]
        server.answers[-1] = said(read(mod_revision="9", value=mark))
        return real(path, body, *more, **options)

    store._client.call = call
    assert not store.put(ONE, b"1", ttl=None, expected=None)


def test_a_lease_that_was_made_though_nobody_said_so_is_used(at: Any) -> None:
    """Its number was chosen before."""
    there = refused(9, "etcdserver: lease already exists", "412 Precondition Failed")
    alive = said({"result": {"TTL": "30"}})
    store, server = at(LOST, there, alive, said(DONE))
    assert store.put(ONE, b"1", ttl=30)
    numbers = [json.loads(request.partition(b"\r\n\r\n")[2]) for request in server.asked]
    [lease] = {body["ID"] for body in numbers[:3]}
    assert {put["request_put"]["lease"] for put in numbers[3]["success"]} == {lease}


def test_a_number_that_is_somebody_elses_is_not_used(at: Any) -> None:
    """It is that of a lease which is over, or another is chosen anyway."""
    there = refused(9, "etcdserver: lease already exists", "412 Precondition Failed")
    store, server = at(there, said({"result": {"ID": "1"}}), said({"ID": "2"}), said(DONE))
    assert store.put(ONE, b"1", ttl=30)
    assert len(server.asked) == 4


def test_a_removal_that_was_made_though_nobody_said_so_is_one(at: Any) -> None:
    """It is gone."""
    store, _server = at(LOST, said(read()))
    assert store.remove(ONE, 7)


def test_a_removal_that_was_not_made_is_none(at: Any) -> None:
    """Somebody has put another in between, or had removed it before."""
    store, _server = at(LOST, said(read(mod_revision="9")))
    assert not store.remove(ONE, 7)
    store, _server = at(said(read()))
    assert not store.remove(ONE, 7)


def test_a_class_that_was_put_though_nobody_said_so_is_ones_own(at: Any) -> None:
    """Where it says the same."""
    store, _server = at(LOST, said(read(value="c2NoZW1h")))
    assert store.put_class(WEB, b"schema")
    store, _server = at(LOST, said(read(value="b3RoZXI=")))
    assert not store.put_class(WEB, b"schema")


def test_a_class_that_was_removed_though_nobody_said_so_is_gone(at: Any) -> None:
    """The second look finds none."""
    there = {"key": "eA==", "mod_revision": "3"}
    found = {"header": {"revision": "5"}, "kvs": [there]}
    store, _server = at(said(found), LOST, said({"header": {}}), said({"header": {}}))
    assert store.remove_class(WEB, lambda: None)


# -- watches that do not begin, or end -------------------------------------------------------------

_USER = {"user": "app", "password": "secret"}

_LISTED = said({"header": {"revision": "5"}})


def test_a_watch_that_the_server_ends_is_begun_anew_with_a_new_token(at: Any) -> None:
    """By who follows; what may be listed may be watched, so the token must have been forgotten."""
    over = said({"result": {"canceled": True, "cancel_reason": "permission denied"}})
    token = said({"token": "t.1"})
    store, server = at(token, _LISTED, over, token, _LISTED, **_USER)
    items = store.follow(EVERYTHING, Cancellation(), lambda: 60.0)
    assert [next(items), next(items)] == [Mark.BEGIN, Mark.LISTED]
    with pytest.raises(TryAgainError, match="permission denied"):
        next(items)
    with closing(store.follow(EVERYTHING, Cancellation(), lambda: 60.0)) as items:
        assert [next(items), next(items)] == [Mark.BEGIN, Mark.LISTED]
    assert sum(b"auth/authenticate" in request for request in server.asked) == 2


def test_a_watch_that_is_cancelled_at_its_creation_for_compaction_lists_again(at: Any) -> None:
    """Some servers say so only in words."""
    reason = "etcdserver: mvcc: required revision has been compacted"
    gone = {"created": True, "canceled": True, "cancel_reason": reason}
    store, _server = at(_LISTED, said({"result": gone}), _LISTED, b"")
    with closing(store.follow(EVERYTHING, Cancellation(), lambda: 60.0)) as items:
        assert [next(items) for _ in range(4)] == [Mark.BEGIN, Mark.LISTED] * 2


def test_a_watch_waits_for_a_leader(at: Any) -> None:
    """As any request."""
    leaderless = refused(14, "etcdserver: no leader", "503 Service Unavailable")
    created = said({"result": {"created": True, "header": {"revision": "5"}}})
    store, server = at(_LISTED, leaderless, created)
    items = store.follow(EVERYTHING, Cancellation(), lambda: 60.0)
    assert [next(items), next(items)] == [Mark.BEGIN, Mark.LISTED]
    with pytest.raises(TryAgainError, match="ended"):
        next(items)
    assert len(server.asked) == 3


def test_a_watch_that_tells_of_an_error_ends_with_it(at: Any) -> None:
    """In the form that errors in the midst of an answer have."""
    error = {"grpc_code": 14, "http_code": 503, "message": "etcdserver: no leader"}
    store, _server = at(_LISTED, said({"error": error}) + b"\n")
    items = store.follow(EVERYTHING, Cancellation(), lambda: 60.0)
    assert [next(items), next(items)] == [Mark.BEGIN, Mark.LISTED]
    with pytest.raises(TryAgainError):
        next(items)


# -- logging in ------------------------------------------------------------------------------------


def test_who_logs_in_waits_for_a_leader(at: Any) -> None:
    """It is a request as any other."""
    leaderless = refused(14, "etcdserver: no leader", "503 Service Unavailable")
    store, server = at(leaderless, said({"token": "t.1"}), said({"header": {}}), **_USER)
    assert store.get(ONE) is None
    assert b"authorization: t.1" in server.asked[-1]


def test_a_token_that_is_refused_twice_is_an_error(at: Any) -> None:
    """A new one is asked for once only."""
    unknown = refused(16, "etcdserver: invalid auth token", "401 Unauthorized")
    tokens = [said({"token": "t.1"}), unknown, said({"token": "t.2"}), unknown]
    store, server = at(*tokens, **_USER)
    with pytest.raises(AccessDeniedError):
        store.get(ONE)
    assert len(server.asked) == 4


def test_one_logs_in_for_all(at: Any) -> None:
    """It costs the server a tenth of a second of its processor."""
    store, server = at(said({"token": "t.1"}), said({"header": {}}), **_USER)
    begun = threading.Barrier(8)

    def work() -> None:
        begun.wait(PATIENCE)
        store.get(ONE)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert sum(b"auth/authenticate" in request for request in server.asked) == 1


# -- leases of one key that several threads put ----------------------------------------------------


def held(lease: int, revision: int) -> Held:
    """A lease that the key has had since a revision."""
    return Held(lease, 30, b"", revision, float("inf"))


def test_of_two_leases_the_later_one_is_kept() -> None:
    """The other one has lost the key, whoever comes first."""
    leases = Leases()
    assert leases.keep(ONE, held(1, 5)) == []
    assert leases.keep(ONE, held(2, 4)) == [2]
    assert leases.keep(ONE, held(3, 6)) == [1]
    assert leases.keep(ONE, held(3, 7)) == []
    assert leases.take(ONE) == held(3, 7)
    assert leases.take(ONE) is None


def test_what_another_thread_puts_there_meanwhile_is_looked_at_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Between two steps."""
    leases = Leases()

    class Table(dict[Key, Held]):
        def setdefault(self, key: Key, value: Any = None) -> Any:
            if value.lease == 1 and not self:
                self[key] = held(2, 9)
            return super().setdefault(key, value)

    leases._held = Table()
    assert leases.keep(ONE, held(1, 5)) == [1]
    assert leases.take(ONE) == held(2, 9)


def test_many_threads_put_one_key_and_it_stays(store: Any, etcd: Any) -> None:
    """None of them revokes the lease that it has in the end, and all others are revoked."""
    begun = threading.Barrier(8)
    before = set(etcd.ctl("lease", "list").split())
    errors: list[BaseException] = []

    def work(number: int) -> None:
        begun.wait(PATIENCE)
        try:
            for count in range(15):
                store.put(ONE, b"%d-%d" % (number, count), ttl=30 + (count + number) % 3)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(2 * PATIENCE)
    assert errors == []
    assert store.get(ONE) is not None
    left = set(etcd.ctl("lease", "list").split()) - before - {"found", "leases"}
    assert len([one for one in left if len(one) > 10]) == 1
