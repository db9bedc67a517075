"""Queries behind handles: who is asked, what comes in which order, how it ends."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from nspkit import (
    Address,
    Comparison,
    LookupFlags,
    Namespace,
    Query,
    ResultFlags,
    Service,
    ServiceClass,
    Version,
    winsock,
)
from nspkit.errors import (
    ErrorCode,
    NoDataError,
    NspError,
    ServiceNotFoundError,
    TryAgainError,
    error_for,
)
from nspkit.winsock import (
    WSACleanup,
    WSALookupServiceBegin,
    WSALookupServiceEnd,
    WSALookupServiceNext,
    WSANSPIoctl,
)
from nspkit.winsock._process import process

ALL = LookupFlags.RETURN_ALL
UNKNOWN = "22059d40-7e9e-11cf-ae5a-00aa00a7112b"


def finding(*items: Any) -> Callable[..., Iterator[Service]]:
    """A lookup that finds these: a text is a name, and an error is raised."""

    def lookup(query: Any, cancellation: Any) -> Iterator[Service]:
        for item in items:
            if isinstance(item, BaseException):
                raise item
            yield item if isinstance(item, Service) else Service(item)

    return lookup


def failing(error: BaseException, asked: list[str] | None = None) -> Callable[..., Any]:
    """A lookup that fails to begin."""

    def lookup(query: Any, cancellation: Any) -> Any:
        if asked is not None:
            asked.append("it")
        raise error

    return lookup


# Who is asked -----------------------------------------------------------------------------------


def trio(stage: Any) -> tuple[list[Any], list[str]]:
    """Three providers, two of them of one namespace, and who was asked."""
    asked: list[str] = []

    def provider(name: str, namespace: Namespace) -> Any:
        def lookup(query: Any, cancellation: Any) -> Iterator[Service]:
            asked.append(name)
            yield Service(name)

        return stage.provider(name, lookup, namespace=namespace)

    names = {"one": Namespace.DNS, "two": Namespace.NIS, "three": Namespace.DNS}
    return [provider(name, namespace) for name, namespace in names.items()], asked


def test_d10_a_guid_selects_that_provider_only(stage: Any, results: Any) -> None:
    """Whatever the namespace says."""
    providers, asked = trio(stage)
    stage.start(*providers)
    query = Query("it", provider=providers[1].guid, namespace=Namespace.DNS)
    assert results(WSALookupServiceBegin(query, ALL)) == (["two"], 10110)
    assert asked == ["two"]


def test_d11_a_namespace_selects_all_of_its_providers(stage: Any, results: Any) -> None:
    """And no others."""
    providers, asked = trio(stage)
    stage.start(*providers)
    handle = WSALookupServiceBegin(Query("it", namespace=Namespace.DNS), ALL)
    assert results(handle) == (["one", "three"], 10110)
    assert sorted(asked) == ["one", "three"]


def test_d12_ns_all_selects_every_active_provider(stage: Any, results: Any) -> None:
    """In catalog order."""
    providers, asked = trio(stage)
    stage.start(*providers)
    handle = WSALookupServiceBegin(Query("it", namespace=Namespace.ALL), ALL)
    assert results(handle) == (["one", "two", "three"], 10110)
    assert sorted(asked) == ["one", "three", "two"]


def test_d13_an_inactive_provider_is_not_asked(stage: Any, failed: Any, results: Any) -> None:
    """By namespace, by NS_ALL, or by its GUID: 10022."""
    providers, asked = trio(stage)
    stage.install(*providers)
    assert winsock.WSCEnableNSProvider(providers[0].guid, False) == 0
    stage.start()
    for namespace, names in ((Namespace.DNS, ["three"]), (Namespace.ALL, ["two", "three"])):
        handle = WSALookupServiceBegin(Query("it", namespace=namespace), ALL)
        assert results(handle) == (names, 10110)
    failed(10022, WSALookupServiceBegin(Query("it", provider=providers[0].guid), ALL))
    assert "one" not in asked


def test_r08_without_an_eligible_provider_no_query_begins(stage: Any, failed: Any) -> None:
    """10108, where nothing is installed, or nothing of the namespace."""
    providers, asked = trio(stage)
    stage.start()
    failed(10108, WSALookupServiceBegin(Query("it"), ALL))
    stage.install(*providers)
    stage.restart()
    failed(10108, WSALookupServiceBegin(Query("it", namespace=Namespace.BTH), ALL))
    assert asked == []


def test_r19_protocols_do_not_choose_the_provider(stage: Any, results: Any) -> None:
    """Of a query with a GUID, nor of any other: they reach the provider as they are."""
    seen: list[Any] = []

    def lookup(query: Any, cancellation: Any) -> Iterator[Service]:
        seen.append(query.protocols)
        yield Service("it")

    one = stage.provider("one", lookup)
    stage.start(one)
    query = Query("it", provider=one.guid, protocols=[(99, 6)])
    assert results(WSALookupServiceBegin(query, ALL)) == (["it"], 10110)
    assert seen == [((99, 6),)]


# What comes, and in which order -----------------------------------------------------------------


def test_d24_an_exhausted_query_says_so_for_ever(stage: Any, failed: Any) -> None:
    """10110, again and again, of one provider and of several."""
    one, two = stage.provider("one"), stage.provider("two")
    stage.start(one, two)
    for query, count in ((Query("it", provider=one.guid), 1), (Query("it"), 2)):
        handle = WSALookupServiceBegin(query, ALL)
        for _ in range(count):
            assert isinstance(WSALookupServiceNext(handle), Service)
        for _ in range(3):
            failed(10110, WSALookupServiceNext(handle))


def test_r11_all_results_of_one_provider_precede_those_of_the_next(
    stage: Any, results: Any
) -> None:
    """Though they are asked at the same time."""
    gate = stage.gate()

    def slow(query: Any, cancellation: Any) -> Iterator[Service]:
        gate.wait()
        yield from (Service("a"), Service("b"))

    def fast(query: Any, cancellation: Any) -> Iterator[Service]:
        yield from (Service("c"), Service("d"))
        gate.set()

    stage.start(stage.provider("one", slow), stage.provider("two", fast))
    assert results(WSALookupServiceBegin(Query("it"), ALL)) == (["a", "b", "c", "d"], 10110)


def test_s05_results_of_several_providers_come_one_provider_after_another(
    stage: Any, results: Any, registry: Any, addresses: Any
) -> None:
    """After a registration at all of them."""
    kept = [registry(), registry()]
    stage.start(*(stage.provider(f"p{n}", **one.hooks()) for n, one in enumerate(kept)))
    for name in ("a", "b"):
        assert winsock.WSASetService(Service(name, addresses=[addresses.one]), 0) == 0
    handle = WSALookupServiceBegin(Query(), ALL)
    assert results(handle) == (["a", "b", "a", "b"], 10110)


def test_r05_one_that_cannot_be_started_is_passed_over(stage: Any, results: Any) -> None:
    """Wherever it stands; the end is a plain end."""

    def startup() -> None:
        raise OSError("no such file")

    one, two = stage.provider("one", startup=startup), stage.provider("two", finding("x"))
    stage.start(one, two, stage.provider("three", startup=startup))
    assert results(WSALookupServiceBegin(Query("it"), ALL)) == (["x"], 10110)


def test_r09_one_that_fails_to_begin_is_passed_over(stage: Any, results: Any) -> None:
    """Only the other is asked for results, and ended."""
    asked: list[str] = []
    one = stage.provider("one", failing(NoDataError("nothing"), asked))
    stage.start(one, stage.provider("two", finding("x")))
    handle = WSALookupServiceBegin(Query("it"), ALL)
    assert results(handle) == (["x"], 10110)
    assert WSALookupServiceEnd(handle) == 0
    assert asked == ["it"]


def test_r10_where_all_fail_to_begin_the_last_code_is_told(stage: Any, failed: Any) -> None:
    """By the first Next where several were asked side by side, by Begin where it was one."""
    one = stage.provider("one", failing(NoDataError("nothing")))
    two = stage.provider("two", failing(TryAgainError("later")))
    stage.start(one, two)
    handle = WSALookupServiceBegin(Query("it"), ALL)
    failed(11002, WSALookupServiceNext(handle))
    failed(10110, WSALookupServiceNext(handle))
    failed(11002, WSALookupServiceBegin(Query("it", provider=two.guid), ALL))


def test_r12_the_end_or_a_failure_of_one_leads_to_the_next(stage: Any, results: Any) -> None:
    """Within the same call."""
    one = stage.provider("one", finding("a"))
    two = stage.provider("two", finding("b", TryAgainError("later")))
    stage.start(one, two, stage.provider("three", finding("c")))
    assert results(WSALookupServiceBegin(Query("it"), ALL)) == (["a", "b", "c"], 10110)


def test_r14_a_failure_of_the_last_provider_reaches_the_caller_once(
    stage: Any, failed: Any, results: Any
) -> None:
    """Its own code, and then the end; so it is where there is only one."""
    one = stage.provider("one", finding("a"))
    two = stage.provider("two", finding("b", TryAgainError("later")))
    stage.start(one, two)
    for query, names in ((Query("it"), ["a", "b"]), (Query("it", provider=two.guid), ["b"])):
        handle = WSALookupServiceBegin(query, ALL)
        assert results(handle) == (names, 11002)
        failed(10110, WSALookupServiceNext(handle))


def test_r33_codes_of_the_provider_s_own_reach_the_caller(stage: Any, failed: Any) -> None:
    """87 for flags that it does not know, 11004 for a context that it does not have."""

    def lookup(query: Any, cancellation: Any) -> Iterator[Service]:
        both = LookupFlags.CONTAINERS | LookupFlags.NOCONTAINERS
        if query.flags & both == both:
            raise error_for(ErrorCode.WSA_INVALID_PARAMETER, "both container flags")
        if query.context not in ("", "\\"):
            raise NoDataError(f"no context {query.context}")
        return iter(())

    one = stage.provider("one", lookup)
    stage.start(one)
    failed(87, WSALookupServiceBegin(Query("it", provider=one.guid), 0x0006))
    query = Query("it", provider=one.guid, context="elsewhere")
    failed(11004, WSALookupServiceBegin(query, ALL))


def test_s04_a_loop_ends_on_the_old_code_too(stage: Any, failed: Any, results: Any) -> None:
    """10102 and 10110 are the end, and 10108 is that there is no match."""
    one = stage.provider("one", finding("a", error_for(ErrorCode.WSAENOMORE, "the old end")))
    two = stage.provider("two", finding(ServiceNotFoundError("nobody")))
    stage.start(one, two)
    handle = WSALookupServiceBegin(Query("it", provider=one.guid), ALL)
    assert results(handle) == (["a"], 10102)
    failed(10110, WSALookupServiceNext(handle))
    handle = WSALookupServiceBegin(Query("it", provider=two.guid), ALL)
    assert results(handle) == ([], 10108)


def test_t05_a_query_for_anything_begins_and_gives_a_handle(stage: Any) -> None:
    """NS_ALL, no class, all and deep."""
    stage.start(stage.provider("one"))
    handle = WSALookupServiceBegin(Query(), ALL | LookupFlags.DEEP)
    assert isinstance(handle, int)
    assert handle > 0


def test_t06_a_loop_with_flags_0_ends_with_no_more(stage: Any, results: Any) -> None:
    """As almost every client does it."""
    stage.start(stage.provider("one", finding("a", "b")), stage.provider("two", finding("c")))
    assert results(WSALookupServiceBegin(Query(), ALL)) == (["a", "b", "c"], 10110)


def test_t07_a_query_can_be_ended_after_its_exhaustion(stage: Any, results: Any) -> None:
    """0."""
    stage.start(stage.provider("one"))
    handle = WSALookupServiceBegin(Query("it"), ALL)
    assert results(handle) == (["it"], 10110)
    assert WSALookupServiceEnd(handle) == 0


# Flags ------------------------------------------------------------------------------------------

WHOLE = Service(
    "it",
    service_class=ServiceClass.tcp(80).id,
    addresses=[Address.inet("192.0.2.1", 80)],
    attributes={"path": "/"},
    comment="a remark",
    version=3,
    blob=b"private",
)


def asking(stage: Any, flags: Any, *items: Any) -> int:
    """A query, begun with some flags, of a provider that finds these, thrice the same if none."""
    stage.start(stage.provider("one", finding(*(items or (WHOLE, WHOLE, WHOLE)))))
    return WSALookupServiceBegin(Query("it"), flags)


def members(service: Any) -> set[str]:
    """The members of a result that are there."""
    names = ("name", "service_class", "addresses", "attributes", "comment", "version", "blob")
    return {name for name in names if getattr(service, name)}


def test_d27_next_returns_less_where_it_asks_for_less(stage: Any) -> None:
    """No version where Next has other RETURN bits only, and no error; for that call."""
    handle = asking(stage, ALL)
    flags = LookupFlags.RETURN_NAME | LookupFlags.RETURN_COMMENT
    assert members(WSALookupServiceNext(handle, flags)) == {"name", "comment", "attributes"}
    assert members(WSALookupServiceNext(handle, ALL)) == members(WHOLE)
    assert members(WSALookupServiceNext(handle, 0)) == members(WHOLE)


def test_d28_next_cannot_widen(stage: Any) -> None:
    """No blob where Begin did not ask for it, and no error."""
    handle = asking(stage, LookupFlags.RETURN_NAME)
    flags = LookupFlags.RETURN_NAME | LookupFlags.RETURN_BLOB
    assert members(WSALookupServiceNext(handle, flags)) == {"name", "attributes"}
    assert members(WSALookupServiceNext(handle, ALL)) == {"name", "attributes"}


def test_d29_behaviour_flags_of_next_last_for_one_call(stage: Any) -> None:
    """They ask for no member, so all stay; with no buffer there is nothing for them to do."""
    handle = asking(stage, ALL, "a", "b", "c")
    flags = LookupFlags.FLUSHPREVIOUS | LookupFlags.RES_SERVICE
    found: list[Any] = [WSALookupServiceNext(handle, flag) for flag in (flags, flags, 0)]
    assert [service.name for service in found] == ["a", "b", "c"]


@pytest.mark.parametrize("flags", ["all", -1, True, 2**32])
def test_flags_that_are_no_number_are_refused(stage: Any, failed: Any, flags: Any) -> None:
    """10022, at the begin and at every step; the query goes on."""
    handle = asking(stage, ALL, "a")
    failed(10022, WSALookupServiceBegin(Query("it"), flags))
    failed(10022, WSALookupServiceNext(handle, flags))
    assert isinstance(WSALookupServiceNext(handle), Service)


def test_d32_a_namespace_without_containers_has_no_data(stage: Any, failed: Any) -> None:
    """11004, the provider's own answer to a flag that reaches it."""

    def lookup(query: Any, cancellation: Any) -> Iterator[Service]:
        if query.flags & LookupFlags.CONTAINERS:
            raise NoDataError("there are no containers here")
        return iter([Service("it")])

    one = stage.provider("one", lookup)
    stage.start(one)
    failed(11004, WSALookupServiceBegin(Query("it", provider=one.guid), ALL | 0x0002))
    failed(11004, WSALookupServiceNext(WSALookupServiceBegin(Query("it"), ALL | 0x0002)))


