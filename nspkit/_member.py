"""One provider's place in a watch: which round of its life it belongs to, and how that ends.

A watch never starts a provider anew: with the final cleanup its part is over.
"""

from __future__ import annotations

from _queue import SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar

from nspkit._standing import PATIENCE, Standing
from nspkit._watched import LOOKUP, NOTIFY, WatchedPart
from nspkit._workers import Job
from nspkit.errors import (
    CancelledError,
    NotInitialisedError,
    NspError,
    OperationNotSupportedError,
    OperationTimeoutError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from nspkit._account import Account
    from nspkit._generation import Generation
    from nspkit._known import Known
    from nspkit._model import Query

T = TypeVar("T")


class Member(Job):
    """One of the providers that are watched; what it does is the business of a subclass.

    Attributes:
        standing: What it has found, and whether that can be relied upon.
        bell: Rung when it has to stop.
        stopped: Whether it has to.
        ended: Why it is over, if somebody has ended it.
    """

    __slots__ = (
        "_generation",
        "_interval",
        "_native",
        "_part",
        "_polled",
        "_query",
        "_ring",
        "_tell",
        "bell",
        "ended",
        "standing",
        "stopped",
    )

    def __init__(
        self,
        account: Account,
        query: Query,
        known: Known,
        interval: float,
        *,
        tell: Callable[..., Any],
        ring: Callable[[], object],
    ) -> None:
        """Make one that does nothing yet.

        ``tell`` calls what it is given with the time, under the lock of the watch; ``ring`` makes
        the reader look, and takes no lock.
        """
        super().__init__(account, f"the watch of {query.name!r}")
        self.standing = Standing(known, account.entry.name, interval)
        self.bell: SimpleQueue[None] = SimpleQueue()
        self.stopped = False
        self.ended: NspError | None = None
        self._query = query
        self._tell = tell
        self._ring = ring
        self._interval = interval
        self._generation: Generation | None = None
        self._part: WatchedPart | None = None
        self._native = self._polled = False

    @property
    def generation(self) -> Any:
        """The round of the provider's life that it belongs to; None before it does."""
        return self._generation

    def join(self, generation: Generation | None = None) -> None:
        """Belong to ``generation``, or to a running one, which is started if need be.

        Raises:
            OperationNotSupportedError: the provider cannot be watched (WSAEOPNOTSUPP 10045).
            NspError: the start failed.
        """
        while self._generation is None:
            running = generation or self.owner.ensure_started()
            try:
                running.run("a watch", self._enter, running)
            except NotInitialisedError:
                # Refused by the guard, because the provider was stopped between the two lines.
                if generation is not None:
                    raise

    def _enter(self, generation: Generation) -> None:
        hooks = generation.payload.hooks
        self._native, self._polled = NOTIFY in hooks, LOOKUP in hooks
        if not self._native and not self._polled:
            raise OperationNotSupportedError(
                f"provider {self.owner.entry.name!r} has neither {NOTIFY} nor {LOOKUP}: there is "
                "nothing to watch",
                guid=self.owner.guid,
            )
        self._generation = generation
        generation.users[self] = None  # from here on the final cleanup ends it

    # -- on its thread -------------------------------------------------------------------------

    def _say(self, what: Callable[..., T], *args: Any) -> T | None:
        """Change how it stands; not after it was ended, as others may do."""
        told: T | None = self._tell(self._unless_over, what, *args)
        return told

    def _unless_over(self, what: Callable[..., T], *args: Any) -> T | None:
        return None if self.standing.over else what(*args)

    def _why(self, end: NspError | None) -> NspError | None:
        """Return why it is over: that it was ended says more than what came of that."""
        if self.ended is not None or self._belongs:
            return self.ended or end
        return self._stopped_with_provider()

    @property
    def _belongs(self) -> bool:
        """Whether its provider is still the one that it belongs to, or will."""
        return self._generation is None or self._generation.open

    def _wanted(self) -> bool:
        return not self.stopped

    # -- from any thread -----------------------------------------------------------------------

    def refuse(self, error: NspError) -> None:
        """Take note that no thread will ever run it."""
        if self._generation is not None:
            self._generation.users.pop(self, None)
        self._say(self.standing.ended, error)

    def end(self) -> list[NspError]:
        """End it with its provider; the part that is open is ended on its own."""
        self._stop(self._stopped_with_provider())
        self._ring()  # its thread may hang, and the reader shall not wait for that
        return []

    def _stopped_with_provider(self) -> CancelledError:
        return CancelledError(
            f"provider {self.owner.entry.name!r} was stopped while this watch was open",
            guid=self.owner.guid,
        )

    def dismiss(self) -> None:
        """End it with its host."""
        self._stop(NotInitialisedError("the host of this watch was closed", guid=self.owner.guid))

    def give_up(self) -> None:
        """End it for its reader, without waiting for the thread."""
        self.abandoned = True
        self._stop(CancelledError("the watch was closed", guid=self.owner.guid))

    def _stop(self, because: NspError) -> None:
        self.ended = self.ended or because
        try:
            self.abandon()
        finally:
            if self._part is not None:
                self._part.stop(because)

    def abandon(self) -> None:
        """Let the thread end by itself; safe in a finaliser: it takes no lock and waits not."""
        self.stopped = True
        self.bell.put(None)

    def expire(self) -> None:
        """Cancel a poll that has not come back in its time."""
        part = self._part
        if part is not None and part.cancellation.cancelled:
            part.stop(
                OperationTimeoutError(
                    f"provider {self.owner.entry.name!r} has not answered a poll within "
                    f"{PATIENCE:g} s",
                    guid=self.owner.guid,
                )
            )

    def forget(self, because: NspError) -> object:
        """Void it in a forked child, which has no such thread."""
        self.ended, self.stopped = because, True
        return self
