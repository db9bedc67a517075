"""A stage for registrations: registries in memory that keep Winsock's matrix, hosts, a clock.

No test sleeps. The clock of the renewals is set by hand; what happens on a worker is waited for by
looking at the state itself.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nspkit import (
    Address,
    Catalog,
    Host,
    Namespace,
    NspError,
    ProviderInfo,
    Query,
    Service,
    ServiceClass,
    ServiceOperation,
    hookimpl,
)
from nspkit.errors import (
    AlreadyExistsError,
    ServiceNotFoundError,
    TooManyReferencesError,
    TypeNotFoundError,
    error_for,
)

LONG = 30.0
FAMILY = uuid.UUID("0d1b6a3e-7a52-4b0f-9a54-0a4f2e6c8b11")
SETS = ("nsp_startup", "nsp_cleanup", "nsp_set_service", "nsp_lookup_service")
CLASSES = ("nsp_install_service_class", "nsp_remove_service_class", "nsp_get_service_class_info")


class Clock:
    """A clock that a test sets, and that wakes who sleeps by it."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.wakers: list[Callable[[], None]] = []

    def __call__(self) -> float:
        """Return the time."""
        return self.now

    def advance(self, seconds: float) -> None:
        """Let that much time pass."""
        self.now += seconds
        for wake in self.wakers:
            wake()


class Entry:
    """What a registry knows of one name."""

    def __init__(self) -> None:
        self.addresses: list[Address] = []
        self.expires: float | None = None


class Backed:
    """The hooks of a provider that has a registry; which of them it has is chosen for each."""

    registry: Any

    def __init__(self) -> None:
        self.registry.instances += 1

    def nsp_startup(self) -> None:
        """Start, if the test lets it."""
        self.registry.hooks_called.append("startup")
        self.registry.startup()

    def nsp_cleanup(self) -> None:
        """Stop, if the test lets it."""
        self.registry.hooks_called.append("cleanup")
        self.registry.cleanup()

    def nsp_set_service(self, service: Any, operation: Any, multiple: Any) -> None:
        """Do what the matrix says."""
        self.registry.hooks_called.append(operation.name)
        self.registry.set(service, operation, multiple)

    def nsp_lookup_service(self, query: Query) -> Iterator[Service]:
        """Find whatever has not lapsed."""
        registry = self.registry
        registry.lookup()
        return iter([Service(name) for name in list(registry.entries) if name in registry])

    def nsp_install_service_class(self, service_class: ServiceClass) -> None:
        """Store a class that is not there."""
        registry = self.registry
        registry.describe()
        if service_class.id in registry.classes:
            raise AlreadyExistsError("it is there", guid=registry.guid)
        registry.classes[service_class.id] = service_class

    def nsp_remove_service_class(self, class_id: uuid.UUID) -> None:
        """Forget a class that no instance has."""
        registry = self.registry
        registry.describe()
        if class_id not in registry.classes:
            raise TypeNotFoundError("unknown class", guid=registry.guid)
        known = [one.name for one in registry.services if one.service_class == class_id]
        if any(name in registry for name in known):
            raise TooManyReferencesError("instances live", guid=registry.guid)
        del registry.classes[class_id]

    def nsp_get_service_class_info(self, class_id: uuid.UUID) -> ServiceClass:
        """Return a class that was stored."""
        registry = self.registry
        registry.describe()
        registry.hooks_called.append("info")
        if class_id not in registry.classes:
            raise TypeNotFoundError("unknown class", guid=registry.guid)
        found: ServiceClass = registry.classes[class_id]
        return found


class Registry:
    """A back end in memory, and the provider class for it.

    It keeps the matrix of NSPSetService, and forgets what is not renewed in its time. ``before``
    is called with every call at its begin, ``after`` at its end; both may raise, or wait.
    """

    def __init__(self, name: str, clock: Clock, hooks: Iterable[str], **info: Any) -> None:
        self.name = name
        self.clock = clock
        self.calls: list[tuple[str, str, bool]] = []
        self.at: list[float] = []
        self.hooks_called: list[str] = []
        self.entries: dict[str, Entry] = {}
        self.services: list[Service] = []
        self.classes: dict[uuid.UUID, ServiceClass] = {}
        self.before: Callable[[str, Service], None] = lambda operation, service: None
        self.after: Callable[[str, Service], None] = lambda operation, service: None
        self.startup: Callable[[], None] = lambda: None
        self.cleanup: Callable[[], None] = lambda: None
        self.lookup: Callable[[], None] = lambda: None
        self.describe: Callable[[], None] = lambda: None
        self.instances = 0
        namespace = info.pop("namespace", Namespace.DNS)
        self.info = ProviderInfo(uuid.uuid5(FAMILY, name), name, namespace, "1.0", **info)
        self.guid = self.info.guid
        self.provider_class = self._made(hooks)

    def __contains__(self, name: str) -> bool:
        entry = self.entries.get(name)
        return entry is not None and (entry.expires is None or self.clock() < entry.expires)

    def named(self, operation: str) -> list[str]:
        """Return the names that calls with this operation had, in order."""
        return [name for called, name, _ in self.calls if called == operation]

    def set(self, service: Service, operation: ServiceOperation, multiple: bool) -> None:
        """Do what the matrix says."""
        self.calls.append((operation.name, service.name, multiple))
        self.at.append(self.clock())
        self.services.append(service)
        self.before(operation.name, service)
        if service.name not in self:
            if operation is not ServiceOperation.REGISTER:
                raise ServiceNotFoundError(f"no {service.name!r} here", guid=self.guid)
            self.entries[service.name] = Entry()
        entry = self.entries[service.name]
        if operation is ServiceOperation.REGISTER:
            kept = entry.addresses if multiple else []
            entry.addresses = [*kept, *(one for one in service.addresses if one not in kept)]
            entry.expires = None if service.ttl is None else self.clock() + service.ttl
        else:
            gone = service.addresses if multiple else entry.addresses
            entry.addresses = [one for one in entry.addresses if one not in gone]
            if operation is ServiceOperation.DELETE and not entry.addresses:
                del self.entries[service.name]
        self.after(operation.name, service)

    def _made(self, hooks: Iterable[str]) -> type:
        body = {hook: hookimpl(_own(getattr(Backed, hook))) for hook in hooks}
        body |= {"info": self.info, "registry": self, "__init__": _own(Backed.__init__)}
        return type(self.name.title(), (), body)


