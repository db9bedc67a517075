"""The plugin for pytest: fixtures, the kit by option, the report, and what it does not import."""

from __future__ import annotations

import importlib.metadata
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

import nspkit
from nspkit.testing import RULES

pytest_plugins = ["pytester"]

Run = Callable[..., pytest.RunResult]

HERE = """
from nspkit import Service
from nspkit.testing import MemoryProvider

class Here(MemoryProvider):
    names = (*MemoryProvider.names, "first")

    def nsp_startup(self, settings, resources):
        services = [Service(settings.get("first", "printer"))]
        MemoryProvider.nsp_startup(self, {"services": services}, resources)

    nsp_startup.nspkit_impl = MemoryProvider.nsp_startup.nspkit_impl

class Lookups(Here):
    info = Here.info.replace(guid="0e2a0a8e-5f2f-4d7b-9a3f-2b1d3b0f4c55", name="lookups",
                             stores_service_classes=False)
    nsp_set_service = nsp_install_service_class = nsp_remove_service_class = None
    nsp_get_service_class_info = nsp_notify_change = nsp_ioctl = None

class Printing(Here):
    info = Here.info.replace(guid="d0c5a0f5-5b7a-4d4c-8d0b-5d4fd9a0f3f4", name="printing")
    def nsp_ioctl(self, code, data):
        return b""
    nsp_ioctl.nspkit_impl = MemoryProvider.nsp_ioctl.nspkit_impl
"""
POINTS = "[nspkit.providers]\nhere = here:Here\nlookups = here:Lookups\nprinting = here:Printing\n"


def is_installed() -> bool:
    """Whether pytest finds the plugin by itself; with the tree on the path it need not."""
    return bool(importlib.metadata.entry_points(group="pytest11", name="nspkit"))


ALWAYS = (
    *(() if is_installed() else ("-p", "nspkit_pytest")),
    # Nothing is kept, and what takes longer to import than the test itself stays away.
    *("-p", "no:cacheprovider", "-p", "no:hypothesispytest", "-p", "no:cov"),
)


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A function that runs pytest in an empty folder, in a process of its own."""
    # Another process, because a run in this one would find nspkit imported.
    path = [str(Path(entry).resolve()) for entry in sys.path if entry]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path))
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: str) -> pytest.RunResult:
        return pytester.runpytest_subprocess(*ALWAYS, *arguments)

    return run


@pytest.fixture
def here(pytester: pytest.Pytester) -> Path:
    """The folder of the run, with providers that are installed there."""
    folder = pytester.path
    (folder / "here.py").write_text(HERE, encoding="utf-8")
    information = folder / "fake_here-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: fake-here\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text(POINTS)
    return folder


def read(path: Path) -> dict[str, Any]:
    """What a report says."""
    report: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return report


# What loading it costs ----------------------------------------------------------------------------


def test_loading_it_imports_nothing_of_nspkit(
    fresh_python: Callable[..., CompletedProcess[str]],
) -> None:
    """Beside what pytest has imported by then there is the plugin itself, and nothing else."""
    done = fresh_python(
        "import sys, pytest\nbefore = set(sys.modules)\nimport nspkit_pytest\n"
        "print(*set(sys.modules) - before)",
        bare=True,
    )
    assert done.stdout.split() == ["nspkit_pytest"]


def test_a_run_without_use_for_it_imports_nothing_of_nspkit(
    run: Run, pytester: pytest.Pytester
) -> None:
    """Its options are there, but neither the package nor the kit."""
    pytester.makepyfile("""
        import sys

        def test_modules(request):
            assert request.config.getoption("nspkit_provider") == []
            assert "nspkit_pytest" in sys.modules
            assert "nspkit" not in sys.modules
    """)
    run().assert_outcomes(passed=1)


def test_options_and_fixtures_are_shown(run: Run) -> None:
    """Where pytest shows its own."""
    options = run("--help").stdout
    options.fnmatch_lines(["nspkit:", "*--nspkit-provider=ENTRY_POINT*", "*--nspkit-report=FILE*"])
    fixtures = run("--fixtures").stdout
    fixtures.fnmatch_lines(["nspkit_host *", "nspkit_memory *", "no_leaks *"])


# Fixtures -----------------------------------------------------------------------------------------


def test_a_host_discovers_nothing_and_is_closed(run: Run, here: Path) -> None:
    """What is installed is not in it; after the test it takes no more work."""
    (here / "test_file.py").write_text("""
