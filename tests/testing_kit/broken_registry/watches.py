"""Registries that break the rules about watches."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from broken_common import Good
from broken_registry_common import DEREGISTER, REGISTER, Registers, breaks

from nspkit import Cancellation, Change, ChangeKind, Query, Service, ServiceOperation
from nspkit.errors import ServiceNotFoundError


@breaks("a_watch_lists_and_marks", r"the end of what is there, came before \['a', 'b'\]")
class MarksTheBeginning(Good):
    """Says that it is live as soon as it is."""

    def _changes(self, query: Query, cancellation: Cancellation) -> Iterator[Change | None]:
        yield None
        for change in super()._changes(query, cancellation):
            if change is not None:
                yield change


@breaks("a_watch_tells_what_others_do", r"REMOVED.* was told, and not CHANGED of 'x'")
class RemovesAndAdds(Good):
    """Knows no changes."""

    def _changes(self, query: Query, cancellation: Cancellation) -> Iterator[Change | None]:
        for change in super()._changes(query, cancellation):
            if change is not None and change.kind is ChangeKind.CHANGED:
                yield Change(ChangeKind.REMOVED, change.service)
                yield Change(ChangeKind.ADDED, change.service)
            else:
                yield change


@breaks(
    "a_watch_is_silent_about_renewals", "REMOVED.* was told, and not ADDED of 'y': x was renewed"
)
class RegistersAnew(Registers):
    """Takes back what is there before it registers."""

    def register(self, service: Service, operation: ServiceOperation, *, multiple: bool) -> None:
        """Deregister it first."""
        if operation is REGISTER:
            with contextlib.suppress(ServiceNotFoundError):
                super().register(service, DEREGISTER, multiple=False)
        super().register(service, operation, multiple=multiple)


@breaks("a_watch_tells_of_ends", r"only \{.*REMOVED.*\} was told: the ttl of x and that of")
class TellsWholeInstances(Good):
    """Does not see that an address has ended."""

    def _changes(self, query: Query, cancellation: Cancellation) -> Iterator[Change | None]:
        for change in super()._changes(query, cancellation):
            if change is None or change.kind is not ChangeKind.CHANGED:
                yield change


@breaks("a_watch_tells_only_what_is_asked_for", r"Change\(.*'y'.* was told, and not ADDED of 'x'")
class WatchesAllVersions(Good):
    """Leaves the version to who asks."""

    def _changes(self, query: Query, cancellation: Cancellation) -> Iterator[Change | None]:
        return super()._changes(query.replace(version=None), cancellation)
