"""What a lookup gives: results stamped, filtered and narrowed, and errors for all the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import pytest

from nspkit import (
    Address,
    Comparison,
    LookupFlags,
    Namespace,
    ResultFlags,
    Service,
    Version,
    hookimpl,
)
from nspkit.errors import (
    CancelledError,
    LookupFailedError,
    NspError,
    ProviderError,
    ServiceNotFoundError,
)

Asked = Callable[..., Any]
Names = Callable[[Any], list[str]]

WHOLE = Service(
    "whole",
    service_class="_http._tcp",
    addresses=[Address.inet("192.0.2.1", 80)],
    attributes={"path": "/"},
    ttl=60,
    comment="a comment",
    context="c",
    version=3,
    blob=b"blob",
)


def giving(*items: Any) -> Callable[[Any, Any], Iterator[Any]]:
    """A lookup, a generator, that yields these items; an exception among them is raised."""

    def lookup(query: Any, cancellation: Any) -> Iterator[Any]:
        for item in items:
            if isinstance(item, BaseException):
                raise item
            yield item

    return lookup


def one_error(lookup: Any) -> NspError:
    """The error that ends a lookup of one provider, however it was asked."""
    with pytest.raises(NspError) as caught:
        list(lookup)
    error = caught.value
    if isinstance(error, LookupFailedError):
        assert error.errors == lookup.errors[:1]
        assert error.code == lookup.errors[0].code
    else:
        assert str(error) == str(lookup.errors[0])
    return lookup.errors[0]  # type: ignore[no-any-return]


# Stamps -----------------------------------------------------------------------------------------


def test_d36_a_result_carries_the_namespace_and_the_guid_it_came_from(
    stage: Any, asked: Asked
) -> None:
    """Also one that claims to come from somebody else."""
    liar = Service("liar", namespace=Namespace.BTH, provider=UUID(int=7))
    host = stage.host(stage.provider("p", giving(Service("plain"), liar), namespace=Namespace.NIS))
    guid = host.providers()[0].guid
    found = list(asked(host))
    assert [(s.name, s.namespace, s.provider) for s in found] == [
        ("plain", Namespace.NIS, guid),
        ("liar", Namespace.NIS, guid),
    ]


def test_a_result_that_is_kept_by_its_provider_stays_as_it_is(stage: Any, asked: Asked) -> None:
    """Stamping makes a new value; what the provider holds may belong to two providers."""
    host = stage.host(stage.provider("p", giving(WHOLE)))
    (found,) = asked(host)
    assert found.provider is not None
    assert WHOLE.provider is None


# Narrowing --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flags", "kept"),
    [
        (LookupFlags.RETURN_NAME, {"name"}),
        (LookupFlags.RETURN_TYPE, {"service_class", "service_type"}),
        (LookupFlags.RETURN_VERSION, {"version"}),
        (LookupFlags.RETURN_COMMENT, {"comment"}),
        (LookupFlags.RETURN_ADDR, {"addresses"}),
        (LookupFlags.RETURN_BLOB, {"blob"}),
        (LookupFlags.RETURN_NAME | LookupFlags.RETURN_ADDR, {"name", "addresses"}),
        (
            LookupFlags.RETURN_ALL,
            {"name", "service_class", "service_type", "version", "comment", "addresses", "blob"},
        ),
    ],
)
def test_the_flags_narrow_a_result_to_what_was_asked_for(
    stage: Any, asked: Asked, flags: LookupFlags, kept: set[str]
) -> None:
    """Each RETURN flag keeps its member; what is not asked for is empty."""
    host = stage.host(stage.provider("p", giving(WHOLE)))
    (found,) = asked(host, flags=flags)
    members = ["name", "service_class", "service_type", "version", "comment", "addresses", "blob"]
    assert {member for member in members if getattr(found, member)} == kept
    assert (found.ttl, found.context, found.attributes) == (60, "c", {"path": "/"})
    assert (found.provider, found.namespace) == (host.providers()[0].guid, Namespace.DNS)


# Aliases ----------------------------------------------------------------------------------------


def test_d34_aliases_are_later_results_that_are_flagged(stage: Any, asked: Asked) -> None:
    """They come where the provider yields them, if aliases were asked for."""
    alias = Service("alias", flags=ResultFlags.IS_ALIAS)
    host = stage.host(stage.provider("p", giving(Service("true"), alias)))
    for flags in (LookupFlags.RETURN_ALL, LookupFlags.RETURN_NAME | LookupFlags.RETURN_ALIASES):
        found = list(asked(host, flags=flags))
        assert [(s.name, s.flags) for s in found] == [
            ("true", ResultFlags(0)),
            ("alias", ResultFlags.IS_ALIAS),
        ]


def test_without_the_flag_aliases_are_left_out(stage: Any, asked: Asked, names: Names) -> None:
    """Wherever they stand, and the last result is the end all the same."""
    alias = Service("alias", flags=ResultFlags.IS_ALIAS | ResultFlags.IS_ADDED)
    host = stage.host(stage.provider("p", giving(alias, Service("a"), alias, Service("b"), alias)))
    flags = LookupFlags.RETURN_NAME | LookupFlags.RETURN_ADDR
    assert names(asked(host, flags=flags)) == ["a", "b"]


# Versions ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "wanted"),
    [
        (None, ["1", "2", "3", "none"]),
        (2, ["2", "none"]),
        (Version(2, Comparison.EQUAL), ["2", "none"]),
        (Version(2, Comparison.NOTLESS), ["2", "3", "none"]),
        (Version(9, Comparison.NOTLESS), ["none"]),
    ],
)
def test_d35_versions_are_filtered(
    stage: Any, asked: Asked, names: Names, version: Any, wanted: list[str]
) -> None:
    """A result without a version passes: who has none cannot be said to have the wrong one."""
    services = [Service(str(n), version=n) for n in (1, 2, 3)]
    host = stage.host(stage.provider("p", giving(*services, Service("none"))))
    assert names(asked(host, version=version)) == wanted


def test_a_version_that_is_not_to_be_returned_is_filtered_on_all_the_same(
    stage: Any, asked: Asked
) -> None:
    """The filter comes before the narrowing."""
    services = [Service(str(n), version=n) for n in (1, 2)]
    host = stage.host(stage.provider("p", giving(*services)))
    (found,) = asked(host, version=2, flags=LookupFlags.RETURN_NAME)
    assert (found.name, found.version) == ("2", None)


# Wrong results ----------------------------------------------------------------------------------


class _Liar:
    __class__ = Service  # type: ignore[assignment]


class _Trap:
    @property
    def __class__(self) -> Any:  # type: ignore[override]
        raise RuntimeError("do not ask")

    def __repr__(self) -> str:
        raise RuntimeError("nor show")


# Made when they are needed: pytest would look at them, which is what one of them punishes.
WRONG: dict[str, Callable[[], Any]] = {
    "None": lambda: None,
    "text": lambda: "text",
    "dict": lambda: {"name": "x"},
    "number": lambda: 7,
    "object": object,
    "class": lambda: Service,
    "list": lambda: [Service("x")],
    "subclass": lambda: type("Sub", (Service,), {"__slots__": ()})("x"),
    "liar": _Liar,
    "trap": _Trap,
}


@pytest.mark.parametrize("make", WRONG.values(), ids=WRONG)
def test_what_is_yielded_must_be_a_service(
    stage: Any, asked: Asked, make: Callable[[], Any]
) -> None:
    """Anything else ends that provider's part with 10107, after what was good."""
    closed: list[str] = []

    def lookup(query: Any, cancellation: Any) -> Iterator[Any]:
        try:
            yield Service("good")
            yield make()
            yield Service("never reached")
        finally:
            closed.append("closed")

    host = stage.host(stage.provider("p", lookup))
    results = asked(host)
    assert next(results).name == "good"
    error = one_error(results)
    assert isinstance(error, ProviderError)
    assert error.code == 10107
    assert error.guid == host.providers()[0].guid
    assert "'p'" in error.message
    assert "must yield Service objects" in error.message
    assert closed == ["closed"]
    assert list(results) == []


