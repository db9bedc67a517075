"""The names that nspkit promises: sorted, complete, described, and in the reference.

Each guard is a function that returns what is wrong as sentences. One test holds it against this
package, and one shows it a bad example that it must reject.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess
from types import ModuleType
from typing import Any

import pytest

import nspkit

COMMAND_LINE = {"nspkit.cli"}
"""Public as a program, not as names to import."""

COSTLY = {
    "asyncio",
    "concurrent.futures",
    "importlib.metadata",
    "pytest",
    "tomllib",
    "typing_extensions",
}
"""Modules that importing nspkit must not import."""


def public_modules() -> list[str]:
    """The package and its modules that have no underscore."""
    found = [module.name for module in pkgutil.iter_modules(nspkit.__path__, "nspkit.")]
    return ["nspkit", *sorted(name for name in found if "._" not in name and ".__" not in name)]


MODULES = [name for name in public_modules() if name not in COMMAND_LINE]


# The guards -------------------------------------------------------------------------------------


def faults_of_the_list(module: ModuleType) -> list[str]:
    """What is wrong with a module's `__all__`: order, doubles, missing names, names too many."""
    listed = list(getattr(module, "__all__", ()))
    if not listed:
        return [f"{module.__name__} has no __all__"]
    wrong = []
    if listed != sorted(set(listed)):
        wrong.append(f"{module.__name__}.__all__ is not sorted, or has a name twice")
    wrong += [
        f"{module.__name__}.__all__ lists {name}, which is not there"
        for name in listed
        if not hasattr(module, name)
    ]
    wrong += [
        f"{module.__name__}.{name} is public but not in __all__"
        for name, value in sorted(vars(module).items())
        if not name.startswith("_")
        and name not in listed
        and (inspect.isclass(value) or inspect.isroutine(value))
        and str(value.__module__).startswith(module.__name__)
    ]
    return wrong


def fault_of_a_docstring(place: str, value: object) -> Iterator[str]:
    """What is wrong with one docstring: missing, or no full sentence in its first line."""
    text = inspect.getdoc(value)
    if not text:
        yield f"{place} has no docstring"
    elif not re.match(r"(nspkit\b|[^a-z]).*[.?]$", text.splitlines()[0]):
        yield f"{place} does not begin with a full sentence in one line"


def faults_of_docstrings(module: ModuleType) -> list[str]:
    """Public names, and public methods and properties of public classes, without description."""
    wrong = list(fault_of_a_docstring(module.__name__, module))
    for name in getattr(module, "__all__", ()):
        value = getattr(module, name, None)
        place = f"{module.__name__}.{name}"
        if inspect.isroutine(value):
            wrong += fault_of_a_docstring(place, value)
        elif inspect.isclass(value):
            # A class without its own docstring would pass with its base's.
            if not value.__dict__.get("__doc__"):
                wrong.append(f"{place} has no docstring")
                continue
            wrong += fault_of_a_docstring(place, value)
            for member in vars(value):
                found = inspect.getattr_static(value, member)
                if isinstance(found, classmethod | staticmethod):
                    found = found.__func__
                if not member.startswith("_") and (
                    inspect.isfunction(found) or isinstance(found, property)
                ):
                    # Of the class, so that an overridden method may inherit its docstring.
                    described = found if isinstance(found, property) else getattr(value, member)
                    wrong += fault_of_a_docstring(f"{place}.{member}", described)
    return wrong


def names_in_the_reference(pages: list[str]) -> set[str]:
    """The full names that the pages of the reference generate from docstrings."""
    text = "\n".join(pages)
    single = re.findall(
        r"^\.\. (?:auto|py:)(?:class|exception|function|data|decorator):: ([\w.]+)",
        text,
        re.MULTILINE,
    )
    names = set(single)
    for module in re.findall(
        r"^\.\. automodule:: ([\w.]+)\n(?: .*\n)*? +:members:$", text, re.MULTILINE
    ):
        listed = getattr(importlib.import_module(module), "__all__", ())
        names |= {f"{module}.{name}" for name in listed}
    return names


def names_without_reference(module: ModuleType, pages: list[str]) -> list[str]:
    """Public names of a module that no page of the reference describes."""
    described = names_in_the_reference(pages)
    # A name that two modules export has one home in the reference, under either.
    homes = {identity(*path.rpartition(".")[::2]) for path in described}
    return [
        f"{module.__name__}.{name} is not in docs/reference"
        for name in getattr(module, "__all__", ())
        if f"{module.__name__}.{name}" not in described
        and id(getattr(module, name, None)) not in homes
        and name != "__version__"
    ]


