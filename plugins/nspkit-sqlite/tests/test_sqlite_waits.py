"""Who waits for a locked file: the queue of one process, and what ends a wait."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from nspkit_sqlite import SqliteProvider
from nspkit_sqlite._turn import Turn

from nspkit import Cancellation, Query, Service, ServiceOperation
from nspkit.errors import CancelledError, InProgressError, NotInitialisedError, TryAgainError

HTTP = "_http._tcp"
PATIENCE = 30.0
FOREVER = 3600.0
TO_WRITE = ("BEGIN IMMEDIATE",)
# Nobody else may even read: in WAL mode that takes more than BEGIN EXCLUSIVE.
FOR_ITSELF = ("PRAGMA locking_mode = EXCLUSIVE", "BEGIN EXCLUSIVE")


def put(provider: SqliteProvider, name: str) -> None:
    """Register a service."""
    provider.nsp_set_service(Service(name), ServiceOperation.REGISTER, False)


def find(provider: SqliteProvider, cancellation: Cancellation, **asked: Any) -> list[str]:
    """The names that a lookup finds."""
    found = provider.nsp_lookup_service(Query(**asked), cancellation)
    return [service.name for service in found]


# -- the writers' queue --------------------------------------------------------------------------


def test_nobody_stands_in_the_queue_for_ever(started: Any) -> None:
    """It is as bad as a lock of another process, and told so."""
    provider, _resources = started(busy_timeout=0.05)
    taken, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with provider._registry._turn:
            taken.set()
            assert leave.wait(PATIENCE)

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        assert taken.wait(PATIENCE)
        with pytest.raises(TryAgainError, match=r"for 0\.05 s"):
            put(provider, "x")
    finally:
        leave.set()
        thread.join(PATIENCE)
    put(provider, "x")
    assert find(provider, Cancellation()) == ["x"]


def test_nobody_waits_behind_oneself(started: Any) -> None:
    """A signal handler that registers while its thread does is told so at once."""
    provider, _resources = started(busy_timeout=FOREVER)

    def interrupted(_connection: Any, _now: float) -> None:
        with pytest.raises(InProgressError, match="signal handlers") as caught:
            put(provider, "y")
        assert caught.value.code == 10036

    assert provider._registry.write(interrupted, create=True)
    put(provider, "x")
    assert find(provider, Cancellation()) == ["x"]


def test_all_who_stand_in_the_queue_get_their_turn(hold: Any, started: Any, waits: Any) -> None:
    """One tries, the others sleep behind it; and each is done when the file is free."""
    free = hold(*TO_WRITE)
    provider, _resources = started(busy_timeout=FOREVER)
    first = waits(provider, lambda: put(provider, "0"))
    barrier = threading.Barrier(8)

    def behind(name: str) -> None:
        barrier.wait(PATIENCE)
        put(provider, name)

    threads = [threading.Thread(target=behind, args=(name,)) for name in "1234567"]
    for thread in threads:
        thread.start()
    barrier.wait(PATIENCE)
    free()
    for thread in (first, *threads):
        thread.join(PATIENCE)
    assert sorted(find(provider, Cancellation())) == [*"01234567", "x"]


def test_who_waits_keeps_its_connection(lock: Any, started: Any, waits: Any) -> None:
    """It is not opened anew for each try."""
    provider, _resources = started(busy_timeout=FOREVER)
    put(provider, "x")
    before = list(provider._registry._connections._writers)
    free = lock(*TO_WRITE)
    waiting = waits(provider, lambda: put(provider, "y"))
    free()
    assert waiting.ended().error is None
    assert provider._registry._connections._writers == before
    assert len(before) == 1


def test_the_time_in_the_queue_counts(started: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who stood there does not begin to wait for the file as long again."""
    provider, _resources = started(busy_timeout=FOREVER)
    registry, real = provider._registry, provider._registry._patiently
    entered: list[float] = []
    limits: list[float] = []
    queued = threading.Event()

    class Noted(Turn):
        __slots__ = ()

        def acquire(self, *arguments: Any, **options: Any) -> bool:
            entered.append(time.monotonic())
            queued.set()
            return super().acquire(*arguments, **options)

    turn = Noted(registry.path, FOREVER)

    def patiently(attempt: Any, cancellation: Any, *, until: float) -> Any:
        limits.append(until)
        return real(attempt, cancellation, until=until)

    monkeypatch.setattr(registry, "_turn", turn)
    monkeypatch.setattr(registry, "_patiently", patiently)
    with turn:
        entered.clear()
        queued.clear()
        thread = threading.Thread(target=lambda: put(provider, "x"))
        thread.start()
        assert queued.wait(PATIENCE)
    thread.join(PATIENCE)
    assert limits[0] - FOREVER <= entered[0]


