"""Control requests on a query, and what has changed since it was answered."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from nspkit import SIO_NSP_NOTIFY_CHANGE as NOTIFY
from nspkit import (
    Change,
    ChangeKind,
    LookupFlags,
    Query,
    ResultFlags,
    Service,
    ServiceOperation,
)
from nspkit.errors import (
    InvalidArgumentError,
    NotReadyError,
    OperationNotSupportedError,
    TryAgainError,
)
from nspkit.winsock import (
    NSPCleanup,
    NSPStartup,
    WSACleanup,
    WSAGetLastError,
    WSALookupServiceBegin,
    WSALookupServiceEnd,
    WSALookupServiceNext,
    WSANSPIoctl,
    WSASetService,
)
from nspkit.winsock._process import process

ALL = LookupFlags.RETURN_ALL
REGISTER, DELETE = ServiceOperation.REGISTER, ServiceOperation.DELETE


@pytest.fixture
def kept(stage: Any, registry: Any) -> Any:
    """What the only provider keeps, in a period; it tells of changes."""
    kept = registry()
    stage.start(stage.provider("one", **kept.hooks()))
    return kept


class Bell:
    """A completion that remembers its codes, and can be waited for."""

    def __init__(self) -> None:
        self.codes: list[int] = []
        self.rung = threading.Event()

    def __call__(self, code: int) -> None:
        """Ring."""
        self.codes.append(code)
        self.rung.set()


def whole(handle: int) -> list[Any]:
    """Read a query until it has no more at the moment."""
    found = []
    while not isinstance(service := WSALookupServiceNext(handle), int):
        found.append(service)
    assert WSAGetLastError() == 10110
    return found


def test_d49_a_poll_tells_whether_the_results_have_changed(
    kept: Any, failed: Any, until: Any, addresses: Any
) -> None:
    """-1 and 10035 while they are valid; 0 when they have changed, until that was read."""
    kept.set_service(Service("a", addresses=[addresses.one]), REGISTER, False)
    handle = WSALookupServiceBegin(Query(), ALL)
    assert [service.name for service in whole(handle)] == ["a"]
    failed(10035, WSANSPIoctl(handle, NOTIFY))
    failed(10035, WSANSPIoctl(handle, NOTIFY))
    assert WSASetService(Service("b", addresses=[addresses.one]), REGISTER) == 0
    until(lambda: WSANSPIoctl(handle, NOTIFY) == 0)
    assert WSANSPIoctl(handle, NOTIFY) == 0
    assert [service.name for service in whole(handle)] == ["b"]
    failed(10035, WSANSPIoctl(handle, NOTIFY))


def test_d60_changes_come_after_the_end_with_their_flags(
    kept: Any, failed: Any, arrived: Any, addresses: Any
) -> None:
    """The end stands between one set and the next."""
    there = Service("a", addresses=[addresses.one])
    kept.set_service(there, REGISTER, False)
    handle = WSALookupServiceBegin(Query(), ALL)
    assert [(one.name, one.flags) for one in whole(handle)] == [("a", ResultFlags(0))]
    for operation, service, flag in (
        (REGISTER, Service("b", addresses=[addresses.one]), ResultFlags.IS_ADDED),
        (REGISTER, there.replace(comment="new"), ResultFlags.IS_CHANGED),
        (DELETE, there, ResultFlags.IS_DELETED),
    ):
        bell = Bell()
        failed(997, WSANSPIoctl(handle, NOTIFY, completion=bell))
        assert WSASetService(service, operation) == 0
        arrived(bell.rung)
        assert [(one.name, one.flags) for one in whole(handle)] == [(service.name, flag)]
        failed(10110, WSALookupServiceNext(handle))
    assert WSALookupServiceEnd(handle) == 0


@pytest.mark.parametrize("session", [True, False])
def test_d51_a_request_for_changes_is_aborted_with_the_query(
    kept: Any, failed: Any, arrived: Any, session: bool
) -> None:
    """Each of them, with 995; by its end or by the last cleanup."""
    guid = next(iter(process.running().host.providers())).guid
    for end in ("query", "cleanup"):
        table: Any = NSPStartup(guid)  # type: ignore[arg-type]
        handle = WSALookupServiceBegin(Query(), ALL)
        if session:
            handle = table.NSPLookupServiceBegin(guid, Query(), ALL)
        bells = [Bell(), Bell()]
        for bell in bells:
            failed(997, WSANSPIoctl(handle, NOTIFY, b"", bell))
        assert (WSALookupServiceEnd(handle) if end == "query" else WSACleanup()) == 0
        for bell in bells:
            arrived(bell.rung)
            assert bell.codes == [995]


def test_d50_a_query_over_several_providers_takes_no_request(stage: Any, failed: Any) -> None:
    """10022, for every code; one that goes to a single provider by its namespace does."""
    one = stage.provider("one", ioctl=lambda code, data: b"done")
    two = stage.provider("two", namespace=4711, ioctl=lambda code, data: None)
    stage.start(one, two)
    handle = WSALookupServiceBegin(Query("it"), ALL)
    failed(10022, WSANSPIoctl(handle, 7))
    failed(10022, WSANSPIoctl(handle, 7, b"", print))
    failed(10022, WSANSPIoctl(handle, NOTIFY))
    failed(10022, WSANSPIoctl(handle, NOTIFY, b"", print))
    handle = WSALookupServiceBegin(Query("it", namespace=12), ALL)
    assert WSANSPIoctl(handle, 7) == b"done"
    handle = WSALookupServiceBegin(Query("it", provider=two.guid), ALL)
    assert WSANSPIoctl(handle, 7) == 0


def test_d52_an_unknown_code_is_not_supported(stage: Any, failed: Any) -> None:
    """10045, and so is any where the provider has no hook for it, and a completion for one."""

    def ioctl(code: int, data: bytes) -> bytes:
        if code != 7:
            raise OperationNotSupportedError(f"there is no request {code}")
        return data

    one, two = stage.provider("one", ioctl=ioctl), stage.provider("two")
    stage.start(one, two)
    handle = WSALookupServiceBegin(Query("it", provider=one.guid), ALL)
    assert WSANSPIoctl(handle, 7, b"ab") == b"ab"
    failed(10045, WSANSPIoctl(handle, 8))
    failed(10045, WSANSPIoctl(handle, 7, b"", print))
    handle = WSALookupServiceBegin(Query("it", provider=two.guid), ALL)
    failed(10045, WSANSPIoctl(handle, 7))


# Beside the numbered ones -----------------------------------------------------------------------


def test_changes_of_a_provider_that_does_not_tell_are_found_by_asking(
    stage: Any, failed: Any
) -> None:
    """Its lookup is repeated and compared."""
    one = stage.provider("one")
    stage.start(one)
    handle = WSALookupServiceBegin(Query("it"), ALL)
    failed(10035, WSANSPIoctl(handle, NOTIFY))
    failed(10022, WSANSPIoctl(handle, NOTIFY, b"", 7))  # type: ignore[arg-type]
    assert WSALookupServiceEnd(handle) == 0


def test_a_request_before_the_results_are_read_leaves_them(kept: Any, addresses: Any) -> None:
    """First come the results, then what has changed."""
    kept.set_service(Service("a", addresses=[addresses.one]), REGISTER, False)
    handle = WSALookupServiceBegin(Query(), ALL)
    assert WSANSPIoctl(handle, NOTIFY) == -1
    assert [service.flags for service in whole(handle)] == [ResultFlags(0)]


def test_a_poll_tells_of_changes_until_the_last_was_read(
    kept: Any, failed: Any, until: Any, addresses: Any
) -> None:
    """One of two is not all."""
    handle = WSALookupServiceBegin(Query(), ALL)
    failed(10035, WSANSPIoctl(handle, NOTIFY))
    for name in ("a", "b"):
        kept.set_service(Service(name, addresses=[addresses.one]), REGISTER, False)
    watch = process.running().search(handle)._feeds[None]._watch
    until(lambda: watch.generation == 2)
    assert WSALookupServiceNext(handle).name == "a"  # type: ignore[union-attr]
    assert WSANSPIoctl(handle, NOTIFY) == 0
    assert [service.name for service in whole(handle)] == ["b"]
    failed(10035, WSANSPIoctl(handle, NOTIFY))


def test_a_completion_comes_at_once_while_a_change_is_unread(
    kept: Any, failed: Any, arrived: Any, addresses: Any
) -> None:
    """Until it was read; and a completion may ask for the next one."""
    handle = WSALookupServiceBegin(Query(), ALL)
    bells = [Bell(), Bell(), Bell()]

    def again(code: int) -> None:
        assert WSANSPIoctl(handle, NOTIFY, b"", bells[1]) == -1
        bells[0](code)

    failed(997, WSANSPIoctl(handle, NOTIFY, b"", again))
    assert whole(handle) == []  # a completion waits for the change: it comes through that
    kept.set_service(Service("a", addresses=[addresses.one]), REGISTER, False)
    for bell in bells[:2]:
        arrived(bell.rung)
    assert [service.name for service in whole(handle)] == ["a"]
    failed(997, WSANSPIoctl(handle, NOTIFY, b"", bells[2]))
    assert WSALookupServiceEnd(handle) == 0
    assert [bell.codes for bell in bells] == [[0], [0], [995]]


def test_an_end_from_inside_a_completion_is_possible(
    kept: Any, failed: Any, arrived: Any, addresses: Any
) -> None:
    """As the documentation of Winsock wants it of a client."""
    handle = WSALookupServiceBegin(Query(), ALL)
    ended, answers = threading.Event(), []

    def end(code: int) -> None:
        answers.append((code, WSALookupServiceEnd(handle)))
        ended.set()

    failed(997, WSANSPIoctl(handle, NOTIFY, b"", end))
    kept.set_service(Service("a", addresses=[addresses.one]), REGISTER, False)
    arrived(ended)
    assert answers == [(0, 0)]


@pytest.mark.parametrize("meanwhile", [True, False])
def test_the_first_poll_waits_until_it_is_known_what_is_there(
    stage: Any, failed: Any, until: Any, meanwhile: bool
) -> None:
    """Else what is there already would count as a change; results may be read meanwhile."""
    gate = stage.gate()

    def lookup(query: Any, cancellation: Any) -> list[Service]:
        return [Service("a"), Service("b")]

    def notify(query: Any, cancellation: Any) -> Iterator[Any]:
        yield Change(ChangeKind.ADDED, Service("a"))
        gate.wait()
        yield Change(ChangeKind.ADDED, Service("b"))
        yield None
        cancellation.wait()

    one = stage.provider("one", lookup, notify=notify)
    stage.start(one)
    handle = WSALookupServiceBegin(Query("it", provider=one.guid), ALL)
    task = stage.task(lambda: WSANSPIoctl(handle, NOTIFY))
    until(lambda: process.running().search(handle)._feeds)
    until(lambda: process.running().search(handle)._feeds[None]._watch.generation)
    found = whole(handle) if meanwhile else []
    gate.set()
    assert task.outcome() == (-1, 10035)
    found += whole(handle)
    assert [service.flags for service in found] == [ResultFlags(0)] * 2
    failed(10035, WSANSPIoctl(handle, NOTIFY))
    assert whole(handle) == []


def test_two_threads_may_make_the_first_request(
    stage: Any, failed: Any, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here one makes it from beginning to end while the other waits; nothing is learned twice."""
    gate, more = stage.gate(), stage.gate()

    def notify(query: Any, cancellation: Any) -> Iterator[Any]:
        gate.wait()
        yield None
        more.wait()
        yield Change(ChangeKind.ADDED, Service("a"))
        cancellation.wait()

    def other(_seconds: float) -> None:
        monkeypatch.undo()
        gate.set()
        failed(10035, WSANSPIoctl(handle, NOTIFY))
        more.set()
        until(lambda: process.running().search(handle)._feeds[None]._watch.generation)

    stage.start(stage.provider("one", lambda query, cancellation: (), notify=notify))
    handle = WSALookupServiceBegin(Query(), ALL)
    assert whole(handle) == []
    monkeypatch.setattr("nspkit.winsock._feed.sleep", other)
    assert WSANSPIoctl(handle, NOTIFY) == 0
    assert [service.name for service in whole(handle)] == ["a"]


