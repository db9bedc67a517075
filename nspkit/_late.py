"""What finalisers and interrupted calls leave to be done by the next operation of a host."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from nspkit import _process
from nspkit._generation import STARTED, STARTING
from nspkit.errors import InProgressError

if TYPE_CHECKING:
    from collections.abc import Callable


class Later(deque[Any]):
    """Sessions and lookups that are still to be closed, oldest first.

    To append takes no lock and waits for nobody, so a finaliser may do it.
    """

    __slots__ = ()

    def settle(self) -> None:
        """Close them; what that raises is logged, since nobody is there to be raised to."""
        _process.close_orphans()
        for _ in range(len(self)):
            try:
                # It stays in the queue until it is closed: an interrupt may come on the way, and
                # another thread may close it too, which does no harm.
                left = self[0]
                self._close(left)
                self.remove(left)
            except (IndexError, ValueError):
                return  # another thread was quicker

    def _close(self, left: Any) -> None:
        try:
            left.close()
        except InProgressError:
            self.append(left)  # still inside: the next operation after that does it
        except Exception as error:
            report(error)


class Unclosed:
    """How a host ends that nobody closed: as garbage, at the exit, or in a forked child."""

    _accounts: Any
    _closing: Any
    _later: Later
    close: Callable[[], None]

    def _close_late(self) -> bool:
        """Close it; False where that has to wait, because this call comes from inside it."""
        try:
            self.close()
        except InProgressError:
            return False
        except Exception as error:
            report(error)
        return True

    def _close_at_exit(self) -> None:
        self._closing.close_at_exit()

    def _forget(self) -> object:
        later = list(self._later)
        self._later.clear()
        return (later, self._closing.forget())

    def __del__(self) -> None:
        accounts = getattr(self, "_accounts", None)
        if accounts is None or accounts.closing.because is not None:
            return
        states = [account.lifetime.state for account in list(accounts.all.values())]
        if STARTED in states or STARTING in states:
            # A finaliser takes no lock, waits for nothing and calls no provider: it leaves the
            # host to the next operation of any host, or to the exit.
            _process.orphans.append(self)
            import warnings

            message = f"{self!r} was dropped open; close it, or use it in a with block"
            warnings.warn(message, ResourceWarning, stacklevel=1, source=self)


def report(error: Exception) -> None:
    """Log an error that nobody is there to be raised to."""
    import logging

    logging.getLogger("nspkit").error("%s", error, exc_info=error)
