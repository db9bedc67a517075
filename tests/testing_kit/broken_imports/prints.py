"""A provider whose module says hello."""

from nspkit.testing import MemoryProvider

print("hello")  # noqa: T201  # that is what is wrong here


class Provider(MemoryProvider):
    """Prints when it is imported."""

    breaks = "import.comes_by_name"
