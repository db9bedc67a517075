"""The catalog by Winsock's functions: installed, enumerated, ordered, and told about."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from nspkit import LookupFlags, Namespace, Query, winsock
from nspkit.winsock import (
    WSACleanup,
    WSAEnumNameSpaceProviders,
    WSAEnumNameSpaceProvidersEx,
    WSALookupServiceBegin,
    WSAProviderConfigChange,
    WSAStartup,
    WSCEnableNSProvider,
    WSCInstallNameSpace,
    WSCInstallNameSpaceEx,
    WSCUnInstallNameSpace,
    WSCWriteNameSpaceOrder,
)
from nspkit.winsock._process import process

ALL = LookupFlags.RETURN_ALL
UNKNOWN = "22059d40-7e9e-11cf-ae5a-00aa00a7112b"


def rows() -> list[Any]:
    """The enumeration of a period."""
    found = WSAEnumNameSpaceProviders()
    assert isinstance(found, list)
    return found


def names() -> list[str]:
    """The short names in the enumeration."""
    return [row.identifier for row in rows()]


def installed(stage: Any, *given: str) -> list[Any]:
    """Providers of these names, installed in this order."""
    providers = [stage.provider(name) for name in given]
    stage.install(*providers)
    return providers


def test_d14_an_inactive_provider_is_listed_as_inactive(stage: Any) -> None:
    """Beside the active one."""
    one, two = installed(stage, "one", "two")
    assert WSCEnableNSProvider(one.guid, False) == 0
    stage.start()
    assert [(row.provider, row.active) for row in rows()] == [(one.guid, False), (two.guid, True)]
    assert WSCEnableNSProvider(one.guid, 1) == 0
    stage.restart()
    assert [row.active for row in rows()] == [True, True]


def test_d15_enumeration_and_results_follow_the_order(stage: Any, results: Any) -> None:
    """That of the installation, or another one that was written."""

    def provider(name: str) -> Any:
        from nspkit import Service

        return stage.provider(name, lambda query, cancellation: iter([Service(name)]))

    providers = [provider(name) for name in ("one", "two", "three")]
    stage.start(*providers)
    for order in (["one", "two", "three"], ["three", "one", "two"]):
        assert names() == order
        assert results(WSALookupServiceBegin(Query("it"), ALL)) == (order, 10110)
        new = [providers[2].guid, str(providers[0].guid), providers[1].guid]
        assert WSCWriteNameSpaceOrder(new) == 0
        stage.restart()


def test_d16_an_order_that_is_not_complete_changes_nothing(stage: Any) -> None:
    """Too short, too long, doubled or unknown: 10022, which is what it returns."""
    one, two = (provider.guid for provider in installed(stage, "one", "two"))
    for order in ([two], [], [two, one, UNKNOWN], [UNKNOWN, one], [two, two], [two, one, two]):
        assert WSCWriteNameSpaceOrder(order) == 10022
    assert WSCWriteNameSpaceOrder(["one", "two"]) == 10022
    assert WSCWriteNameSpaceOrder(str(one)) == 10022
    assert WSCWriteNameSpaceOrder(7) == 10022  # type: ignore[arg-type]
    assert WSCWriteNameSpaceOrder(None) == 10014  # type: ignore[arg-type]
    stage.start()
    assert names() == ["one", "two"]


def test_d17_only_one_may_write_an_order(stage: Any, arrived: Any) -> None:
    """Another one is to try again: 11002."""
    one, two = (provider.guid for provider in installed(stage, "one", "two"))
    writing, gate = threading.Event(), stage.gate()

    def slow() -> Any:
        writing.set()
        gate.wait()
        yield from (two, one)

    task = stage.task(lambda: WSCWriteNameSpaceOrder(slow()))
    arrived(writing)
    assert WSCWriteNameSpaceOrder([one, two]) == 11002
    gate.set()
    assert task.outcome()[0] == 0
    assert WSCWriteNameSpaceOrder([two, one]) == 0


def test_d18_a_guid_that_is_there_is_not_installed_again(stage: Any, failed: Any) -> None:
    """11003, under whatever name."""
    (one,) = installed(stage, "one")
    failed(11003, WSCInstallNameSpace("another", one, Namespace.DNS, "1.0", one.guid))


def test_d19_an_unknown_guid_is_neither_uninstalled_nor_enabled(stage: Any, failed: Any) -> None:
    """10022, and 10014 for None."""
    failed(10022, WSCUnInstallNameSpace(UNKNOWN))
    failed(10022, WSCEnableNSProvider(UNKNOWN, True))
    failed(10014, WSCUnInstallNameSpace(None))  # type: ignore[arg-type]
    failed(10014, WSCEnableNSProvider(None, True))  # type: ignore[arg-type]
    failed(10014, WSCEnableNSProvider(UNKNOWN, None))  # type: ignore[arg-type]


def test_d20_a_change_counts_for_the_next_period(stage: Any, results: Any) -> None:
    """What runs goes on with what it has, for every kind of change."""
    one, two = installed(stage, "one", "two")
    stage.start()
    assert WSAStartup(0x0202) == 0  # one more of the same period
    three = stage.provider("three")
    stage.install(three)
    assert WSCEnableNSProvider(one.guid, False) == 0
    assert WSCUnInstallNameSpace(two.guid) == 0
    assert WSCWriteNameSpaceOrder([three.guid, one.guid]) == 0
    assert WSACleanup() == 0
    assert [(row.identifier, row.active) for row in rows()] == [("one", True), ("two", True)]
    assert results(WSALookupServiceBegin(Query("it"), ALL)) == (["it", "it"], 10110)
    stage.restart()
    assert [(row.identifier, row.active) for row in rows()] == [("three", True), ("one", False)]
    assert results(WSALookupServiceBegin(Query("it"), ALL)) == (["it"], 10110)


def test_d21_a_listener_is_told_of_a_removal(stage: Any, failed: Any) -> None:
    """Its first call returns a handle at once; the next one waits, or calls back."""
    (one,) = installed(stage, "one")
    stage.start()
    codes: list[int] = []
    notification: Any = WSAProviderConfigChange()
    another: Any = WSAProviderConfigChange()
    failed(997, WSAProviderConfigChange(another, codes.append))
    task = stage.task(lambda: WSAProviderConfigChange(notification))
    assert WSCUnInstallNameSpace(one.guid) == 0
    assert task.outcome()[0] == 0
    assert codes == [0]


def test_d23_only_the_ex_enumeration_tells_what_was_installed_as_data(stage: Any) -> None:
    """And it does so for the next period; uninstalled it is gone."""
    one, two = stage.provider("one"), stage.provider("two")
    done = WSCInstallNameSpaceEx("one", one, Namespace.DNS, "1.0", one.guid, b"private")
    assert done == 0
    stage.start(two)
    assert [tuple(row) for row in rows()] == [
        (one.guid, Namespace.DNS, True, "1.0", "one"),
        (two.guid, Namespace.DNS, True, "1.0", "two"),
    ]
    assert [row.blob for row in WSAEnumNameSpaceProvidersEx()] == [b"private", None]  # type: ignore[union-attr]
    assert WSCUnInstallNameSpace(one.guid) == 0
    stage.install(one)
    assert [row.blob for row in WSAEnumNameSpaceProvidersEx()] == [b"private", None]  # type: ignore[union-attr]
    stage.restart()
    assert [row.blob for row in WSAEnumNameSpaceProvidersEx()] == [None, None]  # type: ignore[union-attr]


def test_s01_what_is_there_is_uninstalled_then_installed(stage: Any, failed: Any) -> None:
    """As installers do it."""
    (one,) = installed(stage, "one")
    arguments = ("one", one, Namespace.DNS, "1.0", one.guid)
    failed(11003, WSCInstallNameSpace(*arguments))
    assert WSCUnInstallNameSpace(one.guid) == 0
    assert WSCInstallNameSpace(*arguments) == 0


def test_s02_uninstalled_and_installed_it_is_the_last(stage: Any) -> None:
    """An installation appends."""
    one, _, _ = installed(stage, "one", "two", "three")
    assert WSCUnInstallNameSpace(one.guid) == 0
    stage.install(one)
    stage.start()
    assert names() == ["two", "three", "one"]


# Beside the numbered ones: installation ---------------------------------------------------------

MODULE = """
from nspkit import Namespace, ProviderInfo, hookimpl

