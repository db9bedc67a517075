"""WSALookupServiceBegin, Next and End, and the control requests on a query."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nspkit import SIO_NSP_NOTIFY_CHANGE, LookupFlags, Query, Service
from nspkit.errors import ErrorCode, InvalidArgumentError, NspError, OperationNotSupportedError
from nspkit.winsock._answer import c_shaped, required
from nspkit.winsock._process import process
from nspkit.winsock._search import Search

if TYPE_CHECKING:
    from collections.abc import Callable

    from nspkit.winsock._process import Period


@c_shaped
def WSALookupServiceBegin(query: Query, flags: LookupFlags | int) -> int:
    """Begin a query: at one provider, at those of a namespace, or at all.

    All providers are asked side by side, so that one which fails to begin is seen at the first
    `WSALookupServiceNext`. A query directed at one provider tells it here.

    Args:
        query: The restrictions; their ``provider`` and ``namespace`` say who is asked.
        flags: What to do, and what to return; they take the place of the flags in ``query``.

    Returns:
        A handle, for `WSALookupServiceNext` and in the end `WSALookupServiceEnd`, or -1:
        WSAEFAULT (10014) for None, WSAEINVAL (10022) for what is no query, or an unknown or
        inactive provider, WSASERVICE_NOT_FOUND (10108) if there is nobody to ask,
        WSANOTINITIALISED (10093), or what the provider failed with.
    """
    period = process.running()
    asked = restrictions(query, flags)
    return opened(period, Search(period.host, asked, period.host.lookup(asked)))


@c_shaped
def WSALookupServiceNext(handle: int, flags: LookupFlags | int = 0) -> Service | int:
    """Return the next result of a query.

    Results come provider after provider, in catalog order. One that fails is passed over; if it
    is the last, its code is told once, after the results of the others.

    Args:
        handle: The query.
        flags: RETURN bits narrow, for this call only, what was asked for at the begin; without
            any all of that is returned. There is no buffer that a result may not fit, so
            FLUSHPREVIOUS has nothing to drop. Other flags are accepted and mean nothing here.

    Returns:
        A `Service`, or -1: WSA_E_NO_MORE (10110) at the end, however often,
        WSA_E_CANCELLED (10111) if the query is ended meanwhile, WSA_INVALID_HANDLE (6),
        WSANOTINITIALISED (10093), or what the only or the last provider failed with.
        After `WSANSPIoctl` has asked for changes the end is none: what has changed since comes
        with its result flag, and WSA_E_NO_MORE stands between one change and the next.
    """
    return process.running().search(handle).next(Query(flags=flags).flags)


@c_shaped
def WSALookupServiceEnd(handle: int) -> int:
    """End a query, also from another thread: who waits there for a result gets 10111.

    Returns:
        0, whatever the providers raise, or -1: WSA_INVALID_HANDLE (6) if it was ended already,
        WSANOTINITIALISED (10093).
    """
    period = process.running()
    search = period.search(handle)
    search.end()
    period.searches.pop(handle, None)
    return 0


@c_shaped
def WSANSPIoctl(
    handle: int,
    code: int,
    data: bytes = b"",
    completion: Callable[[int], object] | None = None,
) -> bytes | int:
    """Make a control request on a query that goes to one provider.

    SIO_NSP_NOTIFY_CHANGE asks whether the results have changed. Without ``completion`` it is a
    poll: 0 if they have, WSAEWOULDBLOCK (10035) if they are still valid. The first one learns
    what is there, and waits for that. What differs from the results that `WSALookupServiceNext`
    has delivered is a change, until it has fetched that too; results that are still to be read
    come first, and are compared at their end.

    Args:
        handle: The query.
        code: SIO_NSP_NOTIFY_CHANGE, or a code of the provider's own, which gets ``data``.
        data: The input, in bytes.
        completion: With SIO_NSP_NOTIFY_CHANGE: it is called on a thread of its own with 0 once
            the results have changed, or with WSA_OPERATION_ABORTED (995) when the query ends.

    Returns:
        The output of a provider's own request, 0 if there is none. -1: WSA_IO_PENDING (997) if
        ``completion`` will be called, WSA_INVALID_HANDLE (6), WSAEINVAL (10022) if the query goes
        to several providers, WSAEOPNOTSUPP (10045) for an unknown code or a completion for
        another one, WSANOTINITIALISED (10093), or what the provider failed with.
    """
    search = process.running().search(handle)
    if code != SIO_NSP_NOTIFY_CHANGE:
        if completion is not None:
            search.provider()
            raise OperationNotSupportedError(
                "only SIO_NSP_NOTIFY_CHANGE takes a completion; call it without"
            )
        output = search.control(code, data)
        return 0 if output is None else output
    if completion is None:
        search.poll()
        return 0
    search.notify(callable_in(completion))
    raise NspError("the completion will be called", code=ErrorCode.WSA_IO_PENDING)


def restrictions(query: object, flags: LookupFlags | int) -> Query:
    """Return the query with the flags that it is begun with."""
    required("query", query)
    if not isinstance(query, Query):
        raise InvalidArgumentError(f"query is {query!r}; give a nspkit.Query")
    return query.replace(flags=flags)


def opened(period: Period, search: Search) -> int:
    """Give a query its handle."""
    handle = next(process.handles)
    period.searches[handle] = search
    return handle


def callable_in(completion: Callable[[int], object]) -> Callable[[int], object]:
    """Return what can be called."""
    if not callable(completion):
        raise InvalidArgumentError(f"completion is {completion!r}; give a function of one argument")
    return completion
