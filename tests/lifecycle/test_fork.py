"""A forked child: its parent's hosts are void there, nothing of them runs, and the parent goes on.

Each test is a program of its own. Both processes say what they do on one pipe: lines of the child
begin with ``child``. An alarm ends a process that hangs.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

Run = Callable[..., "subprocess.CompletedProcess[str]"]

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")

PRELUDE = """
import gc, os, signal, sys, threading, uuid, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # of 3.12: a fork beside other threads
signal.alarm(40)
import nspkit
from nspkit import (
    Catalog, Host, Namespace, ProviderInfo, Service, ServiceClass, ServiceOperation, hookimpl
)

LONG = 40.0
parent = os.getpid()
behaviour = {}

def is_child():
    return os.getpid() != parent

def say(*words):
    who = "child" if is_child() else "parent"
    os.write(1, (" ".join([who, *map(str, words)]) + "\\n").encode())

def act(name, hook, *args):
    action = behaviour.get((name, hook))
    return action(*args) if action is not None else None

class Held:
    def __init__(self, what):
        self.what = what
    def __enter__(self):
        return self
    def __exit__(self, *details):
        say("exited", self.what)
    def __del__(self):
        say("finalised", self.what)

class Results:
    def __init__(self, name):
        self.name = name
    def __iter__(self):
        return self
    def __next__(self):
        return Service("found")
    def close(self):
        say("closed", self.name)
    def __del__(self):
        say("finalised results of", self.name)

def provider(name):
    class Provider:
        info = ProviderInfo(uuid.uuid5(uuid.NAMESPACE_DNS, name), name, Namespace.DNS, "1.0")

        def __del__(self):
            say("finalised", name)

        @hookimpl
        def nsp_startup(self, resources):
            resources.callback(say, "released", name)
            resources.enter_context(Held("resource of " + name))
            act(name, "startup", resources)

        @hookimpl
        def nsp_cleanup(self):
            say("cleaned up", name)
            act(name, "cleanup")

        @hookimpl
        def nsp_lookup_service(self, query, cancellation):
            cancellation.on_cancel(lambda: say("cancelled", query.name))
            if query.name == "plain":
                return Results(name)
            return self.found(query, cancellation)

        def found(self, query, cancellation):
            held = Held("generator of " + query.name)
            try:
                act(name, "step", query, cancellation)
                while True:
                    yield Service("found")
            finally:
                say("closed", query.name)

        @hookimpl
        def nsp_ioctl(self, code, data):
            act(name, "ioctl")
            return data

        @hookimpl
        def nsp_set_service(self): pass
        @hookimpl
        def nsp_install_service_class(self): pass
        @hookimpl
        def nsp_remove_service_class(self): pass
        @hookimpl
        def nsp_get_service_class_info(self): return ServiceClass.tcp(80)

    return Provider

catalog = Catalog()
for name in ("alpha", "beta"):
    catalog.install(provider(name))

def fork():
    pid = os.fork()
    if pid == 0:
        signal.alarm(30)
    return pid

def wait(pid):
    _, status = os.waitpid(pid, 0)
    say("child's status", os.waitstatus_to_exitcode(status))

def tried(what, call):
    try:
        say(what, repr(call()))
    except nspkit.NspError as error:
        say(what, int(error.code), "parent" in str(error) or str(error))

def daemon(function, *args):
    thread = threading.Thread(target=function, args=args, daemon=True)
    thread.start()
    return thread
"""

CHILD_USES_A_HOST_OF_ITS_OWN = """
def use_a_new_host():
    with Host(catalog=catalog) as own:
        lookup = own.lookup("own")
        say("found", next(lookup).name)
        lookup.close()
        own.startup("beta").ioctl(1, b"")
