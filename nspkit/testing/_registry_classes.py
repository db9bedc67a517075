"""Rules about registries: service classes are everybody's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nspkit import ServiceClass
from nspkit.errors import AlreadyExistsError, TooManyReferencesError, TypeNotFoundError
from nspkit.testing._classes import INFO, INSTALL, REMOVE, installed, refused
from nspkit.testing._limits import at_once, eventually
from nspkit.testing._registry import LOOKUP, SET, A, another, registry
from nspkit.testing._rule import require, rule, rules_in

if TYPE_CHECKING:
    from uuid import UUID

    from nspkit import Session
    from nspkit.testing._case import Case

_THREADS = 8
_ATTRIBUTES: dict[str, Any] = {
    "TcpPort": 80,
    "raw": b"\0\xff",
    "none": None,
    "yes": True,
    "ä": "ö=&%",
}


@rule("registry", INSTALL, REMOVE, INFO)
def classes_are_everybodys(case: Case) -> None:
    """A class that one host installs another one describes as it was, refuses, and removes."""
    with case.session() as one, case.session() as other, installed(case, one) as kind:
        whole = ServiceClass(kind.id, "Brünnen", _ATTRIBUTES)
        case.within(REMOVE, lambda: one.remove_service_class(kind.id))
        case.within(INSTALL, lambda: one.install_service_class(whole))
        eventually(
            lambda: _described(case, other, kind.id) == whole,
            case.patience,
            lambda: f"{whole!r} is {_described(case, other, kind.id)!r} to another host",
        )
        refused(
            "a second installation, by another host,",
            lambda: case.within(INSTALL, lambda: other.install_service_class(kind)),
            AlreadyExistsError,
        )
        case.within(REMOVE, lambda: other.remove_service_class(kind.id))
        eventually(
            lambda: _described(case, one, kind.id) is None,
            case.patience,
            "a class is still described after another host has removed it",
        )


@rule("registry", INSTALL, REMOVE, INFO)
def installed_once_by_many(case: Case) -> None:
    """Of threads of two hosts that install one class at the same moment, one succeeds.

    The others get AlreadyExistsError (10037).
    """
    with case.session() as one, case.session() as other, installed(case, one) as kind:
        case.within(REMOVE, lambda: one.remove_service_class(kind.id))

        def install(number: int) -> bool:
            try:
                (one, other)[number % 2].install_service_class(kind)
            except AlreadyExistsError:
                return False
            return True

        count = sum(at_once(_THREADS, INSTALL, install, case.patience))
        require(
            count == 1,
            f"of {_THREADS} threads that installed one class at once {count} succeeded, not one",
        )


@rule("registry", INSTALL, REMOVE, INFO, SET, LOOKUP)
def in_use_by_another_stays(case: Case) -> None:
    """A class of which another host has a service registered cannot be removed (10059).

    One whose services are all deregistered can.
    """
    with registry(case) as one, another(one) as other, installed(case, one.session) as kind:
        other.register("x", A, service_class=kind.id)
        one.shows(lambda: one.hosts("x", service_class=kind.id), [A], "registered by another host")
        refused(
            "the removal of a class that another host uses",
            lambda: case.within(REMOVE, lambda: one.session.remove_service_class(kind.id)),
            TooManyReferencesError,
        )
        other.deregister("x", service_class=kind.id)
        one.shows(lambda: one.names(service_class=kind.id), [], "deregistered by another host")
        case.within(REMOVE, lambda: one.session.remove_service_class(kind.id))


def _described(case: Case, session: Session, class_id: UUID) -> ServiceClass | None:
    try:
        found: ServiceClass = case.within(INFO, lambda: session.service_class(class_id))
    except TypeNotFoundError:
        return None
    return found


RULES = rules_in(globals())
