"""The worker threads of a host: how many there are, who gets them, and that they go."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from time import monotonic
from typing import Any

import pytest

from nspkit._jobs import CALLS, EVENTS, UPKEEP
from nspkit._workers import (
    EVENTS_THREADS,
    PLACES,
    THREADS,
    UPKEEP_PLACES,
    UPKEEP_THREADS,
    Job,
    Workers,
)
from nspkit.errors import InProgressError, NspError

LONG = 30.0


class Task(Job):
    """A job of a test: a function, and what became of it."""

    __slots__ = ("done", "function", "refused", "round")

    def __init__(self, owner: str, function: Callable[[], object], what: str = "a call") -> None:
        super().__init__(owner, what)
        self.function = function
        self.done = threading.Event()
        self.refused: NspError | None = None
        self.round: Any = None
        self.call = self._run

    @property
    def generation(self) -> Any:
        """What the test says."""
        return self.round

    def _run(self) -> None:
        self.function()
        self.done.set()

    def refuse(self, error: NspError) -> None:
        """Note it."""
        self.refused = error


class Upkeep(Task):
    """A job of a test that must not wait for lookups."""

    __slots__ = ()

    lane = UPKEEP


class Telling(Task):
    """A job of a test that tells of something."""

    __slots__ = ()

    lane = EVENTS


class Room:
    """A pool of workers, and calls that stay until the doors open."""

    def __init__(self) -> None:
        self.name = f"test-{id(self)}"
        self.workers = Workers(self.name)
        self.calls = self.workers._lanes[CALLS]
        self.inside = threading.Semaphore(0)
        self.doors: list[threading.Event] = []

    def door(self) -> threading.Event:
        """Return an event that is set at the end of the test at the latest."""
        self.doors.append(threading.Event())
        return self.doors[-1]

    def staying(
        self, owner: str, door: threading.Event, times: int = 1, kind: type[Task] = Task
    ) -> list[Task]:
        """Submit calls that stay until the door opens, and wait until they are all inside."""

        def stay() -> None:
            self.inside.release()
            door.wait(LONG)

        tasks = [kind(owner, stay, f"call of {owner}") for _ in range(times)]
        for task in tasks:
            self.workers.submit(task)
        for _ in tasks:
            assert self.inside.acquire(timeout=LONG)
        return tasks

    def quick(self, owner: str, kind: type[Task] = Task) -> Task:
        """Submit a call that has nothing to do."""
        task = kind(owner, lambda: None)
        self.workers.submit(task)
        return task

    def threads(self) -> list[threading.Thread]:
        """The threads of this pool that are alive."""
        return [t for t in threading.enumerate() if t.name == f"{self.name}-worker"]


@pytest.fixture
def room() -> Iterator[Room]:
    """A pool that is empty again at the end."""
    room = Room()
    yield room
    for door in room.doors:
        door.set()
    for thread in room.threads():
        thread.join(LONG)
    assert room.threads() == []


@pytest.fixture
def no_threads(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """A function from whose call on no further thread is to be had."""

    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    return lambda: monkeypatch.setattr(threading.Thread, "start", refuse)


def test_a_job_runs_on_a_daemon_thread_named_after_the_pool(room: Room) -> None:
    """A process must be able to end while a provider hangs."""
    seen: list[threading.Thread] = []
    task = Task("p", lambda: seen.append(threading.current_thread()))
    room.workers.submit(task)
    assert task.done.wait(LONG)
    assert seen[0].daemon
    assert seen[0].name == f"{room.name}-worker"


def test_a_thread_without_work_goes(room: Room) -> None:
    """There is no pool of idle threads; `join_leaving` waits for those that are on their way."""
    seen: list[threading.Thread] = []
    task = Task("p", lambda: seen.append(threading.current_thread()))
    room.workers.submit(task)
    assert task.done.wait(LONG)
    seen[0].join(LONG)
    assert not seen[0].is_alive()
    assert room.workers._leaving == seen
    room.workers.join_leaving(monotonic() + LONG)
    assert room.workers._leaving == []
    assert not room.workers.busy("p", None)


def test_join_leaving_waits_no_longer_than_it_may(room: Room) -> None:
    """A thread that works is not waited for: it does not leave."""
    room.staying("p", room.door())
    room.workers.join_leaving(monotonic() + LONG)
    assert len(room.threads()) == 1


def test_join_waits_for_those_that_work_and_not_for_those_given_up(room: Room) -> None:
    """At the end of a host: what works comes to its end, what hangs has been waited for."""
    door, other = room.door(), room.door()
    (stuck,) = room.staying("p", door)
    room.workers.abandon(stuck)
    room.staying("q", other)
    room.workers.join(monotonic())  # as long as it may, which is not at all
    assert len(room.threads()) == 2
    threading.Timer(0.01, other.set).start()
    room.workers.join(monotonic() + LONG)
    assert len(room.threads()) == 1


def test_join_does_not_wait_for_a_thread_whose_start_was_interrupted(room: Room) -> None:
    """It was noted before it began, and never will begin; to join it would be an error."""
    room.calls.working[threading.Thread()] = None
    room.workers.join(monotonic() + LONG)


def test_a_job_that_is_done_refers_to_itself_no_more(room: Room) -> None:
    """What it was called with can go without a garbage collection."""
    task = room.quick("p")
    assert task.done.wait(LONG)
    for thread in room.threads():
        thread.join(LONG)
    assert not hasattr(task, "call")


def test_one_owner_has_so_many_places(room: Room) -> None:
    """The next job of the same waits, another's does not; a place that is free goes to it."""
    door, other = room.door(), room.door()
    room.staying("p", door, PLACES - 1)
    room.staying("p", other)
    waiting = room.quick("p")
    assert room.quick("q").done.wait(LONG)
    assert not waiting.started
    other.set()
    assert waiting.done.wait(LONG)


