"""What etcd and the network say, as errors of nspkit."""

from __future__ import annotations

from typing import NamedTuple

from nspkit.errors import (
    AccessDeniedError,
    ErrorCode,
    InvalidArgumentError,
    NspError,
    ProviderError,
    TryAgainError,
    error_for,
)

# gRPC's codes, as etcd uses them.
_UNKNOWN, _INVALID, _NOT_FOUND = 2, 3, 5
_DENIED, _EXHAUSTED, _PRECONDITION, _RANGE = 7, 8, 9, 11
_UNIMPLEMENTED, _UNAUTHENTICATED = 12, 16
_PASSING = (1, 4, 10, 13, 14, _UNKNOWN)
"""Cancelled, deadline, aborted, internal, unavailable; unknown is what etcd says when it stops."""


class CompactedError(Exception):
    """The revision that was asked for is not kept any more, or not known yet."""


class LeaseGoneError(Exception):
    """There is no such lease."""


class LeaseThereError(Exception):
    """There is a lease of that number."""


class NoAuthError(Exception):
    """The server asks nobody for a password."""


class Refusal(NamedTuple):
    """A request that etcd did not carry out, or does not know whether it did.

    Attributes:
        code: gRPC's code.
        message: What etcd says.
        status: The status of HTTP.
    """

    code: int
    message: str
    status: int

    def is_passing(self) -> bool:
        """Say whether it may be carried out if it is asked again, or somebody else."""
        return self.code in _PASSING or "too many requests" in self.message

    def wants_login(self) -> bool:
        """Say whether the token is missing, or was forgotten or overtaken by the server."""
        if self.code == _UNAUTHENTICATED:
            return True
        words = ("user name is empty", "revision of auth store is old")
        return self.code == _INVALID and any(word in self.message for word in words)


def refused(refusal: Refusal, location: str) -> Exception:
    """Return the error for what etcd refuses."""
    code, message, status = refusal
    if code == _RANGE and "mvcc" in message:
        return CompactedError(message)
    if code == _NOT_FOUND and "lease" in message:
        return LeaseGoneError(message)
    if code == _PRECONDITION and "lease already" in message:
        return LeaseThereError(message)
    if code == _PRECONDITION and "authentication is not enabled" in message:
        return NoAuthError(message)
    if refusal.is_passing():
        return TryAgainError(f"{location} says {message!r:.200}: try again later")
    if code == _DENIED or refusal.wants_login() or "authentication failed" in message:
        return denied(message, location)
    if code == _EXHAUSTED and "larger than max" not in message:
        return _full(message, location)
    if code in (_INVALID, _EXHAUSTED, _RANGE):
        return InvalidArgumentError(
            f"{location} does not take it ({message:.200}): make the service smaller, or raise "
            "the server's limit, such as --max-request-bytes"
        )
    return not_etcd(status, message, location)


def denied(message: str, location: str) -> AccessDeniedError:
    """Return the error for who may not do what was asked."""
    return AccessDeniedError(
        f"{location} denies it ({message:.200}): see the settings 'user' and 'password', and what "
        "the roles of that user may read and write"
    )


def _full(message: str, location: str) -> NspError:
    return error_for(
        ErrorCode.WSAENOBUFS,
        f"{location} has no room ({message:.200}): compact and defragment it, then disarm its "
        "alarm, or raise its quota",
    )


def not_etcd(status: int, text: str, location: str) -> ProviderError:
    """Return the error for an answer that is none of etcd's version 3."""
    return ProviderError(
        f"{location} does not answer as etcd's JSON gateway /v3 does (HTTP status {status}, "
        f"{text!r:.100}): see the settings 'endpoints' and 'tls', and that it is etcd 3.4 or newer"
    )


def away(location: str, reasons: str) -> TryAgainError:
    """Return the error for servers that do not answer."""
    return TryAgainError(
        f"{location} does not answer ({reasons:.300}): try again later, or see the setting "
        "'endpoints'"
    )


def too_slow(location: str, reasons: str) -> TryAgainError:
    """Return the error for an answer that did not come in time."""
    return TryAgainError(
        f"{location} has not answered in time ({reasons or 'nobody waits any more':.300}): try "
        "again later, or raise the setting 'timeout'"
    )