"""


class Said:
    """What the two processes said."""

    def __init__(self, done: subprocess.CompletedProcess[str]) -> None:
        self.text = f"{done.stdout}{done.stderr}"
        self.errors = done.stderr
        lines = [line.partition(" ") for line in done.stdout.splitlines()]
        self.child = [words for who, _, words in lines if who == "child"]
        self.parent = [words for who, _, words in lines if who == "parent"]


@pytest.fixture
def program(fresh_python: Run) -> Callable[[str], Said]:
    """A function that runs a program after the prelude and returns what was said."""

    def run(code: str) -> Said:
        done = fresh_python(PRELUDE + CHILD_USES_A_HOST_OF_ITS_OWN + code, check=False)
        said = Said(done)
        assert done.returncode == 0, said.text
        assert "child's status 0" in said.parent, said.text
        return said

    return run


CALLS = {
    "startup": 'host.startup("alpha")',
    "startup of another": 'host.startup("beta")',
    "startup of an unknown one": 'host.startup("nobody")',
    "cleanup": 'host.cleanup("alpha")',
    "references": 'host.references("alpha")',
    "providers": "host.providers()",
    "enter": "host.__enter__()",
    "lookup": 'host.lookup("x")',
    "directed lookup": 'host.lookup("x", provider="alpha")',
    "timed lookup": 'host.lookup("x", provider="alpha", timeout=9)',
    "watch": 'host.watch("x")',
    "set_service": 'host.set_service(Service("x"), ServiceOperation.REGISTER)',
    "register": 'host.register(Service("x"))',
    "install": "host.install_service_class(ServiceClass.tcp(80))",
    "remove": "host.remove_service_class(ServiceClass.tcp(80).id)",
    "service_class": "host.service_class(ServiceClass.tcp(80).id)",
    "session.watch": 'session.watch("x")',
    "session.ioctl": 'session.ioctl(1, b"")',
    "session.lookup": 'session.lookup("x")',
    "session.timed lookup": 'session.lookup("x", timeout=9)',
    "session.supports": 'session.supports("nsp_ioctl")',
    "session.set_service": 'session.set_service(Service("x"), ServiceOperation.REGISTER)',
    "session.install": "session.install_service_class(ServiceClass.tcp(80))",
    "session.remove": "session.remove_service_class(ServiceClass.tcp(80).id)",
    "session.service_class": "session.service_class(ServiceClass.tcp(80).id)",
    "next of a direct lookup": "next(direct)",
    "next of a fan-out": "next(fanout)",
    "next of a timed lookup": "next(timed)",
}


def test_in_the_child_every_call_answers_10093_and_says_why(program: Any) -> None:
    """At once: nothing is waited for that only the parent has."""
    calls = "\n".join(f"    tried({name!r}, lambda: {call})" for name, call in CALLS.items())
    said = program(
        f"""
host = Host(catalog=catalog)
session = host.startup("alpha")
direct = host.lookup("direct", provider="alpha")
fanout = host.lookup("fan")
timed = session.lookup("timed", timeout=LONG)
for lookup in (direct, fanout, timed):
    next(lookup)
pid = fork()
if pid == 0:
{calls}
    os._exit(0)
wait(pid)
"""
    )
    assert said.child == [f"{name} 10093 True" for name in CALLS]


def test_in_the_child_to_close_something_does_nothing(program: Any) -> None:
    """Whoever leaves a ``with`` block in the child need not know where it was entered."""
    said = program(
        """
host = Host(catalog=catalog)
session = host.startup("alpha")
lookups = [session.lookup("direct"), host.lookup("fan"), session.lookup("timed", timeout=LONG)]
for lookup in lookups:
    next(lookup)
pid = fork()
if pid == 0:
    with session:
        pass
    for one in (*lookups, session, host, host):
        tried("close", one.close)
    say(repr(host))
    os._exit(0)
wait(pid)
"""
    )
    assert said.child == ["close None"] * 6 + ["<Host: closed>"]


@pytest.mark.parametrize("ends", ["sys.exit(0)", "os._exit(0)", "pass"])
def test_nothing_of_the_parent_is_called_closed_or_finalised_in_the_child(
    program: Any, ends: str
) -> None:
    """Not when it is dropped, not by the garbage collection, not at the end of the child."""
    said = program(
        f"""
class Tracing(Held):
    @hookimpl(wrapper=True)
    def nsp_ioctl(self):
        return (yield)

host = Host(catalog=catalog, middleware=[Tracing("middleware")])
session = host.startup("alpha")
host.startup("beta")
lookups = [
    host.lookup("direct", provider="alpha"),
    host.lookup("plain", provider="alpha"),
    host.lookup("fan"),
    session.lookup("timed", timeout=LONG),
    session.lookup("plain", timeout=LONG),
]
for lookup in lookups:
    next(lookup)
