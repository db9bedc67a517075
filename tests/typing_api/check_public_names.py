"""What type checkers see of the public names; checked by mypy and by pyright, never run.

A line that has to be an error carries an exception for just that error, by mypy's name for it: both
complain about the exception when the error is gone.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any, assert_type

import nspkit

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def an_application(guid: uuid.UUID) -> None:
    """A provider is named by GUID, by its text, or by its short name; results are services."""
    with nspkit.Host(providers=["hosts"], settings={"hosts": {"path": "hosts"}}) as host:
        assert_type(host, nspkit.Host)
        for provider in ("hosts", str(guid), guid):
            host.lookup("localhost", provider=provider)
        with host.lookup("localhost", timeout=1.0) as lookup:
            assert_type(lookup, nspkit.Lookup)
            assert_type(next(lookup), nspkit.Service)
            assert_type(lookup.errors, tuple[nspkit.NspError, ...])
        with host.startup(guid) as session:
            assert_type(session, nspkit.Session)
        with host.watch("printer", provider="hosts", interval=1) as watch:
            assert_type(watch, nspkit.Watch)
            assert_type(next(watch), nspkit.Change)
            assert_type(watch.wait(1.0), nspkit.Change | None)
            assert_type(watch.snapshot(), tuple[nspkit.Service, ...])
            assert_type(watch.error, nspkit.NspError | None)
        assert_type(host.cleanup(guid, timeout=1.0), bool)

        host.lookup("localhost", "hosts")  # type: ignore[call-arg]
        host.startup(1)  # type: ignore[arg-type]


def the_values(service: nspkit.Service) -> None:
    """The fields of a value have types of their own."""
    assert_type(service.name, str)
    assert_type(service.addresses, tuple[nspkit.Address, ...])
    assert_type(service.provider, uuid.UUID | None)

    nspkit.Query(name=1)  # type: ignore[arg-type]


class TheProvider:
    """Marked hooks keep their own types."""

    info = nspkit.ProviderInfo(
        "6b1c1d1e-0c3a-4a53-9a51-0f5b2f1f1f61", "typed", nspkit.Namespace.DNS, "1"
    )

    @nspkit.hookimpl
    def nsp_startup(self, settings: Mapping[str, Any], resources: nspkit.Resources) -> None:
        """Acquire nothing."""

    @nspkit.hookimpl
    def nsp_lookup_service(self, query: nspkit.Query) -> Iterable[nspkit.Service]:
        """Find what is asked."""
        yield nspkit.Service(query.name or "")


def a_provider_as_a_class(provider: TheProvider, query: nspkit.Query) -> None:
    """A hook can be called in a test as the method that it is."""
    assert_type(list(provider.nsp_lookup_service(query)), list[nspkit.Service])
