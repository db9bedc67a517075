"""The command line: ``nspkit lookup``, ``providers``, ``show`` and ``errors``.

It uses public names of nspkit only, as any application does. What it promises is the program, its
exit statuses and its JSON, described in the reference; the modules here are no API.
"""

from __future__ import annotations

# What is costly in it is imported only when something is coloured; here it has to be known that
# it is there, so that one message can name whatever is missing.
import rich  # noqa: F401

from nspkit.cli._program import main

__all__ = ["main"]
