"""A provider that misbehaves on purpose, the same way each time."""

from __future__ import annotations

import random
import threading
from typing import TYPE_CHECKING, Any

from nspkit import ProviderInfo, hookimpl
from nspkit.errors import InvalidArgumentError, OperationTimeoutError, TryAgainError
from nspkit.testing._memory import MEMORY, MemoryProvider

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from nspkit import Cancellation, Query, Resources, Service, ServiceOperation


class ErraticProvider(MemoryProvider):
    """A `MemoryProvider` whose back end is slow, lossy and moody, by a seed.

    Without settings it is calm, and passes the conformance kit. The same settings and the same
    order of calls give the same faults, so that what an application makes of them can be tested.

    Settings: those of `MemoryProvider`, and

    - ``seed``, an integer: another seed, other faults; 0 by default;
    - ``delay``: how long a lookup or registration takes at most, in seconds;
    - ``fail``: how likely one fails with TryAgainError (WSATRY_AGAIN 11002), from 0 to 1;
    - ``drop``: how likely a result of a lookup is left out;
    - ``truncate``: how likely a lookup ends after a result, without an error;
    - ``flap``: how likely a service goes away, or comes back, from one lookup to the next.
    """

    info = ProviderInfo(
        "5a0a6b4d-2f0e-4b59-a3cf-6a7d64b2ff13",
        "erratic",
        MEMORY,
        "0.1.0",
        stores_service_classes=True,
    )

    names = ("delay", "drop", "fail", "flap", "seed", "truncate", *MemoryProvider.names)

    @hookimpl
    def nsp_startup(self, settings: Mapping[str, Any], resources: Resources) -> None:
        """Take the settings, and begin with the seed."""
        super().nsp_startup(settings, resources)
        self._random = random.Random(settings.get("seed", 0))
        self._lock = threading.Lock()
        self._gone: set[str] = set()
        self._delay = _number(settings, "delay", most=3600.0)
        self._fail = _number(settings, "fail")
        self._drop = _number(settings, "drop")
        self._truncate = _number(settings, "truncate")
        self._flap = _number(settings, "flap")

    @hookimpl
    def nsp_lookup_service(self, query: Query, cancellation: Cancellation) -> Iterable[Service]:
        """Find what is registered, with the faults that were asked for."""
        found = super().nsp_lookup_service(query, cancellation)
        return self._spoilt(found, cancellation)

    def _spoilt(self, found: Iterable[Service], cancellation: Cancellation) -> Iterator[Service]:
        if self._delay and cancellation.wait(self._delay * self._draw()):
            # No end without an error: it would look like an answer.
            raise OperationTimeoutError(f"{self.info.name} was asked to be slow, and was too slow")
        self._may_fail("the lookup")
        for service in found:
            if self._is_gone(service) or self._happens(self._drop):
                continue
            yield service
            if self._happens(self._truncate):
                return

    @hookimpl
    def nsp_set_service(
        self, service: Service, operation: ServiceOperation, multiple: bool
    ) -> None:
        """Register, deregister or delete an instance, late or not at all."""
        if self._delay:
            threading.Event().wait(self._delay * self._draw())
        self._may_fail("the registration")
        super().nsp_set_service(service, operation, multiple)

    def _draw(self) -> float:
        with self._lock:
            return self._random.random()

    def _happens(self, likely: float) -> bool:
        return likely > 0.0 and self._draw() < likely

    def _may_fail(self, what: str) -> None:
        if self._happens(self._fail):
            raise TryAgainError(f"{self.info.name} was asked to fail, and {what} does; try again")

    def _is_gone(self, service: Service) -> bool:
        if self._happens(self._flap):
            with self._lock:
                self._gone ^= {service.name}
        return service.name in self._gone


def _number(settings: Mapping[str, Any], name: str, *, most: float = 1.0) -> float:
    value = settings.get(name, 0.0)
    if isinstance(value, int | float) and not isinstance(value, bool) and 0.0 <= value <= most:
        return float(value)
    raise InvalidArgumentError(
        f"the setting {name!r} of erratic is {value!r:.60}: give a number from 0 to {most:g}"
    )
