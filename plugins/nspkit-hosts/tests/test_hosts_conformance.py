"""The provider keeps every rule that there is for one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from nspkit_hosts import HostsProvider

from nspkit import Query
from nspkit.testing import ProviderConformance


class TestConformance(ProviderConformance):
    """With a file of each rule's own."""

    provider = HostsProvider
    query = Query("alpha")

    @pytest.fixture
    def settings(self, path: Path) -> dict[str, Any]:
        """Where that file is."""
        path.write_text("192.0.2.1 alpha.example alpha\n192.0.2.2 beta.example beta\n")
        return {"path": path}
