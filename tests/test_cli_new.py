"""``nspkit new``: what it writes, what it refuses, and that what it writes works as it is."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
import tomllib
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("click", reason="the extra cli is not installed")

import nspkit
from nspkit.cli import _program
from nspkit.cli._package import Package, requirement

Run = Callable[..., tuple[int, list[str], list[str]]]
GUID = "0b9a2d51-36f5-4c8e-8b52-8d8f4e3a7c10"

FILES = [
    ".github/workflows/test.yml",
    ".gitignore",
    "LICENSE",
    "README.md",
    "nspkit_demo/__init__.py",
    "nspkit_demo/py.typed",
    "pyproject.toml",
    "tests/test_nspkit_demo.py",
]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """A function that runs a command in an empty folder, by a person whom git knows as Ada."""
    home = tmp_path / "home"
    work = tmp_path / "work"
    home.mkdir()
    work.mkdir()
    config = '[user]\nname = "Ada \\"King\\" Byron"\nemail = ada@example.org\n'
    (home / ".gitconfig").write_text(config)
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.chdir(work)

    def run(*arguments: str) -> tuple[int, list[str], list[str]]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            _program.program.main(list(arguments))
        output, errors = capsys.readouterr()
        return int(left.value.code or 0), output.splitlines(), errors.splitlines()

    return run


def files(folder: Path) -> list[str]:
    """The files below a folder, by their paths in it."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return sorted(path.relative_to(folder).as_posix() for path in found)


def beside() -> list[str]:
    """What is in the current folder, hidden or not."""
    return sorted(path.name for path in Path().iterdir())


def project(folder: Path) -> Mapping[str, Any]:
    """The table [project] of a package."""
    text = (folder / "pyproject.toml").read_text(encoding="utf-8")
    table: Mapping[str, Any] = tomllib.loads(text)["project"]
    return table


def source(folder: Path) -> str:
    """The module of a package."""
    [module] = folder.glob("nspkit_*/__init__.py")
    return module.read_text(encoding="utf-8")


# What it writes ---------------------------------------------------------------------------------


def test_a_package_is_written_whole(run: Run) -> None:
    """All of it, below one new folder, and nothing beside it."""
    assert run("new", "demo")[0] == 0
    assert files(Path("nspkit-demo")) == FILES
    assert beside() == ["nspkit-demo"]
    assert not [path for path in FILES if b"\r" in (Path("nspkit-demo") / path).read_bytes()]


def test_it_says_what_it_has_written_and_what_is_next(run: Run) -> None:
    """Three lines of typing to a tested provider."""
    _, output, errors = run("new", "demo")
    assert sorted(line.strip() for line in output[1:-1]) == FILES
    assert output[0] == "nspkit-demo"
    assert output[-1] == 'next: cd nspkit-demo && pip install -e ".[test]" && pytest'
    assert errors == []


def test_the_names_follow_from_one_name(run: Run) -> None:
    """Distribution, module, class and entry point."""
    run("new", "phone-book2")
    folder = Path("nspkit-phone-book2")
    point = {"phone-book2": "nspkit_phone_book2:PhoneBook2Provider"}
    assert project(folder)["name"] == "nspkit-phone-book2"
    assert project(folder)["entry-points"] == {"nspkit.providers": point}
    assert "class PhoneBook2Provider:" in source(folder)
    assert "nspkit_phone_book2/py.typed" in files(folder)


def test_each_package_has_a_guid_of_its_own(run: Run) -> None:
    """A random one: a provider is known by it for ever."""
    found = []
    for name in ("one", "two"):
        _, [line], _ = run("new", name, "--json")
        found.append(uuid.UUID(json.loads(line)["guid"]))
        assert str(found[-1]) in source(Path(f"nspkit-{name}"))
        assert found[-1].version == 4
    assert found[0] != found[1]


@pytest.mark.parametrize("guid", [GUID, GUID.upper(), f"{{{GUID}}}"])
def test_a_guid_can_be_given(run: Run, guid: str) -> None:
    """As people write them; it is written in one way."""
    assert run("new", "demo", "--guid", guid)[0] == 0
    assert f'"{GUID}"' in source(Path("nspkit-demo"))
    assert f"`{GUID}`" in Path("nspkit-demo/README.md").read_text()


