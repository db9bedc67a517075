"""What counts as state that two instances share in their modules, and what does not."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest

from nspkit.testing._globals import ModuleState, changed_in_modules, shared_while_running
from nspkit.testing._own import own_modules, own_place

BODY = """
import collections, enum, functools, threading, types, weakref

class Provider: seen = []
class Helper:
    kept = []
    def __init__(self): self.things, self.current, self.count = {}, None, 0
class Slotted:
    __slots__ = ("things",)
    def __init__(self): self.things = []
class Own(threading.local): current = None
class Weak(weakref.WeakValueDictionary): pass
class Kinds(enum.Flag): ONE = 1; TWO = 2

entries, things, either, turns = {}, [], set(), collections.deque()
nested, record, text = {"open": {"all": []}}, types.SimpleNamespace(all=[]), bytearray(b"a")
named, users = collections.UserDict(), collections.UserList()
helper, slotted, own, weak = Helper(), Slotted(), Own(), Weak()
current, number, path, function = None, 0, "here", len
constant = [object()]
__private__ = {}
@functools.cache
def cached(key): return [key]
"""


class _Thing:
    """Something that can be referred to."""


@pytest.fixture
def module() -> Iterator[Any]:
    """A module of a provider's."""
    made = ModuleType("own_module_of_a_test")
    sys.modules[made.__name__] = made
    exec(BODY, vars(made))
    yield made
    del sys.modules[made.__name__]


def told(
    module: Any, start: Callable[[Any, Any], object], stop: Callable[[Any, Any], object]
) -> Any:
    """Start one, start the other one, stop both; tell what is shared, without its module."""
    one, two = _Thing(), _Thing()
    before = ModuleState(module.Provider)
    start(module, one)
    alone = ModuleState(module.Provider)
    start(module, two)
    found = shared_while_running(before, alone, ModuleState(module.Provider))
    stop(module, two)
    stop(module, one)
    found += changed_in_modules(before, ModuleState(module.Provider))
    return {path.removeprefix(f"{module.__name__}.") for path in found}


def nothing(_module: Any, _one: Any) -> None:
    """Take nothing back."""


def bind(name: str, make: Callable[[Any], object] = lambda one: one) -> Callable[[Any, Any], None]:
    """Bind a global to what is made for the instance."""
    return lambda module, one: setattr(module, name, make(one))


SHARED: dict[str, tuple[Callable[[Any, Any], object], Callable[[Any, Any], object]]] = {
    "things (list)": (lambda module, one: module.things.append(one), nothing),
    "either (set)": (lambda module, one: module.either.add(one), nothing),
    "turns (deque)": (lambda module, one: module.turns.append(one), nothing),
    "named (UserDict)": (lambda module, one: module.named.update(a=one), nothing),
    "users (UserList)": (lambda module, one: module.users.append(one), nothing),
    "text (bytearray)": (lambda module, _one: module.text.append(1), nothing),
    "nested['open']['all'] (list)": (
        lambda module, one: module.nested["open"]["all"].append(one),
        nothing,
    ),
    "record.all (list)": (lambda module, one: module.record.all.append(one), nothing),
    "Helper.kept (list)": (lambda module, one: module.Helper.kept.append(one), nothing),
    "helper.things (dict)": (lambda module, one: module.helper.things.update(a=one), nothing),
    "slotted.things (list)": (lambda module, one: module.slotted.things.append(one), nothing),
    "helper.current": (lambda module, one: setattr(module.helper, "current", one), nothing),
    "current": (bind("current"), bind("current", lambda _one: None)),
    "path": (bind("path", lambda one: str(id(one))), nothing),
    "new": (bind("new"), nothing),
    # The second one takes away, or takes over, or uses what is the first one's.
    "entries (dict)": (
        lambda module, one: module.entries.update(last=one),
        lambda module, _one: module.entries.clear(),
    ),
    "constant (list)": (
        lambda module, _one: module.constant and kept.append(module.constant.pop()),
        lambda module, _one: kept and module.constant.append(kept.pop()),
    ),
}
kept: list[Any] = []


