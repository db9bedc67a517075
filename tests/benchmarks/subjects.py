"""What is measured side by side: for each group, functions of no arguments that do the same work.

Every group has ``nspkit``, what it is compared with, and in most the limit, which is the least
that anything could cost. ``nothing`` is the cost of measuring; it is subtracted from the others.
The same functions are counted by callgrind, see `instructions`.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any
from uuid import UUID, uuid4

import peers
import pluggy

from nspkit import (
    Address,
    Catalog,
    Host,
    Namespace,
    ProviderInfo,
    Service,
    ServiceOperation,
    hookimpl,
)
from nspkit.hookspecs import PROJECT, ProviderHooks

Cases = dict[str, Callable[[], object]]

NOTHING = "nothing"
FOUND = Service("localhost", addresses=[Address.inet("127.0.0.1")])
MANY = 10_000
SLOW = 0.1
"""How long a slow provider takes, in seconds."""


class Memory:
    """A provider that has all in memory."""

    info = ProviderInfo("5f2c7d9e-1a55-4f7b-9d0c-2f8a1c3b4d01", "memory", Namespace.DNS, "1.0")

    @hookimpl
    def nsp_startup(self, guid: Any, settings: Any, resources: Any) -> None:
        """Acquire nothing."""

    @hookimpl
    def nsp_cleanup(self, guid: Any) -> None:
        """Release nothing."""

    @hookimpl
    def nsp_lookup_service(self, guid: Any, query: Any, cancellation: Any) -> Iterator[Service]:
        """Find one service, or many."""
        if query.name == "many":
            for _ in range(MANY):
                yield Service("one of many")
        else:
            yield FOUND

    @hookimpl
    def nsp_set_service(self, guid: Any, service: Any, operation: Any, multiple: Any) -> None:
        """Do nothing."""

    @hookimpl
    def nsp_ioctl(self, guid: Any, code: int, data: bytes) -> None:
        """Answer nothing."""


class Slow(Memory):
    """A provider whose answer takes its time."""

    @hookimpl
    def nsp_lookup_service(self, guid: Any, query: Any, cancellation: Any) -> Iterator[Service]:
        """Find one service, late."""
        threading.Event().wait(SLOW)
        yield FOUND


class Wrapper:
    """A middleware that wraps and does nothing else."""

    @hookimpl(wrapper=True)
    def nsp_ioctl(self) -> Any:
        """Pass on what comes."""
        return (yield)


class Counted:
    """What counting costs at the least: a number behind a lock."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = 0

    def acquire(self) -> None:
        """Count up."""
        with self._lock:
            self._count += 1

    def release(self) -> None:
        """Count down."""
        with self._lock:
            self._count -= 1

    def pair(self) -> None:
        """Do both."""
        self.acquire()
        self.release()


def manager_of(*plugins: object) -> pluggy.PluginManager:
    """What pluggy alone needs for a provider."""
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(ProviderHooks)
    for plugin in plugins:
        manager.register(plugin)
    return manager


def catalog_of(count: int, base: type = Memory) -> Catalog:
    """Install so many providers; the one of ``base``'s own name is in the middle."""
    catalog = Catalog()
    for number in range(count):
        if number == count // 2:
            catalog.install(base, name="memory")
        else:
            info = ProviderInfo(uuid4(), f"p{number}", Namespace.DNS, "1.0")
            catalog.install(type("Another", (base,), {"info": info}))
    return catalog


def host_of(stack: ExitStack, count: int = 1, base: type = Memory, **options: Any) -> Host:
    """Make a host that the stack closes."""
    return stack.enter_context(Host(catalog=catalog_of(count, base), **options))


# -- calls ---------------------------------------------------------------------------------------


def routed_call(stack: ExitStack) -> Cases:
    """One call of a hook of one provider, as an application makes it."""
    session = stack.enter_context(host_of(stack).startup("memory"))
    alone, guid = Memory(), Memory.info.guid
    hook = manager_of(alone).hook
    hundred = [Memory() for _ in range(100)]
    among = manager_of(*hundred)
    one = among.subset_hook_caller("nsp_ioctl", hundred[1:])
    return {
        NOTHING: lambda: None,
        "direct method call": lambda: alone.nsp_ioctl(guid, 1, b""),
        "nspkit": lambda: session.ioctl(1, b""),
        "pluggy": lambda: hook.nsp_ioctl(guid=guid, code=1, data=b""),
        "pluggy, one of 100": lambda: one(guid=guid, code=1, data=b""),
        **peers.calls(stack, Memory, guid),
    }


