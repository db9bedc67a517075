"""Many threads, hundreds of rounds: no overlap, no lost count, nothing left."""

from __future__ import annotations

import random
import threading
from typing import Any

import pytest

from nspkit import Service
from nspkit.errors import CancelledError, NotInitialisedError

THREADS = 8
ROUNDS = 100


class Watch:
    """Watches over a provider: which calls may not overlap, what is held."""

    def __init__(self, probe: Any) -> None:
        self.probe = probe
        self.up = False
        self.held = 0
        self.wrong: list[str] = []
        probe.startup, probe.cleanup = self.startup, self.cleanup
        probe.ioctl, probe.lookup_service = self.ioctl, self.lookup

    def startup(self, call: Any) -> None:
        """Nobody else may be up."""
        self.expect(False, "nsp_startup")
        self.held += 1
        call.resources.callback(self.release)
        self.up = True

    def cleanup(self, call: Any) -> None:
        """It is the end."""
        self.expect(True, "nsp_cleanup")
        self.up = False

    def release(self) -> None:
        """Come after the cleanup."""
        self.expect(False, "release")
        self.held -= 1

    def ioctl(self, call: Any) -> bytes:
        """Come between startup and cleanup."""
        self.expect(True, "nsp_ioctl")
        return call.data

    def lookup(self, call: Any) -> Any:
        """Come between startup and cleanup, each step."""
        try:
            for number in range(3):
                self.expect(True, "nsp_lookup_service")
                yield Service(f"{call.query.name}{number}")
        finally:
            self.expect(True, "the end of a lookup")

    def expect(self, up: bool, what: str) -> None:
        """Write down what happens at the wrong time."""
        if self.up is not up:
            self.wrong.append(what)


def run(stage: Any, work: Any) -> None:
    """Run ``work(random)`` on all threads at once, each with numbers of its own."""
    barrier = threading.Barrier(THREADS)

    def one(seed: int) -> None:
        numbers = random.Random(seed)  # the same rounds each time
        barrier.wait(30)
        for _ in range(ROUNDS):
            work(numbers)

    for task in [stage.task(one, seed) for seed in range(THREADS)]:
        task.result()


@pytest.mark.parametrize("middleware", [False, True], ids=["plain", "middleware"])
def test_balanced_users_never_harm_each_other(stage: Any, middleware: bool) -> None:
    """Each takes its references and gives them back; not one error, and all ends at 0."""
    probes = [stage.probe(name) for name in ("alpha", "beta", "gamma")]
    watches = [Watch(probe) for probe in probes]
    host = stage.host(*probes, middleware=[_passing()] if middleware else [])

    def work(numbers: random.Random) -> None:
        name = numbers.choice(("alpha", "beta", "gamma"))
        session = host.startup(name)
        try:
            for _ in range(numbers.randrange(3)):
                what = numbers.randrange(4)
                if what == 0:
                    assert session.ioctl(1, b"x") == b"x"
                elif what == 1:
                    assert len(list(session.lookup("x"))) == 3
                elif what == 2:
                    with session.lookup("x") as lookup:
                        next(lookup)
                else:
                    host.startup(name)
                    host.cleanup(name)
        finally:
            session.close()

    run(stage, work)
    for watch in watches:
        assert watch.wrong == []
        assert watch.held == 0
        assert host.references(watch.probe.name) == 0
        assert watch.probe.count("nsp_startup") == watch.probe.count("nsp_cleanup") > 10


def test_whatever_users_do_nothing_overlaps_and_nothing_is_left(stage: Any) -> None:
    """Some give back what is not theirs, some look up through the host, on workers too."""
    probes = [stage.probe(name) for name in ("alpha", "beta", "gamma")]
    watches = [Watch(probe) for probe in probes]
    host = stage.host(*probes)

    def work(numbers: random.Random) -> None:
        name = numbers.choice(("alpha", "beta", "gamma"))
        what = numbers.randrange(6)
        try:
            if what == 0:
                host.startup(name).ioctl(1)
            elif what == 1:
                host.cleanup(name)
            elif what == 2:
                list(host.lookup("x", provider=name))
            elif what == 3:
                with host.startup(name) as session, session.lookup("x", timeout=30) as lookup:
                    next(lookup)
            elif what == 4:
                with host.lookup("x", order="arrival") as lookup:
                    next(lookup)
            else:
                host.cleanup(name)
        except (NotInitialisedError, CancelledError):
            pass  # another one was quicker: its session, or its lookup, was ended under it

    run(stage, work)
    host.close()
    for watch in watches:
        assert watch.wrong == []
        assert watch.held == 0
        assert watch.probe.count("nsp_startup") == watch.probe.count("nsp_cleanup") > 10


def test_hosts_come_and_go_beside_each_other(stage: Any) -> None:
    """What one thread makes and drops does not disturb what another one cleans up."""
    probe = stage.probe("alpha")
    watch = Watch(probe)
    host = stage.host(probe)
    other = stage.probe("beta")

    def work(numbers: random.Random) -> None:
        if numbers.randrange(2):
            with stage.host(catalog=_catalog_of(other)) as mine, mine.startup("beta"):
                pass
        else:
            with host.startup("alpha"):
                list(host.lookup("x", timeout=30))

    run(stage, work)
    assert watch.wrong == []
    assert watch.held == 0
    assert host.references("alpha") == 0


def _catalog_of(probe: Any) -> Any:
    from nspkit import Catalog

    catalog = Catalog()
    catalog.install(probe.provider_class)
    return catalog


def _passing() -> Any:
    from nspkit import hookimpl

    class Passing:
        """A middleware that passes every call on."""

        @hookimpl(wrapper=True)
        def nsp_startup(self) -> Any:
            """Pass it on."""
            return (yield)

        @hookimpl(wrapper=True)
        def nsp_ioctl(self) -> Any:
            """Pass it on."""
            return (yield)

        @hookimpl(wrapper=True)
        def nsp_lookup_service(self) -> Any:
            """Pass it on."""
            return (yield)

    return Passing()
