"""The command line: the program ``nspkit`` and its commands.

It uses public names of nspkit only, as any application does. What it promises is the program, its
exit statuses and its JSON, described in the reference; the modules here are no API.
"""

from __future__ import annotations

from importlib.util import find_spec

# What is costly in it is imported only when something is coloured; here it has to be known that
# it is there, so that one message can name whatever is missing.
import rich  # noqa: F401

from nspkit.cli._program import main

for _name in ("jinja2", "packaging", "tomlkit"):  # costly as a whole, and needed by few commands
    if find_spec(_name) is None:
        raise ModuleNotFoundError(f"No module named {_name!r}", name=_name)

__all__ = ["main"]
