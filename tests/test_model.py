"""Queries, services and changes, and what all values have in common."""

from __future__ import annotations

import copy
import json
import math
import pickle
import socket
import uuid
from decimal import Decimal
from enum import Enum
from unittest import mock

import pytest

from nspkit._constants import ChangeKind, Comparison, LookupFlags, Namespace, ResultFlags
from nspkit._model import (
    Address,
    Attributes,
    Change,
    ProviderInfo,
    Query,
    Service,
    ServiceClass,
    Version,
    as_guid,
)
from nspkit.errors import InvalidArgumentError

GUID = uuid.UUID("22059d40-7e9e-11cf-ae5a-00aa00a7112b")
HTTP = ServiceClass.dns_sd("_http._tcp")

FULL_QUERY = {
    "name": "printer",
    "service_class": "_http._tcp",
    "namespace": Namespace.DNS,
    "provider": GUID,
    "context": "\\",
    "version": Version(3, Comparison.NOTLESS),
    "protocols": ((socket.AF_INET, 6),),
    "query_string": "floor=2",
    "flags": LookupFlags.DEEP | LookupFlags.RETURN_ADDR,
    "blob": b"\0\1",
}
FULL_SERVICE = {
    "name": "printer",
    "service_class": "_http._tcp",
    "addresses": (Address.inet("192.0.2.1", 80), Address.inet("fe80::1%2", 80)),
    "attributes": {"path": b"/", "paper": None, "pages": 7, "speed": 1.5, "duplex": True, "n": "x"},
    "ttl": 120,
    "comment": "second floor",
    "context": "example.org",
    "version": 3,
    "blob": b"\0\1",
    "namespace": Namespace.DNS,
    "provider": GUID,
    "flags": ResultFlags.IS_ALIAS,
}
VALUES = [
    Query(),
    Query(**FULL_QUERY),
    Query(provider="hosts"),
    Service(""),
    Service(**FULL_SERVICE),
    Service("x", service_class=GUID),
    Change(ChangeKind.ADDED, Service(**FULL_SERVICE)),
    Address.inet("192.0.2.1"),
    ServiceClass.tcp(80),
    Version(3),
    ProviderInfo(GUID, "hosts", Namespace.TCPIP_HOSTS, "1.0"),
]


class Shouted(str):
    """A string whose text is not what it holds."""

    __slots__ = ()

    def __str__(self) -> str:
        return self.upper()


class Unreadable:
    """A foreign value that cannot be shown."""

    def __repr__(self) -> str:
        raise RuntimeError("not to be called")


def kind_of(value: object) -> str:
    """The name of a test's value."""
    return type(value).__name__


# What all values have in common -----------------------------------------------------------------


@pytest.mark.parametrize("value", VALUES, ids=kind_of)
def test_a_value_survives_pickling(value: object) -> None:
    """Equal, with the same hash, and of the same class."""
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        twin = pickle.loads(pickle.dumps(value, protocol))
        assert twin == value
        assert hash(twin) == hash(value)
        assert type(twin) is type(value)


@pytest.mark.parametrize("value", VALUES, ids=kind_of)
def test_a_copy_of_a_value_is_the_value(value: object) -> None:
    """What cannot change need not be copied."""
    assert copy.copy(value) is value
    assert copy.deepcopy(value) is value


@pytest.mark.parametrize("value", VALUES, ids=kind_of)
def test_a_value_is_made_anew_by_replace(value: Query) -> None:
    """Without changes it is equal; copy.replace of Python 3.13 does the same."""
    assert value.replace() == value
    assert value.__replace__() == value


@pytest.mark.parametrize("value", VALUES, ids=kind_of)
def test_a_value_is_frozen(value: object) -> None:
    """The message says how to get a changed one; nothing can be added or deleted either."""
    for name in (value._arguments(), ["added"]):  # type: ignore[attr-defined]
        for field in name:
            with pytest.raises(AttributeError, match=rf"use \.replace\({field}=\.\.\.\)"):
                setattr(value, field, None)
            with pytest.raises(AttributeError, match=f"{field} cannot be deleted"):
                delattr(value, field)
    assert not hasattr(value, "__dict__")