import pytest, nspkit
kept = []

def test_in_it(nspkit_host):
    kept.append(nspkit_host)
    assert isinstance(nspkit_host, nspkit.Host)
    assert nspkit_host.providers() == []
    with pytest.raises(nspkit.NspError, match="no provider 'here' is installed"):
        nspkit_host.startup("here")

def test_after_it():
    assert repr(kept[0]) == "<Host: closed>"
""")
    run().assert_outcomes(passed=2)


def test_memory_is_a_host_that_keeps_what_is_registered(run: Run, here: Path) -> None:
    """As long as the test; the next one begins with nothing."""
    (here / "test_file.py").write_text("""
import pytest
from nspkit import Service, ServiceOperation

@pytest.mark.parametrize("turn", [1, 2])
def test_in_it(nspkit_memory, turn):
    assert [entry.name for entry in nspkit_memory.providers()] == ["memory"]
    assert nspkit_memory.references("memory") == 1
    assert list(nspkit_memory.lookup("printer")) == []
    nspkit_memory.set_service(Service("printer"), ServiceOperation.REGISTER)
    assert [found.name for found in nspkit_memory.lookup("printer")] == ["printer"]
""")
    run().assert_outcomes(passed=2)


def test_both_hosts_can_be_in_one_test(run: Run, here: Path) -> None:
    """They share nothing."""
    (here / "test_file.py").write_text(
        "def test_both(nspkit_host, nspkit_memory):\n    assert nspkit_host is not nspkit_memory\n"
    )
    run().assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("leak", "said"),
    [
        pytest.param(
            "threading.Thread(target=over.wait, name='left', daemon=True).start()",
            "*threads: 'left', started at *",
            id="thread",
        ),
        pytest.param("kept.append(open('file', 'w'))", "*descriptors: *file*", id="descriptor"),
        pytest.param(
            "kept.append(subprocess.Popen(['sleep', '60']))",
            "*children: process *: sleep 60",
            id="child",
        ),
    ],
)
def test_what_a_test_leaves_fails_it(run: Run, here: Path, leak: str, said: str) -> None:
    """The message says what it is; the next test is none the worse for it."""
    if not Path("/proc/self/fd").exists() and "threads" not in said:
        pytest.skip("this system does not list descriptors and children")
    (here / "test_file.py").write_text(f"""
import subprocess, threading
kept, over = [], threading.Event()

def test_leaves(no_leaks):
    {leak}

def test_leaves_nothing(no_leaks):
    pass

def teardown_module():
    over.set()
    for one in kept:
        one.close() if hasattr(one, "close") else (one.kill(), one.wait())
""")
    result = run()
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(["*ERROR at teardown of test_leaves *", "left behind:", said])


def test_hosts_of_fixtures_are_no_leak(run: Run, here: Path) -> None:
    """They have threads until they are closed, wherever the fixture for leaks is named."""
    (here / "test_file.py").write_text("""
kept = []

def test_names_it_last(nspkit_memory, nspkit_host, no_leaks):
    kept.append(nspkit_memory.watch("printer"))
""")
    run().assert_outcomes(passed=1)


def test_a_test_that_fails_by_itself_is_not_looked_at(run: Run, here: Path) -> None:
    """Its own failure is the news."""
    (here / "test_file.py").write_text("""
def test_fails(no_leaks):
    stream = open("file", "w")
    assert stream.closed, "as it should be"
""")
    result = run("-W", "ignore")
    result.assert_outcomes(failed=1)


# The kit by option --------------------------------------------------------------------------------


def test_each_rule_is_a_test(run: Run, here: Path) -> None:
    """All of them, in order, and none of the folder's files."""
    (here / "test_file.py").write_text("def test_of_the_folder(): pass\n")
    result = run("--nspkit-provider", "here", "--collect-only", "-q")
    lines = [line for line in result.outlines if "::" in line]
    assert lines == [f"nspkit:here::{rule.id}" for rule in RULES]


