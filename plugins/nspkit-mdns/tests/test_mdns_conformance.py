"""The provider keeps every rule that there is for one, with avahi-daemon behind it."""

from __future__ import annotations

from typing import ClassVar

import pytest
from nspkit_mdns import MdnsProvider

from nspkit import Query, svcid_dns
from nspkit.testing import ProviderConformance


@pytest.mark.usefixtures("avahi", "quick")
class TestConformance(ProviderConformance):
    """On the loopback interface, for a host that the daemon answers for."""

    provider = MdnsProvider
    settings: ClassVar = {"interfaces": ["lo"], "timeout": 1.5, "browse_time": 0.5}
    query = Query("printer.local", service_class=svcid_dns(1))
