"""A stage for lifetimes: providers that record, hosts, threads, gates, interrupts on purpose.

No test sleeps. Where one thread has to wait until another one waits in turn, `until` looks at the
state itself.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
import uuid
import weakref
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import CodeType, FrameType, SimpleNamespace
from typing import Any

import pytest

import nspkit
from nspkit import Catalog, Host, Namespace, ProviderInfo, Service, hookimpl
from nspkit._bell import Bell

LONG = 30.0
FAMILY = uuid.UUID("2f1d6a70-52c8-4d0b-8a4e-5f6d3c1b7a90")
COVERAGE = f"{os.sep}coverage{os.sep}"
FINALISERS = ("__del__", "forget", "_remove")
HOOKS = ("nsp_startup", "nsp_cleanup", "nsp_lookup_service", "nsp_ioctl")
SOURCES = str(Path(nspkit.__file__).parent) + os.sep


class Probe:
    """A provider under test: what its hooks do is set on it, what was called is recorded.

    ``startup``, ``cleanup``, ``lookup``, ``set_service``, ``ioctl`` … take one argument, with the
    hook's own as attributes and the provider's instance as ``instance``; what they return, the hook
    returns.
    """

    def __init__(
        self, name: str, hooks: Iterable[str], base: type, options: dict[str, Any]
    ) -> None:
        self.name = name
        self.calls: list[str] = []
        self.instances: list[weakref.ref[Any]] = []
        for hook in nspkit.hookspecs.HOOKS:
            setattr(self, hook.removeprefix("nsp_"), lambda call: None)
        self.lookup_service = lambda call: iter([Service("found")])
        self.info = ProviderInfo(uuid.uuid5(FAMILY, name), name, Namespace.DNS, "1.0", **options)
        self.guid = self.info.guid
        self.provider_class = self._made(hooks, base)

    def _made(self, hooks: Iterable[str], base: type) -> type:
        probe = self

        def make(self: Any) -> None:
            probe.instances.append(weakref.ref(self))

        body: dict[str, Any] = {"info": self.info, "__init__": make}
        for hook in hooks:
            body[hook] = hookimpl(self._hook(hook))
        return type(self.name.title(), (base,), body)

    def _hook(self, hook: str) -> Callable[..., Any]:
        """Return a method with exactly the arguments of the hook."""
        probe, names = self, nspkit.hookspecs.HOOKS[hook]

        def called(instance: Any, *args: Any) -> Any:
            probe.calls.append(hook)
            behaviour = getattr(probe, hook.removeprefix("nsp_"))
            call = dict(zip(names, args, strict=True))
            return behaviour(SimpleNamespace(instance=instance, **call))

        arguments = ", ".join(names)
        scope: dict[str, Any] = {"called": called}
        exec(f"def {hook}(self, {arguments}): return called(self, {arguments})", scope)
        method: Callable[..., Any] = scope[hook]
        return method

    def count(self, hook: str) -> int:
        """Return how often a hook was called."""
        return self.calls.count(hook)


class Task:
    """A function on a thread of its own, and what it came to."""

    def __init__(self, function: Callable[..., Any], *args: Any) -> None:
        self._function = lambda: function(*args)
        self._value: Any = None
        self._error: BaseException | None = None
        self.thread = threading.Thread(target=self._run, daemon=True, name="task")
        self.thread.start()

    def _run(self) -> None:
        try:
            self._value = self._function()
        except BaseException as error:
            self._error = error
        finally:
            del self._function

    @property
    def ident(self) -> int:
        """The thread's identity, as the guard writes it down."""
        assert self.thread.ident is not None
        return self.thread.ident

    def ended(self) -> None:
        """Wait for the end, whatever it came to."""
        self.thread.join(LONG)
        assert not self.thread.is_alive(), "the thread has not come back"

    def result(self) -> Any:
        """Wait for the end; return what the function returned, or raise what it raised."""
        self.ended()
        if self._error is not None:
            error, self._error = self._error, None
            try:
                raise error
            finally:
                del error
        return self._value

    def error(self) -> BaseException:
        """Wait for the end and return what the function raised."""
        self.ended()
        assert self._error is not None, f"it returned {self._value!r} instead of raising"
        error, self._error = self._error, None
        return error


