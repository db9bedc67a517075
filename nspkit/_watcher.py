"""The thread that watches one provider: follows its stream of changes, or polls it and compares.

After a failure it tries again, later and later, until it is stopped or that is of no use.
"""

from __future__ import annotations

from _queue import Empty, SimpleQueue
from time import monotonic
from typing import TYPE_CHECKING, Any

from nspkit._account import FIRST_DELAY, LONGEST_DELAY
from nspkit._cancellation import Cancellation
from nspkit._known import merged
from nspkit._member import Member
from nspkit._part import DONE
from nspkit._results import again, translated
from nspkit._standing import PATIENCE
from nspkit._watched import ABSENT, FINAL, LOOKUP, NOTIFY, TOLD, WatchedPart
from nspkit.errors import (
    CancelledError,
    NspError,
    OperationNotSupportedError,
    OperationTimeoutError,
    ProviderLoadError,
    TryAgainError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nspkit._account import Account
    from nspkit._known import Identity
    from nspkit._model import Service

LONGEST_HOLD = 3600.0
"""Seconds after which a name is asked for again, however long holds what was found."""


class Watcher(Member):
    """Watches one provider, on a thread of its own."""

    __slots__ = ()

    def __init__(self, account: Account, *args: Any, **options: Any) -> None:
        """Make one that does nothing yet; see `Member`."""
        super().__init__(account, *args, **options)
        self.call = account.carrying(self.run)

    def run(self) -> None:
        """Be the thread: never raises, and says at the end why it is over."""
        end: NspError | None = None
        try:
            self._observe()
        except NspError as caught:
            end = again(caught)
        except BaseException as caught:
            # Not even an interrupt may end it unsaid: its reader waits.
            hook = NOTIFY if self._native else LOOKUP
            end = translated(self.owner.entry.name, self.owner.guid, hook, caught)
        if self._generation is not None:
            self._generation.users.pop(self, None)
        self._say(self.standing.ended, self._why(end))

    def _observe(self) -> None:
        delay = 0.0
        while self._wanted():
            try:
                pause = self._once()
            except NspError as error:
                if error.code in FINAL:
                    raise
                was_live = self._say(self.standing.failed, again(error))
                delay = min(FIRST_DELAY if was_live or not delay else delay * 2, LONGEST_DELAY)
                pause = jittered(delay)
            rest(self.bell, pause)

    def _once(self) -> float:
        """Follow the provider, or poll it once; returns how many seconds to wait for the next."""
        if self._generation is None and not self._joined():
            self.stopped = True
            return 0.0
        return self._follow() if self._native else self._poll()

    def _joined(self) -> bool:
        """Join as one of many: False if this provider is not one of those that are watched."""
        held = self.owner.held_back()
        if held is not None:
            raise held
        try:
            if all(self.owner.lacks(hook, self._query.namespace) for hook in (NOTIFY, LOOKUP)):
                return False
        except ProviderLoadError as error:
            self.ended = self.ended or again(error)  # an import that has failed is not repeated
            return False
        self.join()
        return True

    def _follow(self) -> float:
        """Pass on what the provider tells, as long as it does."""
        self._say(self.standing.begun)
        heard = False
        try:
            for item in self._items(NOTIFY, Cancellation()):
                heard = True
                if item is TOLD:
                    self._say(self.standing.told)
                else:
                    self._say(self.standing.changed, *item)
        except OperationNotSupportedError:
            if not self._polled:
                raise
            self._native = False  # it has the hook, and its back end cannot do it
            return 0.0
        except NspError as error:
            if error.code not in ABSENT or heard:
                raise
            self._say(self.standing.listed, {})
            return self._interval
        if self.stopped:
            return 0.0
        raise TryAgainError(
            f"provider {self.owner.entry.name!r}: {NOTIFY} came to an end, though nobody has "
            "cancelled it; it is called again",
            guid=self.owner.guid,
        )

    def _poll(self) -> float:
        """List once what is there, and compare."""
        cancellation = Cancellation(monotonic() + PATIENCE)
        self._say(self.standing.asked)
        found: dict[Identity, Service] = {}
        try:
            for _kind, identity, service in self._items(LOOKUP, cancellation):
                found[identity] = merged(found.get(identity), service)
        except NspError as error:
            if error.code not in ABSENT:
                raise
        if self.stopped:
            return 0.0
        if cancellation.cancelled:
            # What looks at its cancellation comes back early, with a part of the list.
            raise OperationTimeoutError(
                f"provider {self.owner.entry.name!r}: a poll took longer than {PATIENCE:g} s",
                guid=self.owner.guid,
            )
        self._say(self.standing.listed, found)
        if self._part is not None and self._part.errors:
            self._say(self.standing.noted, again(self._part.errors[-1]))
        if self._query.name is None:
            return self._interval  # how long one holds says nothing of others that may come
        holds = [service.ttl for service in found.values() if service.ttl is not None]
        return max(self._interval, min(LONGEST_HOLD, *holds) if holds else 0.0)

    def _items(self, hook: str, cancellation: Cancellation) -> Iterator[Any]:
        """Yield what a hook yields, until it is over or nobody wants it any more."""
        part = WatchedPart(self.owner, self._query, cancellation, hook)
        self._part = part  # first it is to be found, then the look whether it was stopped before
        try:
            if self._wanted():
                part.begin(self._generation)
                while self._wanted() and (item := part.step()) is not DONE:
                    yield item
        finally:
            if not part.over:
                part.close(CancelledError("the watch was closed", guid=self.owner.guid))


def rest(bell: SimpleQueue[None], seconds: float) -> None:
    """Wait, but not after the bell has rung."""
    try:
        bell.get(timeout=seconds)
    except Empty:
        pass


def jittered(seconds: float) -> float:
    """Return about as many seconds: those who failed together shall not come back together."""
    from random import uniform

    return seconds * uniform(0.75, 1.25)
