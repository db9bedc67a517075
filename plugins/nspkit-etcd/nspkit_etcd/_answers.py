"""What etcd answers: a message, or why there is none."""

from __future__ import annotations

import json
from typing import Any

from nspkit_etcd._failures import Refusal, not_etcd

_OK = 200
_UNAVAILABLE = 14
_GATEWAYS = (502, 503, 504)


def message_in(status: int, text: bytes, location: str) -> dict[str, Any] | Refusal:
    """Return the message of an answer."""
    if status == _OK:
        try:
            body = json.loads(text)
            if "error" not in body:  # that of a stream has no status
                message = body.get("result", body)
                if isinstance(message, dict):
                    return message
        except (ValueError, TypeError, AttributeError):
            pass
    return refusal_in(status, text, location)


def refusal_in(status: int, text: bytes, location: str) -> Refusal:
    """Return what etcd says where it does not do what it was asked for.

    Raises:
        ProviderError: It is not etcd that says it (10107).
    """
    try:
        body = json.loads(text)
        error = body.get("error")
        if isinstance(error, dict):  # of a stream
            return Refusal(int(error["grpc_code"]), str(error["message"]), status)
        return Refusal(int(body["code"]), str(body["message"]), status)
    except (ValueError, TypeError, AttributeError, KeyError):
        words = text.decode(errors="replace").strip()
        if status in _GATEWAYS:
            return Refusal(_UNAVAILABLE, words or f"HTTP status {status}", status)
        raise not_etcd(status, words, location) from None
