"""A stage for watches: providers made of functions, streams fed by hand, a clock and a pace.

No test sleeps. A provider that is polled rests between two polls until the test says go, and the
clock of the watches is set by hand.
"""

from __future__ import annotations

import sys
import threading
import uuid
from _queue import SimpleQueue
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import nspkit
from nspkit import (
    Cancellation,
    Catalog,
    Change,
    ChangeKind,
    Host,
    Namespace,
    ProviderInfo,
    Query,
    Service,
    hookimpl,
)

LONG = 30.0
SOURCES = str(Path(nspkit.__file__).parent)
FAMILY = uuid.UUID("7a0e5b1c-44d7-4c39-9b55-0d6c1e2f3a42")
END = object()

Hook = Callable[[Query, Cancellation], Any]


class Shelf:
    """What a provider without a stream finds: services that a test puts there, or an error."""

    def __init__(self, *names: str) -> None:
        self.services = [Service(name) for name in names]
        self.error: BaseException | None = None
        self.asked: list[Query] = []

    def put(self, *services: Service | str) -> None:
        """Have these found from now on, and nothing else."""
        self.error = None
        self.services = [Service(one) if isinstance(one, str) else one for one in services]

    def fail(self, error: BaseException) -> None:
        """Have this raised from now on."""
        self.error = error

    def __call__(self, query: Query, cancellation: Cancellation) -> Any:
        """Find them."""
        self.asked.append(query)
        if self.error is not None:
            raise self.error
        return iter(self.services)


class Stream:
    """What a provider tells by itself: what a test feeds, until it is cancelled."""

    def __init__(self) -> None:
        self.items: SimpleQueue[Any] = SimpleQueue()
        self.begun = threading.Semaphore(0)
        self.cancellations: list[Cancellation] = []

    def feed(self, *items: Any) -> None:
        """Have these yielded; an exception is raised, `END` ends the stream."""
        for item in items:
            self.items.put(item)

    def __call__(self, query: Query, cancellation: Cancellation) -> Iterator[Any]:
        """Tell what is fed."""
        self.cancellations.append(cancellation)
        cancellation.on_cancel(lambda: self.items.put(END))
        self.begun.release()
        while (item := self.items.get()) is not END:
            if isinstance(item, BaseException):
                raise item
            yield item


class Task:
    """A function on a thread of its own, and what it came to."""

    def __init__(self, function: Callable[[], Any]) -> None:
        self._function = function
        self._value: Any = None
        self._error: BaseException | None = None
        self.thread = threading.Thread(target=self._run, daemon=True, name="task")
        self.thread.start()

    def _run(self) -> None:
        try:
            self._value = self._function()
        except BaseException as error:
            self._error = error

    def result(self) -> Any:
        """Wait for the end; return what the function returned, or raise what it raised."""
        self.thread.join(LONG)
        assert not self.thread.is_alive(), "the thread has not come back"
        if self._error is not None:
            raise self._error
        return self._value


class Stage:
    """Makes what a test needs, and ends it: gates first, then threads, then hosts."""

    def __init__(self) -> None:
        self.gates: list[threading.Event] = []
        self.tasks: list[Task] = []
        self.hosts: list[Host] = []

    def provider(
        self,
        name: str,
        lookup: Hook | None = None,
        notify: Hook | None = None,
        *,
        namespace: Namespace = Namespace.DNS,
        startup: Callable[[], Any] = lambda: None,
        ioctl: Callable[[], Any] = lambda: None,
    ) -> type:
        """Return a provider class with those hooks that are given."""

        def nsp_startup(self: object) -> Any:
            return startup()

        def nsp_cleanup(self: object) -> None:
            """Clean nothing up."""

        def nsp_ioctl(self: object) -> Any:
            return ioctl()

        def nsp_lookup_service(self: object, query: Query, cancellation: Cancellation) -> Any:
            assert lookup is not None
            return lookup(query, cancellation)

        def nsp_notify_change(self: object, query: Query, cancellation: Cancellation) -> Any:
            assert notify is not None
            return notify(query, cancellation)

        hooks = [nsp_startup, nsp_cleanup, nsp_ioctl]
        hooks += [nsp_lookup_service] if lookup is not None else []
        hooks += [nsp_notify_change] if notify is not None else []
        info = ProviderInfo(uuid.uuid5(FAMILY, name), name, namespace, "1.0")
        return type(name, (), {"info": info, **{f.__name__: hookimpl(f) for f in hooks}})

    def host(self, *classes: type, **options: Any) -> Host:
        """Return a host of these providers, in this order."""
        catalog = Catalog()
        for provider_class in classes:
            catalog.install(provider_class)
        host = Host(catalog=catalog, **options)
        self.hosts.append(host)
        return host

    def gate(self) -> threading.Event:
        """Return an event that is set at the end of the test at the latest."""
        gate = threading.Event()
        self.gates.append(gate)
        return gate

    def task(self, function: Callable[[], Any]) -> Task:
        """Run a function on a thread of its own."""
        task = Task(function)
        self.tasks.append(task)
        return task

    def end(self) -> None:
        """End everything, and look whether a thread of nspkit is left."""
        for gate in self.gates:
            gate.set()
        for host in self.hosts:
            host.close()
        for task in self.tasks:
            task.thread.join(LONG)
        left = threads_of_nspkit()
        for thread in left:
            thread.join(LONG)
        assert not [thread for thread in left if thread.is_alive()]


