"""Names: which ones multicast DNS answers for, and what each of them asks.

All of it is done before anything is sent. Names are UTF-8 here and not IDNA's "xn--" (RFC 6762
section 16), composed (NFC), and compared without regard to case.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, NamedTuple
from unicodedata import normalize

from nspkit import SVCID_HOSTNAME, SVCID_INET_HOSTADDRBYNAME, LookupFlags, svcid_dns
from nspkit.errors import InvalidArgumentError, NoDataError, ServiceNotFoundError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from nspkit import Query

LOCAL = ".local"
ALL_TYPES = "_services._dns-sd._udp"
_LABEL = 63
_NAME = 253
_ANY_FAMILY = 0  # AF_UNSPEC

_BOTH = (socket.AF_INET, socket.AF_INET6)
# The classes that ask for a host, and the families that each is about.
_HOST_CLASSES: Mapping[UUID | None, tuple[int, ...]] = {
    None: _BOTH,
    SVCID_HOSTNAME: _BOTH,
    SVCID_INET_HOSTADDRBYNAME: _BOTH,
    svcid_dns(1): (socket.AF_INET,),
    svcid_dns(28): (socket.AF_INET6,),
}


class Host(NamedTuple):
    """A question for the addresses of a host: its name without the dot at the end."""

    name: str
    families: tuple[int, ...]


class Instance(NamedTuple):
    """A question for one instance of a service: its own label, and the type."""

    label: str
    type: str


class Type(NamedTuple):
    """A question for all instances of a type, or for all types."""

    type: str


Question = Host | Instance | Type


def question_in(query: Query) -> Question:
    """Return what a query asks, without asking anybody.

    Raises:
        ServiceNotFoundError: The name is not multicast DNS's (WSASERVICE_NOT_FOUND 10108).
        NoDataError: It asks for containers (WSANO_DATA 11004).
        InvalidArgumentError: No such name can be asked for (WSAEINVAL 10022).
    """
    if LookupFlags.CONTAINERS in query.flags:
        raise NoDataError("multicast DNS has no containers; look up without CONTAINERS")
    if query.context in ("", "\\"):
        if query.service_type is not None:
            if query.name is None:
                return Type(query.service_type)
            return instance_of(query.name, query.service_type)
        name = (query.name or "").removesuffix(".")
        if query.service_class in _HOST_CLASSES and _is_local(name):
            return _named(query, name)
    raise ServiceNotFoundError(
        "multicast DNS answers for names that end in .local and for types of services such as "
        f"'_http._tcp', which {_shown(query)} is not"
    )


def instance_of(name: str, service_type: str) -> Instance:
    """Return the instance of a name, which may be the full one.

    Raises:
        InvalidArgumentError: No instance can have that name (WSAEINVAL 10022).
    """
    name = normalize("NFC", name)
    tail = f".{service_type}{LOCAL}"
    if name.removesuffix(".").lower().endswith(tail):
        name = name.removesuffix(".")[: -len(tail)]
    _check_label(name, name)
    _check_length(name + tail)
    return Instance(name, service_type)


def dotted(question: Host | Type | Instance) -> str:
    """Return the name of a question as it is on the wire, with the dot at its end."""
    if isinstance(question, Host):
        return f"{question.name}."
    label = f"{question.label}." if isinstance(question, Instance) else ""
    return f"{label}{question.type}{LOCAL}."


def base_type(service_type: str) -> str:
    """Return the type that the instances of a subtype have."""
    return ".".join(service_type.split(".")[-2:])


def label_in(full: str, service_type: str) -> str | None:
    """Return the label of an instance from its full name; None if it is not one of the type."""
    tail = f".{service_type}{LOCAL}."
    return full[: -len(tail)] if full.lower().endswith(tail) and len(full) > len(tail) else None


def _is_local(name: str) -> bool:
    # With one dot too many it is still one that nobody else should be asked for.
    return name.lower().rstrip(".").endswith(LOCAL)


def _named(query: Query, name: str) -> Question:
    name = normalize("NFC", name)
    _check_length(name)
    labels = name.split(".")
    for label in labels:
        _check_label(label, name)
    kind = ".".join(labels[-3:-1]).lower()
    of_service = len(labels) > 2 and kind.startswith("_") and kind.endswith(("._tcp", "._udp"))
    if of_service and query.service_class is None:
        subtype = len(labels) == 5 and labels[1].lower() == "_sub"
        if name.lower() == ALL_TYPES + LOCAL or len(labels) == 3 or subtype:
            return Type(name[: -len(LOCAL)].lower())
        return Instance(name[: -len(f".{kind}{LOCAL}")], kind)
    asked = {family for family, _protocol in query.protocols} or {_ANY_FAMILY}
    own = _HOST_CLASSES[query.service_class]
    families = own if _ANY_FAMILY in asked else tuple(one for one in own if one in asked)
    return Host(name, families)


def _check_label(label: str, name: str) -> None:
    if not label:
        raise InvalidArgumentError(f"the name {name!r:.100} has an empty label: leave out one dot")
    size = len(label.encode())
    if size > _LABEL:
        raise InvalidArgumentError(
            f"the label {label!r:.80} has {size} bytes: a name has at most {_LABEL} between dots"
        )
    if not label.isprintable():
        raise InvalidArgumentError(f"the name {name!r:.100} has a control character: leave it out")


def _check_length(name: str) -> None:
    size = len(name.encode())
    if size > _NAME:
        raise InvalidArgumentError(f"the name {name!r:.80} has {size} bytes: {_NAME} is the most")


def _shown(query: Query) -> str:
    if query.context not in ("", "\\"):
        return f"the context {query.context!r:.80}"
    return f"{query.name!r:.80} of the class {query.service_class}"