def changed_behind(kept: Any, addresses: Any) -> None:
    """Have one service changed, one removed, one added, after an answer with a, b and c."""
    kept.set_service(Service("b", addresses=[addresses.one], comment="new"), REGISTER, False)
    kept.set_service(Service("c", addresses=[addresses.one]), DELETE, False)
    kept.set_service(Service("d", addresses=[addresses.one]), REGISTER, False)


CHANGED_BEHIND = [
    ("b", ResultFlags.IS_CHANGED),
    ("c", ResultFlags.IS_DELETED),
    ("d", ResultFlags.IS_ADDED),
]


def test_what_has_changed_before_the_first_request_is_a_change(
    kept: Any, failed: Any, arrived: Any, addresses: Any
) -> None:
    """What counts is what `WSALookupServiceNext` has delivered, not when it was asked first."""
    for name in "abc":
        kept.set_service(Service(name, addresses=[addresses.one]), REGISTER, False)
    polling, waiting = (WSALookupServiceBegin(Query(), ALL) for _ in range(2))
    for handle in (polling, waiting):
        assert [service.name for service in whole(handle)] == ["a", "b", "c"]
    changed_behind(kept, addresses)
    bell = Bell()
    assert WSANSPIoctl(polling, NOTIFY) == 0
    failed(997, WSANSPIoctl(waiting, NOTIFY, b"", bell))
    arrived(bell.rung)
    assert bell.codes == [0]
    for handle in (polling, waiting):
        assert [(one.name, one.flags) for one in whole(handle)] == CHANGED_BEHIND
        failed(10035, WSANSPIoctl(handle, NOTIFY))


