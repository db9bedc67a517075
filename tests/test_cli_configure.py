"""The commands that change nspkit.toml: what they write, what they leave, what they refuse."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import socket
import stat
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("click", reason="the extra cli is not installed")

from nspkit import Host
from nspkit.cli import _replacing
from nspkit.cli._lists import UneditableError, names_in, with_names
from nspkit.cli._program import program

GROUP = "nspkit.providers"
PROVIDER = """\
from nspkit import ProviderInfo, hookimpl

class Provider:
    info = ProviderInfo("{guid}", "{name}", {namespace}, "1")

    @hookimpl
    def nsp_startup(self):
        pass

    @hookimpl
    def nsp_cleanup(self):
        pass
"""

Run = Callable[..., tuple[int, list[str], list[str]]]


INSTALLED = {
    "hosts": ("7ba04807-26f8-4fac-8ddf-4498ea3974af", 11),
    "sqlite": ("8efcfdd4-ec3b-4750-b489-5e62e7e53535", 21329),
    "system": ("c7b3bea5-c100-4a9a-bc09-119e20ba91a5", 10),
}
"""GUIDs and namespaces as the bundled providers have them, since a page shows these."""


def guid(name: str) -> str:
    """The GUID of a provider of the tests."""
    return INSTALLED[name][0]


class Site:
    """A folder of installed distributions, which hides all others that have providers."""

    def __init__(self, folder: Path) -> None:
        """Put empty ones before them."""
        self.folder = folder
        folder.mkdir()
        for point in importlib.metadata.entry_points(group=GROUP):
            if point.dist is not None:
                self.distribution(point.dist.name, "")

    def add(self, name: str) -> None:
        """Install a provider."""
        module = f"configured_{name}"
        self.distribution(f"nspkit-{name}", f"[{GROUP}]\n{name} = {module}:Provider\n")
        own, namespace = INSTALLED[name]
        source = PROVIDER.format(guid=own, name=name, namespace=namespace)
        (self.folder / f"{module}.py").write_text(source, encoding="utf-8")

    def distribution(self, name: str, points: str) -> None:
        """Install a distribution of version 0.1.0 with these entry points."""
        information = self.folder / f"{name.replace('-', '_')}-0.1.0.dist-info"
        information.mkdir(exist_ok=True)
        head = f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.1.0\n"
        (information / "METADATA").write_text(head, encoding="utf-8")
        (information / "entry_points.txt").write_text(points, encoding="utf-8")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """Three providers, and an empty folder to work in."""
    site = Site(tmp_path / "site")
    work = tmp_path / "work"
    work.mkdir()
    for name in INSTALLED:
        site.add(name)
        monkeypatch.delitem(sys.modules, f"configured_{name}", raising=False)
    monkeypatch.syspath_prepend(str(site.folder))
    monkeypatch.chdir(work)
    monkeypatch.delenv("NSPKIT_CONFIG", raising=False)
    return site


@pytest.fixture
def run(site: Site, capsys: pytest.CaptureFixture[str]) -> Run:
    """A function that runs a command: exit status, lines of output, lines of errors."""

    def run(*arguments: str) -> tuple[int, list[str], list[str]]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            program.main(list(arguments))
        output, errors = capsys.readouterr()
        return int(left.value.code or 0), output.splitlines(), errors.splitlines()

    return run


@pytest.fixture
def file(site: Site) -> Path:
    """The file that is written where none is named."""
    return Path("nspkit.toml")


def cells(lines: list[str]) -> list[list[str]]:
    """The first two cells of the rows of a table, without its heading."""
    return [line.split()[:2] for line in lines[1:]]


def names(folder: Path) -> list[str]:
    """What is in a folder."""
    return sorted(path.name for path in folder.iterdir())


# What is written --------------------------------------------------------------------------------


def test_disabling_makes_the_file(run: Run, file: Path) -> None:
    """A host that is made from it does not use the provider."""
    status, output, errors = run("disable", "system")
    assert (status, file.read_text()) == (0, 'disabled = ["system"]\n')
    assert cells(output) == [["hosts", "enabled"], ["sqlite", "enabled"], ["system", "disabled"]]
    assert "--config nspkit.toml" in errors[0]
    with Host.from_file(file) as host:
        assert [one.name for one in host.providers() if one.enabled] == ["hosts", "sqlite"]


def test_enabling_takes_it_back(run: Run, file: Path) -> None:
    """The others stay disabled."""
    run("disable", "system", "hosts")
    assert run("enable", "system")[0] == 0
    assert file.read_text() == 'disabled = ["hosts"]\n'


def test_enabling_without_a_file_makes_one_that_can_be_read(run: Run, file: Path) -> None:
    """So that what is run next finds what it is told to read."""
    assert run("enable", "hosts")[0] == 0
    assert tomllib.loads(file.read_text()) == {"disabled": []}


def test_the_order_is_what_is_named_and_then_by_name(run: Run, file: Path) -> None:
    """As a host has it."""
    status, output, _ = run("order", "system")
    assert (status, file.read_text()) == (0, 'order = ["system"]\n')
    assert [name for name, _ in cells(output)] == ["system", "hosts", "sqlite"]


@pytest.mark.parametrize(
    "arguments", [["disable", "hosts"], ["enable", "hosts"], ["order", "system", "hosts"]]
)
def test_a_second_time_changes_nothing(run: Run, file: Path, arguments: list[str]) -> None:
    """The file is not even written."""
    first = run(*arguments)
    file.chmod(0o640)
    before = file.stat()
    assert run(*arguments) == first
    after = file.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_json_tells_order_and_states(run: Run) -> None:
    """A line a provider, and not a word beside that."""
    run("order", "system")
    status, output, errors = run("disable", "hosts", "--json")
    assert (status, errors) == (0, [])
    records = [json.loads(line) for line in output]
    assert records[1] == {
        "name": "hosts",
        "enabled": False,
        "distribution": "nspkit-hosts",
        "distribution_version": "0.1.0",
    }
    assert [(one["name"], one["enabled"]) for one in records] == [
        ("system", True),
        ("hosts", False),
        ("sqlite", True),
    ]


def test_nothing_is_imported_for_names(run: Run) -> None:
    """A provider whose import fails can be disabled."""
    run("disable", "hosts")
    run("order", "system")
    assert not [name for name in sys.modules if name.startswith("configured_")]


def test_a_guid_is_a_name_too(run: Run, file: Path) -> None:
    """The short name is written: that is what a reader knows."""
    assert run("disable", f"{{{guid('hosts').upper()}}}")[0] == 0
    assert file.read_text() == 'disabled = ["hosts"]\n'


def test_a_guid_in_the_file_is_the_provider_that_it_belongs_to(run: Run, file: Path) -> None:
    """It is not added again, keeps its spelling in an order, and is taken out by name."""
    text = f'order = ["{guid("system")}"]\ndisabled = ["{guid("hosts")}"]\n'
    file.write_text(text)
    run("disable", "hosts")
    run("order", "system")
    assert file.read_text() == text
    run("enable", "hosts")
    assert "disabled = []\n" in file.read_text()


def test_of_two_with_one_name_the_guid_is_written(run: Run, site: Site, file: Path) -> None:
    """The name would be refused."""
    site.distribution("other-hosts", f"[{GROUP}]\nhosts = configured_system:Provider\n")
    site.distribution("nspkit-system", "")
    assert run("disable", guid("system"))[0] == 0
    assert file.read_text() == f'disabled = ["{guid("system")}"]\n'


def test_the_variable_names_the_file(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless an option does; it is no news then where it is."""
    monkeypatch.setenv("NSPKIT_CONFIG", "other.toml")
    assert run("disable", "hosts")[2] == []
    assert run("disable", "system", "--config", "third.toml")[2] == []
    assert Path("other.toml").read_text() == 'disabled = ["hosts"]\n'
    assert Path("third.toml").read_text() == 'disabled = ["system"]\n'
    assert not Path("nspkit.toml").exists()


