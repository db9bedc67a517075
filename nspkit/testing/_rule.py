"""What a rule of the kit is: a function with an id, a sentence, and the hooks that it needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import NoReturn

    from nspkit.testing._case import Case

LEVELS = (
    "contract",
    "lifecycle",
    "lookup",
    "registration",
    "classes",
    "changes",
    "concurrency",
    "leaks",
    "import",
    "registry",
)
"""The groups of rules, in the order in which they are looked at."""


class RuleBrokenError(AssertionError):
    """A provider breaks a rule; the message says what to change."""

    __module__ = "nspkit.testing"  # where it is had from, and short: it stands before each message


class Rule:
    """A rule that a provider keeps or breaks.

    Attributes:
        id: Its name, such as ``"lifecycle.starts_again"``: the level and the name of the function.
        level: The group that it belongs to, one of ``LEVELS``.
        sentence: What it asks for.
        reason: Why, and what is done to find out; may be empty.
        needs: The hooks without which it does not apply.
        check: The function itself: it is called with a case, and raises if the rule is broken.
    """

    __slots__ = ("check", "id", "level", "needs", "reason", "sentence")

    def __init__(
        self, check: Callable[[Case], object], level: str, needs: tuple[str, ...] = ()
    ) -> None:
        """Make a rule of a function; its docstring is the sentence and the reason."""
        sentence, _, reason = (check.__doc__ or "").partition("\n")
        self.check = check
        self.id = f"{level}.{check.__name__}"
        self.level = level
        self.sentence = sentence.strip()
        self.reason = "\n".join(line.strip() for line in reason.strip().splitlines())
        self.needs = needs

    def __repr__(self) -> str:
        return f"<Rule {self.id}>"

    def missing(self, hooks: Iterable[str]) -> tuple[str, ...]:
        """Return the hooks that it needs and that are not among ``hooks``."""
        there = set(hooks)
        return tuple(hook for hook in self.needs if hook not in there)

    def __call__(self, case: Case) -> None:
        """Look whether a provider keeps it, on a thread of its own: it comes back in any case.

        Raises:
            RuleBrokenError: it does not.
            Exception: what else the provider raised where it should not.
        """
        __tracebackhide__ = True  # pytest shows the rule, not this
        case.look(self.check)


def rule(level: str, *needs: str) -> Callable[[Callable[[Case], object]], Rule]:
    """Make a function a rule of a level; ``needs`` are hooks without which it does not apply."""

    def made(check: Callable[[Case], object]) -> Rule:
        return Rule(check, level, needs)

    return made


def rules_in(names: Mapping[str, Any]) -> tuple[Rule, ...]:
    """Return the rules among the names of a module, in order."""
    return tuple(value for value in names.values() if isinstance(value, Rule))


def require(condition: object, message: str) -> None:
    """Raise a `RuleBrokenError` unless the condition holds; unlike ``assert``, also with ``-O``."""
    __tracebackhide__ = True
    if not condition:
        raise RuleBrokenError(message)


def broken(message: str, error: BaseException | None = None) -> NoReturn:
    """Raise a `RuleBrokenError` with the error that shows it as its cause.

    Where that is a broken rule itself, it says better what to change.
    """
    __tracebackhide__ = True
    if isinstance(error, RuleBrokenError):
        raise error
    raise RuleBrokenError(message) from error


def message_of(error: BaseException) -> str:
    """Return what a report says of an error that a rule raised."""
    return str(error) if isinstance(error, AssertionError) else told(error)


def told(error: BaseException) -> str:
    """Say an error in a message: its class, its text and its notes."""
    notes = "".join(f"\n{note}" for note in getattr(error, "__notes__", ()))
    return f"{type(error).__name__}: {error}{notes}"
