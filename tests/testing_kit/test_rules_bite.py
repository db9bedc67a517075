"""The kit can fail: for each rule there is a provider that breaks it, and is found out."""

from __future__ import annotations

from typing import Any

import pytest

from nspkit import Address, Service
from nspkit.testing import RULES, Report, check_provider

PATIENCE = 0.4
ELSEWHERE = ("import.", "leaks.nothing_once_per_process")
SERVICES = [Service("one", addresses=[Address.inet("192.0.2.7", 80)]), Service("two")]


def held_against_the_rules(provider: Any) -> Report:
    """Hold a provider against the rules; where none is meant that starts an interpreter, not those.

    They take long, and most of these providers are in a module that no other can import. Of
    those that take long with each rule, ``looked_at`` has the beginnings of ids.
    """
    elsewhere = provider.breaks.startswith(ELSEWHERE)
    looked_at = getattr(provider, "looked_at", ("",))
    return check_provider(
        provider,
        settings={"services": SERVICES},
        patience=PATIENCE,
        rounds=5,
        rules=[
            rule
            for rule in RULES
            if rule.id.startswith(looked_at) and (elsewhere or not rule.id.startswith(ELSEWHERE))
        ],
    )


def test_each_rule_has_a_provider_that_breaks_it(broken: dict[str, list[Any]]) -> None:
    """A rule that nothing breaks may look at nothing."""
    assert sorted(broken) == sorted(rule.id for rule in RULES)


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # one rule is to hear it
@pytest.mark.usefixtures("cleared")
def test_a_broken_provider_is_found_out(broken_provider: Any) -> None:
    """It fails the rule that it breaks, and only those that follow from that."""
    report = held_against_the_rules(broken_provider)
    failed = {one.rule: one.message for one in report.failures}
    follows = getattr(broken_provider, "follows", (broken_provider.breaks,))
    assert broken_provider.breaks in failed
    assert {rule: text for rule, text in failed.items() if not rule.startswith(follows)} == {}