# What is left as it was -------------------------------------------------------------------------

FOREIGN = """\
# Providers of the office.

order = [  # the fast ones first
    # a file
    "hosts",  # always there
    "system",
    # the end
]  # three in all
disabled = ['sqlite']  # not yet

# The registry.
[providers.sqlite]
path   =   "/srv/registry.db"   # as spaced
"""


def test_an_order_moves_comments_with_their_names(run: Run, file: Path) -> None:
    """All else stays as it was, byte by byte."""
    file.write_text(FOREIGN)
    assert run("order", "system", "sqlite", "hosts")[0] == 0
    assert file.read_text() == FOREIGN.replace(
        """\
    # a file
    "hosts",  # always there
    "system",
""",
        """\
    "system",
    "sqlite",
    # a file
    "hosts",  # always there
""",
    )


def test_what_leaves_a_list_stays_as_a_comment(run: Run, file: Path) -> None:
    """Where somebody has written why it was there."""
    file.write_text(FOREIGN)
    assert run("order", "system")[0] == 0
    assert '# "hosts",  # always there\n' in file.read_text()
    assert tomllib.loads(file.read_text())["order"] == ["system"]


def test_enabling_leaves_everything_else(run: Run, file: Path) -> None:
    """Quotes, spaces and comments."""
    file.write_text(FOREIGN)
    assert run("enable", "sqlite")[0] == 0
    assert file.read_text() == FOREIGN.replace("['sqlite']", "[]")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", 'disabled = ["hosts"]\n'),
        ("# a\n", '# a\ndisabled = ["hosts"]\n'),
        ("# a", '# a\ndisabled = ["hosts"]\n'),
        ('order = ["system"] # b', 'order = ["system"] # b\ndisabled = ["hosts"]\n'),
        (
            'order = [\n"system"]\n\n[providers.system]\n',
            'order = [\n"system"]\ndisabled = ["hosts"]\n\n[providers.system]\n',
        ),
        (
            "# a\n\n# b\n[providers.system]\n",
            '# a\n\ndisabled = ["hosts"]\n\n# b\n[providers.system]\n',
        ),
        ("providers.system.a = 1\n", 'disabled = ["hosts"]\n\nproviders.system.a = 1\n'),
        ('"disabled"=["system",]\n', '"disabled"=["system", "hosts"]\n'),
        ("disabled = [ 'system' ]\n", "disabled = [ 'system', \"hosts\" ]\n"),
        ("disabled = [\n]\n", 'disabled = [\n    "hosts",\n]\n'),
        (
            'disabled = [\n  "system"\n  ]\n',
            'disabled = [\n  "system",\n  "hosts",\n  ]\n',
        ),
        (
            "disabled = [\n\t'''sys\\\ntem''' ]\n".replace("\\\n", ""),
            "disabled = [\n\t'''system''',\n\t\"hosts\",\n]\n",
        ),
    ],
)
def test_a_name_comes_where_it_belongs(run: Run, file: Path, text: str, expected: str) -> None:
    """A new list comes before the first table, and leaves that its comment."""
    file.write_text(text)
    assert run("disable", "hosts")[0] == 0
    assert file.read_text() == expected


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_files_of_other_systems_stay_as_they_are(run: Run, file: Path, mark: bytes) -> None:
    """With CRLF, and with the mark that some editors put first."""
    plain = Path("plain.toml")
    plain.write_bytes(FOREIGN.encode())
    file.write_bytes(mark + FOREIGN.replace("\n", "\r\n").encode())
    for path in ("plain.toml", "nspkit.toml"):
        assert run("enable", "sqlite", "--config", path)[0] == 0
        assert run("order", "system", "hosts", "--config", path)[0] == 0
    assert file.read_bytes() == mark + plain.read_bytes().replace(b"\n", b"\r\n")


