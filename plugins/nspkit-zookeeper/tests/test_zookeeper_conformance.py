"""The provider keeps every rule that there is for one, and for a registry."""

from __future__ import annotations

from typing import Any

import pytest
from nspkit_zookeeper import ZookeeperProvider

import nspkit
from nspkit import Address, Query, Service, ServiceOperation
from nspkit.testing import RegistryConformance


class TestConformance(RegistryConformance):
    """With a prefix of each rule's own."""

    provider = ZookeeperProvider
    query = Query("printer")

    @pytest.fixture
    def settings(self, hosts: Any, settings: dict[str, Any]) -> dict[str, Any]:
        """Where it is; it has two services."""
        session: nspkit.Session = hosts().startup("zookeeper")
        for number, name in enumerate(("printer", "scanner")):
            addresses = [Address.inet(f"192.0.2.{number}", 80)]
            session.set_service(Service(name, addresses=addresses), ServiceOperation.REGISTER)
        session.close()
        return settings
