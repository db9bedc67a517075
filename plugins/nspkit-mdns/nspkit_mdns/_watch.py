"""Watches: what is there, then what changes, as it is heard on the link."""

from __future__ import annotations

from functools import partial
from time import monotonic
from typing import TYPE_CHECKING

from nspkit import Change, ChangeKind
from nspkit.errors import CancelledError, NoDataError, ServiceNotFoundError
from nspkit_mdns._bell import Alarm
from nspkit_mdns._browse import Browse
from nspkit_mdns._lookup import resolve
from nspkit_mdns._mailbox import Mailbox
from nspkit_mdns._names import Host, Instance, dotted, question_in
from nspkit_mdns._resolve import HostListener
from nspkit_mdns._restrictions import narrowed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nspkit import Cancellation, Query, Service
    from nspkit_mdns._engine import Engine
    from nspkit_mdns._member import Member
    from nspkit_mdns._names import Type

_REFRESH = 0.8  # of the time to live (RFC 6762 section 5.2)
_ABSENT = 60.0  # seconds after which a host that is not there is asked for again
_SHORTEST = 1.0


def watch(member: Member, query: Query, cancellation: Cancellation) -> Iterator[Change | None]:
    """Watch what a query asks for.

    Raises:
        ServiceNotFoundError: The name is not multicast DNS's (WSASERVICE_NOT_FOUND 10108).
        NoDataError: It asks for containers (WSANO_DATA 11004).
        InvalidArgumentError: No such name can be asked for (WSAEINVAL 10022).
    """
    question = question_in(query)
    if isinstance(question, Host):
        return _host_changes(member, question, query, cancellation)
    return _changes(member, question, query, cancellation)


def _changes(
    member: Member, question: Instance | Type, query: Query, cancellation: Cancellation
) -> Iterator[Change | None]:
    if cancellation.cancelled:
        return
    engine = member.engine(cancellation)
    wanted = dotted(question).lower() if isinstance(question, Instance) else None
    mailbox = Mailbox(engine, cancellation)
    browse = Browse(engine, question.type, mailbox, member.settings.timeout)
    told: dict[str, Service] = {}
    listed = monotonic() + member.settings.browse_time
    begun = False
    try:
        engine.run(browse.start, False, cancellation=cancellation)
        while not cancellation.cancelled:
            key = mailbox.next(None if begun else listed - monotonic())
            if key is not None:
                now = mailbox.latest.get(key)
                mailbox.forget(key)
                if wanted in (None, key):
                    yield from _compared(told, key, now and narrowed(now, query))
            elif not begun and not cancellation.cancelled:
                begun = True
                yield None
    except CancelledError:
        if not cancellation.cancelled:
            raise
    finally:
        engine.soon(browse.stop)


def _compared(told: dict[str, Service], key: str, now: Service | None) -> Iterator[Change]:
    before = told.pop(key, None)
    if now is not None:
        told[key] = now
        if before is None:
            yield Change(ChangeKind.ADDED, now)
        elif before.replace(ttl=None) != now.replace(ttl=None):
            yield Change(ChangeKind.CHANGED, now)
    elif before is not None:
        yield Change(ChangeKind.REMOVED, before)


def _host_changes(
    member: Member, question: Host, query: Query, cancellation: Cancellation
) -> Iterator[Change | None]:
    if cancellation.cancelled:
        return
    engine = member.engine(cancellation)
    mailbox = Mailbox(engine, cancellation)
    listener = HostListener(dotted(question), mailbox.wake)
    ask = partial(resolve, member, question, query, cancellation, alarm=Alarm(cancellation))
    told: dict[str, Service] = {}
    begun = fresh = False
    asks = True
    try:
        engine.run(_listen, engine, listener, mailbox, cancellation=cancellation)
        while not cancellation.cancelled:
            now = _resolved(ask, query, fresh=fresh, asks=asks)
            yield from _compared(told, "", now)
            if not begun:
                begun = True
                yield None
            ttl = None if now is None else now.ttl
            pause = _ABSENT if ttl is None else max(_SHORTEST, ttl * _REFRESH)
            fresh = asks = not mailbox.rest(pause)  # what was just told need not be asked for
    except CancelledError:
        if not cancellation.cancelled:
            raise
    finally:
        engine.soon(_ignore, engine, listener, mailbox)


def _resolved(
    ask: Callable[..., Service], query: Query, *, fresh: bool, asks: bool
) -> Service | None:
    try:
        return narrowed(ask(flush=fresh, seconds=None if asks else 0.0), query)
    except (ServiceNotFoundError, NoDataError):
        return None


async def _listen(engine: Engine, listener: HostListener, mailbox: Mailbox) -> None:
    engine.wake_at_end(mailbox.wake)
    engine.zeroconf.async_add_listener(listener, None)


def _ignore(engine: Engine, listener: HostListener, mailbox: Mailbox) -> None:
    engine.let_sleep(mailbox.wake)
    engine.zeroconf.async_remove_listener(listener)
