"""Users, passwords and TLS: what opens, what is refused, and that nothing of it shows."""

from __future__ import annotations

import subprocess
import traceback
from pathlib import Path
from typing import Any

import pytest
from nspkit_redis._settings import redis_settings_in
from nspkit_redis._store import RedisStore

from nspkit import Address, Service, ServiceClass, ServiceOperation
from nspkit.errors import AccessDeniedError, NotReadyError, NspError

SECRET = "Gr9-of-nobody"
README = Path(__file__).parent.parent / "README.md"
WEB = Service("web", service_class="_http._tcp", addresses=[Address.inet("192.0.2.1", 80)])


def rules() -> list[str]:
    """What the README says that a user needs."""
    [line] = [line for line in README.read_text().splitlines() if line.startswith("ACL SETUSER")]
    return line.replace("a-long-password", SECRET).split()


@pytest.fixture(scope="module")
def guarded(program: Any, tmp_path_factory: Any, server: Any) -> Any:
    """A server with a password, a user who may what the README says, and one who hears nothing."""
    binary, cli = program("redis-server"), program("redis-cli")
    folder = tmp_path_factory.mktemp("guarded")
    with type(server)(binary, cli, folder, requirepass=SECRET) as guarded:
        guarded.credentials = ["--no-auth-warning", "-a", SECRET]
        guarded.start()
        assert guarded.cli(*rules()) == "OK"
        deaf = ["deaf" if word == "nspkit" else word for word in rules() if word[0] != "&"]
        assert guarded.cli(*deaf, "resetchannels") == "OK"
        assert guarded.cli("ACL", "SETUSER", "guest", "on", f">{SECRET}", "+@connection") == "OK"
        yield guarded


@pytest.fixture
def settings(guarded: Any) -> dict[str, Any]:
    """Where it is."""
    return {"endpoints": guarded.address, "interval": 0.05}


@pytest.mark.parametrize("user", [None, "nspkit", "deaf"])
def test_a_password_opens(host: Any, guarded: Any, user: str | None, until: Any) -> None:
    """For everything that a registry does; who may hear nothing asks."""
    guarded.cli("FLUSHALL")
    mine = host(password=SECRET, **({} if user is None else {"user": user}))
    with mine.watch(provider="redis") as watch, mine.register(WEB, ttl=30.0):
        assert next(watch).service.name == "web"
        assert [one.name for one in mine.lookup("web", service_class="_http._tcp")] == ["web"]
        assert [one.name for one in mine.lookup(service_class="_http._tcp")] == ["web"]
        mine.set_service(WEB.replace(name="other", ttl=2.0), ServiceOperation.REGISTER)
        assert next(watch).service.name == "other"
        assert next(watch).kind.value == "removed"
    kind = ServiceClass(WEB.service_class, "http")
    mine.install_service_class(kind)
    mine.remove_service_class(kind.id)


@pytest.mark.parametrize(
    "credentials",
    [
        {},
        {"password": "wrong-" + SECRET},
        {"user": "nobody", "password": SECRET},
        {"user": "guest", "password": SECRET},
        {"user": "nspkit", "password": SECRET, "prefix": "other"},
    ],
    ids=["none", "wrong", "unknown", "not for this", "not there"],
)
def test_what_does_not_open_is_denied(clients: Any, credentials: dict[str, Any]) -> None:
    """With an error that says so, and shows nothing."""
    with pytest.raises(AccessDeniedError, match="denies it") as caught:
        clients(**credentials)
    shown = "".join(traceback.format_exception(caught.value))
    assert SECRET not in shown


def test_who_is_denied_asks_nobody_else(clients: Any, guarded: Any) -> None:
    """A wrong password is no server that is away."""
    with pytest.raises(AccessDeniedError):
        clients(endpoints=[guarded.address, "127.0.0.1:1"], password="wrong")


