"""What is left once in a process is found; what is nobody's fault is not told."""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from nspkit import Service
from nspkit.testing import RULES, check_provider

[RULE] = [rule for rule in RULES if rule.id == "leaks.nothing_once_per_process"]

HEAD = """
import os, select, socket, subprocess, sys, threading
from nspkit import hookimpl
from nspkit.testing import MemoryProvider
KEPT = {}

def once(name, make):
    if name not in KEPT:
        KEPT[name] = make()

class Provider(MemoryProvider):
    def _once(self, settings, resources):
        pass

    @hookimpl
    def nsp_startup(self, settings, resources):
        super().nsp_startup(settings, resources)
        self._once(settings, resources)
"""

SERVICES = (Service("printer"),)

Checked = Callable[..., str]


@pytest.fixture
def checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Checked]:
    """Hold the provider of a module that is written for it against the rule; the message."""
    monkeypatch.syspath_prepend(tmp_path)
    names: list[str] = []

    def check(name: str, body: str, services: Any = SERVICES, rules: Any = (RULE,)) -> str:
        (tmp_path / f"{name}.py").write_text(HEAD + body)
        names.append(name)
        provider = import_module(name).Provider
        report = check_provider(
            provider, settings={"services": services}, patience=4.0, rounds=2, rules=rules
        )
        return "".join(one.message for one in report.failures)

    yield check
    for name in names:
        sys.modules.pop(name, None)


THREAD = """
    def _once(self, settings, resources):
        once("thread", self.begin)

    def begin(self):
        thread = threading.Thread(target=threading.Event().wait, name="poller", daemon=True)
        thread.start()
        return thread
"""

EVERYTHING = """
    def _once(self, settings, resources):
        import sqlite3
        once("thread", self.begin)
        once("database", lambda: sqlite3.connect(__file__ + ".db"))
        once("first", lambda: self)

    def begin(self):
        thread = threading.Thread(target=threading.Event().wait, name="poller", daemon=True)
        thread.start()
        return thread

    def _results(self, query, cancellation):
        once("socket", lambda: socket.create_server(("127.0.0.1", 0)))
        return super()._results(query, cancellation)

    @hookimpl
    def nsp_set_service(self, service, operation, multiple):
        once("child", lambda: subprocess.Popen([sys.executable, "-c", "input()"],
                                               stdin=subprocess.PIPE))
        return super().nsp_set_service(service, operation, multiple)

    @hookimpl
    def nsp_notify_change(self, query, cancellation):
        once("file", lambda: open(__file__))
        return super().nsp_notify_change(query, cancellation)
"""

TOLD = (
    r"leaves the thread 'poller', started at .*leaves_it\.py:\d+ in begin; ",
    r"the descriptor \d+, a socket at \('127\.0\.0\.1', \d+\), opened at .*leaves_it\.py:\d+",
    r"the descriptor \d+, \S*leaves_it\.py \([\d:]+\), opened at .*leaves_it\.py:\d+",
    r"the descriptor \d+, \S*leaves_it\.py\.db \([\d:]+\), opened at .*leaves_it\.py:\d+",
    r"the child process \d+: .*input.*, started at .*leaves_it\.py:\d+",
    r"a Provider, held by a dict under 'first' .held by the global KEPT of the module",
    r"once and for all; have each start make its own, and put it into resources",
)


def test_what_is_left_once_is_told(checked: Checked) -> None:
    """What it is, where it came from, and what to change; no matter in which hook."""
    told = checked("leaves_it", EVERYTHING)
    assert [pattern for pattern in TOLD if not re.search(pattern, told)] == [], told


class _WithALock(list[Service]):
    """Cannot be pickled."""

    lock = threading.Lock()

    def __reduce__(self) -> Any:
        return _WithALock, (), {"lock": self.lock}


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="needs fork")
def test_what_cannot_be_pickled_is_looked_at_in_a_forked_child(checked: Checked) -> None:
    """With the settings as they are; the provider's module is imported anew there."""
    services = _WithALock([Service("printer")])
    assert "the thread 'poller'" in checked("leaves_one_here", THREAD, services)
    assert checked("leaves_none_here", "", services) == ""