def test_what_has_changed_before_a_request_that_comes_before_the_results_follows_them(
    stage: Any, failed: Any, registry: Any, addresses: Any
) -> None:
    """Here the provider has made its list at the begin."""
    kept = registry()
    hooks = {**kept.hooks(), "lookup": lambda query, cancellation: list(kept.lookup(query, None))}
    stage.start(stage.provider("one", **hooks))
    for name in "abc":
        kept.set_service(Service(name, addresses=[addresses.one]), REGISTER, False)
    guid = next(iter(process.running().host.providers())).guid
    handle = WSALookupServiceBegin(Query(provider=guid), ALL)
    changed_behind(kept, addresses)
    failed(10035, WSANSPIoctl(handle, NOTIFY))  # whether that fits the results is not known yet
    assert [(one.name, one.flags) for one in whole(handle)] == [
        *((name, ResultFlags(0)) for name in "abc"),
        *CHANGED_BEHIND,
    ]
    failed(10035, WSANSPIoctl(handle, NOTIFY))


@pytest.mark.parametrize("tells", [True, False])
def test_several_results_of_one_service_are_no_change(
    stage: Any, failed: Any, addresses: Any, tells: bool
) -> None:
    """A watch has one for them: put together from a list, or the last that was told."""
    found = [Service("a", addresses=[one]) for one in (addresses.one, addresses.two)]

    def notify(query: Any, cancellation: Any) -> Iterator[Any]:
        yield from (Change(ChangeKind.ADDED, service) for service in found)
        yield None
        cancellation.wait()

    hooks = {"notify": notify} if tells else {}
    stage.start(stage.provider("one", lambda query, cancellation: found, **hooks))
    handle = WSALookupServiceBegin(Query(), ALL)
    assert len(whole(handle)) == 2
    failed(10035, WSANSPIoctl(handle, NOTIFY))


