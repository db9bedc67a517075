"""The settings, and what resolv.conf says where they do not."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dns.name
import pytest
from nspkit_dns import DnsProvider, _resolvconf, _servers
from nspkit_dns._servers import server_in
from nspkit_dns._settings import settings_in

import nspkit
from nspkit import Resources
from nspkit.errors import InvalidArgumentError, ServiceNotFoundError

Ask = Callable[..., list[nspkit.Service]]
SERVER = ["192.0.2.1"]
SECRET = "c2VjcmV0"

WRONG: list[tuple[dict[str, Any], str]] = [
    ({"nameserver": SERVER}, "no setting 'nameserver'"),
    ({"nameservers": []}, "'nameservers'"),
    ({"nameservers": ["ns.example.org"]}, "numeric address"),
    ({"nameservers": ["192.0.2.1:0"]}, "numeric address"),
    ({"nameservers": ["192.0.2.1:65536"]}, "numeric address"),
    ({"nameservers": ["192.0.2.300"]}, "numeric address"),
    ({"nameservers": ["udp://192.0.2.1#name"]}, "numeric address"),
    ({"nameservers": ["tls://192.0.2.1/path"]}, "numeric address"),
    ({"nameservers": ["quic://192.0.2.1"]}, "numeric address"),
    ({"nameservers": ["192.0.2.1 "]}, "numeric address"),
    ({"nameservers": [""]}, "numeric address"),
    ({"nameservers": [1]}, "numeric address"),
    ({"nameservers": 5}, "list of addresses"),
    ({"zones": ["a"]}, "'zones'"),
    ({"zones": {"a..b": SERVER}}, "no name of the DNS"),
    ({"zones": {1: SERVER}}, "domain name"),
    ({"zones": {"a.test": []}}, "zone 'a.test.'"),
    ({"zones": {"a.test": {}}}, "zone 'a.test.'"),
    ({"zones": {"a.test": SERVER, "A.test.": SERVER}}, "twice"),
    ({"zones": {"a.test": {"nameservers": SERVER, "key": 1}}}, "'key'"),
    ({"search": "example.org"}, "'search'"),
    ({"search": ["a..b"]}, "'search'"),
    ({"ndots": -1}, "'ndots'"),
    ({"ndots": True}, "'ndots'"),
    ({"ndots": 16}, "'ndots'"),
    ({"domain": 1}, "'domain'"),
    ({"domain": ""}, "'domain'"),
    ({"search": [""]}, "'search'"),
    ({"zones": {"": SERVER}}, "'zones'"),
    ({"timeout": 0}, "'timeout'"),
    ({"timeout": "5"}, "'timeout'"),
    ({"timeout": float("nan")}, "'timeout'"),
    ({"retry": 3601}, "'retry'"),
    ({"edns": 511}, "'edns'"),
    ({"edns": 65536}, "'edns'"),
    ({"ttl": 0}, "'ttl'"),
    ({"tsig": "key"}, "'tsig'"),
    ({"tsig": {"name": "k"}}, "'tsig'"),
    ({"tsig": {"name": "k", "secret": "!"}}, "'tsig'"),
    ({"tsig": {"name": "k", "secret": ""}}, "'tsig'"),
    ({"tsig": {"name": "k", "secret": SECRET, "algorithm": "rot13"}}, "hmac-sha256"),
    ({"tsig": {"name": "k", "secret": SECRET, "algorithm": []}}, "hmac-sha256"),
    ({"tsig": {"name": "k..k", "secret": SECRET}}, "no name of the DNS"),
    ({"tls_ca": ""}, "'tls_ca'"),
    ({"resolv_conf": 1}, "'resolv_conf'"),
]


@pytest.mark.parametrize(("settings", "says"), WRONG)
def test_a_wrong_setting_is_refused_at_the_start(settings: dict[str, Any], says: str) -> None:
    """It is named, and what is right is said."""
    with Resources() as resources, pytest.raises(InvalidArgumentError, match=says):
        DnsProvider().nsp_startup(settings, resources)


def test_a_secret_is_never_told() -> None:
    """Whatever else is wrong with the key."""
    key = {"name": "k..k", "secret": SECRET}
    for wrong in (key, {**key, "algorithm": 1}, {**key, "more": 1}):
        with pytest.raises(InvalidArgumentError) as caught:
            settings_in({"tsig": wrong})
        assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "misplaced",
    [
        {"zones": [{"tsig": {"secret": SECRET}}]},
        {"zones": {"a.test": {"nameservers": {"tsig": {"secret": SECRET}}}}},
        {"nameservers": [{"tsig": {"secret": SECRET}}]},
    ],
)
def test_a_secret_in_the_wrong_place_is_not_told_either(misplaced: dict[str, Any]) -> None:
    """A table is named by its type."""
    with pytest.raises(InvalidArgumentError, match=r"is a (list|dict)") as caught:
        settings_in(misplaced)
    assert SECRET not in str(caught.value)


def test_authorities_have_to_be_certificates(tmp_path: Path) -> None:
    """A file that has none, or is not there, is refused at the start."""
    empty = tmp_path / "empty.pem"
    empty.write_text("nothing")
    for path in (empty, tmp_path / "missing.pem"):
        with Resources() as resources, pytest.raises(InvalidArgumentError, match="'tls_ca'"):
            DnsProvider().nsp_startup(
                {"nameservers": ["tls://192.0.2.1"], "tls_ca": path}, resources
            )


SERVERS = [
    ("192.0.2.1", "192.0.2.1:53"),
    ("192.0.2.1:5353", "192.0.2.1:5353"),
    ("2001:db8::1", "[2001:db8::1]:53"),
    ("::1", "[::1]:53"),
    ("[2001:db8::1]:5353", "[2001:db8::1]:5353"),
    ("tcp://192.0.2.1", "tcp://192.0.2.1:53"),
    ("tls://192.0.2.1", "tls://192.0.2.1:853"),
    ("tls://[2001:db8::1]#dns.example", "tls://[2001:db8::1]:853"),
    ("https://192.0.2.1", "https://192.0.2.1:443"),
    ("https://192.0.2.1:8443/query#dns.example", "https://192.0.2.1:8443"),
]


@pytest.mark.parametrize(("text", "shown"), SERVERS)
def test_a_server_is_written_so(text: str, shown: str) -> None:
    """Address, port, transport, path and name."""
    assert str(server_in("it", text)) == shown


def test_a_server_has_a_name_and_a_path() -> None:
    """By default its address, and the path of RFC 8484."""
    server = server_in("it", "https://192.0.2.1:8443/query#dns.example")
    assert (server.name, server.path) == ("dns.example", "/query")
    server = server_in("it", "https://192.0.2.1")
    assert (server.name, server.path) == ("192.0.2.1", "/dns-query")


# -- resolv.conf -----------------------------------------------------------------------------------


def names(domains: Any) -> list[str]:
    """Domains as texts."""
    return [domain.to_text(omit_final_dot=True) for domain in domains]


def test_resolv_conf_is_read_as_everywhere() -> None:
    """Three servers, the last search list, options; comments and what is odd are passed over."""
    text = """
