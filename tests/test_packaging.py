"""What is built and what it says of itself: wheel, sdist, pyproject.toml, README's commands.

Each guard is a function that returns what is wrong as sentences. One test holds it against this
repository, and one shows it a bad example that it must reject.
"""

from __future__ import annotations

import importlib.metadata
import os
import re
import subprocess
import tarfile
import tomllib
import zipfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import nspkit

RUNTIME = {"pluggy", "typing-extensions"}
COMMAND_LINE = {"click", "jinja2", "packaging", "rich", "tomlkit"}
PLUGIN = "nspkit_pytest.py"
"""The plugin for pytest: beside the package, so that loading it does not import nspkit."""

BESIDE_THE_PACKAGE = {"LICENSE", "PKG-INFO", "README.md", "pyproject.toml", ".gitignore", PLUGIN}
"""What an sdist may hold beside the package; the back end adds .gitignore by itself."""

ENVIRONMENT = "python3 -m venv .venv && .venv/bin/pip install"
COMMANDS = [
    f'{ENVIRONMENT} ".[cli]" ./plugins/* && .venv/bin/nspkit lookup localhost',
    f'{ENVIRONMENT} ".[test]" ./plugins/* && .venv/bin/pytest',
]
"""README's two commands: the one that runs the main job, and the one that passes the tests."""


# The guards -------------------------------------------------------------------------------------


def strangers_in_the_wheel(names: Iterable[str], version: str) -> list[str]:
    """Files of a wheel that are neither the package nor the plugin for pytest nor metadata."""
    own = ("nspkit/", f"nspkit-{version}.dist-info/")
    return [name for name in names if not name.startswith(own) and name != PLUGIN]


def strangers_in_the_sdist(names: Iterable[str], version: str) -> list[str]:
    """Files of an sdist that are neither the package nor what builds it."""
    top = f"nspkit-{version}/"
    return [
        name
        for name in names
        if not name.startswith(f"{top}nspkit/") and name.removeprefix(top) not in BESIDE_THE_PACKAGE
    ]