@pytest.mark.parametrize(
    "wrong", [None, "text", b"bytes", {}, 7, Service("x"), object()], ids=lambda w: type(w).__name__
)
def test_what_is_returned_must_be_an_iterable_of_services(
    stage: Any, asked: Asked, wrong: Any
) -> None:
    """A text, a dictionary or nothing at all is a mistake that is told (10107)."""
    host = stage.host(stage.provider("p", lambda query, cancellation: wrong))
    with pytest.raises(NspError) as caught:
        list(asked(host))
    assert caught.value.code == 10107
    assert "must return an iterable" in str(caught.value)


@pytest.mark.parametrize("iterable", [list, tuple, iter], ids=["list", "tuple", "iterator"])
def test_any_iterable_will_do(stage: Any, asked: Asked, names: Names, iterable: Any) -> None:
    """It need not be a generator."""
    host = stage.host(stage.provider("p", lambda q, c: iterable([Service("a"), Service("b")])))
    assert names(asked(host)) == ["a", "b"]


# Errors -----------------------------------------------------------------------------------------


class OwnError(NspError, code=11001):
    """An error of a provider's own."""


class Odd(BaseException):
    """What no provider should raise."""


RAISED = [
    (RuntimeError("x"), 10107),
    (KeyError("x"), 10107),
    (ConnectionRefusedError("x"), 10107),
    (SystemExit(2), 10107),
    (GeneratorExit(), 10107),
    (RecursionError("x"), 10107),
    (StopAsyncIteration("x"), 10107),
    (MemoryError(), 8),
    (NotImplementedError("x"), 10045),
    (TimeoutError("x"), 10060),
    (ServiceNotFoundError("x"), 10108),
    (CancelledError("x"), 10111),
    (OwnError("x"), 11001),
]
_IDS = [type(error).__name__ for error, _ in RAISED]


