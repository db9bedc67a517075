"""What the DNS has of an instance, before and after an operation on it."""

from __future__ import annotations

import hashlib
import re
from math import ceil
from typing import TYPE_CHECKING, Any, NamedTuple

import dns.name
import dns.rdatatype

from nspkit import Address, Cancellation, ServiceOperation
from nspkit.errors import (
    AccessDeniedError,
    AlreadyExistsError,
    InvalidArgumentError,
    ServiceNotFoundError,
)
from nspkit_dns import _hosts
from nspkit_dns._asker import Asker
from nspkit_dns._names import text_of
from nspkit_dns._wire import Answer, Question

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping

    from nspkit import Service
    from nspkit_dns._browse import Instance
    from nspkit_dns._flight import Outcome
    from nspkit_dns._resolver import Resolver

SRV, TXT = dns.rdatatype.SRV, dns.rdatatype.TXT
_LONGEST_STRING = 255
_MOST_TEXT = 32 * 1024

Place = tuple[str, int]  # a numeric host and a port


class State(NamedTuple):
    """An instance in the DNS.

    Attributes:
        strings: Those of its TXT record; None where it has none.
        places: Where it can be reached.
        is_others: Whether it has SRV records that nspkit has not made.
    """

    strings: tuple[bytes, ...] | None
    places: frozenset[Place]
    is_others: bool = False

    @property
    def is_gone(self) -> bool:
        """Whether there is nothing of that name."""
        return self.strings is None and not self.places and not self.is_others

    def after(self, operation: ServiceOperation, given: State, *, multiple: bool) -> State:
        """Return what an operation makes of it, by Winsock's matrix.

        Raises:
            ServiceNotFoundError: What is to be removed is not there (10108).
        """
        if operation is ServiceOperation.REGISTER:
            if not multiple:
                return given
            keeps = self.strings is not None and given.strings == (b"",)
            strings = self.strings if keeps else given.strings
            return State(strings, self.places | given.places)
        if self.is_gone or (multiple and not given.places <= self.places):
            raise ServiceNotFoundError("it is not registered, or not with these addresses")
        places = self.places - given.places if multiple else frozenset[Place]()
        if places:
            return State(self.strings, places)
        if operation is ServiceOperation.DEREGISTER:
            return State(self.strings or (b"",), places)
        return State(None, places)


def given(service: Service, operation: ServiceOperation) -> State:
    """Return what a service says.

    Raises:
        InvalidArgumentError: The DNS cannot have it (WSAEINVAL 10022).
    """
    places = frozenset(_place(service, address) for address in service.addresses)
    if not places and operation is ServiceOperation.REGISTER:
        raise InvalidArgumentError(
            f"{service.name!r:.80} has no address: give one at least, with its port"
        )
    return State(tuple(_strings(service.attributes)) or (b"",), places)


def _place(service: Service, address: Address) -> Place:
    if not address.host or "%" in address.host:
        raise InvalidArgumentError(
            f"{service.name!r:.80} has the address {address!r:.100}: the DNS has IPv4 and IPv6 "
            "addresses, without a scope"
        )
    return address.host, address.port


def _strings(attributes: Mapping[str, object]) -> Iterable[bytes]:
    """Yield the strings of a TXT record (RFC 6763, section 6)."""
    length = 0
    for key, value in attributes.items():
        if not re.fullmatch(r"[ -<>-~]+", key):
            raise InvalidArgumentError(
                f"the attribute {key!r:.60} cannot be in the DNS: give a name of printable ASCII "
                "characters without '=' (RFC 6763, section 6.4)"
            )
        string = key.encode() if value is None else key.encode() + b"=" + _bytes(key, value)
        length += len(string) + 1
        if len(string) > _LONGEST_STRING or length > _MOST_TEXT:
            raise InvalidArgumentError(
                f"the attribute {key!r:.60} is too long for the DNS: name and value together may "
                f"have {_LONGEST_STRING - 1} bytes, and all attributes {_MOST_TEXT}"
            )
        yield string


def _bytes(key: str, value: object) -> bytes:
    if isinstance(value, bytes):
        return value
    try:
        return (str(value).lower() if isinstance(value, bool) else str(value)).encode()
    except UnicodeEncodeError as error:
        raise InvalidArgumentError(
            f"the attribute {key!r:.60} holds lone surrogates: give bytes, or decode what it came "
            "from properly"
        ) from error


def ttl_of(service: Service, default: int) -> int:
    """Return the time to live of the records of a service, in seconds."""
    return default if service.ttl is None else min(max(1, ceil(service.ttl)), 2**31 - 1)


# -- what there is ---------------------------------------------------------------------------------


def host_of(instance: Instance, port: int) -> dns.name.Name:
    """Return the name of the host that has the addresses of an instance with a port.

    An SRV record names a host, and a service of nspkit's has addresses: each port has a host of
    its own, whose name follows from the instance. It is of letters, digits and hyphens, because
    servers let nothing else have addresses.
    """
    whole = instance.name.to_digestable() + port.to_bytes(2, "big")
    digest = hashlib.sha256(whole).hexdigest()[:12]
    readable = re.sub(r"[^a-z0-9]+", "-", instance.label.lower())[:30].strip("-") or "service"
    try:
        return dns.name.Name((f"{readable}-{port}-{digest}".encode(), *instance.domain.labels))
    except dns.name.NameTooLong as error:
        raise InvalidArgumentError(
            f"'{text_of(instance.domain)}' leaves no room for the name of a host"
        ) from error


def present(resolver: Resolver, instance: Instance) -> State:
    """Ask what there is of an instance.

    Raises:
        NspError: A server failed.
    """
    return Asker(resolver, Cancellation()).run(_present(instance))


def _present(instance: Instance) -> Generator[list[Question], list[Outcome], State]:
    outcomes = yield [Question(instance.name, SRV), Question(instance.name, TXT)]
    _hosts.raise_first(outcomes)
    where, what = (_own(outcome, instance.name) for outcome in outcomes)
    strings = what[0].strings if what else None
    if any(record.target != host_of(instance, record.port) for record in where):
        return State(strings, frozenset(), is_others=True)
    types = (_hosts.A, _hosts.AAAA)
    outcomes = yield [Question(record.target, kind) for record in where for kind in types]
    _hosts.raise_first(outcomes)
    ports = [record.port for record in where for _ in types]
    targets = [record.target for record in where for _ in types]
    places = {
        (record.address, port)
        for outcome, target, port in zip(outcomes, targets, ports, strict=True)
        for record in _own(outcome, target)
    }
    return State(strings, frozenset(places))


def _own(outcome: Outcome, name: dns.name.Name) -> list[Any]:
    """Return the records of a name itself, without aliases."""
    assert isinstance(outcome, Answer)
    return list(outcome.records or ()) if outcome.canonical == name else []


def refuse_others(state: State, instance: Instance, operation: ServiceOperation) -> None:
    """Refuse to touch what somebody else has made.

    Raises:
        AlreadyExistsError: It would be replaced (WSAEALREADY 10037).
        AccessDeniedError: It would be removed (WSAEACCES 10013).
    """
    if not state.is_others:
        return
    text = f"'{text_of(instance.name)}' has SRV records that nspkit has not made"
    if operation is ServiceOperation.REGISTER:
        raise AlreadyExistsError(f"{text}: the name is in use; register it under another one")
    raise AccessDeniedError(f"{text}, and does not remove; remove them with nsupdate, say")
