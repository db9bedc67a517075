"""The README's example, at a server that has what it asks for, and its table of settings."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from nspkit_dns import DnsProvider, _settings

import nspkit

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


def test_the_example_finds_what_is_there(named: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """A host with its addresses, and a service with its attributes."""
    [example] = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    catalog = nspkit.Catalog()
    catalog.install(DnsProvider)
    here = example.replace("127.0.0.1:5300", named.address)
    assert here != example
    here = here.replace('providers=["dns"]', "catalog=catalog")
    exec(compile(here, "README.md", "exec"), {"catalog": catalog})
    assert capsys.readouterr().out.splitlines() == [
        "www.example.org 60 192.0.2.80 2001:db8::80",
        "Start {'path': '/'} 8080",
    ]


def test_the_table_has_every_setting() -> None:
    """In the order of the code, with its defaults."""
    rows = re.findall(r"^\| `(\w+)` \| .*? \| (.*?) \|", README, re.MULTILINE)
    assert tuple(name for name, _ in rows) == _settings._NAMES
    defaults = dict(rows)
    read = _settings.settings_in({})
    for name in ("timeout", "retry", "edns", "ttl"):
        assert float(defaults[name]) == getattr(read, name)
    assert defaults["resolv_conf"] == f"`{read.resolv_conf}`"


def test_the_readme_names_the_provider() -> None:
    """With its GUID."""
    assert str(DnsProvider.info.guid) in README
