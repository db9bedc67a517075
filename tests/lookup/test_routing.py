"""Who is asked: one provider, those of a namespace, or all; and in which order they answer."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from nspkit import Catalog, Host, Namespace, Query, Service
from nspkit.errors import (
    DuplicateProviderError,
    InProgressError,
    InvalidArgumentError,
    InvalidProcedureTableError,
    InvalidProviderError,
    LookupFailedError,
    OperationNotSupportedError,
    ProviderLoadError,
    ServiceNotFoundError,
    VersionNotSupportedError,
)

Names = Callable[[Any], list[str]]

SOUND = """
from nspkit import Namespace, ProviderInfo, Service, hookimpl
class P:
    info = ProviderInfo("{guid}", "{name}", Namespace.{namespace}, "1"{more})
    @hookimpl
    def nsp_startup(self): pass
    @hookimpl
    def nsp_cleanup(self): pass
    @hookimpl
    def nsp_lookup_service(self, query): yield Service("{name}")
"""


def sound(name: str, number: int, namespace: str = "DNS", more: str = "") -> str:
    """The source of a module with a provider that works."""
    guid = f"f3f6c1d2-0a4e-4a51-8a1e-{number:012}"
    return SOUND.format(guid=guid, name=name, namespace=namespace, more=more)


def naming(name: str) -> Callable[..., Iterator[Service]]:
    """A lookup that finds one service, named after its provider."""

    def lookup(query: Any, cancellation: Any) -> Iterator[Service]:
        yield Service(name)

    return lookup


@pytest.fixture
def two(stage: Any) -> Host:
    """A host of three providers, two of one namespace and one of another."""
    return stage.host(
        stage.provider("one", naming("one"), namespace=Namespace.DNS),
        stage.provider("two", naming("two"), namespace=Namespace.BTH),
        stage.provider("three", naming("three"), namespace=Namespace.DNS),
    )


# Selection --------------------------------------------------------------------------------------


def test_d10_a_guid_selects_that_provider_whatever_the_namespace_says(
    two: Host, names: Names
) -> None:
    """The namespace field is of no account where a provider is named."""
    guid = two.providers()[0].guid
    assert names(two.lookup("x", provider=guid, namespace=Namespace.BTH)) == ["one"]
    assert names(two.lookup("x", provider=guid, namespace=Namespace.BTH, timeout=300)) == ["one"]


@pytest.mark.parametrize("timeout", [None, 300])
def test_a_provider_is_named_by_uuid_string_braces_short_name_or_info(
    two: Host, names: Names, timeout: float | None
) -> None:
    """All that names a provider anywhere names it in a lookup."""
    entry = two.providers()[1]
    for key in (entry.guid, str(entry.guid), f"{{{entry.guid}}}", "two", entry.info):
        assert names(two.lookup("x", provider=key, timeout=timeout)) == ["two"]


def test_d11_a_namespace_selects_all_of_its_providers_and_no_others(
    two: Host, names: Names
) -> None:
    """Those of another namespace are not asked."""
    assert names(two.lookup("x", namespace=Namespace.DNS)) == ["one", "three"]
    assert names(two.lookup("x", namespace=Namespace.BTH)) == ["two"]
    assert names(two.lookup("x", namespace=12)) == ["one", "three"]


def test_d12_all_selects_every_enabled_provider(two: Host, names: Names) -> None:
    """It is what a lookup does unless told otherwise."""
    assert names(two.lookup("x")) == ["one", "two", "three"]
    assert names(two.lookup("x", namespace=Namespace.ALL)) == ["one", "two", "three"]


def test_d13_a_disabled_provider_is_never_asked(stage: Any, names: Names) -> None:
    """Neither by namespace, nor among all, nor by its GUID, nor by its name."""
    asked: list[str] = []

    def lookup(query: Any, cancellation: Any) -> Iterator[Service]:
        asked.append("disabled")
        yield Service("disabled")

    catalog = Catalog()
    entry = catalog.install(stage.provider("off", lookup))
    catalog.enable("off", False)
    host = stage.host(stage.provider("on"), catalog=catalog)
    assert names(host.lookup("it")) == ["it"]
    assert names(host.lookup("it", namespace=Namespace.DNS)) == ["it"]
    for key in ("off", entry.guid):
        for timeout in (None, 30):
            with pytest.raises(InvalidProviderError) as caught:
                host.lookup("it", provider=key, timeout=timeout)
            assert caught.value.code == 10022
    assert asked == []


def test_an_unknown_provider_is_refused_and_the_installed_ones_are_listed(two: Host) -> None:
    """A lookup that names nobody known asks nobody."""
    with pytest.raises(InvalidProviderError, match="installed: one, two, three") as caught:
        two.lookup("x", provider="four")
    assert caught.value.code == 10022
    with pytest.raises(InvalidProviderError, match="installed: one, two, three"):
        two.lookup("x", provider="00000000-0000-4000-8000-000000000009")


@pytest.mark.parametrize(
    "wrong",
    [
        {"order": "random"},
        {"order": None},
        {"timeout": -1},
        {"timeout": "1"},
        {"timeout": True},
        {"timeout": float("nan")},
        {"provider": "one", "timeout": -0.5},
        {"provider": 7},
        {"namespace": "DNS"},
        {"flags": "all"},
        {"version": "1"},
        {"protocols": 6},
    ],
)
def test_a_wrong_argument_is_refused_before_anybody_is_asked(
    two: Host, wrong: dict[str, Any]
) -> None:
    """Nothing is started for a lookup that cannot be meant."""
    with pytest.raises(InvalidArgumentError) as caught:
        two.lookup("x", **wrong)
    assert caught.value.code == 10022
    assert [two.references(name) for name in ("one", "two", "three")] == [0, 0, 0]


def test_a_whole_query_takes_the_place_of_the_arguments(two: Host, names: Names) -> None:
    """The provider and the namespace of a `Query` route it."""
    assert names(two.lookup(Query("x", namespace=Namespace.BTH))) == ["two"]
    assert names(two.lookup(Query("x", provider="three"))) == ["three"]
    assert names(two.lookup(Query("x", provider="three"), timeout=300)) == ["three"]


def test_the_query_reaches_the_provider_untouched(stage: Any) -> None:
    """Also flags and protocols that the host does nothing with (R19)."""
    seen: list[Query] = []

    def lookup(query: Any, cancellation: Any) -> list[Service]:
        seen.append(query)
        return []

    host = stage.host(stage.provider("p", lookup))
    query = Query("x", provider="p", protocols=[(2, 6)], flags=0x4000_0001, blob=b"b", context="c")
    assert list(host.lookup(query)) == []
    assert list(host.lookup(query, timeout=300)) == []
    assert seen == [query, query]


# Order ------------------------------------------------------------------------------------------


def test_d15_results_come_in_catalog_order_though_the_second_answers_first(
    stage: Any, names: Names, arrived: Any
) -> None:
    """The results of the first provider precede all of the second's (R11)."""
    second_is_done = stage.gate()

    def slow(query: Any, cancellation: Any) -> Iterator[Service]:
        arrived(second_is_done)
        yield Service("a")
        yield Service("b")

    def quick(query: Any, cancellation: Any) -> Iterator[Service]:
        yield Service("c")
        yield Service("d")
        second_is_done.set()

    host = stage.host(stage.provider("slow", slow), stage.provider("quick", quick))
    assert names(host.lookup("x")) == ["a", "b", "c", "d"]


