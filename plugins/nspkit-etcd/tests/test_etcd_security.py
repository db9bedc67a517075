"""TLS with an authority of one's own, users and passwords, and what they may not do."""

from __future__ import annotations

import subprocess
import traceback
from pathlib import Path
from typing import Any

import pytest

from nspkit import Service, ServiceOperation
from nspkit.errors import AccessDeniedError, NotReadyError, NspError
from nspkit.registry import EVERYTHING, Key

PATIENCE = 30.0
ONE = Key(None, "", "one")
PASSWORD = "a-word-that-nobody-sees"

# -- TLS -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def papers(program: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an authority, a server's certificate, a client's, and a stranger."""
    folder = tmp_path_factory.mktemp("papers")
    openssl = program("openssl")
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]

    def run(*arguments: str) -> None:
        subprocess.run(
            [openssl, *arguments], cwd=folder, check=True, capture_output=True, timeout=PATIENCE
        )

    for name in ("ca", "stranger"):
        run("req", "-x509", *key, "-keyout", f"{name}.key", "-out", f"{name}.pem", "-days", "3",
            "-subj", f"/CN={name}", "-addext", "keyUsage=critical,keyCertSign")  # fmt: skip
    for name, san in (("server", "IP:127.0.0.1"), ("client", "DNS:client.test")):
        # What Python 3.13 asks for, and openssl does not add by itself.
        (folder / f"{name}.ext").write_text(
            f"subjectAltName={san}\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n"
        )
        run("req", *key, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        run("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key",
            "-CAcreateserial", "-out", f"{name}.pem", "-days", "3",
            "-extfile", f"{name}.ext")  # fmt: skip
    return folder


@pytest.fixture
def secure(servers: Any, papers: Path) -> Any:
    """A server that speaks TLS only, and wants a certificate of its clients."""
    [server] = servers(
        "--cert-file", f"{papers}/server.pem", "--key-file", f"{papers}/server.key",
        "--trusted-ca-file", f"{papers}/ca.pem", "--client-cert-auth",
        options=(
            "--cacert", f"{papers}/ca.pem", "--cert", f"{papers}/client.pem",
            "--key", f"{papers}/client.key",
        ),
    )  # fmt: skip
    return server


def test_tls_with_an_authority_of_ones_own(secure: Any, papers: Path, make_host: Any) -> None:
    """Registrations, lookups and watches; who is not who he says is not spoken to."""
    own = {"cert_file": papers / "client.pem", "key_file": papers / "client.key"}
    right = {"endpoints": secure.endpoint, "timeout": PATIENCE, "ca_file": papers / "ca.pem", **own}
    session = make_host(**right).startup("etcd")
    with session.watch() as watch:
        session.set_service(Service("one"), ServiceOperation.REGISTER)
        assert next(watch).service.name == "one"
    assert [service.name for service in session.lookup("one")] == ["one"]
    for wrong, why in (
        ({"ca_file": papers / "stranger.pem"}, "certificate verify failed"),
        ({"endpoints": f"localhost:{secure.port}"}, "certificate verify failed"),
        ({"cert_file": None, "key_file": None}, "etcd at"),
        (dict.fromkeys(("ca_file", "cert_file", "key_file")), "etcd at"),
    ):
        with pytest.raises(NotReadyError, match=why):
            make_host(**right | wrong).startup("etcd")


def test_a_cancelled_watch_over_tls_ends_at_once(secure: Any, papers: Path, make_host: Any) -> None:
    """Its connection is shut down below TLS, which nobody is waited for."""
    files = {"ca_file": papers / "ca.pem", "cert_file": papers / "client.pem"}
    host = make_host(
        endpoints=secure.endpoint, key_file=papers / "client.key", timeout=PATIENCE, **files
    )
    watch = host.startup("etcd").watch()
    host.startup("etcd").set_service(Service("one"), ServiceOperation.REGISTER)
    assert next(watch).service.name == "one"
    secure.freeze()
    watch.close()
    host.close()
    secure.thaw()


# -- users -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def guarded(module_servers: Any) -> Any:
    """A server where ``app`` may do everything below ``nspkit/``, and nothing else."""
    [server] = module_servers()
    for arguments in (
        ("user", "add", f"root:{PASSWORD}"),
        ("user", "grant-role", "root", "root"),
        ("role", "add", "registry"),
        ("role", "grant-permission", "registry", "readwrite", "--prefix=true", "nspkit/"),
        ("user", "add", f"app:{PASSWORD}"),
        ("user", "grant-role", "app", "registry"),
        ("auth", "enable"),
    ):
        server.ctl(*arguments)
    return server


@pytest.fixture
def app(guarded: Any) -> dict[str, Any]:
    """The settings for it."""
    return {
        "endpoints": guarded.endpoint, "timeout": PATIENCE, "user": "app", "password": PASSWORD,
    }  # fmt: skip


def as_root(server: Any, *arguments: str) -> str:
    """What `etcdctl` prints for its administrator."""
    shown: str = server.ctl("--user", f"root:{PASSWORD}", *arguments)
    return shown


def test_a_user_may_do_what_his_role_may(guarded: Any, app: Any, make_host: Any) -> None:
    """Register, look up, watch, install, below the one prefix that the README tells of."""
    session = make_host(**app).startup("etcd")
    with session.watch() as watch:
        session.set_service(Service("one", ttl=30), ServiceOperation.REGISTER)
        assert next(watch).service.name == "one"
        session.set_service(Service("one"), ServiceOperation.DELETE)
        assert next(watch).service.name == "one"


@pytest.mark.parametrize(
    "wrong",
    [
        {"password": "another"},
        {"user": "nobody"},
        {"user": None, "password": None},
        {"prefix": "elsewhere"},
    ],
)
def test_who_may_not_is_denied(app: Any, make_host: Any, wrong: Any) -> None:
    """At the start, with the settings that matter; it is no use to try again."""
    with pytest.raises(AccessDeniedError, match="'user' and 'password'"):
        make_host(**app | wrong).startup("etcd")


def test_a_token_that_the_server_has_forgotten_is_fetched_again(
    guarded: Any, app: Any, make_store: Any
) -> None:
    """They end when they are not used for minutes, and with every change of who may do what."""
    store = make_store(**app)
    assert store.put(ONE, b"1", ttl=30)
    token = store._client._exchange._token
    as_root(guarded, "auth", "disable")
    guarded.ctl("auth", "enable")
    assert store.get(ONE).value == b"1"
    assert store.put(ONE, b"1", ttl=30)
    assert store._client._exchange._token not in (token, None, "")
    store.remove(ONE, store.get(ONE).version)


def test_a_role_that_was_taken_away_denies(guarded: Any, app: Any, make_store: Any) -> None:
    """In the midst of it; also who follows hears of it the next time."""
    store = make_store(**app)
    assert store.put(ONE, b"1", ttl=30)
    as_root(guarded, "user", "revoke-role", "app", "registry")
    try:
        with pytest.raises(AccessDeniedError):
            store.put(ONE, b"2", ttl=30)
        with pytest.raises(AccessDeniedError):
            list(store.entries(EVERYTHING))
    finally:
        as_root(guarded, "user", "grant-role", "app", "registry")
    store.remove(ONE, store.get(ONE).version)


def test_a_user_is_no_harm_where_nobody_is_asked_for_one(
    etcd: Any, prefix: str, make_store: Any
) -> None:
    """A server without users takes everybody."""
    store = make_store(
        endpoints=etcd.endpoint, prefix=prefix, timeout=PATIENCE, user="app", password=PASSWORD
    )
    assert store.put(ONE, b"1", ttl=30)


def test_users_may_be_asked_for_later(servers: Any, make_store: Any) -> None:
    """Who has a password uses it then."""
    [server] = servers()
    store = make_store(endpoints=server.endpoint, timeout=PATIENCE, user="root", password=PASSWORD)
    assert store.put(ONE, b"1", ttl=30)
    server.ctl("user", "add", f"root:{PASSWORD}")
    server.ctl("user", "grant-role", "root", "root")
    server.ctl("auth", "enable")
    assert store.put(ONE, b"2", ttl=30)


def values_in(told: traceback.TracebackException | None) -> list[str]:
    """The values of all variables in all frames below the start, also those of the causes."""
    found = []
    while told is not None:
        inside = [frame for frame in told.stack if "nspkit_etcd/__init__" in frame.filename]
        below = list(told.stack)
        if inside:  # above, and in it, the settings are as the application has given them
            below = below[below.index(inside[-1]) + 1 :]
        found += [value for frame in below for value in (frame.locals or {}).values()]
        told = told.__cause__ or told.__context__
    return found


@pytest.mark.parametrize(
    "wrong", [{"user": "nobody"}, {"password": PASSWORD + "!"}, {"timeout": 0.01}]
)
def test_a_password_is_never_shown(app: Any, make_host: Any, wrong: Any) -> None:
    """Not in errors, their causes, or tracebacks with the values of variables."""
    host = make_host(**app | wrong)
    with pytest.raises(NspError) as caught:
        host.startup("etcd")
    assert PASSWORD not in "".join(traceback.format_exception(caught.value))
    values = values_in(
        traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    )
    assert any("nspkit_etcd" in value for value in values)
    assert not [value for value in values if PASSWORD in value]
