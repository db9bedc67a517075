"""Finalisers of others: they run anywhere, also where the host least expects to be called.

A foreign object's ``__del__`` may close a session, a lookup, or the host itself. Here it is
collected in hooks, in callbacks, in comparisons, under each of the host's locks, and by real
collections between any two lines. It comes back at once, every time, and what it asked for is done
or refused.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from nspkit import Catalog, Host, NspError, Service
from nspkit.errors import NotInitialisedError

LONG = 30.0
PARTS_OF_ALPHA = 3


class Trap:
    """Something whose finaliser calls the host; it sits in a cycle until it is collected."""

    def __init__(self, operation: Callable[[], object], codes: list[int]) -> None:
        self.operation = operation
        self.codes = codes
        self.itself = self

    def __del__(self) -> None:
        try:
            self.operation()
            self.codes.append(0)
        except NspError as error:
            self.codes.append(int(error.code))


class Results:
    """What a provider found: three services; it notes its beginning and its end."""

    def __init__(self, scene: Scene, begun: threading.Semaphore) -> None:
        self.scene = scene
        self.left = [Service("one")] * 3
        scene.begun.append(1)
        begun.release()

    def __iter__(self) -> Results:
        return self

    def __next__(self) -> Service:
        if not self.left:
            raise StopIteration
        return self.left.pop()

    def close(self) -> None:
        """Note the end."""
        self.scene.ended.append(1)


class Scene:
    """A host with two providers, and everything that a finaliser could call."""

    def __init__(self, stage: Any) -> None:
        self.alpha, self.beta = stage.probe("alpha"), stage.probe("beta")
        of_alpha, of_beta = threading.Semaphore(0), threading.Semaphore(0)
        self.alpha.lookup_service = lambda call: Results(self, of_alpha)
        self.beta.lookup_service = lambda call: Results(self, of_beta)
        # From several threads, so no numbers that are counted up.
        self.begun: list[int] = []
        self.ended: list[int] = []
        self.codes: list[int] = []
        self.host = stage.host(self.alpha, self.beta)
        self.session = self.host.startup("alpha")
        self.kept = self.host.startup("alpha")
        self.lookup = self.session.lookup("x")
        self.timed = self.session.lookup("x", timeout=LONG)
        self.fanout = self.host.lookup("x")
        # One that has not begun when alpha is stopped would start it again.
        for _ in range(PARTS_OF_ALPHA):
            assert of_alpha.acquire(timeout=LONG)

    def operations(self) -> dict[str, Callable[[], object]]:
        """What a finaliser may do, by name."""
        host = self.host
        return {
            "session.close": self.session.close,
            "lookup.close": self.lookup.close,
            "timed.close": self.timed.close,
            "fanout.close": self.fanout.close,
            "startup": lambda: host.startup("alpha").close(),
            "startup of another": lambda: host.startup("beta").close(),
            "cleanup": lambda: host.cleanup("alpha"),
            "lookup": lambda: list(host.lookup("x", provider="alpha")),
            "fan-out": lambda: host.lookup("x").close(),
            "references": lambda: host.references("alpha"),
            "close": host.close,
        }

    def collect(self, name: str) -> None:
        """Have a finaliser do this, here and now."""
        Trap(self.operations()[name], self.codes)
        gc.collect()


OPERATIONS = (
    "session.close",
    "lookup.close",
    "timed.close",
    "fanout.close",
    "startup",
    "startup of another",
    "cleanup",
    "lookup",
    "fan-out",
    "references",
    "close",
)
REFUSED = {"startup", "cleanup", "lookup", "close"}


@pytest.fixture(autouse=True, scope="module")
def small_heap() -> None:
    """Collections look at what these tests have made only.

    There are hundreds in a test, and with all that the suite has loaded each would be slow. Once
    for all of them: what a test leaves to the collector must not be frozen by the next one. Hosts
    that were would live for ever, and every call of any other looks through those that live.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def no_collection(small_heap: None) -> Iterator[None]:
    """Collections come when a test asks for one."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.fixture
def scene(stage: Any) -> Scene:
    """A host in full use."""
    return Scene(stage)


# -- in foreign code that the host calls ---------------------------------------------------------


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("hook", ["ioctl", "lookup_service", "cleanup", "release", "thread"])
def test_a_finaliser_in_a_hook_comes_back(scene: Scene, hook: str, operation: str) -> None:
    """What would wait for that very hook is refused (10036); a session's close is put off."""
    collect = lambda: scene.collect(operation)  # noqa: E731
    session = scene.session if hook != "cleanup" else scene.kept
    if hook == "ioctl":
        scene.alpha.ioctl = lambda call: collect()
        scene.kept.ioctl(1)
    elif hook == "lookup_service":
        scene.alpha.lookup_service = lambda call: collect() or iter([])
        list(scene.kept.lookup("x"))
    elif hook == "cleanup":
        scene.alpha.cleanup = lambda call: collect()
        scene.session.close()
        session.close()
    else:
        _collect_in_the_end(scene, hook, collect)
    assert len(scene.codes) == 1
    if operation in REFUSED:
        assert scene.codes == [10036]


