"""What is offered: the options that describe a service, the same wherever one is registered."""

from __future__ import annotations

import re
import socket
from typing import TYPE_CHECKING, Any

import click

from nspkit import Address, Service, svcid_parts
from nspkit.cli import _options
from nspkit.errors import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

_NAMES = {"Service.name": "NAME", "Service.service_class": "--class"}
"""What the fields of a service are called here, where that is another name."""

_TYPES = {"tcp": int(socket.SOCK_STREAM), "udp": int(socket.SOCK_DGRAM)}
"""The socket type of a protocol."""

_ADDRESS = re.compile(
    r"""
    (?: \[ (?P<inner>[^\[\]]+) \] | (?P<host>[^:\[\]/]+) )   # one that a port may follow
    (?: : (?P<port>\d{1,5}) )?
    | (?P<bare>[^\[\]/]+)                                    # an IPv6 address by itself
    """,
    re.VERBOSE,
)


def _addresses(
    _context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]
) -> tuple[Address, ...]:
    return tuple([_address(value) for value in values])


def _address(value: str) -> Address:
    """Return the address that is written as ``lookup`` shows it."""
    place, slash, protocol = value.strip().partition("/")
    found = _ADDRESS.fullmatch(place)
    if found is None or (slash and protocol.lower() not in _TYPES):
        raise click.BadParameter(
            f"{value!r} is no address; write it as 192.0.2.7:80, [2001:db8::7]:80, or either "
            "with /tcp or /udp behind it"
        )
    try:
        return Address.inet(
            found["inner"] or found["host"] or found["bare"],
            int(found["port"] or 0),
            type=_TYPES.get(protocol.lower(), 0),
        )
    except InvalidArgumentError as error:
        # Without what a program would do; here a name is looked up by another command.
        problem = error.message.removeprefix("Address.").partition("; a name is")[0]
        raise click.BadParameter(f"{value!r}: its {problem}") from None


def _attributes(
    _context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]
) -> dict[str, str | None]:
    """Return attributes by name; None for one that is only there."""
    found: dict[str, str | None] = {}
    for value in values:
        key, sign, text = value.partition("=")
        if not key:
            raise click.BadParameter(f"{value!r} has no name; write KEY=VALUE, or KEY alone")
        if key in found:
            raise click.BadParameter(f"{key!r} is there twice; an attribute has one value")
        found[key] = text if sign else None
    return found


_PARTS = (
    click.argument("name"),
    click.option(
        "-a",
        "--address",
        "addresses",
        metavar="HOST:PORT",
        multiple=True,
        callback=_addresses,
        help="Where it can be reached; once for each address, the best first.",
    ),
    click.option(
        "-c",
        "--class",
        "service_class",
        metavar="CLASS",
        callback=_options.service_class,
        help="What it is: a type as _http._tcp, a port as 80/tcp, or a GUID.",
    ),
    click.option(
        "--attribute",
        "attributes",
        metavar="KEY=VALUE",
        multiple=True,
        callback=_attributes,
        help="What else is to be known of it; once for each attribute.",
    ),
    click.option("--comment", metavar="TEXT", default="", help="A remark for people."),
    click.option("--context", metavar="PATH", default="", help="Where in a hierarchy it is."),
)

_PLACES = (
    click.option(
        "-p",
        "--provider",
        metavar="PROVIDER",
        help="Only at this one: name or GUID. Without it, at each that can.",
    ),
    click.option(
        "-n",
        "--namespace",
        metavar="NAMESPACE",
        callback=_options.namespace,
        help="Only at those of this namespace: name or number.",
    ),
    click.option(
        "-m",
        "--multiple",
        is_flag=True,
        help="Others register addresses under this name too; mean these only.",
    ),
)


def offered(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the argument NAME and the options that describe it; see `service_of`."""
    return _options.together(_PARTS, command)


def placed(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that say where a service is registered."""
    return _options.together(_PLACES, command)


def service_of(
    name: str,
    *,
    addresses: tuple[Address, ...],
    service_class: UUID | str | None,
    attributes: dict[str, str | None],
    ttl: float | None,
    comment: str,
    context: str,
) -> Service:
    """Return the service that the options describe.

    Raises:
        click.UsageError: A value is none.
    """
    try:
        if not name:
            raise InvalidArgumentError("Service.name is '': give a text that is not empty")
        bare = Service(
            name,
            service_class=service_class,
            attributes=attributes,
            ttl=ttl,
            comment=comment,
            context=context,
        )
    except InvalidArgumentError as error:
        raise _options.wrong_use(error, _NAMES) from None
    usual = _usual_type(bare)
    typed = [one if one.type else one.replace(type=usual) for one in addresses]
    return bare.replace(addresses=typed)


def _usual_type(service: Service) -> int:
    """Return the socket type that the class of a service says; 0 where it says none."""
    protocol = (service.service_type or "").rpartition("._")[2]
    if service.service_class is not None and not protocol:
        protocol = (svcid_parts(service.service_class) or ("", 0, 0))[0]
    return _TYPES.get(protocol, 0)
