"""What the documents show is run, and what they point to is there.

The Python blocks are run by conftest.py beside README.md. Here is what makes sure that no block
escapes it. Each guard is shown a bad example.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from sybil import Sybil
from sybil.parsers.myst import PythonCodeBlockParser

RUN = "python"
KNOWN = {
    RUN: "run as a test",
    "console": "a terminal: lines with $ are typed, the others are the answer",
    "sh": "commands that are run: README's two by .ci/run, those of the tutorial by a test",
    "text": "a drawing, an output or a message",
    "toml": "settings",
}
"""The languages that a fenced block may have."""

DOORS = ("tutorial", "how-to", "reference", "explanation")


class Fence(NamedTuple):
    """One fenced block."""

    line: int
    indent: str
    info: str
    text: str


def fences(text: str) -> Iterator[Fence]:
    """The fenced blocks of a page, however they are indented."""
    opened: tuple[int, str, str, str] | None = None
    inside: list[str] = []
    for number, line in enumerate(text.splitlines(), start=1):
        found = re.match(r"(\s*(?:> ?|[-*+] |\d+\. )*\s*)(`{3,}|~{3,}|:{3,})\s*(.*)", line)
        if opened is None and found:
            opened = (number, found[1], found[2], found[3].strip())
            inside = []
        elif opened and found and found[2].startswith(opened[2]) and not found[3]:
            yield Fence(opened[0], opened[1], opened[3], "\n".join(inside))
            opened = None
        elif opened:
            inside.append(line)
    if opened:
        yield Fence(opened[0], opened[1], opened[3], "\n".join(inside))


def blocks_that_escape(text: str) -> list[str]:
    """Blocks of a page that hold Python, or could, and would not be run."""
    wrong = []
    for fence in fences(text):
        if fence.info.startswith("{"):
            if re.match(r"\{(code|code-block|sourcecode|code-cell|doctest|testcode)\}", fence.info):
                wrong.append(f"line {fence.line}: write ```python instead of {fence.info}")
        elif not fence.info:
            wrong.append(f"line {fence.line}: the block has no language; one of {sorted(KNOWN)}")
        elif fence.info not in KNOWN:
            wrong.append(f"line {fence.line}: {fence.info!r} is not one of {sorted(KNOWN)}")
        elif fence.info == RUN and fence.indent:
            wrong.append(f"line {fence.line}: a block that is run begins at the margin")
    return wrong


def skips(text: str) -> list[str]:
    """Comments that would keep a block from being run."""
    return [
        f"a comment says {found[0]!r}; what is shown is run, or it is ```text"
        for found in re.finditer(
            r"(<!--|^[ \t]*%)[ \t]*(invisible|skip|clear)\b", text, re.MULTILINE
        )
    ]


def run_blocks(path: Path) -> int:
    """How many blocks of a page the runner in conftest.py finds."""
    return len(list(Sybil(parsers=[PythonCodeBlockParser()]).parse(path).examples()))


def shown_blocks(text: str) -> int:
    """How many blocks of a page the runner should find: one, or one per prompt."""
    return sum(
        max(1, len(re.findall(r"(?m)^>>>", fence.text)))
        for fence in fences(text)
        if fence.info == RUN
    )


def slug(heading: str) -> str:
    """The anchor of a heading, as the site makes it."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def anchors(text: str) -> set[str]:
    """The anchors of a page: of its headings and those it sets itself."""
    headings = re.findall(r"^#{1,6} +(.+)$", text, re.MULTILINE)
    return {slug(heading) for heading in headings} | set(
        re.findall(r"^\(([\w-]+)\)=$", text, re.MULTILINE)
    )


def broken_links(page: Path) -> list[str]:
    """Links of a page to files or headings of this repository that are not there."""
    text = page.read_text(encoding="utf-8")
    for fence in fences(text):
        if fence.text:
            text = text.replace(fence.text, "")
    wrong = []
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        file, _, anchor = target.partition("#")
        if re.match(r"[a-z]+:", target):
            continue
        path = (page.parent / file).resolve() if file else page
        if not path.exists():
            wrong.append(f"{page.name} points to {target}, which is not there")
        elif anchor and anchor not in anchors(path.read_text(encoding="utf-8")):
            wrong.append(f"{page.name} points to {target}; the page has no such heading")
    return wrong


# This repository --------------------------------------------------------------------------------

CHECKOUT = Path(__file__).resolve().parent.parent


