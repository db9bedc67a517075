"""The reference of all rules, as a page: python -m nspkit.testing._page."""

from __future__ import annotations

import sys
from inspect import cleandoc

from nspkit.testing._report import REGISTRY_RULES, RULES
from nspkit.testing._rule import LEVELS

_HEAD = """
# Conformance rules

What a provider has to keep, rule by rule: {count} rules in {levels} levels, and {more} more in the
level `registry` for those that are registries. This page is generated from the kit,
`nspkit.testing`. A rule is skipped only if the provider lacks a hook that the rule needs.

```python
from nspkit import Service
from nspkit.testing import MemoryProvider, check_provider

report = check_provider(MemoryProvider, settings={{"services": [Service("printer")]}}, rounds=3)
assert report, str(report)
```

With pytest, inherit `nspkit.testing.ProviderConformance`, or `RegistryConformance`: each rule is a
test. [Test a provider](../how-to/test-a-provider.md) shows that, and how to do without a file of
tests.
"""

_ABOUT = {
    "contract": "What a provider is: its class, its info, its hooks, its state.",
    "lifecycle": "Starting and stopping.",
    "lookup": "Looking names up.",
    "registration": "Registering, deregistering and deleting services.",
    "classes": "Service classes.",
    "changes": "Telling what changes.",
    "concurrency": "Threads and processes.",
    "leaks": "What is left behind, also when something fails or is interrupted.",
    "import": "What importing the module does, in a fresh interpreter.",
    "registry": (
        "What all registries have in common, so that one can take another one's place. Looked at "
        "by `RegistryConformance`, and where `REGISTRY_RULES` are asked for. Each rule registers "
        "services of a class of its own, looks at no others, and deletes them in the end."
    ),
}


def page() -> str:
    """Return the page, as docs/reference/conformance.md has it."""
    head = cleandoc(_HEAD)
    parts = [head.format(count=len(RULES), levels=len(LEVELS) - 1, more=len(REGISTRY_RULES))]
    for level in LEVELS:
        parts.append(f"## {level}\n\n{_ABOUT[level]}")
        parts += [
            f"### {rule.id}\n\n{_body(rule.sentence, rule.reason, rule.needs)}"
            for rule in RULES + REGISTRY_RULES
            if rule.level == level
        ]
    parts.append(_tail())
    return "\n\n".join(parts) + "\n"


def _body(sentence: str, reason: str, needs: tuple[str, ...]) -> str:
    text = [sentence.replace("``", "`")]
    if reason:
        text.append(" ".join(reason.replace("``", "`").split()))
    if needs:
        text.append(f"Needs {', '.join(f'`{hook}`' for hook in needs)}.")
    return "\n\n".join(text)


def _tail() -> str:
    names = (
        "ProviderConformance",
        "RegistryConformance",
        "check_provider",
        "Report",
        "Outcome",
        "Rule",
        "Case",
        "Instance",
        "RuleBrokenError",
        "LeakReport",
        "MemoryProvider",
        "MemoryStore",
        "RecordingProvider",
        "RecordedCall",
        "ErraticProvider",
    )
    described = []
    for name in names:
        kind = "autofunction" if name.islower() else "autoclass"
        members = "" if name.islower() else "\n   :members:"
        described.append(f".. {kind}:: nspkit.testing.{name}{members}")
    directives = "\n\n".join(described)
    rules = "\n\n".join(
        f".. autodata:: nspkit.testing.{name}\n   :no-value:"
        for name in ("RULES", "REGISTRY_RULES")
    )
    return f"## The kit\n\n```{{eval-rst}}\n{directives}\n\n{rules}\n```"


if __name__ == "__main__":
    sys.stdout.write(page())
