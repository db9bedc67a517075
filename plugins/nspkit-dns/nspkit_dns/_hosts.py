"""Hosts: the addresses of a name, and the names of an address."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import dns.name
import dns.rdatatype
import dns.reversename

from nspkit import SVCID_HOSTNAME, Address, LookupFlags, ResultFlags, Service
from nspkit.errors import InvalidArgumentError, NoDataError, NspError, ServiceNotFoundError
from nspkit_dns._names import candidates, is_ours, text_of
from nspkit_dns._wire import Answer, Question, loop

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from uuid import UUID

    from nspkit import Query
    from nspkit_dns._asker import Asker
    from nspkit_dns._flight import Outcome
    from nspkit_dns._resolver import Resolver

    Asking = Generator[list[Question], list[Outcome], list[Outcome]]

A, AAAA, PTR = dns.rdatatype.A, dns.rdatatype.AAAA, dns.rdatatype.PTR
FAMILIES: dict[dns.rdatatype.RdataType, int] = {A: socket.AF_INET, AAAA: socket.AF_INET6}
_SOCKET_TYPES = {socket.IPPROTO_TCP: socket.SOCK_STREAM, socket.IPPROTO_UDP: socket.SOCK_DGRAM}
_MOST_ALIASES = 16


class Plan:
    """What is asked of a host: under which names, of which families, and for which port.

    Attributes:
        names: The names that are tried in turn.
        types: The types of records: A, AAAA or both.
        kinds: The families (0 for any), socket types and protocols of the addresses.
        port: Their port.
    """

    __slots__ = ("class_id", "kinds", "names", "port", "shown", "types", "with_aliases")

    def __init__(
        self, resolver: Resolver, query: Query, name: str, port: int = 0, protocol: int = 0
    ) -> None:
        """Take what a query says.

        Raises:
            InvalidArgumentError: The name is none (WSAEINVAL 10022).
            ServiceNotFoundError: It is not looked up in the DNS (10108).
        """
        routes = resolver.routes
        idna = LookupFlags.DISABLE_IDN_ENCODING not in query.flags
        # A name with a dot at its end needs neither; resolv.conf may not even be read.
        whole = name.endswith(".") and not name.endswith("\\.")
        search, ndots = ((), 1) if whole else (routes.search, routes.ndots)
        self.names = candidates(name, search, ndots, idna=idna)
        self.shown = name
        self.port = port
        self.class_id: UUID = query.service_class or SVCID_HOSTNAME
        self.kinds = kinds_of(query, protocol)
        self.types = types_of(self.kinds)
        self.with_aliases = LookupFlags.RETURN_ALIASES in query.flags


def kinds_of(query: Query, own: int) -> list[tuple[int, int, int]]:
    """Return the families, socket types and protocols that a query wants."""
    pairs = [
        (family, protocol or own)
        for family, protocol in query.protocols or ((int(socket.AF_UNSPEC), 0),)
        if own in (0, protocol) or not protocol
    ]
    return [(family, _SOCKET_TYPES.get(protocol, 0), protocol) for family, protocol in pairs]


def types_of(kinds: list[tuple[int, int, int]]) -> list[int]:
    """Return the types of records that have addresses of such families."""
    families = {family for family, _, _ in kinds}
    return [kind for kind, family in FAMILIES.items() if families & {family, socket.AF_UNSPEC}]


def addresses(asker: Asker, plan: Plan) -> Iterator[Service]:
    """Yield a host with its addresses, and its aliases.

    Raises:
        ServiceNotFoundError: There is no such name (WSASERVICE_NOT_FOUND 10108).
        NoDataError: There is, but without addresses of the families asked for (11004).
        NspError: A server failed; of two families the one that answers is yielded before.
    """
    outcomes = asker.run(tried(plan.names, plan.types, plan.shown))
    answers = [one for one in outcomes if isinstance(one, Answer) and one.records]
    if answers:
        yield from services_of(answers, plan)
    raise_first(outcomes)
    if not answers:
        raise_nothing(outcomes, plan.shown, "address of the families asked for")


def tried(names: list[dns.name.Name], types: list[int], shown: str) -> Asking:
    """Ask for one name after the other until one has what is asked for."""
    if not types:
        raise NoDataError(f"'{shown}' has no address of the families asked for in the DNS")
    best: list[Outcome] = []
    for name in names:
        outcomes = yield from chased([Question(name, kind) for kind in types])
        if any(isinstance(one, NspError) or one.records for one in outcomes):
            return outcomes
        if not best or any(isinstance(one, Answer) and one.exists for one in outcomes):
            best = outcomes  # that a name exists says more than that another one does not
    return best


def chased(questions: list[Question]) -> Asking:
    """Ask, and go after aliases of which a server knows only that they are ones.

    One that leads to a name that is not looked up here is not gone after.
    """
    outcomes: list[Outcome] = yield questions
    for number, question in enumerate(questions):
        outcome = outcomes[number]
        while isinstance(outcome, Answer) and not outcome.is_end and is_ours(outcome.canonical):
            if len(outcome.names) > _MOST_ALIASES:
                outcome = loop(question)
                break
            [further] = yield [Question(outcome.canonical, question.type)]
            if isinstance(further, Answer):
                if set(further.names[1:]) & set(outcome.names):
                    further = loop(question)
                else:
                    further = further._replace(
                        names=outcome.names[:-1] + further.names,
                        ttl=min(outcome.ttl, further.ttl),
                        is_end=further.is_end or further.canonical == outcome.canonical,
                    )
            outcome = further
        outcomes[number] = outcome
    return outcomes


def services_of(answers: list[Answer], plan: Plan) -> Iterator[Service]:
    """Yield the canonical name with its addresses, then its aliases."""
    found = addresses_in(answers, plan.kinds, plan.port)
    ttl = min(answer.ttl for answer in answers)
    service = Service(
        text_of(answers[0].canonical), service_class=plan.class_id, addresses=found, ttl=ttl
    )
    yield service
    if plan.with_aliases:
        names = dict.fromkeys(name for answer in answers for name in answer.names[:-1])
        for name in names:
            yield service.replace(name=text_of(name), flags=ResultFlags.IS_ALIAS)


def addresses_in(
    answers: list[Answer], kinds: list[tuple[int, int, int]], port: int
) -> list[Address]:
    """Return the addresses of some answers, each in every kind that fits."""
    found: dict[Address, None] = {}
    for answer in answers:
        assert answer.records is not None
        family = FAMILIES[answer.records.rdtype]
        fitting = [one for one in kinds if one[0] in (family, socket.AF_UNSPEC)]
        for record in answer.records:
            for _, kind, protocol in fitting:
                sockaddr: tuple[Any, ...] = (record.address, port)
                found[Address(family, kind, protocol, sockaddr)] = None
    return list(found)


# -- names of an address ---------------------------------------------------------------------------


def reverse(address: Address) -> dns.name.Name:
    """Return the name under which the names of an address are (RFC 1035, RFC 3596)."""
    try:
        return dns.reversename.from_address(address.host.partition("%")[0])
    except Exception as error:  # dnspython's own parser may be stricter than the platform's
        raise InvalidArgumentError(f"{address.host!r} has no name in the DNS: {error}") from error


def names(asker: Asker, query: Query, name: dns.name.Name, address: Address) -> Iterator[Service]:
    """Yield a host for each name of an address.

    Raises:
        ServiceNotFoundError: It has no name (WSASERVICE_NOT_FOUND 10108).
        NspError: A server failed.
    """
    outcomes = asker.run(chased([Question(name, PTR)]))
    raise_first(outcomes)
    [answer] = outcomes
    assert isinstance(answer, Answer)
    if not answer.records:
        raise_nothing(outcomes, address.host, "name")
    kinds = [one for one in kinds_of(query, 0) if one[0] in (address.family, socket.AF_UNSPEC)]
    if not kinds:
        raise NoDataError(f"'{address.host}' is of none of the families asked for")
    addresses = [Address(address.family, kind, proto, address.sockaddr) for _, kind, proto in kinds]
    for record in answer.records or ():
        yield Service(
            text_of(record.target),
            service_class=query.service_class or SVCID_HOSTNAME,
            addresses=addresses,
            ttl=answer.ttl,
        )


# -- what there is not -----------------------------------------------------------------------------


def raise_first(outcomes: list[Outcome]) -> None:
    """Raise the first error of some outcomes, if there is one, as an object of this thread's."""
    for outcome in outcomes:
        if isinstance(outcome, NspError):
            raise again(outcome)


def again(error: NspError) -> NspError:
    """Return an error once more: others, who asked the same, raise it too."""
    return type(error)(error.message, code=error.code)


def raise_nothing(outcomes: list[Outcome], shown: str, what: str) -> None:
    """Raise what it is that there is not: the name, or what was asked of it.

    Raises:
        NoDataError: The name exists (WSANO_DATA 11004).
        ServiceNotFoundError: It does not (WSASERVICE_NOT_FOUND 10108).
    """
    if any(isinstance(one, Answer) and one.exists for one in outcomes):
        raise NoDataError(f"'{shown}' is in the DNS, but has no {what}")
    raise ServiceNotFoundError(f"'{shown}' is not in the DNS (NXDOMAIN)")
