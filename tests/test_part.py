"""One provider's part of a lookup, and the schedules in which several threads meet at it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from nspkit import Catalog, Host, Namespace, ProviderInfo, Query, Service, hookimpl
from nspkit._cancellation import Cancellation
from nspkit._part import DONE, Part
from nspkit._results import shown, told
from nspkit.errors import (
    CancelledError,
    InProgressError,
    NotInitialisedError,
    ServiceNotFoundError,
)

LONG = 30.0
GUID = "0d9a3a5e-6f0b-4a55-9a39-0c4b3f4b7d01"
LOOKUP = "nsp_lookup_service"


class Feed:
    """An iterator that gives what it has, calls what can be called, and counts its closings."""

    def __init__(self, *items: Any) -> None:
        self.items = list(items)
        self.closed = 0

    def __iter__(self) -> Feed:
        return self

    def __next__(self) -> Any:
        if not self.items:
            raise StopIteration
        item = self.items.pop(0)
        return item() if callable(item) else item

    def close(self) -> None:
        """Count."""
        self.closed += 1


@pytest.fixture
def make() -> Iterator[Callable[..., Host]]:
    """A function that makes a host of one provider, ``p``, with this lookup."""
    hosts: list[Host] = []

    def host_of(lookup: Callable[[Any, Any], Any]) -> Host:
        class P:
            info = ProviderInfo(GUID, "p", Namespace.DNS, "1")

            @hookimpl
            def nsp_startup(self) -> None:
                """Start."""

            @hookimpl
            def nsp_cleanup(self) -> None:
                """Stop."""

            @hookimpl
            def nsp_lookup_service(self, query: Any, cancellation: Any) -> Any:
                """Find what the test says."""
                return lookup(query, cancellation)

        catalog = Catalog()
        catalog.install(P)
        hosts.append(Host(catalog=catalog))
        return hosts[-1]

    yield host_of
    for host in hosts:
        host.close()


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    """Threads for those who meet."""
    with ThreadPoolExecutor(4) as executor:
        yield executor


def part_of(host: Host, account: Any = None) -> Part:
    """A part that has not begun."""
    return Part(account or host._accounts.of("p"), Query("x"), Cancellation(), LOOKUP)


def names(part: Part) -> list[str]:
    """All that a part gives."""
    found = []
    while (item := part.step()) is not DONE:
        found.append(item.name)
    return found


def test_a_part_begins_steps_and_is_done(make: Callable[..., Host]) -> None:
    """It closes its iterator, once, and leaves the users of its generation."""
    feed = Feed(Service("a"), Service("b"))
    part = part_of(make(lambda query, cancellation: feed))
    assert part.over
    part.begin()
    assert not part.over
    assert list(part.generation.users) == [part]
    assert names(part) == ["a", "b"]
    assert part.over
    assert feed.closed == 1
    assert list(part.generation.users) == []
    assert part.step() is DONE


# Beginning --------------------------------------------------------------------------------------


class Between:
    """An account with things that happen after `ensure_started` and before the guard, in turn."""

    def __init__(self, account: Any, *happens: Callable[[], object]) -> None:
        self._account = account
        self._happens = list(happens)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._account, name)

    def ensure_started(self) -> Any:
        """Start, and let the next thing happen."""
        running = self._account.ensure_started()
        if self._happens:
            self._happens.pop(0)()
        return running


def test_a_provider_stopped_before_the_guard_means_the_next_generation(
    make: Callable[..., Host],
) -> None:
    """The begin is not refused: it starts the provider again and asks that one.

    Meanwhile it is in no generation, or the end of the old one would wait for it.
    """
    in_between: list[Any] = []
    host = make(lambda query, cancellation: [Service("a")])
    account = Between(
        host._accounts.of("p"),
        lambda: host.cleanup("p"),
        lambda: in_between.append(part.generation),
    )
    part = part_of(host, account)
    part.begin()
    assert in_between == [None]
    assert part.generation.number == 2
    assert names(part) == ["a"]


def test_a_part_of_a_session_does_not_reach_into_the_next_generation(
    make: Callable[..., Host],
) -> None:
    """It is refused with 10093, and starts nothing."""
    host = make(lambda query, cancellation: [Service("a")])
    session = host.startup("p")
    generation = session.generation
    session.close()
    part = part_of(host)
    with pytest.raises(NotInitialisedError):
        part.begin(generation)
    assert host.references("p") == 0


def test_a_part_that_was_ended_during_the_start_calls_no_hook(make: Callable[..., Host]) -> None:
    """The start may have taken long."""
    asked: list[str] = []
    host = make(lambda query, cancellation: asked.append("asked") or [])
    account = Between(host._accounts.of("p"), lambda: part.stop(CancelledError("closed")))
    part = part_of(host, account)
    with pytest.raises(CancelledError, match="closed"):
        part.begin()
    assert asked == []


def test_a_part_that_is_ended_while_its_hook_runs_closes_what_the_hook_returns(
    make: Callable[..., Host],
) -> None:
    """Nobody else can: there was nothing to close before."""
    feed = Feed(Service("a"))

    def lookup(query: Any, cancellation: Any) -> Feed:
        part.end(CancelledError("closed"))
        assert cancellation.cancelled
        return feed

    part = part_of(make(lookup))
    with pytest.raises(CancelledError, match="closed"):
        part.begin()
    assert feed.closed == 1
    assert list(part.generation.users) == []


def test_an_error_of_the_hook_is_raised_and_the_generation_goes_on(
    make: Callable[..., Host],
) -> None:
    """A provider's own 10093 is no refusal by the guard: it is not asked again."""
    asked: list[str] = []

    def lookup(query: Any, cancellation: Any) -> Any:
        asked.append("asked")
        raise NotInitialisedError("my own")

    host = make(lookup)
    part = part_of(host)
    with pytest.raises(NotInitialisedError, match="my own"):
        part.begin()
    assert asked == ["asked"]
    assert list(part.generation.users) == []
    assert host.references("p") == 1


