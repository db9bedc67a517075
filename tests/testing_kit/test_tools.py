"""What the rules work with: limits, forked children, faults at acquisitions, lines, warnings."""

from __future__ import annotations

import os
import socket
import sys
import threading
from itertools import repeat
from pathlib import Path

import pytest

from nspkit.testing import LeakReport, RuleBrokenError
from nspkit.testing._faults import FailingResources, Lines, Points, acquisitions
from nspkit.testing._forking import in_a_child
from nspkit.testing._instance import taken
from nspkit.testing._limits import Hand, at_once, within
from nspkit.testing._unclosed import unclosed

PATIENCE = 30.0


def nothing() -> None:
    """Do nothing."""


def test_what_hangs_is_shown_where_it_hangs() -> None:
    """The message names it, and has the stack of its thread."""
    end = threading.Event()
    with pytest.raises(RuleBrokenError, match=r"a walk did not come back[\s\S]*end\.wait"):
        within(0.05, "a walk", lambda: end.wait(PATIENCE))
    end.set()


def test_an_error_comes_back_as_it_is() -> None:
    """Also one that is no Exception."""
    for kind in (ValueError, KeyboardInterrupt):

        def fail(kind: type[BaseException] = kind) -> None:
            raise kind("as it is")

        with pytest.raises(kind, match="as it is"):
            within(PATIENCE, "a walk", fail)


def test_what_yields_without_end_is_read_no_further() -> None:
    """By number, long before the memory is full, and by time."""
    with pytest.raises(RuleBrokenError, match=r"yielded 100,001 results, and came to no end"):
        taken(repeat(1), PATIENCE)
    with pytest.raises(RuleBrokenError, match=r"yielded 1 results, and came to no end"):
        taken(repeat(1), -1.0)


def test_two_hands_are_two_threads() -> None:
    """Each does one thing after another on the same thread."""
    with Hand(PATIENCE) as first, Hand(PATIENCE) as second:
        idents = [hand("a step", threading.get_ident) for hand in (first, second, first)]
    assert idents[0] == idents[2] != idents[1]


def test_all_are_waited_for_before_an_error_is_raised() -> None:
    """What still runs would disturb what is looked at next."""
    over = []
    failed = threading.Event()

    def work(number: int) -> None:
        if number == 0:
            failed.set()
            raise ValueError("the first")
        failed.wait(PATIENCE)
        over.append(number)

    with pytest.raises(ValueError, match="the first"):
        at_once(4, "work", work, PATIENCE)
    assert sorted(over) == [1, 2, 3]


def test_a_child_tells_what_went_wrong() -> None:
    """Nothing, an error with the author's lines, or that it hangs."""

    def fail() -> None:
        raise ValueError("over there")

    assert in_a_child(nothing, PATIENCE) == ""
    said = in_a_child(fail, PATIENCE)
    assert said.startswith("ValueError: over there\n")
    assert said.endswith(" in fail")
    assert __file__ in said
    assert "_forking" not in said
    hanging = in_a_child(lambda: threading.Event().wait(2 * PATIENCE), 0.1)
    assert hanging == "it did not come back within 0.1 s"


def test_what_a_child_leaves_is_not_waited_for() -> None:
    """A process that the child has started holds what the child would have said it with, too."""
    reading, writing = os.pipe()  # which ends that process with this one, at the latest

    def leave() -> None:
        if os.fork() == 0:
            os.close(writing)
            os.read(reading, 1)
            os._exit(0)
        raise ValueError("over there")

    try:
        left = within(PATIENCE, "the child", lambda: in_a_child(leave, PATIENCE))
    finally:
        os.close(reading)
        os.close(writing)
    assert left.startswith("ValueError: over there\n")


def test_acquisitions_fail_one_at_a_time(tmp_path: Path) -> None:
    """A file, a socket, a thread: the one whose turn it is; after that all is as before."""
    path = tmp_path / "file"

    def acquire() -> None:
        path.write_text("written")
        socket.socket().close()
        thread = threading.Thread(target=nothing)
        thread.start()
        thread.join()

    where = []
    for turn in (1, 2, 3):
        points = Points(turn)
        with (
            pytest.raises((OSError, RuntimeError), match="put in by the kit"),
            acquisitions(points),
        ):
            acquire()
        where.append(points.where)
    assert where == ["open", "socket", "thread start"]
    with acquisitions(Points(4)):
        acquire()
    acquire()


def test_what_the_standard_library_acquires_by_itself_does_not_fail() -> None:
    """Only what the author's code asks for: a pair of sockets opens nothing of its own."""
    points = Points(1)
    with acquisitions(points):
        for one in socket.socketpair():
            one.close()
    assert points.passed == 0


def test_another_thread_is_left_alone() -> None:
    """Whoever else opens a file meanwhile is not the provider."""
    points = Points(1)
    with Hand(PATIENCE) as hand, acquisitions(points):
        hand("an opening", lambda: os.close(os.open(os.devnull, os.O_RDONLY)))
    assert points.passed == 0


def test_what_was_put_into_resources_is_released_when_the_next_step_fails() -> None:
    """The fault comes after the thing was added."""
    released = []
    resources = FailingResources(Points(1))
    points = resources._points
    points.begin()
    with pytest.raises(OSError, match="put in by the kit"):
        resources.callback(released.append, 1)
    points.end()
    resources.close()
    assert released == [1]


def test_a_thread_that_a_failed_start_leaves_is_told_with_its_line() -> None:
    """The author's, not the one of the kit that puts the faults in."""
    end = threading.Event()
    with LeakReport(patience=0.05) as leaks, acquisitions(Points(2)):
        threading.Thread(target=end.wait, daemon=True).start()
    end.set()
    [told] = leaks.threads
    assert told.endswith(" in test_a_thread_that_a_failed_start_leaves_is_told_with_its_line")


def test_each_line_of_a_function_is_reached() -> None:
    """The action is taken at the line whose turn it is; the trace of before is back after it."""
    passed = []

    def three_lines() -> None:
        passed.append(1)
        passed.append(2)
        passed.append(3)

    before = sys.gettrace()
    lines = Lines(three_lines.__code__, 3, lambda: passed.append("here"))
    lines.run(three_lines)
    assert passed == [1, 2, "here", 3]
    assert lines.reached == 3
    assert sys.gettrace() is before


class _Ring:
    """Refers to itself, so that only a collection finds it."""

    def __init__(self) -> None:
        self.me, self.file = self, Path(os.devnull).open()  # noqa: SIM115  # left open on purpose


def test_what_only_a_collection_finds_is_heard() -> None:
    """The file that something holds which refers to itself."""
    with unclosed() as left:
        _Ring()
    assert len(left) == 1
    assert "unclosed file" in left[0]


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
def test_what_others_have_left_is_not_heard() -> None:
    """It was there before the block."""
    _Ring()
    with unclosed() as left:
        pass
    assert left == []


def test_the_line_that_forgets_is_told() -> None:
    """Where it is the author's."""
    with unclosed() as left:
        for _line in Path(os.devnull).open():  # noqa: SIM115  # left open on purpose
            pass
    assert "forgotten at" in left[0]
    assert __file__ in left[0]
