"""Lookups: what a query asks, answered as the answers arrive."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from nspkit import SVCID_HOSTNAME, LookupFlags
from nspkit.errors import CancelledError, NoDataError, ServiceNotFoundError
from nspkit_mdns import _resolve
from nspkit_mdns._browse import Browse
from nspkit_mdns._mailbox import Mailbox
from nspkit_mdns._names import Host, Instance, Type, question_in
from nspkit_mdns._restrictions import narrowed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nspkit import Cancellation, Query, Service
    from nspkit_mdns._bell import Alarm
    from nspkit_mdns._member import Member

_TO_ANSWER = 0.2
"""Seconds that are kept of a lookup's time to come to an end by itself, and not be cut off."""


def lookup(member: Member, query: Query, cancellation: Cancellation) -> Iterator[Service]:
    """Look up; nothing is sent before the first step.

    Raises:
        ServiceNotFoundError: The name is not multicast DNS's (WSASERVICE_NOT_FOUND 10108).
        NoDataError: It asks for containers (WSANO_DATA 11004).
        InvalidArgumentError: No such name can be asked for (WSAEINVAL 10022).
    """
    question = question_in(query)
    if isinstance(question, Type):
        return _browsed(member, question, query, cancellation, member.settings.browse_time)
    if isinstance(question, Instance) and "." in question.label:
        return _picked(member, question, query, cancellation)
    return _resolved(member, question, query, cancellation)


def resolve(
    member: Member,
    question: Host | Instance,
    query: Query,
    cancellation: Cancellation,
    *,
    flush: bool,
    seconds: float | None = None,
    alarm: Alarm | None = None,
) -> Service:
    """Return what one name means; ``seconds`` instead of those of the settings, 0 asks nobody.

    Raises:
        NspError: It means nothing, or cannot be asked for.
    """
    engine = member.engine(cancellation)
    if seconds is None:
        seconds = within(member.settings.timeout, cancellation)
    if isinstance(question, Host):
        asked = query.service_class or SVCID_HOSTNAME
        work = (_resolve.host, engine, question, seconds, flush, asked)
        return engine.run(*work, cancellation=cancellation, alarm=alarm)
    return engine.run(
        _resolve.instance, engine, question, seconds, flush, cancellation=cancellation, alarm=alarm
    )


def within(seconds: float, cancellation: Cancellation) -> float:
    """Return so many seconds, or fewer if the lookup's time is over before that."""
    left = cancellation.remaining()
    return seconds if left is None else max(0.0, min(seconds, left - min(_TO_ANSWER, left / 4)))


def _resolved(
    member: Member, question: Host | Instance, query: Query, cancellation: Cancellation
) -> Iterator[Service]:
    if cancellation.cancelled:
        return
    flush = LookupFlags.FLUSHCACHE in query.flags
    service = narrowed(resolve(member, question, query, cancellation, flush=flush), query)
    if service is None:
        raise NoDataError(f"{query.name!r:.100} is there, but with no address that is asked for")
    yield service


def _picked(
    member: Member, question: Instance, query: Query, cancellation: Cancellation
) -> Iterator[Service]:
    """Find an instance with a dot in its label, for which zeroconf cannot write the question."""
    every, seconds = Type(question.type), member.settings.timeout
    for service in _browsed(member, every, query, cancellation, seconds):
        if service.name.lower() == question.label.lower():
            yield service
            return
    if not cancellation.cancelled:
        raise ServiceNotFoundError(
            f"nobody answered for {question.label!r:.80} of the type {question.type!r} within "
            f"{seconds:g} s"
        )


def _browsed(
    member: Member, question: Type, query: Query, cancellation: Cancellation, seconds: float
) -> Iterator[Service]:
    if cancellation.cancelled:
        return
    engine = member.engine(cancellation)
    until = monotonic() + within(seconds, cancellation)
    mailbox = Mailbox(engine, cancellation)
    browse = Browse(engine, question.type, mailbox, member.settings.timeout)
    told = set()
    try:
        flush = LookupFlags.FLUSHCACHE in query.flags
        engine.run(browse.start, flush, cancellation=cancellation)
        while (key := mailbox.next(until - monotonic())) is not None:
            service = mailbox.latest.get(key)
            if service is not None and key not in told:
                told.add(key)
                asked = narrowed(service, query)
                if asked is not None:
                    yield asked
    except CancelledError:
        if not cancellation.cancelled:
            raise
    finally:
        engine.soon(browse.stop)
