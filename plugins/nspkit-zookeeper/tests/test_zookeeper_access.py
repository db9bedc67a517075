"""TLS, users and passwords: who may, who may not, and what is never shown."""

from __future__ import annotations

import contextlib
import logging
import subprocess
import traceback
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nspkit.errors import AccessDeniedError, NotReadyError
from nspkit.registry import EVERYTHING, Key, Scope

CLASS = uuid.UUID("6f1c9f0e-3c7a-4d4e-9a43-5c6f2f1f0a01")
WEB = Key(CLASS, "", "web")
PATIENCE = 30.0
PASSWORD = "sesame-Ü"
ALICE = {"user": "alice", "password": PASSWORD}
TLS_PORT = """\
ssl.keyStore.location={both}
ssl.trustStore.location={cert}
ssl.clientAuth={auth}
serverCnxnFactory=org.apache.zookeeper.server.NettyServerCnxnFactory
secureClientPort={port}
secureClientPortAddress=127.0.0.1
"""


@pytest.fixture(scope="module")
def certificate(program: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a certificate for localhost that signs itself, and its key."""
    folder: Path = tmp_path_factory.mktemp("certificate")
    command = [
        program("openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem",
        "-out", "cert.pem", "-days", "3", "-subj", "/CN=localhost",
        "-addext", "subjectAltName=DNS:localhost",
    ]  # fmt: skip
    subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=PATIENCE)
    texts = [(folder / name).read_text() for name in ("key.pem", "cert.pem")]
    (folder / "both.pem").write_text("".join(texts))
    return folder


def tls_server(auth: str, certificate: Path, program: Any, tools: Any, folder: Path) -> Any:
    """A server with TLS, and its endpoint."""
    port = tools.free_port()
    files = {name: certificate / f"{name}.pem" for name in ("both", "cert")}
    more = TLS_PORT.format(port=port, auth=auth, **files)
    server = tools.Server(program, folder, more, more_jars=tools.NETTY)
    server.endpoint = f"localhost:{port}"
    return server


@pytest.fixture(scope="module")
def secure(
    certificate: Path, program: Any, tools: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The endpoint of a server with TLS."""
    folder = tmp_path_factory.mktemp("secure")
    with tls_server("none", certificate, program, tools, folder) as server:
        yield server.endpoint


def test_a_session_over_tls(secure: str, certificate: Path, stores: Any) -> None:
    """Also with more in one answer than TLS has in one record."""
    store = stores(endpoints=secure, ca_file=certificate / "cert.pem")
    for number in range(3):
        store.put(Key(CLASS, "", f"n{number}"), b"x" * 500_000, ttl=30.0)
    assert [len(entry.value) for entry in store.entries(EVERYTHING)] == [500_000] * 3


def test_a_server_that_nobody_has_signed_is_not_trusted(secure: str, stores: Any) -> None:
    """The reason is in the message."""
    with pytest.raises(NotReadyError, match="certificate verify failed"):
        stores(endpoints=secure, tls=True, timeout=2.0)


def test_a_server_of_another_name_is_not_trusted(
    secure: str, certificate: Path, stores: Any
) -> None:
    """The certificate is for localhost, not for its address."""
    there = secure.replace("localhost", "127.0.0.1")
    with pytest.raises(NotReadyError, match="reached"):
        stores(endpoints=there, ca_file=certificate / "cert.pem", timeout=2.0)


def test_a_client_shows_its_own_certificate(
    certificate: Path, program: Any, tools: Any, tmp_path: Path, stores: Any
) -> None:
    """Where the server wants to see one; without, it is refused."""
    trust = {"ca_file": certificate / "cert.pem"}
    files = {"cert_file": certificate / "cert.pem", "key_file": certificate / "key.pem"}
    with tls_server("need", certificate, program, tools, tmp_path) as server:
        store = stores(endpoints=server.endpoint, **trust, **files)
        assert store.put(WEB, b"value", ttl=None)
        with pytest.raises(NotReadyError):
            stores(endpoints=server.endpoint, **trust, timeout=2.0)
        store.close_all()


def test_files_for_tls_have_to_be_there(stores: Any, tmp_path: Path) -> None:
    """Before anybody is asked."""
    with pytest.raises(NotReadyError, match=r"missing\.pem"):
        stores(ca_file=tmp_path / "missing.pem")


def test_what_a_user_makes_is_that_users(
    stores: Any, store: Any, bare: Any, prefix: str, settings: dict[str, Any]
) -> None:
    """Others may neither read nor write nor remove it, nor put anything beside it."""
    alice = stores(**ALICE, prefix=f"{prefix}/a")
    stranger, eve = stores(prefix=f"{prefix}/a"), stores(user="eve", prefix=f"{prefix}/a")
    assert alice.put(WEB, b"value", ttl=None)
    assert alice.put_class(CLASS, b"schema")
    for other in (stranger, eve):
        for call in (
            lambda other=other: other.get(WEB),
            lambda other=other: list(other.entries(EVERYTHING)),
            lambda other=other: list(other.entries(Scope(None, "web"))),
            lambda other=other: other.put(WEB, b"other", ttl=None),
            lambda other=other: other.put(Key(None, "", "other"), b"", ttl=None, expected=None),
            lambda other=other: other.remove(WEB, alice.get(WEB).version),
            lambda other=other: other.get_class(CLASS),
            lambda other=other: other.put_class(uuid.uuid4(), b""),
            lambda other=other: (
                next(other.follow(EVERYTHING, _cancellation(), lambda: 1.0), None)
                and list(other.follow(EVERYTHING, _cancellation(), lambda: 1.0))
            ),
        ):
            with pytest.raises(AccessDeniedError, match="refuses"):
                call()
    assert alice.get(WEB).value == b"value"
    [acl] = alice._connection.client.get_acls(f"/{prefix}/a/1/service/{WEB.path()}")[0]
    assert (acl.id.scheme, acl.id.id.partition(":")[0], acl.perms) == ("digest", "alice", 31)


def _cancellation() -> Any:
    from nspkit import Cancellation

    return Cancellation()


def test_the_same_user_may_elsewhere(stores: Any) -> None:
    """The password makes it the same."""
    assert stores(**ALICE).put(WEB, b"value", ttl=None)
    assert stores(**ALICE).get(WEB).value == b"value"
    with pytest.raises(AccessDeniedError):
        stores(user="alice", password="wrong").get(WEB)


def test_below_a_prefix_that_others_own(bare: Any, stores: Any, prefix: str) -> None:
    """Who may write there need not be allowed to write above it."""
    from kazoo.security import make_digest_acl

    bare.ensure_path(f"/{prefix}")
    bare.set_acls(f"/{prefix}", [make_digest_acl("alice", PASSWORD, all=True)])
    assert stores(**ALICE).put(WEB, b"value", ttl=None)
    with pytest.raises(AccessDeniedError):
        stores(user="eve", password="x").put(WEB, b"value", ttl=None)


def test_a_user_whom_the_server_does_not_take(servers: Any, stores: Any) -> None:
    """It says so at the start, and later too."""
    server = servers(flags="-Dzookeeper.DigestAuthenticationProvider.enabled=false")
    with pytest.raises(AccessDeniedError):
        stores(**ALICE, endpoints=server.address)
    store = stores(endpoints=server.address)
    connection = store._connection
    connection.client.auth_data.add(("digest", "alice:x"))
    connection.client._connection._socket.shutdown(2)
    with pytest.raises(AccessDeniedError):
        for _ in range(100):
            store.get(WEB)
    connection.client.auth_data.clear()
    with contextlib.suppress(AccessDeniedError):
        store.get(WEB)
    assert store.get(WEB) is None


def test_a_password_is_never_shown(
    stores: Any, settings: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    """Neither in errors nor in what kazoo logs, whatever the level."""
    caplog.set_level(logging.DEBUG - 5)
    store = stores(**ALICE)
    store.put(WEB, b"value", ttl=None)
    shown = [repr(vars(store)), repr(vars(store._connection)), store.location]
    try:
        stores(user="eve", password=PASSWORD).get(WEB)
    except AccessDeniedError as error:
        shown += traceback.format_exception(error)
    assert any("Auth(" in record.getMessage() for record in caplog.records)
    assert PASSWORD not in caplog.text + "".join(shown)
    assert PASSWORD not in repr(store._connection.client.auth_data)
