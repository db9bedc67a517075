"""WSAStartup and WSACleanup: the count, the versions, what answers before and after."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from nspkit import (
    SIO_NSP_NOTIFY_CHANGE,
    Catalog,
    Change,
    ChangeKind,
    LookupFlags,
    Query,
    Service,
    ServiceClass,
    winsock,
)
from nspkit.winsock import WSACleanup, WsaData, WSAGetLastError, WSASetLastError, WSAStartup
from nspkit.winsock._process import process

GUID = "22059d40-7e9e-11cf-ae5a-00aa00a7112b"
ALL = LookupFlags.RETURN_ALL

NEEDING_STARTUP: list[tuple[str, tuple[Any, ...]]] = [
    ("WSALookupServiceBegin", (Query("it"), ALL)),
    ("WSALookupServiceNext", (1, 0)),
    ("WSALookupServiceEnd", (1,)),
    ("WSANSPIoctl", (1, 7)),
    ("WSASetService", (Service("it"), 0, 0)),
    ("WSAInstallServiceClass", (ServiceClass.tcp(80),)),
    ("WSARemoveServiceClass", (GUID,)),
    ("WSAGetServiceClassInfo", (GUID, GUID)),
    ("WSAGetServiceClassNameByClassId", (GUID,)),
    ("WSAEnumNameSpaceProviders", ()),
    ("WSAEnumNameSpaceProvidersEx", ()),
    ("WSAProviderConfigChange", (None,)),
    ("WSCEnumNameSpaceProviders32", ()),
    ("WSCEnumNameSpaceProvidersEx32", ()),
    ("NSPStartup", (GUID,)),
    ("NSPCleanup", (GUID,)),
]


@pytest.mark.parametrize(("name", "arguments"), NEEDING_STARTUP)
def test_d01_nothing_answers_before_a_startup(
    stage: Any, failed: Any, name: str, arguments: tuple[Any, ...]
) -> None:
    """Lookups, registrations, classes, enumerations: 10093."""
    stage.install(stage.provider("one"))
    failed(10093, getattr(winsock, name)(*arguments))


@pytest.mark.parametrize(("name", "arguments"), NEEDING_STARTUP)
def test_t08_that_nothing_is_started_is_said_before_any_parameter_is_looked_at(
    stage: Any, failed: Any, name: str, arguments: tuple[Any, ...]
) -> None:
    """None, which is refused with other codes after a startup, is 10093 before it."""
    failed(10093, getattr(winsock, name)(*(None for _ in arguments)))


def test_d02_only_the_last_of_as_many_cleanups_tears_down(stage: Any, failed: Any) -> None:
    """After n - 1 of n the providers are usable, and the n-th ends them."""
    cleaned: list[int] = []
    stage.start(stage.provider("one", cleanup=lambda: cleaned.append(1)))
    assert WSAStartup(0x0202) == WSAStartup(0x0101) == 0
    handle = winsock.WSALookupServiceBegin(Query("it"), ALL)
    assert WSACleanup() == WSACleanup() == 0
    assert isinstance(winsock.WSALookupServiceNext(handle), Service)
    assert cleaned == []
    assert WSACleanup() == 0
    assert cleaned == [1]
    failed(10093, winsock.WSALookupServiceNext(handle))


def test_d62_an_end_may_change_the_last_error(stage: Any, failed: Any) -> None:
    """So it is read before: also an end that succeeds calls the provider, which may set it."""

    def notify(query: Any, cancellation: Any) -> Any:
        cancellation.on_cancel(lambda: WSASetLastError(10050))
        yield Change(ChangeKind.ADDED, Service("it"))
        yield None
        cancellation.wait()

    stage.start(stage.provider("one", notify=notify))
    handle = winsock.WSALookupServiceBegin(Query("it"), ALL)
    winsock.WSALookupServiceNext(handle)
    failed(10035, winsock.WSANSPIoctl(handle, SIO_NSP_NOTIFY_CHANGE))
    failed(10110, winsock.WSALookupServiceNext(handle))
    assert winsock.WSALookupServiceEnd(handle) == 0
    assert WSAGetLastError() == 10050
    failed(6, winsock.WSALookupServiceEnd(handle))


def test_t09_what_needs_no_provider_works_before_a_startup(stage: Any) -> None:
    """The last error, and the catalog."""
    WSASetLastError(10035)
    assert WSAGetLastError() == 10035
    assert winsock.WSCWriteNameSpaceOrder([]) == 0


def test_t10_a_cleanup_without_a_startup_is_refused(stage: Any, failed: Any) -> None:
    """It answers 10093, also after the last one."""
    failed(10093, WSACleanup())
    assert WSAStartup(0x0202) == WSACleanup() == 0
    failed(10093, WSACleanup())


def test_t11_what_was_opened_in_one_period_is_void_in_the_next(stage: Any, failed: Any) -> None:
    """A query's handle, a routine table, and the handle of the change notification."""
    one = stage.provider("one")
    stage.start(one)
    handle = winsock.WSALookupServiceBegin(Query("it"), ALL)
    table: Any = winsock.NSPStartup(one.guid)
    notification: Any = winsock.WSAProviderConfigChange()
    stage.restart()
    failed(6, winsock.WSALookupServiceNext(handle))
    assert winsock.NSPStartup(one.guid) != -1
    failed(10093, table.NSPCleanup(one.guid))
    failed(6, winsock.WSAProviderConfigChange(notification))
    assert winsock.NSPCleanup(one.guid) == 0


