"""A provider with another GUID each time."""

import uuid

from nspkit import Namespace, ProviderInfo
from nspkit.testing import MemoryProvider


class Provider(MemoryProvider):
    """Computes its GUID."""

    breaks = "import.guid_is_literal"

    info = ProviderInfo(uuid.uuid4(), "rolls", Namespace(21330), "0.1.0")