class Outer:
    class One:
        info = ProviderInfo("7d9c6a10-0000-4000-8000-000000000009", "one", Namespace.DNS, "7")
        @hookimpl
        def nsp_startup(self): pass
        @hookimpl
        def nsp_cleanup(self): pass

class Newer(Outer.One):
    info = Outer.One.info.replace(spi_version=2)

number = 7
"""
GUID = "7d9c6a10-0000-4000-8000-000000000009"


@pytest.fixture
def module(stage: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a module with a provider in a class of its own."""
    name = "winsock_catalog_module"
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(__import__("sys").modules, name, raising=False)
    (tmp_path / f"{name}.py").write_text(MODULE)
    (tmp_path / "winsock_catalog_exits.py").write_text("raise SystemExit(3)")
    return name


def test_a_provider_is_installed_by_the_path_of_its_class(module: str) -> None:
    """With a number as its version, where it states one."""
    done = WSCInstallNameSpace("one", f"{module}:Outer.One", 12, 7, "{" + GUID.upper() + "}")
    assert done == 0
    assert WSAStartup(0x0202) == 0
    assert names() == ["one"]


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("{}", 10022),
        ("{}:", 10022),
        (":One", 10022),
        (".{}:One", 10022),
        (7, 10022),
        ("{}:number", 10022),
        ("{}:Two", 10106),
        ("{}.gone:One", 10106),
        ("winsock_catalog_exits:One", 10106),
        ("{}:Outer", 10104),
        ("{}:Newer", 10092),
    ],
)
def test_a_path_that_names_no_provider_is_refused(
    module: str, failed: Any, path: Any, code: int
) -> None:
    """10022 for what is no path to a class, 10106 for what cannot be imported."""
    path = path.format(module) if isinstance(path, str) else path
    failed(code, WSCInstallNameSpace("one", path, 12, "7", GUID))
    assert len(process.catalog) == 0


