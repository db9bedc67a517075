"""The provider keeps every rule that there is for a registry."""

from __future__ import annotations

from typing import Any

import pytest
from nspkit_etcd import EtcdProvider

from nspkit import Query, Service
from nspkit.testing import RegistryConformance


class TestConformance(RegistryConformance):
    """With a prefix of each rule's own."""

    provider = EtcdProvider
    query = Query("printer")

    @pytest.fixture
    def settings(self, settings: dict[str, Any], make_host: Any) -> dict[str, Any]:
        """Where it is; it has two services."""
        host = make_host(**settings)
        with host.startup("etcd") as session:
            session.set_service(Service("printer"), 0)
            session.set_service(Service("scanner"), 0)
        return settings