@pytest.mark.parametrize("value", VALUES, ids=kind_of)
def test_what_is_shown_makes_the_value(value: object) -> None:
    """A person can paste it, once the enums are written as Python reads them."""
    names = {cls.__name__: cls for cls in map(type, VALUES)}
    text = repr(value)
    for kind in (Namespace, ChangeKind, Comparison, LookupFlags, ResultFlags):
        names[kind.__name__] = kind
        for member in kind:
            text = text.replace(repr(member), str_of(member))
    text = text.replace(repr(FULL_QUERY["flags"]), f"LookupFlags({int(FULL_QUERY['flags'])})")
    assert eval(text, {**names, "UUID": uuid.UUID}) == value


def str_of(member: Enum) -> str:
    """A member as it is written."""
    return f"{type(member).__name__}.{member.name}"


@pytest.mark.parametrize("value", VALUES, ids=kind_of)
def test_a_value_differs_from_all_others(value: object) -> None:
    """Also from those of other classes, and from what is no value."""
    assert [other for other in VALUES if other == value] == [value]
    assert value != repr(value)
    assert value != tuple(value._arguments().values())  # type: ignore[attr-defined]


def test_comparing_with_something_else_is_left_to_that() -> None:
    """As with unittest.mock.ANY."""
    assert Query() == mock.ANY
    assert Query().__eq__(7) is NotImplemented


@pytest.mark.parametrize(("cls", "fields"), [(Query, FULL_QUERY), (Service, FULL_SERVICE)])
def test_every_field_counts_for_equality(cls: type, fields: dict[str, object]) -> None:
    """A field that is left out makes another value."""
    value = cls(**fields)
    for field in fields:
        shorter = {name: given for name, given in fields.items() if name != field}
        if cls is Service and field == "name":
            shorter["name"] = ""
        assert cls(**shorter) != value, field


def test_only_what_differs_from_the_default_is_shown() -> None:
    """A long list of defaults tells nothing."""
    assert repr(Query()) == "Query()"
    assert repr(Query("x", version=3)) == "Query(name='x', version=Version(3))"
    assert repr(Service("x", ttl=5)) == "Service('x', ttl=5)"
    assert repr(Service("x", service_class="_http._tcp")) == (
        "Service('x', service_class='_http._tcp')"
    )


def test_replace_checks_as_the_constructor_does() -> None:
    """A changed value is as good as a new one."""
    with pytest.raises(InvalidArgumentError, match=r"^Service\.ttl is -1"):
        Service("x").replace(ttl=-1)
    with pytest.raises(TypeError, match="colour"):
        Service("x").replace(colour="red")


# GUIDs ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value", [GUID, str(GUID), str(GUID).upper(), f"{{{GUID}}}", f"{{{str(GUID).upper()}}}"]
)
def test_a_guid_is_a_uuid_or_its_string(value: uuid.UUID | str) -> None:
    """In either case, with braces as Windows writes it, or without."""
    assert as_guid(value) == GUID


@pytest.mark.parametrize(
    "value",
    [
        GUID.hex,
        f"urn:uuid:{GUID}",
        f"{{{GUID}",
        f"{GUID}}}",
        f"{{{{{GUID}}}}}",
        f"{{{GUID}x",
        f"x{GUID}}}",
        f" {GUID}",
        str(GUID).replace("-", "_"),
        "22059d407-e9e-11cf-ae5a-00aa00a7112b",
        "22059d4-07e9e-11cf-ae5a-00aa00a7112b",
        "2205_d40-7e9e-11cf-ae5a-00aa00a7112b",
        "٢2059d40-7e9e-11cf-ae5a-00aa00a7112b",
        "22059g40-7e9e-11cf-ae5a-00aa00a7112b",
        "",
        "hosts",
        GUID.bytes,
        GUID.int,
        GUID.fields,
        None,
        Unreadable(),
    ],
)
def test_what_is_no_guid_is_refused(value: object) -> None:
    """Neither bytes nor a number, whose order of bytes could be either; nor a sloppy string."""
    with pytest.raises(InvalidArgumentError, match=r"^guid is .*: give a uuid\.UUID or a string"):
        as_guid(value)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("x" * 60, repr("x" * 60)),
        ("x" * 61, repr("x" * 60) + "..."),
        (b"x" * 61, repr(b"x" * 60) + "..."),
        (b"x", "b'x'"),
        (1.5, "1.5"),
        (None, "None"),
        (True, "True"),
        (2**128 - 1, str(2**128 - 1)),
        (2**128, "an integer of more than 128 bits"),
        ([1], "a value of type list"),
    ],
    ids=lambda value: f"{value!r:.20}",
)
def test_what_was_given_is_shown_in_short(value: object, shown: str) -> None:
    """Long ones are cut, and nothing foreign is asked to show itself."""
    with pytest.raises(InvalidArgumentError) as caught:
        as_guid(value)
    assert caught.value.message.startswith(f"guid is {shown}: ")


