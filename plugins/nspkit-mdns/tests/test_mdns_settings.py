"""Settings: what is accepted, and what an interface is."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from nspkit_mdns import MdnsProvider
from nspkit_mdns._settings import settings_in

import nspkit
from nspkit.errors import InvalidArgumentError, NotReadyError


def test_the_defaults() -> None:
    """Every interface, three seconds, and an error where a name is taken."""
    assert settings_in({}) == (None, 3.0, 3.0, False)


@pytest.mark.parametrize(
    "given",
    [
        {"interface": "lo"},
        {"interfaces": "lo"},
        {"interfaces": []},
        {"interfaces": [1]},
        {"interfaces": ["a\0"]},
        {"timeout": 0},
        {"timeout": True},
        {"timeout": float("nan")},
        {"browse_time": "3"},
        {"browse_time": 1e9},
        {"conflict": "ignore"},
        {"conflict": None},
    ],
)
def test_what_is_wrong_is_named(given: dict[str, Any]) -> None:
    """With what is right."""
    with pytest.raises(InvalidArgumentError, match=repr(next(iter(given)))):
        settings_in(given)


@pytest.mark.parametrize("name", ["nowhere0", "192.0.2.1", "fe80::77", "not an address"])
def test_an_interface_that_is_not_there_is_told_at_the_start(start: Any, name: str) -> None:
    """And which ones are."""
    with pytest.raises(NotReadyError, match=r"has no interface.*127.0.0.1"):
        start(interfaces=[name])


def test_interfaces_have_names_and_addresses(start: Any, service: Any, quick: None) -> None:
    """Both mean the same, so both hosts can have it at once."""
    first, second = start(interfaces=["lo"]), start(interfaces=["127.0.0.1"])
    first.set_service(service("both"), nspkit.ServiceOperation.REGISTER)
    assert list(second.lookup("both", service_class="_nspkit._tcp"))


def test_every_interface_is_the_default(new_host: Any) -> None:
    """A loopback interface alone will do."""
    catalog = nspkit.Catalog()
    catalog.install(MdnsProvider)
    settings = {"mdns": {"timeout": 0.2}}
    with nspkit.Host(catalog=catalog, settings=settings) as host, pytest.raises(LookupError):
        list(host.lookup("nobody.local", provider="mdns"))


def test_zeroconf_is_imported_at_the_start() -> None:
    """Not by who imports the module or makes an instance."""
    code = (
        "import sys, nspkit, nspkit_mdns; nspkit_mdns.MdnsProvider();"
        "assert not {'zeroconf', 'ifaddr', 'asyncio'} & set(sys.modules);"
        "provider = nspkit_mdns.MdnsProvider(); resources = nspkit.Resources();"
        "provider.nsp_startup({}, resources); assert 'zeroconf' in sys.modules;"
        "resources.close()"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
