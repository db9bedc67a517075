"""A stage for lookups: providers made of a function, hosts, gates and threads, all ended again."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nspkit import Catalog, Host, Namespace, ProviderInfo, Service, hookimpl

LONG = 30.0
FAMILY = uuid.UUID("5b0f7a52-3c86-4e0c-9f0b-6f4f2e1d8a10")


def one_result(query: Any, cancellation: Any) -> Iterator[Service]:
    """What a provider finds unless a test says otherwise: one service of the name asked for."""
    yield Service(query.name or "anything")


class Feed:
    """An iterator that is no generator: it yields, raises or calls what it was given."""

    def __init__(self, *items: Any, closing: BaseException | None = None) -> None:
        self.items = list(items)
        self.closing = closing
        self.closed = 0
        self.served = 0

    def __iter__(self) -> Feed:
        return self

    def __next__(self) -> Any:
        if not self.items:
            raise StopIteration
        self.served += 1
        item = self.items.pop(0)
        if isinstance(item, BaseException):
            raise item
        return item() if callable(item) and not isinstance(item, type) else item

    def close(self) -> None:
        """Count, and raise what was given for that."""
        self.closed += 1
        if self.closing is not None:
            raise self.closing


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
        self.gates: list[threading.Event] = []
        self.tasks: list[Task] = []
        self.hosts: list[Host] = []

    def provider(
        self,
        name: str,
        lookup: Callable[[Any, Any], Any] | None = one_result,
        *,
        namespace: Namespace = Namespace.DNS,
        startup: Callable[[], Any] | None = None,
        cleanup: Callable[[], Any] | None = None,
        ioctl: Callable[[], Any] | None = None,
    ) -> type:
        """Return a provider class; without ``lookup`` it lacks that hook."""

        def nsp_startup(self: object) -> Any:
            return startup() if startup is not None else None

        def nsp_cleanup(self: object) -> Any:
            return cleanup() if cleanup is not None else None

        def nsp_ioctl(self: object) -> Any:
            return ioctl() if ioctl is not None else None

        def nsp_lookup_service(self: object, query: Any, cancellation: Any) -> Any:
            assert lookup is not None
            return lookup(query, cancellation)

        hooks = [nsp_startup, nsp_cleanup, nsp_ioctl]
        if lookup is not None:
            hooks.append(nsp_lookup_service)
        info = ProviderInfo(uuid.uuid5(FAMILY, name), name, namespace, "1.0")
        return type(name, (), {"info": info, **{f.__name__: hookimpl(f) for f in hooks}})

    def host(self, *classes: type, catalog: Catalog | None = None, **options: Any) -> Host:
        """Return a host of these providers, in this order, after those of ``catalog``."""
        catalog = catalog or Catalog()
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
def feed() -> type[Feed]:
    """The class of an iterator that is no generator."""
    return Feed


@pytest.fixture
def arrived() -> Callable[[threading.Event], None]:
    """A function that waits for an event and fails where it does not come."""

    def wait(event: threading.Event) -> None:
        assert event.wait(LONG), "waited for what never came"

    return wait


@pytest.fixture
def nspkit_threads() -> Callable[[], list[threading.Thread]]:
    """A function that lists the threads of nspkit."""
    return threads_of_nspkit


@pytest.fixture(params=["direct", "timed", "fan-out"])
def asked(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """A function that looks a name up at one provider: in its thread, by a worker, among others."""

    def lookup(host: Host, name: str = "it", **options: Any) -> Any:
        if request.param == "fan-out":
            return host.lookup(name, **options)
        if request.param == "timed":
            options["timeout"] = 10 * LONG  # never over, however busy the machine is
        return host.lookup(name, provider=next(iter(host.providers())).name, **options)

    lookup.way = request.param  # type: ignore[attr-defined]
    return lookup


@pytest.fixture
def installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[dict[str, str]], Catalog]:
    """A function that installs modules with an entry point each and discovers them.

    It takes the source of each module by the short name of its provider, which is the class ``P``.
    """
    monkeypatch.syspath_prepend(tmp_path)
    # coverage looks at a changed path when it meets the next new file, and takes out of
    # sys.modules what other threads import meanwhile. It shall meet one before there are any.
    exec(compile("", str(tmp_path / "nothing.py"), "exec"))

    def install(sources: dict[str, str]) -> Catalog:
        for name, source in sources.items():
            module = f"installed_{name}_{uuid.uuid4().hex}"
            (tmp_path / f"{module}.py").write_text(source)
            folder = tmp_path / f"{module}-1.0.dist-info"
            folder.mkdir()
            (folder / "METADATA").write_text(
                f"Metadata-Version: 2.1\nName: {module.replace('_', '-')}\nVersion: 1.0\n"
            )
            (folder / "entry_points.txt").write_text(f"[nspkit.providers]\n{name} = {module}:P\n")
        return Catalog.discover(path=[str(tmp_path)])

    return install


@pytest.fixture
def names() -> Callable[[Iterable[Service]], list[str]]:
    """A function that lists the names of results."""
    return lambda lookup: [service.name for service in lookup]


@pytest.fixture
def expire() -> Callable[..., None]:
    """A function that lets the time of some providers of a lookup be over, the others' not.

    It takes their places in the lookup. So no test depends on how fast the machine is.
    """

    def expire(lookup: Any, *places: int) -> None:
        for place in places:
            lookup._state._asked[place].cancellation._deadline = 0.0

    return expire