def test_an_installed_provider_is_held_against_all_rules(run: Run, here: Path) -> None:
    """A rule is skipped only for a hook that is not there, and the reason names it."""
    skipped = sum(bool(set(rule.needs) - {"nsp_lookup_service"}) for rule in RULES)
    result = run("--nspkit-provider", "lookups", "-rs")
    result.assert_outcomes(passed=len(RULES) - skipped, skipped=skipped)
    result.stdout.fnmatch_lines(["SKIPPED *: the provider has no nsp_ioctl"])


def test_a_broken_rule_is_told_with_what_to_change(run: Run, here: Path) -> None:
    """Its name, its message, and neither pytest's lines nor the kit's."""
    result = run("--nspkit-provider", "printing", "-k", "contract")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(
        ["*nspkit:printing contract.unknown_request*", "*OperationNotSupportedError*"]
    )
    assert "_pytest/runner.py" not in result.stdout.str()


def test_a_failure_shows_the_providers_lines_and_none_of_nspkit(run: Run, here: Path) -> None:
    """Neither the kit's nor the host's, which lie between; the summary has the message itself."""
    (here / "here.py").write_text(
        f"{HERE}\n"
        "class Needy(Here):\n"
        "    def nsp_lookup_service(self, query, cancellation):\n"
        "        raise KeyError('no name')\n"
        "    nsp_lookup_service.nspkit_impl = MemoryProvider.nsp_lookup_service.nspkit_impl\n"
    )
    (here / "fake_here-1.0.dist-info/entry_points.txt").write_text(f"{POINTS}needy = here:Needy\n")
    needy = ("--nspkit-provider=needy", "-k", "finds and not again or two_hosts or survives_a_fork")
    result = run(*needy)
    result.assert_outcomes(failed=3, deselected=len(RULES) - 3)
    said = result.stdout.str().replace("\\", "/")
    assert "here.py:" in said
    assert "raise KeyError('no name')" in said
    assert "nspkit/" not in said
    result.stdout.fnmatch_lines(
        [
            "nspkit:needy finds nothing where no name is asked for*: --nspkit-query NAME",
            "FAILED nspkit:needy::lookup.finds - Query() raised KeyError*",
        ]
    )
    assert "--nspkit-query" not in run(*needy, "--nspkit-query=printer").stdout.str()
    assert "nspkit/" in run(*needy, "--full-trace").stdout.str().replace("\\", "/")


