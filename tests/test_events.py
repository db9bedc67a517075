"""Whoever subscribed is told what happens to a provider; nobody else pays for it."""

from __future__ import annotations

import logging
import sys
import threading
import uuid
from typing import Any, ClassVar

import pytest

from nspkit import Catalog, Event, EventKind, Events, Host, Namespace, ProviderInfo, hookimpl
from nspkit.errors import CleanupTimeoutError, NotReadyError, NspError, ProviderLoadError

GUID = uuid.UUID("2f1d6a70-52c8-4d0b-8a4e-0000000000ee")
LONG = 30.0


class Alpha:
    """A provider with two resources; what goes wrong is set on the class."""

    info = ProviderInfo(GUID, "alpha", Namespace.DNS, "1.0")
    failing: ClassVar[dict[str, BaseException]] = {}
    gate: ClassVar[threading.Event | None] = None

    @hookimpl
    def nsp_startup(self, resources: Any) -> None:
        """Acquire two things."""
        resources.callback(self.step, "first", name="first")
        resources.callback(self.step, "second", name="second")
        self.step("startup")

    @hookimpl
    def nsp_cleanup(self) -> None:
        """End."""
        if self.gate is not None:
            self.gate.wait(LONG)
        self.step("cleanup")

    def step(self, name: str) -> None:
        """Fail where it was told to."""
        if name in self.failing:
            raise self.failing[name]


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A host, and the events that it tells."""
    monkeypatch.setattr(Alpha, "failing", {})
    monkeypatch.setattr(Alpha, "gate", None)
    catalog = Catalog()
    catalog.install(Alpha)
    host = Host(catalog=catalog)
    events: list[Event] = []
    host.events.subscribe(events.append)
    yield host, events
    host.close()


def names(events: list[Event]) -> list[tuple[str, str]]:
    """What was told, without times and errors."""
    return [(event.kind, event.name) for event in events]


def test_a_life_is_told_from_its_start_to_its_end(told: Any) -> None:
    """Started, each step of the release in order, stopped; with the GUID and the time it took."""
    host, events = told
    host.startup("alpha").close()
    assert names(events) == [
        (EventKind.STARTED, "alpha"),
        (EventKind.STEP, "alpha: nsp_cleanup"),
        (EventKind.STEP, "alpha: second"),
        (EventKind.STEP, "alpha: first"),
        (EventKind.STOPPED, "alpha"),
    ]
    assert all(event.guid == GUID and event.error is None for event in events)
    assert all(event.seconds >= 0.0 for event in events)


def test_nested_references_are_not_told(told: Any) -> None:
    """Nothing happens to the provider."""
    host, events = told
    with host.startup("alpha"):
        before = len(events)
        host.startup("alpha").close()
        assert len(events) == before


def test_a_failed_start_is_told_after_its_rollback(told: Any) -> None:
    """With the error that the caller gets."""
    host, events = told
    Alpha.failing = {"startup": NotReadyError("away"), "second": OSError("broken")}
    with pytest.raises(NotReadyError) as caught:
        host.startup("alpha")
    assert names(events) == [
        (EventKind.FAILED, "alpha: second"),
        (EventKind.STEP, "alpha: first"),
        (EventKind.START_FAILED, "alpha"),
    ]
    assert events[0].error is Alpha.failing["second"]
    assert events[-1].error is caught.value


def test_a_class_that_cannot_be_made_is_a_failed_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once, with the GUID, as for any other start."""
    monkeypatch.setattr(Alpha, "__init__", lambda _: 1 / 0)
    catalog, events = Catalog(), list[Event]()
    catalog.install(Alpha)
    with Host(catalog=catalog) as host:
        host.events.subscribe(events.append)
        with pytest.raises(NspError) as caught:
            host.startup("alpha")
    assert names(events) == [(EventKind.START_FAILED, "alpha")]
    assert (events[0].guid, events[0].error) == (Alpha.info.guid, caught.value)