def test_d33_containers_are_left_out_where_none_are_wanted(stage: Any, results: Any) -> None:
    """By the provider, which gets the flag and knows what a container is."""

    def lookup(query: Any, cancellation: Any) -> Iterator[Service]:
        if not query.flags & LookupFlags.NOCONTAINERS:
            yield Service("a container")
        yield Service("it")

    stage.start(stage.provider("one", lookup))
    begin = WSALookupServiceBegin
    assert results(begin(Query(), ALL)) == (["a container", "it"], 10110)
    assert results(begin(Query(), ALL | LookupFlags.NOCONTAINERS)) == (["it"], 10110)


def test_d34_aliases_are_later_results_with_their_flag(stage: Any, failed: Any) -> None:
    """Where Begin asks for them; a Next that asks for other things passes over one."""
    alias = Service("other", flags=ResultFlags.IS_ALIAS)
    handle = asking(stage, ALL, "it", alias, alias, "last")
    found: list[Any] = [WSALookupServiceNext(handle) for _ in range(2)]
    assert [bool(service.flags & ResultFlags.IS_ALIAS) for service in found] == [False, True]
    last: Any = WSALookupServiceNext(handle, LookupFlags.RETURN_NAME)
    assert last.name == "last"
    handle = WSALookupServiceBegin(Query("it"), ALL & ~LookupFlags.RETURN_ALIASES)
    found = [WSALookupServiceNext(handle) for _ in range(2)]
    assert [service.name for service in found] == ["it", "last"]


