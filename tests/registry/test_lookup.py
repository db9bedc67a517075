"""What of a registry is found, by whatever asks for it."""

from __future__ import annotations

from typing import Any

import pytest

from nspkit import (
    Address,
    Cancellation,
    ChangeKind,
    Comparison,
    LookupFlags,
    Query,
    Service,
    ServiceOperation,
    Version,
)
from nspkit.errors import (
    ErrorCode,
    InvalidArgumentError,
    NoDataError,
    NspError,
    ServiceNotFoundError,
)
from nspkit.registry import Key, _search, _watch

A, B = "192.0.2.1", "192.0.2.2"
DEEP = LookupFlags.DEEP | LookupFlags.RETURN_ALL
WANTED: dict[str, Any] = {"protocols": [(0, 6)], "version": 1, "query_string": "a"}
DAMAGED = [
    b"null", b'{"ends":5}', b'{"addresses":5}', b'{"addresses":{"a":1},"ends":[1]}',
    b'{"addresses":[["inet",1,6,["192.0.2.1",1]]],"ends":["x"]}',
    b'{"addresses":[["inet",1,6,["192.0.2.1",1]]],"ends":[1%s]}' % (b"0" * 400),
    b'{"addresses":[["inet",1,6,["192.0.2.1",1]]],"ends":[Infinity]}',
    b'{"addresses":[[["inet"],1,6,["192.0.2.1",1]]],"attributes":{"a":1}}',
    b'{"addresses":[["inet","1","6",["192.0.2.1",1]]],"attributes":{"a":1}}',
    b'{"addresses":[7],"attributes":{"a":1}}', b'{"attributes":[1]}', b'{"ttl":"x"}',
    b'{"addresses":[["inet",1,6,["192.0.2.1",1]]],"attributes":{"a":{"bites":"00"}}}',
    b'{"version":"x","attributes":{"a":1}}',
    b'{"type":"_x._tcp","addresses":[["inet",1,6,["192.0.2.1",1]]],"attributes":{"a":1}}',
    b'{"attributes":%s1%s}' % (b'{"a":[' * 50_000, b"]}" * 50_000),
]  # fmt: skip
WHOLE = Service(
    "Büro/1 %2F 🖨",
    service_class="_ipp._tcp",
    addresses=[
        Address.inet("fe80::1", 631, type=1, proto=6),
        Address.inet(A, 53, type=2, proto=17),
        Address(77, 5, 0, ("node", 4, b"\x00\xff", (1, 2))),
    ],
    attributes={
        "text": "ü", "bytes": b"\x00\xff", "int": -(2**70), "float": 0.5, "no": None, "yes": True,
    },
    comment="of the first floor",
    context="house\\first",
    version=7,
    blob=b"\x00blob",
)  # fmt: skip


def test_what_was_registered_comes_back(client: Any) -> None:
    """Every member of it, of every type."""
    client.session.set_service(WHOLE, ServiceOperation.REGISTER)
    [found] = client.find(WHOLE.name, service_class="_ipp._tcp", context=WHOLE.context)
    assert found.replace(namespace=None, provider=None) == WHOLE
    assert found.service_type == "_ipp._tcp"