def missing_from(names: Iterable[str], package: Path, prefix: str = "") -> list[str]:
    """Files of the package that an archive lacks."""
    own = {
        f"{prefix}nspkit/{path.relative_to(package).as_posix()}"
        for path in package.rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    return sorted(own - set(names))


def requirement_name(requirement: str) -> str:
    """The name of the distribution that a requirement asks for."""
    found = re.match(r"[\w.-]+", requirement)
    return re.sub(r"[-_.]+", "-", found[0]).lower() if found else ""


def faults_of_the_project(project: Mapping[str, Any]) -> list[str]:
    """What pyproject.toml says that nspkit does not keep to."""
    wrong = []
    dependencies = project["dependencies"]
    extras = project["optional-dependencies"]
    names = {requirement_name(line) for line in dependencies}
    if names != RUNTIME:
        wrong.append(f"the core depends on {sorted(names)}, not on {sorted(RUNTIME)}")
    wrong += [
        f"{line!r} has no floor, so the oldest version cannot be tested"
        for line in dependencies
        if not re.fullmatch(r"[\w.-]+>=[\d.]+(,.*)?", line)
    ]
    wrong += [
        f"{line!r} keeps newer versions out; an upper bound breaks whoever installs both"
        for lines in [dependencies, *extras.values()]
        for line in lines
        if re.search(r"==|<|~=", line)
    ]
    if {requirement_name(line) for line in extras["cli"]} != COMMAND_LINE:
        wrong.append(f"the extra cli is {', '.join(sorted(COMMAND_LINE))}")
    if "pytest" not in {requirement_name(line) for line in extras["test"]}:
        wrong.append("the extra test lacks pytest, which the conformance kit needs")
    if "version" in project or "version" not in project.get("dynamic", ()):
        wrong.append("the version is written once, as nspkit.__version__")
    return wrong


def shell_commands(readme: str) -> list[str]:
    """The blocks of shell commands of a page, in order, as .ci/run takes them."""
    return re.findall(r"^```sh\n(.*?)\n```$", readme, re.MULTILINE | re.DOTALL)


# This repository --------------------------------------------------------------------------------


class Archives(NamedTuple):
    """What was built, and the names of the files in it."""

    version: str
    wheel: list[str]
    sdist: list[str]
    metadata: str


@pytest.fixture(scope="module")
def archives(dist: Path) -> Archives:
    """The wheel and the sdist."""
    [wheel] = dist.glob("*.whl")
    [sdist] = dist.glob("*.tar.gz")
    version = wheel.name.split("-")[1]
    with zipfile.ZipFile(wheel) as archive:
        metadata = archive.read(f"nspkit-{version}.dist-info/METADATA").decode()
        in_wheel = archive.namelist()
    with tarfile.open(sdist) as tar:
        in_sdist = [member.name for member in tar.getmembers() if not member.isdir()]
    return Archives(version, in_wheel, in_sdist, metadata)


@pytest.fixture(scope="module")
def project(checkout: Path) -> Mapping[str, Any]:
    """The table [project] of pyproject.toml."""
    text = (checkout / "pyproject.toml").read_text(encoding="utf-8")
    table: Mapping[str, Any] = tomllib.loads(text)["project"]
    return table


@pytest.fixture(scope="module")
def package() -> Path:
    """The folder of the nspkit that is tested."""
    return Path(nspkit.__file__).parent


def test_the_wheel_holds_the_package_only(archives: Archives) -> None:
    """Neither tests nor plugins nor docs."""
    assert strangers_in_the_wheel(archives.wheel, archives.version) == []


def test_the_sdist_holds_what_builds_the_package_only(archives: Archives) -> None:
    """Neither tests nor plugins nor docs."""
    assert strangers_in_the_sdist(archives.sdist, archives.version) == []


def test_the_archives_hold_the_whole_package(archives: Archives, package: Path) -> None:
    """Every module, the marker that says that it is typed, and the plugin for pytest."""
    assert {"nspkit/py.typed", PLUGIN} <= set(archives.wheel)
    assert f"nspkit-{archives.version}/{PLUGIN}" in archives.sdist
    assert missing_from(archives.wheel, package) == []
    assert missing_from(archives.sdist, package, f"nspkit-{archives.version}/") == []


def test_the_licence_is_in_both_archives(archives: Archives) -> None:
    """Whoever has a copy has the terms."""
    assert any(name.endswith("/licenses/LICENSE") for name in archives.wheel)
    assert f"nspkit-{archives.version}/LICENSE" in archives.sdist
    assert "License-Expression: MIT" in archives.metadata


@pytest.fixture
def installed() -> importlib.metadata.Distribution:
    """The installed distribution; with the tree on the path, there need be none."""
    try:
        return importlib.metadata.distribution("nspkit")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("nspkit is on the path but not installed")


def test_the_version_is_the_same_everywhere(
    archives: Archives, installed: importlib.metadata.Distribution
) -> None:
    """It is written once and read by everybody else."""
    assert archives.version == nspkit.__version__ == installed.version


def test_the_project_keeps_to_its_rules(project: Mapping[str, Any]) -> None:
    """Two dependencies with floors, no upper bounds, the extras that the documents promise."""
    assert faults_of_the_project(project) == []


def test_the_command_is_installed(installed: importlib.metadata.Distribution) -> None:
    """The console script leads to something that can be called."""
    [script] = installed.entry_points.select(group="console_scripts", name="nspkit")
    assert callable(script.load())


def test_pytest_finds_the_plugin(installed: importlib.metadata.Distribution) -> None:
    """By its entry point, under the name with which ``-p no:nspkit`` leaves it out."""
    [plugin] = installed.entry_points.select(group="pytest11", name="nspkit")
    assert plugin.value == PLUGIN.removesuffix(".py")


def test_the_readme_has_the_two_commands(checkout: Path) -> None:
    """First the one that runs the main job, then the one that passes the tests."""
    readme = (checkout / "README.md").read_text(encoding="utf-8")
    assert shell_commands(readme) == COMMANDS


def test_ci_can_be_run(checkout: Path) -> None:
    """It is a program for bash."""
    script = checkout / ".ci/run"
    assert os.access(script, os.X_OK)
    assert script.read_text(encoding="utf-8").startswith("#!/usr/bin/env bash\n")


@pytest.mark.parametrize("absent", sorted(COMMAND_LINE))
@pytest.mark.parametrize(
    "start",
    [
        pytest.param("runpy.run_module('nspkit', run_name='__main__')", id="python -m nspkit"),
        pytest.param("import nspkit.__main__\nsys.exit(nspkit.__main__.main())", id="nspkit"),
    ],
)
def test_the_command_without_its_extra_says_what_to_install(
    start: str, absent: str, fresh_python: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    """One line on the error output, exit status 2, no traceback."""
    done = fresh_python(
        f"import runpy, sys\nsys.modules[{absent!r}] = None\nsys.argv[:] = ['nspkit']\n{start}",
        check=False,
    )
    [line] = done.stderr.splitlines()
    assert "pip install 'nspkit[cli]'" in line
    assert (done.returncode, done.stdout) == (2, "")


# Bad examples -----------------------------------------------------------------------------------


def test_a_stranger_in_the_wheel_is_rejected() -> None:
    """Also a module beside the package."""
    names = ["nspkit/__init__.py", "nspkit-1.0.dist-info/RECORD", PLUGIN]
    bad = ["tests/test_x.py", "nspkit_hosts.py", f"tests/{PLUGIN}", "nspkit-1.0.data/scripts/x"]
    assert strangers_in_the_wheel(names + bad, "1.0") == bad


def test_a_stranger_in_the_sdist_is_rejected() -> None:
    """Also one in a folder that is named like a file that belongs there."""
    names = ["nspkit-1.0/nspkit/__init__.py", "nspkit-1.0/PKG-INFO"]
    bad = ["nspkit-1.0/tests/test_x.py", "nspkit-1.0/plugins/README.md", "nspkit-1.0/docs/LICENSE"]
    assert strangers_in_the_sdist(names + bad, "1.0") == bad


def test_a_missing_file_is_found(tmp_path: Path) -> None:
    """Also one that is no module."""
    (tmp_path / "py.typed").touch()
    (tmp_path / "__init__.py").touch()
    assert missing_from(["nspkit/__init__.py"], tmp_path) == ["nspkit/py.typed"]


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"dependencies": ["pluggy>=1.6"]}, "the core depends on"),
        ({"dependencies": ["pluggy>=1.6", "typing_extensions>=4", "attrs>=1"]}, "the core depends"),
        ({"dependencies": ["pluggy", "typing-extensions>=4"]}, "has no floor"),
        ({"dependencies": ["pluggy>=1.6,<2", "typing-extensions>=4"]}, "keeps newer versions out"),
        ({"version": "1.0"}, "written once"),
        ({"dynamic": []}, "written once"),
        ({"optional-dependencies": {"cli": ["click"], "test": ["pytest"]}}, "click, jinja2, "),
        ({"optional-dependencies": {"cli": sorted(COMMAND_LINE), "test": []}}, "lacks pytest"),
    ],
)
def test_a_bad_project_is_rejected(change: dict[str, Any], fault: str) -> None:
    """Each rule is told."""
    good = {
        "dynamic": ["version"],
        "dependencies": ["pluggy>=1.6", "typing-extensions>=4.12"],
        "optional-dependencies": {"cli": sorted(COMMAND_LINE), "test": ["pytest>=9"]},
    }
    assert faults_of_the_project(good) == []
    [wrong] = faults_of_the_project(good | change)
    assert fault in wrong


def test_a_command_in_another_block_does_not_count() -> None:
    """.ci/run takes the blocks marked sh, and no others."""
    page = "```sh\none\n```\n\n```console\n$ two\n```\n\n```sh\nthree\nfour\n```\n"
    assert shell_commands(page) == ["one", "three\nfour"]
