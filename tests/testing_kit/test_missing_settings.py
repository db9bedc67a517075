"""What a provider does before it says that a setting is missing: nothing."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nspkit import Service
from nspkit.testing import RULES, Report, check_provider

Check = Callable[[str], Report]

SOURCE = """
import socket, sqlite3, subprocess, threading
from nspkit import hookimpl
from nspkit.errors import NotReadyError
from nspkit.testing import MemoryProvider

class Provider(MemoryProvider):
    @hookimpl
    def nsp_startup(self, settings, resources):
{body}
        super().nsp_startup(settings, resources)
"""

LOOKS = """
if "services" not in settings:
    raise NotReadyError("the setting 'services' is missing; give a list")
"""


@pytest.fixture
def check(tmp_path: Path) -> Iterator[Check]:
    """A function that holds a provider, whose startup does this first, against the rule."""
    sys.path.insert(0, str(tmp_path))

    def check(body: str) -> Report:
        source = SOURCE.format(body=textwrap.indent(body, " " * 8))
        (tmp_path / "needy_provider.py").write_text(source, encoding="utf-8")
        from needy_provider import Provider  # type: ignore[import-not-found]

        rules = [rule for rule in RULES if rule.id == "lifecycle.says_which_setting_is_missing"]
        return check_provider(Provider, settings={"services": [Service("a")]}, rules=rules)

    yield check
    sys.path.remove(str(tmp_path))
    sys.modules.pop("needy_provider", None)


def test_whatever_comes_before_is_told(check: Check) -> None:
    """Each thing, with its line, and where to look for the settings."""
    work = (
        "open(__file__).close()\n"
        "socket.getaddrinfo('127.0.0.1', 80)\n"
        "socket.socket().close()\n"
        "sqlite3.connect(':memory:').close()\n"
        "subprocess.run(['true'])\n"
        "threading.Thread(target=int).start()\n"
    )
    [failure] = check(work + LOOKS).failures
    for said in (
        "opened '",
        "asked the resolver at ",
        "made a socket at ",
        "opened a database at ",
        "started a process at ",
        "started a thread at ",
        "needy_provider.py:10",
        "the setting 'services' is missing",
        "look at the settings before anything else",
    ):
        assert said in failure.message


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(LOOKS, id="looks at once"),
        pytest.param(
            "try:\n    settings['services']\nexcept KeyError as error:\n"
            "    raise NotReadyError('the setting services is missing') from error",
            id="says it from a KeyError",
        ),
        # The import opens its files, and its own module what it likes.
        pytest.param(f"import opener, iniconfig\n{LOOKS}", id="imports a package first"),
        pytest.param(
            f"import warnings\nwarnings.warn('old', UserWarning, stacklevel=1)\n{LOOKS}",
            id="warns first",
            marks=pytest.mark.filterwarnings("ignore::UserWarning"),
        ),
        pytest.param(
            "if 'services' not in settings:\n"
            "    try:\n        open('/nowhere/socket')\n    except OSError as error:\n"
            "        raise NotReadyError('nobody is there; set services') from error",
            id="has a default, whose back end is away",
        ),
        pytest.param(
            "if 'services' not in settings:\n    open(__file__).close()\n"
            "    raise NotReadyError('the daemon does not run')",
            id="says that a back end is away without more",
        ),
    ],
)
def test_what_may_be_done_is_no_failure(check: Check, tmp_path: Path, body: str) -> None:
    """To import, to warn, and to ask a back end where no setting is missing."""
    (tmp_path / "opener.py").write_text("open(__file__).close()\n", encoding="utf-8")
    report = check(body)
    assert report, str(report)
