"""Fork: a child uses no session of the parent, ends none, and does not wait."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import nspkit
from nspkit import Service, ServiceOperation
from nspkit.errors import NotInitialisedError
from nspkit.registry import EVERYTHING, Key

CLASS = uuid.UUID("6f1c9f0e-3c7a-4d4e-9a43-5c6f2f1f0a01")
WEB = Key(CLASS, "", "web")
PATIENCE = 60.0

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform cannot fork")


@contextlib.contextmanager
def forked(work: Callable[[], object]) -> Iterator[None]:
    """Run ``work`` in a forked child, and see that it went well."""
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
    try:
        yield
        child.join(PATIENCE)
        assert child.exitcode == 0, None if errors.empty() else errors.get()
    finally:
        if child.is_alive():
            child.kill()
            child.join()
        errors.close()


def test_a_child_is_told_at_once(store: Any) -> None:
    """Whatever it asks for; and it may close what it inherited."""
    store.put(WEB, b"value", ttl=30.0)
    version = store.get(WEB).version

    def work() -> None:
        calls = [
            lambda: store.get(WEB),
            lambda: list(store.entries(EVERYTHING)),
            lambda: store.put(WEB, b"value", ttl=30.0),
            lambda: store.remove(WEB, version),
            lambda: list(store.follow(EVERYTHING, nspkit.Cancellation(), lambda: 1.0)),
            lambda: store.get_class(CLASS),
            lambda: store.put_class(CLASS, b"schema"),
            lambda: store.remove_class(CLASS, lambda: None),
        ]
        for call in calls:
            with pytest.raises(NotInitialisedError, match="forked"):
                call()
        store.close()

    with forked(work):
        pass
    assert store.get(WEB).version == version
    assert store.put(WEB, b"value", ttl=30.0)
    assert store.get(WEB).version == version


def test_a_child_that_ends_leaves_the_registration(hosts: Any) -> None:
    """It is renewed by the parent; a host of the child's own has a session of its own."""
    host = hosts()
    with host.register(Service("parent", ttl=1.0), provider="zookeeper"):

        def work() -> None:
            session = hosts().startup("zookeeper")
            session.set_service(Service("child", ttl=30.0), ServiceOperation.REGISTER)
            with session.lookup("parent") as lookup:
                assert [service.name for service in lookup] == ["parent"]

        with forked(work):
            pass
        [found] = host.lookup("parent", provider="zookeeper")
        assert found.name == "parent"
