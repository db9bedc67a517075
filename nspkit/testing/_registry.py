"""What the rules about registries share: a class of services of each rule's own, gone in the end.

A registry may be a server that others use, too: nobody looks at what is not of that class, and
nothing stays.
"""

from __future__ import annotations

import contextlib
import socket
import uuid
from typing import TYPE_CHECKING, Any

from nspkit import Address, Service, ServiceOperation
from nspkit.errors import NoDataError, NspError, ServiceNotFoundError
from nspkit.testing._limits import at_once, eventually
from nspkit.testing._rule import RuleBrokenError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from nspkit import Session
    from nspkit.testing._case import Case

LOOKUP, SET, NOTIFY = "nsp_lookup_service", "nsp_set_service", "nsp_notify_change"
REGISTER, DEREGISTER, DELETE = ServiceOperation

A, B, C = "192.0.2.1", "192.0.2.2", "192.0.2.3"  # addresses that are nobody's

UNKNOWN = "unknown (10108)"
NO_DATA = "known, without data (11004)"

TTL = 1.0
"""The lease of what is to end, in seconds; an engine may round it up."""

HANDS = 4
"""How many threads register and delete where it is much."""


class Client:
    """A session of the provider, with shorter words for what rules do with a registry."""

    def __init__(self, case: Case, session: Session, kind: str, made: dict[Any, Service]) -> None:
        self.case = case
        self.session = session
        self.kind = kind
        self._made = made

    def service(self, name: str, *hosts: str, **members: Any) -> Service:
        """Return a service of the rule's class with an address, TCP port 80, for each host."""
        addresses = [tcp(host) for host in hosts]
        return Service(name, **{"service_class": self.kind, "addresses": addresses, **members})

    def register(self, name: str, *hosts: str, multiple: bool = False, **members: Any) -> None:
        """Register it."""
        self._set(REGISTER, self.service(name, *hosts, **members), multiple=multiple)

    def deregister(self, name: str, *hosts: str, multiple: bool = False, **members: Any) -> None:
        """Deregister it, or these addresses of it."""
        self._set(DEREGISTER, self.service(name, *hosts, **members), multiple=multiple)

    def delete(self, name: str, *hosts: str, multiple: bool = False, **members: Any) -> None:
        """Delete it, or these addresses of it."""
        self._set(DELETE, self.service(name, *hosts, **members), multiple=multiple)

    def _set(self, operation: ServiceOperation, service: Service, *, multiple: bool) -> None:
        self.note(service)
        self.case.within(
            SET, lambda: self.session.set_service(service, operation, multiple=multiple)
        )

    def note(self, service: Service) -> None:
        """Have a service deleted in the end, if it is there then."""
        self._made[service.name, service.service_class, service.context] = service

    def register_all(self, services: Sequence[Service]) -> None:
        """Register many services, on several threads."""
        for service in services:
            self.note(service)
        self._each(services, lambda one: self.session.set_service(one, REGISTER))

    def delete_all(self) -> None:
        """Delete whatever was registered."""
        made = list(self._made.values())
        self._made.clear()

        def delete(service: Service) -> None:
            with contextlib.suppress(NspError):
                self.session.set_service(service, DELETE)

        self._each(made, delete)

    def _each(self, services: Sequence[Service], do: Callable[[Service], object]) -> None:
        def work(number: int) -> None:
            for service in services[number::count]:
                self.case.go_on()
                do(service)

        count = min(HANDS, len(services))
        if count:
            # At least the patience for each: a disk may be slow, and thousands take their time.
            at_once(count, SET, work, self.case.patience * max(1, len(services) // 50))

    # -- what is found -------------------------------------------------------------------------

    def find(self, name: str | None = None, **restrictions: Any) -> list[Service]:
        """Return all results of a lookup, of the rule's class if nothing else is said."""
        from nspkit import Query

        return self.case.find(
            self.session, Query(name, **{"service_class": self.kind, **restrictions})
        )

    def answer(self, name: str | None = None, **restrictions: Any) -> list[Service] | str:
        """Return the results, or what is said of a name that has none."""
        try:
            found = self.find(name, **restrictions)
        except ServiceNotFoundError:
            found = []
        except NoDataError:
            return NO_DATA if name is not None else []
        return found if found or name is None else UNKNOWN

    def hosts(self, name: str, **restrictions: Any) -> list[str] | str:
        """Return the hosts of all results, or what is said of a name that has none."""
        found = self.answer(name, **restrictions)
        if isinstance(found, str):
            return found
        return [address.host for service in found for address in service.addresses]

    def names(self, name: str | None = None, **restrictions: Any) -> list[str] | str:
        """Return the names of all results, sorted, or what is said of a name that has none."""
        found = self.answer(name, **restrictions)
        return found if isinstance(found, str) else sorted(service.name for service in found)

    def shows(
        self, question: Callable[[], object], right: object, what: str, *, seconds: float = 0.0
    ) -> None:
        """Ask until the answer is right, for so many seconds more than the patience.

        Raises:
            RuleBrokenError: it never is; the message is ``what``, the last answer and the right
                one.
        """
        answers: list[object] = []

        def is_right() -> bool:
            answers[:] = [question()]
            return answers[0] == right

        eventually(
            is_right,
            self.case.patience + seconds,
            lambda: f"{what}: found is {answers[0]!r:.300}, right is {right!r:.300}",
        )


@contextlib.contextmanager
def registry(case: Case) -> Iterator[Client]:
    """Start the provider in a host of its own, and delete in the end what was registered."""
    kind = f"_nsp-{uuid.uuid4().hex[:11]}._tcp"
    with case.session() as session:
        client = Client(case, session, kind, {})
        try:
            yield client
        except BaseException as error:
            with contextlib.suppress(NspError, RuleBrokenError):
                client.delete_all()
            raise error
        client.delete_all()


@contextlib.contextmanager
def another(client: Client) -> Iterator[Client]:
    """Start the provider in one host more; what is registered there is deleted with the first."""
    with client.case.session() as session:
        yield Client(client.case, session, client.kind, client._made)


def tcp(host: str, port: int = 80) -> Address:
    """Return an address for TCP."""
    return Address.inet(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