def threads_of_nspkit() -> list[threading.Thread]:
    """The threads that nspkit has started and that are still there."""
    return [thread for thread in threading.enumerate() if thread.name.startswith("nspkit")]


@pytest.fixture
def stage() -> Iterator[Stage]:
    """The stage of this test."""
    stage = Stage()
    try:
        yield stage
    finally:
        stage.end()


@pytest.fixture
def shelf() -> type[Shelf]:
    """The class of what a provider finds."""
    return Shelf


@pytest.fixture
def stream() -> Stream:
    """What a provider tells by itself."""
    return Stream()


@pytest.fixture
def end() -> object:
    """What ends a stream."""
    return END


@pytest.fixture
def nspkit_threads() -> Callable[[], list[threading.Thread]]:
    """A function that lists the threads of nspkit."""
    return threads_of_nspkit


class Clock:
    """A clock that is set by hand, in the place of `time.monotonic`."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Tell the time."""
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of watches."""
    clock = Clock()
    for module in ("_picture", "_watcher", "_cancellation"):
        monkeypatch.setattr(f"nspkit.{module}.monotonic", clock)
    return clock


class Pace:
    """How long the threads of watches rest: until the test lets them go on."""

    def __init__(self) -> None:
        self._rests: SimpleQueue[float] = SimpleQueue()
        self._bell: SimpleQueue[None] = SimpleQueue()

    def __call__(self, bell: SimpleQueue[None], seconds: float) -> None:
        """Rest."""
        if seconds:
            self._bell = bell
            self._rests.put(seconds)
            bell.get()

    def rested(self) -> float:
        """Wait until one rests, and return for how many seconds it would."""
        return self._rests.get(timeout=LONG)

    def go(self) -> float:
        """Let it go on, and wait until it rests again."""
        self._bell.put(None)
        return self.rested()


@pytest.fixture
def pace(monkeypatch: pytest.MonkeyPatch) -> Pace:
    """The pace of the one thread that watches."""
    pace = Pace()
    monkeypatch.setattr("nspkit._watcher.rest", pace)
    monkeypatch.setattr("nspkit._watcher.jittered", lambda seconds: seconds)
    return pace


@pytest.fixture
def until() -> Callable[[Callable[[], object]], None]:
    """A function that waits until a condition holds, and fails the test if it never does."""

    def wait(condition: Callable[[], object]) -> None:
        never, limit = threading.Event(), LONG
        while not condition():
            assert limit > 0, "the condition has never come true"
            never.wait(0.001)
            limit -= 0.001

    return wait


@pytest.fixture
def waiting(stage: Stage, until: Any) -> Callable[[Any], Task]:
    """A function that has a thread wait for the next change of a watch, and returns its task."""

    def wait(watch: Any) -> Task:
        task = stage.task(watch.__next__)
        until(lambda: watch._state._waiting)
        return task

    return wait


@pytest.fixture
def told() -> Callable[[Any], list[tuple[str, str]]]:
    """A function that takes all that a watch has to tell now: kinds and names."""

    def take(watch: Any) -> list[tuple[str, str]]:
        found = []
        while (change := watch.wait(0)) is not None:
            found.append((change.kind.value, change.service.name))
        return found

    return take


@pytest.fixture
def added() -> Callable[..., Change]:
    """A function that makes the change of a service that has come."""
    return lambda name, **fields: Change(ChangeKind.ADDED, Service(name, **fields))


@pytest.fixture
def changed() -> Callable[..., Change]:
    """A function that makes the change of a service that is another one now."""
    return lambda name, **fields: Change(ChangeKind.CHANGED, Service(name, **fields))


@pytest.fixture
def removed() -> Callable[..., Change]:
    """A function that makes the change of a service that has gone."""
    return lambda name, **fields: Change(ChangeKind.REMOVED, Service(name, **fields))


class Strike:
    """Raises KeyboardInterrupt at the n-th point where a signal can strike this thread.

    That is on entering a function of nspkit and on the way back from one that is written in C.
    """

    def __init__(self, point: int) -> None:
        self.left = point
        self.fired = False

    def __call__(self, frame: FrameType, event: str, _arg: object) -> None:
        """Look whether this is the point."""
        if event in ("call", "c_return") and frame.f_code.co_filename.startswith(SOURCES):
            self.left -= 1
            if self.left < 0 and not self.fired:
                self.fired = True
                raise KeyboardInterrupt


@pytest.fixture
def struck_everywhere() -> Callable[..., int]:
    """A function that runs something struck at each point in turn; returns how many there are.

    What it makes is passed on to the check of what is left.
    """

    def run(operate: Callable[[], Any], check: Callable[[Any], None]) -> int:
        point = 0
        while True:
            strike, made = Strike(point), None
            try:
                sys.setprofile(strike)
                made = operate()
            except KeyboardInterrupt:
                pass
            finally:
                sys.setprofile(None)
            check(made)
            if not strike.fired:
                return point
            point += 1

    return run
