"""pytest's option ``--nspkit-provider``: the rules as tests, without a file of tests."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from nspkit import Catalog, Host, NspError, Query
from nspkit.errors import ProviderLoadError
from nspkit.testing._case import Case
from nspkit.testing._places import is_authors
from nspkit.testing._report import RULES, is_debugged, missing_hooks

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from nspkit import CatalogEntry
    from nspkit.testing._rule import Rule


class Collected:
    """What the option adds to a run of pytest.

    Raises:
        pytest.UsageError: a provider is not installed, or another option about it is wrong.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._found_nothing: list[str] = []
        catalog = Catalog.discover()
        try:
            asked = config.getoption("nspkit_query")
            self._query = None if asked is None else Query(asked)
            self._settings = _settings_in(config.getoption("nspkit_config"), catalog)
            named = (catalog[provider] for provider in config.getoption("nspkit_provider"))
            self._entries = list(dict.fromkeys(named))
        except NspError as error:
            raise pytest.UsageError(error.message) from None
        if config.args_source is not pytest.Config.ArgsSource.ARGS:
            # Nobody has asked for the tests of the folder: they are the provider's users'.
            config.args = []
            config.args_source = pytest.Config.ArgsSource.ARGS

    @pytest.hookimpl(tryfirst=True)  # what -k and -m deselect has to be there by then
    def pytest_collection_modifyitems(
        self, session: pytest.Session, items: list[pytest.Item]
    ) -> None:
        """Add a test for each rule and provider, before those of files."""
        added: list[pytest.Item] = []
        for entry in self._entries:
            rules = Rules.from_parent(
                session,
                name=f"nspkit:{entry.name}",
                nodeid=f"nspkit:{entry.name}",
                entry=entry,
                query=self._query,
                settings=self._settings_of(entry),
            )
            added += session.genitems(rules)
        items[:0] = added

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take down who found nothing where nobody said what to look for."""
        name, _, rule = report.nodeid.partition("::")
        if report.failed and self._query is None and rule == "lookup.finds":
            self._found_nothing.append(name)

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Say what may be missing: many rules are broken for this one reason."""
        for name in self._found_nothing:
            terminalreporter.write_line(
                f"{name} finds nothing where no name is asked for, and all that needs a result "
                "fails with it; give a name that it finds: --nspkit-query NAME",
                yellow=True,
            )

    def _settings_of(self, entry: CatalogEntry) -> Mapping[str, Any]:
        for key in (entry.name, str(entry.guid)):
            if key in self._settings:
                return self._settings[key]
        return {}


def _settings_in(file: str | None, catalog: Catalog) -> Mapping[str, Mapping[str, Any]]:
    """Return the tables of settings of a file, by short name or GUID in lower case.

    Raises:
        ConfigurationError: the file is missing or wrong (WSAEINVAL 10022).
    """
    if file is None:
        return {}
    import tomllib

    with Host.from_file(file, catalog=catalog):
        pass  # it is right, then
    tables = tomllib.loads(Path(file).read_text(encoding="utf-8-sig")).get("providers", {})
    found: dict[str, dict[str, Any]] = {key.lower().strip("{}"): tables[key] for key in tables}
    return {**found, **tables}


class Rules(pytest.Collector):
    """One installed provider, as a collector of one test for each rule.

    Attributes:
        error: Why it cannot be used, once that is known.
    """

    def __init__(
        self,
        *,
        entry: CatalogEntry,
        query: Query | None,
        settings: Mapping[str, Any],
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.error: str | None = None
        self.findings: dict[Any, Any] = {}
        self._entry = entry
        self._query = query
        self._settings = settings

    def collect(self) -> Iterator[RuleItem]:
        """Import the provider, and make the tests.

        Raises:
            CollectError: it cannot be imported, or is no provider.
        """
        try:
            provider = self._entry.load()
        except NspError as error:
            self.error = error.message
            shown = self._entry.traceback if isinstance(error, ProviderLoadError) else None
            raise self.CollectError("\n".join(filter(None, (shown, error.message)))) from error
        for rule in RULES:
            yield RuleItem.from_parent(self, name=rule.id, rule=rule, provider=provider)

    def case(self, provider: type) -> Case:
        """Return a new case for one rule."""
        return Case(
            provider,
            settings=self._settings,
            query=self._query,
            findings=self.findings,
            is_debugged=is_debugged(self.config),
        )


class RuleItem(pytest.Item):
    """The test of one rule."""

    parent: Rules

    def __init__(self, *, rule: Rule, provider: type, **options: Any) -> None:
        super().__init__(**options)
        self.nspkit_rule = rule
        self.nspkit_provider = provider.__qualname__
        self._provider = provider

    def runtest(self) -> None:
        """Hold the provider against the rule."""
        case = self.parent.case(self._provider)
        missing = self.nspkit_rule.missing(case.implementations)
        if missing:
            pytest.skip(missing_hooks(missing))
        self.nspkit_rule(case)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """Show what to change, and the provider's lines; the kit's are of little use for that."""
        if self.config.getoption("fulltrace"):
            return super().repr_failure(excinfo, style)
        asked = style or self.config.getoption("tbstyle")
        shown = excinfo.getrepr(style="short" if asked == "auto" else asked, tbfilter=_authors)
        if isinstance(excinfo.value, AssertionError) and shown.reprcrash is not None:
            # What the summary at the end shows the beginning of: the message, not its class.
            shown.reprcrash.message = str(excinfo.value)
        return shown

    def reportinfo(self) -> tuple[Any, int | None, str]:
        """Return what stands above a failure."""
        return self.path, None, f"{self.parent.name} {self.name}"


def _authors(excinfo: pytest.ExceptionInfo[BaseException]) -> Any:
    """Return the part of a traceback that is the author's, which may be nothing."""
    return excinfo.traceback.filter(
        lambda entry: (
            is_authors(str(entry.path))
            and entry.frame.f_globals.get("__name__", "").partition(".")[0]
            not in ("_pytest", "pluggy")
        )
    )
