"""The end of the interpreter: a host that is open then is closed by it, in a bounded time.

Each test is a program of its own, in an interpreter of its own. The programs run under a clock: one
that hangs fails, and says where.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from typing import Any

import pytest

Run = Callable[..., "subprocess.CompletedProcess[str]"]

PRELUDE = """
import faulthandler, os, sys, threading, uuid
faulthandler.dump_traceback_later(45, exit=True)
import nspkit
from nspkit import Catalog, Host, Namespace, ProviderInfo, Service, hookimpl

LONG = 40.0
behaviour = {}

def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())

def act(name, hook, *args):
    action = behaviour.get((name, hook))
    return action(*args) if action is not None else None

def provider(name):
    class Provider:
        info = ProviderInfo(uuid.uuid5(uuid.NAMESPACE_DNS, name), name, Namespace.DNS, "1.0")

        @hookimpl
        def nsp_startup(self, resources):
            resources.callback(say, "released", name)
            act(name, "startup", resources)

        @hookimpl
        def nsp_cleanup(self):
            say("cleaned up", name)
            act(name, "cleanup")

        @hookimpl
        def nsp_lookup_service(self, query, cancellation):
            act(name, "lookup", cancellation)
            try:
                while True:
                    yield Service("found")
            finally:
                say("closed", name)

        @hookimpl
        def nsp_ioctl(self, code, data):
            act(name, "ioctl")

    return Provider

catalog = Catalog()
for name in ("alpha", "beta"):
    catalog.install(provider(name))

def daemon(function, *args):
    thread = threading.Thread(target=function, args=args, daemon=True)
    thread.start()
    return thread
"""


@pytest.fixture
def program(fresh_python: Run) -> Callable[..., Any]:
    """A function that runs a program after the prelude; returns its lines, errors and status."""

    def run(code: str, *, status: int = 0) -> tuple[list[str], str]:
        done = fresh_python(PRELUDE + code, check=False)
        assert done.returncode == status, f"{done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout.splitlines(), done.stderr

    return run


STOPPED_IN_ORDER = ["cleaned up beta", "released beta", "cleaned up alpha", "released alpha"]


def test_a_host_left_open_is_closed_in_the_reverse_order_of_the_starts(program: Any) -> None:
    """Hooks and releases run, and nobody hears of it."""
    out, err = program(
        """
host = Host(catalog=catalog)
host.startup("alpha")
host.startup("beta")
"""
    )
    assert out == STOPPED_IN_ORDER
    assert err == ""


def test_a_program_that_exits_has_its_own_status(program: Any) -> None:
    """`sys.exit` in the middle of a function that holds the host."""
    out, err = program(
        """
def main():
    host = Host(catalog=catalog)
    host.startup("alpha")
    host.startup("beta")
    sys.exit(3)
main()
""",
        status=3,
    )
    assert out == STOPPED_IN_ORDER
    assert err == ""


def test_a_program_that_fails_shows_its_own_traceback(program: Any) -> None:
    """And the host is closed all the same."""
    out, err = program(
        """
host = Host(catalog=catalog)
host.startup("alpha")
host.startup("beta")
raise ZeroDivisionError("of the program")
""",
        status=1,
    )
    assert out == STOPPED_IN_ORDER
    assert err.endswith("ZeroDivisionError: of the program\n")


def test_a_host_in_a_reference_cycle_is_closed(program: Any) -> None:
    """Nobody refers to it any more, and no garbage collection has found it."""
    out, err = program(
        """
import gc
gc.disable()
class Application:
    pass
application = Application()
application.myself = application
application.host = Host(catalog=catalog)
application.host.startup("alpha")
application.host.startup("beta")
del application
"""
    )
    assert out == STOPPED_IN_ORDER
    assert err == ""


def test_a_host_that_is_garbage_is_closed_at_the_exit_at_the_latest(program: Any) -> None:
    """It warned when it was collected."""
    out, err = program(
        """