# Stepping ---------------------------------------------------------------------------------------


def test_a_step_that_the_guard_refuses_is_cancelled(
    make: Callable[..., Host], pool: ThreadPoolExecutor
) -> None:
    """The stop has begun and has not come to this part yet: it is 10111 all the same."""
    is_at_newer, go = threading.Event(), threading.Event()
    feed = Feed(Service("a"))

    def wait() -> None:
        is_at_newer.set()
        assert go.wait(LONG)

    host = make(lambda query, cancellation: feed)
    host.startup("p")
    older, newer = part_of(host), part_of(host)
    older.begin()
    newer.begin()
    newer.cancellation.on_cancel(wait)
    stopper = pool.submit(host.cleanup, "p")
    assert is_at_newer.wait(LONG)
    with pytest.raises(CancelledError) as caught:
        older.step()
    assert caught.value.code == 10111
    assert feed.closed == 0  # whoever stops the provider closes it
    go.set()
    assert stopper.result(LONG) is True
    assert feed.closed == 2


class EndedLate(Part):
    """A part that another thread ends when its step has an item and is about to leave."""

    def _next(self) -> Any:
        item = super()._next()
        self.end()
        return item


def test_a_part_that_is_ended_while_its_step_leaves_is_closed_by_the_step(
    make: Callable[..., Host],
) -> None:
    """Who ended it found the step inside and left the closing to it."""
    feed = Feed(Service("a"))
    host = make(lambda query, cancellation: feed)
    part = EndedLate(host._accounts.of("p"), Query("x"), Cancellation(), LOOKUP)
    part.begin()
    assert part.step().name == "a"
    assert feed.closed == 1


def test_a_part_that_ends_between_the_look_and_the_step_calls_nobody(
    make: Callable[..., Host],
) -> None:
    """Another thread was quicker: it ended it, or took the last of it."""
    feeds = [Feed(Service("a")), Feed()]
    left = list(feeds)
    host = make(lambda query, cancellation: left.pop(0))
    ended, exhausted = part_of(host), part_of(host)
    ended.begin()
    exhausted.begin()
    ended.end()
    assert names(exhausted) == []
    with pytest.raises(CancelledError):
        ended._step()
    assert exhausted._step() is DONE
    assert [feed.closed for feed in feeds] == [1, 1]
    assert len(feeds[0].items) == 1


