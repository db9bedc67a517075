"""Rules about what importing a provider does; looked at in a fresh interpreter."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nspkit.testing._probe import LONGEST, probe
from nspkit.testing._rule import require, rule, rules_in

if TYPE_CHECKING:
    from nspkit.testing._case import Case
    from nspkit.testing._probe import Finding


def _finding(case: Case) -> Finding:
    # One interpreter for all of these rules: starting one is what takes the time.
    finding = case.findings.get(case.provider)
    if finding is None:
        finding = case.findings[case.provider] = probe(case.provider, max(LONGEST, case.patience))
    return finding


@rule("import")
def comes_by_name(case: Case) -> None:
    """A fresh interpreter can import the module and make the instance, as a host does."""
    finding = _finding(case)
    require(
        not finding.error,
        f"a fresh interpreter cannot reach {case.provider.__module__}:{case.name}: "
        f"{finding.error}; define the class at the top level of a module that can be imported",
    )
    require(
        not finding.printed,
        f"importing {case.provider.__module__} prints {finding.printed!r:.80}; take that out",
    )


@rule("import")
def import_does_nothing(case: Case) -> None:
    """Importing the module opens nothing, starts nothing and registers nothing."""
    done = _finding(case).importing
    require(
        not done,
        f"importing {case.provider.__module__} {'; '.join(done)}; do it in nsp_startup",
    )


@rule("import")
def making_does_nothing(case: Case) -> None:
    """Making an instance opens nothing and starts nothing."""
    done = _finding(case).making
    require(not done, f"{case.name}() {'; '.join(done)}; do it in nsp_startup")


@rule("import")
def no_package_before_the_start(case: Case) -> None:
    """Importing the module imports no package of others: what needs one imports it.

    To find a provider by its GUID, a host imports the modules of all that are installed; those
    that are not used must cost nothing. Allowed are the standard library, nspkit and what it
    imports itself, and the provider's own package.
    """
    finding = _finding(case)
    heavy = sorted(finding.packages, key=lambda name: -finding.seconds.get(name, 0.0))
    shown = ", ".join(f"{name} ({1000 * finding.seconds.get(name, 0.0):.0f} ms)" for name in heavy)
    require(
        not heavy,
        f"importing {case.provider.__module__} imports {shown}; import inside of nsp_startup, or "
        "of what uses it, and under `if TYPE_CHECKING:` for annotations",
    )


@rule("import")
def guid_is_literal(case: Case) -> None:
    """The GUID is the same in each interpreter: it is written down, not computed."""
    finding = _finding(case)
    require(
        not finding.guid or finding.guid == str(case.info.guid),
        f"{case.name}.info.guid is {case.info.guid} here and {finding.guid} in another "
        "interpreter; write it down as a literal",
    )


RULES = rules_in(globals())