# Texts ------------------------------------------------------------------------------------------

TEXTS = [
    lambda text: Query(text).name,
    lambda text: Query(context=text).context,
    lambda text: Query(query_string=text).query_string,
    lambda text: Service(text).name,
    lambda text: Service("x", comment=text).comment,
    lambda text: Service("x", context=text).context,
    lambda text: ServiceClass(GUID, text).name,
    lambda text: ProviderInfo(GUID, "a", Namespace.DNS, text).version,
]


@pytest.mark.parametrize("make", TEXTS)
@pytest.mark.parametrize(
    "text", ["x", "Büro", "\U0001f5a8", "a b\n", pytest.param("x" * 65_535, id="longest")]
)
def test_a_text_is_kept_as_it_is(make: object, text: str) -> None:
    """Whatever can be written in UTF-8, up to the limit."""
    assert make(text) == text  # type: ignore[operator]


@pytest.mark.parametrize("make", TEXTS)
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a\0b", "a NUL character cannot be passed on"),
        pytest.param("x" * 65_536, "its 65536 characters are more than 65535", id="too long"),
        ("\udc80", "it holds lone surrogates"),
        (b"x", "give a str"),
        (7, "give a str"),
        pytest.param(10**5000, "an integer of more than 128 bits: give a str", id="huge"),
        (Unreadable(), "a value of type Unreadable: give a str"),
    ],
)
def test_a_text_that_no_back_end_can_carry_is_refused(
    make: object, text: object, reason: str
) -> None:
    """The message says why, and stays short."""
    with pytest.raises(InvalidArgumentError, match=reason) as caught:
        make(text)  # type: ignore[operator]
    assert len(str(caught.value)) < 250


@pytest.mark.parametrize("make", TEXTS)
def test_a_text_of_a_subclass_becomes_a_plain_one(make: object) -> None:
    """With what it holds, not with what its class says."""
    made = make(Shouted("red"))  # type: ignore[operator]
    assert made == "red"
    assert type(made) is str


# Queries ----------------------------------------------------------------------------------------


def test_a_query_has_what_it_is_given() -> None:
    """Every field, in its form."""
    query = Query(**FULL_QUERY)
    for name in FULL_QUERY.keys() - {"service_class"}:
        assert getattr(query, name) == FULL_QUERY[name]
    assert query.service_class == HTTP.id
    assert query.service_type == "_http._tcp"


def test_an_empty_query_asks_everybody_for_everything() -> None:
    """The defaults are those of the contract."""
    query = Query()
    assert query.name is None
    assert query.service_class is None
    assert query.service_type is None
    assert query.namespace is Namespace.ALL
    assert query.provider is None
    assert query.context == ""
    assert query.version is None
    assert query.protocols == ()
    assert query.query_string == ""
    assert query.flags == LookupFlags.RETURN_ALL
    assert query.blob is None


@pytest.mark.parametrize("cls", [Query, Service])
@pytest.mark.parametrize(
    ("given", "class_id", "service_type"),
    [
        (None, None, None),
        (GUID, GUID, None),
        (f"{{{GUID}}}", GUID, None),
        ("_http._tcp", HTTP.id, "_http._tcp"),
        ("_HTTP._tcp", HTTP.id, "_http._tcp"),
    ],
)
def test_a_service_class_is_a_guid_or_a_type(
    cls: type, given: object, class_id: object, service_type: object
) -> None:
    """Of a type the class id is made; the type stays at hand for those who need it."""
    made = cls("x", service_class=given)
    assert made.service_class == class_id
    assert made.service_type == service_type