def test_order_arrival_gives_what_is_there_first(stage: Any, names: Names, arrived: Any) -> None:
    """The first provider answers only after the reader has the result of the second."""
    reader_has_one = stage.gate()

    def slow(query: Any, cancellation: Any) -> Iterator[Service]:
        arrived(reader_has_one)
        yield Service("late")

    host = stage.host(stage.provider("slow", slow), stage.provider("quick", naming("early")))
    lookup = host.lookup("x", order="arrival")
    assert next(lookup).name == "early"
    reader_has_one.set()
    assert names(lookup) == ["late"]


def test_the_order_of_providers_given_to_the_host_is_the_order_of_results(
    stage: Any, names: Names
) -> None:
    """`Host(providers=…)` restricts and orders."""
    catalog = Catalog()
    for name in ("one", "two", "three"):
        catalog.install(stage.provider(name, naming(name)))
    host = stage.host(catalog=catalog, providers=["three", "one"])
    assert names(host.lookup("x")) == ["three", "one"]


# Nobody -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"namespace": Namespace.BTH}, {"timeout": 300}])
def test_r08_nobody_eligible_is_service_not_found_and_nobody_is_asked(
    stage: Any, options: dict[str, Any]
) -> None:
    """An empty selection says so at the call (10108)."""
    host = stage.host(*([stage.provider("dns")] if "namespace" in options else []))
    with pytest.raises(ServiceNotFoundError) as caught:
        host.lookup("x", **options)
    assert caught.value.code == 10108
    if "namespace" in options:
        assert host.references("dns") == 0


