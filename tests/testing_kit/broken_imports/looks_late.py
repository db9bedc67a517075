"""A provider that opens a file before it sees that a setting is missing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nspkit import Resources, hookimpl
from nspkit.errors import NotReadyError
from nspkit.testing import MemoryProvider


class Provider(MemoryProvider):
    """Works first, and looks then."""

    breaks = "lifecycle.says_which_setting_is_missing"

    @hookimpl
    def nsp_startup(self, settings: Mapping[str, Any], resources: Resources) -> None:
        """Read what may be of no use."""
        Path(__file__).read_bytes()
        if "services" not in settings:
            raise NotReadyError("the setting 'services' is missing; give a list of services")
        super().nsp_startup(settings, resources)
