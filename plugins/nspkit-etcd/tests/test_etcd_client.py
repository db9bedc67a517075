"""The client: settings, starts, and servers that are none, or say what they should not."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from nspkit_etcd import EtcdProvider
from nspkit_etcd._lanes import _IDLE, Lanes
from nspkit_etcd._waiter import Waiter

import nspkit
from nspkit import Cancellation, Resources
from nspkit.errors import (
    InvalidArgumentError,
    NotInitialisedError,
    NotReadyError,
    NspError,
    ProviderError,
    TryAgainError,
)
from nspkit.registry import EVERYTHING, Key
from nspkit.testing import LeakReport

PATIENCE = 30.0


def http(body: bytes, status: str = "200 OK") -> bytes:
    """An answer of HTTP."""
    return b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status.encode(), len(body), body)


ONE = Key(None, "", "one")

# -- settings and start ----------------------------------------------------------------------------


def start(settings: dict[str, Any]) -> None:
    """Start the provider without a host, and release what it has."""
    with Resources() as resources:
        EtcdProvider().nsp_startup(settings, resources)


def test_without_endpoints_it_is_not_ready() -> None:
    """At once; nobody is asked."""
    with pytest.raises(NotReadyError, match="'endpoints'"):
        start({})


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        ({"endpoint": "127.0.0.1"}, "'endpoint'"),
        ({"timeout": 0}, "'timeout'"),
        ({"prefix": ""}, "'prefix'"),
        ({"endpoints": "http://127.0.0.1:2379"}, "'endpoints'"),
        ({"endpoints": "\N{SNOWMAN}.test"}, "'endpoints'"),
        ({"user": "app"}, "'user' and 'password'"),
        ({"password": "secret"}, "'user' and 'password'"),
    ],
)
def test_a_setting_that_is_wrong_is_refused_before_anybody_is_asked(
    wrong: dict[str, Any], word: str
) -> None:
    """With its name."""
    with pytest.raises(InvalidArgumentError, match=word):
        start({"endpoints": "192.0.2.1"} | wrong)


def test_a_certificate_that_is_missing_is_told(tmp_path: Any) -> None:
    """Before anybody is asked."""
    with pytest.raises(NotReadyError, match="missing"):
        start({"endpoints": "192.0.2.1", "ca_file": tmp_path / "missing.pem"})


def test_a_name_that_nobody_can_have_is_told() -> None:
    """As a server that is not there; it is too long for a label."""
    with pytest.raises(NotReadyError, match="does not answer"):
        start({"endpoints": "a" * 70})


def test_importing_it_imports_little(fresh: Callable[[str], str]) -> None:
    """Nor does making an instance; a start that lacks settings neither."""
    code = """
import sys, nspkit_etcd
provider = nspkit_etcd.EtcdProvider()
try:
    provider.nsp_startup({}, None)
except OSError as error:
    print(type(error).__name__)