def routed_value(stack: ExitStack) -> Cases:
    """One registration, whose arguments are looked at on the way."""
    session = stack.enter_context(host_of(stack).startup("memory"))
    alone, guid, operation = Memory(), Memory.info.guid, ServiceOperation.REGISTER
    hook = manager_of(alone).hook
    return {
        NOTHING: lambda: None,
        "direct method call": lambda: alone.nsp_set_service(guid, FOUND, operation, False),
        "nspkit": lambda: session.set_service(FOUND, operation),
        "pluggy": lambda: hook.nsp_set_service(
            guid=guid, service=FOUND, operation=operation, multiple=False
        ),
    }


def wrapped_call(stack: ExitStack) -> Cases:
    """One call with one wrapper around it."""
    session = stack.enter_context(host_of(stack, middleware=[Wrapper()]).startup("memory"))
    guid, hook = Memory.info.guid, manager_of(Memory(), Wrapper()).hook
    return {
        NOTHING: lambda: None,
        "nspkit": lambda: session.ioctl(1, b""),
        "pluggy": lambda: hook.nsp_ioctl(guid=guid, code=1, data=b""),
    }


# -- lifetimes -----------------------------------------------------------------------------------


def nested_pair(stack: ExitStack) -> Cases:
    """Take a reference to what runs already, and give it back."""
    host, guid = host_of(stack), Memory.info.guid
    stack.enter_context(host.startup(guid))
    return {
        NOTHING: lambda: None,
        "lock and number": Counted().pair,
        "nspkit": lambda: host.startup(guid).close(),
        **peers.pairs(stack, Memory),
    }


def whole_walk(stack: ExitStack) -> Cases:
    """First startup and final cleanup of a trivial provider, its teardown thread included."""
    host = host_of(stack)

    def thread() -> None:
        one = threading.Thread(target=int)
        one.start()
        one.join()

    return {
        "one thread": thread,
        "nspkit": lambda: host.startup("memory").close(),
        "pluggy": lambda: manager_of(Memory()),
    }


# -- lookups -------------------------------------------------------------------------------------


def one_result(stack: ExitStack) -> Cases:
    """A lookup directed at one provider that finds one result in memory."""
    host = host_of(stack)
    stack.enter_context(host.startup("memory"))
    return {
        "nspkit": lambda: list(host.lookup("localhost", provider="memory")),
        "getaddrinfo": lambda: socket.getaddrinfo("localhost", None),
    }


def many_results(stack: ExitStack) -> Cases:
    """A lookup that finds 10,000 results."""
    host = host_of(stack)
    stack.enter_context(host.startup("memory"))

    def drained(**options: Any) -> None:
        for _ in host.lookup("many", provider="memory", **options):
            pass

    def bare() -> None:
        for _ in (Service("one of many") for _ in range(MANY)):
            pass

    return {
        "bare generator": bare,
        "nspkit": drained,
        "nspkit, by a worker": lambda: drained(timeout=60.0),
    }


def _fan_out(stack: ExitStack, count: int) -> Cases:
    """Ask all providers at once; each takes 0.1 s."""
    host = host_of(stack, count, Slow)
    pool = stack.enter_context(ThreadPoolExecutor(64))
    alone = Slow()
    query = type("Any", (), {"name": "x"})()

    def ask(_number: int) -> list[Service]:
        return list(alone.nsp_lookup_service(None, query, None))

    def fan_out() -> None:
        assert sum(1 for _ in host.lookup("x")) == count

    fan_out()  # starts them all
    return {"nspkit": fan_out, "pool of 64 threads": lambda: list(pool.map(ask, range(count)))}


def fan_out_50(stack: ExitStack) -> Cases:
    """Over 50 providers."""
    return _fan_out(stack, 50)


def fan_out_500(stack: ExitStack) -> Cases:
    """Over 500 providers."""
    return _fan_out(stack, 500)


# -- scale ---------------------------------------------------------------------------------------

INSTALLED = (10, 100, 1_000, 10_000)


def growing_call(stack: ExitStack) -> Cases:
    """A routed call among more and more installed providers."""
    cases: Cases = {NOTHING: lambda: None}
    for count in INSTALLED:
        session = stack.enter_context(host_of(stack, count).startup("memory"))
        cases[f"{count:,} installed"] = lambda session=session: session.ioctl(1, b"")  # type: ignore[misc]
    return cases


def growing_pair(stack: ExitStack) -> Cases:
    """A nested pair among more and more installed providers."""
    cases: Cases = {NOTHING: lambda: None}
    guid: UUID = Memory.info.guid
    for count in INSTALLED:
        host = host_of(stack, count)
        stack.enter_context(host.startup(guid))
        cases[f"{count:,} installed"] = lambda host=host: host.startup(guid).close()  # type: ignore[misc]
    return cases