def test_a_provider_that_cannot_be_imported_has_no_guid_to_tell(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The event has its name and the error."""
    catalog, events = Catalog(), list[Event]()
    catalog.install(Alpha)
    entry = catalog["alpha"]
    with Host(catalog=catalog) as host:
        host.events.subscribe(events.append)
        monkeypatch.setattr(type(entry), "load", fail_to_load)
        monkeypatch.setattr(type(entry), "known", None)
        with pytest.raises(ProviderLoadError):
            host.startup("alpha")
    assert names(events) == [(EventKind.START_FAILED, "alpha")]
    assert events[0].guid is None


def fail_to_load(_entry: object) -> None:
    """Fail as an import does."""
    raise ProviderLoadError("no such module")


def test_a_start_that_is_undone_for_a_closed_host_is_told_as_stopped() -> None:
    """It was told as started, so its end is told too."""
    catalog, kinds = Catalog(), list[str]()
    catalog.install(Alpha)
    host = Host(catalog=catalog)
    closing = threading.Thread(target=host.close, daemon=True)

    def close_it(event: Event) -> None:
        kinds.append(event.kind)
        if event.kind == EventKind.STARTED:
            closing.start()
            while host._closing.because is None:
                threading.Event().wait(0.001)

    host.events.subscribe(close_it)
    with pytest.raises(NspError):
        host.startup("alpha")
    closing.join(LONG)
    assert (kinds[0], kinds[-1]) == (EventKind.STARTED, EventKind.STOPPED)
    assert kinds.count(EventKind.STOPPED) == 1


def test_failed_steps_are_told_with_their_errors(told: Any) -> None:
    """And the provider is stopped all the same."""
    host, events = told
    Alpha.failing = {"cleanup": OSError("pipe"), "first": ValueError("odd")}
    session = host.startup("alpha")
    with pytest.raises(NspError):
        session.close()
    assert names(events)[1:] == [
        (EventKind.FAILED, "alpha: nsp_cleanup"),
        (EventKind.STEP, "alpha: second"),
        (EventKind.FAILED, "alpha: first"),
        (EventKind.STOPPED, "alpha"),
    ]
    assert isinstance(events[1].error, NspError)
    assert events[3].error is Alpha.failing["first"]


def test_a_quarantine_is_told_and_its_end(told: Any) -> None:
    """Between them the steps that came late."""
    host, events = told
    Alpha.gate = threading.Event()
    over = threading.Event()
    host.events.subscribe(
        lambda event: over.set() if event.kind == EventKind.QUARANTINE_ENDED else None
    )
    session = host.startup("alpha")
    with pytest.raises(CleanupTimeoutError) as caught:
        session.close(timeout=0)
    assert names(events)[1:] == [(EventKind.QUARANTINED, "alpha")]
    assert events[1].error is caught.value
    Alpha.gate.set()
    assert over.wait(LONG)
    assert names(events)[2:] == [
        (EventKind.STEP, "alpha: nsp_cleanup"),
        (EventKind.STEP, "alpha: second"),
        (EventKind.STEP, "alpha: first"),
        (EventKind.STOPPED, "alpha"),
        (EventKind.QUARANTINE_ENDED, "alpha"),
    ]


def test_who_has_ended_the_subscription_is_not_told(told: Any) -> None:
    """A second end does nothing."""
    host, _ = told
    mine: list[Event] = []
    end = host.events.subscribe(mine.append)
    end()
    end()
    host.startup("alpha").close()
    assert mine == []


def test_one_callback_may_subscribe_twice(told: Any) -> None:
    """Each subscription has its own end."""
    host, _ = told
    mine: list[Event] = []
    end = host.events.subscribe(mine.append)
    host.events.subscribe(mine.append)
    end()
    host.startup("alpha")
    assert names(mine) == [(EventKind.STARTED, "alpha")]


def test_subscribers_are_told_in_their_order() -> None:
    """The first to come is told first."""
    events, told = Events(), []
    for number in range(3):
        events.subscribe(lambda event, number=number: told.append(number))  # type: ignore[misc]
    events.emit(EventKind.STARTED, GUID, "alpha")
    assert told == [0, 1, 2]


@pytest.mark.parametrize("error", [ValueError("odd"), SystemExit(3), GeneratorExit()], ids=repr)
def test_a_subscriber_that_fails_harms_nobody(
    told: Any, caplog: pytest.LogCaptureFixture, error: BaseException
) -> None:
    """Neither the provider nor the other subscribers; it is logged each time."""
    host, events = told

    def fail(event: Event) -> None:
        raise error

    host.events.subscribe(fail)
    after: list[Event] = []
    host.events.subscribe(after.append)
    with caplog.at_level(logging.ERROR, logger="nspkit"):
        host.startup("alpha").close()
    assert len(events) == len(after) == len(caplog.records) == 5
    assert caplog.records[0].exc_info is not None
    assert caplog.records[0].exc_info[1] is error


def test_an_interrupt_in_a_subscriber_of_the_start_leaves_nothing_started(told: Any) -> None:
    """It passes to the caller, who has no session: so the provider is stopped again."""
    host, events = told

    def strike(event: Event) -> None:
        if event.kind == EventKind.STARTED:
            raise KeyboardInterrupt

    host.events.subscribe(strike)
    with pytest.raises(KeyboardInterrupt):
        host.startup("alpha")
    assert host.references("alpha") == 0
    assert names(events)[-1] == (EventKind.STOPPED, "alpha")


def test_a_subscription_is_not_lost_to_one_that_ends_at_the_same_time() -> None:
    """Another thread subscribes while this one is about to end its subscription."""
    events, told = Events(), []
    ends = [events.subscribe(lambda event: None) for _ in range(3)]
    busy = False

    def between(frame: Any, event: str, _arg: object) -> None:
        nonlocal busy
        if event in ("call", "c_call") and not busy and "_events" in frame.f_code.co_filename:
            busy = True
            thread = threading.Thread(target=events.subscribe, args=(told.append,))
            thread.start()
            thread.join(LONG)
            busy = False

    try:
        sys.setprofile(between)
        ends[1]()
    finally:
        sys.setprofile(None)
    subscribed = len(events._subscribers) - 2
    assert subscribed >= 1
    events.emit(EventKind.STARTED, GUID, "alpha")
    assert len(told) == subscribed


def test_a_subscriber_may_end_its_own_subscription() -> None:
    """While it is told; the others are told all the same."""
    events, told = Events(), []

    def once(event: Event) -> None:
        told.append("once")
        end()

    end = events.subscribe(once)
    events.subscribe(lambda event: told.append("other"))
    events.emit(EventKind.STARTED, GUID, "alpha")
    events.emit(EventKind.STOPPED, GUID, "alpha")
    assert told == ["once", "other", "other"]


def test_without_a_subscriber_no_event_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """It costs nothing that nobody listens."""

    def made(*_args: object) -> None:
        pytest.fail("an event was made")

    monkeypatch.setattr(Event, "__init__", made)
    Events().emit(EventKind.STARTED, GUID, "alpha")


def test_an_event_shows_what_happened() -> None:
    """In a log or a debugger."""
    event = Event(EventKind.STEP, GUID, "alpha: nsp_cleanup", 0.25)
    assert repr(event) == "<Event step: alpha: nsp_cleanup, 0.250000 s>"
    event = Event(EventKind.FAILED, GUID, "alpha: file", 0.25, OSError("broken"))
    assert repr(event) == "<Event failed: alpha: file, 0.250000 s, OSError('broken')>"
