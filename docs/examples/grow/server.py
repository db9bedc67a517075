"""Serves until its input ends, and is registered meanwhile."""

import sys

import nspkit
from nspkit.registry import REGISTRY

web = nspkit.Service(
    "web",
    service_class="_http._tcp",
    addresses=[nspkit.Address.inet("127.0.0.1", 8080)],
    attributes={"path": "/"},
)
with nspkit.Host.from_file("nspkit.toml") as host:
    with host.register(web, ttl=3, namespace=REGISTRY) as registration:
        print("registered:", registration.state, flush=True)
        sys.stdin.read()