def test_what_is_no_content_is_no_change(stage: Any, failed: Any, addresses: Any) -> None:
    """How long it holds, and the order of addresses, though they differ with every answer."""
    found = Service("a", ttl=60, addresses=[addresses.one, addresses.two])
    turned = found.replace(ttl=59, addresses=found.addresses[::-1])
    answers = [[found], [turned]]
    stage.start(stage.provider("one", lambda query, cancellation: answers.pop(0)))
    handle = WSALookupServiceBegin(Query("a"), ALL)
    assert len(whole(handle)) == 1
    failed(10035, WSANSPIoctl(handle, NOTIFY))
    assert answers == []


def test_a_change_that_the_results_have_already_is_none(
    stage: Any, failed: Any, until: Any
) -> None:
    """Its completion goes on waiting."""
    gate = stage.gate()

    def notify(query: Any, cancellation: Any) -> Iterator[Any]:
        yield Change(ChangeKind.ADDED, Service("a"))
        yield None
        gate.wait()
        yield Change(ChangeKind.ADDED, Service("b"))
        cancellation.wait()

    found = [Service("a"), Service("b")]
    one = stage.provider("one", lambda query, cancellation: found, notify=notify)
    stage.start(one)
    handle = WSALookupServiceBegin(Query(provider=one.guid), ALL)
    bell = Bell()
    failed(997, WSANSPIoctl(handle, NOTIFY, b"", bell))
    for service in found:
        assert WSALookupServiceNext(handle).name == service.name  # type: ignore[union-attr]
    gate.set()
    until(lambda: len(process.running().search(handle)._feeds[None]._there) == 2)
    failed(10110, WSALookupServiceNext(handle))
    assert WSALookupServiceEnd(handle) == 0
    assert bell.codes == [995]


