"""Ctrl-C while a lookup waits, and a watch, which the host polls."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import Any

import pytest
from nspkit_dns import DnsProvider

from nspkit import Cancellation, ChangeKind, Query, Resources, ServiceOperation

PATIENCE = 30.0


@pytest.mark.skipif(os.name == "nt", reason="a signal cannot be sent to a thread there")
def test_ctrl_c_leaves_nothing_behind(fake: Any, tools: Any) -> None:
    """It goes through at once; the same question can be asked again."""
    main = threading.main_thread().ident
    assert main is not None
    strikes = iter([True])

    def answer(query: Any, _transport: str) -> Any:
        if next(strikes, False):
            signal.pthread_kill(main, signal.SIGINT)
            return None
        return tools.reply_to(query, "x.test. 60 A 192.0.2.1")

    provider = DnsProvider()
    query = Query("x.test", protocols=[(2, 0)])
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with Resources() as resources:
            settings = {"nameservers": [fake(answer).address], "timeout": 60, "retry": 60}
            provider.nsp_startup({**settings, "search": []}, resources)
            with pytest.raises(KeyboardInterrupt):
                list(provider.nsp_lookup_service(query, Cancellation()))
            assert provider._resolver._flights == {}
            until = Cancellation(time.monotonic() + PATIENCE)
            [service] = provider.nsp_lookup_service(query, until)
            assert service.name == "x.test"
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_watch_sees_what_comes_and_goes(registry: Any) -> None:
    """The host looks again and again, since the DNS tells nothing."""
    registry.set(ServiceOperation.REGISTER, "first", "192.0.2.1:80")
    query = Query(service_class=registry.kind)
    with registry.session.watch(query, interval=0.05) as watch:
        seen = []
        for change in watch:
            seen.append((change.kind, change.service.name))
            if len(seen) == 1:
                registry.set(ServiceOperation.REGISTER, "second", "192.0.2.2:80")
            elif len(seen) == 2:
                registry.set(ServiceOperation.DELETE, "first")
            else:
                break
    assert seen == [
        (ChangeKind.ADDED, "first"),
        (ChangeKind.ADDED, "second"),
        (ChangeKind.REMOVED, "first"),
    ]
