"""One instance as a `MemoryStore` keeps it: what was registered last, and who holds what of it."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, NamedTuple

from nspkit import Address, Service, ServiceOperation
from nspkit.errors import ServiceNotFoundError
from nspkit.registry import proto_of

if TYPE_CHECKING:
    from uuid import UUID

    Key = tuple[str, UUID | None, str]
    Ends = dict[Address, float | None]

_ANY_PROTOCOL = -1  # Winsock's IPROTO_ANY, on registration


class Record(NamedTuple):
    """What is kept under a name, a class and a context.

    Attributes:
        service: What was registered last, with all addresses, without a time to live.
        ends: When the lease of each address ends, by the monotonic clock.
        end: When its own lease ends; None for never.
        is_registered: Whether it has not been deregistered.
    """

    service: Service
    ends: Ends
    end: float | None
    is_registered: bool = True

    def alive(self, now: float) -> Record | None:
        """Return what is left of it at a time; None for nothing."""
        if self.end is not None and self.end <= now:
            return None
        ends = {one: end for one, end in self.ends.items() if end is None or end > now}
        return self if len(ends) == len(self.ends) else self.with_ends(ends, self.end)

    def with_ends(self, ends: Ends, end: float | None) -> Record:
        """Return it with other addresses."""
        return self._replace(
            service=self.service.replace(addresses=tuple(ends)), ends=ends, end=end
        )

    def next_end(self) -> float:
        """Return when something of it ends next; infinity for never."""
        return min((end for end in (self.end, *self.ends.values()) if end is not None), default=inf)

    def content(self, now: float | None = None) -> Service | None:
        """Return it as a lookup finds it, at a time with what is left of its lease."""
        if not self.is_registered:
            return None
        if now is None or self.end is None:
            return self.service
        return self.service.replace(ttl=self.end - now)


def key_of(service: Service) -> Key:
    """Return what tells an instance from others."""
    return service.name, service.service_class, context_of(service.context)


def context_of(context: str) -> str:
    r"""Return a context in its one form: ``""`` is the top, others are like ``a\b``."""
    return context.strip("\\")


def changed(
    old: Record | None,
    given: Service,
    operation: ServiceOperation,
    *,
    multiple: bool,
    now: float,
) -> Record | None:
    """Return what is registered after an operation, by Winsock's matrix; None for nothing.

    Raises:
        ServiceNotFoundError: it is not there and not registered (WSASERVICE_NOT_FOUND 10108).
    """
    addresses = [_definite(address) for address in given.addresses]
    if operation is ServiceOperation.REGISTER:
        return _registered(old if multiple else None, given, addresses, now)
    if old is None:
        raise ServiceNotFoundError(
            f"there is no service {given.name!r} that could be {operation.name.lower()}d"
        )
    left = {one: end for one, end in old.ends.items() if multiple and one not in addresses}
    if left:
        return old.with_ends(left, _latest(list(left.values())))
    if operation is ServiceOperation.DELETE:
        return None
    return old.with_ends({}, old.end)._replace(is_registered=False)


def _registered(old: Record | None, given: Service, addresses: list[Address], now: float) -> Record:
    end = last = None if given.ttl is None else now + given.ttl
    ends: Ends = {}
    if old is not None and old.is_registered:
        ends |= old.ends
        last = _latest([end, old.end])
    ends |= dict.fromkeys(addresses, end)
    whole = given.replace(addresses=tuple(ends), ttl=None, context=context_of(given.context))
    return Record(whole, ends, last)


def _latest(ends: list[float | None]) -> float | None:
    found = [end for end in ends if end is not None]
    return max(found) if len(found) == len(ends) else None


def _definite(address: Address) -> Address:
    return (
        address.replace(proto=proto_of(address.type, address.proto))
        if address.proto == _ANY_PROTOCOL
        else address
    )
