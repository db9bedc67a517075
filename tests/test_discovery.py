"""Entry points are found as Python's own search finds them, and broken metadata harm no others."""

from __future__ import annotations

import importlib.machinery
import importlib.metadata
import os
import subprocess
import sys
import venv
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from nspkit._discovery import Found, find_entry_points, load

GROUP = "nspkit.example"


def write_distribution(
    folder: Path,
    name: str,
    entry_points: str | bytes | None,
    *,
    version: str = "1.0",
    suffix: str = ".dist-info",
) -> Path:
    """Lay an installed distribution into a folder of the path, and return its metadata folder."""
    stem = f"{name.replace('-', '_')}-{version}"
    information = folder / f"{stem}{suffix}"
    information.mkdir(parents=True)
    file = information / ("METADATA" if suffix == ".dist-info" else "PKG-INFO")
    file.write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n\nName: no header\n")
    if isinstance(entry_points, str):
        entry_points = entry_points.encode()
    if entry_points is not None:
        (information / "entry_points.txt").write_bytes(entry_points)
    return information


def find(*folders: Path) -> list[Found]:
    """What is found in some folders, as if they were the whole path."""
    return find_entry_points(GROUP, [str(folder) for folder in folders])


def described(found: list[Found]) -> list[tuple[str, str, str, str]]:
    """What a search tells, in plain values; nothing may be broken."""
    assert [one.error for one in found] == [None] * len(found)
    return [(one.name, one.value, one.distribution, one.version) for one in found]


def described_by_python(group: str) -> list[tuple[str, str, str, str]]:
    """The same from the standard library."""
    points = importlib.metadata.entry_points(group=group)
    return sorted(
        (point.name, point.value, point.dist.name, point.dist.version)
        for point in points
        if point.dist is not None
    )