def test_a_provider_without_the_hook_is_passed_over_and_not_even_started(
    stage: Any, names: Names
) -> None:
    """It is no failure: nothing is recorded."""
    host = stage.host(stage.provider("mute", None), stage.provider("speaking"))
    lookup = host.lookup("it")
    assert names(lookup) == ["it"]
    assert lookup.errors == ()
    assert (host.references("mute"), host.references("speaking")) == (0, 1)


def test_what_stands_beside_a_whole_query_counts(two: Host, names: Names) -> None:
    """A provider, for instance; the query itself is not changed."""
    query = Query("it")
    assert names(two.lookup(query, provider="one")) == ["one"]
    assert query.provider is None


@pytest.mark.parametrize("ask", ["lookup", "watch"])
def test_a_session_takes_no_query_for_another_provider(two: Host, ask: str) -> None:
    """It could not be answered by that one (10022); by name or GUID, its own is right."""
    with two.startup("one") as session:
        with pytest.raises(InvalidArgumentError, match=r"'two'.*'one'"):
            getattr(session, ask)(Query("it", provider="two"))
        for own in ("one", session.info.guid):
            getattr(session, ask)(Query("it", provider=own)).close()


def test_only_providers_without_the_hook_are_nobody(stage: Any) -> None:
    """There is nobody who could have failed, so it is 10108 and no `LookupFailedError`."""
    lookup = stage.host(stage.provider("mute", None)).lookup("it")
    with pytest.raises(ServiceNotFoundError) as caught:
        next(lookup)
    assert caught.value.code == 10108
    assert list(lookup) == []


@pytest.mark.parametrize("timeout", [None, 300])
def test_a_lookup_directed_at_a_provider_without_the_hook_is_not_supported(
    stage: Any, timeout: float | None
) -> None:
    """Who names a provider gets its stub's answer (10045), with and without a time-out."""
    host = stage.host(stage.provider("mute", None))
    with pytest.raises(OperationNotSupportedError) as caught:
        list(host.lookup("it", provider="mute", timeout=timeout))
    assert caught.value.code == 10045
    assert caught.value.guid == host.providers()[0].guid
    with host.startup("mute") as session, pytest.raises(OperationNotSupportedError):
        list(session.lookup("it", timeout=timeout))


# Broken ones ------------------------------------------------------------------------------------