@pytest.mark.parametrize(
    "changed",
    [{"namespace": 41}, {"version": "1.1"}, {"guid": UNKNOWN}, {"identifier": "not one word"}],
)
def test_what_is_said_of_a_provider_has_to_fit_it(
    stage: Any, failed: Any, changed: dict[str, Any]
) -> None:
    """10022, and nothing is installed."""
    one = stage.provider("one")
    said = {"identifier": "one", "path": one, "namespace": 12, "version": "1.0", "guid": one.guid}
    failed(10022, WSCInstallNameSpace(*(said | changed).values()))
    assert len(process.catalog) == 0


def test_nothing_of_an_installation_may_be_left_out(stage: Any, failed: Any) -> None:
    """10014 for None, and 10022 for data that is no bytes."""
    one = stage.provider("one")
    whole: list[Any] = ["one", one, 12, "1.0", one.guid, b""]
    for place in range(6):
        failed(
            10014, WSCInstallNameSpaceEx(*(None if n == place else v for n, v in enumerate(whole)))
        )
    failed(10022, WSCInstallNameSpaceEx(*whole[:5], "text"))
    assert len(process.catalog) == 0


def test_a_broken_provider_is_left_out_of_the_enumeration(
    stage: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It tells no GUID, and harms no other."""
    from nspkit import Catalog

    monkeypatch.syspath_prepend(tmp_path)
    folder = tmp_path / "winsock_gone-1.0.dist-info"
    folder.mkdir()
    (folder / "entry_points.txt").write_text("[nspkit.providers]\ngone = winsock_gone:One\n")
    process.use(Catalog.discover(path=[str(tmp_path)]))
    (one,) = installed(stage, "one")
    stage.start()
    assert names() == ["one"]
    assert WSCWriteNameSpaceOrder([one.guid]) == 0


def test_the_functions_for_32_bits_are_the_same(stage: Any) -> None:
    """There is one catalog."""
    assert winsock.WSCInstallNameSpace32 is WSCInstallNameSpace
    assert winsock.WSCInstallNameSpaceEx32 is WSCInstallNameSpaceEx
    assert winsock.WSCUnInstallNameSpace32 is WSCUnInstallNameSpace
    assert winsock.WSCEnableNSProvider32 is WSCEnableNSProvider
    assert winsock.WSCWriteNameSpaceOrder32 is WSCWriteNameSpaceOrder
    assert winsock.WSCEnumNameSpaceProviders32 is WSAEnumNameSpaceProviders
    assert winsock.WSCEnumNameSpaceProvidersEx32 is WSAEnumNameSpaceProvidersEx


# Beside the numbered ones: the notice of a change -----------------------------------------------


def test_a_change_before_the_call_counts(stage: Any, failed: Any) -> None:
    """Once: the next call is about the next change."""
    (one,) = installed(stage, "one")
    stage.start()
    notification: Any = WSAProviderConfigChange()
    codes: list[int] = []
    assert WSCEnableNSProvider(one.guid, False) == 0
    assert WSAProviderConfigChange(notification) == 0
    failed(997, WSAProviderConfigChange(notification, codes.append))
    assert WSCEnableNSProvider(one.guid, False) == 0  # which it was: no change
    assert codes == []
    assert WSCWriteNameSpaceOrder([one.guid]) == 0
    assert codes == [0]
    assert WSCUnInstallNameSpace(one.guid) == 0
    assert WSAProviderConfigChange(notification, codes.append) == 0
    assert codes == [0]


def test_the_last_cleanup_aborts_who_waits_for_a_change(
    stage: Any, failed: Any, until: Any
) -> None:
    """995, for a call that waits and for one that is to be called back."""
    stage.start()
    notification: Any = WSAProviderConfigChange()
    codes: list[int] = []
    task = stage.task(lambda: WSAProviderConfigChange(notification))
    until(lambda: process.running().waiters)
    failed(997, WSAProviderConfigChange(notification, codes.append))
    assert WSACleanup() == 0
    assert task.outcome() == (-1, 995)
    assert codes == [995]
    failed(10093, WSAProviderConfigChange(notification))


def test_a_completion_that_fails_harms_nobody(
    stage: Any, failed: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged; who has changed the catalog does not see it."""

    def fail(code: int) -> None:
        raise KeyError("x")

    stage.start()
    failed(997, WSAProviderConfigChange(WSAProviderConfigChange(), fail))  # type: ignore[arg-type]
    installed(stage, "one")
    assert "a completion failed on code 0" in caplog.text


def test_what_is_no_handle_of_a_notification_is_refused(stage: Any, failed: Any) -> None:
    """6, and 10022 for a completion that cannot be called."""
    stage.start()
    failed(6, WSAProviderConfigChange(7))  # type: ignore[arg-type]
    notification: Any = WSAProviderConfigChange()
    failed(10022, WSAProviderConfigChange(notification, 7))  # type: ignore[arg-type]