@pytest.mark.skipif(os.name == "nt", reason="Windows has other modes")
@pytest.mark.parametrize("mode", [0o600, 0o664, 0o444 if os.geteuid() == 0 else 0o640])
def test_the_mode_is_kept(run: Run, file: Path, mode: int) -> None:
    """Settings may be secret."""
    file.write_text(FOREIGN)
    file.chmod(mode)
    run("enable", "sqlite")
    assert stat.S_IMODE(file.stat().st_mode) == mode


@pytest.mark.skipif(os.name == "nt", reason="Windows has other modes")
def test_a_new_file_has_the_mode_of_any_other(run: Run, file: Path) -> None:
    """The one of a temporary file would keep others from reading it."""
    Path("any").touch()
    run("disable", "hosts")
    assert file.stat().st_mode == Path("any").stat().st_mode


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege on Windows")
@pytest.mark.parametrize("is_there", [True, False])
def test_a_link_stays_a_link(run: Run, file: Path, *, is_there: bool) -> None:
    """The file behind it is changed, or made."""
    Path("elsewhere").mkdir()
    target = Path("elsewhere/real.toml")
    if is_there:
        target.write_text("# here\n")
    file.symlink_to(target)
    assert run("disable", "hosts")[0] == 0
    assert file.is_symlink()
    assert target.read_text() == ("# here\n" if is_there else "") + 'disabled = ["hosts"]\n'
    assert names(Path("elsewhere")) == ["real.toml"]