def test_r05_broken_providers_harm_nobody_and_are_recorded(
    installed: Any, stage: Any, names: Names
) -> None:
    """Each in its place, with the code that says what is wrong."""
    catalog = installed(
        {
            "a_broken": "raise RuntimeError('no such library')",
            "b_exits": "raise SystemExit(3)",
            "c_sound": sound("c_sound", 1),
            "d_invalid": sound("d_invalid", 2).replace("yield", "pass;", 1).replace("query", "qry"),
            "e_unmarked": sound("e_unmarked", 3) + "    def nsp_ioctl(self): pass\n",
            "f_version": sound("f_version", 4, more=", spi_version=2"),
            "g_no_class": "P = 7",
            "h_sound": sound("h_sound", 6),
        }
    )
    host = stage.host(catalog=catalog)
    lookup = host.lookup("x")
    found = names(lookup)
    # The errors first: were a sound one among them, its message would say why.
    assert [(type(error), int(error.code)) for error in lookup.errors] == [
        (ProviderLoadError, 10106),
        (ProviderLoadError, 10106),
        (InvalidProcedureTableError, 10104),
        (InvalidProcedureTableError, 10104),
        (VersionNotSupportedError, 10092),
        (InvalidProcedureTableError, 10104),
    ], lookup.errors
    assert found == ["c_sound", "h_sound"]
    assert "a_broken" in str(lookup.errors[0])


def test_two_providers_with_one_guid_are_not_both_asked(
    installed: Any, stage: Any, names: Names
) -> None:
    """When both are known neither is started, and what already runs goes on (10105)."""
    twin, other = sound("twin", 5), sound("other", 6)
    catalog = installed({"a": twin, "b": twin, "c": other})
    host = stage.host(catalog=catalog)
    assert [entry.guid for entry in host.providers()]  # all are imported by that
    lookup = host.lookup("x")
    assert names(lookup) == ["other"]
    assert [type(error) for error in lookup.errors] == [DuplicateProviderError] * 2
    assert lookup.errors[0].guid == lookup.errors[1].guid == host.providers()[0].guid
    assert all("'a'" in str(error) and "'b'" in str(error) for error in lookup.errors)

    host = stage.host(catalog=installed({"d": twin.replace("-8a1e-", "-8a1f-")}), providers=["d"])
    assert names(host.lookup("x")) == ["twin"]


def test_a_twin_that_is_found_later_does_not_stop_what_runs(
    installed: Any, stage: Any, names: Names
) -> None:
    """The first runs before the module of the second is imported; a fan-out asks it on."""
    twin = sound("twin", 5)
    host = stage.host(catalog=installed({"a": twin, "b": twin}))
    assert names(host.lookup("x", provider="a")) == ["twin"]
    for _ in range(2):
        lookup = host.lookup("x")
        assert names(lookup) == ["twin"]
        assert [type(error) for error in lookup.errors] == [DuplicateProviderError]


def test_a_namespace_passes_over_who_turns_out_to_serve_another(
    installed: Any, stage: Any, names: Names
) -> None:
    """It is imported to find out; a broken one serves no namespace that anybody knows of."""
    sources = {
        "a": sound("a", 1, "BTH"),
        "b": sound("b", 2, "DNS"),
        "c": "raise ImportError('c')",
        "d": sound("d", 4, "DNS", more=", spi_version=2"),
    }
    host = stage.host(catalog=installed(sources))
    for _ in range(2):  # not known, then known
        lookup = host.lookup("x", namespace=Namespace.DNS)
        assert names(lookup) == ["b"]
        assert [int(error.code) for error in lookup.errors] == [10092]
    assert host.references("a") == 0
    with pytest.raises(ServiceNotFoundError):
        host.lookup("x", namespace=Namespace.NIS)


def test_a_namespace_that_nobody_turns_out_to_serve_is_not_found(
    installed: Any, stage: Any
) -> None:
    """Where that is only known after the import, the first ``next`` says so (10108)."""
    host = stage.host(catalog=installed({"a": sound("a", 1, "BTH")}))
    with pytest.raises(ServiceNotFoundError) as caught:
        next(host.lookup("x", namespace=Namespace.NIS))
    assert caught.value.code == 10108