next(host.lookup("abandoned", provider="beta"))
garbage = Host(catalog=catalog)
garbage.startup("alpha")
with warnings.catch_warnings():
    warnings.simplefilter("ignore", ResourceWarning)
    del garbage
pid = fork()
if pid == 0:
    say("begins")
    host.close()
    del host, session, lookups, lookup
    gc.collect()
    say("ends")
    {ends}
else:
    wait(pid)
    for lookup in lookups:
        next(lookup)
    say("closes")
    host.close()
    say("closed all")
"""
    )
    assert said.child == ["begins", "ends"]
    assert "closed all" in said.parent
    for what in ("direct", "alpha", "fan", "timed", "abandoned"):
        assert f"closed {what}" in said.parent
    assert said.parent.count("released alpha") == 2
    assert said.parent.count("released beta") == 1
    assert said.errors == ""


def test_the_parent_goes_on_as_if_nothing_had_been(program: Any) -> None:
    """Counts, lookups, calls, cleanup."""
    said = program(
        """
host = Host(catalog=catalog)
session = host.startup("alpha")
direct, fanout = host.lookup("direct", provider="alpha"), host.lookup("fan")
next(direct), next(fanout)
pid = fork()
if pid == 0:
    tried("startup", lambda: host.startup("alpha"))
    host.close()
    use_a_new_host()
    sys.exit(0)
wait(pid)
say(next(direct).name, next(fanout).name, session.ioctl(1, b"x"), host.references("alpha"))
direct.close()
fanout.close()
host.close()
say("over")
"""
    )
    assert "found found b'x' 1" in said.parent
    assert said.parent.count("cleaned up alpha") == 1
    assert "over" in said.parent


def test_the_child_may_make_a_host_of_its_own(program: Any) -> None:
    """With its own instances and threads, from the same catalog."""
    said = program(
        """
host = Host(catalog=catalog)
next(host.lookup("fan"))
pid = fork()
if pid == 0:
    use_a_new_host()
    say("threads", threading.active_count())
    sys.exit(0)
wait(pid)
"""
    )
    assert "found found" in said.child
    assert "released beta" in said.child
    assert "finalised alpha" in said.child
    assert said.child[-1] == "threads 1"


def test_a_child_of_multiprocessing_may_make_a_host_of_its_own(program: Any) -> None:
    """The way in which most programs fork."""
    said = program(
        """
import multiprocessing
host = Host(catalog=catalog)
session = host.startup("alpha")
process = multiprocessing.get_context("fork").Process(target=use_a_new_host)
process.start()
process.join(LONG)
say("child's status", process.exitcode)
say(session.ioctl(1, b"x"))
"""
    )
    assert "found found" in said.child
    assert "b'x'" in said.parent


def test_a_grandchild_is_as_well_off(program: Any) -> None:
    """It has two generations of hosts to leave alone."""
    said = program(
        """
host = Host(catalog=catalog)
host.startup("alpha")
pid = fork()
if pid == 0:
    own = Host(catalog=catalog)
    own.startup("beta")
    grandchild = fork()
    if grandchild == 0:
        tried("grandchild", lambda: host.startup("alpha"))
        tried("grandchild", lambda: own.startup("alpha"))
        use_a_new_host()
        del own, host
        gc.collect()
        sys.exit(0)
    os.waitpid(grandchild, 0)
    say("child closes")
    own.close()
    sys.exit(0)
wait(pid)
"""
    )
    closes = said.child.index("child closes")
    assert said.child[:2] == ["grandchild 10093 True", "grandchild 10093 True"]
    assert said.child[:closes].count("released beta") == 1, "that of the grandchild's own host"
    assert said.child[closes:].count("released beta") == 1
    assert "child's status 0" in said.parent


# -- while other threads are at work -------------------------------------------------------------

BUSY = {
    "a start": """
behaviour["alpha", "startup"] = lambda resources: stop()
daemon(host.startup, "alpha")
""",
    "a start that others wait for": """
