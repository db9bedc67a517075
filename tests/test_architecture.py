"""The layers of the core, read from docs/explanation/architecture.md, and what keeps them apart.

Each guard is a function that returns what is wrong as sentences. One test holds it against this
repository, and one shows it a small bad tree that it must reject.
"""

from __future__ import annotations

import ast
import importlib.util
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

MOST_LINES = 340
MOST_LINES_OF_A_FUNCTION = 40
ALLOWED_EVERYWHERE = frozenset(sys.stdlib_module_names) | {"typing_extensions"}


# Reading the table ------------------------------------------------------------------------------


class Row(NamedTuple):
    """One row of the table of layers."""

    layer: int
    file: str
    own: str
    others: str


class Import(NamedTuple):
    """One name that a file imports from a module; no name where the module itself is imported."""

    module: str
    name: str
    line: int


def read_table(page: str) -> dict[str, Row]:
    """The rows of the table of layers, by the name of the module or package inside nspkit."""
    rows = {}
    for line in page.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if line.startswith("| ") and len(cells) == 5 and cells[0].isdecimal():
            row = Row(int(cells[0]), cells[1].strip("`"), cells[3], cells[4])
            rows[unit_of(row.file)] = row
    return rows


def unit_of(file: str) -> str:
    """The name in the table for a path inside nspkit: a module, or the folder that holds it."""
    return file.split("/", maxsplit=1)[0].removesuffix(".py")


def listed(cell: str) -> list[str]:
    """The entries of one cell; a dash means none."""
    return [entry.strip().strip("`") for entry in cell.split(",") if entry.strip() not in "–-"]


def allowed_units(row: Row, table: dict[str, Row]) -> set[str]:
    """The modules of nspkit, by name, that the row allows."""
    allowed = {unit_of(row.file)}
    for entry in listed(row.own):
        layers = re.fullmatch(r"(\d)(?:–(\d))?", entry)
        if layers:
            first, last = int(layers[1]), int(layers[2] or layers[1])
            # A range never opens a file's own layer, even if somebody writes it so.
            allowed |= {
                unit
                for unit, other in table.items()
                if first <= other.layer <= last and other.layer < row.layer
            }
        elif entry != "public":
            allowed.add(entry)
    return allowed


# Reading the sources ----------------------------------------------------------------------------


def sources(folder: Path) -> Iterator[Path]:
    """Every Python file below a folder, in order."""
    return iter(sorted(folder.rglob("*.py")))