def test_a_lookup_of_broken_providers_only_fails_with_the_last_code(
    installed: Any, stage: Any
) -> None:
    """R10: the code of the last in catalog order, and all of them."""
    host = stage.host(
        catalog=installed(
            {"a": "raise ImportError('x')", "b": sound("b", 1, more=", spi_version=9")}
        )
    )
    with pytest.raises(LookupFailedError) as caught:
        list(host.lookup("x"))
    assert caught.value.code == 10092
    assert [int(error.code) for error in caught.value.errors] == [10106, 10092]


def test_r01_nothing_is_imported_before_a_lookup_needs_it(
    installed: Any, stage: Any, names: Names
) -> None:
    """A host is made without importing, and a short name imports that provider only."""
    catalog = installed({"a": sound("a", 1), "b": sound("b", 2)})
    before = set(sys.modules)

    def imported() -> list[str]:
        return [m.split("_")[1] for m in sys.modules if m not in before and "installed_" in m]

    host = stage.host(catalog=catalog)
    assert imported() == []
    assert names(host.lookup("x", provider="b")) == ["b"]
    assert imported() == ["b"]
    assert names(host.lookup("x")) == ["a", "b"]
    assert sorted(imported()) == ["a", "b"]


# From inside ------------------------------------------------------------------------------------


def test_a_fan_out_from_inside_a_provider_passes_it_over_and_records_it(
    stage: Any, names: Names, asked: Any
) -> None:
    """A provider that asks everybody does not wait for itself."""
    inner: list[Any] = []

    def asking(query: Any, cancellation: Any) -> Iterator[Service]:
        lookup = host.lookup("inner")
        inner.append((names(lookup), lookup.errors))
        yield Service("outer")

    host = stage.host(stage.provider("asking", asking), stage.provider("other"))
    assert "outer" in names(asked(host))
    found, errors = inner[0]
    assert found == ["inner"]
    assert [type(error) for error in errors] == [InProgressError]
    assert errors[0].guid == host.providers()[0].guid


def test_two_providers_that_ask_everybody_do_not_wait_for_each_other(
    stage: Any, names: Names
) -> None:
    """The chain goes with the calls into the workers."""

    def asking(query: Any, cancellation: Any) -> Iterator[Service]:
        yield from host.lookup(f"{query.name}+")

    host = stage.host(stage.provider("a", asking), stage.provider("b", asking), stage.provider("c"))
    # a asks b, which asks c; b asks a, which asks c; each asks c too.
    assert sorted(names(host.lookup("x"))) == ["x", "x+", "x+", "x++", "x++"]


@pytest.mark.parametrize("timeout", [None, 300])
def test_a_lookup_directed_at_a_provider_from_inside_it_is_in_progress(
    stage: Any, names: Names, asked: Any, timeout: float | None
) -> None:
    """It is refused at the call, never a deadlock (10036)."""
    refused: list[InProgressError] = []

    def asking(query: Any, cancellation: Any) -> Iterator[Service]:
        with pytest.raises(InProgressError) as caught:
            host.lookup("inner", provider="asking", timeout=timeout)
        refused.append(caught.value)
        yield Service("outer")

    host = stage.host(stage.provider("asking", asking))
    assert names(asked(host)) == ["outer"]
    assert [int(error.code) for error in refused] == [10036]


def test_providers_answer_side_by_side(stage: Any, names: Names) -> None:
    """Three providers meet at a barrier, which needs them all at the same time."""
    barrier = threading.Barrier(3, timeout=30)

    def meeting(query: Any, cancellation: Any) -> Iterator[Service]:
        barrier.wait()
        yield Service("met")

    host = stage.host(*(stage.provider(f"p{i}", meeting) for i in range(3)))
    assert names(host.lookup("x")) == ["met"] * 3
