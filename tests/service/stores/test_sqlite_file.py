"""What SQLite's errors come to while a store's file is opened and used."""

import sqlite3
from functools import partial
from pathlib import Path

import pytest

from service.errors import SettingsError
from service.stores import sqlite_file


def error(name):
    made = sqlite3.OperationalError("told to")
    made.sqlite_errorname = name
    return made


@pytest.fixture
def failing(monkeypatch):
    """Lets switches to a log fail with these errors, one each, and counts them all."""
    faults, tried = [], []

    class Failing(sqlite3.Connection):
        def execute(self, statement, *values):
            if "journal_mode" in statement:
                tried.append(statement)
                if faults:
                    raise error(faults.pop(0))
            return super().execute(statement, *values)

    monkeypatch.setattr(sqlite_file.sqlite3, "connect", partial(sqlite3.connect, factory=Failing))
    return faults, tried


@pytest.mark.parametrize("name", ["SQLITE_BUSY", "SQLITE_BUSY_RECOVERY", "SQLITE_LOCKED"])
def test_a_switch_that_met_another_s_is_tried_again(tmp_path: Path, failing, name) -> None:
    faults, tried = failing
    faults += [name] * 3
    connection = sqlite_file.connect(tmp_path / "states.db")
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()
    assert len(tried) == 5


def test_a_switch_that_goes_wrong_is_not_tried_again(tmp_path: Path, failing) -> None:
    faults, tried = failing
    faults += ["SQLITE_READONLY"]
    with pytest.raises(SettingsError, match="it may not be written"):
        sqlite_file.connect(tmp_path / "states.db")
    assert len(tried) == 1


def test_a_file_that_others_hold_for_good_is_given_up(tmp_path: Path, failing, monkeypatch) -> None:
    faults, _ = failing
    faults += ["SQLITE_BUSY"] * 1_000
    monkeypatch.setattr(sqlite_file, "BUSY_SECONDS", 0.05)
    with pytest.raises(SettingsError, match=r"another process has held it for 0\.05 s"):
        sqlite_file.connect(tmp_path / "states.db")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("SQLITE_BUSY", "another process has held it for 2 s"),
        ("SQLITE_READONLY_DIRECTORY", "it may not be written"),
        ("SQLITE_CANTOPEN", "there is no such folder, or it may not be opened"),
        ("SQLITE_CORRUPT_INDEX", "it is damaged, or no database"),
        ("SQLITE_NOTADB", "it is damaged, or no database"),
        ("SQLITE_IOERR_READ", r"told to \(SQLITE_IOERR_READ\)"),
        ("", "told to$"),
    ],
)
def test_an_error_is_said_in_words_and_is_no_full_disk(name, says) -> None:
    refused = sqlite_file.refusal(error(name), Path("states.db"))
    assert refused.reason == "STORE_UNAVAILABLE"
    with pytest.raises(type(refused), match=says):
        raise refused


@pytest.mark.parametrize("name", ["SQLITE_FULL", "SQLITE_IOERR_SHMSIZE"])
def test_a_disk_without_room_is_a_store_that_is_full(name) -> None:
    assert sqlite_file.refusal(error(name), Path("states.db")).reason == "STORE_FULL"
