"""Rules about registries: what a watch tells of what others do."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from nspkit import Change, ChangeKind, LookupFlags, Query, Version
from nspkit.testing._changes import Watcher
from nspkit.testing._registry import LOOKUP, NOTIFY, SET, TTL, A, B, Client, registry
from nspkit.testing._rule import broken, require, rule, rules_in

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nspkit import Service
    from nspkit.testing._case import Case

ADDED, CHANGED, REMOVED = ChangeKind.ADDED, ChangeKind.CHANGED, ChangeKind.REMOVED


class _Watch:
    """A watch of an instance of its own: all that it tells is what others did."""

    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher

    def lists(self, *names: str) -> None:
        """Take what is there, and the mark of its end."""
        left = set(names)
        while (
            change := self._watcher.next(f"{sorted(left)}, or the end of it, was not told")
        ) is not None:
            require(
                isinstance(change, Change) and change.kind is ADDED and change.service.name in left,
                f"{change!r:.200} was told where {sorted(left)} are there; tell each once, as "
                "ADDED, and None where the list ends",
            )
            left.discard(change.service.name)
        require(not left, f"None, the end of what is there, came before {sorted(left)}")

    def tells(self, kind: ChangeKind, name: str, why: str, *, seconds: float = 0.0) -> Service:
        """Take the next change, which must be this one; return its service."""
        otherwise = f"{kind.name} of {name!r} was not told: {why}"
        change = None
        while change is None:  # a watch that has begun anew may mark that, too
            change = self._watcher.next(otherwise, seconds=seconds)
        if not isinstance(change, Change) or (change.kind, change.service.name) != (kind, name):
            broken(f"{change!r:.200} was told, and not {kind.name} of {name!r}: {why}")
        return change.service

    def tells_all(self, right: set[Any], why: str, *, seconds: float = 0.0) -> None:
        """Take as many changes as these, by kind, name and hosts, in any order."""
        told: set[Any] = set()
        while len(told) < len(right):
            change = self._watcher.next(f"of {right} only {told} was told: {why}", seconds=seconds)
            if change is not None:
                hosts = tuple(address.host for address in change.service.addresses)
                told.add((change.kind, change.service.name, hosts))
        require(told == right, f"{told} was told, and not {right}: {why}")


@contextlib.contextmanager
def _watched(client: Client, *names: str, **restrictions: Any) -> Iterator[_Watch]:
    query = Query(**{"service_class": client.kind, **restrictions})
    with client.case.running() as instance, Watcher(client.case, instance, query) as watcher:
        watch = _Watch(watcher)
        watch.lists(*names)
        yield watch


@rule("registry", NOTIFY, SET, LOOKUP)
def a_watch_lists_and_marks(case: Case) -> None:
    """A watch first tells all that is there, each once as ADDED, then None, then what changes.

    Also where nothing is there.
    """
    with registry(case) as client:
        with _watched(client) as watch:
            client.register("a", A)
            watch.tells(ADDED, "a", "it was registered")
        client.register("b", A)
        client.register("c", A)
        client.deregister("c")
        with _watched(client, "a", "b") as watch:
            client.register("c", A)
            watch.tells(ADDED, "c", "it was registered again")


@rule("registry", NOTIFY, SET, LOOKUP)
def a_watch_tells_what_others_do(case: Case) -> None:
    """ADDED, CHANGED and REMOVED, with the service as it is, or was last."""
    with registry(case) as client, _watched(client) as watch:
        client.register("x", A, attributes={"a": 1}, ttl=1000)
        added = watch.tells(ADDED, "x", "it was registered")
        client.register("x", A, B, attributes={"a": 2}, comment="moved", ttl=1000)
        changed = watch.tells(CHANGED, "x", "it was registered with other content")
        client.deregister("x")
        removed = watch.tells(REMOVED, "x", "it was deregistered")
        client.register("x", B)
        watch.tells(ADDED, "x", "it was registered again")
        client.delete("x")
        watch.tells(REMOVED, "x", "it was deleted")
    right = [((A,), 1, ""), ((A, B), 2, "moved"), ((A, B), 2, "moved")]
    told = [
        (tuple(one.host for one in service.addresses), service.attributes.get("a"), service.comment)
        for service in (added, changed, removed)
    ]
    require(told == right, f"the services of the changes are {told}, right is {right}")


@rule("registry", NOTIFY, SET, LOOKUP)
def a_watch_is_silent_about_renewals(case: Case) -> None:
    """Registering the same again is no change, nor is another ttl, or order of attributes.

    What is told next is what happens next.
    """
    with registry(case) as client, _watched(client) as watch:
        client.register("x", A, attributes={"a": 1, "b": 2}, ttl=1000)
        watch.tells(ADDED, "x", "it was registered")
        client.register("x", A, attributes={"a": 1, "b": 2}, ttl=1000)
        client.register("x", A, attributes={"b": 2, "a": 1}, ttl=2000)
        client.register("x", A, attributes={"a": 1, "b": 2})
        client.register("y", A)
        watch.tells(ADDED, "y", "x was renewed before, which is no change")
        client.deregister("x")
        watch.tells(REMOVED, "x", "it was deregistered")
        client.delete("x")
        client.register("z", A)
        watch.tells(ADDED, "z", "x was deleted before, of which deregistering has told")


@rule("registry", NOTIFY, SET, LOOKUP)
def a_watch_tells_of_ends(case: Case) -> None:
    """REMOVED is told of what ends without a renewal, and CHANGED where an address ends."""
    with registry(case) as client, _watched(client) as watch:
        # First long leases: on a busy machine a short one may be over before it is told of.
        client.register("x", A, ttl=1000)
        watch.tells(ADDED, "x", "it was registered")
        client.register("y", A, B, ttl=1000)
        watch.tells(ADDED, "y", "it was registered")
        client.register("x", A, ttl=TTL)
        client.register("y", B, ttl=TTL, multiple=True)
        watch.tells_all(
            {(REMOVED, "x", (A,)), (CHANGED, "y", (A,))},
            f"the ttl of x and that of {B} of y, {TTL:g} s, are over",
            seconds=TTL,
        )


@rule("registry", NOTIFY, SET, LOOKUP)
def a_watch_tells_only_what_is_asked_for(case: Case) -> None:
    """A watch tells of what a lookup of the same query would find, and of nothing else.

    By name, class, context, version and query string. What fits no more is told as REMOVED.
    """
    deep = LookupFlags.DEEP | LookupFlags.RETURN_ALL
    with registry(case) as client:
        own = client.kind
        questions: list[tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = [
            ({"name": "x"}, {}, {"name": "X"}),
            ({}, {}, {"service_class": own.replace("_tcp", "_udp")}),
            ({"context": own}, {"context": own}, {"context": f"{own}\\a"}),
            ({"context": own, "flags": deep}, {"context": f"{own}\\a"}, {"context": f"{own}!"}),
            ({"version": Version(2)}, {"version": 2}, {"name": "y", "version": 3}),
            ({"query_string": "a=1"}, {"attributes": {"a": 1}}, {"name": "y"}),
        ]
        for restrictions, inside, outside in questions:
            why = f"the watch is for {restrictions}, and nothing else is told"
            place = {key: inside[key] for key in inside.keys() & {"context"}}
            other = {"name": "x", **outside}
            with _watched(client, **restrictions) as watch:
                client.register(other.pop("name"), A, **other)
                client.register("x", A, **inside)
                watch.tells(ADDED, "x", why)
                client.delete("x", **place)
                watch.tells(REMOVED, "x", why)
            client.delete_all()
        with _watched(client, version=2) as watch:
            client.register("x", A, version=2)
            watch.tells(ADDED, "x", "its version is asked for")
            client.register("x", A, version=3)
            watch.tells(REMOVED, "x", "its version is not asked for any more")


RULES = rules_in(globals())
