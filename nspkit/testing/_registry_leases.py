"""Rules about registries: what is shared by all who use one, and when it ends."""

from __future__ import annotations

import contextlib
import threading
from time import monotonic
from typing import TYPE_CHECKING

from nspkit.errors import ServiceNotFoundError
from nspkit.testing._limits import at_once
from nspkit.testing._registry import (
    LOOKUP,
    NO_DATA,
    REGISTER,
    SET,
    TTL,
    UNKNOWN,
    A,
    B,
    another,
    registry,
)
from nspkit.testing._rule import require, rule, rules_in

if TYPE_CHECKING:
    from nspkit.testing._case import Case

_LONG = 1000.0
_THREADS = 8


@rule("registry", SET, LOOKUP)
def hosts_see_each_other(case: Case) -> None:
    """What one host registers, changes, deregisters and deletes, every other one sees."""
    with registry(case) as one, another(one) as other:
        one.register("x", A)
        other.shows(lambda: other.hosts("x"), [A], "another host has registered it")
        other.register("x", B, multiple=True)
        one.shows(lambda: one.hosts("x"), [A, B], "another host has added an address")
        one.deregister("x")
        other.shows(lambda: other.hosts("x"), NO_DATA, "another host has deregistered it")
        other.delete("x")
        one.shows(lambda: one.hosts("x"), UNKNOWN, "another host has deleted it")


@rule("registry", SET, LOOKUP)
def stays_when_its_host_goes(case: Case) -> None:
    """What is registered without a ttl stays when the host that registered it is closed.

    Until it is deleted. (What host.register has registered the host deletes itself.)
    """
    with registry(case) as client:
        with another(client) as other:
            other.register("x", A, attributes={"a": 1})
        client.shows(lambda: client.hosts("x"), [A], "the host that registered it was closed")


@rule("registry", SET, LOOKUP)
def nothing_is_lost_at_once(case: Case) -> None:
    """Threads of two hosts that add addresses to one instance at the same moment lose none."""
    with registry(case) as one, another(one) as other:
        hosts = [f"192.0.2.{number + 1}" for number in range(_THREADS)]

        def add(number: int) -> None:
            client = (one, other)[number % 2]
            client.session.set_service(client.service("x", hosts[number]), REGISTER, multiple=True)

        one.note(one.service("x"))
        at_once(_THREADS, "nsp_set_service", add, case.patience)
        one.shows(
            lambda: sorted(one.hosts("x")),
            hosts,
            f"{_THREADS} threads have each added an address at once; make it one transaction",
        )


@rule("registry", SET, LOOKUP)
def ttl_is_what_is_left(case: Case) -> None:
    """The ttl of a result is what is left of its lease; it has none if there is no end."""
    with registry(case) as client:
        client.register("x", A, ttl=_LONG)
        client.register("y", A)

        def ttl(name: str) -> float | None:
            [service] = client.find(name)
            return service.ttl

        client.shows(lambda: client.names("x"), ["x"], "what was registered with a ttl")
        left = ttl("x")
        require(
            left is not None and 0 < left <= _LONG,
            f"registered with a ttl of {_LONG:g} it is found with {left!r}; tell what is left",
        )
        client.shows(lambda: ttl("y"), None, "the ttl of what was registered without one")
        client.register("x", A)
        client.shows(lambda: ttl("x"), None, "the ttl of what was registered again without one")


@rule("registry", SET, LOOKUP)
def a_lease_ends(case: Case) -> None:
    """What was registered with a ttl is gone after it, also where it was deregistered.

    Its name is unknown then, and what is registered under it is a new instance.
    """
    with registry(case) as client:
        client.register("x", A, ttl=TTL)
        client.register("y", A, ttl=TTL)
        with contextlib.suppress(ServiceNotFoundError):  # on a busy machine it is over already
            client.deregister("y")
        for name in "xy":
            client.shows(
                lambda name=name: client.hosts(name),  # type: ignore[misc]
                UNKNOWN,
                f"it was registered with a ttl of {TTL:g} s, which is over",
                seconds=TTL,
            )
        client.register("x", B, multiple=True)
        client.shows(lambda: client.hosts("x"), [B], "registered anew after its lease has ended")


@rule("registry", SET, LOOKUP)
def a_renewal_keeps_it(case: Case) -> None:
    """What is registered again in time stays: the same, with the same ttl, is a renewal.

    A host renews so. The kit does until another lease, which began later, has ended.
    """
    waiting = threading.Event()
    with registry(case) as client:
        renewed = monotonic()
        client.register("x", A, ttl=TTL)
        client.register("other", A, ttl=TTL)
        until = monotonic() + case.patience + 2 * TTL
        while client.hosts("other") == [A]:
            require(monotonic() < until, f"a lease of {TTL:g} s has not ended")
            waiting.wait(TTL / 8)
            there = client.hosts("x") == [A]
            # A machine that is too busy to renew in time shows nothing.
            require(
                there or monotonic() - renewed >= TTL,
                f"it was registered again in time, with a ttl of {TTL:g} s, and is not found "
                "later; let each registration begin its lease anew",
            )
            renewed = monotonic()
            client.register("x", A, ttl=TTL)


@rule("registry", SET, LOOKUP)
def addresses_end_by_themselves(case: Case) -> None:
    """With multiple each address has a lease of its own, and its instance that of the longest.

    Of several who register one instance, one that has died is gone when its lease ends, though
    the others renew.
    """
    with registry(case) as client:
        client.register("x", A, ttl=TTL, multiple=True)
        client.register("x", B, ttl=_LONG, multiple=True)
        client.shows(
            lambda: client.hosts("x"),
            [B],
            f"{A} was registered with a ttl of {TTL:g} s, {B} with one of {_LONG:g} s",
            seconds=TTL,
        )
        client.deregister("x", B, multiple=True)
        client.shows(
            lambda: client.hosts("x"),
            NO_DATA,
            "the last living address was deregistered; drop what has ended",
        )


RULES = rules_in(globals())
