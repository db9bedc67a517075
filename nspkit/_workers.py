"""Threads for work beside the caller's: bounded, daemons, and gone when there is no work.

Fan-outs and lookups with a time-out run here. A worker cannot be stopped from outside, so what
hangs is abandoned: it keeps its place at its provider, of which there are `PLACES`, but no longer
counts as one of the `THREADS`. So a provider that hangs exhausts itself and nobody else.
"""

from __future__ import annotations

import threading
from collections import deque
from time import monotonic
from typing import TYPE_CHECKING, Any

from nspkit._lock import OwnedLock
from nspkit.errors import ErrorCode, NspError

if TYPE_CHECKING:
    from collections.abc import Callable

THREADS = 64
"""How many threads work at the same time for one host, abandoned ones apart."""

PLACES = 32
"""How many calls one provider takes at the same time, abandoned ones included."""


class Job:
    """One call of one provider: waits for a place, waits for a thread, runs, is done."""

    __slots__ = ("abandoned", "owner", "run", "since", "started", "what")

    def __init__(self, owner: Any, what: str, run: Callable[[], None]) -> None:
        """Make one; ``owner`` is whose places it takes, ``what`` names it, ``run`` never raises."""
        self.owner = owner
        self.what = what
        self.run = run
        self.since = monotonic()
        self.started = False
        self.abandoned = False


class Workers:
    """The worker threads of one host."""

    __slots__ = ("_leaving", "_lock", "_name", "_places", "_queue", "_waiting", "_working", "gone")

    def __init__(self, name: str) -> None:
        """Make one without threads; they come with the work, and are named after ``name``."""
        self._name = name
        self.forget(None)

    def forget(self, because: str | None) -> None:
        """Start afresh: in a forked child there is no thread, and the lock may be held.

        ``gone`` says from then on why no work is taken any more.
        """
        self.gone = because
        self._lock = OwnedLock("the pool of worker threads")
        self._queue: deque[Job] = deque()
        self._waiting: dict[Any, deque[Job]] = {}
        self._places: dict[Any, list[Job]] = {}
        self._leaving: list[threading.Thread] = []
        self._working = 0

    def submit(self, job: Job) -> None:
        """Run a job as soon as its provider has a place and there is a thread.

        Raises:
            NspError: the system has no thread to give (WSAENOBUFS 10055).
        """
        with self._lock:
            taken = self._places.setdefault(job.owner, [])
            if len(taken) >= PLACES:
                self._waiting.setdefault(job.owner, deque()).append(job)
                return
            self._place(job, taken)
        refusal = self._hire()
        if refusal is not None:
            with self._lock:
                self._take_back(job)
            raise refusal

    def _place(self, job: Job, taken: list[Job]) -> None:
        taken.append(job)
        self._queue.append(job)

    def _hire(self) -> NspError | None:
        """Start a thread if there is work for one more; an error if nobody is there to do it."""
        with self._lock:
            if not self._queue or self._working >= THREADS:
                return None
            self._working += 1
        name = f"{self._name}-worker"
        try:
            threading.Thread(target=self._work, name=name, daemon=True).start()
        except RuntimeError as error:
            with self._lock:
                self._working -= 1
                if self._working:
                    return None  # those who are there do this work too
            return NspError(
                f"no thread to be had for a lookup ({error}); let others end first, or raise the "
                "limit of threads",
                code=ErrorCode.WSAENOBUFS,
            )
        return None

    def _work(self) -> None:
        job: Job | None = None
        while (job := self._next(job)) is not None:
            job.run()

    def _next(self, done: Job | None) -> Job | None:
        """Free the place of the job just done and take one; None, and the thread is to leave.

        One step under the lock: when a provider has no job any more, every thread that worked for
        it has another job or can be joined.
        """
        with self._lock:
            if done is not None:
                self._free(done)
            given_up = done is not None and done.abandoned
            if self._queue and not given_up:
                job = self._queue.popleft()
                job.started = True
                return job
            if not given_up:  # else another thread was hired in its stead
                self._working -= 1
            self._leaving = [thread for thread in self._leaving if thread.is_alive()]
            self._leaving.append(threading.current_thread())
            return None

    def _free(self, job: Job) -> None:
        """Give a job's place to the next who waits for one."""
        taken = self._places[job.owner]
        taken.remove(job)
        waiting = self._waiting.get(job.owner)
        if waiting:
            self._place(waiting.popleft(), taken)
        elif not taken:
            del self._places[job.owner]
        if waiting is not None and not waiting:
            del self._waiting[job.owner]

    def abandon(self, job: Job) -> None:
        """Stop caring for a job: it is taken back, or its thread replaced if it runs."""
        with self._lock:
            if job.started:
                if not job.abandoned and job in self._places.get(job.owner, ()):
                    job.abandoned = True
                    self._working -= 1
            else:
                self._take_back(job)
        self._hire()

    def _take_back(self, job: Job) -> None:
        """Take out a job that no thread has taken."""
        if job in self._queue:
            self._queue.remove(job)
            self._free(job)
        elif job in (waiting := self._waiting.get(job.owner, deque())):
            waiting.remove(job)
            if not waiting:
                del self._waiting[job.owner]

    def occupants(self, owner: Any) -> str:
        """Say what takes the places of a provider, the oldest first."""
        with self._lock:
            jobs = list(self._places.get(owner, ()))
        now = monotonic()
        first = ", ".join(f"{job.what} for {now - job.since:.1f} s" for job in jobs[:3])
        more = f" and {len(jobs) - 3} more" if len(jobs) > 3 else ""
        return f"{len(jobs)} call(s): {first}{more}" if jobs else "nothing"

    def busy(self, owner: Any) -> bool:
        """Whether a job of this provider is still placed: running, or about to."""
        with self._lock:
            return owner in self._places

    def join_leaving(self, until: float) -> None:
        """Wait, at most until ``until``, for the threads that have no job any more."""
        with self._lock:
            leaving, self._leaving = self._leaving, []
        for thread in leaving:
            thread.join(max(0.0, until - monotonic()))
