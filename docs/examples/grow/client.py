"""Tells what web servers there are, until one has gone."""

import nspkit
from nspkit.registry import REGISTRY

with nspkit.Host.from_file("nspkit.toml") as host:
    with host.watch(service_class="_http._tcp", namespace=REGISTRY) as watch:
        for change in watch:
            print(change.kind.value, change.service.name, flush=True)
            if change.kind is nspkit.ChangeKind.REMOVED:
                break
            found = host.lookup("web", service_class="_http._tcp", namespace=REGISTRY)
            for service in found:
                for address in service.addresses:
                    print(f"at {address.host}:{address.port}", flush=True)
