"""What a watch knows, and what of it its reader has not been told: the latest state, no queue."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Any

from nspkit._constants import ChangeKind, ResultFlags
from nspkit._model import Change

if TYPE_CHECKING:
    from uuid import UUID

    from nspkit._model import Service

    Identity = tuple[UUID | None, str, str]

_content = attrgetter(
    "name", "service_class", "service_type", "attributes", "comment", "context", "version", "blob"
)
# That it was added or changed is what a change says, and not what a service is.
_LASTING_FLAGS = ~int(ResultFlags.IS_ADDED | ResultFlags.IS_CHANGED | ResultFlags.IS_DELETED)


def identity_of(service: Service) -> Identity:
    """Return what makes a service the same one, whatever is changed about it, at one provider."""
    return service.service_class, service.name, service.context


def same(one: Service | None, other: Service | None) -> bool:
    """Whether two say the same, so that the other one is no news.

    How long it holds counts down with every answer from a cache, and name servers turn the order
    of addresses at every answer: neither is content.
    """
    if one is other:
        return True
    if one is None or other is None or _content(one) != _content(other):
        return False
    if (one.flags._value_ ^ other.flags._value_) & _LASTING_FLAGS:
        return False
    return one.addresses == other.addresses or set(one.addresses) == set(other.addresses)


def merged(one: Service | None, other: Service) -> Service:
    """Return one service for two results of the same identity in one list: the first, at both."""
    if one is None:
        return other
    return one.replace(addresses=dict.fromkeys((*one.addresses, *other.addresses)))


class Known:
    """What is there, by whose it is, and what of it the reader still has to be told.

    Of a service the reader gets the newest state, however often it has changed; one that came and
    went meanwhile is not told at all. So what waits to be told is never more than what the reader
    knows together with what is there. Who uses it holds the lock of the watch.

    Attributes:
        generation: How many changes there were.
    """

    __slots__ = ("_services", "_untold", "generation")

    def __init__(self) -> None:
        """Make one that knows of nothing."""
        self.generation = 0
        self._services: dict[Any, dict[Identity, Service]] = {}
        # By what has changed: what the reader was told of it last, None for nothing.
        self._untold: dict[tuple[Any, Identity], Service | None] = {}

    def of(self, owner: Any) -> dict[Identity, Service]:
        """Return what an owner has found; who asks first comes first in `everything`."""
        return self._services.setdefault(owner, {})

    def put(self, owner: Any, identity: Identity, service: Service) -> None:
        """Take note that a service is there, as it is now."""
        services = self.of(owner)
        before = services.get(identity)
        if not same(before, service):
            self._changed(owner, identity, before, service)
        services[identity] = service

    def drop(self, owner: Any, identity: Identity) -> None:
        """Take note that a service is gone; nothing if it is not known."""
        services = self.of(owner)
        before = services.get(identity)
        if before is not None:
            self._changed(owner, identity, before, None)
            services.pop(identity)

    def _changed(
        self, owner: Any, identity: Identity, before: Service | None, after: Service | None
    ) -> None:
        key = (owner, identity)
        told = self._untold.setdefault(key, before)
        if same(told, after):
            del self._untold[key]  # back to what the reader knows
        self.generation += 1

    def take(self) -> Change | None:
        """Return the change that waits longest, and count it as told; None if there is none."""
        for key, told in self._untold.items():
            owner, identity = key
            now = self.of(owner).get(identity)
            if now is None:
                assert told is not None
                change = Change(ChangeKind.REMOVED, told)
            else:
                change = Change(ChangeKind.ADDED if told is None else ChangeKind.CHANGED, now)
            del self._untold[key]
            return change
        return None

    def everything(self) -> tuple[Service, ...]:
        """Return all that is there, and count it as told."""
        found = tuple(one for services in self._services.values() for one in services.values())
        self._untold.clear()
        return found