@pytest.mark.parametrize(
    ("given", "written", "told"),
    [
        pytest.param([], str(0x8B9A2D51), f"NS_{0x8B9A2D51}", id="one's own"),
        pytest.param(["-n", "dns"], "Namespace.DNS", "DNS", id="name"),
        pytest.param(["--namespace", "12"], "Namespace.DNS", "DNS", id="number of a name"),
        pytest.param(["--namespace", "4711"], "4711", "NS_4711", id="number"),
    ],
)
def test_a_namespace_is_a_name_or_a_number(
    run: Run, given: list[str], written: str, told: str
) -> None:
    """Without one it is a number that comes from the GUID, and that nobody else has."""
    _, [line], _ = run("new", "demo", "--guid", GUID, "--json", *given)
    assert f"        {written},\n" in source(Path("nspkit-demo"))
    assert ("    Namespace,\n" in source(Path("nspkit-demo"))) == written.startswith("Name")
    assert json.loads(line)["namespace"] == told


@pytest.mark.parametrize(
    ("given", "authors", "holder"),
    [
        ([], [{"name": 'Ada "King" Byron'}], 'Ada "King" Byron'),
        (["--author", "Æ \\ B"], [{"name": "Æ \\ B"}], "Æ \\ B"),
        (["--author", "A <a@b.org>"], [{"name": "A", "email": "a@b.org"}], "A"),
    ],
    ids=["git", "name", "name and address"],
)
def test_an_author_is_named(
    run: Run,
    program: Callable[[str], str],
    given: list[str],
    authors: list[dict[str, str]],
    holder: str,
) -> None:
    """By git's name for them; an address is published only if it is given."""
    program("git")
    assert run("new", "demo", *given)[0] == 0
    licence = Path("nspkit-demo/LICENSE").read_text(encoding="utf-8")
    assert project(Path("nspkit-demo"))["authors"] == authors
    assert re.search(rf"^Copyright \(c\) \d{{4}} {re.escape(holder)}$", licence, re.MULTILINE)


