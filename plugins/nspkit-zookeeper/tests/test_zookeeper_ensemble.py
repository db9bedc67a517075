"""Three servers that are one registry: one of them goes, and nothing that was acknowledged."""

from __future__ import annotations

import contextlib
import threading
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from nspkit.errors import TryAgainError
from nspkit.registry import EVERYTHING, Key

CLASS = uuid.UUID("6f1c9f0e-3c7a-4d4e-9a43-5c6f2f1f0a01")
PATIENCE = 60.0


@pytest.fixture
def ensemble(program: Any, tools: Any, tmp_path: Any) -> Iterator[list[Any]]:
    """Three servers on loopback, which have elected one of them."""
    ports = [(tools.free_port(), tools.free_port()) for _ in range(3)]
    more = "initLimit=50\nsyncLimit=25\n" + "".join(
        f"server.{number}=127.0.0.1:{peer}:{election}\n"
        for number, (peer, election) in enumerate(ports, 1)
    )
    with contextlib.ExitStack() as stack:
        servers = []
        for number in range(1, 4):
            folder = tmp_path / f"server-{number}"
            (folder / "data").mkdir(parents=True)
            (folder / "data" / "myid").write_text(str(number))
            servers.append(tools.Server(program, folder, more))
            stack.callback(servers[-1].stop)
            servers[-1].launch()
        for server in servers:
            server.await_up()
        yield servers


def leader(servers: list[Any]) -> Any:
    """The one that the others have elected."""
    [one] = [server for server in servers if b"Mode: leader" in server.status()]
    return one


def test_what_was_acknowledged_outlives_the_leader(ensemble: list[Any], stores: Any) -> None:
    """While threads register and look up: each registration that succeeded is found."""
    store = stores(endpoints=[server.address for server in ensemble])
    acknowledged: set[Key] = set()
    killed, stop = threading.Event(), threading.Event()
    after = threading.Barrier(5)
    errors: list[BaseException] = []

    def work(thread: int) -> None:
        number = late = 0
        try:
            while late < 5 and not stop.is_set():
                key = Key(CLASS, f"t{thread}\\", f"n{number}")
                number += 1
                was_killed = killed.is_set()
                with contextlib.suppress(TryAgainError):
                    if store.put(key, b"value", ttl=PATIENCE):
                        acknowledged.add(key)
                        late += was_killed
                    assert store.get(key) is not None
        except BaseException as error:
            errors.append(error)
        after.wait(PATIENCE)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    leader(ensemble).stop()
    killed.set()
    try:
        after.wait(PATIENCE)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert errors == []
    assert len(acknowledged) >= 20
    assert acknowledged <= {entry.key for entry in store.entries(EVERYTHING)}
