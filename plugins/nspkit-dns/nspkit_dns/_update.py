"""Dynamic updates (RFC 2136), signed with TSIG (RFC 8945)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dns.entropy
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdataset
import dns.rdatatype
import dns.tsig
import dns.update

from nspkit import Cancellation
from nspkit.errors import (
    ErrorCode,
    InvalidArgumentError,
    NspError,
    OperationNotSupportedError,
    TryAgainError,
    error_for,
)
from nspkit_dns import _hosts
from nspkit_dns._asker import Asker
from nspkit_dns._flight import Flight
from nspkit_dns._names import text_of
from nspkit_dns._wire import Answer, AskUpdate, Question

if TYPE_CHECKING:
    from collections.abc import Generator

    from nspkit_dns._attempts import Attempt
    from nspkit_dns._flight import Outcome
    from nspkit_dns._resolver import Resolver
    from nspkit_dns._routes import Route
    from nspkit_dns._servers import Server
    from nspkit_dns._wire import Ask, Plain

IN = dns.rdataclass.IN
SOA = dns.rdatatype.SOA
_CHANGED = (dns.rcode.YXDOMAIN, dns.rcode.YXRRSET, dns.rcode.NXRRSET, dns.rcode.NXDOMAIN)


class Changed(Exception):  # noqa: N818 - it is told to who tries again, and to nobody else
    """What the update takes for granted does not hold: somebody else was quicker."""


class UpdateFlight(Flight):
    """An update on its way; over TCP, because it must not be carried out twice."""

    __slots__ = ("_key", "_message")

    def __init__(
        self, message: dns.update.UpdateMessage, route: Route, key: dns.tsig.Key | None
    ) -> None:
        """Nothing is sent yet."""
        super().__init__(Question(message.zone[0].name, SOA), route)
        self._message = message
        self._key = key

    @property
    def shown(self) -> str:
        """What is asked, as messages name it."""
        return f"the update of the zone '{text_of(self.question.name)}'"

    def is_told(self, code: int) -> bool:
        """Take any answer: what one server refuses another one would refuse too."""
        return True

    def _ask_next(self, now: float) -> None:
        """Send it once more only when that which is under way has failed."""
        if self._attempts:
            self._next = now + self.route.retry
        else:
            super()._ask_next(now)

    def _written(self) -> Ask:
        self._message.id = dns.entropy.random_16()
        return AskUpdate(self._message, self._key)

    def _attempt(self, server: Server) -> Attempt:
        if server.transport == "udp":
            server = server._replace(transport="tcp")
        return super()._attempt(server)

    def _read(self, message: dns.message.Message | Plain) -> Any:
        code = message.rcode()
        return Answer((self.question.name,), None, code == dns.rcode.NOERROR, int(code), True)


def zone_of(resolver: Resolver, domain: dns.name.Name) -> dns.name.Name:
    """Ask which zone a domain is in.

    Raises:
        NspError: No server knows one, or fails.
    """
    return Asker(resolver, Cancellation()).run(_zone_of(domain))


def _zone_of(domain: dns.name.Name) -> Generator[list[Question], list[Outcome], dns.name.Name]:
    name = domain
    while name != dns.name.root:
        outcomes = yield [Question(name, SOA)]
        _hosts.raise_first(outcomes)
        [answer] = outcomes
        assert isinstance(answer, Answer)
        if answer.records and answer.canonical == name:
            return name
        name = name.parent()
    raise error_for(
        ErrorCode.WSAEREFUSED,
        f"no zone that could be updated has '{text_of(domain)}'; see the settings nameservers and "
        "zones",
    )


def send(resolver: Resolver, domain: dns.name.Name, message: dns.update.UpdateMessage) -> None:
    """Send an update and wait until it is carried out.

    Raises:
        Changed: What it takes for granted does not hold.
        NspError: The server refuses it, or fails.
    """
    flight = UpdateFlight(message, resolver.routes.to(domain), resolver.routes.key(domain))
    outcome = Asker(resolver, Cancellation()).wait(flight)
    if isinstance(outcome, NspError):
        raise outcome
    if outcome.ttl in _CHANGED:
        raise Changed
    if not outcome.exists:
        raise _refused(dns.rcode.Rcode(outcome.ttl), flight)


def _refused(code: dns.rcode.Rcode, flight: UpdateFlight) -> NspError:
    servers = ", ".join(map(str, flight.route.servers))
    text = f"{flight.shown} at {servers} is answered {dns.rcode.to_text(code)}"
    if code == dns.rcode.REFUSED:
        way_out = "let the server take it (allow-update, update-policy), or set 'tsig'"
        return error_for(ErrorCode.WSAEREFUSED, f"{text}: {way_out}")
    if code == dns.rcode.NOTAUTH:
        way_out = "set the primary server of the zone in 'zones'"
        return error_for(ErrorCode.WSAEREFUSED, f"{text}: {way_out}")
    if code == dns.rcode.NOTIMP:
        return OperationNotSupportedError(f"{text}: that server takes no updates")
    if code == dns.rcode.NOTZONE:
        return InvalidArgumentError(f"{text}: a name in it is of another zone")
    if code == dns.rcode.SERVFAIL:
        return TryAgainError(f"{text}: see the log of the server")
    return error_for(ErrorCode.WSANO_RECOVERY, text)


# -- records ---------------------------------------------------------------------------------------


def dataset(kind: dns.rdatatype.RdataType, ttl: int, texts: list[str]) -> dns.rdataset.Rdataset:
    """Return records of a type, from their texts."""
    return dns.rdataset.from_text_list(IN, kind, ttl, texts)


def require(
    message: dns.update.UpdateMessage,
    name: dns.name.Name,
    kind: dns.rdatatype.RdataType,
    records: dns.rdataset.Rdataset,
) -> None:
    """Have the update hold only if a name has exactly these records of a type, maybe none."""
    if records:
        message.present(name, records)
    else:
        message.absent(name, kind)


def replace(
    message: dns.update.UpdateMessage,
    name: dns.name.Name,
    kind: dns.rdatatype.RdataType,
    records: dns.rdataset.Rdataset,
) -> None:
    """Have the update give a name exactly these records of a type, maybe none."""
    message.delete(name, kind)
    if records:
        message.add(name, records)
