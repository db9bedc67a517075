"""``nspkit doctor``: what it finds wrong, and that nothing which is wrong harms it.

The providers are broken for real, and the program is run for real; see the fixture `nspkit`.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from conftest import Installation

click = pytest.importorskip("click", reason="the extra cli is not installed")

from click.testing import CliRunner  # noqa: E402

from nspkit.cli._program import program  # noqa: E402

KEYS = [
    "name",
    "guid",
    "namespace",
    "version",
    "distribution",
    "distribution_version",
    "state",
    "error",
    "problems",
    "hooks",
    "dependencies",
    "import_seconds",
    "heaviest",
    "start_seconds",
    "cleanup_seconds",
    "traceback",
]

HEAD = """\
from nspkit import *

class Provider:
    info = ProviderInfo("00000000-0000-4711-8000-00000000000a", "a", 4711, "1.0")

"""

BUSY = "while True:\n    pass"
FOREVER = "import threading\nthreading.Event().wait()"
WITHOUT_WATCH = f"import faulthandler\nfaulthandler.cancel_dump_traceback_later()\n{FOREVER}"
SEGFAULT = "import ctypes\nctypes.string_at(0)"
DEAF = "os.close(1)\nos.close(2)\nos._exit(5)"


def examined(nspkit: Installation, *arguments: str) -> tuple[int, dict[str, dict[str, Any]]]:
    """The exit status, and the records by the names of the providers; there are no complaints."""
    status, output, errors = nspkit.run("doctor", *arguments, "--json")
    assert errors == []
    return status, {record["name"]: record for record in map(json.loads, output)}


def messages(record: dict[str, Any], kind: str) -> list[str]:
    """What is wrong with a provider, of one kind."""
    return [one["message"] for one in record["problems"] if one["kind"] == kind]


def text_of(nspkit: Installation, *arguments: str) -> str:
    """All output, where a traceback is expected."""
    with nspkit.start("doctor", *arguments) as process:
        return process.communicate(timeout=60)[0]


# What is well -----------------------------------------------------------------------------------


def test_what_is_well_is_one_row(nspkit: Installation) -> None:
    """Exit status 0 and not a word more."""
    nspkit.add("one")
    status, [head, row], errors = nspkit.run("doctor")
    assert (status, errors) == (0, [])
    assert head.split() == ["NAME", "STATE", "IMPORT", "DISTRIBUTION"]
    name, state, _, unit, *origin = row.split()
    assert (name, state, unit, origin) == ("one", "ok", "ms", ["fake-one", "1.0"])


def test_without_providers_the_doctor_says_how_to_get_some(nspkit: Installation) -> None:
    """Nothing is wrong."""
    status, output, [line] = nspkit.run("doctor")
    assert (status, output) == (0, [])
    assert "nspkit.providers" in line


def test_a_provider_that_is_named_is_told_of_in_full(nspkit: Installation) -> None:
    """By its short name or by its GUID, and alone."""
    guid = nspkit.add("one")
    nspkit.add("two")
    for provider in ("one", guid, f"{{{guid.upper()}}}"):
        status, [name, *output], errors = nspkit.run("doctor", provider)
        assert (status, name, errors) == (0, "one", [])
        fields = [line[:16].strip() for line in output if line[:16].strip()]
        assert fields == ["state", "GUID", "distribution", "hooks", "lacks", "import"]


def test_verbose_tells_all_in_full(nspkit: Installation) -> None:
    """Hooks that are there and hooks that are missing."""
    nspkit.add("one")
    nspkit.add("two")
    _, output, _ = nspkit.run("doctor", "--verbose")
    assert [line for line in output if line and not line.startswith(" ")] == ["one", "two"]
    assert [line.strip() for line in output].count("nsp_ioctl") == 2


def test_every_key_is_there(nspkit: Installation) -> None:
    """Of a provider that is well, and of one that nothing is known of."""
    guid = nspkit.add("one")
    nspkit.source("two", "import os\nos._exit(3)")
    status, found = examined(nspkit)
    assert status == 1
    assert list(found["one"]) == list(found["two"]) == KEYS
    one, two = found["one"], found["two"]
    assert (one["guid"], one["namespace"], one["version"]) == (guid, "NS_4711", "2.5")
    assert (one["distribution"], one["distribution_version"]) == ("fake-one", "1.0")
    assert (one["state"], one["error"], one["problems"]) == ("ok", None, [])
    assert one["hooks"]["nsp_lookup_service"] is True
    assert one["hooks"]["nsp_ioctl"] is False
    assert (two["guid"], two["hooks"], two["import_seconds"]) == (None, None, None)


# What its import does ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "said"),
    [
        pytest.param("import a_module_that_is_not_there", "ModuleNotFoundError", id="ImportError"),
        pytest.param("raise SystemExit(3)", "SystemExit", id="SystemExit"),
        pytest.param(
            "raise KeyboardInterrupt", "failed with KeyboardInterrupt;", id="KeyboardInterrupt"
        ),
        pytest.param("import os\nos._exit(3)", "ended the process with exit status 3", id="exit"),
        pytest.param("import os\nos._exit(0)", "ended the process with exit status 0", id="leave"),
        pytest.param("import os\nos.abort()", "crashed the process with SIGABRT", id="abort"),
        pytest.param(SEGFAULT, "crashed the process with SIGSEGV", id="segfault"),
        pytest.param(BUSY, "did not end within 1 s", id="busy"),
        pytest.param(FOREVER, "did not end within 1 s", id="hang"),
        pytest.param(WITHOUT_WATCH, "did not end within 1 s", id="hang unwatched"),
        pytest.param(f"import os\n{DEAF}", "exit status 5", id="closed output"),
        pytest.param(f"print('x', end='', flush=True)\n{FOREVER}", "within 1 s", id="half a line"),
        pytest.param(
            "print('\\nTimeout (0)', flush=True)\n1 / 0", "ZeroDivision", id="false alarm"
        ),
    ],
)
def test_no_import_takes_the_doctor_down(nspkit: Installation, source: str, said: str) -> None:
    """It is a broken import, with the reason; the others are examined."""
    nspkit.source("a", source)
    nspkit.add("one")
    status, found = examined(nspkit, "--timeout", "1")
    assert status == 1
    assert (found["a"]["state"], found["one"]["state"]) == ("broken import", "ok")
    [reason] = messages(found["a"], "import")
    assert said in reason
    assert found["a"]["error"] == reason


def test_the_time_of_a_step_ends_with_the_step(nspkit: Installation) -> None:
    """What comes after the import, here what writes that it is over, is not on its time."""
    slow = "import time\nwrite = os.write\nos.write = lambda *a: [time.sleep(3.2), write(*a)][1]"
    nspkit.add("a", top=slow)
    status, found = examined(nspkit, "--timeout", "3")
    assert (status, found["a"]["state"]) == (0, "ok")


@pytest.mark.parametrize(
    "source", ["raise ValueError", SEGFAULT, FOREVER], ids=["raises", "crashes", "hangs"]
)
def test_verbose_shows_where_an_import_was(nspkit: Installation, source: str) -> None:
    """Also where the process has crashed or hung; without being asked nobody is shown stacks."""
    body = source.replace("\n", "\n    ")
    nspkit.source("a", f"def go_wrong():\n    {body}\n\ngo_wrong()\n")
    assert "go_wrong" in text_of(nspkit, "a", "--verbose", "--timeout", "1")
    assert "go_wrong" not in text_of(nspkit, "a", "--timeout", "1")


def test_what_writes_without_end_is_ended(nspkit: Installation) -> None:
    """Long before the disk is full; what is shown of it is its end, not all of it."""
    nspkit.source("a", "import os\nwhile True:\n    os.write(1, b'x' * (1 << 20) + b'\\n')")
    text = text_of(nspkit, "a", "--verbose", "--timeout", "50")
    assert "importing it wrote more than 64 MiB of output" in text
    assert 100 < len(text) < 50_000


def test_the_last_words_of_a_crash_are_shown_among_megabytes(nspkit: Installation) -> None:
    """What else it has written is cut off at the front."""
    loud = "import os, sys\nprint('x' * 6_000_000)\nprint('no licence', flush=True)\nos._exit(7)"
    nspkit.source("a", loud)
    text = text_of(nspkit, "a", "--verbose")
    assert "no licence" in text
    assert len(text) < 50_000


def test_what_a_provider_prints_disturbs_nothing(nspkit: Installation) -> None:
    """Neither on its output nor between the times of the imports."""
    noise = (
        "import sys\nsys.stderr.write('half a line')\nprint('noise', flush=True)\nimport colorsys"
    )
    nspkit.add("one", top=noise)
    status, found = examined(nspkit)
    assert (status, found["one"]["state"]) == (0, "ok")
    assert "colorsys" in [weight["name"] for weight in found["one"]["heaviest"]]


def test_what_an_import_costs_is_told_by_package(nspkit: Installation) -> None:
    """The packages that it brings, with the number of their modules, and its own; they add up."""
    package = nspkit.site / "fake_weight"
    package.mkdir()
    (package / "__init__.py").write_text("from fake_weight import more\n", encoding="utf-8")
    (package / "more.py").write_text("for _ in range(300_000):\n    pass\n", encoding="utf-8")
    nspkit.add(
        "one", top="import json, fake_weight\ntry: import fake_not_there\nexcept ImportError: pass"
    )
    _, found = examined(nspkit)
    weights = {weight["name"]: weight for weight in found["one"]["heaviest"]}
    assert {"fake_weight", "fake_one", "json"} <= weights.keys()
    assert weights["fake_weight"]["modules"] == 2
    assert not {"nspkit", "difflib", "ast", "fake_not_there"} & weights.keys()
    total = sum(weight["seconds"] for weight in weights.values())
    assert total == pytest.approx(found["one"]["import_seconds"], abs=0.001)
    assert [line for line in nspkit.run("doctor", "one")[1] if "fake_weight, in 2 modules" in line]


def test_what_hangs_is_ended_with_all_that_it_has_started(nspkit: Installation) -> None:
    """A child that holds the streams of the provider neither holds up the doctor nor stays."""
    with channel(nspkit) as (path, reader):
        nspkit.source(
            "a",
            "import subprocess, sys\n"
            f"stream = open({path!r}, 'w')\n"
            "wait = 'import threading; threading.Event().wait()'\n"
            f"subprocess.Popen([sys.executable, '-c', wait], stdout=stream)\n{FOREVER}",
        )
        status, _, _ = nspkit.run("doctor", "--timeout", "1")
        assert status == 1
        assert closed(reader)


def test_ctrl_c_ends_the_examination_too(nspkit: Installation) -> None:
    """Exit status 130, and the process of the provider is gone."""
    with channel(nspkit) as (path, reader):
        nspkit.source(
            "a", f"stream = open({path!r}, 'w')\nprint('x', file=stream, flush=True)\n{FOREVER}"
        )
        with nspkit.start("doctor", "--timeout", "60") as process:
            assert select.select([reader], [], [], 30)[0]
            process.send_signal(signal.SIGINT)
            output, errors = process.communicate(timeout=30)
        assert (process.returncode, output, errors.strip()) == (130, "", "")
        assert os.read(reader, 2) == b"x\n"
        assert closed(reader)


@contextmanager
def channel(nspkit: Installation) -> Iterator[tuple[str, int]]:
    """A pipe with a name, and its reading end; that is at its end when nobody can write."""
    path = str(nspkit.folder / "channel")
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        yield path, reader
    finally:
        os.close(reader)


def closed(reader: int) -> bool:
    """Whether nobody is left who could write, or will be soon."""
    select.select([reader], [], [], 30)
    return os.read(reader, 1) == b""


# The contract -----------------------------------------------------------------------------------


WRONG = (
    HEAD
    + """\
    @hookimpl
    def nsp_startup(self, setting, *, resources):
        pass

    @hookimpl
    def nsp_cleenup(self):
        pass

    def nsp_ioctl(self):
        pass

    @hookimpl
    async def nsp_lookup_service(self, query, cancelation):
        pass
