"""The report of leaks sees what is left, and says what it is."""

from __future__ import annotations

import _thread
import os
import socket
import subprocess
import sys
import threading
from typing import Any

import pytest

from nspkit.testing import LeakReport

ON_LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")


class Thing:
    """Something whose instances are counted."""


def test_nothing_left_is_false() -> None:
    """What came and went is no leak."""
    with LeakReport(Thing) as leaks:
        thread = threading.Thread(target=Thing)
        thread.start()
        thread.join()
        os.close(os.open(os.devnull, os.O_RDONLY))
    assert not leaks
    assert str(leaks) == "nothing was left behind"


def test_a_thread_is_told_with_the_place_of_its_start() -> None:
    """Its name, and the line that started it."""
    end = threading.Event()
    with LeakReport(patience=0.05) as leaks:
        thread = threading.Thread(target=end.wait, name="left over")
        thread.start()
    end.set()
    thread.join()
    [told] = leaks.threads
    assert told.startswith("'left over', started at ")
    assert "test_leak_report.py" in told
    assert "test_a_thread_is_told" in told


def test_a_thread_that_threading_does_not_know_is_told() -> None:
    """By where it is."""

    def raw() -> None:
        # No threading in here: it would make a dummy thread of this one.
        begun.release()
        end.acquire()
        done.release()

    begun, end, done = (_thread.allocate_lock() for _ in range(3))
    for lock in (begun, end, done):
        lock.acquire()
    with LeakReport(patience=0.05) as leaks:
        _thread.start_new_thread(raw, ())
        assert begun.acquire(timeout=30)
    end.release()
    assert done.acquire(timeout=30)
    [told] = leaks.threads
    assert "does not know" in told
    assert "in raw" in told


def test_a_thread_that_is_about_to_end_is_given_a_moment() -> None:
    """Who was told to stop need not have stopped at once."""
    end = threading.Event()
    with LeakReport(patience=30) as leaks:
        thread = threading.Thread(target=end.wait)
        thread.start()
        threading.Timer(0.02, end.set).start()
    assert not leaks


@ON_LINUX
def test_a_file_is_told_by_its_path(tmp_path: Any) -> None:
    """The number alone tells nobody anything."""
    with LeakReport(patience=0.0) as leaks:
        file = (tmp_path / "kept").open("w")
    file.close()
    [told] = leaks.descriptors
    assert f"{tmp_path}/kept" in told


@ON_LINUX
def test_a_socket_is_told_by_its_address() -> None:
    """So is a socket."""
    with LeakReport(patience=0.0) as leaks:
        listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    listening.close()
    [told] = leaks.descriptors
    assert "a socket at ('127.0.0.1', " in told or f"{port}" in told or "socket:" in told


@ON_LINUX
def test_a_child_is_told_by_its_command() -> None:
    """One that has ended and nobody has waited for is one too."""
    with LeakReport(patience=0.0) as leaks:
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    assert len(leaks.children) == 1
    assert str(child.pid) in leaks.children[0]
    child.communicate(b"\n")


def test_an_instance_is_told_with_what_refers_to_it() -> None:
    """The attribute, the key or the global that keeps it."""

    class Keeper:
        kept: Any

    keeper, table = Keeper(), {}
    with LeakReport(Thing, patience=0.0) as leaks:
        keeper.kept = Thing()
        table["a key"] = Thing()
    told = " / ".join(leaks.instances)
    assert len(leaks.instances) == 2
    assert "the attribute kept of a" in told
    assert "a dict under 'a key'" in told


def test_an_instance_held_by_its_own_method_is_told() -> None:
    """A callback that was given away holds its object."""
    given_away = []

    class Calling(Thing):
        def call(self) -> None:
            """Be called back."""

    with LeakReport(Thing, patience=0.0) as leaks:
        given_away.append(Calling().call)
    [told] = leaks.instances
    assert "its method call (held by a list" in told
    given_away.clear()


def test_instances_of_before_do_not_count() -> None:
    """Neither do those of other classes."""
    before = Thing()
    with LeakReport(Thing, patience=0.0) as leaks:
        other = threading.Event()
    assert not leaks
    del before, other


def test_the_report_keeps_nothing_alive() -> None:
    """What it has told may go, and a later report does not see it."""
    kept = []
    with LeakReport(Thing, patience=0.0) as first:
        kept.append(Thing())
    assert first.instances
    kept.clear()
    with LeakReport(Thing, patience=0.0) as second:
        pass
    assert not second


def test_starting_threads_costs_nothing_afterwards() -> None:
    """Outside of the block `threading.Thread.start` is Python's own."""
    before = threading.Thread.start
    with LeakReport():
        assert threading.Thread.start is not before
    assert threading.Thread.start is before