behaviour["alpha", "startup"] = lambda resources: stop()
daemon(host.startup, "alpha")
assert entered.wait(LONG)
waiter = daemon(host.startup, "alpha")
lifetime = host._accounts.of("alpha").lifetime
while waiter.ident not in lifetime.barred:
    pass
""",
    "a cleanup": """
behaviour["alpha", "cleanup"] = stop
host.startup("alpha")
daemon(host.cleanup, "alpha")
""",
    "a close": """
behaviour["alpha", "cleanup"] = stop
host.startup("alpha")
daemon(host.close)
""",
    "a release": """
behaviour["alpha", "startup"] = lambda resources: resources.callback(stop) and None
host.startup("alpha")
daemon(host.cleanup, "alpha")
""",
    "a call": """
behaviour["alpha", "ioctl"] = stop
daemon(host.startup("alpha").ioctl, 1)
""",
    "a step": """
behaviour["alpha", "step"] = lambda query, cancellation: stop()
daemon(lambda: list(host.lookup("x", provider="alpha")))
""",
    "a step on a worker": """
behaviour["alpha", "step"] = lambda query, cancellation: stop()
lookup = host.lookup("x", provider="alpha", timeout=LONG)
daemon(lambda: list(lookup))
""",
}


@pytest.mark.parametrize("what", BUSY)
def test_a_fork_while_another_thread_is_inside_a_provider(program: Any, what: str) -> None:
    """That thread is not there in the child, and neither child nor parent waits for it."""
    said = program(
        f"""
entered, go = threading.Event(), threading.Event()
def stop():
    entered.set()
    assert go.wait(LONG)
host = Host(catalog=catalog)
{BUSY[what]}
assert entered.wait(LONG)
pid = fork()
if pid == 0:
    behaviour.clear()
    tried("startup", lambda: host.startup("alpha"))
    tried("cleanup", lambda: host.cleanup("alpha"))
    tried("lookup", lambda: host.lookup("x"))
    tried("close", host.close)
    gc.collect()
    say("uses its own")
    use_a_new_host()
    say("ends")
    sys.exit(0)
wait(pid)
go.set()
host.close()
say("over")
"""
    )
    assert said.child[:5] == [
        "startup 10093 True",
        "cleanup 10093 True",
        "lookup 10093 True",
        "close None",
        "uses its own",
    ]
    assert said.child[-1] == "ends"
    assert "over" in said.parent
    assert "released alpha" in said.parent


def test_a_fork_while_other_threads_hold_every_lock(program: Any) -> None:
    """In the child they are replaced, never taken."""
    said = program(
        """
host = Host(catalog=catalog)
session = host.startup("alpha")
lookup = host.lookup("x")
next(lookup)
accounts = host._accounts
lifetime = accounts.of("alpha").lifetime
locks = [
    catalog._lock,
    accounts.view()._lock,
    accounts.workers._lock,
    accounts.closing._lock,
    lifetime._lock,
    lifetime.generation.payload._resources._lock,
]
held, go = threading.Barrier(len(locks) + 1), threading.Event()
def hold(lock):
    with lock:
        held.wait(LONG)
        go.wait(LONG)
holders = [daemon(hold, lock) for lock in locks]
held.wait(LONG)
pid = fork()
if pid == 0:
    tried("startup", lambda: host.startup("beta"))
    tried("cleanup", lambda: host.cleanup("alpha"))
    tried("lookup", lambda: host.lookup("x"))
    tried("timed", lambda: session.lookup("x", timeout=9))
    tried("next", lambda: next(lookup))
    tried("lookup.close", lookup.close)
    tried("session.close", session.close)
    tried("close", host.close)
    catalog.enable("alpha", False)
    catalog.enable("alpha", True)
    use_a_new_host()
    say("ends")
    sys.exit(0)
wait(pid)
go.set()
for holder in holders:
    holder.join(LONG)
