"""The settings, checked before any server is asked."""

from __future__ import annotations

import base64
import os
from typing import TYPE_CHECKING, Any, NamedTuple

import dns.name
import dns.tsig

from nspkit.errors import InvalidArgumentError
from nspkit_dns._names import name_in
from nspkit_dns._servers import Server, server_in, shown

if TYPE_CHECKING:
    from collections.abc import Mapping

_NAMES = (
    "nameservers",
    "zones",
    "search",
    "ndots",
    "domain",
    "timeout",
    "retry",
    "edns",
    "tsig",
    "ttl",
    "tls_ca",
    "resolv_conf",
)
_ALGORITHMS = (
    "hmac-md5.sig-alg.reg.int",
    "hmac-sha1",
    "hmac-sha224",
    "hmac-sha256",
    "hmac-sha384",
    "hmac-sha512",
)
_MOST = 32
_ADDRESSES = "give a list of addresses, such as ['192.0.2.1', '[2001:db8::1]:5353']"


class Zone(NamedTuple):
    """A part of the tree of names that has servers, or a key, of its own.

    Attributes:
        name: Where it begins.
        servers: Its servers.
        key: Signs what is asked there, and updates.
    """

    name: dns.name.Name
    servers: tuple[Server, ...]
    key: dns.tsig.Key | None


class Settings(NamedTuple):
    """What an application set, checked; None where resolv.conf decides.

    Attributes:
        nameservers: The servers of all names that no zone has.
        zones: Parts of the tree with servers of their own, the longest first.
        search: Domains that short names are looked up in.
        ndots: How many dots make a name a long one.
        domain: Where services are registered and found that name no context.
        timeout: How long one question may take, in seconds.
        retry: After how many seconds without an answer the next server is asked.
        edns: The size of answers over UDP that is announced; 0 for no EDNS.
        key: Signs updates outside all zones.
        ttl: The time to live of what is registered without one, in seconds.
        tls_ca: A file of certificates that sign those of servers; None for the platform's.
        resolv_conf: The path of resolv.conf.
    """

    nameservers: tuple[Server, ...] | None
    zones: tuple[Zone, ...]
    search: tuple[dns.name.Name, ...] | None
    ndots: int | None
    domain: dns.name.Name | None
    timeout: float
    retry: float
    edns: int
    key: dns.tsig.Key | None
    ttl: int
    tls_ca: str | None
    resolv_conf: str


def settings_in(given: Mapping[str, Any]) -> Settings:
    """Return the settings, with the defaults for what is not given.

    Raises:
        InvalidArgumentError: One is unknown or not acceptable (WSAEINVAL 10022).
    """
    unknown = sorted(map(repr, given.keys() - set(_NAMES)))
    if unknown:
        raise InvalidArgumentError(
            f"dns has no setting {', '.join(unknown)}; there are {', '.join(_NAMES)}"
        )
    return Settings(
        nameservers=_optional(given, "nameservers", _servers),
        zones=_zones(given.get("zones", {})),
        search=_optional(given, "search", _domains),
        ndots=_optional(given, "ndots", lambda value: _integer("ndots", value, 0, 15)),
        domain=_optional(given, "domain", lambda value: _name("the setting 'domain'", value)),
        timeout=_seconds("timeout", given.get("timeout", 5.0)),
        retry=_seconds("retry", given.get("retry", 1.0)),
        edns=_edns(given.get("edns", 1232)),
        key=_optional(given, "tsig", lambda value: _key("the setting 'tsig'", value)),
        ttl=_integer("ttl", given.get("ttl", 120), 1, 2**31 - 1),
        tls_ca=_optional(given, "tls_ca", lambda value: _path("tls_ca", value)),
        resolv_conf=_path("resolv_conf", given.get("resolv_conf", "/etc/resolv.conf")),
    )


def _optional(given: Mapping[str, Any], name: str, check: Any) -> Any:
    return check(given[name]) if name in given else None


def _servers(value: object, where: str = "the setting 'nameservers'") -> tuple[Server, ...]:
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list | tuple) or not 0 < len(values) <= _MOST:
        raise InvalidArgumentError(f"{where} of dns is {shown(value)}: {_ADDRESSES}")
    return tuple(dict.fromkeys(server_in(where, one) for one in values))