def documents() -> list[Path]:
    """README.md, every page of docs/ and every plugin's README.

    The README of a distribution in docs/examples is looked at by its own tests.
    """
    others = {"_build", "examples"}
    pages = [page for page in CHECKOUT.glob("docs/**/*.md") if others.isdisjoint(page.parts)]
    return [CHECKOUT / "README.md", *sorted(pages), *sorted(CHECKOUT.glob("plugins/*/README.md"))]


every_document = pytest.mark.parametrize(
    "page", documents(), ids=lambda page: page.relative_to(CHECKOUT).as_posix()
)


@every_document
def test_no_block_escapes(page: Path) -> None:
    """Every block of Python is one that is run."""
    text = page.read_text(encoding="utf-8")
    assert blocks_that_escape(text) + skips(text) == []


@every_document
def test_every_block_is_run(page: Path) -> None:
    """The runner finds as many blocks as a reader does."""
    assert run_blocks(page) == shown_blocks(page.read_text(encoding="utf-8"))


@every_document
def test_links_lead_somewhere(page: Path) -> None:
    """A file or heading that is pointed to is there."""
    assert broken_links(page) == []


def test_there_are_four_doors(checkout: Path) -> None:
    """Each door has its own first page, and the front page shows the way to it."""
    front = (checkout / "docs/index.md").read_text(encoding="utf-8")
    for door in DOORS:
        assert (checkout / "docs" / door / "index.md").exists()
        assert f"{door}/index" in front


def test_pages_are_behind_a_door(checkout: Path) -> None:
    """A page has a kind: it teaches, helps, describes or explains."""
    pages = {
        page.relative_to(checkout / "docs").as_posix()
        for page in documents()[1:]
        if page.is_relative_to(checkout / "docs")
    }
    outside = {page for page in pages if page.split("/")[0] not in DOORS}
    assert outside == {"changelog.md", "contributing.md", "index.md"}


# Bad examples -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "block",
    [
        "```\nprint()\n```",
        "```py\nprint()\n```",
        "```python3\nprint()\n```",
        "```Python\nprint()\n```",
        "```pycon\n>>> 1\n```",
        "```python title\nprint()\n```",
        "~~~py\nprint()\n~~~",
        "```{code-block} python\nprint()\n```",
        "```{doctest}\n>>> 1\n```",
        "- a list\n\n  ```python\n  print()\n  ```",
        "> ```python\n> print()\n> ```",
        "1. ```python\n   print()\n   ```",
    ],
)
def test_a_block_that_would_not_be_run_is_rejected(block: str) -> None:
    """Other spellings, other markers and other margins."""
    assert len(blocks_that_escape(f"# Page\n\n{block}\n\nText.\n")) == 1


def test_blocks_that_are_run_or_no_python_pass() -> None:
    """The guard does not cry at what is right."""
    page = "```python\nprint()\n```\n\n```text\n```\n\n```{eval-rst}\n.. note::\n```\n"
    assert blocks_that_escape(page) == []


@pytest.mark.parametrize(
    "comment",
    ["<!-- skip: next -->", "<!--skip: start", "% skip: start", "% invisible-code: python"],
)
def test_a_comment_that_skips_or_hides_a_block_is_rejected(comment: str) -> None:
    """What is shown is run, and what is run is shown."""
    assert len(skips(f"Text.\n\n{comment}\n")) == 1


def test_the_runner_counts_as_a_reader_does(tmp_path: Path) -> None:
    """Plain blocks and blocks with prompts, and a block that the runner cannot see."""
    page = tmp_path / "page.md"
    text = "```python\nx = 1\n```\n\n```python\n>>> x\n1\n>>> x + 1\n2\n```\n"
    page.write_text(text, encoding="utf-8")
    assert run_blocks(page) == shown_blocks(text) == 3
    assert shown_blocks(text + "\n  ```python\n  x\n  ```\n") == 4


@pytest.mark.parametrize("target", ["gone.md", "other.md#gone", "#gone", "../gone/"])
def test_a_link_that_leads_nowhere_is_rejected(tmp_path: Path, target: str) -> None:
    """Files and headings alike."""
    (tmp_path / "other.md").write_text("# Other\n\n## It's `code`, here\n", encoding="utf-8")
    page = tmp_path / "page.md"
    good = "[a](other.md) [b](other.md#its-code-here) [c](#page) [d](https://example.org/x#y)"
    page.write_text(f"# Page\n\n{good} [e]({target})\n", encoding="utf-8")
    assert len(broken_links(page)) == 1
