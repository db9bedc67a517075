"""The goals: which case is compared with which, what the ratio may be, and what nobody can beat."""

from __future__ import annotations

from typing import NamedTuple


class Goal(NamedTuple):
    """One row of the table.

    Attributes:
        what: What is measured.
        group: Its group, whose other cases are shown as peers.
        case: What is compared, nspkit as a rule.
        base: What it is compared with: a case of the group, or seconds.
        unit: What the base is called in the table.
        most: What the ratio may be at most.
        least: What it has to be at the least.
        limit: The case that cannot be beaten, or the ratio of it; empty if it is the base.
        below: Peers that the case has to be below as well.
        hidden: Cases that are neither limit nor peers.
    """

    what: str
    group: str
    base: str | float
    unit: str
    case: str = "nspkit"
    most: float | None = None
    least: float | None = None
    limit: str | float = ""
    below: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The goal as the table shows it."""
        text = f"≤ {self.most:g}" if self.most is not None else f"≥ {self.least:g}"
        return f"{text}, below {', '.join(self.below)}" if self.below else text


PAIR_PEERS = ("svcs", "dishka", "iPOPO")
GROWTH = ("100 installed", "1,000 installed")

GOALS = (
    Goal(
        "routed call, the guard included",
        "routed call",
        "pluggy",
        "a bare pluggy call",
        most=0.35,
        limit="direct method call",
    ),
    Goal(
        "routed call that checks its values",
        "routed call with a value",
        "pluggy",
        "a bare pluggy call",
        most=0.35,
        limit="direct method call",
    ),
    Goal(
        "routed call with one middleware",
        "wrapped call",
        "pluggy",
        "pluggy's call with a wrapper",
        most=1.2,
        limit=1.0,
    ),
    Goal(
        "nested startup and close",
        "nested pair",
        "lock and number",
        "a lock and a number, twice",
        most=3.0,
        limit=1.0,
        below=PAIR_PEERS,
    ),
    Goal(
        "first startup and final cleanup",
        "first start and final cleanup",
        "pluggy",
        "a new pluggy manager with the plugin",
        most=2.0,
        limit="one thread",
    ),
    Goal(
        "listing 100 providers among 400 distributions",
        "discovery",
        "importlib.metadata",
        "`importlib.metadata`",
        most=0.5,
    ),
    Goal(
        "`import nspkit`",
        "import",
        "pluggy",
        "`import pluggy`",
        most=2.5,
        limit=1.0,
        below=("plux", "svcs", "npe2", "dishka"),
    ),
    Goal(
        "directed lookup of one result",
        "one result",
        "getaddrinfo",
        "`socket.getaddrinfo`",
        most=1.0,
    ),
    Goal(
        "10,000 results",
        "10,000 results",
        "bare generator",
        "a bare generator of the same",
        most=4.0,
        limit=1.0,
    ),
    Goal("fan-out over 50 that take 0.1 s", "fan-out over 50", 0.1, "0.1 s", most=1.3, limit=1.0),
    Goal(
        "fan-out over 500 that take 0.1 s, by 64 threads",
        "fan-out over 500",
        0.1,
        "0.1 s",
        most=10.0,
        limit=8.0,
    ),
    Goal(
        "a name in a hosts file of 100,000: `getaddrinfo` takes",
        "large hosts file",
        "nspkit",
        "nspkit's lookup",
        case="getaddrinfo",
        least=100.0,
    ),
    Goal(
        "routed call, 10,000 installed",
        "routed call, growth",
        "10 installed",
        "with 10 installed",
        case="10,000 installed",
        most=1.5,
        limit=1.0,
        hidden=GROWTH,
    ),
    Goal(
        "nested startup and close, 10,000 installed",
        "nested pair, growth",
        "10 installed",
        "with 10 installed",
        case="10,000 installed",
        most=1.5,
        limit=1.0,
        hidden=GROWTH,
    ),
    Goal(
        "routed calls of 8 threads: rate",
        "routed call, contention",
        "8 threads",
        "the rate of one thread",
        case="1 thread",
        least=0.7,
        limit=1.0,
    ),
    Goal(
        "nested startups and closes of 8 threads: rate",
        "nested pair, contention",
        "8 threads",
        "the rate of one thread",
        case="1 thread",
        least=0.7,
        limit=1.0,
    ),
)
