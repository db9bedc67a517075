"""What state the modules of a provider have, and whether two of its instances share it."""

from __future__ import annotations

import threading
from collections import Counter, UserDict, UserList, deque
from enum import EnumMeta
from itertools import islice
from types import FunctionType, ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, WeakSet, WeakValueDictionary

from nspkit.testing._own import own_modules
from nspkit.testing._state import attributes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_DEEPEST = 5
_MOST = 200  # of one container are looked into; all of it is compared
# A counter harms nobody, and what is imported or defined late is no state.
_IGNORED = (int, float, complex, ModuleType, FunctionType, type)
# What is a thread's own; what empties itself.
_LEFT_OUT = (threading.local, WeakSet, WeakKeyDictionary, WeakValueDictionary)


class ModuleState:
    """The names and containers of a provider's own modules at one moment.

    Objects are compared by identity, and kept alive for that. What a class of the provider's own
    package holds, or an object of such a class, is looked at like a module. Left out are the class
    of the provider and its bases, weak containers, what is a thread's own, and what others made,
    such as a cache of functools, a logger or a compiled expression.
    """

    def __init__(self, provider: type) -> None:
        self.names: dict[tuple[int, str], tuple[str, object]] = {}
        self.containers: dict[int, tuple[str, Counter[tuple[int, int]]]] = {}
        self.owners: set[int] = set()
        self._kept: list[object] = []
        modules = own_modules(provider)
        self._own = frozenset(modules)
        self._passed_over = set(map(id, provider.__mro__))
        for name, module in modules.items():
            self._look_at_names(name, module, vars(module), 0)

    def _look_at_names(
        self, path: str, owner: object, names: Mapping[str, Any], depth: int
    ) -> None:
        self.owners.add(id(owner))
        self._kept.append(owner)
        for name, value in list(names.items()):
            if not (name.startswith("__") and name.endswith("__")):
                self.names[id(owner), name] = (f"{path}.{name}", value)
                self._look_at(f"{path}.{name}", value, depth + 1)

    def _look_at(self, path: str, value: Any, depth: int) -> None:
        if depth > _DEEPEST or id(value) in self._passed_over:
            return
        if isinstance(value, type):
            if value.__module__ in self._own and not isinstance(value, EnumMeta):
                self._passed_over.add(id(value))
                self._look_at_names(path, value, vars(value), depth)
        elif (entries := _entries(value)) is not None:
            self._passed_over.add(id(value))
            self._look_into(path, value, entries, depth)
        elif self._is_own(value):
            self._passed_over.add(id(value))
            self._look_at_names(path, value, attributes(value), depth)

    def _look_into(
        self, path: str, value: object, entries: list[tuple[object, object]], depth: int
    ) -> None:
        self._kept += [value, entries]
        held = Counter((id(key), 0 if _is_a_count(key, one) else id(one)) for key, one in entries)
        self.containers[id(value)] = (f"{path} ({type(value).__qualname__})", held)
        for key, one in islice(entries, _MOST):
            self._look_at(path if key is None else f"{path}[{key!r:.40}]", one, depth + 1)

    def _is_own(self, value: object) -> bool:
        kind = type(value)
        if isinstance(value, _LEFT_OUT):
            return False
        return kind is SimpleNamespace or kind.__module__ in self._own


def _entries(value: object) -> list[tuple[object, object]] | None:
    """Return what a container holds, with its keys; None for what is none."""
    if isinstance(value, (UserDict, UserList)):
        value = value.data
    if isinstance(value, dict):
        return list(value.items())
    if isinstance(value, (list, tuple, set, deque)):
        return [(None, one) for one in list(value)]
    if isinstance(value, bytearray):
        return [(None, one) for one in value]
    return None


def _is_a_count(key: object, value: object) -> bool:
    return key is not None and isinstance(value, (int, float))


def shared_while_running(before: ModuleState, one: ModuleState, both: ModuleState) -> list[str]:
    """Return the names of what two instances share in the modules of their provider.

    Looked at before, while one ran, and while both ran: a register of those that run is allowed,
    in which each has entries of its own; a counter is allowed, too.
    """
    found = {*_bound_anew(before, one), *_bound_anew(before, both)}
    for path, first, alone, together in _still_there(before, one, both):
        own = alone - first
        # What was there is there still, and so is what the first one put there; the second one has
        # put something there, too, or else it uses what is the first one's.
        if first - alone or first - together or own - together or (own and not together - alone):
            found.add(path)
    return sorted(found)


def changed_in_modules(before: ModuleState, after: ModuleState) -> list[str]:
    """Return the names of what is not as it was before, when all instances are stopped."""
    found = set(_bound_anew(before, after))
    found.update(path for path, first, last in _still_there(before, after) if first != last)
    return sorted(found)


def _still_there(before: ModuleState, *later: ModuleState) -> Iterator[Any]:
    """Yield the path of each container, and what it held at each moment.

    One that is there no more was in something that has changed.
    """
    for key, (path, first) in before.containers.items():
        if all(key in state.containers for state in later):
            yield path, first, *(state.containers[key][1] for state in later)


def _bound_anew(before: ModuleState, later: ModuleState) -> Iterator[str]:
    for (owner, name), (path, value) in later.names.items():
        first = before.names.get((owner, name), ("", None))[1]
        if (
            owner in before.owners
            and first is not value
            and not isinstance(value, _IGNORED)
            and not isinstance(first, _IGNORED)
        ):
            yield path
