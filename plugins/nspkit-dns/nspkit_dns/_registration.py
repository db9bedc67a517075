"""Registration by dynamic updates: what is there is read, and replaced if it is still so."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dns.name
import dns.rdata
import dns.rdataset
import dns.rdatatype
import dns.update

from nspkit import Address, ServiceOperation
from nspkit.errors import InvalidArgumentError, NspError, ServiceNotFoundError, TryAgainError
from nspkit_dns import _browse, _hosts, _state, _update
from nspkit_dns._names import text_of
from nspkit_dns._search import domains_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nspkit import Service
    from nspkit_dns._browse import Instance
    from nspkit_dns._resolver import Resolver
    from nspkit_dns._state import State

PTR, SRV, TXT = dns.rdatatype.PTR, dns.rdatatype.SRV, dns.rdatatype.TXT
_TURNS = 20
"""How often it is tried again because somebody else has changed the same meanwhile."""


def set_service(
    resolver: Resolver, service: Service, operation: ServiceOperation, multiple: bool
) -> None:
    """Register, deregister or delete an instance; each turn is one update, whole or not at all.

    Raises:
        InvalidArgumentError: It is no service that the DNS can have (WSAEINVAL 10022).
        ServiceNotFoundError: What is to be removed is not there (WSASERVICE_NOT_FOUND 10108).
        AlreadyExistsError: Somebody else has the name (WSAEALREADY 10037).
        AccessDeniedError: The server does not accept the key (WSAEACCES 10013).
        NspError: The server refuses the update (WSAEREFUSED 10112), or fails.
    """
    if service.service_type is None:
        raise InvalidArgumentError(
            f"{service.name!r:.80} is of no DNS-SD type: give one, such as '_http._tcp', as its "
            "class"
        )
    domain = domains_of(resolver, service.context)[0]
    instance = _browse.instance_of(service.name, service.service_type, domain)
    given = _state.given(service, operation)
    ttl = _state.ttl_of(service, resolver.settings.ttl)
    zone = _update.zone_of(resolver, domain)
    for _ in range(_TURNS):
        before = _state.present(resolver, instance)
        _state.refuse_others(before, instance, operation)
        try:
            after = before.after(operation, given, multiple=multiple)
        except ServiceNotFoundError as error:
            text = f"'{text_of(instance.name)}': {error.message}"
            raise ServiceNotFoundError(text) from None
        try:
            _update.send(resolver, domain, _message(zone, instance, before, after, ttl))
        except _update.Changed:
            continue
        if not after.places:
            _forget_type(resolver, zone, instance)
        return
    raise TryAgainError(
        f"'{text_of(instance.name)}' was changed by others {_TURNS} times in between; try again"
    )


def _message(
    zone: dns.name.Name, instance: Instance, before: State, after: State, ttl: int
) -> dns.update.UpdateMessage:
    """Return the update that makes one state of another, if it is still that one."""
    message = dns.update.UpdateMessage(zone)
    if before.is_gone:
        message.absent(instance.name)  # the name must not be in use
    was = {(name, kind): data for name, kind, data in _records(instance, before, 0)}
    will = {(name, kind): data for name, kind, data in _records(instance, after, ttl)}
    # A host that has no SRV record yet is nobody's: what is left of it there is replaced, as after
    # somebody has removed an instance by hand.
    known = {name for name, _ in was}
    for name, kind in {**was, **will}:
        if name in known and (name != instance.name or not before.is_gone):
            _update.require(message, name, kind, was.get((name, kind), _none(kind)))
    for name, kind in {**was, **will}:
        _update.replace(message, name, kind, will.get((name, kind), _none(kind)))
    _list(message, instance, ttl if after.places else None)
    return message


def _records(
    instance: Instance, state: State, ttl: int
) -> Iterator[tuple[dns.name.Name, dns.rdatatype.RdataType, dns.rdataset.Rdataset]]:
    """Yield the records of an instance and of its hosts; a prerequisite has no time to live."""
    strings = dns.rdataset.Rdataset(_update.IN, TXT)
    if state.strings is not None:
        strings.add(_text(state.strings), ttl)
    yield instance.name, TXT, strings
    ports = sorted({port for _, port in state.places})
    hosts = {port: _state.host_of(instance, port) for port in ports}
    targets = [f"0 0 {port} {host}" for port, host in hosts.items()]
    yield instance.name, SRV, _update.dataset(SRV, ttl, targets)
    for port, host in hosts.items():
        places = [Address.inet(one) for one, of in sorted(state.places) if of == port]
        for kind, family in _hosts.FAMILIES.items():
            texts = [one.host for one in places if one.family == family]
            yield host, kind, _update.dataset(kind, ttl, texts)


def _text(strings: tuple[bytes, ...]) -> dns.rdata.Rdata:
    wire = b"".join(bytes([len(string)]) + string for string in strings)
    return dns.rdata.from_wire(_update.IN, TXT, wire, 0, len(wire))


def _none(kind: dns.rdatatype.RdataType) -> dns.rdataset.Rdataset:
    return dns.rdataset.Rdataset(_update.IN, kind)


def _list(message: dns.update.UpdateMessage, instance: Instance, ttl: int | None) -> None:
    """Have the instance listed under its type, and this under all types; None takes it out."""
    for service_type in dict.fromkeys((instance.base, instance.service_type)):
        place = _browse.under(service_type, instance.domain)
        if ttl is None:
            message.delete(place, PTR, str(instance.name))
        else:
            message.add(place, ttl, PTR, str(instance.name))
    if ttl is not None:
        base = _browse.under(instance.base, instance.domain)
        message.add(_browse.under(_browse.TYPES, instance.domain), ttl, PTR, str(base))


def _forget_type(resolver: Resolver, zone: dns.name.Name, instance: Instance) -> None:
    """Take the type out of the list of types, if nothing of it is listed any more."""
    base = _browse.under(instance.base, instance.domain)
    message = dns.update.UpdateMessage(zone)
    message.absent(base, PTR)
    message.delete(_browse.under(_browse.TYPES, instance.domain), PTR, str(base))
    try:
        _update.send(resolver, instance.domain, message)
    except (_update.Changed, NspError):
        pass  # others are listed; or it stays, which harms nobody
