"""ZooKeeper's own command line as an oracle: what it says of the tree. It is slow: one test."""

from __future__ import annotations

import subprocess
import uuid
from typing import Any

from nspkit.registry import Key

CLASS = uuid.UUID("6f1c9f0e-3c7a-4d4e-9a43-5c6f2f1f0a01")
PATIENCE = 60.0


def test_zkcli_sees_what_is_registered(program: Any, shared: Any, store: Any, prefix: str) -> None:
    """The nodes, their data, and that they are of a session."""
    key = Key(CLASS, "a\\", "my printer")
    store.put(key, b'{"comment":"x"}', ttl=30.0)
    leaf = f"/{prefix}/1/service/{CLASS}/a%5C/my%20printer"
    script = f"ls -R /{prefix}/1\nget {leaf}\nstat {leaf}\nquit\n"
    done = subprocess.run(
        [program("zkCli.sh"), "-server", shared.address],
        input=script, capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    lines = done.stdout.splitlines()
    version = store.get(key).version
    assert leaf in lines
    assert '{"comment":"x"}' in lines
    assert any(line.endswith(f"my%20printer,{CLASS},a%5C,{version.incarnation}") for line in lines)
    owner = store._connection.session % 2**64
    assert f"ephemeralOwner = {owner:#x}" in lines