def imports_of(path: Path) -> Iterator[Import]:
    """Every import of a file, wherever it stands in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, "", node.lineno)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            for alias in node.names:
                yield Import(module, alias.name, node.lineno)


def target_unit(found: Import, package: Path) -> str:
    """The module of nspkit that an import reaches; `__init__` for a name of the package itself."""
    parts = found.module.split(".")[1:]
    if parts:
        return parts[0]
    is_module = (package / f"{found.name}.py").exists() or (package / found.name).is_dir()
    return found.name if found.name and is_module else "__init__"


def is_private(found: Import) -> bool:
    """Whether an import reaches into a module, or takes a name, that has an underscore."""
    names = [*found.module.split("."), found.name]
    return any(name.startswith("_") and not name.startswith("__") for name in names)


# The guards -------------------------------------------------------------------------------------


def files_without_row(package: Path, table: dict[str, Row]) -> list[str]:
    """Files and folders of the package that the table lacks."""
    units = {unit_of(path.relative_to(package).as_posix()): path for path in sources(package)}
    return [
        f"{unit} is not in the table of layers; add its row to docs/explanation/architecture.md"
        for unit in sorted(units)
        if unit not in table
    ]


def rows_without_file(package: Path, table: dict[str, Row]) -> list[str]:
    """Rows of the table for what is not there: a page that names it would mislead."""
    return [
        f"{row.file} is in the table of layers, but not in nspkit/"
        for row in table.values()
        if not (package / row.file).exists()
    ]


def rows_without_sense(table: dict[str, Row]) -> list[str]:
    """Rows that allow an import upwards, or a file that has no row."""
    wrong = []
    for row in table.values():
        for entry in listed(row.own):
            if entry == "public" or entry[0].isdecimal():
                continue
            if entry not in table:
                wrong.append(f"{row.file} may import {entry}, which has no row")
            elif table[entry].layer > row.layer:
                wrong.append(f"{row.file} may import {entry}, which is in a higher layer")
    return wrong


def circles(table: dict[str, Row]) -> list[str]:
    """Files of one layer that the table lets import each other, directly or around."""
    within = {
        unit: {
            other
            for other in allowed_units(row, table) - {unit}
            if other in table and table[other].layer == row.layer
        }
        for unit, row in table.items()
    }
    wrong = []
    for start in table:
        reached: set[str] = set()
        waiting = list(within[start])
        while waiting:
            unit = waiting.pop()
            if unit not in reached:
                reached.add(unit)
                waiting.extend(within[unit])
        if start in reached:
            wrong.append(f"{start} may import itself through files of its own layer")
    return wrong


def wrong_import(found: Import, row: Row, package: Path, table: dict[str, Row]) -> str | None:
    """What is wrong with one import of a file in that row, or nothing."""
    top = found.module.split(".")[0]
    if found.module.startswith("."):
        return "imports are absolute"
    if top in ALLOWED_EVERYWHERE or top in listed(row.others):
        return None
    if top != package.name:
        return f"its row does not allow {top}"
    unit = target_unit(found, package)
    if unit in allowed_units(row, table):
        return None
    if "public" in listed(row.own):
        return "only public names are allowed here" if is_private(found) else None
    return f"its row, layer {row.layer}, does not allow {unit}"


def imports_against_the_table(package: Path, table: dict[str, Row]) -> list[str]:
    """Imports that the row of their file does not allow."""
    wrong = []
    for path in sources(package):
        file = path.relative_to(package).as_posix()
        row = table.get(unit_of(file))
        for found in imports_of(path) if row else ():
            reason = wrong_import(found, row, package, table)
            if reason:
                wrong.append(f"{file}:{found.line} imports {found.module} {found.name}: {reason}")
    return wrong


def touches_hooks(node: ast.AST) -> bool:
    """Whether a node reaches for a hook of a plugin manager, by name or by `getattr`."""
    if isinstance(node, ast.Attribute):
        holder = node.value if node.attr.startswith("nsp_") else None
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        holder = node.args[0] if node.func.id == "getattr" and node.args else None
    else:
        holder = None
    return isinstance(holder, ast.Attribute) and holder.attr == "hook"


def hooks_called_elsewhere(package: Path) -> list[str]:
    """Uses of a plugin manager's hooks outside `_provider.py`."""
    return [
        f"{path.name}:{node.lineno} touches a hook; hooks are called in _provider.py only"
        for path in sources(package)
        if path.name != "_provider.py"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.expr) and touches_hooks(node)
    ]


def unmeasured_elsewhere(package: Path) -> list[str]:
    """Where NotImplementedError is raised outside the specifications, whose bodies never run.

    The measurement of coverage leaves such lines out.
    """
    return [
        f"{path.name}:{node.lineno} raises NotImplementedError; only a specification's body may"
        for path in sources(package)
        if path.name != "hookspecs.py"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Raise) and "NotImplementedError" in ast.unparse(node)
    ]


def files_too_long(*folders: Path) -> list[str]:
    """Files with more lines than one concept needs."""
    counted = (
        (path, len(path.read_text(encoding="utf-8").splitlines()))
        for folder in folders
        for path in sources(folder)
    )
    return [
        f"{path.name} has {count} lines, more than {MOST_LINES}; split it by concept"
        for path, count in counted
        if count > MOST_LINES
    ]


def functions_too_long(package: Path) -> list[str]:
    """Functions with too many lines, their docstring not counted."""
    wrong = []
    for path in sources(package):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            body = node.body[1:] if ast.get_docstring(node) is not None else node.body
            lines = (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0
            if lines > MOST_LINES_OF_A_FUNCTION:
                wrong.append(f"{path.name}:{node.lineno} {node.name} has {lines} lines")
    return wrong


class Plugin(NamedTuple):
    """What one folder of plugins/ brings."""

    folder: Path
    modules: frozenset[str]
    short_names: frozenset[str]
    names: frozenset[str]


def read_plugins(folder: Path) -> list[Plugin]:
    """The distributions below plugins/, from their pyproject.toml."""
    found = []
    for file in sorted(folder.glob("*/pyproject.toml")):
        project = tomllib.loads(file.read_text(encoding="utf-8"))["project"]
        points: dict[str, str] = {}
        for group in project.get("entry-points", {}).values():
            points |= group
        modules = {value.partition(":")[0].split(".")[0] for value in points.values()}
        classes = {value.partition(":")[2] for value in points.values()} - {""}
        found.append(
            Plugin(
                file.parent,
                frozenset(modules),
                frozenset(points),
                frozenset(modules | classes | {project["name"]}),
            )
        )
    return found


def plugins_named_in_the_core(package: Path, plugins: list[Plugin]) -> list[str]:
    """Places of the core that know a plugin by name."""
    names = sorted(name for plugin in plugins for name in plugin.names)
    short_names = {name for plugin in plugins for name in plugin.short_names}
    wrong = []
    for path in sources(package):
        text = path.read_text(encoding="utf-8")
        wrong += [
            f"{path.name} names {name}, a plugin"
            for name in names
            if re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text)
        ]
        wrong += [
            f"{path.name}:{node.lineno} has the short name of a plugin as a string: {node.value!r}"
            for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.Constant) and node.value in short_names
        ]
    return wrong