def test_d35_a_version_is_compared(stage: Any, results: Any) -> None:
    """Exactly, or not smaller."""
    services = [Service(f"v{number}", version=number) for number in (1, 2, 3)]
    stage.start(stage.provider("one", finding(*services)))
    for comparison, names in ((Comparison.EQUAL, ["v2"]), (Comparison.NOTLESS, ["v2", "v3"])):
        query = Query(version=Version(2, comparison))
        assert results(WSALookupServiceBegin(query, ALL)) == (names, 10110)


def test_d36_a_result_names_where_it_came_from(stage: Any) -> None:
    """The namespace and the GUID, whatever is asked for."""
    one = stage.provider("one", finding("a", "b"), namespace=Namespace.NIS)
    stage.start(one)
    handle = WSALookupServiceBegin(Query(), ALL)
    for flags in (LookupFlags.RETURN_COMMENT, 0):
        found: Any = WSALookupServiceNext(handle, flags)
        assert (found.namespace, found.provider) == (Namespace.NIS, one.guid)


# Bad arguments ----------------------------------------------------------------------------------


def test_d30_an_invalid_handle_is_refused(stage: Any, failed: Any) -> None:
    """By Next, End and a control request: 6."""
    stage.start(stage.provider("one"))
    for handle in (0, -1, 10**9, "1", 1.0, [1], object()):
        failed(6, WSALookupServiceNext(handle))  # type: ignore[arg-type]
        failed(6, WSALookupServiceEnd(handle))  # type: ignore[arg-type]
        failed(6, WSANSPIoctl(handle, 7))  # type: ignore[arg-type]


