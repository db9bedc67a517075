"""A lookup directed at one provider, without a time-out: it runs in the thread of its reader."""

from __future__ import annotations

import contextlib
import contextvars
import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from nspkit import Service
from nspkit.errors import (
    CancelledError,
    InProgressError,
    NotInitialisedError,
    NspError,
    ProviderError,
)

Names = Callable[[Any], list[str]]
VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("VARIABLE", default="unset")


def two_results(query: Any, cancellation: Any) -> Iterator[Service]:
    """Find two services."""
    yield Service("a")
    yield Service("b")


def test_it_runs_in_the_thread_of_its_caller_and_starts_none(
    stage: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Start, begin, every step and the close are the caller's own (no thread can be started)."""
    seen: list[tuple[str, int]] = []

    def note(what: str) -> None:
        seen.append((what, threading.get_ident()))

    def lookup(query: Any, cancellation: Any) -> Iterator[Service]:
        try:
            note("begin")
            yield Service("a")
            note("step")
            yield Service("b")
        finally:
            note("close")

    def no_thread(self: threading.Thread) -> None:
        raise AssertionError("a thread was started")

    host = stage.host(stage.provider("p", lookup, startup=lambda: note("start")))
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", no_thread)
        with host.lookup("x", provider="p") as found:
            assert [next(found).name, next(found).name] == ["a", "b"]
    assert seen == [(what, threading.get_ident()) for what in ("start", "begin", "step", "close")]


def test_it_runs_in_the_context_of_its_caller(stage: Any) -> None:
    """Context variables are the reader's, as they are at each step."""

    def lookup(query: Any, cancellation: Any) -> Iterator[Service]:
        yield Service(VARIABLE.get())
        yield Service(VARIABLE.get())

    host = stage.host(stage.provider("p", lookup))
    found = host.lookup("x", provider="p")
    token = VARIABLE.set("one")
    assert next(found).name == "one"
    VARIABLE.set("two")
    assert next(found).name == "two"
    VARIABLE.reset(token)


def test_a_result_is_made_when_it_is_asked_for(stage: Any) -> None:
    """Nothing is taken ahead of the reader."""
    made: list[int] = []

    def lookup(query: Any, cancellation: Any) -> Iterator[Service]:
        for number in range(1_000_000):
            made.append(number)
            yield Service(str(number))

    host = stage.host(stage.provider("p", lookup))
    with host.lookup("x", provider="p") as found:
        for _ in range(3):
            next(found)
        assert made == [0, 1, 2]


def test_its_start_takes_one_reference_for_the_host(stage: Any, names: Names) -> None:
    """A second lookup takes none; the host keeps the one until it closes (design §4.6)."""
    steps: list[str] = []
    provider = stage.provider(
        "p", startup=lambda: steps.append("start"), cleanup=lambda: steps.append("stop")
    )
    host = stage.host(provider)
    assert host.references("p") == 0
    assert names(host.lookup("a", provider="p")) == ["a"]
    assert names(host.lookup("b", provider="p")) == ["b"]
    assert host.references("p") == 1
    assert steps == ["start"]
    host.close()
    assert steps == ["start", "stop"]


def test_a_lookup_beside_a_session_adds_no_reference(stage: Any, names: Names) -> None:
    """The provider runs already, so the host needs none of its own."""
    host = stage.host(stage.provider("p"))
    with host.startup("p"):
        assert names(host.lookup("a", provider="p")) == ["a"]
        assert host.references("p") == 1
    assert host.references("p") == 0


def test_a_lookup_through_a_session_belongs_to_its_generation(stage: Any) -> None:
    """After the session, 10093, and the provider is not started again for it."""
    host = stage.host(stage.provider("p"))
    session = host.startup("p")
    assert [s.name for s in session.lookup("a")] == ["a"]
    assert [s.name for s in session.lookup("a", timeout=300)] == ["a"]
    session.close()
    for timeout in (None, 30):
        with pytest.raises(NotInitialisedError):
            session.lookup("a", timeout=timeout)
    assert host.references("p") == 0


@pytest.mark.parametrize("timeout", [None, 300])
def test_a_session_of_a_stopped_generation_starts_nothing(
    stage: Any, timeout: float | None
) -> None:
    """Another user's cleanup ended the generation; this session does not reach into the next."""
    host = stage.host(stage.provider("p"))
    session = host.startup("p")
    host.cleanup("p")
    for _ in range(2):
        with pytest.raises(NotInitialisedError) as caught:
            list(session.lookup("a", timeout=timeout))
        assert caught.value.code == 10093
        host.startup("p")


def test_an_iterator_may_be_stepped_on_one_thread_after_the_other(stage: Any, arrived: Any) -> None:
    """There is no thread affinity, neither for a step nor for the close."""
    idents: list[int] = []

    def lookup(query: Any, cancellation: Any) -> Iterator[Service]:
        try:
            for name in ("a", "b"):
                idents.append(threading.get_ident())
                yield Service(name)
        finally:
            idents.append(threading.get_ident())

    host = stage.host(stage.provider("p", lookup))
    found = host.lookup("x", provider="p")
    has_one, end = stage.gate(), stage.gate()

    def take_one(done: threading.Event) -> str:
        name: str = next(found).name
        done.set()
        arrived(end)  # stay, so that no other thread gets this one's ident
        return name

    first = stage.task(lambda: take_one(has_one))
    arrived(has_one)
    second = stage.task(lambda: take_one(end))
    assert [first.result(), second.result()] == ["a", "b"]
    found.close()
    assert len(set(idents)) == 3


def test_two_threads_at_once_are_told_and_nothing_breaks(stage: Any, arrived: Any) -> None:
    """The second gets 10036; the first gets its result, and the lookup goes on and is closed."""
    inside, go = stage.gate(), stage.gate()
    closed: list[str] = []

    def lookup(query: Any, cancellation: Any) -> Iterator[Service]:
        try:
            inside.set()
            arrived(go)
            yield Service("a")
            yield Service("b")
        finally:
            closed.append("closed")

    host = stage.host(stage.provider("p", lookup))
    found = host.lookup("x", provider="p")
    first = stage.task(lambda: next(found))
    arrived(inside)
    for _ in range(2):
        with pytest.raises(InProgressError) as caught:
            next(found)
        assert caught.value.code == 10036
    assert found.errors == ()
    go.set()
    assert first.result().name == "a"
    assert next(found).name == "b"
    assert closed == []
    found.close()
    assert closed == ["closed"]


def test_a_provider_that_steps_its_own_lookup_is_told(stage: Any, names: Names) -> None:
    """Re-entrant ``next`` is 10036, and the outer one goes on."""
    refused: list[int] = []

    def lookup(query: Any, cancellation: Any) -> Iterator[Service]:
        with pytest.raises(InProgressError) as caught:
            next(found)
        refused.append(caught.value.code)
        yield Service("a")
        yield Service("b")

    host = stage.host(stage.provider("p", lookup))
    found = host.lookup("x", provider="p")
    assert names(found) == ["a", "b"]
    assert refused == [10036]
    assert found.errors == ()


def test_a_provider_that_closes_its_own_lookup_ends_it(stage: Any, feed: Any) -> None:
    """The iterator is closed on the way out, once, and the reader gets 10111."""

    def closing() -> Service:
        found.close()
        assert made.closed == 0
        return Service("late")

    made = feed(closing)
    host = stage.host(stage.provider("p", lambda query, cancellation: made))
    found = host.lookup("x", provider="p")
    with pytest.raises(CancelledError):
        next(found)
    assert made.closed == 1


def test_cancellation_has_no_limit_without_a_timeout(stage: Any) -> None:
    """``remaining`` is None, and nothing is cancelled."""
    seen: list[Any] = []

    def lookup(query: Any, cancellation: Any) -> Iterator[Service]:
        seen.append((cancellation.remaining(), cancellation.cancelled, cancellation.wait(0)))
        yield Service("a")

    host = stage.host(stage.provider("p", lookup))
    list(host.lookup("x", provider="p"))
    assert seen == [(None, False, False)]


# What stays of it -------------------------------------------------------------------------------


class Marker:
    """Something that a provider's lookup holds, to see whether it goes."""


@pytest.mark.parametrize("way", ["exhausted", "closed", "failed", "dropped"])
def test_nothing_of_the_provider_is_kept_by_a_lookup_that_is_over(
    stage: Any, asked: Any, way: str
) -> None:
    """Not its callbacks, not its frames: what it held goes without a garbage collection."""
    alive: list[weakref.ref[Marker]] = []

    def lookup(query: Any, cancellation: Any) -> Iterator[Service]:
        marker = Marker()
        alive.append(weakref.ref(marker))
        cancellation.on_cancel(lambda: marker)
        yield Service("a")
        if way == "failed":
            raise RuntimeError("x")
        if way != "exhausted":
            yield Service("b")

    host = stage.host(stage.provider("p", lookup))
    gc.collect()
    gc.disable()
    try:
        found = asked(host)
        assert next(found).name == "a"
        if way == "closed":
            found.close()
        elif way == "failed":
            with contextlib.suppress(NspError):  # pytest.raises would keep the error
                next(found)
        elif way == "exhausted":
            assert next(found, None) is None
        if way in ("failed", "dropped"):
            del found
        host.close()  # a worker has come back then
        assert alive[0]() is None
    finally:
        gc.enable()


def test_a_callback_of_a_hook_that_failed_is_kept_by_nobody(stage: Any, asked: Any) -> None:
    """The lookup may be held for long, with its errors; what was registered goes at once."""
    alive: list[weakref.ref[Marker]] = []

    def registered(cancellation: Any) -> None:
        marker = Marker()
        alive.append(weakref.ref(marker))
        cancellation.on_cancel(lambda: marker)

    def lookup(query: Any, cancellation: Any) -> Any:
        registered(cancellation)
        raise RuntimeError("x")

    host = stage.host(stage.provider("p", lookup))
    gc.disable()
    try:
        with contextlib.suppress(NspError):
            found = asked(host)
            next(found)
        host.close()
        assert asked.way == "direct" or len(found.errors) == 1
        assert alive[0]() is None
    finally:
        gc.enable()


def test_an_error_of_the_close_is_recorded_and_raised_to_nobody(
    stage: Any, asked: Any, feed: Any
) -> None:
    """R16: ending succeeds, whatever the provider's end does."""
    made = feed(Service("a"), Service("b"), closing=OSError("disk"))
    host = stage.host(stage.provider("p", lambda query, cancellation: made))
    found = asked(host)
    assert next(found).name == "a"
    found.close()
    host.close()
    (error,) = found.errors
    assert isinstance(error, ProviderError)
    assert isinstance(error.__cause__, OSError)
    assert error.guid is not None
    assert made.closed == 1
