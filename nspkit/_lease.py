"""One provider's part of a registration: registered, renewed, taken back, whoever's thread it is.

Calls of one lease never overlap: a renewal that overtook the end would bring the entry back. Who
ends a lease marks it first; if somebody is inside, that one takes the entry back on the way out.
No lock is needed for that, and none is held while the provider works.
"""

from __future__ import annotations

from time import sleep
from typing import TYPE_CHECKING

from nspkit._constants import ServiceOperation
from nspkit._events import EventKind
from nspkit._results import again
from nspkit._tenure import RELEASED, Tenure, Terms
from nspkit._upkeep import HOOK, Renewal
from nspkit.errors import (
    CancelledError,
    InProgressError,
    NotInitialisedError,
    NotReadyError,
    NspError,
    OperationNotSupportedError,
    OperationTimeoutError,
    ServiceNotFoundError,
    TryAgainError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from nspkit._account import Account
    from nspkit._constants import Namespace
    from nspkit._generation import Generation


_UNKNOWN = (OperationTimeoutError, TryAgainError)
"""After these nobody knows whether a call has got through."""


class Lease(Tenure):
    """An entry at one provider, from the first try to its end.

    Attributes:
        generation: The round of the provider's life that it belongs to, and ends with.
    """

    __slots__ = ("_because", "_begun", "_failure", "_holder", "_namespace", "_there", "generation")

    def __init__(self, account: Account, terms: Terms, namespace: Namespace | None) -> None:
        """Make one that was not tried yet.

        A provider that was not named is asked if it is one of ``namespace``, and has the hook.
        """
        super().__init__(account, terms)
        self._namespace = namespace
        self.generation: Generation | None = None
        self._because: NspError | None = None
        self._begun = False
        self._failure: NspError | None = None
        self._holder: dict[None, object] = {}
        self._there = False  # whether the back end has it, or may have it

    # -- registering, the first time and again -------------------------------------------------

    def is_asked(self) -> bool:
        """Whether its provider was named or is meant, else this is over; on a worker.

        Looked at until it has been called, since it may have been out of reach at the begin.

        Raises:
            NspError: it cannot be loaded; it is taken note of.
        """
        if self._namespace is None or self.generation is not None:
            return True
        try:
            lacks = self.account.lacks(HOOK, self._namespace)
        except NspError as error:
            # What is broken stays broken; what is still being imported need not.
            self._take_note(error, final=not isinstance(error, InProgressError))
            raise
        if lacks:
            self.release(lambda: False)
        return not lacks

    def is_unready(self) -> bool:
        """Whether its provider was not ready to be started, and is tried again."""
        error = self.error
        return self.generation is None and not self.ended and isinstance(error, NotReadyError)

    def register(self) -> None:
        """Register the service, or renew it, which is the same; starts the provider if need be.

        Raises:
            NspError: the start failed, or what the hook raised, translated; it is taken note of.
        """
        try:
            if self.generation is None:
                self._begin()
            else:
                self.generation.run(HOOK, self._work)
        except NspError as error:
            # It lacks the hook, or the operation: no later try changes that.
            self._take_note(error, final=isinstance(error, OperationNotSupportedError))
            raise

    def _begin(self) -> None:
        """Find a running generation; its final cleanup ends this lease from then on."""
        while True:
            generation = self.account.ensure_started()
            self.generation, self._begun = generation, False
            try:
                if self.ended:
                    raise self._ending()  # a start may take long, and nobody want it any more
                generation.run(HOOK, self._join, generation)
                return
            except NspError:
                # Refused by the guard, because the provider was stopped between the two lines:
                # the next generation is meant.
                if self._begun or self.ended:
                    raise
            self.generation = None

    def _join(self, generation: Generation) -> None:
        self._begun = True
        generation.users[self] = None
        self._work()

    def _work(self) -> None:
        """Register, unless it has ended; under the guard."""
        token, holder = object(), self._holder
        try:
            if holder.setdefault(None, token) is not token:
                busy = f"provider {self.name!r} has not come back from the last call"
                raise InProgressError(busy, guid=self.key)
            if not self.ended:
                self._call()
        finally:
            # Without a call, at which an interrupt could strike: nobody would be let in again.
            if None in holder and holder[None] is token:
                del holder[None]
            # The other order would leave a gap: who ends it marks it first, then looks.
            self._withdraw()
        if self.ended:
            raise self._ending()

    def _call(self) -> None:
        terms, generation, began = self.terms, self.generation, self.terms.renewals.clock()
        assert generation is not None
        try:
            register = ServiceOperation.REGISTER
            generation.payload.call(HOOK, terms.service, register, terms.multiple)
        except NspError as error:
            # What was refused changes nothing; an answer that was lost may have been a yes.
            self._there = self._there or isinstance(error, _UNKNOWN)
            raise
        except BaseException:
            self._there = True  # interrupted: nobody knows
            raise
        self._there = True
        self.succeed(began)

    def _take_note(self, error: NspError, *, final: bool) -> None:
        """Remember what went wrong and when to try again, unless it is at its end anyway.

        What is ``final`` is not tried again: its provider is passed over from then on.
        """
        generation = self.generation
        if self.account.lifetime.closed_because is not None:
            self.strand(error)  # the provider will never be started again
        if self.ended and not self._there:
            self._withdraw()
        if generation is None or generation.open:
            self.fail(error)
        else:
            self.job = None  # whoever stops the provider ends this lease in a moment
        if final:
            self.drop(error)

    # -- when it is due ------------------------------------------------------------------------

    def attend(self) -> None:
        """Hand what is due to a worker; if the last one still is at it, that is a failure."""
        if self.job is not None:
            self._late(self.job)
            return
        self.job = job = Renewal(self, self.terms.service.name)
        self.due = self.terms.renewals.clock() + (self.terms.ttl or 0.0) / 3.0
        try:
            self.terms.workers.submit(job)
        except NspError as error:
            job.refuse(error)
        self.terms.renewals.ring(self)

    def _late(self, job: Renewal) -> None:
        workers = self.terms.workers
        occupants = "" if job.started else f", occupied by {workers.occupants(job)}"
        error = OperationTimeoutError(
            f"provider {self.name!r} has not come back from {job.what} within a third of its "
            f"{self.terms.ttl:g} s{occupants}",
            guid=self.key,
        )
        workers.abandon(job)
        if job.started:
            self.fail(error, late=job, aside=True)
        else:
            job.refuse(error)

    # -- the end -------------------------------------------------------------------------------

    def release(self, wanted: Callable[[], bool]) -> NspError | None:
        """Take the entry back, and wait for that while ``wanted``; returns what went wrong.

        By looking again and again, because whoever is inside may be interrupted.
        """
        self.ended, pause = True, 0.0002
        self._withdraw_guarded()
        while not self.over and wanted():
            sleep(pause)
            pause = min(pause * 2, 0.02)
            self._withdraw_guarded()
        return self._told()

    def abandon(self) -> None:
        """Have the next who comes by take it back; safe in a finaliser: it only rings."""
        self.ended = True
        self.due = 0.0
        self.terms.renewals.ring(self)

    def drop(self, because: NspError) -> None:
        """Do not try any more; if it is there after all, take it back."""
        self._because = again(because)
        self.ended = True
        # As far as its user is concerned, even if somebody still is inside.
        self.error, self.state = self._because, RELEASED
        self._withdraw_guarded()

    def strand(self, because: NspError) -> None:
        """End it if it waits for a provider that is not started."""
        if self.generation is None and not self.ended:
            self.drop(because)

    def end(self) -> list[NspError]:
        """End it with its provider, which is stopping; returns what went wrong."""
        if not self.ended:
            self._because = CancelledError(
                f"provider {self.name!r} was stopped while this registration was open, and has "
                "taken it back",
                guid=self.key,
            )
            self.ended = True
        try:
            self._withdraw()
        except BaseException:
            self._finish()  # interrupted; who stops a provider does not try again
            raise
        failure = self._told()
        return [] if failure is None else [failure]

    def forget(self, error: NspError) -> object:
        """Void it in a forked child, calling nothing: the entry is the parent's."""
        if not self.over:
            self.error = error
        self.ended = self.over = True
        self.state = RELEASED
        self.expires = None
        return (self._holder, self.job)

    def _withdraw_guarded(self) -> None:
        if self.generation is None or self.over:
            self._withdraw()
            return
        try:
            self.generation.run(HOOK, self._withdraw)
        except NotInitialisedError:
            pass  # the provider is stopping, and whoever stops it ends this lease

    def _withdraw(self) -> None:
        """Take the entry back, once, if it has ended and nobody is inside."""
        if not self.ended or self.over:
            return
        token, holder = object(), self._holder
        try:
            if holder.setdefault(None, token) is token and not self.over:
                if self._there:
                    self._delete()
                self._finish()
        finally:
            if None in holder and holder[None] is token:  # as above, without a call
                del holder[None]

    def _delete(self) -> None:
        terms, generation, began = self.terms, self.generation, self.terms.renewals.clock()
        assert generation is not None
        try:
            # Not through the routine table, which refuses once the final cleanup has begun.
            delete = ServiceOperation.DELETE
            generation.payload.call(HOOK, terms.service, delete, terms.multiple)
        except ServiceNotFoundError:
            pass  # it has lapsed: nothing is left behind
        except NspError as error:
            self._failure = again(error)
            self.tell(EventKind.FAILED, terms.renewals.clock() - began, error)
            return
        self.tell(EventKind.DEREGISTERED, terms.renewals.clock() - began)

    def _finish(self) -> None:
        self.terms.renewals.discard(self)
        generation, failure, because = self.generation, self._failure, self._because
        if because is not None and failure is not None:
            because.errors = (failure,)
        if generation is not None:
            generation.users.pop(self, None)
            if failure is not None and not generation.open:
                generation.users[self] = None  # so the final cleanup hears of it
        self.finish(because or failure)

    def _told(self) -> NspError | None:
        """Take out what went wrong at the end: it is told once."""
        failure, self._failure = self._failure, None
        return failure

    def _ending(self) -> CancelledError:
        return CancelledError("the registration was ended meanwhile", guid=self.key)
