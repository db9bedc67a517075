"""Rules about service classes."""

from __future__ import annotations

import contextlib
import uuid
from typing import TYPE_CHECKING, Any

from nspkit import ServiceClass
from nspkit.errors import (
    AlreadyExistsError,
    NspError,
    TooManyReferencesError,
    TypeNotFoundError,
)
from nspkit.testing._registration import registered
from nspkit.testing._rule import broken, require, rule, rules_in, told

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nspkit import Session
    from nspkit.testing._case import Case

INSTALL, REMOVE, INFO, SET = (
    "nsp_install_service_class",
    "nsp_remove_service_class",
    "nsp_get_service_class_info",
    "nsp_set_service",
)


@rule("classes", INSTALL, REMOVE, INFO)
def comes_back_as_it_was(case: Case) -> None:
    """A class that was installed is described as it was installed."""
    with case.session() as session, installed(case, session) as kind:
        got = case.within(INFO, lambda: session.service_class(kind.id))
        require(got == kind, f"{kind!r} came back as {got!r}; store the class whole")


@rule("classes", INSTALL, REMOVE, INFO)
def installed_once(case: Case) -> None:
    """A class that is there cannot be installed again: AlreadyExistsError (10037)."""
    with case.session() as session, installed(case, session) as kind:
        refused(
            "a second installation",
            lambda: case.within(INSTALL, lambda: session.install_service_class(kind)),
            AlreadyExistsError,
        )


@rule("classes", INSTALL, REMOVE, INFO)
def removed_is_unknown(case: Case) -> None:
    """A class that was removed is unknown, and can be installed again."""
    with case.session() as session, installed(case, session) as kind:
        case.within(REMOVE, lambda: session.remove_service_class(kind.id))
        refused(
            "a question for a class that was removed",
            lambda: case.within(INFO, lambda: session.service_class(kind.id)),
            TypeNotFoundError,
        )
        try:
            case.within(INSTALL, lambda: session.install_service_class(kind))
        except NspError as error:
            broken(f"a class that was removed cannot be installed again: {told(error)}", error)


@rule("classes", INFO)
def unknown_class(case: Case) -> None:
    """An unknown class can neither be described nor removed: TypeNotFoundError (10109)."""
    unknown = uuid.uuid4()
    with case.session() as session:
        refused(
            "a question for an unknown class",
            lambda: case.within(INFO, lambda: session.service_class(unknown)),
            TypeNotFoundError,
        )
        if case.has(REMOVE):
            refused(
                "the removal of an unknown class",
                lambda: case.within(REMOVE, lambda: session.remove_service_class(unknown)),
                TypeNotFoundError,
            )


@rule("classes", INSTALL, REMOVE, INFO, SET)
def in_use_stays(case: Case) -> None:
    """A class that has registered services cannot be removed: TooManyReferencesError (10059)."""
    with case.session() as session, installed(case, session) as kind:
        service = case.service.replace(service_class=kind.id)
        with registered(case, session, service):
            refused(
                "the removal of a class in use",
                lambda: case.within(REMOVE, lambda: session.remove_service_class(kind.id)),
                TooManyReferencesError,
            )


@contextlib.contextmanager
def installed(case: Case, session: Session) -> Iterator[ServiceClass]:
    """Install a class that nobody else has, and remove it at the end if it is still there."""
    kind = ServiceClass.tcp(4711).replace(id=uuid.uuid4(), name="nspkit-conformance")
    try:
        case.within(INSTALL, lambda: session.install_service_class(kind))
    except NspError as error:
        broken(f"{INSTALL} refused {kind!r}: {told(error)}; store the class whole", error)
    try:
        yield kind
    finally:
        with contextlib.suppress(NspError):
            case.within(REMOVE, lambda: session.remove_service_class(kind.id))


def refused(what: str, function: Callable[[], Any], right: type[NspError]) -> None:
    """Call a function that has to raise one error, and no other.

    Raises:
        RuleBrokenError: it succeeded, or raised another one.
    """
    try:
        function()
    except right:
        return
    except NspError as error:
        broken(f"{what} raised {told(error)}; raise {right.__name__}", error)
    broken(f"{what} succeeded; raise {right.__name__}")


RULES = rules_in(globals())