def plugins_against_the_rules(plugins: list[Plugin]) -> list[str]:
    """Imports of plugins that reach into nspkit's private parts, or into another plugin."""
    wrong = []
    for plugin in plugins:
        foreign = {name for other in plugins for name in other.modules} - plugin.modules
        for path in sources(plugin.folder):
            place = path.relative_to(plugin.folder.parent).as_posix()
            for found in imports_of(path):
                top = found.module.split(".")[0]
                if top == "nspkit" and is_private(found):
                    wrong.append(f"{place}:{found.line} imports a private part of nspkit")
                if top in foreign:
                    wrong.append(f"{place}:{found.line} imports {top}, another plugin")
    return wrong


# This repository --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def package() -> Path:
    """The nspkit that is tested: the tree or an installed wheel."""
    spec = importlib.util.find_spec("nspkit")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


@pytest.fixture(scope="module")
def table(checkout: Path) -> dict[str, Row]:
    """The table of layers as the architecture page has it."""
    page = checkout / "docs/explanation/architecture.md"
    return read_table(page.read_text(encoding="utf-8"))


def test_the_table_has_every_layer(table: dict[str, Row]) -> None:
    """A table that cannot be read would let everything pass."""
    assert {row.layer for row in table.values()} == set(range(7))


def test_every_file_is_in_the_table(package: Path, table: dict[str, Row]) -> None:
    """A file without a row has no layer."""
    assert files_without_row(package, table) == []


def test_every_row_has_its_file(package: Path, table: dict[str, Row]) -> None:
    """The page describes what there is."""
    assert rows_without_file(package, table) == []


def test_the_table_allows_no_import_upwards(table: dict[str, Row]) -> None:
    """A row by name is an exception within a layer, not a way up."""
    assert rows_without_sense(table) == []


def test_the_table_allows_no_circle(table: dict[str, Row]) -> None:
    """Files of one layer that are allowed to import each other still have an order."""
    assert circles(table) == []


def test_imports_go_down_only(package: Path, table: dict[str, Row]) -> None:
    """Every import is one that the row of its file allows."""
    assert imports_against_the_table(package, table) == []


def test_the_table_lets_two_files_know_pluggy(table: dict[str, Row]) -> None:
    """A change of pluggy is a change of two files."""
    knowing = {row.file for row in table.values() if "pluggy" in listed(row.others)}
    assert knowing == {"hookspecs.py", "_provider.py"}


def test_the_core_depends_on_nothing_else(table: dict[str, Row]) -> None:
    """Layers 0 to 5 need pluggy and typing-extensions only."""
    others = {name for row in table.values() if row.layer < 6 for name in listed(row.others)}
    assert others <= {"pluggy"}


def test_hooks_are_called_in_one_file(package: Path) -> None:
    """Foreign code is called where its errors are translated."""
    assert hooks_called_elsewhere(package) == []


def test_no_coverage_is_missed_but_that_of_specifications(package: Path) -> None:
    """A body that pluggy never calls is no line without a test; any other one is."""
    assert unmeasured_elsewhere(package) == []


def test_files_are_short(package: Path, checkout: Path) -> None:
    """A file is one concept; so are a plugin's."""
    plugins = [plugin.folder for plugin in read_plugins(checkout / "plugins")]
    assert files_too_long(package, *plugins) == []


def test_functions_are_short(package: Path) -> None:
    """A function fits on a screen."""
    assert functions_too_long(package) == []


def test_no_plugin_is_named_in_the_core(package: Path, checkout: Path) -> None:
    """Adding or removing a plugin changes nothing in the core."""
    assert plugins_named_in_the_core(package, read_plugins(checkout / "plugins")) == []


