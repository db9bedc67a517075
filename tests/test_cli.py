"""The command line: what it prints, where, and how it ends.

Nearly every test runs the program itself, with providers that are installed for it alone; see the
fixture `nspkit`.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from nspkit import Catalog, ErrorCode, EventKind, Host, ProviderInfo, hookimpl

if TYPE_CHECKING:
    from conftest import Installation

click = pytest.importorskip("click", reason="the extra cli is not installed")

from click.testing import CliRunner  # noqa: E402

from nspkit.cli._ending import end  # noqa: E402
from nspkit.cli._output import Cell, Columns, printable  # noqa: E402
from nspkit.cli._program import program  # noqa: E402
from nspkit.cli._waiting import Waiting  # noqa: E402

FOUND = 'yield Service(query.name, addresses=[Address.inet("192.0.2.1")])'
UNCONFIGURED = "raise errors.NotReadyError(\"the setting 'server' is missing\")"
UNKNOWN = 'raise errors.ServiceNotFoundError("never heard of it")'
STUCK = "threading.Event().wait()\nyield"
FAILING = 'raise errors.TryAgainError("the server is busy")'


@pytest.fixture
def inside() -> Callable[..., Any]:
    """A function that runs a command in this process."""
    return lambda *arguments: CliRunner().invoke(program, list(arguments))


def columns(lines: list[str]) -> list[list[str]]:
    """The cells of lines; between two are two spaces or more."""
    return [re.split(r" {2,}", line.strip()) for line in lines]


# Looking up -------------------------------------------------------------------------------------


def test_what_is_found_is_shown_with_its_provider(nspkit: Installation) -> None:
    """Name, address, provider, in columns; exit status 0 and not a word more."""
    nspkit.add("one")
    status, output, errors = nspkit.run("lookup", "printer")
    assert (status, columns(output), errors) == (0, [["printer", "192.0.2.1", "one"]], [])


def test_rows_stand_below_each_other(nspkit: Installation) -> None:
    """Columns of a later result begin where those of the first do."""
    nspkit.add("one", 'yield Service("a")\nyield Service("b", addresses=[Address.inet("::1")])')
    _, output, _ = nspkit.run("lookup", "a.longer.name")
    assert len({line.index("one") for line in output}) == 1


def test_nothing_found_is_one_line_and_status_1(nspkit: Installation) -> None:
    """Those who were asked are named."""
    nspkit.add("one", UNKNOWN)
    nspkit.add("two", "return iter(())")
    status, output, errors = nspkit.run("lookup", "printer")
    assert (status, output) == (1, [])
    assert errors == ["nspkit: nothing found for 'printer' at one, two"]


def test_a_lone_provider_says_itself_why_it_found_nothing(nspkit: Installation) -> None:
    """Its own words tell more than a summary."""
    nspkit.add("one", UNKNOWN)
    status, _, [line] = nspkit.run("lookup", "printer")
    assert status == 1
    assert line == "nspkit: one: never heard of it [WSASERVICE_NOT_FOUND 10108]"


def test_a_provider_that_is_named_says_why_it_found_nothing(nspkit: Installation) -> None:
    """Like a lone one; the others are not heard."""
    nspkit.add("one", UNKNOWN)
    nspkit.add("two")
    _, _, [line] = nspkit.run("lookup", "printer", "-p", "one")
    assert line == "nspkit: one: never heard of it [WSASERVICE_NOT_FOUND 10108]"


def test_a_provider_with_an_empty_answer_has_found_nothing(nspkit: Installation) -> None:
    """As good as an error that says so."""
    nspkit.add("one", "return iter(())")
    assert nspkit.run("lookup", "x") == (1, [], ["nspkit: nothing found for 'x' at one"])


def test_who_has_an_answer_hears_nothing_of_the_others(nspkit: Installation) -> None:
    """Three are not configured and one knows of nothing; the answer stands alone."""
    for name in ("a", "b", "c"):
        nspkit.add(name, startup=UNCONFIGURED)
    nspkit.add("d", UNKNOWN)
    nspkit.add("one")
    status, output, errors = nspkit.run("lookup", "printer")
    assert (status, columns(output), errors) == (0, [["printer", "192.0.2.1", "one"]], [])


def test_verbose_tells_what_the_others_said(nspkit: Installation) -> None:
    """Each in one line, by name."""
    nspkit.add("a", startup=UNCONFIGURED)
    nspkit.add("b", UNKNOWN)
    nspkit.add("one")
    status, output, errors = nspkit.run("lookup", "printer", "--verbose")
    assert (status, len(output)) == (0, 1)
    assert errors == [
        "nspkit: a: the setting 'server' is missing [WSASYSNOTREADY 10091]",
        "nspkit: b: never heard of it [WSASERVICE_NOT_FOUND 10108]",
    ]


def test_a_provider_that_failed_is_one_line_beside_the_answer(nspkit: Installation) -> None:
    """The answer still counts."""
    nspkit.add("a", FAILING)
    nspkit.add("one")
    status, output, errors = nspkit.run("lookup", "printer")
    assert (status, len(output)) == (0, 1)
    assert errors == ["nspkit: a: the server is busy [WSATRY_AGAIN 11002]"]


def test_without_an_answer_a_failure_is_no_not_found(nspkit: Installation) -> None:
    """Nobody can say that the name does not exist: exit status 3."""
    nspkit.add("a", FAILING)
    nspkit.add("b", UNKNOWN)
    status, output, errors = nspkit.run("lookup", "printer")
    assert (status, output) == (3, [])
    assert errors == ["nspkit: a: the server is busy [WSATRY_AGAIN 11002]"]


def test_an_error_of_a_provider_without_a_name_for_it_is_one_line(nspkit: Installation) -> None:
    """Also one whose message has several."""
    nspkit.add("a", 'raise RuntimeError("first\\nsecond")')
    status, _, [line] = nspkit.run("lookup", "printer", "-p", "a")
    assert status == 3
    assert "first second" in line
    assert line.endswith("[WSASYSCALLFAILURE 10107]")


def test_a_provider_that_is_broken_is_told(nspkit: Installation) -> None:
    """It cannot be imported; somebody has to mend or uninstall it."""
    nspkit.add("a", top="import a_module_that_is_not_there")
    nspkit.add("one")
    status, output, [line] = nspkit.run("lookup", "printer")
    assert (status, len(output)) == (0, 1)
    assert "'a' (fake-a 1.0)" in line
    assert "a_module_that_is_not_there" in line


def test_what_two_say_alike_is_told_once(nspkit: Installation) -> None:
    """Two with one GUID both say so, and both name both."""
    nspkit.add("b", guid=nspkit.add("a"))
    _, _, [line] = nspkit.run("lookup", "printer")
    assert "'a' (fake-a 1.0) and 'b' (fake-b 1.0)" in line


def test_the_only_one_that_is_not_ready_says_why(nspkit: Installation) -> None:
    """Nobody was asked: exit status 3."""
    nspkit.add("a", startup=UNCONFIGURED)
    status, output, errors = nspkit.run("lookup", "printer")
    assert (status, output) == (3, [])
    assert errors == ["nspkit: a: the setting 'server' is missing [WSASYSNOTREADY 10091]"]


def test_several_that_are_not_ready_are_one_line(nspkit: Installation) -> None:
    """With the way to know more."""
    nspkit.add("a", startup=UNCONFIGURED)
    nspkit.add("b", UNCONFIGURED)  # it finds that out at the first lookup
    status, output, errors = nspkit.run("lookup", "printer")
    assert (status, output) == (3, [])
    assert errors == ["nspkit: no provider is ready to be asked; --verbose tells why"]


def test_without_providers_the_error_says_so(nspkit: Installation) -> None:
    """There is nobody to ask; that is not the same as not found."""
    status, _, [line] = nspkit.run("lookup", "printer")
    assert status == 3
    assert "no provider" in line


def test_a_namespace_that_nobody_serves_is_named(nspkit: Installation) -> None:
    """Not found would be wrong there too."""
    nspkit.add("one")
    status, _, [line] = nspkit.run("lookup", "printer", "--namespace", "wins")
    assert status == 3
    assert "the namespace WINS" in line


@pytest.mark.parametrize("namespace", ["4711", "NS_4711", "ns-4711", "0x1267"])
def test_a_namespace_is_a_name_or_a_number(nspkit: Installation, namespace: str) -> None:
    """However it is spelt."""
    nspkit.add("one")
    assert nspkit.run("lookup", "printer", "-n", namespace)[0] == 0


def test_a_provider_is_a_name_or_a_guid(nspkit: Installation) -> None:
    """The others are not asked."""
    guid = nspkit.add("one")
    nspkit.add("two")
    for provider in ("one", guid, f"{{{guid.upper()}}}"):
        _, output, _ = nspkit.run("lookup", "printer", "--provider", provider)
        assert columns(output) == [["printer", "192.0.2.1", "one"]]


def test_a_name_asks_for_one_module_only(nspkit: Installation) -> None:
    """A short name imports that provider's module, and no other one."""
    nspkit.add("one")
    nspkit.add("two", top="pathlib.Path('imported').touch()")
    assert nspkit.run("lookup", "printer", "--provider", "one")[0] == 0
    assert not (nspkit.folder / "imported").exists()


