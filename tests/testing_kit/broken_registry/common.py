"""What broken registries share: a good one to spoil, and a note of what each breaks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from broken_common import Good

from nspkit import Cancellation, Query, Service, ServiceOperation, hookimpl

T = TypeVar("T", bound=type)
REGISTER, DEREGISTER, DELETE = ServiceOperation


def breaks(rule: str, says: str) -> Callable[[T], T]:
    """Mark a registry as one that breaks a rule; ``says`` is a pattern of what is told of it."""

    def mark(provider: T) -> T:
        provider.breaks = f"registry.{rule}"  # type: ignore[attr-defined]
        provider.says = says  # type: ignore[attr-defined]
        return provider

    return mark


class Registers(Good):
    """Does something else with registrations."""

    @hookimpl
    def nsp_set_service(
        self, service: Service, operation: ServiceOperation, multiple: bool
    ) -> None:
        """Do it as `register` says."""
        self.register(service, operation, multiple=multiple)

    def register(self, service: Service, operation: ServiceOperation, *, multiple: bool) -> None:
        """Do it right."""
        self.store.set_service(service, operation, multiple=multiple)

    def there(self, service: Service) -> Service | None:
        """Return what is registered under the same name, class and context."""
        for one in self.store.services():
            if (one.name, one.service_class) == (service.name, service.service_class):
                return one
        return None


class LooksUp(Good):
    """Does something else with lookups."""

    @hookimpl
    def nsp_lookup_service(self, query: Query, cancellation: Cancellation) -> Iterable[Service]:
        """Do it as `look_up` says."""
        return self.look_up(query)

    def look_up(self, query: Query) -> Iterable[Service]:
        """Do it right."""
        return self.store.find(query)