def test_t04_no_handle_is_an_invalid_one(stage: Any, failed: Any) -> None:
    """6, and not 10014."""
    stage.start(stage.provider("one"))
    failed(6, WSALookupServiceEnd(None))  # type: ignore[arg-type]


def test_t01_a_query_that_is_none_is_a_fault(stage: Any, failed: Any) -> None:
    """10014."""
    stage.start(stage.provider("one"))
    failed(10014, WSALookupServiceBegin(None, ALL))  # type: ignore[arg-type]


def test_r21_a_query_that_is_none_is_a_fault_for_the_table_too(stage: Any, failed: Any) -> None:
    """10014; there is no pointer to a handle that could be null."""
    one = stage.provider("one")
    stage.start(one)
    table: Any = winsock.NSPStartup(one.guid)
    failed(10014, table.NSPLookupServiceBegin(one.guid, None, ALL))


def test_t03_what_is_no_query_is_invalid(stage: Any, failed: Any) -> None:
    """10022, as for a structure without its size."""
    stage.start(stage.provider("one"))
    for query in ("it", {}, 7):
        failed(10022, WSALookupServiceBegin(query, ALL))  # type: ignore[arg-type]


# The end ----------------------------------------------------------------------------------------


def test_r17_a_handle_is_ended_once(stage: Any, failed: Any) -> None:
    """6 after that; of two threads that end it at once exactly one succeeds."""
    stage.start(stage.provider("one"), stage.provider("two"))
    for _ in range(50):
        handle = WSALookupServiceBegin(Query("it"), ALL)
        together = threading.Barrier(2)

        def end(handle: int = handle, together: threading.Barrier = together) -> int:
            together.wait()
            return WSALookupServiceEnd(handle)

        tasks = [stage.task(end) for _ in range(2)]
        assert sorted(task.outcome()[0] for task in tasks) == [-1, 0]
        failed(6, WSALookupServiceEnd(handle))
        failed(6, WSALookupServiceNext(handle))


