"""DNS-based service discovery (RFC 6763): the instances of a type, and the types of a domain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import dns.name
import dns.rdatatype

from nspkit import Service
from nspkit.errors import InvalidArgumentError, NoDataError, NspError
from nspkit_dns import _hosts, _records
from nspkit_dns._names import is_ours, text_of
from nspkit_dns._wire import Answer, Question

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from nspkit import Query
    from nspkit_dns._asker import Asker
    from nspkit_dns._flight import Outcome

SRV, TXT, PTR = dns.rdatatype.SRV, dns.rdatatype.TXT, dns.rdatatype.PTR
_AT_ONCE = 16
TYPES = "_services._dns-sd._udp"
_LONGEST = 63


class Instance(NamedTuple):
    """An instance of a service.

    Attributes:
        name: Its whole name: ``<label>.<type>.<domain>``.
        base: Its type, without subtype.
        domain: Its domain.
        service_type: The type that is asked for, maybe a subtype.
    """

    name: dns.name.Name
    base: str
    domain: dns.name.Name
    service_type: str

    @property
    def label(self) -> str:
        """The name of the instance itself, which is for people."""
        text = _records.plain(self.name.labels[0])
        usable = isinstance(text, str)
        return str(text) if usable else dns.name.Name(self.name.labels[:1]).to_text()


def instance_of(label: str, service_type: str, domain: dns.name.Name) -> Instance:
    """Return an instance by the name of itself.

    Raises:
        InvalidArgumentError: It is too long (WSAEINVAL 10022).
    """
    base = base_of(service_type)
    encoded = label.encode()
    if len(encoded) > _LONGEST:
        raise InvalidArgumentError(
            f"{label!r:.80} is {len(encoded)} bytes long: give a name of an instance of at most "
            f"{_LONGEST} bytes (RFC 6763, section 4.1.1)"
        )
    try:
        name = dns.name.Name((encoded, *_labels(base), *domain.labels))
    except dns.name.NameTooLong as error:
        raise InvalidArgumentError(
            f"{label!r:.80} of the type '{service_type}' in '{text_of(domain)}' is longer than the "
            "253 bytes that a name of the DNS has at most"
        ) from error
    return Instance(name, base, domain, service_type)


def base_of(service_type: str) -> str:
    """Return a type without its subtype (RFC 6763, section 7.1)."""
    return service_type.partition("._sub.")[2] or service_type


def under(service_type: str, domain: dns.name.Name) -> dns.name.Name:
    """Return the name where the instances of a type are listed.

    Raises:
        InvalidArgumentError: It is too long (WSAEINVAL 10022).
    """
    try:
        return dns.name.Name((*_labels(service_type), *domain.labels))
    except dns.name.NameTooLong as error:
        raise InvalidArgumentError(
            f"'{service_type}' in '{text_of(domain)}' is longer than a name of the DNS may be"
        ) from error


def _labels(service_type: str) -> list[bytes]:
    return [label.encode() for label in service_type.split(".")]


# -- resolve ---------------------------------------------------------------------------------------


def resolve(
    asker: Asker, query: Query, label: str, service_type: str, domains: list[dns.name.Name]
) -> Iterator[Service]:
    """Yield the instance of a name, in the first of the domains that has it."""
    instances = [instance_of(label, service_type, domain) for domain in domains]
    return _resolve(asker, query, [one for one in instances if is_ours(one.domain)], label)


def _resolve(
    asker: Asker, query: Query, instances: list[Instance], label: str
) -> Iterator[Service]:
    seen: list[Outcome] = []
    for instance in instances:
        found = asker.run(_resolved(instance, query))
        if isinstance(found, Service):
            if not found.addresses:
                raise NoDataError(
                    f"'{text_of(instance.name)}' is in the DNS, but without an address of the "
                    "families and protocols asked for"
                )
            yield found
            return
        _hosts.raise_first(found)
        seen += found
    _hosts.raise_nothing(seen, label, "service (SRV) there")


def _resolved(
    instance: Instance, query: Query, ttl: int = 2**31 - 1
) -> Generator[list[Question], list[Outcome], Service | list[Outcome]]:
    """Return an instance with its addresses and attributes, or what there is instead."""
    questions = [Question(instance.name, SRV), Question(instance.name, TXT)]
    outcomes = yield from _hosts.chased(questions)
    where, what = outcomes
    if isinstance(where, NspError) or isinstance(what, NspError) or not where.records:
        return outcomes
    addresses: dict[Any, None] = {}
    transport = instance.base.rpartition(".")[2].encode()
    for record in _records.chosen(where.records):
        if record.target == dns.name.root:
            continue
        _, outcome = yield from _records.target(record, query, transport)
        if isinstance(outcome, NspError):
            return [outcome]
        addresses.update(dict.fromkeys(outcome[0]))
        ttl = min(ttl, outcome[1])
    return Service(
        instance.label,
        service_class=instance.service_type,
        addresses=addresses,
        attributes=attributes_of(what.records[0].strings if what.records else ()),
        ttl=min(ttl, where.ttl, what.ttl if what.records else where.ttl),
        context=text_of(instance.domain),
    )


def attributes_of(strings: tuple[bytes, ...]) -> dict[str, Any]:
    """Return the attributes that the strings of a TXT record are (RFC 6763, section 6)."""
    found: dict[str, Any] = {}
    seen = set()
    for string in strings:
        key, equals, value = string.partition(b"=")
        name = _records.plain(key)
        if not key or not isinstance(name, str) or name.lower() in seen:
            continue  # without a key, or there already: of a key the first counts
        seen.add(name.lower())
        found[name] = _records.plain(value) if equals else None
    return found


# -- browse ----------------------------------------------------------------------------------------


def browse(
    asker: Asker, query: Query, service_type: str, domains: list[dns.name.Name]
) -> Iterator[Service]:
    """Yield the instances of a type, each as soon as all of it is known."""
    places = [(under(service_type, one), one) for one in domains if is_ours(one)]
    return _browse(asker, query, service_type, [place for place, _ in places])


def _browse(
    asker: Asker, query: Query, service_type: str, places: list[dns.name.Name]
) -> Iterator[Service]:
    outcomes = asker.run(_hosts.chased([Question(place, PTR) for place in places]))
    found: dict[Instance, int] = {}
    for outcome in outcomes:
        if isinstance(outcome, Answer):
            for record in outcome.records or ():
                instance = _listed(record.target, service_type)
                if instance is not None:
                    found.setdefault(instance, outcome.ttl)
    if not found:
        _hosts.raise_first(outcomes)
        _hosts.raise_nothing(outcomes, text_of(places[0]), "services listed there")
    troubles = [one for one in outcomes if isinstance(one, NspError)]
    tasks = (_resolved(instance, query, ttl) for instance, ttl in found.items())
    for service in asker.results(tasks, width=_AT_ONCE):
        if isinstance(service, Service):
            yield service
        else:  # that one is listed and not there is no failure: it has just gone
            troubles += [one for one in service if isinstance(one, NspError)]
    _hosts.raise_first(list(troubles))


def _listed(target: dns.name.Name, service_type: str) -> Instance | None:
    """Return the instance that a PTR record names; None for what is something else."""
    base = base_of(service_type)
    labels = _labels(base)
    own = [label.lower() for label in target.labels[1 : 1 + len(labels)]]
    domain = dns.name.Name(target.labels[1 + len(labels) :] or (b"",))
    if own != labels or not is_ours(domain):
        return None
    return Instance(target, base, domain, service_type)


def types(asker: Asker, domains: list[dns.name.Name]) -> Iterator[Service]:
    """Yield the types of which a domain has services (RFC 6763, section 9)."""
    places = [under(TYPES, domain) for domain in domains if is_ours(domain)]
    return _types(asker, places)


def _types(asker: Asker, places: list[dns.name.Name]) -> Iterator[Service]:
    outcomes = asker.run(_hosts.chased([Question(place, PTR) for place in places]))
    found = 0
    for outcome in outcomes:
        if isinstance(outcome, Answer):
            for record in outcome.records or ():
                service = _type(record.target, outcome.ttl)
                if service is not None:
                    found += 1
                    yield service
    _hosts.raise_first(outcomes)
    if not found:
        _hosts.raise_nothing(outcomes, text_of(places[0]), "types listed there")


def _type(target: dns.name.Name, ttl: int) -> Service | None:
    text = ".".join(label.decode("ascii", "replace") for label in target.labels[:2])
    try:
        domain = text_of(dns.name.Name(target.labels[2:] or (b"",)))
        return Service(text.lower(), service_class=text, ttl=ttl, context=domain)
    except InvalidArgumentError:  # it is none
        return None