def test_a_class_reaches_the_provider(nspkit: Installation) -> None:
    """A DNS-SD type, and without a name everything of that class."""
    nspkit.add("one", "yield Service(f'{query.name} {query.service_type}')")
    _, output, _ = nspkit.run("lookup", "--class", "_http._tcp")
    assert columns(output) == [["None _http._tcp", "-", "one"]]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ([], "NAME"),
        ([""], "NAME"),
        (["a", "b"], "(b)"),
        (["a", "--timeout", "soon"], "--timeout: 'soon'"),
        (["a", "--timeout", "0"], "--timeout: '0'"),
        (["a", "--timeout", "-1"], "--timeout: '-1'"),
        (["a", "--timeout", "nan"], "--timeout: 'nan'"),
        (["a", "--timeout", "inf"], "--timeout: 'inf'"),
        (["a", "--timeout", "1e9"], "--timeout: '1e9'"),
        (["a", "--timeout"], "-timeout"),
        (["a", "--order", "random"], "--order: 'random'"),
        (["a", "--namespace", "nowhere"], "--namespace: 'nowhere'"),
        (["a", "--namespace", "-1"], "--namespace: '-1'"),
        (["a", "--namespace", "4294967296"], "--namespace: '4294967296'"),
        (["a", "--class", "http"], "--class is 'http'"),
        (["a", "--provider", "nosuch"], "'nosuch'"),
        (["a", "--provider", "no such"], "--provider is 'no such'"),
        (["a", "--provider", "2d0d35ed-1111-4444-8888-7c5c2ee8a1d1"], "2d0d35ed"),
        (["a", "--nonsense"], "--nonsense"),
    ],
)
def test_wrong_usage_is_one_line_and_status_2(
    nspkit: Installation, arguments: list[str], named: str
) -> None:
    """It names what is wrong; nothing else is printed."""
    nspkit.add("one")
    status, output, [line] = nspkit.run("lookup", *arguments)
    assert (status, output) == (2, [])
    assert re.match(r"nspkit: ([a-z'-]|NAME)", line)
    assert named in line


