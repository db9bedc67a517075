"""What is left to garbage collection: files, sockets and the like that nobody has closed."""

from __future__ import annotations

import contextlib
import gc
import warnings
from typing import TYPE_CHECKING

from nspkit.testing._places import is_authors

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def unclosed() -> Iterator[list[str]]:
    """Hear each ResourceWarning of a block, and of a garbage collection at its end.

    The list is filled when the block has ended: what Python says of each thing, and the line of
    the author's where the last one who knew it forgot it. Where it was opened cannot be told:
    Python's tracemalloc takes what is put into a warning for something new.
    """
    gc.collect()  # what somebody else has left is not of this block
    told: list[str] = []
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always", ResourceWarning)
        yield told
        gc.collect()
    told += [_described(one) for one in heard if issubclass(one.category, ResourceWarning)]


@contextlib.contextmanager
def unheard() -> Iterator[None]:
    """Have nobody hear of what a block leaves to garbage collection.

    Where a fault strikes between two lines, that is all that Python can do for what was open; and
    an author's tests may well make errors of warnings.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        try:
            yield
        finally:
            gc.collect()


def _described(heard: warnings.WarningMessage) -> str:
    if is_authors(heard.filename):
        return f"{heard.message}, forgotten at {heard.filename}:{heard.lineno}"
    return str(heard.message)
