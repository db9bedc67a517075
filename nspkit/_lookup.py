"""A lookup: an iterator over what providers find, and what went wrong on the way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nspkit._cancellation import Cancellation
from nspkit._part import DONE, Part
from nspkit._results import again
from nspkit.errors import CancelledError, InProgressError, NspError

if TYPE_CHECKING:
    from collections import deque
    from types import TracebackType
    from typing import Self

    from nspkit._account import Account
    from nspkit._generation import Generation
    from nspkit._model import Query, Service


class Direct:
    """The state of a lookup that runs in its reader's thread, at one provider."""

    __slots__ = ("_error", "_part", "over")

    def __init__(self, account: Account, query: Query, hook: str) -> None:
        """Make one that has not begun."""
        self._part = Part(account, query, Cancellation(), hook)
        self._error: NspError | None = None
        self.over = False

    def begin(self, generation: Generation | None) -> None:
        """Begin it: the provider is started if need be and its hook called.

        Raises:
            NspError: what the start or the hook raised.
        """
        try:
            self._part.begin(generation)
        finally:
            self.over = self._part.over

    def next(self) -> Any:
        """Return the next result, or `DONE`; raises what the provider raised."""
        part = self._part
        try:
            item = part.step()
        except NspError as error:
            # Misuse, two threads at once for instance, is no end: the iterator is still there.
            if part.over:
                self.over = True
                self._error = again(error) if part.ended is None else None
            raise
        if item is DONE:
            self.over = True
        return item

    @property
    def errors(self) -> tuple[NspError, ...]:
        """What went wrong so far."""
        return (*(() if self._error is None else (self._error,)), *self._part.errors)

    def close(self) -> None:
        """End it, from any thread; it ends when its provider comes back."""
        if not self.over:
            self._part.close(CancelledError("the lookup was closed"))
            self.over = True

    def abandon(self) -> None:
        """Nothing to ring for: no worker waits."""


class Lookup:
    """What a lookup finds: an iterator of `Service`, and a context manager that ends it.

    `Host.lookup` and `Session.lookup` make it. Results may be taken on any thread, one at a time;
    `close` may be called from any thread meanwhile. Winsock: the handle of
    WSALookupServiceBegin, with Next and End.
    """

    __slots__ = ("__weakref__", "_later", "_owner", "_state")

    def __init__(self, state: Any, later: deque[Any], owner: object) -> None:
        """Make the face of ``state``; ``later`` takes what a finaliser leaves to be closed."""
        self._state = state
        self._later = later
        self._owner = owner  # the host lives as long as its lookups

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Service:
        """Return the next result (WSALookupServiceNext).

        Raises:
            StopIteration: there is no more.
            CancelledError: the lookup was closed before its end (WSA_E_CANCELLED 10111).
            LookupFailedError: every provider failed; ``errors`` has all of them, the code is that
                of the last in catalog order.
            NspError: directed at one provider: its own error.
        """
        item: Any = self._state.next()
        if item is DONE:
            raise StopIteration
        result: Service = item
        return result

    @property
    def errors(self) -> tuple[NspError, ...]:
        """What went wrong so far, in catalog order; each error has the ``guid`` of its provider.

        A provider that fails does not end the lookup of the others.
        """
        errors: tuple[NspError, ...] = self._state.errors
        return errors

    def close(self) -> None:
        """End the lookup, from any thread (WSALookupServiceEnd); a second call does nothing.

        A ``next`` that waits ends with CancelledError (10111): at once where workers run the
        providers; otherwise when the provider, which is told, has come back.
        """
        try:
            self._state.close()
        except InProgressError:
            self._later.append(self._state)  # it interrupted the host on this thread

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        # `for service in lookup: break` drops it open. A finaliser may run anywhere, so it takes
        # no lock, waits for nothing, and calls no provider: the next operation closes what it left.
        state = getattr(self, "_state", None)
        if state is not None and not state.over:
            state.abandon()
            self._later.append(state)
