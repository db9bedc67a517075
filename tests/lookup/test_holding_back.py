"""A provider that could not start is held back from fan-outs for a while, and says why."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from nspkit import EntryState, Host, Service
from nspkit.errors import (
    InvalidProcedureTableError,
    LookupFailedError,
    NotReadyError,
    NspError,
    ProviderLoadError,
)

Names = Callable[[Any], list[str]]


class Clock:
    """A clock that is set by hand; it starts at the true time, which others look at too."""

    def __init__(self) -> None:
        self.now = time.monotonic()

    def __call__(self) -> float:
        """Tell the time."""
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock that tells how long ago a start failed."""
    clock = Clock()
    monkeypatch.setattr("nspkit._account.monotonic", clock)
    return clock


class Starts:
    """A start that fails as long as it is told to, and counts."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error
        self.tried = 0

    def __call__(self) -> None:
        """Start, or fail."""
        self.tried += 1
        if self.error is not None:
            raise self.error


@pytest.fixture
def starts() -> Starts:
    """A start that fails, with an error of the provider's own."""
    return Starts(ValueError("no server"))


@pytest.fixture
def host(stage: Any, starts: Starts) -> Host:
    """A host of a provider that does not start, and one that answers."""
    made: Host = stage.host(stage.provider("p", startup=starts), stage.provider("q"))
    return made


def test_a_failed_start_is_recorded_and_not_tried_again_at_once(
    host: Host, names: Names, clock: Clock, starts: Starts
) -> None:
    """The second fan-out passes it over with the error of the start and the seconds that remain."""
    first = host.lookup("it")
    assert names(first) == ["it"]
    clock.now += 0.25
    second = host.lookup("it")
    assert names(second) == ["it"]
    assert starts.tried == 1
    for lookup in (first, second):
        (error,) = lookup.errors
        assert isinstance(error, ProviderLoadError)
        assert (error.code, error.guid) == (10106, host.providers()[0].guid)
        assert "ValueError: no server" in error.message
    assert "not tried again for 0.8 s" in second.errors[0].message
    assert host.providers()[0].state is EntryState.FAILED_START


def test_it_is_held_back_from_one_second_doubling_to_sixty(
    host: Host, names: Names, clock: Clock, starts: Starts
) -> None:
    """Each failed start doubles the time; in between nothing is tried."""
    for tried, delay in enumerate([1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0], start=1):
        assert names(host.lookup("it")) == ["it"]
        assert starts.tried == tried
        clock.now += delay - 0.001
        assert names(host.lookup("it")) == ["it"]
        assert starts.tried == tried
        clock.now += 0.001


def test_one_that_answers_10091_is_held_back_too(
    host: Host, names: Names, clock: Clock, starts: Starts
) -> None:
    """Its back end is away; its own error is recorded."""
    starts.error = NotReadyError("set 'server' first")
    for _ in range(2):
        lookup = host.lookup("it")
        assert names(lookup) == ["it"]
        (error,) = lookup.errors
        assert isinstance(error, NotReadyError)
        assert error.code == 10091
        assert "set 'server' first" in error.message
    assert starts.tried == 1


def test_what_is_kept_of_the_error_is_text(host: Host, clock: Clock) -> None:
    """A recorded error of a start that was not tried refers to no frame of the one that failed."""
    list(host.lookup("it"))
    lookup = host.lookup("it")
    list(lookup)
    assert lookup.errors[0].__cause__ is None


@pytest.mark.parametrize("way", ["startup", "lookup", "timed lookup"])
def test_a_directed_start_always_tries(
    host: Host, names: Names, clock: Clock, starts: Starts, way: str
) -> None:
    """Who names a provider means it, with a time-out or without."""

    def direct() -> Any:
        if way == "startup":
            return host.startup("p")
        return names(
            host.lookup("it", provider="p", timeout=300 if way == "timed lookup" else None)
        )

    list(host.lookup("it"))
    assert starts.tried == 1
    with pytest.raises(ProviderLoadError, match="no server"):
        direct()
    assert starts.tried == 2
    starts.error = None
    direct()
    assert starts.tried == 3


