"""The connection: what ZooKeeper says as errors of nspkit, and clients that have given up."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
import uuid
from typing import Any

import pytest
from kazoo import exceptions
from kazoo.handlers.threading import KazooTimeoutError
from kazoo.protocol.serialization import Exists
from nspkit_zookeeper._failures import translated
from nspkit_zookeeper._leases import Leases
from nspkit_zookeeper._nodes import Version

from nspkit import Cancellation
from nspkit.errors import NotInitialisedError, NotReadyError, NspError, TryAgainError
from nspkit.registry import Key

CLASS = uuid.UUID("6f1c9f0e-3c7a-4d4e-9a43-5c6f2f1f0a01")
WEB = Key(CLASS, "", "web")
PATIENCE = 30.0


def eventually(is_so: Any) -> None:
    """Wait until something is so."""
    until, pause = time.monotonic() + PATIENCE, threading.Event()
    while not is_so():
        assert time.monotonic() < until, "it has not become so"
        pause.wait(0.01)


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (KazooTimeoutError(), 11002, "it took too long"),
        (exceptions.ConnectionLoss(), 11002, "connection to the server has been lost"),
        (exceptions.SessionExpiredError(), 11002, "the session has been expired"),
        (exceptions.NoAuthError(), 10013, "not authenticated"),
        (exceptions.AuthFailedError(), 10013, "client authentication failed"),
        (exceptions.MarshallingError(), 10022, "cannot store"),
        (exceptions.QuotaExceededError(), 10055, "no room"),
        (exceptions.DataInconsistency(), 11003, "a data inconsistency was found"),
    ],
)
def test_each_error_has_a_code(error: Exception, code: int, said: str) -> None:
    """And says what is the matter, and where."""
    found = translated(error, "zookeeper at x:1")
    assert isinstance(found, NspError)
    assert found.code == code
    assert "zookeeper at x:1" in str(found)
    assert said in str(found)


def test_a_client_that_has_given_up_starts_again(store: Any) -> None:
    """A thread of kazoo ends when something goes wrong that it does not expect."""
    store.put(WEB, b"value", ttl=None)
    inner = store._connection.client._connection
    read = inner._read_socket

    def fail(timeout: float) -> Any:
        inner._read_socket = read
        raise RuntimeError("nobody expects that")

    inner._read_socket = fail
    with contextlib.suppress(NspError):  # or it is back at once
        store._connection.ask(lambda: store._connection.client.get_async("/"))
    assert inner._read_socket is read, "the thread has failed"
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(store.get(WEB).value)) for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert found == [b"value"] * 6


def test_a_server_that_is_no_zookeeper(stores: Any) -> None:
    """It is said at the start, and nothing is left."""
    before = set(threading.enumerate())
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            while True:
                try:
                    one, _ = listening.accept()
                except OSError:
                    return
                with one:
                    one.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        port = listening.getsockname()[1]
        with pytest.raises(NotReadyError, match="cannot be reached"):
            stores(endpoints=f"127.0.0.1:{port}", timeout=0.5)
        listening.shutdown(socket.SHUT_RDWR)
    thread.join()
    assert set(threading.enumerate()) == before


def test_a_closed_store_says_so(store: Any) -> None:
    """At once; and closing it again does nothing."""
    store.close_all()
    with pytest.raises(NotInitialisedError, match="closed"):
        store.get(WEB)
    store.close()


def test_who_waits_for_a_connection_can_be_cancelled(store: Any, stores: Any, server: Any) -> None:
    """At once."""
    away = stores(endpoints=server.address, session_timeout=2.0)
    server.stop()
    eventually(lambda: not away._connection.client.connected)
    cancellation = Cancellation()
    timer = threading.Timer(0.05, cancellation.cancel)
    timer.start()
    with pytest.raises(TryAgainError, match="nobody waits"):
        away.get(WEB, cancellation)
    timer.join()


def test_asking_never_blocks(stores: Any, server: Any) -> None:
    """However many requests kazoo keeps for a server that is away."""
    store = stores(endpoints=server.address, session_timeout=30.0)
    server.stop()  # it gives the session its time anew when it is back
    eventually(lambda: not store._connection.client.connected)
    kept = [store._connection.client.exists_async("/") for _ in range(3000)]
    server.start()
    assert [one.get(timeout=PATIENCE) is not None for one in kept] == [True] * 3000
    assert store.get(WEB) is None


def test_a_request_that_nobody_was_told_of_delays_no_other(store: Any) -> None:
    """Ctrl-C came when it was among the requests, and the connection's thread was not yet woken."""
    client = store._connection.client
    pending = client.handler.async_result()
    client._queue.append((Exists("/", None), pending))
    assert store.get(WEB) is None
    assert pending.get(timeout=PATIENCE) is not None


def test_a_read_that_broke_off_is_made_again(store: Any) -> None:
    """When there is a connection again."""
    store.put(WEB, b"value", ttl=None)
    client, broken = store._connection.client, []

    def get() -> Any:
        if not broken:
            broken.append(client.handler.async_result())
            broken[0].set_exception(exceptions.ConnectionLoss())
            return broken[0]
        return client.get_async(store._nodes.leaf(WEB))

    data, _stat = store._connection.ask(get)
    assert data.endswith(b"value")


class Removals:
    """What is asked to remove nodes, with answers that a test gives."""

    def __init__(self, handler: Any) -> None:
        self.handler = handler
        self.asked: list[Any] = []

    def __call__(self, key: Key, version: Version) -> Any:
        """Be asked to remove one."""
        self.asked.append(self.handler.async_result())
        return self.asked[-1]


def test_a_removal_that_broke_off_is_made_again(store: Any) -> None:
    """Until it is answered, whatever the answer."""
    removals = Removals(store._connection.client.handler)
    leases = Leases(lambda: True, removals)
    leases.settle(WEB, Version("x", 0), 0.0)
    leases._sweep()
    leases._sweep()
    assert len(removals.asked) == 1
    removals.asked[0].set_exception(exceptions.ConnectionLoss())
    leases._sweep()
    leases._sweep()
    assert len(removals.asked) == 2
    removals.asked[1].set_exception(exceptions.NoNodeError())
    leases._sweep()
    assert len(removals.asked) == 2
    assert leases._leases == {}


def test_what_is_looked_for_does_not_end_meanwhile() -> None:
    """Who renews a lease that is over finds what is there, or nothing."""
    leases = Leases(lambda: True, lambda _key, _version: pytest.fail("it was ended"))
    leases.settle(WEB, Version("x", 0), 0.0)
    assert leases.touch(WEB, PATIENCE) is True
    leases._sweep()
    assert leases.touch(WEB, PATIENCE) is False


def test_no_lease_ends_while_nobody_can_be_asked() -> None:
    """It would be lost, and the node would stay."""
    leases = Leases(lambda: False, lambda _key, _version: pytest.fail("it was asked"))
    leases.settle(WEB, Version("x", 0), 0.0)
    leases._sweep()
    assert WEB in leases._leases


def test_a_put_that_was_not_done_leaves_the_others() -> None:
    """Of several at the same time."""
    leases = Leases(lambda: True, lambda _key, _version: None)
    first, second = Version("x", 0), Version("x", 1)
    leases.settle(WEB, first, PATIENCE)
    leases.expect(WEB, second, PATIENCE)
    leases.discard(WEB, second)
    assert set(leases._leases[WEB]) == {first}
    leases.discard(WEB, first)
    leases.discard(WEB, first)
    assert leases._leases == {}
    assert leases.touch(WEB, PATIENCE) is None
