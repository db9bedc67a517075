"""The contract of a provider: every hook, who calls it, when, from which thread.

A provider is a class with an ``info`` attribute and some of the hooks below, each marked with
`hookimpl`. It may take fewer arguments than a hook has, by the names used here. A hook that is
left out answers WSAEOPNOTSUPP (10045): leave out what makes no sense, do not raise. Hooks are the
entry points of a Winsock namespace provider (`NSPStartup` and the table it fills).

All hooks but ``nsp_startup`` and ``nsp_cleanup`` may run on any thread, many at once. A hook that
returns nothing may also speak C: a non-zero integer is a failure, -1 stands for the code that was
left with `nspkit.errors.set_last_error`, any other number is the code itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from uuid import UUID

    from nspkit._cancellation import Cancellation
    from nspkit._constants import ServiceOperation
    from nspkit._model import Change, Query, Service, ServiceClass
    from nspkit._resources import Resources

__all__ = [
    "C_SPEAKING",
    "HOOKS",
    "PROJECT",
    "ProviderHooks",
    "SPI_VERSION",
    "hookimpl",
    "hookspec",
]

PROJECT = "nspkit"
SPI_VERSION = 1

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)
"""Marks a method of a provider, or of a middleware, as the implementation of a hook."""


class ProviderHooks:
    """The hooks that a provider can implement, in the order of Winsock's table."""

    @hookspec(firstresult=True)
    def nsp_startup(
        self, guid: UUID, settings: Mapping[str, Any], resources: Resources
    ) -> int | None:
        """Acquire what the provider needs; runs once before anything else of this instance.

        Called: by the first of nested startups, once per instance, on the thread that asked.
        Args: the provider's GUID; the application's settings for it (empty if none); the release
        stack: what is pushed there is released in reverse after ``nsp_cleanup``, or at once if
        this hook fails (then ``nsp_cleanup`` is not called).
        Returns: nothing.
        Raises: NotReadyError (10091) if a setting is missing or the back end is away; before any
        I/O where the setting alone tells. Winsock: NSPStartup.
        """

    @hookspec(firstresult=True)
    def nsp_cleanup(self, guid: UUID) -> int | None:
        """End the provider's work; runs once, when the last reference is given back.

        Called: after open lookups were ended and calls in flight came back, on a thread of its
        own, under the host's time limit. Resources are released right after it.
        Args: the provider's GUID.
        Returns: nothing. It must not return before the provider could be unloaded.
        Raises: anything; the error is reported and the release goes on. Winsock: NSPCleanup.
        """

    @hookspec(firstresult=True)
    def nsp_lookup_service(
        self, guid: UUID, query: Query, cancellation: Cancellation
    ) -> Iterable[Service]:
        """Look names up; the call begins, each step goes on, closing the iterator ends.

        Called: on any thread; steps and close may each be on another thread, one at a time.
        Args: the provider's GUID; what is asked, flags untouched; the cancellation, which tells
        that nobody waits any more and how many seconds remain.
        Returns: an iterable of Service, best a generator; the host closes it exactly once.
        Raises: ServiceNotFoundError (10108) for an unknown name, NoDataError (11004) for a known
        one without such data, or an empty iterable for either.
        Winsock: NSPLookupServiceBegin, Next, End.
        """
        raise NotImplementedError

    @hookspec(firstresult=True)
    def nsp_set_service(
        self, guid: UUID, service: Service, operation: ServiceOperation, multiple: bool
    ) -> int | None:
        """Register, deregister or delete an instance.

        Called: on any thread. A registration's renewals are calls with REGISTER.
        Args: the provider's GUID; the instance; the operation; whether only the given addresses
        are meant (SERVICE_MULTIPLE) instead of the whole instance.
        Returns: nothing.
        Raises: ServiceNotFoundError (10108) for DEREGISTER or DELETE of an unknown instance.
        Winsock: NSPSetService.
        """

    @hookspec(firstresult=True)
    def nsp_install_service_class(self, guid: UUID, service_class: ServiceClass) -> int | None:
        """Store the schema of a service class.

        Called: on any thread.
        Args: the provider's GUID; the class, whole.
        Returns: nothing.
        Raises: AlreadyExistsError (10037) if the class is there. Winsock: NSPInstallServiceClass.
        """

    @hookspec(firstresult=True)
    def nsp_remove_service_class(self, guid: UUID, class_id: UUID) -> int | None:
        """Forget the schema of a service class.

        Called: on any thread.
        Args: the provider's GUID; the class's GUID.
        Returns: nothing.
        Raises: TypeNotFoundError (10109) for an unknown class, TooManyReferencesError (10059)
        while instances of it live. Winsock: NSPRemoveServiceClass.
        """

    @hookspec(firstresult=True)
    def nsp_get_service_class_info(self, guid: UUID, class_id: UUID) -> ServiceClass:
        """Return the stored schema of a service class.

        Called: on any thread.
        Args: the provider's GUID; the class's GUID.
        Returns: the ServiceClass.
        Raises: TypeNotFoundError (10109) for an unknown class. Winsock: NSPGetServiceClassInfo.
        """
        raise NotImplementedError

    @hookspec(firstresult=True)
    def nsp_notify_change(
        self, guid: UUID, query: Query, cancellation: Cancellation
    ) -> Iterable[Change | None]:
        """Yield what is there as ADDED, then every change until cancelled.

        None may be yielded where the list of what is there ends: the watch is live from there on.

        Called: on a thread of the host; steps and close may each be on another thread.
        Args: as for ``nsp_lookup_service``.
        Returns: an iterable of Change, and None as that mark.
        Raises: as ``nsp_lookup_service``. Winsock: NSPIoctl with SIO_NSP_NOTIFY_CHANGE.
        """
        raise NotImplementedError

    @hookspec(firstresult=True)
    def nsp_ioctl(self, guid: UUID, code: int, data: bytes) -> bytes | None:
        """Answer a control request of the provider's own.

        Called: on any thread.
        Args: the provider's GUID; the request's number; its input.
        Returns: bytes, or None for no output.
        Raises: OperationNotSupportedError (10045) for an unknown code. Winsock: NSPIoctl.
        """


HOOKS: dict[str, tuple[str, ...]] = {
    name: tuple(function.__code__.co_varnames[1 : function.__code__.co_argcount])
    for name, function in vars(ProviderHooks).items()
    if name.startswith("nsp_")
}
"""The name of every hook and the names of its arguments, in order."""

C_SPEAKING = frozenset(
    (
        "nsp_startup",
        "nsp_cleanup",
        "nsp_set_service",
        "nsp_install_service_class",
        "nsp_remove_service_class",
    )
)
"""The hooks that return nothing, and may say a failure as an integer."""