def test_plugins_use_public_names_only(checkout: Path) -> None:
    """A bundled provider has no more rights than a third party's."""
    assert plugins_against_the_rules(read_plugins(checkout / "plugins")) == []


# Bad examples -----------------------------------------------------------------------------------

BAD_TABLE = """
| layer | file | owns | from nspkit | from others |
| --- | --- | --- | --- | --- |
| 0 | `errors.py` | errors | – | – |
| 1 | `_model.py` | values | 0 | – |
| 1 | `_other.py` | something | 0–1 | – |
| 2 | `_host.py` | the host | 0–1 | pluggy |
| 6 | `cli/` | commands | public | click |
"""


def tree(folder: Path, **files: str) -> Path:
    """A package named nspkit with these files; two underscores stand for a slash."""
    package = folder / "nspkit"
    for name, text in files.items():
        path = package / (name.replace("__", "/") + ".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return package


def test_a_file_without_a_row_is_rejected(tmp_path: Path) -> None:
    """The guard names the file."""
    package = tree(tmp_path, errors="", _new="")
    [wrong] = files_without_row(package, read_table(BAD_TABLE))
    assert wrong.startswith("_new is not in the table")


def test_a_folder_without_a_row_is_rejected(tmp_path: Path) -> None:
    """A file in a folder is found too."""
    package = tree(tmp_path, tools__deep="")
    [wrong] = files_without_row(package, read_table(BAD_TABLE))
    assert wrong.startswith("tools is not in the table")


def test_a_row_without_a_file_is_rejected(tmp_path: Path) -> None:
    """Also one for a folder."""
    package = tree(tmp_path, errors="", _model="", _other="")
    assert [wrong.split()[0] for wrong in rows_without_file(package, read_table(BAD_TABLE))] == [
        "_host.py",
        "cli/",
    ]


@pytest.mark.parametrize(
    ("file", "line"),
    [
        pytest.param("errors", "from nspkit._model import Query", id="upwards"),
        pytest.param("errors", "import nspkit._model", id="upwards as a module"),
        pytest.param("errors", "from nspkit import _model", id="upwards from the package"),
        pytest.param("errors", "from nspkit import Query", id="from the public names"),
        pytest.param("_model", "from nspkit._other import x", id="sideways"),
        pytest.param("_other", "from nspkit._model import x", id="sideways by a range"),
        pytest.param("_model", "from .errors import NspError", id="relative"),
        pytest.param("_model", "def late():\n    from nspkit import _host", id="in a function"),
        pytest.param(
            "_model",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import nspkit._host",
            id="for type checkers",
        ),
        pytest.param("_model", "import pluggy", id="a package that the row lacks"),
        pytest.param("_model", "from pluggy._manager import x", id="a part of one"),
        pytest.param("cli__main", "from nspkit._host import Host", id="private module"),
        pytest.param("cli__main", "from nspkit import _host", id="private module by name"),
        pytest.param("cli__main", "from nspkit.errors import _table", id="private name"),
    ],
)
def test_an_import_against_the_table_is_rejected(tmp_path: Path, file: str, line: str) -> None:
    """Every way to write a forbidden import is found."""
    package = tree(tmp_path, errors="", _model="", _other="", _host="", cli__main="")
    tree(tmp_path, **{file: line})
    assert len(imports_against_the_table(package, read_table(BAD_TABLE))) == 1


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("_model", "from nspkit.errors import NspError"),
        ("_model", "from nspkit import errors"),
        ("_host", "import pluggy, uuid, typing_extensions"),
        ("_host", "from nspkit._other import x"),
        ("cli__main", "from nspkit import Host, __version__"),
        ("cli__main", "import click\nfrom nspkit.cli._table import _draw"),
    ],
)
def test_an_import_that_the_table_allows_passes(tmp_path: Path, file: str, line: str) -> None:
    """The guard does not cry at what is right."""
    package = tree(tmp_path, errors="", _model="", _other="", _host="", cli___table="")
    tree(tmp_path, **{file: line})
    assert imports_against_the_table(package, read_table(BAD_TABLE)) == []


def test_a_row_that_allows_an_import_upwards_is_rejected() -> None:
    """A name in a row cannot open a higher layer, nor a file that is not there."""
    table = read_table(BAD_TABLE.replace("values | 0 |", "values | 0, `_host`, `_gone` |"))
    assert rows_without_sense(table) == [
        "_model.py may import _host, which is in a higher layer",
        "_model.py may import _gone, which has no row",
    ]


