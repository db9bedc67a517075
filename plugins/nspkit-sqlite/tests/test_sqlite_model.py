"""Any sequence of registrations, against a plain dictionary and the `sqlite3` command."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from nspkit_sqlite import SqliteProvider

import nspkit
from nspkit import Address, LookupFlags, Service, ServiceOperation
from nspkit.errors import NoDataError, ServiceNotFoundError

DEEP = LookupFlags.DEEP | LookupFlags.RETURN_ALL

Key = tuple[UUID | None, str, str]


class Entry(NamedTuple):
    """What the dictionary says of an instance: each address with the end of its lease."""

    registered: bool
    ends: dict[Address, float]
    ends_at: float
    attributes: dict[str, Any]


NEVER = float("inf")
keys = st.tuples(
    st.sampled_from([None, UUID(int=1), UUID(int=2)]),
    st.sampled_from(["", "a", "a\\b"]),
    st.sampled_from(["x", "Y", "ü\\'\""]),
)
addresses = st.lists(
    st.sampled_from(
        [Address.inet(f"192.0.2.{number}", 80, type=1, proto=6) for number in range(4)]
    ),
    max_size=3,
    unique=True,
)
values = st.text(max_size=3) | st.integers() | st.binary(max_size=3) | st.none() | st.booleans()
attributes = st.dictionaries(st.text("abc", min_size=1, max_size=2), values, max_size=2)


class Matrix(RuleBasedStateMachine):
    """One provider, one dictionary, and a clock that stands still between the steps."""

    @initialize()
    def begin(self) -> None:
        """Start the provider, where no file is."""
        self.folder = Path(tempfile.mkdtemp(prefix="nspkit-sqlite-"))
        self.path = self.folder / "registry.db"
        self.patch = pytest.MonkeyPatch()
        self.now = 1_000_000.0
        for module in ("_registry", "_search"):
            self.patch.setattr(f"nspkit_sqlite.{module}.time", lambda: self.now)
        catalog = nspkit.Catalog()
        catalog.install(SqliteProvider)
        self.host = nspkit.Host(catalog=catalog, settings={"sqlite": {"path": self.path}})
        self.session = self.host.startup("sqlite")
        self.model: dict[Key, Entry] = {}

    def teardown(self) -> None:
        """Stop the provider and remove the file."""
        if hasattr(self, "host"):
            self.host.close()
            self.patch.undo()
            shutil.rmtree(self.folder)

    @rule(seconds=st.integers(0, 20))
    def wait(self, seconds: int) -> None:
        """Let time go by."""
        self.now += seconds
        self.model = {
            key: entry._replace(
                ends={address: end for address, end in entry.ends.items() if end > self.now}
            )
            for key, entry in self.model.items()
            if entry.ends_at > self.now
        }

    @rule(
        key=keys,
        given=addresses,
        attributes=attributes,
        multiple=st.booleans(),
        ttl=st.none() | st.integers(1, 30),
    )
    def register(
        self,
        key: Key,
        given: list[Address],
        attributes: dict[str, Any],
        multiple: bool,
        ttl: int | None,
    ) -> None:
        """Register an instance, or add to it."""
        service_class, context, name = key
        service = Service(
            name,
            service_class=service_class,
            context=context,
            addresses=given,
            attributes=attributes,
            ttl=ttl,
        )
        self.session.set_service(service, ServiceOperation.REGISTER, multiple=multiple)
        end = NEVER if ttl is None else self.now + ttl
        old = self.model.get(key)
        added = multiple and old is not None and old.registered
        ends = {**(old.ends if added and old else {}), **dict.fromkeys(given, end)}
        ends_at = max(ends.values(), default=end)
        self.model[key] = Entry(True, ends, ends_at, attributes)

    @rule(
        key=keys,
        given=addresses,
        operation=st.sampled_from([ServiceOperation.DEREGISTER, ServiceOperation.DELETE]),
        multiple=st.booleans(),
    )
    def withdraw(
        self, key: Key, given: list[Address], operation: ServiceOperation, multiple: bool
    ) -> None:
        """Deregister or delete an instance, or some of its addresses."""
        service_class, context, name = key
        service = Service(name, service_class=service_class, context=context, addresses=given)
        old = self.model.get(key)
        if old is None:
            with pytest.raises(ServiceNotFoundError):
                self.session.set_service(service, operation, multiple=multiple)
            return
        self.session.set_service(service, operation, multiple=multiple)
        left = {
            address: end for address, end in old.ends.items() if multiple and address not in given
        }
        if left:
            self.model[key] = old._replace(ends=left, ends_at=max(left.values()))
        elif operation is ServiceOperation.DELETE:
            del self.model[key]
        else:
            self.model[key] = old._replace(registered=False, ends={})

    @invariant()
    def everything_is_found(self) -> None:
        """A browse tells what the dictionary has, and nothing else."""
        found = {
            (service.service_class, service.context, service.name): (
                service.addresses,
                service.attributes,
                service.ttl,
            )
            for service in self.session.lookup(flags=DEEP)
        }
        assert found == {
            key: (
                tuple(entry.ends),
                entry.attributes,
                None if entry.ends_at == NEVER else entry.ends_at - self.now,
            )
            for key, entry in self.model.items()
            if entry.registered
        }

    @rule(key=keys.filter(lambda key: key[0] is not None))
    def look_up(self, key: Key) -> None:
        """A lookup of one instance agrees, or says what is missing."""
        service_class, context, name = key
        entry = self.model.get(key)

        def found() -> list[tuple[Address, ...]]:
            services = self.session.lookup(name, service_class=service_class, context=context)
            return [service.addresses for service in services]

        if entry is None:
            with pytest.raises(ServiceNotFoundError):
                found()
        elif not entry.registered:
            with pytest.raises(NoDataError):
                found()
        else:
            assert found() == [tuple(entry.ends)]


Matrix.TestCase.settings = settings(
    max_examples=40,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
TestMatrix = Matrix.TestCase


def test_the_command_reads_what_was_registered(client: Any, sqlite3: Any) -> None:
    """The same rows, by another reader."""
    client.register(
        "wéb", "192.0.2.1", "2001:db8::1", service_class=UUID(int=258), context="\\a",
        attributes={"path": "/", "raw": b"\0\xff"}, comment="it's", version=7, blob=b"\1", ttl=60,
    )  # fmt: skip
    client.register("none")
    [none, web] = json.loads(
        sqlite3(
            "SELECT hex(class) AS class, context, name, type, registered, addresses, attributes, "
            "comment, version, hex(blob) AS blob, expires_at - unixepoch() BETWEEN 1 AND 61 AS "
            "leased, leases FROM service",
            "-json",
        )
    )
    bare = [none[column] for column in ("class", "name", "addresses", "leased")]
    assert bare == ["", "none", None, None]
    assert web | {"addresses": None, "attributes": None} == {
        "class": "00000000000000000000000000000102",
        "context": "a\\",
        "name": "wéb",
        "type": None,
        "registered": 1,
        "addresses": None,
        "attributes": None,
        "comment": "it's",
        "version": 7,
        "blob": "01",
        "leased": 1,
        "leases": None,
    }
    assert json.loads(web["addresses"]) == [
        ["inet", 1, 6, ["192.0.2.1", 80]],
        ["inet6", 1, 6, ["2001:db8::1", 80, 0, 0]],
    ]
    assert json.loads(web["attributes"]) == {"path": "/", "raw": {"bytes": "00ff"}}


def test_what_the_command_writes_is_found(client: Any, sqlite3: Any) -> None:
    """Another writer needs nothing of this package."""
    client.register("other")
    sqlite3(
        "INSERT INTO service (class, context, name, registered, addresses, comment) VALUES "
        """(x'', '', 'x', 1, '[["inet", 1, 6, ["192.0.2.9", 80]]]', '')"""
    )
    assert client.hosts("x") == ["192.0.2.9"]


@pytest.mark.parametrize(
    "change",
    [
        "addresses = 'nonsense'",
        "addresses = '[1]'",
        """addresses = '[["inet", 1, 6, ["not numeric", 80]]]'""",
        """addresses = '[["inet", 1, 6, {"x": 1}]]'""",
        "attributes = '[]'",
        "version = 'x'",
        "class = x'00'",
    ],
)
def test_a_row_that_makes_no_sense_is_told(client: Any, sqlite3: Any, change: str) -> None:
    """With its name, and the way out."""
    client.register("x", "192.0.2.1", attributes={"a": 1}, version=1)
    sqlite3(f"UPDATE service SET {change}")
    with pytest.raises(nspkit.NspError, match="'x' is damaged") as caught:
        client.find("x")
    assert caught.value.code == nspkit.ErrorCode.WSANO_RECOVERY


def test_a_class_that_makes_no_sense_is_told(client: Any, sqlite3: Any) -> None:
    """As a service is."""
    service_class = nspkit.ServiceClass.tcp(80)
    client.session.install_service_class(service_class)
    sqlite3("UPDATE service_class SET attributes = '[]'")
    with pytest.raises(nspkit.NspError, match="'80/tcp' is damaged"):
        client.session.service_class(service_class.id)
