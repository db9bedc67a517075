"""A provider that writes down how it is called."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, NamedTuple

from nspkit import ProviderInfo, hookimpl
from nspkit.testing._memory import MEMORY, MemoryProvider

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from uuid import UUID

    from nspkit import (
        Cancellation,
        Change,
        Query,
        Resources,
        Service,
        ServiceClass,
        ServiceOperation,
    )


class RecordedCall(NamedTuple):
    """One call of a hook, as `RecordingProvider` notes it.

    Attributes:
        hook: The name of the hook. An iterator's steps and end are calls of their own, such as
            ``"nsp_lookup_service: step"`` and ``"nsp_lookup_service: end"``.
        arguments: What it was given, by name, the GUID apart.
        thread: The identifier of the thread that it ran on.
    """

    hook: str
    arguments: Mapping[str, Any]
    thread: int


class RecordingProvider(MemoryProvider):
    """A `MemoryProvider` that notes every call, to see what a host does with a provider.

    Settings: those of `MemoryProvider`; ``calls``, a list that gets a `RecordedCall` for each
    call. It is the application's, so it is there after the cleanup too.
    """

    info = ProviderInfo(
        "8c6fcf5e-0a3c-4a39-8b5b-3d3a1b7c9e12",
        "recording",
        MEMORY,
        "0.1.0",
        stores_service_classes=True,
    )

    names = ("calls", *MemoryProvider.names)

    _calls: list[RecordedCall]

    def _note(self, hook: str, **arguments: Any) -> None:
        # One append: it needs no lock, whatever thread comes.
        self._calls.append(RecordedCall(hook, arguments, threading.get_ident()))

    def _steps(self, hook: str, results: Iterable[Any]) -> Iterator[Any]:
        try:
            for result in results:
                self._note(f"{hook}: step", result=result)
                yield result
        finally:
            self._note(f"{hook}: end")
            end = getattr(results, "close", None)
            if end is not None:
                end()

    @hookimpl
    def nsp_startup(self, settings: Mapping[str, Any], resources: Resources) -> None:
        """Begin to note."""
        calls = settings.get("calls")
        self._calls = [] if calls is None else calls
        self._note("nsp_startup", settings=settings, resources=resources)
        super().nsp_startup(settings, resources)

    @hookimpl
    def nsp_cleanup(self) -> None:
        """Note the end."""
        self._note("nsp_cleanup")
        super().nsp_cleanup()

    @hookimpl
    def nsp_lookup_service(self, query: Query, cancellation: Cancellation) -> Iterable[Service]:
        """Note the beginning, each step and the end."""
        self._note("nsp_lookup_service", query=query, cancellation=cancellation)
        return self._steps("nsp_lookup_service", super().nsp_lookup_service(query, cancellation))

    @hookimpl
    def nsp_set_service(
        self, service: Service, operation: ServiceOperation, multiple: bool
    ) -> None:
        """Note it, then do it."""
        self._note("nsp_set_service", service=service, operation=operation, multiple=multiple)
        super().nsp_set_service(service, operation, multiple)

    @hookimpl
    def nsp_install_service_class(self, service_class: ServiceClass) -> None:
        """Note it, then do it."""
        self._note("nsp_install_service_class", service_class=service_class)
        super().nsp_install_service_class(service_class)

    @hookimpl
    def nsp_remove_service_class(self, class_id: UUID) -> None:
        """Note it, then do it."""
        self._note("nsp_remove_service_class", class_id=class_id)
        super().nsp_remove_service_class(class_id)

    @hookimpl
    def nsp_get_service_class_info(self, class_id: UUID) -> ServiceClass:
        """Note it, then do it."""
        self._note("nsp_get_service_class_info", class_id=class_id)
        return super().nsp_get_service_class_info(class_id)

    @hookimpl
    def nsp_notify_change(
        self, query: Query, cancellation: Cancellation
    ) -> Iterable[Change | None]:
        """Note the beginning, each step and the end."""
        self._note("nsp_notify_change", query=query, cancellation=cancellation)
        return self._steps("nsp_notify_change", super().nsp_notify_change(query, cancellation))

    @hookimpl
    def nsp_ioctl(self, code: int, data: bytes) -> bytes | None:
        """Note it, then do it."""
        self._note("nsp_ioctl", code=code, data=data)
        return super().nsp_ioctl(code, data)
