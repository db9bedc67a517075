"""The table of behaviours in docs/explanation/winsock-mapping.md, and the tests that it names.

Each guard is a function that returns what is wrong as sentences. One test holds it against this
repository, and one shows it a bad example that it must reject.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import NamedTuple

import pytest

from nspkit import winsock

FOLDER = Path(__file__).resolve().parent
PAGE = FOLDER.parent.parent / "docs" / "explanation" / "winsock-mapping.md"

COUNTS = {"D": 62, "R": 34, "T": 21, "S": 17}
"""How many behaviours were collected from each kind of source."""

IDS = [f"{kind}{number:02}" for kind, count in COUNTS.items() for number in range(1, count + 1)]


class Row(NamedTuple):
    """One row of the table: a behaviour, the tests that it names, and what is said about it."""

    id: str
    tests: list[str]
    note: str


def rows_of(page: str) -> list[Row]:
    """The rows of the table of behaviours."""
    found = re.findall(r"^\| ([A-Z]\d\d) \| (.*?) \| ?(.*?) ?\|$", page, re.MULTILINE)
    return [Row(id, re.findall(r"`(\w+)`", tests), note) for id, tests, note in found]


def numbered_tests(sources: list[str]) -> dict[str, str]:
    """The tests that are named after a behaviour, each with its id."""
    numbered = {}
    for source in sources:
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.FunctionDef):
                match = re.match(r"test_([a-z]\d\d)_", node.name)
                if match:
                    numbered[node.name] = match[1].upper()
    return numbered


def faults(page: str, sources: list[str], ids: list[str]) -> list[str]:
    """What is wrong between the table and the tests."""
    rows, tests = rows_of(page), numbered_tests(sources)
    listed = [row.id for row in rows]
    wrong = [f"{id} has no row" for id in ids if id not in listed]
    wrong += [f"{id} has {listed.count(id)} rows" for id in ids if listed.count(id) > 1]
    wrong += [f"{id} is no behaviour" for id in listed if id not in ids]
    for row in rows:
        if not row.tests and not row.note:
            wrong.append(f"{row.id} has neither a test nor a reason")
        if len(row.tests) > 1:
            wrong.append(f"{row.id} names {len(row.tests)} tests; it has one")
        for test in row.tests:
            if test not in tests:
                wrong.append(f"{row.id} names {test}, which is not there")
            elif tests[test] != row.id:
                wrong.append(f"{row.id} names {test}, which is named after another one")
    named = {test for row in rows for test in row.tests}
    return wrong + [f"{test} is not in the table" for test in tests if test not in named]


def names_without_place(page: str, names: list[str]) -> list[str]:
    """Functions and classes that the page does not mention."""
    return [name for name in names if not re.search(rf"`{name}\b", page)]


def test_the_table_and_the_tests_agree() -> None:
    """Every id once, with its test or with a reason; every test with its id."""
    sources = [path.read_text(encoding="utf-8") for path in FOLDER.glob("test_*.py")]
    assert faults(PAGE.read_text(encoding="utf-8"), sources, IDS) == []


def test_there_are_as_many_behaviours_as_were_collected() -> None:
    """A regular expression that finds nothing would find no fault."""
    rows = rows_of(PAGE.read_text(encoding="utf-8"))
    assert len(rows) == sum(COUNTS.values()) == 134
    assert sum(bool(row.tests) for row in rows) > 100


def test_every_function_has_its_place_on_the_page() -> None:
    """Those of the routine table too."""
    table = [name for name in vars(winsock.NspRoutine) if name.startswith("NSP")]
    assert len(table) == 9
    names = [*winsock.__all__, *table]
    assert names_without_place(PAGE.read_text(encoding="utf-8"), names) == []


GOOD = "| A01 | `test_a01_one` | |\n| A02 | – | there is no such thing |\n"
SOURCE = "def test_a01_one(): ...\ndef test_something_else(): ...\n"


def test_a_table_that_is_right_passes() -> None:
    """The guard does not cry at what is right."""
    assert faults(GOOD, [SOURCE], ["A01", "A02"]) == []


@pytest.mark.parametrize(
    ("page", "source", "fault"),
    [
        (GOOD.replace("A02", "A03"), SOURCE, "A02 has no row"),
        (GOOD + "| A02 | – | once more |\n", SOURCE, "A02 has 2 rows"),
        (GOOD + "| A03 | – | one too many |\n", SOURCE, "A03 is no behaviour"),
        (GOOD.replace("there is no such thing ", ""), SOURCE, "A02 has neither"),
        (GOOD.replace("–", "`test_a02_gone`"), SOURCE, "A02 names test_a02_gone, which is not"),
        (GOOD.replace("–", "`test_a01_one`"), SOURCE, "A02 names test_a01_one, which is named"),
        (GOOD.replace("`test_a01_one`", "`test_a01_one`, `x`"), SOURCE, "A01 names 2 tests"),
        (GOOD, SOURCE + "def test_a02_two(): ...\n", "test_a02_two is not in the table"),
    ],
)
def test_a_table_or_a_test_that_is_wrong_is_rejected(page: str, source: str, fault: str) -> None:
    """Each kind of fault."""
    assert any(found.startswith(fault) for found in faults(page, [source], ["A01", "A02"]))


def test_a_name_without_place_is_found() -> None:
    """A longer name that begins alike is no place."""
    assert names_without_place(
        "`NSPStartup(guid)` `NSPCleanupX`", ["NSPStartup", "NSPCleanup"]
    ) == ["NSPCleanup"]
