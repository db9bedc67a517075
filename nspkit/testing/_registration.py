"""Rules about registrations."""

from __future__ import annotations

import contextlib
import socket
import uuid
from typing import TYPE_CHECKING

from nspkit import Address, Service, ServiceOperation
from nspkit.errors import NoDataError, NspError, OperationNotSupportedError, ServiceNotFoundError
from nspkit.testing._limits import eventually
from nspkit.testing._lookup import query_for
from nspkit.testing._rule import broken, require, rule, rules_in, told

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nspkit import Session
    from nspkit.testing._case import Case

SET = "nsp_set_service"
LOOKUP = "nsp_lookup_service"
REGISTER, DEREGISTER, DELETE = ServiceOperation


@rule("registration", SET, LOOKUP)
def registered_is_found(case: Case) -> None:
    """What is registered is found, with its addresses."""
    with case.session() as session, registered(case, session):
        eventually(
            lambda: set(addresses(case, session)) >= set(case.service.addresses),
            case.patience,
            f"{case.service.name!r} was registered with {list(case.service.addresses)} and is not "
            "found with them; have nsp_lookup_service see what nsp_set_service stores, or set "
            "service to one that can be registered here",
        )


@rule("registration", SET, LOOKUP)
def registered_twice_is_there_once(case: Case) -> None:
    """Registering again renews: it raises nothing, and there is one service with its addresses.

    A host renews a registration by registering it again.
    """
    with case.session() as session, registered(case, session):
        setting(case, session, REGISTER)
        eventually(lambda: bool(found(case, session)), case.patience, "it is not found")
        services = found(case, session)
        there = [address for service in services for address in service.addresses]
        require(
            len(services) == 1 and len(there) == len(set(there)),
            f"registered twice, {case.service.name!r} is found {len(services)} times with "
            f"{there}; replace what has the same name, class and context",
        )


@rule("registration", SET, LOOKUP)
def deregistered_has_no_addresses(case: Case) -> None:
    """After DEREGISTER no lookup finds an address of the service; an empty object may stay."""
    with case.session() as session, registered(case, session):
        setting(case, session, DEREGISTER)
        eventually(
            lambda: not addresses(case, session),
            case.patience,
            f"{case.service.name!r} was deregistered and still has its addresses; drop them",
        )


@rule("registration", SET, LOOKUP)
def deleted_is_gone(case: Case) -> None:
    """After DELETE no lookup finds the service."""
    with case.session() as session, registered(case, session):
        setting(case, session, DELETE)
        eventually(
            lambda: not found(case, session),
            case.patience,
            f"{case.service.name!r} was deleted and is still found; remove it",
        )


@rule("registration", SET)
def unknown_is_refused(case: Case) -> None:
    """DEREGISTER and DELETE of what is not there raise ServiceNotFoundError (10108)."""
    service = case.service.replace(name=f"nspkit-{uuid.uuid4().hex[:12]}")
    with case.session() as session:
        for operation in (DEREGISTER, DELETE):
            try:
                setting(case, session, operation, service)
            except ServiceNotFoundError:
                continue
            except NspError as error:
                broken(
                    f"{operation.name} of what is not there raised {told(error)}; raise "
                    "ServiceNotFoundError",
                    error,
                )
            broken(f"{operation.name} of what is not there succeeded; raise ServiceNotFoundError")


@rule("registration", SET, LOOKUP)
def one_address_of_several(case: Case) -> None:
    """With multiple, one address is added to a service, and taken away again, beside the others.

    Several processes may register addresses under one name. A provider that cannot do so raises
    OperationNotSupportedError.
    """
    own = case.service.addresses
    another = Address.inet("192.0.2.77", 4712, type=socket.SOCK_STREAM, proto=6)
    more = case.service.replace(addresses=[another])
    with case.session() as session, registered(case, session):
        for operation, expected in ((REGISTER, {*own, another}), (DELETE, set(own))):
            try:
                setting(case, session, operation, more, multiple=True)
            except OperationNotSupportedError:
                return
            eventually(
                lambda right=expected: set(addresses(case, session)) == right,  # type: ignore[misc]
                case.patience,
                f"after {operation.name} of {another} with multiple=True the addresses are "
                f"{addresses(case, session)}, not {sorted(map(str, expected))}; change the given "
                "addresses only, or raise OperationNotSupportedError",
            )


@rule("registration", SET, LOOKUP)
def ends_with_the_host(case: Case) -> None:
    """What host.register has registered is gone after the final cleanup.

    The host deletes it before it calls nsp_cleanup; a cleanup must not bring it back.
    """
    with case.open_host() as host:
        with case.startup(host) as session:
            registration = case.within(
                "nsp_set_service",
                lambda: host.register(case.service, provider=case.info.guid),
            )
            eventually(
                lambda: bool(found(case, session)),
                case.patience,
                "what was registered is not found",
            )
        del registration
    with case.session() as session:
        left = found(case, session)
        with contextlib.suppress(NspError):
            setting(case, session, DELETE)
    require(
        not left,
        f"a registration of host.register survived the final cleanup: {left!r:.120}; store what "
        "DELETE removes at once, and write nothing back in nsp_cleanup",
    )


@contextlib.contextmanager
def registered(case: Case, session: Session, service: Service | None = None) -> Iterator[None]:
    """Register the service of the case, and delete it at the end if it is still there."""
    try:
        setting(case, session, REGISTER, service)
    except NspError as error:
        broken(
            f"nsp_set_service refused {(service or case.service)!r}: {told(error)}; mend it, or "
            "set service to one that can be registered",
            error,
        )
    try:
        yield
    finally:
        with contextlib.suppress(NspError):
            setting(case, session, DELETE, service)


def setting(
    case: Case,
    session: Session,
    operation: ServiceOperation,
    service: Service | None = None,
    *,
    multiple: bool = False,
) -> None:
    """Carry an operation out, within the patience."""
    chosen = case.service if service is None else service
    case.within(
        "nsp_set_service", lambda: session.set_service(chosen, operation, multiple=multiple)
    )


def found(case: Case, session: Session) -> list[Service]:
    """Return what a lookup finds of the service of the case."""
    try:
        return case.find(session, query_for(case.service))
    except (ServiceNotFoundError, NoDataError):
        return []


def addresses(case: Case, session: Session) -> list[Address]:
    """Return the addresses that a lookup finds of the service of the case."""
    return [address for service in found(case, session) for address in service.addresses]


RULES = rules_in(globals())
