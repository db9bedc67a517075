"""What is one per process: the hosts that live, in order, and who closes what is left."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from nspkit import Catalog, Host, _process
from nspkit._process import Living

LONG = 30.0


class Thing:
    """Something that lives."""


def test_what_lives_is_found_in_the_order_in_which_it_was_added() -> None:
    """The exit closes the newest host first."""
    living, things = Living(), [Thing() for _ in range(5)]
    for thing in things:
        living.add(thing)
    assert list(living) == things


def test_what_was_collected_is_not_found() -> None:
    """It is not kept alive, and nothing of it stays."""
    living, thing, other = Living(), Thing(), Thing()
    living.add(thing)
    living.add(other)
    del thing
    assert list(living) == [other]
    assert len(living._references) == 1


def test_who_looks_is_not_disturbed_by_what_is_added_and_collected_meanwhile() -> None:
    """Other threads make hosts and drop them at any time."""
    living, things = Living(), [Thing() for _ in range(3)]
    for thing in things:
        living.add(thing)
    seen = []
    for thing in living:
        seen.append(thing)
        things.append(Thing())
        living.add(things[-1])
        living.add(Thing())
    assert seen == things[:3]


@pytest.fixture
def eager_collections() -> Iterator[Callable[[Callable[[], object]], None]]:
    """A function that has something called by the garbage collection at nearly every line."""
    threshold, callbacks = gc.get_threshold(), list(gc.callbacks)

    def begin(function: Callable[[], object]) -> None:
        gc.callbacks.append(lambda phase, _info: function() if phase == "stop" else None)
        gc.set_threshold(1)

    yield begin
    gc.set_threshold(*threshold)
    gc.callbacks[:] = callbacks


def test_hosts_may_be_made_while_another_one_looks_who_is_inside_of_what(
    eager_collections: Any,
) -> None:
    """Every lookup over several providers does that."""
    made: list[Host] = []

    def make() -> None:
        made.append(Host(catalog=Catalog()))
        del made[:-20]

    host = Host(catalog=Catalog())
    eager_collections(make)
    for _ in range(50):
        assert host._accounts.chain() == ()
    assert host in list(_process.hosts)


def test_threads_make_hosts_and_look_without_an_error() -> None:
    """The same with real threads."""
    interval = sys.getswitchinterval()
    barrier, errors = threading.Barrier(4), []

    def work() -> None:
        barrier.wait(LONG)
        try:
            for _ in range(300):
                host = Host(catalog=Catalog())
                host._accounts.chain()
                del host
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, daemon=True) for _ in range(4)]
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(LONG)
    finally:
        sys.setswitchinterval(interval)
    assert errors == []


class Quick:
    """A host that became garbage, and that another thread closes just before this one does."""

    def _close_late(self) -> bool:
        _process.orphans.remove(self)
        _process._leaving.remove(self)
        return True


def test_two_threads_may_close_the_same_garbage() -> None:
    """The second finds that nothing is left to do."""
    _process.orphans.append(Quick())
    _process.close_orphans()
    assert _process.orphans == []
    assert _process._leaving == []


def test_a_grandchild_adds_to_the_list_of_its_parent(
    fresh_python: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    """One list that nothing drops is enough for all generations.

    In an interpreter of its own, as if it had forked twice: its hosts are void then.
    """
    fresh_python(
        "from nspkit import _process\n"
        "for _ in range(2): _process.after_fork_in_child()\n"
        "kept = [one for one in _process._pinned if hasattr(one, 'co_consts')]\n"
        "assert [one.co_consts for one in kept] == [(_process._pinned,)], kept\n"
    )


def test_a_host_is_known_as_long_as_it_lives() -> None:
    """Open or closed."""
    host = Host(catalog=Catalog())
    host.close()
    assert host in list(_process.hosts)
    number = id(host)
    del host
    gc.collect()
    assert number not in [id(one) for one in _process.hosts]
