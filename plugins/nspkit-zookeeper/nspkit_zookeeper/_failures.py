"""What ZooKeeper and its client say, as errors of nspkit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kazoo import exceptions
from kazoo.handlers.threading import KazooTimeoutError

from nspkit.errors import (
    AccessDeniedError,
    ErrorCode,
    InvalidArgumentError,
    TryAgainError,
    error_for,
)

if TYPE_CHECKING:
    from nspkit.errors import NspError

LOST = (
    exceptions.ConnectionLoss,
    exceptions.SessionExpiredError,  # and that the connection was closed
    exceptions.SessionMovedError,
)
"""The connection broke: nobody knows what has become of the request."""

_AWAY = (
    KazooTimeoutError,
    exceptions.OperationTimeoutError,
    exceptions.RequestTimeoutError,
    exceptions.ThrottledOpError,
    exceptions.NotReadOnlyCallError,
    exceptions.UnknownSessionError,
    exceptions.CancelledError,
    *LOST,
)
_DENIED = (
    exceptions.NoAuthError,
    exceptions.AuthFailedError,
    exceptions.InvalidACLError,
    exceptions.SessionClosedRequireSaslError,
)
_WRONG = (exceptions.MarshallingError, exceptions.BadArgumentsError)


def translated(error: Exception, location: str, reason: object = None) -> NspError:
    """Return the error of nspkit for one of the client's; ``reason`` is why it is away."""
    what = reason_of(error)
    if isinstance(error, _AWAY):
        why = f" ({reason_of(reason)})" if isinstance(reason, BaseException) else ""
        return TryAgainError(
            f"{location} did not answer: {what}{why}; try again when it can be reached"
        )
    if isinstance(error, _DENIED):
        return AccessDeniedError(
            f"{location} refuses: {what}; set 'user' and 'password' to those that its nodes were "
            "made with, or another 'prefix'"
        )
    if isinstance(error, _WRONG):
        return InvalidArgumentError(f"{location} cannot store that: {what}")
    if isinstance(error, exceptions.QuotaExceededError):
        return error_for(
            ErrorCode.WSAENOBUFS,
            f"{location} has no room left for that: raise the quota of the prefix",
        )
    return error_for(
        ErrorCode.WSANO_RECOVERY, f"{location} cannot do it: {what}; look into the server's log"
    )


def reason_of(error: object) -> str:
    """Return what an error of the client says, or what its class says, which has the words."""
    if isinstance(error, KazooTimeoutError) and not str(error):
        return "it took too long"
    doc = (type(error).__doc__ or "").strip().partition(".")[0]
    text = str(error) or doc or type(error).__name__
    return text[:200] if isinstance(error, OSError) else text[:1].lower() + text[1:200]