def _collect_in_the_end(scene: Scene, hook: str, collect: Callable[[], object]) -> None:
    """Have it collected in a release, or in the provider's own thread when it is told to stop."""
    scene.kept.close()
    scene.session.close()

    def start(call: Any) -> None:
        if hook == "release":
            call.resources.callback(collect)
        else:
            call.resources.thread(lambda stop: stop.wait(LONG) and collect())

    scene.alpha.startup = start
    scene.host.startup("alpha").close()


def test_a_session_that_a_finaliser_closes_in_a_hook_is_closed_by_the_next_operation(
    scene: Scene,
) -> None:
    """Once, and without anybody's help."""
    scene.alpha.ioctl = lambda call: scene.collect("session.close")
    scene.kept.ioctl(1)
    assert scene.host.references("alpha") == 1
    assert scene.host.cleanup("alpha") is True


EVENTS = ["started", "stopped", "step", "start failed", "failed"]


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("kind", EVENTS)
def test_a_finaliser_in_a_subscriber_comes_back(
    stage: Any, scene: Scene, kind: str, operation: str
) -> None:
    """Wherever the host tells what happens."""
    gamma = stage.probe("gamma")
    host = stage.host(gamma)

    def told(event: Any) -> None:
        if event.kind == kind and not scene.codes:
            scene.collect(operation)

    host.events.subscribe(told)
    scene.host.events.subscribe(told)

    def fail(_call: Any) -> None:
        raise OSError("it fails")

    gamma.startup = fail if kind == "start failed" else lambda call: None
    gamma.cleanup = fail if kind == "failed" else lambda call: None
    for use in (lambda: host.startup("gamma"), host.close, scene.kept.close, scene.host.close):
        try:
            use()
        except NspError:
            pass
    assert len(scene.codes) == 1


class Treacherous(str):
    """A short name whose hash and comparison collect garbage."""

    __slots__ = ("__dict__",)

    collect: Callable[[], object]

    def __eq__(self, other: object) -> bool:
        self.collect()
        return str.__eq__(self, other)

    def __hash__(self) -> int:
        self.collect()
        return str.__hash__(self)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_finaliser_in_the_comparison_of_a_name_comes_back(scene: Scene, operation: str) -> None:
    """No dictionary of the host is looked into under a lock."""
    name = Treacherous("beta")
    left = [lambda: scene.collect(operation)]
    name.collect = lambda: left and left.pop()()
    if operation == "close":
        with pytest.raises(NotInitialisedError):
            scene.host.startup(name)
    else:
        scene.host.startup(name).close()
    assert len(scene.codes) == 1
    assert scene.codes[0] == 0


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_finaliser_in_the_mapping_of_the_settings_comes_back(
    scene: Scene, operation: str
) -> None:
    """Which belongs to the application, and is read when the host is made."""

    class Mapping(dict[str, Any]):
        def items(self) -> Any:
            scene.collect(operation)
            return super().items()

    catalog = Catalog()
    catalog.install(scene.beta.provider_class)
    with Host(catalog=catalog, settings=Mapping(beta={"x": 1})) as other:
        other.startup("beta")
    assert scene.codes == [0]


# -- under the host's locks ----------------------------------------------------------------------

LOCKS: dict[str, Callable[[Host], Any]] = {
    "account": lambda host: host._accounts.of("alpha").lifetime._lock,
    "account of another": lambda host: host._accounts.of("beta").lifetime._lock,
    "workers": lambda host: host._accounts.workers._lock,
    "closing": lambda host: host._closing._lock,
    "catalog": lambda host: host._accounts.view()._lock,
}


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("lock", [*LOCKS, "all"])
def test_a_finaliser_under_a_lock_comes_back(scene: Scene, lock: str, operation: str) -> None:
    """On the thread that holds it: 10036, or put off, or done where that lock is not needed."""
    wanted = list(LOCKS) if lock == "all" else [lock]
    with ExitStack() as held:
        for name in wanted:
            held.enter_context(LOCKS[name](scene.host))
        scene.collect(operation)
    assert scene.codes in ([0], [10036])
    for left in (scene.lookup, scene.timed, scene.fanout):
        left.close()
    scene.host.close()
    assert scene.alpha.calls.count("nsp_cleanup") == scene.alpha.calls.count("nsp_startup")
    assert len(scene.ended) == len(scene.begun) >= 2


