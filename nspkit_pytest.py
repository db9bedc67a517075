"""The pytest plugin of nspkit: fixtures for tests, and the conformance kit by option.

It lies beside the package and imports nothing of it before that is used. pytest imports the plugins
that are installed in every run and before coverage is measured: a run that has no use for nspkit
pays nothing for it, and a run that measures nspkit sees it imported.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nspkit import Host

__all__ = ["no_leaks", "nspkit_host", "nspkit_memory"]


# Fixtures -----------------------------------------------------------------------------------------


@pytest.fixture
def nspkit_host(request: pytest.FixtureRequest) -> Iterator[Host]:
    """A host with an empty catalog: nothing is discovered, and nobody can be asked."""
    from nspkit import Catalog, Host

    _begin_to_look(request)
    with Host(catalog=Catalog()) as host:
        yield host


@pytest.fixture
def nspkit_memory(request: pytest.FixtureRequest) -> Iterator[Host]:
    """A host whose one provider, ``memory``, is started and has all hooks and no back end."""
    from nspkit import Catalog, Host
    from nspkit.testing import MemoryProvider

    _begin_to_look(request)
    catalog = Catalog()
    catalog.install(MemoryProvider)
    with Host(catalog=catalog) as host, host.startup("memory"):
        yield host


@pytest.fixture
def no_leaks(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail the test if threads, descriptors or child processes are left; the message says which.

    A test that fails by itself is not looked at: what its traceback refers to is still in use.
    """
    from nspkit.testing import LeakReport

    failed = request.session.testsfailed
    with LeakReport() as leaks:
        yield
    if leaks and request.session.testsfailed == failed:
        pytest.fail(str(leaks), pytrace=False)


def _begin_to_look(request: pytest.FixtureRequest) -> None:
    # What is set up first is torn down last: a host has threads until it is closed.
    if "no_leaks" in request.fixturenames:
        request.getfixturevalue("no_leaks")


# Options ------------------------------------------------------------------------------------------


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options; pytest calls it."""
    group = parser.getgroup("nspkit")
    group.addoption(
        "--nspkit-provider",
        metavar="ENTRY_POINT",
        action="append",
        default=[],
        help="hold this installed provider, by short name or GUID, against the rules of the "
        "conformance kit, a test for each; may be repeated; files are collected only where named",
    )
    group.addoption(
        "--nspkit-query",
        metavar="NAME",
        help="with --nspkit-provider: a name that the provider finds; else it looks for all",
    )
    group.addoption(
        "--nspkit-config",
        metavar="FILE",
        help="with --nspkit-provider: the nspkit.toml that has the provider's settings",
    )
    group.addoption(
        "--nspkit-report",
        metavar="FILE",
        help="write what came of the rules of the conformance kit to this file, as JSON",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Do what the options say; pytest calls it. Without them nothing of nspkit is imported."""
    if config.getoption("nspkit_provider"):
        from nspkit.testing._collected import Collected

        config.pluginmanager.register(Collected(config), "nspkit-provider")
    elif config.getoption("nspkit_query") or config.getoption("nspkit_config"):
        raise pytest.UsageError(
            "--nspkit-query and --nspkit-config are about a provider; name one with "
            "--nspkit-provider"
        )
    if config.getoption("nspkit_report") is not None:
        if not config.getoption("nspkit_report"):
            raise pytest.UsageError("--nspkit-report is empty; name a file")
        from nspkit.testing._noted import Noted

        config.pluginmanager.register(Noted(config), "nspkit-report")
