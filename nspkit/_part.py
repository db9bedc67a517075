"""One provider's part of a lookup or watch: begin, step, end, whoever's thread it is.

An iterator is never closed while it executes: who ends a part marks it, cancels, and closes the
iterator only if nobody is inside; otherwise the one inside closes it on the way out. No lock is
needed for that, and none is held while the provider works.
"""

from __future__ import annotations

from _thread import get_ident
from typing import TYPE_CHECKING, Any

from nspkit._constants import LookupFlags, ResultFlags
from nspkit._lifetime import Reference
from nspkit._model import Service
from nspkit._results import shown, translated
from nspkit.errors import CancelledError, InProgressError, NspError, ProviderError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nspkit._account import Account
    from nspkit._cancellation import Cancellation
    from nspkit._lifetime import Generation
    from nspkit._model import Query

# Plain integers: an operation on flags costs more than all the rest of a step.
_IS_ALIAS = ResultFlags.IS_ALIAS.value
_RETURN_ALIASES = LookupFlags.RETURN_ALIASES.value
_RETURN_ALL = LookupFlags.RETURN_ALL.value

DONE: Any = object()
"""What `Part.step` returns when the provider has no more."""


class Part:
    """One provider's part of a lookup, from its begin to its end."""

    __slots__ = (
        "_began",
        "_flags",
        "_holder",
        "_iterator",
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
        self._flags = query.flags.value
        self._iterator: Iterator[Any] | None = None
        self._holder: dict[None, int] = {}

    def begin(self, generation: Generation | None = None) -> None:
        """Call the hook, in ``generation`` or in a running one, which is started if need be.

        Raises:
            NspError: the start failed, or what the hook raised, translated.
        """
        while True:
            running = generation or self.account.ensure_started()
            self.generation = running
            try:
                running.run(self.hook, self._open, running)
                return
            except NspError:
                # Refused by the guard, because the provider was stopped between the two lines:
                # the next generation is meant. Unless this lookup belongs to a session.
                if self._began or generation is not None or self.ended is not None:
                    raise

    def _open(self, generation: Generation) -> None:
        self._began = True
        generation.users[self] = None
        try:
            self._iterator = getattr(generation.table, self.hook)(self.query, self.cancellation)
        except BaseException:
            generation.users.pop(self, None)
            raise
        if self.ended is not None:
            self._close_iterator()
            raise self.ended

    def step(self) -> Any:
        """Return the next item, checked and stamped, or `DONE`.

        Raises:
            NspError: what the provider raised, translated; the part is over then.
            CancelledError: it was ended meanwhile (WSA_E_CANCELLED 10111).
        """
        if self.ended is not None:
            raise self.ended
        if self._iterator is None:
            return DONE
        assert self.generation is not None
        return self.generation.run(self.hook, self._step)

    def _step(self) -> Any:
        ident, holder = get_ident(), self._holder
        if holder.get(None) == ident:
            raise InProgressError(
                f"this lookup was asked for its next result from inside provider {self._name!r}"
            )
        over = True
        try:
            if holder.setdefault(None, ident) != ident:
                over = False
                raise InProgressError(
                    "another thread waits for the next result of this lookup; an iterator is for "
                    "one thread at a time, make a lookup for each"
                )
            item = self._next()
            over = item is DONE
            return item
        finally:
            if holder.get(None) == ident:
                holder.pop(None)
            # The other order would leave a gap: who ends the part marks it first, then looks.
            if self.ended is not None or over:
                self._close_iterator()

    def _next(self) -> Any:
        """Take items until one is wanted."""
        while self.ended is None and self._iterator is not None:
            try:
                item = next(self._iterator)
            except StopIteration:
                break
            except NspError:
                raise
            except (Exception, SystemExit, GeneratorExit) as error:
                if self.ended is not None:
                    break  # it was interrupted on purpose: that is how it came back
                raise self._translated(error) from error
            wanted = self._checked(item)
            if wanted is not None:
                return wanted
        if self.ended is not None:
            raise self.ended
        return DONE

    def _checked(self, item: Any) -> Any:
        """Check one result, stamp it, narrow it to the flags; None where it is not wanted."""
        if type(item) is not Service and not isinstance(item, Service):
            raise ProviderError(
                f"provider {self._name!r}: {self.hook} yielded {shown(item)}; it must yield "
                "Service objects",
                guid=self._guid,
            )
        if item.flags._value_ & _IS_ALIAS and not self._flags & _RETURN_ALIASES:
            return None
        version = self.query.version
        if version is not None and item.version is not None:
            if not version.matches(item.version):
                return None
        stamped = item._stamped(self.account.entry.info.namespace, self._guid)
        whole = self._flags & _RETURN_ALL == _RETURN_ALL
        return stamped if whole else stamped._narrowed(self.query.flags)

    def end(self, because: NspError | None = None) -> list[NspError]:
        """End it, from any thread; returns what went wrong in the closing of the iterator."""
        self.stop(because)
        self._close_iterator()
        return self.errors

    def stop(self, because: NspError | None = None) -> None:
        """Mark it as ended and cancel: who waits inside comes back, no other call is made."""
        if self.ended is None:
            self.ended = because or CancelledError(
                f"provider {self._name!r} was stopped while this lookup was open", guid=self._guid
            )
        self.cancellation.cancel()

    def close(self, because: NspError) -> None:
        """End it as its user: under the guard, or by the final cleanup if that has begun."""
        self.stop(because)
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
        ident, holder = get_ident(), self._holder
        if self._iterator is None or holder.get(None) == ident:
            return
        try:
            if holder.setdefault(None, ident) != ident:
                return  # that thread closes it on its way out
            iterator, self._iterator = self._iterator, None
            close = getattr(iterator, "close", None)
            if close is not None:
                close()
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            self.errors.append(self._translated(error))
        finally:
            if holder.get(None) == ident:
                holder.pop(None)
            if self.generation is not None:
                self.generation.users.pop(self, None)
            while self.cancellation.errors:
                self.errors.append(self._translated(self.cancellation.errors.pop(0)))

    @property
    def _name(self) -> str:
        return str(self.account.entry.name)

    @property
    def _guid(self) -> Any:
        return self.account.lifetime.key

    def _translated(self, error: BaseException) -> NspError:
        translation = translated(self._name, self._guid, self.hook, error)
        if translation is not error:
            translation.__cause__ = error
        return translation
