"""The SQLite store where it meets files, disks and processes that die."""

import asyncio
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from disks import fill
from storage import Clock, a_record

from service.errors import SettingsError, Unavailable
from service.stores import sqlite_file
from service.stores.sqlite import SqliteStore
from service.stores.store import Fate

ROOT = Path(__file__).resolve().parents[3]
MOST_BYTES = 1024**3
STREAMS = 20
# Writes batches of one number each, and says each number once it is committed.
WRITER = f"""
import asyncio, sys
from pathlib import Path
from service.stores.sqlite import SqliteStore
from service.stores.store import Record

async def write():
    store = SqliteStore(Path(sys.argv[1]), {MOST_BYTES})
    for number in range(int(sys.argv[2]), 10**9):
        payload = number.to_bytes(4, "little") * 600
        batch = [Record(f"s{{one}}", 1, "", "m", "1", number, number, payload)
                 for one in range({STREAMS})]
        assert all(await store.write(batch))
        print(number, flush=True)

asyncio.run(write())
"""


def start_writer(path: Path, first: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER, str(path), str(first)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


async def stored(path: Path) -> list[int]:
    """Numbers of the batches that the streams' records are of."""
    store = SqliteStore(path, MOST_BYTES)
    try:
        records = [await store.read(f"s{one}") for one in range(STREAMS)]
    finally:
        await store.close()
    assert all(one is not None for one in records)
    assert {one.payload for one in records} == {records[0].sequence.to_bytes(4, "little") * 600}
    return [one.sequence for one in records]


def test_what_was_committed_outlives_a_kill(tmp_path: Path) -> None:
    path, last, dice = tmp_path / "states.db", 0, random.Random(5)
    for _ in range(4):
        with start_writer(path, last + 1) as writer:
            for _ in range(dice.randint(1, 60)):
                last = int(writer.stdout.readline())
            writer.send_signal(signal.SIGKILL)
            said = writer.stdout.read().split()
        last = int(said[-1]) if said else last

        numbers = asyncio.run(stored(path))

        # The batch after the last may have been committed and not said any more.
        assert set(numbers) in ({last}, {last + 1})
        last = numbers[0]


async def test_two_processes_write_one_file(tmp_path: Path) -> None:
    path = tmp_path / "states.db"
    mine = SqliteStore(path, MOST_BYTES)
    with start_writer(path, 1) as writer:
        writer.stdout.readline()
        claims = [await mine.begin(a_record(f"mine{number}")) for number in range(50)]
        last = int(writer.stdout.readline())
        writer.kill()

    assert len({claim.epoch for claim in claims}) == 50
    assert (await mine.read("s0")).sequence >= last
    assert len(await mine.page("mine", 99, None)) >= 50
    await mine.close()


def test_servers_that_begin_together_share_a_new_file(tmp_path: Path) -> None:
    for number in range(60):
        path = tmp_path / f"{number}.db"
        together = threading.Barrier(4)

        def begin(path: Path = path, together: threading.Barrier = together) -> None:
            together.wait(30)
            sqlite_file.connect(path).close()

        with ThreadPoolExecutor(4) as servers:
            for one in [servers.submit(begin) for _ in range(4)]:
                one.result()


async def test_a_file_that_another_process_holds_is_said_to_be_held(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = SqliteStore(tmp_path / "states.db", MOST_BYTES)
    await store.begin(a_record("s"))
    other = sqlite3.connect(tmp_path / "states.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    with pytest.raises(Unavailable, match="another process has held it") as refused:
        await store.claim("s", "ada")

    assert refused.value.reason == "STORE_UNAVAILABLE"
    # To a caller; the log has the rest.
    assert refused.value.message == "the state store can't be used"
    (told,) = caplog.records
    assert told.getMessage().startswith(
        f"the state store can't be used: {tmp_path / 'states.db'}: another process"
    )
    # Its room on a full disk is no help there.
    assert (tmp_path / "states.db-reserve").exists()
    other.execute("ROLLBACK")
    assert (await store.claim("s", "ada")).fate is Fate.KEPT
    other.close()
    await store.close()


async def test_a_store_that_is_closed_says_so(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "states.db", MOST_BYTES)
    await store.close()

    with pytest.raises(Unavailable, match="it is closed"):
        await store.read("s")


async def test_a_file_that_is_damaged_while_it_is_used_is_said_to_be(tmp_path: Path) -> None:
    path = tmp_path / "states.db"
    first = SqliteStore(path, MOST_BYTES)
    await first.write([a_record(f"s{number}", b"x" * 3_000, 1) for number in range(50)])
    await first.close()
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(4_096)
        file.write(b"\xee" * (size - 4_096))

    store = None
    with pytest.raises((Unavailable, SettingsError), match="damaged"):
        store = SqliteStore(path, MOST_BYTES)
        await store.page("", 99, None)
    if store is not None:
        await store.close()


@pytest.mark.parametrize("evicts", [False, True])
async def test_what_is_forgotten_leaves_nothing_of_itself_in_the_file(
    tmp_path: Path, evicts: bool
) -> None:
    path, clock = tmp_path / "states.db", Clock()
    store = SqliteStore(path, 2_000, 1.0, clock)
    await store.begin(a_record("s", b"state" * 100))
    clock.pass_seconds(10)
    if evicts:
        await store.begin(a_record("other", b"x" * 1_000))
    else:
        await store.expire(clock.now)
    await store.close()

    file = sqlite3.connect(path)
    row = "SELECT payload, owner, model, version FROM streams WHERE id = 's'"
    assert file.execute(row).fetchall() == [(b"", "", "", "")]
    file.close()


def holds(path: Path, statement: str) -> None:
    database = sqlite3.connect(path)
    database.execute(statement)
    database.close()


def newer(path: Path) -> None:
    asyncio.run(SqliteStore(path, MOST_BYTES).close())
    holds(path, "PRAGMA user_version = 2")


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda path: holds(path, "CREATE TABLE precious (id)"), "of another program"),
        (lambda path: holds(path, "PRAGMA application_id = 7"), "of another program"),
        (lambda path: holds(path, "PRAGMA user_version = 1"), "of another program"),
        (newer, "has layout 2"),
        (lambda path: path.write_bytes(b"no database at all " * 100), "no database"),
        (lambda path: path.mkdir(), "no such folder, or it may not be opened"),
    ],
)
def test_a_file_that_is_no_store_is_refused_and_left_alone(tmp_path: Path, make, says) -> None:
    path = tmp_path / "states.db"
    make(path)
    before = path.read_bytes() if path.is_file() else b""

    with pytest.raises(SettingsError, match=says) as refused:
        SqliteStore(path, MOST_BYTES)

    assert str(path) in refused.value.message
    assert "\n" not in refused.value.message
    assert (path.read_bytes() if path.is_file() else b"") == before