def identity(module: str, name: str) -> int | None:
    """The identity of an object by its module and name; nothing where it is not there."""
    holder = importlib.import_module(module)
    return id(getattr(holder, name)) if hasattr(holder, name) else None


def drawn_tree(text: str) -> dict[str, str | None]:
    """Each class of the tree below NspError as it is drawn, and the class above it.

    The tree is what follows a line with that name alone, up to the first line that is no branch.
    """
    tree: dict[str, str | None] = {}
    above: list[tuple[int, str]] = []
    lines = text.splitlines()
    start = next((n for n, line in enumerate(lines) if line.strip() == "NspError"), len(lines))
    for line in lines[start:]:
        branch = re.fullmatch(r"([\s│├└─]*)([A-Z]\w*Error)(?:\s+\(.*\))?\s*", line)
        if not branch:
            break
        depth, name = len(branch[1]), branch[2]
        while above and above[-1][0] >= depth:
            above.pop()
        tree[name] = above[-1][1] if above else None
        above.append((depth, name))
    return tree


def classes_of_the_tree(root: type[BaseException]) -> dict[str, str | None]:
    """Each public class below the root, and the class of the tree that it inherits from."""
    tree: dict[str, str | None] = {root.__name__: None}
    waiting = [root]
    while waiting:
        above = waiting.pop()
        for below in above.__subclasses__():
            if below.__module__.split(".")[0] == root.__module__.split(".")[0]:
                tree[below.__name__] = above.__name__
                waiting.append(below)
    return tree


def costly_imports(
    fresh_python: Callable[..., CompletedProcess[str]], statement: str, costly: set[str]
) -> set[str]:
    """The costly modules that a statement imports, pluggy's own imports not counted."""
    done = fresh_python(
        f"import sys, pluggy\nbefore = set(sys.modules)\n{statement}\n"
        "print(*sorted(set(sys.modules) - before))",
        bare=True,
    )
    return set(done.stdout.split()) & costly


# This package -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def reference(checkout: Path) -> list[str]:
    """The text of every page of the reference."""
    pages = sorted((checkout / "docs/reference").rglob("*.md"))
    return [page.read_text(encoding="utf-8") for page in pages]


@pytest.mark.parametrize("name", MODULES)
def test_names_are_sorted_and_complete(name: str) -> None:
    """`__all__` is what the module promises: no name is missing and none is too many."""
    assert faults_of_the_list(importlib.import_module(name)) == []


@pytest.mark.parametrize("name", MODULES)
def test_names_are_described(name: str) -> None:
    """What is public has a docstring that begins with a full sentence."""
    assert faults_of_docstrings(importlib.import_module(name)) == []


@pytest.mark.parametrize("name", MODULES)
def test_names_are_in_the_reference(name: str, reference: list[str]) -> None:
    """What is public is found by a reader of the reference."""
    assert names_without_reference(importlib.import_module(name), reference) == []


@pytest.mark.parametrize("name", MODULES)
def test_star_import_needs_no_extra(
    name: str, fresh_python: Callable[..., CompletedProcess[str]]
) -> None:
    """`from nspkit import *` works where only the core is installed."""
    absent = ["click", "jinja2", "packaging", "rich", "tomlkit"]
    absent += [] if name == "nspkit.testing" else ["pytest"]
    fresh_python(
        f"import sys\nfor name in {absent}: sys.modules[name] = None\nfrom {name} import *"
    )


def test_the_tree_of_errors_is_drawn_as_it_is() -> None:
    """The drawing on top of nspkit.errors shows every class under its base."""
    errors = importlib.import_module("nspkit.errors")
    assert drawn_tree(errors.__doc__ or "") == classes_of_the_tree(errors.NspError)


def test_every_error_of_the_tree_is_public() -> None:
    """What can be raised can be caught by its name."""
    errors = importlib.import_module("nspkit.errors")
    assert set(classes_of_the_tree(errors.NspError)) <= set(errors.__all__)


def test_importing_is_cheap(fresh_python: Callable[..., CompletedProcess[str]]) -> None:
    """Importing nspkit imports nothing costly; that waits until it is needed."""
    assert costly_imports(fresh_python, "import nspkit", COSTLY) == set()


# Bad examples -----------------------------------------------------------------------------------


class Described:
    """A class that is described."""

    def method(self) -> None:
        """Do something."""