@pytest.mark.parametrize("lock", [*LOCKS, "all"])
def test_a_session_that_is_closed_under_a_lock_gives_its_reference_back(
    scene: Scene, lock: str
) -> None:
    """At once or with the next operation."""
    wanted = list(LOCKS) if lock == "all" else [lock]
    with ExitStack() as held:
        for name in wanted:
            held.enter_context(LOCKS[name](scene.host))
        scene.collect("session.close")
    assert scene.codes == [0]
    assert scene.host.references("alpha") == 1


@pytest.mark.parametrize("lock", [*LOCKS, "all"])
def test_finalisers_of_nspkit_take_no_lock(stage: Any, scene: Scene, lock: str) -> None:
    """Those of lookups and of hosts, on a thread while another one holds the lock."""
    wanted = list(LOCKS) if lock == "all" else [lock]
    ready, go = threading.Event(), threading.Event()

    def hold() -> None:
        with ExitStack() as held:
            for name in wanted:
                held.enter_context(LOCKS[name](scene.host))
            ready.set()
            assert go.wait(LONG)

    next(scene.lookup)
    next(scene.timed)
    next(scene.fanout)
    holder = stage.task(hold)
    assert ready.wait(LONG)
    del scene.lookup, scene.timed, scene.fanout
    gc.collect()
    assert holder.thread.is_alive()
    go.set()
    holder.result()
    scene.host.close()
    assert len(scene.ended) == len(scene.begun) >= 3


# -- anywhere ------------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_finaliser_at_any_point_of_a_whole_life_comes_back(
    stage: Any, at_every_point: Any, operation: str
) -> None:
    """Starting, looking up, closing; what is counted stays right."""

    def prepare() -> Scene:
        scene = Scene(stage)
        stage.hosts.clear()
        return scene

    def live(scene: Scene) -> None:
        with scene.host.startup("beta") as session:
            list(session.lookup("x"))
        scene.kept.close()

    def meddle(scene: Scene) -> None:
        Trap(scene.operations()[operation], scene.codes).itself = None  # type: ignore[assignment]

    def check(scene: Scene, where: str) -> None:
        scene.session.close()
        if operation != "close":
            assert scene.host.references("alpha") == 0, where
        for lookup in (scene.lookup, scene.timed, scene.fanout):
            lookup.close()
        scene.host.close()
        assert len(scene.ended) == len(scene.begun), where
        for probe in (scene.alpha, scene.beta):
            assert probe.count("nsp_cleanup") == probe.count("nsp_startup"), where

    points = at_every_point(prepare, live, check, action=meddle, swallow=(NspError,))
    assert points > 60


def test_collections_between_any_two_lines_harm_nobody(stage: Any) -> None:
    """Each closes a session, drops a lookup open, and makes another host."""
    alpha = stage.probe()
    alpha.ioctl = lambda call: b""

    def results() -> Iterator[Service]:
        while True:
            yield Service("more")

    alpha.lookup_service = lambda call: results()
    host = stage.host(alpha)
    kept = host.startup("alpha")
    sessions = [host.startup("alpha") for _ in range(300)]
    made: list[Host] = []

    def collected(phase: str, _info: Any) -> None:
        if phase == "stop" and sessions:
            sessions.pop().close()
            made.append(Host(catalog=Catalog()))
            del made[:-3]

    def use() -> None:
        while sessions:
            with host.startup("alpha") as session:
                session.ioctl(1)
                next(session.lookup("x"))
                next(host.lookup("x"))
                next(host.lookup("x", provider="alpha", timeout=LONG))
            kept.ioctl(1)

    threshold = gc.get_threshold()
    gc.callbacks.append(collected)
    gc.set_threshold(1)
    gc.enable()
    try:
        use()
    finally:
        gc.disable()
        gc.callbacks.remove(collected)
        gc.set_threshold(*threshold)
    # The host took a reference of its own for none of these: the provider was started already.
    assert host.references("alpha") == 1
    kept.close()
    assert alpha.calls.count("nsp_cleanup") == 1
