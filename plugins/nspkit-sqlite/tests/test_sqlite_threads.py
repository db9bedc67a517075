"""Many threads at once, results taken on other threads, and what is left afterwards: nothing."""

from __future__ import annotations

import gc
import sqlite3 as database
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nspkit_sqlite._search as search
import pytest
from nspkit_sqlite import SqliteProvider
from nspkit_sqlite._opening import Loan

from nspkit import Cancellation, LookupFlags, Query, Resources, Service, ServiceOperation
from nspkit.errors import NotInitialisedError, ServiceNotFoundError

HTTP = "_http._tcp"
PATIENCE = 60.0


def run(*functions: Callable[[], object]) -> None:
    """Run functions at once, each on a thread of its own; what one raises is raised here."""
    errors: list[BaseException] = []
    barrier = threading.Barrier(len(functions))

    def safely(function: Callable[[], object]) -> None:
        try:
            barrier.wait(PATIENCE)
            function()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=safely, args=(function,)) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive()
    if errors:
        raise errors[0]


def test_threads_register_and_look_up_at_once(client: Any) -> None:
    """Through one provider, from nothing."""

    def work(thread: int) -> Callable[[], None]:
        def steps() -> None:
            for number in range(20):
                name = f"{thread}-{number}"
                client.register(name, "192.0.2.1", service_class=HTTP)
                assert client.hosts(name, service_class=HTTP) == ["192.0.2.1"]
                assert name in client.names(service_class=HTTP)
                if number % 2:
                    client.delete(name, service_class=HTTP)

        return steps

    run(*map(work, range(8)))
    assert len(client.find()) == 80


def test_many_add_to_one_instance(client: Any) -> None:
    """No address is lost."""

    def work(thread: int) -> Callable[[], None]:
        def steps() -> None:
            for number in range(10):
                client.register("x", f"192.0.{thread}.{number}", multiple=True)

        return steps

    run(*map(work, range(6)))
    assert len(client.hosts("x")) == 60


def test_a_result_may_be_taken_on_another_thread(client: Any) -> None:
    """And the lookup closed on a third."""
    for name in "abc":
        client.register(name)
    lookup = client.session.lookup()
    found: list[str] = []
    for _ in range(2):
        run(lambda: found.append(next(lookup).name))
    run(lookup.close)
    assert found == ["a", "b"]


