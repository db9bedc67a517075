"""The deliberately broken providers, one for each rule."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

HERE = Path(__file__).parent


def _load(name: str, path: Path) -> ModuleType:
    """Load a file as a module, and have others find it by that name."""
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


_load("hanging", HERE / "hanging.py")


def _classes(module: ModuleType) -> Iterator[Any]:
    for value in vars(module).values():
        if isinstance(value, type) and "breaks" in vars(value):
            yield value


def broken_providers() -> dict[str, list[Any]]:
    """Every broken provider, by the rule that it breaks."""
    _load("broken_common", HERE / "broken" / "common.py")
    found: dict[str, list[Any]] = {}
    for folder in ("broken", "broken_imports"):
        for path in sorted((HERE / folder).glob("*.py")):
            for provider in _classes(_load(f"{folder}_{path.stem}", path)):
                found.setdefault(provider.breaks, []).append(provider)
    return found


@pytest.fixture(scope="session")
def broken() -> dict[str, list[Any]]:
    """Every broken provider, by the rule that it breaks."""
    return broken_providers()


def all_broken_registries() -> list[Any]:
    """Every broken registry."""
    _load("broken_common", HERE / "broken" / "common.py")
    folder = HERE / "broken_registry"
    _load("broken_registry_common", folder / "common.py")
    modules = [_load(f"broken_registry_{path.stem}", path) for path in sorted(folder.glob("*.py"))]
    return [provider for module in modules for provider in _classes(module)]


@pytest.fixture(scope="session")
def broken_registries() -> list[Any]:
    """Every broken registry."""
    return all_broken_registries()


@pytest.fixture
def cleared() -> Iterator[None]:
    """Take away, after a test, what a broken provider left."""
    yield
    for name in ("broken_leaks", "broken_imports_once"):
        sys.modules[name].clear()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make a test for each broken provider, and for each broken registry."""
    if "broken_registry" in metafunc.fixturenames:
        registries = all_broken_registries()
        ids = [f"{one.breaks}-{one.__qualname__}" for one in registries]
        metafunc.parametrize("broken_registry", registries, ids=ids)
    if "broken_provider" in metafunc.fixturenames:
        all_of_them = [one for providers in broken_providers().values() for one in providers]
        ids = [f"{one.breaks}-{one.__qualname__}" for one in all_of_them]
        metafunc.parametrize("broken_provider", all_of_them, ids=ids)
