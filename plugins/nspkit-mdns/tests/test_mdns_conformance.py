"""The provider keeps every rule that there is for one."""

from __future__ import annotations

from typing import Any

from nspkit_mdns import MdnsProvider

from nspkit import Query
from nspkit.testing import ProviderConformance


class TestConformance(ProviderConformance):
    provider = MdnsProvider
    settings = {"interfaces": ["lo"], "timeout": 0.5, "browse_time": 0.3}
    query = Query(service_class="_http._tcp")