# What is refused --------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["enable", "disable", "order"])
@pytest.mark.parametrize(
    ("named", "message"),
    [
        (["hosts", "sytem"], "no provider 'sytem' is installed (did you mean 'system'?)"),
        (["nothing"], "installed: hosts, sqlite, system"),
        (["hosts", "hosts"], "'hosts' is named twice"),
        ([], "missing argument 'PROVIDER...'"),
    ],
)
def test_a_wrong_name_changes_nothing(
    run: Run, file: Path, command: str, named: list[str], message: str
) -> None:
    """It is wrong usage, in one line; no file is made."""
    status, output, [line] = run(command, *named)
    assert (status, output) == (2, [])
    assert message in line
    assert not file.exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("order = [\n", "nspkit.toml, line 1, key 'order': it is no TOML"),
        ('order = "hosts"\n', "nspkit.toml, line 1, key 'order': it is a string"),
        ('\ndisabled = ["system", 7]\n', "nspkit.toml, line 2, key 'disabled': 7 is an integer"),
        ("disabled.x = 1\n", "nspkit.toml, line 1, key 'disabled': it is a table"),
        ("#\n\nodrer = []\n", "nspkit.toml, line 3, key 'odrer': there is no such key"),
        ('#\norder = ["wins"]\n', "nspkit.toml, line 2, key 'order': no provider 'wins'"),
        ("[providers.wins]\n", "nspkit.toml, line 1, key 'providers.wins': no provider 'wins'"),
        (b"\n\xff", "nspkit.toml, line 2: it is not UTF-8"),
    ],
)
@pytest.mark.parametrize("command", ["enable", "disable"])
def test_a_bad_file_is_told_with_the_place_and_left(
    run: Run, file: Path, command: str, text: str | bytes, message: str
) -> None:
    """The line is the one in the file as it is."""
    before = text.encode() if isinstance(text, str) else text
    file.write_bytes(before)
    status, output, [line] = run(command, "hosts")
    assert (status, output) == (2, [])
    assert line.startswith(f"nspkit: {message}")
    assert file.read_bytes() == before
    assert names(Path()) == ["nspkit.toml"]


def test_a_bad_order_is_mended_by_a_good_one(run: Run, file: Path) -> None:
    """What counts is what the file says afterwards."""
    file.write_text('order = ["wins", "hosts"]\n')
    assert run("order", "system", "hosts")[0] == 0
    assert file.read_text() == 'order = ["system", "hosts"]\n'


