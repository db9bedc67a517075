"""The provider keeps every rule that there is for one, and for a registry."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from nspkit_sqlite import SqliteProvider

from nspkit import Query
from nspkit.testing import RegistryConformance


class TestConformance(RegistryConformance):
    """With a registry of each rule's own."""

    provider = SqliteProvider
    query = Query("printer")

    @pytest.fixture
    def settings(self, clients: Any, path: Path) -> dict[str, Any]:
        """Where it is; it has two services."""
        client = clients()
        client.register("printer", "192.0.2.1")
        client.register("scanner", "192.0.2.2")
        client.session.close()
        return {"path": path, "interval": 0.005}