# How results look -------------------------------------------------------------------------------


def test_a_result_without_an_address_has_a_dash(nspkit: Installation) -> None:
    """So that its provider stands where it always does."""
    nspkit.add("one", 'yield Service("a b")')
    assert columns(nspkit.run("lookup", "x")[1]) == [["a b", "-", "one"]]


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ('Address.inet("192.0.2.1", 80)', "192.0.2.1:80"),
        ('Address.inet("192.0.2.1", 80, type=1)', "192.0.2.1:80/tcp"),
        ('Address.inet("192.0.2.1", 53, type=2, proto=17)', "192.0.2.1:53/udp"),
        ('Address.inet("2001:db8::1")', "2001:db8::1"),
        ('Address.inet("2001:db8::1", 80)', "[2001:db8::1]:80"),
        ('Address(1, 1, 0, "/run/a.sock")', "AF_UNIX /run/a.sock"),
        ('Address(1, 1, 0, b"\\0abstract")', "AF_UNIX \\x00abstract"),
        ('Address(99, 0, 0, ("00:11", 1))', "AF_99 00:11, 1"),
    ],
)
def test_an_address_is_written_as_one_writes_it(
    nspkit: Installation, address: str, shown: str
) -> None:
    """With port and protocol where they are known."""
    nspkit.add("one", f'yield Service("x", addresses=[{address}])')
    assert columns(nspkit.run("lookup", "x")[1]) == [["x", shown, "one"]]


def test_what_else_is_known_of_a_result_is_shown(nspkit: Installation) -> None:
    """Remarks beside it, attributes below it."""
    nspkit.add(
        "one",
        'yield Service("x", service_class="_ipp._tcp", ttl=120, version=3, context="floor 2",\n'
        '    comment="by the window", blob=b"123", flags=ResultFlags.IS_ALIAS,\n'
        '    attributes={"rp": "ipp/print", "raw": b"\\xff", "duplex": None})',
    )
    _, output, _ = nspkit.run("lookup", "x")
    remarks = "alias, _ipp._tcp, version 3, ttl 120 s, in floor 2, 3 bytes of data"
    assert columns(output[:1]) == [["x", "-", "one", remarks]]
    below = ["by the window", "rp=ipp/print", "raw=\\xff", "duplex"]
    assert output[1:] == [f"    {line}" for line in below]


def test_a_result_cannot_speak_to_the_terminal(nspkit: Installation) -> None:
    """Names come from networks; an escape sequence in one is shown, not sent."""
    nspkit.add("one", 'yield Service("a\\x1b[2Jb\\x9b1m\\n\\u202e", attributes={"\\x07": "\\r"})')
    for option in ((), ("--json",)):
        _, output, _ = nspkit.run("lookup", "x", *option)
        assert all(line.isprintable() for line in output)
    assert columns(nspkit.run("lookup", "x")[1])[0][0] == r"a\x1b[2Jb\x9b1m\n\u202e"


def test_an_error_cannot_speak_to_the_terminal(nspkit: Installation) -> None:
    """Its text may come from a network as well."""
    nspkit.add("one", 'raise errors.TryAgainError("a\\x1b[2J")')
    assert nspkit.run("lookup", "x")[2] == [r"nspkit: one: a\x1b[2J [WSATRY_AGAIN 11002]"]


def test_an_output_that_lacks_a_letter_gets_an_escape(nspkit: Installation) -> None:
    """An encoding without it is no reason to fail."""
    nspkit.add("one", 'yield Service("Bär")')
    status, output, _ = nspkit.run("lookup", "x", environment={"PYTHONIOENCODING": "ascii"})
    assert (status, columns(output)[0][0]) == (0, r"B\xe4r")


def test_letters_are_shown_as_they_are() -> None:
    """Of any script; also those that are composed."""
    for text in ("Bär", "日本", "\u0646\u0645\u06cc\u200c\u062f\u0627\u0646\u0645", "👩\u200d🔬"):
        assert printable(text) == text


def test_wide_letters_count_twice() -> None:
    """As a terminal shows them."""
    together = Columns()
    rows = [[Cell("日本"), Cell("x")], [Cell("abcd"), Cell("x")]]
    for row in rows:
        together.fit(row)
    assert [cells[1].text for cells in map(together.padded, rows)] == ["  ", "  "]


# JSON -------------------------------------------------------------------------------------------

LOOKUP_KEYS = [
    "name",
    "provider",
    "guid",
    "namespace",
    "service_class",
    "service_type",
    "addresses",
    "attributes",
    "ttl",
    "comment",
    "context",
    "version",
    "blob",
    "flags",
]


