"""Messages: questions as bytes, and what of the bytes that arrive is the answer to one."""

from __future__ import annotations

import struct
from socket import AF_INET, AF_INET6, inet_ntop
from typing import TYPE_CHECKING, Any, NamedTuple

import dns.entropy
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset
import dns.tsig
import dns.update

from nspkit.errors import AccessDeniedError, ErrorCode, NspError, error_for
from nspkit_dns._names import text_of

if TYPE_CHECKING:
    from collections.abc import Iterator

_RECORD = struct.Struct("!HHHIH")
_ASKED_NAME = 0xC00C  # a pointer to the name in the question
_LENGTHS = {1: 4, 28: 16}  # of an A and of an AAAA record
_LONGEST = 2**31 - 1
_HEADER = struct.Struct("!HHHHHH")
_TYPE_AND_CLASS = struct.Struct("!HH")
_OPT = struct.Struct("!BHHIH")
_RD, _QR = 0x0100, 0x8000
_OPCODE = 0x7800
_MOST_ALIASES = 16

NOERROR, NXDOMAIN = dns.rcode.NOERROR, dns.rcode.NXDOMAIN
IN = dns.rdataclass.IN
CNAME, SOA = dns.rdatatype.CNAME, dns.rdatatype.SOA
_COVERING = (dns.rdatatype.RRSIG, dns.rdatatype.SIG)


class Question(NamedTuple):
    """What is asked: a name, absolute, and a type of records."""

    name: dns.name.Name
    type: int

    def __str__(self) -> str:
        return f"'{text_of(self.name)}' {dns.rdatatype.to_text(dns.rdatatype.RdataType(self.type))}"


class Found(NamedTuple):
    """A record that is an address."""

    address: str


class Plain:
    """An answer that has addresses of the name asked for, and nothing else.

    It has what is used of a message of dnspython's, and of its records.
    """

    __slots__ = ("_records", "flags", "rdtype", "ttl")

    def __init__(self, addresses: tuple[bytes, ...], kind: int, ttl: int) -> None:
        """Take the bytes of the addresses."""
        self._records = addresses
        self.flags = 0
        self.rdtype = kind
        self.ttl = ttl

    def rcode(self) -> dns.rcode.Rcode:
        """Return the code, which is that of success."""
        return NOERROR

    def __iter__(self) -> Iterator[Found]:
        family = AF_INET if self.rdtype == dns.rdatatype.A else AF_INET6
        return (Found(inet_ntop(family, address)) for address in self._records)

    def __len__(self) -> int:
        return len(self._records)


def _is_plain_end(rest: bytes, count: int) -> bool:
    """Say whether a message ends with its answers, or with an OPT record that says nothing."""
    if count == 0:
        return not rest
    if len(rest) < 11 or rest[:3] != b"\0\0\x29" or rest[5:7] != b"\0\0":
        return False
    return len(rest) == 11 + int.from_bytes(rest[9:11], "big")


class Ask:
    """A question on its way to one server."""

    __slots__ = ("_asked", "_key", "_length", "_mac", "_wire_id", "wire")

    def __init__(self, question: Question, edns: int, key: dns.tsig.Key | None) -> None:
        """Write it as bytes, with an id that nobody can guess."""
        self._key = key
        self._mac = b""
        number = dns.entropy.random_16()
        self._wire_id = number.to_bytes(2, "big")
        name = b"".join(bytes((len(label),)) + label for label in question.name.labels)
        self._length = len(name)
        self._asked = name.lower() + _TYPE_AND_CLASS.pack(question.type, IN)
        self.wire = (
            _HEADER.pack(number, _RD, 1, 0, 0, 1 if edns else 0)
            + name
            + self._asked[self._length :]
            + (_OPT.pack(0, dns.rdatatype.OPT, edns, 0, 0) if edns else b"")
        )
        if key is not None:
            self._sign(dns.message.from_wire(self.wire), key)

    def _sign(self, message: dns.message.Message, key: dns.tsig.Key) -> None:
        message.use_tsig(key)
        self.wire = message.to_wire()
        self._mac = message.mac or b""

    def accept(self, wire: bytes) -> dns.message.Message | Plain | None:
        """Return the answer that some bytes are; None if they are no answer to this.

        Raises:
            NspError: The server refuses the key (WSAEACCES 10013).
        """
        if not self._concerns(wire):
            return None
        plain = None if self._key is not None else self._plain(wire)
        if plain is not None:
            return plain
        try:
            message = self._parsed(wire)
            # Older releases of dnspython take an answer without a signature for one.
            signed = self._key is None or message.had_tsig or not _is_data(wire)
            return message if signed else None
        except dns.tsig.PeerError as error:
            raise refused_key(self._key, error) from error
        except Exception:  # dnspython's parsers raise what comes: it is no message
            return None

    def _plain(self, wire: bytes) -> Plain | None:
        """Return an answer that has addresses of the name asked for and nothing else.

        Most are so, and dnspython takes ten times as long for them; it is given all others.
        """
        start = 12 + self._length
        kind = int.from_bytes(self._asked[-4:-2], "big")
        length = _LENGTHS.get(kind)
        head = _HEADER.unpack_from(wire)
        if length is None or head[1] & 0x7A0F or head[4] or head[5] > 1:
            return None
        at, size = start + 4, _RECORD.size + length
        end = at + head[3] * size
        if end == at or len(wire) < end or not _is_plain_end(wire[end:], head[5]):
            return None
        ttl = _LONGEST
        hosts: dict[bytes, None] = {}
        for here in range(at, end, size):
            owner, of, among, lasts, has = _RECORD.unpack_from(wire, here)
            if (owner, of, among, has) != (_ASKED_NAME, kind, IN, length) or lasts > _LONGEST:
                return None
            ttl = min(ttl, lasts)
            hosts[wire[here + _RECORD.size : here + size]] = None
        return Plain(tuple(hosts), kind, ttl)

    def _parsed(self, wire: bytes) -> dns.message.Message:
        """Return a message, whose signature holds if this one is signed."""
        try:
            return dns.message.from_wire(wire, keyring=self._key, request_mac=self._mac)
        except dns.exception.FormError:
            if self._key is None or _is_data(wire):
                raise
            # A server that fails before it has looked at the signature does not sign that.
            return dns.message.from_wire(wire, keyring=False)

    def _concerns(self, wire: bytes) -> bool:
        """Compare id, kind and question, before anything is parsed."""
        if len(wire) < 12 or wire[:2] != self._wire_id:
            return False
        _, flags, questions, *_ = _HEADER.unpack_from(wire)
        if not flags & _QR or flags & _OPCODE:
            return False
        if questions == 0:  # a server that could not even read the question
            return not _is_data(wire) and wire[3] & 0xF != 0
        end = 12 + self._length
        return (
            questions == 1
            and wire[12:end].lower() == self._asked[: self._length]
            and wire[end : end + 4] == self._asked[self._length :]
        )