def modes_in(folder: Path) -> dict[str, int]:
    return {file.name: file.stat().st_mode & 0o777 for file in folder.iterdir()}


async def test_the_file_and_what_stands_beside_it_are_for_its_own_account_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "states.db"
    before = os.umask(0)
    try:
        store = SqliteStore(path, MOST_BYTES)
        await store.begin(a_record("s"))
    finally:
        os.umask(before)
    modes = modes_in(tmp_path)
    await store.close()

    beside = ("", "-wal", "-shm", "-reserve")
    assert modes == dict.fromkeys([f"states.db{part}" for part in beside], 0o600)
    assert "every account" not in caplog.text


async def test_a_file_that_every_account_can_read_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "states.db"
    path.touch()
    path.chmod(0o644)

    await SqliteStore(path, MOST_BYTES).close()

    assert f"state_store is {path}, which every account can read; chmod o-r it" in caplog.messages
    assert path.stat().st_mode & 0o777 == 0o644


def test_a_folder_that_is_not_there_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no such folder"):
        SqliteStore(tmp_path / "nowhere" / "states.db", MOST_BYTES)


async def test_a_server_that_was_killed_on_a_full_disk_starts_again(full_disk: Path) -> None:
    path = full_disk / "states.db"
    with start_writer(path, 1) as writer:
        for _ in range(30):
            writer.stdout.readline()
        fill(full_disk / "filler")
        writer.kill()

    store = SqliteStore(path, MOST_BYTES)
    claims = [await store.claim(f"s{one}", "") for one in range(STREAMS)]

    assert {claim.fate for claim in claims} == {Fate.KEPT}
    assert {claim.record.sequence for claim in claims} == {claims[0].record.sequence}
    with pytest.raises(Unavailable, match="no room"):
        await store.write([a_record("s0", b"x" * 5_000_000, claims[0].epoch)])
        await store.write([a_record("s1", b"x" * 5_000_000, claims[1].epoch)])
    await store.close()
