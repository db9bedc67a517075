"""A hosts file of 100,000 entries: one lookup in it, by `nspkit-hosts` and by the C library.

The C library reads ``/etc/hosts`` and no other, so a child puts the large file there in a mount
namespace of its own, and a resolver configuration that asks files only. Nobody else sees either.
The child measures on demand: it is told what, and how many times, and answers with the seconds.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from time import perf_counter
from typing import Any

from fresh import CLOCK

ENTRIES = 100_000
CASES = ("nspkit", "getaddrinfo")
TIMES = {"nspkit": 500, "getaddrinfo": 3}
NAME = f"host-{ENTRIES // 2}.example.org"
"""What is looked for is in the middle; the C library reads the whole file for any name."""

_HOLD = (
    'mount --bind "$1" /etc/hosts && mount --bind "$2" /etc/nsswitch.conf && shift 2 && exec "$@"'
)


def start(stack: ExitStack, folder: Path) -> subprocess.Popen[str] | None:
    """Start the child; None where it cannot have a mount namespace, or the plugin is missing."""
    hosts, switch = folder / "hosts", folder / "nsswitch.conf"
    switch.write_text("hosts: files\n")
    with hosts.open("w") as file:
        for number in range(ENTRIES):
            address = f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"
            file.write(f"{address} host-{number}.example.org host-{number}\n")
    unshare = shutil.which("unshare")
    if unshare is None:
        return None
    hold = ["sh", "-c", _HOLD, "sh", str(hosts), str(switch), sys.executable, __file__]
    for options in (["--mount"], ["--mount", "--map-root-user"]):
        child = subprocess.Popen(
            [unshare, *options, *hold, *filter(None, sys.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert child.stdout is not None
        if child.stdout.readline() == "ready\n":
            stack.callback(child.communicate)
            return child
        child.communicate()
    return None


def asking(child: subprocess.Popen[str], case: str) -> Callable[[], None]:
    """Return what has the child look the name up, by the clock of children."""

    def ask() -> None:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(f"{case}\n")
        child.stdin.flush()
        CLOCK.seconds += float(child.stdout.readline())

    return ask


def main() -> None:
    """Measure what is asked for on the standard input, until it ends."""
    from nspkit_hosts import HostsProvider

    import nspkit

    catalog = nspkit.Catalog()
    catalog.install(HostsProvider)
    with nspkit.Host(catalog=catalog) as host:
        lookups: dict[str, Callable[[], Any]] = {
            "nspkit": lambda: list(host.lookup(NAME, provider="hosts")),
            "getaddrinfo": lambda: socket.getaddrinfo(NAME, None),
        }
        service, *_aliases = lookups["nspkit"]()
        assert {found[4][0] for found in lookups["getaddrinfo"]()} == {service.addresses[0].host}
        print("ready", flush=True)
        for line in sys.stdin:
            lookup, times = lookups[line.strip()], range(TIMES[line.strip()])
            began = perf_counter()
            for _ in times:
                lookup()
            print((perf_counter() - began) / len(times), flush=True)


if __name__ == "__main__":
    sys.path[:0] = sys.argv[1:]
    main()
