"""The README's example, at a real server, and its tables."""

from __future__ import annotations

import re
import uuid
from pathlib import Path
from typing import Any

import pytest
from nspkit_zookeeper import ZookeeperProvider, _settings

import nspkit
from nspkit.errors import InvalidArgumentError

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


def test_the_example_registers_and_finds(shared: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """At a server that is there."""
    [example] = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    catalog = nspkit.Catalog()
    catalog.install(ZookeeperProvider)
    own = f'"{shared.address}"], "prefix": "readme-{uuid.uuid4()}"'
    here = example.replace('"127.0.0.1:2181"]', own)
    assert here != example
    here = here.replace('providers=["zookeeper"]', "catalog=catalog")
    exec(compile(here, "README.md", "exec"), {"catalog": catalog})
    assert capsys.readouterr().out == "web 8080\n"


def test_the_table_has_every_setting() -> None:
    """All that the code takes."""
    [table] = re.findall(r"\| setting \|(.*?)\n\n", README, re.DOTALL)
    cells = re.findall(r"^\| (`.*?`) \|", table, re.MULTILINE)
    told = {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}
    with pytest.raises(InvalidArgumentError) as caught:
        _settings.zookeeper_settings({"no such": 1})
    taken = str(caught.value).partition("there are ")[2].partition(" [")[0]
    assert told == set(taken.split(", "))


def test_the_readme_names_the_provider() -> None:
    """With its GUID."""
    assert str(ZookeeperProvider.info.guid) in README


def test_the_defaults_are_those_of_the_code() -> None:
    """As they are told in the table."""
    read = _settings.zookeeper_settings({"endpoints": "localhost"})
    assert (read.prefix, read.timeout, _settings.session_timeout_in(read)) == ("nspkit", 5, 10)
    assert str(read.endpoints[0]) == "localhost:2181"
    for row in ("| `nspkit` |", "| 5 |", "| 10 |"):
        assert row in README
