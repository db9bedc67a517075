"""Providers behind the C shapes: their start, their end, their routine tables."""

from __future__ import annotations

import inspect
import logging
import sys
import threading
import weakref
from typing import Any

import pytest

from nspkit import (
    Catalog,
    LookupFlags,
    Namespace,
    ProviderInfo,
    Query,
    Service,
    ServiceClass,
    hookimpl,
    winsock,
)
from nspkit.errors import NotReadyError
from nspkit.winsock import (
    NSPCleanup,
    NspRoutine,
    NSPStartup,
    WSACleanup,
    WSAGetLastError,
    WSALookupServiceBegin,
    WSALookupServiceEnd,
    WSALookupServiceNext,
    WSAStartup,
)
from nspkit.winsock._process import process

ALL = LookupFlags.RETURN_ALL
OTHER = "22059d40-7e9e-11cf-ae5a-00aa00a7112b"

NEEDS_NO_STARTUP = {"WSAStartup", "WSAGetLastError", "WSASetLastError"}
NEEDING_STARTUP = [
    name
    for name in winsock.__all__
    if name.startswith(("WSA", "NSP", "WSCEnum")) and name not in NEEDS_NO_STARTUP
    if not isinstance(getattr(winsock, name), type)
]
"""The functions that answer 10093 before a startup and after the last cleanup."""


def counted(stage: Any, name: str = "one", **options: Any) -> tuple[Any, list[str]]:
    """A provider, and the list of its startups and cleanups."""
    calls: list[str] = []
    provider = stage.provider(
        name,
        startup=lambda: calls.append("startup"),
        cleanup=lambda: calls.append("cleanup"),
        **options,
    )
    return provider, calls


def test_d03_a_provider_started_twice_answers_until_it_is_cleaned_up_twice(
    stage: Any, failed: Any
) -> None:
    """The first cleanup calls nothing; after the second its resources are gone."""
    one, calls = counted(stage)
    stage.start(one)
    table: Any = NSPStartup(one.guid)
    assert isinstance(NSPStartup(one.guid), NspRoutine)
    assert table.NSPCleanup(one.guid) == 0
    handle = table.NSPLookupServiceBegin(one.guid, Query("it"), ALL)
    assert table.NSPLookupServiceNext(handle).name == "it"
    assert table.NSPLookupServiceEnd(handle) == 0
    assert calls == ["startup"]
    assert table.NSPCleanup(one.guid) == 0
    assert calls == ["startup", "cleanup"]
    failed(10093, table.NSPLookupServiceBegin(one.guid, Query("it"), ALL))
    failed(10093, table.NSPCleanup(one.guid))


def test_d04_after_the_final_cleanup_no_provider_code_runs(stage: Any, arrived: Any) -> None:
    """A call that is inside is told, and waited for."""
    inside: list[str] = []
    entered = threading.Event()

    def lookup(query: Any, cancellation: Any) -> Any:
        inside.append("it")
        entered.set()
        cancellation.wait(30)
        inside.clear()
        yield Service("late")

    one = stage.provider("one", lookup)
    stage.start(one)
    handle = WSALookupServiceBegin(Query("it", provider=one.guid), ALL)
    task = stage.task(lambda: WSALookupServiceNext(handle))
    arrived(entered)
    assert NSPCleanup(one.guid) == 0
    assert inside == []
    assert task.outcome() == (-1, 10111)


def test_d05_a_cleanup_for_the_guid_of_another_provider_is_refused(stage: Any, failed: Any) -> None:
    """By the table of a provider for every routine, and by the host for an unknown one."""
    one, two = stage.provider("one"), stage.provider("two")
    stage.start(one, two)
    table: Any = NSPStartup(one.guid)
    failed(10022, table.NSPCleanup(two.guid))
    failed(10022, table.NSPSetService(two.guid, Service("it"), 0, 0))
    failed(10022, NSPCleanup(OTHER))
    failed(10014, table.NSPCleanup(None))
    failed(10014, NSPCleanup(None))  # type: ignore[arg-type]
    assert table.NSPCleanup(one.guid) == 0


ROUTINES: list[tuple[str, tuple[Any, ...]]] = [
    ("NSPLookupServiceBegin", (Query("it"), ALL)),
    ("NSPSetService", (Service("it"), 0, 0)),
    ("NSPInstallServiceClass", (ServiceClass.tcp(80),)),
    ("NSPRemoveServiceClass", (OTHER,)),
    ("NSPGetServiceClassInfo", (OTHER,)),
    ("NSPCleanup", ()),
]


