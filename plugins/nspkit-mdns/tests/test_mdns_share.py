"""One Zeroconf for a process: shared by hosts, counted, closed by the last, and none in a child."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import threading
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from nspkit_mdns import MdnsProvider
from nspkit_mdns._share import _share, join, leave

import nspkit
from nspkit import Cancellation, Query, Resources, ServiceOperation
from nspkit.errors import (
    AlreadyExistsError,
    InProgressError,
    NotInitialisedError,
    NotReadyError,
)
from nspkit.testing import LeakReport

PATIENCE = 30.0
REGISTER, DEREGISTER, DELETE = ServiceOperation
pytestmark = pytest.mark.usefixtures("quick")


def test_hosts_share_one(start: Any, service: Any) -> None:
    """And a name that one has is taken for the other, which cannot withdraw it either."""
    first, second = start(), start()
    first.set_service(service("one"), REGISTER)
    engine = _share.engine
    assert list(second.lookup("one", service_class="_nspkit._tcp"))
    assert _share.engine is engine
    assert engine is not None
    assert len(_share.users) == 2
    with pytest.raises(AlreadyExistsError):
        second.set_service(service("one"), REGISTER)
    with pytest.raises(LookupError):
        second.set_service(service("one"), DELETE)


def is_gone(session: nspkit.Session, name: str) -> bool:
    """Whether nobody answers for an instance any more."""
    try:
        return not list(session.lookup(name, service_class="_nspkit._tcp"))
    except LookupError:
        return True


def test_the_last_one_closes_it(start: Any, service: Any, eventually: Any) -> None:
    """What the first has registered ends with the first."""
    first, second, short = start(), start(), start(timeout=0.3)
    first.set_service(service("first"), REGISTER)
    second.set_service(service("second"), REGISTER)
    engine = _share.engine
    first.close()
    assert _share.engine is engine
    assert engine is not None
    assert not engine.ended.rung
    assert list(second.lookup("second", service_class="_nspkit._tcp"))
    eventually(lambda: is_gone(short, "first"))
    short.close()
    second.close()
    assert _share.engine is None
    assert engine.ended.rung


def test_other_interfaces_are_refused_while_it_is_there(start: Any, service: Any) -> None:
    """A second Zeroconf would miss conflicts; afterwards they are taken."""
    first = start()
    first.set_service(service("x"), REGISTER)
    other = start(interfaces=["::1"])
    with pytest.raises(NotReadyError, match=r"only once.*close that host"):
        other.set_service(service("y"), REGISTER)
    first.close()
    with pytest.raises(LookupError):
        list(other.lookup("nobody.local", timeout=1))


def test_a_hundred_rounds_leave_nothing(new_host: Any, service: Any) -> None:
    """No thread, socket or task: with a registration, a browse that is left open, and a watch."""

    def use() -> None:
        with new_host(browse_time=60.0) as host:
            session = host.startup("mdns")
            session.set_service(service("round"), REGISTER)
            lookup = session.lookup(service_class="_nspkit._tcp")
            assert next(lookup).name == "round"
            watch = session.watch(Query(service_class="_nspkit._tcp"))
            assert next(watch).service.name == "round"

    use()
    with LeakReport(MdnsProvider) as leaks:
        for _ in range(5):
            use()
    assert not leaks, leaks


def test_a_hundred_starts_of_the_engine_leave_nothing() -> None:
    """Opened and closed, one right after the other."""

    def use() -> None:
        user = object()
        engine = join(user, ("127.0.0.1",))
        assert engine.ready.wait(PATIENCE)
        assert engine.failure is None
        leave(user)

    use()
    with LeakReport() as leaks:
        for _ in range(100):
            use()
    assert not leaks, leaks


def test_a_new_one_waits_for_the_end_of_the_old_one() -> None:
    """There are never two: who comes while one says goodbye gets one that opens after that."""
    first, second = object(), object()
    old = join(first, ("127.0.0.1",))
    assert old.ready.wait(PATIENCE)
    over: list[asyncio.Event] = []

    async def say_goodbye() -> None:
        over.append(asyncio.Event())
        await over[0].wait()

    old.soon(lambda: old.farewell(say_goodbye()))
    closing = threading.Thread(target=leave, args=(first,))
    closing.start()
    while _share.engine is old or not over:
        closing.join(0.01)
    new = join(second, ("127.0.0.1",))
    assert new is not old
    assert not new.ready.wait(0.05)
    assert not old.ended.rung
    old.soon(over[0].set)
    assert new.ready.wait(PATIENCE)
    assert old.ended.rung
    leave(second)
    closing.join(PATIENCE)


def test_what_cannot_be_opened_is_told_and_tried_again(
    start: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sockets that were open already are closed."""
    session = start(timeout=0.2)
    import zeroconf._utils.net as net

    def fail(*_arguments: Any, **_options: Any) -> None:
        raise OSError(98, "Address already in use")

    with monkeypatch.context() as patched:
        patched.setattr(net, "add_multicast_member", fail)
        for _ in range(2):
            with pytest.raises(NotReadyError, match=r"Address already in use.*5353"):
                list(session.lookup("nobody.local"))
    assert _share.engine is None or _share.engine.ended.rung
    with pytest.raises(LookupError, match="nobody answered"):
        list(session.lookup("nobody.local"))