def test_a_circle_in_the_table_is_rejected() -> None:
    """Two files of a layer that may import each other have no order."""
    text = BAD_TABLE.replace("values | 0 |", "values | 0, `_other` |")
    assert circles(read_table(text)) == []
    text = text.replace("something | 0–1 |", "something | 0, `_model` |")
    assert len(circles(read_table(text))) == 2


@pytest.mark.parametrize(
    "line",
    ["manager.hook.nsp_ioctl()", "call = self.manager.hook.nsp_ioctl", "getattr(m.hook, n)()"],
)
def test_a_hook_called_outside_of_the_provider_is_rejected(tmp_path: Path, line: str) -> None:
    """The guard tells file and line; a field that is only named so is none."""
    package = tree(tmp_path, _host=f"print(part.hook)\n{line}", _provider=line)
    [wrong] = hooks_called_elsewhere(package)
    assert wrong.startswith("_host.py:2 ")


def test_a_line_that_escapes_the_measurement_is_rejected(tmp_path: Path) -> None:
    """Whatever its form."""
    body = "def f():\n    raise NotImplementedError"
    package = tree(tmp_path, hookspecs=body, _host=f"{body}\n", _part=f"{body}('x')\n", errors="")
    wrong = unmeasured_elsewhere(package)
    assert [one.split()[0] for one in wrong] == ["_host.py:2", "_part.py:2"]


def test_a_long_file_is_rejected(tmp_path: Path) -> None:
    """One line more than allowed is too much."""
    package = tree(tmp_path, good="x = 1\n" * MOST_LINES, bad="x = 1\n" * (MOST_LINES + 1))
    assert [wrong.split()[0] for wrong in files_too_long(package)] == ["bad.py"]


def test_a_long_function_is_rejected(tmp_path: Path) -> None:
    """Its docstring does not count, its body does."""
    head = 'def f():\n    """One.\n\n    Two.\n    """\n'
    body = "    x = 1\n"
    package = tree(
        tmp_path,
        good=head + body * MOST_LINES_OF_A_FUNCTION,
        bad=head + body * (MOST_LINES_OF_A_FUNCTION + 1),
    )
    assert [wrong.split(":")[0] for wrong in functions_too_long(package)] == ["bad.py"]


def plugin_tree(folder: Path, name: str, source: str) -> Path:
    """A plugin's folder with one module and one entry point; the folder that holds them all."""
    module = f"nspkit_{name}"
    own = folder / "plugins" / f"nspkit-{name}"
    own.mkdir(parents=True)
    (own / "pyproject.toml").write_text(
        f'[project]\nname = "nspkit-{name}"\n'
        f'[project.entry-points."nspkit.providers"]\n{name} = "{module}:{name.title()}Provider"\n',
        encoding="utf-8",
    )
    (own / f"{module}.py").write_text(source, encoding="utf-8")
    return own.parent


@pytest.mark.parametrize(
    "line",
    [
        "import nspkit_disk",
        "# as nspkit-disk does",
        'NAME = "disk"',
        '"""Like DiskProvider."""',
    ],
)
def test_a_plugin_named_in_the_core_is_rejected(tmp_path: Path, line: str) -> None:
    """Module, distribution, class and short name are all names."""
    plugins = read_plugins(plugin_tree(tmp_path, "disk", ""))
    package = tree(tmp_path, _host=line)
    assert len(plugins_named_in_the_core(package, plugins)) == 1


def test_a_word_that_only_contains_a_plugins_name_passes(tmp_path: Path) -> None:
    """Short names are ordinary words."""
    plugins = read_plugins(plugin_tree(tmp_path, "disk", ""))
    package = tree(tmp_path, _host='"""Reads a disk."""\nx = "disks"\n# nspkit-disk-more')
    assert plugins_named_in_the_core(package, plugins) == []


@pytest.mark.parametrize(
    "line",
    [
        "from nspkit._model import Query",
        "from nspkit import _model",
        "import nspkit._host",
        "from nspkit.errors import _table",
        "import nspkit_memory",
        "def late():\n    from nspkit_memory import x",
    ],
)
def test_a_plugin_that_reaches_too_far_is_rejected(tmp_path: Path, line: str) -> None:
    """Private parts and other plugins are both out of reach."""
    plugin_tree(tmp_path, "memory", "from nspkit import Query, __version__\nimport nspkit_memory")
    folder = plugin_tree(tmp_path, "disk", line)
    assert len(plugins_against_the_rules(read_plugins(folder))) == 1