def test_json_is_an_object_a_line(nspkit: Installation) -> None:
    """Every key is there in every one."""
    guid = nspkit.add("one", f'{FOUND}\nyield Service("b", flags=ResultFlags.IS_ALIAS)')
    status, output, errors = nspkit.run("lookup", "a", "--json")
    first, second = map(json.loads, output)
    assert (status, errors) == (0, [])
    assert list(first) == list(second) == LOOKUP_KEYS
    assert (first["provider"], first["guid"], first["namespace"]) == ("one", guid, "NS_4711")
    [address] = first["addresses"]
    assert (address["host"], address["family"]) == ("192.0.2.1", "AF_INET")
    assert second["flags"] == ["alias"]


def test_json_holds_what_json_has_no_form_for(nspkit: Installation) -> None:
    """Bytes as base64, other addresses with their sockaddr."""
    nspkit.add(
        "one",
        'yield Service("a", attributes={"raw": b"\\xff", "text": "Bär", "flag": None},\n'
        '    blob=b"123", addresses=[Address(99, 0, 0, (b"x", 1))])',
    )
    found = json.loads(nspkit.run("lookup", "a", "--json")[1][0])
    assert found["attributes"] == {"raw": {"base64": "/w=="}, "text": "Bär", "flag": None}
    assert found["blob"] == {"base64": "MTIz"}
    assert found["addresses"][0]["sockaddr"] == [{"base64": "eA=="}, 1]


def test_json_leaves_errors_on_the_error_output(nspkit: Installation) -> None:
    """A program that reads it meets nothing else."""
    nspkit.add("a", FAILING)
    nspkit.add("one")
    status, output, errors = nspkit.run("lookup", "x", "--json")
    assert (status, len(output), len(errors)) == (0, 1, 1)


# As they arrive, and the end --------------------------------------------------------------------

WAIT_FOR_GO = "while not pathlib.Path('go').exists() and not cancellation.wait(0.01): pass\n"


def test_results_appear_as_they_arrive(nspkit: Installation) -> None:
    """The first can be read while its provider has not found the second."""
    nspkit.add("one", f'yield Service("first")\n{WAIT_FOR_GO}yield Service("second")')
    for option in ((), ("--json",)):
        with nspkit.start("lookup", "x", "-t", "60", *option) as process:
            assert process.stdout is not None
            assert "first" in process.stdout.readline()
            (nspkit.folder / "go").touch()
            assert "second" in process.stdout.readline()
        (nspkit.folder / "go").unlink()


@pytest.mark.parametrize(("order", "names"), [("arrival", "ba"), ("catalog", "ab")])
def test_the_order_can_be_chosen(nspkit: Installation, order: str, names: str) -> None:
    """The first provider of the catalog waits until the second has answered."""
    (nspkit.site / "meeting.py").write_text("import threading\nover = threading.Event()\n")
    nspkit.add("a", "meeting.over.wait(30)\nyield Service('a')", top="import meeting")
    nspkit.add("b", "yield Service('b')\nmeeting.over.set()", top="import meeting")
    _, output, _ = nspkit.run("lookup", "x", "--order", order)
    assert [line[0] for line in output] == list(names)


def test_a_provider_that_hangs_is_left_behind(nspkit: Installation) -> None:
    """The process ends; the error is told once, and the answer of another one counts."""
    nspkit.add("a", STUCK)
    nspkit.add("one")
    status, output, errors = nspkit.run("lookup", "x", "--timeout", "0.5")
    assert (status, len(output)) == (0, 1)
    assert errors == ["nspkit: provider 'a' did not answer within 0.5 s [WSAETIMEDOUT 10060]"]


def test_a_cleanup_that_hangs_is_told(nspkit: Installation) -> None:
    """Who waits wants to know for whom; the answer counts all the same."""
    nspkit.add("one", cleanup="threading.Event().wait()")
    status, output, [line] = nspkit.run("lookup", "x")
    assert (status, len(output)) == (0, 1)
    assert "'one'" in line
    assert "[WSAETIMEDOUT 10060]" in line


def test_cleanups_that_hang_together_are_told(nspkit: Installation) -> None:
    """In one line, as there is no time to find out about each."""
    for name in ("a", "b", "c"):
        nspkit.add(name, cleanup="threading.Event().wait()")
    status, output, errors = nspkit.run("lookup", "x", timeout=25)
    assert (status, len(output)) == (0, 3)
    assert errors == [
        "nspkit: providers did not end within 2 s; they are left behind [WSAETIMEDOUT 10060]"
    ]


def test_a_cleanup_that_fails_is_told(nspkit: Installation) -> None:
    """Whatever it raises."""
    nspkit.add("a", cleanup='raise errors.TryAgainError("not now")')
    nspkit.add("b", cleanup='raise RuntimeError("broken")')
    status, output, errors = nspkit.run("lookup", "x")
    assert (status, len(output)) == (0, 2)
    assert len(errors) == 2
    assert any("not now" in line for line in errors)
    assert any("broken" in line and "'b'" in line for line in errors)