@pytest.mark.parametrize(("routine", "arguments"), [*ROUTINES, ("NSPIoctl", ())])
def test_d06_a_routine_that_the_provider_lacks_is_not_supported(
    stage: Any, failed: Any, routine: str, arguments: tuple[Any, ...]
) -> None:
    """10045; Next and End have no hook of their own, so no provider can lack them."""
    has_lookup = routine == "NSPIoctl"
    lacking: dict[str, Any] = {"cleanup": None} if routine == "NSPCleanup" else {}
    one = stage.provider("one", **({} if has_lookup else {"lookup": None}), **lacking)
    stage.start(one)
    table: Any = NSPStartup(one.guid)
    if has_lookup:
        handle = table.NSPLookupServiceBegin(one.guid, Query("it"), ALL)
        failed(10045, table.NSPIoctl(handle, 7))
    else:
        failed(10045, getattr(table, routine)(one.guid, *arguments))


def test_d07_a_slot_that_is_no_routine_is_an_invalid_table(stage: Any, failed: Any) -> None:
    """A class is examined when it is installed, so it does not come into the catalog: 10104."""
    one = stage.provider("one")
    one.nsp_ioctl = 7
    failed(10104, winsock.WSCInstallNameSpace("one", one, Namespace.DNS, "1.0", one.guid))


def test_d08_what_cannot_be_loaded_or_started_has_failed_init(
    stage: Any, failed: Any, tmp_path: Any, monkeypatch: Any
) -> None:
    """10106: for a module at its install, for a startup when it is started."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "winsock_broken.py").write_text("import a_module_that_nobody_has")
    failed(10106, winsock.WSCInstallNameSpace("one", "winsock_broken:One", 12, "1.0", OTHER))

    def startup() -> None:
        raise OSError("no such file")

    two = stage.provider("two", startup=startup)
    stage.start(two)
    failed(10106, NSPStartup(two.guid))


def test_d09_a_provider_whose_back_end_is_away_is_not_ready(stage: Any, failed: Any) -> None:
    """Its own code is passed on: 10091."""

    def startup() -> None:
        raise NotReadyError("the server is away")

    one = stage.provider("one", startup=startup)
    stage.start(one)
    failed(10091, NSPStartup(one.guid))


def test_d59_a_failure_without_a_code_is_a_system_call_failure(stage: Any, failed: Any) -> None:
    """-1 and no last error, or a foreign exception: 10107."""

    def install(service_class: Any) -> None:
        raise KeyError("x")

    one = stage.provider("one", set_service=lambda *_: -1, install=install)
    stage.start(one)
    winsock.WSASetLastError(10035)
    failed(10107, winsock.WSASetService(Service("it"), 0))
    failed(10107, winsock.WSAInstallServiceClass(ServiceClass.tcp(80)))


def test_s14_a_positive_number_from_a_hook_is_the_code(stage: Any, failed: Any) -> None:
    """And -1 points to the last error that the provider has set."""

    def install(service_class: Any) -> int:
        winsock.WSASetLastError(10013)
        return -1

    one = stage.provider("one", set_service=lambda *_: 10050, install=install)
    stage.start(one)
    table: Any = NSPStartup(one.guid)
    failed(10050, table.NSPSetService(one.guid, Service("it"), 0))
    failed(10013, table.NSPInstallServiceClass(one.guid, ServiceClass.tcp(80)))


LOADED = """
import uuid
from nspkit import ProviderInfo, Service, hookimpl

started = []

class One:
    info = ProviderInfo(uuid.uuid5(uuid.NAMESPACE_DNS, __name__), "{name}", {namespace}, "1.0")

    @hookimpl
    def nsp_startup(self): started.append(1)

    @hookimpl
    def nsp_cleanup(self): pass

    @hookimpl
    def nsp_lookup_service(self, query): yield Service(query.name)
