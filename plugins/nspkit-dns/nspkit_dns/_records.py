"""Records of any type, one result each; of SRV records with the addresses of their targets."""

from __future__ import annotations

import random
import socket
from typing import TYPE_CHECKING, Any

import dns.name
import dns.rdata
import dns.rdatatype

from nspkit import Address, LookupFlags, Service
from nspkit.errors import InvalidArgumentError, NoDataError, NspError
from nspkit_dns import _hosts
from nspkit_dns._asker import Asker
from nspkit_dns._names import candidates, is_ours, refuse_others, text_of
from nspkit_dns._wire import Answer, Question

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from nspkit import Cancellation, Query
    from nspkit_dns._asker import Task
    from nspkit_dns._flight import Outcome
    from nspkit_dns._resolver import Resolver

_AT_ONCE = 16
SRV, TXT, MX = dns.rdatatype.SRV, dns.rdatatype.TXT, dns.rdatatype.MX
# RFC 6895, section 3.1: questions and machinery, of which there are no records.
_META = frozenset((*range(128, 256), 41))
_TRANSPORTS = {
    b"_tcp": (socket.SOCK_STREAM, socket.IPPROTO_TCP),
    b"_udp": (socket.SOCK_DGRAM, socket.IPPROTO_UDP),
}


def find(
    resolver: Resolver, query: Query, name: str, kind: int, cancellation: Cancellation
) -> Iterator[Service]:
    """Return what finds the records of a type; a numeric address means its name in the DNS.

    Raises:
        InvalidArgumentError: The name is none, or the type is not one of records (10022).
        ServiceNotFoundError: The name is not looked up in the DNS (10108).
    """
    if kind in _META:
        raise InvalidArgumentError(
            f"{_shown(kind)} is no type of records but of questions; look up the type itself"
        )
    if kind in (_hosts.A, _hosts.AAAA):
        plan = _hosts.Plan(resolver, query, name)
        plan.types = [one for one in plan.types if one == kind]
        return _hosts.addresses(Asker(resolver, cancellation), plan)
    if kind == _hosts.PTR:
        try:
            address = Address.inet(name)
        except InvalidArgumentError:
            pass
        else:
            owner = _hosts.reverse(address)
            refuse_others(owner)
            return _hosts.names(Asker(resolver, cancellation), query, owner, address)
    idna = LookupFlags.DISABLE_IDN_ENCODING not in query.flags
    names = candidates(name, resolver.routes.search, resolver.routes.ndots, idna=idna)
    return _records(Asker(resolver, cancellation), query, names, kind)


def _records(
    asker: Asker, query: Query, names: list[dns.name.Name], kind: int
) -> Iterator[Service]:
    shown = text_of(names[0])
    outcomes = asker.run(_hosts.tried(names, [kind], shown))
    _hosts.raise_first(outcomes)
    [answer] = outcomes
    assert isinstance(answer, Answer)
    if not answer.records:
        _hosts.raise_nothing(outcomes, shown, f"records of the type {_shown(kind)}")
    records = list(answer.records or ())
    if kind != SRV:
        for record in sorted(records, key=lambda one: getattr(one, "preference", 0)):
            yield _service(query, answer, record)
        return
    yield from _targets(asker, query, answer, records)


def _targets(asker: Asker, query: Query, answer: Answer, records: list[Any]) -> Iterator[Service]:
    """Yield SRV records with addresses, in the order in which they are to be tried."""
    ordered = [one for one in chosen(records) if one.target != dns.name.root]
    if not ordered:  # RFC 2782: a single "." says so
        raise NoDataError(f"'{text_of(answer.canonical)}' says that it offers no such service")
    transport = answer.names[0].labels[1].lower() if len(answer.names[0].labels) > 1 else b""
    tasks = (target(record, query, transport) for record in ordered)
    outcomes = dict(asker.results(tasks, width=_AT_ONCE))
    for record in ordered:
        outcome = outcomes[record]
        if not isinstance(outcome, NspError):
            addresses, ttl = outcome
            service = _service(query, answer, record)
            yield service.replace(addresses=addresses, ttl=min(answer.ttl, ttl))
    _hosts.raise_first([one for one in outcomes.values() if isinstance(one, NspError)])


def _service(query: Query, answer: Answer, record: dns.rdata.Rdata) -> Service:
    return Service(
        text_of(answer.canonical),
        service_class=query.service_class,
        attributes=attributes_of(record),
        comment=_fitting(record.to_text()),
        blob=record.to_wire(),
        ttl=answer.ttl,
    )


def attributes_of(record: Any) -> dict[str, Any]:
    """Return the fields of a record by name, as far as they are numbers, names or texts."""
    found: dict[str, Any] = {}
    for slot in type(record).__slots__:
        value = getattr(record, slot)
        if isinstance(value, dns.name.Name):
            found[slot] = text_of(value)
        elif isinstance(value, int):
            found[slot] = int(value)
        elif isinstance(value, str | bytes) and len(value) <= 65535:
            found[slot] = plain(value.encode() if isinstance(value, str) else value)
    if record.rdtype in (TXT, dns.rdatatype.SPF):
        found["text"] = plain(b"".join(record.strings))  # RFC 7208, section 3.3
    return found


def plain(value: bytes) -> str | bytes:
    """Return bytes as text where they are one."""
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return value
    return value if "\0" in text else text


def _fitting(text: str) -> str:
    return text if len(text) <= 65535 and "\0" not in text else ""


def _shown(kind: int) -> str:
    return dns.rdatatype.to_text(dns.rdatatype.RdataType(kind))


# -- SRV -------------------------------------------------------------------------------------------


def chosen(records: Iterable[Any]) -> list[Any]:
    """Return SRV records in the order to try them: by priority, by chance weighted (RFC 2782)."""
    order: list[Any] = []
    by_priority: dict[int, list[Any]] = {}
    for record in records:
        by_priority.setdefault(record.priority, []).append(record)
    for priority in sorted(by_priority):
        left = sorted(by_priority[priority], key=lambda one: one.weight > 0)
        while left:
            at = random.uniform(0, sum(one.weight for one in left))
            for record in left:
                at -= record.weight
                if at <= 0:
                    break
            order.append(record)
            left.remove(record)
    return order


def target(
    record: Any, query: Query, transport: bytes = b""
) -> Task[tuple[Any, tuple[list[Address], int] | NspError]]:
    """Find the addresses of the target of an SRV record; the result has the record with it."""
    kinds = _hosts.kinds_of(query, 0)
    own = _TRANSPORTS.get(transport)
    if own is not None:
        kinds = [(family, *own) for family, _, proto in kinds if proto in (0, own[1])]
    if not is_ours(record.target):
        return record, ([], 2**31 - 1)
    types = _hosts.types_of(kinds)
    outcomes: list[Outcome] = []
    if types:
        outcomes = yield from _hosts.chased([Question(record.target, one) for one in types])
    answers = [one for one in outcomes if isinstance(one, Answer) and one.records]
    errors = [one for one in outcomes if isinstance(one, NspError)]
    if errors and not answers:
        return record, errors[0]
    found = _hosts.addresses_in(answers, kinds, record.port)
    return record, (found, min((one.ttl for one in answers), default=2**31 - 1))
