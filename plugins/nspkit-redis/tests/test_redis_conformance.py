"""The provider keeps every rule that there is for one, and for a registry, at a real server."""

from __future__ import annotations

from typing import Any

import pytest
from nspkit_redis import RedisProvider

from nspkit import Query
from nspkit.testing import RegistryConformance


class TestConformance(RegistryConformance):
    """With a registry of each rule's own."""

    provider = RedisProvider
    query = Query("printer")

    @pytest.fixture
    def settings(self, clients: Any) -> dict[str, Any]:
        """Where it is; it has two services."""
        client = clients()
        client.register("printer", "192.0.2.1")
        client.register("scanner", "192.0.2.2")
        client.session.close()
        return dict(client.settings)
