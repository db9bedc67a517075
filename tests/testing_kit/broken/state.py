"""Providers whose instances share what each has to have for itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, ClassVar

from broken_common import Good, breaks

from nspkit import Cancellation, Query, Resources, Service, hookimpl


@breaks("contract.state_is_not_shared")
class SharesAList(Good):
    """Keeps in its class what belongs to an instance."""

    seen: ClassVar[list[Any]] = []

    @hookimpl
    def nsp_startup(self, settings: Mapping[str, Any], resources: Resources) -> None:
        """Remember the settings."""
        super().nsp_startup(settings, resources)
        self.seen.append(sorted(settings))


@breaks("contract.state_is_not_shared")
class BindsAnAttributeOfItsClass(Good):
    """Has the class say which start was the last."""

    last: ClassVar[Any] = None

    @hookimpl
    def nsp_startup(self, settings: Mapping[str, Any], resources: Resources) -> None:
        """Say it; what was said before is gone, and its number is given anew."""
        super().nsp_startup(settings, resources)
        type(self).last = object()


class _Connection:
    """Something that has an end."""

    def close(self) -> None:
        """End it."""


_CONNECTION = _Connection()


@breaks("contract.state_is_not_shared")
class SharesAConnection(Good):
    """Uses one connection for all instances."""

    @hookimpl
    def nsp_startup(self, settings: Mapping[str, Any], resources: Resources) -> None:
        """Take it."""
        super().nsp_startup(settings, resources)
        self.connection = _CONNECTION


_CACHE: dict[int, Any] = {}


@breaks("contract.state_is_not_shared")
class SharesACache(Good):
    """Keeps what it found in a cache for all instances."""

    @hookimpl
    def nsp_startup(self, settings: Mapping[str, Any], resources: Resources) -> None:
        """Take it, and put something into it."""
        super().nsp_startup(settings, resources)
        self.cache = _CACHE
        self.cache[len(_CACHE)] = sorted(settings)


_NAMES: dict[str, Any] = {}


@breaks("contract.state_is_not_shared")
class KeepsTheSettingsInItsModule(Good):
    """Keeps what comes from the settings in a global of its module, and never in itself."""

    @hookimpl
    def nsp_startup(self, settings: Mapping[str, Any], resources: Resources) -> None:
        """Put it there."""
        super().nsp_startup(settings, resources)
        _NAMES["services"] = settings.get("services", [])


_LAST: Any = None


@breaks("contract.state_is_not_shared")
class BindsAGlobal(Good):
    """Has a global of its module for the instance that was started last."""

    @hookimpl
    def nsp_startup(self, settings: Mapping[str, Any], resources: Resources) -> None:
        """Bind it, and have it unbound at the end."""
        global _LAST  # noqa: PLW0603  # the fault
        super().nsp_startup(settings, resources)
        _LAST = self
        resources.callback(_unbind)


def _unbind() -> None:
    global _LAST  # noqa: PLW0603  # the fault
    _LAST = None


class _Register:
    """Has what is shared, and how many share it."""

    def __init__(self) -> None:
        self.clients: dict[str, _Connection] = {}
        self.users = 0


_REGISTER = _Register()


@breaks("contract.state_is_not_shared")
class SharesAClientInARegister(Good):
    """Has the first instance make a client for all; none of them holds it in itself."""

    @hookimpl
    def nsp_startup(self, settings: Mapping[str, Any], resources: Resources) -> None:
        """Use the one that is there."""
        super().nsp_startup(settings, resources)
        _REGISTER.users += 1
        _REGISTER.clients.setdefault("the one", _Connection())
        resources.callback(self._leave)

    def _leave(self) -> None:
        _REGISTER.users -= 1
        if not _REGISTER.users:
            _REGISTER.clients.clear()


@breaks("contract.state_is_not_shared")
class RemembersAnswers(Good):
    """Keeps what was asked, of all instances, in a helper's class."""

    def _results(self, query: Query, cancellation: Cancellation) -> Iterator[Service]:
        _Answers.kept.append(query.name)
        return super()._results(query, cancellation)


class _Answers:
    """Has what was asked."""

    kept: ClassVar[list[Any]] = []


_served = 0


@breaks("contract.settings_are_each_hosts_own")
class CountsForAll(Good):
    """Goes by the number that the last start has left in its module."""

    @hookimpl
    def nsp_startup(self, settings: Mapping[str, Any], resources: Resources) -> None:
        """Count what is to be served."""
        global _served  # noqa: PLW0603  # the fault
        super().nsp_startup(settings, resources)
        _served = len(settings.get("services", ()))

    def _results(self, query: Query, cancellation: Cancellation) -> Iterator[Service]:
        return islice(super()._results(query, cancellation), _served)