def test_so_many_threads_work_at_a_time(room: Room) -> None:
    """What comes after them waits for a thread, and gets the first that is free."""
    door, other = room.door(), room.door()
    for owner in range(3):
        room.staying(f"p{owner}", door, THREADS // 4)
    room.staying("p3", other, THREADS // 4)
    waiting = [room.quick(f"q{number}") for number in range(5)]
    assert len(room.threads()) == THREADS
    assert not any(task.started for task in waiting)
    other.set()
    assert all(task.done.wait(LONG) for task in waiting)
    assert len(room.threads()) <= THREADS


def test_an_abandoned_job_keeps_its_place_and_gives_up_its_thread(room: Room) -> None:
    """So what hangs exhausts its owner's places, and not the threads of all."""
    door = room.door()
    stuck = [*room.staying("p", door, PLACES), *room.staying("q", door, PLACES)]
    waiting = room.quick("r")
    assert not waiting.started
    room.workers.abandon(stuck[0])
    assert waiting.done.wait(LONG)
    late = room.quick("p")
    for task in stuck:
        room.workers.abandon(task)
        room.workers.abandon(task)  # once is enough
    assert room.quick("r").done.wait(LONG)
    assert not late.started
    door.set()
    assert late.done.wait(LONG)


def test_a_job_is_abandoned_once(room: Room) -> None:
    """By its time-out, its reader and its close: only one thread is replaced for it."""
    (stuck,) = room.staying("p", room.door())
    assert len(room.calls.working) == 1
    for _ in range(3):
        room.workers.abandon(stuck)
        assert room.calls.working == {}


def test_the_count_of_threads_is_right_after_many_were_abandoned(room: Room) -> None:
    """Those that come back work on or go, and the limit is what it was."""
    for _ in range(3):
        door = room.door()
        for task in room.staying("p", door, PLACES):
            room.workers.abandon(task)
        door.set()
        for thread in room.threads():
            thread.join(LONG)
    door = room.door()
    for owner in ("a", "b"):
        room.staying(owner, door, PLACES)
    assert not room.quick("c").started
    assert len(room.threads()) == THREADS


def test_a_place_freed_by_an_abandoned_job_is_worked_on(room: Room) -> None:
    """No other thread may be there for it: the one that comes back does it."""
    door = room.door()
    stuck = room.staying("p", door, PLACES)
    for task in stuck:
        room.workers.abandon(task)
    waiting = [room.quick("p") for _ in range(5)]
    door.set()
    assert all(task.done.wait(LONG) for task in waiting)


def test_an_abandoned_thread_that_comes_back_does_not_exceed_the_limit(room: Room) -> None:
    """There are enough others by then: it goes, and what waits is theirs."""
    back, door = room.door(), room.door()
    (stuck,) = room.staying("s", back)
    room.workers.abandon(stuck)
    last = [*room.staying("a", door, PLACES), *room.staying("b", door, PLACES)]
    waiting = room.quick("c")
    back.set()
    assert stuck.done.wait(LONG)
    while stuck in room.calls.taken.get("s", ()):  # it has come back in a moment
        pass
    assert not waiting.started
    room.workers.abandon(last[0])
    assert waiting.done.wait(LONG)


def test_a_job_that_waits_for_a_thread_can_be_taken_back(room: Room) -> None:
    """It never runs, and its place goes to the next."""
    door = room.door()
    room.staying("a", door, PLACES)
    room.staying("b", door, PLACES)
    queued = [room.quick("c") for _ in range(PLACES)]
    waiting = room.quick("c")
    room.workers.abandon(queued[0])
    assert waiting in room.calls.taken["c"]
    for task in queued:
        room.workers.abandon(task)
    door.set()
    assert waiting.done.wait(LONG)
    assert not any(task.started for task in queued)


def test_a_job_that_waits_for_a_place_can_be_taken_back(room: Room) -> None:
    """It never runs, whichever of several that wait it is."""
    door = room.door()
    room.staying("a", door, PLACES)
    first, second = room.quick("a"), room.quick("a")
    room.workers.abandon(first)
    room.workers.abandon(first)
    room.workers.abandon(second)
    third = room.quick("a")
    door.set()
    assert third.done.wait(LONG)
    assert not first.started
    assert not second.started


def test_a_job_that_is_done_can_be_abandoned_without_harm(room: Room) -> None:
    """Its reader may come late."""
    task = room.quick("a")
    assert task.done.wait(LONG)
    for thread in room.threads():
        thread.join(LONG)
    room.workers.abandon(task)
    assert not task.abandoned
    assert room.quick("a").done.wait(LONG)


def test_a_job_that_an_interrupt_kept_from_the_queue_can_be_taken_back(room: Room) -> None:
    """It has a place and waits for no thread; whoever was interrupted gives it up."""
    task = Task("a", lambda: None)
    room.calls.taken["a"] = [task]
    room.workers.abandon(task)
    assert room.calls.taken == {}


# Lanes ------------------------------------------------------------------------------------------


def test_what_keeps_registrations_waits_for_no_lookup(room: Room) -> None:
    """All threads and all places of the provider are taken by readers that do not come."""
    door = room.door()
    room.staying("p", door, PLACES)
    room.staying("q", door, PLACES)
    assert not room.quick("p").started
    assert room.quick("p", Upkeep).done.wait(LONG)
    assert room.quick("r", Upkeep).done.wait(LONG)
    assert room.quick("p", Telling).done.wait(LONG)


def test_no_one_owner_takes_all_threads_of_the_upkeep(room: Room) -> None:
    """One that hangs, before anybody has given it up, exhausts only itself."""
    door = room.door()
    stuck = room.staying("p", door, UPKEEP_PLACES, Upkeep)
    late = room.quick("p", Upkeep)
    assert room.quick("q", Upkeep).done.wait(LONG)
    assert not late.started
    assert room.workers.occupants(late).startswith(f"{UPKEEP_PLACES} call(s): call of p for ")
    assert room.quick("p").done.wait(LONG), "lookups have places of their own too"
    for task in stuck:
        room.workers.abandon(task)
    assert room.quick("q", Upkeep).done.wait(LONG)
    assert not late.started
    door.set()
    assert late.done.wait(LONG)


def test_the_upkeep_has_so_many_threads(room: Room) -> None:
    """What comes after them waits, and can be taken back; so it is with events."""
    door = room.door()
    for owner in "pq":
        room.staying(owner, door, UPKEEP_THREADS // 2, Upkeep)
    room.staying("events", door, EVENTS_THREADS, Telling)
    waiting = [room.quick("r", Upkeep), room.quick("events", Telling)]
    assert len(room.threads()) == UPKEEP_THREADS + EVENTS_THREADS
    assert not any(task.started for task in waiting)
    room.workers.abandon(waiting[0])
    door.set()
    assert waiting[1].done.wait(LONG)
    assert not waiting[0].started


def test_the_end_of_a_pool_is_the_end_of_all_lanes(room: Room) -> None:
    """What runs keeps its provider busy and is waited for, what waits is refused."""
    door, now = room.door(), object()
    (task,) = room.staying("p", door, kind=Upkeep)
    task.round = now
    assert room.workers.busy("p", now)
    room.staying("p", door, UPKEEP_PLACES - 1, Upkeep)
    waiting = room.quick("p", Upkeep)
    room.workers.close("is refused: the host was closed")
    refused = [waiting, room.quick("q", Upkeep)]
    assert [int(task.refused.code) for task in refused if task.refused] == [10093] * 2
    threading.Timer(0.01, door.set).start()
    room.workers.join(monotonic() + LONG)
    assert room.threads() == []
    assert not room.workers.busy("p", now)


# Closed -----------------------------------------------------------------------------------------


def test_a_closed_pool_takes_no_work(room: Room) -> None:
    """WSANOTINITIALISED (10093), and it says what was refused and why."""
    room.workers.close("is refused: the host was closed")
    task = room.quick("p")
    assert task.refused is not None
    assert task.refused.code == 10093
    assert task.refused.message == "a call is refused: the host was closed"
    assert room.calls.taken == {}


def test_closing_refuses_what_waits_for_a_thread_and_what_waits_for_a_place(room: Room) -> None:
    """What runs goes on."""
    door = room.door()
    running = [task for owner in "ab" for task in room.staying(owner, door, THREADS // 2)]
    waiting = [room.quick(owner) for owner in "abcc"]
    room.workers.close("is refused: the host was closed")
    assert [int(task.refused.code) for task in waiting if task.refused] == [10093] * 4
    assert list(room.calls.taken) == ["a", "b"]
    door.set()
    assert all(task.done.wait(LONG) for task in running)


# Without threads --------------------------------------------------------------------------------


def test_without_any_thread_a_job_is_refused(room: Room, no_threads: Callable[[], None]) -> None:
    """WSAENOBUFS (10055), with the system's reason; nothing is left of it."""
    no_threads()
    task = room.quick("p")
    assert task.refused is not None
    assert task.refused.code == 10055
    assert "a call (can't start new thread)" in task.refused.message
    assert room.calls.taken == {}
    assert room.calls.working == {}


def test_with_one_thread_a_job_waits_for_it(room: Room, no_threads: Callable[[], None]) -> None:
    """Somebody is there, so it is not refused."""
    door = room.door()
    room.staying("p", door)
    no_threads()
    task = room.quick("q")
    assert task.refused is None
    door.set()
    assert task.done.wait(LONG)


def test_when_the_last_thread_hangs_all_that_wait_are_refused(
    room: Room, no_threads: Callable[[], None]
) -> None:
    """Those for a thread, and those for a place behind them."""
    (stuck,) = room.staying("p", room.door())
    no_threads()
    waiting = [room.quick("q") for _ in range(PLACES + 2)]
    room.workers.abandon(stuck)
    assert [int(task.refused.code) for task in waiting if task.refused] == [10055] * (PLACES + 2)
    assert list(room.calls.taken) == ["p"]
    assert room.calls.waiting == {}


def test_what_a_job_does_when_refused_is_its_own_business() -> None:
    """The base class does nothing, and is in no round of a provider's life."""
    job = Job("p", "a call")
    job.refuse(NspError("x", code=10055))
    assert job.generation is None


def test_no_thread_is_no_interrupt_that_was_handled_before(
    room: Room, no_threads: Callable[[], None]
) -> None:
    """Whoever cleans up after a Ctrl-C has an exception that is not this call's."""
    no_threads()
    try:
        raise KeyboardInterrupt
    except KeyboardInterrupt:
        task = room.quick("p")
    assert task.refused is not None
    assert task.refused.code == 10055


# Starts that are interrupted --------------------------------------------------------------------


class Strikes:
    """Interrupts the next ``left`` starts of threads."""

    def __init__(self, *, late: bool, renamed: bool) -> None:
        self.left = 0
        self.late = late
        self.renamed = renamed
        self.plain = threading.Thread.start
        self.struck: list[threading.Thread] = []

    def start(self, thread: threading.Thread) -> None:
        """Be the method of the thread."""
        if not self.left or threading.current_thread() is not threading.main_thread():
            self.plain(thread)
            return
        self.left -= 1
        self.struck.append(thread)
        if self.late:
            self.plain(thread)
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            if self.renamed:
                raise RuntimeError("release unlocked lock")  # noqa: B904
            raise


def _starter(strikes: Strikes) -> Callable[[threading.Thread], None]:
    """Return what can be a method; a bound method cannot."""

    def start(thread: threading.Thread) -> None:
        strikes.start(thread)

    return start


@pytest.fixture(
    params=[(False, False), (True, False), (True, True)], ids=["before", "after", "renamed"]
)
def strikes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Strikes:
    """Interrupts starts before the thread runs, or when it does, or as `threading` says it."""
    late, renamed = request.param
    strikes = Strikes(late=late, renamed=renamed)
    monkeypatch.setattr(threading.Thread, "start", _starter(strikes))
    return strikes


@pytest.mark.parametrize("kind", [Task, Upkeep])
def test_interrupted_starts_use_up_no_threads(
    room: Room, strikes: Strikes, kind: type[Task]
) -> None:
    """However many there are; each comes out as the interrupt that it is."""
    lane = room.workers._lanes[kind.lane]
    for _ in range(2 * THREADS):
        task = kind("p", lambda: None)
        strikes.left = 2
        with pytest.raises(KeyboardInterrupt):
            room.workers.submit(task)
        strikes.left = 0
        assert task.refused is None
        room.workers.abandon(task)
    for thread in room.threads():
        thread.join(LONG)
    assert (lane.working, lane.taken) == ({}, {})
    assert room.quick("p", kind).done.wait(LONG)


def test_an_interrupted_start_keeps_nobody_elses_work_waiting(room: Room, strikes: Strikes) -> None:
    """Who is struck while another thread's job waits for a thread has one started for it."""
    task = Task("p", lambda: None)
    room.calls.enter(task)
    strikes.left = 1
    with pytest.raises(KeyboardInterrupt):
        room.workers.abandon(Task("q", lambda: None))
    assert task.done.wait(LONG)


def test_a_thread_that_begins_after_its_start_was_given_up_leaves(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was on its way when the interrupt struck; it counts no more, and takes nothing."""
    begun: list[threading.Thread] = []
    plain = threading.Thread.start

    def strike(thread: threading.Thread) -> None:
        begun.append(thread)
        raise KeyboardInterrupt

    task = Task("p", lambda: None)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", strike)
        with pytest.raises(KeyboardInterrupt):
            room.workers.submit(task)
    for thread in begun:
        plain(thread)
        thread.join(LONG)
    assert len(begun) == 2
    assert not task.started
    assert room.workers._leaving == begun[1:]
    room.workers.abandon(task)
    assert room.calls.taken == {}


def test_a_thread_that_works_counts_although_its_start_was_interrupted(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The interrupt came when it had a job: it is waited for at the end, as others are."""
    plain, inside, door = threading.Thread.start, threading.Event(), room.door()

    def strike(thread: threading.Thread) -> None:
        plain(thread)
        assert inside.wait(LONG)
        raise KeyboardInterrupt

    task = Task("p", lambda: (inside.set(), door.wait(LONG)))
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", strike)
        with pytest.raises(KeyboardInterrupt):
            room.workers.submit(task)
    assert list(room.calls.working.values()) == [task]
    door.set()
    assert task.done.wait(LONG)


def test_an_interrupted_loan_is_none(room: Room, strikes: Strikes) -> None:
    """What lasts is not kept where it never began; where it did, it ends by itself."""
    for _ in range(PLACES + 1):
        task = Task("p", lambda: None)
        strikes.left = 1
        with pytest.raises(KeyboardInterrupt):
            room.workers.lend(task)
        task.abandoned = True
        assert task.refused is None
    for thread in strikes.struck:
        if strikes.late:
            thread.join(LONG)
    assert room.workers._lasting == {}


def test_a_loan_whose_thread_begins_after_it_was_given_up_does_nothing(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody knows of it any more."""
    begun: list[threading.Thread] = []

    def strike(thread: threading.Thread) -> None:
        begun.append(thread)
        raise KeyboardInterrupt

    task = Task("p", lambda: None)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", strike)
        with pytest.raises(KeyboardInterrupt):
            room.workers.lend(task)
    (thread,) = begun
    thread.start()
    thread.join(LONG)
    assert not task.started
    assert not task.done.is_set()


# What it tells ----------------------------------------------------------------------------------


def test_it_says_what_occupies_an_owner(room: Room) -> None:
    """The oldest first, three by name, the others by number; who asks is not among them."""
    door = room.door()
    room.staying("p", door, PLACES)
    waiting = room.quick("p")
    told = room.workers.occupants(waiting)
    assert told.startswith(f"{PLACES} call(s): call of p for 0.")
    assert told.endswith(f" and {PLACES - 3} more")
    assert told.count("call of p") == 3


def test_it_says_what_occupies_all_threads(room: Room) -> None:
    """A job that has a place and no thread is kept up by everybody."""
    door = room.door()
    room.staying("p", door, PLACES)
    room.staying("q", door, PLACES)
    told = room.workers.occupants(room.quick("r"))
    assert told.startswith(f"{THREADS} call(s): call of p for ")
    assert "a call" not in told


def test_it_says_nothing_where_there_is_nothing(room: Room) -> None:
    """And no more than there is."""
    assert room.workers.occupants(Task("p", lambda: None)) == "nothing"
    room.staying("p", room.door(), 2)
    assert "more" not in room.workers.occupants(Task("p", lambda: None))


def test_busy_is_about_one_round_of_a_provider(room: Room) -> None:
    """A job that has not got there, or is in another round, holds up nobody's end."""
    now, other = object(), object()
    door = room.door()
    (task,) = room.staying("p", door)
    assert not room.workers.busy("p", now)
    task.round = now
    assert room.workers.busy("p", now)
    assert not room.workers.busy("p", other)
    assert not room.workers.busy("q", now)


# Interrupts and forks ---------------------------------------------------------------------------


def test_a_call_that_interrupts_the_pool_on_its_own_thread_is_told(room: Room) -> None:
    """A signal handler, while the lock is held: 10036, never a deadlock."""
    with room.workers._lock, pytest.raises(InProgressError) as caught:
        room.workers.submit(Task("p", lambda: None))
    assert caught.value.code == 10036


def test_a_forgotten_pool_starts_afresh(room: Room) -> None:
    """In a forked child the lock may be held for ever by a thread that is not there."""
    locked, go = threading.Event(), room.door()

    def hold() -> None:
        with room.workers._lock:
            locked.set()
            go.wait(LONG)

    holder = threading.Thread(target=hold, daemon=True)
    holder.start()
    assert locked.wait(LONG)
    room.workers.forget("belongs to the parent")
    assert room.workers.gone == "belongs to the parent"
    assert room.workers.occupants(Task("p", lambda: None)) == "nothing"
    assert room.quick("p").done.wait(LONG)
    go.set()
    holder.join(LONG)


def test_many_who_submit_and_abandon_lose_nothing(room: Room) -> None:
    """Eight threads, thousands of jobs, some of them given up at once; then all is as before."""
    ran, lock, given_up = 0, threading.Lock(), 0
    barrier = threading.Barrier(8)

    def count() -> None:
        nonlocal ran
        with lock:
            ran += 1

    def send(number: int) -> None:
        nonlocal given_up
        barrier.wait(LONG)
        for turn in range(300):
            task = Task(f"p{turn % 3}", count)
            room.workers.submit(task)
            if turn % 4 == 0:
                room.workers.abandon(task)
                with lock:
                    given_up += 1
            else:
                assert task.done.wait(LONG)

    senders = [threading.Thread(target=send, args=(number,)) for number in range(8)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join(LONG)
        assert not sender.is_alive()
    for thread in room.threads():
        thread.join(LONG)
    assert 8 * 300 - given_up <= ran <= 8 * 300
    assert room.calls.taken == {}
    assert room.calls.waiting == {}
    assert room.calls.working == {}
    assert not room.calls.queue
