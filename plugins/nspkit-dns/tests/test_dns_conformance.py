"""The provider keeps every rule that there is for one, with a bind9 behind it."""

from __future__ import annotations

from typing import Any

import pytest
from nspkit_dns import DnsProvider

from nspkit import Query
from nspkit.testing import ProviderConformance


class TestConformance(ProviderConformance):
    """With a zone that takes updates with the right key."""

    provider = DnsProvider
    query = Query("web.main.test")

    @pytest.fixture
    def settings(self, named: Any, tools: Any) -> dict[str, Any]:
        """Where the server is, and the key."""
        return {"nameservers": [named.address], "domain": "dyn.test", "tsig": tools.KEY}
