"""How the file is opened: careful, for reading only where that is enough, and never made anew."""

from __future__ import annotations

import sqlite3 as database
from pathlib import Path
from typing import Any

import pytest
from nspkit_sqlite import SqliteProvider, _opening

from nspkit import Cancellation, Query, Resources, Service, ServiceOperation
from nspkit.errors import AccessDeniedError


@pytest.mark.parametrize("statement", ["DELETE FROM service", "PRAGMA user_version = 7"])
def test_what_is_for_reading_does_not_write(path: Path, statement: str) -> None:
    """Whatever would be asked of it."""
    provider = SqliteProvider()
    with Resources() as resources:
        provider.nsp_startup({"path": path}, resources)
        provider.nsp_set_service(Service("x"), ServiceOperation.REGISTER, False)
        with pytest.raises(AccessDeniedError):
            provider._registry.read(lambda connection: connection.execute(statement).fetchall())
        assert list(provider.nsp_lookup_service(Query(), Cancellation()))


@pytest.mark.parametrize(("pragma", "expected"), [("trusted_schema", 0), ("synchronous", 2)])
def test_a_connection_is_careful(path: Path, pragma: str, expected: int) -> None:
    """What it writes is on the disk, and what a file brings with it is not trusted."""
    found: list[int] = []

    def ask(connection: Any, _now: float = 0.0) -> None:
        found.append(connection.execute(f"PRAGMA {pragma}").fetchone()[0])

    provider = SqliteProvider()
    with Resources() as resources:
        provider.nsp_startup({"path": path}, resources)
        provider._registry.write(ask, create=True)
        provider._registry.read(ask)
    assert found == [expected, expected]


def test_opening_makes_no_file(path: Path) -> None:
    """Also one that has gone since somebody looked."""
    with pytest.raises(database.OperationalError):
        _opening.to_read(path, _opening.Loan())
    with pytest.raises(database.OperationalError):
        _opening.to_write(path, _opening.Loan(), create=False)
    assert not path.exists()
