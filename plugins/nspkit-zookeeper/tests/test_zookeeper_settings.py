"""Settings: what is taken, and what is refused before anybody is asked."""

from __future__ import annotations

from typing import Any

import pytest
from nspkit_zookeeper import ZookeeperProvider

from nspkit import Resources
from nspkit.errors import InvalidArgumentError, NotReadyError
from nspkit.registry import REGISTRY

HERE = {"endpoints": "127.0.0.1:1"}


def test_without_a_server_it_is_not_ready() -> None:
    """At once, so that nobody waits for a server that nobody has set."""
    with Resources() as resources, pytest.raises(NotReadyError, match="endpoints"):
        ZookeeperProvider().nsp_startup({}, resources)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"session_timeout": 0}, "session_timeout"),
        ({"session_timeout": "10"}, "session_timeout"),
        ({"prefix": "zookeeper/x"}, "ZooKeeper's own"),
        ({"user": "a:b", "password": "secret"}, "without"),
        ({"password": "secret"}, "with a user only"),
        ({"sesion_timeout": 3}, "sesion_timeout"),
    ],
)
def test_what_is_not_acceptable_is_refused(given: dict[str, Any], said: str) -> None:
    """The message names it, and shows no password."""
    with Resources() as resources, pytest.raises(InvalidArgumentError, match=said) as caught:
        ZookeeperProvider().nsp_startup({**HERE, **given}, resources)
    assert "secret" not in str(caught.value)


def test_a_session_outlives_its_process_for_as_long_as_is_set(stores: Any) -> None:
    """The server takes it as it is, within its own limits."""
    store = stores(session_timeout=7.5)
    assert store._connection.client._session_timeout == 7500


def test_the_namespace_is_that_of_all_registries() -> None:
    """So that a program asks any of them without knowing which."""
    assert ZookeeperProvider.info.namespace == REGISTRY


def test_importing_the_provider_does_not_import_kazoo(fresh: Any) -> None:
    """That is for who uses it."""
    code = "import sys, nspkit_zookeeper; print('kazoo' in sys.modules)"
    assert fresh(code) == "False"


def test_nothing_is_printed_where_nobody_has_set_up_logging(fresh: Any, server: Any) -> None:
    """Though the server goes away, which kazoo says in its log."""
    code = """
import sys, nspkit_zookeeper, nspkit
from nspkit.errors import NspError
catalog = nspkit.Catalog()
catalog.install(nspkit_zookeeper.ZookeeperProvider)
settings = {"endpoints": sys.argv[1], "timeout": 2, "session_timeout": 2}
with nspkit.Host(catalog=catalog, settings={"zookeeper": settings}) as host:
    session = host.startup("zookeeper")
    print("up", flush=True)
    sys.stdin.readline()
    try:
        list(session.lookup("x"))
    except NspError as error:
        print(error.code)
"""
    assert fresh(code, server.address, up=server.stop) == "up\n11002"
