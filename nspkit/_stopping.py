"""The final cleanup of one provider of one host: its steps, their order, and who waits for them."""

from __future__ import annotations

from functools import partial
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

from nspkit._events import EventKind
from nspkit._generation import Generation, Reference, Round, carrying
from nspkit._teardown import Teardown
from nspkit.errors import OperationTimeoutError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Protocol

    from nspkit._entry import CatalogEntry
    from nspkit._events import Events
    from nspkit._lifetime import Lifetime
    from nspkit._provider import Provider
    from nspkit._workers import Workers

    class House(Protocol):
        """What the accounts of one host share."""

        events: Events
        workers: Workers
        middleware: tuple[object, ...]
        budget: float

        def settings_of(self, entry: CatalogEntry) -> Mapping[str, Any]:
            """Return what the application gave a provider."""

        def interrupted(self) -> bool:
            """Whether this thread was changing something of the host when the call came."""

        def chain(self) -> tuple[Lifetime, ...]:
            """Return the lifetimes that this thread is inside."""


class Stopping:
    """The half of an account that ends: references given back, and the final cleanup."""

    __slots__ = ()

    entry: CatalogEntry
    lifetime: Lifetime
    _events: Events
    _house: House
    _starting: Provider | None
    _workers: Workers

    def release(self, reference: Reference | None, timeout: float | None = None) -> bool:
        """Give a reference back; True when it was the last. See `Lifetime.release`."""
        return self.lifetime.release(reference, self, timeout)

    def close(self, because: str, timeout: float | None) -> None:
        """Refuse starts and stop what is started, within ``timeout`` seconds."""
        self.lifetime.close(because, self, timeout)

    def close_at_exit(self, because: str) -> None:
        """The same on this thread, where no thread can be started any more."""
        self.lifetime.close(because, _InLine(self), None)

    def _teardown(self, round: Round, deadline: float | None = None) -> Teardown:
        generation = round.generation
        provider: Provider = generation.payload
        teardown = Teardown(
            self.entry.name,
            provider.info.guid,
            [
                ("the end of what is open", partial(self._end_users, generation)),
                ("calls in flight", partial(self._drain, generation, deadline)),
                ("nsp_cleanup", provider.clean_up),
                ("the release of resources", partial(provider.release, deadline)),
                ("unloading", partial(provider.unload, generation)),
            ],
            carrying=self._within,
            finished=partial(self._finished, round),
            hanging=self._hanging,
        )
        round.teardown = teardown
        return teardown

    def forget(self, because: str) -> list[Any]:
        """Void it in a forked child; returns what must never be dropped there."""
        generation = self.lifetime.generation
        pinned = [self.lifetime.forget(because), self._house.middleware]
        providers = [one for one in (self._starting, generation.payload) if one is not None]
        pinned += [(one, one.forget()) for one in providers]
        generation.payload = None
        refusal = generation.refusal()
        pinned += [user.forget(refusal) for user in generation.users]
        return pinned

    def carrying(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return ``function`` for a worker that goes on inside this thread's calls."""
        return carrying(self._house.chain(), function)

    def _within(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The same for the teardown of this provider."""
        return carrying((*self._house.chain(), self.lifetime), function)

    def _own(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The same for a thread of the provider: it outlives the calls it was started in."""
        return carrying((self.lifetime,), function)

    def stop(
        self, timeout: float | None, round: Round, interrupt: BaseException | None = None
    ) -> None:
        """Run the final cleanup on its own thread and wait for it, within the budget.

        ``timeout`` is the budget in seconds, None for the host's.

        Raises:
            CleanupTimeoutError: the budget is spent (10060); the provider is quarantined.
            NspError: the one error of the cleanup; CleanupError for several.
            KeyboardInterrupt: it came meanwhile; a second one spends the budget at once.
        """
        seconds = self._house.budget if timeout is None else timeout
        until = monotonic() + seconds
        lifetime, ident = self.lifetime, round.owner
        interrupts = 0 if interrupt is None else 1
        over = spent = False
        teardown: Any = None
        while not (over or spent):
            try:
                lifetime.barred[ident] = None
                teardown = round.teardown or self._teardown(round)
                teardown.begin()
                over = teardown.wait(until)
                spent = not over and lifetime.quarantine(round)
            except BaseException as caught:
                interrupt = interrupt or caught
                interrupts += 1
                until = until if interrupts < 2 else 0.0
            finally:
                lifetime.barred.pop(ident, None)
        try:
            if spent:
                late = teardown.timeout_error(seconds)
                self._tell(EventKind.QUARANTINED, seconds, late)
                if interrupt is None:
                    raise late
                raise interrupt from late
            error = teardown.outcome(interrupt)
            if error is not None:
                raise error
        finally:
            error = late = interrupt = None  # they refer to this frame: no cycle
            del teardown, round

    def stop_in_line(self, round: Round, interrupt: BaseException | None = None) -> None:
        """Run the final cleanup on this thread; only waiting is bounded, by the host's budget.

        Raises:
            NspError: the one error of the cleanup; CleanupError for several.
        """
        teardown = round.teardown or self._teardown(round, monotonic() + self._house.budget)
        teardown.walk()
        error = teardown.outcome(interrupt)
        try:
            if error is not None:
                raise error
        finally:
            del error, interrupt, round, teardown

    def _end_users(self, generation: Generation) -> list[BaseException]:
        """End lookups, watches and registrations, newest first."""
        errors: list[BaseException] = []
        while generation.users:
            for user in reversed(list(generation.users)):
                generation.users.pop(user, None)  # its own reader may be quicker
                try:
                    errors.extend(user.end())
                except BaseException as error:
                    errors.append(error)
        for one in errors:
            one.add_note(f"in the end of what was open at provider {self.entry.name!r}")
        return errors

    def _drain(self, generation: Generation, deadline: float | None) -> list[BaseException]:
        """Wait until nobody is inside the provider any more.

        By looking again and again: the guard takes no lock, so it cannot ring a bell either.
        """
        errors: list[BaseException] = []
        pause = 0.0002
        while True:
            # Looked at first: a call in flight may open something on its way out.
            busy = bool(self._hanging()) or self._workers.busy(self, generation)
            errors.extend(self._end_users(generation))
            if not busy:
                break
            if deadline is not None and monotonic() > deadline:
                what = ", ".join(sorted(set(self._hanging().values()))) or "a worker"
                late = f"provider {self.entry.name!r}: {what} did not come back in time"
                return [*errors, OperationTimeoutError(late, guid=self.lifetime.key)]
            sleep(pause)
            pause = min(pause * 2, 0.02)
        self._workers.join_leaving(monotonic() + 1.0)
        return errors

    def _hanging(self) -> dict[int, str]:
        """Return which threads are inside the provider, and in which hook; not this one."""
        from _thread import get_ident

        inside, me = dict(self.lifetime.inside), get_ident()
        return {ident: what for ident, what in inside.items() if ident != me}

    def _finished(self, round: Round) -> None:
        self._tell(EventKind.STOPPED)
        if self.lifetime.stopped(round):
            round.teardown.errors.clear()  # told as events; nobody is left to raise them
            self._tell(EventKind.QUARANTINE_ENDED)

    def _tell(self, kind: str, seconds: float = 0.0, error: BaseException | None = None) -> None:
        self._events.emit(kind, self.lifetime.key, self.entry.name, seconds, error)


class _InLine:
    """Stops an account on the thread that asks."""

    __slots__ = ("_account",)

    def __init__(self, account: Stopping) -> None:
        self._account = account

    def stop(self, _timeout: None, round: Round, interrupt: BaseException | None = None) -> None:
        self._account.stop_in_line(round, interrupt)
