"""What ``/etc/resolv.conf`` says: name servers, the search list, and ``ndots``."""

from __future__ import annotations

import contextlib
import os
from typing import NamedTuple

import dns.name

from nspkit.errors import InvalidArgumentError
from nspkit_dns._names import name_in
from nspkit_dns._servers import Server, server_in

_MOST = 64 * 1024
_MOST_SERVERS = 3
_MOST_DOMAINS = 32
_HIGHEST_NDOTS = 15


class ResolvConf(NamedTuple):
    """What the file says, or what holds without one."""

    servers: tuple[Server, ...] = ()
    search: tuple[dns.name.Name, ...] = ()
    ndots: int = 1


class ResolvConfFile:
    """The file, which is read again when it has changed."""

    def __init__(self, path: str) -> None:
        """Remember the path; nothing is read yet."""
        self.path = path
        self._read: tuple[object, ResolvConf] | None = None

    def current(self) -> ResolvConf:
        """Return what it says now; a missing file says nothing (resolv.conf(5))."""
        try:
            stat = os.stat(self.path)  # noqa: PTH116 - each lookup does it
        except OSError:
            return ResolvConf(_local())
        mark = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
        read = self._read
        if read is None or read[0] != mark:
            try:
                with open(self.path, encoding="utf-8", errors="replace") as file:  # noqa: PTH123
                    read = (mark, parsed(file.read(_MOST)))
            except OSError:
                return ResolvConf(_local())
            self._read = read
        return read[1]


def parsed(text: str) -> ResolvConf:
    """Return what a text says; as everywhere, what is not understood is passed over."""
    servers: list[Server] = []
    search: tuple[dns.name.Name, ...] = ()
    ndots = 1
    for line in text.splitlines():
        words = line.split()
        if len(words) < 2 or words[0][0] in "#;":
            continue
        if words[0] == "nameserver" and len(servers) < _MOST_SERVERS:
            with contextlib.suppress(InvalidArgumentError):
                servers.append(server_in("a nameserver of resolv.conf", _plain(words[1])))
        elif words[0] in ("search", "domain"):  # the last one counts
            search = _domains(words[1:] if words[0] == "search" else words[1:2])
        elif words[0] == "options":
            for word in words[1:]:
                option, _, number = word.partition(":")
                if option == "ndots" and number.isascii() and number.isdecimal():
                    ndots = min(int(number[:4]), _HIGHEST_NDOTS)
    return ResolvConf(tuple(servers) or _local(), search, ndots)


def _plain(word: str) -> str:
    """Return a word that is an address and nothing more."""
    return f"[{word}]" if ":" in word else word


def _domains(words: list[str]) -> tuple[dns.name.Name, ...]:
    found = []
    for word in words[:_MOST_DOMAINS]:
        with contextlib.suppress(InvalidArgumentError):
            name = name_in(word)
            if name != dns.name.root:
                found.append(name)
    return tuple(found)


def _local() -> tuple[Server, ...]:
    if os.name == "nt":  # the registry says, and dnspython reads it
        import dns.resolver

        with contextlib.suppress(Exception):
            servers = dns.resolver.get_default_resolver().nameservers
            return tuple(server_in("a name server", _plain(str(one))) for one in servers)
    return (server_in("the name server", "127.0.0.1"),)
