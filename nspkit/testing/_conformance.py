"""The classes that an author's tests inherit; pytest makes a test of each rule."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from nspkit import Query, Service
from nspkit.testing._case import PATIENCE, ROUNDS, Case
from nspkit.testing._places import debugged, raise_at
from nspkit.testing._report import REGISTRY_RULES, RULES, is_debugged, missing_hooks
from nspkit.testing._rule import message_of

if TYPE_CHECKING:
    from nspkit.testing._rule import Rule

_KINDS: dict[str, type] = {
    "provider": type,
    "settings": Mapping,
    "query": Query,
    "service": Service,
}


class ProviderConformance:
    """Proves a provider: inherit, set ``provider``, and pytest runs a test for each rule.

    ::

        class TestConformance(ProviderConformance):
            provider = PhoneBookProvider
            query = Query("Ada")

    Each of the first four attributes may be a pytest fixture of that name instead, in the class
    or in its module, where a path or a server is needed. A rule is skipped only if the provider
    lacks a hook that it is about, and the reason says so. A failure is shown at the class, with
    its message and the provider's own lines; ``--full-trace`` shows the kit's, too.
    `check_provider` does the same without pytest.

    Attributes:
        provider: The class that the entry point names.
        settings: What an application would set; nothing by default.
        query: A query that finds something; by default one for everything.
        service: A service that can be registered; by default one with an address that is nobody's.
        patience: How many seconds one step of the provider may take.
        rounds: How many times it is started and stopped to see what adds up.
    """

    provider: Any = None
    settings: Any = None
    query: Any = None
    service: Any = None
    patience: float = PATIENCE
    rounds: int = ROUNDS

    _findings: ClassVar[dict[Any, Any]]
    _rules: ClassVar[tuple[Rule, ...]] = RULES

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls._findings = {}  # what is found out once, for all rules that ask for it

    def pytest_generate_tests(self, metafunc: Any) -> None:
        """Make a test of each rule; pytest calls it."""
        if "nspkit_rule" in metafunc.fixturenames:
            rules = self._rules
            metafunc.parametrize("nspkit_rule", rules, ids=[rule.id for rule in rules])

    def test_rule(self, nspkit_rule: Rule, request: Any) -> None:
        """Hold the provider against one rule."""
        __tracebackhide__ = True  # the message says what to change; the kit's lines do not
        provider = self._given("provider", request)
        if provider is None:
            message = f"{type(self).__name__}.provider is not set; set it to the provider's class"
            raise_at(type(self), AssertionError(message))
        case = Case(
            provider,
            settings=self._given("settings", request),
            query=self._given("query", request),
            service=self._given("service", request),
            patience=self.patience,
            rounds=self.rounds,
            findings=self._findings,
            is_debugged=is_debugged(request.config),
        )
        missing = nspkit_rule.missing(case.implementations)
        if missing:
            import pytest

            raise_at(type(self), pytest.skip.Exception(missing_hooks(missing)))
        try:
            nspkit_rule(case)
        except Exception as error:
            if request.config.getoption("fulltrace"):
                raise
            raised: BaseException = error
            if request.config.getoption("usepdb"):
                raised = debugged(error, message_of(error))
        else:
            return
        raise_at(type(self), raised)  # out there: it may be the cause of what is handled here

    def _given(self, name: str, request: Any) -> Any:
        """Return what the class has under a name, or the fixture of that name has."""
        __tracebackhide__ = True
        value = getattr(type(self), name)
        if value is None:
            # Not any fixture of that name: plugins have one called settings, for instance.
            value = getattr(sys.modules[type(self).__module__], name, None)
            if value is None or not _is_fixture(value):
                return None
        if isinstance(value, _KINDS[name]):
            return value
        if not _is_fixture(value):
            message = (
                f"{type(self).__name__}.{name} is {value!r:.80}; give a "
                f"{_KINDS[name].__name__}, or a pytest fixture of that name"
            )
            raise_at(type(self), AssertionError(message))
        return request.getfixturevalue(name)


class RegistryConformance(ProviderConformance):
    """Proves a provider that is a registry: all rules for providers, and those for registries.

    A registry stores services of any name, class and context with whatever they have, keeps
    service classes, and tells changes; what is registered is everybody's. Those that keep these
    rules can take each other's place. ::

        class TestConformance(RegistryConformance):
            provider = MyRegistry

            @pytest.fixture
            def settings(self, server):
                return {"endpoints": server.endpoint}

    The settings lead to one registry, however many hosts are started with them. It may be a server
    that others use: each rule of the level ``registry`` registers services of a class of its own,
    looks at no others, and deletes them in the end. The attributes are those of
    `ProviderConformance`.
    """

    _rules = RULES + REGISTRY_RULES


def _is_fixture(value: object) -> bool:
    # pytest has no public word for it; its definitions are objects of this class.
    return type(value).__name__ == "FixtureFunctionDefinition"
