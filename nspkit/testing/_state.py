"""What state a class has, and what state two of its instances share."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

_CONTAINERS = (list, dict, set, bytearray, deque)
# Who has one of these methods has something to give back.
_ENDS = ("close", "shutdown", "acquire", "terminate")


class _Same:
    """Equal to what holds the same object; that is kept alive, so that no other gets its number."""

    __slots__ = ("_value",)

    def __init__(self, value: object) -> None:
        self._value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self._value is other._value

    def __hash__(self) -> int:
        return id(self._value)


def class_state(cls: type) -> dict[str, Any]:
    """Return the attributes of a class and its bases, as far as they can be compared later."""
    state: dict[str, Any] = {}
    for base in cls.__mro__[:-1]:
        for name, value in vars(base).items():
            if not (name.startswith("__") and name.endswith("__")) and name != "_abc_impl":
                state[f"{base.__qualname__}.{name}"] = (_Same(value), _content(value))
    return state


def contents(instance: object) -> dict[str, Any]:
    """Return what the containers among the attributes of an instance hold now."""
    return {name: _content(value) for name, value in attributes(instance).items()}


def shared_between(
    one: object, two: object, before: dict[str, Any], settings: Mapping[str, Any]
) -> list[str]:
    """Return the names of the attributes in which two instances share what must not be shared.

    ``before`` has what the first one's containers held before the second one was started: one
    that is still the same may well be a constant.
    """
    first, second = attributes(one), attributes(two)
    own = {id(value) for value in _inside(settings)}
    return [
        f"{name} ({type(value).__qualname__})"
        for name, value in first.items()
        if second.get(name) is value
        and id(value) not in own
        and (_is_a_resource(value) or before.get(name) != _content(value))
    ]


def alike(value: Any) -> Any:
    """Return an equal value, made of other objects as far as it is made of plain data."""
    kind = type(value)
    if kind is str:
        return f"{value[:1]}{value[1:]}"
    if kind is dict:
        return {alike(key): alike(one) for key, one in value.items()}
    if kind in (list, tuple, set, frozenset, deque):
        return kind(map(alike, value))
    return value


def _inside(settings: object) -> Iterator[object]:
    yield settings
    values: Iterable[object] = ()
    if isinstance(settings, Mapping):
        values = settings.values()
    elif isinstance(settings, (list, tuple, set)):
        values = settings
    for value in values:
        yield from _inside(value)


def attributes(instance: object) -> dict[str, Any]:
    """Return the attributes of an instance, those in slots too."""
    found = dict(getattr(instance, "__dict__", {}))
    for base in type(instance).__mro__:
        slots = base.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if name not in ("__dict__", "__weakref__") and hasattr(instance, name):
                found[name] = getattr(instance, name)
    return found


def _content(value: object) -> Any:
    if isinstance(value, dict):
        return [(_Same(key), _Same(item)) for key, item in list(value.items())]
    if isinstance(value, (set, frozenset)):
        return {_Same(item) for item in value}
    if isinstance(value, bytearray):
        return bytes(value)
    if isinstance(value, _CONTAINERS):
        return [_Same(item) for item in list(value)]
    return None


def _is_a_resource(value: object) -> bool:
    return not isinstance(value, type) and any(hasattr(type(value), name) for name in _ENDS)
