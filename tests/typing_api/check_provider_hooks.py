"""What type checkers say of an author's hooks; checked by mypy and by pyright, never run.

An author gives the class of specifications as a base to type checkers only, and writes the hooks
with all of their arguments: then a hook that does not fit is an error where it is written.
"""

# ruff: noqa: D102 - the class says what its methods show
from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any
from uuid import UUID

from typing_extensions import override

import nspkit
from nspkit import hookimpl

if TYPE_CHECKING:
    from nspkit.hookspecs import ProviderHooks
else:
    ProviderHooks = object


class Whole(ProviderHooks):
    """Every hook as it is specified; a result may be of a narrower type."""

    info = nspkit.ProviderInfo("3f1f6b0e-7a0d-4c55-8a1e-5a4d7b6c9e21", "whole", 4711, "1")

    @hookimpl
    @override
    def nsp_startup(
        self, guid: UUID, settings: Mapping[str, Any], resources: nspkit.Resources
    ) -> None: ...

    @hookimpl
    @override
    def nsp_cleanup(self, guid: UUID) -> None: ...

    @hookimpl
    @override
    def nsp_lookup_service(
        self, guid: UUID, query: nspkit.Query, cancellation: nspkit.Cancellation
    ) -> Iterator[nspkit.Service]:
        yield nspkit.Service("x")

    @hookimpl
    @override
    def nsp_set_service(
        self,
        guid: UUID,
        service: nspkit.Service,
        operation: nspkit.ServiceOperation,
        multiple: bool,
    ) -> None: ...

    @hookimpl
    @override
    def nsp_install_service_class(self, guid: UUID, service_class: nspkit.ServiceClass) -> None: ...

    @hookimpl
    @override
    def nsp_remove_service_class(self, guid: UUID, class_id: UUID) -> int:
        return 0  # it speaks C

    @hookimpl
    @override
    def nsp_get_service_class_info(self, guid: UUID, class_id: UUID) -> nspkit.ServiceClass:
        return nspkit.ServiceClass(class_id, "x")

    @hookimpl
    @override
    def nsp_notify_change(
        self, guid: UUID, query: nspkit.Query, cancellation: nspkit.Cancellation
    ) -> Iterable[nspkit.Change | None]:
        return []

    @hookimpl
    @override
    def nsp_ioctl(self, guid: UUID, code: int, data: bytes) -> bytes:
        return data


class Fewer:
    """Without that base a hook may take fewer arguments; its result is not checked then."""

    @hookimpl
    def nsp_lookup_service(self, query: nspkit.Query) -> Iterator[nspkit.Service]:
        yield nspkit.Service(query.name or "x")


class WrongResult(ProviderHooks):
    """Results of another type."""

    @hookimpl
    def nsp_lookup_service(  # type: ignore[override]
        self, guid: UUID, query: nspkit.Query, cancellation: nspkit.Cancellation
    ) -> Iterator[str]:
        yield "x"

    @hookimpl
    def nsp_get_service_class_info(  # type: ignore[override]
        self, guid: UUID, class_id: UUID
    ) -> None: ...


class WrongArguments(ProviderHooks):
    """An argument left out, of another type, by keyword only, or one too many."""

    @hookimpl
    def nsp_cleanup(self) -> None: ...  # type: ignore[override]

    @hookimpl
    def nsp_ioctl(  # type: ignore[override]
        self, guid: UUID, code: str, data: bytes
    ) -> None: ...

    @hookimpl
    def nsp_remove_service_class(  # type: ignore[override]
        self, guid: UUID, *, class_id: UUID
    ) -> None: ...

    @hookimpl
    def nsp_install_service_class(  # type: ignore[override]
        self, guid: UUID, service_class: nspkit.ServiceClass, force: int
    ) -> None: ...


class OtherName(ProviderHooks):
    """An argument by another name: an error to pyright, and to a host; mypy lets it pass."""

    @hookimpl
    def nsp_ioctl(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, guid: UUID, number: int, data: bytes
    ) -> None: ...


class WrongName(ProviderHooks):
    """A hook that there is not."""

    @hookimpl
    @override
    def nsp_lookup(self, query: nspkit.Query) -> None: ...  # type: ignore[misc]


class Asynchronous(ProviderHooks):
    """A coroutine where nobody awaits."""

    @hookimpl
    async def nsp_cleanup(self, guid: UUID) -> None: ...  # type: ignore[override]
