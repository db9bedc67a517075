"""``nspkit check``: the rules of the kit, held against an installed provider."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Installation

pytest.importorskip("click", reason="the extra cli is not installed")

GOOD = """\
from nspkit import *
from nspkit import errors

class Provider:
    info = ProviderInfo("00000000-0000-4711-8000-00000000000c", "good", 4711, "1.0")
    names = {"printer"}

    @hookimpl
    def nsp_startup(self, settings, resources):
        self.names = frozenset(settings.get("names", ["printer"]))
START

    @hookimpl
    def nsp_cleanup(self):
        self.names = frozenset()

    @hookimpl
    def nsp_lookup_service(self, query, cancellation):
        if query.service_class is not None or query.blob is not None:
            return
        for name in sorted(self.names):
            if cancellation.cancelled:
                raise errors.CancelledError("the lookup was cancelled")
            if query.name in (None, name):
                yield Service(name, addresses=[Address.inet("192.0.2.1")])
"""

KEYS = ["name", "guid", "provider", "kit", "rules", "error"]


@pytest.fixture
def install(nspkit: Installation) -> Callable[..., None]:
    """A function that installs a provider whose startup does this too."""

    def install(name: str, start: str = "pass") -> None:
        nspkit.source(name, GOOD.replace("START", f"        {start}"))

    return install


def test_a_provider_that_keeps_all_rules_is_one_line(
    nspkit: Installation, install: Callable[..., None]
) -> None:
    """With the number of rules that were kept, and of those that do not apply."""
    install("good")
    status, output, errors = nspkit.run("check", "good")
    assert (status, errors) == (0, []), output
    [line] = output
    assert line.startswith("Provider: ")
    assert ", 0 failed, " in line


def test_a_rule_that_is_broken_is_told_with_what_to_change(
    nspkit: Installation, install: Callable[..., None]
) -> None:
    """State that all instances share, for instance; the summary is last."""
    install("bad", "type(self).started = object()")
    status, output, errors = nspkit.run("check", "bad")
    assert (status, errors) == (1, [])
    assert any(line.startswith("failed ") for line in output)
    assert not any(line.startswith(("passed", "skipped")) for line in output)
    assert output[-1].startswith("Provider: ")


@pytest.mark.parametrize("leave", ["sys.exit('no server')", "asyncio.CancelledError()"])
def test_a_provider_that_leaves_breaks_rules(
    nspkit: Installation, install: Callable[..., None], leave: str
) -> None:
    """And ends neither the program nor the report: what no Exception is, is a failure too."""
    install("good", f"import asyncio, sys; raise {leave}")
    status, output, _ = nspkit.run("check", "good", "--json")
    report = json.loads("".join(output))
    assert status == 1
    assert "failed" in {rule["result"] for rule in report["rules"]}


def test_a_provider_that_never_comes_back_is_told_too(
    nspkit: Installation, install: Callable[..., None]
) -> None:
    """The command ends by itself, with every rule that needs a start broken."""
    install("stuck", "__import__('threading').Event().wait()")
    status, output, errors = nspkit.run("check", "stuck", "--timeout", "0.1")
    assert (status, errors) == (1, []), output
    assert "failed lifecycle.starts_and_stops: " in "\n".join(output)
    assert any("nsp_startup did not come back within 0.1 s" in line for line in output), output
    assert not any(line.startswith("failed import.") for line in output), output


@pytest.mark.parametrize(
    "leave",
    [
        "import atexit; atexit.register(threading.Event().wait)",
        "self.pool = ThreadPoolExecutor(1); self.pool.submit(threading.Event().wait)",
    ],
)
def test_what_is_left_for_the_exit_does_not_hold_it_up(
    nspkit: Installation, install: Callable[..., None], leave: str
) -> None:
    """A function of atexit that blocks, an executor whose work has no end: they are told of."""
    names = "import threading; from concurrent.futures import ThreadPoolExecutor"
    install("leaves", f"{names}; {leave}")
    status, output, errors = nspkit.run("check", "leaves", "--timeout", "0.4")
    assert (status, errors) == (1, []), output
    assert any(line.startswith("failed leaks.") for line in output), output
    assert output[-1].startswith("Provider: ")


def test_verbose_tells_of_every_rule(nspkit: Installation, install: Callable[..., None]) -> None:
    """Those that are kept, and those that do not apply, with the reason."""
    from nspkit.testing import RULES

    install("good")
    _, output, _ = nspkit.run("check", "good", "--verbose")
    told = [line.partition(":")[0].split() for line in output if not line.startswith("  ")]
    assert [one[1] for one in told[:-1]] == [rule.id for rule in RULES]
    assert "  the provider has no nsp_ioctl" in output


def test_the_report_can_be_had_as_json(
    nspkit: Installation, install: Callable[..., None], checkout: Path
) -> None:
    """One object, with every rule; the page of the reference describes each key."""
    install("good")
    status, [line], errors = nspkit.run("check", "good", "--json", "--query", "printer")
    record = json.loads(line)
    assert (status, errors, list(record)) == (0, [], KEYS)
    assert (record["name"], record["provider"]) == ("good", "Provider")
    rule_keys = ["rule", "level", "sentence", "result", "message", "seconds"]
    assert list(record["rules"][0]) == rule_keys
    page = (checkout / "docs/reference/cli.md").read_text(encoding="utf-8")
    section = page.partition("Of `check`")[2]
    assert [key for key in KEYS if f"\n| `{key}` |" not in section] == []
    assert [key for key in rule_keys if f"`{key}`" not in section] == []


def test_settings_and_the_query_are_used(
    nspkit: Installation, install: Callable[..., None]
) -> None:
    """A provider that cannot do without a setting gets it out of the file."""
    install("good", "if not settings: raise errors.NotReadyError('the setting names is missing')")
    assert nspkit.run("check", "good")[0] == 1
    text = '[providers.good]\nnames = ["scanner"]\n'
    (nspkit.folder / "nspkit.toml").write_text(text, encoding="utf-8")
    arguments = ("check", "good", "--config", "nspkit.toml", "--query")
    assert nspkit.run(*arguments, "scanner")[0] == 0
    assert nspkit.run(*arguments, "printer")[0] == 1


def test_what_follows_from_a_query_that_finds_nothing_is_told_once(nspkit: Installation) -> None:
    """Half of the rules need a result: one message says so, and what to give."""
    nameless = "    if query.name is None:\n            raise errors.NoDataError('give a name')\n"
    start = GOOD.index("        if query.service_class")
    source = f"{GOOD[:start]}    {nameless}{GOOD[start:]}"
    nspkit.source("asks", source.replace("START", "        pass"))
    status, output, _ = nspkit.run("check", "asks")
    assert status == 1
    assert [line for line in output if line.startswith("failed")] == [
        "failed lookup.finds: The query that the kit was given finds something."
    ]
    assert "  nobody said what to look for; --query NAME gives a name that it finds" in output
    [follows] = [line for line in output if line.startswith("  for the same reason: ")]
    failed = follows.partition(": ")[2].partition(";")[0].split(", ")
    assert {"lifecycle.two_hosts_at_once", "concurrency.survives_a_fork"} < {*failed}
    assert f", {len(failed) + 1} failed, " in output[-1]
    _, whole, _ = nspkit.run("check", "asks", "--verbose")
    assert sum(line.startswith("failed") for line in whole) == len(failed) + 1
    _, other, _ = nspkit.run("check", "asks", "--query", "nobody")
    assert not [line for line in other if "nobody said" in line]
    assert nspkit.run("check", "asks", "--query", "printer")[0] == 0


def test_what_cannot_be_loaded_leads_to_the_doctor(nspkit: Installation) -> None:
    """Exit status 1: it is the provider that is wrong."""
    nspkit.source("a", "import a_module_that_is_not_there")
    status, output, [line] = nspkit.run("check", "a")
    assert (status, output) == (1, [])
    assert "a_module_that_is_not_there" in line
    assert line.endswith("; nspkit doctor a tells all of it")


def test_what_cannot_be_loaded_is_in_the_json_too(nspkit: Installation) -> None:
    """With its reason and no rules: who reads it must not miss that it was asked for."""
    nspkit.source("a", "import a_module_that_is_not_there")
    status, [line], [_complaint] = nspkit.run("check", "a", "--json")
    record = json.loads(line)
    assert (status, list(record)) == (1, KEYS)
    assert (record["name"], record["guid"], record["provider"]) == ("a", None, None)
    assert record["rules"] == []
    assert "a_module_that_is_not_there" in record["error"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["goo"], "did you mean 'good'?"),
        (["good", "--query", ""], "--query is ''"),
        (["good", "--config", "absent.toml"], "absent.toml"),
        ([], "missing argument 'PROVIDER'"),
    ],
)
def test_wrong_usage_is_told_in_one_line(
    nspkit: Installation, install: Callable[..., None], arguments: list[str], said: str
) -> None:
    """Before anything is checked."""
    install("good")
    status, output, [line] = nspkit.run("check", *arguments)
    assert (status, output) == (2, [])
    assert said in line
