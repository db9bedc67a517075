"""A host that is made as a file says, whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nspkit import Catalog, Host, ProviderInfo, hookimpl
from nspkit.errors import ConfigurationError

SEEN: dict[str, Any] = {}


class Alpha:
    """A provider that tells its settings."""

    info = ProviderInfo("0f5f6f52-9d0e-4a35-8a55-5a3a2f1f2a01", "alpha", 50, "1")

    @hookimpl
    def nsp_startup(self, settings: Any) -> None:
        """Keep the settings for the test."""
        SEEN.update(settings)

    @hookimpl
    def nsp_cleanup(self) -> None:
        """Have nothing to end."""


class Beta(Alpha):
    """Another one."""

    info = ProviderInfo("0f5f6f52-9d0e-4a35-8a55-5a3a2f1f2a02", "beta", 50, "1")


@pytest.fixture
def installed() -> Catalog:
    """Both of them."""
    catalog = Catalog()
    catalog.install(Alpha)
    catalog.install(Beta)
    return catalog


def test_order_and_settings_are_those_of_the_file(tmp_path: Path, installed: Catalog) -> None:
    """The catalog that is given stays as it was."""
    file = tmp_path / "nspkit.toml"
    file.write_text('order = ["beta"]\n[providers.alpha]\ncolour = "red"\n')
    SEEN.clear()
    with Host.from_file(file, catalog=installed) as host:
        assert [entry.name for entry in host.providers()] == ["beta", "alpha"]
        host.startup("alpha")
    assert SEEN == {"colour": "red"}
    assert [entry.name for entry in installed] == ["alpha", "beta"]


def test_a_file_that_names_an_unknown_provider_makes_no_host(
    tmp_path: Path, installed: Catalog
) -> None:
    """The error has the file, the line and the key."""
    file = tmp_path / "nspkit.toml"
    file.write_text('\norder = ["gamma"]\n')
    with pytest.raises(ConfigurationError) as caught:
        Host.from_file(file, catalog=installed)
    assert (caught.value.line, caught.value.key) == (2, "order")
    assert str(file) in str(caught.value)
