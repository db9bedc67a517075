"""A lookup over several providers, side by side, each on a worker thread."""

from __future__ import annotations

from _queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from nspkit._bell import PATIENCE
from nspkit._part import DONE
from nspkit._results import again, together
from nspkit._stream import LACKING, Stream
from nspkit.errors import (
    CancelledError,
    InProgressError,
    LookupFailedError,
    NotInitialisedError,
    NspError,
    ServiceNotFoundError,
)

if TYPE_CHECKING:
    from nspkit._account import Account
    from nspkit._generation import Generation
    from nspkit._model import Query
    from nspkit._workers import Workers

_CLOSED = "the lookup was closed"


class Fanout:
    """The state of a lookup over several providers; the `Lookup` is only its face."""

    __slots__ = (
        "_asked",
        "_closed",
        "_failed",
        "_reader",
        "_results",
        "_single",
        "_workers",
        "over",
    )

    def __init__(self, workers: Workers, *, single: bool, arrival: bool) -> None:
        """Make one that asks nobody yet.

        With ``single`` the error of its only provider is raised as it is; with ``arrival`` results
        come as they arrive, else in the order in which providers were added.
        """
        self._workers = workers
        self._single = single
        self._results: SimpleQueue[Any] | None = SimpleQueue() if arrival else None
        self._asked: list[Stream | NspError] = []
        # Here, not in the stream: an error refers to the frames of the worker and so to the stream.
        self._failed: dict[Stream, NspError] = {}
        self._reader: dict[None, object] = {}
        self._closed = False
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
            account,
            query,
            hook,
            seconds=seconds,
            results=self._results,
            generation=generation,
            directed=self._single,
        )
        self._asked.append(stream)
        self._workers.submit(stream)

    def next(self) -> Any:
        """Return the next result, or `DONE`.

        Raises:
            NspError: as the lookup does.
        """
        if self._workers.gone is not None:
            raise NotInitialisedError(f"this lookup {self._workers.gone}")
        token, reader = object(), self._reader
        try:
            if reader.setdefault(None, token) is not token:
                raise InProgressError(
                    "this lookup is being asked for its next result already, by another thread or "
                    "further up the stack of this one; make a lookup for each"
                )
            return self._next()
        finally:
            # One look, since another thread may come or go; and no call: at one a signal could
            # strike, and the place be taken for ever.
            if reader == {None: token}:
                del reader[None]

    def _next(self) -> Any:
        while self._closed or not self.over:
            if self._closed:
                raise CancelledError(_CLOSED)
            active = [one for one in self._asked if isinstance(one, Stream) and not one.over]
            if not active:
                self._finish()
                break
            item = self._receive(active)
            if item is not None:
                return item
        return DONE

    def _receive(self, streams: list[Stream]) -> Any:
        """Wait for what comes next; None for anything but a result."""
        # A signal that comes right before a thread blocks does not wake it.
        limits = [left for stream in streams if (left := stream.left()) is not None] + [PATIENCE]
        try:
            # In catalog order each has a queue of its own, and the first is read to its end.
            stream, item = streams[0].results.get(timeout=min(limits))
        except Empty:
            for late in streams:
                left = late.left()
                if left is not None and left <= 0.0:
                    late.expire(self._workers)
            return None
        if stream is None or stream.over:
            return None  # woken by close(), or a late result of one that was given up
        if item is None or item is LACKING or isinstance(item, NspError):
            stream.over = True
            if item is not None:
                self._failed[stream] = item
            return None
        stream.taken()
        return item

    def _finish(self) -> None:
        """Raise if nobody could answer: the only error itself, or all of them together."""
        self.over = True
        if any(isinstance(one, Stream) and one not in self._failed for one in self._asked):
            return
        failed = [self._failed[one] if isinstance(one, Stream) else one for one in self._asked]
        failed = [error for error in failed if error is not LACKING]
        if not failed:
            raise ServiceNotFoundError("no provider that is installed can look anything up")
        if self._single:
            raise again(failed[-1]) from (failed[-1].__cause__ or failed[-1])
        raise _together(failed)

    @property
    def errors(self) -> tuple[NspError, ...]:
        """What went wrong so far, in the order of the providers."""
        found: list[NspError] = []
        for one in self._asked:
            if isinstance(one, NspError):
                found.append(one)
            else:
                failed = self._failed.get(one, LACKING)
                found.extend([] if failed is LACKING else [failed])
                found.extend(one.part.errors)
        return tuple(found)

    def close(self) -> None:
        """End it, from any thread; who waits in `next` gets CancelledError (10111)."""
        if self.over:
            return
        self._closed = True
        streams = [one for one in reversed(self._asked) if isinstance(one, Stream)]
        for stream in streams:
            stream.results.put((None, None))  # the reader first: what is cancelled may take long
        for stream in streams:
            if not stream.over:
                stream.give_up(self._workers, _CLOSED)
        self.over = True

    def abandon(self) -> None:
        """Let the workers end by themselves; called by a finaliser, so it only rings."""
        for one in self._asked:
            if isinstance(one, Stream):
                one.stop()


def _together(failed: list[NspError]) -> LookupFailedError:
    told = together(failed)
    error = LookupFailedError(f"no provider could answer: {told}", code=failed[-1].code)
    error.errors = tuple(failed)
    return error
