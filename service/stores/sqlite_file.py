"""An SQLite file that is a store of states: opened, recognised, laid out.

Owns the file's schema and marks, its settings, who may read it, and what an error of SQLite
means. Knows nothing of what is done with the rows.
"""

import os
import sqlite3
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from service.errors import SettingsError, Unavailable
from service.private import warn_of_readers
from service.stores.store import away, full

# "Stws", and the layout below.
_APPLICATION: Final = 0x53747773
_VERSION: Final = 1
# As long as others may hold the file before a call gives up.
BUSY_SECONDS: Final = 2.0
_AGAIN_SECONDS: Final = 0.01

# `epoch` is the newest of the stream, `written` the one under which its record was written. The
# bytes are counted by triggers, so that they agree with the rows whoever wrote them.
_SCHEMA: Final = """
CREATE TABLE totals (epoch INTEGER NOT NULL, bytes INTEGER NOT NULL);
INSERT INTO totals VALUES (0, 0);
CREATE TABLE streams (
    id TEXT PRIMARY KEY NOT NULL,
    epoch INTEGER NOT NULL, written INTEGER NOT NULL,
    fate TEXT NOT NULL, since_ms INTEGER NOT NULL, stored_ms INTEGER NOT NULL,
    weight INTEGER NOT NULL,
    owner TEXT NOT NULL, model TEXT NOT NULL, version TEXT NOT NULL,
    sequence INTEGER NOT NULL, steps INTEGER NOT NULL, payload BLOB NOT NULL
);
CREATE INDEX kept_by_age ON streams (since_ms, id) WHERE fate = 'kept';
CREATE INDEX gone_by_age ON streams (since_ms, id) WHERE fate <> 'kept';
CREATE TRIGGER added AFTER INSERT ON streams
    BEGIN UPDATE totals SET bytes = bytes + NEW.weight; END;
CREATE TRIGGER changed AFTER UPDATE OF weight ON streams
    BEGIN UPDATE totals SET bytes = bytes + NEW.weight - OLD.weight; END;
CREATE TRIGGER dropped AFTER DELETE ON streams
    BEGIN UPDATE totals SET bytes = bytes - OLD.weight; END;
"""


def connect(path: Path) -> sqlite3.Connection:
    """Opens a store's file, and makes it where there is none.

    Raises:
        SettingsError: it can't be used; one line says why.
        sqlite3.Error: the disk is full.
    """
    connection = None
    _make_private(path)
    try:
        connection = sqlite3.connect(
            path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        _settle(connection, path)
    except sqlite3.Error as error:
        if connection is not None:
            connection.close()
        if is_full(error):
            raise
        raise SettingsError(f"state_store {path} can't be used: {reason(error)}") from None
    except BaseException:
        if connection is not None:
            connection.close()
        raise
    return connection


def _make_private(path: Path) -> None:
    """Makes the file for this account alone; SQLite gives its log and index the same mode.

    What can't be made is left to SQLite, which says why.
    """
    with suppress(OSError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    for file in (path, *(path.with_name(f"{path.name}-{part}") for part in ("wal", "shm"))):
        with suppress(OSError):
            warn_of_readers("state_store", file, file.stat().st_mode)


def _settle(connection: sqlite3.Connection, path: Path) -> None:
    _recognise(connection, path)
    # A reader never waits for a writer, and a commit is one append; what is committed outlives the
    # process. NORMAL does not wait for the disk, so that the machine's own crash may cost the last
    # commits, but not the file.
    _log_ahead(connection)
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("BEGIN IMMEDIATE")
    if _mark(connection, "application_id") == 0:
        for statement in _statements(_SCHEMA):
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {_APPLICATION}")
        connection.execute(f"PRAGMA user_version = {_VERSION}")
    connection.execute("COMMIT")


def _recognise(connection: sqlite3.Connection, path: Path) -> None:
    """Refuses a file of somebody else's, or of a later version of ours."""
    connection.execute("BEGIN")
    application, version = _mark(connection, "application_id"), _mark(connection, "user_version")
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    connection.execute("COMMIT")
    if application != _APPLICATION and (application or version or tables):
        raise SettingsError(
            f"state_store {path} is a database of another program; name a file of its own"
        )
    if version > _VERSION:
        raise SettingsError(
            f"state_store {path} has layout {version}, and this version knows {_VERSION};"
            " start a newer one, or name another file"
        )


def _mark(connection: sqlite3.Connection, name: str) -> int:
    (value,) = connection.execute(f"PRAGMA {name}").fetchone()
    return int(value)


def _statements(script: str) -> list[str]:
    """The statements of a script one by one, since running it whole would commit before it."""
    found, begun = [], ""
    for line in script.strip().splitlines():
        begun += line + "\n"
        if sqlite3.complete_statement(begun):
            found.append(begun)
            begun = ""
    return found


def is_full(error: sqlite3.Error) -> bool:
    """Whether the disk has no room; the file itself is in order."""
    return getattr(error, "sqlite_errorname", "") in ("SQLITE_FULL", "SQLITE_IOERR_SHMSIZE")


def _log_ahead(connection: sqlite3.Connection) -> None:
    """Switches a file over to a log, which several servers that begin together do at once."""
    until = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL").fetchall()
            return
        except sqlite3.OperationalError as error:
            # Where two would wait for each other, SQLite gives up at once instead.
            if not _is_busy(error) or time.monotonic() > until:
                raise
        time.sleep(_AGAIN_SECONDS)


def _is_busy(error: sqlite3.Error) -> bool:
    name = getattr(error, "sqlite_errorname", "")
    return name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED"))


def reason(error: sqlite3.Error) -> str:
    """What an error means, in words of whoever runs the server."""
    name = getattr(error, "sqlite_errorname", "")
    if _is_busy(error):
        return f"another process has held it for {BUSY_SECONDS:g} s"
    if name.startswith("SQLITE_READONLY"):
        return "it may not be written"
    if name.startswith("SQLITE_CANTOPEN"):
        return "there is no such folder, or it may not be opened"
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return "it is damaged, or no database; move it away to start with an empty one"
    return f"{error} ({name})" if name else str(error)


def refusal(error: sqlite3.Error, path: Path) -> Unavailable:
    """What an error while running is to a caller."""
    if is_full(error):
        return full(str(path), "its disk has no room")
    return away(str(path), reason(error))
