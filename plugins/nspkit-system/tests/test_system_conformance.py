"""The provider keeps every rule that there is for one."""

from __future__ import annotations

from nspkit_system import SystemProvider

from nspkit import Query
from nspkit.testing import ProviderConformance


class TestConformance(ProviderConformance):
    """With the platform's real resolver."""

    provider = SystemProvider
    query = Query("localhost")
