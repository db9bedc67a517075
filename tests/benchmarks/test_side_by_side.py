"""Times side by side: in each turn every case of a group runs once, one right after the other.

So whatever else the machine does strikes all cases of a turn, and a turn gives one ratio. What the
table shows is the middle one of them, see `report`. pytest-benchmark times what it is given in the
order of the tests; pyperf, which was looked at, measures one benchmark to its end before the next.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import contention
import fresh
import large_hosts
import pytest
from groups import GROUPS

Case = Callable[[], object]


def turns(groups: dict[str, tuple[tuple[str, ...], int]]) -> list[tuple[str, str, int]]:
    """Return group, case and turn in the order in which they are to be measured."""
    return [
        (group, case, turn)
        for group, (cases, count) in groups.items()
        for turn in range(count)
        for case in cases
    ]


def measure(benchmark: Any, group: str, case: str, function: Case | None, **how: int) -> None:
    """Have the harness time one turn of a case."""
    if function is None:
        pytest.skip(f"{case} is not installed: pip install '.[bench]' ./plugins/nspkit-hosts")
    benchmark.group = group
    benchmark.extra_info["case"] = case
    benchmark.pedantic(function, warmup_rounds=1, **how)


@pytest.fixture(scope="module")
def made() -> Iterator[Callable[..., Any]]:
    """A function that makes a group's cases when they are asked for, and ends those before."""
    held: dict[str, Any] = {}
    with ExitStack() as outer:
        stack = outer.enter_context(ExitStack())

        def cases(group: str, make: Callable[[ExitStack], Any]) -> Any:
            if group not in held:
                stack.close()
                held.clear()
                held[group] = make(stack)
            return held[group]

        yield cases


@pytest.mark.parametrize(
    ("group", "case", "turn"),
    turns({name: (group.cases, group.turns) for name, group in GROUPS.items()}),
)
def test_in_this_process(made: Any, benchmark: Any, group: str, case: str, turn: int) -> None:
    """Calls, lifetimes, lookups, growth."""
    what = GROUPS[group]
    function = made(group, what.make).get(case)
    measure(benchmark, group, case, function, rounds=what.rounds, iterations=what.times)


@pytest.mark.parametrize(
    ("group", "case", "turn"),
    turns(dict.fromkeys(contention.GROUPS, (contention.CASES, 9))),
)
def test_contention(made: Any, benchmark: Any, group: str, case: str, turn: int) -> None:
    """The same calls by one thread, and shared out to eight."""
    cases = made(group, contention.GROUPS[group])
    measure(benchmark, group, case, cases[case], rounds=1, iterations=1)


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with 400 distributions."""
    folder = tmp_path_factory.mktemp("distributions")
    fresh.make_distributions(folder)
    return folder


@pytest.fixture(scope="module")
def caches(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for what Python and the peers keep on the disk."""
    return tmp_path_factory.mktemp("caches")


@pytest.mark.parametrize(("group", "case", "turn"), turns({"discovery": (fresh.LISTINGS, 9)}))
@pytest.mark.benchmark(timer=fresh.CLOCK)
def test_discovery(
    distributions: Path, caches: Path, benchmark: Any, group: str, case: str, turn: int
) -> None:
    """100 providers among 400 distributions."""
    function = fresh.listing(case, distributions, caches)
    measure(benchmark, group, case, function, rounds=1, iterations=1)


@pytest.mark.parametrize(("group", "case", "turn"), turns({"import": (fresh.IMPORTS, 9)}))
@pytest.mark.benchmark(timer=fresh.CLOCK)
def test_import(caches: Path, benchmark: Any, group: str, case: str, turn: int) -> None:
    """``import nspkit``, and that of others."""
    function = fresh.importing(case, caches)
    measure(benchmark, group, case, function, rounds=1, iterations=1)


@pytest.mark.parametrize(
    ("group", "case", "turn"), turns({"large hosts file": (large_hosts.CASES, 9)})
)
@pytest.mark.benchmark(timer=fresh.CLOCK)
def test_a_large_hosts_file(
    made: Any,
    tmp_path_factory: pytest.TempPathFactory,
    benchmark: Any,
    group: str,
    case: str,
    turn: int,
) -> None:
    """A name in the middle of 100,000 lines."""
    folder = tmp_path_factory.getbasetemp()
    child = made(group, lambda stack: [large_hosts.start(stack, folder)])[0]
    if child is None:
        pytest.skip("no mount namespace can be made here, or nspkit-hosts is not installed")
    measure(benchmark, group, case, large_hosts.asking(child, case), rounds=1, iterations=1)