@pytest.mark.parametrize("at", ["begin", "first step", "second step"])
@pytest.mark.parametrize(("error", "code"), RAISED, ids=_IDS)
def test_what_a_provider_raises_is_told_with_its_code(
    stage: Any, asked: Asked, error: BaseException, code: int, at: str
) -> None:
    """Foreign exceptions are translated and chained; a `NspError` passes as it is."""

    def beginning(query: Any, cancellation: Any) -> Any:
        raise error

    steps = [error] if at == "first step" else [Service("good"), error]
    host = stage.host(stage.provider("p", beginning if at == "begin" else giving(*steps)))
    with pytest.raises(NspError) as caught:
        lookup = asked(host)
        if at == "second step":
            assert next(lookup).name == "good"
        next(lookup)
    told: Any = caught.value
    assert told.code == code
    if isinstance(told, LookupFailedError):
        (told,) = told.errors
    assert told.code == code
    if isinstance(error, NspError):
        assert type(told) is type(error)
        assert told.__cause__ is not told
    else:
        assert told.guid == host.providers()[0].guid
        assert told.__cause__ is error
        assert "provider 'p': nsp_lookup_service raised" in told.message


def test_a_stop_iteration_that_leaves_the_hook_is_no_end(stage: Any, asked: Asked) -> None:
    """Only an iterator ends by it; a hook that raises it has failed."""

    def lookup(query: Any, cancellation: Any) -> Any:
        raise StopIteration

    host = stage.host(stage.provider("p", lookup))
    with pytest.raises(NspError) as caught:
        list(asked(host))
    assert caught.value.code == 10107


@pytest.mark.parametrize("error", [KeyboardInterrupt(), Odd()], ids=["KeyboardInterrupt", "Odd"])
@pytest.mark.parametrize("step", [0, 1])
def test_an_interrupt_passes_through_the_thread_of_its_caller(
    stage: Any, feed: Any, error: BaseException, step: int
) -> None:
    """Ctrl-C is the application's; the iterator is closed all the same."""
    made = feed(*[Service("good")] * step, error)
    host = stage.host(stage.provider("p", lambda query, cancellation: made))
    with host.lookup("x", provider="p") as lookup:
        with pytest.raises(type(error)):
            for service in lookup:
                assert service.name == "good"
        assert made.closed == 1
    assert made.closed == 1


