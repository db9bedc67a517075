"""Threads for work beside the caller's: bounded, daemons, and gone when there is no work.

Fan-outs and lookups with a time-out run here. A worker cannot be stopped from outside, so what
hangs is abandoned: it keeps its place at its provider, of which there are `PLACES`, but no longer
counts as one of the `THREADS`. So a provider that hangs exhausts itself and nobody else.

What lasts, as a watch does, has a thread of its own beside these limits: it would take places for
hours that lookups need for a moment. Only those that were given up and hang are limited.
"""

from __future__ import annotations

import threading
from collections import deque
from time import monotonic
from typing import TYPE_CHECKING, Any

from nspkit._lock import OwnedLock
from nspkit.errors import ErrorCode, NotInitialisedError, NspError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

THREADS = 64
"""How many threads work at the same time for one host, abandoned ones apart."""

PLACES = 32
"""How many calls one provider takes at the same time, abandoned ones included."""


class Job:
    """One call of one provider: waits for a place, waits for a thread, runs, is done."""

    __slots__ = ("abandoned", "call", "owner", "since", "started", "what")

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


class Workers:
    """The worker threads of one host."""

    __slots__ = (
        "_closed",
        "_lasting",
        "_leaving",
        "_lock",
        "_name",
        "_places",
        "_queue",
        "_threads",
        "_waiting",
        "_working",
        "gone",
    )

    def __init__(self, name: str) -> None:
        """Make one without threads; they come with the work, and are named after ``name``."""
        self._name = name
        self.forget(None)

    def forget(self, because: str | None) -> None:
        """Start afresh: in a forked child there is no thread, and the lock may be held.

        ``gone`` says from then on why no work is taken any more.
        """
        self.gone = because
        self._closed: str | None = None
        self._lock = OwnedLock("the pool of worker threads")
        self._queue: deque[Job] = deque()
        self._waiting: dict[Any, deque[Job]] = {}
        self._places: dict[Any, list[Job]] = {}
        self._leaving: list[threading.Thread] = []
        self._lasting: dict[Job, threading.Thread] = {}
        self._threads: dict[threading.Thread, Job | None] = {}
        self._working = 0

    def submit(self, job: Job) -> None:
        """Run a job as soon as its provider has a place and there is a thread, or refuse it."""
        with self._lock:
            closed, taken = self._closed, self._places.get(job.owner, [])
            if closed is None and len(taken) >= PLACES:
                self._waiting.setdefault(job.owner, deque()).append(job)
            elif closed is None:
                self._place(job, self._places.setdefault(job.owner, taken))
        if closed is not None:
            job.refuse(NotInitialisedError(f"{job.what} {closed}"))
        self._hire()

    def close(self, because: str) -> None:
        """Refuse all work that no thread has taken, now and from now on."""
        with self._lock:
            self._closed = because
            refused = [job for waiting in self._waiting.values() for job in waiting]
            self._waiting.clear()
            while self._queue:
                refused.append(self._queue.popleft())
                self._free(refused[-1])
        for job in refused:
            job.refuse(NotInitialisedError(f"{job.what} {because}"))

    def _place(self, job: Job, taken: list[Job]) -> None:
        taken.append(job)
        self._queue.append(job)

    def _hire(self) -> None:
        """Start a thread if there is work for one more."""
        with self._lock:
            if not self._queue or self._working >= THREADS:
                return
            self._working += 1
            name = f"{self._name}-worker"
            thread = threading.Thread(target=self._work, name=name, daemon=True)
            self._threads[thread] = None
        try:
            thread.start()
        except RuntimeError as error:
            self._refuse(thread, str(error))

    def _refuse(self, thread: threading.Thread, why: str) -> None:
        """Take note that a thread could not be had: refuse the work if nobody else does it."""
        refused: list[Job] = []
        with self._lock:
            del self._threads[thread]
            self._working -= 1
            while self._queue and not self._working:
                job = self._queue.popleft()
                refused.append(job)
                self._free(job)  # which may let another one into the queue
        for job in refused:
            job.refuse(_none_for(job, why))

    def _work(self) -> None:
        job: Job | None = None
        while (job := self._next(job)) is not None:
            job.call()
            del job.call  # it refers to the job
            if self.gone is not None:
                return  # it forked, and this is the child

    def _next(self, done: Job | None) -> Job | None:
        """Free the place of the job just done and take one; None, and the thread is to leave.

        One step under the lock: when a provider has no job any more, every thread that worked for
        it has another job or can be joined.
        """
        with self._lock:
            if done is not None:
                self._free(done)
                if done.abandoned:
                    # Another thread was to be hired in its stead. Where there was no work then,
                    # or no thread to be had, nobody else may be there for what waits now.
                    self._working += 1
            if self._queue and self._working <= THREADS:
                job = self._queue.popleft()
                job.started = True
                self._threads[threading.current_thread()] = job
                return job
            self._working -= 1
            self._leaving = [thread for thread in self._leaving if thread.is_alive()]
            self._leaving.append(threading.current_thread())
            del self._threads[threading.current_thread()]
            return None

    def _free(self, job: Job) -> None:
        """Give a job's place to the next who waits for one."""
        taken = self._places[job.owner]
        taken.remove(job)
        waiting = self._waiting.get(job.owner)
        if waiting:
            self._place(waiting.popleft(), taken)
            if not waiting:
                del self._waiting[job.owner]
        elif not taken:
            del self._places[job.owner]

    def abandon(self, job: Job) -> None:
        """Stop caring for a job: it is taken back, or its thread replaced if it runs."""
        with self._lock:
            if not job.started:
                self._take_back(job)
            elif not job.abandoned and job in self._places.get(job.owner, ()):
                job.abandoned = True
                self._working -= 1
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

    def occupants(self, job: Job) -> str:
        """Say what a job waits for: those in its provider's places, or at all the threads."""
        with self._lock:
            placed = job in self._queue
            taken = [job.owner] if not placed else list(self._places)
            jobs = [one for owner in taken for one in self._places.get(owner, ()) if one.started]
        return _told(jobs)

    def busy(self, owner: Any, generation: Any) -> bool:
        """Whether a job of this provider is in this round of its life, or on its way out."""
        with self._lock:
            jobs = [*self._places.get(owner, ())]
            # A thread that was not to be had, or whose start was interrupted, does not live.
            jobs += [job for job, thread in self._lasting.items() if thread.is_alive()]
            return any(job.owner is owner and job.generation is generation for job in jobs)

    def join_leaving(self, until: float) -> None:
        """Wait, at most until ``until``, for the threads that have no job any more."""
        with self._lock:
            leaving, self._leaving = self._leaving, []
        for thread in leaving:
            thread.join(max(0.0, until - monotonic()))

    def join(self, until: float) -> None:
        """Wait, at most until ``until``, for all threads but those that were given up."""
        with self._lock:
            threads = [one for one, job in self._threads.items() if not (job and job.abandoned)]
        for thread in threads:
            if thread.is_alive():  # else its start was interrupted
                thread.join(max(0.0, until - monotonic()))
        self.join_leaving(until)

    # -- what lasts ----------------------------------------------------------------------------

    def lend(self, job: Job) -> None:
        """Run a job that lasts, on a thread of its own, or refuse it."""
        name = f"{self._name}-watch"
        thread = threading.Thread(target=self._last, args=(job,), name=name, daemon=True)
        with self._lock:
            closed = self._closed
            hanging = [one for one in self._lasting if one.abandoned and one.owner is job.owner]
            if closed is None and len(hanging) < PLACES:
                self._lasting[job] = thread
        if closed is not None:
            job.refuse(NotInitialisedError(f"{job.what} {closed}"))
            return
        try:
            if job not in self._lasting:
                raise RuntimeError(f"what was given up hangs: {_told(hanging)}")
            thread.start()
        except RuntimeError as error:
            with self._lock:
                self._lasting.pop(job, None)
            job.refuse(_none_for(job, str(error)))

    def _last(self, job: Job) -> None:
        job.started = True
        job.call()
        del job.call  # it refers to the job
        with self._lock:
            self._leaving = [thread for thread in self._leaving if thread.is_alive()]
            self._leaving.append(self._lasting.pop(job))

    def dismiss(self, until: float) -> None:
        """Have what lasts come to its end, and wait for it, at most until ``until``."""
        with self._lock:
            lasting = dict(self._lasting)
        for job in lasting:
            job.dismiss()
        for job, thread in lasting.items():
            # Whoever is in a round of a provider's life was waited for at its end, or hangs.
            if thread.is_alive() and job.generation is None:
                thread.join(max(0.0, until - monotonic()))


def _none_for(job: Job, why: str) -> NspError:
    return NspError(
        f"no thread to be had for {job.what} ({why}); let others end first, or raise the limit of "
        "threads",
        code=ErrorCode.WSAENOBUFS,
    )


def _told(jobs: Iterable[Job]) -> str:
    now = monotonic()
    told = [f"{job.what} for {now - job.since:.1f} s" for job in jobs]
    more = f" and {len(told) - 3} more" if len(told) > 3 else ""
    return f"{len(told)} call(s): {', '.join(told[:3])}{more}" if told else "nothing"