def _domains(value: object) -> tuple[dns.name.Name, ...]:
    if not isinstance(value, list | tuple) or len(value) > _MOST:
        raise InvalidArgumentError(
            f"the setting 'search' of dns is {value!r:.80}: give a list of domains, such as "
            "['example.org'], of 32 at most"
        )
    return tuple(dict.fromkeys(_name("the setting 'search'", one) for one in value))


def _name(where: str, value: object) -> dns.name.Name:
    if isinstance(value, str) and value:  # an empty one would be the root, by mistake
        try:
            return name_in(value)
        except InvalidArgumentError as error:
            raise InvalidArgumentError(f"{where} of dns: {error.message}") from error
    raise InvalidArgumentError(f"{where} of dns is {value!r:.80}: give a domain name")


def _zones(value: object) -> tuple[Zone, ...]:
    if not isinstance(value, dict):
        raise InvalidArgumentError(
            f"the setting 'zones' of dns is {shown(value)}: give a table of domains with their "
            "servers, such as {'corp.example': ['192.0.2.1']}"
        )
    zones: dict[dns.name.Name, Zone] = {}
    for domain, content in value.items():
        name = _name("a domain in the setting 'zones'", domain)
        if name in zones:
            raise InvalidArgumentError(f"the setting 'zones' of dns has {domain!r:.80} twice")
        zones[name] = _zone(name, content)
    return tuple(sorted(zones.values(), key=lambda zone: len(zone.name.labels), reverse=True))


def _zone(name: dns.name.Name, content: object) -> Zone:
    where = f"the zone '{name}' in the setting 'zones'"
    if not isinstance(content, dict):
        return Zone(name, _servers(content, where), None)
    unknown = sorted(map(repr, content.keys() - {"nameservers", "tsig"}))
    if unknown:
        raise InvalidArgumentError(
            f"{where} of dns has {', '.join(unknown)}: there are nameservers and tsig"
        )
    key = _key(f"tsig of {where}", content["tsig"]) if "tsig" in content else None
    return Zone(name, _servers(content.get("nameservers"), where), key)


def _key(where: str, value: object) -> dns.tsig.Key:
    right = (
        f"{where} of dns: give a table with name, secret (in Base64) and, unless it is "
        f"hmac-sha256, algorithm, one of {', '.join(_ALGORITHMS[1:])}"
    )
    if not isinstance(value, dict) or value.keys() - {"name", "secret", "algorithm"}:
        raise InvalidArgumentError(right)
    name, secret = value.get("name"), value.get("secret")
    algorithm = value.get("algorithm", "hmac-sha256")
    if not isinstance(name, str) or not isinstance(secret, str) or algorithm not in _ALGORITHMS:
        raise InvalidArgumentError(right)
    try:
        decoded = base64.b64decode(secret, validate=True)
    except ValueError as error:  # says nothing of the secret
        raise InvalidArgumentError(right) from error
    if not decoded:
        raise InvalidArgumentError(right)
    return dns.tsig.Key(_name(f"the name in {where}", name), decoded, algorithm)


def _integer(name: str, value: object, least: int, most: int) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
        return value
    raise InvalidArgumentError(
        f"the setting {name!r} of dns is {value!r:.60}: give an integer from {least} to {most}"
    )


def _edns(value: object) -> int:
    size = _integer("edns", value, 0, 65535)
    if 0 < size < 512:
        raise InvalidArgumentError(
            f"the setting 'edns' of dns is {size}: give 512 to 65535 bytes, or 0 for no EDNS"
        )
    return size


def _seconds(name: str, value: object) -> float:
    right = isinstance(value, int | float) and not isinstance(value, bool)
    if right and 0.01 <= value <= 3600:  # type: ignore[operator]
        return float(value)  # type: ignore[arg-type]
    raise InvalidArgumentError(
        f"the setting {name!r} of dns is {value!r:.60}: give seconds from 0.01 to 3600"
    )


def _path(name: str, value: object) -> str:
    path = os.fspath(value) if isinstance(value, os.PathLike) else value
    if isinstance(path, str) and path and "\0" not in path:
        return path
    raise InvalidArgumentError(
        f"the setting {name!r} of dns is {value!r:.60}: give the path of a file, as a str or an "
        "os.PathLike of one"
    )