def test_t12_a_startup_after_a_full_cleanup_works_again(stage: Any, results: Any) -> None:
    """With a new instance of the provider."""
    started: list[int] = []
    stage.start(stage.provider("one", startup=lambda: started.append(1)))
    for rounds in (1, 2, 3):
        assert results(winsock.WSALookupServiceBegin(Query("it"), ALL)) == (["it"], 10110)
        assert len(started) == rounds
        stage.restart()


@pytest.mark.parametrize("version", [0x0000, 0x0200, 0xFF00])
def test_t13_major_version_0_is_refused_and_told_what_there_is(stage: Any, version: int) -> None:
    """The code itself is returned, and the last error says that nothing is started."""
    data = WsaData()
    assert WSAStartup(version, data) == 10092
    assert WSAGetLastError() == 10093
    assert (data.version, data.high_version) == (0x0202, 0x0202)
    assert WSAStartup(version) == 10092


def test_t14_the_version_is_checked_before_the_pointer(stage: Any, failed: Any) -> None:
    """Both failures leave 10093 and nothing started."""
    assert WSAStartup(0, None) == 10092
    assert WSAGetLastError() == 10093
    assert WSAStartup(0x0202, None) == 10014
    assert WSAGetLastError() == 10093
    failed(10093, WSACleanup())


@pytest.mark.parametrize("minor", [2, 3, 255])
def test_t15_minor_versions_above_1_1_become_1_1(stage: Any, minor: int) -> None:
    """1.0 and 1.1 stay what they are."""
    assert agreed(minor << 8 | 1) == 0x0101
    assert agreed(0x0001) == 0x0001
    assert agreed(0x0101) == 0x0101


@pytest.mark.parametrize("version", [0x0302, 0xFF02, 0x0003, 0x0103, 0xFFFF, 0x0004])
def test_t16_higher_versions_become_2_2(stage: Any, version: int) -> None:
    """2.0, 2.1 and 2.2 stay what they are."""
    assert agreed(version) == 0x0202
    assert [agreed(lower) for lower in (0x0002, 0x0102, 0x0202)] == [0x0002, 0x0102, 0x0202]


def agreed(version: int) -> int:
    """The version that is reported for one that is asked for."""
    data = WsaData()
    assert WSAStartup(version, data) == 0
    assert data.high_version == 0x0202
    return data.version


def test_t17_a_successful_startup_sets_the_last_error_to_0(stage: Any) -> None:
    """Whatever it was."""
    WSASetLastError(10035)
    assert WSAStartup(0x0202) == 0
    assert WSAGetLastError() == 0


def test_t18_after_two_startups_and_one_cleanup_it_is_still_started(
    stage: Any, failed: Any
) -> None:
    """After the second it is not."""
    assert WSAStartup(0x0202) == WSAStartup(0x0202) == 0
    assert WSACleanup() == 0
    assert winsock.WSAEnumNameSpaceProviders() == []
    assert WSACleanup() == 0
    failed(10093, winsock.WSAEnumNameSpaceProviders())


def test_t19_each_startup_reports_its_own_version(stage: Any) -> None:
    """Up and down."""
    assert [agreed(version) for version in (0x0202, 0x0101, 0x0202)] == [0x0202, 0x0101, 0x0202]


def test_t21_a_startup_writes_only_what_it_owns(stage: Any) -> None:
    """Texts are filled in, the application's own pointer is left alone."""
    data = WsaData()
    data.vendor_info = mine = object()
    assert WSAStartup(0x0202, data) == 0
    assert data.vendor_info is mine
    assert data.description.startswith("nspkit ")
    assert data.system_status == "running"
    assert repr(data) == "<WsaData: version 2.2>"


