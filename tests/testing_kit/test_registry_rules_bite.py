"""The rules for registries can fail: for each there is a registry that breaks it."""

from __future__ import annotations

import re
from typing import Any

from nspkit.testing import REGISTRY_RULES, MemoryStore, check_provider

PATIENCE = (0.4, 10.0)
"""Seconds; the second is for a machine so busy that the first were over for another reason."""


def test_each_rule_has_a_registry_that_breaks_it(broken_registries: list[Any]) -> None:
    """A rule that nothing breaks may look at nothing."""
    assert sorted(one.breaks for one in broken_registries) == sorted(
        rule.id for rule in REGISTRY_RULES
    )


def test_a_broken_registry_is_found_out(broken_registry: Any) -> None:
    """It fails the rule that it breaks, for the reason that it is broken for; nothing stays."""
    store = MemoryStore()
    rules = [rule for rule in REGISTRY_RULES if rule.id == broken_registry.breaks]
    told = ""
    for patience in PATIENCE:
        report = check_provider(
            broken_registry, settings={"store": store}, patience=patience, rules=rules
        )
        [told] = [one.message for one in report.failures]
        if re.search(broken_registry.says, told, re.DOTALL):
            assert store.services() == []
            return
    raise AssertionError(told)