def test_files_that_are_named_are_run_as_well(run: Run, here: Path) -> None:
    """And so is a second provider; what is deselected is so by the names of rules too."""
    (here / "test_file.py").write_text("def test_made_without_arguments(): pass\n")
    providers = ("--nspkit-provider=here", "--nspkit-provider=lookups")
    result = run(*providers, "test_file.py", "-k", "made_without_arguments")
    result.assert_outcomes(passed=3, deselected=2 * len(RULES) - 2)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--nspkit-provider", "her"), "*no provider 'her' is installed (did you mean 'here'[?])*"),
        (("--nspkit-provider", "x"), "*installed: *here, *lookups, *printing*"),
        (("--nspkit-query", "x"), "*name one with --nspkit-provider*"),
        (("--nspkit-provider=here", "--nspkit-config=no.toml"), "*no.toml*"),
        (("--nspkit-report", ""), "*--nspkit-report is empty*"),
        (("--nspkit-report", "here.py/report"), "*--nspkit-report: *cannot be written*"),
    ],
)
def test_wrong_use_is_said_in_one_line(
    run: Run, here: Path, arguments: tuple[str, ...], said: str
) -> None:
    """With the exit status that pytest has for it, and no traceback."""
    result = run(*arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {said}"])
    assert "Traceback" not in result.stderr.str()


def test_a_provider_that_cannot_be_imported_is_an_error(run: Run, here: Path) -> None:
    """With the lines that raised it."""
    (here / "here.py").write_text("import nowhere_to_be_found\n")
    result = run("--nspkit-provider", "here")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(
        ["*ERROR collecting nspkit:here*", "*ModuleNotFoundError*nowhere_to_be_found*"]
    )


def test_a_query_and_settings_are_given_by_option(run: Run, here: Path) -> None:
    """The settings are those that an application's file has."""
    rule = ("--nspkit-provider=here", "-k", "lookup.finds and not again")
    run(*rule, "--nspkit-query=copier").assert_outcomes(failed=1, deselected=len(RULES) - 1)
    (here / "nspkit.toml").write_text('[providers.here]\nfirst = "copier"\n')
    result = run(*rule, "--nspkit-query=copier", "--nspkit-config=nspkit.toml")
    result.assert_outcomes(passed=1, deselected=len(RULES) - 1)


# The report ---------------------------------------------------------------------------------------


def test_the_report_has_every_rule(run: Run, here: Path) -> None:
    """Rule, level, result, message and the version of the kit."""
    result = run("--nspkit-provider=printing", "-k", "contract", "--nspkit-report=out/report.json")
    result.stdout.fnmatch_lines(["*nspkit report: *report.json*"])
    report = read(here / "out/report.json")
    assert report["kit"] == nspkit.__version__
    [provider] = report["providers"]
    assert (provider["node"], provider["provider"]) == ("nspkit:printing", "Printing")
    rules = {one["rule"]: one for one in provider["rules"]}
    assert list(rules) == [rule.id for rule in RULES if rule.level == "contract"]
    assert {one["level"] for one in rules.values()} == {"contract"}
    broken = rules.pop("contract.unknown_request")
    assert broken["result"] == "failed"
    assert "OperationNotSupportedError" in broken["message"]
    assert {one["result"] for one in rules.values()} == {"passed"}


def test_the_report_has_classes_of_tests_too(run: Run, here: Path) -> None:
    """What is skipped is so, what fails is so also where a mark expects it; other tests are not."""
    (here / "test_file.py").write_text("""
import pytest
from here import Lookups, Printing
from nspkit.testing import ProviderConformance

class TestLookups(ProviderConformance):
    provider = Lookups

@pytest.mark.xfail
class TestPrinting(ProviderConformance):
    @pytest.fixture
    def provider(self):
        return Printing

def test_another():
    pass
""")
    run("--nspkit-report=report.json", "-k", "unknown_request or test_another")
    lookups, printing = read(here / "report.json")["providers"]
    assert lookups["node"] == "test_file.py::TestLookups"
    assert lookups["provider"] == "Lookups"
    [rule] = lookups["rules"]
    assert (rule["result"], rule["message"]) == ("skipped", "the provider has no nsp_ioctl")
    assert printing["provider"] == "TestPrinting"
    [rule] = printing["rules"]
    assert rule["result"] == "failed"


def test_the_report_has_a_provider_that_cannot_be_imported(run: Run, here: Path) -> None:
    """With its reason and no rules, beside those that can."""
    (here / "nowhere.py").write_text("import nowhere_to_be_found\n")
    (here / "fake_here-1.0.dist-info/entry_points.txt").write_text(f"{POINTS}a = nowhere:A\n")
    providers = ("--nspkit-provider=a", "--nspkit-provider=here")
    both = (*providers, "--continue-on-collection-errors", "-k", "contract.info")
    result = run(*both, "--nspkit-report=report.json")
    result.assert_outcomes(passed=1, errors=1, deselected=len(RULES) - 1)
    broken, well = read(here / "report.json")["providers"]
    assert (broken["node"], broken["provider"], broken["rules"]) == ("nspkit:a", None, [])
    assert "No module named 'nowhere_to_be_found'" in broken["error"]
    assert (well["node"], well["error"], len(well["rules"])) == ("nspkit:here", None, 1)
    assert list(broken) == list(well)


def test_a_run_that_does_not_come_to_its_end_leaves_no_old_report(run: Run, here: Path) -> None:
    """What an earlier run said must not pass for what this one says."""
    (here / "report.json").write_text("old")
    (here / "test_file.py").write_text("import os\n\ndef test_ends():\n    os._exit(3)\n")
    run("--nspkit-report=report.json")
    assert read(here / "report.json")["providers"] == []
