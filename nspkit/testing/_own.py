"""Which modules are a provider's own: those of the package that its class is in."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import ModuleType


def own_modules(provider: Any) -> dict[str, ModuleType]:
    """Return the imported modules of the package that a class is in, by name.

    A class of nspkit itself has only the module that it is in: the host is nobody's own.
    """
    name = provider.__module__
    top = _top(name)
    if top == "nspkit":
        return {name: sys.modules[name]}
    return {
        one: module
        for one, module in sorted(sys.modules.items())
        if one == top or one.startswith(f"{top}.")
    }


def own_place(provider: Any) -> str:
    """Return the folder of a class's package, or the file of its module; "" if it has neither."""
    module = sys.modules.get(_top(provider.__module__))
    file = getattr(module, "__file__", None)
    if file is None:
        return ""
    return str(Path(file).parent) if hasattr(module, "__path__") else file


def _top(name: str) -> str:
    """Return the outermost package of a module; one without a file may be many people's."""
    parts = name.split(".")
    for count in range(1, len(parts)):
        parent = ".".join(parts[:count])
        if getattr(sys.modules.get(parent), "__file__", None) is not None:
            return parent
    return name
