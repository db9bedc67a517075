"""What one provider yields to a lookup over several: from its worker to the reader.

Between the two stands a bounded buffer made of two queues: results one way, credits the other.
Both are `queue.SimpleQueue`, whose ``put`` may be called from anywhere, even from a finaliser, and
waits for nobody.
"""

from __future__ import annotations

from _queue import SimpleQueue
from time import monotonic
from typing import TYPE_CHECKING, Any

from nspkit._cancellation import Cancellation
from nspkit._part import DONE, Part
from nspkit._workers import Job
from nspkit.errors import CancelledError, NspError, OperationTimeoutError

if TYPE_CHECKING:
    from nspkit._account import Account
    from nspkit._generation import Generation
    from nspkit._model import Query
    from nspkit._workers import Workers

BUFFER = 64
"""How many results of one provider are held for a reader that is slower."""

_BATCH = BUFFER // 4

LACKING: Any = object()
"""What a stream ends with when its provider lacks the hook, or is of another namespace."""


class Stream(Job):
    """What one provider yields, from its worker to the reader."""

    __slots__ = (
        "_credits",
        "_directed",
        "_free",
        "_generation",
        "_seconds",
        "_taken",
        "cancellation",
        "ended",
        "over",
        "part",
        "results",
        "stopped",
    )

    def __init__(
        self,
        account: Account,
        query: Query,
        hook: str,
        *,
        seconds: float | None,
        results: SimpleQueue[Any] | None,
        generation: Generation | None,
        directed: bool,
    ) -> None:
        """Make one; ``results`` is the queue that all streams share, or None for one of its own.

        One that is ``directed`` at its provider is neither held back nor passed over.
        """
        super().__init__(account, f"{hook} of {query.name!r}")
        self.cancellation = Cancellation(None if seconds is None else monotonic() + seconds)
        self.part = Part(account, query, self.cancellation, hook)
        self.results: SimpleQueue[Any] = SimpleQueue() if results is None else results
        self.over = False
        self.ended = False
        self.stopped = False
        self.call = account.carrying(self.run)
        # However it is cancelled: a worker that waits for its reader must come back, and so must
        # a reader that waits for its worker.
        self.cancellation.on_cancel(self._cancelled)
        self._seconds = seconds
        self._generation = generation
        self._directed = directed
        self._credits: SimpleQueue[int] = SimpleQueue()
        self._free = BUFFER
        self._taken = 0

    # -- on the worker -------------------------------------------------------------------------

    @property
    def generation(self) -> Any:
        """The round of the provider's life that it is in; None before it has begun."""
        return self.part.generation

    def run(self) -> None:
        """Be the worker's job: never raises, and says at the end that it is over."""
        end: Any = None
        try:
            try:
                # Abandoned before it began: nothing is started for nobody.
                end = None if self.stopped else self._pump()
            finally:
                if self.stopped:
                    self.part.close(CancelledError("the lookup was abandoned by its reader"))
                if self.part.over:  # else it is ended in a moment, and that calls back
                    self.cancellation.release()
        except NspError as caught:
            end = caught
        except BaseException as caught:
            # Not even an interrupt may end a worker: who reads waits for its last word.
            end = self.part.translated(caught)
        self._end(end)
        end = None  # an error refers to this frame: no cycle

    def _pump(self) -> Any:
        """Pass on what the provider yields; `LACKING` if it is not one of those that are asked."""
        part, put = self.part, self.results.put
        if not self._directed:
            if part.account.lacks(part.hook, part.query.namespace):
                return LACKING
            held = part.account.held_back()
            if held is not None:
                raise held
        part.begin(self._generation)
        while not self.stopped and (item := part.step()) is not DONE:
            if not self._free:
                # The time that a full buffer waits for its reader is not the provider's.
                self.cancellation.pause()
                self._free += self._credits.get()
                self.cancellation.resume()
            self._free -= 1
            put((self, item))
        if self._seconds is not None and not self.stopped and self.cancellation.cancelled:
            # What looks at its cancellation comes back early, with a part of what there is.
            raise self._late("did not come to its end")
        return None

    def _cancelled(self) -> None:
        # In this order: a worker that is stopped says that it is over, but not why.
        self._end(self.part.ending())
        self.stop()

    def _end(self, end: Any) -> None:
        """Say the last word; what is said after it counts for nothing."""
        self.ended = True
        self.results.put((self, end))

    def refuse(self, error: NspError) -> None:
        """Take note that no thread will ever run it."""
        self._end(error)

    # -- on the reader -------------------------------------------------------------------------

    def taken(self) -> None:
        """Say that the reader has taken one result."""
        self._taken += 1
        if self._taken >= _BATCH:
            self._taken = 0
            self._credits.put(_BATCH)

    def left(self) -> float | None:
        """Return the seconds that the provider still has, None without a limit or while paused."""
        # Cancelled is not late: that it was ended stands in its part before it is cancelled.
        over = self.ended or self.part.ended is not None
        return None if over else self.cancellation.remaining()

    def stop(self) -> None:
        """Let the worker end by itself; safe in a finaliser: it takes no lock and waits not."""
        self.stopped = True
        self._credits.put(BUFFER)

    def give_up(self, workers: Workers, because: str) -> None:
        """End it without waiting for the worker."""
        try:
            self.part.stop(CancelledError(because, guid=self.owner.guid))
        finally:
            self.stop()
            workers.abandon(self)

    def expire(self, workers: Workers) -> None:
        """Give it up because its time is over; what it has found until now still counts."""
        error = self._timeout_error(workers)
        self._end(error)
        self.give_up(workers, error.message)

    def _timeout_error(self, workers: Workers) -> OperationTimeoutError:
        if self.started:
            return self._late("did not answer")
        occupants = workers.occupants(self)
        return self._late(
            "did not answer", f" because it never got its turn; what occupies it: {occupants}"
        )

    def _late(self, what: str, why: str = "") -> OperationTimeoutError:
        return OperationTimeoutError(
            f"provider {self.owner.entry.name!r} {what} within {self._seconds:g} s{why}",
            guid=self.owner.guid,
        )