"""


def test_r01_a_startup_loads_no_provider(
    stage: Any, results: Any, tmp_path: Any, monkeypatch: Any
) -> None:
    """The first query does: it imports what is installed, and starts what it selects."""
    information = tmp_path / "loaded-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: loaded\nVersion: 1.0\n")
    points = ["[nspkit.providers]"]
    for name, namespace in (("one", 12), ("two", 42)):
        points.append(f"{name} = winsock_loaded_{name}:One")
        source = LOADED.format(name=name, namespace=namespace)
        (tmp_path / f"winsock_loaded_{name}.py").write_text(source)
        monkeypatch.delitem(sys.modules, f"winsock_loaded_{name}", raising=False)
    (information / "entry_points.txt").write_text("\n".join(points))
    monkeypatch.syspath_prepend(tmp_path)
    process.use(Catalog.discover(path=[str(tmp_path)]))
    assert WSAStartup(0x0202) == 0
    assert not [name for name in sys.modules if name.startswith("winsock_loaded")]
    assert results(WSALookupServiceBegin(Query("it", namespace=Namespace.DNS), ALL))[0] == ["it"]
    assert sys.modules["winsock_loaded_one"].started == [1]
    assert sys.modules["winsock_loaded_two"].started == []


def test_r02_nested_startups_of_the_process_start_a_provider_once(stage: Any) -> None:
    """However often it is asked."""
    one, calls = counted(stage)
    stage.start(one)
    for _ in range(3):
        assert WSAStartup(0x0202) == 0
        assert WSALookupServiceBegin(Query("it"), ALL) != -1
    assert NSPStartup(one.guid) != -1
    assert calls == ["startup"]


MODULE = """
import uuid
from nspkit import Namespace, ProviderInfo, Service, hookimpl

started = []
cleaned = []

class Base:
    @hookimpl
    def nsp_startup(self, guid):
        started.append(guid)
    @hookimpl
    def nsp_cleanup(self, guid):
        cleaned.append(guid)
    @hookimpl
    def nsp_lookup_service(self, guid):
        # Counts for the whole module: with nobody started it has nothing to answer from.
        assert len(started) > len(cleaned)
        yield Service(str(guid))

class One(Base):
    info = ProviderInfo("7d9c6a10-0000-4000-8000-000000000001", "one", Namespace.DNS, "1.0")

class Two(Base):
    info = ProviderInfo("7d9c6a10-0000-4000-8000-000000000002", "two", Namespace.DNS, "1.0")
"""


@pytest.fixture
def module(stage: Any, tmp_path: Any, monkeypatch: Any) -> Any:
    """A module with two providers, both installed, in a period."""
    import importlib
    import sys

    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "winsock_two_providers.py").write_text(MODULE)
    module = importlib.import_module("winsock_two_providers")
    for name in ("One", "Two"):
        info = getattr(module, name).info
        path = f"winsock_two_providers:{name}"
        assert winsock.WSCInstallNameSpace(info.name, path, 12, "1.0", info.guid) == 0
    assert WSAStartup(0x0202) == 0
    yield module
    del sys.modules["winsock_two_providers"]


def test_r03_two_entries_of_one_module_are_started_each_with_its_guid(module: Any) -> None:
    """A module may hold several providers."""
    assert NSPStartup(module.One.info.guid) != -1
    assert NSPStartup(module.Two.info.guid) != -1
    assert module.started == [module.One.info.guid, module.Two.info.guid]


def test_s12_a_provider_that_counts_for_its_module_works_for_two_guids(module: Any) -> None:
    """Each is started and ended once, so the count comes out."""
    one, two = module.One.info.guid, module.Two.info.guid
    tables: list[Any] = [NSPStartup(one), NSPStartup(one), NSPStartup(two)]
    assert len(module.started) == 2
    assert NSPCleanup(one) == NSPCleanup(one) == 0
    assert module.cleaned == [one]
    handle = tables[2].NSPLookupServiceBegin(two, Query("it"), ALL)
    assert WSALookupServiceNext(handle).name == str(two)
    assert NSPCleanup(two) == 0
    assert module.cleaned == [one, two]


def test_s13_the_table_of_a_second_startup_has_all_routines(stage: Any) -> None:
    """The host makes it; the provider is not asked a second time."""
    one, calls = counted(stage)
    stage.start(one)
    tables: list[Any] = [NSPStartup(one.guid), NSPStartup(one.guid)]
    assert calls == ["startup"]
    for table in tables:
        handle = table.NSPLookupServiceBegin(one.guid, Query("it"), ALL)
        assert table.NSPLookupServiceNext(handle).name == "it"
        assert (table.major_version, table.minor_version) == (1, 0)
        assert repr(table) == "<NspRoutine of 'one'>"


def test_s16_the_last_cleanup_releases_the_queries_that_are_open(stage: Any) -> None:
    """Each iterator is closed before the provider is cleaned up."""
    order: list[str] = []

    def lookup(query: Any, cancellation: Any) -> Any:
        try:
            yield Service("it")
            yield Service("more")
        finally:
            order.append("closed")

    one = stage.provider("one", lookup, cleanup=lambda: order.append("cleaned"))
    stage.start(one)
    for _ in range(3):
        handle = WSALookupServiceBegin(Query("it", provider=one.guid), ALL)
        assert isinstance(WSALookupServiceNext(handle), Service)
    assert WSACleanup() == 0
    assert order == ["closed", "closed", "closed", "cleaned"]


def test_r06_a_query_for_an_unknown_guid_is_invalid(stage: Any, failed: Any) -> None:
    """10022; of one that cannot be started the reason is told instead."""

    def startup() -> None:
        raise OSError("no such file")

    one = stage.provider("one", startup=startup)
    stage.start(one)
    failed(10022, WSALookupServiceBegin(Query("it", provider=OTHER), ALL))
    failed(10106, WSALookupServiceBegin(Query("it", provider=one.guid), ALL))


def test_r07_a_failed_start_is_not_cleaned_up_and_tried_again(
    stage: Any, failed: Any, results: Any
) -> None:
    """By the next query that is directed at it; queries over all hold it back for a moment."""
    calls: list[str] = []

    def startup() -> None:
        calls.append("startup")
        if len(calls) == 1:
            raise NotReadyError("not yet")

    one = stage.provider("one", startup=startup, cleanup=lambda: calls.append("cleanup"))
    stage.start(one)
    failed(10091, WSALookupServiceBegin(Query("it", provider=one.guid), ALL))
    assert calls == ["startup"]
    assert results(WSALookupServiceBegin(Query("it", provider=one.guid), ALL)) == (["it"], 10110)
    assert calls == ["startup", "startup"]


def test_r22_providers_are_ended_in_reverse_order_of_their_start(stage: Any) -> None:
    """The last to be started is the first to be ended; the catalog's order is of no account."""
    order: list[str] = []
    providers = [
        stage.provider(name, cleanup=lambda name=name: order.append(name))
        for name in ("one", "two", "three")
    ]
    stage.start(*providers)
    for number in (1, 0, 2):
        assert NSPStartup(providers[number].guid) != -1
    assert WSACleanup() == 0
    assert order == ["three", "one", "two"]