def test_a_close_that_the_guard_refuses_is_left_to_the_stop(
    make: Callable[..., Host], pool: ThreadPoolExecutor
) -> None:
    """It is the stop that closes the iterator, and only once."""
    is_at_newer, go = threading.Event(), threading.Event()
    feeds = [Feed(Service("a")), Feed(Service("b"))]
    left = list(feeds)

    def wait() -> None:
        is_at_newer.set()
        assert go.wait(LONG)

    host = make(lambda query, cancellation: left.pop(0))
    host.startup("p")
    older, newer = part_of(host), part_of(host)
    older.begin()
    newer.begin()
    newer.cancellation.on_cancel(wait)
    stopper = pool.submit(host.cleanup, "p")
    assert is_at_newer.wait(LONG)
    older.close(CancelledError("closed by its user"))
    assert feeds[0].closed == 0
    go.set()
    assert stopper.result(LONG) is True
    assert [feed.closed for feed in feeds] == [1, 1]
    with pytest.raises(CancelledError, match="closed by its user"):
        older.step()


def test_a_provider_that_raises_10093_itself_has_failed_with_it(make: Callable[..., Host]) -> None:
    """Only the guard's refusal means that the part is cancelled."""

    def lookup(query: Any, cancellation: Any) -> Iterator[Service]:
        raise NotInitialisedError("my own")
        yield

    part = part_of(make(lookup))
    part.begin()
    with pytest.raises(NotInitialisedError, match="my own"):
        part.step()
    assert part.step() is DONE


def test_only_one_thread_is_inside_at_a_time(
    make: Callable[..., Host], pool: ThreadPoolExecutor
) -> None:
    """Four threads take what there is; each item comes once, or its thread is told (10036)."""
    feed = Feed(*(Service(str(number)) for number in range(500)))
    part = part_of(make(lambda query, cancellation: feed))
    part.begin()
    barrier = threading.Barrier(4)

    def take() -> list[str]:
        barrier.wait(LONG)
        found = []
        while True:
            try:
                item = part.step()
            except InProgressError:
                continue
            if item is DONE:
                return found
            found.append(item.name)

    found = [task.result(LONG) for task in [pool.submit(take) for _ in range(4)]]
    assert sorted(name for names in found for name in names) == sorted(map(str, range(500)))
    assert feed.closed == 1


class Leaving(dict[None, object]):
    """Who is inside of a part: another thread, which has left when this one looks again."""

    def setdefault(self, key: None, default: Any = None) -> Any:
        """Say that somebody else is there."""
        return object()

    def __contains__(self, key: object) -> bool:
        return True


def test_who_was_in_the_way_may_be_gone_at_the_next_look(make: Callable[..., Host]) -> None:
    """The one who came second is told (10036), or leaves the closing to the other, and no more."""
    feed = Feed(Service("a"))
    part = part_of(make(lambda query, cancellation: feed))
    part.begin()
    part._holder = Leaving()
    with pytest.raises(InProgressError):
        part.step()
    assert part.end() == []
    part._holder = {}
    part._close_iterator()
    assert feed.closed == 1


def test_many_who_end_a_part_close_it_once(
    make: Callable[..., Host], pool: ThreadPoolExecutor
) -> None:
    """Whoever is inside, whoever ends it, and however they meet."""
    for _ in range(100):
        feed = Feed(*(Service(str(number)) for number in range(20)))
        part = part_of(make(lambda query, cancellation, feed=feed: feed))
        part.begin()
        barrier = threading.Barrier(4)
        actions = [lambda p: p.close(CancelledError("closed"))] * 2 + [Part.end, read_quietly]
        for task in [pool.submit(meet, barrier, action, part) for action in actions]:
            task.result(LONG)
        assert feed.closed == 1
        assert list(part.generation.users) == []


def meet(barrier: threading.Barrier, action: Callable[[Part], object], part: Part) -> None:
    """Do something at the same time as the others."""
    barrier.wait(LONG)
    action(part)


def read_quietly(part: Part) -> None:
    """Read until somebody ends it."""
    try:
        names(part)
    except CancelledError:
        pass


# Ending -----------------------------------------------------------------------------------------


