"""The same number of calls by one thread, and shared out to eight that use one provider."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack

from subjects import Cases, Counted, Memory, host_of

THREADS = 8
CALLS = 64_000
CASES = ("1 thread", "8 threads")


def _shared_out(function: Callable[[], object]) -> Cases:
    def loop(count: int) -> None:
        for _ in range(count):
            function()

    def threads() -> None:
        each = (CALLS // THREADS,)
        started = [threading.Thread(target=loop, args=each) for _ in range(THREADS)]
        for thread in started:
            thread.start()
        for thread in started:
            thread.join()

    return {"1 thread": lambda: loop(CALLS), "8 threads": threads}


def routed_call(stack: ExitStack) -> Cases:
    """Calls of one session."""
    session = stack.enter_context(host_of(stack).startup("memory"))
    return _shared_out(lambda: session.ioctl(1, b""))


def nested_pair(stack: ExitStack) -> Cases:
    """References that are taken and given back."""
    host, guid = host_of(stack), Memory.info.guid
    stack.enter_context(host.startup(guid))
    return _shared_out(lambda: host.startup(guid).close())


def lock_and_number(_stack: ExitStack) -> Cases:
    """What the least that counts comes to: a number behind a lock."""
    return _shared_out(Counted().pair)


GROUPS = {
    "routed call, contention": routed_call,
    "nested pair, contention": nested_pair,
    "lock and number, contention": lock_and_number,
}
