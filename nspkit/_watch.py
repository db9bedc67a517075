"""A watch: an iterator over what changes, and how far it can be relied upon."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nspkit._value import seconds_in

if TYPE_CHECKING:
    from collections import deque
    from types import TracebackType
    from typing import Self

    from nspkit._model import Change, Service
    from nspkit.errors import NspError

# In seconds, 31 years: beyond what Python's own waits take, a number is an error to them.
_LONGEST = 1e9


class Watch:
    """What is there and how it changes: an iterator of `Change`, and a context manager.

    `Host.watch` and `Session.watch` make it. First comes what is there, as ADDED, then what
    changes. A reader that is slow gets the latest state and no queue: of each service the newest
    change, and nothing of one that has come and gone meanwhile. A service is the same one as long
    as provider, service class, name and context are; of several results with these, the addresses
    are put together. An update that changes nothing is not told, and neither the time to live nor
    the order of addresses is content.

    Changes may be taken on any thread, one at a time; everything else may be called from any
    thread meanwhile. A watch has no end of its own: it goes on through failures, which `state`,
    `stale_since` and `error` tell, until it is closed or its providers are stopped.

    Winsock: a query whose results are watched with SIO_NSP_NOTIFY_CHANGE.
    """

    __slots__ = ("__weakref__", "_later", "_owner", "_state")

    def __init__(self, state: Any, later: deque[Any], owner: object) -> None:
        """Make the face of ``state``; ``later`` takes what a finaliser leaves to be closed."""
        self._state = state
        self._later = later
        self._owner = owner  # the host lives as long as its watches

    def __repr__(self) -> str:
        return f"<Watch: {self.state}, generation {self.generation}>"

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Change:
        """Return the next change, waiting for it as long as it takes.

        Raises:
            CancelledError: it was closed, or its providers were stopped (WSA_E_CANCELLED 10111).
            LookupFailedError: none of several providers can be watched any more; ``errors`` has
                the reasons, the code is that of the last in catalog order.
            ServiceNotFoundError: none of them could ever be watched (10108).
            InProgressError: another thread waits here (WSAEINPROGRESS 10036).
            NotInitialisedError: in a forked child, or the host is closed (10093).
            NspError: directed at one provider: its own error, if trying again is of no use.
        """
        change: Change | None = self._state.next(None)
        assert change is not None  # without a time limit there is nothing else
        return change

    def wait(self, seconds: float | None = None) -> Change | None:
        """Return the next change, or None if there is none within ``seconds``.

        Args:
            seconds: How long to wait: 0 does not, None waits as long as it takes.

        Raises:
            InvalidArgumentError: ``seconds`` is no such number (WSAEINVAL 10022).
            NspError: as when iterating.
        """
        limit = (
            None if seconds is None else min(seconds_in("Watch.wait seconds", seconds), _LONGEST)
        )
        change: Change | None = self._state.next(limit)
        return change

    def snapshot(self) -> tuple[Service, ...]:
        """Return all that is there now, in catalog order; the next change is one after that.

        What waited to be told counts as told. So a reader may take the first change of many, and
        the rest at once. After the end it is what was there last.

        Raises:
            NotInitialisedError: in a forked child (WSANOTINITIALISED 10093).
        """
        services: tuple[Service, ...] = self._state.everything()
        return services

    @property
    def generation(self) -> int:
        """The number of what is there now: 0 at first, and one more with every change."""
        generation: int = self._state.generation
        return generation

    def changed_since(self, generation: int) -> bool:
        """Whether anything has changed since a generation; it does not wait.

        With `generation` read before `snapshot`, no change can be missed. Winsock:
        SIO_NSP_NOTIFY_CHANGE without a completion, where WSAEWOULDBLOCK means no.
        """
        return self.generation != generation

    @property
    def state(self) -> str:
        """How it stands, one of the strings of `WatchState`.

        - ``"starting"``: what is there has not been told yet, by one provider at least;
        - ``"live"``: what is there is known;
        - ``"stale"``: for one provider at least it may have changed since `stale_since`;
        - ``"failed"``: nothing comes any more, from no provider, and `error` tells why;
        - ``"closed"``: by its user, or in a forked child.

        A stream of changes that does not say when it has told all that is there counts as live
        after some seconds of quiet.
        """
        state: str = self._state.state
        return state

    @property
    def stale_since(self) -> float | None:
        """Since when, in seconds of `time.monotonic`; None while nothing is stale."""
        since: float | None = self._state.stale_since
        return since

    @property
    def error(self) -> NspError | None:
        """The last of `errors`; None if nothing is wrong."""
        errors = self.errors
        return errors[-1] if errors else None

    @property
    def errors(self) -> tuple[NspError, ...]:
        """What is wrong now, in catalog order; each error has the ``guid`` of its provider.

        A provider that fails does not end the watch of the others, nor its own, if it may help to
        try again; the error goes when it has recovered.
        """
        errors: tuple[NspError, ...] = self._state.errors
        return errors

    def close(self) -> None:
        """End the watch, from any thread; a second call does nothing.

        Who waits for a change gets CancelledError (10111) at once. The providers are told, and
        their threads end when they have come back.
        """
        self._state.close()

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
        # As with a lookup: a finaliser only rings, and the next operation closes what it left.
        state = getattr(self, "_state", None)
        if state is not None and not state.over:
            state.abandon()
            self._later.append(state)