def test_r23_a_provider_that_was_never_loaded_is_not_cleaned_up(stage: Any) -> None:
    """Only what was started is ended."""
    one, calls = counted(stage)
    two, calls_of_two = counted(stage, "two")
    stage.start(one, two)
    assert NSPStartup(one.guid) != -1
    assert WSACleanup() == 0
    assert calls == ["startup", "cleanup"]
    assert calls_of_two == []


def test_r24_a_provider_is_cleaned_up_once(stage: Any, failed: Any) -> None:
    """Whatever references are left, or given back later."""
    one, calls = counted(stage)
    stage.start(one)
    tables: list[Any] = [NSPStartup(one.guid) for _ in range(3)]
    assert WSALookupServiceBegin(Query("it"), ALL) != -1
    assert WSACleanup() == 0
    failed(10093, tables[0].NSPCleanup(one.guid))
    del tables
    assert calls == ["startup", "cleanup"]


def test_r25_the_cleanup_comes_before_the_unloading(stage: Any) -> None:
    """While it runs the instance is there; after it there is none."""
    instances: list[Any] = []
    alive: list[bool] = []

    class One:
        info = ProviderInfo(OTHER, "one", Namespace.DNS, "1.0")

        @hookimpl
        def nsp_startup(self) -> None:
            instances.append(weakref.ref(self))

        @hookimpl
        def nsp_cleanup(self) -> None:
            alive.append(instances[0]() is self)

    stage.start(One)
    assert NSPStartup(OTHER) != -1
    assert WSACleanup() == 0
    assert alive == [True]
    assert instances[0]() is None


def test_r26_a_provider_that_calls_from_its_cleanup_is_told_that_it_is_over(stage: Any) -> None:
    """10093, from every function and every routine that needs a startup; a startup is 10036."""
    answers: dict[str, Any] = {}
    tables: list[Any] = []

    def cleanup() -> None:
        functions = {name: getattr(winsock, name) for name in NEEDING_STARTUP}
        routines = [name for name in vars(NspRoutine) if name.startswith("NSP")]
        functions |= {f"table.{name}": getattr(tables[0], name) for name in routines}
        for name, function in functions.items():
            winsock.WSASetLastError(0)
            needed = [
                None
                for parameter in inspect.signature(function).parameters.values()
                if parameter.default is inspect.Parameter.empty
            ]
            answers[name] = function(*needed), WSAGetLastError()
        codes.append(WSAStartup(0x0202))

    codes: list[int] = []
    one = stage.provider("one", cleanup=cleanup)
    stage.start(one)
    tables.append(NSPStartup(one.guid))
    assert WSACleanup() == 0
    assert answers == dict.fromkeys(answers, (-1, 10093))
    assert len(answers) == len(NEEDING_STARTUP) + 9 > 20
    assert codes == [10036]