def test_a_password_never_shows(settings: dict[str, Any]) -> None:
    """In no repr of what a debugger would find."""
    checked = redis_settings_in({**settings, "password": SECRET, "user": "nspkit"})
    store = RedisStore(checked)
    try:
        store.check()
        [wire] = store._pool._idle
        for one in (checked, store, store._pool, wire, vars(store), vars(store._pool)):
            assert SECRET not in repr(one)
    finally:
        store.close()


@pytest.fixture(scope="module")
def papers(program: Any, tmp_path_factory: Any) -> Path:
    """An authority of the tests' own, and certificates for the server and for a client."""
    folder: Path = tmp_path_factory.mktemp("papers")
    openssl = program("openssl")

    def run(*arguments: str) -> None:
        subprocess.run([openssl, *arguments], cwd=folder, check=True, capture_output=True)

    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    run("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-days", "3",
        "-subj", "/CN=ca", "-addext", "keyUsage=critical,keyCertSign")  # fmt: skip
    for name in ("server", "client"):
        run(
            "req",
            "-new",
            *key,
            "-keyout",
            f"{name}.key",
            "-out",
            f"{name}.csr",
            "-subj",
            f"/CN={name}",
        )
        (folder / "names").write_text("subjectAltName=IP:127.0.0.1\n")
        run("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-days", "3",
            "-CAcreateserial", "-extfile", "names", "-out", f"{name}.pem")  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def encrypted(program: Any, tmp_path_factory: Any, server: Any, papers: Path) -> Any:
    """A server that speaks TLS only, and wants to see a certificate."""
    binary, cli = program("redis-server"), program("redis-cli")
    with type(server)(binary, cli, tmp_path_factory.mktemp("encrypted")) as encrypted:
        encrypted.options |= {
            "port": "0",
            "tls_port": str(encrypted.port),
            "tls_cert_file": str(papers / "server.pem"),
            "tls_key_file": str(papers / "server.key"),
            "tls_ca_cert_file": str(papers / "ca.pem"),
            "tls_auth_clients": "yes",
        }
        encrypted.credentials = ["--tls", "--cacert", str(papers / "ca.pem")]
        encrypted.credentials += ["--cert", str(papers / "client.pem")]
        encrypted.credentials += ["--key", str(papers / "client.key")]
        yield encrypted.start()


def test_tls_does_all_that_is_done_without(
    host: Any, encrypted: Any, papers: Path, until: Any
) -> None:
    """A watch too, and a server that freezes."""
    mine = host(
        endpoints=encrypted.address,
        ca_file=papers / "ca.pem",
        cert_file=papers / "client.pem",
        key_file=papers / "client.key",
        timeout=2.0,
    )
    with mine.watch(provider="redis") as watch, mine.register(WEB, ttl=30.0) as registration:
        assert next(watch).service.name == "web"
        names = [one.name for one in mine.lookup(service_class="_http._tcp")]
        assert names == ["web"]
        encrypted.freeze()
        try:
            until(lambda: watch.state == "stale")
        finally:
            encrypted.thaw()
        until(lambda: watch.state == "live")
        registration.close()
        assert next(watch).kind.value == "removed"


@pytest.mark.parametrize(
    "wrong",
    [{"tls": True}, {"tls": False}, {"ca_file": "ca.pem"}],
    ids=["unknown authority", "no TLS", "no certificate"],
)
def test_the_wrong_papers_are_refused(
    clients: Any, encrypted: Any, papers: Path, wrong: dict[str, Any]
) -> None:
    """The server is not there for who cannot trust it, or is not trusted."""
    wrong = {k: papers / v if isinstance(v, str) else v for k, v in wrong.items()}
    with pytest.raises(NotReadyError, match="no primary answers at Redis at"):
        clients(endpoints=encrypted.address, timeout=2.0, **wrong)


def test_a_name_that_is_not_in_the_certificate_is_refused(
    clients: Any, encrypted: Any, papers: Path
) -> None:
    """The certificate is for an address."""
    with pytest.raises(NspError, match="certificate verify failed"):
        clients(endpoints=f"localhost:{encrypted.port}", ca_file=papers / "ca.pem")