def test_who_interrupts_a_start_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal handler cannot wait for what it has interrupted."""
    monkeypatch.setattr(_share, "busy", True)
    with pytest.raises(InProgressError):
        join(object(), ("127.0.0.1",))


# Fork ---------------------------------------------------------------------------------------------

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform cannot fork")


def in_child(work: Callable[[], object]) -> str:
    """Do something in a forked child, within the patience; return what went wrong there."""
    context = multiprocessing.get_context("fork")
    said = context.SimpleQueue()

    def run() -> None:
        try:
            work()
        except BaseException:
            said.put(traceback.format_exc())
        else:
            said.put("")
        os._exit(0)  # nothing of the parent's is finalised

    child = context.Process(target=run)
    with warnings.catch_warnings():
        # Python warns of a fork with threads: that is what is looked at.
        warnings.simplefilter("ignore", DeprecationWarning)
        child.start()
    child.join(PATIENCE)
    try:
        if child.is_alive():
            child.kill()
            child.join()
            return "it did not come back"
        return str(said.get())
    finally:
        said.close()


@needs_fork
def test_a_child_of_a_registrant_has_a_network_of_its_own(
    start: Any, service: Any, patiently: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It opens its own, finds what the parent has, and registers beside it; the parent goes on."""
    session = start()
    session.set_service(service("parent"), REGISTER)

    def work() -> None:
        catalog = nspkit.Catalog()
        catalog.install(MdnsProvider)
        settings = {"mdns": {"interfaces": ["lo"], "timeout": 30}}
        with nspkit.Host(catalog=catalog, settings=settings) as host:
            own = host.startup("mdns")
            assert list(own.lookup("parent", service_class="_nspkit._tcp"))
            with monkeypatch.context(), pytest.raises(AlreadyExistsError):
                patiently()
                own.set_service(service("parent"), REGISTER)
            monkeypatch.setattr("nspkit_mdns._claim._PAUSE", 0.02)
            own.set_service(service("child"), REGISTER)
            assert list(own.lookup("child", service_class="_nspkit._tcp"))

    assert in_child(work) == ""
    flags = nspkit.LookupFlags.RETURN_ALL | nspkit.LookupFlags.FLUSHCACHE
    assert list(session.lookup("parent", service_class="_nspkit._tcp", flags=flags))
    session.set_service(service("parent"), DELETE)


@needs_fork
def test_a_child_does_not_wait_for_the_parents_thread(service: Any) -> None:
    """What it has of the parent's answers at once, and so does its end."""
    provider = MdnsProvider()
    with Resources() as resources:
        provider.nsp_startup({"interfaces": ["lo"], "timeout": 0.2}, resources)
        provider.nsp_set_service(service("x"), REGISTER, False)
        changes = iter(
            provider.nsp_notify_change(Query(service_class="_nspkit._tcp"), Cancellation())
        )
        assert next(changes) is not None

        def work() -> None:
            for question in (
                lambda: list(provider.nsp_lookup_service(Query("a.local"), Cancellation())),
                lambda: provider.nsp_set_service(service("y"), REGISTER, False),
                lambda: next(changes),
            ):
                with pytest.raises(NotInitialisedError, match="forked"):
                    question()
            resources.close()

        assert in_child(work) == ""
        query = Query("x", service_class="_nspkit._tcp")
        assert list(provider.nsp_lookup_service(query, Cancellation()))
        changes.close()  # type: ignore[attr-defined]


@needs_fork
def test_a_child_gives_nothing_back_that_is_the_parents() -> None:
    """It does not wait for the end of a thread that is not there, and the parent goes on."""
    user = object()
    engine = join(user, ("127.0.0.1",))
    assert engine.ready.wait(PATIENCE)
    assert in_child(lambda: leave(user)) == ""
    assert not engine.ended.rung
    leave(user)
    assert engine.ended.rung


@needs_fork
def test_a_child_keeps_no_socket_of_the_parent(start: Any, service: Any) -> None:
    """Answers sent to the port would reach it instead of the parent."""
    session = start()
    session.set_service(service("x"), REGISTER)

    descriptors = Path("/proc/self/fd")

    def sockets() -> set[str]:
        return {str(link.readlink()) for link in descriptors.iterdir() if link.is_symlink()}

    engine = _share.engine
    assert engine is not None
    assert engine._selector is not None
    own = {str((descriptors / str(number)).readlink()) for number in engine._selector.get_map()}
    assert own

    def work() -> None:
        assert not own & sockets()

    assert in_child(work) == ""
    assert own <= sockets()