def test_a_success_ends_it_and_starts_the_count_afresh(
    host: Host, names: Names, clock: Clock, starts: Starts
) -> None:
    """After a start that worked, the next failure holds back for one second again."""
    for delay in (1.0, 2.0, 4.0):
        list(host.lookup("it"))
        clock.now += delay
    error, starts.error = starts.error, None
    host.startup("p").close()
    assert host.providers()[0].state is EntryState.OK
    lookup = host.lookup("it")
    assert names(lookup) == ["it", "it"]
    assert lookup.errors == ()
    host.cleanup("p")
    starts.error = error
    tried = starts.tried
    list(host.lookup("it"))
    clock.now += 1.0
    list(host.lookup("it"))
    assert starts.tried == tried + 2


def test_one_that_is_not_meant_is_passed_over_in_silence(
    stage: Any, names: Names, clock: Clock, starts: Starts
) -> None:
    """It has no such hook, so that it could not start is no error of a lookup."""
    host = stage.host(stage.provider("mute", None, startup=starts), stage.provider("q"))
    with pytest.raises(ProviderLoadError):
        host.startup("mute")
    lookup = host.lookup("x")
    assert len(names(lookup)) == 1
    assert lookup.errors == ()


def test_when_nobody_could_be_asked_the_lookup_fails(stage: Any, clock: Clock) -> None:
    """All are held back: `LookupFailedError` with the code of the last."""
    host = stage.host(
        stage.provider("p", startup=Starts(NotReadyError("p"))),
        stage.provider("q", startup=Starts(RuntimeError("q"))),
    )
    for _ in range(2):
        with pytest.raises(LookupFailedError) as caught:
            next(host.lookup("it"))
        assert caught.value.code == 10106
        assert [int(error.code) for error in caught.value.errors] == [10091, 10106]


def test_a_provider_that_runs_is_not_held_back_by_an_old_failure(
    host: Host, names: Names, clock: Clock, starts: Starts
) -> None:
    """A session started it meanwhile."""
    list(host.lookup("it"))
    starts.error = None
    with host.startup("p"):
        assert names(host.lookup("it")) == ["it", "it"]


def test_one_that_cannot_be_loaded_says_so_each_time(
    installed: Any, stage: Any, names: Names, clock: Clock
) -> None:
    """There is nothing to try again: its module was imported once."""
    host = stage.host(catalog=installed({"broken": "P = 7"}))
    for _ in range(2):
        with pytest.raises(LookupFailedError) as caught:
            next(host.lookup("it"))
        (error,) = caught.value.errors
        assert isinstance(error, InvalidProcedureTableError)
        assert "not tried again" not in error.message


def test_a_lookup_that_fails_holds_nobody_back(stage: Any, names: Names, clock: Clock) -> None:
    """Only starts count."""
    asked: list[str] = []

    def failing(query: Any, cancellation: Any) -> Iterator[Service]:
        asked.append(query.name)
        raise NspError("x", code=11002)
        yield

    host = stage.host(stage.provider("p", failing), stage.provider("q"))
    for name in ("a", "b"):
        assert names(host.lookup(name)) == [name]
    assert asked == ["a", "b"]


def test_a_quarantined_provider_is_passed_over_and_recorded(
    stage: Any, names: Names, arrived: Any
) -> None:
    """Its last cleanup hangs: 10091, until that has come back."""
    gate = stage.gate()
    host = stage.host(stage.provider("p", cleanup=lambda: gate.wait(30)), stage.provider("q"))
    host.startup("p")
    with pytest.raises(NspError):
        host.cleanup("p", timeout=0.01)
    lookup = host.lookup("it")
    assert names(lookup) == ["it"]
    assert [int(error.code) for error in lookup.errors] == [10091]
    with pytest.raises(NotReadyError):
        next(host.lookup("it", provider="p", timeout=300))