@pytest.mark.parametrize("directed", [True, False])
def test_d31_an_end_releases_a_next_that_waits(stage: Any, arrived: Any, directed: bool) -> None:
    """It gets 10111, and the end succeeds."""
    entered = threading.Event()

    def lookup(query: Any, cancellation: Any) -> Iterator[Service]:
        entered.set()
        cancellation.wait(30)
        yield Service("late")

    one = stage.provider("one", lookup)
    stage.start(one, stage.provider("two"))
    handle = WSALookupServiceBegin(Query("it", provider=one.guid if directed else None), ALL)
    task = stage.task(lambda: WSALookupServiceNext(handle))
    arrived(entered)
    assert WSALookupServiceEnd(handle) == 0
    assert task.outcome() == (-1, 10111)


def test_s15_a_next_that_waits_ends_with_the_provider_s_own_time_out(
    stage: Any, arrived: Any
) -> None:
    """With the code that the provider gives, 10108; or with 10111 where it is ended before."""
    entered = threading.Event()

    def lookup(query: Any, cancellation: Any) -> Iterator[Service]:
        entered.set()
        cancellation.wait(0.001 if query.name == "short" else 30)
        raise ServiceNotFoundError("nobody has answered")
        yield

    one = stage.provider("one", lookup)
    stage.start(one)
    for name, code in (("short", 10108), ("long", 10111)):
        entered.clear()
        handle = WSALookupServiceBegin(Query(name, provider=one.guid), ALL)
        task = stage.task(lambda handle=handle: WSALookupServiceNext(handle))
        arrived(entered)
        if name == "long":
            assert WSALookupServiceEnd(handle) == 0
        assert task.outcome() == (-1, code)