def test_what_is_asked_for_again_is_as_it_is_now(
    client: Any, engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though what was made of an entry is kept: of one or of many, as long as its bytes are."""
    monkeypatch.setattr("nspkit.registry._search._REMEMBERED", 1)
    engine.tells_what_is_left = True
    client.register("x", A, ttl=50)
    client.register("y", B)
    assert [client.hosts(name) for name in ("x", "y", "x")] == [[A], [B], [A]]
    engine.pass_time(20)
    assert [service.ttl for service in client.find()] == [30, None]
    client.register("x", B, ttl=50)
    assert client.hosts("x", protocols=[(2, 0)]) == client.hosts("x") == [B]


def test_a_browse_of_more_than_is_kept_finds_most_of_it(
    client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next time, and keeps no more; what has gone is not kept for ever."""
    made = []
    monkeypatch.setattr("nspkit.registry._search._REMEMBERED", 10)
    make = _search.service_of
    monkeypatch.setattr(_search, "service_of", lambda *args: made.append(args) or make(*args))
    for number in range(12):
        client.register(f"x{number}", A)
    assert len(client.find()) == len(made) == 12
    assert len(client.find()) == 12
    assert len(made) <= 15
    for number in range(12):
        client.delete(f"x{number}")
        client.register(f"y{number}", A)
    for _ in range(40):
        client.find()
    made.clear()
    client.find()
    assert len(made) <= 3


def test_one_of_a_class_is_asked_for_by_its_key(client: Any, engine: Any) -> None:
    """The engine lists nothing for that."""
    client.register("x", A, service_class="_http._tcp")
    engine.entries = None
    assert [one.name for one in client.find("x", service_class="_http._tcp")] == ["x"]
    with pytest.raises(ServiceNotFoundError, match="the dictionary has no service 'y' of the cla"):
        client.find("y", service_class="_http._tcp")


def test_names_are_found_in_every_class(client: Any) -> None:
    """Or in one; a class alone finds all of it."""
    for name, kind in (("x", "_a._tcp"), ("x", "_b._tcp"), ("y", "_b._tcp")):
        client.register(name, A, service_class=kind)
    client.register("x", A)
    assert len(client.find("x")) == 3
    assert len(client.find("x", service_class="_b._tcp")) == 1
    assert sorted(one.name for one in client.find(service_class="_b._tcp")) == ["x", "y"]
    assert len(client.find()) == 4
    assert client.find(service_class="_c._tcp") == []
    with pytest.raises(ServiceNotFoundError, match="no service 'z' \\["):
        client.find("z")


def test_contexts_are_apart(client: Any) -> None:
    """A lookup finds what is in its context, with DEEP also what is below."""
    for context in ("", "a", "a\\b", "ab"):
        client.register("x", A, context=context)
    assert [one.context for one in client.find("x", context="a")] == ["a"]
    assert [one.context for one in client.find("x", context="\\")] == [""]
    found = client.find("x", context="\\a\\", flags=DEEP)
    assert sorted(one.context for one in found) == ["a", "a\\b"]
    assert len(client.find(flags=DEEP)) == 4


@pytest.mark.parametrize(
    ("query_string", "right"),
    [
        ("path=/", True), ("path", True), ("path=/&secure=true", True), ("a%26b=c%3Dd", True),
        ("bytes=raw", True), ("number=7", True), ("path=/x", False), ("nothing", False),
        ("none=None", False), ("none", True),
    ],
)  # fmt: skip
def test_query_strings_are_conditions(client: Any, query_string: str, right: bool) -> None:
    """On attributes, which must all hold."""
    attributes = {
        "path": "/", "secure": True, "a&b": "c=d", "bytes": b"raw", "number": 7, "none": None,
    }  # fmt: skip
    client.register("x", A, attributes=attributes)
    assert [one.name for one in client.find(query_string=query_string)] == ["x"] * right


def test_a_condition_without_a_name_is_refused(client: Any) -> None:
    """It names the way out (WSAEINVAL)."""
    with pytest.raises(InvalidArgumentError, match="condition without a name"):
        client.find(query_string="=x")


def test_versions_are_compared_where_there_is_one(client: Any) -> None:
    """What has none is found by every version."""
    client.register("old", A, version=1)
    client.register("new", A, version=3)
    client.register("any", A)
    assert sorted(one.name for one in client.find(version=Version(2, Comparison.NOTLESS))) == [
        "any",
        "new",
    ]
    with pytest.raises(NoDataError, match="of the version"):
        client.find("old", version=2)


def test_protocols_narrow_the_addresses(client: Any) -> None:
    """One that has no protocol has that of its type."""
    tcp, udp = Address.inet(A, 1, type=1), Address.inet(B, 1, type=2, proto=17)
    client.session.set_service(Service("x", addresses=[tcp, udp]), ServiceOperation.REGISTER)
    [found] = client.find("x", protocols=[(0, 6)])
    assert [address.host for address in found.addresses] == [A]
    [found] = client.find("x", protocols=[(23, 0), (2, 17)])
    assert [address.host for address in found.addresses] == [B]


def test_what_has_no_address_of_a_protocol_is_not_found(client: Any) -> None:
    """By who asks for one: it is known, without data (WSANO_DATA), and in no list."""
    client.register("x", A)
    assert client.find(protocols=[(0, 17)]) == []
    with pytest.raises(NoDataError, match="the protocols"):
        client.find("x", protocols=[(0, 17)])


def test_a_result_holds_as_long_as_its_addresses(
    client: Any, engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that were asked for, where they end on their own."""
    for module in ("_matrix", "_search"):
        monkeypatch.setattr(f"nspkit.registry.{module}.time", lambda: 1000.0)
    client.register("x", A, ttl=50, multiple=True)
    client.session.set_service(
        Service("x", addresses=[Address.inet(B, 1, type=2)], ttl=5),
        ServiceOperation.REGISTER,
        multiple=True,
    )
    assert [client.find("x", protocols=[(0, proto)])[0].ttl for proto in (0, 6, 17)] == [50, 50, 5]


@pytest.mark.parametrize(("left", "told"), [(60.0, 50), (-1.0, 0)])
def test_what_is_left_is_within_the_lease(
    client: Any, engine: Any, left: float, told: float
) -> None:
    """Though an engine may have rounded it up, or be about to end it."""
    client.register("x", A, ttl=50)
    [there] = engine.entries(None)
    engine.entries = lambda *_: iter([there._replace(left=left)])
    assert client.find("x")[0].ttl == told


def test_equal_attributes_are_shared(client: Any) -> None:
    """By services that have the same; others, also equal to Python, are apart."""
    for name, attributes in (("x", {"a": 1}), ("y", {"a": 1}), ("z", {"a": True})):
        client.register(name, A, attributes=attributes)
    x, y, z = (service.attributes for service in client.find())
    assert x is y
    assert (x["a"], z["a"]) == (1, True)
    assert type(z["a"]) is bool


def test_a_lookup_that_is_cancelled_says_nothing_of_what_is_there(engine: Any) -> None:
    """For it has not seen it all."""
    cancellation = Cancellation()
    cancellation.cancel()
    assert list(_search.Search(engine).find(Query("x"), cancellation)) == []


def test_containers_are_not_there(client: Any) -> None:
    """A registry has none (WSANO_DATA)."""
    with pytest.raises(NoDataError, match="no containers"):
        client.find(flags=LookupFlags.CONTAINERS)


@pytest.mark.parametrize(
    "value",
    [
        b"{", b"[]", b"\xff", b'{"addresses":[["inet",1,6]]}',
        b'{"blob":"x","addresses":[["inet",1,6,["192.0.2.1",1]]],"attributes":{"a":1}}',
        b'{"addresses":[["inet",1,6,["192.0.2.1",1]]],"ends":[]}', b'{"version":"x"}',
        *DAMAGED,
    ],
)  # fmt: skip
@pytest.mark.parametrize("restrictions", [{}, WANTED])
def test_a_damaged_entry_hides_no_other(
    client: Any, engine: Any, value: bytes, restrictions: dict[str, Any]
) -> None:
    """All others are told, then the first error (WSANO_RECOVERY)."""
    engine.put(Key(None, "", "bad"), value, ttl=None)
    engine.put(Key(None, "", "worse"), b"{", ttl=None)
    client.register("good", A, attributes={"a": 1})
    found: list[str] = []
    with (
        pytest.raises(NspError, match="'bad' is damaged") as caught,
        client.session.lookup(**restrictions) as lookup,
    ):
        found.extend(service.name for service in lookup)
    assert (found, caught.value.code) == (["good"], ErrorCode.WSANO_RECOVERY)


@pytest.mark.parametrize("value", DAMAGED)
@pytest.mark.parametrize("restrictions", [{}, WANTED])
def test_a_watch_passes_a_damaged_entry_over(
    client: Any, engine: Any, value: bytes, restrictions: dict[str, Any]
) -> None:
    """And goes on; what was told and becomes damaged is removed."""
    client.register("bad", A, attributes={"a": 1})
    changes: Any = _watch.Watch(engine, Query(**restrictions), Cancellation()).changes()
    assert next(changes).kind is ChangeKind.ADDED
    assert next(changes) is None
    engine.put(Key(None, "", "bad"), value, ttl=None)
    client.register("good", A, attributes={"a": 1})
    told = [(change.kind, change.service.name) for change in (next(changes), next(changes))]
    assert told == [(ChangeKind.REMOVED, "bad"), (ChangeKind.ADDED, "good")]
    changes.close()


@pytest.mark.parametrize("value", DAMAGED)
def test_whatever_is_damaged_can_be_deleted(client: Any, engine: Any, value: bytes) -> None:
    """Which is how to mend it."""
    engine.put(Key(None, "", "bad"), value, ttl=None)
    client.delete("bad")
    assert engine.kept == {}
