"""What refers to an object, in words: why it cannot be collected."""

from __future__ import annotations

import gc
import inspect
import sys
from types import FrameType, MethodType, ModuleType
from typing import Any

_DEPTH = 3
_MOST = 5


def holders(one: object, *, ignored: list[Any], depth: int = _DEPTH) -> str:
    """Return what refers to an object, as the end of a sentence.

    ``ignored`` holds the objects that are asked about, and is no reason to live.
    """
    found: list[str] = []
    referrers = _referrers(one)
    while referrers:
        referrer = referrers.pop()  # so that the list is not among what refers to it
        if referrer is ignored or referrer is one or _is_the_kits(referrer):
            continue
        text = _described(referrer, one, ignored=ignored, depth=depth)
        if text not in found:
            found.append(text)
    if not found:
        return "something that Python does not show, such as a C library, atexit or a fork handler"
    more = f" and {len(found) - _MOST} more" if len(found) > _MOST else ""
    return ", ".join(found[:_MOST]) + more


def _referrers(one: object) -> list[Any]:
    """Return what refers to it, also where somebody has frozen what there was: see `gc.freeze`."""
    frozen = gc.get_freeze_count()
    gc.unfreeze()
    try:
        return gc.get_referrers(one)[::-1]
    finally:
        if frozen:
            gc.freeze()


def _described(referrer: object, one: object, *, ignored: list[Any], depth: int) -> str:
    if isinstance(referrer, FrameType):
        code = referrer.f_code
        return f"a call of {code.co_qualname} at {code.co_filename}:{referrer.f_lineno}"
    if isinstance(referrer, MethodType):
        text = f"its method {referrer.__name__}"
        return f"{text} (held by {holders(referrer, ignored=ignored, depth=depth - 1)})"
    if isinstance(referrer, dict):
        return _in_a_dict(referrer, one, ignored=ignored, depth=depth)
    if isinstance(referrer, ModuleType):
        return f"the module {referrer.__name__}"
    name = _attribute(referrer, one)
    kind = type(referrer).__qualname__
    text = f"the attribute {name} of a {kind}" if name else f"a {kind}"
    if depth > 1 and (not name or kind in ("cell", "list", "tuple", "set", "deque")):
        return f"{text} (held by {holders(referrer, ignored=ignored, depth=depth - 1)})"
    return text


def _in_a_dict(referrer: dict[Any, Any], one: object, *, ignored: list[Any], depth: int) -> str:
    key = next((key for key, value in list(referrer.items()) if value is one), None)
    for module in list(sys.modules.values()):
        if getattr(module, "__dict__", None) is referrer:
            return f"the global {key} of the module {module.__name__}"
    text = f"a dict under {key!r:.60}"
    if depth > 1:
        return f"{text} (held by {holders(referrer, ignored=ignored, depth=depth - 1)})"
    return text


def _attribute(referrer: object, one: object) -> str | None:
    try:
        names = [*vars(referrer)]
    except TypeError:
        names = [name for name in getattr(type(referrer), "__slots__", ()) if name != "__dict__"]
    for name in names:
        if inspect.getattr_static(referrer, name, None) is one:
            return name
    return None


def _is_the_kits(referrer: object) -> bool:
    if not isinstance(referrer, FrameType):
        return False
    return referrer.f_code.co_filename in (__file__, __file__.replace("_referrers", "_leaks"))