def test_r15_a_next_that_comes_during_the_end_is_cancelled(
    stage: Any, failed: Any, arrived: Any
) -> None:
    """At once, without asking the provider."""
    ending, gate = threading.Event(), stage.gate()
    asked: list[str] = []

    def told() -> None:
        ending.set()
        gate.wait()

    def lookup(query: Any, cancellation: Any) -> Iterator[Service]:
        cancellation.on_cancel(told)
        for name in ("a", "b"):
            asked.append(name)
            yield Service(name)

    one = stage.provider("one", lookup)
    stage.start(one)
    handle = WSALookupServiceBegin(Query("it", provider=one.guid), ALL)
    assert isinstance(WSALookupServiceNext(handle), Service)
    task = stage.task(lambda: WSALookupServiceEnd(handle))
    arrived(ending)
    failed(10111, WSALookupServiceNext(handle))
    failed(6, WSALookupServiceEnd(handle))
    gate.set()
    assert task.outcome()[0] == 0
    assert asked == ["a"]


class Cursor:
    """An iterator that is no generator: it counts how often it is closed, and may fail there."""

    def __init__(self, closing: BaseException | None = None) -> None:
        self.closing = closing
        self.closed = 0
        self.begun = threading.Event()

    def __iter__(self) -> Cursor:
        return self

    def __next__(self) -> Service:
        self.begun.set()
        return Service("it")

    def close(self) -> None:
        """Count, and raise what was given for that."""
        self.closed += 1
        if self.closing is not None:
            raise self.closing


def test_r16_an_end_ends_every_provider_once(stage: Any, arrived: Any) -> None:
    """What they raise is ignored."""
    cursors = [Cursor(), Cursor(NspError("it is broken", code=10050)), Cursor()]
    stage.start(
        *(
            stage.provider(f"p{n}", lambda query, cancellation, cursor=cursor: cursor)
            for n, cursor in enumerate(cursors)
        )
    )
    handle = WSALookupServiceBegin(Query("it"), ALL)
    for cursor in cursors:
        arrived(cursor.begun)
    assert WSALookupServiceEnd(handle) == 0
    assert WSACleanup() == 0
    assert [cursor.closed for cursor in cursors] == [1, 1, 1]


def test_r18_a_query_outlives_its_end_until_a_next_has_come_back(stage: Any, arrived: Any) -> None:
    """The end does not wait, and the iterator is closed by the one inside."""
    gate = stage.gate()

    class Slow(Cursor):
        def __next__(self) -> Service:
            self.begun.set()
            gate.wait()
            assert not self.closed
            return Service("it")

    cursor = Slow()
    one = stage.provider("one", lambda query, cancellation: cursor)
    stage.start(one)
    handle = WSALookupServiceBegin(Query("it", provider=one.guid), ALL)
    task = stage.task(lambda: WSALookupServiceNext(handle))
    arrived(cursor.begun)
    assert WSALookupServiceEnd(handle) == 0
    assert cursor.closed == 0
    gate.set()
    assert task.outcome() == (-1, 10111)
    assert cursor.closed == 1


def test_two_threads_that_ask_one_query_at_once_are_told_so(
    stage: Any, failed: Any, arrived: Any, until: Any
) -> None:
    """The second gets 10036, which is no failure of a provider: that is still told."""
    gate = stage.gate()

    def lookup(query: Any, cancellation: Any) -> Iterator[Service]:
        gate.wait()
        yield Service("a")
        raise TryAgainError("later")

    stage.start(stage.provider("one", lookup))
    handle = WSALookupServiceBegin(Query("it"), ALL)
    task = stage.task(lambda: WSALookupServiceNext(handle))
    until(lambda: process.running().search(handle)._lookup._state._reader)
    failed(10036, WSALookupServiceNext(handle))
    gate.set()
    assert task.outcome()[0].name == "a"
    failed(11002, WSALookupServiceNext(handle))
    failed(10110, WSALookupServiceNext(handle))
