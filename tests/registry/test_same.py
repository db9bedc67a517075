"""The same calls have the same results, whatever a registry is kept in."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

import nspkit
from nspkit import Address, Comparison, LookupFlags, Service, ServiceOperation, Version
from nspkit.errors import NspError

ADDRESSES = [
    Address.inet("192.0.2.1", 80, type=1, proto=6),
    Address.inet("192.0.2.1", 80, type=1, proto=-1),
    Address.inet("192.0.2.2", 80, type=1),
    Address.inet("192.0.2.3", 53, type=2, proto=17),
    Address.inet("2001:db8::1", 1, type=1, proto=6),
    Address(77, 5, 0, ("n", 1, b"\0", (1,))),
]
VALUES: dict[str, list[Any]] = {
    "service_class": [None, "_a._tcp", "_b._udp"],
    "context": ["", "a", "a\\b", "\\a\\", "ab"],
    "ttl": [None, 50, 500],
    "attributes": [{}, {"a": 1}, {"a": True, "b": b"q"}, {"p": "/"}],
    "version": [None, 0, 1, 2],
    "comment": ["", "c"],
    "blob": [None, b"", b"z"],
}
RESTRICTIONS: dict[str, list[Any]] = {
    "name": [None, "x", "y"],
    "service_class": [None, "_a._tcp"],
    "context": ["", "a", "\\", "a\\b"],
    "flags": [LookupFlags.RETURN_ALL, LookupFlags.RETURN_ALL | LookupFlags.DEEP],
    "version": [None, 0, 1, Version(1, Comparison.NOTLESS)],
    "protocols": [(), ((2, 6),), ((0, 17),), ((23, 0), (77, 0))],
    "query_string": ["", "", "a", "a=true", "p=/"],
}


@pytest.fixture
def sessions(engine: Any, tmp_path: Path) -> Iterator[list[nspkit.Session]]:
    """One of the dictionary, and one of SQLite, which has its own ways."""
    sqlite = pytest.importorskip("nspkit_sqlite", reason="nspkit-sqlite is not installed")
    conftest: Any = sys.modules[type(engine).__module__]
    engine.tells_what_is_left = True
    catalog = nspkit.Catalog()
    catalog.install(conftest.EngineProvider)
    catalog.install(sqlite.SqliteProvider)
    settings = {"engine": {"engine": engine}, "sqlite": {"path": str(tmp_path / "registry.db")}}
    with nspkit.Host(catalog=catalog, settings=settings) as host:
        yield [host.startup("engine"), host.startup("sqlite")]


@pytest.fixture
def let_pass(engine: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """A function that lets seconds pass, for both of them."""
    pytest.importorskip("nspkit_sqlite", reason="nspkit-sqlite is not installed")
    now = 1e9  # and whole seconds only, which are exact
    for module in ("nspkit.registry._matrix", "nspkit.registry._search"):
        monkeypatch.setattr(f"{module}.time", lambda: now)
    for module in ("nspkit_sqlite._registry", "nspkit_sqlite._search"):
        monkeypatch.setattr(f"{module}.time", lambda: now)

    def passed(seconds: int) -> None:
        nonlocal now
        now += seconds
        engine.pass_time(seconds)

    return passed


def drawn(random: Random, choices: dict[str, list[Any]]) -> dict[str, Any]:
    """One of each."""
    return {name: random.choice(values) for name, values in choices.items()}


def outcome(call: Callable[[], Any]) -> Any:
    """What a call returns, or the code that it raises."""
    try:
        return call()
    except NspError as error:
        return error.code


def shown(service: Service) -> str:
    """All that is told of a service."""
    return repr((service.replace(namespace=None, provider=None), service.service_type))


@pytest.mark.parametrize("seed", range(4))
def test_any_calls_have_the_same_results(
    sessions: list[nspkit.Session], let_pass: Callable[[int], None], seed: int
) -> None:
    """Registrations of all kinds, and lookups with all restrictions, while leases end."""
    random = Random(seed)
    for _ in range(250):
        service = Service(
            random.choice("xyXé"),
            addresses=random.choices(ADDRESSES, k=random.randrange(4)),
            **drawn(random, VALUES),
        )
        operation = random.choice([*ServiceOperation, *[ServiceOperation.REGISTER] * 3])
        multiple = random.random() < 0.6
        one, other = (
            outcome(lambda: session.set_service(service, operation, multiple=multiple))  # noqa: B023
            for session in sessions
        )
        assert one == other
        let_pass(random.choice([0, 1, 20]))
        asked = drawn(random, RESTRICTIONS)
        one, other = (
            outcome(lambda: sorted(map(shown, session.lookup(**asked))))  # noqa: B023
            for session in sessions
        )
        assert one == other
