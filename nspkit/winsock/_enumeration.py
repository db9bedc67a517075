"""What the catalog holds, and the notice that it has changed."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, NamedTuple

from nspkit.errors import ErrorCode, InvalidHandleError, NspError
from nspkit.winsock._answer import c_shaped
from nspkit.winsock._feed import complete
from nspkit.winsock._lookup import callable_in
from nspkit.winsock._process import process

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from nspkit import Namespace
    from nspkit.winsock._process import Period


class NamespaceInfo(NamedTuple):
    """One row of the catalog; `WSANAMESPACE_INFO` in Winsock."""

    provider: UUID
    """Its GUID."""

    namespace: Namespace
    """The namespace that it serves."""

    active: bool
    """Whether it is asked and registered with."""

    version: str
    """The version that it states."""

    identifier: str
    """Its short name."""


class NamespaceInfoEx(NamedTuple):
    """One row of the catalog with what was installed as data; `WSANAMESPACE_INFOEX` in Winsock."""

    provider: UUID
    """Its GUID."""

    namespace: Namespace
    """The namespace that it serves."""

    active: bool
    """Whether it is asked and registered with."""

    version: str
    """The version that it states."""

    identifier: str
    """Its short name."""

    blob: bytes | None
    """What it was installed with as data."""


class Notification:
    """A handle that `WSAProviderConfigChange` makes: it has nothing to be used but that."""

    __slots__ = ("_period", "_seen")

    def __init__(self, period: Period, seen: int) -> None:
        """Make one that has seen so many changes."""
        self._period = period
        self._seen = seen

    def _await_change(self, waiter: Callable[[int], None]) -> bool:
        """Have ``waiter`` called at the next change; True if there was one since the last answer.

        Raises:
            InvalidHandleError: the handle is of an old period (WSA_INVALID_HANDLE 6).
        """
        with process.alone():
            if process.running() is not self._period:
                raise InvalidHandleError("this handle is of a time before WSACleanup")
            missed = self._seen != process.changes
            if missed:
                self._seen = process.changes
            else:
                self._period.waiters.append(waiter)
        return missed

    def _wait(self) -> int:
        over, codes = threading.Event(), [0]

        def changed(code: int) -> None:
            codes[0] = code
            over.set()

        if not self._await_change(changed):
            over.wait()
            # Only now: an interrupt meanwhile leaves the change to be told by the next call.
            self._seen = process.changes
        return codes[0]

    def _notify(self, completion: Callable[[int], object]) -> int:
        def changed(code: int) -> None:
            self._seen = process.changes
            complete(completion, code)

        return 0 if self._await_change(changed) else int(ErrorCode.WSA_IO_PENDING)


@c_shaped
def WSAEnumNameSpaceProviders() -> list[NamespaceInfo] | int:
    """List the catalog as it was at the first WSAStartup, in order, inactive providers included.

    A provider that cannot be imported tells no GUID, and is left out.

    Returns:
        A list, whose length is Winsock's count, or -1: WSANOTINITIALISED (10093).
    """
    return [NamespaceInfo(*row[:5]) for row in _rows(process.running())]


@c_shaped
def WSAEnumNameSpaceProvidersEx() -> list[NamespaceInfoEx] | int:
    """List the catalog as `WSAEnumNameSpaceProviders` does, with what was installed as data."""
    return _rows(process.running())


@c_shaped
def WSAProviderConfigChange(
    notification: Notification | None = None,
    completion: Callable[[int], object] | None = None,
) -> Notification | int:
    """Wait until the catalog is changed, or be told when it is.

    What runs does not see the change; after the next first `WSAStartup` it counts.

    Args:
        notification: None at the first call, which returns a handle at once; then that handle. A
            change since the last answer to it counts too.
        completion: None to wait; else a function that is called with 0 on the thread that
            changes the catalog, or with WSA_OPERATION_ABORTED (995) by the last `WSACleanup`.

    Returns:
        A handle at first, then 0 when there was a change, or -1: WSA_IO_PENDING (997) if
        ``completion`` will be called, WSA_INVALID_HANDLE (6) for no handle of this period,
        WSA_OPERATION_ABORTED (995) if the last `WSACleanup` came meanwhile,
        WSAEINVAL (10022), WSANOTINITIALISED (10093).
    """
    period = process.running()
    if notification is None:
        return Notification(period, process.changes)
    if not isinstance(notification, Notification):
        raise InvalidHandleError(f"{notification!r} is no handle of WSAProviderConfigChange")
    if completion is None:
        code = notification._wait()
    else:
        code = notification._notify(callable_in(completion))
    if code:
        raise NspError("there is no change to tell of", code=code)
    return 0


def _rows(period: Period) -> list[NamespaceInfoEx]:
    return [
        NamespaceInfoEx(
            info.guid,
            info.namespace,
            entry.enabled,
            info.version,
            entry.name,
            period.blobs.get(info.guid),
        )
        for entry in period.host.providers()
        if (info := entry.info) is not None
    ]