@pytest.mark.parametrize("missing", ["name", "git"])
def test_nobody_is_named_where_git_does_not_know(
    run: Run, missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is asked either."""
    if missing == "git":
        monkeypatch.setenv("PATH", str(tmp_path))
    else:
        (tmp_path / "home/.gitconfig").unlink()
    assert run("new", "demo")[0] == 0
    assert "authors" not in project(Path("nspkit-demo"))
    assert "the authors of nspkit-demo" in Path("nspkit-demo/LICENSE").read_text()


def test_it_can_be_put_elsewhere(run: Run, tmp_path: Path) -> None:
    """Into a folder that is there; the command to go on is one for a shell."""
    parent = tmp_path / "my {module} %s ü"
    parent.mkdir()
    status, output, _ = run("new", "demo", "--directory", str(parent))
    assert status == 0
    assert files(parent / "nspkit-demo") == FILES
    assert f"cd '{parent}/nspkit-demo'" in output[-1]
    assert beside() == []


def test_the_folder_has_the_mode_of_a_new_one(run: Run) -> None:
    """As if it had been made with mkdir."""
    Path("other").mkdir()
    run("new", "demo")
    modes = {stat.S_IMODE(Path(name).stat().st_mode) for name in ("other", "nspkit-demo")}
    assert len(modes) == 1


JSON = {
    "name": "demo",
    "distribution": "nspkit-demo",
    "module": "nspkit_demo",
    "class": "DemoProvider",
    "guid": GUID,
    "namespace": "DNS",
    "folder": "nspkit-demo",
}


def test_a_program_reads_one_object(run: Run) -> None:
    """All names that follow from the one."""
    _, [line], _ = run("new", "demo", "--json", "--guid", GUID, "-n", "dns")
    record = json.loads(line)
    assert sorted(record.pop("files")) == FILES
    assert record == JSON


def test_the_page_describes_every_key(checkout: Path) -> None:
    """Each has a row of a table."""
    page = (checkout / "docs/reference/cli.md").read_text(encoding="utf-8")
    part = page[page.index("\nOf `new`:\n") :]
    assert [key for key in [*JSON, "files"] if f"\n| `{key}` |" not in part] == []


@pytest.mark.parametrize(
    ("version", "asked"),
    [("0.1.0", "nspkit>=0.1,<0.2"), ("0.12.3", "nspkit>=0.12,<0.13"), ("1.4.0", "nspkit>=1.4,<2")],
)
def test_a_package_asks_for_versions_that_keep_the_contract(version: str, asked: str) -> None:
    """The next minor version may break it before 1.0, the next major one after."""
    assert requirement(version) == asked


def test_it_asks_for_the_version_that_made_it(run: Run) -> None:
    """Which is the one that it is tested with."""
    run("new", "demo")
    assert project(Path("nspkit-demo"))["dependencies"] == [requirement(nspkit.__version__)]


# What it refuses --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "way"),
    [
        ("Demo", "did you mean demo?"),
        ("phone_book", "did you mean phone-book?"),
        ("phone.book", "did you mean phone-book?"),
        ("phone--book", "did you mean phone-book?"),
        ("-demo-", "did you mean demo?"),
        ("nspkit-demo", "did you mean demo?"),
        ("nspkit_demo", "did you mean demo?"),
        ("2demo", "a letter first"),
        ("dé", "lower-case letters"),
        ("../demo", "lower-case letters"),
        ("", "lower-case letters"),
        ("pytest", "nspkit's own plugin"),
        ("demo\n", "did you mean demo?"),
        ("a" * 51, "has 51 characters; give a name of at most 50"),
        (f"a{GUID[1:]}", "give a name"),  # it would be taken for the GUID that it is
    ],
)
def test_a_name_that_does_not_do_is_refused(run: Run, name: str, way: str) -> None:
    """It has to do for a distribution, a module, a class and an entry point."""
    status, output, [line] = run("new", "--", name)
    assert (status, output) == (2, [])
    assert way in line
    assert beside() == []


@pytest.mark.parametrize("name", ["class", "none", "nspkit", "sys", "a", "a" * 50])
def test_a_word_of_python_is_a_name_like_any_other(run: Run, name: str) -> None:
    """Nothing is called by it alone."""
    assert run("new", name)[0] == 0
    compile(source(Path(f"nspkit-{name}")), name, "exec")


@pytest.mark.parametrize(
    "wrong",
    [
        ["--guid", "x"],
        ["--guid", str(uuid.UUID(int=0))],
        ["--namespace", "nowhere"],
        ["--namespace", "all"],
        ["--namespace", "-1"],
        ["--author", ""],
        ["--author", "<ada@example.org>"],
        ["--author", "Ada <ada>"],
        ["--author", "Ada\nByron"],
        ["--directory", ""],
        ["--directory", "nowhere"],
    ],
)
def test_a_wrong_value_is_refused(run: Run, wrong: list[str]) -> None:
    """One line that names the option; nothing is written."""
    status, output, [line] = run("new", "demo", *wrong)
    assert (status, output) == (2, [])
    assert line.startswith(f"nspkit: {wrong[0]}")
    assert beside() == []


def a_folder(path: Path) -> None:
    """Something that is there: a folder with a file."""
    path.mkdir()
    (path / "README.md").write_text("mine")


def a_file(path: Path) -> None:
    """Something that is there: a file."""
    path.write_text("mine")


def a_link(path: Path) -> None:
    """Something that is there: a link that leads nowhere."""
    path.symlink_to("nowhere")


@pytest.mark.parametrize("make", [a_folder, Path.mkdir, a_file, a_link])
def test_what_is_there_is_left_as_it_is(run: Run, make: Callable[[Path], None]) -> None:
    """Whatever it is; there is no way to force it."""
    path = Path("nspkit-demo")
    make(path)
    before = [*path.rglob("*"), path.lstat().st_mode, path.lstat().st_mtime_ns]
    status, output, [line] = run("new", "demo")
    assert (status, output) == (2, [])
    assert "is there already" in line
    assert [*path.rglob("*"), path.lstat().st_mode, path.lstat().st_mtime_ns] == before
    assert beside() == ["nspkit-demo"]


def test_a_package_is_written_whole_or_not_at_all(
    fresh_python: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    """A disk that is full leaves nothing behind."""
    pytest.importorskip("resource", reason="this system has no limit for the size of a file")
    done = fresh_python(
        "import resource, sys\nfrom nspkit.cli import main\n"
        # The licence is shorter, the module is not.
        "resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))\n"
        "sys.argv[:] = ['nspkit', 'new', 'demo']\nsys.exit(main())",
        check=False,
        bare=True,
    )
    assert done.returncode == 3
    [line] = done.stderr.splitlines()
    assert line.startswith("nspkit: nspkit-demo cannot be written: ")
    assert "; write elsewhere with --directory" in line
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_comes_meanwhile_is_left_as_it_is(run: Run) -> None:
    """Two that write the same at the same time: one of them does, and the other says so."""

    class Late(Package):
        """One that is overtaken after it has looked."""

        def texts(self) -> dict[str, str]:
            """Return the files, but not before somebody else has made the folder."""
            a_folder(Path("nspkit-demo"))
            return super().texts()

    late = Late("demo", uuid.UUID(GUID), namespace=None, author=(None, None))
    with pytest.raises(Exception, match="cannot be written"):
        late.write(Path())
    assert files(Path()) == ["nspkit-demo/README.md"]


def test_a_name_that_is_taken_is_told(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is a warning: the other one may be an earlier version of the same."""
    information = tmp_path / "site" / "fake_demo-1.2.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: fake-demo\nVersion: 1.2\n")
    (information / "entry_points.txt").write_text("[nspkit.providers]\ndemo = nowhere:None\n")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    status, output, [line] = run("new", "demo")
    assert (status, output[0]) == (0, "nspkit-demo")
    assert "'demo' is installed already, from fake-demo 1.2" in line


