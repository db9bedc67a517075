"""The README's example, at a server, its role, its keys and its table of settings."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from nspkit_etcd import EtcdProvider, _settings
from nspkit_etcd._following import BEAT
from nspkit_etcd._pages import PAGE

import nspkit
from nspkit import Service, ServiceOperation
from nspkit.errors import InvalidArgumentError

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


def test_the_example_finds_what_it_registers(etcd: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """As long as it runs; then it is gone."""
    [example] = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    catalog = nspkit.Catalog()
    catalog.install(EtcdProvider)
    here = example.replace("127.0.0.1:2379", etcd.endpoint)
    assert here != example
    here = here.replace('"timeout": 5', '"timeout": 30').replace(
        'providers=["etcd"]', "catalog=catalog"
    )
    exec(compile(here, "README.md", "exec"), {"catalog": catalog})
    assert capsys.readouterr().out.splitlines() == ["web 192.0.2.80:8080"]


def test_the_table_has_every_setting() -> None:
    """With its default."""
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \| .*? \| (.*?) \|", README, re.MULTILINE)
    names = [name for cell, _ in rows for name in re.findall(r"`(\w+)`", cell)]
    with pytest.raises(InvalidArgumentError) as caught:
        _settings.settings_in({"unknown": 1})
    assert names == caught.value.message.partition("there are ")[2].split(", ")
    defaults = dict(rows)
    read = _settings.settings_in({"endpoints": "somewhere"})
    assert float(defaults["`timeout`"]) == read.timeout
    assert defaults["`prefix`"] == f"`{read.prefix}`"
    assert read.endpoints[0].port == 2379


def test_the_readme_names_the_provider_and_its_numbers() -> None:
    """Its GUID, the size of a page, and how long silence lasts."""
    assert str(EtcdProvider.info.guid) in README
    assert f"pages of {PAGE}" in README
    assert BEAT == 2, "silent for two or three seconds"


def test_keys_are_where_the_readme_says(etcd: Any, make_host: Any) -> None:
    """And the record is JSON."""
    session = make_host(endpoints=etcd.endpoint, prefix="nspkit", timeout=30).startup("etcd")
    service = Service("web", ttl=30)
    session.set_service(service, ServiceOperation.REGISTER)
    for place in ("nspkit/1/service/-/-/web", "nspkit/1/name/web/-/-"):
        assert place in etcd.ctl("get", "--prefix", "nspkit/1/", "--keys-only").split()
    assert json.loads(etcd.ctl("get", "nspkit/1/service/-/-/web", "--print-value-only"))
    session.set_service(service, ServiceOperation.DELETE)
