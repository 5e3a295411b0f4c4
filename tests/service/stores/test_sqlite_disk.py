"""The SQLite store on a disk that is full: what goes on, and what is refused."""

from pathlib import Path

import pytest
from disks import fill
from storage import a_record

from service.errors import Unavailable
from service.stores.sqlite import SqliteStore

MOST_BYTES = 1024**3


async def test_a_disk_that_others_have_filled_has_room_to_start_claim_and_close(
    full_disk: Path,
) -> None:
    path = full_disk / "states.db"
    store = SqliteStore(path, MOST_BYTES)
    epochs = [(await store.begin(a_record(one))).epoch for one in "ab"]
    await store.close()
    fill(full_disk / "filler")

    store = SqliteStore(path, MOST_BYTES)

    assert (await store.claim("a", "ada")).epoch > max(epochs)
    assert await store.remove("b", epochs[1])
    with pytest.raises(Unavailable, match="no room"):
        await store.begin(a_record("c"))
    await store.close()


async def test_room_that_was_given_up_is_taken_again_at_the_start(full_disk: Path) -> None:
    path = full_disk / "states.db"
    store = SqliteStore(path, MOST_BYTES)
    epoch = (await store.begin(a_record("s"))).epoch
    await store.close()
    (full_disk / "states.db-reserve").unlink()

    store = SqliteStore(path, MOST_BYTES)
    fill(full_disk / "filler")

    assert (await store.claim("s", "ada")).epoch > epoch
    await store.close()


async def test_on_a_full_disk_streams_go_on_and_no_state_is_lost(full_disk: Path) -> None:
    store = SqliteStore(full_disk / "states.db", MOST_BYTES)
    epoch = (await store.begin(a_record("s"))).epoch
    fill(full_disk / "filler")

    number = 1
    with pytest.raises(Unavailable, match="no room") as refused:
        for number in range(1, 10_000):
            await store.write([a_record("s", b"%d" % number * 9_000, epoch, sequence=number)])
    assert refused.value.reason == "STORE_FULL"

    assert (await store.read("s")).sequence == number - 1
    for owner in range(50):
        claim = await store.claim("s", "ada")
        assert claim.record.sequence == number - 1, owner
    with pytest.raises(Unavailable, match="no room"):
        await store.write([a_record("s", b"x", claim.epoch)])
    (full_disk / "filler").unlink()
    assert await store.write([a_record("s", b"room", claim.epoch)]) == [True]
    await store.close()
