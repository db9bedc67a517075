"""The reference of the rules is what the kit says."""

from __future__ import annotations

from pathlib import Path

from nspkit.testing import RULES
from nspkit.testing._page import page
from nspkit.testing._rule import LEVELS


def test_the_page_is_generated_from_the_kit(checkout: Path) -> None:
    """Write it anew with: python -m nspkit.testing._page > docs/reference/conformance.md."""
    assert (checkout / "docs/reference/conformance.md").read_text(encoding="utf-8") == page()


def test_every_rule_is_a_sentence() -> None:
    """A rule says what it asks for, in one sentence."""
    assert [rule.id for rule in RULES if not rule.sentence[:1].isupper()] == []
    assert [rule.id for rule in RULES if not rule.sentence.endswith(".")] == []


def test_rules_are_in_the_order_of_the_levels() -> None:
    """A report, the page and pytest show them in one order, and each id is there once."""
    assert [rule.level for rule in RULES] == sorted(
        (rule.level for rule in RULES), key=LEVELS.index
    )
    assert len({rule.id for rule in RULES}) == len(RULES)