class Stage:
    """Makes what a test needs, and ends it: gates first, then threads, then hosts."""

    def __init__(self) -> None:
        self.gates: list[threading.Event] = []
        self.tasks: list[Task] = []
        self.hosts: list[Host] = []

    def probe(
        self,
        name: str = "alpha",
        *,
        hooks: Iterable[str] = HOOKS,
        without: Iterable[str] = (),
        base: type = object,
        **options: Any,
    ) -> Probe:
        """Return a provider with these hooks; ``options`` are those of its ``ProviderInfo``."""
        return Probe(name, [hook for hook in hooks if hook not in without], base, options)

    def host(self, *probes: Probe, **options: Any) -> Host:
        """Return a host of these providers, in this order."""
        catalog = options.pop("catalog", None) or Catalog()
        for probe in probes:
            catalog.install(probe.provider_class)
        host = Host(catalog=catalog, **options)
        self.hosts.append(host)
        return host

    def gate(self) -> threading.Event:
        """Return an event that is set at the end of the test at the latest."""
        gate = threading.Event()
        self.gates.append(gate)
        return gate

    def task(self, function: Callable[..., Any], *args: Any) -> Task:
        """Run a function on a thread of its own."""
        task = Task(function, *args)
        self.tasks.append(task)
        return task

    def elsewhere(self, function: Callable[..., Any], *args: Any) -> Any:
        """Run a function on another thread and return what it returns."""
        return self.task(function, *args).result()

    def end(self) -> None:
        """End everything; what a host still says is the affair of the test that wants to hear."""
        for gate in self.gates:
            gate.set()
        for host in self.hosts:
            try:
                host.close()
            except nspkit.NspError:
                pass
        for task in self.tasks:
            task.ended()


@pytest.fixture
def stage() -> Iterator[Stage]:
    """Makes providers, hosts, gates and threads, and ends them."""
    stage = Stage()
    yield stage
    stage.end()


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """Fail a test that leaves a thread or a descriptor behind."""
    threads, descriptors = set(threading.enumerate()), _descriptors()
    yield
    # One that an interrupt kept from being started is listed, but not alive.
    left = [one for one in threading.enumerate() if one not in threads and one.is_alive()]
    for thread in left:  # one that was quarantined ends when its gate has opened
        thread.join(LONG)
    assert not [thread for thread in left if thread.is_alive()]
    assert _descriptors() <= descriptors


def _descriptors() -> int:
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.is_dir() else 0


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
def lifetime_of() -> Callable[[Host, Any], Any]:
    """A function that returns the account that a host keeps of a provider's life."""
    return lambda host, provider: host._accounts.of(provider).lifetime


@pytest.fixture
def locks_of() -> Callable[[Host], list[Any]]:
    """A function that returns all locks of a host, to see who holds them."""

    def locks(host: Host) -> list[Any]:
        owned = [host._accounts.workers._lock, host._closing._lock, host._accounts.view()._lock]
        lifetimes = [account.lifetime for account in host._accounts.all.values()]
        return owned + [lifetime._lock for lifetime in lifetimes]

    return locks