import warnings
warnings.simplefilter("always")
host = Host(catalog=catalog)
host.startup("alpha")
host.startup("beta")
del host
say("dropped")
"""
    )
    assert out == ["dropped", *STOPPED_IN_ORDER]
    assert "ResourceWarning" in err


def test_a_host_that_is_garbage_in_a_cycle_is_closed_at_the_exit_at_the_latest(
    program: Any,
) -> None:
    """Its weak references are dead by then."""
    out, _err = program(
        """
import gc
host = Host(catalog=catalog)
host.startup("alpha")
host.startup("beta")
cycle = [host]
cycle.append(cycle)
del host, cycle
gc.collect()
say("collected")
"""
    )
    assert out == ["collected", *STOPPED_IN_ORDER]


def test_several_hosts_are_closed_the_newest_first(program: Any) -> None:
    """What was made later may stand on what was made before."""
    out, err = program(
        """
first, second, third = (Host(catalog=catalog) for _ in range(3))
third.startup("alpha")
first.startup("alpha")
second.startup("beta")
for host in (first, second, third):
    name = {first: "first", second: "second", third: "third"}[host]
    host.events.subscribe(lambda event, name=name: say(name, event.kind))
"""
    )
    assert [line for line in out if line.endswith(" stopped")] == [
        "third stopped",
        "second stopped",
        "first stopped",
    ]
    assert err == ""


def test_errors_are_told_on_stderr_and_harm_no_other_host(program: Any) -> None:
    """The status is that of the program."""
    out, err = program(
        """
def fail():
    raise OSError("the disk is gone")
behaviour["beta", "cleanup"] = fail
older, newer = Host(catalog=catalog), Host(catalog=catalog)
older.startup("alpha")
newer.startup("beta")
"""
    )
    assert out == STOPPED_IN_ORDER
    assert "the disk is gone" in err
    assert "'beta'" in err


def test_errors_of_several_hosts_are_all_told(program: Any) -> None:
    """Each with its traceback and its cause, as those of a program are."""
    _out, err = program(
        """
def fail(name):
    raise OSError(f"{name} is gone")
for name in ("alpha", "beta"):
    behaviour[name, "cleanup"] = lambda name=name: fail(name)
hosts = [Host(catalog=catalog), Host(catalog=catalog)]
hosts[0].startup("alpha")
hosts[1].startup("beta")
"""
    )
    assert "OSError: alpha is gone" in err
    assert "OSError: beta is gone" in err


@pytest.mark.parametrize("error", ["KeyboardInterrupt", "SystemExit", "GeneratorExit"])
def test_not_even_an_interrupt_keeps_the_others_running(program: Any, error: str) -> None:
    """In a hook at the exit."""
    out, _err = program(
        f"""
def fail():
    raise {error}
behaviour["beta", "cleanup"] = fail
older, newer = Host(catalog=catalog), Host(catalog=catalog)
older.startup("alpha")
newer.startup("beta")
"""
    )
    assert out == STOPPED_IN_ORDER


# -- what is under way ---------------------------------------------------------------------------


def test_a_call_that_hangs_is_waited_for_as_long_as_the_budget_and_no_longer(
    program: Any,
) -> None:
    """A daemon thread is inside the provider; what did not come back is told (10060)."""
    out, err = program(
        """
entered = threading.Event()
behaviour["beta", "ioctl"] = lambda: (entered.set(), threading.Event().wait())
host = Host(catalog=catalog, cleanup_timeout=0.2)
host.startup("alpha")
daemon(host.startup("beta").ioctl, 1)
assert entered.wait(LONG)
"""
    )
    assert out == STOPPED_IN_ORDER
    assert "nsp_ioctl" in err
    assert "10060" in err


def test_a_lookup_that_listens_is_cancelled_and_waited_for(program: Any) -> None:
    """In a daemon thread of the program; its iterator is closed before the cleanup."""
    out, err = program(
        """