def test_an_empty_name_of_a_file_is_refused(run: Run, file: Path) -> None:
    """It is a variable of the shell that was not set; the usual file is not meant."""
    status, _, [line] = run("disable", "hosts", "--config", "")
    assert (status, file.exists()) == (2, False)
    assert "--config: it is empty" in line


def test_a_folder_that_is_not_there_is_told(run: Run) -> None:
    """It is not made."""
    status, _, [line] = run("disable", "hosts", "--config", "gone/nspkit.toml")
    assert status == 3
    assert line == "nspkit: gone/nspkit.toml: it cannot be written: No such file or directory"


def test_a_folder_is_no_file(run: Run) -> None:
    """Said as any other command would say it."""
    status, _, [line] = run("disable", "hosts", "--config", ".")
    assert status == 2
    assert "cannot be read: Is a directory" in line


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="needs Unix sockets")
def test_what_is_no_file_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As root /dev/null would be gone; a socket here stands for it, which nobody misses."""
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as one:
        one.bind("nspkit.toml")
        with pytest.raises(_replacing.UnwritableFileError, match="no regular file"):
            _replacing.replace("nspkit.toml", b"", b"new", lambda _: None)
    assert Path("nspkit.toml").is_socket()


@pytest.mark.skipif(os.name == "nt", reason="Windows has other modes")
def test_a_protected_file_is_not_replaced(
    fresh_python: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    """Though its folder would let it be; root, who may write anything, becomes somebody else."""
    fresh_python(
        """
import os, tempfile
from pathlib import Path
from nspkit.cli._replacing import UnwritableFileError, replace
if os.geteuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
with tempfile.TemporaryDirectory() as folder:
    file = Path(folder, "nspkit.toml")
    file.write_bytes(b"old")
    file.chmod(0o444)
    try:
        replace(str(file), b"old", b"new", lambda _: None)
    except UnwritableFileError as error:
        assert "write-protected" in error.message, error.message
    assert (file.read_bytes(), os.listdir(folder)) == (b"old", ["nspkit.toml"])
