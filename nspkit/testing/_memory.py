"""A provider that keeps everything in memory, and has every hook."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nspkit import Change, ChangeKind, LookupFlags, Namespace, ProviderInfo, hookimpl
from nspkit.errors import InvalidArgumentError, NoDataError, OperationNotSupportedError
from nspkit.registry import Conditions
from nspkit.testing._matching import matched
from nspkit.testing._records import key_of
from nspkit.testing._store import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from queue import SimpleQueue
    from uuid import UUID

    from nspkit import Cancellation, Query, Resources, Service, ServiceClass, ServiceOperation
    from nspkit.testing._records import Key

MEMORY = Namespace(21330)
"""The namespace of the fakes, a private one: no application finds them by accident."""

ECHO = 1
"""The one control request of `MemoryProvider`: it returns its input."""


class MemoryProvider:
    """A provider without a back end: it finds what was registered, or given in its settings.

    It has every hook and passes the conformance kit, so it is what an application's own tests can
    put in the place of a real one.

    Settings: ``services``, an iterable of `nspkit.Service` to begin with; ``store``, a
    `MemoryStore` to use instead of one that is forgotten at the cleanup. Its one control request,
    number 1, returns its input.
    """

    info = ProviderInfo(
        "f3b1d9a0-6d1d-4d58-9b6c-0c4a4f6a7c11",
        "memory",
        MEMORY,
        "0.1.0",
        stores_service_classes=True,
    )

    names: tuple[str, ...] = ("services", "store")
    """The settings that it has."""

    store: MemoryStore

    @hookimpl
    def nsp_startup(self, settings: Mapping[str, Any], resources: Resources) -> None:
        """Take the store, or make one."""
        unknown = sorted(map(repr, settings.keys() - set(self.names)))
        if unknown:
            raise InvalidArgumentError(
                f"{self.info.name} has no setting {', '.join(unknown)}; there are "
                f"{', '.join(self.names)}"
            )
        store = settings.get("store")
        self.store = MemoryStore(settings.get("services", ())) if store is None else store
        resources.callback(self._forget, name="the store")

    @hookimpl
    def nsp_cleanup(self) -> None:
        """Leave the store to the release of the resources."""

    def _forget(self) -> None:
        del self.store

    @hookimpl
    def nsp_lookup_service(self, query: Query, cancellation: Cancellation) -> Iterable[Service]:
        """Find what is registered."""
        if LookupFlags.CONTAINERS in query.flags:
            raise NoDataError(f"{self.info.name} has no containers; look up without CONTAINERS")
        return self._results(query, cancellation)

    def _results(self, query: Query, cancellation: Cancellation) -> Iterator[Service]:
        for service in self.store.find(query):
            if cancellation.cancelled:
                return
            yield service

    @hookimpl
    def nsp_set_service(
        self, service: Service, operation: ServiceOperation, multiple: bool
    ) -> None:
        """Register, deregister or delete an instance."""
        self.store.set_service(service, operation, multiple=multiple)

    @hookimpl
    def nsp_install_service_class(self, service_class: ServiceClass) -> None:
        """Store a service class."""
        self.store.install(service_class)

    @hookimpl
    def nsp_remove_service_class(self, class_id: UUID) -> None:
        """Forget a service class that has no living instances."""
        self.store.remove(class_id)

    @hookimpl
    def nsp_get_service_class_info(self, class_id: UUID) -> ServiceClass:
        """Return a service class as it was installed."""
        return self.store.service_class(class_id)

    @hookimpl
    def nsp_notify_change(
        self, query: Query, cancellation: Cancellation
    ) -> Iterable[Change | None]:
        """Yield what is there, then each change."""
        Conditions(query.query_string)  # a malformed one is refused when it is asked
        return self._changes(query, cancellation)

    def _changes(self, query: Query, cancellation: Cancellation) -> Iterator[Change | None]:
        from queue import SimpleQueue

        store = self.store
        waiting: SimpleQueue[Change | None] = SimpleQueue()
        told: dict[Key, Service] = {}
        try:
            # First who ends the wait, then the wait: a cancellation may come at any time.
            cancellation.on_cancel(lambda: waiting.put(None))
            for service in store.subscribe(waiting.put):
                yield from _news(Change(ChangeKind.ADDED, service), query, told)
            yield None
            while (change := _next(waiting, cancellation, store)) is not None:
                yield from _news(change, query, told)
        finally:
            store.unsubscribe(waiting.put)

    @hookimpl
    def nsp_ioctl(self, code: int, data: bytes) -> bytes | None:
        """Return the input of request 1; there is no other."""
        if code != ECHO:
            raise OperationNotSupportedError(
                f"{self.info.name} has no control request {code}; the one it has is {ECHO}"
            )
        return data


def _next(
    waiting: SimpleQueue[Change | None], cancellation: Cancellation, store: MemoryStore
) -> Change | None:
    from queue import Empty

    while not cancellation.cancelled:
        limits = [one for one in (cancellation.remaining(), store.sweep()) if one is not None]
        try:
            return waiting.get(timeout=min(limits, default=None))
        except Empty:
            continue  # something has ended, or the time is over
    return None


def _news(change: Change, query: Query, told: dict[Key, Service]) -> Iterator[Change]:
    """Yield what a change means to who asks so, and has been told what is in ``told``."""
    key = key_of(change.service)
    before = told.pop(key, None)
    found = None if change.kind is ChangeKind.REMOVED else matched(change.service, query)
    if found is None:
        if before is not None:
            yield Change(ChangeKind.REMOVED, before)
        return
    told[key] = content = found.replace(ttl=None)
    if content != before:
        yield Change(ChangeKind.ADDED if before is None else ChangeKind.CHANGED, found)
