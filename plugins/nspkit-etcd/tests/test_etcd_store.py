"""The store: what it reads, lists and writes, with etcdctl as witness."""

from __future__ import annotations

import json
from base64 import b64decode
from typing import Any

from nspkit.registry import Key
KEY = Key(None, "", "one")


def test_a(etcd, store, prefix):
    assert store.get(KEY) is None
    assert store.put(KEY, b"v", ttl=5)
    e = store.get(KEY)
    assert e.value == b"v"
    import time
    for f in (lambda: store.get(KEY), lambda: store.put(KEY, b"v", ttl=5), lambda: store.put(KEY, b"w%f" % time.time(), ttl=5)):
        t = time.perf_counter()
        for _ in range(100): f()
        print((time.perf_counter() - t) * 10, "ms")
    print(etcd.ctl("get", "--prefix", prefix))
    assert store.remove(KEY, store.get(KEY).version)
    print(etcd.ctl("get", "--prefix", prefix))
    print(etcd.ctl("lease", "list"))