class Inheriting(Described):
    """Describes itself, and inherits the docstring of what it overrides."""

    def method(self) -> None:  # noqa: D102 - what is inherited is what the guard has to accept
        pass


def module_with(**names: Any) -> ModuleType:
    """A module with these names, all of them its own."""
    module = ModuleType("example", "An example.")
    for name, value in names.items():
        if inspect.isclass(value) or inspect.isfunction(value):
            value.__module__ = "example"
        setattr(module, name, value)
    return module


@pytest.mark.parametrize(
    ("listed", "fault"),
    [
        ([], "has no __all__"),
        (["b", "a"], "is not sorted"),
        (["a", "a", "b"], "has a name twice"),
        (["a", "b", "c"], "lists c, which is not there"),
        (["a"], "example.b is public but not in __all__"),
    ],
)
def test_a_bad_list_of_names_is_rejected(listed: list[str], fault: str) -> None:
    """Each fault is told."""
    module = module_with(a=lambda: None, b=lambda: None, __all__=listed)
    assert any(fault in wrong for wrong in faults_of_the_list(module))


def test_names_of_other_packages_need_not_be_listed() -> None:
    """What a module imports for itself is not its promise."""
    module = module_with(a=1, __all__=["a"])
    module.Path = Path  # type: ignore[attr-defined]
    assert faults_of_the_list(module) == []


def test_described_names_pass() -> None:
    """The guard does not cry at what is right."""
    module = module_with(A=Described, B=Inheriting, __all__=["A", "B"])
    assert faults_of_docstrings(module) == []


@pytest.mark.parametrize(
    ("docstring", "fault"),
    [
        (None, "has no docstring"),
        ("", "has no docstring"),
        ("A sentence that goes on\nin the next line.", "does not begin with a full sentence"),
        ("no capital letter.", "does not begin with a full sentence"),
    ],
)
def test_a_bad_docstring_is_rejected(docstring: str | None, fault: str) -> None:
    """Of a function, a class, a method and a property alike."""

    def function() -> None: ...

    function.__doc__ = docstring
    bad = type("Bad", (Described,), {"__doc__": docstring})
    own = type("Own", (), {"__doc__": "One.", "method": function})
    held = type("Held", (), {"__doc__": "One.", "value": property(function)})
    for value in (function, bad, own, held):
        module = module_with(name=value, __all__=["name"])
        assert len(faults_of_docstrings(module)) == 1
        assert fault in faults_of_docstrings(module)[0]


def test_a_name_without_a_reference_is_rejected() -> None:
    """A name in running text is not a description."""
    page = "\n.. autoclass:: nspkit.other\n\nSee {py:class}`nspkit.missing`.\n"
    module = module_with(missing=object(), __all__=["missing"])
    assert names_without_reference(module, [page]) == ["example.missing is not in docs/reference"]


def test_a_whole_module_counts_only_with_its_members() -> None:
    """`automodule` alone describes the module and none of its names."""
    alone = ".. automodule:: json\n\n"
    assert names_in_the_reference([alone]) == set()
    assert "json.loads" in names_in_the_reference([alone.rstrip() + "\n   :members:\n"])


class RootError(Exception):
    """The root of a tree that is an example."""


class LeafError(RootError):
    """A leaf of it."""


@pytest.mark.parametrize(
    "drawing",
    [
        "NspError\n├── OneError\n│   └── TwoError (WSAEINVAL 10022)\n└── ThreeError",
        "    NspError\n      OneError\n        TwoError\n      ThreeError",
    ],
)
def test_a_tree_is_read_with_lines_and_with_spaces(drawing: str) -> None:
    """Depth is what is in front of the name; a sentence about an error is no branch."""
    assert drawn_tree(f"Errors.\n\nNspError is the root.\n\n{drawing}\n\nTwoError\nEnd.") == {
        "NspError": None,
        "OneError": "NspError",
        "TwoError": "OneError",
        "ThreeError": "NspError",
    }


def test_a_tree_that_lacks_a_class_is_told_from_the_classes() -> None:
    """The classes themselves are asked, not a list of them."""
    assert classes_of_the_tree(RootError) == {"RootError": None, "LeafError": "RootError"}
    assert drawn_tree("NspError\n") != classes_of_the_tree(RootError)


def test_a_costly_import_is_rejected(fresh_python: Callable[..., CompletedProcess[str]]) -> None:
    """Also one that comes with another module."""
    assert costly_imports(fresh_python, "import asyncio.events", COSTLY) >= {"asyncio"}