# a comment
; another
nameserver 192.0.2.1
nameserver not.an.address
nameserver 2001:db8::1   # here too
nameserver 192.0.2.3
nameserver 192.0.2.4
domain old.test
search one.test  two.test a..b .
options rotate ndots:2 timeout:1
options ndots:x
nameserver
"""
    read = _resolvconf.parsed(text)
    assert list(map(str, read.servers)) == ["192.0.2.1:53", "[2001:db8::1]:53", "192.0.2.3:53"]
    assert (names(read.search), read.ndots) == (["one.test", "two.test"], 2)


def test_an_empty_resolv_conf_means_this_machine() -> None:
    """As resolv.conf(5) says, and so does none; ndots is 15 at most."""
    assert list(map(str, _resolvconf.parsed("").servers)) == ["127.0.0.1:53"]
    assert list(map(str, _resolvconf.ResolvConfFile("/nowhere/at/all").current().servers)) == [
        "127.0.0.1:53"
    ]
    assert _resolvconf.parsed("options ndots:99").ndots == 15
    assert _resolvconf.parsed("domain a.test b.test").search == (dns.name.from_text("a.test"),)


def test_resolv_conf_is_read_again_when_it_has_changed(
    asking: Callable[..., Ask], fake: Any, tools: Any, tmp_path: Path
) -> None:
    """Its search list and ndots; settings of one's own come before it."""
    path = tmp_path / "resolv.conf"
    path.write_text("search one.test\n")
    server = fake(lambda query, _: tools.reply_to(query, rcode=3))

    def asked(ask: Ask) -> list[str]:
        server.asked.clear()
        with pytest.raises(ServiceNotFoundError):
            ask("a", protocols=[(2, 0)])
        return [name for name, _ in server.questions()]

    ask = asking(nameservers=[server.address], resolv_conf=path, search=None)
    assert asked(ask) == ["a.one.test", "a"]
    path.write_text("search two.test three.test\noptions ndots:0\n")
    os.utime(path, (1, 1))
    assert asked(ask) == ["a", "a.two.test", "a.three.test"]
    path.unlink()
    assert asked(ask) == ["a"]


def test_the_servers_of_resolv_conf_are_asked(
    make_host: Any, fake: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tools: Any
) -> None:
    """At the port that name servers have; the file itself cannot say another one."""
    server = fake(lambda query, _: tools.reply_to(query, "x.test. 60 A 192.0.2.1"))
    monkeypatch.setitem(_servers.PORTS, "udp", server.port)
    path = tmp_path / "resolv.conf"
    path.write_text("nameserver 127.0.0.1\n")
    host = make_host(resolv_conf=path)
    [service] = host.lookup("x.test", provider="dns", protocols=[(2, 0)])
    assert service.name == "x.test"


# -- what a start costs ----------------------------------------------------------------------------


def test_the_module_is_light() -> None:
    """Importing it, and making an instance, loads nothing of dnspython's."""
    code = (
        "import sys, nspkit_dns; nspkit_dns.DnsProvider(); "
        "print([m for m in sys.modules if m.split('.')[0] in ('dns', 'h2', 'ssl', 'socket')])"
    )
    path = os.pathsep.join(str(Path(entry).resolve()) for entry in sys.path if entry)
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout == "[]\n"
