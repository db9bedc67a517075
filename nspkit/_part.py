"""One provider's part of a lookup or watch: begin, step, end, whoever's thread it is.

An iterator is never closed while it executes: who ends a part marks it, cancels, and closes the
iterator only if nobody is inside; otherwise the one inside closes it on the way out. No lock is
needed for that, and none is held while the provider works.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nspkit._constants import LookupFlags, ResultFlags
from nspkit._model import Service
from nspkit._results import shown, translated
from nspkit.errors import (
    CancelledError,
    InProgressError,
    NotInitialisedError,
    NspError,
    ProviderError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nspkit._account import Account
    from nspkit._cancellation import Cancellation
    from nspkit._generation import Generation
    from nspkit._model import Query

_RETURN_ALL = LookupFlags.RETURN_ALL.value

DONE: Any = object()
"""What `Part.step` returns when the provider has no more."""


class Part:
    """One provider's part of a lookup, from its begin to its end."""

    __slots__ = (
        "_began",
        "_guid",
        "_holder",
        "_iterator",
        "_namespace",
        "_plain",
        "account",
        "cancellation",
        "ended",
        "errors",
        "generation",
        "hook",
        "query",
    )

    def __init__(
        self, account: Account, query: Query, cancellation: Cancellation, hook: str
    ) -> None:
        """Make one that has not begun."""
        self.account = account
        self.query = query
        self.cancellation = cancellation
        self.hook = hook
        self.generation: Generation | None = None
        self.ended: NspError | None = None
        self.errors: list[NspError] = []
        self._began = False
        self._guid = account.lifetime.key
        self._namespace: Any = None
        # Whether a result is taken as it is: an operation on flags costs more than all the rest.
        whole = query.flags._value_ & _RETURN_ALL == _RETURN_ALL
        self._plain = whole and query.version is None
        self._iterator: Iterator[Any] | None = None
        self._holder: dict[None, object] = {}

    def begin(self, generation: Generation | None = None) -> None:
        """Call the hook, in ``generation`` or in a running one, which is started if need be.

        Raises:
            NspError: the start failed, or what the hook raised, translated.
        """
        while True:
            running = generation or self.account.ensure_started()
            if self.ended is not None:
                raise self.ending()  # a start may take long, and nobody wait any more
            self.generation = running
            try:
                running.run(self.hook, self._open, running)
                return
            except NspError:
                # Refused by the guard, because the provider was stopped between the two lines:
                # the next generation is meant. Unless this lookup belongs to a session.
                if self._began or generation is not None:
                    raise
            self.generation = None  # it waits outside, and the stop need not wait for it

    def _open(self, generation: Generation) -> None:
        self._began = True
        generation.users[self] = None
        try:
            provider = generation.payload
            self._namespace, self._guid = provider.info.namespace, provider.info.guid
            self._iterator = provider.begin(self.hook, self.query, self.cancellation)
        except BaseException:
            generation.users.pop(self, None)
            raise
        if self.ended is not None:
            self._close_iterator()
            raise self.ending()

    def step(self) -> Any:
        """Return the next item, checked and stamped, or `DONE`.

        Raises:
            NspError: what the provider raised, translated; the part is over then.
            CancelledError: it was ended meanwhile (WSA_E_CANCELLED 10111).
        """
        if self.ended is not None:
            raise self.ending()
        if self._iterator is None:
            return DONE
        assert self.generation is not None
        try:
            return self.generation.run(self.hook, self._step)
        except NotInitialisedError:
            if self.generation.open or self.ended is not None:
                raise  # the provider's own, or what a forked child is told
            # Refused by the guard: what stops the provider ends this part in a moment.
            raise self._stopped() from None

    def _step(self) -> Any:
        token, holder = object(), self._holder
        over = True
        try:
            if holder.setdefault(None, token) is not token:
                over = False
                raise InProgressError(
                    f"provider {self._name!r} is still asked for the last result of this lookup, "
                    "by another thread or by itself; an iterator is for one thread at a time"
                )
            item = self._next()
            over = item is DONE
            return item
        finally:
            # No call: an interrupt on the way back from one would leave it held for ever.
            try:
                if holder[None] is token:
                    del holder[None]
            except KeyError:
                pass  # another thread was inside, and has left
            # The other order would leave a gap: who ends the part marks it first, then looks.
            if over or self.ended is not None:
                self._close_iterator()

    def _next(self) -> Any:
        """Take items until one is wanted."""
        try:
            if self.ended is None and self._iterator is not None:
                for item in self._iterator:
                    if self.ended is not None:  # the provider has been at work since
                        break  # type: ignore[unreachable]
                    if type(item) is Service and self._plain:
                        return item._stamped(self._namespace, self._guid)
                    wanted = self._checked(item)
                    if wanted is not None:
                        return wanted
        except (Exception, SystemExit, GeneratorExit) as error:
            # One that was ended meanwhile was interrupted on purpose: so it came back.
            if self.ended is None:
                if isinstance(error, NspError):
                    self.translated(error)  # says whose it is
                    raise
                raise self.translated(error) from error
        if self.ended is not None:
            raise self.ending()
        return DONE

    def _checked(self, item: Any) -> Any:
        """Check one result, stamp it, narrow it to the flags; None where it is not wanted."""
        if type(item) is not Service:  # isinstance() would ask the item, which may say anything
            raise ProviderError(
                f"provider {self._name!r}: {self.hook} yielded {shown(item)}; it must yield "
                "Service objects",
                guid=self._guid,
            )
        query = self.query
        if item.flags & ResultFlags.IS_ALIAS and not query.flags & LookupFlags.RETURN_ALIASES:
            return None
        version = query.version
        if version is not None and item.version is not None and not version.matches(item.version):
            return None
        return item._stamped(self._namespace, self._guid)._narrowed(query.flags)

    def ending(self) -> NspError:
        """Return a new error that says why it was ended; one object must not be raised twice."""
        ended = self.ended
        assert ended is not None
        return type(ended)(ended.message, code=ended.code, guid=ended.guid)

    def end(self, because: NspError | None = None) -> list[NspError]:
        """End it, from any thread; returns what went wrong in the closing of the iterator.

        Nothing if somebody else has ended it: then that is an error of the lookup only.
        """
        mine = self.ended is None
        try:
            self.stop(because)
        finally:
            self._close_iterator()
        return self.errors if mine else []

    def stop(self, because: NspError | None = None) -> None:
        """Mark it as ended and cancel: who waits inside comes back, no other call is made."""
        if self.ended is None:
            self.ended = because or self._stopped()
        try:
            self.cancellation.cancel()
        finally:
            self._collect()

    def _stopped(self) -> CancelledError:
        what = f"provider {self._name!r} was stopped while this lookup was open"
        return CancelledError(what, guid=self._guid)

    def close(self, because: NspError) -> None:
        """End it as its user: under the guard, or by the final cleanup if that has begun."""
        try:
            if self.ended is None:  # else whoever has ended it runs the callbacks
                self.stop(because)
        finally:
            generation = self.generation
            if generation is not None and self._iterator is not None:
                try:
                    generation.run(f"the close of {self.hook}", self._close_iterator)
                except NspError:
                    pass  # the provider is stopping, and whoever stops it ends this part

    def forget(self, because: NspError) -> object:
        """Void it in a forked child, calling nothing; returns what must not be dropped there."""
        self.ended = because
        self.cancellation.forget()
        iterator, self._iterator = self._iterator, None
        return iterator

    def _close_iterator(self) -> None:
        """Close the iterator, once, if nobody is inside."""
        if self._iterator is None:
            return
        token, holder = object(), self._holder
        try:
            if holder.setdefault(None, token) is not token:
                return  # whoever is inside closes it on the way out
            iterator, self._iterator = self._iterator, None
            close = getattr(iterator, "close", None)
            if close is not None:
                close()
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            self.errors.append(self.translated(error))
        finally:
            try:
                if holder[None] is token:  # as in _step
                    del holder[None]
                    assert self.generation is not None
                    self.generation.users.pop(self, None)
                    self.cancellation.release()
            except KeyError:
                pass
            self._collect()

    def _collect(self) -> None:
        """Take over what callbacks raised."""
        while (failed := self.cancellation.failure()) is not None:
            self.errors.append(self.translated(failed))

    @property
    def over(self) -> bool:
        """Whether there is nothing to step or to close: not begun, or over."""
        return self._iterator is None

    @property
    def _name(self) -> str:
        return str(self.account.entry.name)

    def translated(self, error: BaseException) -> NspError:
        """Return the error for what the provider raised, with that as its cause."""
        translation = translated(self._name, self._guid, self.hook, error)
        if translation is not error:
            translation.__cause__ = error
        return translation
