"""A provider whose module imports what only its users need."""

import iniconfig

from nspkit.testing import MemoryProvider


class Provider(MemoryProvider):
    """Imports a package of others when it is imported."""

    breaks = "import.no_package_before_the_start"

    parser = iniconfig.IniConfig
