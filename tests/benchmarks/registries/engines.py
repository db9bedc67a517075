"""Servers to measure at, and the bare clients that nspkit is measured against.

A bare client does the same requests as the provider, in the client's own words: it puts the same
two or three things in one transaction, and reads JSON back as dictionaries.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
from base64 import b64decode, b64encode
from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from time import monotonic
from typing import Any

import pytest

PATIENCE = 60.0
CLASS = "7d2f1f8e-0000-4000-8000-00000000bebe"
MANY = "7d2f1f8e-0000-4000-8000-00000000cafe"
RECORD = {
    "addresses": [["inet", 1, 6, ["192.0.2.1", 8080]]],
    "attributes": {"path": "/", "zone": "a"},
}


def free_port() -> int:
    """A port of 127.0.0.1 that nobody has."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


@contextlib.contextmanager
def running(command: list[str], port: int, question: bytes = b"", **options: Any) -> Iterator[int]:
    """Run a server until it is not needed; it is there when it listens, and answers a question."""
    program = shutil.which(
        command[0], path=f"{os.environ['PATH']}:/usr/sbin:/usr/share/zookeeper/bin"
    )
    if program is None:
        pytest.skip(f"{command[0]} is not installed")
    null = subprocess.DEVNULL
    process = subprocess.Popen(
        [program, *command[1:]], stdout=null, stderr=null, start_new_session=True, **options
    )
    try:
        until, address = monotonic() + PATIENCE, ("127.0.0.1", port)
        while True:
            assert monotonic() < until, f"{command[0]} does not listen"
            with contextlib.suppress(OSError), socket.create_connection(address, 1) as asking:
                asking.sendall(question)
                if not question or b"Mode:" in asking.recv(4096):
                    break
        yield port
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


class Etcd:
    """etcd by httpx."""

    name = "etcd"

    def __init__(self, port: int) -> None:
        import httpx

        self._http = httpx.Client(
            base_url=f"http://127.0.0.1:{port}/v3/", timeout=10, trust_env=False
        )

    @staticmethod
    def server(folder: Path) -> Any:
        """The server, in a folder of its own."""
        port, peer = free_port(), free_port()
        client, other = (f"http://127.0.0.1:{number}" for number in (port, peer))
        command = ["etcd", "--data-dir", str(folder), "--log-level", "error"]
        command += ["--listen-client-urls", client, "--advertise-client-urls", client]
        command += ["--listen-peer-urls", other, "--initial-advertise-peer-urls", other]
        return running([*command, "--initial-cluster", f"default={other}"], port)

    def _call(self, path: str, body: dict[str, Any]) -> Any:
        return self._http.post(path, json=body).json()

    def register(self, name: str, kind: str = CLASS) -> None:
        """A lease, and the record and its name on it in one transaction."""
        lease = self._call("lease/grant", {"TTL": 3000})["ID"]
        value = _text(json.dumps(RECORD))
        puts = [
            {"request_put": {"key": _text(key), "value": value, "lease": lease}}
            for key in (f"bare/service/{kind}/-/{name}", f"bare/name/{name}/{kind}/-")
        ]
        assert self._call("kv/txn", {"success": puts})["succeeded"]

    def lookup(self, name: str) -> Any:
        """The record of one."""
        found = self._call("kv/range", {"key": _text(f"bare/service/{CLASS}/-/{name}")})
        return json.loads(b64decode(found["kvs"][0]["value"]))

    def browse(self, kind: str) -> list[Any]:
        """All records, by pages of one revision."""
        first, last = f"bare/service/{kind}/", f"bare/service/{kind}0"
        found: list[Any] = []
        body: dict[str, Any] = {"range_end": _text(last), "limit": 500}
        key = _text(first)
        while True:
            page = self._call("kv/range", {"key": key, **body})
            body.setdefault("revision", page["header"]["revision"])
            for one in page["kvs"]:
                path = b64decode(one["key"]).decode().rpartition("/")[2]
                found.append((path, json.loads(b64decode(one["value"]))))
            if not page.get("more"):
                return found
            key = b64encode(b64decode(page["kvs"][-1]["key"]) + b"\0").decode()

    def watch(self, seen: SimpleQueue[str]) -> None:
        """Tell the name of each put, on a thread of its own; the first word is that it is live."""
        body = {
            "create_request": {"key": _text("bare/service/"), "range_end": _text("bare/service0")}
        }

        def follow() -> None:
            with (
                contextlib.suppress(Exception),  # in the end the server is killed
                self._http.stream("POST", "watch", json=body, timeout=None) as answer,
            ):
                for line in answer.iter_lines():
                    result = json.loads(line)["result"]
                    if result.get("created"):
                        seen.put("live")
                    for event in result.get("events", ()):
                        seen.put(b64decode(event["kv"]["key"]).decode().rpartition("/")[2])

        Thread(target=follow, daemon=True).start()


