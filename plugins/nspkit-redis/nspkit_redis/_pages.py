"""Lists: a page at a time, each key once, because an index has each path once, and in order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nspkit_redis._layout import entry_of, key_of, range_of
from nspkit_redis._scripts import PAGE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nspkit.registry import Entry, Scope
    from nspkit_redis._layout import Layout
    from nspkit_redis._scripts import Script

    Run = Callable[[Script, list[Any], list[Any]], Any]

_MEMBERS = 500
_BYTES = 1 << 20
"""So many entries are in one page at most, and so many bytes but for the last of them: while a
server makes a page it does nothing else."""


def pages(run: Run, layout: Layout, scope: Scope) -> Iterator[list[Entry]]:
    """Yield what is there, page by page; no page is of the same moment as another."""
    part = range_of(scope)
    least = b"" if part is None else part.least
    while part is not None and least:
        arguments = [layout.stem, part.where, least, part.greatest, _MEMBERS, _BYTES]
        found = run(PAGE, [layout.paths, layout.names], arguments)
        entries = []
        for path, value, left in zip(found[1::3], found[2::3], found[3::3], strict=True):
            key = key_of(path)
            if key is not None:
                entries.append(entry_of(key, value, left))
        yield entries
        least = found[0] and b"(" + found[0]
