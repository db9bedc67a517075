"""Registrations: Winsock's matrix of operations, on a link where each answers for itself."""

from __future__ import annotations

import asyncio
import logging
from itertools import count
from typing import TYPE_CHECKING

from nspkit import ServiceOperation
from nspkit.errors import (
    AlreadyExistsError,
    InvalidArgumentError,
    OperationNotSupportedError,
    ServiceNotFoundError,
)
from nspkit_mdns import _values
from nspkit_mdns._claim import is_taken, renamed
from nspkit_mdns._entry import Entry
from nspkit_mdns._names import base_type, dotted, instance_of
from nspkit_mdns._wire import Error

if TYPE_CHECKING:
    from nspkit import Service
    from nspkit_mdns._engine import Engine
    from nspkit_mdns._entry import Content
    from nspkit_mdns._member import Member
    from nspkit_mdns._names import Instance
    from nspkit_mdns._wire import ServiceInfo

_log = logging.getLogger("nspkit_mdns")
_AT_THE_SAME_TIME = 0.25  # seconds in which somebody who has claimed the name as well is heard of
_TRIES = 100


def set_service(
    member: Member, service: Service, operation: ServiceOperation, multiple: bool
) -> None:
    """Register, deregister or delete an instance.

    Raises:
        ServiceNotFoundError: This provider has not registered it (WSASERVICE_NOT_FOUND 10108).
        AlreadyExistsError: Somebody else on the link has that name (WSAEALREADY 10037).
        InvalidArgumentError: Something of it cannot be told (WSAEINVAL 10022).
        OperationNotSupportedError: It is no service of a DNS-SD type, or has several ports
            (WSAEOPNOTSUPP 10045).
    """
    if service.service_type is None:
        raise OperationNotSupportedError(
            f"multicast DNS registers services of a type such as '_http._tcp', and "
            f"{service.name!r:.80} has none: give it one"
        )
    if service.service_type != base_type(service.service_type):
        raise OperationNotSupportedError(
            f"multicast DNS registers no subtypes here: give {base_type(service.service_type)!r}"
        )
    question = instance_of(service.name, service.service_type)
    if "." in question.label:
        raise InvalidArgumentError(
            f"the name {question.label!r:.80} has a dot, at which zeroconf would part it when it "
            "is sent: leave it out"
        )
    if operation is ServiceOperation.REGISTER:
        _values.check(service)
    elif dotted(question).lower() not in member.entries:
        raise _not_found(question, operation)
    engine = member.engine()
    engine.run(_change, engine, member, question, service, operation, multiple)


async def withdraw_all(engine: Engine, member: Member) -> None:
    """Withdraw everything that a provider has registered."""
    while member.entries:
        _key, entry = member.entries.popitem()
        entry.withdraw()


async def _change(
    engine: Engine,
    member: Member,
    question: Instance,
    service: Service,
    operation: ServiceOperation,
    multiple: bool,
) -> None:
    key = dotted(question).lower()
    async with engine.turn(key):
        entry = member.entries.get(key)
        if operation is ServiceOperation.REGISTER:
            if entry is not None and multiple:
                both = dict.fromkeys((*entry.service.addresses, *service.addresses))
                service = service.replace(addresses=both)
                _values.check(service)
            await _register(engine, member, entry or Entry(engine, question, service), service)
        elif entry is None:
            raise _not_found(question, operation)
        else:
            _take_away(member, key, entry, service if multiple else None, operation)


def _take_away(
    member: Member,
    key: str,
    entry: Entry,
    only: Service | None,
    operation: ServiceOperation,
) -> None:
    gone = entry.service.addresses if only is None else only.addresses
    left = [address for address in entry.service.addresses if address not in gone]
    entry.service = entry.service.replace(addresses=left)
    if left:
        if entry.is_told:
            _tell(member, entry, _info(entry.question, entry.service, entry))
        return
    entry.withdraw()
    if operation is ServiceOperation.DELETE:
        del member.entries[key]


async def _register(engine: Engine, member: Member, entry: Entry, service: Service) -> None:
    if not service.addresses:
        raise InvalidArgumentError(
            f"{service.name!r:.80} has no address, and others could not reach it: give one"
        )
    if entry.info is not None:
        info = _info(entry.question, service, entry, name=entry.info.name)
        if _content(info) != _content(entry.info):
            _tell(member, entry, info)
    else:
        await _claim(engine, member, entry, service)
    entry.service = service
    member.entries[dotted(entry.question).lower()] = entry
    _lease(engine, member, entry)


async def _claim(engine: Engine, member: Member, entry: Entry, service: Service) -> None:
    """Find a name that nobody has, the one that was asked for at first, and tell it."""
    label = entry.question.label
    for number in count(2):
        question = entry.question._replace(label=label)
        info = _info(question, service, entry)
        async with engine.turn(f"claim {info.key}"):
            if not await is_taken(engine, info) and await _stays(engine, member, entry, info):
                break
        if not member.settings.rename or number > _TRIES:
            raise AlreadyExistsError(
                f"the name {label!r:.80} of the type {question.type!r} is taken on this link: "
                "choose another one, or set 'conflict' to 'rename'"
            )
        label = renamed(entry.question.label, number)
    if number > 2:
        _log.warning("%r is taken: registered as %r", entry.question.label, label)


async def _stays(engine: Engine, member: Member, entry: Entry, info: ServiceInfo) -> bool:
    """Tell it, and wait whether somebody has claimed it at the same time, and wins."""
    try:
        _tell(member, entry, info)
        await asyncio.sleep(_AT_THE_SAME_TIME)
    except BaseException:
        entry.withdraw()
        raise
    return entry.is_told


def _tell(member: Member, entry: Entry, info: ServiceInfo) -> None:
    entry.tell(info, lambda content: _met(member, entry, content))


def _met(member: Member, entry: Entry, rival: Content) -> None:
    """Keep the name, or let it go: both compare what they say, and agree (section 8.2)."""
    if not entry.is_told:
        return
    if entry.own() > rival:
        entry.announce()
        return
    entry.withdraw(goodbye=False)
    if member.entries.get(dotted(entry.question).lower()) is entry:
        _log.warning(
            "%r of the type %r was lost to another one on this link; it is claimed again when it "
            "is registered again",
            entry.question.label,
            entry.question.type,
        )


def _lease(engine: Engine, member: Member, entry: Entry) -> None:
    if entry.lease is not None:
        entry.lease.cancel()
    entry.lease = None
    if entry.service.ttl is not None:
        entry.lease = engine.loop.call_later(entry.service.ttl, _over, member, entry)


def _over(member: Member, entry: Entry) -> None:
    key = dotted(entry.question).lower()
    if member.entries.get(key) is entry:
        del member.entries[key]
        entry.withdraw()


def _info(
    question: Instance, service: Service, entry: Entry, *, name: str | None = None
) -> ServiceInfo:
    try:
        info = _values.info_of(question, service, entry.server)
    except Error as error:
        raise InvalidArgumentError(
            f"{dotted(question)!r:.100} cannot be registered: {error}"
        ) from error
    if name is not None:
        info.name = name  # it was renamed, and stays so
    return info


def _content(info: ServiceInfo) -> tuple[object, ...]:
    return info.port, info.text, info.server, info.host_ttl, info.other_ttl


def _not_found(question: Instance, operation: ServiceOperation) -> ServiceNotFoundError:
    done = "deregistered" if operation is ServiceOperation.DEREGISTER else "deleted"
    return ServiceNotFoundError(
        f"this provider has registered no {question.label!r:.80} of the type {question.type!r} "
        f"that could be {done}"
    )
