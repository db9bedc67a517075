"""What goes wrong most often is caught, and the message says what to change."""

from __future__ import annotations

import re
from typing import Any

import pytest

from nspkit import Service
from nspkit.testing import RULES, check_provider

CAUGHT: dict[str, tuple[str, ...]] = {
    "a thread left": ("leaks.no_thread", "'left', started at .*start it with resources.thread"),
    "a descriptor left": ("leaks.no_descriptor", "/dev/null .*put it into resources"),
    "a child left": ("leaks.no_child", "ended, but nobody has waited for it; end it and wait"),
    "an instance left": (
        "leaks.no_instance",
        "a LeavesItself, held by a list .*_INSTANCES of the module .*take back what was given",
    ),
    "a file left to garbage collection": (
        "leaks.closes_what_it_opens",
        "unclosed file .*name='/dev/null'.*; put it into resources, with enter_context or",
    ),
    "cleanup that raises": (
        "lifecycle.starts_and_stops",
        "nsp_cleanup, or a release, raised RuntimeError: the back end is gone.*handle what may",
    ),
    "state shared between instances": (
        "contract.state_is_not_shared",
        r"a start changed SharesAList\.seen, which all instances share; keep it in self",
    ),
    "state in a global": (
        "contract.state_is_not_shared",
        r"a start changed broken_state\._NAMES \(dict\), which all instances share; keep it in",
        "KeepsTheSettingsInItsModule",
    ),
    "settings of another host": (
        "contract.settings_are_each_hosts_own",
        r"found \['one', 'two'\]; since another .*, without settings, runs, too, it finds \[\];",
    ),
    "a thread left once": (
        "leaks.nothing_once_per_process",
        r"leaves the thread .*, started at .*once\.py:\d+ in nsp_startup, once and for all; have",
    ),
    "work at import": (
        "import.import_does_nothing",
        r"opened '.*opens\.py:7; do it in nsp_startup",
    ),
    "a hook with a keyword-only parameter": (
        "contract.hooks_fit",
        "requires 'data' by keyword, but all is passed by position; write it before the",
    ),
    "wrong result type": (
        "lookup.results_are_services",
        r"yielded 'one', a str; yield nspkit\.Service",
    ),
    "an end that blocks": (
        "lookup.ends_early",
        "the end of a lookup after 1 steps did not come back within 0.4 s; bound .*hangs at",
    ),
    "a second start that fails": (
        "lifecycle.starts_again",
        "the first start .*failed: .*started once already.*have each start make anew",
    ),
    "a registration that survives": (
        "registration.ends_with_the_host",
        r"survived the final cleanup: \[Service\('nspkit-conformance'.*write nothing back",
    ),
    "a package that is imported too early": (
        "import.no_package_before_the_start",
        r"imports iniconfig \(\d+ ms\); import inside of nsp_startup",
    ),
}


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # pytest hears it, too
@pytest.mark.usefixtures("cleared")
@pytest.mark.parametrize("fault", CAUGHT)
def test_a_fault_is_told_with_what_to_change(fault: str, broken: dict[str, list[Any]]) -> None:
    """The message names the thing, and the way out."""
    rule, pattern, *named = CAUGHT[fault]
    [provider, *_] = [one for one in broken[rule] if not named or one.__qualname__ in named]
    report = check_provider(
        provider,
        settings={"services": [Service("one"), Service("two")]},
        patience=0.4,
        rounds=2,
        rules=[one for one in RULES if one.id == rule or one.id == "contract.unknown_request"],
    )
    [told] = [one.message for one in report.failures if one.rule == rule]
    assert re.search(pattern, told, re.DOTALL), told
