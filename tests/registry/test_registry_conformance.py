"""What all registries have in common keeps the kit's rules for them, over a dictionary."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from time import monotonic
from typing import Any

import pytest

from nspkit.testing import REGISTRY_RULES, Rule, check_provider


@pytest.fixture
def running(engine: Any) -> Iterator[Any]:
    """The engine, while its time passes as everybody's does."""
    over = threading.Event()

    def pass_time() -> None:
        last = monotonic()
        while not over.wait(0.01):
            now = monotonic()
            engine.pass_time(now - last)
            last = now

    thread = threading.Thread(target=pass_time)
    thread.start()
    yield engine
    over.set()
    thread.join()


@pytest.mark.parametrize("rule", REGISTRY_RULES, ids=[rule.id for rule in REGISTRY_RULES])
def test_the_rule_is_kept(rule: Rule, running: Any, provider: type) -> None:
    """Whatever engine there is, then."""
    report = check_provider(provider, settings={"engine": running}, rules=[rule])
    assert report, str(report)
    assert running.kept == {}
    assert running.classes == {}