def test_a_guid_of_a_subclass_is_a_guid() -> None:
    """Other libraries make their own."""

    class OwnUUID(uuid.UUID):
        pass

    own = OwnUUID(str(GUID))
    assert Query(service_class=own, provider=own).service_class == GUID


@pytest.mark.parametrize("cls", [Query, Service])
@pytest.mark.parametrize("given", ["http", "_http._tcp.local.", "", 7, b"_http._tcp", HTTP])
def test_a_service_class_that_is_neither_is_refused(cls: type, given: object) -> None:
    """The message names the field."""
    with pytest.raises(InvalidArgumentError, match=rf"^{cls.__name__}\.service_class is "):
        cls("x", service_class=given)


@pytest.mark.parametrize(
    ("given", "right"),
    [
        ("http", "give a GUID, or a DNS-SD type"),
        ("_http._tcp.", "without a domain"),
    ],
)
def test_what_is_wrong_with_a_service_class_is_told(given: str, right: str) -> None:
    """One who meant a type reads about types."""
    with pytest.raises(InvalidArgumentError, match=right):
        Query(service_class=given)


@pytest.mark.parametrize("text", ["::1", b"::1"])
def test_a_text_is_not_a_list_of_letters(text: object) -> None:
    """The whole is shown, not its first letter."""
    with pytest.raises(InvalidArgumentError, match=r"^Service\.addresses is b?'::1': "):
        Service("x", addresses=text)


@pytest.mark.parametrize("cls", [Query, Service])
def test_a_changed_class_changes_the_type_too(cls: type) -> None:
    """And another change leaves both."""
    made = cls("x", service_class="_http._tcp")
    assert made.replace(service_class=GUID).service_type is None
    assert made.replace(context="y").service_type == "_http._tcp"
    assert made.replace(service_class="_ipp._tcp").service_type == "_ipp._tcp"


@pytest.mark.parametrize("given", [GUID, str(GUID), f"{{{GUID}}}"])
def test_a_query_finds_its_provider_by_guid(given: object) -> None:
    """It is a UUID from then on."""
    assert Query(provider=given).provider == GUID


def test_an_integer_asks_for_exactly_this_version() -> None:
    """A version without a comparison is one."""
    assert Query(version=3).version == Version(3, Comparison.EQUAL)


@pytest.mark.parametrize(
    "given", [[(socket.AF_INET, 6)], ((socket.AF_INET, 6),), iter([(socket.AF_INET, 6)])]
)
def test_protocols_become_a_tuple_of_plain_numbers(given: object) -> None:
    """Whatever they came in."""
    assert Query(protocols=given).protocols == ((2, 6),)
    assert type(Query(protocols=[(socket.AF_INET, 6)]).protocols[0][0]) is int


@pytest.mark.parametrize("number", [-(2**31), 2**31 - 1])
def test_the_bounds_of_protocols_are_accepted(number: int) -> None:
    """They are those of a C int."""
    assert Query(protocols=[(number, number)]).protocols == ((number, number),)


def test_a_type_may_be_a_text_of_another_class() -> None:
    """Whatever that says of itself, as members of enumerations do."""

    class Type(str):
        __slots__ = ()

        def __str__(self) -> str:
            return "Type.HTTP"

    query = Query(service_class=Type("_http._tcp"))
    assert query == Query(service_class="_http._tcp")
    assert type(query.service_type) is str


