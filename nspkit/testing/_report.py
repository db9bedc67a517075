"""Running the rules on a provider, and what comes of it."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple

from nspkit import __version__
from nspkit.testing import (
    _changes,
    _classes,
    _concurrency,
    _contract,
    _importing,
    _left,
    _lifecycle,
    _lookup,
    _once,
    _registration,
    _registry_classes,
    _registry_content,
    _registry_leases,
    _registry_lookups,
    _registry_matrix,
    _registry_watches,
)
from nspkit.testing._case import PATIENCE, ROUNDS, Case
from nspkit.testing._rule import LEVELS, message_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from nspkit import Query, Service
    from nspkit.testing._rule import Rule

PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"

RULES: tuple[Rule, ...] = (
    *_contract.RULES,
    *_lifecycle.RULES,
    *_lookup.RULES,
    *_registration.RULES,
    *_classes.RULES,
    *_changes.RULES,
    *_concurrency.RULES,
    *_left.RULES,
    *_once.RULES,
    *_importing.RULES,
)
"""All rules that every provider keeps, by level."""

REGISTRY_RULES: tuple[Rule, ...] = (
    *_registry_matrix.RULES,
    *_registry_content.RULES,
    *_registry_lookups.RULES,
    *_registry_leases.RULES,
    *_registry_classes.RULES,
    *_registry_watches.RULES,
)
"""The rules beside those that every registry keeps, so that one can take another one's place."""


class Outcome(NamedTuple):
    """What came of one rule.

    Attributes:
        rule: The id of the rule.
        level: Its level.
        sentence: What it asks for.
        result: ``"passed"``, ``"failed"`` or ``"skipped"``.
        message: What to change, or the hooks without which the rule does not apply.
        seconds: How long it took.
    """

    rule: str
    level: str
    sentence: str
    result: str
    message: str
    seconds: float


class Report:
    """What came of all rules for one provider; true if none failed.

    Attributes:
        provider: The name of the provider's class.
        version: The version of nspkit whose rules these are.
        outcomes: One `Outcome` for each rule, in order.
    """

    def __init__(self, provider: str, outcomes: Iterable[Outcome]) -> None:
        self.provider = provider
        self.version = __version__
        self.outcomes = tuple(outcomes)

    def __bool__(self) -> bool:
        return not self.failures

    def __repr__(self) -> str:
        counts = [f"{len(self.of(result))} {result}" for result in (PASSED, FAILED, SKIPPED)]
        return f"<Report on {self.provider}: {', '.join(counts)}>"

    def of(self, result: str) -> tuple[Outcome, ...]:
        """Return the outcomes with one result: ``"passed"``, ``"failed"`` or ``"skipped"``."""
        return tuple(one for one in self.outcomes if one.result == result)

    @property
    def failures(self) -> tuple[Outcome, ...]:
        """The outcomes of the rules that are broken."""
        return self.of(FAILED)

    def __str__(self) -> str:
        lines = [f"{self.provider}, by the rules of nspkit {self.version}"]
        for level in LEVELS:
            own = [one for one in self.outcomes if one.level == level]
            if own:
                kept = sum(one.result == PASSED for one in own)
                lines.append(f"{level}: {kept} of {len(own)} kept")
            for one in own:
                if one.result != PASSED:
                    message = one.message.replace("\n", "\n      ")
                    lines.append(f"  {one.result} {one.rule}: {one.sentence}\n      {message}")
        return "\n".join(lines)

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON has it: provider, kit version, and rule by rule what came of it."""
        return {
            "provider": self.provider,
            "kit": self.version,
            "rules": [one._asdict() for one in self.outcomes],
        }


def check_provider(
    provider: type,
    *,
    settings: Mapping[str, Any] | None = None,
    query: Query | None = None,
    service: Service | None = None,
    patience: float = PATIENCE,
    rounds: int = ROUNDS,
    rules: Iterable[Rule] = RULES,
) -> Report:
    """Prove a provider without pytest: look at all rules, and report all that are broken.

    Args:
        provider: The class that the entry point names.
        settings: What an application would set.
        query: A query that finds something; by default one for everything.
        service: A service that can be registered; by default one with an address that is nobody's.
        patience: How many seconds one step of the provider may take.
        rounds: How many times it is started and stopped to see what adds up.
        rules: The rules to look at; ``RULES + REGISTRY_RULES`` for a registry.

    Returns:
        The report; it is true if no rule is broken, and its text says what to change.
    """
    case = Case(
        provider,
        settings=settings,
        query=query,
        service=service,
        patience=patience,
        rounds=rounds,
        is_told=True,
    )
    return Report(case.name, [outcome_of(rule, case) for rule in rules])


def outcome_of(rule: Rule, case: Case) -> Outcome:
    """Look at one rule."""
    began = monotonic()
    missing = rule.missing(case.implementations)
    result, message = PASSED, ""
    if missing:
        result, message = SKIPPED, missing_hooks(missing)
    else:
        try:
            rule(case)
        except KeyboardInterrupt:
            raise  # the author wants to stop
        except BaseException as error:
            # A provider that exits, or an asyncio.CancelledError: no reason to tell of no rule.
            result = FAILED
            message = message_of(error)
    return Outcome(rule.id, rule.level, rule.sentence, result, message, monotonic() - began)


def missing_hooks(missing: tuple[str, ...]) -> str:
    """Return why a rule does not apply."""
    return f"the provider has no {' and no '.join(missing)}"


def is_debugged(config: Any) -> bool:
    """Say whether a run of pytest is to show the variables of what fails."""
    return any(config.getoption(name, False) for name in ("usepdb", "showlocals"))
