"""Threads for work beside the caller's: bounded, daemons, and gone when there is no work.

Fan-outs and lookups with a time-out run here. A worker cannot be stopped from outside, so what
hangs is abandoned: it keeps its place at its provider, of which there are `PLACES`, but no longer
counts as one of the `THREADS`. So a provider that hangs exhausts itself and nobody else. A lookup
whose reader has gone elsewhere hangs too, and is nobody's fault: what keeps registrations alive has
a lane of its own, and so have the events that may not be told where they happen.

What lasts, as a watch does, has a thread of its own beside these limits: it would take places for
hours that lookups need for a moment. Only those that were given up and hang are limited.
"""

from __future__ import annotations

import threading
from time import monotonic
from typing import Any

from nspkit._jobs import CALLS, EVENTS, UPKEEP, Job, Lane, told
from nspkit._lock import OwnedLock
from nspkit._starting import start
from nspkit.errors import ErrorCode, NotInitialisedError, NspError

__all__ = [
    "EVENTS_THREADS",
    "PLACES",
    "THREADS",
    "UPKEEP_PLACES",
    "UPKEEP_THREADS",
    "Job",
    "Workers",
]

THREADS = 64
"""How many threads work at the same time for one host, abandoned ones apart."""

PLACES = 32
"""How many calls one provider takes at the same time, abandoned ones included."""

UPKEEP_THREADS, UPKEEP_PLACES = 32, 16
"""The same for renewals and deregistrations; twice the places, so that no one provider has all."""

EVENTS_THREADS = 8
"""How many events are told at the same time, where that is not done on the spot."""


class Workers:
    """The worker threads of one host."""

    __slots__ = ("_closed", "_lanes", "_lasting", "_leaving", "_lock", "_name", "gone")

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
        self._lanes = {
            CALLS: Lane(THREADS, PLACES),
            UPKEEP: Lane(UPKEEP_THREADS, UPKEEP_PLACES),
            EVENTS: Lane(EVENTS_THREADS, EVENTS_THREADS),
        }
        self._leaving: list[threading.Thread] = []
        self._lasting: dict[Job, threading.Thread] = {}

    def submit(self, job: Job) -> None:
        """Run a job as soon as its provider has a place and there is a thread, or refuse it."""
        lane = self._lanes[job.lane]
        with self._lock:
            closed = self._closed
            if closed is None:
                lane.enter(job)
        if closed is not None:
            job.refuse(NotInitialisedError(f"{job.what} {closed}"))
        self._hire(lane)

    def close(self, because: str) -> None:
        """Refuse all work that no thread has taken, now and from now on."""
        with self._lock:
            self._closed = because
            refused = [job for lane in self._lanes.values() for job in lane.clear()]
        for job in refused:
            job.refuse(NotInitialisedError(f"{job.what} {because}"))

    def _hire(self, lane: Lane, *, again: bool = True) -> None:
        """Start a thread if there is work for one more."""
        name = f"{self._name}-worker"
        thread = threading.Thread(target=self._work, args=(lane,), name=name, daemon=True)
        try:
            with self._lock:
                if not lane.wants_thread:
                    return
                lane.working[thread] = None
            start(thread)
        except RuntimeError as error:
            self._refuse(lane, thread, str(error))
        except BaseException:
            self._disown(lane, thread)
            if again:
                self._hire(lane, again=False)  # somebody else's work may have waited for it
            raise

    def _disown(self, lane: Lane, thread: threading.Thread) -> None:
        """Let a thread count no more that has not begun; if it ever does, it leaves at once."""
        with self._lock:
            if lane.working.get(thread, self) is None:
                del lane.working[thread]

    def _refuse(self, lane: Lane, thread: threading.Thread, why: str) -> None:
        """Take note that a thread could not be had: refuse the work if nobody else does it."""
        refused: list[Job] = []
        with self._lock:
            lane.working.pop(thread, None)
            while lane.queue and not lane.working:
                job = lane.queue.popleft()
                refused.append(job)
                lane.free(job)  # which may let another one into the queue
        for job in refused:
            job.refuse(_none_for(job, why))

    def _work(self, lane: Lane) -> None:
        job: Job | None = None
        while (job := self._next(lane, job)) is not None:
            job.call()
            del job.call  # it refers to the job
            if self.gone is not None:
                return  # it forked, and this is the child

    def _next(self, lane: Lane, done: Job | None) -> Job | None:
        """Free the place of the job just done and take one; None, and the thread is to leave.

        One step under the lock: when a provider has no job any more, every thread that worked for
        it has another job or can be joined.
        """
        thread = threading.current_thread()
        with self._lock:
            if done is not None:
                lane.free(done)
                # It does not count if it was abandoned. Another thread was to be hired in its
                # stead; where there was no work then, or no thread to be had, nobody else may be
                # there for what waits now.
                lane.working[thread] = None
            job = lane.take(thread)
            if job is None:
                self._leave(thread)
            return job

    def _leave(self, thread: threading.Thread) -> None:
        self._leaving = [one for one in self._leaving if one.is_alive()]
        self._leaving.append(thread)

    def abandon(self, job: Job) -> None:
        """Stop caring for a job: it is taken back, or its thread replaced if it runs."""
        lane = self._lanes[job.lane]
        with self._lock:
            if job.started:
                lane.give_up(job)
            else:
                lane.take_back(job)
        self._hire(lane)

    def occupants(self, job: Job) -> str:
        """Say what a job waits for: those in its provider's places, or at all the threads."""
        with self._lock:
            jobs = self._lanes[job.lane].occupants(job)
        return told(jobs)

    def busy(self, owner: Any, generation: Any) -> bool:
        """Whether a job of this provider is in this round of its life, or on its way out."""
        with self._lock:
            jobs = [job for lane in self._lanes.values() for job in lane.taken.get(owner, ())]
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
            threads = [thread for lane in self._lanes.values() for thread in lane.working]
        for thread in threads:
            if thread.is_alive():  # else it is only being started
                thread.join(max(0.0, until - monotonic()))
        self.join_leaving(until)

    # -- what lasts ----------------------------------------------------------------------------

    def lend(self, job: Job) -> None:
        """Run a job that lasts, on a thread of its own, or refuse it."""
        name = f"{self._name}-watch"
        thread = threading.Thread(target=self._last, args=(job,), name=name, daemon=True)
        try:
            with self._lock:
                closed = self._closed
                hanging = [one for one in self._lasting if one.abandoned and one.owner is job.owner]
                if closed is None and len(hanging) < PLACES:
                    self._lasting[job] = thread
            if closed is not None:
                job.refuse(NotInitialisedError(f"{job.what} {closed}"))
                return
            if job not in self._lasting:
                raise RuntimeError(f"what was given up hangs: {told(hanging)}")
            start(thread)
        except RuntimeError as error:
            self._take_away(job)
            job.refuse(_none_for(job, str(error)))
        except BaseException:
            self._take_away(job)
            raise

    def _take_away(self, job: Job) -> None:
        """Take out a job that has not begun; if its thread ever does, it leaves at once."""
        with self._lock:
            if not job.started:
                self._lasting.pop(job, None)

    def _last(self, job: Job) -> None:
        with self._lock:
            job.started = job in self._lasting  # else its start was interrupted
        if job.started:
            job.call()
        del job.call  # it refers to the job
        with self._lock:
            self._lasting.pop(job, None)
            self._leave(threading.current_thread())

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