# What it costs ----------------------------------------------------------------------------------


def test_only_this_command_imports_the_engine(
    fresh_python: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    """The others start without it."""
    code = (
        "import sys\nsys.argv[:] = ['nspkit', *sys.argv[1:]]\nfrom nspkit.cli import main\nmain()\n"
        "print('jinja2' in sys.modules)"
    )
    assert fresh_python(code, "errors", "10022").stdout.splitlines()[-1] == "False"
    assert fresh_python(code, "new", "demo").stdout.splitlines()[-1] == "True"


# What it writes works ---------------------------------------------------------------------------


class Environment:
    """A new environment of Python, and what a shell does in it."""

    def __init__(self, folder: Path, *, pip: Environment | None = None) -> None:
        """Make it, with a pip of its own, or one that it uses of another environment."""
        self.folder = folder
        self.folders = [str(one.folder / "bin") for one in (self, pip) if one]
        command = [sys.executable, "-m", "venv", *(["--without-pip"] if pip else []), str(folder)]
        subprocess.run(command, check=True, timeout=120)

    def shell(self, command: str, cwd: Path, *, check: bool = True) -> str:
        """Run a command; what was set for this suite is not passed on."""
        own = ("PYTHON", "PYTEST", "COV", "VIRTUAL_ENV", "NSPKIT")
        environment = {k: v for k, v in os.environ.items() if not k.startswith(own)}
        environment["PATH"] = os.pathsep.join([*self.folders, os.environ["PATH"]])
        environment["PIP_PYTHON"] = str(self.folder / "bin/python")
        done = subprocess.run(
            ["/bin/sh", "-ec", command],
            cwd=cwd,
            # What is imported is compiled then; most of what is installed never is imported.
            env={**environment, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_COMPILE": "0"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=240,
            check=False,
        )
        if check and done.returncode != 0:
            pytest.fail(f"$ {command}\n{done.stdout}")
        return done.stdout if check else str(done.returncode)


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """A fresh environment in which pip can install something.

    Where it cannot, without a network for instance, the tests are skipped; with CI set they fail.
    """
    if os.name == "nt":
        pytest.skip("the commands are those of a POSIX shell")
    folder = tmp_path_factory.mktemp("fresh")
    environment = Environment(folder / "environment")
    if environment.shell("pip download -q --no-deps hatchling -d .", folder, check=False) != "0":
        reason = "pip cannot download anything, and a package needs hatchling to be built"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return environment


@pytest.fixture(scope="module")
def tutorial(checkout: Path) -> list[tuple[str, str]]:
    """The blocks of the page "Your first provider": language and text of each."""
    page = (checkout / "docs/tutorial/first-provider.md").read_text(encoding="utf-8")
    return re.findall(r"^```(\w+)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def typed(tutorial: list[tuple[str, str]]) -> list[str]:
    """What its reader types, step by step."""
    return [text for language, text in tutorial if language == "sh"]


@pytest.fixture(scope="module")
def shown(tutorial: list[tuple[str, str]]) -> list[str]:
    """What it shows that is neither a command nor a program, in order."""
    return [text for language, text in tutorial if language == "text"]


@pytest.fixture(scope="module")
def demo(
    environment: Environment,
    dist: Path,
    typed: list[str],
    shown: list[str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A package that was written, installed and tested as the tutorial has it."""
    commands = ["nspkit new demo", "cd nspkit-demo", 'pip install -e ".[test]"', "pytest"]
    assert typed[0].splitlines() == commands
    [wheel] = dist.glob("*.whl")
    folder = tmp_path_factory.mktemp("author")
    environment.shell(f"pip install -q '{wheel}[cli]'", folder)
    output = environment.shell(" && ".join(commands), folder)
    assert output.startswith(shown[0])
    passed = r"^=+ \d+ passed, \d+ skipped in [\d.]+s =+$"
    assert re.match(passed, shown[1])
    assert re.findall(passed, output, re.MULTILINE), output
    return folder / "nspkit-demo"


def test_the_tutorial_shows_the_package_as_it_is(tutorial: list[tuple[str, str]]) -> None:
    """The module whole, and parts of two other files, but for what is new in each package."""
    blocks = [text for _, text in tutorial]
    [guid] = {guid for text in blocks for guid in re.findall(r"[0-9a-f]{8}(?:-[0-9a-f]+){4}", text)}
    package = Package("demo", uuid.UUID(guid), namespace=None, author=(None, None))
    files = package.texts()
    assert files["nspkit_demo/__init__.py"] in blocks
    starts = {"pyproject.toml": "[project.entry", "tests/test_nspkit_demo.py": "INFO"}
    for path, start in starts.items():
        [part] = [text for text in blocks if text.startswith(start)]
        assert part in files[path]


def test_a_new_package_passes_its_own_tests(demo: Path) -> None:
    """In a fresh environment, with four commands; the kit is among the tests."""
    text = (demo / "tests/test_nspkit_demo.py").read_text(encoding="utf-8")
    assert "class TestConformance(ProviderConformance):" in text


def test_a_new_package_is_asked_as_the_tutorial_has_it(
    demo: Path,
    environment: Environment,
    tutorial: list[tuple[str, str]],
    typed: list[str],
    shown: list[str],
) -> None:
    """By the command line, with settings from a file."""
    settings = next(text for language, text in tutorial if language == "toml")
    (demo / "nspkit.toml").write_text(settings, encoding="utf-8")
    assert environment.shell(typed[1], demo) == shown[2]


def test_the_mistake_of_the_tutorial_is_found(
    demo: Path, environment: Environment, typed: list[str], shown: list[str]
) -> None:
    """By the rule and with the message that it shows; what it does then is right."""
    _, mistake, message, mended = shown[3:]
    module = demo / "nspkit_demo/__init__.py"
    good = module.read_text(encoding="utf-8")
    [line] = re.findall(r"^ +self\._services = .*\n", good, re.MULTILINE)
    try:
        module.write_text(good.replace(line, line + mistake), encoding="utf-8")
        assert environment.shell(typed[2], demo, check=False) == "1"
        output = environment.shell(f"{typed[2].rstrip()} --tb=line || true", demo)
        start, _, end = message.strip().partition("…")
        assert re.search(rf"{re.escape(start)}\S*{re.escape(end)}", output), output
        module.write_text(good.replace(line, line + mended), encoding="utf-8")
        environment.shell("pytest", demo)
    finally:
        module.write_text(good, encoding="utf-8")


def test_its_wheel_works_beside_nspkit_alone(
    demo: Path, environment: Environment, dist: Path, typed: list[str], tmp_path: Path
) -> None:
    """As its CI builds, installs and loads it, by entry point and by GUID; its example runs."""
    commands = re.findall(r"^ +- run: (.+)$", (demo / ".github/workflows/test.yml").read_text(), 8)
    assert commands[:2] == ['pip install -e ".[test]"', "pytest"]
    assert commands[2] == typed[3].strip()
    environment.shell(commands[2], demo)
    users = Environment(tmp_path / "users", pip=environment)
    [wheel] = dist.glob("*.whl")
    users.shell(f"pip install -q '{wheel}'", demo)
    for command in commands[3:]:
        users.shell(command, demo)
    [example] = re.findall(r"```python\n(.*?)```", (demo / "README.md").read_text(), re.DOTALL)
    (tmp_path / "example.py").write_text(example)
    assert users.shell("python example.py", tmp_path) == "printer.example 192.0.2.7\n"
    installed = users.shell("pip list --format=freeze", tmp_path)
    assert {line.partition("==")[0] for line in installed.split()} == {
        "nspkit",
        "nspkit-demo",
        "pluggy",
        "typing_extensions",
    }