entered = threading.Event()
behaviour["beta", "lookup"] = lambda cancellation: (entered.set(), cancellation.wait(LONG))
host = Host(catalog=catalog)
host.startup("alpha")
def read():
    try:
        list(host.lookup("x", provider="beta"))
    except nspkit.NspError as error:
        say(int(error.code))
reader = daemon(read)
assert entered.wait(LONG)
"""
    )
    assert [line for line in out if line != "10111"] == ["closed beta", *STOPPED_IN_ORDER]
    assert err == ""


@pytest.mark.parametrize("deaf", [False, True], ids=["listening", "deaf"])
def test_a_worker_inside_a_provider_does_not_hold_up_the_exit(program: Any, deaf: bool) -> None:
    """One that listens is waited for; one that does not is waited for as long as the budget."""
    waits = "threading.Event().wait()" if deaf else "cancellation.wait(LONG)"
    out, err = program(
        f"""
entered = threading.Event()
behaviour["beta", "lookup"] = lambda cancellation: (entered.set(), {waits})
host = Host(catalog=catalog, cleanup_timeout={0.2 if deaf else 40.0})
host.startup("alpha")
host.startup("beta")
lookup = host.lookup("x")
assert entered.wait(LONG)
"""
    )
    assert [line for line in out if not line.startswith("closed")] == STOPPED_IN_ORDER
    assert ("10060" in err) is deaf


def test_a_lookup_left_open_is_closed_before_the_cleanup(program: Any) -> None:
    """Of a worker, with a full buffer, and of the program's own thread."""
    out, err = program(
        """
host = Host(catalog=catalog)
direct = host.lookup("x", provider="alpha")
next(direct)
timed = host.lookup("x", provider="beta", timeout=LONG)
next(timed)
"""
    )
    assert [line for line in out if not line.startswith("closed")] == STOPPED_IN_ORDER
    for name in ("alpha", "beta"):
        assert out.index(f"closed {name}") < out.index(f"cleaned up {name}")
    assert err == ""


def test_a_thread_of_the_provider_that_ignores_its_stop_is_waited_for_within_the_budget(
    program: Any,
) -> None:
    """It is named, and the other releases run."""
    out, err = program(
        """
behaviour["beta", "startup"] = lambda resources: resources.thread(
    lambda stop: threading.Event().wait(), name="deaf")
host = Host(catalog=catalog, cleanup_timeout=0.2)
host.startup("alpha")
host.startup("beta")
"""
    )
    assert out == STOPPED_IN_ORDER
    assert "'deaf'" in err


def test_a_thread_of_the_provider_that_listens_is_joined(program: Any) -> None:
    """Threads cannot be started any more, but be joined."""
    out, err = program(
        """
def work(stop):
    stop.wait()
    say("worked off")
behaviour["beta", "startup"] = lambda resources: resources.thread(work) and None
host = Host(catalog=catalog)
host.startup("alpha")
host.startup("beta")
"""
    )
    assert out == ["cleaned up beta", "worked off", *STOPPED_IN_ORDER[1:]]
    assert err == ""


def test_a_start_under_way_is_waited_for_and_undone(program: Any) -> None:
    """By its own thread, a daemon, before the process ends."""
    out, err = program(
        """
entered, closing = threading.Event(), threading.Event()
behaviour["beta", "startup"] = lambda resources: (entered.set(), closing.wait(LONG), None)[2]
behaviour["alpha", "startup"] = lambda resources: resources.callback(closing.set) and None
host = Host(catalog=catalog)
def start():
    try:
        host.startup("beta")
    except nspkit.NspError as error:
        pass
daemon(start)
assert entered.wait(LONG)
other = Host(catalog=catalog)
other.startup("alpha")
"""
    )
    assert sorted(out) == sorted(STOPPED_IN_ORDER)
    assert out.index("cleaned up beta") < out.index("released beta")
    assert err == ""


