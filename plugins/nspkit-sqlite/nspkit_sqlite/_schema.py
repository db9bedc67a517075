"""The tables of a registry, and how a file is known to be one."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from nspkit.errors import NotReadyError, VersionNotSupportedError

if TYPE_CHECKING:
    from pathlib import Path

APPLICATION_ID = 0x6E73706B  # "nspk", where SQLite keeps such a number
VERSION = 1
CHANGES_KEPT = 10_000
"""How many changes a watch may fall behind before it has to compare everything again."""

# A class is its 16 bytes, none where there is no class; a context ends with "\", the top is "".
# WITHOUT ROWID: an exact lookup goes down one tree, not two, and a browse reads what lies together.
# `leases` is only there where addresses end at other times than the row.
TABLES = (
    """
    CREATE TABLE service (
        class BLOB NOT NULL,
        context TEXT NOT NULL,
        name TEXT NOT NULL,
        type TEXT,
        registered INTEGER NOT NULL,
        addresses TEXT,
        attributes TEXT,
        comment TEXT NOT NULL,
        version INTEGER,
        blob BLOB,
        expires_at REAL,
        leases TEXT,
        PRIMARY KEY (class, context, name)
    ) WITHOUT ROWID
    """,
    "CREATE INDEX service_name ON service (name, context)",
    "CREATE INDEX service_end ON service (expires_at) WHERE expires_at IS NOT NULL",
    """
    CREATE TABLE service_class (
        id BLOB PRIMARY KEY NOT NULL,
        name TEXT NOT NULL,
        attributes TEXT
    ) WITHOUT ROWID
    """,
    # What watches read. It is written by triggers, so that a change is told whoever made it.
    """
    CREATE TABLE change (
        revision INTEGER PRIMARY KEY,
        class BLOB NOT NULL,
        context TEXT NOT NULL,
        name TEXT NOT NULL
    )
    """,
    """
    CREATE TRIGGER service_added AFTER INSERT ON service BEGIN
        INSERT INTO change (class, context, name) VALUES (NEW.class, NEW.context, NEW.name);
    END
    """,
    """
    CREATE TRIGGER service_removed AFTER DELETE ON service BEGIN
        INSERT INTO change (class, context, name) VALUES (OLD.class, OLD.context, OLD.name);
    END
    """,
    # A renewal is told too: who watches has to know when a lease ends now.
    """
    CREATE TRIGGER service_changed AFTER UPDATE ON service
    BEGIN
        INSERT INTO change (class, context, name) VALUES (OLD.class, OLD.context, OLD.name);
        INSERT INTO change (class, context, name) SELECT NEW.class, NEW.context, NEW.name
            WHERE NEW.class IS NOT OLD.class OR NEW.context IS NOT OLD.context
                OR NEW.name IS NOT OLD.name;
    END
    """,
)

# Both are found by a key, and no more at once than keeps nobody waiting.
SWEEP = """
    DELETE FROM service WHERE (class, context, name) IN (
        SELECT class, context, name FROM service WHERE expires_at <= ? LIMIT 100
    )
"""
TRIM = f"DELETE FROM change WHERE revision <= (SELECT max(revision) FROM change) - {CHANGES_KEPT}"


def is_registry(path: Path) -> bool:
    """Say whether a file is a registry; False for an empty one, which can become one.

    It is read as a file that nobody changes, so that nothing at all happens to it: no lock, no
    file beside it, no recovery of what another application left. What this reads is there from
    the first moment of a registry.

    Raises:
        NotReadyError: It is something else (WSASYSNOTREADY 10091).
        sqlite3.Error: It cannot be read.
    """
    if not path.stat().st_size:
        return False
    uri = f"{path.as_uri()}?mode=ro&immutable=1"
    connection = sqlite3.connect(uri, uri=True, isolation_level=None)
    try:
        # Without this the file would count as damaged at a moment when somebody makes it longer.
        connection.execute("PRAGMA writable_schema = ON")
        [number] = connection.execute("PRAGMA application_id").fetchone()
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_NOTADB:
            raise
        raise foreign(path, "is no SQLite file, or a damaged one") from error
    finally:
        connection.close()
    if number != APPLICATION_ID:
        raise foreign(path, "is an SQLite file of something else")
    return True


def foreign(path: Path, what: str) -> NotReadyError:
    """Return the error for a file that is no registry."""
    return NotReadyError(
        f"{path} {what}, no registry of services, and is left as it is: move it away, or give "
        "another 'path'"
    )


def version_of(connection: sqlite3.Connection) -> int:
    """Return the version of the tables; 0 if there are none."""
    [version] = connection.execute("PRAGMA user_version").fetchone()
    return int(version)


def refuse_newer(connection: sqlite3.Connection, path: Path) -> None:
    """Refuse to write into tables that this release does not know.

    Raises:
        VersionNotSupportedError: They are newer (WSAVERNOTSUPPORTED 10092).
    """
    version = version_of(connection)
    if version != VERSION:
        raise VersionNotSupportedError(
            f"{path} was written by a newer release of nspkit-sqlite (version {version} of its "
            f"tables, this one knows {VERSION}): lookups go on, to register install that release"
        )


def tidy(connection: sqlite3.Connection, now: float) -> bool:
    """Take away what has ended and is too old; says whether that was all of it."""
    swept = connection.execute(SWEEP, (now,)).rowcount
    connection.execute(TRIM)
    return swept < 100


def make(connection: sqlite3.Connection, path: Path) -> None:
    """Make the tables, unless another process was quicker.

    Raises:
        NotReadyError: It has become the file of something else (WSASYSNOTREADY 10091).
        sqlite3.Error: It failed, and the file is empty as before.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        if not version_of(connection):
            [tables] = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
            if tables:
                raise foreign(path, "is an SQLite file of something else")
            for statement in TABLES:
                connection.execute(statement)
            # In the transaction too: there is no moment at which a registry is not known as one.
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
