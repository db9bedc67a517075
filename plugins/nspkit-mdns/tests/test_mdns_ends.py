"""Ends that nobody has asked for: interrupts, cancelled starts, an engine that breaks down."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from nspkit_mdns._member import Member
from nspkit_mdns._registration import set_service
from nspkit_mdns._settings import settings_in
from nspkit_mdns._share import _share, join, leave

from nspkit import Cancellation, ServiceOperation
from nspkit.errors import CancelledError, NotInitialisedError

PATIENCE = 30.0
REGISTER, DEREGISTER, DELETE = ServiceOperation
pytestmark = pytest.mark.usefixtures("quick")


@pytest.mark.parametrize("begun", [False, True], ids=["before it runs", "when it runs"])
def test_an_interrupted_start_leaves_nothing(monkeypatch: pytest.MonkeyPatch, begun: bool) -> None:
    """Ctrl-C while the thread is started: who comes next has an engine that runs."""
    start = threading.Thread.start

    def interrupted(thread: threading.Thread) -> None:
        if begun:
            start(thread)
        raise KeyboardInterrupt

    member = Member(settings_in({"interfaces": ["lo"]}))
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", interrupted)
        with pytest.raises(KeyboardInterrupt):
            member.engine()
    assert not _share.users
    assert not _share.closing
    assert member.engine().ready.rung
    member.close()


def test_an_interrupt_on_the_way_shuts_nobody_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Even while what it has interrupted is still shown, as a prompt does."""

    def interrupted() -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("nspkit_mdns._share._still_closing", interrupted)
        with pytest.raises(KeyboardInterrupt) as shown:
            join(object(), ("127.0.0.1",))
    assert shown.value.__traceback__ is not None
    assert not _share.busy
    assert not _share.users


def test_who_gives_up_takes_the_engine_from_nobody(eventually: Any) -> None:
    """Two lookups of one provider open it, and one of them is cancelled meanwhile."""
    first = object()
    old = join(first, ("127.0.0.1",))
    assert old.ready.wait(PATIENCE)
    over: list[asyncio.Event] = []

    async def say_goodbye() -> None:
        over.append(asyncio.Event())
        await over[0].wait()

    old.soon(lambda: old.farewell(say_goodbye()))
    closing = threading.Thread(target=leave, args=(first,))
    closing.start()
    eventually(lambda: _share.engine is not old and over)
    member, cancellation = Member(settings_in({"interfaces": ["lo"]})), Cancellation()
    outcomes: list[object] = []

    def open_it(until: Cancellation | None) -> None:
        try:
            outcomes.append(member.engine(until))
        except CancelledError as error:
            outcomes.append(error)

    threads = [threading.Thread(target=open_it, args=(one,)) for one in (None, cancellation)]
    for thread in threads:
        thread.start()
    eventually(lambda: len(_share.users) == 2)
    cancellation.cancel()
    threads[1].join(PATIENCE)
    old.soon(over[0].set)
    threads[0].join(PATIENCE)
    cancelled, engine = outcomes
    assert isinstance(cancelled, CancelledError)
    assert member.engine() is engine
    member.close()
    closing.join(PATIENCE)


def test_an_engine_that_breaks_down_says_so(service: Any) -> None:
    """A fork after that is quiet, and who starts anew has another one."""
    member = Member(settings_in({"interfaces": ["lo"]}))
    engine = member.engine()

    def break_down() -> None:
        raise SystemExit("on purpose")

    engine.soon(break_down)
    assert engine.ended.wait(PATIENCE)
    with pytest.raises(NotInitialisedError, match=r"broken down: SystemExit.*start it again"):
        set_service(member, service("x"), REGISTER, False)
    assert _share.users
    engine.abandon()
    other = Member(settings_in({"interfaces": ["lo"]}))
    set_service(other, service("x"), REGISTER, False)
    other.close()
    member.close()


def test_starts_and_ends_on_many_threads_agree(start: Any) -> None:
    """Eight at a time, again and again: each has one that answers, and none is left."""
    rounds, threads = 12, 8
    barrier = threading.Barrier(threads)
    errors: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for each in range(rounds):
                member = Member(settings_in({"interfaces": ["lo"]}))
                barrier.wait(PATIENCE)
                engine = member.engine()
                engine.check()
                if (number + each) % 2:
                    barrier.wait(PATIENCE)
                    member.close()
                else:
                    member.close()
                    barrier.wait(PATIENCE)
        except BaseException as error:
            errors.append(error)
            barrier.abort()

    all_of_them = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
    for thread in all_of_them:
        thread.start()
    for thread in all_of_them:
        thread.join(PATIENCE * 2)
    assert errors == []
    assert not _share.users
    assert not _share.closing


def test_a_goodbye_of_who_is_cancelled_at_the_end_is_said() -> None:
    """It is a task that is made while the others end."""
    user = object()
    engine = join(user, ("127.0.0.1",))
    assert engine.ready.wait(PATIENCE)
    said = threading.Event()
    begun = threading.Event()

    async def say_goodbye() -> None:
        await asyncio.sleep(0.05)
        said.set()

    async def work() -> None:
        try:
            begun.set()
            await asyncio.sleep(3600)
        finally:
            engine.farewell(say_goodbye())

    tasks: list[Any] = []
    engine.soon(lambda: tasks.append(engine.loop.create_task(work())))
    assert begun.wait(PATIENCE)
    leave(user)
    assert said.is_set()
