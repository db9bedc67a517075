"""The kit can fail: for each rule there is a provider that breaks it, and is found out."""

from __future__ import annotations

from typing import Any

import pytest

from nspkit import Address, Service
from nspkit.testing import RULES, Report, check_provider

PATIENCE = 0.4
ELSEWHERE = ("import.", "leaks.nothing_once_per_process")
SERVICES = [Service("one", addresses=[Address.inet("192.0.2.7", 80)]), Service("two")]
ALWAYS = ("contract", "lifecycle", "lookup")


def follows(provider: Any) -> tuple[str, ...]:
    """The beginnings of the ids of those rules that a provider breaks."""
    rules: tuple[str, ...] = getattr(provider, "follows", (provider.breaks,))
    return rules


def looked_at(provider: Any) -> tuple[str, ...]:
    """The beginnings of the ids of those rules that a provider is held against.

    Where every provider passes through, what is wrong may break any other rule, so there it is all
    of them. Elsewhere these and the levels of those that follow: leaks and threads take most of the
    time. One that takes long with each rule says itself which.
    """
    if provider.breaks.startswith(("contract.", "lifecycle.")):
        return ("",)
    levels = {rule.partition(".")[0] for rule in follows(provider)}
    return getattr(provider, "looked_at", (*ALWAYS, *levels))


def held_against_the_rules(provider: Any) -> Report:
    """Hold a provider against rules; where none is meant that starts an interpreter, not those.

    They take long, and most of these providers are in a module that no other can import.
    """
    rules = [rule for rule in RULES if rule.id.startswith(looked_at(provider))]
    if not provider.breaks.startswith(ELSEWHERE):
        rules = [rule for rule in rules if not rule.id.startswith(ELSEWHERE)]
    return check_provider(
        provider,
        settings={"services": SERVICES},
        patience=PATIENCE,
        rounds=5,
        rules=rules,
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
    assert broken_provider.breaks in failed
    follow = follows(broken_provider)
    assert {rule: text for rule, text in failed.items() if not rule.startswith(follow)} == {}