def test_the_first_reason_stays(make: Callable[..., Host]) -> None:
    """Who comes second finds it ended."""
    part = part_of(make(lambda query, cancellation: [Service("a")]))
    part.begin()
    part.stop(ServiceNotFoundError("first"))
    part.stop(CancelledError("second"))
    assert part.end() == []
    with pytest.raises(ServiceNotFoundError, match="first"):
        part.step()


def test_who_comes_second_leaves_the_callbacks_to_the_first(
    make: Callable[..., Host], pool: ThreadPoolExecutor
) -> None:
    """They run on the thread that ends the part, also where its user closes it meanwhile."""
    inside, go = threading.Event(), threading.Event()
    called: list[int] = []
    feed = Feed(Service("a"))

    def wait() -> None:
        inside.set()
        assert go.wait(LONG)

    part = part_of(make(lambda query, cancellation: feed))
    part.begin()
    part.cancellation.on_cancel(wait)
    part.cancellation.on_cancel(lambda: called.append(threading.get_ident()))
    ending = pool.submit(lambda: (part.end(), threading.get_ident()))
    assert inside.wait(LONG)
    part.close(CancelledError("closed"))
    assert (called, feed.closed) == ([], 1)
    go.set()
    _, ident = ending.result(LONG)
    assert called == [ident]


def test_each_reader_gets_an_error_of_its_own(make: Callable[..., Host]) -> None:
    """One object that is raised twice would collect the frames of both."""
    part = part_of(make(lambda query, cancellation: [Service("a")]))
    part.begin()
    part.end()
    errors = []
    for _ in range(2):
        with pytest.raises(CancelledError) as caught:
            part.step()
        errors.append(caught.value)
    assert errors[0] is not errors[1]
    assert part.ended is not None
    assert part.ended.__traceback__ is None
    assert str(errors[0].guid) == GUID


def test_a_forgotten_part_calls_nobody(make: Callable[..., Host]) -> None:
    """In a forked child the iterator is the parent's: it is given back to be pinned."""
    called: list[str] = []
    feed = Feed(Service("a"))

    def lookup(query: Any, cancellation: Any) -> Feed:
        cancellation.on_cancel(lambda: called.append("called"))
        return feed

    part = part_of(make(lookup))
    part.begin()
    assert part.forget(NotInitialisedError("the parent's")) is feed
    part.end()
    assert (called, feed.closed) == ([], 0)
    assert part.cancellation.cancelled
    with pytest.raises(NotInitialisedError, match="the parent's"):
        part.step()


def test_an_interrupt_in_the_close_passes_through(make: Callable[..., Host]) -> None:
    """Ctrl-C belongs to the application; the iterator counts as closed."""

    class Interrupting(Feed):
        def close(self) -> None:
            super().close()
            raise KeyboardInterrupt

    feed = Interrupting(Service("a"))
    part = part_of(make(lambda query, cancellation: feed))
    part.begin()
    with pytest.raises(KeyboardInterrupt):
        part.end()
    part.end()
    assert feed.closed == 1
    assert list(part.generation.users) == []


def test_a_close_that_is_no_function_is_an_error_that_is_kept(make: Callable[..., Host]) -> None:
    """Whatever the attribute is, it harms nobody."""

    class Odd(Feed):
        close = "tomorrow"  # type: ignore[assignment]

    part = part_of(make(lambda query, cancellation: Odd(Service("a"))))
    part.begin()
    (error,) = part.end()
    assert "TypeError" in error.message
    assert isinstance(error.__cause__, TypeError)


def test_what_a_nsp_error_of_the_close_says_is_kept_as_it_is(make: Callable[..., Host]) -> None:
    """It needs no translation."""
    own = ServiceNotFoundError("own")

    class Failing(Feed):
        def close(self) -> None:
            raise own

    part = part_of(make(lambda query, cancellation: Failing(Service("a"))))
    part.begin()
    assert part.end() == [own]
    assert own.__cause__ is None


# What messages show -----------------------------------------------------------------------------


class HostileError(Exception):
    """An exception, and a value, that ends the program of who looks at it."""

    def __str__(self) -> str:
        raise SystemExit(1)

    __repr__ = __str__


def test_a_value_that_exits_when_it_is_shown_ends_no_program() -> None:
    """Its class is told instead."""
    assert shown(HostileError()) == "HostileError"
    assert told(HostileError()) == "HostileError: (no text: SystemExit)"