@pytest.mark.parametrize("path", SHARED)
def test_what_is_shared_is_told_by_its_path(path: str, module: Any) -> None:
    """And nothing else is."""
    assert told(module, *SHARED[path]) == {path}


def test_what_the_first_one_has_put_there_for_all_is_told(module: Any) -> None:
    """Also if it is gone at the end, and the second one has put nothing there."""

    def start(module: Any, one: Any) -> None:
        module.entries.setdefault("client", one)

    assert told(module, start, lambda module, _one: module.entries.clear()) == {"entries (dict)"}


def test_what_is_in_something_that_has_changed_is_not_told_twice(module: Any) -> None:
    """The container that was in it is there no more."""
    assert told(module, bind("nested", lambda one: {"open": [one]}), nothing) == {"nested"}


ALLOWED: dict[str, tuple[Callable[[Any, Any], object], Callable[[Any, Any], object]]] = {
    "a register of those that run": (
        lambda module, one: module.entries.update({id(one): [one]}),
        lambda module, one: module.entries.pop(id(one)),
    ),
    "a list of those that run": (
        lambda module, one: module.things.append(one),
        lambda module, one: module.things.remove(one),
    ),
    "a counter": (lambda module, _one: setattr(module, "number", module.number + 1000), nothing),
    "a counter that begins": (bind("current", lambda _one: 1000), nothing),
    "a counter that ends": (bind("number", lambda _one: None), nothing),
    "a counter of a helper": (
        lambda module, _one: module.helper.__dict__.update(count=1000),
        nothing,
    ),
    "a count by name": (lambda module, one: module.named.update(a=0) or one, nothing),
    "a module that is imported late": (bind("current", lambda _one: sys), nothing),
    "a function that is found late": (bind("current", lambda one: lambda: one), nothing),
    "a cache of functools": (lambda module, one: module.cached(one), nothing),
    "a thread's own": (lambda module, one: setattr(module.own, "current", one), nothing),
    "a weak container": (
        lambda module, one: module.weak.update({id(one): one}),
        lambda module, one: module.weak.pop(id(one)) and None,
    ),
    "a weak container that keeps": (lambda module, one: module.weak.update(a=one), nothing),
    "members of an enumeration": (lambda module, _one: module.Kinds(3), nothing),
    "what Python notes": (lambda module, one: module.__private__.update(a=one), nothing),
    "the class itself, which is looked at apart": (
        lambda module, one: module.Provider.seen.append(one),
        nothing,
    ),
}


@pytest.mark.parametrize("what", ALLOWED)
def test_what_is_allowed_is_not_told(what: str, module: Any) -> None:
    """It is shared, and disturbs nobody."""
    module.named["a"] = 1000
    assert told(module, *ALLOWED[what]) == set()


def test_a_packages_modules_are_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """From the outermost package that has a file; a namespace is many people's."""
    for name, file in (
        ("many_peoples", None),
        ("many_peoples.others", "others/__init__.py"),
        ("many_peoples.mine", "mine/__init__.py"),
        ("many_peoples.mine.deep", "mine/deep/__init__.py"),
        ("many_peoples.mine.deep.module", "mine/deep/module.py"),
    ):
        made = ModuleType(name)
        if file is None or "__init__" in file:
            made.__path__ = []
        if file is not None:
            made.__file__ = str(tmp_path / file)
        monkeypatch.setitem(sys.modules, name, made)
    provider = type("Provider", (), {"__module__": "many_peoples.mine.deep.module"})
    assert list(own_modules(provider)) == [
        "many_peoples.mine",
        "many_peoples.mine.deep",
        "many_peoples.mine.deep.module",
    ]
    assert own_place(provider) == str(tmp_path / "mine")


def test_a_module_by_itself_is_its_own(module: Any) -> None:
    """It has a file, or was made by a program."""
    assert list(own_modules(module.Provider)) == [module.__name__]
    assert own_place(module.Provider) == ""
    module.__file__ = "mine.py"
    assert own_place(module.Provider) == "mine.py"


def test_the_host_is_nobodys_own() -> None:
    """A provider of nspkit's has its one module."""
    from nspkit.testing import MemoryProvider

    assert list(own_modules(MemoryProvider)) == [MemoryProvider.__module__]
