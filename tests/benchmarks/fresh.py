"""What is measured in fresh interpreters, by a clock that runs only there: discovery, imports.

The interpreter's own start is no part of a figure: the child tells how long the line that counts
has taken, and the clock goes on by that much.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

DISTRIBUTIONS, PROVIDERS = 400, 100
GROUP = "nspkit.providers"

_MEASURED = """
import sys
{before}
from time import perf_counter
began = perf_counter()
{line}
print(perf_counter() - began)
{after}
"""

_LISTED = {
    "importlib.metadata": (
        "from importlib.metadata import entry_points",
        f"found = entry_points(group={GROUP!r})",
    ),
    "nspkit": ("from nspkit import Catalog", "found = Catalog.discover()"),
    "stevedore, its cache": (
        # It does without where the interpreter is in a temporary folder; here it is to be used.
        "from stevedore import _cache; _cache._c._disable_caching = False",
        f"found = _cache.get_group_all({GROUP!r})",
    ),
    "plux, its cache": (
        "from plux.runtime.cache import EntryPointsCache",
        f"found = EntryPointsCache.instance().get_entry_points()[{GROUP!r}]",
    ),
}
LISTINGS = tuple(_LISTED)

IMPORTS = ("pluggy", "nspkit", "stevedore", "iPOPO", "plux", "svcs", "npe2", "dishka")
_IMPORTED_AS = {"iPOPO": "pelix.framework", "stevedore": "stevedore.extension"}


class Clock:
    """Seconds that children have told."""

    seconds = 0.0

    def __call__(self) -> float:
        """Return how long it was so far."""
        return self.seconds


CLOCK = Clock()


def run(code: str, environment: dict[str, str]) -> str:
    """Run code in a fresh interpreter; returns what it prints."""
    command = [sys.executable, "-W", "ignore", "-c", code]
    return subprocess.run(
        command, capture_output=True, text=True, check=True, env=environment
    ).stdout


def make_distributions(folder: Path) -> None:
    """Make 400 distributions, 100 of which have a provider."""
    for number in range(DISTRIBUTIONS):
        information = folder / f"distribution_{number}-1.0.dist-info"
        information.mkdir()
        (information / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: distribution-{number}\nVersion: 1.0\n"
        )
        every = DISTRIBUTIONS // PROVIDERS
        group = GROUP if number % every == 0 else "console_scripts"
        module = f"module_{number}"
        (information / "entry_points.txt").write_text(f"[{group}]\np{number} = {module}:Provider\n")
        (folder / f"{module}.py").write_text(
            "import uuid\nimport nspkit\n"
            "class Provider:\n"
            f"    info = nspkit.ProviderInfo(uuid.UUID(int={number} + 1), 'p', 12, '1.0')\n"
            "    @nspkit.hookimpl\n    def nsp_startup(self): pass\n"
            "    @nspkit.hookimpl\n    def nsp_cleanup(self): pass\n"
        )


def _environment(caches: Path, *path: Path) -> dict[str, str]:
    environment = {
        **os.environ,
        # All is compiled once, as installed packages are: the first round, which does not count.
        "PYTHONPYCACHEPREFIX": str(caches / "compiled"),
        "XDG_CACHE_HOME": str(caches / "cache"),
        "PYTHONPATH": os.pathsep.join([*map(str, path), *filter(None, sys.path)]),
    }
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    return environment


def listing(case: str, folder: Path, caches: Path) -> Callable[[], None] | None:
    """Return what lists the providers in a fresh interpreter; None where a peer is missing."""
    if find_spec(case.partition(",")[0].partition(".")[0]) is None:
        return None
    environment = _environment(caches, folder)
    before, line = _LISTED[case]
    # Those of the environment itself may be among them too.
    after = f"assert len(list(found)) >= {PROVIDERS}, len(list(found))"
    code = _MEASURED.format(before=before, line=line, after=after)

    def run_once() -> None:
        CLOCK.seconds += float(run(code, environment))

    return run_once


def imported_by_one_startup(folder: Path, caches: Path) -> int:
    """Return how many provider modules are imported when one of them is started by name."""
    code = (
        "import sys, nspkit\n"
        "with nspkit.Host() as host:\n"
        "    with host.startup('p200'):\n"
        "        print(sum(name.startswith('module_') for name in sys.modules))\n"
    )
    return int(run(code, _environment(caches, folder)))


def importing(case: str, caches: Path) -> Callable[[], None] | None:
    """Return what imports a package in a fresh interpreter; None where it is missing."""
    module = _IMPORTED_AS.get(case, case)
    if find_spec(module.partition(".")[0]) is None:
        return None
    environment = _environment(caches)
    code = _MEASURED.format(before="", line=f"import {module}", after="")

    def run_once() -> None:
        CLOCK.seconds += float(run(code, environment))

    return run_once