def test_a_release_that_fails_is_told_with_its_provider(nspkit: Installation) -> None:
    """Its error is no error of nspkit, and names nobody."""
    nspkit.add("one", startup="resources.callback({}.pop, 'a key', name='a resource')")
    status, output, [line] = nspkit.run("lookup", "x")
    assert (status, len(output)) == (0, 1)
    assert "KeyError: 'a key'" in line
    assert "'one'" in line


def test_a_thread_that_a_provider_left_keeps_nobody(nspkit: Installation) -> None:
    """Python would wait for one that is no daemon, for ever."""
    nspkit.add(
        "one", startup="threading.Thread(target=threading.Event().wait, daemon=False).start()"
    )
    status, output, errors = nspkit.run("lookup", "x")
    assert (status, len(output), errors) == (0, 1, [])


def test_the_exit_waits_for_none_of_those_that_hang(nspkit: Installation) -> None:
    """In a start, in a cleanup, in a lookup: far sooner than the 30 seconds that a host has."""
    hang = "threading.Event().wait()"
    for number in range(3):
        nspkit.add(f"start{number}", startup=hang)
        nspkit.add(f"clean{number}", cleanup=hang)
        nspkit.add(f"stuck{number}", STUCK)
    status, output, errors = nspkit.run("lookup", "x", "-t", "0.5", timeout=25)
    assert (status, len(output)) == (0, 3)
    assert sum("did not answer" in line for line in errors) == 6


