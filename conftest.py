"""Runs the Python blocks of README.md, docs/ and the plugins' READMEs as tests.

It is here and not in tests/, because pytest asks a conftest.py only about files below its folder.
The blocks of one page share their names, from top to bottom, and run in an empty folder.
"""

from __future__ import annotations

import contextlib
import gc
import tempfile
from typing import Any

from sybil import Sybil
from sybil.parsers.myst import PythonCodeBlockParser

# One page at a time: pytest finishes with a file before it begins the next.
_STACK = "_page"


def _enter_page(namespace: dict[str, Any]) -> None:
    stack = namespace[_STACK] = contextlib.ExitStack()
    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="nspkit-page-"))
    stack.enter_context(contextlib.chdir(folder))


def _leave_page(namespace: dict[str, Any]) -> None:
    stack = namespace.pop(_STACK)
    namespace.clear()
    stack.close()


def pytest_collection_finish() -> None:
    """Leave what the suite itself consists of out of garbage collections.

    Hundreds of tests ask for one, and with six thousand tests in memory each would take a fifth of
    a second.
    """
    gc.collect()
    gc.freeze()


pytest_collect_file = Sybil(
    parsers=[PythonCodeBlockParser()],
    patterns=["*.md"],
    setup=_enter_page,
    teardown=_leave_page,
).pytest()