"""
    )


def test_what_another_program_writes_meanwhile_is_kept(tmp_path: Path) -> None:
    """Of two that change a file at once, one is told to try again."""
    file = tmp_path / "nspkit.toml"
    file.write_bytes(b"old")
    with pytest.raises(_replacing.UnwritableFileError, match="at the same time"):
        _replacing.replace(str(file), b"old", b"new", lambda _: file.write_bytes(b"other"))
    assert (file.read_bytes(), names(tmp_path)) == (b"other", ["nspkit.toml"])


def test_an_interrupt_leaves_nothing_behind(tmp_path: Path) -> None:
    """Neither a part of the file nor a temporary one."""
    file = tmp_path / "nspkit.toml"
    file.write_bytes(b"old")

    def interrupted(temporary: str) -> None:
        assert Path(temporary).read_bytes() == b"new"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _replacing.replace(str(file), b"old", b"new", interrupted)
    assert (file.read_bytes(), names(tmp_path)) == (b"old", ["nspkit.toml"])


@pytest.mark.parametrize("text", ["a = [", "a = 1", "a = [1]", "a.b = 1", "a = [['x']]"])
def test_what_is_no_list_of_names_is_not_edited(text: str) -> None:
    """The reader of settings says what is wrong with it."""
    with pytest.raises(UneditableError):
        names_in(text, "a")
    with pytest.raises(UneditableError):
        with_names(text, "a", ["x"], beside="b")


NAMES = st.lists(st.sampled_from(["a", "b", "c", "d"]), unique=True)
GAPS = st.lists(st.sampled_from([" ", "\n", "\t", "# x, [\n", '# "y" ]\n']), max_size=3).map(
    "".join
)


@given(
    keys=st.permutations(["order", "disabled"]).flatmap(
        lambda keys: st.sampled_from([keys, keys[:1], []])
    ),
    items=st.lists(st.tuples(st.sampled_from("abcd"), GAPS, GAPS), unique_by=lambda item: item[0]),
    last=GAPS,
    wanted=NAMES,
)
def test_no_comment_is_lost(
    keys: list[str], items: list[tuple[str, str, str]], last: str, wanted: list[str]
) -> None:
    """Whatever a list looks like; and a second time nothing changes."""
    array = ",".join(f"{before}'{name}'{after}" for name, before, after in items)
    lists = "".join(f"{key} = [{array}{',' if items else ''}{last}] # z\n" for key in keys)
    text = f"# z\n\n{lists}# z\n[providers.a]\norder = [1] # z\n"
    changed = with_names(text, "order", wanted, beside="disabled")
    assert tomllib.loads(changed) == {**tomllib.loads(text), "order": wanted}
    for comment in ("# x, [", '# "y" ]', "# z"):
        assert changed.count(comment) == text.count(comment)
    assert changed.endswith("# z\n[providers.a]\norder = [1] # z\n")
    assert with_names(changed, "order", wanted, beside="disabled") == changed


# The other commands -----------------------------------------------------------------------------


def test_the_list_shows_the_order_and_states_of_a_file(run: Run) -> None:
    """And says nothing of it where no file is named."""
    run("order", "system")
    run("disable", "hosts")
    rows = cells(run("providers", "--config", "nspkit.toml")[1])
    assert rows == [["system", "ok"], ["hosts", "disabled"], ["sqlite", "ok"]]
    assert cells(run("providers")[1]) == [["hosts", "ok"], ["sqlite", "ok"], ["system", "ok"]]


def test_a_disabled_provider_is_shown_as_such(run: Run) -> None:
    """By name and by GUID."""
    run("disable", "hosts")
    for named in ("hosts", guid("hosts")):
        status, output, _ = run("show", named, "--config", "nspkit.toml")
        assert (status, output[1].split()) == (0, ["state", "disabled"])


def test_a_lookup_obeys_the_file(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the variable names it."""
    run("disable", "hosts")
    monkeypatch.setenv("NSPKIT_CONFIG", "nspkit.toml")
    status, _, [line] = run("lookup", "x", "--provider", "hosts")
    assert status == 2
    assert "is disabled" in line


@pytest.mark.parametrize(
    "arguments", [["lookup", "x"], ["providers"], ["show", "hosts"], ["classes"]]
)
def test_a_bad_file_is_wrong_usage_everywhere(run: Run, file: Path, arguments: list[str]) -> None:
    """With the place, and nothing is done."""
    file.write_text('order = ["wins"]\n')
    status, output, [line] = run(*arguments, "--config", "nspkit.toml")
    assert (status, output) == (2, [])
    assert line.startswith("nspkit: nspkit.toml, line 1, key 'order': no provider 'wins'")


# The page of the how-to -------------------------------------------------------------------------


def blocks(page: str, language: str) -> list[str]:
    """The fenced blocks of a page in one language."""
    return re.findall(rf"(?ms)^```{language}\n(.*?)^```$", page)


def test_the_page_shows_what_happens(run: Run, checkout: Path) -> None:
    """Every command of it is run, and answers what the page shows."""
    page = (checkout / "docs/how-to/choose-providers.md").read_text(encoding="utf-8")
    shown = "".join(blocks(page, "console"))
    commands = re.findall(r"(?m)^\$ nspkit (.*)$", shown)
    assert len(commands) >= 3
    answered = ""
    for command in commands:
        status, output, errors = run(*command.split())
        assert status == 0
        answered += "\n".join([f"$ nspkit {command}", *output, *errors, ""])
    assert " ".join(answered.split()) == " ".join(shown.split()), f"write:\n{answered}"


def test_the_file_of_the_page_is_a_good_one(checkout: Path, site: Site, file: Path) -> None:
    """It can be read, and edited."""
    page = (checkout / "docs/how-to/choose-providers.md").read_text(encoding="utf-8")
    [text] = blocks(page, "toml")
    file.write_text(text)
    with Host.from_file(file) as host:
        assert [one.name for one in host.providers() if one.enabled] == ["sqlite", "hosts"]
