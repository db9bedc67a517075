"""What workers do: jobs, and the lanes in which they wait, each with threads of its own.

A worker that passes on what a lookup finds keeps its place for as long as its reader takes. What
must not wait for that goes in another lane, where nothing waits for a reader. Nothing here starts
a thread or takes a lock: `_workers` does.
"""

from __future__ import annotations

from collections import deque
from time import monotonic
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterable
    from typing import ClassVar

    from nspkit.errors import NspError

CALLS, UPKEEP, EVENTS = "calls", "upkeep", "events"
"""The lanes: what somebody asked for; what keeps registrations or ends them; who is told of it."""


class Job:
    """One call of one provider: waits for a place, waits for a thread, runs, is done."""

    __slots__ = ("abandoned", "call", "owner", "since", "started", "what")

    lane: ClassVar[str] = CALLS
    """Whose places and threads it takes."""

    def __init__(self, owner: Any, what: str) -> None:
        """Make one; ``owner`` is whose places it takes, ``what`` names it.

        ``call`` is what a thread calls, and never raises; it is set before the job is submitted.
        """
        self.owner = owner
        self.what = what
        self.call: Callable[[], None]
        self.since = monotonic()
        self.started = False
        self.abandoned = False

    @property
    def generation(self) -> Any:
        """The round of its provider's life that it is in, whose end waits for it; None for none."""
        return None

    def refuse(self, error: NspError) -> None:
        """Take note that it will never run."""

    def dismiss(self) -> None:
        """Come to an end, if it is one that lasts: the host is closed."""


class Lane:
    """The jobs of one kind, and the threads that work for them; all under the lock of the pool.

    Attributes:
        places: How many jobs one owner has at the same time, abandoned ones included.
        queue: What has a place and waits for a thread.
        taken: The places of each owner.
        threads: How many threads work at the same time, abandoned ones apart.
        waiting: What waits for a place.
        working: Who counts as one of the threads, and at what: None before it has begun.
    """

    __slots__ = ("places", "queue", "taken", "threads", "waiting", "working")

    def __init__(self, threads: int, places: int) -> None:
        """Make one in which nobody is."""
        self.threads = threads
        self.places = places
        self.queue: deque[Job] = deque()
        self.taken: dict[Any, list[Job]] = {}
        self.waiting: dict[Any, deque[Job]] = {}
        # Who counts is in it. To put in twice what is in, or to take out what is not, as may come
        # of an interrupt, changes nothing; a number would be wrong from then on.
        self.working: dict[threading.Thread, Job | None] = {}

    @property
    def wants_thread(self) -> bool:
        """Whether there is work for one more."""
        return bool(self.queue) and len(self.working) < self.threads

    def enter(self, job: Job) -> None:
        """Give a job a place, or have it wait for one."""
        taken = self.taken.get(job.owner, [])
        if len(taken) < self.places:
            self.taken[job.owner] = [*taken, job]
            self.queue.append(job)
        else:
            self.waiting.setdefault(job.owner, deque()).append(job)

    def take(self, thread: threading.Thread) -> Job | None:
        """Return the next job for a thread that counts; None, and it is to leave."""
        if thread in self.working and self.queue and len(self.working) <= self.threads:
            job = self.queue.popleft()
            job.started = True
            self.working[thread] = job
            return job
        self.working.pop(thread, None)
        return None

    def free(self, job: Job) -> None:
        """Give a job's place to the next who waits for one."""
        left = [one for one in self.taken[job.owner] if one is not job]
        if left:
            self.taken[job.owner] = left
        else:
            del self.taken[job.owner]
        waiting = self.waiting.get(job.owner)
        if waiting:
            self.enter(waiting.popleft())
            if not waiting:
                del self.waiting[job.owner]

    def give_up(self, job: Job) -> None:
        """Let a job that runs count no more; its place it keeps."""
        for thread, one in self.working.items():
            if one is job:
                job.abandoned = True
                del self.working[thread]
                break

    def take_back(self, job: Job) -> None:
        """Take out a job that no thread has taken."""
        if job in self.queue:
            self.queue.remove(job)
        if job in self.taken.get(job.owner, ()):
            self.free(job)  # even if an interrupt kept it from the queue
        elif job in (waiting := self.waiting.get(job.owner, deque())):
            waiting.remove(job)
            if not waiting:
                del self.waiting[job.owner]

    def clear(self) -> list[Job]:
        """Take out all jobs that no thread has taken, and return them."""
        left = [job for waiting in self.waiting.values() for job in waiting]
        self.waiting.clear()
        while self.queue:
            left.append(self.queue.popleft())
            self.free(left[-1])
        return left

    def occupants(self, job: Job) -> list[Job]:
        """Return what a job waits for: those in its owner's places, or at all the threads."""
        owners = list(self.taken) if job in self.queue else [job.owner]
        return [one for owner in owners for one in self.taken.get(owner, ()) if one.started]


def told(jobs: Iterable[Job]) -> str:
    """Say which jobs these are, and for how long: three by name, the others by number."""
    now = monotonic()
    told = [f"{job.what} for {now - job.since:.1f} s" for job in jobs]
    more = f" and {len(told) - 3} more" if len(told) > 3 else ""
    return f"{len(told)} call(s): {', '.join(told[:3])}{more}" if told else "nothing"