def test_nobody_is_stopped_before_a_start_under_way_came_back(program: Any) -> None:
    """As in every close."""
    out, err = program(
        """
entered, pause = threading.Event(), threading.Event()
def start(resources):
    entered.set()
    while host._closing.because is None:
        pause.wait(0.001)
behaviour["beta", "startup"] = start
host = Host(catalog=catalog)
host.startup("alpha")
def ask():
    try:
        host.startup("beta")
    except nspkit.NspError:
        pass
daemon(ask)
assert entered.wait(LONG)
"""
    )
    assert out == STOPPED_IN_ORDER
    assert err == ""


def test_a_stop_that_another_thread_begins_meanwhile_is_waited_for(program: Any) -> None:
    """A daemon thread gives back the last reference while the exit stops another provider."""
    out, _err = program(
        """
go, entered, pause = threading.Event(), threading.Event(), threading.Event()
host = Host(catalog=catalog)
session = host.startup("alpha")
host.startup("beta")
lifetime = host._accounts.of("alpha").lifetime
main = threading.get_ident()
def meanwhile():
    go.set()
    assert entered.wait(LONG)
def clean_up():
    entered.set()
    while main not in lifetime.barred:
        pause.wait(0.001)
behaviour["beta", "cleanup"] = meanwhile
behaviour["alpha", "cleanup"] = clean_up
daemon(lambda: go.wait() and session.close())
"""
    )
    assert "released alpha" in out
    assert out[0] == "cleaned up beta"


def test_a_start_that_does_not_come_back_is_named(program: Any) -> None:
    """After the budget; the others are stopped."""
    out, err = program(
        """
entered = threading.Event()
behaviour["beta", "startup"] = lambda resources: (entered.set(), threading.Event().wait())
host = Host(catalog=catalog, cleanup_timeout=0.2)
host.startup("alpha")
daemon(host.startup, "beta")
assert entered.wait(LONG)
"""
    )
    assert out == STOPPED_IN_ORDER[2:]
    assert "'beta' was still starting" in err


@pytest.mark.parametrize("ends", ["host.close", "lambda: host.cleanup('beta')"])
def test_an_end_that_another_thread_has_begun_is_waited_for(program: Any, ends: str) -> None:
    """It is a daemon: it would be cut off in the middle."""
    out, err = program(
        f"""
entered, closing = threading.Event(), threading.Event()
behaviour["beta", "cleanup"] = lambda: (entered.set(), closing.wait(LONG), None)[2]
behaviour["alpha", "startup"] = lambda resources: resources.callback(closing.set) and None
host = Host(catalog=catalog)
host.startup("beta")
daemon({ends})
assert entered.wait(LONG)
other = Host(catalog=catalog)
other.startup("alpha")
"""
    )
    assert sorted(out) == sorted(STOPPED_IN_ORDER)
    assert "released beta" in out
    assert err == ""


def test_what_another_thread_closes_and_does_not_end_is_closed_here(program: Any) -> None:
    """It waits for one provider; the next is stopped by the exit, after the budget of the first."""
    out, _err = program(
        """
entered = threading.Event()
behaviour["beta", "cleanup"] = lambda: (entered.set(), threading.Event().wait())
host = Host(catalog=catalog, cleanup_timeout=0.2)
host.startup("alpha")
host.startup("beta")
def close():
    try:
        host.close(timeout=LONG)
    except nspkit.NspError:
        pass
daemon(close)
assert entered.wait(LONG)
"""
    )
    assert out == ["cleaned up beta", "cleaned up alpha", "released alpha"]


def test_a_provider_in_quarantine_is_not_waited_for_again(program: Any) -> None:
    """Its budget was spent when it was cleaned up."""
    out, err = program(
        """
behaviour["beta", "cleanup"] = lambda: threading.Event().wait()
host = Host(catalog=catalog)
host.startup("alpha")
host.startup("beta")
try:
    host.cleanup("beta", timeout=0.05)
except nspkit.errors.CleanupTimeoutError:
    say("told")
"""
    )
    assert out == ["cleaned up beta", "told", "cleaned up alpha", "released alpha"]
    assert err == ""