class Zookeeper:
    """ZooKeeper by kazoo."""

    name = "zookeeper"

    def __init__(self, port: int) -> None:
        from kazoo.client import KazooClient

        self._client = KazooClient(f"127.0.0.1:{port}")
        self._client.start(30)
        for path in (*(f"/bare/service/{kind}/-" for kind in (CLASS, MANY)), "/bare/name"):
            self._client.ensure_path(path)

    @staticmethod
    def server(folder: Path) -> Any:
        """The server, in a folder of its own."""
        port = free_port()
        (folder / "zoo.cfg").write_text(
            f"tickTime=2000\ndataDir={folder}\nclientPort={port}\nclientPortAddress=127.0.0.1\n"
            "admin.enableServer=false\nmaxClientCnxns=0\n",
            encoding="utf-8",
        )
        environment = {**os.environ, "ZOO_LOG_DIR": str(folder), "JVMFLAGS": "-Xmx512m"}
        command = ["zkServer.sh", "start-foreground", str(folder / "zoo.cfg")]
        return running(command, port, b"srvr", env=environment)

    def register(self, name: str, kind: str = CLASS) -> None:
        """Two nodes of this session, in one transaction."""
        transaction = self._client.transaction()
        value = json.dumps(RECORD).encode()
        transaction.create(f"/bare/service/{kind}/-/{name}", value, ephemeral=True)
        transaction.create(f"/bare/name/{name}", b"", ephemeral=True)
        assert not any(isinstance(result, Exception) for result in transaction.commit())

    def lookup(self, name: str) -> Any:
        """The record of one."""
        return json.loads(self._client.get(f"/bare/service/{CLASS}/-/{name}")[0])

    def browse(self, kind: str) -> list[Any]:
        """All records: the children, then the data of each."""
        top = f"/bare/service/{kind}/-"
        names = self._client.get_children(top)
        found: list[Any] = []
        for at in range(0, len(names), 500):
            page = names[at : at + 500]
            waiting = [self._client.get_async(f"{top}/{name}") for name in page]
            found += [
                (name, json.loads(one.get()[0])) for name, one in zip(page, waiting, strict=True)
            ]
        return found

    def watch(self, seen: SimpleQueue[str]) -> None:
        """Tell the name of each that is made, by callbacks; the first word is "live"."""
        known: set[str] = set()

        def tell(names: list[str]) -> None:
            for name in set(names) - known:
                known.add(name)
                seen.put(name)

        names = self._client.get_children(f"/bare/service/{CLASS}/-")
        known.update(names)
        self._client.ChildrenWatch(f"/bare/service/{CLASS}/-", tell)
        seen.put("live")


class Redis:
    """Redis by redis-py."""

    name = "redis"

    def __init__(self, port: int) -> None:
        import redis

        self._redis = redis.Redis(port=port)

    @staticmethod
    def server(folder: Path) -> Any:
        """The server, in a folder of its own."""
        port = free_port()
        command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)]
        return running([*command, "--save", "", "--appendonly", "no"], port)

    def register(self, name: str, kind: str = CLASS) -> None:
        """A key that expires, a member in two indexes, and a message, in one transaction."""
        path = f"{kind}/-/{name}"
        with self._redis.pipeline(transaction=True) as work:
            work.set(f"bare:service:{path}", json.dumps(RECORD), px=3_000_000)
            work.zadd("bare:paths", {path: 0})
            work.zadd("bare:names", {f"{name}/{kind}/-": 0})
            work.incr("bare:changes")
            work.publish("bare:changes", path)
            work.execute()

    def lookup(self, name: str) -> Any:
        """The record of one, and what is left of its lease."""
        key = f"bare:service:{CLASS}/-/{name}"
        with self._redis.pipeline(transaction=False) as work:
            work.get(key)
            work.pttl(key)
            value, left = work.execute()
        return json.loads(value), left

    def browse(self, kind: str) -> list[Any]:
        """All records and what is left of their leases, a page at a time."""
        found: list[Any] = []
        least, greatest = f"[{kind}/".encode(), f"[{kind}0".encode()
        while True:
            paths = self._redis.zrangebylex("bare:paths", least, greatest, 0, 500)
            if not paths:
                return found
            with self._redis.pipeline(transaction=False) as work:
                for path in paths:
                    work.get(b"bare:service:" + path)
                    work.pttl(b"bare:service:" + path)
                answers = work.execute()
            for path, value, left in zip(paths, answers[::2], answers[1::2], strict=True):
                found.append((path.decode().rpartition("/")[2], json.loads(value), left))
            least = b"(" + paths[-1]

    def watch(self, seen: SimpleQueue[str]) -> None:
        """Tell the name of each message, on a thread of its own; the first word is "live"."""
        listening = self._redis.pubsub()
        listening.subscribe("bare:changes")

        def follow() -> None:
            with contextlib.suppress(Exception):  # in the end the server is killed
                for message in listening.listen():
                    data = message["data"]
                    seen.put("live" if isinstance(data, int) else data.decode().rpartition("/")[2])

        Thread(target=follow, daemon=True).start()


ENGINES = (Etcd, Zookeeper, Redis)


def _text(text: str) -> str:
    return b64encode(text.encode()).decode()
