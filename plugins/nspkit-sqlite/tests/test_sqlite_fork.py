"""Fork: a child uses no connection of the parent, and loses nothing through its own."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import runpy
import sqlite3 as database
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nspkit_sqlite._connections as pool
import nspkit_sqlite._fork as fork
import pytest
from nspkit_sqlite import SqliteProvider

import nspkit
from nspkit import Cancellation, Query, Resources, Service, ServiceOperation
from nspkit.errors import InProgressError, NotInitialisedError, NotReadyError

PATIENCE = 60.0
HTTP = "_http._tcp"

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform cannot fork")


@contextlib.contextmanager
def forked(work: Callable[[], object]) -> Iterator[Callable[[], None]]:
    """Run ``work`` in a forked child; the value waits for it and sees that it went well."""
    context = multiprocessing.get_context("fork")
    errors = context.SimpleQueue()

    def run() -> None:
        try:
            work()
        except BaseException as error:
            errors.put(repr(error))
            raise

    child = context.Process(target=run)
    child.start()

    def joined() -> None:
        child.join(PATIENCE)
        assert child.exitcode == 0, None if errors.empty() else errors.get()

    try:
        yield joined
    finally:
        if child.is_alive():
            child.kill()
            child.join()
        errors.close()


def new_session(path: Path) -> nspkit.Session:
    """A session of a host that is made here and now."""
    catalog = nspkit.Catalog()
    catalog.install(SqliteProvider)
    host = nspkit.Host(catalog=catalog, settings={"sqlite": {"path": path}})
    return host.startup("sqlite")


@needs_fork
def test_a_childs_own_host_loses_nothing(client: Any, path: Path, sqlite3: Any) -> None:
    """Though the parent, which had the file open, closes it while the child writes."""
    client.register("parent")
    context = multiprocessing.get_context("fork")
    wrote, closed = context.Event(), context.Event()

    def work() -> None:
        session = new_session(path)
        session.set_service(Service("child-1"), ServiceOperation.REGISTER)
        wrote.set()
        assert closed.wait(PATIENCE)
        session.set_service(Service("child-2"), ServiceOperation.REGISTER)
        os._exit(0)  # as hard as a crash

    with forked(work) as joined:
        assert wrote.wait(PATIENCE)
        client.session.close()
        closed.set()
        joined()
    assert sqlite3("SELECT name FROM service").split() == ["child-1", "child-2", "parent"]
    assert sqlite3("PRAGMA integrity_check") == "ok"


@needs_fork
def test_a_child_does_not_use_the_parents_connections(client: Any, path: Path) -> None:
    """Neither through the host nor past it; the parent goes on."""
    client.register("x")
    provider = SqliteProvider()
    with Resources() as resources:
        provider.nsp_startup({"path": path}, resources)
        assert list(provider.nsp_lookup_service(Query("x"), Cancellation()))

        def work() -> None:
            for question in (
                lambda: client.find("x"),
                lambda: list(provider.nsp_lookup_service(Query("x"), Cancellation())),
                lambda: provider.nsp_set_service(Service("y"), ServiceOperation.REGISTER, False),
            ):
                with pytest.raises(NotInitialisedError, match=r"child|parent"):
                    question()

        with forked(work) as joined:
            joined()
        assert list(provider.nsp_lookup_service(Query("x"), Cancellation()))
    client.register("y")
    assert client.names() == ["x", "y"]


@needs_fork
def test_a_fork_waits_for_what_is_under_way(
    client: Any, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what comes meanwhile waits for the fork."""
    client.register("x")
    inside, leave = threading.Event(), threading.Event()
    import nspkit_sqlite._schema as schema

    real = schema.refuse_newer

    def slow(*arguments: Any) -> None:
        if threading.current_thread().name == "writer":
            inside.set()
            assert leave.wait(PATIENCE)
        real(*arguments)

    monkeypatch.setattr(schema, "refuse_newer", slow)
    writer = threading.Thread(target=lambda: client.register("y"), name="writer")
    writer.start()
    assert inside.wait(PATIENCE)
    waiting = threading.Event()
    real_wait = threading.Condition.wait

    def wait(self: threading.Condition, timeout: float | None = None) -> bool:
        if threading.current_thread() is threading.main_thread():
            waiting.set()
        return real_wait(self, timeout)

    def let_go() -> None:
        assert waiting.wait(PATIENCE)
        leave.set()

    helper = threading.Thread(target=let_go)
    found: list[str] = []
    reader = threading.Thread(target=lambda: found.extend(client.names("x")))
    try:
        with monkeypatch.context() as patched:
            helper.start()
            patched.setattr(threading.Condition, "wait", wait)
            fork._before()
        assert waiting.is_set()
        reader.start()
        with pytest.raises(InProgressError, match="fork"):
            client.find("x")
        assert found == []
    finally:
        fork._after_in_parent()
        waiting.set()
        leave.set()
    for thread in (helper, reader, writer):
        thread.join(PATIENCE)
    assert found == ["x"]
    assert client.names() == ["x", "y"]


