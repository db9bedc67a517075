"""Providers that break the contract, or the rules about starting and stopping."""

from __future__ import annotations

import uuid
import weakref
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar

from broken_common import EVERYTHING, Good, breaks

from nspkit import Cancellation, Namespace, ProviderInfo, Query, Resources, Service, hookimpl
from nspkit.errors import ProviderError


@breaks("contract.made_without_arguments", *EVERYTHING)
class WantsAnArgument(Good):
    """Cannot be made by a host."""

    def __init__(self, path: str) -> None:
        self.path = path


@breaks("contract.info", *EVERYTHING)
class HasNoInfo(Good):
    """Has no info."""

    info: ClassVar[Any] = None


@breaks("contract.hooks_fit", *EVERYTHING)
class TakesByKeywordOnly(Good):
    """Has a hook with a parameter that nobody passes."""

    @hookimpl
    def nsp_ioctl(self, code: int, *, data: bytes) -> bytes | None:  # type: ignore[override]
        """Never called."""
        return data


@breaks("contract.spi_version", *EVERYTHING)
class SpeaksAnotherVersion(Good):
    """Was written for another nspkit."""

    info = ProviderInfo(Good.info.guid, "memory", Namespace(21330), "1", spi_version=99)


@breaks("contract.startup_and_cleanup", *EVERYTHING)
class HasNoCleanup(Good):
    """Leaves everything to its resources, and forgets that there is a hook."""

    nsp_cleanup: ClassVar[Any] = None


@breaks("contract.class_hooks_together")
class InstallsOnly(Good):
    """Installs classes that nobody can remove."""

    info = ProviderInfo(Good.info.guid, "memory", Namespace(21330), "1")
    nsp_remove_service_class: ClassVar[Any] = None


@breaks("contract.stores_what_it_says")
class StoresNothing(Good):
    """Says that it stores classes."""

    nsp_install_service_class: ClassVar[Any] = None
    nsp_remove_service_class: ClassVar[Any] = None


@breaks("contract.unknown_request")
class AnswersAnything(Good):
    """Answers requests that it does not know."""

    @hookimpl
    def nsp_ioctl(self, code: int, data: bytes) -> bytes | None:
        """Do nothing."""
        return None


@breaks("lifecycle.starts_and_stops", *EVERYTHING)
class RaisesAtTheEnd(Good):
    """Has a cleanup that raises."""

    @hookimpl
    def nsp_cleanup(self) -> None:
        """Fail."""
        raise RuntimeError("the back end is gone already")


_STARTED: list[bool] = []


@breaks("lifecycle.starts_again", *EVERYTHING)
class StartsOnce(Good):
    """Can be started once in a process."""

    @hookimpl
    def nsp_startup(self, settings: Mapping[str, Any], resources: Resources) -> None:
        """Fail at the second time."""
        if _STARTED:
            raise ProviderError("started once already")
        _STARTED.append(True)
        super().nsp_startup(settings, resources)


_SHARED = {"open": False}


@breaks("lifecycle.two_hosts_at_once", "contract.settings_are_each_hosts_own")
class ClosesForAll(Good):
    """Closes at its cleanup what all instances use."""

    @hookimpl
    def nsp_startup(self, settings: Mapping[str, Any], resources: Resources) -> None:
        """Open it for all."""
        super().nsp_startup(settings, resources)
        _SHARED["open"] = True

    @hookimpl
    def nsp_cleanup(self) -> None:
        """Close it for all."""
        _SHARED["open"] = False

    @hookimpl
    def nsp_lookup_service(self, query: Query, cancellation: Cancellation) -> Iterable[Service]:
        """Use it."""
        if not _SHARED["open"]:
            raise ProviderError("the connection is closed")
        return super().nsp_lookup_service(query, cancellation)


_STOPPING: list[weakref.ref[Any]] = []


@breaks("lifecycle.starts_during_a_cleanup", "concurrency.starts_on_many_threads")
class StopsAlone(Good):
    """Refuses a start while another instance stops."""

    @hookimpl
    def nsp_startup(self, settings: Mapping[str, Any], resources: Resources) -> None:
        """Look who stops."""
        if any(one() is not None for one in _STOPPING):
            raise ProviderError("the one before is still stopping")
        super().nsp_startup(settings, resources)

    @hookimpl
    def nsp_cleanup(self) -> None:
        """Bar the others."""
        _STOPPING.append(weakref.ref(self))
        _STOPPING.clear()


@breaks("lifecycle.starts_during_a_cleanup", "concurrency.starts_on_many_threads")
class BarsAllWhoLookUp(Good):
    """Stops one after the other, but only what a lookup has opened."""

    _used = False

    def _results(self, query: Query, cancellation: Cancellation) -> Iterator[Service]:
        self._used = True
        return super()._results(query, cancellation)

    @hookimpl
    def nsp_startup(self, settings: Mapping[str, Any], resources: Resources) -> None:
        """Look who stops."""
        if any(one() is not None for one in _STOPPING):
            raise ProviderError("the connection is being closed")
        super().nsp_startup(settings, resources)

    @hookimpl
    def nsp_cleanup(self) -> None:
        """Bar the others while the connection is closed."""
        if self._used:
            _STOPPING.append(weakref.ref(self))
            _STOPPING.clear()


_FAILED: list[bool] = []


@breaks("lifecycle.starts_after_a_failure")
class RemembersAFailure(Good):
    """Does not clear up after a startup that failed."""

    @hookimpl
    def nsp_startup(self, settings: Mapping[str, Any], resources: Resources) -> None:
        """Set a flag that only a startup that comes through takes back."""
        if _FAILED:
            _FAILED.clear()
            raise ProviderError("a start is in progress")
        _FAILED.append(True)
        super().nsp_startup(settings, resources)
        _FAILED.clear()


@breaks("lifecycle.says_which_setting_is_missing")
class MissesASetting(Good):
    """Lets a KeyError out."""

    @hookimpl
    def nsp_startup(self, settings: Mapping[str, Any], resources: Resources) -> None:
        """Take what may not be there."""
        super().nsp_startup({"services": settings["services"]}, resources)


@breaks("lifecycle.leaves_the_settings_alone")
class TakesSettingsOut(Good):
    """Changes what is the application's."""

    @hookimpl
    def nsp_startup(self, settings: Mapping[str, Any], resources: Resources) -> None:
        """Count the starts in there."""
        super().nsp_startup({"services": settings.get("services", ())}, resources)
        settings["instance"] = str(uuid.uuid4())  # type: ignore[index]