def test_results_after_which_a_provider_failed_are_compared_too(
    stage: Any, failed: Any, until: Any
) -> None:
    """What it had not come to is told as added."""

    def lookup(query: Any, cancellation: Any) -> Iterator[Service]:
        yield Service("a")
        raise TryAgainError("the server is away")

    def notify(query: Any, cancellation: Any) -> Iterator[Any]:
        yield from (Change(ChangeKind.ADDED, Service(name)) for name in "ab")
        yield None
        cancellation.wait()

    one = stage.provider("one", lookup, notify=notify)
    stage.start(one)
    handle = WSALookupServiceBegin(Query(provider=one.guid), ALL)
    assert WSALookupServiceNext(handle).name == "a"  # type: ignore[union-attr]
    failed(11002, WSALookupServiceNext(handle))
    assert WSANSPIoctl(handle, NOTIFY) == 0
    assert [service.name for service in whole(handle)] == ["b"]


def test_a_change_that_is_unread_comes_before_the_end_of_its_provider(
    kept: Any, failed: Any, addresses: Any
) -> None:
    """And a poll tells of it; after it the end is told, also by the next result."""
    guid: Any = next(iter(process.running().host.providers())).guid
    handle = WSALookupServiceBegin(Query(), ALL)
    assert whole(handle) == []
    kept.set_service(Service("a", addresses=[addresses.one]), REGISTER, False)
    assert WSANSPIoctl(handle, NOTIFY) == 0
    assert NSPCleanup(guid) == 0
    assert WSANSPIoctl(handle, NOTIFY) == 0
    assert WSALookupServiceNext(handle).name == "a"  # type: ignore[union-attr]
    failed(10111, WSALookupServiceNext(handle))
    failed(10111, WSANSPIoctl(handle, NOTIFY))


def test_what_a_query_over_several_providers_tells_is_not_kept(stage: Any, results: Any) -> None:
    """No changes can be asked for at it; at one it is kept, with whichever GUID."""
    stage.start(stage.provider("one"), stage.provider("two", namespace=4711))
    for namespace, kept in ((0, 0), (12, 1)):
        handle = WSALookupServiceBegin(Query("it", namespace=namespace), ALL)
        results(handle)
        told = process.running().search(handle)._told
        assert (len(told.services), told.complete) == (kept, bool(kept))