@needs_fork
def test_who_comes_while_a_fork_waits_is_served_after_it(
    client: Any, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fork waits for one call, and not for ever new ones."""
    client.register("x")
    provider = SqliteProvider()
    with Resources() as resources:
        provider.nsp_startup({"path": path}, resources)
        waiting, reading, queued, leave = (threading.Event() for _ in range(4))
        real_wait = threading.Condition.wait
        found: list[str] = []

        def wait(self: threading.Condition, timeout: float | None = None) -> bool:
            if self is provider._registry._connections._returned:
                (queued if threading.current_thread() is second else waiting).set()
            return real_wait(self, timeout)

        def slow(_connection: database.Connection) -> None:
            reading.set()
            assert leave.wait(PATIENCE)

        def come() -> None:
            assert waiting.wait(PATIENCE)
            names = provider.nsp_lookup_service(Query(), Cancellation())
            found.extend(service.name for service in names)

        def let_go() -> None:
            assert queued.wait(PATIENCE)
            leave.set()

        first = threading.Thread(target=lambda: provider._registry.read(slow))
        second, helper = threading.Thread(target=come), threading.Thread(target=let_go)
        try:
            monkeypatch.setattr(threading.Condition, "wait", wait)
            for thread in (first, second, helper):
                thread.start()
            assert reading.wait(PATIENCE)
            fork._before()
            assert found == []
        finally:
            fork._after_in_parent()
            leave.set()
        for thread in (first, second, helper):
            thread.join(PATIENCE)
        assert found == ["x"]


def test_a_platform_that_cannot_fork_is_not_asked_to_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is nothing to be told of."""
    monkeypatch.delattr(os, "register_at_fork", raising=False)
    assert runpy.run_path(fork.__file__)["_open"] == {}


@needs_fork
def test_a_child_that_was_forked_too_early_is_told(
    client: Any, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection that does not come back keeps nobody from forking, but the file is not safe."""
    monkeypatch.setattr(pool, "_PATIENCE", 0.01)
    client.register("x")
    provider = SqliteProvider()
    with Resources() as resources:
        provider.nsp_startup({"path": path}, resources)

        def work() -> None:
            with pytest.raises(NotReadyError, match="while this process was forked"):
                new_session(path)
            new_session(path.with_name("another.db"))

        def fork_inside(connection: database.Connection) -> str:
            with forked(work) as joined:
                joined()
            return "read"

        assert provider._registry.read(fork_inside) == "read"
        assert not fork._shared
    client.register("y")


@needs_fork
def test_a_stopped_provider_is_told_of_no_fork(client: Any) -> None:
    """Nothing is kept of it."""
    before = dict(fork._open)
    with Resources() as resources:
        provider = SqliteProvider()
        provider.nsp_startup({"path": "/nowhere/registry.db"}, resources)
        assert len(fork._open) == len(before) + 1
    assert fork._open == before


@needs_fork
def test_a_watch_goes_on_after_a_fork(client: Any, path: Path) -> None:
    """With another connection, to which the numbers of the one before mean nothing."""
    client.register("x")
    provider = SqliteProvider()
    with Resources() as resources:
        provider.nsp_startup({"path": path, "interval": 0.002}, resources)
        cancellation = Cancellation(time.monotonic() + PATIENCE)
        changes = filter(None, provider.nsp_notify_change(Query(), cancellation))
        assert next(changes).service.name == "x"
        client.register("y")
        assert next(changes).service.name == "y"
        for name in "abc":
            with forked(lambda: None) as joined:
                joined()
            client.register(name)
            assert next(changes).service.name == name
