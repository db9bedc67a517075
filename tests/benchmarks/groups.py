"""Which cases are measured together, in which order, and how much of each in a turn."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import NamedTuple

import peers
import subjects


class Group(NamedTuple):
    """What is measured together, and how much of it in a turn."""

    make: Callable[[ExitStack], subjects.Cases]
    cases: tuple[str, ...]
    times: int
    turns: int = 15
    rounds: int = 5


_GROWTH = (subjects.NOTHING, *(f"{count:,} installed" for count in subjects.INSTALLED))
_SHORT = (subjects.NOTHING, "direct method call", "nspkit", "pluggy")

GROUPS = {
    "routed call": Group(
        subjects.routed_call, (*_SHORT, "pluggy, one of 100", *peers.CALLS), times=3_000
    ),
    "routed call with a value": Group(subjects.routed_value, _SHORT, times=3_000),
    "wrapped call": Group(
        subjects.wrapped_call, (subjects.NOTHING, "nspkit", "pluggy"), times=2_000
    ),
    "nested pair": Group(
        subjects.nested_pair,
        (subjects.NOTHING, "lock and number", "nspkit", *peers.PAIRS),
        times=1_500,
    ),
    "first start and final cleanup": Group(
        subjects.whole_walk, ("one thread", "nspkit", "pluggy"), times=25
    ),
    "one result": Group(subjects.one_result, ("nspkit", "getaddrinfo"), times=200),
    "10,000 results": Group(
        subjects.many_results,
        ("bare generator", "nspkit", "nspkit, by a worker"),
        times=1,
        rounds=3,
        turns=9,
    ),
    "fan-out over 50": Group(
        subjects.fan_out_50, ("nspkit", "pool of 64 threads"), times=1, turns=5, rounds=1
    ),
    "fan-out over 500": Group(
        subjects.fan_out_500, ("nspkit", "pool of 64 threads"), times=1, turns=5, rounds=1
    ),
    "routed call, growth": Group(subjects.growing_call, _GROWTH, times=3_000),
    "nested pair, growth": Group(subjects.growing_pair, _GROWTH, times=1_500),
}