@pytest.fixture
def python_path(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """A function that makes some folders the whole path, for this search and for Python's own."""

    def set_path(*folders: Path | str) -> None:
        monkeypatch.setattr(sys, "path", [str(folder) for folder in folders])

    return set_path


@pytest.fixture
def forget_modules() -> Iterator[None]:
    """Forget the modules that the test has imported."""
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        del sys.modules[name]


# Name, value, distribution and order of what is there --------------------------------------------


def test_an_entry_point_is_found_with_its_distribution(tmp_path: Path) -> None:
    """Name, value, distribution and version are those of the metadata."""
    write_distribution(tmp_path, "Some-Thing", f"[{GROUP}]\nhosts = some:Thing\n")
    assert described(find(tmp_path)) == [("hosts", "some:Thing", "Some-Thing", "1.0")]


def test_only_the_section_of_the_group_counts(tmp_path: Path) -> None:
    """What stands before and after the section, comments and spaces are passed over."""
    text = (
        f"a = b\n[other]\nc = d:e\n\n  [{GROUP}]  \r\n# {GROUP}\n  f  =  g.h : I.j \n"
        f"\n[{GROUP}.more]\nk = l:m\n[{GROUP}]\nn = o\n"
    )
    write_distribution(tmp_path, "one", text)
    found = [(one.name, one.value) for one in find(tmp_path)]
    assert found == [("f", "g.h : I.j"), ("n", "o")]


def test_extras_after_a_value_are_allowed(tmp_path: Path) -> None:
    """The specification allows them, though nobody uses them any more."""
    write_distribution(tmp_path, "one", f"[{GROUP}]\na = b:c [extra, other]\n")
    assert described(find(tmp_path)) == [("a", "b:c [extra, other]", "one", "1.0")]


def test_the_order_is_that_of_the_names(tmp_path: Path) -> None:
    """Folders list their files in any order; the answer does not depend on it."""
    for number in (3, 1, 2):
        write_distribution(tmp_path, f"d{number}", f"[{GROUP}]\nz = a:b\nn{number} = a:b\n")
    found = find(tmp_path)
    assert [one.name for one in found] == ["n1", "n2", "n3", "z", "z", "z"]
    assert [one.distribution for one in found[3:]] == ["d1", "d2", "d3"]


def test_a_distribution_without_the_group_is_not_there(tmp_path: Path) -> None:
    """Neither one with other entry points nor one with none is reported."""
    write_distribution(tmp_path, "one", "[other]\na = b:c\n")
    write_distribution(tmp_path, "two", None)
    assert find(tmp_path) == []


def test_an_egg_info_folder_is_read(tmp_path: Path) -> None:
    """A legacy develop install has one beside its source."""
    write_distribution(tmp_path, "one", f"[{GROUP}]\na = b:c\n", suffix=".egg-info")
    assert described(find(tmp_path)) == [("a", "b:c", "one", "1.0")]


def test_an_egg_info_file_has_no_entry_points(tmp_path: Path) -> None:
    """The oldest way of installing wrote its metadata into one file."""
    (tmp_path / "one-1.0.egg-info").write_text("Name: one\n")
    assert find(tmp_path) == []


def test_what_pip_left_behind_is_passed_over(tmp_path: Path) -> None:
    """A name that begins with a tilde is a half-removed distribution, not a second one."""
    write_distribution(tmp_path, "~ne", f"[{GROUP}]\na = b:c\n")
    assert find(tmp_path) == []


def test_nothing_is_imported_by_a_search(
    fresh_python: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    """Neither the provider nor the standard library's slow search."""
    write_distribution(tmp_path / "site", "one", f"[{GROUP}]\na = absent_module:c\n")
    done = fresh_python(
        "import sys\n"
        "from nspkit._discovery import find_entry_points\n"
        "found = find_entry_points(sys.argv[1], [sys.argv[2]])\n"
        "print(found[0].name, found[0].distribution, found[0].version)\n"
        "print('importlib.metadata' in sys.modules)\n",
        GROUP,
        str(tmp_path / "site"),
        bare=True,
    )
    assert done.stdout.split() == ["a", "one", "1.0", "False"]


def test_a_found_entry_point_shows_what_it_is(tmp_path: Path) -> None:
    """The representation has the name and the value."""
    write_distribution(tmp_path, "one", f"[{GROUP}]\na = b:c\n")
    assert repr(find(tmp_path)[0]).startswith("Found('a', 'b:c', location=")


def test_a_found_entry_point_is_small(tmp_path: Path) -> None:
    """It has slots: there may be ten thousand."""
    write_distribution(tmp_path, "one", f"[{GROUP}]\na = b:c\n")
    assert not hasattr(find(tmp_path)[0], "__dict__")


# A distribution hides a later one of its name ----------------------------------------------------


def test_the_first_on_the_path_wins(tmp_path: Path) -> None:
    """A distribution hides a later one of its name, however the name is spelt."""
    write_distribution(tmp_path / "a", "My.Thing", f"[{GROUP}]\nx = first:C\n", version="2.0")
    write_distribution(tmp_path / "b", "my-thing", f"[{GROUP}]\nx = second:C\n")
    assert [one.value for one in find(tmp_path / "a", tmp_path / "b")] == ["first:C"]
    assert [one.value for one in find(tmp_path / "b", tmp_path / "a")] == ["second:C"]


def test_one_without_the_group_hides_too(tmp_path: Path) -> None:
    """A newer release that dropped its entry point is what is imported, so it counts."""
    write_distribution(tmp_path / "a", "one", None)
    write_distribution(tmp_path / "b", "one", f"[{GROUP}]\nx = y:z\n")
    assert find(tmp_path / "a", tmp_path / "b") == []


def test_one_folder_under_two_names_is_listed_once(tmp_path: Path) -> None:
    """A virtual environment may have lib64 as a link to lib."""
    write_distribution(tmp_path / "lib", "one", f"[{GROUP}]\nx = y:z\n")
    (tmp_path / "lib64").symlink_to("lib")
    found = find(tmp_path / "lib", tmp_path / "lib64", tmp_path / "lib")
    assert [str(Path(one.location).parent) for one in found] == [str(tmp_path / "lib")]


def test_a_folder_that_is_there_twice_is_read_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its distributions would be hidden anyway; what is saved is the time."""
    read = []
    scan = os.scandir
    monkeypatch.setattr(os, "scandir", lambda folder: read.append(folder) or scan(folder))
    find(tmp_path, tmp_path)
    assert read == [str(tmp_path)]


# Folders, archives, eggs, other finders, and what is none of them --------------------------------


def test_entries_that_are_not_there_are_passed_over(tmp_path: Path) -> None:
    """Neither a missing folder nor a name that no file can have stops a search."""
    write_distribution(tmp_path, "one", f"[{GROUP}]\nx = y:z\n")
    found = find_entry_points(GROUP, [str(tmp_path / "none"), "nul\0", str(tmp_path)])
    assert [one.name for one in found] == ["x"]


def test_entries_that_are_no_strings_are_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python imports nothing from them, so what is there could not be loaded."""
    write_distribution(tmp_path, "one", f"[{GROUP}]\nx = y:z\n")
    monkeypatch.setattr(sys, "path", [tmp_path])
    assert find_entry_points(GROUP) == []


def test_an_empty_entry_is_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So it is where a program is typed in."""
    write_distribution(tmp_path, "one", f"[{GROUP}]\nx = y:z\n")
    monkeypatch.chdir(tmp_path)
    assert described(find_entry_points(GROUP, [""])) == [("x", "y:z", "one", "1.0")]


def test_a_folder_that_vanishes_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder that cannot be listed is one from which nothing can be found."""

    def refuse(folder: str) -> None:
        raise PermissionError(folder)

    monkeypatch.setattr(os, "scandir", refuse)
    assert find(tmp_path) == []


def test_an_archive_is_searched(tmp_path: Path) -> None:
    """A zipped application brings its metadata along."""
    archive = tmp_path / "application.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("one-1.0.dist-info/METADATA", "Name: one\nVersion: 1.0\n")
        file.writestr("one-1.0.dist-info/entry_points.txt", f"[{GROUP}]\nx = y:z\n")
        file.writestr("two-1.0.dist-info/METADATA", "Name: two\nVersion: 1.0\n")
    found = find(archive)
    assert described(found) == [("x", "y:z", "one", "1.0")]
    assert found[0].location == str(archive)


def test_a_distribution_in_an_archive_is_hidden_too(tmp_path: Path) -> None:
    """The order of the path holds across folders and archives."""
    write_distribution(tmp_path / "a", "one", None)
    archive = tmp_path / "application.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("one-1.0.dist-info/METADATA", "Name: one\nVersion: 1.0\n")
        file.writestr("one-1.0.dist-info/entry_points.txt", f"[{GROUP}]\nx = y:z\n")
    assert find(tmp_path / "a", archive) == []


def test_a_file_that_is_no_archive_is_passed_over(tmp_path: Path) -> None:
    """A stray file on the path is nothing to Python either."""
    (tmp_path / "file").write_text("not a zip file")
    assert find(tmp_path / "file") == []


def test_an_egg_folder_is_searched(tmp_path: Path) -> None:
    """It has its metadata in a folder without a name of its own."""
    egg = tmp_path / "one-1.0-py3.egg"
    (egg / "EGG-INFO").mkdir(parents=True)
    (egg / "EGG-INFO" / "PKG-INFO").write_text("Name: one\nVersion: 1.0\n")
    (egg / "EGG-INFO" / "entry_points.txt").write_text(f"[{GROUP}]\nx = y:z\n")
    assert described(find(egg)) == [("x", "y:z", "one", "1.0")]


def test_another_finder_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A frozen program keeps its distributions where only its own finder looks."""
    write_distribution(tmp_path / "frozen", "one", f"[{GROUP}]\nx = frozen:C\n")
    write_distribution(tmp_path / "plain", "one", f"[{GROUP}]\nx = plain:C\n")

    class FrozenFinder:
        @staticmethod
        def find_distributions(
            context: importlib.metadata.DistributionFinder.Context,
        ) -> Iterable[importlib.metadata.Distribution]:
            assert context.name is None
            own = importlib.metadata.DistributionFinder.Context(path=[str(tmp_path / "frozen")])
            return importlib.machinery.PathFinder.find_distributions(own)

    monkeypatch.setattr(sys, "path", [str(tmp_path / "plain")])
    monkeypatch.setattr(sys, "meta_path", [FrozenFinder(), *sys.meta_path])
    assert described(find_entry_points(GROUP)) == [("x", "frozen:C", "one", "1.0")]
    assert [(p.name, p.value) for p in importlib.metadata.entry_points(group=GROUP)] == [
        ("x", "frozen:C")
    ]


def test_a_failing_finder_is_reported_and_harms_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python's own search would end with its exception."""
    write_distribution(tmp_path, "one", f"[{GROUP}]\nx = y:z\n")

    class BrokenFinder:
        @staticmethod
        def find_distributions(context: object) -> Iterator[importlib.metadata.Distribution]:
            raise ZeroDivisionError("finder")

    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.setattr(sys, "meta_path", [BrokenFinder(), *sys.meta_path])
    broken, good = find_entry_points(GROUP)
    assert (broken.name, good.name) == ("BrokenFinder", "x")
    assert broken.error is not None
    assert "cannot be listed: finder" in broken.error


# What is broken is reported, and nothing else is lost --------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        "just text",
        "= no.name:C",
        "no_value =",
        "a = b:",
        "a = b c",
        "a = 1b:c",
        "a = b:c.",
        "a",
    ],
)
def test_a_malformed_line_is_reported_and_harms_no_other(tmp_path: Path, line: str) -> None:
    """The entry points beside it, and those of other distributions, are found."""
    write_distribution(tmp_path, "bad", f"[{GROUP}]\nbeside = x:y\n{line}\n")
    write_distribution(tmp_path, "good", f"[{GROUP}]\ngood = x:y\n")
    found = {one.error is None: one for one in find(tmp_path)}
    assert {one.name for one in find(tmp_path) if one.error is None} == {"beside", "good"}
    error = found[False].error
    assert error is not None
    assert f"line 3 of entry_points.txt in {tmp_path}" in error
    assert repr(line) in error
    assert "name = module:attribute" in error