@pytest.mark.parametrize("error", [KeyboardInterrupt("k"), Odd("o")], ids=["interrupt", "odd"])
@pytest.mark.parametrize("at", ["begin", "step", "close"])
def test_an_interrupt_in_a_worker_is_an_error_of_its_provider(
    stage: Any, feed: Any, names: Names, error: BaseException, at: str
) -> None:
    """A worker outlives it, and nobody waits for ever."""
    made = feed(Service("good"), *([error] if at == "step" else []))
    made.closing = error if at == "close" else None

    def lookup(query: Any, cancellation: Any) -> Any:
        if at == "begin":
            raise error
        return made

    host = stage.host(stage.provider("p", lookup), stage.provider("q"))
    results = host.lookup("it")
    assert names(results) == (["it"] if at == "begin" else ["good", "it"])
    (told,) = results.errors
    assert told.code == 10107
    assert told.guid == host.providers()[0].guid
    assert told.__cause__ is error
    assert made.closed == (0 if at == "begin" else 1)


def test_after_an_error_there_is_no_more(stage: Any, asked: Asked) -> None:
    """As with a generator: it raised once, then it is over (R14)."""
    host = stage.host(stage.provider("p", giving(RuntimeError("x"))))
    lookup = asked(host)
    one_error(lookup)
    assert next(lookup, "no more") == "no more"
    assert len(lookup.errors) == 1


def test_d24_after_the_end_there_is_no_more(stage: Any, asked: Asked, names: Names) -> None:
    """Exhausted is exhausted, also after close."""
    host = stage.host(stage.provider("p"))
    lookup = asked(host)
    assert names(lookup) == ["it"]
    assert next(lookup, "no more") == "no more"
    lookup.close()
    assert next(lookup, "no more") == "no more"
    assert lookup.errors == ()


def test_an_error_that_a_direct_lookup_keeps_is_text_only(stage: Any) -> None:
    """The one that was raised has the cause; the other must not hold the frames of its reader."""
    host = stage.host(stage.provider("p", giving(RuntimeError("x"))))
    lookup = host.lookup("x", provider="p")
    with pytest.raises(ProviderError) as caught:
        next(lookup)
    (kept,) = lookup.errors
    assert isinstance(caught.value.__cause__, RuntimeError)
    assert (kept.__traceback__, kept.__cause__, kept.__context__) == (None, None, None)
    assert (str(kept), kept.guid) == (str(caught.value), caught.value.guid)


def test_an_error_that_is_raised_for_a_timed_lookup_is_chained(stage: Any) -> None:
    """Its cause is what the provider raised, wherever that was; a `NspError` is its own."""
    host = stage.host(
        stage.provider("p", giving(RuntimeError("x"))), stage.provider("q", giving(OwnError("y")))
    )
    with pytest.raises(ProviderError) as caught:
        next(host.lookup("x", provider="p", timeout=300))
    assert isinstance(caught.value.__cause__, RuntimeError)
    with pytest.raises(OwnError) as owned:
        next(host.lookup("x", provider="q", timeout=300))
    assert isinstance(owned.value.__cause__, OwnError)


# Middleware -------------------------------------------------------------------------------------


class Watching:
    """A middleware that counts the items of lookups, by a generator of its own around each."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    @hookimpl(wrapper=True)
    def nsp_lookup_service(self, query: Any) -> Any:
        """Wrap the creation of the iterator, and with it the items."""
        self.seen.append(f"begin {query.name}")
        return self._around((yield))

    def _around(self, found: Any) -> Iterator[Any]:
        try:
            for service in found:
                self.seen.append(service.name)
                yield service
        finally:
            found.close()
            self.seen.append("end")


@pytest.mark.parametrize("end", ["exhausted", "closed", "failed"])
def test_a_middleware_sees_the_items_and_the_end_of_a_lookup(
    stage: Any, asked: Asked, feed: Any, end: str
) -> None:
    """What it returns is the iterator of the lookup, closed once, and it closes the provider's."""
    watching = Watching()
    made = feed(
        Service("a"), *({"failed": [OSError("x")], "closed": [Service("b")] * 200}.get(end, []))
    )
    host = stage.host(stage.provider("p", lambda q, c: made), middleware=[watching])
    with asked(host) as lookup:
        assert next(lookup).name == "a"
        if end != "closed":
            end_quietly(lookup)
    host.close()
    assert watching.seen[:2] == ["begin it", "a"]
    assert watching.seen.count("end") == 1
    assert made.closed == 1
    assert [int(error.code) for error in lookup.errors] == ([10107] if end == "failed" else [])


def end_quietly(lookup: Any) -> None:
    """Read to the end, whatever it is."""
    try:
        list(lookup)
    except NspError:
        pass
