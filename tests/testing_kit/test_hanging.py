"""The kit comes to its end whatever hangs in a provider, and says what hangs."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from types import ModuleType

import pytest
from hanging import ALL, Hangs

from nspkit.testing import MemoryProvider, Rule, RuleBrokenError, check_provider
from nspkit.testing import _running as running
from nspkit.testing._case import Case
from nspkit.testing._limits import eventually
from nspkit.testing._probe import probe

HERE = Path(__file__).parent
LIMIT = 120.0
"""Seconds after which a process is ended that ought to have ended by itself long ago."""

CHECK = """
import sys
sys.path.insert(0, sys.argv[1])
import hanging
from nspkit import Service
from nspkit.testing import RULES, check_provider

provider = getattr(hanging, sys.argv[2])
told = {provider.rule, *sys.argv[3:]}
report = check_provider(
    provider,
    settings={"services": [Service("one"), Service("two")]},
    patience=0.3,
    rounds=2,
    rules=[rule for rule in RULES if rule.id in told or rule.level in told],
)
print(report)
"""


@pytest.mark.parametrize("provider", ALL, ids=[one.__name__ for one in ALL])
def test_what_hangs_for_ever_is_told(
    provider: type[Hangs], fresh_python: Callable[..., CompletedProcess[str]]
) -> None:
    """The rule fails with a message that names it, the others go on, and the process ends."""
    done = fresh_python(CHECK, str(HERE), provider.__name__, *provider.others, timeout=LIMIT)
    told = rf"failed {re.escape(provider.rule)}: [^\n]*\n\s+{provider.says}"
    assert re.search(told, done.stdout, re.DOTALL), done.stdout
    assert "contract: " in done.stdout


def test_all_rules_are_looked_at_though_no_start_comes_back(
    fresh_python: Callable[..., CompletedProcess[str]],
) -> None:
    """What hangs each time is waited for in full only at the beginning."""
    levels = ("lifecycle", "lookup", "registration", "classes", "changes", "concurrency", "leaks")
    done = fresh_python(CHECK, str(HERE), "InStartup", *levels, timeout=LIMIT)
    for level in levels:
        # The rule about the first use in a process leaves what hangs to the others.
        assert re.search(rf"^{level}: [01] of \d+ kept$", done.stdout, re.MULTILINE), done.stdout


def _check_in(case: Case) -> None:
    """Hang where no rule has a limit of its own."""
    case.provider.hang()


class HangsAnywhere(MemoryProvider):
    """Hangs, until the test is over, where a rule does not expect it."""

    over = threading.Event()

    @classmethod
    def hang(cls) -> None:
        """Hang."""
        cls.over.wait()


def test_a_rule_that_gets_no_further_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever that is: each rule runs on a thread of its own."""
    monkeypatch.setattr(running, "GRACE", 0.1)
    try:
        with pytest.raises(RuleBrokenError, match=r"for this rule did not come back[\s\S]*in hang"):
            Rule(_check_in, "contract")(Case(HangsAnywhere, patience=0.05))
    finally:
        HangsAnywhere.over.set()


def test_a_rule_that_was_given_up_does_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """When what hangs comes back, nothing is started beside the rules that are looked at then."""
    monkeypatch.setattr(running, "GRACE", 0.1)
    end, ended, went_on = threading.Event(), threading.Event(), threading.Event()

    def check(case: Case) -> None:
        try:
            end.wait()
            case.instance()
            went_on.set()
        finally:
            ended.set()

    with pytest.raises(RuleBrokenError, match="did not come back"):
        Rule(check, "contract")(Case(MemoryProvider, patience=0.05))
    end.set()
    assert ended.wait(30.0)
    assert not went_on.is_set()


def test_an_interrupt_of_the_providers_is_no_ctrl_c() -> None:
    """It is a broken rule, and the rest of the rules is looked at."""

    def check(_case: Case) -> None:
        raise KeyboardInterrupt("made up")

    rules = [Rule(check, "contract"), Rule(lambda _case: None, "contract")]
    report = check_provider(MemoryProvider, rules=rules)
    assert [one.result for one in report.outcomes] == ["failed", "passed"]
    assert "KeyboardInterrupt: made up" in report.outcomes[0].message


CTRL_C = """
import os, signal, sys, threading
sys.path.insert(0, sys.argv[1])
import hanging
from nspkit.testing import check_provider

signal.signal(signal.SIGINT, signal.default_int_handler)

def is_awaited():
    frame = sys._current_frames()[threading.main_thread().ident]
    while frame is not None and not frame.f_code.co_filename.endswith("_limits.py"):
        frame = frame.f_back
    return frame is not None and frame.f_code.co_name == "wait"

def for_ever():
    while not is_awaited():  # a signal may strike in the start of this very thread, too
        pass
    print("hangs", flush=True)
    threading.Event().wait()

hanging.for_ever = for_ever
try:
    check_provider(hanging.InStartup, patience=3600)
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


@pytest.mark.skipif(os.name == "nt", reason="no signal of that kind")
def test_ctrl_c_reaches_the_user_while_a_provider_hangs() -> None:
    """At once: nobody waits for the end of what hangs."""
    with subprocess.Popen(
        [sys.executable, "-c", CTRL_C, str(HERE)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "hangs\n"
            process.send_signal(signal.SIGINT)
            said, _ = process.communicate(timeout=LIMIT)
        finally:
            process.kill()
    assert said == "interrupted\n"


def test_a_fresh_interpreter_that_hangs_says_where() -> None:
    """It ends itself, and is not waited for by each rule that asks it."""
    finding = probe(next(one for one in ALL if one.__name__ == "InInit"), 5.0)
    assert "Timeout" in finding.error
    assert "in __init__" in finding.error


def test_a_process_that_an_import_starts_holds_nothing_up(tmp_path: Path) -> None:
    """It has the output of the interpreter that is looked into, and is ended with it."""
    program = "import time; print('late', flush=True); time.sleep(60)"
    (tmp_path / "starts_early.py").write_text(
        "import subprocess, sys\n"
        "from nspkit.testing import MemoryProvider\n"
        f"left = subprocess.Popen([sys.executable, '-c', {program!r}])\n"
        f"with open({str(tmp_path / 'pid')!r}, 'w') as file:\n"
        "    file.write(str(left.pid))\n"
        "class Provider(MemoryProvider):\n"
        "    pass\n"
    )
    provider = type("Provider", (), {"__module__": "starts_early"})
    sys.modules["starts_early"] = module = ModuleType("starts_early")
    module.__file__ = str(tmp_path / "starts_early.py")
    try:
        finding = probe(provider, 30.0)
    finally:
        del sys.modules["starts_early"]
    assert finding.error == ""
    assert finding.importing[0].startswith("started a process at ")
    pid = int((tmp_path / "pid").read_text())
    eventually(lambda: not _runs(pid), LIMIT, "the process runs still")


def _runs(pid: int) -> bool:
    """Whether a process runs that is nobody's child; one that has ended may not be waited for."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