def test_a_file_that_is_not_utf_8_is_reported(tmp_path: Path) -> None:
    """It is listed under the name of its distribution, with the place."""
    write_distribution(tmp_path, "bad", f"[{GROUP}]\nx = y:z\n# ".encode() + b"\xff\n")
    write_distribution(tmp_path, "good", f"[{GROUP}]\ngood = x:y\n")
    bad, good = find(tmp_path)
    assert (bad.name, bad.distribution, good.name) == ("bad", "bad", "good")
    assert bad.error is not None
    assert "entry_points.txt is not UTF-8, at byte 27" in bad.error


def test_a_file_that_is_not_utf_8_and_has_no_such_group_is_not_ours(tmp_path: Path) -> None:
    """What has nothing to do with the group is not reported."""
    write_distribution(tmp_path, "bad", b"[other]\nx = y:\xff\n")
    assert find(tmp_path) == []


def test_a_file_that_cannot_be_read_is_reported(tmp_path: Path) -> None:
    """Whether it has entry points of the group cannot be known."""
    information = write_distribution(tmp_path, "bad", None)
    (information / "entry_points.txt").mkdir()
    write_distribution(tmp_path, "good", f"[{GROUP}]\ngood = x:y\n")
    bad, good = find(tmp_path)
    assert (bad.name, good.name) == ("bad", "good")
    assert bad.error is not None
    assert "entry_points.txt cannot be read" in bad.error


