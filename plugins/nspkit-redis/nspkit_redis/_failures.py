"""What the server and the network refuse, as the errors of Winsock."""

from __future__ import annotations

import re

import redis

from nspkit.errors import (
    AccessDeniedError,
    ErrorCode,
    NotInitialisedError,
    NspError,
    ProviderError,
    TryAgainError,
    error_for,
)

PASSING = (redis.ConnectionError, redis.TimeoutError, redis.ReadOnlyError)
"""What another endpoint may do better, or the same one later; with those below."""

_CODE = re.compile(r"(?:^|[: ]-?)([A-Z]{3,}) ")
_ELSEWHERE = {"MOVED", "ASK", "MASTERDOWN", "CLUSTERDOWN", "READONLY", "LOADING"}
_LATER = {"BUSY", "TRYAGAIN", "NOREPLICAS", "UNKILLABLE"} | _ELSEWHERE
_DENIED = {"NOAUTH", "WRONGPASS", "NOPERM", "DENIED"}
_FULL = {"OOM", "MISCONF"}


def code_of(error: redis.RedisError) -> str:
    """Return the word by which a server says what is the matter; ``""`` if it says none."""
    code = error.status_code
    if code and code != "ERR":
        return str(code)
    # What fails in a script is told by older servers in the midst of a sentence.
    found: list[str] = _CODE.findall(f"{error} ")
    known = [word for word in found if word in _LATER or word in _DENIED or word in _FULL]
    return known[0] if known else (found or [""])[0]


def is_passing(error: redis.RedisError) -> bool:
    """Say whether another endpoint may do better."""
    if isinstance(error, redis.AuthenticationError):
        return False
    return isinstance(error, PASSING) or code_of(error) in _ELSEWHERE


def of_server(error: redis.RedisError, location: str) -> NspError:
    """Return the error for what a server or the network refused."""
    code = code_of(error)
    if isinstance(error, redis.AuthenticationError) or code in _DENIED:
        return AccessDeniedError(
            f"{location} denies it ({shown(error)}): see the settings 'user' and 'password', "
            "and what that user may do"
        )
    if code in _FULL:
        return error_for(
            ErrorCode.WSAENOBUFS,
            f"{location} takes nothing more ({shown(error)}): give it memory, or room on its disk",
        )
    if code == "WRONGTYPE":
        return error_for(
            ErrorCode.WSANO_RECOVERY,
            f"{location} has something else where the registry is ({shown(error)}): remove that, "
            "or set another 'prefix'",
        )
    if is_passing(error) or code in _LATER:
        return TryAgainError(f"{location} is away or not ready ({shown(error)}); try again later")
    return ProviderError(f"{location} failed: {shown(error)}")


def stopped(location: str) -> NotInitialisedError:
    """Return the error for who goes on after the provider was stopped."""
    return NotInitialisedError(f"the provider was stopped meanwhile; {location} was not asked")


def given_up(location: str) -> TryAgainError:
    """Return the error for a request that nobody waits for any more."""
    return TryAgainError(f"nobody waited for {location} any longer")


def shown(error: BaseException) -> str:
    """Return what an error says, for another message."""
    return f"{error}".strip().rstrip(".")[:200] or type(error).__name__
