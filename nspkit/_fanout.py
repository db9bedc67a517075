"""A lookup over several providers, side by side, each on a worker thread.

Between a worker and the reader stands a bounded buffer made of two queues: results one way,
credits the other. Both are `queue.SimpleQueue`, whose ``put`` may be called from anywhere, even
from a finaliser, and waits for nobody.
"""

from __future__ import annotations

from _queue import Empty, SimpleQueue
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any

from nspkit._cancellation import Cancellation
from nspkit._part import DONE, Part
from nspkit._workers import Job
from nspkit.errors import (
    CancelledError,
    LookupFailedError,
    NotInitialisedError,
    NspError,
    OperationTimeoutError,
    ProviderError,
    ServiceNotFoundError,
)

if TYPE_CHECKING:
    from nspkit._account import Account
    from nspkit._lifetime import Generation
    from nspkit._model import Query
    from nspkit._workers import Workers

BUFFER = 64
"""How many results of one provider are held for a reader that is slower."""

_BATCH = BUFFER // 4

LACKING: Any = object()
"""What a stream ends with when its provider lacks the hook."""


class Stream:
    """What one provider yields, from its worker to the reader."""

    __slots__ = (
        "_credits",
        "_free",
        "_generation",
        "_seconds",
        "_taken",
        "cancellation",
        "error",
        "job",
        "over",
        "part",
        "paused",
        "results",
        "stopped",
        "wanting",
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
    ) -> None:
        """Make one; ``results`` is the queue that all streams share, or None for one of its own."""
        self.cancellation = Cancellation(None if seconds is None else monotonic() + seconds)
        self.part = Part(account, query, self.cancellation, hook)
        self.results: SimpleQueue[Any] = SimpleQueue() if results is None else results
        self.error: NspError | None = None
        self.over = False
        self.stopped = False
        self.paused = False
        self.wanting = False
        self.job = Job(account, f"{hook} of {query.name!r}", self.run)
        # However it is cancelled: a worker that waits for its reader must come back.
        self.cancellation.on_cancel(self.stop)
        self._seconds = seconds
        self._generation = generation
        self._credits: SimpleQueue[int] = SimpleQueue()
        self._free = BUFFER
        self._taken = 0

    # -- on the worker -------------------------------------------------------------------------

    def run(self) -> None:
        """Be the worker's job: never raises, and says at the end that it is over."""
        end: Any = None
        try:
            end = self._pump()
        except NspError as caught:
            end = caught
        except BaseException as caught:
            end = ProviderError(f"a worker was interrupted: {caught!r}")
        finally:
            if self.stopped:
                self.part.close(self._abandoned())
            self.results.put((self, end))
            end = None  # an error refers to this frame: no cycle

    def _pump(self) -> Any:
        """Pass on what the provider yields; `LACKING` if it lacks the hook."""
        part, put = self.part, self.results.put
        held = None if self._generation is not None else part.account.held_back()
        if held is not None:
            raise held
        if self._generation is None and part.account.lacks(part.hook):
            return LACKING
        part.begin(self._generation)
        while not self.stopped and (item := part.step()) is not DONE:
            if not self._free:
                self._pause()
            self._free -= 1
            put((self, item))
        if part.ended is not None:
            raise part.ended
        return None

    def _pause(self) -> None:
        """Wait for the reader; that time is not the provider's."""
        began = monotonic()
        self.paused = True
        self._free += self._credits.get()
        self.cancellation.extend(monotonic() - began)
        self.paused = False

    def _abandoned(self) -> CancelledError:
        return CancelledError("the lookup was abandoned by its reader")

    # -- on the reader -------------------------------------------------------------------------

    def taken(self) -> None:
        """Say that the reader has taken one result."""
        self._taken += 1
        if self._taken >= _BATCH:
            self._taken = 0
            self._credits.put(_BATCH)

    def left(self) -> float | None:
        """Return the seconds that the provider still has, None without a limit or while paused."""
        return None if self.paused else self.cancellation.remaining()

    def stop(self) -> None:
        """Let the worker end by itself; safe in a finaliser: it takes no lock and waits not."""
        self.stopped = True
        self._credits.put(BUFFER)

    def give_up(self, workers: Workers, because: NspError) -> None:
        """End it without waiting for the worker; its late results are dropped."""
        self.part.stop(because)
        self.stop()
        workers.abandon(self.job)
        self.over, self.error = True, because

    def timeout_error(self, workers: Workers) -> OperationTimeoutError:
        """Return the error for a provider that did not end in time."""
        account = self.part.account
        name, seconds = account.entry.name, self._seconds
        what = f"did not answer within {seconds:g} s"
        if not self.job.started:
            what += f" because it never got its turn; it is occupied by {workers.occupants(account)}"
        return OperationTimeoutError(f"provider {name!r} {what}", guid=account.lifetime.key)