# Beside the numbered ones -----------------------------------------------------------------------


@pytest.mark.parametrize("version", ["2.2", 2.2, True, -1, 0x10000])
def test_a_version_that_is_no_number_is_refused(stage: Any, version: Any) -> None:
    """None is 10014, anything else 10022."""
    assert WSAStartup(version) == 10022
    assert WSAStartup(None) == 10014  # type: ignore[arg-type]


def test_data_of_another_kind_is_refused(stage: Any) -> None:
    """It could not be filled in; while something is started, the last error is the code."""
    assert WSAStartup(0x0202) == 0
    assert WSAStartup(0x0202, {}) == 10022  # type: ignore[arg-type]
    assert WSAGetLastError() == 10022


def test_the_last_error_is_that_of_a_thread(stage: Any) -> None:
    """Another one does not see it."""
    WSASetLastError(10035)
    assert stage.task(lambda: None).outcome() == (None, 0)
    assert WSAGetLastError() == 10035


def test_a_last_error_that_is_no_number_is_itself_an_error(stage: Any) -> None:
    """10022, and nothing is raised."""
    WSASetLastError("10035")  # type: ignore[arg-type]
    assert WSAGetLastError() == 10022


def test_a_call_that_python_refuses_is_a_type_error(stage: Any) -> None:
    """As a C compiler refuses it."""
    with pytest.raises(TypeError, match="handle"):
        winsock.WSALookupServiceEnd()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="providers"):
        winsock.WSCWriteNameSpaceOrder()  # type: ignore[call-arg]


class Spiteful:
    """An argument that raises whatever it was given for."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __iter__(self) -> Any:
        raise self.error


@pytest.mark.parametrize(("error", "code"), [(MemoryError(), 8), (KeyError("x"), 10107)])
def test_no_exception_leaves_a_function(stage: Any, error: Exception, code: int) -> None:
    """What is no error of nspkit is 10107, and memory that ran out is 8."""
    assert winsock.WSCWriteNameSpaceOrder(Spiteful(error)) == code


def test_an_interrupt_leaves_a_function(stage: Any) -> None:
    """It is for the program, and not an answer; nothing stays locked."""
    with pytest.raises(KeyboardInterrupt):
        winsock.WSCWriteNameSpaceOrder(Spiteful(KeyboardInterrupt()))
    assert winsock.WSCWriteNameSpaceOrder([]) == 0


def test_a_startup_waits_for_the_cleanup_of_another_thread(stage: Any, arrived: Any) -> None:
    """A provider is not started again before it has been ended."""
    order: list[str] = []
    ending, gate = threading.Event(), stage.gate()

    def cleanup() -> None:
        ending.set()
        gate.wait()
        order.append("cleaned")

    one = stage.provider("one", startup=lambda: order.append("started"), cleanup=cleanup)
    stage.start(one)
    assert winsock.NSPStartup(one.guid) != -1
    cleaning = stage.task(WSACleanup)
    arrived(ending)
    restarting = stage.task(lambda: (WSAStartup(0x0202), winsock.NSPStartup(one.guid)))
    gate.set()
    assert cleaning.outcome()[0] == 0
    assert restarting.outcome()[0][0] == 0
    assert order == ["started", "cleaned", "started"]


def test_a_startup_that_meets_a_cleanup_half_way_waits_for_it(stage: Any, until: Any) -> None:
    """Here the whole life of another period lies between its first look and its own step."""
    order: list[str] = []
    others: list[Any] = []

    class Interfering(Catalog):
        def snapshot(self) -> Any:
            if not others:
                others.append(None)
                others[0] = stage.task(another_period)
                until(lambda: process._ending is not None)
            return super().snapshot()

    def another_period() -> None:
        assert WSAStartup(0x0202) == 0
        assert winsock.NSPStartup(one.guid) != -1
        assert WSACleanup() == 0

    def cleanup() -> None:
        if "cleaned" not in order:
            until(lambda: process._ending._cond._waiters)  # type: ignore[union-attr, attr-defined]
        order.append("cleaned")

    process.use(Interfering())
    one = stage.provider("one", startup=lambda: order.append("started"), cleanup=cleanup)
    stage.start(one)
    assert winsock.WSALookupServiceBegin(Query("it"), ALL) != -1
    assert order[:2] == ["started", "cleaned"]
    others[0].outcome()


def test_an_initial_catalog_yields_to_one_that_is_there(stage: Any) -> None:
    """Two threads may both discover what is installed; one catalog stays."""
    there = process.catalog
    assert process.use(Catalog(), initial=True) is there


def test_many_threads_may_start_and_clean_up_at_once(stage: Any, results: Any) -> None:
    """Each works within its own pair."""
    stage.install(stage.provider("one"))
    together = threading.Barrier(8)

    def use() -> list[Any]:
        together.wait()
        answers = []
        for _ in range(10):
            assert WSAStartup(0x0202) == 0
            answers.append(results(winsock.WSALookupServiceBegin(Query("it"), ALL)))
            assert WSACleanup() == 0
        return answers

    tasks = [stage.task(use) for _ in range(8)]
    assert [task.outcome()[0] for task in tasks] == [[(["it"], 10110)] * 10] * 8


def test_a_startup_from_inside_the_last_cleanup_is_refused(stage: Any) -> None:
    """It would wait for itself: 10036."""
    codes: list[int] = []
    one = stage.provider("one", cleanup=lambda: codes.append(WSAStartup(0x0202)))
    stage.start(one)
    winsock.NSPStartup(one.guid)
    assert WSACleanup() == 0
    assert codes == [10036]


def test_a_last_cleanup_from_inside_a_provider_is_refused(
    stage: Any, failed: Any, results: Any
) -> None:
    """10036, and all is as it was."""
    codes: list[Any] = []

    def lookup(query: Any, cancellation: Any) -> Any:
        codes.append((WSACleanup(), WSAGetLastError()))
        yield Service("it")

    one = stage.provider("one", lookup)
    stage.start(one)
    handle = winsock.WSALookupServiceBegin(Query("it", provider=one.guid), ALL)
    assert results(handle) == (["it"], 10110)
    assert codes == [(-1, 10036)]
    assert WSACleanup() == 0


def test_a_forked_child_has_to_start_anew(fresh_python: Any) -> None:
    """Everything of the parent answers 10093 there; a startup of its own works."""
    done = fresh_python(FORKING)
    assert done.stdout == "-1 10093\n0\n['child']\n0\n0\n['parent']\n0\n"


FORKING = """
import os, uuid
from nspkit import Catalog, LookupFlags, Namespace, ProviderInfo, Query, Service, hookimpl
from nspkit.winsock import *
from nspkit.winsock._process import process

