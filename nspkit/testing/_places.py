"""Where an author looks: at their own lines, not at nspkit's or the standard library's."""

from __future__ import annotations

import inspect
import os
from pathlib import Path
from typing import TYPE_CHECKING

import nspkit

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType
    from typing import NoReturn

_LIBRARY = Path(os.__file__).parent
_OURS = Path(nspkit.__file__).parent


def is_authors(file: str) -> bool:
    """Say whether a source file is neither nspkit's nor the standard library's."""
    path = Path(file)
    if path.is_relative_to(_OURS) or file.startswith("<"):
        return False
    if not path.is_relative_to(_LIBRARY):
        return True
    return path.relative_to(_LIBRARY).parts[0] in ("site-packages", "dist-packages")


def raise_at(place: type, error: BaseException) -> NoReturn:
    """Raise an error as if the head of a class had done it.

    Of the lines that led to the error, and to those that caused it, the author's remain: from the
    first of them on. A test framework then shows the class, the message and the author's lines.
    """
    __tracebackhide__ = True
    for one in chain(error):
        one.__traceback__ = _authors_part(one.__traceback__)
    head = _head_of(place)
    if head is not None:
        # Where a line of a traceback is, only a code object can say.
        code = compile("raise error", head[0], "exec")
        exec(code.replace(co_firstlineno=head[1], co_name=place.__name__), {"error": error})
    raise error


def debugged(error: BaseException, said: str) -> BaseException:
    """Return the error that a debugger is to show: the one that has lines of the author's.

    Of that one, the message of the broken rule is a note.
    """
    for one in chain(error):
        if _authors_part(one.__traceback__) is not None:
            if one is not error:
                one.add_note(said)
            return one
    return error


def _head_of(place: type) -> tuple[str, int] | None:
    """Return the file and the line in which a class begins; None if it has no source."""
    try:
        file = inspect.getsourcefile(place)
        _lines, number = inspect.getsourcelines(place)
    except (OSError, TypeError):  # made by a program, or typed at a prompt
        return None
    return None if file is None else (file, number)


def chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error, what caused it, and during whose handling it came up, each once."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if one is not None and id(one) not in seen:
            seen.add(id(one))
            yield one
            waiting += [one.__cause__, one.__context__]


def _authors_part(traceback: TracebackType | None) -> TracebackType | None:
    while traceback is not None and not is_authors(traceback.tb_frame.f_code.co_filename):
        traceback = traceback.tb_next
    return traceback