"""
)


def test_all_problems_of_the_signatures_are_told_at_once(nspkit: Installation) -> None:
    """Each in a sentence of its own, with the nearest right name."""
    nspkit.source("a", WRONG)
    status, found = examined(nspkit)
    assert (status, found["a"]["state"]) == (1, "invalid contract")
    told = messages(found["a"], "contract")
    assert len(told) == 6
    for words in (
        ("nsp_startup", "'setting'", "did you mean 'settings'?"),
        ("nsp_startup", "'resources' by keyword"),
        ("there is no nsp_cleenup", "did you mean 'nsp_cleanup'?"),
        ("nsp_ioctl has no @hookimpl",),
        ("nsp_lookup_service", "'cancelation'", "did you mean 'cancellation'?"),
        ("nsp_lookup_service is asynchronous",),
    ):
        assert [one for one in told if all(word in one for word in words)], words


def test_hooks_are_told_of_a_class_with_problems_too(nspkit: Installation) -> None:
    """Those that it has, right or wrong; one without the mark is none."""
    nspkit.source("a", WRONG)
    _, found = examined(nspkit, "a")
    there = [hook for hook, is_there in found["a"]["hooks"].items() if is_there]
    assert there == ["nsp_startup", "nsp_lookup_service"]


def test_every_problem_stands_below_its_row(nspkit: Installation) -> None:
    """In the table, and in the field of one provider."""
    nspkit.source("a", WRONG)
    assert len(nspkit.run("doctor")[1]) == 2 + 6
    assert sum("Provider.nsp_" in line for line in nspkit.run("doctor", "a")[1]) == 6


def test_another_version_of_the_interface_is_told(nspkit: Installation) -> None:
    """As a problem of its own kind."""
    nspkit.source("a", HEAD.replace('"1.0")', '"1.0", spi_version=9)'))
    status, found = examined(nspkit)
    assert (status, found["a"]["state"]) == (1, "incompatible")
    assert len(messages(found["a"], "version")) == 1


def test_a_broken_entry_point_is_told(nspkit: Installation) -> None:
    """Under whatever name it has."""
    nspkit.distribution("fake-a", "[nspkit.providers]\na = no module\n", "")
    nspkit.distribution("fake-b", "[nspkit.providers]\n= fake:Provider\n", "")
    nspkit.add("one")
    status, found = examined(nspkit)
    assert status == 1
    assert [record["state"] for record in found.values()].count("broken import") == 2
    assert found["one"]["state"] == "ok"


# Two of the same --------------------------------------------------------------------------------


def test_a_guid_that_two_have_is_told_of_both(nspkit: Installation) -> None:
    """Also where only one of them is asked about; whoever is broken clashes with nobody."""
    guid = nspkit.add("a")
    nspkit.add("b", guid=guid)
    nspkit.source("c", WRONG.replace("00000000-0000-4711-8000-00000000000a", guid))
    for arguments, names in (((), "ab"), (("a",), "a"), ((guid,), "abc")):
        status, found = examined(nspkit, *arguments)
        assert status == 1
        for name in names.replace("c", ""):
            assert found[name]["state"] == "duplicate"
            [message] = messages(found[name], "guid")
            assert found[name]["error"] == message
            assert "'a' (fake-a 1.0) and 'b' (fake-b 1.0)" in message
        assert not any(messages(found[name], "guid") for name in found if name == "c")
        if arguments:
            assert list(found) == list(names)


def test_a_name_that_two_have_is_told_of_both(nspkit: Installation) -> None:
    """Each is reached by its GUID only, here too."""
    guid = nspkit.add("a")
    nspkit.add("b")
    nspkit.distribution("fake-c", "[nspkit.providers]\na = fake_b:Provider\n", "")
    (nspkit.site / "fake_b-1.0.dist-info" / "entry_points.txt").unlink()
    status, output, _ = nspkit.run("doctor", "--json")
    records = [json.loads(line) for line in output]
    assert (status, [record["state"] for record in records]) == (1, ["ok", "ok"])
    for record in records:
        [message] = messages(record, "name")
        assert "'a' (fake-a 1.0) and 'a' (fake-c 1.0)" in message
    status, output, [line] = nspkit.run("doctor", "a")
    assert (status, output) == (2, [])
    assert "use the GUID" in line
    _, [alone], _ = nspkit.run("doctor", guid, "--json")
    assert json.loads(alone)["distribution"] == "fake-a"


# Dependencies -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("needs", "said"),
    [
        ("Requires-Dist: fake-missing>=2", "fake-a needs fake-missing>=2, which is not installed"),
        ("Requires-Dist: fake_other>=2", "fake-a needs fake_other>=2, and 1.0 is installed"),
        (
            "Requires-Dist: fake-deep",
            "fake-a needs fake-deep, which needs fake-missing, which is not installed",
        ),
        (
            "Requires-Dist: fake-other[more]",
            "fake-a needs fake-other, which needs fake-extra, which is not installed",
        ),
        ("Requires-Dist: fake-other >>> 2", "fake-a has a requirement that cannot be read"),
        ("Requires-Python: >=9", "fake-a needs Python >=9, and this is 3."),
    ],
)
def test_a_dependency_that_is_not_there_is_told(
    nspkit: Installation, needs: str, said: str
) -> None:
    """Whose it is, what is there instead, and the way out; the import may do well without."""
    nspkit.distribution("fake-other", "", "Requires-Dist: fake-extra; extra == 'more'\n")
    nspkit.distribution("fake-deep", "", "Requires-Dist: fake-missing\nRequires-Dist: fake-a\n")
    nspkit.add("a", metadata=f"{needs}\n")
    status, found = examined(nspkit)
    assert (status, found["a"]["state"]) == (1, "ok")
    [message] = messages(found["a"], "dependency")
    assert message.startswith(said)
    assert nspkit.run("doctor", "a")[0] == 1


def test_what_is_there_or_not_needed_here_is_no_problem(nspkit: Installation) -> None:
    """Versions that fit, other platforms, extras that nobody asks for, circles."""
    nspkit.distribution("fake-other", "", "Requires-Dist: fake-a\nRequires-Python: >=3.9\n")
    needs = ["fake.Other>=1,<2", "fake-b; sys_platform == 'os2'", "fake-c; extra == 'test'"]
    nspkit.add("a", metadata="".join(f"Requires-Dist: {need}\n" for need in needs))
    status, found = examined(nspkit)
    assert (status, found["a"]["problems"]) == (0, [])
    assert found["a"]["dependencies"] == [
        {"requirement": "fake.Other>=1,<2", "installed": "1.0", "problem": None}
    ]
    line = next(line for line in nspkit.run("doctor", "a")[1] if "needs" in line)
    assert line.split(maxsplit=1)[1] == "fake.Other>=1,<2: 1.0 is installed"


# Starting ---------------------------------------------------------------------------------------


def test_nothing_is_started_without_being_asked_for(nspkit: Installation) -> None:
    """It is imported only."""
    nspkit.add("one", startup="pathlib.Path('started').touch()")
    _, found = examined(nspkit)
    assert (found["one"]["start_seconds"], found["one"]["cleanup_seconds"]) == (None, None)
    assert not (nspkit.folder / "started").exists()


def test_what_starts_and_ends_is_well(nspkit: Installation) -> None:
    """Once; how long it takes is told."""
    nspkit.add(
        "one",
        startup="pathlib.Path('log').open('a').write('startup ')",
        cleanup="pathlib.Path('log').open('a').write('cleanup ')",
    )
    nspkit.environment["PYTHONWARNINGS"] = "ignore"
    status, found = examined(nspkit, "--start")
    assert status == 0
    assert found["one"]["start_seconds"] > 0
    assert found["one"]["cleanup_seconds"] > 0
    assert (nspkit.folder / "log").read_text(encoding="utf-8") == "startup cleanup "
    fields = [line.split()[0] for line in nspkit.run("doctor", "one", "--start")[1]]
    assert fields[-2:] == ["start", "cleanup"]


@pytest.mark.parametrize(
    ("startup", "said"),
    [
        ('raise ValueError("no good")', "no good"),
        ("raise errors.NotReadyError(\"the setting 'server' is missing\")", "'server' is missing"),
        ("raise SystemExit(3)", "SystemExit"),
        ("raise KeyboardInterrupt", "nsp_startup let KeyboardInterrupt out"),
        ("raise GeneratorExit('no')", "no"),
        ("os._exit(3)", "nsp_startup ended the process with exit status 3"),
        ("os.abort()", "nsp_startup crashed the process with SIGABRT"),
        ("threading.Event().wait()", "nsp_startup did not end within 1 s"),
    ],
)
def test_a_start_that_fails_is_told(nspkit: Installation, startup: str, said: str) -> None:
    """However it fails; the others are started."""
    nspkit.add("a", startup=startup)
    nspkit.add("one")
    status, found = examined(nspkit, "--start", "--timeout", "1")
    assert (status, found["a"]["state"]) == (1, "failed start")
    [message] = messages(found["a"], "start")
    assert said in message
    assert found["a"]["start_seconds"] is None
    assert "_exit" in startup or "in nsp_startup" in found["a"]["traceback"]
    assert found["one"]["start_seconds"] is not None


@pytest.mark.parametrize(
    ("cleanup", "state", "said"),
    [
        ('raise ValueError("no good")', "ok", "no good"),
        ("raise KeyboardInterrupt", "ok", "nsp_cleanup let KeyboardInterrupt out"),
        ("threading.Event().wait()", "quarantined", "did not end within 1"),
        ("os._exit(3)", "quarantined", "nsp_cleanup ended the process with exit status 3"),
    ],
)
def test_a_cleanup_that_fails_is_told(
    nspkit: Installation, cleanup: str, state: str, said: str
) -> None:
    """One that hangs is what puts a provider into quarantine."""
    nspkit.add("a", cleanup=cleanup)
    status, found = examined(nspkit, "--start", "--timeout", "1")
    assert (status, found["a"]["state"]) == (1, state)
    [message] = messages(found["a"], "cleanup")
    assert said in message
    assert found["a"]["start_seconds"] is not None
    assert found["a"]["cleanup_seconds"] is None


@pytest.mark.parametrize("is_named_by_guid", [False, True])
def test_settings_come_out_of_the_file(nspkit: Installation, is_named_by_guid: bool) -> None:
    """Under the short name or the GUID."""
    needy = "settings['server']"
    nspkit.add("a", startup="pass")
    guid = nspkit.add("one")
    module = nspkit.site / "fake_one.py"
    source = module.read_text(encoding="utf-8")
    source = source.replace("(self, resources):\n        pass", f"(self, settings): {needy}")
    module.write_text(source, encoding="utf-8")
    assert nspkit.run("doctor", "--start")[0] == 1
    name = f'"{guid}"' if is_named_by_guid else "one"
    text = f'order = ["one"]\n[providers.{name}]\nserver = "there"\n'
    (nspkit.folder / "nspkit.toml").write_text(text, encoding="utf-8")
    status, found = examined(nspkit, "--start", "--config", "nspkit.toml")
    assert (status, list(found)) == (0, ["one", "a"])


# The file of settings ---------------------------------------------------------------------------


def test_what_is_disabled_is_no_problem(nspkit: Installation) -> None:
    """Neither by itself nor for others; what is wrong with it is told to who asks for it."""
    guid = nspkit.add("a")
    nspkit.add("b", guid=guid)
    nspkit.source("c", "import a_module_that_is_not_there")
    text = f'disabled = ["b", "c"]\norder = ["{guid}"]\n'
    (nspkit.folder / "nspkit.toml").write_text(text, encoding="utf-8")
    nspkit.environment["NSPKIT_CONFIG"] = "nspkit.toml"
    status, found = examined(nspkit, "--start")
    states = {name: record["state"] for name, record in found.items()}
    assert (status, states) == (0, {"a": "ok", "b": "disabled", "c": "disabled"})
    assert found["b"]["start_seconds"] is None
    status, found = examined(nspkit, "c")
    assert (status, found["c"]["state"]) == (1, "disabled")
    assert len(messages(found["c"], "import")) == 1


def test_a_wrong_file_is_wrong_usage(nspkit: Installation) -> None:
    """With the place in it."""
    nspkit.add("one")
    (nspkit.folder / "nspkit.toml").write_text('order = ["noe"]\n', encoding="utf-8")
    status, output, [line] = nspkit.run("doctor", "--config", "nspkit.toml")
    assert (status, output) == (2, [])
    assert "line 1" in line
    assert "did you mean 'one'?" in line


# Wrong usage, and failures of its own -----------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["on"], "did you mean 'one'?"),
        (["00000000-0000-0000-0000-000000000001"], "no provider with the GUID"),
        (["--timeout", "0"], "--timeout"),
    ],
)
def test_who_is_not_installed_is_wrong_usage(
    nspkit: Installation, arguments: list[str], said: str
) -> None:
    """One line, with the way out."""
    nspkit.add("one")
    status, output, [line] = nspkit.run("doctor", *arguments)
    assert (status, output) == (2, [])
    assert said in line


@pytest.mark.parametrize(
    ("interpreter", "said"),
    [("/nonexistent/python", "No such file"), ("false", "ended the process with exit status 1")],
)
def test_an_examination_that_cannot_be_made_is_no_diagnosis(
    monkeypatch: pytest.MonkeyPatch,
    nspkit: Installation,
    program_path: dict[str, str],
    interpreter: str,
    said: str,
) -> None:
    """Exit status 3: nothing is known of any provider."""
    nspkit.add("one")
    monkeypatch.syspath_prepend(str(nspkit.site))
    monkeypatch.setattr(sys, "executable", program_path.get(interpreter, interpreter))
    done = CliRunner().invoke(program, ["doctor"])
    assert done.exit_code == 3
    assert "nothing can be examined" in done.stderr
    assert said in done.stderr


@pytest.fixture
def program_path() -> dict[str, str]:
    """Where programs are that are there on every system of this kind."""
    found = (Path(folder) / "false" for folder in ("/bin", "/usr/bin"))
    return {"false": str(next(path for path in found if path.exists()))}


# The page of the reference ----------------------------------------------------------------------


def test_the_page_describes_every_key(checkout: Path) -> None:
    """Each has a row of a table."""
    page = (checkout / "docs/reference/cli.md").read_text(encoding="utf-8")
    section = page.partition("Of `doctor`")[2]
    assert [key for key in KEYS[8:] if f"\n| `{key}` |" not in section] == []