class AskUpdate(Ask):
    """An update on its way to the server of its zone."""

    __slots__ = ()

    def __init__(self, message: dns.update.UpdateMessage, key: dns.tsig.Key | None) -> None:
        """Write it as bytes, signed if there is a key."""
        self._key = key
        self._mac = b""
        if key is None:
            self.wire = message.to_wire()
        else:
            self._sign(message, key)
        self._wire_id = self.wire[:2]

    def _concerns(self, wire: bytes) -> bool:
        if len(wire) < 12 or wire[:2] != self._wire_id:
            return False
        flags = _HEADER.unpack_from(wire)[1]
        return bool(flags & _QR) and flags & _OPCODE == 5 << 11

    def _plain(self, wire: bytes) -> None:
        """No answer to an update has addresses."""


def _is_data(wire: bytes) -> bool:
    """Whether the code in the header lets data follow, which has to be signed then."""
    return wire[3] & 0xF in (NOERROR, NXDOMAIN)


def refused_key(key: dns.tsig.Key | None, error: Exception) -> NspError:
    """Return the error for a server that does not accept a key."""
    name = "" if key is None else f" '{text_of(key.name)}'"
    return AccessDeniedError(
        f"the server does not accept the TSIG key{name}: {str(error) or type(error).__name__}; "
        "compare its name, secret and algorithm, and the clocks"
    )


class Answer(NamedTuple):
    """What a server says to a question.

    Attributes:
        names: The name asked for, and the aliases from there, the canonical name last.
        records: The records, if there are any.
        exists: Whether there is such a name; False is NXDOMAIN.
        ttl: How long all of it holds, in seconds.
        is_end: Whether the server has said all that there is; False where an alias leads to
            names that it knows nothing of.
    """

    names: tuple[dns.name.Name, ...]
    records: Any  # an Rdataset of dnspython's, whose records differ by their types, or a Plain
    exists: bool
    ttl: int
    is_end: bool

    @property
    def canonical(self) -> dns.name.Name:
        """The name that the records belong to."""
        return self.names[-1]


def refers(message: dns.message.Message | Plain) -> bool:
    """Say whether a server only names others, and neither knows the answer nor asks for it."""
    return (
        not isinstance(message, Plain)
        and not message.flags & (dns.flags.AA | dns.flags.RA)
        and not message.answer
        and any(records.rdtype == dns.rdatatype.NS for records in message.authority)
        and all(records.rdtype != SOA for records in message.authority)
    )


def read(message: dns.message.Message | Plain, question: Question) -> Answer:
    """Return what a message says to a question.

    Raises:
        NspError: Aliases that lead nowhere (WSAELOOP 10062).
    """
    if isinstance(message, Plain):
        return Answer((question.name,), message, True, message.ttl, True)
    names = [question.name]
    ttl = _LONGEST
    while True:
        records = _records(message, names[-1], question.type)
        if records is not None:
            return Answer(tuple(names), records, True, min(ttl, records.ttl), True)
        alias = _records(message, names[-1], CNAME)
        if alias is None:
            break
        ttl = min(ttl, alias.ttl)
        target = alias[0].target
        if target in names or len(names) > _MOST_ALIASES:
            raise loop(question)
        names.append(target)
    exists = message.rcode() != NXDOMAIN
    told = any(records.rdtype == SOA for records in message.authority)
    return Answer(tuple(names), None, exists, ttl, len(names) == 1 or told or not exists)


class Signatures(list[Any]):
    """Records that cover others: dnspython keeps them apart by what they cover."""

    def __init__(self, sets: list[dns.rrset.RRset]) -> None:
        """Take all of them."""
        super().__init__(record for records in sets for record in records)
        self.rdtype = sets[0].rdtype
        self.ttl = min(records.ttl for records in sets)


def _records(message: dns.message.Message, name: dns.name.Name, kind: int) -> Any:
    if kind not in _COVERING:
        found = message.get_rrset(dns.message.ANSWER, name, IN, dns.rdatatype.RdataType(kind))
        return found or None
    sets = [
        one for one in message.answer if (one.name, one.rdtype, one.rdclass) == (name, kind, IN)
    ]
    return Signatures(sets) if sets else None


def loop(question: Question) -> NspError:
    """Return the error for a name whose aliases lead nowhere."""
    return error_for(
        ErrorCode.WSAELOOP,
        f"{question} has no answer: its aliases (CNAME) lead in a circle, or are more than "
        f"{_MOST_ALIASES}",
    )