def test_a_query_that_is_ended_while_its_changes_are_begun_is_cancelled(
    stage: Any, failed: Any
) -> None:
    """Nothing stays behind; here the provider itself ends it, when it is started for that."""
    handles: list[int] = []
    ended: list[int] = []

    def startup() -> None:
        ended.extend(WSALookupServiceEnd(handle) for handle in handles)

    one = stage.provider("one", startup=startup)
    stage.start(one)
    for completion in (None, print):
        handles[:] = []
        handle = WSALookupServiceBegin(Query("it", provider=one.guid), ALL)
        assert NSPCleanup(one.guid) == 0
        handles.append(handle)
        failed(10111, WSANSPIoctl(handle, NOTIFY, b"", completion))
    assert ended == [0, 0]


def test_what_cannot_be_watched_is_said(stage: Any, failed: Any, registry: Any) -> None:
    """By the code of the provider: it has no such hook, or cannot tell what is there."""

    def notify(query: Any, cancellation: Any) -> Iterator[Any]:
        raise NotReadyError("the server is away")
        yield

    one, two = stage.provider("one", notify=notify), stage.provider("two")
    stage.start(one, two)
    for _ in range(2):
        handle = WSALookupServiceBegin(Query("it", provider=one.guid), ALL)
        failed(10091, WSANSPIoctl(handle, NOTIFY))
        failed(10091, WSANSPIoctl(handle, NOTIFY, b"", print))


def test_a_failure_after_that_is_told_by_a_poll(
    stage: Any, failed: Any, arrived: Any, until: Any
) -> None:
    """What the provider cannot tell any more is neither changed nor valid."""
    fail = threading.Event()

    def notify(query: Any, cancellation: Any) -> Iterator[Any]:
        cancellation.on_cancel(fail.set)
        yield None
        fail.wait()
        raise TryAgainError("the server is away")

    one = stage.provider("one", notify=notify)
    stage.start(one)
    handle = WSALookupServiceBegin(Query("it", provider=one.guid), ALL)
    failed(10035, WSANSPIoctl(handle, NOTIFY))
    fail.set()
    until(lambda: (WSANSPIoctl(handle, NOTIFY), WSAGetLastError()) == (-1, 11002))
    assert WSALookupServiceEnd(handle) == 0


def test_a_provider_that_stops_aborts_the_requests(kept: Any, failed: Any, arrived: Any) -> None:
    """995, and after that there is nothing to ask for."""
    guid: Any = next(iter(process.running().host.providers())).guid
    table: Any = NSPStartup(guid)
    handle = table.NSPLookupServiceBegin(guid, Query(), ALL)
    bell = Bell()
    failed(997, WSANSPIoctl(handle, NOTIFY, b"", bell))
    assert NSPCleanup(guid) == 0
    arrived(bell.rung)
    assert bell.codes == [995]
    failed(10111, WSANSPIoctl(handle, NOTIFY, b"", bell))
    failed(10111, WSANSPIoctl(handle, NOTIFY))
    assert bell.codes == [995]
    assert WSALookupServiceEnd(handle) == 0


def test_a_failure_that_is_final_is_the_code_of_the_completion(
    stage: Any, failed: Any, arrived: Any
) -> None:
    """And of every request after it."""
    fail = threading.Event()

    def notify(query: Any, cancellation: Any) -> Iterator[Any]:
        cancellation.on_cancel(fail.set)
        yield None
        fail.wait()
        raise InvalidArgumentError("this name cannot be watched")

    one = stage.provider("one", notify=notify)
    stage.start(one)
    handle = WSALookupServiceBegin(Query("it", provider=one.guid), ALL)
    bell = Bell()
    failed(997, WSANSPIoctl(handle, NOTIFY, b"", bell))
    fail.set()
    arrived(bell.rung)
    assert bell.codes == [10022]
    failed(10022, WSANSPIoctl(handle, NOTIFY, b"", bell))
    failed(10022, WSANSPIoctl(handle, NOTIFY))
    assert WSALookupServiceEnd(handle) == 0