def test_a_broken_distribution_in_an_archive_is_reported(tmp_path: Path) -> None:
    """The archive's other distributions are found."""
    archive = tmp_path / "application.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("bad-1.0.dist-info/METADATA", "Name: bad\nVersion: 1.0\n")
        file.writestr("bad-1.0.dist-info/entry_points.txt", b"\xff")
        file.writestr("good-1.0.dist-info/METADATA", "Name: good\nVersion: 1.0\n")
        file.writestr("good-1.0.dist-info/entry_points.txt", f"[{GROUP}]\nx = y:z\n")
    bad, good = find(archive)
    assert (bad.name, good.name) == ("application.zip", "x")
    assert bad.error is not None
    assert "a distribution in it cannot be read" in bad.error


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        (None, ("folder_name", "1.0")),
        (b"", ("folder_name", "1.0")),
        (b"Name: Real\n", ("Real", "1.0")),
        (b"\nName: Body\nVersion: 9\n", ("folder_name", "1.0")),
        (b"version: 2\nNAME:Other\nName: Second\n", ("Other", "2")),
        (b"Name: \xff\nVersion: 3\n", ("\N{REPLACEMENT CHARACTER}", "3")),
    ],
)
def test_missing_metadata_are_taken_from_the_name_of_the_folder(
    tmp_path: Path, metadata: bytes | None, expected: tuple[str, str]
) -> None:
    """Name and version are for messages, and a message is needed most where all is broken."""
    information = write_distribution(tmp_path, "folder-name", f"[{GROUP}]\nx = y:z\n")
    file = information / "METADATA"
    file.unlink()
    if metadata is not None:
        file.write_bytes(metadata)
    (found,) = find(tmp_path)
    assert (found.distribution, found.version) == expected
    (found,) = find(tmp_path)
    assert (found.version, found.distribution) == expected[::-1]


# From an entry point to the object that it names -------------------------------------------------


def test_a_module_and_its_attribute_are_loaded(
    tmp_path: Path, python_path: Callable[..., None], forget_modules: None
) -> None:
    """Dots lead through attributes; without an attribute it is the module."""
    (tmp_path / "found_package").mkdir()
    (tmp_path / "found_package" / "__init__.py").touch()
    (tmp_path / "found_package" / "part.py").write_text("class A:\n    class B:\n        pass\n")
    text = f"[{GROUP}]\na = found_package.part:A\nb = found_package.part : A.B [x]\nc = os\n"
    write_distribution(tmp_path, "one", text)
    python_path(tmp_path, *sys.path)
    a, b, c = (load(one) for one in find(tmp_path))
    assert (a.__qualname__, b.__qualname__, c) == ("A", "A.B", os)


