"""The client: settings, starts, and servers that are none, or say what they should not."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from nspkit_etcd import EtcdProvider

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

PATIENCE = 30.0
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


class Fake:
    """A server that reads a request on each connection, and answers it with certain bytes."""

    def __init__(self, answers: list[bytes | None]) -> None:
        """Answer so, the last one for ever; None closes the connection, ``b""`` says nothing."""
        self.answers = answers
        self.asked: list[bytes] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._ends = threading.Event()
        self._threads = [threading.Thread(target=self._serve)]
        self._threads[0].start()

    @property
    def endpoint(self) -> str:
        """Where it is."""
        return f"127.0.0.1:{self._socket.getsockname()[1]}"

    def close(self) -> None:
        """End it."""
        self._ends.set()
        with suppress(OSError):
            socket.create_connection(self._socket.getsockname()).close()
        for thread in self._threads:
            thread.join(PATIENCE)
        self._socket.close()

    def _serve(self) -> None:
        while not self._ends.is_set():
            connection, _ = self._socket.accept()
            thread = threading.Thread(target=self._answer, args=(connection,))
            self._threads.append(thread)
            thread.start()

    def _answer(self, connection: socket.socket) -> None:
        connection.settimeout(0.05)
        with connection, suppress(ConnectionError):
            while (request := self._request(connection)) is not None:
                self.asked.append(request)
                answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
                if answer is None:
                    return
                connection.sendall(answer)

    def _request(self, connection: socket.socket) -> bytes | None:
        """All of a request, or None where there is none any more."""
        request = b""
        while not request.endswith(b"}"):  # all have a body of JSON, and it comes last
            try:
                part = connection.recv(65536)
            except TimeoutError:
                part = b"" if self._ends.is_set() else None
            if part == b"":
                return None
            request += part or b""
        return request


@pytest.fixture
def fake() -> Iterator[Callable[..., Fake]]:
    """A function that starts such a server."""
    servers: list[Fake] = []

    def begin(*answers: bytes | None) -> Fake:
        servers.append(Fake(list(answers)))
        return servers[-1]

    yield begin
    for server in servers:
        server.close()


def answer(body: bytes, status: str = "200 OK") -> bytes:
    """An answer of HTTP."""
    return b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status.encode(), len(body), body)


@pytest.mark.parametrize(
    "said",
    [
        answer(b"<html>Welcome</html>"),
        answer(b"[]"),
        answer(b"{"),
        answer(b"null"),
        answer(b'{"error": 5}'),
        answer(b'{"error": {"grpc_code": "many"}}'),
        answer(b"Not Found", "404 Not Found"),
        answer(b"Client sent an HTTP request to an HTTPS server.", "400 Bad Request"),
        answer(b'{"code": null, "message": null}', "500 Oh"),
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
        answer(b'{"code": 14, "message": "etcdserver: no leader"}', "503 Service Unavailable"),
        None,
        answer(b"Bad Gateway", "502 Bad Gateway"),
        answer(b'{"code": 8, "message": "etcdserver: too many requests"}', "429 Too Many"),
        answer(b'{"header": {"revision": "7"}}'),
    )
    store = make_store(endpoints=server.endpoint, timeout=PATIENCE)
    assert store.get(ONE) is None
    assert len(server.asked) == 5


def test_what_passes_is_asked_for_so_long_only(fake: Any, make_store: Any) -> None:
    """Then the caller is told what it says."""
    server = fake(answer(b'{"code": 14, "message": "etcdserver: no leader"}', "503 Oh"))
    store = make_store(endpoints=server.endpoint, timeout=0.2)
    with pytest.raises(TryAgainError, match="no leader"):
        store.get(ONE)
    assert len(server.asked) > 1


def test_an_answer_that_drips_is_not_waited_for(fake: Any, make_store: Any) -> None:
    """Each byte comes in time, but not all of them."""
    server = fake(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{")
    store = make_store(endpoints=server.endpoint, timeout=0.3)
    began = time.monotonic()
    with pytest.raises(TryAgainError, match="in time"):
        store.get(ONE)
    assert time.monotonic() - began < 3  # ten times the limit


def test_a_put_that_was_made_though_nobody_said_so_is_found_out(fake: Any, make_store: Any) -> None:
    """The second time nothing is as expected, but for what the first one has put."""
    server = fake(None, answer(b"unused"))
    marks: list[bytes] = []
    store = make_store(endpoints=server.endpoint, timeout=PATIENCE)
    real = store._client.call

    def call(path: str, body: Any, *more: Any, **options: Any) -> Any:
        mark = body["success"][1]["request_put"]["value"]
        marks.append(mark)
        there = b'{"mod_revision": "9", "value": "%s"}' % mark.encode()
        server.answers[-1] = answer(
            b'{"header": {"revision": "12"}, "responses": [{"response_range": {"kvs": [%s]}}]}'
            % there
        )
        return real(path, body, *more, **options)

    store._client.call = call
    assert store.put(ONE, b"1", ttl=None, expected=None)
    assert len(server.asked) == 2


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
