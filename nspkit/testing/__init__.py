"""Proves a provider, and stands in for one: the kit for authors, and fakes for tests.

`ProviderConformance` makes a pytest test of each rule, `RegistryConformance` also of those for
registries; `check_provider` looks at all rules without pytest. `LeakReport` tells what was left
behind. `MemoryProvider`, `RecordingProvider` and `ErraticProvider` are providers without a back
end, for the tests of applications.
"""

from __future__ import annotations

from nspkit.testing._case import Case
from nspkit.testing._conformance import ProviderConformance, RegistryConformance
from nspkit.testing._erratic import ErraticProvider
from nspkit.testing._instance import Instance
from nspkit.testing._leaks import LeakReport
from nspkit.testing._memory import MemoryProvider
from nspkit.testing._recording import RecordedCall, RecordingProvider
from nspkit.testing._report import REGISTRY_RULES, RULES, Outcome, Report, check_provider
from nspkit.testing._rule import Rule, RuleBrokenError
from nspkit.testing._store import MemoryStore

__all__ = [
    "Case",
    "ErraticProvider",
    "Instance",
    "LeakReport",
    "MemoryProvider",
    "MemoryStore",
    "Outcome",
    "ProviderConformance",
    "REGISTRY_RULES",
    "RULES",
    "RecordedCall",
    "RecordingProvider",
    "RegistryConformance",
    "Report",
    "Rule",
    "RuleBrokenError",
    "check_provider",
]