def test_a_browse_goes_on_while_others_write(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was there all the time comes once; it holds up nobody and is held up by nobody."""
    monkeypatch.setattr(search, "_FIRST_ROWS", 2)
    monkeypatch.setattr(search, "_ROWS", 2)
    for name in "abcdefgh":
        client.register(name, service_class=HTTP)
    with client.session.lookup(service_class=HTTP) as lookup:
        found = [next(lookup).name]
        client.delete("b", service_class=HTTP)
        client.delete("e", service_class=HTTP)
        client.register("aa", service_class=HTTP)
        client.register("z", service_class=HTTP)
        found += [service.name for service in lookup]
    assert {"a", "c", "d", "f", "g", "h"} <= set(found)
    assert len(found) == len(set(found))
    assert "e" not in found


def test_an_open_lookup_keeps_the_log_short(client: Any, path: Path) -> None:
    """It reads no longer than a page takes, so SQLite can begin its log anew."""
    client.register("a", service_class=HTTP)
    client.register("b", service_class=HTTP)
    with client.session.lookup(service_class=HTTP) as lookup:
        next(lookup)
        other = database.connect(path)
        [blocked, _log, _done] = other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        other.close()
        assert blocked == 0


@pytest.mark.parametrize("restrictions", [{}, {"service_class": HTTP}, {"name": "x"}])
def test_nobody_reads_for_nobody(
    client: Any, path: Path, restrictions: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lookup that was cancelled reads no further page."""
    monkeypatch.setattr(search, "_FIRST_ROWS", 1)
    monkeypatch.setattr(search, "_ROWS", 1)
    for context in "abc":
        client.register("x", service_class=HTTP, context=context)
    provider = SqliteProvider()
    with Resources() as resources:
        provider.nsp_startup({"path": path}, resources)
        cancellation = Cancellation()
        query = Query(**restrictions, flags=LookupFlags.DEEP)
        found = iter(provider.nsp_lookup_service(query, cancellation))
        assert next(found).context == "a"
        cancellation.cancel()
        assert list(found) == []


def test_a_hundred_rounds_leave_nothing(clients: Any, path: Path) -> None:
    """No thread, no descriptor, no file beside the registry, no instance."""
    descriptors = Path("/proc/self/fd")
    if not descriptors.exists():
        pytest.skip("this platform does not list descriptors")
    clients().register("x", service_class=HTTP)
    instances: weakref.WeakSet[SqliteProvider] = weakref.WeakSet()
    real = SqliteProvider.nsp_startup
    before: list[int] = []
    for _ in range(100):
        provider = SqliteProvider()
        instances.add(provider)
        with Resources() as resources:
            real(provider, {"path": path, "interval": 0.01}, resources)
            provider.nsp_set_service(
                Service("y", service_class=HTTP), ServiceOperation.REGISTER, False
            )
            browse = iter(provider.nsp_lookup_service(Query(), Cancellation()))
            watch = iter(provider.nsp_notify_change(Query(), Cancellation()))
            assert next(browse).name == next(watch).service.name == "x"
            provider.nsp_cleanup()
        del provider, browse, watch
        before.append(len(list(descriptors.iterdir())))
    gc.collect()
    assert len(set(before)) == 1
    assert not instances
    assert threading.active_count() == 1


def test_a_host_leaves_nothing_either(clients: Any, path: Path) -> None:
    """Started and stopped again and again; the last to close takes the log away."""
    client = clients()
    host = client.session._host
    client.register("x")
    client.session.close()
    for _ in range(20):
        with host.startup("sqlite") as session:
            assert next(session.lookup("x")).name == "x"
        assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_no_more_connections_are_kept_than_a_few(client: Any, path: Path) -> None:
    """Also after many lookups at once, and all that were opened are closed in the end."""
    client.register("x", service_class=HTTP)
    barrier = threading.Barrier(20)
    lent: list[database.Connection] = []
    provider = SqliteProvider()
    with Resources() as resources:
        provider.nsp_startup({"path": path}, resources)

        def meet(connection: database.Connection) -> None:
            lent.append(connection)
            barrier.wait(PATIENCE)

        run(*[lambda: provider._registry.read(meet)] * 20)
        assert len(set(lent)) == 20
        assert len(provider._registry._connections._readers) == 8
    for connection in lent:
        with pytest.raises(database.ProgrammingError, match="closed"):
            connection.execute("SELECT 1")


def test_a_stopped_provider_answers_nothing(path: Path) -> None:
    """A lookup that is still open finds no further page, and gives back what it had."""
    provider = SqliteProvider()
    with Resources() as resources:
        provider.nsp_startup({"path": path}, resources)
        for name in "abc":
            provider.nsp_set_service(Service(name), ServiceOperation.REGISTER, False)
        loan = Loan()
        connection = provider._registry._connections.reader(loan)
        assert connection is not None
        loan.broken = False
    with pytest.raises(NotInitialisedError, match="was stopped"):
        list(provider.nsp_lookup_service(Query(), Cancellation()))
    with pytest.raises(NotInitialisedError):
        provider.nsp_set_service(Service("d"), ServiceOperation.REGISTER, False)
    provider._registry._connections.take_back(loan)
    with pytest.raises(database.ProgrammingError, match="closed"):
        connection.execute("SELECT 1")


def test_a_start_that_fails_leaves_nothing(path: Path) -> None:
    """What it had acquired is released by its resources."""
    import nspkit_sqlite._fork as fork

    path.write_bytes(b"hello")
    before = dict(fork._open)
    with pytest.raises(Exception, match="no SQLite file"), Resources() as resources:
        SqliteProvider().nsp_startup({"path": path}, resources)
    assert fork._open == before


def test_an_interrupted_registration_has_not_happened(
    client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the next one goes on with the same connection or a new one."""
    import nspkit_sqlite._registration as registration

    client.register("x")

    def interrupted(*_arguments: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(registration._Change, "_put", interrupted)
        with pytest.raises(KeyboardInterrupt):
            client.register("y")
    with pytest.raises(ServiceNotFoundError):
        client.find("y")
    client.register("z")
    assert client.names() == ["x", "z"]


def test_a_closed_connection_goes_at_once(path: Path) -> None:
    """It does not wait for a collection of garbage, though its cursor refers to it."""
    provider = SqliteProvider()
    with Resources() as resources:
        provider.nsp_startup({"path": path}, resources)
        provider.nsp_set_service(Service("x"), ServiceOperation.REGISTER, False)
        assert [*provider.nsp_lookup_service(Query("x"), Cancellation())]
        connections = [weakref.ref(one) for one in provider._registry._connections._readers]
    assert [connection() for connection in connections] == [None]