def test_several_that_hang_have_one_patience_together() -> None:
    """The end does not wait for each of them in turn."""
    release = threading.Event()

    def made(number: int) -> type:
        class Stuck:
            info = ProviderInfo(uuid.UUID(int=number), f"stuck-{number}", 4711, "1")

            @hookimpl
            def nsp_startup(self) -> None:
                """Acquire nothing."""

            @hookimpl
            def nsp_cleanup(self) -> None:
                """Hang until the test is over."""
                release.wait(60)

        return Stuck

    catalog = Catalog()
    for number in range(1, 6):
        catalog.install(made(number))
    host = Host(catalog=catalog)
    for entry in catalog:
        host.startup(entry.name)
    kinds: list[str] = []
    host.events.subscribe(lambda event: kinds.append(event.kind))
    try:
        end(host)
        assert kinds.count(EventKind.QUARANTINED) < len(catalog)
    finally:
        release.set()
        host.close()


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Have Ctrl-C count for the programs that are started; in the background it is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def interrupted(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Wait for the first line, press Ctrl-C, and wait for the end."""
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    return process.returncode, output, errors.strip()


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.skipif(os.name == "nt", reason="Windows has no signal to send for Ctrl-C")
def test_ctrl_c_ends_it_quietly_and_in_order(nspkit: Installation) -> None:
    """Exit status 130; the provider is cleaned up, as at any other end."""
    nspkit.add(
        "one",
        'yield Service("first")\ncancellation.wait(60)',
        cleanup="pathlib.Path('cleaned').touch()",
    )
    with nspkit.start("lookup", "x", "-t", "60") as process:
        assert interrupted(process) == (130, "", "")
    assert (nspkit.folder / "cleaned").exists()


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.skipif(os.name == "nt", reason="Windows has no signal to send for Ctrl-C")
def test_ctrl_c_leaves_behind_what_hangs(nspkit: Installation) -> None:
    """The exit status is still 130."""
    nspkit.add("one", f'yield Service("first")\n{STUCK}')
    with nspkit.start("lookup", "x", "-t", "60") as process:
        status, _, errors = interrupted(process)
    assert status == 130
    assert "Traceback" not in errors


@pytest.mark.skipif(os.name == "nt", reason="Windows tells a closed pipe in another way")
def test_a_reader_that_has_enough_ends_it_quietly(nspkit: Installation) -> None:
    """As in `nspkit lookup x | head -1`."""
    nspkit.add("one", f'yield Service("first")\n{WAIT_FOR_GO}yield Service("second")')
    with nspkit.start("lookup", "x", "-t", "60") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        (nspkit.folder / "go").touch()
        assert process.stderr.read() == ""
    assert process.returncode == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_one_line(nspkit: Installation) -> None:
    """And not one more at the exit of Python."""
    with Path("/dev/full").open("wb") as full:
        status, _, errors = nspkit.run("errors", stdout=full)
    assert status == 3
    assert errors == ["nspkit: the output cannot be written: No space left on device"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("arguments", ["--help", "lookup --help", "--version"])
def test_a_help_that_cannot_be_written_is_one_line(nspkit: Installation, arguments: str) -> None:
    """It does not go the way of the other lines."""
    with Path("/dev/full").open("wb") as full:
        status, _, errors = nspkit.run(*arguments.split(), stdout=full)
    assert status == 3
    assert errors == ["nspkit: the output cannot be written: No space left on device"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_errors_that_cannot_be_written_change_no_status(nspkit: Installation) -> None:
    """Nobody is there to be told."""
    with Path("/dev/full").open("wb") as full, nspkit.start("nonsense", stderr=full) as process:
        process.communicate(timeout=60)
    assert process.returncode == 2


def test_without_an_output_it_runs_all_the_same(
    fresh_python: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    """Python has None there when the descriptor is closed."""
    done = fresh_python(
        "import sys\nsys.argv[:] = ['nspkit', 'errors']\nsys.stdout = None\n"
        "from nspkit.cli import main\nsys.exit(main())"
    )
    assert done.stderr == ""


# On a terminal ----------------------------------------------------------------------------------


def on_a_terminal(
    nspkit: Installation,
    *arguments: str,
    when: tuple[bytes, Callable[[subprocess.Popen[str]], object]] | None = None,
    **environment: str,
) -> str:
    """What a command writes to a terminal of 80 columns.

    ``when`` is what to wait for there, and what to do then, once.
    """
    pty = pytest.importorskip("pty", reason="needs a pseudo-terminal")
    import fcntl
    import struct
    import termios

    ours, theirs = pty.openpty()
    with os.fdopen(ours, "rb", buffering=0) as screen:
        with os.fdopen(theirs, "wb", buffering=0) as terminal:
            fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
            environment = {"TERM": "xterm", "COLUMNS": "", **environment}
            process = nspkit.start(
                *arguments, stdout=terminal, stderr=terminal, environment=environment
            )
        seen = b""
        with process:
            try:
                while block := screen.read(4096):
                    seen += block
                    if when is not None and when[0] in seen:
                        when[1](process)
                        when = None
            except OSError:
                pass  # how Linux says that the other end was closed
    return seen.decode().replace("\r\n", "\n")


def test_colours_are_for_a_terminal(nspkit: Installation) -> None:
    """There, and nowhere else, even where somebody wants to force them."""
    nspkit.add("one")
    assert "\x1b[" in on_a_terminal(nspkit, "lookup", "x")
    _, output, _ = nspkit.run("lookup", "x", environment={"FORCE_COLOR": "1"})
    assert "\x1b" not in "".join(output)


def test_errors_are_coloured_on_a_terminal_too(nspkit: Installation) -> None:
    """One line there as well."""
    seen = on_a_terminal(nspkit, "lookup")
    assert "\x1b[" in seen
    assert seen.count("\n") == 1


def test_errors_are_broken_between_words_on_a_terminal(nspkit: Installation) -> None:
    """A narrow one would break them anywhere; in a file they stay whole."""
    nspkit.add("one", f'raise errors.TryAgainError("{"word " * 40}")')
    seen = on_a_terminal(nspkit, "lookup", "x", NO_COLOR="1").splitlines()
    assert len(seen) > 2
    assert max(map(len, seen)) <= 80
    assert all(line.startswith("        word word") for line in seen[1:-1])
    assert len(nspkit.run("lookup", "x")[2]) == 1


@pytest.mark.parametrize("setting", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_colours_can_be_refused(nspkit: Installation, setting: dict[str, str]) -> None:
    """By the one who looks, or by a terminal that has none."""
    nspkit.add("one")
    assert "\x1b" not in on_a_terminal(nspkit, "lookup", "x", **setting)


FOR_GO = "while not pathlib.Path('go').exists(): cancellation.wait(0.05)"


def test_a_terminal_is_told_that_a_lookup_waits(nspkit: Installation) -> None:
    """And how to end it; the line is gone before the result is written."""
    nspkit.add("one", f"yield Service('first')\n{FOR_GO}\nyield Service('last')")
    go = (b"1 found, waiting for ", lambda _process: (nspkit.folder / "go").touch())
    seen = on_a_terminal(nspkit, "lookup", "x", when=go)
    waits = re.search(r"1 found, waiting for \d+ s; Ctrl-C ends it", seen)
    assert waits is not None, seen
    said, last = waits.start(), seen.index("last")
    assert seen.index("first") < said < seen.rindex("\x1b[2K", said, last) < last
    assert seen.count("\x1b[?25l") == seen.count("\x1b[?25h")  # the cursor is seen again


def test_a_lookup_that_waits_on_a_terminal_is_ended_by_ctrl_c(nspkit: Installation) -> None:
    """The line is gone and the cursor is back."""
    nspkit.add("one", f"{FOR_GO}\nyield Service('never')")
    strike = (b"Ctrl-C ends it", lambda process: process.send_signal(signal.SIGINT))
    seen = on_a_terminal(nspkit, "lookup", "x", when=strike)
    assert "never" not in seen
    assert seen.rindex("\x1b[?25h") > seen.rindex("\x1b[?25l")
    assert seen.rindex("\x1b[2K") > seen.rindex("Ctrl-C ends it")


def test_without_a_terminal_nobody_looks_how_long_a_lookup_waits() -> None:
    """There is no thread for it."""
    with Waiting() as waiting:
        waiting.came()
        assert "nspkit-waiting" not in [thread.name for thread in threading.enumerate()]


def test_json_has_no_colours(nspkit: Installation) -> None:
    """Not even on a terminal."""
    nspkit.add("one")
    json.loads(on_a_terminal(nspkit, "lookup", "x", "--json"))


@pytest.mark.parametrize("command", ["providers", "errors", "show one"])
def test_tables_fit_a_terminal_of_80_columns(nspkit: Installation, command: str) -> None:
    """The last column goes below where it does not fit."""
    nspkit.add("one")
    nspkit.add("a_longer_name", top="import " + ".".join(["far"] * 30))
    seen = on_a_terminal(nspkit, *command.split(), NO_COLOR="1").splitlines()
    assert seen
    assert max(map(len, seen)) <= 80


# The catalog ------------------------------------------------------------------------------------


def test_providers_are_listed_with_what_is_known(nspkit: Installation) -> None:
    """Under a heading, in columns."""
    guid = nspkit.add("one")
    status, output, errors = nspkit.run("providers")
    assert (status, errors) == (0, [])
    assert columns(output) == [
        ["NAME", "STATE", "NAMESPACE", "DISTRIBUTION", "GUID"],
        ["one", "ok", "NS_4711", "fake-one 1.0", guid],
    ]


def test_a_broken_provider_is_listed_with_the_reason(nspkit: Installation) -> None:
    """Below its row; the others are well."""
    nspkit.add("a", top="import a_module_that_is_not_there")
    nspkit.add("one")
    status, output, errors = nspkit.run("providers")
    assert (status, errors, len(output)) == (0, [], 4)
    assert columns(output)[1] == ["a", "broken import", "-", "fake-a 1.0", "-"]
    assert "a_module_that_is_not_there" in output[2]
    assert columns(output)[3][:2] == ["one", "ok"]


def test_two_providers_with_one_guid_are_both_listed(nspkit: Installation) -> None:
    """Each names the other."""
    guid = nspkit.add("a")
    nspkit.add("b", guid=guid)
    _, output, _ = nspkit.run("providers", "--json")
    found = [json.loads(line) for line in output]
    assert [one["state"] for one in found] == ["duplicate", "duplicate"]
    assert all("fake-a" in one["error"] and "fake-b" in one["error"] for one in found)


PROVIDER_KEYS = [
    "name",
    "guid",
    "namespace",
    "version",
    "distribution",
    "distribution_version",
    "state",
    "error",
]
SHOW_KEYS = [
    *PROVIDER_KEYS,
    "stores_service_classes",
    "spi_version",
    "hooks",
    "dependencies",
    "traceback",
]


def test_providers_as_json_have_every_key(nspkit: Installation) -> None:
    """Broken ones too."""
    guid = nspkit.add("one")
    nspkit.add("two", top="raise SystemExit(7)")
    one, two = (json.loads(line) for line in nspkit.run("providers", "--json")[1])
    assert list(one) == list(two) == PROVIDER_KEYS
    assert (one["guid"], one["version"], one["distribution_version"]) == (guid, "2.5", "1.0")
    assert (two["guid"], two["state"]) == (None, "broken import")


def test_listing_starts_nothing(nspkit: Installation) -> None:
    """It imports, and no hook is called."""
    nspkit.add("one", startup="pathlib.Path('started').touch()")
    nspkit.run("providers")
    nspkit.run("show", "one")
    assert not (nspkit.folder / "started").exists()


def test_without_providers_the_list_says_how_to_get_some(nspkit: Installation) -> None:
    """On the error output: the list itself is empty."""
    status, output, [line] = nspkit.run("providers")
    assert (status, output) == (0, [])
    assert "nspkit.providers" in line
    assert nspkit.run("providers", "--json") == (0, [], [])


def test_a_provider_is_shown_with_what_it_can_do(nspkit: Installation) -> None:
    """Info, hooks that it has and lacks, distribution, dependencies without extras."""
    guid = nspkit.add(
        "one",
        metadata="Requires-Dist: nspkit\nRequires-Dist: other>=2\n"
        "Requires-Dist: pytest; extra == 'test'\n",
    )
    for provider in ("one", guid):
        status, output, errors = nspkit.run("show", provider)
        assert (status, errors) == (0, [])
        assert output[0] == "one"
        assert columns(output[1:]) == [
            ["state", "ok"],
            ["GUID", guid],
            ["namespace", "NS_4711 (4711)"],
            ["version", "2.5"],
            ["SPI version", "1"],
            ["distribution", "fake-one 1.0"],
            ["needs", "nspkit"],
            ["other>=2"],
            ["service classes", "stored"],
            ["hooks", "nsp_startup"],
            ["nsp_cleanup"],
            ["nsp_lookup_service"],
            ["lacks", "nsp_set_service"],
            ["nsp_install_service_class"],
            ["nsp_remove_service_class"],
            ["nsp_get_service_class_info"],
            ["nsp_notify_change"],
            ["nsp_ioctl"],
        ]


def test_a_broken_provider_is_shown_with_the_reason(nspkit: Installation) -> None:
    """The traceback of its import is for those who ask for it."""
    nspkit.source("one", "def go():\n    raise ValueError('no good')\n\ngo()\n")
    status, output, _ = nspkit.run("show", "one")
    assert (status, columns(output)[1]) == (0, ["state", "broken import"])
    assert "no good" in output[2]
    assert not any("in go" in line for line in output)
    # Not run(), which takes a traceback for an error.
    with nspkit.start("show", "one", "--verbose") as process:
        assert "in go" in process.communicate(timeout=60)[0]


def test_a_shown_provider_as_json_has_every_key(nspkit: Installation) -> None:
    """Hooks that it has and lacks; of a broken one nobody can tell."""
    nspkit.add("one")
    nspkit.add("two", top="raise SystemExit(7)")
    one, two = (json.loads(nspkit.run("show", n, "--json")[1][0]) for n in ("one", "two"))
    assert list(one) == list(two) == SHOW_KEYS
    assert one["hooks"]["nsp_lookup_service"] is True
    assert one["hooks"]["nsp_ioctl"] is False
    assert two["hooks"] is None


def test_showing_an_unknown_provider_is_wrong_usage(nspkit: Installation) -> None:
    """It says what is installed."""
    nspkit.add("one")
    status, output, [line] = nspkit.run("show", "on")
    assert (status, output) == (2, [])
    assert "did you mean 'one'?" in line


# The error codes --------------------------------------------------------------------------------


def test_every_code_is_in_the_table(inside: Callable[..., Any]) -> None:
    """By number, with symbol, class and meaning."""
    lines = inside("errors").output.splitlines()
    assert columns(lines)[0] == ["CODE", "SYMBOL", "CLASS", "MEANING"]
    assert [int(row[0]) for row in columns(lines)[1:]] == sorted(ErrorCode)
    row = ["10060", "WSAETIMEDOUT", "OperationTimeoutError", "the time ran out"]
    assert row in columns(lines)


@pytest.mark.parametrize("code", ["10060", "WSAETIMEDOUT", "wsaetimedout", "0x274c"])
def test_a_code_is_a_number_or_a_symbol(inside: Callable[..., Any], code: str) -> None:
    """And is told in full."""
    done = inside("errors", code)
    assert (done.exit_code, done.output.splitlines()) == (
        0,
        [
            "WSAETIMEDOUT (10060)",
            "  meaning  the time ran out",
            "  class    OperationTimeoutError, CleanupTimeoutError",
            "  errno    ETIMEDOUT",
        ],
    )


def test_a_code_that_two_symbols_have_is_found_by_both(inside: Callable[..., Any]) -> None:
    """Winsock has two for 11004."""
    assert inside("errors", "WSANO_ADDRESS").output == inside("errors", "11004").output


@pytest.mark.parametrize(
    ("code", "hint"),
    [("WSAETIMEDOU", "did you mean WSAETIMEDOUT?"), ("99999", "a number such as"), ("-1", "-1")],
)
def test_an_unknown_code_is_wrong_usage(nspkit: Installation, code: str, hint: str) -> None:
    """With a way out."""
    status, output, [line] = nspkit.run("errors", code)
    assert (status, output) == (2, [])
    assert hint in line


def test_codes_as_json_have_every_key(inside: Callable[..., Any]) -> None:
    """One object a line, of one code or of all."""
    [found] = map(json.loads, inside("errors", "10022", "--json").output.splitlines())
    assert found == {
        "code": 10022,
        "symbol": "WSAEINVAL",
        "meaning": "an argument or a provider is not valid",
        "classes": ["InvalidArgumentError", "ConfigurationError", "InvalidProviderError"],
        "errno": "EINVAL",
    }
    assert len(inside("errors", "--json").output.splitlines()) == len(ErrorCode)


# The program ------------------------------------------------------------------------------------


def test_the_version_is_told(nspkit: Installation) -> None:
    """As the package has it."""
    import nspkit as package

    assert nspkit.run("--version") == (0, [f"nspkit {package.__version__}"], [])


@pytest.mark.parametrize("argument", ["--version", "errors"])
def test_what_needs_no_colours_costs_little(
    argument: str, fresh_python: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    """Neither what colours text nor what reads metadata is imported."""
    done = fresh_python(
        "import sys\nsys.argv[:] = ['nspkit', *sys.argv[1:]]\nfrom nspkit.cli import main\nmain()\n"
        "print(sorted({'rich.console', 'rich.style', 'importlib.metadata'} & set(sys.modules)))",
        argument,
        bare=True,
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_without_a_command_the_usage_is_told(nspkit: Installation) -> None:
    """Like any wrong usage."""
    status, output, [line] = nspkit.run()
    assert (status, output) == (2, [])
    assert ", ".join(program.commands) in line


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_is_at_hand(inside: Callable[..., Any], option: str) -> None:
    """For the program and for every command."""
    assert inside(option).exit_code == 0
    for name in program.commands:
        assert inside(name, option).output.startswith(f"Usage: nspkit {name} ")


# The page of the reference ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def page(checkout: Path) -> str:
    """The page of the reference about the command line."""
    return (checkout / "docs/reference/cli.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("command", ["", *program.commands])
def test_the_page_shows_the_help_as_it_is(page: str, command: str) -> None:
    """Word by word; the way lines are broken is click's affair."""
    arguments = [*command.split(), "--help"]
    done = CliRunner().invoke(program, arguments, env={"COLUMNS": "80"})
    block = f"```console\n$ nspkit {' '.join(arguments)}\n{done.output.rstrip()}\n```"
    assert " ".join(block.split()) in " ".join(page.split()), f"write into the page:\n{block}"


@pytest.mark.parametrize("keys", [LOOKUP_KEYS, SHOW_KEYS], ids=["lookup", "show"])
def test_the_page_describes_every_key(page: str, keys: list[str]) -> None:
    """Each has a row of a table."""
    assert [key for key in keys if f"\n| `{key}` |" not in page] == []


@pytest.mark.parametrize(("code", "status"), [(None, 0), (0, 0), (3, 3), ("no server", 3)])
def test_who_exits_with_a_text_has_failed(
    code: object, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """As Python itself has it: the text is told, and the status is not 0."""
    from nspkit.cli._program import _status_of

    assert _status_of(SystemExit(code)) == status
    assert capsys.readouterr().err == ("no server\n" if code == "no server" else "")
