"""A forked child has nothing of its parent's: it does not renew, revoke or hang."""

from __future__ import annotations

from typing import Any

import pytest

FORKING = """
import os, sys, threading, time
import nspkit
from nspkit import Address, Service
from nspkit_redis import RedisProvider
from nspkit_redis._settings import redis_settings_in
from nspkit_redis._store import RedisStore
from nspkit.registry import Key, Scope

catalog = nspkit.Catalog()
catalog.install(RedisProvider)
settings = {"endpoints": sys.argv[1], "timeout": 5.0}
web = Service("web", service_class="_http._tcp", addresses=[Address.inet("192.0.2.1", 80)])
host = nspkit.Host(catalog=catalog, settings={"redis": settings})
registration = host.register(web, ttl=3.0)
watch = host.watch(provider="redis")
next(watch)
store = RedisStore(redis_settings_in(settings))
assert len(list(store.entries(Scope()))) == 1


def until(is_so):
    end, pause = time.monotonic() + 30, threading.Event()
    while not is_so():
        assert time.monotonic() < end
        pause.wait(0.02)


def child():
"""

TAIL = """

child_pid = os.fork()
if child_pid == 0:
    code = 1
    try:
        child()
        code = 0
    except BaseException:
        import traceback
        traceback.print_exc()
    finally:
        if code:
            os._exit(code)
    sys.exit(0)  # as any other program ends, with what is done at the exit
_, status = os.waitpid(child_pid, 0)
assert status == 0, status
print("child over", flush=True)
sys.stdin.readline()
until(lambda: registration.state == "active")
assert len(list(store.entries(Scope()))) == 1
registration.close()
assert list(store.entries(Scope())) == []
watch.close()
host.close()
print("over", flush=True)
"""

OWN = """
    # With a store that was its parent's: over connections of its own.
    assert [one.key.name for one in store.entries(Scope())] == ["web"]
    assert all(wire.pid == os.getpid() for wire in store._pool._open.values())
    store.close()
"""

HOST = """
    # With a host of its own; that of its parent says that it is none.
    try:
        list(host.lookup("web"))
    except nspkit.NspError as error:
        assert error.code == 10093, error
    with nspkit.Host(catalog=catalog, settings={"redis": settings}) as own:
        assert [one.name for one in own.lookup(service_class="_http._tcp")] == ["web"]
"""

NOTHING = """
    # It ends with all that it has of its parent.
    assert registration is not None
"""

ENDING = """
    # And closes what it has, which is not what its parent has.
    for one in (registration, watch, host):
        try:
            one.close()
        except nspkit.NspError as error:
            assert error.code == 10093, error
"""


@pytest.mark.parametrize("what", [OWN, HOST, NOTHING, ENDING], ids=["own", "host", "no", "end"])
def test_a_child_harms_nothing(servers: Any, process: Any, what: str, until: Any) -> None:
    """The parent's connections, its registration and its watch go on."""
    server = servers().start()
    parent = process(FORKING + what + TAIL, server.address)
    assert parent.stdout.readline() == "child over\n"
    # Renewed since by the parent: what there is has longer to go than what the child saw.
    [place] = server.cli("--scan", "--pattern", "{nspkit}:1:service:*").split()
    before = int(server.cli("PTTL", place))
    until(lambda: int(server.cli("PTTL", place)) > before)
    parent.stdin.write("go\n")
    parent.stdin.flush()
    assert parent.stdout.readline() == "over\n"
    assert parent.wait(30) == 0


def test_a_child_does_not_wait_for_a_server(servers: Any, process: Any) -> None:
    """That is frozen: it ends at once, and what it asks has a limit."""
    server = servers().start()
    what = """
    os.kill(int(sys.argv[2]), 19)
    try:
        store.get(Key(None, "", "web"))
    except nspkit.NspError as error:
        assert error.code == 11002, error
    os.kill(int(sys.argv[2]), 18)
"""
    parent = process(
        (FORKING + what + TAIL).replace("5.0", "2.0"), server.address, server.process.pid
    )
    assert parent.stdout.readline() == "child over\n"
    parent.stdin.write("go\n")
    parent.stdin.flush()
    assert parent.stdout.readline() == "over\n"
    assert parent.wait(30) == 0