def test_a_start_that_a_close_has_waited_for_is_not_waited_for_again(program: Any) -> None:
    """Its budget was spent, and its name told, when the host was closed."""
    out, err = program(
        """
import time
entered = threading.Event()
behaviour["beta", "startup"] = lambda resources: (entered.set(), threading.Event().wait())
host = Host(catalog=catalog, cleanup_timeout=LONG)
host.startup("alpha")
daemon(host.startup, "beta")
assert entered.wait(LONG)
try:
    host.close(timeout=0.05)
except nspkit.errors.CleanupTimeoutError:
    say("told")
"""
    )
    assert out == [*STOPPED_IN_ORDER[2:], "told"]
    assert err == ""


# -- nothing to do, and afterwards ---------------------------------------------------------------


@pytest.mark.parametrize(
    "code",
    ["host = Host(catalog=catalog)", "host = Host()", "host = Host(catalog=catalog); host.close()"],
)
def test_a_host_with_nothing_started_ends_in_silence(program: Any, code: str) -> None:
    """Closed or not."""
    assert program(code) == ([], "")


def test_a_host_that_was_closed_is_not_closed_again(program: Any) -> None:
    """Whatever its close raised."""
    out, err = program(
        """
def fail():
    raise OSError("gone")
behaviour["alpha", "cleanup"] = fail
with Host(catalog=catalog) as host:
    host.startup("beta")
host = Host(catalog=catalog)
host.startup("alpha")
try:
    host.close()
except nspkit.NspError:
    say("told")
"""
    )
    assert out == [*STOPPED_IN_ORDER[:3], "released alpha", "told"]
    assert err == ""


def test_what_runs_at_the_exit_after_that_gets_10093(fresh_python: Run) -> None:
    """Such as a function that was registered before nspkit was imported."""
    code = """
import atexit
def late():
    try:
        host.startup("alpha")
    except nspkit.NspError as error:
        say(int(error.code))
    session.close()
    host.close()
atexit.register(late)
"""
    rest = """
host = Host(catalog=catalog)
session = host.startup("alpha")
"""
    done = fresh_python(code + PRELUDE + rest)
    assert done.stdout.splitlines() == ["cleaned up alpha", "released alpha", "10093"]
    assert done.stderr == ""


def test_what_runs_at_the_exit_before_that_may_use_the_host(program: Any) -> None:
    """Functions that are registered at the exit run in the reverse order."""
    out, err = program(
        """
import atexit
host = Host(catalog=catalog)
session = host.startup("alpha")
atexit.register(lambda: (session.close(), say("closed by the program")))
"""
    )
    assert out == ["cleaned up alpha", "released alpha", "closed by the program"]
    assert err == ""


def test_hooks_at_the_exit_see_that_they_are_inside(program: Any) -> None:
    """On the exiting thread too a call back is refused (10036), not waited for."""
    out, err = program(
        """
def back():
    for call in (lambda: host.startup("alpha"), lambda: host.cleanup("alpha"), host.close):
        try:
            call()
        except nspkit.NspError as error:
            say(int(error.code))
behaviour["alpha", "cleanup"] = back
host = Host(catalog=catalog)
host.startup("alpha")
"""
    )
    assert out == ["cleaned up alpha", "10036", "10036", "10036", "released alpha"]
    assert err == ""


def test_with_no_thread_to_be_had_a_cleanup_runs_all_the_same(program: Any) -> None:
    """On the thread that asks, as at the exit of some versions of Python."""
    out, err = program(
        """
def none(*_args, **_options):
    raise RuntimeError("can't start new thread")
host = Host(catalog=catalog)
host.startup("alpha")
start, threading.Thread.start = threading.Thread.start, none
host.cleanup("alpha")
threading.Thread.start = start
say("over")
"""
    )
    assert out == ["cleaned up alpha", "released alpha", "over"]
    assert err == ""