print(sorted({"httpx", "httpcore", "ssl"} & set(sys.modules)))
"""
    assert fresh(code).split("\n")[:2] == ["NotReadyError", "[]"]


@pytest.fixture
def fresh() -> Callable[[str], str]:
    """A function that runs code in an interpreter of its own, and returns what it printed."""
    import os
    import subprocess
    import sys

    def run(code: str) -> str:
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False,
            env=environment,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


# -- servers that are no etcd ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "said",
    [
        http(b"<html>Welcome</html>"),
        http(b"[]"),
        http(b"{"),
        http(b"null"),
        http(b'{"error": 5}'),
        http(b'{"error": {"grpc_code": "many"}}'),
        http(b"Not Found", "404 Not Found"),
        http(b"Client sent an HTTP request to an HTTPS server.", "400 Bad Request"),
        http(b'{"code": null, "message": null}', "500 Oh"),
    ],
)
def test_what_does_not_answer_as_etcd_is_told(fake: Any, make_store: Any, said: bytes) -> None:
    """It is of no use to ask it again; at the start it is not ready."""
    server = fake(said)
    store = make_store(endpoints=server.endpoint)
    with pytest.raises(ProviderError, match="JSON gateway"):
        store.get(ONE)
    assert len(server.asked) == 1
    with pytest.raises(NotReadyError, match="JSON gateway"):
        store.check()


@pytest.mark.parametrize("said", [None, b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 200 OK\r\n"])
def test_what_speaks_no_http_counts_as_away(fake: Any, make_store: Any, said: bytes | None) -> None:
    """So does what closes the connection."""
    store = make_store(endpoints=fake(said).endpoint, timeout=0.5)
    with pytest.raises(TryAgainError, match="answer"):
        store.get(ONE)


def test_what_passes_is_asked_again(fake: Any, make_store: Any) -> None:
    """A server without a leader, one that is ending, a gateway with nobody behind it."""
    server = fake(
        http(b'{"code": 14, "message": "etcdserver: no leader"}', "503 Service Unavailable"),
        None,
        http(b"Bad Gateway", "502 Bad Gateway"),
        http(b'{"code": 8, "message": "etcdserver: too many requests"}', "429 Too Many"),
        http(b'{"header": {"revision": "7"}}'),
    )
    store = make_store(endpoints=server.endpoint, timeout=PATIENCE)
    assert store.get(ONE) is None
    assert len(server.asked) == 5


def test_what_passes_is_asked_for_so_long_only(fake: Any, make_store: Any) -> None:
    """Then the caller is told what it says."""
    server = fake(http(b'{"code": 14, "message": "etcdserver: no leader"}', "503 Oh"))
    store = make_store(endpoints=server.endpoint, timeout=1)
    with pytest.raises(TryAgainError, match="no leader"):
        store.get(ONE)
    assert len(server.asked) > 1


def test_an_answer_that_drips_is_not_waited_for(fake: Any, make_store: Any) -> None:
    """Each byte comes in time, but not all of them."""
    server = fake(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n{", drips=b" ")
    store = make_store(endpoints=server.endpoint, timeout=0.3)
    began = time.monotonic()
    with pytest.raises(TryAgainError, match="in time"):
        store.get(ONE)
    assert time.monotonic() - began < PATIENCE  # all of it would take a quarter of an hour


def test_a_server_is_spoken_to_by_ip_version_6(fake: Any, make_store: Any) -> None:
    """Its address has brackets."""
    server = fake(http(b'{"header": {}}'), family=socket.AF_INET6)
    assert make_store(endpoints=server.endpoint, timeout=PATIENCE).get(ONE) is None


# -- the end ---------------------------------------------------------------------------------------


def test_a_closed_store_answers_so(store: Any) -> None:
    """Also to who lists and follows."""
    store.put(ONE, b"1", ttl=None)
    store.close()
    for call in (
        lambda: store.get(ONE),
        lambda: store.put(ONE, b"1", ttl=30),
        lambda: list(store.entries(EVERYTHING)),
        lambda: list(store.follow(EVERYTHING, Cancellation(), lambda: 0.0)),
    ):
        with pytest.raises(NotInitialisedError):
            call()
    store.close()


def test_a_connection_that_comes_back_late_is_closed(etcd: Any) -> None:
    """It was in use when all others were closed."""
    lanes = Lanes((etcd.endpoint,), None)
    with LeakReport() as leaks:
        lane = lanes.take(etcd.endpoint)
        lane.post("/v3/kv/range", b'{"key": "eA=="}', "", time.monotonic() + PATIENCE)
        lanes.close()
        lanes.give(lane)
    assert not leaks, str(leaks)


def test_a_connection_of_one_who_has_gone_is_cut(etcd: Any) -> None:
    """Also where he went a moment before it was made."""
    lanes = Lanes((etcd.endpoint,), None)
    cancellation = Cancellation()
    waiter = Waiter(cancellation)
    lane = lanes.take(etcd.endpoint)
    cancellation.cancel()
    waiter.enter(lane)
    with pytest.raises(httpx.TransportError):
        lane.post("/v3/kv/range", b'{"key": "eA=="}', "", time.monotonic() + PATIENCE)
    assert not waiter.leave(lane), "it may not be used again"
    lane.close()


def test_few_idle_connections_are_kept(etcd: Any) -> None:
    """However many there were at once."""
    lanes = Lanes((etcd.endpoint,), None)
    for lane in [lanes.take(etcd.endpoint) for _ in range(2 * _IDLE)]:
        lanes.give(lane)
    assert len(lanes._idle[etcd.endpoint]) == _IDLE
    lanes.close()


def test_a_full_server_says_so(servers: Any, make_store: Any) -> None:
    """Nothing was changed; what is there can be read."""
    [server] = servers("--quota-backend-bytes", "3000000")
    store = make_store(endpoints=server.endpoint, timeout=PATIENCE)
    store.put(ONE, b"1", ttl=None)
    with pytest.raises(NspError) as caught:
        for number in range(100):
            store.put(Key(None, "", f"n{number}"), bytes(300_000), ttl=None)
    assert caught.value.code == 10055
    assert "quota" in str(caught.value)
    assert store.get(ONE).value == b"1"


def test_a_host_passes_over_a_provider_without_settings() -> None:
    """A lookup over everything does not wait for a server that nobody named."""
    catalog = nspkit.Catalog()
    catalog.install(EtcdProvider)
    with nspkit.Host(catalog=catalog) as host:
        lookup = host.lookup("web")
        with pytest.raises(NspError):
            list(lookup)
        assert [error.code for error in lookup.errors] == [10091]
