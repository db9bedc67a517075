"""A stage for the C shapes: an empty catalog, providers made of functions, threads, a way back."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from time import monotonic
from types import FunctionType, SimpleNamespace
from typing import Any

import pytest

from nspkit import (
    Address,
    Catalog,
    Change,
    ChangeKind,
    Namespace,
    ProviderInfo,
    Service,
    ServiceClass,
    ServiceOperation,
    hookimpl,
    winsock,
)
from nspkit.errors import (
    AlreadyExistsError,
    ServiceNotFoundError,
    TooManyReferencesError,
    TypeNotFoundError,
)
from nspkit.winsock._process import process

LONG = 30.0
FAMILY = uuid.UUID("0f3b6a1e-7c2d-4f58-9a41-2d6c8e5b7f90")

HOOKS = {
    "startup": "nsp_startup",
    "cleanup": "nsp_cleanup",
    "lookup": "nsp_lookup_service",
    "set_service": "nsp_set_service",
    "install": "nsp_install_service_class",
    "remove": "nsp_remove_service_class",
    "describe": "nsp_get_service_class_info",
    "notify": "nsp_notify_change",
    "ioctl": "nsp_ioctl",
}
"""The hook that each function given to `Stage.provider` becomes."""


def one_result(query: Any, cancellation: Any) -> Iterator[Service]:
    """What a provider finds unless a test says otherwise: one service of the name asked for."""
    yield Service(query.name or "anything")


def nothing() -> None:
    """What a provider does at its startup and cleanup unless a test says otherwise."""


class _Calls:
    """All hooks of a provider; each calls the function of that name."""

    functions: dict[str, Callable[..., Any]]

    def nsp_startup(self) -> Any:
        return self.functions["startup"]()

    def nsp_cleanup(self) -> Any:
        return self.functions["cleanup"]()

    def nsp_lookup_service(self, query: Any, cancellation: Any) -> Any:
        return self.functions["lookup"](query, cancellation)

    def nsp_set_service(self, service: Any, operation: Any, multiple: bool) -> Any:
        return self.functions["set_service"](service, operation, multiple)

    def nsp_install_service_class(self, service_class: Any) -> Any:
        return self.functions["install"](service_class)

    def nsp_remove_service_class(self, class_id: Any) -> Any:
        return self.functions["remove"](class_id)

    def nsp_get_service_class_info(self, class_id: Any) -> Any:
        return self.functions["describe"](class_id)

    def nsp_notify_change(self, query: Any, cancellation: Any) -> Any:
        return self.functions["notify"](query, cancellation)

    def nsp_ioctl(self, code: int, data: bytes) -> Any:
        return self.functions["ioctl"](code, data)


def copied(function: Any) -> Any:
    """Return a function of its own that does the same."""
    return FunctionType(function.__code__, function.__globals__)


class Task:
    """A function on a thread of its own: what it returned, and the last error it left there."""

    def __init__(self, function: Callable[[], Any]) -> None:
        self._function = function
        self._outcome: Any = None
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        self._outcome = self._function(), winsock.WSAGetLastError()

    def outcome(self) -> Any:
        """Wait for the end; return both."""
        self.thread.join(LONG)
        assert not self.thread.is_alive(), "the thread has not come back"
        return self._outcome


class Stage:
    """Makes what a test needs, and ends it: gates first, then the period, then threads."""

    def __init__(self) -> None:
        self.gates: list[threading.Event] = []
        self.tasks: list[Task] = []

    def provider(
        self,
        name: str,
        lookup: Callable[..., Any] | None = one_result,
        *,
        namespace: Namespace | int = Namespace.DNS,
        stores: bool = False,
        **functions: Callable[..., Any] | None,
    ) -> Any:
        """Return a provider class; a function that is None leaves its hook out."""
        info = ProviderInfo(
            uuid.uuid5(FAMILY, name), name, namespace, "1.0", stores_service_classes=stores
        )
        given = {"startup": nothing, "cleanup": nothing, "lookup": lookup, **functions}
        kept = {key: function for key, function in given.items() if function is not None}
        # A hook is marked where it is taken from, so each class has copies of its own.
        hooks = {HOOKS[key]: hookimpl(copied(vars(_Calls)[HOOKS[key]])) for key in kept}
        return type(name, (), {"info": info, "guid": info.guid, "functions": kept, **hooks})

    def install(self, *classes: Any) -> None:
        """Install providers, in this order."""
        for one in classes:
            info = one.info
            done = winsock.WSCInstallNameSpace(
                info.name, one, info.namespace, info.version, info.guid
            )
            assert done == 0, winsock.WSAGetLastError()

    def start(self, *classes: Any) -> None:
        """Install providers and call WSAStartup."""
        self.install(*classes)
        assert winsock.WSAStartup(0x0202) == 0

    def restart(self) -> None:
        """Call WSACleanup and WSAStartup, so that what the catalog holds now counts."""
        assert winsock.WSACleanup() == 0
        assert winsock.WSAStartup(0x0202) == 0

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
        while winsock.WSACleanup() == 0:
            pass
        for task in self.tasks:
            task.thread.join(LONG)
        left = [one for one in threading.enumerate() if one.name.startswith("nspkit")]
        for thread in left:
            thread.join(LONG)
        assert not [thread for thread in left if thread.is_alive()]


@pytest.fixture
def stage() -> Iterator[Stage]:
    """The stage of this test: nothing is installed, nothing is started."""
    kept, blobs = process._catalog, dict(process.blobs)
    process.blobs.clear()
    process.use(Catalog())
    stage = Stage()
    try:
        yield stage
    finally:
        stage.end()
        process.blobs.update(blobs)
        process._unsubscribe()
        process._catalog = None
        if kept is not None:
            process.use(kept)


@pytest.fixture
def failed() -> Callable[..., None]:
    """A function that wants -1 from a call, and a code as the last error."""

    def want(code: int, answer: Any) -> None:
        assert (answer, winsock.WSAGetLastError()) == (-1, code)

    return want


@pytest.fixture
def arrived() -> Callable[[threading.Event], None]:
    """A function that waits for an event and fails where it does not come."""

    def wait(event: threading.Event) -> None:
        assert event.wait(LONG), "waited for what never came"

    return wait


@pytest.fixture
def until() -> Callable[[Callable[[], object]], None]:
    """A function that waits until something is so, where nothing rings."""

    def wait(is_so: Callable[[], object]) -> None:
        deadline = monotonic() + LONG
        pause = threading.Event()
        while not is_so():
            assert monotonic() < deadline, "waited for what never came"
            pause.wait(0.001)

    return wait


@pytest.fixture
def results() -> Callable[[int], Any]:
    """A function that reads a query to its end: the names, and the code that ended it."""

    def read(handle: int) -> Any:
        names = []
        while not isinstance(service := winsock.WSALookupServiceNext(handle), int):
            names.append(service.name)
        return names, winsock.WSAGetLastError()

    return read


class Registry:
    """What a provider that registers keeps, with the matrix of NSPSetService; thread-safe."""

    def __init__(self) -> None:
        self.services: dict[Any, Service] = {}
        self.classes: dict[uuid.UUID, ServiceClass] = {}
        self.calls: list[Any] = []
        self._watchers: list[SimpleQueue[Change | None]] = []
        self._lock = threading.Lock()

    def lookup(self, query: Any, cancellation: Any) -> Iterator[Service]:
        """Find what has addresses, and the name and class that are asked for."""
        for service in list(self.services.values()):
            wanted = (query.name, query.service_class)
            found = (service.name, service.service_class)
            if service.addresses and all(
                w in (None, f) for w, f in zip(wanted, found, strict=True)
            ):
                yield service

    def set_service(self, service: Service, operation: ServiceOperation, multiple: bool) -> None:
        """Register, deregister, delete; an instance is known by its class and name."""
        key = service.service_class, service.name
        with self._lock:
            self.calls.append((operation, multiple))
            before = self.services.get(key)
            if operation is ServiceOperation.REGISTER:
                kept = before.addresses if before is not None and multiple else ()
                self._put(key, service.replace(addresses=(*kept, *service.addresses)))
                return
            if before is None:
                raise ServiceNotFoundError(f"there is no {service.name}")
            gone = service.addresses if multiple else before.addresses
            left = tuple(one for one in before.addresses if one not in gone)
            if operation is ServiceOperation.DELETE and not left:
                del self.services[key]
                self._tell(Change(ChangeKind.REMOVED, before))
            else:
                self._put(key, before.replace(addresses=left))

    def _put(self, key: Any, service: Service) -> None:
        kind = ChangeKind.CHANGED if key in self.services else ChangeKind.ADDED
        self.services[key] = service
        self._tell(Change(kind, service))

    def _tell(self, change: Change) -> None:
        for watcher in self._watchers:
            watcher.put(change)

    def notify(self, query: Any, cancellation: Any) -> Iterator[Change | None]:
        """Tell what is there, then what changes."""
        queue: SimpleQueue[Change | None] = SimpleQueue()
        cancellation.on_cancel(lambda: queue.put(None))
        with self._lock:
            there = list(self.services.values())
            self._watchers.append(queue)
        yield from (Change(ChangeKind.ADDED, service) for service in there)
        yield None
        while (change := queue.get()) is not None:
            yield change

    def install(self, service_class: ServiceClass) -> None:
        """Keep a class."""
        if service_class.id in self.classes:
            raise AlreadyExistsError(f"{service_class.name} is there")
        self.classes[service_class.id] = service_class

    def remove(self, class_id: uuid.UUID) -> None:
        """Forget a class, unless an instance lives."""
        if class_id not in self.classes:
            raise TypeNotFoundError(f"there is no {class_id}")
        if any(key[0] == class_id for key in self.services):
            raise TooManyReferencesError(f"{class_id} has instances")
        del self.classes[class_id]

    def describe(self, class_id: uuid.UUID) -> ServiceClass:
        """Return a class."""
        if class_id not in self.classes:
            raise TypeNotFoundError(f"there is no {class_id}")
        return self.classes[class_id]

    def hooks(self) -> dict[str, Callable[..., Any]]:
        """All of it, for `Stage.provider`."""
        return {name: getattr(self, name) for name in HOOKS if hasattr(self, name)}


@pytest.fixture
def registry() -> Callable[[], Registry]:
    """A function that makes what a registering provider keeps."""
    return Registry


@pytest.fixture
def addresses() -> SimpleNamespace:
    """Three addresses; the last two differ in their port only."""
    return SimpleNamespace(
        one=Address.inet("192.0.2.1", 80),
        two=Address.inet("192.0.2.2", 80),
        twin=Address.inet("192.0.2.2", 81),
    )
