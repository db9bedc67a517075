"""The class to inherit, and the same without pytest: what is run, skipped and reported."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

from nspkit import Catalog, Service
from nspkit.testing import REGISTRY_RULES, RULES, LeakReport, MemoryProvider, check_provider

SERVICES = [Service("printer")]


class Lookups(MemoryProvider):
    """Has no hooks but those for lookups."""

    info = MemoryProvider.info.replace(stores_service_classes=False)
    nsp_set_service: Any = None
    nsp_install_service_class: Any = None
    nsp_remove_service_class: Any = None
    nsp_get_service_class_info: Any = None
    nsp_notify_change: Any = None
    nsp_ioctl: Any = None


def test_a_rule_is_skipped_only_for_a_hook_that_is_not_there() -> None:
    """The report names the hook; all other rules are looked at."""
    report = check_provider(Lookups, settings={"services": SERVICES}, rounds=2)
    assert report, str(report)
    skipped = {one.rule: one.message for one in report.of("skipped")}
    lacking = {rule.id for rule in RULES if set(rule.needs) - {"nsp_lookup_service"}}
    assert set(skipped) == lacking
    assert skipped["contract.unknown_request"] == "the provider has no nsp_ioctl"


def test_all_failures_are_reported(broken: dict[str, list[Any]]) -> None:
    """Not the first one only; the report is false and its text says what to change."""
    [provider] = broken["leaks.failed_startup"]
    rules = [rule for rule in RULES if rule.level == "leaks"]
    report = check_provider(
        provider, settings={"services": SERVICES}, patience=0.3, rounds=2, rules=rules
    )
    assert not report
    assert {one.rule for one in report.failures} == {
        "leaks.failed_startup",
        "leaks.interrupted_startup",
    }
    assert "put each thing into resources as soon as it is acquired" in str(report)


def test_the_report_is_json() -> None:
    """Rule, level, result and the version of the kit."""
    report = check_provider(MemoryProvider, rules=RULES[:2])
    read = json.loads(json.dumps(report.as_dict()))
    assert read["kit"] == report.version
    assert [(one["rule"], one["level"], one["result"]) for one in read["rules"]] == [
        (rule.id, rule.level, "passed") for rule in RULES[:2]
    ]


def test_no_host_is_needed_to_see_what_the_kit_leaves() -> None:
    """The kit leaves nothing behind itself."""
    check_provider(MemoryProvider, settings={"services": SERVICES}, rounds=2)
    with LeakReport(MemoryProvider, Catalog) as leaks:
        check_provider(MemoryProvider, settings={"services": SERVICES}, rounds=2)
    assert not leaks, str(leaks)


def test_the_kit_needs_no_pytest(fresh_python: Callable[..., CompletedProcess[str]]) -> None:
    """Importing and running it without pytest works."""
    fresh_python(
        "import sys; sys.modules['pytest'] = None\n"
        "from nspkit import Service\n"
        "from nspkit.testing import MemoryProvider, ProviderConformance, check_provider\n"
        "report = check_provider(MemoryProvider, settings={'services': [Service('a')]}, rounds=2)\n"
        "assert report, str(report)"
    )


FILE = """
import pytest
from nspkit import Query, Service
from nspkit.testing import MemoryProvider, ProviderConformance

@pytest.fixture
def query():
    return Query("printer")

@pytest.fixture
def service():
    raise AssertionError("an unset attribute may be a fixture of the module")

class TestWithFixtures(ProviderConformance):
    provider = MemoryProvider
    rounds = 2
    service = Service("other")

    @pytest.fixture
    def settings(self, tmp_path):
        return {"services": [Service("printer", comment=str(tmp_path))]}

class TestWithoutProvider(ProviderConformance):
    pass

class TestWithNonsense(ProviderConformance):
    provider = MemoryProvider
    query = "printer"
