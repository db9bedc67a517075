"""pytest's option ``--nspkit-report``: what came of the rules in a run, as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from nspkit import __version__
from nspkit.testing._collected import Rules
from nspkit.testing._conformance import ProviderConformance
from nspkit.testing._report import FAILED, PASSED, SKIPPED, Outcome, Report
from nspkit.testing._rule import Rule, message_of

if TYPE_CHECKING:
    from collections.abc import Generator


class Noted:
    """Takes down each test of a rule, and writes the file at the end.

    Raises:
        pytest.UsageError: the file cannot be written.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._path = Path(config.invocation_params.dir, config.getoption("nspkit_report"))
        self._unusable: dict[str, str] = {}
        self._outcomes: dict[tuple[str, str], dict[str, Outcome]] = {}
        # A run on several processes has one that is told of all tests, which writes the file.
        self._writes = not hasattr(config, "workerinput")
        self._write()  # now: what an earlier run has left must not pass for this one's

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(
        self, collector: pytest.Collector
    ) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
        """Put into pytest's report why there are no tests of a provider: it cannot be used."""
        report = yield
        if isinstance(collector, Rules):
            vars(report)["nspkit_error"] = collector.error
        return report

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Take it down."""
        error: str | None = getattr(report, "nspkit_error", None)
        if error is not None:
            self._unusable[report.nodeid] = error

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Put what came of a rule into pytest's report, which may come from another process."""
        report = yield
        rule = _rule_of(item)
        # A setup or a teardown has something to say only if it fails.
        if rule is not None and (call.when == "call" or call.excinfo is not None):
            result, message = _told(call.excinfo)
            outcome = Outcome(rule.id, rule.level, rule.sentence, result, message, call.duration)
            assert item.parent is not None
            node = item.parent.nodeid
            noted = {"node": node, "provider": _provider_of(item), "outcome": [*outcome]}
            vars(report)["nspkit"] = noted  # such attributes pass between processes
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take it down."""
        noted: dict[str, Any] | None = getattr(report, "nspkit", None)
        if noted is not None:
            outcome = Outcome(*noted["outcome"])
            outcomes = self._outcomes.setdefault((noted["node"], noted["provider"]), {})
            before = outcomes.get(outcome.rule)
            # A teardown that fails after a rule that is broken hides no message.
            if before is None or before.result != FAILED:
                outcomes[outcome.rule] = outcome

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self) -> None:
        """Write the file."""
        self._write()

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Say where it is."""
        terminalreporter.write_sep("-", f"nspkit report: {self._path}")

    def _write(self) -> None:
        if not self._writes:
            return
        providers = [
            {"node": node, **Report("", ()).as_dict(), "provider": None, "error": error}
            for node, error in self._unusable.items()
        ]
        providers += [
            {"node": node, **Report(provider, outcomes.values()).as_dict(), "error": None}
            for (node, provider), outcomes in self._outcomes.items()
        ]
        text = json.dumps({"kit": __version__, "providers": providers}, indent=2)
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.write_text(f"{text}\n", encoding="utf-8")
        except OSError as error:
            raise pytest.UsageError(
                f"--nspkit-report: {self._path} cannot be written: {error.strerror}; name a file "
                "that can be"
            ) from None


def _rule_of(item: pytest.Item) -> Rule | None:
    """Return the rule that a test is about."""
    rule = getattr(item, "nspkit_rule", None)  # of --nspkit-provider
    if rule is None and _is_conformance(item):
        parameters = getattr(getattr(item, "callspec", None), "params", {})
        rule = parameters.get("nspkit_rule")
    return rule if isinstance(rule, Rule) else None


def _is_conformance(item: pytest.Item) -> bool:
    cls = getattr(item, "cls", None)
    return isinstance(cls, type) and issubclass(cls, ProviderConformance)


def _provider_of(item: pytest.Item) -> str:
    """Return the name of the provider's class; where a fixture makes it, that of the tests'."""
    given = getattr(item, "nspkit_provider", None)
    if given is None:
        cls: Any = getattr(item, "cls", None)
        provider = getattr(cls, "provider", None)
        given = provider.__qualname__ if isinstance(provider, type) else cls.__qualname__
    return str(given)


def _told(excinfo: pytest.ExceptionInfo[BaseException] | None) -> tuple[str, str]:
    """Return the result and the message; a mark, as for an expected failure, changes nothing."""
    if excinfo is None:
        return PASSED, ""
    error = excinfo.value
    if isinstance(error, pytest.skip.Exception):
        return SKIPPED, str(error)
    return FAILED, message_of(error)
