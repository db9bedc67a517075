"""Every folder in plugins/ and docs/examples/ has the shape of a third party's package."""

from __future__ import annotations

import re
import shutil
import tomllib
import uuid
from pathlib import Path

import pytest

HEADINGS = ["What it resolves", "Install", "Configure", "Example", "Limits"]
ROOT = Path(__file__).resolve().parent.parent
BUNDLED = ROOT / "plugins"
README = (ROOT / "README.md").read_text()
PLUGINS = sorted(
    path.parent
    for folder in ("plugins", "docs/examples")
    for path in (ROOT / folder).glob("*/pyproject.toml")
)


def problems(folder: Path, licence: str) -> list[str]:
    """Return what does not fit in the folder of a plugin."""
    found: list[str] = []
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    name = folder.name
    module = name.replace("-", "_")
    short = name.removeprefix("nspkit-")
    if project["name"] != name:
        found.append(f"the distribution is {project['name']}, not {name} as its folder")
    entries = project.get("entry-points", {}).get("nspkit.providers", {})
    if not re.fullmatch(rf"{module}:\w+Provider", entries.get(short, "")):
        found.append(f"the entry point {short} does not name a …Provider of {module}")
    own = [one for one in project["dependencies"] if re.match(r"nspkit\b", one)]
    if not own or not all(re.search(r">=.*,\s*<", one) for one in own):
        found.append("the dependency on nspkit is no range with both ends")
    if not (folder / module / "py.typed").is_file():
        found.append("py.typed is missing")
    if not list((folder / "tests").glob("test_*.py")):
        found.append("there are no tests")
    licence_file = folder / "LICENSE"
    if not licence_file.is_file() or licence_file.read_text() != licence:
        found.append("LICENSE is not that of the root")
    readme = (folder / "README.md").read_text()
    if re.findall(r"^## (.+)$", readme, re.MULTILINE) != HEADINGS:
        found.append(f"the headings of README.md are not {', '.join(HEADINGS)}")
    if "```python" not in readme:
        found.append("README.md has no example that could be run")
    if len(guids(folder)) != 1:
        found.append("the code has no literal GUID, or more than one, in its ProviderInfo")
    return found


def guids(folder: Path) -> list[uuid.UUID]:
    """Return the GUIDs that the plugin's code gives a ProviderInfo literally."""
    pattern = re.compile(r"ProviderInfo\(\s*(?:guid=)?[\"']\{?([0-9A-Fa-f-]{36})\}?[\"']")
    code = "\n".join(path.read_text() for path in sorted(folder.glob("nspkit_*/**/*.py")))
    return [uuid.UUID(text) for text in pattern.findall(code)]


@pytest.mark.parametrize("folder", PLUGINS, ids=lambda path: path.name)
def test_a_plugin_has_the_shape_of_one(folder: Path) -> None:
    """Who has read one has read all."""
    assert problems(folder, (ROOT / "LICENSE").read_text()) == []


def test_the_readme_lists_the_bundled_providers() -> None:
    """Each with a link to its own."""
    linked = re.findall(r"^\| \[(nspkit-\w+)\]\(plugins/\1/README\.md\)", README, re.MULTILINE)
    assert sorted(linked) == sorted(folder.name for folder in PLUGINS if folder.parent == BUNDLED)


def test_a_new_package_has_the_shape_of_one(tmp_path: Path) -> None:
    """`nspkit new` writes what is asked of the bundled ones; its licence is its author's."""
    pytest.importorskip("click", reason="the extra cli is not installed")
    from nspkit.cli._package import Package

    package = Package("phone-book", uuid.uuid4(), namespace=None, author=(None, None))
    folder = package.write(tmp_path)
    assert problems(folder, (folder / "LICENSE").read_text()) == []
    licences = [(path / "LICENSE").read_text() for path in (folder, ROOT)]
    assert len({text.partition("\n\nPermission")[2] for text in licences}) == 1


def test_no_guid_is_there_twice() -> None:
    """A GUID is one provider's."""
    all_of_them = [guid for folder in PLUGINS for guid in guids(folder)]
    assert len(all_of_them) == len(set(all_of_them)) == len(PLUGINS)


BREAKS = {
    "its name": ("pyproject.toml", r'^name = ".*"', 'name = "other"'),
    "its entry point": ("pyproject.toml", r'^hosts = ".*"', 'hosts = "nspkit_hosts:hosts"'),
    "its range": ("pyproject.toml", r"nspkit>=[^\"]*", "nspkit"),
    "a heading": ("README.md", r"^## Limits", "## Restrictions"),
    "its example": ("README.md", r"```python", "```text"),
    "its licence": ("LICENSE", r"MIT", "TIM"),
    "its GUID": ("nspkit_hosts/__init__.py", r"[0-9a-f]{8}-[0-9a-f]{4}", "7ba04807-26f"),
}


@pytest.mark.parametrize("what", BREAKS)
def test_the_guard_refuses_a_plugin_that_breaks(what: str, tmp_path: Path) -> None:
    """A copy of a good plugin with one thing wrong is found out, for that thing only."""
    folder = tmp_path / "nspkit-hosts"
    shutil.copytree(ROOT / "plugins" / "nspkit-hosts", folder)
    name, pattern, replacement = BREAKS[what]
    text = (folder / name).read_text()
    changed = re.sub(pattern, replacement, text, flags=re.MULTILINE)
    assert changed != text
    (folder / name).write_text(changed)
    assert len(problems(folder, (ROOT / "LICENSE").read_text())) == 1


@pytest.mark.parametrize("name", ["nspkit_hosts/py.typed", "tests"])
def test_the_guard_refuses_a_plugin_that_lacks(name: str, tmp_path: Path) -> None:
    """A copy of a good plugin without one of its parts is found out."""
    folder = tmp_path / "nspkit-hosts"
    shutil.copytree(ROOT / "plugins" / "nspkit-hosts", folder)
    path = folder / name
    path.unlink() if path.is_file() else shutil.rmtree(path)
    assert len(problems(folder, (ROOT / "LICENSE").read_text())) == 1
