"""What workers do for one provider's part of a registration: renew it, and tell of what failed.

Both are begun by the thread that looks at the clock, which waits for nobody: neither for a provider
nor for whoever subscribed to events.
"""

from __future__ import annotations

from contextvars import Context
from functools import partial
from typing import TYPE_CHECKING, Any

from nspkit._jobs import EVENTS, UPKEEP, Job
from nspkit._results import translated
from nspkit.errors import NspError

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    from nspkit._account import Account

    class Renewed(Protocol):
        """What is renewed: a lease, as far as its renewals are concerned."""

        account: Account
        ended: bool
        generation: Any

        @property
        def name(self) -> str: ...
        @property
        def key(self) -> Any: ...
        def is_asked(self) -> bool: ...
        def register(self) -> None: ...
        def release(self, wanted: Callable[[], bool]) -> object: ...
        def fail(self, error: NspError, late: object = None, *, aside: bool = False) -> None: ...


HOOK = "nsp_set_service"


class Renewal(Job):
    """One renewal, on a worker, which knows nothing of the thread that registered."""

    __slots__ = ("_lease",)

    lane = UPKEEP

    def __init__(self, lease: Renewed, service: str) -> None:
        """Make one for that lease, of the service of that name."""
        super().__init__(lease.account, f"the renewal of {service!r}")
        self._lease = lease
        self.call = partial(Context().run, self._renew)

    @property
    def generation(self) -> Any:
        """The round of the provider's life that it is in; None before it was begun."""
        return self._lease.generation if self.started else None

    def _renew(self) -> None:
        lease = self._lease
        try:
            if lease.ended:
                lease.release(lambda: False)
            elif lease.is_asked():
                lease.register()
        except NspError:
            pass  # it has been taken note of
        except BaseException as error:
            # Not even an interrupt may end a worker.
            self.refuse(translated(lease.name, lease.key, HOOK, error))

    def refuse(self, error: NspError) -> None:
        """Take note that it did not run, on whatever thread that turns out."""
        self._lease.fail(error, aside=True)


class Telling(Job):
    """The telling of an event where a subscriber may hang; if it is refused, nobody is told."""

    __slots__ = ("_emit",)

    lane = EVENTS

    def __init__(self, events: object, emit: Callable[[], None]) -> None:
        """Make one; all events of a host share the places of ``events``."""
        super().__init__(events, "the telling of an event")
        self._emit = emit
        self.call = partial(Context().run, self._tell)

    def _tell(self) -> None:
        try:
            self._emit()
        except BaseException:
            # Not even an interrupt may end a worker.
            import logging

            logging.getLogger("nspkit").exception("a subscriber failed on an event")