def test_a_type_is_hashed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A browse makes thousands of services of one type; a mistake is found each time."""
    hashed: list[str] = []
    monkeypatch.setattr("nspkit._schema.dns_sd_id", lambda name: hashed.append(name) or GUID)
    for _ in range(3):
        assert Service("x", service_class="_hashed-once._tcp").service_class == GUID
        with pytest.raises(InvalidArgumentError):
            Service("x", service_class="hashed._once")
    assert hashed == ["_hashed-once._tcp"]


def test_unknown_flags_reach_the_provider() -> None:
    """The host does not know them all."""
    assert Query(flags=0x40000010).flags == 0x40000010


@pytest.mark.parametrize(
    ("field", "given"),
    [
        ("name", ""),
        ("name", 7),
        ("namespace", "DNS"),
        ("namespace", None),
        ("namespace", -1),
        ("namespace", True),
        ("provider", ""),
        ("provider", "two words"),
        ("provider", 7),
        ("provider", b"hosts"),
        ("version", "3"),
        ("version", -1),
        ("version", True),
        ("protocols", 6),
        ("protocols", "tcp"),
        ("protocols", [6]),
        ("protocols", [(2,)]),
        ("protocols", [(2, 6, 0)]),
        ("protocols", [[2, 6]]),
        ("protocols", [(2, "tcp")]),
        ("protocols", [(2, True)]),
        ("protocols", [(2, 2**31)]),
        ("protocols", [(-(2**31) - 1, 6)]),
        ("protocols", None),
        ("flags", -1),
        ("flags", 2**32),
        ("flags", LookupFlags(2**40)),
        ("flags", True),
        ("flags", "DEEP"),
        ("flags", None),
        ("blob", "x"),
        ("blob", bytearray(b"x")),
        ("context", None),
        ("query_string", None),
    ],
)
def test_a_wrong_field_of_a_query_is_named(field: str, given: object) -> None:
    """With what was given and what is right."""
    with pytest.raises(InvalidArgumentError, match=rf"^Query\.{field} is .+: \S+") as caught:
        Query(**{field: given})
    assert caught.value.code == 10022


# Services ---------------------------------------------------------------------------------------


def test_a_service_has_what_it_is_given() -> None:
    """Every field, in its form."""
    service = Service(**FULL_SERVICE)
    for name in FULL_SERVICE.keys() - {"service_class"}:
        assert getattr(service, name) == FULL_SERVICE[name]
    assert service.service_class == HTTP.id
    assert service.service_type == "_http._tcp"


def test_a_service_is_a_name_and_may_be_nothing_else() -> None:
    """The defaults are those of the contract."""
    service = Service("x")
    assert service.name == "x"
    assert service.service_class is None
    assert service.service_type is None
    assert service.addresses == ()
    assert service.attributes == {}
    assert service.ttl is None
    assert service.comment == ""
    assert service.context == ""
    assert service.version is None
    assert service.blob is None
    assert service.namespace is None
    assert service.provider is None
    assert service.flags == ResultFlags(0)


@pytest.mark.parametrize(
    "given",
    [[Address.inet("::1")], (Address.inet("::1"),), (Address.inet(host) for host in ["::1"])],
)
def test_addresses_become_a_tuple(given: object) -> None:
    """Whatever they came in."""
    assert Service("x", addresses=given).addresses == (Address.inet("::1"),)


def test_a_version_of_a_service_is_a_number() -> None:
    """How it would be compared is the question's business."""
    assert Service("x", version=Version(3, Comparison.NOTLESS)).version == 3
    assert Service("x", version=3).version == 3


def test_a_provider_of_a_service_may_be_a_string() -> None:
    """As everywhere; but it is a GUID."""
    assert Service("x", provider=str(GUID)).provider == GUID


@pytest.mark.parametrize("ttl", [0, 0.5, 2**70])
def test_a_time_to_live_is_in_seconds(ttl: float) -> None:
    """Whole or not."""
    assert Service("x", ttl=ttl).ttl == ttl


