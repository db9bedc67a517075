"""The README's example, at a real server, and its table of settings."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from nspkit_redis import RedisProvider
from nspkit_redis._settings import redis_settings_in

import nspkit
from nspkit.errors import InvalidArgumentError

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


def test_the_example_finds_what_is_there(servers: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """What it registers, and nothing is left of it."""
    server = servers().start()
    [example] = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    catalog = nspkit.Catalog()
    catalog.install(RedisProvider)
    here = example.replace("127.0.0.1:6379", server.address)
    here = here.replace('providers=["redis"]', "catalog=catalog")
    assert here.count(server.address) == here.count("catalog=catalog") == 1
    exec(compile(here, "README.md", "exec"), {"catalog": catalog})
    assert capsys.readouterr().out.splitlines() == ["web 8080"]
    assert server.cli("EXISTS", "{nspkit}:1:paths") == "0"


def test_the_commands_show_what_is_there(servers: Any, host: Any) -> None:
    """The index, and the record of an entry."""
    server = servers().start()
    web = nspkit.Service("web", service_class="_http._tcp", attributes={"path": "/"})
    host(endpoints=server.address, prefix="nspkit").set_service(
        web, nspkit.ServiceOperation.REGISTER
    )
    commands = re.findall(r"^\$ redis-cli (.*)$", README, re.MULTILINE)
    first, second = (server.cli(*command.split()) for command in commands)
    assert commands[1].endswith(first)
    assert re.fullmatch(r'\d+ \{"attributes":\{"path":"/"\},.*\}', second)


def test_the_table_has_every_setting() -> None:
    """In the order of the code, with its defaults."""
    rows = re.findall(r"^\| `(\w+)` \| .*? \| (.*?) \|", README, re.MULTILINE)
    with pytest.raises(InvalidArgumentError) as caught:
        redis_settings_in({"unknown": 1})
    [names] = re.findall(r"there are (.*?)(?: \[|$)", str(caught.value))
    assert [name for name, _ in rows] == names.split(", ")
    defaults = dict(rows)
    read = redis_settings_in({"endpoints": "localhost"})
    assert float(defaults["timeout"]) == read.common.timeout
    assert float(defaults["interval"]) == read.interval
    assert int(defaults["database"]) == read.database
    assert defaults["prefix"] == f"`{read.common.prefix}`"


def test_the_readme_names_the_provider() -> None:
    """With its GUID."""
    assert str(RedisProvider.info.guid) in README