def test_what_is_used_here_before_is_looked_at_all_the_same(checked: Checked) -> None:
    """An interpreter is fresh whatever this one has: one that compares two rounds sees nothing."""
    others = [one for one in RULES if one.level == "leaks" and one is not RULE]
    body = "\n    def _once(self, settings, resources):\n        once('first', lambda: self)\n"
    assert checked("used_before", body, rules=others) == ""
    assert "a Provider, held by" in checked("used_before", body)


KEPT_BY_OTHERS = {
    "a_pool_and_a_loop_that_ended": """
    def _once(self, settings, resources):
        import asyncio
        from concurrent.futures import ThreadPoolExecutor

        async def ask():
            child = await asyncio.create_subprocess_exec(sys.executable, "-c", "")
            await child.wait()

        asyncio.run(ask())
        pool = resources.enter_context(ThreadPoolExecutor(2))
        pool.submit(int).result()
""",
    "the_helpers_of_multiprocessing": """
    def _once(self, settings, resources):
        import multiprocessing
        from multiprocessing import shared_memory
        memory = shared_memory.SharedMemory(create=True, size=8)
        resources.callback(memory.unlink)
        resources.callback(memory.close)
        child = multiprocessing.get_context("forkserver").Process(target=int)
        child.start()
        child.join()
        child.close()
""",
    "what_comes_by_itself": """
    def _once(self, settings, resources):
        import functools, getpass, logging, mimetypes, pwd, random, re, secrets, ssl, tempfile, uuid
        once("random", lambda: os.open("/dev/urandom", os.O_RDONLY))
        once("poll", select.epoll)
        socket.getaddrinfo("localhost", 80)
        pwd.getpwuid(os.getuid())
        secrets.token_hex(), uuid.uuid4(), random.SystemRandom().random()
        mimetypes.guess_type("a.txt"), tempfile.gettempdir(), ssl.create_default_context()
        logging.getLogger("a").info("a")
        self.cached = functools.lru_cache(re.compile)("a")
        subprocess.run([sys.executable, "-c", ""], stdin=subprocess.DEVNULL)
""",
}


@pytest.mark.skipif(sys.platform != "linux", reason="some of it is there on Linux only")
@pytest.mark.parametrize("thing", KEPT_BY_OTHERS)
def test_what_others_keep_is_no_fault(thing: str, checked: Checked) -> None:
    """What the standard library and the system have once in a process."""
    assert checked(f"has_{thing}", KEPT_BY_OTHERS[thing]) == ""


def test_what_a_library_makes_at_import_is_no_fault(checked: Checked, tmp_path: Path) -> None:
    """It is imported once, by whoever comes first; what it makes later, for somebody, is one."""
    (tmp_path / "a_library.py").write_text(
        "import socket, subprocess, sys, threading\n"
        "def begin():\n"
        "    threading.Thread(target=threading.Event().wait, name='own', daemon=True).start()\n"
        "    return socket.socket()\n"
        "kept = begin()\n"
        "child = subprocess.Popen([sys.executable, '-c', 'input()'], stdin=subprocess.PIPE)\n"
    )
    starting = "\n    def _once(self, settings, resources):\n        import a_library\n"
    assert checked("imports_it", starting) == ""
    told = checked("calls_it", f"{starting}        once('more', a_library.begin)\n")
    assert re.search(r"the thread 'own', started at .*calls_it\.py:\d+ in once", told), told


def test_what_cannot_be_used_elsewhere_is_not_judged(checked: Checked) -> None:
    """A provider that fails in another process has other rules that say so."""
    body = THREAD.replace("self.begin)", "self.begin)\n        raise OSError('away')")
    assert "away" in body
    assert checked("fails", body) == ""