def test_r27_a_cleanup_that_fails_harms_nobody(
    stage: Any, failed: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """The others are ended, WSACleanup answers 0, and the error is logged."""
    one, calls = counted(stage)
    two = stage.provider("two", cleanup=lambda: 10050)
    three, calls_of_three = counted(stage, "three")
    stage.start(one, two, three)
    for provider in (one, two, three):
        assert NSPStartup(provider.guid) != -1
    with caplog.at_level(logging.ERROR, "nspkit"):
        assert WSACleanup() == 0
    assert calls == calls_of_three == ["startup", "cleanup"]
    assert [record.name for record in caplog.records] == ["nspkit"]
    assert "10050" in caplog.text
    assert WSAStartup(0x0202) == 0
    assert NSPStartup(two.guid) != -1
    failed(10050, NSPCleanup(two.guid))


def test_r30_a_query_that_has_started_its_provider_keeps_it_loaded(stage: Any, failed: Any) -> None:
    """Beside NSPStartup; one that has found it started is cancelled when that is given back."""
    one, calls = counted(stage)
    stage.start(one)
    handle = WSALookupServiceBegin(Query("it", provider=one.guid), ALL)
    assert NSPStartup(one.guid) != -1
    assert NSPCleanup(one.guid) == 0
    assert WSALookupServiceNext(handle).name == "it"
    assert calls == ["startup"]
    stage.restart()
    assert NSPStartup(one.guid) != -1
    handle = WSALookupServiceBegin(Query("it", provider=one.guid), ALL)
    assert NSPCleanup(one.guid) == 0
    failed(10111, WSALookupServiceNext(handle))
    assert calls == ["startup", "cleanup"] * 2


# Beside the numbered ones -----------------------------------------------------------------------


def test_a_startup_without_a_guid_or_with_an_unknown_one_is_refused(
    stage: Any, failed: Any
) -> None:
    """None is 10014, the other 10022."""
    stage.start()
    failed(10014, NSPStartup(None))  # type: ignore[arg-type]
    failed(10022, NSPStartup(OTHER))


def test_a_table_serves_everything_that_its_provider_can_do(
    stage: Any, registry: Any, addresses: Any
) -> None:
    """Registrations, classes, queries and control requests."""
    kept = registry()
    one = stage.provider("one", ioctl=lambda code, data: data * code, **kept.hooks())
    stage.start(one)
    table: Any = NSPStartup(one.guid)
    web = ServiceClass.tcp(80)
    shop = Service("shop", service_class=web.id, addresses=[addresses.one])
    assert table.NSPInstallServiceClass(one.guid, web) == 0
    assert table.NSPGetServiceClassInfo(one.guid, web.id) == web
    assert table.NSPSetService(one.guid, shop, 0) == 0
    # What the query says about providers is of no account: the GUID is an argument of its own.
    query = Query("shop", namespace=Namespace.NIS, provider=OTHER)
    handle = table.NSPLookupServiceBegin(str(one.guid), query, ALL)
    assert table.NSPLookupServiceNext(handle).addresses == (addresses.one,)
    assert table.NSPIoctl(handle, 2, b"ab") == b"abab"
    assert table.NSPLookupServiceEnd(handle) == 0
    assert table.NSPSetService(one.guid, shop, 2) == 0
    assert table.NSPRemoveServiceClass(one.guid, web.id) == 0


def test_an_end_of_a_query_in_a_session_that_is_over_is_quiet(stage: Any, failed: Any) -> None:
    """Its results are cancelled with the provider, and the handle is still to be given back."""
    one = stage.provider("one", ioctl=lambda code, data: None)
    stage.start(one)
    table: Any = NSPStartup(one.guid)
    handle = table.NSPLookupServiceBegin(one.guid, Query("it"), ALL)
    assert table.NSPCleanup(one.guid) == 0
    failed(10111, WSALookupServiceNext(handle))
    failed(10093, table.NSPIoctl(handle, 7))
    assert WSALookupServiceEnd(handle) == 0