@pytest.mark.parametrize(
    ("field", "given"),
    [
        ("name", None),
        ("addresses", None),
        ("addresses", Address.inet("::1")),
        ("addresses", ["::1"]),
        ("addresses", "::1"),
        ("addresses", b"::1"),
        ("addresses", {"a": 1}),
        ("addresses", 0),
        ("attributes", None),
        ("attributes", [("a", 1)]),
        ("attributes", "a"),
        ("ttl", -1),
        ("ttl", -0.1),
        ("ttl", math.nan),
        ("ttl", math.inf),
        ("ttl", True),
        ("ttl", "5"),
        ("ttl", Decimal(5)),
        ("comment", None),
        ("comment", 0),
        ("context", None),
        ("version", "3"),
        ("version", -1),
        ("version", True),
        ("blob", "x"),
        ("blob", memoryview(b"x")),
        ("namespace", "DNS"),
        ("namespace", True),
        ("provider", "hosts"),
        ("provider", 7),
        ("flags", -1),
        ("flags", True),
        ("flags", "IS_ALIAS"),
        ("flags", None),
    ],
)
def test_a_wrong_field_of_a_service_is_named(field: str, given: object) -> None:
    """With what was given and what is right."""
    with pytest.raises(InvalidArgumentError, match=rf"^Service\.{field} is .+: \S+") as caught:
        Service(**{"name": "x", field: given})
    assert caught.value.code == 10022


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"": 1}, r"^Service\.attributes name is ''"),
        ({1: 1}, r"^Service\.attributes name is 1: give a str"),
        ({"a\0": 1}, r"^Service\.attributes name is 'a\\x00'"),
        ({"a": [1]}, r"^Service\.attributes\['a'\] is a value of type list: give a str, bytes"),
        ({"a": bytearray()}, r"^Service\.attributes\['a'\] is a value of type bytearray"),
    ],
)
def test_a_wrong_attribute_is_named(attributes: object, message: str) -> None:
    """By its name."""
    with pytest.raises(InvalidArgumentError, match=message):
        Service("x", attributes=attributes)


def test_a_failed_construction_leaves_no_service() -> None:
    """Half a value never has the class of a whole one."""
    with pytest.raises(InvalidArgumentError) as caught:
        Service("x", flags=-1)
    traceback = caught.value.__traceback__
    while traceback is not None:
        for value in traceback.tb_frame.f_locals.values():
            assert not isinstance(value, Service)
        traceback = traceback.tb_next


# Attributes -------------------------------------------------------------------------------------


def test_attributes_are_a_copy() -> None:
    """Who gave them may change them afterwards."""
    given = {"path": "/"}
    service = Service("x", attributes=given)
    given["path"] = "/other"
    assert service.attributes == {"path": "/"}


def test_attributes_are_read_like_a_dict() -> None:
    """Also by json."""
    attributes = Service("x", attributes={"path": "/", "paper": None}).attributes
    assert attributes["path"] == "/"
    assert "paper" in attributes
    assert dict(attributes) == {"path": "/", "paper": None}
    assert json.dumps(attributes) == '{"path": "/", "paper": null}'
    assert attributes | {"a": 1} == {"path": "/", "paper": None, "a": 1}


@pytest.mark.parametrize(
    "change",
    [
        lambda attributes: attributes.__setitem__("a", 1),
        lambda attributes: attributes.__delitem__("path"),
        lambda attributes: attributes.__ior__({"a": 1}),
        lambda attributes: attributes.clear(),
        lambda attributes: attributes.pop("path"),
        lambda attributes: attributes.popitem(),
        lambda attributes: attributes.setdefault("a", 1),
        lambda attributes: attributes.update(a=1),
    ],
)
def test_attributes_cannot_be_changed(change: object) -> None:
    """The message says what to do instead."""
    attributes = Service("x", attributes={"path": "/"}).attributes
    with pytest.raises(TypeError, match=r"change a copy, dict\(attributes\)"):
        change(attributes)  # type: ignore[operator]
    assert attributes == {"path": "/"}


def test_attributes_are_hashable_in_any_order() -> None:
    """Equal ones have one hash."""
    one, two = Attributes({"a": 1, "b": 2}), Attributes({"b": 2, "a": 1})
    assert one == two
    assert hash(one) == hash(two)


def test_attributes_survive_pickling_and_copying() -> None:
    """Read-only as before."""
    attributes = Attributes({"a": b"1"})
    assert copy.copy(attributes) is attributes
    assert copy.deepcopy(attributes) is attributes
    assert type(pickle.loads(pickle.dumps(attributes))) is Attributes


def test_attributes_of_another_value_are_shared() -> None:
    """They were checked once."""
    attributes = Service("x", attributes={"a": 1}).attributes
    assert Service("y", attributes=attributes).attributes is attributes


# What the host does with results ----------------------------------------------------------------


