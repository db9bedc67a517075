"""A registration: a service that stays registered until it is closed, and how that stands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nspkit._tenure import ACTIVE, LOST, PENDING, RELEASED
from nspkit._value import refuse, seconds_in
from nspkit.errors import InProgressError, NspError

if TYPE_CHECKING:
    from collections import deque
    from types import TracebackType
    from typing import Self
    from uuid import UUID

    from nspkit._account import Account
    from nspkit._constants import Namespace
    from nspkit._leases import Leases
    from nspkit._model import Service

SHORTEST = 0.1
"""The shortest time to live that is renewed, in seconds."""


class RegistrationState:
    """What is known of a registration; plain strings, so that a log shows them as they are."""

    PENDING = PENDING
    """Not registered yet where it should be: a provider failed at first and is tried again.

    One that is not ready to be started is tried again too, and does not count beside others.
    """

    ACTIVE = ACTIVE
    """Registered wherever it should be."""

    LOST = LOST
    """A renewal failed, so the back end may have forgotten it; it is registered again."""

    RELEASED = RELEASED
    """Over: closed, or its providers were stopped."""


class Registration:
    """A service that stays registered: a context manager, which deregisters it at the end.

    `Host.register` makes it. A service with a time to live is renewed after a third of it, by
    worker threads; a renewal registers it anew, so what the back end has forgotten comes back. One
    that fails is seen in `state`, `error` and the events of the host, and is tried again, for
    ever, each time later; a provider that cannot be loaded, or that does not support it
    (WSAEOPNOTSUPP 10045), is passed over and stands in `errors`. It ends with `close`, with the
    final cleanup of its provider, or in a forked child, where it is not the child's; then its
    `state` is ``"released"``. Dropped open, it warns, like a file, and is taken back as soon as
    somebody comes by.

    Winsock: NSPSetService with RNRSERVICE_REGISTER, and RNRSERVICE_DELETE at the end.
    """

    __slots__ = ("__weakref__", "_held", "_later", "_owner", "_state")

    def __init__(self, state: Leases, later: deque[Any], owner: object) -> None:
        """Make the face of ``state``; ``later`` takes what a finaliser leaves to be closed."""
        self._state = state
        self._later = later
        self._owner = owner  # the host lives as long as its registrations
        self._held = False

    def _begin(
        self, accounts: list[Account], namespace: Namespace, seconds: float | None
    ) -> Registration:
        self._state.begin(accounts, namespace, seconds)
        self._held = True  # what never was its user's is dropped without a warning
        return self

    def __repr__(self) -> str:
        return f"<Registration of {self.service.name!r}: {self.state}>"

    @property
    def service(self) -> Service:
        """What is registered, with the time to live that it is renewed by."""
        return self._state.service

    @property
    def state(self) -> str:
        """One of the strings of `RegistrationState`; with several providers, the worst.

        One that was not ready to be started (WSASYSNOTREADY 10091), since nobody has configured it
        perhaps, counts only where no other has it.
        """
        leases = self._state.all
        unready = {lease for lease in leases if lease.is_unready()}
        states = {lease.state for lease in leases if lease not in unready}
        for state in (LOST, PENDING, ACTIVE):
            if state in states:
                return state
        return PENDING if unready else RELEASED

    @property
    def error(self) -> NspError | None:
        """What went wrong last, or None if all is well, or was closed without an error.

        After the final cleanup of its provider it is a CancelledError (WSA_E_CANCELLED 10111), in
        a forked child a NotInitialisedError (10093).
        """
        failed = [lease for lease in self._state.all if lease.error is not None]
        return max(failed, key=lambda lease: lease.failed_at).error if failed else None

    @property
    def errors(self) -> tuple[NspError, ...]:
        """What is wrong now, in catalog order; each error has the ``guid`` of its provider.

        A provider that refuses the service, or that is away, does not keep it from the others.
        """
        return tuple(lease.error for lease in self._state.all if lease.error is not None)

    @property
    def providers(self) -> tuple[UUID, ...]:
        """The GUIDs of the providers that have it, or should, in catalog order."""
        found = [lease.account.guid for lease in self._state.all if lease.state != RELEASED]
        return tuple(guid for guid in found if guid is not None)

    @property
    def expires(self) -> float | None:
        """When the first provider forgets it, if it is not renewed, in `time.monotonic` seconds.

        None without a time to live, and after the end.
        """
        found = [one.expires for one in self._state.all if one.expires is not None]
        return min(found) if found else None

    def close(self, *, timeout: float | None = None) -> None:
        """Deregister it, from any thread (RNRSERVICE_DELETE); a second call does nothing.

        Registered at one provider by name, this runs in the caller's thread and ends when the
        provider does; at several they are asked side by side and have 30 seconds. Called from
        inside a provider, in a signal handler for instance, it is queued: a worker, or the next
        operation of the host, does it. It is over afterwards, also when it fails: what has a time
        to live lapses then.

        Args:
            timeout: How many seconds it may take; None as above.

        Raises:
            OperationTimeoutError: a provider has not come back (WSAETIMEDOUT 10060).
            NspError: what a provider raised; of several the most specific, with all in ``errors``.
        """
        seconds = None if timeout is None else seconds_in("timeout", timeout)
        self._held = False
        try:
            self._state.take_back(seconds)
        except InProgressError:
            if self._state.over:
                raise  # a provider said so
            self._later.append(self._state)

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
        # A finaliser may run anywhere, so it takes no lock, waits for nothing, and calls no
        # provider: it leaves that to a worker, if it is renewed, and to the next operation.
        state = getattr(self, "_state", None)
        if state is None or state.over:
            return
        state.abandon()
        self._later.append(state)
        if self._held:
            import warnings

            message = f"{self!r} was dropped open; close it, or use it in a with block"
            warnings.warn(message, ResourceWarning, stacklevel=1, source=self)


def leased(service: Service, ttl: float | None) -> Service:
    """Return the service with the time to live that it is to be renewed by.

    Raises:
        InvalidArgumentError: that is no number of seconds, or too short (WSAEINVAL 10022).
    """
    if ttl is None:
        ttl = service.ttl
    if ttl is not None and seconds_in("ttl", ttl) < SHORTEST:
        raise refuse("ttl", ttl, f"give {SHORTEST} seconds at least, or None for no renewal")
    return service if ttl == service.ttl else service.replace(ttl=ttl)
