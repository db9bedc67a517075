"""What may be set, what is refused, and what errors of the server become."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import redis
from nspkit_redis import RedisProvider, _failures
from nspkit_redis._settings import redis_settings_in

import nspkit
from nspkit.errors import ErrorCode, InvalidArgumentError, NotReadyError, NspError
from nspkit.registry import Scope


def start(settings: dict[str, Any]) -> None:
    """Start the provider alone."""
    with nspkit.Resources() as resources:
        RedisProvider().nsp_startup(settings, resources)


def test_without_settings_it_is_not_ready() -> None:
    """At once, so that a lookup over everything installed waits for no server of nobody's."""
    with pytest.raises(NotReadyError, match="no setting 'endpoints'") as caught:
        start({})
    assert caught.value.code == 10091


def test_without_settings_nothing_is_imported() -> None:
    """Neither by the import of the package nor by such a start."""
    code = """
import sys
import nspkit
from nspkit_redis import RedisProvider
assert "redis" not in sys.modules
with nspkit.Resources() as resources:
    try:
        RedisProvider().nsp_startup({}, resources)
    except nspkit.NspError as error:
        print(error.code)
assert "redis" not in sys.modules
"""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.stdout, done.returncode) == ("10091\n", 0), done.stderr


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("database", -1),
        ("database", "0"),
        ("database", True),
        ("database", 10**7),
        ("interval", 0),
        ("interval", "1"),
        ("interval", 3601),
        ("timeout", 0),
        ("endpoints", "redis://localhost"),
        ("endpoints", []),
        ("prefix", "a{b}"),
        ("tls", 1),
        ("hosts", "localhost"),
        ("password", b"bytes"),
    ],
)
def test_a_bad_setting_is_refused(name: str, value: object) -> None:
    """By its name, and before anything is opened."""
    with pytest.raises(InvalidArgumentError, match=name):
        start({"endpoints": "localhost", name: value})


def test_a_certificate_that_is_missing_is_told(tmp_path: Any) -> None:
    """At the start."""
    with pytest.raises(NotReadyError, match="certificates for TLS cannot be read"):
        start({"endpoints": "localhost", "ca_file": tmp_path / "absent.pem"})


def test_a_host_that_can_have_no_name_is_away() -> None:
    """Whatever the system makes of it."""
    with pytest.raises(NotReadyError, match="its name cannot be one"):
        start({"endpoints": f"{'x' * 70}.example"})


def test_the_port_has_a_default() -> None:
    """That of Redis."""
    checked = redis_settings_in({"endpoints": ["localhost", "[::1]:7"]})
    assert [str(one) for one in checked.common.endpoints] == ["localhost:6379", "[::1]:7"]


def test_prefixes_and_databases_are_apart(stores: Any, key: Any, settings: Any) -> None:
    """Each has its own; one prefix that begins like another is another."""
    places = [{}, {"prefix": settings["prefix"] + "1"}, {"prefix": "x/" + settings["prefix"]}]
    places += [{"database": 3}]
    for number, place in enumerate(places):
        assert stores(**place).put(key("x"), b"%d" % number, ttl=None)
    for number, place in enumerate(places):
        assert [one.value for one in stores(**place).entries(Scope())] == [b"%d" % number]


def test_events_of_a_database_are_its_own(
    server: Any, stores: Any, key: Any, following: Any, settings: Any
) -> None:
    """The server's channels have its number in their names."""
    store = stores(database=3)
    store.put(key("x"), b"", ttl=None)
    server.cli("CONFIG", "SET", "notify-keyspace-events", "KA")
    with following(store) as feed:
        assert len(feed.listed()) == 1
        place = f"{{{settings['prefix']}}}:1:service:{key('x').path()}"
        assert server.cli("-n", "3", "DEL", place) == "1"
        assert feed.change().key == key("x")
    server.cli("CONFIG", "SET", "notify-keyspace-events", "")


def test_a_database_that_is_not_there_is_refused(clients: Any) -> None:
    """By the server, which has sixteen."""
    with pytest.raises(NspError, match="DB index is out of range"):
        clients(database=4711)


def answer(text: str) -> redis.RedisError:
    """What redis-py makes of an error of the server."""
    from redis._parsers.base import BaseParser

    error = BaseParser.parse_error(text)
    assert isinstance(error, redis.RedisError)
    return error


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("NOAUTH Authentication required.", ErrorCode.WSAEACCES),
        ("WRONGPASS invalid username-password pair", ErrorCode.WSAEACCES),
        ("NOPERM this user has no permissions", ErrorCode.WSAEACCES),
        ("ERR Error running script: @user_script:5: -NOPERM this user", ErrorCode.WSAEACCES),
        ("OOM command not allowed when used memory > 'maxmemory'.", ErrorCode.WSAENOBUFS),
        ("ERR Error running script: @user_script:5: -OOM command", ErrorCode.WSAENOBUFS),
        ("MISCONF Redis is configured to save RDB snapshots", ErrorCode.WSAENOBUFS),
        ("LOADING Redis is loading the dataset in memory", ErrorCode.WSATRY_AGAIN),
        ("BUSY Redis is busy running a script.", ErrorCode.WSATRY_AGAIN),
        ("NOREPLICAS Not enough good replicas to write.", ErrorCode.WSATRY_AGAIN),
        ("READONLY You can't write against a read only replica.", ErrorCode.WSATRY_AGAIN),
        ("MASTERDOWN Link with MASTER is down", ErrorCode.WSATRY_AGAIN),
        ("CLUSTERDOWN Hash slot not served", ErrorCode.WSATRY_AGAIN),
        ("MOVED 3999 127.0.0.1:6381", ErrorCode.WSATRY_AGAIN),
        ("ERR max number of clients reached", ErrorCode.WSATRY_AGAIN),
        ("WRONGTYPE Operation against a key", ErrorCode.WSANO_RECOVERY),
        ("ERR unknown command 'EVALSHA'", ErrorCode.WSASYSCALLFAILURE),
    ],
)
def test_an_error_of_the_server_is_one_of_winsock(text: str, code: int) -> None:
    """With the server's own words in it."""
    found = _failures.of_server(answer(text), "Redis at x:1")
    assert found.code == code
    assert "Redis at x:1" in str(found)


def test_a_full_server_refuses_what_is_new(servers: Any, stores: Any, key: Any) -> None:
    """With an error that says so; what is there is found, renewed and removed."""
    server = servers().start()
    store = stores(endpoints=server.address)
    assert store.put(key("x"), b"1", ttl=30.0)
    server.cli("CONFIG", "SET", "maxmemory", "1")
    with pytest.raises(NspError, match="takes nothing more") as caught:
        store.put(key("y"), b"1", ttl=None)
    assert caught.value.code == ErrorCode.WSAENOBUFS
    assert [one.key for one in store.entries(Scope())] == [key("x")]
    assert store.put(key("x"), b"1", ttl=600.0)
    assert store.get(key("x")).left > 60
    assert store.remove(key("x"), store.get(key("x")).version)