def _stack(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _spared(frame: FrameType | None, base: CodeType | None = None) -> bool:
    """Tell where no interrupt is of use, in a call that comes from the code ``base``.

    In a finaliser, because Python itself swallows what is raised there and says so; and in what
    measures the coverage, whose own lock would stay taken.
    """
    while frame is not None and (code := frame.f_code) is not base:
        if code.co_name in FINALISERS or COVERAGE in code.co_filename:
            return True
        frame = frame.f_back
    return False


class Injection:
    """Raises KeyboardInterrupt at one of the points where a signal can strike this thread.

    That is on entering a function of nspkit and on the way back from one that is written in C:
    there, and at the ends of loops, the interpreter looks for signals.
    """

    def __init__(self, point: int, action: Callable[[], object] | None) -> None:
        self.left = point
        self.fired = False
        self.where = ""
        self._action = action
        self._base = sys._getframe(1).f_code  # asked at each point, so pytest's are not looked at

    def __call__(self, frame: FrameType, event: str, _arg: object) -> None:
        """Be the profiler."""
        if event not in ("call", "c_return") or self.fired:
            return
        source = frame.f_code.co_filename
        if not source.startswith(SOURCES) or _spared(frame, self._base):
            return
        if self.left:
            self.left -= 1
            return
        self.fired = True
        self.where = f"{source}:{frame.f_lineno} in {frame.f_code.co_name} ({event})"
        if self._action is not None:
            self._action()
        else:
            raise KeyboardInterrupt(self.where)


@pytest.fixture
def at_every_point() -> Callable[..., int]:
    """A function that runs something again and again, struck at each point in turn.

    ``operate(subject)`` is struck, ``prepare()`` makes its subject, ``check(subject, where)`` looks
    at what is left. Without ``action`` it is struck by a KeyboardInterrupt. Returns the points.
    """

    def run(
        prepare: Callable[[], Any],
        operate: Callable[[Any], Any],
        check: Callable[[Any, str], None],
        *,
        action: Callable[[Any], object] | None = None,
        swallow: tuple[type[BaseException], ...] = (KeyboardInterrupt,),
    ) -> int:
        gc.collect()  # the hosts of other tests: each of them is a few points more
        point = 0
        while True:
            subject = prepare()
            bound = None if action is None else (lambda subject=subject: action(subject))
            injection = Injection(point, bound)
            try:
                sys.setprofile(injection)
                operate(subject)
            except swallow:
                pass
            finally:
                sys.setprofile(None)
            check(subject, injection.where)
            if not injection.fired:
                return point
            point += 1

    return run


@pytest.fixture
def interrupt() -> Iterator[Callable[[], None]]:
    """A function that raises a KeyboardInterrupt in the main thread, by a signal, and waits for it.

    For threads beside the main one, which runs the handler. A signal that comes right before a
    thread blocks does not wake it, so it is sent again until it was taken; one too many comes when
    the handler is gone, which is why it is a signal that is ignored then. And one may strike in
    the handler, so what tells of it is a bell: an event takes a lock.
    """
    struck = Bell()
    struck.ring()

    def handler(_number: int, _frame: FrameType | None) -> None:
        if not struck.rung:
            struck.ring()
            raise KeyboardInterrupt

    def strike() -> None:
        main = threading.main_thread().ident
        assert main is not None
        assert main != threading.get_ident()
        struck.rung = False
        while not struck.wait(0.01):
            signal.pthread_kill(main, signal.SIGURG)

    before = signal.signal(signal.SIGURG, handler)
    yield strike
    struck.ring()
    signal.signal(signal.SIGURG, before)


@pytest.fixture
def storm() -> Iterator[Callable[..., int]]:
    """A function that calls something again and again while real signals rain.

    The handler raises KeyboardInterrupt where a call of nspkit is under way, never in the test's
    own code; at most ``each`` times in one call. Returns how many struck.
    """
    struck, left = 0, 0

    def strike(_number: int, frame: FrameType | None) -> None:
        nonlocal struck, left
        in_nspkit = any(one.f_code.co_filename.startswith(SOURCES) for one in _stack(frame))
        if left and in_nspkit and not _spared(frame):
            struck += 1
            left -= 1
            raise KeyboardInterrupt

    def rain(
        operate: Callable[[], Any], *, strikes: int, rounds: int, every: float, each: int = 1
    ) -> int:
        nonlocal left
        done = 0
        signal.setitimer(signal.ITIMER_REAL, every, every)
        try:
            while struck < strikes or done < rounds:
                done, left = done + 1, each
                try:
                    operate()
                except KeyboardInterrupt:
                    pass
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        return struck

    # What measures coverage takes a lock of its own on every thread, and a signal that strikes on
    # the way would leave it taken for ever.
    coverage = sys.modules.get("coverage")
    measured = None if coverage is None else coverage.Coverage.current()
    if measured is not None:
        measured.stop()
    before = signal.signal(signal.SIGALRM, strike)
    yield rain
    signal.signal(signal.SIGALRM, before)
    if measured is not None:
        measured.start()