class One:
    info = ProviderInfo(uuid.uuid4(), "one", Namespace.DNS, "1.0")
    @hookimpl
    def nsp_startup(self): pass
    @hookimpl
    def nsp_cleanup(self): pass
    @hookimpl
    def nsp_lookup_service(self, query): yield Service(query.name)

def names(name):
    handle = WSALookupServiceBegin(Query(name), LookupFlags.RETURN_ALL)
    return handle, [WSALookupServiceNext(handle).name]

process.use(Catalog())
assert WSCInstallNameSpace("one", One, Namespace.DNS, "1.0", One.info.guid) == 0
assert WSAStartup(0x0202) == 0
handle = WSALookupServiceBegin(Query("parent"), LookupFlags.RETURN_ALL)
child = os.fork()
if not child:
    print(WSALookupServiceNext(handle), WSAGetLastError())
    print(WSAStartup(0x0202))
    print(names("child")[1])
    print(WSACleanup(), flush=True)
    os._exit(0)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
print([WSALookupServiceNext(handle).name])
print(WSACleanup())
"""


def test_the_package_needs_no_fork(fresh_python: Any) -> None:
    """Where a platform has none there is nothing to be told of."""
    fresh_python("import os; del os.register_at_fork; import nspkit.winsock")


def test_what_is_installed_is_there_from_the_beginning(fresh_python: Any) -> None:
    """Until something is changed the catalog is what entry points say."""
    done = fresh_python(
        "from nspkit import Catalog, winsock\n"
        "assert winsock.WSAStartup(0x0202) == 0\n"
        "rows = winsock.WSAEnumNameSpaceProviders()\n"
        "assert [row.identifier for row in rows] == [one.name for one in Catalog.discover()]\n"
        "assert winsock.WSACleanup() == 0\n"
    )
    assert done.stdout == ""


def test_a_signal_that_interrupts_a_step_of_its_own_thread_is_refused(
    stage: Any, failed: Any
) -> None:
    """It would find half of a change: 10036, and the step goes on."""
    assert WSAStartup(0x0202) == 0
    with process.alone():
        failed(10036, WSACleanup())
        assert WSAStartup(0x0202) == 10036
    assert WSACleanup() == 0
