"""An interrupt on the way into or out of a lookup leaves nothing open and nothing taken."""

from __future__ import annotations

from time import monotonic
from typing import Any

import pytest

LONG = 30.0


@pytest.mark.parametrize("timeout", [None, 60])
def test_a_lookup_that_nobody_got_is_closed_by_the_next_operation(
    stage: Any, at_every_point: Any, timeout: float | None
) -> None:
    """It was begun, and the interrupt struck on its way back to the caller."""
    host = stage.host(stage.probe())
    session = host.startup("alpha")

    def operate(_subject: Any) -> None:
        session.lookup("x", timeout=timeout).close()

    def check(_subject: Any, where: str) -> None:
        host.references("alpha")
        host._accounts.workers.join(monotonic() + LONG)
        assert session.generation.users == {}, where

    assert at_every_point(lambda: None, operate, check) > 10


def test_an_interrupted_reader_may_ask_again(stage: Any, at_every_point: Any) -> None:
    """Wherever it struck, the place of the reader is free."""
    host = stage.host(stage.probe())

    def operate(lookup: Any) -> None:
        next(lookup)

    def check(lookup: Any, where: str) -> None:
        assert lookup._state._reader == {}, where
        lookup.close()

    assert at_every_point(lambda: host.lookup("x"), operate, check) > 3