lookup.close()
host.close()
say("over")
"""
    )
    assert said.child[:8] == [
        "startup 10093 True",
        "cleanup 10093 True",
        "lookup 10093 True",
        "timed 10093 True",
        "next 10093 True",
        "lookup.close None",
        "session.close None",
        "close None",
    ]
    assert said.child[-1] == "ends"
    assert "over" in said.parent


# -- from inside a provider ----------------------------------------------------------------------


def test_a_child_that_comes_back_from_a_startup_calls_nothing_on_its_way(program: Any) -> None:
    """Its start ends with 10093; the parent's succeeds."""
    said = program(
        """
pids = []
behaviour["alpha", "startup"] = lambda resources: pids.append(fork())
host = Host(catalog=catalog)
tried("startup", lambda: host.startup("alpha").supports("nsp_ioctl"))
gc.collect()
if is_child():
    sys.exit(0)
wait(pids[0])
host.close()
"""
    )
    assert said.child == ["startup 10093 True"]
    assert "startup True" in said.parent
    assert said.parent.count("released alpha") == 1


def test_a_child_that_fails_in_a_startup_releases_nothing(program: Any) -> None:
    """As one does that could not execute another program."""
    said = program(
        """
pids = []
def start(resources):
    pids.append(fork())
    if is_child():
        raise OSError("no such program")
behaviour["alpha", "startup"] = start
host = Host(catalog=catalog)
tried("startup", lambda: host.startup("alpha").supports("nsp_ioctl"))
gc.collect()
if is_child():
    sys.exit(0)
wait(pids[0])
host.close()
"""
    )
    assert len(said.child) == 1
    assert said.child[0].startswith("startup 10106")
    assert said.parent.count("released alpha") == 1


@pytest.mark.parametrize("how", ["direct", "timed"])
def test_a_child_that_comes_back_from_a_step_of_a_lookup_closes_nothing(
    program: Any, how: str
) -> None:
    """On the reader's thread it gets 10093; a worker's thread just ends."""
    timeout = "None" if how == "direct" else "LONG"
    said = program(
        f"""
pids = []
behaviour["alpha", "step"] = lambda query, cancellation: pids.append(fork())
host = Host(catalog=catalog)
lookup = host.lookup("x", provider="alpha", timeout={timeout})
tried("next", lambda: next(lookup).name)
if is_child():
    sys.exit(0)
wait(pids[0])
host.close()
say("over")
"""
    )
    assert said.child == (["next 10093 True"] if how == "direct" else [])
    assert "next 'found'" in said.parent
    assert "closed x" in said.parent
    assert "Traceback" not in said.errors


@pytest.mark.parametrize("hook", ["ioctl", "cleanup"])
def test_a_child_that_comes_back_from_another_hook_releases_nothing(
    program: Any, hook: str
) -> None:
    """Whatever thread the hook was on."""
    said = program(
        f"""
pids = []
behaviour["alpha", "{hook}"] = lambda: pids.append(fork())
host = Host(catalog=catalog)
session = host.startup("alpha")
session.ioctl(1, b"")
tried("close", session.close)
if is_child():
    sys.exit(0)
wait(pids[0])
"""
    )
    assert not [words for words in said.child if words.startswith(("released", "exited"))]
    assert not [words for words in said.child if words.startswith("finalised")]
    assert said.parent.count("released alpha") == 1
    assert "Traceback" not in said.errors


def test_in_a_child_that_was_forked_inside_a_provider_the_answer_is_10093(program: Any) -> None:
    """Not 10036: what it is inside of is the parent's."""
    said = program(
        """
pids = []
def ask(*_args):
    pids.append(fork())
    if is_child():
        behaviour.clear()
        tried("startup", lambda: host.startup("alpha"))
        tried("cleanup", lambda: host.cleanup("alpha"))
        tried("lookup", lambda: host.lookup("x"))
        use_a_new_host()
        os._exit(0)
behaviour["alpha", "ioctl"] = ask
behaviour["alpha", "step"] = ask
host = Host(catalog=catalog)
host.startup("alpha").ioctl(1, b"")
behaviour.pop(("alpha", "ioctl"))
next(host.lookup("x", provider="alpha", timeout=LONG))
for pid in pids:
    wait(pid)
"""
    )
    assert said.child.count("startup 10093 True") == 2
    assert said.child.count("cleanup 10093 True") == 2
    assert said.child.count("lookup 10093 True") == 2
    assert said.child.count("found found") == 2
    assert said.parent.count("child's status 0") == 2
