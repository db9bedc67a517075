"""A provider whose module reads a file."""

from pathlib import Path

from nspkit.testing import MemoryProvider

TEXT = Path(__file__).read_text()


class Provider(MemoryProvider):
    """Opens a file when it is imported."""

    breaks = "import.import_does_nothing"