"""


def run(file: Path, fresh_python: Callable[..., CompletedProcess[str]], *arguments: str) -> str:
    """What pytest says to a file of tests."""
    done = fresh_python(
        "import sys, pytest; sys.exit(pytest.main(sys.argv[1:]))",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:cov",
        "-p",
        "no:hypothesispytest",  # a failure would import all of it, to show examples
        "--import-mode=importlib",
        str(file),
        *arguments,
        check=False,
    )
    return done.stdout


def test_attributes_may_be_fixtures(
    tmp_path: Path, fresh_python: Callable[..., CompletedProcess[str]]
) -> None:
    """Of the class, or of its module where the class says nothing."""
    file = tmp_path / "test_file.py"
    file.write_text(FILE)
    said = run(file, fresh_python, "-q", "-k", "TestWithFixtures")
    assert f"{len(RULES)} passed" in said, said


def test_a_registry_is_held_against_more_rules(
    tmp_path: Path, fresh_python: Callable[..., CompletedProcess[str]]
) -> None:
    """A class for registries has a test of each rule, that for any provider not of theirs."""
    file = tmp_path / "test_file.py"
    file.write_text(
        "from nspkit.testing import MemoryProvider, ProviderConformance, RegistryConformance\n"
        "class TestRegistry(RegistryConformance):\n"
        "    provider = MemoryProvider\n"
        "class TestProvider(ProviderConformance):\n"
        "    provider = MemoryProvider\n"
    )
    said = run(file, fresh_python, "-q", "--collect-only")
    for name, count in {
        "TestRegistry::test_rule[": len(RULES + REGISTRY_RULES),
        "TestProvider::test_rule[": len(RULES),
        "TestRegistry::test_rule[registry.": len(REGISTRY_RULES),
    }.items():
        assert said.count(name) == count


def test_what_is_not_set_is_said(
    tmp_path: Path, fresh_python: Callable[..., CompletedProcess[str]]
) -> None:
    """The message says what to write."""
    file = tmp_path / "test_file.py"
    file.write_text(FILE)
    said = run(file, fresh_python, "-q", "-k", "info and not WithFixtures", "--tb=short")
    assert "TestWithoutProvider.provider is not set; set it to the provider's class" in said
    assert "TestWithNonsense.query is 'printer'; give a Query, or a pytest fixture" in said


def test_a_failure_shows_the_message_and_not_the_kit(
    tmp_path: Path, fresh_python: Callable[..., CompletedProcess[str]]
) -> None:
    """An author reads what to change, not how it was found out."""
    file = tmp_path / "test_file.py"
    file.write_text(
        "from nspkit.testing import MemoryProvider, ProviderConformance\n"
        "class TestEmpty(ProviderConformance):\n"
        "    provider = MemoryProvider\n"
    )
    said = run(file, fresh_python, "-q", "-k", "lookup.finds")
    assert "test_rule[lookup.finds]" in said
    assert "found nothing; set query to one that finds something" in said
    assert ">   class TestEmpty(ProviderConformance):" in said
    assert "test_file.py:2: RuleBrokenError" in said
    assert "testing/_" not in said
    whole = run(file, fresh_python, "-q", "-k", "lookup.finds", "--full-trace")
    assert "testing/_lookup.py" in whole.replace("\\", "/")


def test_a_failure_shows_the_lines_of_the_provider(
    tmp_path: Path, fresh_python: Callable[..., CompletedProcess[str]]
) -> None:
    """Also where they are the cause, and the host was in between."""
    file = tmp_path / "test_file.py"
    file.write_text(
        "from nspkit import hookimpl\n"
        "from nspkit.testing import MemoryProvider, ProviderConformance\n"
        "class Raises(MemoryProvider):\n"
        "    @hookimpl\n"
        "    def nsp_cleanup(self):\n"
        "        raise RuntimeError('gone')\n"
        "class TestRaises(ProviderConformance):\n"
        "    provider = Raises\n"
    )
    said = run(file, fresh_python, "-q", "-k", "starts_and_stops or no_instance")
    assert said.count(">       raise RuntimeError('gone')") == 2
    assert "test_file.py:7: RuleBrokenError" in said
    assert "test_file.py:7: ProviderError" in said
    assert "nspkit/" not in said.replace("\\", "/")


def test_a_debugger_stops_in_the_provider(
    tmp_path: Path, fresh_python: Callable[..., CompletedProcess[str]]
) -> None:
    """Where an author can look at its variables; the message of the rule is told beside it."""
    file = tmp_path / "test_file.py"
    file.write_text(
        "from nspkit import hookimpl\n"
        "from nspkit.testing import MemoryProvider, ProviderConformance\n"
        "class Raises(MemoryProvider):\n"
        "    @hookimpl\n"
        "    def nsp_cleanup(self):\n"
        "        raise RuntimeError('gone')\n"
        "class TestRaises(ProviderConformance):\n"
        "    provider = Raises\n"
    )
    said = run(file, fresh_python, "-q", "-k", "starts_and_stops", "--pdb")
    assert "nsp_cleanup, or a release, raised RuntimeError: gone; handle" in said, said
    prompt = said.partition("entering PDB")[2]
    assert "test_file.py(6)nsp_cleanup()" in prompt, said


def test_a_skip_points_at_the_class(
    tmp_path: Path, fresh_python: Callable[..., CompletedProcess[str]]
) -> None:
    """It is the provider there that lacks a hook."""
    file = tmp_path / "test_file.py"
    file.write_text(
        "from nspkit.testing import MemoryProvider, ProviderConformance\n"
        "class Less(MemoryProvider):\n"
        "    nsp_ioctl = None\n"
        "class TestLess(ProviderConformance):\n"
        "    provider = Less\n"
    )
    said = run(file, fresh_python, "-q", "-rs", "-k", "unknown_request")
    assert re.search(r"SKIPPED \[1\] .*test_file\.py:4: the provider has no nsp_ioctl", said), said


def test_the_kit_runs_on_this_version() -> None:
    """It needs exception groups and notes, as the core does."""
    assert sys.version_info >= (3, 11)