def test_a_registration_that_fails_leaves_the_queue(started: Any) -> None:
    """The next one is not held up by it."""
    provider, _resources = started(busy_timeout=FOREVER)
    put(provider, "x")
    with pytest.raises(Exception, match="could be deleted"):
        provider.nsp_set_service(Service("y"), ServiceOperation.DELETE, False)
    assert not provider._registry._turn._is_owned()


# -- what ends a wait ----------------------------------------------------------------------------


@pytest.mark.parametrize("asked", [{"name": "x", "service_class": HTTP}, {"name": "x"}, {}])
def test_a_lookup_ends_when_it_is_cancelled(
    hold: Any, started: Any, waits: Any, asked: Any
) -> None:
    """At once, though the setting says an hour."""
    hold(*FOR_ITSELF)
    provider, _resources = started(busy_timeout=FOREVER)
    cancellation = Cancellation()
    waiting = waits(provider, lambda: find(provider, cancellation, **asked))
    cancellation.cancel()
    assert isinstance(waiting.ended().error, TryAgainError)


def test_a_lookup_waits_no_longer_than_its_own_time(hold: Any, started: Any, waits: Any) -> None:
    """The time that remains for it is shorter than the setting."""
    hold(*FOR_ITSELF)
    provider, _resources = started(busy_timeout=FOREVER)
    with pytest.raises(TryAgainError, match="when the time of this lookup was over"):
        find(provider, Cancellation(time.monotonic() + 0.05))


def test_a_lookup_of_a_session_ends_when_it_is_closed(hold: Any, clients: Any) -> None:
    """Its reader is told who ended it."""
    hold(*FOR_ITSELF)
    client = clients(busy_timeout=FOREVER)
    lookup = client.session.lookup()
    error: list[BaseException] = []
    reading = threading.Event()

    def read() -> None:
        reading.set()
        try:
            next(lookup)
        except BaseException as caught:
            error.append(caught)

    thread = threading.Thread(target=read)
    thread.start()
    assert reading.wait(PATIENCE)
    lookup.close()
    thread.join(PATIENCE)
    assert [type(one) for one in error] == [CancelledError]


def test_a_watch_ends_when_it_is_cancelled(hold: Any, started: Any, waits: Any) -> None:
    """Also before it has told anything."""
    hold(*FOR_ITSELF)
    provider, _resources = started(busy_timeout=FOREVER)
    cancellation = Cancellation()
    changes = iter(provider.nsp_notify_change(Query(), cancellation))
    waiting = waits(provider, lambda: list(changes))
    cancellation.cancel()
    assert isinstance(waiting.ended().error, TryAgainError)


def test_a_registration_ends_when_the_provider_is_stopped(
    hold: Any, started: Any, waits: Any
) -> None:
    """And so do those that stand in the queue behind it; nothing of them has happened."""
    free = hold(*TO_WRITE)
    provider, resources = started(busy_timeout=FOREVER)
    first = waits(provider, lambda: put(provider, "y"))
    errors: list[BaseException] = []
    barrier = threading.Barrier(4)

    def behind() -> None:
        barrier.wait(PATIENCE)
        try:
            put(provider, "z")
        except NotInitialisedError as error:
            errors.append(error)

    threads = [threading.Thread(target=behind) for _ in range(3)]
    for thread in threads:
        thread.start()
    barrier.wait(PATIENCE)
    resources.close()
    error = first.ended().error
    for thread in threads:
        thread.join(PATIENCE)
    assert isinstance(error, NotInitialisedError)
    assert error.code == 10093
    assert len(errors) == 3
    free()
    again, _resources = started()
    assert find(again, Cancellation()) == ["x"]


def test_a_lookup_that_waits_ends_when_the_provider_is_stopped(
    hold: Any, started: Any, waits: Any
) -> None:
    """Whether or not somebody cancels it."""
    hold(*FOR_ITSELF)
    provider, resources = started(busy_timeout=FOREVER)
    waiting = waits(provider, lambda: find(provider, Cancellation()))
    resources.close()
    assert isinstance(waiting.ended().error, NotInitialisedError)


def test_who_waited_is_served(hold: Any, started: Any, waits: Any) -> None:
    """Both who looks up and who registers, when the file is free."""
    free = hold(*FOR_ITSELF)
    provider, _resources = started(busy_timeout=FOREVER)
    lookup = waits(provider, lambda: find(provider, Cancellation(), name="x"))
    registration = waits(provider, lambda: put(provider, "y"))
    free()
    assert lookup.ended().result == ["x"]
    assert registration.ended().error is None
    assert find(provider, Cancellation(), name="y") == ["y"]