def _own(function: Any) -> Any:
    """Return a copy: the mark of a hook is an attribute of the function."""
    return type(function)(function.__code__, function.__globals__, function.__name__)


class Task:
    """A function on a thread of its own, and what it came to."""

    def __init__(self, function: Callable[[], Any]) -> None:
        self._function = function
        self._value: Any = None
        self._error: BaseException | None = None
        self.thread = threading.Thread(target=self._run, daemon=True)
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
        self.clock = Clock()
        self.gates: list[threading.Event] = []
        self.tasks: list[Task] = []
        self.hosts: list[Host] = []

    def registry(
        self, name: str = "alpha", *, hooks: Iterable[str] = SETS, **info: Any
    ) -> Registry:
        """Return a registry whose provider has these hooks."""
        return Registry(name, self.clock, hooks, **info)

    def host(
        self,
        *registries: Registry,
        jitter: float = 0.0,
        catalog: Catalog | None = None,
        **options: Any,
    ) -> Host:
        """Return a host of these registries, in this order, whose renewals go by the clock."""
        catalog = catalog or Catalog()
        for registry in registries:
            catalog.install(registry.provider_class)
        host = Host(catalog=catalog, **options)
        renewals = host._accounts.renewals
        renewals.clock, renewals.jitter = self.clock, lambda: jitter
        self.clock.wakers.append(renewals.wake)
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
        """End everything."""
        for gate in self.gates:
            gate.set()
        for host in self.hosts:
            try:
                host.close()
            except NspError:
                pass
        for task in self.tasks:
            task.thread.join(LONG)


@pytest.fixture
def stage() -> Iterator[Stage]:
    """The stage of this test."""
    stage = Stage()
    try:
        yield stage
    finally:
        stage.end()


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Catalog]:
    """A function that installs modules with a provider ``P`` each, and registries after them.

    It takes the source of each module by the short name of its provider.
    """
    monkeypatch.syspath_prepend(tmp_path)
    # coverage looks at a changed path when it meets the next new file, and takes out of
    # sys.modules what other threads import meanwhile. It shall meet one before there are any.
    exec(compile("", str(tmp_path / "nothing.py"), "exec"))

    def install(sources: dict[str, str], *registries: Registry) -> Catalog:
        for name, source in sources.items():
            module = f"installed_{name}_{uuid.uuid4().hex}"
            (tmp_path / f"{module}.py").write_text(source)
            folder = tmp_path / f"{module}-1.0.dist-info"
            folder.mkdir()
            (folder / "METADATA").write_text(
                f"Metadata-Version: 2.1\nName: {module.replace('_', '-')}\nVersion: 1.0\n"
            )
            (folder / "entry_points.txt").write_text(f"[nspkit.providers]\n{name} = {module}:P\n")
        catalog = Catalog.discover(path=[str(tmp_path)])
        for registry in registries:
            catalog.install(registry.provider_class)
        return catalog

    return install


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """Fail a test that leaves a thread behind."""
    threads = set(threading.enumerate())
    yield
    left = [thread for thread in threading.enumerate() if thread not in threads]
    for thread in left:  # one that was quarantined ends when its gate has opened
        thread.join(LONG)
    assert not [thread for thread in left if thread.is_alive()]


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
def threads() -> Callable[[str], int]:
    """A function that counts the threads of nspkit by the begin of their name."""
    return lambda name: sum(one.name.startswith(name) for one in threading.enumerate())


@pytest.fixture
def told() -> Callable[[Host], list[tuple[str, str, int | None]]]:
    """A function that keeps the events of a host: kind, name, and the code of the error."""

    def subscribe(host: Host) -> list[tuple[str, str, int | None]]:
        events: list[tuple[str, str, int | None]] = []

        def keep(event: Any) -> None:
            code = None if event.error is None else int(event.error.code)
            events.append((event.kind, event.name, code))

        host.events.subscribe(keep)
        return events

    return subscribe


@pytest.fixture
def failing() -> Callable[..., Callable[..., None]]:
    """A function that makes a hook fail with an error, every time or for one operation."""

    def fail(error: Any, only: str | None = None) -> Callable[..., None]:
        def raised(operation: str = "", service: Any = None) -> None:
            if only is None or operation == only:
                raise error_for(error, "told to") if type(error) is int else error

        return raised

    return fail