def test_what_an_import_raises_passes_through(
    tmp_path: Path, python_path: Callable[..., None], forget_modules: None
) -> None:
    """Who loads says what to do about it."""
    (tmp_path / "found_raising.py").write_text("1 / 0\n")
    write_distribution(tmp_path, "one", f"[{GROUP}]\na = found_raising:C\nb = os:absent\n")
    python_path(tmp_path, *sys.path)
    a, b = find(tmp_path)
    with pytest.raises(ZeroDivisionError):
        load(a)
    with pytest.raises(AttributeError, match="absent"):
        load(b)


def test_broken_metadata_cannot_be_loaded(tmp_path: Path) -> None:
    """The error is the reason that was found."""
    write_distribution(tmp_path, "one", f"[{GROUP}]\nnothing\n")
    (found,) = find(tmp_path)
    with pytest.raises(ImportError, match="line 2 of entry_points"):
        load(found)


def test_a_value_that_is_none_cannot_be_loaded() -> None:
    """One that was made by hand is checked too."""
    with pytest.raises(ImportError, match="'a b' is not 'module:attribute'"):
        load(Found("x", "a b", location="nowhere"))


# The standard library's own search is the oracle -------------------------------------------------


@pytest.mark.parametrize("group", ["console_scripts", "pytest11", "no.such.group"])
def test_it_finds_here_what_python_finds(group: str) -> None:
    """In the environment that runs the tests, with whatever is installed in it."""
    assert described(find_entry_points(group)) == described_by_python(group)


def test_it_finds_in_a_mixed_tree_what_python_finds(
    tmp_path: Path, python_path: Callable[..., None]
) -> None:
    """Folders of both kinds, doubles, spellings, archives, eggs, and what is not there."""
    a, b = tmp_path / "a", tmp_path / "b"
    write_distribution(a, "One", f"[{GROUP}]\none = a:b\n[console_scripts]\none = x:y\n")
    write_distribution(a, "Two.Three", f"[{GROUP}]\ntwo = a:b\nthree=c:d.e\n")
    write_distribution(a, "four", "[console_scripts]\nfour = x:y\n", suffix=".egg-info")
    write_distribution(b, "ONE", f"[{GROUP}]\nother = a:b\n", version="0.1")
    write_distribution(b, "two_three", f"[{GROUP}]\nother = a:b\n", suffix=".egg-info")
    write_distribution(b, "five", f"[{GROUP}]\n# comment\n\n  two  =  v : w  [x]\n")
    write_distribution(b, "six", None)
    (b / "seven-1.0.egg-info").write_text("Name: seven\nVersion: 1.0\n")
    archive = tmp_path / "c.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for name in ("six", "eight"):
            file.writestr(f"{name}-1.0.dist-info/METADATA", f"Name: {name}\nVersion: 1.0\n")
            text = f"[{GROUP}]\n{name} = a:b\n"
            file.writestr(f"{name}-1.0.dist-info/entry_points.txt", text)
    (tmp_path / "d").symlink_to("a")
    python_path(a, b, tmp_path / "none", archive, tmp_path / "d", a)
    found = described(find_entry_points(GROUP))
    assert found == described_by_python(GROUP)
    assert [name for name, *_ in found] == ["eight", "one", "three", "two", "two"]


def test_an_editable_install_is_found(
    tmp_path: Path, fresh_python: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    """Its metadata are in site-packages, and a .pth file there leads to its source."""
    environment = tmp_path / "environment"
    venv.EnvBuilder(with_pip=False).create(environment)
    site = next(environment.glob("lib*/**/site-packages"), environment / "Lib/site-packages")
    source = tmp_path / "checkout" / "src"
    source.mkdir(parents=True)
    (source / "editable_module.py").write_text("class C:\n    pass\n")
    (site / "__editable__.one.pth").write_text(f"{source}\n")
    write_distribution(site, "one", f"[{GROUP}]\nx = editable_module:C\n")
    done = fresh_python(
        "import site, sys\n"
        "site.addsitedir(sys.argv[2])\n"
        "from nspkit._discovery import find_entry_points, load\n"
        "(found,) = find_entry_points(sys.argv[1])\n"
        "print(found.distribution, load(found).__module__)\n",
        GROUP,
        str(site),
    )
    assert done.stdout.split() == ["one", "editable_module"]


def test_the_path_finder_is_the_one_that_python_uses() -> None:
    """If it were another class, nothing would be found, and this says why."""
    assert importlib.machinery.PathFinder in sys.meta_path