class Fanout:
    """The state of a lookup over several providers; the `Lookup` is only its face."""

    __slots__ = ("_asked", "_ended", "_results", "_single", "_workers", "over")

    def __init__(self, workers: Workers, *, single: bool, arrival: bool) -> None:
        """Make one that asks nobody yet.

        With ``single`` the error of its only provider is raised as it is; with ``arrival`` results
        come as they arrive, else in the order in which providers were added.
        """
        self._workers = workers
        self._single = single
        self._results: SimpleQueue[Any] | None = SimpleQueue() if arrival else None
        self._asked: list[Stream | NspError] = []
        self._ended: NspError | None = None
        self.over = False

    def pass_over(self, error: NspError) -> None:
        """Record a provider that is not asked, in its place."""
        self._asked.append(error)

    def ask(
        self,
        account: Account,
        query: Query,
        hook: str,
        *,
        seconds: float | None,
        generation: Generation | None = None,
    ) -> None:
        """Ask one more provider, from now on, for at most ``seconds``."""
        stream = Stream(
            account, query, hook, seconds=seconds, results=self._results, generation=generation
        )
        self._asked.append(stream)
        stream.job.run = partial(account.context().run, stream.run)
        try:
            self._workers.submit(stream.job)
        except NspError as error:
            stream.over, stream.error = True, error

    def next(self) -> Any:
        """Return the next result, or `DONE`.

        Raises:
            NspError: as the lookup does.
        """
        while self._ended is not None or not self.over:
            if self._workers.gone is not None:
                raise NotInitialisedError(f"this lookup {self._workers.gone}")
            if self._ended is not None:
                raise self._ended
            active = [one for one in self._asked if isinstance(one, Stream) and not one.over]
            if not active:
                self._finish()
                break
            item = self._receive(active if self._results is not None else active[:1])
            if item is not None:
                return item
        return DONE

    def _receive(self, streams: list[Stream]) -> Any:
        """Wait for what the first of these streams has; None for anything but a result."""
        limits = [left for stream in streams if (left := stream.left()) is not None]
        try:
            stream, item = streams[0].results.get(timeout=min(limits) if limits else None)
        except Empty:
            for late in streams:
                left = late.left()
                if left is not None and left <= 0.0:
                    late.give_up(self._workers, late.timeout_error(self._workers))
            return None
        if stream is None or stream.over:
            return None  # woken by close(), or a late result of one that was given up
        if item is LACKING:
            stream.over = stream.wanting = True
            return None
        if item is None or isinstance(item, NspError):
            stream.over, stream.error = True, item
            return None
        stream.taken()
        return item

    def _finish(self) -> None:
        """Raise if nobody could answer: the only error itself, or all of them together."""
        self.over = True
        streams = [one for one in self._asked if isinstance(one, Stream)]
        if any(stream.error is None and not stream.wanting for stream in streams):
            return
        failed = [one.error if isinstance(one, Stream) else one for one in self._asked]
        failed = [error for error in failed if error is not None]
        if not failed:
            raise ServiceNotFoundError("no provider that is installed can look anything up")
        last = failed[-1]
        if self._single:
            raise last
        named = "; ".join(str(error) for error in failed)
        together = LookupFailedError(f"no provider could answer: {named}", code=last.code)
        together.errors = tuple(failed)
        raise together

    @property
    def errors(self) -> tuple[NspError, ...]:
        """What went wrong so far, in the order of the providers."""
        found: list[NspError] = []
        for one in self._asked:
            if isinstance(one, NspError):
                found.append(one)
            else:
                found.extend([one.error] if one.error is not None else [])
                found.extend(one.part.errors)
        return tuple(found)

    def close(self) -> None:
        """End it, from any thread; who waits in `next` gets CancelledError (10111)."""
        if self.over or self._workers.gone is not None:
            return
        self._ended = because = CancelledError("the lookup was closed")
        streams = [one for one in self._asked if isinstance(one, Stream)]
        for stream in reversed(streams):
            if not stream.over:
                stream.give_up(self._workers, because)
                stream.error = None  # closing is no failure of a provider
            stream.results.put((None, None))
        self.over = True

    def abandon(self) -> None:
        """Let the workers end by themselves; called by a finaliser, so it only rings."""
        for one in self._asked:
            if isinstance(one, Stream):
                one.stop()
