"""What type checkers see of the kit; checked by mypy and by pyright, never run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, assert_type

import pytest

from nspkit import Query, Service
from nspkit.testing import (
    REGISTRY_RULES,
    RULES,
    LeakReport,
    MemoryProvider,
    MemoryStore,
    Outcome,
    ProviderConformance,
    RecordedCall,
    RegistryConformance,
    Report,
    Rule,
    check_provider,
)


class TestPlain(ProviderConformance):
    """With plain attributes."""

    provider = MemoryProvider
    settings: Mapping[str, Any] = {"services": [Service("printer")]}
    query = Query("printer")
    service = Service("another")
    patience = 2.5
    rounds = 10


class TestWithFixtures(ProviderConformance):
    """With fixtures of the same names."""

    provider = MemoryProvider

    @pytest.fixture
    def settings(self, tmp_path: Path) -> dict[str, Any]:
        """Made for each rule."""
        return {"services": [Service(tmp_path.name)]}


class TestRegistry(RegistryConformance):
    """With the same attributes."""

    provider = MemoryProvider
    settings: Mapping[str, Any] = {"store": MemoryStore()}
    patience = 2.5


assert_type(RULES + REGISTRY_RULES, tuple[Rule, ...])
check_provider(MemoryProvider, rules=REGISTRY_RULES)

report = check_provider(MemoryProvider, settings={}, query=Query("printer"))
assert_type(report, Report)
assert_type(report.failures, tuple[Outcome, ...])
assert_type(report.failures[0].message, str)

with LeakReport(MemoryProvider) as leaks:
    assert_type(leaks, LeakReport)
assert_type(leaks.threads, tuple[str, ...])

store = MemoryStore([Service("printer")])
assert_type(store.services(), list[Service])
calls: list[RecordedCall] = []
assert_type(calls[0].arguments, Mapping[str, Any])

check_provider(MemoryProvider, query="printer")  # type: ignore[arg-type]
check_provider(MemoryProvider())  # type: ignore[arg-type]