def test_a_stamped_service_tells_where_it_came_from() -> None:
    """D36; the provider's own value stays as it was, and nothing else changes."""
    service = Service("x", comment="y", service_class="_http._tcp")
    stamped = service._stamped(Namespace.DNS, GUID)
    assert stamped == service.replace(namespace=Namespace.DNS, provider=GUID)
    assert service.provider is None
    with pytest.raises(AttributeError):
        stamped.name = "z"


def test_a_stamp_replaces_what_the_provider_claims() -> None:
    """The host knows better."""
    stamped = Service(**FULL_SERVICE)._stamped(Namespace.NIS, uuid.UUID(int=7))
    assert stamped.namespace is Namespace.NIS
    assert stamped.provider == uuid.UUID(int=7)


def test_a_service_that_has_its_stamp_is_not_copied() -> None:
    """A provider that fills it in saves the host the work; both have to be right."""
    service = Service("x", namespace=Namespace.DNS, provider=GUID)
    assert service._stamped(Namespace.DNS, GUID) is service
    assert service._stamped(Namespace.NIS, GUID).namespace is Namespace.NIS
    assert service._stamped(Namespace.DNS, uuid.UUID(int=7)).provider == uuid.UUID(int=7)


@pytest.mark.parametrize(
    ("flag", "fields"),
    [
        (LookupFlags.RETURN_NAME, {"name": ""}),
        (LookupFlags.RETURN_TYPE, {"service_class": None}),
        (LookupFlags.RETURN_VERSION, {"version": None}),
        (LookupFlags.RETURN_COMMENT, {"comment": ""}),
        (LookupFlags.RETURN_ADDR, {"addresses": ()}),
        (LookupFlags.RETURN_BLOB, {"blob": None}),
        (LookupFlags.RETURN_ALIASES, {}),
        (LookupFlags.RETURN_QUERY_STRING, {}),
    ],
)
def test_a_member_that_is_not_asked_for_is_left_out(
    flag: LookupFlags, fields: dict[str, object]
) -> None:
    """That one and no other; the provider's value stays as it was."""
    service = Service(**FULL_SERVICE)
    assert service._narrowed(LookupFlags.RETURN_ALL & ~flag) == service.replace(**fields)
    assert service == Service(**FULL_SERVICE)


def test_attributes_stay_with_any_member() -> None:
    """Winsock has no flag for them."""
    narrowed = Service(**FULL_SERVICE)._narrowed(LookupFlags.RETURN_ADDR | LookupFlags.DEEP)
    assert narrowed.attributes == FULL_SERVICE["attributes"]
    assert narrowed.addresses == FULL_SERVICE["addresses"]
    assert narrowed.name == ""


def test_without_any_return_flag_only_the_origin_is_told() -> None:
    """Where it came from, what it is, where it is, and how long it holds."""
    kept = {"ttl", "context", "namespace", "provider", "flags"}
    expected = {name: value for name, value in FULL_SERVICE.items() if name in kept}
    narrowed = Service(**FULL_SERVICE)._narrowed(LookupFlags.DEEP)
    assert narrowed == Service("", **expected)
    assert narrowed.service_type is None


def test_a_service_of_which_all_is_asked_for_is_not_copied() -> None:
    """The usual case costs nothing."""
    service = Service(**FULL_SERVICE)
    assert service._narrowed(LookupFlags.RETURN_ALL | LookupFlags.DEEP) is service


# Changes ----------------------------------------------------------------------------------------


def test_a_change_has_its_kind_and_its_service() -> None:
    """And nothing else."""
    change = Change(ChangeKind.REMOVED, Service("x"))
    assert change.kind is ChangeKind.REMOVED
    assert change.service == Service("x")
    assert repr(change) == "Change(<ChangeKind.REMOVED: 'removed'>, Service('x'))"


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        (("added", Service("x")), "kind"),
        ((0x10, Service("x")), "kind"),
        ((ChangeKind.ADDED, "x"), "service"),
        ((ChangeKind.ADDED, None), "service"),
    ],
)
def test_a_wrong_field_of_a_change_is_named(arguments: tuple[object, ...], field: str) -> None:
    """Each field is checked."""
    with pytest.raises(InvalidArgumentError, match=rf"^Change\.{field} is "):
        Change(*arguments)
